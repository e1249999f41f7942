//! How what NetworkManager and the hooks say changes the claims.

use std::collections::BTreeSet;

use super::claim::{Claim, Claimant, Ending, Standing};
use super::learned::{LearnedVpn, Origin, hook_key};
use super::{
    ActiveVpn, Lineage, Machine, NmView, Reason, Report, ReportKind, Reporter, Sender, VpnEnd, VpnPhase,
};

impl Machine {
    pub(super) fn network_manager(&mut self, view: Option<NmView>, now: u64) -> Vec<Ending> {
        self.nm = view;
        let view = self.nm.clone().unwrap_or_default();
        if self.nm.is_some() {
            self.learn_profiles(&view);
        }
        let mut endings = Vec::new();
        for active in &view.active {
            match active.phase {
                VpnPhase::Ended(end) => endings.extend(self.ended(active, end)),
                VpnPhase::Connecting | VpnPhase::Activated => self.claim(active, now),
            }
        }
        // What NetworkManager no longer speaks of may still carry: it was stopped or killed, and the
        // client goes on. The kernel says when that is over.
        for claim in &mut self.claims {
            let live = view.active.iter().any(|active| claim.is_path(&active.path));
            claim.orphan = claim.is_managed() && !live;
        }
        let counts = |claim: &Claim| match &claim.claimant {
            Claimant::NetworkManager { uuid, .. } => self.counts(uuid, &claim.name),
            Claimant::Hook | Claimant::Management { .. } => true,
        };
        let told_by_nobody = |claim: &Claim| claim.orphan && claim.standing == Standing::Coming;
        let stays = |claim: &Claim| counts(claim) && !told_by_nobody(claim);
        self.claims = self.claims.iter().filter(|claim| stays(claim)).cloned().collect();
        // An ending is told once: it must not end a later connection that has the same path.
        if let Some(view) = &mut self.nm {
            view.active.retain(|active| !matches!(active.phase, VpnPhase::Ended(_)));
        }
        endings
    }

    /// Whether a connection counts: under the name it was brought up with, and under the one its
    /// profile has now.
    fn counts(&self, uuid: &str, name: &str) -> bool {
        let mut profiles = self.nm.iter().flat_map(|view| &view.profiles);
        let renamed = profiles.find(|profile| profile.uuid == uuid);
        self.config.vpn.counts(uuid, name)
            && renamed.is_none_or(|profile| self.config.vpn.counts(uuid, &profile.id))
    }

    fn claim(&mut self, active: &ActiveVpn, now: u64) {
        if !self.counts(&active.uuid, &active.id) {
            return;
        }
        let endpoints = self.known().endpoints_of(active);
        let profile = self.known().endpoints_of_profile(&active.uuid);
        // A profile that has only a name for its server: the plugin has told the address. What a
        // resolver has told is kept with its name.
        if let Some(vpn) = self.learned.get_mut(&active.uuid).filter(|_| active.gateway.is_some()) {
            vpn.endpoints.extend(endpoints.iter().copied());
        }
        let known = self.claims.iter_mut().find(|claim| claim.is_path(&active.path));
        let Some(claim) = known else {
            let claimant = Claimant::NetworkManager { path: active.path.clone(), uuid: active.uuid.clone() };
            let mut claim = Claim::new(claimant, active.id.clone(), active.interface.clone(), endpoints, now);
            claim.mark = active.mark;
            self.claims.push(claim);
            return;
        };
        // A client that has gone on to another of its servers says so to nobody.
        let heard = claim.heard.filter(|server| profile.contains(server));
        claim.endpoints = heard.map_or(endpoints, |server| BTreeSet::from([server]));
        claim.mark = active.mark;
        // NetworkManager forgets the interface of a client that died before the link is gone; whoever is
        // told of the loss wants to know which it was.
        if active.interface.is_some() && claim.interface != active.interface {
            claim.interface = active.interface.clone();
            claim.index = None;
        }
        if active.phase == VpnPhase::Connecting {
            // Its next link may have the name of its last.
            claim.interface = active.interface.clone();
            claim.index = None;
            claim.heard = None;
            claim.stand(Standing::Coming, now);
        }
    }

    fn ended(&mut self, active: &ActiveVpn, end: VpnEnd) -> Option<Ending> {
        let place = self.claims.iter().position(|claim| claim.is_path(&active.path))?;
        let reason = match end {
            VpnEnd::User if self.claims[place].restarting => Some(Reason::Restarted),
            VpnEnd::User => None,
            VpnEnd::Device => Some(Reason::DeviceGone),
            VpnEnd::ServiceStopped => Some(Reason::ServiceStopped),
            VpnEnd::Timeout | VpnEnd::Secrets | VpnEnd::Other(_) => Some(Reason::Ended),
        };
        Some(self.claims.remove(place).end(reason))
    }

    pub(super) fn report(&mut self, report: Report, reporter: Reporter, now: u64) -> Vec<Ending> {
        if !self.may_report(&report, &reporter) {
            return Vec::new();
        }
        match reporter {
            Reporter::Root => self.root_report(report, now),
            Reporter::Client(lineage) => self.client_report(&report, &lineage, now),
        }
    }

    fn root_report(&mut self, report: Report, now: u64) -> Vec<Ending> {
        // The `down` of a process that is gone may come after the `up` of the next.
        let late = |claim: &Claim| report.kind != ReportKind::Up && claim.is_another_process(&report);
        let hook = |claim: &Claim| {
            claim.claimant == Claimant::Hook
                && claim.interface.as_ref() == Some(&report.interface)
                && !late(claim)
        };
        let place = self.claims.iter().position(hook);
        match (report.kind, place) {
            (ReportKind::Up, place) => {
                // Of one client the hook has the word from now on: it names the interface itself.
                let of_socket = |claim: &Claim| {
                    let own = report.pid.is_some() && claim.pid == report.pid;
                    own && matches!(claim.claimant, Claimant::Management { .. })
                };
                let place = place.or_else(|| self.claims.iter().position(of_socket));
                let old = place.map(|place| self.claims.remove(place));
                self.claims.retain(|claim| !of_socket(claim));
                let name = report.interface.to_string();
                let endpoints = report.servers();
                let mut claim =
                    Claim::new(Claimant::Hook, name, Some(report.interface.clone()), endpoints, now);
                claim.pid = report.pid;
                claim.started = report.started;
                // `route-up` and `up` of one client tell of the same tunnel, each a part of it.
                if let Some(old) = old.filter(|old| old.pid == report.pid && !old.is_another_process(&report))
                {
                    claim.users = old.users;
                    claim.unit = old.unit;
                    if claim.endpoints.is_empty() {
                        claim.endpoints = old.endpoints;
                    }
                }
                if !claim.endpoints.is_empty() {
                    let endpoints = claim.endpoints.clone();
                    let vpn = LearnedVpn {
                        name: claim.name.clone(),
                        origin: Origin::Hook,
                        endpoints,
                        names: BTreeSet::new(),
                        user: None,
                        sender: Sender::Client,
                        mark: None,
                    };
                    self.learned.insert(hook_key(&claim.name), vpn);
                }
                self.claims.push(claim);
                Vec::new()
            }
            (ReportKind::DownAsked, Some(place)) => vec![self.claims.remove(place).end(None)],
            (ReportKind::DownLost, Some(place)) => {
                self.claims[place].fail(Reason::ClientRestarts, now).into_iter().collect()
            }
            (ReportKind::DownAsked | ReportKind::DownLost, None) => Vec::new(),
        }
    }

    /// Whether a report would be taken. From root always. A process of another user must descend from the
    /// VPN client of that very tunnel. It may call the tunnel lost, and take that back, and it chooses its
    /// server among those that are allowed at that moment.
    pub fn may_report(&self, report: &Report, reporter: &Reporter) -> bool {
        let Reporter::Client(lineage) = reporter else { return true };
        let mut claims = self.claims.iter().filter(|claim| claim.is_of(lineage));
        match report.kind {
            ReportKind::DownAsked | ReportKind::DownLost => {
                claims.any(|claim| claim.interface.as_ref() == Some(&report.interface))
            }
            ReportKind::Up => {
                let allowed = self.known().allowance(self.beneath()).endpoints;
                let named = report.servers();
                let servers = |claim: &Claim| {
                    let own = || claim.endpoints.iter().all(|server| allowed.contains_key(server));
                    named.iter().any(|server| allowed.contains_key(server)) || named.is_empty() && own()
                };
                let own: Vec<&Claim> = claims.filter(|claim| claim.is_reported_by(report)).collect();
                own.len() == 1 && own.into_iter().all(servers)
            }
        }
    }

    fn client_report(&mut self, report: &Report, lineage: &Lineage, now: u64) -> Vec<Ending> {
        let mut endings = Vec::new();
        let mut servers = report.servers();
        if report.kind == ReportKind::Up {
            let allowed = self.known().allowance(self.beneath()).endpoints;
            servers.retain(|server| allowed.contains_key(server));
        }
        for claim in self.claims.iter_mut().filter(|claim| claim.is_of(lineage)) {
            match report.kind {
                ReportKind::DownAsked | ReportKind::DownLost => {
                    if claim.interface.as_ref() == Some(&report.interface) {
                        endings.extend(claim.fail(Reason::ClientRestarts, now));
                    }
                }
                ReportKind::Up => {
                    if claim.is_reported_by(report) {
                        if !servers.is_empty() {
                            claim.endpoints.clone_from(&servers);
                        }
                        claim.heard = report.endpoint;
                        // Without `persist-tun` its link is another one of the same name.
                        claim.index = None;
                        claim.stand(Standing::Coming, now);
                    }
                }
            }
        }
        endings
    }

    pub(super) fn client_user(&mut self, pid: u32, uid: u32) {
        for claim in self.claims.iter_mut().filter(|claim| claim.pid == Some(pid)) {
            claim.users = BTreeSet::from([uid]);
        }
    }

    pub(super) fn client_unit(&mut self, pid: u32, unit: &str) {
        for claim in self.claims.iter_mut().filter(|claim| claim.pid == Some(pid)) {
            claim.unit = Some(unit.to_owned());
        }
    }

    pub(super) fn client_exited(&mut self, pid: u32) -> Vec<Ending> {
        let (gone, stay) = self.claims.drain(..).partition(|claim| claim.pid == Some(pid));
        self.claims = stay;
        let gone: Vec<Claim> = gone;
        gone.into_iter().map(|claim| claim.end(Some(Reason::ClientEnded))).collect()
    }
}
