//! A server that sends nothing although packets are sent to it: which servers to listen for, and what follows
//! from a silence.
//!
//! Neither NetworkManager nor a hook reports that a server has died. An idle tunnel is not a silence. The
//! network can forge every packet on the wire, so a silence ends only by what the client has authenticated: a
//! packet out of the tunnel, or a report that the client is connected again.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::claim::{Claim, Claimant, Ending, Standing};
use super::{Machine, Reason, State};
use crate::net::Endpoint;

/// So many endpoints are told apart; a profile with more is not listened to. OpenVPN takes no more
/// `remote` lines.
const MOST: usize = 64;

/// How many looks a silence is long.
pub const LOOKS: u32 = 3;

/// One tunnel's server, to be listened for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// Which tunnel's.
    pub tunnel: TunnelId,
    /// What comes from any of these counts.
    pub servers: BTreeSet<Endpoint>,
    /// The tunnel's link: what goes into it is sent to the server, what comes out of it is carried.
    pub link: u32,
    /// What is waited for.
    pub wait: Wait,
}

/// Which tunnel, for as long as it is claimed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TunnelId(String);

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// That nothing comes for so many seconds, while packets are sent.
    Silence(u64),
    /// That something comes out of the tunnel again.
    Recovery,
}

/// Servers that have to be reached past a tunnel that is dead and still holds the default route.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Detours {
    /// The servers' addresses.
    pub servers: BTreeSet<IpAddr>,
    /// The links that may lead to them, by index.
    pub uplinks: BTreeSet<u32>,
}

/// What one look found, counted since the look before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Something came.
    Heard,
    /// Nothing came; whether anything was sent is not known.
    Quiet,
    /// Nothing came, and something was sent.
    Unanswered,
    /// Nothing came, and nothing was sent.
    Idle,
}

/// Looks that found nothing, in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Silence(u32);

impl Silence {
    /// Takes in a look; whether the server counts as silent now.
    pub fn take(&mut self, look: Look) -> bool {
        match look {
            Look::Heard => self.0 = 0,
            // What was sent in the first of them is not known: it counts with those that follow.
            Look::Quiet => self.0 = self.0.max(1),
            Look::Unanswered => self.0 += 1,
            Look::Idle => {}
        }
        self.0 >= LOOKS
    }
}

impl TunnelId {
    /// As a test says it.
    #[cfg(test)]
    pub(super) fn named(name: String) -> Self {
        Self(name)
    }

    pub(super) fn of(claim: &Claim) -> Self {
        Self(match &claim.claimant {
            Claimant::NetworkManager { path, .. } => path.clone(),
            Claimant::Hook => {
                format!("hook:{}", claim.interface.as_ref().map_or("", |interface| interface.as_str()))
            }
            Claimant::Management { file, .. } => format!("openvpn:{file}"),
        })
    }
}

impl Machine {
    /// The tunnels whose servers are silent, for a successor.
    pub fn silent_tunnels(&self) -> BTreeSet<TunnelId> {
        let silent = |claim: &&Claim| claim.standing == Standing::Failed(Reason::SilentServer);
        self.claims.iter().filter(silent).map(TunnelId::of).chain(self.silent.clone()).collect()
    }

    /// Whose servers were silent when a forerunner last listened: nothing but their own voice mends that.
    pub fn recall_silent(&mut self, tunnels: BTreeSet<TunnelId>) {
        self.silent = tunnels;
    }

    pub(super) fn remember_silence(&mut self, now: u64) {
        for claim in &mut self.claims {
            if self.silent.remove(&TunnelId::of(claim)) {
                claim.stand(Standing::Failed(Reason::SilentServer), now);
            }
        }
    }

    /// Which servers are to be listened for now.
    pub fn listening(&self) -> Vec<Listening> {
        let Some(seconds) = self.config.vpn.silence else { return Vec::new() };
        let listening = self.claims.iter().filter_map(|claim| {
            let (servers, wait) = match claim.standing {
                Standing::Carrying => (claim.endpoints.clone(), Wait::Silence(seconds)),
                Standing::Failed(Reason::SilentServer) => (self.servers(claim), Wait::Recovery),
                Standing::Coming | Standing::Failed(_) => return None,
            };
            let fit = (1..=MOST).contains(&servers.len());
            let (tunnel, link) = (TunnelId::of(claim), claim.index?);
            fit.then_some(Listening { tunnel, servers, link, wait })
        });
        listening.collect()
    }

    /// Every server that a tunnel may have by now: a client goes from one to the next by itself.
    fn servers(&self, claim: &Claim) -> BTreeSet<Endpoint> {
        let mut servers = match &claim.claimant {
            Claimant::NetworkManager { uuid, .. } => self.known().endpoints_of_profile(uuid),
            Claimant::Hook => self.known().allowance(State::Lost).endpoints.into_keys().collect(),
            Claimant::Management { file, .. } => self.known().endpoints_of_file(file),
        };
        servers.extend(&claim.endpoints);
        servers
    }

    /// Which servers a client of a dead tunnel may go on to, and the one that it has gone on to. Those
    /// on the link of an uplink need no way.
    pub fn detours(&self) -> Detours {
        let servers = self.claims.iter().flat_map(|claim| match (claim.standing, claim.heard) {
            (Standing::Failed(Reason::SilentServer), _) => self.servers(claim),
            (Standing::Failed(Reason::ClientRestarts | Reason::ManagementRestarts), _)
                if !claim.is_managed() =>
            {
                self.servers(claim)
            }
            (_, Some(server)) => BTreeSet::from([server]),
            (_, None) => BTreeSet::new(),
        });
        let uplinks: Vec<_> = self.links.uplinks(&self.config);
        let links = uplinks.iter().filter_map(|uplink| self.links.named(&uplink.interface));
        let on_link = |server: &IpAddr| {
            links.clone().any(|link| link.addresses.iter().any(|network| network.contains(server)))
        };
        let servers: BTreeSet<_> = servers.map(|server| server.address()).collect();
        let servers: BTreeSet<_> = servers.into_iter().filter(|server| !on_link(server)).take(MOST).collect();
        let uplinks = links.clone().map(|link| link.index);
        let uplinks = uplinks.filter(|_| !servers.is_empty()).collect();
        Detours { servers, uplinks }
    }

    /// Nothing has come for as long as is borne.
    pub(super) fn silent(&mut self, tunnel: &TunnelId, now: u64) -> Option<Ending> {
        let mut claims = self.claims.iter_mut();
        let claim = claims.find(|claim| TunnelId::of(claim) == *tunnel)?;
        if claim.standing == Standing::Carrying { claim.fail(Reason::SilentServer, now) } else { None }
    }

    /// Something has come out of the tunnel, and its client sends to this server: that is the one in use now.
    pub(super) fn heard(&mut self, tunnel: &TunnelId, server: Endpoint, now: u64) {
        let place = self.claims.iter().position(|claim| {
            TunnelId::of(claim) == *tunnel && claim.standing == Standing::Failed(Reason::SilentServer)
        });
        let Some(place) = place else { return };
        if !self.servers(&self.claims[place]).contains(&server) {
            return;
        }
        let claim = &mut self.claims[place];
        claim.endpoints = BTreeSet::from([server]);
        claim.heard = Some(server);
        // Whether the tunnel carries is for the kernel to say.
        claim.stand(Standing::Failed(Reason::Ended), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silent_after(looks: &[Look]) -> Option<usize> {
        let mut silence = Silence::default();
        looks.iter().position(|look| silence.take(*look)).map(|place| place + 1)
    }

    #[test]
    fn an_idle_tunnel_is_not_silent_however_long() {
        assert_eq!(silent_after(&[Look::Idle; 1000]), None);
        let mut idle = vec![Look::Quiet];
        idle.extend([Look::Idle; 1000]);
        assert_eq!(silent_after(&idle), None);
        // One packet after a long time is not a silence either.
        idle.push(Look::Unanswered);
        assert_eq!(silent_after(&idle), None);
    }

    #[test]
    fn whoever_is_spoken_to_and_says_nothing_is_silent() {
        let (quiet, sent) = (Look::Quiet, Look::Unanswered);
        assert_eq!(silent_after(&[quiet, sent, sent]), Some(3));
        assert_eq!(silent_after(&[quiet, Look::Idle, sent, Look::Idle, sent]), Some(5));
    }

    #[test]
    fn one_word_begins_it_anew() {
        let (quiet, sent) = (Look::Quiet, Look::Unanswered);
        assert_eq!(silent_after(&[quiet, sent, Look::Heard, quiet, sent, Look::Heard]), None);
        assert_eq!(silent_after(&[quiet, sent, Look::Heard, quiet, sent, sent]), Some(6));
    }
}
