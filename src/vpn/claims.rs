//! The claims: what sources say of tunnels, each compared with the kernel's own link table.
//!
//! Only this part changes a claim: `manager`, `reports`, `messages` and `silent` take in what the sources
//! report, and `kernel` the links that no source reports.

mod kernel;
mod manager;
mod messages;
mod reports;
mod silent;

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};

use self::kernel::Unclaimed;
use super::claim::{Claim, Claimant, Ending, Evidence, Finding, Standing};
use super::facts::Facts;
use super::known::Known;
use super::questions::Questions;
use super::resolved::InUse;
use super::{LastVpn, Reason, ReconnectTarget, Report, ReportKind, Sender, State, Tunnel, TunnelId};
use crate::net::IfName;

/// Every claim that stands.
#[derive(Debug, Clone, Default)]
pub(super) struct Claims {
    list: Vec<Claim>,
    /// Tunnels whose servers were silent when the last agent listened, and that nobody has claimed yet.
    silent: BTreeSet<TunnelId>,
    /// Links, by index, whose claims have ended: the link stays for a moment, and is no new tunnel.
    ended_links: BTreeSet<u32>,
    /// Links, by index, that carry traffic and wait for a report of their server, and since when.
    waiting: BTreeMap<u32, u64>,
    /// What NetworkManager is asked about links.
    pub(super) questions: Questions,
    /// Links, by index, that were there when the agent began.
    links_at_start: BTreeSet<u32>,
}

impl Claims {
    pub(super) fn new(silent: BTreeSet<TunnelId>) -> Self {
        Self { silent, ..Self::default() }
    }

    pub(super) fn all(&self) -> &[Claim] {
        &self.list
    }

    /// Compares each claim with the link table. Returns the protection that has ended.
    pub(super) fn compare(&mut self, facts: &Facts, now: u64) -> Vec<Ending> {
        self.find_links(facts);
        self.remember_silence(now);
        self.drop_kernel_claims(facts);
        let (Unclaimed { claims: fresh, waiting, asked }, mut findings): (Unclaimed, Vec<Finding>) = {
            let servers = LazyCell::new(|| {
                Known { facts, claims: &self.list }.allowance(State::Lost).servers().collect()
            });
            let servers = || LazyCell::force(&servers);
            let evidence = Evidence { links: &facts.links, config: &facts.config, servers: &servers };
            let findings = self.list.iter().map(|claim| facts.finding(claim, &evidence)).collect();
            (self.unclaimed(facts, &evidence, now), findings)
        };
        findings.extend(fresh.iter().map(|claim| Finding::Carries(claim.carried.clone())));
        self.list.extend(fresh);
        self.waiting = waiting;
        self.questions.keep(asked, facts, now);
        let mut endings = Vec::new();
        for (claim, finding) in self.list.iter_mut().zip(findings) {
            claim.note_link(&facts.links, &facts.config);
            endings.extend(claim.compare(finding, now));
        }
        self.list.retain(|claim| !claim.is_abandoned());
        endings
    }

    /// Whether a tunnel has this standing.
    pub(super) fn stands(&self, standing: Standing, facts: &Facts) -> bool {
        // A client without NetworkManager reports when its interface is there. Without the interface it does
        // not count as connecting.
        let counts = |claim: &Claim| claim.is_managed() || claim.link(&facts.links, &facts.config).is_some();
        self.list.iter().any(|claim| claim.standing == standing && counts(claim))
    }

    /// Whether a claim of this VPN has this standing.
    pub(super) fn stands_as(&self, reconnect_target: &ReconnectTarget, standing: Standing) -> bool {
        let own = |claim: &&Claim| match reconnect_target {
            ReconnectTarget::Profile(profile) => claim.uuid() == Some(profile.uuid.as_str()),
            ReconnectTarget::WgQuick(interface) => {
                claim.claimant == Claimant::Kernel && claim.interface.as_ref() == Some(interface)
            }
        };
        self.list.iter().filter(own).any(|claim| claim.standing == standing)
    }

    /// What the claims are about: profiles by UUID, files by path, and devices.
    pub(super) fn in_use(&self) -> BTreeSet<String> {
        let about = |claim: &Claim| match &claim.claimant {
            Claimant::NetworkManager { uuid, .. } => Some(uuid.clone()),
            Claimant::Management { file, .. } => Some(file.clone()),
            Claimant::Hook | Claimant::Kernel => claim.interface.as_ref().map(ToString::to_string),
        };
        self.list.iter().filter_map(about).collect()
    }

    /// The processes of VPN clients: what descends from one may report that its tunnel is lost, and that it is back.
    pub(super) fn clients(&self) -> BTreeSet<u32> {
        self.list.iter().filter_map(|claim| claim.pid).collect()
    }

    /// The servers of claimed tunnels. A client that carries packets proves the address of its server.
    /// The kernel sends to a WireGuard server without an answer, so that proves no address.
    pub(super) fn servers_in_use(&self, facts: &Facts) -> InUse {
        let mut in_use = InUse::default();
        for claim in &self.list {
            let is_proven = claim.standing == Standing::Carrying && facts.sender(claim) == Sender::Client;
            let proven = claim.endpoint().filter(|_| is_proven);
            in_use.proven.extend(proven.map(|server| server.address()));
            // A client whose tunnel was lost returns to the same server.
            in_use.possible.extend(claim.endpoints.iter().map(|server| server.address()));
        }
        in_use
    }

    /// The current VPN. One that carries packets comes before one that connects.
    pub(super) fn last(&self) -> Option<LastVpn> {
        let rank = |claim: &&Claim| match claim.standing {
            Standing::Carrying => Some((2, claim.since)),
            Standing::Coming => Some((1, claim.since)),
            Standing::Failed(_) => None,
        };
        let ranked = self.list.iter().filter(|claim| rank(claim).is_some());
        let claim = ranked.max_by_key(|claim| rank(claim))?;
        match (&claim.claimant, &claim.interface) {
            (Claimant::NetworkManager { uuid, .. }, _) => {
                Some(LastVpn::Profile { uuid: uuid.clone(), name: claim.name.clone() })
            }
            (Claimant::Hook | Claimant::Management { .. } | Claimant::Kernel, Some(interface)) => {
                let (interface, unit) = (interface.clone(), claim.unit.clone());
                Some(LastVpn::Client { interface, unit, program: claim.program() })
            }
            (Claimant::Hook | Claimant::Management { .. } | Claimant::Kernel, None) => None,
        }
    }

    /// The reports of root that still stand, so that the next agent can take them in.
    pub(super) fn reports(&self) -> Vec<Report> {
        let hooks = self.list.iter().filter(|claim| claim.claimant == Claimant::Hook);
        hooks
            .filter_map(|claim| {
                let (interface, (endpoint, either)) = (claim.interface.clone()?, claim.server());
                let up = Report {
                    kind: ReportKind::Up,
                    interface,
                    pid: claim.pid,
                    started: claim.started,
                    endpoint,
                    either,
                };
                // A tunnel that a hook has called lost, or that lost its link, does not come back by a link
                // alone.
                let lost = Report { kind: ReportKind::DownLost, ..up.clone() };
                Some(std::iter::once(up).chain(claim.awaits_its_client().then_some(lost)))
            })
            .flatten()
            .collect()
    }

    /// Sets when each tunnel came, as the last agent knew it, for the tunnels that are still there.
    pub(super) fn keep_since(&mut self, tunnels: &[Tunnel]) {
        for claim in &mut self.list {
            let carrying = claim.standing == Standing::Carrying;
            let before = tunnels.iter().find(|tunnel| {
                claim.interface.as_ref() == Some(&tunnel.interface)
                    && claim.name == tunnel.name
                    && carrying == tunnel.carrying
            });
            claim.since = before.map_or(claim.since, |tunnel| tunnel.since);
        }
    }

    /// The tunnels that are up and addressed.
    pub(super) fn tunnels(&self, facts: &Facts) -> Vec<Tunnel> {
        let mut tunnels: Vec<Tunnel> = Vec::new();
        let carrying = |claim: &&Claim| claim.standing == Standing::Carrying;
        let others = self.list.iter().filter(|claim| !carrying(claim));
        // Two claims may name one interface: the one that carries packets counts.
        for claim in self.list.iter().filter(carrying).chain(others) {
            let link = claim.link(&facts.links, &facts.config).filter(|link| link.is_addressed());
            let (Some(link), Some(interface)) = (link, claim.interface.clone()) else { continue };
            if tunnels.iter().any(|tunnel| tunnel.interface == interface) {
                continue;
            }
            tunnels.push(Tunnel {
                interface,
                addresses: link.own_addresses(),
                carrying: claim.standing == Standing::Carrying,
                endpoint: claim.endpoint(),
                source: claim.source(),
                name: claim.name.clone(),
                since: claim.since,
            });
        }
        tunnels
    }

    /// The only tunnels that may carry packets by their claims: `vpn.connections` names their VPNs, or root reported
    /// them. `None` if `vpn.connections` is empty.
    pub(super) fn named_tunnels(&self, facts: &Facts) -> Option<Vec<IfName>> {
        if facts.config.vpn.connections.is_empty() {
            return None;
        }
        // Only the claim's own link counts: another tunnel may have its name now.
        let own = self.list.iter().filter(|claim| claim.link(&facts.links, &facts.config).is_some());
        let mut names: Vec<IfName> = own.filter_map(|claim| claim.interface.clone()).collect();
        names.sort();
        names.dedup();
        Some(names)
    }

    pub(super) fn client_user(&mut self, pid: u32, uid: u32) {
        for claim in self.list.iter_mut().filter(|claim| claim.pid == Some(pid)) {
            claim.users = BTreeSet::from([uid]);
        }
    }

    pub(super) fn client_unit(&mut self, pid: u32, unit: &str) {
        for claim in self.list.iter_mut().filter(|claim| claim.pid == Some(pid)) {
            claim.unit = Some(unit.to_owned());
        }
    }

    pub(super) fn client_exited(&mut self, pid: u32) -> Vec<Ending> {
        self.end_claims(|claim| claim.pid == Some(pid), Some(Reason::ClientEnded))
    }

    /// Ends the claims that `is_gone` picks.
    fn end_claims(&mut self, is_gone: impl Fn(&Claim) -> bool, reason: Option<Reason>) -> Vec<Ending> {
        let (gone, stay): (Vec<Claim>, Vec<Claim>) = self.list.drain(..).partition(is_gone);
        self.list = stay;
        self.ended_links.extend(gone.iter().filter_map(|claim| claim.index));
        gone.into_iter().map(|claim| claim.end(reason)).collect()
    }
}
