//! What the state machine concludes, and all that the policy needs to know.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::num::NonZeroU32;

use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ExactTunnel, Forwarded, NetworkAccess, OpenBridge, PauseScope, PppoeSession};
use crate::net::{Endpoint, IfName, IfPattern, LanPrefix, Port, Transport};

/// The five states of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// No VPN.
    #[default]
    Locked,
    /// A VPN is connecting.
    Connecting,
    /// A tunnel is up, addressed and carries what it must.
    Protected,
    /// The VPN went away, and nobody asked for that.
    Lost,
    /// An administrator opened the machine until a deadline: everything, or what a captive portal needs.
    Paused,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Locked, Self::Connecting, Self::Protected, Self::Lost, Self::Paused];

    /// The word for it on the bus and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Locked => "locked",
            Self::Connecting => "connecting",
            Self::Protected => "protected",
            Self::Lost => "lost",
            Self::Paused => "paused",
        }
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for State {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(|| {
            format!("`{text}` is no state; the states are locked, connecting, protected, lost and paused")
        })
    }
}

/// The mark of the agent's own DNS queries. Since Linux 5.17 a process with CAP_NET_RAW can set any mark, and
/// Docker gives that capability to root in every container, also on the host's network. So each agent uses a mark
/// that no other process knows: only CAP_NET_ADMIN can read the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuestionMark(u32);

impl QuestionMark {
    /// A mark made from random bits.
    pub fn random(bits: u64) -> Self {
        // Zero is no mark.
        Self(u32::try_from(bits & u64::from(u32::MAX)).unwrap_or_default().max(1))
    }

    /// The mark, for a socket.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// The mark in printed rules: `tw` in ASCII. No agent uses it.
impl Default for QuestionMark {
    fn default() -> Self {
        Self(0x7477)
    }
}

/// Everything that the rules follow from, at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Situation {
    /// The state.
    pub state: State,
    /// When a pause ends; only while paused.
    pub paused_until: Option<Timestamp>,
    /// Before this moment the pause opens nothing; only while paused.
    #[serde(default)]
    pub paused_from: Option<Timestamp>,
    /// What the pause opens.
    #[serde(default)]
    pub pause_scope: PauseScope,
    /// Uplinks that lead out, while paused for a captive portal.
    #[serde(default)]
    pub portal_uplinks: Vec<IfName>,
    /// How the VPN client may reach its server.
    pub bootstrap: Allowance,
    /// Resolvers that the agent may ask for its servers' names outside the tunnel.
    #[serde(default)]
    pub resolvers: BTreeSet<IpAddr>,
    /// The mark of its questions.
    #[serde(default)]
    pub question_mark: QuestionMark,
    /// Tunnels that are up and addressed.
    pub tunnels: Vec<Tunnel>,
    /// The networks that belong to tunnels: nothing in them is the LAN.
    #[serde(default)]
    pub tunnel_networks: Vec<IpNet>,
    /// The own addresses of every tunnel interface.
    pub tunnel_addresses: Vec<TunnelAddress>,
    /// The only tunnels that may carry anything; `None` for all that match the configured names.
    pub named_tunnels: Option<Vec<IfName>>,
    /// Tunnels by their exact names, besides those that the configuration names.
    #[serde(default)]
    pub further_tunnels: Vec<IfName>,
    /// Links that VPNs that count name exactly, whether they carry packets or not.
    #[serde(default)]
    pub exact_tunnels: BTreeMap<IfName, BTreeSet<ExactTunnel>>,
    /// Uplinks with the LANs on their links.
    pub uplinks: Vec<Uplink>,
    /// Every link that leads out, whether it has an address or not.
    #[serde(default)]
    pub wires: Vec<Wire>,
    /// Links that lead out and whose names no rule can contain.
    #[serde(default)]
    pub unnamed_wires: Vec<String>,
    /// Links of the kernel's kind `ppp` that are no tunnel.
    #[serde(default)]
    pub ppp_links: Vec<IfName>,
    /// Sessions of PPPoE, once for each wire that their frames go out on.
    #[serde(default)]
    pub pppoe: Vec<PppoeSession>,
    /// Links that have been uplinks, for the next agent: one of them without an address is a wire.
    #[serde(default)]
    pub known_uplinks: Vec<Wire>,
    /// Links that NetworkManager made for connections that do not count, for the next agent.
    #[serde(default)]
    pub connection_links: Vec<Wire>,
    /// Bridges of containers and virtual machines that the configuration does not name.
    pub bridges: Vec<IfName>,
    /// Links that have a tunnel's or a container bridge's name and are none.
    pub shut_out: Vec<IfPattern>,
    /// Ports that Docker's proxy serves over IPv6 on this host itself.
    #[serde(default)]
    pub published: BTreeSet<(Transport, Port)>,
    /// Ports that the VPN forwards to containers.
    #[serde(default)]
    pub forwarded: Vec<Forwarded>,
    /// Bridges of containers that may reach something else than every container may.
    #[serde(default)]
    pub networks: Vec<NetworkAccess>,
    /// Bridges of a Docker that makes its rules in nf_tables.
    #[serde(default)]
    pub ipv4_bridges: Vec<OpenBridge>,
    /// Bridges that Docker gives IPv6.
    #[serde(default)]
    pub ipv6_bridges: Vec<OpenBridge>,
}

impl Situation {
    /// Whether a tunnel of this name may carry packets.
    pub fn is_open(&self, tunnel: &IfName) -> bool {
        let named = self.named_tunnels.as_ref().is_none_or(|named| named.contains(tunnel));
        let shut = || self.shut_out.iter().any(|link| link.matches(tunnel.as_str()));
        (named || self.further_tunnels.contains(tunnel)) && !shut()
    }

    /// The own addresses of tunnels that may carry packets.
    pub(super) fn open_tunnel_addresses(&self) -> BTreeSet<IpAddr> {
        let open = self.tunnel_addresses.iter().filter(|own| self.is_open(&own.interface));
        open.map(|own| own.address).collect()
    }
}

/// The bootstrap allowance.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Allowance {
    /// Endpoints, each with the user ids that may reach it besides `bootstrap.owners`.
    pub endpoints: BTreeMap<Endpoint, BTreeSet<u32>>,
    /// Endpoints to which the kernel itself sends. The owner of such a packet is the program that sent what
    /// is in it, so something else has to identify it.
    #[serde(default)]
    pub kernel: BTreeSet<(Endpoint, KernelPacket)>,
    /// Any address at all on the bootstrap ports.
    pub any: bool,
}

impl Allowance {
    /// Removes every endpoint at this address.
    pub(super) fn remove(&mut self, address: IpAddr) {
        let at: Vec<Endpoint> = self.endpoints.range(Endpoint::all_at(address)).map(|(at, _)| *at).collect();
        for endpoint in at {
            self.endpoints.remove(&endpoint);
        }
        if self.kernel.iter().any(|(endpoint, _)| endpoint.address() == address) {
            self.kernel.retain(|(endpoint, _)| endpoint.address() != address);
        }
    }

    /// The addresses of the servers.
    pub(super) fn servers(&self) -> impl Iterator<Item = IpAddr> {
        let kernel = self.kernel.iter().map(|(endpoint, _)| endpoint);
        self.endpoints.keys().chain(kernel).map(Endpoint::address)
    }
}

/// What identifies a packet that the kernel itself sends to a VPN server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KernelPacket {
    /// The transport's mark, which takes CAP_NET_ADMIN to set, or CAP_NET_RAW since Linux 5.17.
    Marked(NonZeroU32),
    /// Its destination alone: every program that sends there passes.
    Any,
}

/// A tunnel that is up and addressed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tunnel {
    /// The name of the network interface.
    pub interface: IfName,
    /// The addresses of this machine on it.
    pub addresses: Vec<IpAddr>,
    /// Whether it carries what it must, so that the machine is protected by it.
    pub carrying: bool,
    /// Its server, if that is known.
    pub endpoint: Option<Endpoint>,
    /// Who reported it.
    pub source: TunnelSource,
    /// The VPN's name for people.
    pub name: String,
    /// Since when, in seconds since the epoch.
    pub since: u64,
}

/// Who reported a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TunnelSource {
    /// NetworkManager.
    NetworkManager,
    /// An OpenVPN hook, as root.
    OpenVpn,
    /// An OpenVPN client, on its management socket.
    Management,
    /// The kernel: traffic is routed into it, and nobody reported it. A source of a later version is read as
    /// this one.
    #[serde(other)]
    Kernel,
}

impl TunnelSource {
    /// The word for it on the bus and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NetworkManager => "networkmanager",
            Self::OpenVpn => "openvpn",
            Self::Management => "management",
            Self::Kernel => "kernel",
        }
    }
}

/// An uplink and what is on its link.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Uplink {
    /// The interface.
    pub interface: IfName,
    /// Its own addresses.
    pub addresses: Vec<IpAddr>,
    /// The private networks on it, less those of tunnels.
    pub prefixes: Vec<LanPrefix>,
    /// The IPv6 prefixes on it, global ones too: neighbours in them are asked for directly.
    #[serde(default)]
    pub on_link: Vec<IpNet>,
}

/// A link that leads out: an uplink, a port of one, or a card that has no address yet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Wire {
    /// The interface.
    pub interface: IfName,
    /// The kernel's index: a card that was pulled out and put back is another link.
    pub index: u32,
}

/// An address of a tunnel's interface.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TunnelAddress {
    /// The interface.
    pub interface: IfName,
    /// The address.
    pub address: IpAddr,
}
