//! Ports and the transports that have them.

use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};

/// A port, 1 to 65535.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "u16")]
pub struct Port(NonZeroU16);

/// Why something is no port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// A number outside 1 to 65535, or no number.
    #[error("`{0}` is no port; ports are 1 to 65535")]
    Range(String),
    /// The first of a range is above the last.
    #[error("`{0}-{1}` is an empty range; write the smaller port first")]
    Backwards(u16, u16),
}

impl Port {
    /// DNS (RFC 1035).
    pub const DNS: Self = Self::fixed(53);
    /// DNS over TLS and over QUIC (RFC 7858, RFC 9250).
    pub const DNS_OVER_TLS: Self = Self::fixed(853);

    /// The number.
    pub const fn get(self) -> u16 {
        self.0.get()
    }

    /// Whether name servers listen on this port.
    pub const fn is_dns(self) -> bool {
        self.get() == Self::DNS.get() || self.get() == Self::DNS_OVER_TLS.get()
    }

    /// A port that is known when this is compiled.
    ///
    /// # Panics
    /// At compile time, for 0.
    pub const fn fixed(number: u16) -> Self {
        match NonZeroU16::new(number) {
            Some(port) => Self(port),
            None => panic!("0 is no port"),
        }
    }
}

impl TryFrom<i64> for Port {
    type Error = PortError;

    fn try_from(number: i64) -> Result<Self, Self::Error> {
        u16::try_from(number)
            .ok()
            .and_then(NonZeroU16::new)
            .map(Self)
            .ok_or_else(|| PortError::Range(number.to_string()))
    }
}

impl From<Port> for u16 {
    fn from(port: Port) -> Self {
        port.get()
    }
}

impl std::str::FromStr for Port {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // `u16::from_str` takes a leading `+`; a port has digits only.
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        let range = || PortError::Range(text.chars().take(20).collect());
        if !digits {
            return Err(range());
        }
        text.parse().map(Self).map_err(|_| range())
    }
}

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// One port or an inclusive range of them; written `443` or `"6000-6007"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "PortText")]
pub struct PortRange {
    first: Port,
    last: Port,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a port (443) or a range of ports (\"6000-6007\")")]
enum PortText {
    Number(i64),
    Text(String),
}

impl TryFrom<PortText> for PortRange {
    type Error = PortError;

    fn try_from(text: PortText) -> Result<Self, Self::Error> {
        match text {
            PortText::Number(number) => Port::try_from(number).map(Self::from),
            PortText::Text(text) => {
                let (first, last) = text.split_once('-').unwrap_or((&text, &text));
                let (first, last): (Port, Port) = (first.parse()?, last.parse()?);
                if first > last {
                    return Err(PortError::Backwards(first.get(), last.get()));
                }
                Ok(Self { first, last })
            }
        }
    }
}

impl PortRange {
    /// The range between two ports; `None` when the first is above the last.
    pub fn between(first: Port, last: Port) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// The lowest port.
    pub const fn first(&self) -> Port {
        self.first
    }

    /// The highest port.
    pub const fn last(&self) -> Port {
        self.last
    }

    /// A range that is written in the source code. A range that is the wrong way round does not compile.
    pub(crate) const fn from_to(first: Port, last: Port) -> Self {
        assert!(first.get() <= last.get(), "the first port is above the last");
        Self { first, last }
    }

    /// Whether `port` lies in the range.
    pub fn contains(&self, port: Port) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

impl From<Port> for PortRange {
    fn from(port: Port) -> Self {
        Self { first: port, last: port }
    }
}

impl std::fmt::Display for PortRange {
    /// As in a rule: `443` or `6000:6007`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.first == self.last { self.first.fmt(f) } else { write!(f, "{}:{}", self.first, self.last) }
    }
}

/// A transport protocol with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
}

/// A transport that we do not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no transport; it is `udp` or `tcp`")]
pub struct TransportError(String);

impl Transport {
    /// `udp` or `tcp`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }

    /// IANA's number.
    pub const fn number(self) -> u8 {
        match self {
            Self::Udp => 17,
            Self::Tcp => 6,
        }
    }

    /// Reads OpenVPN's own spellings too: `udp4`, `tcp-client`, `tcp6-client` and their like
    /// (openvpn(8), `--proto`; the environment's `proto_1`).
    ///
    /// # Errors
    /// Anything else.
    pub fn from_openvpn(text: &str) -> Result<Self, TransportError> {
        match text {
            "udp" | "udp4" | "udp6" => Ok(Self::Udp),
            "tcp" | "tcp4" | "tcp6" | "tcp-client" | "tcp4-client" | "tcp6-client" => Ok(Self::Tcp),
            other => Err(TransportError(other.chars().take(20).collect())),
        }
    }
}

impl std::str::FromStr for Transport {
    type Err = TransportError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "udp" => Ok(Self::Udp),
            "tcp" => Ok(Self::Tcp),
            other => Err(TransportError(other.chars().take(20).collect())),
        }
    }
}

impl std::fmt::Display for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_not_a_port_is_refused() {
        for bad in ["0", "65536", "-1", "+80", "", "1194 ", "0x50", "１１９４"] {
            assert!(bad.parse::<Port>().is_err(), "{bad:?}");
        }
        assert_eq!("65535".parse::<Port>().unwrap().get(), 65535);
    }

    #[test]
    fn a_backwards_range_is_refused() {
        assert!(PortRange::try_from(PortText::Text("20-10".into())).is_err());
        assert_eq!(PortRange::try_from(PortText::Text("10-20".into())).unwrap().to_string(), "10:20");
    }
}
