//! Claims whose servers are silent: which servers to listen for, and which way leads to them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::Claims;
use crate::net::Endpoint;
use crate::vpn::claim::{Claim, Claimant, Ending, Standing};
use crate::vpn::device::{HANDSHAKE_TIMEOUT, Readings};
use crate::vpn::facts::Facts;
use crate::vpn::known::Known;
use crate::vpn::{Answered, Detours, Link, LinkKind, Listening, Reason, Sender, State, TunnelId, Wait};

/// Maximum number of servers of a tunnel that is listened to. OpenVPN takes no more `remote` lines.
const MAX_SERVERS: usize = 64;

impl Claims {
    /// The tunnels whose servers are silent, for the next agent.
    pub(in crate::vpn) fn silent_tunnels(&self) -> BTreeSet<TunnelId> {
        let silent = self.list.iter().filter(|claim| is_silent(claim));
        silent.map(TunnelId::of).chain(self.silent.clone()).collect()
    }

    /// A tunnel that was silent when the last agent listened is silent: only a packet out of it, or its
    /// client, ends that.
    pub(super) fn remember_silence(&mut self, now: u64) {
        if self.silent.is_empty() {
            return;
        }
        for claim in &mut self.list {
            if self.silent.remove(&TunnelId::of(claim)) {
                claim.set_standing(Standing::Failed(Reason::SilentServer), now);
            }
        }
    }

    /// The servers whose packets the agent must listen for now.
    pub(in crate::vpn) fn listening(&self, facts: &Facts) -> Vec<Listening> {
        let listening = self.list.iter().filter_map(|claim| {
            let seconds = silence(claim, facts)?;
            let (servers, wait) = match claim.standing {
                Standing::Carrying => (claim.endpoints.clone(), Wait::Silence(seconds)),
                Standing::Failed(Reason::SilentServer) => (self.servers(claim, facts), Wait::Recovery),
                Standing::Coming | Standing::Failed(_) => return None,
            };
            let fit = (1..=MAX_SERVERS).contains(&servers.len());
            let (tunnel, link) = (TunnelId::of(claim), claim.index?);
            let answered = match facts.sender(claim) {
                Sender::Client => Answered::All,
                Sender::Kernel => Answered::IntoTunnel,
            };
            fit.then_some(Listening { tunnel, servers, link, answered, wait })
        });
        listening.collect()
    }

    /// Every server that a tunnel may have now: a client goes from one server to the next by itself.
    fn servers(&self, claim: &Claim, facts: &Facts) -> BTreeSet<Endpoint> {
        let mut servers = match &claim.claimant {
            Claimant::NetworkManager { uuid, .. } => facts.endpoints_of_profile(uuid),
            Claimant::Hook => {
                let known = Known { facts, claims: &self.list };
                known.allowance(State::Lost).endpoints.into_keys().collect()
            }
            Claimant::Management { file, .. } => facts.endpoints_of_file(file),
            Claimant::Kernel => BTreeSet::new(),
        };
        servers.extend(&claim.endpoints);
        servers
    }

    /// The servers that the client of a dead tunnel may connect to next, and the one that it has connected
    /// to. A server on the link of an uplink needs no route past the tunnel.
    pub(in crate::vpn) fn detours(&self, facts: &Facts) -> Detours {
        let servers = self.list.iter().flat_map(|claim| match (claim.standing, claim.heard) {
            (Standing::Failed(Reason::SilentServer), _) => self.servers(claim, facts),
            (Standing::Failed(Reason::ClientRestarts | Reason::ManagementRestarts), _)
                if !claim.is_managed() =>
            {
                self.servers(claim, facts)
            }
            (_, Some(server)) => BTreeSet::from([server]),
            (_, None) => BTreeSet::new(),
        });
        let servers: BTreeSet<IpAddr> = servers.map(|server| server.address()).collect();
        if servers.is_empty() {
            return Detours::default();
        }
        let uplinks = facts.links.uplinks(&facts.config);
        let links = uplinks.iter().filter_map(|uplink| facts.links.named(&uplink.interface));
        let on_link = |server: &IpAddr| {
            links.clone().any(|link| link.addresses.iter().any(|network| network.contains(server)))
        };
        let servers: BTreeSet<_> =
            servers.into_iter().filter(|server| !on_link(server)).take(MAX_SERVERS).collect();
        let uplinks = links.clone().map(|link| link.index);
        let uplinks = uplinks.filter(|_| !servers.is_empty()).collect();
        Detours { servers, uplinks }
    }

    /// Nothing has come from the server for the time in [`Wait::Silence`].
    pub(in crate::vpn) fn silent(&mut self, tunnel: &TunnelId, now: u64) -> Option<Ending> {
        let claim = self.list.iter_mut().find(|claim| TunnelId::of(claim) == *tunnel)?;
        if claim.standing == Standing::Carrying { claim.fail(Reason::SilentServer, now) } else { None }
    }

    /// Takes in which WireGuard devices, by index, get no answer, and which get one again. Returns the protection that
    /// has ended. A handshake ends a silence only where the agent does not wait for a packet out of the tunnel.
    pub(in crate::vpn) fn take_readings(
        &mut self,
        Readings { silent, answered, .. }: &Readings,
        facts: &Facts,
        now: u64,
    ) -> Vec<Ending> {
        let mut endings = Vec::new();
        for claim in self.list.iter_mut().filter(|claim| facts.sender(claim) == Sender::Kernel) {
            let is_of = |indexes: &[u32]| claim.index.is_some_and(|index| indexes.contains(&index));
            if claim.standing == Standing::Carrying && is_of(silent) {
                endings.extend(claim.fail(Reason::SilentServer, now));
            } else if is_silent(claim) && facts.config.vpn.silence.is_none() && is_of(answered) {
                // The kernel decides whether the tunnel carries packets.
                claim.set_standing(Standing::Failed(Reason::Ended), now);
            }
        }
        endings
    }

    /// Something has come out of the tunnel, and its client sends to this server: that is the one in use now.
    pub(in crate::vpn) fn heard(&mut self, tunnel: &TunnelId, server: Endpoint, facts: &Facts, now: u64) {
        let place = self.list.iter().position(|claim| TunnelId::of(claim) == *tunnel && is_silent(claim));
        let Some(place) = place else { return };
        if !self.servers(&self.list[place], facts).contains(&server) {
            return;
        }
        let claim = &mut self.list[place];
        claim.endpoints = BTreeSet::from([server]);
        claim.heard = Some(server);
        // The kernel decides whether the tunnel carries packets.
        claim.set_standing(Standing::Failed(Reason::Ended), now);
        // A device may send to another server by now.
        self.find_servers_of_kernel(facts);
    }

    /// Whether the client of this VPN runs and its server is silent.
    pub(in crate::vpn) fn tries_its_servers(&self, uuid: &str) -> bool {
        let tries = |claim: &Claim| claim.uuid() == Some(uuid) && is_silent(claim) && !claim.is_unlisted;
        self.list.iter().any(tries)
    }
}

/// How long the servers of a claim may be silent, in seconds; `None` without a limit. Programs such as boringtun do not count
/// the packets that they cannot send, so what goes into their devices is counted here.
fn silence(claim: &Claim, facts: &Facts) -> Option<u64> {
    let configured = facts.config.vpn.silence;
    let link = claim.link(&facts.links, &facts.config);
    let is_program = |link: &Link| link.kind == LinkKind::Tunnel && facts.devices.of(link).is_some();
    if facts.sender(claim) == Sender::Kernel && link.is_some_and(is_program) {
        return Some(configured.map_or(HANDSHAKE_TIMEOUT, |seconds| seconds.min(HANDSHAKE_TIMEOUT)));
    }
    configured
}

fn is_silent(claim: &Claim) -> bool {
    claim.standing == Standing::Failed(Reason::SilentServer)
}
