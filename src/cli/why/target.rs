//! The destination of the packet of `why`: `ADDRESS`, `ADDRESS:PORT` or `ADDRESS:PORT/PROTOCOL`, or a name.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use crate::net::{Family, HostName, Port, Transport};

/// The port if none is given: that of web pages.
const DEFAULT_PORT: u16 = 443;

/// How long the lookup of a name may take.
const LOOKUP: Duration = Duration::from_secs(10);

/// A destination on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    host: Host,
    pub(super) port: u16,
    pub(super) transport: Transport,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Address(IpAddr),
    Name(HostName),
}

impl FromStr for Target {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (place, transport) = match text.rsplit_once('/') {
            Some((place, transport)) => (place, transport.parse()?),
            None => (text, Transport::Tcp),
        };
        let (host, port) = match (place.parse::<SocketAddr>(), place.parse::<IpAddr>()) {
            (Ok(both), _) => (Host::Address(both.ip().to_canonical()), Some(both.port())),
            (_, Ok(address)) => (Host::Address(address.to_canonical()), None),
            (Err(_), Err(_)) => {
                let (name, port) = match place.rsplit_once(':') {
                    Some((name, port)) => (name, Some(port.parse::<Port>()?.get())),
                    None => (place, None),
                };
                (Host::Name(HostName::try_from(name.to_owned())?), port)
            }
        };
        ensure!(port != Some(0), "0 is no port");
        if let Host::Address(IpAddr::V6(address)) = host {
            let text = "a link-local address is another machine on each link; ask for its other address";
            ensure!(!address.is_unicast_link_local(), text);
        }
        Ok(Self { host, port: port.unwrap_or(DEFAULT_PORT), transport })
    }
}

impl Target {
    /// The destination's address of one of these families: the address on the command line, or the first one of the
    /// name.
    pub(super) async fn address(&self, families: &[Family]) -> anyhow::Result<IpAddr> {
        let fits = |address: &IpAddr| families.contains(&Family::of(*address));
        match &self.host {
            Host::Address(address) if fits(address) => Ok(*address),
            Host::Address(address) => bail!("the sender has no address of the family of {address}"),
            Host::Name(name) => {
                let lookup = tokio::net::lookup_host((name.as_str(), self.port));
                let found = tokio::time::timeout(LOOKUP, lookup).await;
                let found = found.map_err(anyhow::Error::from).and_then(|found| Ok(found?));
                let found =
                    found.with_context(|| format!("{name} cannot be looked up; ask for an address"))?;
                let mut addresses = found.map(|found| found.ip().to_canonical());
                addresses
                    .find(fits)
                    .with_context(|| format!("{name} has no address that the sender can reach"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_an_address_or_a_name_with_a_port_and_a_protocol() {
        let read = |text: &str| {
            let target: Target = text.parse().unwrap();
            let host = match target.host {
                Host::Address(address) => address.to_string(),
                Host::Name(name) => name.to_string(),
            };
            format!("{host} {} {}", target.port, target.transport)
        };
        assert_eq!(read("203.0.113.9"), "203.0.113.9 443 tcp");
        assert_eq!(read("203.0.113.9:53/udp"), "203.0.113.9 53 udp");
        assert_eq!(read("[2001:db8::9]:80"), "2001:db8::9 80 tcp");
        assert_eq!(read("2001:db8::9"), "2001:db8::9 443 tcp");
        assert_eq!(read("example.org:1194/udp"), "example.org 1194 udp");
        for bad in [
            "",
            "203.0.113.9:0",
            "203.0.113.9:99999",
            "203.0.113.9/icmp",
            "a b",
            "x:y",
            "-j",
            "fe80::1",
            "[fe80::1%2]:80",
        ] {
            assert!(bad.parse::<Target>().is_err(), "{bad:?}");
        }
    }
}
