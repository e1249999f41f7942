//! The configuration of the administrator: `/etc/tunwarden/config.toml`, parsed and checked.
//!
//! A [`Config`] is always valid: it is the default, or it comes from a file without any fault. Nothing here
//! touches the kernel or looks anything up.

mod docker;
mod document;
mod edit;
mod explain;
mod fault;
mod firewall;
mod forwarded;
mod hint;
#[cfg(test)]
mod hint_tests;
mod in_force;
mod item;
mod log;
mod read;
mod reference;
mod root_file;
mod schema;
mod server_hint;
mod traffic;
mod user;
mod warning;
mod words;

pub use docker::{Access, Docker, PublishedPorts};
pub use edit::{Assignment, AssignmentError, Change, EditError, Edited, edit, values};
pub use fault::{Fault, Faults};
pub use firewall::{Backend, FirewallSettings, Layer};
pub use forwarded::{ContainerName, ForwardedPort};
pub use in_force::{InForce, Kept, Source, Written};
pub use log::Log;
pub use reference::{KeyReference, REFERENCE, SectionReference};
pub use root_file::{RootFile, looks_like_a_uuid};
pub use user::{UserName, UserNameError};
pub use warning::Warning;

pub(crate) use hint::{is_plain, plain};

use crate::net::{IfPattern, LanPrefix, Port, PortRange, Server, Transport};
use ipnet::IpNet;

/// The path of the configuration without `--config`.
pub const DEFAULT_PATH: &str = "/etc/tunwarden/config.toml";

/// The whole configuration. [`Config::default`] is the meaning of an empty file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// `[tunnel]`
    pub tunnel: Tunnel,
    /// `[bootstrap]`
    pub bootstrap: Bootstrap,
    /// `[lan]`
    pub lan: Lan,
    /// `[input]`
    pub input: Input,
    /// `[docker]`
    pub docker: Docker,
    /// `[vpn]`
    pub vpn: Vpn,
    /// `[firewall]`
    pub firewall: FirewallSettings,
    /// `[log]`
    pub log: Log,
}

impl Config {
    /// The strictest lock: no tunnel, no server, no LAN and no container passes, and no name is looked up.
    /// It is in force when neither the file nor a configuration that was in force before can be read.
    pub fn strictest() -> Self {
        let mut config = Self::default();
        config.tunnel.interfaces.clear();
        config.tunnel.allow = Traffic::Listed(Vec::new());
        config.bootstrap.scope = Scope::Nothing;
        config.bootstrap.dns = Dns::Off;
        config.lan.allow = false;
        config.docker.allow = Traffic::Listed(Vec::new());
        config.docker.published_ports = PublishedPorts::None;
        config.vpn.reconnect = Reconnect::Never;
        config
    }
}

/// `[tunnel]`: which interfaces are tunnels and what may pass through them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tunnel {
    /// Names of tunnel interfaces. `+` at the end is the only wildcard.
    pub interfaces: Vec<IfPattern>,
    /// What the host may send through a tunnel.
    pub allow: Traffic,
    /// What a tunnel must carry before the machine counts as protected. Its networks are never the LAN.
    pub routes: Routes,
}

impl Default for Tunnel {
    fn default() -> Self {
        let tun = "tun+".parse().into_iter().collect();
        Self { interfaces: tun, allow: Traffic::Any, routes: Routes::Default }
    }
}

/// What a tunnel must carry so that it protects: the default route of a family, or at least these networks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Routes {
    /// The default route, or the two halves of it that OpenVPN's option `def1` sets.
    #[default]
    Default,
    /// All of these networks.
    Networks(Vec<IpNet>),
}

/// What may pass: `"any"`, or a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Traffic {
    /// Everything.
    #[default]
    Any,
    /// Only traffic that one of these rules allows.
    Listed(Vec<TrafficRule>),
}

/// One kind of traffic: ICMP, or a transport with its destination ports (an empty list means all ports). It may be
/// limited to one network.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum TrafficRule {
    /// ICMP and ICMPv6.
    Icmp,
    /// UDP or TCP to these ports.
    Ports(Transport, Vec<PortRange>),
    /// Such traffic to this network only. `input.allow` has no such rule.
    To(IpNet, Box<TrafficRule>),
}

/// Maximum number of servers in the configuration, and of all VPNs together: more than any provider has.
/// It limits the number of rules and the size of the file that is read at boot.
pub const MAX_SERVERS: usize = 16_384;

/// `[bootstrap]`: how the VPN client may reach its server outside the tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bootstrap {
    /// Transports and ports of servers that do not name their own, and of the scope `any`.
    pub ports: Vec<(Transport, Port)>,
    /// Servers that are known without a VPN profile.
    pub servers: Vec<Server>,
    /// Whether servers that are not named may be reached.
    pub scope: Scope,
    /// Users whose sockets may use the allowance.
    pub owners: Vec<UserName>,
    /// How a server's name is looked up while everything is locked.
    pub dns: Dns,
}

impl Default for Bootstrap {
    fn default() -> Self {
        let owners = ["root", "nm-openvpn", "openvpn"];
        Self {
            ports: vec![(Transport::Udp, Port::fixed(1194))],
            servers: Vec::new(),
            scope: Scope::Auto,
            owners: owners.into_iter().filter_map(|name| UserName::try_from(name.to_owned()).ok()).collect(),
            dns: Dns::Pin,
        }
    }
}

/// `bootstrap.scope`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// Only known endpoints.
    Known,
    /// Any address on the bootstrap ports.
    Any,
    /// As `any` while no endpoint is known, then as `known`.
    #[default]
    Auto,
    /// No endpoint, known or not. A file cannot set this: it is part of [`Config::strictest`].
    Nothing,
}

/// `bootstrap.dns`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dns {
    /// Only the agent looks server names up.
    #[default]
    Pin,
    /// Server names are not looked up.
    Off,
}

/// `[lan]`: the local network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lan {
    /// Whether the host may reach the LAN.
    pub allow: bool,
    /// Which prefixes are the LAN.
    pub networks: Networks,
    /// mDNS, SSDP and IGMP.
    pub multicast: bool,
    /// Further services that find each other on the LAN.
    pub services: Vec<LanService>,
}

/// A service of `lan.services`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LanService {
    /// WS-Discovery: printers, scanners and shares of Windows.
    WsDiscovery,
    /// LocalSend: files between machines and telephones.
    LocalSend,
    /// KDE Connect and GSConnect.
    KdeConnect,
    /// Magic packets that switch a machine on.
    WakeOnLan,
}

impl Default for Lan {
    fn default() -> Self {
        Self { allow: true, networks: Networks::Connected, multicast: true, services: Vec::new() }
    }
}

/// `lan.networks`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Networks {
    /// The private prefixes that are on the link of an uplink now, without the networks of tunnels.
    #[default]
    Connected,
    /// These prefixes, on every link, without the networks of tunnels.
    Listed(Vec<LanPrefix>),
}

/// `[input]`: which connections from outside are allowed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Input {
    /// One entry per kind of inbound traffic.
    pub allow: Vec<Inbound>,
}

/// One kind of inbound traffic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Inbound {
    /// The traffic that is allowed.
    pub traffic: TrafficRule,
    /// The source network.
    pub from: Option<IpNet>,
    /// Where it comes in.
    pub on: InboundOn,
}

/// Where inbound traffic comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum InboundOn {
    /// On every interface.
    #[default]
    Any,
    /// Only through the tunnel: a port that the VPN forwards.
    Tunnel,
}

/// `[vpn]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vpn {
    /// UUIDs or ids of the NetworkManager profiles that count, and root's own files: `wireguard:NAME` and
    /// `openvpn:NAME`. If it is empty, every VPN counts.
    pub connections: Vec<String>,
    /// Whether a lost VPN is connected again.
    pub reconnect: Reconnect,
    /// How long a server may send nothing, while packets are sent to it, before it counts as lost, in seconds;
    /// `None` if this is not checked.
    pub silence: Option<u64>,
}

/// Minimum and maximum of `vpn.silence`, in seconds. Below 5 s, a wireless link that changes its cell would count
/// as a loss.
pub const SILENCE: std::ops::RangeInclusive<u64> = 5..=3600;

impl Default for Vpn {
    fn default() -> Self {
        Self { connections: Vec::new(), reconnect: Reconnect::Ask, silence: Some(30) }
    }
}

/// `vpn.reconnect`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reconnect {
    /// The notification of the loss offers a reconnect.
    #[default]
    Ask,
    /// The agent connects it again without a request.
    Auto,
    /// The notification offers no reconnect.
    Never,
}

impl Reconnect {
    /// The word for it in the configuration, on the bus and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::Auto => "auto",
            Self::Never => "never",
        }
    }

    /// Parses that word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Ask, Self::Auto, Self::Never].into_iter().find(|policy| policy.as_str() == word)
    }
}

impl serde::Serialize for Reconnect {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl Vpn {
    /// Whether a profile of NetworkManager's with this UUID and id counts.
    pub fn counts(&self, uuid: &str, id: &str) -> bool {
        self.connections.is_empty() || self.names_uuid(uuid) || self.names_id(id)
    }

    /// Whether the list names a profile by this UUID.
    pub fn names_uuid(&self, uuid: &str) -> bool {
        self.lists_profile(uuid)
    }

    /// Whether the list names a profile by this id. Any user can choose an id. So an id never counts if it looks like a
    /// UUID, which another profile may have, or like `wireguard:office`, which names one of root's files.
    pub fn names_id(&self, id: &str) -> bool {
        !looks_like_a_uuid(id) && self.lists_profile(id)
    }

    fn lists_profile(&self, what: &str) -> bool {
        RootFile::of(what).is_none() && self.connections.iter().any(|named| named == what)
    }

    /// Whether the list names this file of root's.
    pub fn names_file(&self, kind: RootFile, name: &str) -> bool {
        self.connections.iter().any(|named| named.strip_prefix(kind.prefix()) == Some(name))
    }

    /// Whether a file of root's counts. OpenVPN's files count until the list names one of them.
    pub fn counts_file(&self, kind: RootFile, name: &str) -> bool {
        let all = match kind {
            RootFile::WireGuard => self.connections.is_empty(),
            RootFile::OpenVpn => !self.connections.iter().any(|named| RootFile::of(named) == Some(kind)),
        };
        all || self.names_file(kind, name)
    }
}

#[cfg(test)]
mod tests;
