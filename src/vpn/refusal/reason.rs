//! Finds why one packet is refused, and which key of the configuration would let it pass.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::Refusal;
use crate::config::{Config, LanService, Networks, PublishedPorts, Scope};
use crate::net::{Endpoint, Port, Transport, is_private};
use crate::vpn::Situation;

/// Why a packet is refused, and the key of the configuration that would let it pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RefusalReason {
    /// The reason in fixed words.
    pub refusal: Refusal,
    /// The key; `None` where none is known to let this packet pass.
    pub key: Option<&'static str>,
}

impl From<Refusal> for RefusalReason {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, key: refusal.key() }
    }
}

impl RefusalReason {
    /// A reason for a packet that no key lets pass.
    pub const fn without_key(refusal: Refusal) -> Self {
        Self { refusal, key: None }
    }
}

/// The facts of the configuration and the situation that a reason depends on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RefusalFacts {
    /// Whether the LAN is open.
    pub lan: bool,
    /// Whether `lan.multicast` is set.
    pub discovery: bool,
    /// What `lan.services` names.
    pub services: Vec<LanService>,
    /// Whether published ports of containers are open to the LAN.
    pub published: bool,
    /// Whether a server that the configuration names is let through.
    pub takes_servers: bool,
    /// The networks that are the LAN.
    pub networks: Vec<IpNet>,
    /// The networks of tunnels, which are no LAN.
    pub tunnel_networks: Vec<IpNet>,
    /// The addresses of this machine on tunnels, each with its tunnel.
    pub tunnel_addresses: BTreeSet<(IpAddr, String)>,
    /// The user ids of VPN clients.
    pub owners: BTreeSet<u32>,
    /// The known VPN servers, each with the user ids that may reach it besides `owners`.
    pub servers: BTreeMap<Endpoint, BTreeSet<u32>>,
    /// The servers to which only the kernel itself may send.
    pub kernel_servers: BTreeSet<Endpoint>,
}

/// A packet that a program sends outside the tunnels, to one machine.
#[derive(Debug, Clone, Copy)]
pub struct FromProgram {
    /// Where to.
    pub to: IpAddr,
    /// IANA's number of its protocol.
    pub protocol: u8,
    /// The port that it goes to, if its protocol has ports.
    pub port: Option<u16>,
    /// The user id of its socket.
    pub uid: Option<u32>,
}

impl FromProgram {
    fn endpoint(&self) -> Option<Endpoint> {
        let mut transports = [Transport::Udp, Transport::Tcp].into_iter();
        let transport = transports.find(|transport| transport.number() == self.protocol)?;
        let port = Port::try_from(i64::from(self.port?)).ok()?;
        Endpoint::new(self.to, transport, port).ok()
    }
}

impl RefusalFacts {
    /// The facts of a situation; `owners` are the user ids of VPN clients.
    pub fn new(config: &Config, situation: &Situation, owners: BTreeSet<u32>) -> Self {
        let networks = match &config.lan.networks {
            Networks::Connected => {
                let prefixes = situation.uplinks.iter().flat_map(|uplink| &uplink.prefixes);
                prefixes.map(|prefix| prefix.net()).collect()
            }
            Networks::Listed(listed) => listed.iter().map(|prefix| prefix.net()).collect(),
        };
        let tunnel_addresses = situation.tunnels.iter().flat_map(|tunnel| {
            tunnel.addresses.iter().map(|address| (*address, tunnel.interface.to_string()))
        });
        Self {
            lan: config.lan.allow,
            discovery: config.lan.multicast,
            services: config.lan.services.clone(),
            published: config.docker.published_ports != PublishedPorts::None,
            takes_servers: config.bootstrap.scope != Scope::Nothing,
            networks,
            tunnel_networks: situation.tunnel_networks.clone(),
            tunnel_addresses: tunnel_addresses.collect(),
            owners,
            servers: situation.bootstrap.endpoints.clone(),
            kernel_servers: situation.bootstrap.kernel.iter().map(|(server, _)| *server).collect(),
        }
    }

    fn is_lan(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address)) && !self.is_of_tunnel(address)
    }

    fn is_of_tunnel(&self, address: IpAddr) -> bool {
        self.tunnel_networks.iter().any(|network| network.contains(&address))
    }

    /// Why a packet of a program is refused outside the tunnels. `of_state` is the reason by the state alone.
    pub fn of_program(&self, of_state: Refusal, packet: &FromProgram) -> RefusalReason {
        let (to, uid, endpoint) = (packet.to, packet.uid, packet.endpoint());
        let is_owner = uid.is_some_and(|uid| self.owners.contains(&uid));
        let server = endpoint.and_then(|endpoint| self.servers.get(&endpoint));
        match (uid, server) {
            (Some(uid), Some(others)) if !is_owner && !others.contains(&uid) => {
                return Refusal::NotVpnClient.into();
            }
            (Some(_), None) if endpoint.is_some_and(|endpoint| self.kernel_servers.contains(&endpoint)) => {
                return RefusalReason::without_key(Refusal::NotVpnClient);
            }
            _ => {}
        }
        let is_private = is_private(&to.into()) && !self.is_of_tunnel(to);
        if is_private && !self.lan {
            let key = Refusal::LanOff.key().filter(|_| self.is_lan(to));
            return RefusalReason { refusal: Refusal::LanOff, key };
        }
        if is_private && !self.is_lan(to) {
            return Refusal::NotOnLink.into();
        }
        // Programs of root's are not all VPN clients.
        let is_client = is_owner && uid != Some(0) && endpoint.is_some() && server.is_none() && !is_private;
        // Without a tunnel every known server is let through.
        let takes_servers = self.takes_servers && matches!(of_state, Refusal::NoVpn | Refusal::VpnLost);
        match is_client && takes_servers {
            true => Refusal::UnknownServer.into(),
            // `tunnel.allow` lets packets into a tunnel, and this one is outside.
            false => RefusalReason::without_key(of_state),
        }
    }

    /// Why a forwarded packet is refused outside the tunnels, to one machine.
    pub fn of_forwarded(&self, of_state: Refusal, to: IpAddr) -> RefusalReason {
        if is_private(&to.into()) && !self.is_of_tunnel(to) {
            return Refusal::ContainerPolicy.into();
        }
        let is_protected = of_state == Refusal::NotThroughTunnel;
        RefusalReason::without_key(if is_protected { Refusal::ContainerNotThroughTunnel } else { of_state })
    }

    /// Why a packet to a group is refused that a program sends.
    pub fn of_group(&self, to: IpAddr, protocol: u8, port: Option<u16>) -> RefusalReason {
        let is_discovery = is_discovery(to, protocol, port);
        let service = service(to, protocol, port);
        let passes = (is_discovery && self.discovery)
            || service.is_some_and(|service| self.services.contains(&service));
        let key = match service {
            // It passes then, so something else is wrong with this packet.
            _ if self.lan && passes => None,
            _ if passes => Some("lan.allow"),
            _ if !self.lan => None,
            _ if is_discovery => Some("lan.multicast"),
            Some(_) => Some("lan.services"),
            None => None,
        };
        RefusalReason { refusal: Refusal::Multicast, key }
    }

    /// Why a packet is refused that comes in on this link. What comes to the address of a tunnel on another link, and
    /// what comes out of a tunnel with an address of the LAN, is let in by no key.
    pub fn of_inbound(&self, input: Option<&str>, [source, to]: [IpAddr; 2]) -> RefusalReason {
        let is_elsewhere =
            self.tunnel_addresses.iter().any(|(own, link)| *own == to && Some(&**link) != input);
        let is_from_tunnel = self.tunnel_addresses.iter().any(|(_, link)| Some(&**link) == input);
        let key = Refusal::Inbound.key().filter(|_| !(is_elsewhere || is_from_tunnel && self.is_lan(source)));
        RefusalReason { refusal: Refusal::Inbound, key }
    }

    /// Why a packet is refused that belongs to no published port.
    pub fn of_unpublished(&self) -> RefusalReason {
        let key = Refusal::PublishedPorts.key().filter(|_| !self.published);
        RefusalReason { refusal: Refusal::PublishedPorts, key }
    }
}

/// Whether a packet to a group is discovery that `lan.multicast` lets pass: mDNS, SSDP, and IGMP.
fn is_discovery(to: IpAddr, protocol: u8, port: Option<u16>) -> bool {
    const IGMP: u8 = 2;
    let is_udp = protocol == Transport::Udp.number();
    match (to, port) {
        (IpAddr::V4(_), None) => protocol == IGMP,
        (IpAddr::V4(to), Some(5353)) => is_udp && to == Ipv4Addr::new(224, 0, 0, 251),
        (IpAddr::V6(to), Some(5353)) => is_udp && to == link_group(0xfb),
        (IpAddr::V4(to), Some(1900)) => is_udp && to == UPNP,
        (IpAddr::V6(to), Some(1900)) => is_udp && [link_group(0xc), SITE_UPNP].contains(&to),
        _ => false,
    }
}

/// The service of `lan.services` that lets a packet to a group pass.
fn service(to: IpAddr, protocol: u8, port: Option<u16>) -> Option<LanService> {
    if protocol != Transport::Udp.number() {
        return None;
    }
    match (to, port?) {
        (IpAddr::V4(to), 3702) if to == UPNP => Some(LanService::WsDiscovery),
        (IpAddr::V6(to), 3702) if to == link_group(0xc) => Some(LanService::WsDiscovery),
        (IpAddr::V4(to), 53317) if to == Ipv4Addr::new(224, 0, 0, 167) => Some(LanService::LocalSend),
        (IpAddr::V4(to), 1716) if to.is_broadcast() => Some(LanService::KdeConnect),
        (IpAddr::V4(to), 7 | 9) if to.is_broadcast() => Some(LanService::WakeOnLan),
        _ => None,
    }
}

/// The groups of SSDP and WS-Discovery.
const UPNP: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);
const SITE_UPNP: Ipv6Addr = Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, 0xc);

const fn link_group(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vpn::{KernelPacket, Uplink};

    #[test]
    fn the_facts_are_those_of_the_configuration_and_the_situation() {
        let uplink = Uplink {
            interface: "eth0".parse().unwrap(),
            addresses: Vec::new(),
            prefixes: vec!["192.168.1.0/24".parse().unwrap()],
            on_link: Vec::new(),
        };
        let mut situation = Situation { uplinks: vec![uplink], ..Situation::default() };
        situation.bootstrap.endpoints.insert("192.0.2.4:1194/udp".parse().unwrap(), [900].into());
        situation.bootstrap.kernel.insert(("192.0.2.5:51820/udp".parse().unwrap(), KernelPacket::Any));
        let facts = |text: &str| {
            RefusalFacts::new(&Config::parse(text, "test.toml").unwrap(), &situation, [0].into())
        };
        let wanted = RefusalFacts {
            lan: true,
            discovery: true,
            services: Vec::new(),
            published: true,
            takes_servers: true,
            tunnel_networks: Vec::new(),
            tunnel_addresses: BTreeSet::new(),
            networks: vec!["192.168.1.0/24".parse().unwrap()],
            owners: [0].into(),
            servers: [("192.0.2.4:1194/udp".parse().unwrap(), [900].into())].into(),
            kernel_servers: ["192.0.2.5:51820/udp".parse().unwrap()].into(),
        };
        assert_eq!(facts(""), wanted);
        let listed = RefusalFacts { networks: vec!["10.0.0.0/8".parse().unwrap()], ..wanted.clone() };
        assert_eq!(facts("[lan]\nnetworks = [\"10.0.0.0/8\"]\n"), listed);
        assert_eq!(facts("[lan]\nallow = false\n"), RefusalFacts { lan: false, ..wanted.clone() });
        assert_eq!(facts("[lan]\nmulticast = false\n"), RefusalFacts { discovery: false, ..wanted });
    }
}
