//! What is known of VPN servers, and kept for the next start.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::{Profile, Sender};
use crate::config::{Config, MAX_SERVERS, RootFile};
use crate::guide::VpnKind;
use crate::net::{Endpoint, HostName, IfName, Port, Transport};

/// Maximum number of names that are looked up for each origin: root's files of OpenVPN, those of WireGuard, root's
/// hooks, and profiles that root has named.
pub(super) const MAX_NAMES: usize = 256;

/// Maximum number of different names of users' profiles that are looked up within an hour: each question sends
/// text that a user wrote to the network's resolver.
pub(super) const MAX_NAMES_OF_USERS: usize = 16;

/// Maximum number of endpoints in one line.
const MAX_SHOWN: usize = 4;

/// The tunnel of a VPN over PPP.
pub(super) const PPP: &str = "ppp0";

/// The mark that messages advise for a WireGuard profile. wg-quick uses another.
const MARK: &str = "0x7766";

/// What is known of each VPN, by its profile's UUID, [`file_key`], [`wireguard_key`] or [`hook_key`]. It is kept, so that the
/// lock at the next boot knows it too.
pub type Learned = BTreeMap<String, LearnedVpn>;

/// The endpoints of one VPN.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LearnedVpn {
    /// The VPN's name for people.
    pub name: String,
    /// Who reported it.
    pub origin: Origin,
    /// The addresses and ports of its servers.
    pub endpoints: BTreeSet<Endpoint>,
    /// Its servers that have only a name.
    #[serde(default)]
    pub names: BTreeSet<(HostName, Transport, Port)>,
    /// The user id that its client drops to, besides the configured owners.
    #[serde(default)]
    pub user: Option<u32>,
    /// Who sends its packets.
    #[serde(default)]
    pub sender: Sender,
    /// The mark on its packets.
    #[serde(default)]
    pub mark: Option<NonZeroU32>,
    /// The exact name of its tunnel's interface, if root's file or the profile gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<IfName>,
    /// Whether NetworkManager itself gives its device a mark when it brings it up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub manager_marks: bool,
}

/// Who reported that there is such a VPN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A hook that runs as root.
    Hook,
    /// A file of root's under `/etc/openvpn`.
    OpenVpn,
    /// A file of root's for WireGuard: of wg-quick under `/etc/wireguard`, or of systemd-networkd.
    WireGuard,
    /// NetworkManager, where any local user may save a profile.
    NetworkManager,
}

/// A part of a VPN that is not used, and why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeftOut {
    /// This many of its servers: there were too many.
    Servers(usize),
    /// This many servers of this many VPNs more: there were too many.
    MoreServers {
        /// How many servers.
        servers: usize,
        /// How many VPNs.
        vpns: usize,
    },
    /// This many names of servers in root's files: there were too many.
    NamesOfFiles(usize),
    /// A file, or a part of it: what, and what to do.
    File {
        /// What is left out, and why.
        reason: String,
        /// What to do about it.
        remedy: String,
    },
    /// All its servers: the kernel itself would send there, without a mark, and root has not named the profile.
    /// With the profile's name or UUID, quoted for a shell.
    Unmarked(String),
    /// The whole profile: VPNs of this kind do not work, or only in part.
    Kind(VpnKind),
    /// The tunnel of a profile, which has this name: the configuration names no such device. With the line that
    /// names it.
    TunnelNamed(&'static str, String),
    /// All servers of a file of root's, for the same reason. With the file's path, and the line that names it.
    UnmarkedFile(String, String),
    /// It carries all traffic and is no tunnel by the configuration, so nothing passes through it. With the line
    /// that makes it one.
    NoTunnel(String),
    /// It carries all traffic, and `vpn.connections` does not name it, so nothing passes through it. With the
    /// line that names it, if it can be named.
    NotNamed(Option<String>),
    /// It carries all traffic and is no evidence of a VPN: an ordinary user may have made it.
    UsersDevice,
    /// It carries all traffic, and NetworkManager, which may have made it for a user, does not answer.
    Unanswered,
    /// It carries all traffic, and NetworkManager, which may have made it for a user, is gone.
    ManagerLeft,
    /// Its server: nobody has named it, and no route shows it.
    NoServer,
    /// The addresses where its peers seem to be now: the agent follows no peer to such an address.
    NotFollowed(BTreeSet<Endpoint>),
    /// These servers of a file: their address is the broadcast address of a network on a link.
    Broadcast(BTreeSet<Endpoint>),
    /// Nothing, but these VPNs of another program use its mark too.
    SharedMark(NonZeroU32, BTreeSet<String>),
    /// Its servers on a port of DNS: root has not named the profile. With the line that names it.
    Dns(String),
    /// These servers' names, which only root may have looked up and pinned. With the line that allows it.
    Names(BTreeSet<HostName>, String),
    /// Names that were not looked up: users' profiles had too many different ones within an hour. With the
    /// line that lifts the bound.
    TooManyNames(String),
}

impl LeftOut {
    /// What is left out, and why.
    pub fn reason(&self) -> String {
        match self {
            Self::Servers(count) => format!(
                "{count} of its servers are left out: at most {MAX_SERVERS} are kept of all VPNs together"
            ),
            Self::MoreServers { servers, vpns } => format!(
                "{servers} of the servers of {vpns} more VPNs are left out: at most {MAX_SERVERS} are kept of all \
                 VPNs together"
            ),
            Self::NamesOfFiles(count) => {
                format!("{count} names of servers in these files are not looked up: at most {MAX_NAMES} are")
            }
            Self::File { reason, .. } => reason.clone(),
            Self::Unmarked(_) | Self::UnmarkedFile(..) => {
                "its servers are left out: the kernel itself sends its packets, and without a mark every program could \
                 reach these servers"
                    .to_owned()
            }
            Self::Kind(kind) => format!("{}: {}", kind.guide().name, kind.guide().works),
            Self::TunnelNamed(device, _) => {
                format!("nothing passes through its tunnel {device}: tunnel.interfaces names no such device")
            }
            Self::NoTunnel(_) => {
                "all traffic is routed into it, and tunwarden lets nothing through: the configuration does not \
                 say that it is a tunnel"
                    .to_owned()
            }
            Self::NotNamed(_) => {
                "all traffic is routed into it, and tunwarden lets nothing through: vpn.connections does not \
                 name its VPN"
                    .to_owned()
            }
            Self::UsersDevice => USERS_DEVICE.to_owned(),
            Self::Unanswered => UNANSWERED.to_owned(),
            Self::ManagerLeft => MANAGER_LEFT.to_owned(),
            Self::NoServer => NO_SERVER.to_owned(),
            Self::NotFollowed(endpoints) => unfollowed(endpoints),
            Self::Broadcast(endpoints) => broadcast(endpoints),
            Self::SharedMark(mark, others) => shared_mark(*mark, others),
            Self::Dns(_) => "its servers on port 53 or 853 are left out: any user may save a profile, and \
                             these ports would open DNS in clear to everybody's lookups"
                .to_owned(),
            Self::Names(names, _) => {
                let names: Vec<&str> = names.iter().map(HostName::as_str).collect();
                format!(
                    "the name {} is not looked up: any user may save a profile, and such a name belongs to \
                     this machine or its network",
                    names.join(", ")
                )
            }
            Self::TooManyNames(_) => format!(
                "its server is not looked up: at most {MAX_NAMES_OF_USERS} different names of profiles that \
                 root has not named are looked up within an hour"
            ),
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Servers(_) | Self::MoreServers { .. } => {
                "remove profiles or servers that are not used".to_owned()
            }
            Self::NamesOfFiles(_) => {
                "move the files that you do not use out of /etc/openvpn, or write the addresses \
                                      of the servers that you use into bootstrap.servers"
                    .to_owned()
            }
            Self::File { remedy, .. } => remedy.clone(),
            Self::Unmarked(profile) => format!(
                "give it a mark, and connect it again: nmcli connection modify {profile} wireguard.fwmark {MARK}; or \
                 name it in vpn.connections, and every program may send to its servers"
            ),
            Self::Kind(kind) => kind.guide().todo.to_owned(),
            Self::TunnelNamed(device, line) => {
                let unless =
                    if *device == PPP { "if your line to the internet is no PPP itself, " } else { "" };
                format!("{unless}add it in /etc/tunwarden/config.toml, and reload: {line}")
            }
            Self::UnmarkedFile(path, line) => {
                let mark = match path.ends_with(".netdev") {
                    true => "in [WireGuard]: FirewallMark=0x7766",
                    false => "in [Interface]: FwMark = 0x7766",
                };
                format!(
                    "add a mark to {path}, {mark}; or let every program send there, in \
                     /etc/tunwarden/config.toml (then only the VPNs named there count), and reload: {line}"
                )
            }
            Self::NoTunnel(line) => {
                format!("if it is your VPN, say so in /etc/tunwarden/config.toml, and reload: {line}")
            }
            Self::NotNamed(Some(line)) => {
                format!("if you trust it, name it in /etc/tunwarden/config.toml, and reload: {line}")
            }
            Self::NotNamed(None) => "name its profile in vpn.connections, or let every VPN count: \
                                     vpn.connections = []"
                .to_owned(),
            Self::UsersDevice => REPORT_IT.to_owned(),
            Self::Unanswered => "restart NetworkManager: sudo systemctl restart NetworkManager".to_owned(),
            Self::ManagerLeft => START_MANAGER.to_owned(),
            Self::NoServer => {
                "write the server into /etc/tunwarden/config.toml, and reload: bootstrap.servers = \
                               [\"ADDRESS:PORT/PROTOCOL\"]"
                    .to_owned()
            }
            Self::NotFollowed(_) => {
                "if the server really is there, write it into the VPN's configuration, as Endpoint of \
                                its peer"
                    .to_owned()
            }
            Self::Broadcast(_) => "write the address of the server into the VPN's configuration".to_owned(),
            Self::SharedMark(..) => "give each of them a mark of its own".to_owned(),
            Self::Dns(line) | Self::Names(_, line) | Self::TooManyNames(line) => format!(
                "if you trust it, allow it in /etc/tunwarden/config.toml (then only the profiles named there \
                 count), and reload: {line}"
            ),
        }
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.reason(), self.remedy())
    }
}

const USERS_DEVICE: &str = "all traffic is routed into it, and it does not count as a VPN: an ordinary user may have made \
                            the device";

const UNANSWERED: &str = "all traffic is routed into it, and tunwarden lets nothing through: NetworkManager does not \
                          say whether it made the device for an ordinary user";

const MANAGER_LEFT: &str = "all traffic is routed into it, and tunwarden lets nothing through: NetworkManager has left \
                            the system bus, and it may have made the device for an ordinary user";

const START_MANAGER: &str = "start NetworkManager: sudo systemctl start NetworkManager; if this machine runs \
                             without NetworkManager: sudo systemctl restart tunwarden";

const REPORT_IT: &str = "if it is OpenVPN's, let OpenVPN make the device itself, without --mktun, or let it report its tunnel: \
                         sudo tunwarden doctor shows how";

const NO_SERVER: &str = "nothing may reach its server outside the tunnel: nobody has named the server, and no route \
                         past the tunnel shows it";

fn unfollowed(endpoints: &BTreeSet<Endpoint>) -> String {
    format!(
        "its server seems to have moved to {}, and tunwarden does not follow it there: it follows a server only to a \
         public address, to no port of DNS and to no network of this machine",
        listed(endpoints)
    )
}

fn broadcast(endpoints: &BTreeSet<Endpoint>) -> String {
    format!("{} is left out: it is the broadcast address of a network of this machine", listed(endpoints))
}

fn shared_mark(mark: NonZeroU32, others: &BTreeSet<String>) -> String {
    let others: Vec<&str> = others.iter().map(String::as_str).collect();
    format!(
        "its mark {mark:#x} is also that of {}, so packets of the one may reach the servers of the other",
        others.join(", ")
    )
}

fn listed(endpoints: &BTreeSet<Endpoint>) -> String {
    let shown: Vec<String> = endpoints.iter().take(MAX_SHOWN).map(ToString::to_string).collect();
    let more = if endpoints.len() > MAX_SHOWN { " and others" } else { "" };
    format!("{}{more}", shown.join(", "))
}

/// Under which key the endpoints of a hook's tunnel are kept; no UUID looks like it.
pub(super) fn hook_key(interface: &str) -> String {
    format!("hook:{interface}")
}

/// Under which key the endpoints of an OpenVPN file are kept.
pub(super) fn file_key(path: &str) -> String {
    format!("openvpn:{path}")
}

/// Under which key the endpoints of a file of wg-quick's or systemd-networkd's are kept.
pub(super) fn wireguard_key(path: &str) -> String {
    format!("wireguard:{path}")
}

/// The path of a file of wg-quick's or systemd-networkd's.
pub(super) fn wireguard_path(key: &str) -> &str {
    key.strip_prefix("wireguard:").unwrap_or(key)
}

/// The name of a file for people and for `vpn.connections`: without its folder and its ending.
pub(super) fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

impl LearnedVpn {
    /// What a saved profile says.
    pub(super) fn of_profile(profile: &Profile) -> Self {
        Self {
            name: profile.id.clone(),
            origin: Origin::NetworkManager,
            endpoints: profile.endpoints.iter().copied().collect(),
            names: profile.names.iter().cloned().collect(),
            user: profile.user,
            sender: profile.sender,
            mark: profile.mark,
            interface: profile.interface.clone(),
            manager_marks: profile.manager_marks,
        }
    }

    /// Whether it counts: with `vpn.connections` set, only what it names does. What a hook of root's reported
    /// always counts.
    pub(super) fn counts(&self, key: &str, config: &Config) -> bool {
        match self.origin {
            Origin::Hook => true,
            Origin::OpenVpn => config.vpn.counts_file(RootFile::OpenVpn, stem(&self.name)),
            Origin::WireGuard => config.vpn.counts_file(RootFile::WireGuard, &self.name),
            Origin::NetworkManager => config.vpn.counts(key, &self.name),
        }
    }

    pub(super) fn host_names(&self) -> impl Iterator<Item = HostName> {
        self.names.iter().map(|(name, ..)| name.clone())
    }

    /// Number of its servers.
    pub(super) fn size(&self) -> usize {
        self.endpoints.len() + self.names.len()
    }
}

#[cfg(test)]
mod tests;
