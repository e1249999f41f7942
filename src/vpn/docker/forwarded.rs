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
    /// The names of the container's networks.
    pub networks: BTreeSet<String>,
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
    /// TCP or UDP.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ForwardedFault {
    /// No running container of that name publishes a port.
    NoContainer,
    /// The container publishes other ports.
    NotPublished,
    /// It publishes the port at an address that is no tunnel's.
    OtherAddress,
    /// One of its networks has the LAN, or nothing, instead of the tunnel.
    OtherNetwork,
    /// Its networks have no address of the tunnel's family.
    OtherFamily,
    /// No VPN protects, so nothing comes out of a tunnel.
    NoTunnel,
}

impl fmt::Display for ForwardedFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoContainer => "no running container of this name publishes a port",
            Self::NotPublished => "the container does not publish this port with that port of its own",
            Self::OtherAddress => {
                "the container publishes this port only at an address that is not the tunnel's"
            }
            Self::OtherNetwork => "the container is on a network that docker.networks keeps from the tunnel",
            Self::OtherFamily => {
                "the tunnel and the container have no address of the same family for this port"
            }
            Self::NoTunnel => "no VPN is connected",
        })
    }
}

/// What decides whether a published port is forwarded, besides the port itself.
pub(super) struct Surroundings<'a> {
    pub(super) config: &'a Config,
    /// The own addresses of tunnels that may carry packets.
    pub(super) tunnels: &'a BTreeSet<IpAddr>,
    /// Whether all networks of these names have the tunnel.
    pub(super) has_the_tunnel: &'a dyn Fn(&BTreeSet<String>) -> bool,
}

impl Surroundings<'_> {
    /// Who gets the packets of a published port.
    fn targets(&self, own: &PublishedPort) -> Result<Vec<ForwardedTo>, ForwardedFault> {
        if !own.host.is_unspecified() && !self.tunnels.contains(&own.host) {
            return Err(ForwardedFault::OtherAddress);
        }
        // One network without the tunnel is enough: docker-proxy may use any of them.
        if !(self.has_the_tunnel)(&own.networks) {
            return Err(ForwardedFault::OtherNetwork);
        }
        let is_of_family = |address: &&IpAddr| address.is_ipv4() == own.host.is_ipv4();
        if !self.tunnels.iter().any(|tunnel| is_of_family(&tunnel)) {
            return Err(ForwardedFault::OtherFamily);
        }
        let of_family = own.addresses.iter().filter(is_of_family);
        let containers = of_family.map(|address| ForwardedTo::Container(*address, own.inner));
        let targets: Vec<_> = containers.chain(own.host.is_ipv6().then_some(ForwardedTo::Proxy)).collect();
        if targets.is_empty() { Err(ForwardedFault::OtherFamily) } else { Ok(targets) }
    }

    /// What Docker's rules and docker-proxy pass on of the ports in the configuration.
    pub(super) fn forwarded(&self, published: &BTreeSet<PublishedPort>) -> Vec<Forwarded> {
        let mut all = BTreeSet::new();
        for wanted in &self.config.docker.forwarded {
            for own in published.iter().filter(|own| own.is(wanted)) {
                let to = |to| Forwarded { transport: own.transport, port: own.port, to };
                all.extend(self.targets(own).unwrap_or_default().into_iter().map(to));
            }
        }
        all.into_iter().collect()
    }

    /// The state of each port in the configuration.
    pub(super) fn report(&self, published: &BTreeSet<PublishedPort>) -> Vec<ForwardedReport> {
        let fault = |wanted: &ForwardedPort| {
            let mut of_container = published.iter().filter(|own| own.container == wanted.container.as_str());
            let faults = published.iter().filter(|own| own.is(wanted)).map(|own| self.targets(own).err());
            match faults.min() {
                Some(None) => None,
                Some(Some(ForwardedFault::OtherFamily)) if self.tunnels.is_empty() => {
                    Some(ForwardedFault::NoTunnel)
                }
                Some(Some(fault)) => Some(fault),
                None if of_container.next().is_some() => Some(ForwardedFault::NotPublished),
                None => Some(ForwardedFault::NoContainer),
            }
        };
        let report = |port: &ForwardedPort| ForwardedReport { port: port.clone(), fault: fault(port) };
        self.config.docker.forwarded.iter().map(report).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(container: &str, host: &str, ports: [u16; 2], addresses: &[&str]) -> PublishedPort {
        let [port, inner] = ports.map(Port::fixed);
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        let (container, host, networks) =
            (container.to_owned(), host.parse().unwrap(), ["bridge".to_owned()].into());
        PublishedPort { container, transport: Transport::Udp, host, port, inner, addresses, networks }
    }

    /// What is forwarded of these ports, and the fault, with tunnels of these addresses.
    fn seen(ports: &[PublishedPort], tunnels: &[&str]) -> (Vec<String>, Option<ForwardedFault>) {
        let entry = "{ protocol = \"udp\", port = 6000, to = \"bt:51413\" }";
        let config = Config::parse(&format!("docker.forwarded = [{entry}]"), "f").unwrap();
        let ports: BTreeSet<PublishedPort> = ports.iter().cloned().collect();
        let tunnels = tunnels.iter().map(|own| own.parse().unwrap()).collect();
        let has_the_tunnel = |networks: &BTreeSet<String>| !networks.contains("db");
        let around = Surroundings { config: &config, tunnels: &tunnels, has_the_tunnel: &has_the_tunnel };
        let to = |own: Forwarded| match own.to {
            ForwardedTo::Container(address, port) => format!("{address} {}", port.get()),
            ForwardedTo::Proxy => "proxy".to_owned(),
        };
        (around.forwarded(&ports).into_iter().map(to).collect(), around.report(&ports)[0].fault)
    }

    const TUNNEL: [&str; 2] = ["10.8.0.2", "fd08::2"];

    #[test]
    fn only_the_named_container_that_publishes_the_port_so_gets_it() {
        let both = ["172.17.0.2", "fd00:d0c::2"];
        let own = |host| published("bt", host, [6000, 51413], &both);
        for host in ["0.0.0.0", "10.8.0.2"] {
            assert_eq!(seen(&[own(host)], &TUNNEL), (vec!["172.17.0.2 51413".to_owned()], None));
        }
        let all = ["172.17.0.2 51413", "fd00:d0c::2 51413", "proxy"].map(ToOwned::to_owned).to_vec();
        assert_eq!(seen(&[own("0.0.0.0"), own("::")], &TUNNEL), (all, None));
        for (other, fault) in [
            (published("bt2", "0.0.0.0", [6000, 51413], &both), ForwardedFault::NoContainer),
            (published("bt", "0.0.0.0", [6001, 51413], &both), ForwardedFault::NotPublished),
            (published("bt", "0.0.0.0", [6000, 51414], &both), ForwardedFault::NotPublished),
            (PublishedPort { transport: Transport::Tcp, ..own("::") }, ForwardedFault::NotPublished),
        ] {
            assert_eq!(seen(&[other], &TUNNEL), (Vec::new(), Some(fault)));
        }
        assert_eq!(seen(&[], &TUNNEL), (Vec::new(), Some(ForwardedFault::NoContainer)));
    }

    #[test]
    fn a_port_that_the_tunnel_does_not_reach_has_a_fault() {
        let own = |host, addresses| published("bt", host, [6000, 51413], addresses);
        let v4 = own("0.0.0.0", &["172.17.0.2"]);
        for host in ["192.168.1.5", "fd00:1::5"] {
            let fault = Some(ForwardedFault::OtherAddress);
            assert_eq!(seen(&[own(host, &["172.17.0.2"])], &TUNNEL), (Vec::new(), fault), "{host}");
        }
        // On a network without the tunnel, alone or besides another one; docker-proxy too.
        for host in ["0.0.0.0", "::"] {
            let networks: BTreeSet<String> = ["bridge", "db"].map(ToOwned::to_owned).into();
            let on_db = PublishedPort { networks, ..own(host, &["172.17.0.2"]) };
            let fault = Some(ForwardedFault::OtherNetwork);
            assert_eq!(seen(&[on_db], &TUNNEL), (Vec::new(), fault), "{host}");
        }
        assert_eq!(
            seen(std::slice::from_ref(&v4), &["fd08::2"]),
            (Vec::new(), Some(ForwardedFault::OtherFamily))
        );
        assert_eq!(seen(&[v4], &[]), (Vec::new(), Some(ForwardedFault::NoTunnel)));
    }
}
