//! Ports that the VPN forwards to containers: what the configuration names, as far as Docker publishes it.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::config::{Config, ForwardedPort};
use crate::net::{Port, Transport};

/// A port that a container publishes at an address of this machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublishedPort {
    /// The container's name, which any user of Docker can choose.
    pub container: String,
    /// The transport.
    pub transport: Transport,
    /// The address of this machine; `0.0.0.0` and `::` are all of a family.
    pub host: IpAddr,
    /// The port of this machine.
    pub port: Port,
    /// The container's own port.
    pub inner: Port,
    /// The container's own addresses.
    pub addresses: BTreeSet<IpAddr>,
}

impl PublishedPort {
    /// Whether the configuration forwards this port to this container.
    fn is(&self, wanted: &ForwardedPort) -> bool {
        self.container == wanted.container.as_str()
            && (self.transport, self.port, self.inner) == (wanted.transport, wanted.port, wanted.inner)
    }
}

/// A port that is forwarded to a container now.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Forwarded {
    /// Its transport.
    pub transport: Transport,
    /// The port at the tunnel's address.
    pub port: Port,
    /// Who gets the packets.
    pub to: ForwardedTo,
}

/// Who gets the packets of a forwarded port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ForwardedTo {
    /// A container, at its own address and port: Docker rewrites the destination.
    Container(IpAddr, Port),
    /// docker-proxy, which serves IPv6 on this machine for a container without it.
    Proxy,
}

/// A port of `docker.forwarded`, for the status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardedReport {
    /// What the configuration names.
    pub port: ForwardedPort,
    /// Why it is not forwarded.
    pub fault: Option<ForwardedFault>,
}

/// Why a port is not forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardedFault {
    /// No running container of that name publishes a port.
    NoContainer,
    /// The container publishes other ports.
    NotPublished,
}

impl fmt::Display for ForwardedFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoContainer => "no running container of this name publishes a port",
            Self::NotPublished => "the container does not publish this port so",
        })
    }
}

/// What Docker's rules and docker-proxy pass on of the ports in the configuration.
pub(super) fn forwarded(published: &BTreeSet<PublishedPort>, config: &Config) -> Vec<Forwarded> {
    let mut all = BTreeSet::new();
    for wanted in &config.docker.forwarded {
        for own in published.iter().filter(|own| own.is(wanted)) {
            let to = |to| Forwarded { transport: own.transport, port: own.port, to };
            let of_family = own.addresses.iter().filter(|address| address.is_ipv4() == own.host.is_ipv4());
            all.extend(of_family.map(|address| to(ForwardedTo::Container(*address, own.inner))));
            if own.host.is_ipv6() {
                all.insert(to(ForwardedTo::Proxy));
            }
        }
    }
    all.into_iter().collect()
}

/// What becomes of each port in the configuration.
pub(super) fn report(published: &BTreeSet<PublishedPort>, config: &Config) -> Vec<ForwardedReport> {
    let report = |wanted: &ForwardedPort| {
        let mut of_container = published.iter().filter(|own| own.container == wanted.container.as_str());
        let fault = if published.iter().any(|own| own.is(wanted)) {
            None
        } else if of_container.next().is_some() {
            Some(ForwardedFault::NotPublished)
        } else {
            Some(ForwardedFault::NoContainer)
        };
        ForwardedReport { port: wanted.clone(), fault }
    };
    config.docker.forwarded.iter().map(report).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(container: &str, host: &str, ports: [u16; 2], addresses: &[&str]) -> PublishedPort {
        let [port, inner] = ports.map(Port::fixed);
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        let (container, host) = (container.to_owned(), host.parse().unwrap());
        PublishedPort { container, transport: Transport::Udp, host, port, inner, addresses }
    }

    #[test]
    fn only_the_named_container_that_publishes_the_port_so_gets_it() {
        let entry = "{ protocol = \"udp\", port = 6000, to = \"bt:51413\" }";
        let config = Config::parse(&format!("docker.forwarded = [{entry}]"), "f").unwrap();
        let both = ["172.17.0.2", "fd00:d0c::2"];
        let seen = |ports: &[PublishedPort]| {
            let ports: BTreeSet<PublishedPort> = ports.iter().cloned().collect();
            let to = |own: Forwarded| match own.to {
                ForwardedTo::Container(address, port) => format!("{address} {}", port.get()),
                ForwardedTo::Proxy => "proxy".to_owned(),
            };
            let all: Vec<String> = forwarded(&ports, &config).into_iter().map(to).collect();
            (all, report(&ports, &config)[0].fault)
        };
        let own = |host| published("bt", host, [6000, 51413], &both);
        assert_eq!(seen(&[own("0.0.0.0")]), (vec!["172.17.0.2 51413".to_owned()], None));
        let all = ["172.17.0.2 51413", "fd00:d0c::2 51413", "proxy"].map(ToOwned::to_owned).to_vec();
        assert_eq!(seen(&[own("0.0.0.0"), own("::")]), (all, None));
        for (other, fault) in [
            (published("bt2", "0.0.0.0", [6000, 51413], &both), ForwardedFault::NoContainer),
            (published("bt", "0.0.0.0", [6001, 51413], &both), ForwardedFault::NotPublished),
            (published("bt", "0.0.0.0", [6000, 51414], &both), ForwardedFault::NotPublished),
            (PublishedPort { transport: Transport::Tcp, ..own("::") }, ForwardedFault::NotPublished),
        ] {
            assert_eq!(seen(&[other]), (Vec::new(), Some(fault)));
        }
        assert_eq!(seen(&[]), (Vec::new(), Some(ForwardedFault::NoContainer)));
    }
}
