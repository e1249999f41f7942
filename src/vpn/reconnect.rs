//! Bringing a lost VPN back: which one it would be, and when the agent tries by itself.
//!
//! When the user ended the VPN, the state is `locked` and not `lost`, and nothing is brought back.

use serde::{Deserialize, Serialize};

use super::claim::Standing;
use super::learned::{Origin, wireguard_path};
use super::{Action, Machine, Profile, Reason, State};
use crate::config::Reconnect;
use crate::net::IfName;

/// How long to wait after a loss, or after an attempt that failed, before the next attempt, in seconds: at
/// first, and at most.
const WAIT: (u64, u64) = (2, 300);

/// How long a client may take to connect to another of its servers before the agent restarts it, in seconds:
/// a ping-restart (120 s, openvpn(8)) and a handshake (60 s).
const SWITCH_TIMEOUT: u64 = 180;

/// The VPN that was there last, and who could bring it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LastVpn {
    /// NetworkManager, by its profile.
    Profile {
        /// NetworkManager's UUID.
        uuid: String,
        /// Its name for people.
        name: String,
    },
    /// The program that started the OpenVPN client or the WireGuard device of this interface. The agent itself starts
    /// only a unit of wg-quick's again.
    Client {
        /// The interface.
        interface: IfName,
        /// The client's systemd unit, if it has one.
        unit: Option<String>,
        /// Which program it is.
        #[serde(default)]
        program: ClientProgram,
    },
}

/// The program of a tunnel that is not NetworkManager's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientProgram {
    /// OpenVPN: its hook or its management socket has reported the tunnel.
    OpenVpn,
    /// Only the kernel shows the tunnel. Any program may have made it: OpenConnect, Tailscale, wg-quick.
    #[default]
    Unknown,
}

/// A VPN that can be brought back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReconnectTarget {
    /// NetworkManager's.
    Profile(ManagedVpn),
    /// The device of root's file for wg-quick: systemd starts its unit again.
    WgQuick(IfName),
}

/// A profile of NetworkManager's that can be brought up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagedVpn {
    /// NetworkManager's UUID.
    pub uuid: String,
    /// Its name for people.
    pub name: String,
}

impl ReconnectTarget {
    /// The VPN's name for people, as the status shows it.
    pub fn name(&self) -> &str {
        match self {
            Self::Profile(profile) => &profile.name,
            Self::WgQuick(interface) => interface.as_str(),
        }
    }
}

/// Why there is nothing to bring back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoReconnectTarget {
    /// NetworkManager does not run.
    #[error("NetworkManager is not running; start it with: sudo systemctl start NetworkManager")]
    NoNetworkManager,
    /// No profile, or none that counts.
    #[error("NetworkManager has no VPN profile that counts; see: nmcli connection, and vpn.connections")]
    NoProfile,
    /// None was up before, and there is more than one.
    #[error(
        "there are several VPN profiles, and tunwarden does not know which one was connected last; connect one: nmcli \
         connection up NAME"
    )]
    Several,
    /// It was not NetworkManager's, no file of root's names it, and no client reported it.
    #[error(
        "NetworkManager did not start {0}, and tunwarden does not know which program did; connect again in that \
         program"
    )]
    Unknown(IfName),
    /// It was an OpenVPN client's, without NetworkManager.
    #[error(
        "NetworkManager did not start {0}; restart its OpenVPN service, for example: sudo systemctl restart \
         openvpn-client@NAME"
    )]
    OpenVpn(IfName),
    /// The same, and the unit of its client is known.
    #[error("NetworkManager did not start {0}; restart its service: sudo systemctl restart {1}")]
    Unit(IfName, String),
    /// It was wg-quick's, and no unit has such a name, or its file does not count.
    #[error("{0} was wg-quick's, not NetworkManager's; bring it up again: sudo wg-quick up {0}")]
    WgQuick(IfName),
    /// It was systemd-networkd's.
    #[error("{0} was systemd-networkd's; bring it up again: sudo systemctl restart systemd-networkd")]
    Networkd(IfName),
}

/// When the agent tries by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Backoff {
    /// How long the next attempt waits.
    wait: u64,
    next: Option<u64>,
    under_way: bool,
    /// Since when a VPN protects.
    protected: Option<u64>,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { wait: WAIT.0, next: None, under_way: false, protected: None }
    }
}

impl Backoff {
    /// Forgets the attempts: there is no lost VPN.
    fn reset(&mut self) {
        *self = Self { under_way: self.under_way, ..Self::default() };
    }

    /// A VPN is connecting, or cannot be brought back now.
    fn cancel_next(&mut self) {
        self.next = None;
    }

    fn protected(&mut self, now: u64) {
        self.next = None;
        self.protected.get_or_insert(now);
    }

    /// The VPN is lost. If it carried for longer than the last wait, the attempt before had succeeded,
    /// and the waits begin again. Its client may still bring it back by itself: `switch_timeout` is how many
    /// seconds it has for that.
    fn lost(&mut self, switch_timeout: u64, now: u64) {
        if self.protected.take().is_some_and(|since| now.saturating_sub(since) > self.wait) {
            self.wait = WAIT.0;
        }
        if !self.under_way {
            // If the moment is further away, the clock was set back, or the client has given up.
            let latest = now.saturating_add(self.wait.max(switch_timeout));
            self.next = Some(self.next.map_or(latest, |next| next.min(latest)));
        }
    }

    /// Whether the time has come; then the attempt counts as under way.
    fn begin(&mut self, now: u64) -> bool {
        let due = !self.under_way && self.next.is_some_and(|next| next <= now);
        if due {
            self.next = None;
            self.under_way = true;
        }
        due
    }

    pub(super) fn ended(&mut self) {
        self.under_way = false;
        self.next = None;
        self.wait = (self.wait * 2).min(WAIT.1);
    }

    /// The network has changed: what failed before may work now.
    pub(super) fn retry_now(&mut self, now: u64) {
        self.wait = WAIT.0;
        self.next = self.next.map(|next| next.min(now.saturating_add(WAIT.0)));
    }

    pub(super) fn next_moment(&self) -> Option<u64> {
        self.next
    }
}

impl Machine {
    /// The VPN that would be brought back now: the one that was there last; else the only one there is.
    ///
    /// # Errors
    /// [`NoReconnectTarget`], for people.
    pub fn reconnect_target(&self) -> Result<ReconnectTarget, NoReconnectTarget> {
        let Some(view) = &self.facts.manager else {
            return self.client().unwrap_or(Err(NoReconnectTarget::NoNetworkManager));
        };
        let counts = |profile: &&Profile| self.facts.config.vpn.counts(&profile.uuid, &profile.id);
        let mut counting = view.profiles.iter().filter(counts);
        let of = |profile: &Profile| {
            ReconnectTarget::Profile(ManagedVpn { uuid: profile.uuid.clone(), name: profile.id.clone() })
        };
        if let Some(LastVpn::Profile { uuid, .. }) = self.last()
            && let Some(profile) = counting.clone().find(|profile| profile.uuid == *uuid)
        {
            return Ok(of(profile));
        }
        if let Some(client) = self.client() {
            return client;
        }
        match (counting.next(), counting.next()) {
            (Some(only), None) => Ok(of(only)),
            (Some(_), Some(_)) => Err(NoReconnectTarget::Several),
            (None, _) => Err(NoReconnectTarget::NoProfile),
        }
    }

    /// The VPN that was there last, if it was not NetworkManager's.
    fn client(&self) -> Option<Result<ReconnectTarget, NoReconnectTarget>> {
        match self.last()?.clone() {
            LastVpn::Client { interface, unit: Some(unit), .. } => {
                Some(Err(NoReconnectTarget::Unit(interface, unit)))
            }
            LastVpn::Client { interface, unit: None, program } => {
                let all = self.facts.learning.all();
                let named_by = |origin| {
                    let mut files = all.iter().filter(|(_, vpn)| vpn.origin == origin);
                    files.find(|(_, vpn)| vpn.interface.as_ref() == Some(&interface))
                };
                let is_openvpn = program == ClientProgram::OpenVpn || named_by(Origin::OpenVpn).is_some();
                Some(match named_by(Origin::WireGuard) {
                    Some((key, _)) if wireguard_path(key).ends_with(".netdev") => {
                        Err(NoReconnectTarget::Networkd(interface))
                    }
                    Some((key, vpn)) if vpn.counts(key, self.config()) && is_in_a_unit_s_name(&interface) => {
                        Ok(ReconnectTarget::WgQuick(interface))
                    }
                    Some(_) => Err(NoReconnectTarget::WgQuick(interface)),
                    None if is_openvpn => Err(NoReconnectTarget::OpenVpn(interface)),
                    None => Err(NoReconnectTarget::Unknown(interface)),
                })
            }
            LastVpn::Profile { .. } => None,
        }
    }

    /// Whether this VPN carries now.
    pub fn carries(&self, reconnect_target: &ReconnectTarget) -> bool {
        self.claims.stands_as(reconnect_target, Standing::Carrying)
    }

    /// Begins the attempt that is due, if there is one.
    pub(super) fn begin_attempt_if_due(&mut self, now: u64) -> Option<Action> {
        let wanted = self.facts.config.vpn.reconnect == Reconnect::Auto && self.state() != State::Paused;
        let reconnect_target = if wanted { self.reconnect_target().ok() } else { None };
        let (claims, routed_past) = (&self.claims, Standing::Failed(Reason::RoutedPast));
        let is_routed_past =
            |reconnect_target: &ReconnectTarget| claims.stands_as(reconnect_target, routed_past);
        let switch_timeout =
            reconnect_target.as_ref().map_or(0, |reconnect_target| self.switch_timeout(reconnect_target));
        match (self.state_without_pause(), &reconnect_target) {
            (State::Protected, _) => self.backoff.protected(now),
            // Its tunnel is there. To start it again does not remove the routes that lead past it.
            (State::Lost, Some(reconnect_target)) if is_routed_past(reconnect_target) => {
                self.backoff.cancel_next()
            }
            (State::Lost, Some(_)) => self.backoff.lost(switch_timeout, now),
            (State::Lost, None) | (State::Connecting, _) => self.backoff.cancel_next(),
            (State::Locked | State::Paused, _) => self.backoff.reset(),
        }
        if self.state_without_pause() == State::Lost && self.awaits_names(now) {
            return None;
        }
        reconnect_target.filter(|_| self.backoff.begin(now)).map(Action::Reconnect)
    }

    /// Has the names of wg-quick's servers looked up once after the loss: wg-quick looks them up only when it
    /// starts, and a server may have moved. Returns whether an answer is still missing.
    fn awaits_names(&mut self, now: u64) -> bool {
        let Ok(ReconnectTarget::WgQuick(interface)) = self.reconnect_target() else { return false };
        let file = self.facts.learning.file_of(&interface).filter(|vpn| vpn.origin == Origin::WireGuard);
        let Some(file) = file else { return false };
        // A time ahead of the clock means that the clock was set back: then the known addresses are used.
        let (names, since) = (file.host_names().collect(), self.since());
        since <= now && self.facts.names.await_answers(names, since)
    }

    /// How long a client may try by itself: while it runs, its server is silent, and it has other servers.
    fn switch_timeout(&self, reconnect_target: &ReconnectTarget) -> u64 {
        let ReconnectTarget::Profile(ManagedVpn { uuid, .. }) = reconnect_target else { return 0 };
        let profiles = self.facts.manager.iter().flat_map(|view| &view.profiles);
        let mut profiles = profiles.filter(|profile| profile.uuid == *uuid);
        let several = profiles.any(|profile| profile.endpoints.len() + profile.names.len() > 1);
        if several && self.claims.tries_its_servers(uuid) { SWITCH_TIMEOUT } else { 0 }
    }
}

/// Whether systemd takes the name as it is for the instance of a unit.
fn is_in_a_unit_s_name(interface: &IfName) -> bool {
    interface.as_str().chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

#[cfg(test)]
mod tests;
