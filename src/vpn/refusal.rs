//! Why a packet is refused, in words that do not change, each with the key of the configuration that governs it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::{PauseScope, Situation, State};
use crate::config::{Config, Networks};
use crate::net::{Endpoint, Port, Transport, is_private};

/// Ports of discovery in the LAN: mDNS and SSDP.
const DISCOVERY: [u16; 2] = [5353, 1900];

/// Ports to which the services of `lan.services` send in the LAN.
const SERVICES: [u16; 5] = [3702, 53317, 1716, 7, 9];

/// Why tunwarden refuses a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// There is no VPN.
    NoVpn,
    /// The VPN was lost.
    VpnLost,
    /// It would go through a tunnel, and `tunnel.allow` does not name it.
    NotThroughTunnel,
    /// A container sends it, it would go through a tunnel, and `docker.allow` does not name it.
    ContainerNotThroughTunnel,
    /// It is a question for a name outside the tunnel.
    DnsOutsideTunnel,
    /// It goes to a private address that is neither on the link of an uplink nor in `lan.networks`.
    NotOnLink,
    /// It goes to the LAN, which is not allowed.
    LanOff,
    /// It goes to a group that nothing allows.
    Multicast,
    /// It goes to a VPN server, and its sender is no VPN client.
    NotVpnClient,
    /// A VPN client sends it, and its destination is no known server.
    UnknownServer,
    /// A container sends it to a place that its network may not reach.
    ContainerPolicy,
    /// It is forwarded and belongs to no published port.
    PublishedPorts,
    /// It comes in, and `input.allow` does not name it.
    Inbound,
    /// It is a frame that a raw sender gives to the network card.
    RawFrame,
    /// A pause for a captive portal does not open it.
    PausedPortal,
}

/// Why a packet is refused, and the key of the configuration that would let it pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RefusalReason {
    /// The reason in fixed words.
    pub refusal: Refusal,
    /// The key; `None` where none does.
    pub key: Option<&'static str>,
}

impl From<Refusal> for RefusalReason {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, key: refusal.key() }
    }
}

/// The facts of the configuration and the situation that a reason depends on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RefusalFacts {
    /// Whether the LAN is open.
    pub lan: bool,
    /// Whether discovery in the LAN is.
    pub discovery: bool,
    /// The networks that are the LAN.
    pub networks: Vec<IpNet>,
    /// The user ids of VPN clients.
    pub owners: BTreeSet<u32>,
    /// The known VPN servers, each with the user ids that may reach it besides `owners`.
    pub servers: BTreeMap<Endpoint, BTreeSet<u32>>,
    /// The servers to which only the kernel itself may send.
    pub kernel_servers: BTreeSet<Endpoint>,
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
        Self {
            lan: config.lan.allow,
            discovery: config.lan.multicast,
            networks,
            owners,
            servers: situation.bootstrap.endpoints.clone(),
            kernel_servers: situation.bootstrap.kernel.iter().map(|(server, _)| *server).collect(),
        }
    }

    /// Why a packet to a group is refused that a program sends. No key lets every group pass.
    pub fn of_group(&self, port: Option<u16>) -> RefusalReason {
        let is_one_of = |ports: &[u16]| port.is_some_and(|port| ports.contains(&port));
        let key = match () {
            () if !self.lan => Some("lan.allow"),
            () if is_one_of(&DISCOVERY) && !self.discovery => Some("lan.multicast"),
            () if is_one_of(&SERVICES) => Some("lan.services"),
            () => None,
        };
        RefusalReason { refusal: Refusal::Multicast, key }
    }
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

impl Refusal {
    /// Every one.
    pub const ALL: [Self; 15] = [
        Self::NoVpn,
        Self::VpnLost,
        Self::NotThroughTunnel,
        Self::ContainerNotThroughTunnel,
        Self::DnsOutsideTunnel,
        Self::NotOnLink,
        Self::LanOff,
        Self::Multicast,
        Self::NotVpnClient,
        Self::UnknownServer,
        Self::ContainerPolicy,
        Self::PublishedPorts,
        Self::Inbound,
        Self::RawFrame,
        Self::PausedPortal,
    ];

    /// Why a packet is refused that is neither for the LAN nor for a VPN server.
    pub const fn of_state(state: State, pause: PauseScope) -> Self {
        match (state, pause) {
            (State::Lost, _) => Self::VpnLost,
            (State::Protected, _) => Self::NotThroughTunnel,
            (State::Paused, PauseScope::Portal) => Self::PausedPortal,
            (State::Locked | State::Connecting | State::Paused, _) => Self::NoVpn,
        }
    }

    /// The reason for a packet of a program outside the tunnels. `self` is the reason by the state alone.
    pub fn of_program(self, packet: &FromProgram, facts: &RefusalFacts) -> RefusalReason {
        let (to, uid, endpoint) = (packet.to, packet.uid, packet.endpoint());
        let is_owner = uid.is_some_and(|uid| facts.owners.contains(&uid));
        let server = endpoint.and_then(|endpoint| facts.servers.get(&endpoint));
        match (uid, server) {
            (Some(uid), Some(others)) if !is_owner && !others.contains(&uid) => {
                return Self::NotVpnClient.into();
            }
            (Some(_), None) if endpoint.is_some_and(|endpoint| facts.kernel_servers.contains(&endpoint)) => {
                return RefusalReason { refusal: Self::NotVpnClient, key: None };
            }
            _ => {}
        }
        if is_private(&to.into()) && !facts.lan {
            return Self::LanOff.into();
        }
        if is_private(&to.into()) && !facts.networks.iter().any(|network| network.contains(&to)) {
            return Self::NotOnLink.into();
        }
        // Programs of root's are not all VPN clients.
        let is_client = is_owner && uid != Some(0) && server.is_none() && !is_private(&to.into());
        if is_client && self != Self::PausedPortal { Self::UnknownServer.into() } else { self.into() }
    }

    /// The reason for a packet that is forwarded. Another key governs what such packets send through a tunnel.
    pub const fn of_forwarded(self) -> Self {
        if matches!(self, Self::NotThroughTunnel) { Self::ContainerNotThroughTunnel } else { self }
    }

    /// The word for it, in the logs of the kernel and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoVpn => "no-vpn",
            Self::VpnLost => "vpn-lost",
            Self::NotThroughTunnel => "not-through-tunnel",
            Self::ContainerNotThroughTunnel => "container-not-through-tunnel",
            Self::DnsOutsideTunnel => "dns-outside-tunnel",
            Self::NotOnLink => "not-on-link",
            Self::LanOff => "lan-off",
            Self::Multicast => "multicast",
            Self::NotVpnClient => "not-vpn-client",
            Self::UnknownServer => "unknown-server",
            Self::ContainerPolicy => "container-policy",
            Self::PublishedPorts => "published-ports",
            Self::Inbound => "inbound",
            Self::RawFrame => "raw-frame",
            Self::PausedPortal => "paused-portal",
        }
    }

    /// The key of the configuration that governs it in general; `None` where none does.
    pub const fn key(self) -> Option<&'static str> {
        match self {
            Self::NoVpn
            | Self::VpnLost
            | Self::DnsOutsideTunnel
            | Self::Multicast
            | Self::RawFrame
            | Self::PausedPortal => None,
            Self::NotThroughTunnel => Some("tunnel.allow"),
            Self::ContainerNotThroughTunnel => Some("docker.allow"),
            Self::NotOnLink => Some("lan.networks"),
            Self::LanOff => Some("lan.allow"),
            Self::NotVpnClient => Some("bootstrap.owners"),
            Self::UnknownServer => Some("bootstrap.servers"),
            Self::ContainerPolicy => Some("docker.networks"),
            Self::PublishedPorts => Some("docker.published_ports"),
            Self::Inbound => Some("input.allow"),
        }
    }

    /// What it means, for people.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::NoVpn => "no VPN is connected, and outside a tunnel nothing leaves",
            Self::VpnLost => "the VPN was lost, and outside a tunnel nothing leaves",
            Self::NotThroughTunnel => "it may not leave outside the tunnel, or tunnel.allow does not name it",
            Self::ContainerNotThroughTunnel => {
                "a container may not send it outside the tunnel, or docker.allow does not name it"
            }
            Self::DnsOutsideTunnel => "questions for names do not leave outside the tunnel",
            Self::NotOnLink => "the private address is not in the LAN",
            Self::LanOff => "the LAN is not allowed",
            Self::Multicast => "nothing allows this group",
            Self::NotVpnClient => "only the VPN client may reach the VPN's server",
            Self::UnknownServer => "this is no known VPN server",
            Self::ContainerPolicy => "the container's network may not reach it",
            Self::PublishedPorts => "the forwarded packet belongs to no published port",
            Self::Inbound => "nothing lets it in",
            Self::RawFrame => "a raw socket or a macvlan container sends it directly to the network card",
            Self::PausedPortal => "the pause opens only DNS and web pages of this machine",
        }
    }
}

impl std::str::FromStr for Refusal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut all = Self::ALL.into_iter();
        all.find(|refusal| refusal.as_str() == text)
            .ok_or_else(|| format!("`{text}` is no reason of a refusal"))
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
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

    #[test]
    fn every_reason_is_found_by_its_word() {
        for refusal in Refusal::ALL {
            assert_eq!(refusal.as_str().parse(), Ok(refusal));
        }
        assert!("".parse::<Refusal>().is_err() && "tunwarden-no-vpn".parse::<Refusal>().is_err());
    }
}
