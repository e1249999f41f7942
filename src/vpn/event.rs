//! What sources can report. An event is a fact as a source saw it, never a conclusion.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::{
    DockerView, LinkTable, ManagementMessage, ManagementSocket, Pause, PublishedPort, SocketState, TunnelId,
    WireGuardDevice,
};
use crate::config::{Config, RootFile};
use crate::guide::VpnKind;
use crate::net::{Endpoint, HostName, IfName, OwnKey, PeerKey, Port, Transport};

/// One thing that a source saw.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The links, addresses and routes as they are now.
    Links(LinkTable),
    /// What NetworkManager reports about VPNs now; `None` when there is no NetworkManager.
    NetworkManager(Option<NmView>),
    /// NetworkManager has come, and was not read yet.
    ManagerUnread,
    /// OpenVPN's client configurations under `/etc/openvpn`, all that root has put there.
    OpenVpnFiles(Vec<OpenVpnFile>),
    /// All of root's files of one kind of which something is left out.
    FilesLeftOut(RootFile, Vec<FileFault>),
    /// The WireGuard files of wg-quick and of systemd-networkd, all that root has put there.
    WireGuardFiles(Vec<WireGuardFile>),
    /// The WireGuard devices among [`super::Machine::wireguard_links`] that could be read, all of them.
    WireGuardDevices {
        /// The devices.
        devices: Vec<WireGuardDevice>,
        /// For how many seconds the machine had been awake when they were read.
        awake: u64,
    },
    /// The agent has taken in what earlier agents left and what the sources reported first. From now on a tunnel
    /// that nobody reports counts by the kernel's evidence alone.
    Begun,
    /// What Docker reports now; `None` when it no longer answers. Sent when Docker begins to answer, changes
    /// something or ends. Without Docker it is never sent.
    Docker(Option<DockerView>),
    /// The ports that Docker's containers publish for other machines.
    Published(BTreeSet<PublishedPort>),
    /// A hook's report that passed [`Report`]'s parser.
    Report(Report, Reporter),
    /// What an OpenVPN client says on its management socket.
    Management(ManagementMessage),
    /// Whether a management socket can be used.
    SocketState(ManagementSocket, SocketState),
    /// The user id under which the VPN client `pid` runs now.
    ClientUser {
        /// The process.
        pid: u32,
        /// Its effective user id.
        uid: u32,
    },
    /// The systemd unit that the VPN client `pid` runs in.
    ClientUnit {
        /// The process.
        pid: u32,
        /// The unit's name.
        unit: String,
    },
    /// The VPN client `pid` has ended.
    ClientExited {
        /// The process.
        pid: u32,
    },
    /// The resolvers of the uplinks, as this system's files name them now.
    Resolvers(BTreeSet<IpAddr>),
    /// What a resolver answered; no address when there was no answer that can be used.
    Resolved {
        /// The server's name.
        name: HostName,
        /// The addresses in the answer.
        addresses: Vec<IpAddr>,
    },
    /// Nothing came from a tunnel's server for the time in [`super::Wait::Silence`], while packets were sent to it.
    Silent {
        /// The tunnel.
        tunnel: TunnelId,
    },
    /// A packet came out of a silent tunnel.
    Heard {
        /// The tunnel.
        tunnel: TunnelId,
        /// The server that its client sends to.
        server: Endpoint,
    },
    /// The agent is about to ask NetworkManager to end this connection, in order to start it again.
    Restarting {
        /// The active connection's object path.
        path: String,
    },
    /// An attempt to bring a VPN back has ended: it carries packets, or why it does not.
    Reconnected(Result<(), String>),
    /// An administrator opens the machine until a deadline.
    Pause(Pause),
    /// An administrator ends the pause.
    Resume,
    /// The moment of [`Action::WakeAt`](super::Action::WakeAt) has come.
    Clock,
    /// The machine was asleep: things may have changed without an event.
    Woken,
    /// A new configuration that has passed every check.
    Config(Box<Config>),
}

/// Everything that NetworkManager reports about VPNs at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NmView {
    /// Saved VPN profiles.
    pub profiles: Vec<Profile>,
    /// VPN connections that are active or being activated, and those that ended since the last view
    /// (each is listed once with [`VpnPhase::Ended`]).
    pub active: Vec<ActiveVpn>,
    /// The interfaces that it made or configured for connections that are no VPNs. Any user can save such a
    /// connection, of a tun device for one.
    pub made: BTreeSet<IfName>,
    /// The last question of [`super::Machine::question`] that was asked before the connections were read.
    pub answered: u64,
}

/// A saved VPN profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// NetworkManager's UUID.
    pub uuid: String,
    /// Its name for people.
    pub id: String,
    /// Its servers that have an address.
    pub endpoints: Vec<Endpoint>,
    /// Its servers that have only a name so far.
    pub names: Vec<(HostName, Transport, Port)>,
    /// Who will send its packets.
    pub sender: Sender,
    /// The mark that it wants on them.
    pub mark: Option<NonZeroU32>,
    /// The name of its device, of WireGuard alone.
    pub interface: Option<IfName>,
    /// What kind of VPN it is.
    pub kind: VpnKind,
    /// The user id that its client runs as, besides the configured owners.
    pub user: Option<u32>,
    /// Whether NetworkManager itself gives its device a mark when it brings it up, of WireGuard alone.
    pub manager_marks: bool,
    /// The public keys of its peers, of WireGuard alone.
    pub keys: Vec<PeerKey>,
}

#[cfg(test)]
impl Profile {
    /// A profile of a client's, without a server.
    pub(crate) fn plain(uuid: &str, id: &str, kind: crate::guide::VpnKind) -> Self {
        Self {
            uuid: uuid.to_owned(),
            id: id.to_owned(),
            endpoints: Vec::new(),
            names: Vec::new(),
            sender: Sender::Client,
            mark: None,
            interface: None,
            kind,
            user: None,
            manager_marks: false,
            keys: Vec::new(),
        }
    }
}

/// Who sends a VPN's packets to its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sender {
    /// A process, the VPN client; its sockets have an owner.
    #[default]
    Client,
    /// The kernel itself (WireGuard).
    Kernel,
}

/// A file of root's of which something is left out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileFault {
    /// The absolute path of the file.
    pub path: String,
    /// What is left out, and why.
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
}

/// An OpenVPN configuration of root's that connects somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenVpnFile {
    /// Its path, which identifies it.
    pub path: String,
    /// Its servers that have an address.
    pub endpoints: BTreeSet<Endpoint>,
    /// Its servers that have only a name.
    pub names: BTreeSet<(HostName, Transport, Port)>,
    /// The user id that its client drops to.
    pub user: Option<u32>,
    /// The mark on its client's packets (`mark`).
    pub mark: Option<NonZeroU32>,
    /// The exact name of its tunnel's device, if it gives one.
    pub device: Option<IfName>,
    /// The management socket of its client (`management`).
    pub management: Option<ManagementSocket>,
}

/// A WireGuard file of root's that connects somewhere: wg-quick's, or systemd-networkd's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireGuardFile {
    /// Its path, which identifies it.
    pub path: String,
    /// The device that it makes: the file's name (wg-quick), or the name in it (systemd-networkd).
    pub interface: IfName,
    /// Its servers that have an address.
    pub endpoints: BTreeSet<Endpoint>,
    /// Its servers that have only a name.
    pub names: BTreeSet<(HostName, Transport, Port)>,
    /// The mark that the device puts on its packets.
    pub mark: Option<NonZeroU32>,
    /// The keys of its peers.
    pub keys: BTreeSet<PeerKey>,
    /// Its own private key, if the file has it.
    pub own: Option<OwnKey>,
}

/// A VPN connection of NetworkManager's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveVpn {
    /// The active connection's object path: its identity.
    pub path: String,
    /// The profile's UUID.
    pub uuid: String,
    /// The profile's name for people.
    pub id: String,
    /// The phase of the connection.
    pub phase: VpnPhase,
    /// The tunnel's interface, found by its `Ip4Config` or `Ip6Config` path; never the parent's.
    pub interface: Option<IfName>,
    /// The server's address as the VPN plugin reported it from its own bus name.
    pub gateway: Option<IpAddr>,
    /// The mark that the device itself puts on its packets, WireGuard's alone.
    pub mark: Option<NonZeroU32>,
}

impl ActiveVpn {
    /// Whether it has ended.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.phase, VpnPhase::Ended(_))
    }
}

/// The phase of a VPN connection of NetworkManager's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VpnPhase {
    /// `NMVpnConnectionState` 1 to 4.
    Connecting,
    /// 5. No evidence of protection.
    Activated,
    /// 6 or 7.
    Ended(VpnEnd),
}

/// Why a VPN connection of NetworkManager's ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VpnEnd {
    /// The user asked for it (`NMActiveConnectionStateReason` 2), or deleted the profile (11).
    User,
    /// The device under it went away (3).
    Device,
    /// The VPN service stopped (4).
    ServiceStopped,
    /// It could not connect in time (6).
    Timeout,
    /// No secrets or a failed login (9, 10).
    Secrets,
    /// Anything else, by number.
    Other(u32),
}

/// What an OpenVPN hook reported, parsed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// `script_type`.
    pub kind: ReportKind,
    /// `dev`: the tunnel's interface.
    pub interface: IfName,
    /// `daemon_pid`: the OpenVPN process.
    pub pid: Option<u32>,
    /// When that process was started, as [`Process::started`]; it distinguishes the process from a later
    /// one with the same id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<u64>,
    /// `trusted_ip` or `trusted_ip6` with `trusted_port` and `proto_1`: the server.
    pub endpoint: Option<Endpoint>,
    /// Address and port of a server whose transport is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub either: Option<(IpAddr, Port)>,
}

impl Report {
    /// What the server in use can be: one endpoint for each transport, if the transport is unknown.
    pub fn servers(&self) -> BTreeSet<Endpoint> {
        let both = self.either.into_iter().flat_map(|(address, port)| {
            [Transport::Udp, Transport::Tcp].map(|transport| Endpoint::new(address, transport, port).ok())
        });
        match self.endpoint {
            Some(endpoint) => BTreeSet::from([endpoint]),
            None => both.flatten().collect(),
        }
    }
}

/// What a report says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReportKind {
    /// The tunnel is there (`up`, `route-up`, `ipchange`, and `script_context=restart`).
    Up,
    /// The tunnel ends because somebody asked for it (`signal` sigterm or sigint).
    DownAsked,
    /// The tunnel ends and nobody asked for it.
    DownLost,
}

/// Who sent a report, as the bus daemon confirms it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reporter {
    /// User id 0: counts in full.
    Root,
    /// Another user: may report that the tunnel of the VPN client that it descends from is lost, and that this tunnel
    /// is back.
    Client(Lineage),
}

/// A process, distinguished from every other that has or had its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// The process id.
    pub pid: u32,
    /// When it was started, in clock ticks since boot (field 22 of proc_pid_stat(5)).
    pub started: u64,
}

/// A process that reports, and its ancestors as far up as they run as the same user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lineage {
    /// The user id of each.
    pub uid: u32,
    /// The process itself first, then its parent, and so on.
    pub processes: Vec<Process>,
}

impl Lineage {
    /// Whether this process is one of them. Without its start time its id alone decides.
    pub fn has(&self, pid: u32, started: Option<u64>) -> bool {
        let is_it = |one: &&Process| one.pid == pid && started.is_none_or(|started| started == one.started);
        self.processes.iter().any(|one| is_it(&one))
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.kind {
            ReportKind::Up => "up",
            ReportKind::DownAsked => "down (asked for)",
            ReportKind::DownLost => "down",
        };
        write!(f, "{} {kind}", self.interface)?;
        self.endpoint.map_or(Ok(()), |endpoint| write!(f, ", server {endpoint}"))
    }
}

impl std::fmt::Display for Reporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Root => f.write_str("root"),
            Self::Client(lineage) => write!(f, "user {}", lineage.uid),
        }
    }
}
