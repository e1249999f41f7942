//! Where a VPN server is reached: address, transport and port.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{AddressError, Family, Port, PortError, Transport, TransportError, server_address};

/// The address, transport and port of a VPN server; written `198.51.100.7:1194/udp` or
/// `[2001:db8::1]:443/tcp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Endpoint {
    address: IpAddr,
    transport: Transport,
    port: Port,
}

/// Why a text is no endpoint or server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Not of the form `ADDR:PORT/PROTO`.
    #[error("`{0}` is no endpoint; write 198.51.100.7:1194/udp or [2001:db8::1]:1194/udp")]
    Form(String),
    /// Neither an address nor a name.
    #[error("`{0}` is neither an address nor a host name")]
    Host(String),
    /// An address that no server can have.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A port out of range.
    #[error(transparent)]
    Port(#[from] PortError),
    /// A transport that is neither UDP nor TCP.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

impl Endpoint {
    /// An endpoint from its parts.
    ///
    /// # Errors
    /// An address that no server can have, see [`server_address`].
    pub fn new(address: IpAddr, transport: Transport, port: Port) -> Result<Self, AddressError> {
        Ok(Self { address: server_address(address)?, transport, port })
    }

    /// Every endpoint at an address.
    pub fn all_at(address: IpAddr) -> RangeInclusive<Self> {
        let at = |transport, port| Self { address, transport, port: Port::fixed(port) };
        let (first, last) = (Transport::Udp.min(Transport::Tcp), Transport::Udp.max(Transport::Tcp));
        at(first, 1)..=at(last, u16::MAX)
    }

    /// The server's address, in canonical form.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// UDP or TCP.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// The server's port.
    pub fn port(&self) -> Port {
        self.port
    }

    /// IPv4 or IPv6.
    pub fn family(&self) -> Family {
        Family::of(self.address)
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = || EndpointError::Form(text.chars().take(80).collect());
        let (socket, transport) = text.split_once('/').ok_or_else(form)?;
        let socket: SocketAddr = socket.parse().map_err(|_| form())?;
        let port = Port::try_from(i64::from(socket.port()))?;
        Ok(Self::new(socket.ip(), transport.parse()?, port)?)
    }
}

impl TryFrom<String> for Endpoint {
    type Error = EndpointError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.to_string()
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let socket = SocketAddr::new(self.address, self.port.get());
        write!(f, "{socket}/{}", self.transport)
    }
}

/// A host name by RFC 1123, also with underscores: labels of letters, digits, hyphens and underscores, at most 253
/// bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostName(String);

impl TryFrom<String> for HostName {
    type Error = EndpointError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let name = text.strip_suffix('.').unwrap_or(&text);
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        // A last label of digits alone is a mistyped address, and not a name.
        let numeric = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
        if name.len() > 253 || numeric || !name.split('.').all(label) {
            return Err(EndpointError::Host(text.chars().take(80).collect()));
        }
        Ok(Self(name.to_ascii_lowercase()))
    }
}

impl HostName {
    /// The name as text, in lower case, without a dot at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is a name of the internet: it has a dot, and its last label can be a top-level domain.
    /// A name of this machine or of its own network is not public.
    pub fn is_public(&self) -> bool {
        // RFC 6761, RFC 6762 and RFC 7686; `arpa` holds the reverse zones.
        const SPECIAL: [&str; 7] =
            ["localhost", "localdomain", "local", "arpa", "invalid", "onion", "internal"];
        let Some((_, last)) = self.0.rsplit_once('.') else { return false };
        let known = last.bytes().all(|b| b.is_ascii_alphabetic()) || last.starts_with("xn--");
        known && !SPECIAL.contains(&last)
    }
}

impl From<HostName> for String {
    fn from(name: HostName) -> Self {
        name.0
    }
}

impl std::fmt::Display for HostName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A server as a person writes it in the configuration: an address or a name, with or without port
/// and transport; what is left out is taken from `bootstrap.ports`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Server {
    /// The address or the name.
    pub host: Host,
    /// The port, if it was written.
    pub port: Option<Port>,
    /// The transport, if it was written.
    pub transport: Option<Transport>,
}

/// An address, or a name that has to be looked up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// A literal address.
    Address(IpAddr),
    /// A name.
    Name(HostName),
}

impl FromStr for Server {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (place, transport) = match text.rsplit_once('/') {
            Some((place, transport)) => (place, Some(transport.parse()?)),
            None => (text, None),
        };
        let (host, port) = split_port(place);
        let port = port.map(str::parse).transpose()?;
        let host = match host.parse() {
            Ok(address) => Host::Address(server_address(address)?),
            Err(_) => Host::Name(HostName::try_from(host.to_owned())?),
        };
        Ok(Self { host, port, transport })
    }
}

/// Separates the port from `[v6]:port`, `v4:port` or `name:port`; a bare IPv6 address has none.
fn split_port(place: &str) -> (&str, Option<&str>) {
    if let Some(rest) = place.strip_prefix('[') {
        return match rest.split_once(']') {
            Some((host, "")) => (host, None),
            Some((host, tail)) => match tail.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None => (place, None),
            },
            None => (place, None),
        };
    }
    match place.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, Some(port)),
        _ => (place, None),
    }
}

impl TryFrom<String> for Server {
    type Error = EndpointError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl<'de> Deserialize<'de> for Server {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Server {
    /// The endpoints of this server, if its address is known: one for each transport and port in `ports` that
    /// agrees with what is written.
    pub fn endpoints(&self, ports: &[(Transport, Port)]) -> Vec<Endpoint> {
        let Host::Address(address) = self.host else { return Vec::new() };
        self.endpoints_at(address, ports)
    }

    /// The same for a server that has only a name, at one of its addresses.
    pub fn endpoints_at(&self, address: IpAddr, ports: &[(Transport, Port)]) -> Vec<Endpoint> {
        let mut found: Vec<Endpoint> = match (self.transport, self.port) {
            (Some(transport), Some(port)) => vec![(transport, port)],
            (None, Some(port)) => ports.iter().map(|&(transport, _)| (transport, port)).collect(),
            (Some(transport), None) => {
                ports.iter().filter(|(other, _)| *other == transport).copied().collect()
            }
            (None, None) => ports.to_vec(),
        }
        .into_iter()
        .filter_map(|(transport, port)| Endpoint::new(address, transport, port).ok())
        .collect();
        found.sort();
        found.dedup();
        found
    }
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.host, self.port) {
            (Host::Address(address), Some(port)) => SocketAddr::new(*address, port.get()).fmt(f)?,
            (Host::Address(address), None) => address.fmt(f)?,
            (Host::Name(name), Some(port)) => write!(f, "{name}:{port}")?,
            (Host::Name(name), None) => name.fmt(f)?,
        }
        self.transport.map_or(Ok(()), |transport| write!(f, "/{transport}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_addresses_of_servers_are_refused() {
        for bad in [
            "0.0.0.0:1194/udp",
            "127.0.0.1:1194/udp",
            "224.0.0.1:1194/udp",
            "255.255.255.255:1194/udp",
            "[::1]:1194/udp",
            "[ff02::1]:1194/udp",
            "198.51.100.7:0/udp",
            "198.51.100.7:1194",
            "198.51.100.7:1194/sctp",
            "198.51.100.7:1194/udp;",
            "$(id):1194/udp",
        ] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_endpoint_reads_back_as_it_is_written() {
        for text in ["198.51.100.7:1194/udp", "[2001:db8::1]:443/tcp", "10.0.0.9:1194/udp"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        let mapped: Endpoint = "[::ffff:198.51.100.7]:1194/udp".parse().unwrap();
        assert_eq!(mapped.to_string(), "198.51.100.7:1194/udp");
    }

    #[test]
    fn every_endpoint_at_an_address_is_in_its_range_and_no_other_is() {
        let range = Endpoint::all_at("198.51.100.7".parse().unwrap());
        for (text, is_in) in [
            ("198.51.100.7:1/udp", true),
            ("198.51.100.7:65535/tcp", true),
            ("198.51.100.7:1/tcp", true),
            ("198.51.100.7:65535/udp", true),
            ("198.51.100.6:65535/tcp", false),
            ("198.51.100.8:1/udp", false),
            ("[2001:db8::7]:1194/udp", false),
        ] {
            assert_eq!(range.contains(&text.parse().unwrap()), is_in, "{text}");
        }
    }

    #[test]
    fn names_of_this_machine_or_its_network_are_not_public() {
        let is_public = |name: &str| HostName::try_from(name.to_owned()).unwrap().is_public();
        for name in [
            "localhost",
            "vpn",
            "LOCALHOST.",
            "x.localhost",
            "printer.local",
            "pc.localdomain",
            "8.8.8.in-addr.arpa",
            "metadata.google.internal",
            "0x7f.0x1",
            "127.0x1",
        ] {
            assert!(!is_public(name), "{name}");
        }
        for name in ["vpn.example.net", "vpn.fritz.box", "VPN.EXAMPLE.XN--P1AI"] {
            assert!(is_public(name), "{name}");
        }
    }

    #[test]
    fn a_server_without_port_or_protocol_takes_them_from_bootstrap_ports() {
        let ports = [(Transport::Udp, Port::fixed(1194)), (Transport::Tcp, Port::fixed(443))];
        let of = |text: &str| {
            text.parse::<Server>()
                .unwrap()
                .endpoints(&ports)
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(of("198.51.100.1"), ["198.51.100.1:1194/udp", "198.51.100.1:443/tcp"]);
        assert_eq!(of("198.51.100.1/tcp"), ["198.51.100.1:443/tcp"]);
        assert_eq!(of("[2001:db8::1]:53/udp"), ["[2001:db8::1]:53/udp"]);
        assert_eq!(of("2001:db8::1"), ["[2001:db8::1]:1194/udp", "[2001:db8::1]:443/tcp"]);
        assert_eq!(of("vpn.example.net:1194"), [""; 0]);
        for bad in ["", "vpn..net", "-x.net", "10.0.0", "300.1.1.1", "[::1", "a b", "vpn.example.net:99999"] {
            assert!(bad.parse::<Server>().is_err(), "{bad:?}");
        }
    }
}
