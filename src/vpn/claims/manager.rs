//! How NetworkManager's view changes the claims.

use std::collections::BTreeSet;

use super::Claims;
use crate::vpn::claim::{Claim, Claimant, Ending, Standing};
use crate::vpn::facts::Facts;
use crate::vpn::{ActiveVpn, NmView, Reason, VpnEnd, VpnPhase};

impl Claims {
    /// Takes in NetworkManager's view, which is in `facts` already. Returns the protection that has ended.
    pub(in crate::vpn) fn take_view(&mut self, facts: &Facts, now: u64) -> Vec<Ending> {
        let view = facts.manager.as_ref();
        let active = || view.iter().flat_map(|view: &&NmView| &view.active);
        let mut endings = Vec::new();
        for active in active() {
            match active.phase {
                VpnPhase::Ended(end) => endings.extend(self.ended(active, end)),
                VpnPhase::Connecting | VpnPhase::Activated => self.claim(active, facts, now),
            }
        }
        // A connection that NetworkManager no longer lists may still carry packets: NetworkManager was
        // stopped or killed, and the client goes on. The kernel shows when that is over.
        for claim in &mut self.list {
            let is_listed = active().any(|active| claim.is_path(&active.path));
            claim.is_unlisted = claim.is_managed() && !is_listed;
        }
        self.drop_what_does_not_count(facts);
        endings
    }

    /// The configuration is different: other connections may count.
    pub(in crate::vpn) fn count_again(&mut self, facts: &Facts, now: u64) {
        let view = facts.manager.as_ref();
        for active in view.iter().flat_map(|view| &view.active) {
            if !self.list.iter().any(|claim| claim.is_path(&active.path)) {
                self.claim(active, facts, now);
            }
        }
        self.drop_what_does_not_count(facts);
        self.find_servers(facts);
    }

    /// Finds the servers of the claims again, after a name has got other addresses: a client that connects to that name
    /// may use each of them.
    pub(in crate::vpn) fn find_servers(&mut self, facts: &Facts) {
        let view = facts.manager.as_ref();
        for active in view.iter().flat_map(|view| &view.active) {
            let own = self.list.iter_mut().find(|claim| claim.is_path(&active.path));
            if let Some(claim) = own {
                set_servers(claim, active, facts);
            }
        }
        self.find_servers_of_kernel(facts);
    }

    /// The agent is about to end this connection in order to start it again. It is not the user who ends it.
    pub(in crate::vpn) fn restarting(&mut self, path: &str) {
        for claim in self.list.iter_mut().filter(|claim| claim.is_path(path)) {
            claim.restarting = true;
        }
    }

    fn drop_what_does_not_count(&mut self, facts: &Facts) {
        let counts = |claim: &Claim| match &claim.claimant {
            Claimant::NetworkManager { uuid, .. } => facts.counts(uuid, &claim.name),
            Claimant::Management { file, .. } => facts.file_counts(file),
            Claimant::Hook | Claimant::Kernel => true,
        };
        let will_never_come = |claim: &Claim| claim.is_unlisted && claim.standing == Standing::Coming;
        self.list.retain(|claim| counts(claim) && !will_never_come(claim));
    }

    fn claim(&mut self, active: &ActiveVpn, facts: &Facts, now: u64) {
        if !facts.counts(&active.uuid, &active.id) {
            return;
        }
        let known = self.list.iter_mut().find(|claim| claim.is_path(&active.path));
        let Some(claim) = known else {
            let claimant = Claimant::NetworkManager { path: active.path.clone(), uuid: active.uuid.clone() };
            let (name, interface) = (active.id.clone(), active.interface.clone());
            let mut claim = Claim::new(claimant, name, interface, facts.endpoints_of(active), now);
            claim.mark = active.mark;
            self.list.push(claim);
            return;
        };
        set_servers(claim, active, facts);
        claim.mark = active.mark;
        // NetworkManager forgets the interface of a client that died before the link is gone. The
        // announcement of the loss has to name it.
        if active.interface.is_some() && claim.interface != active.interface {
            claim.interface = active.interface.clone();
            claim.index = None;
        }
        if active.phase == VpnPhase::Connecting {
            // Its next link may have the same name as the last one.
            claim.interface = active.interface.clone();
            claim.index = None;
            claim.heard = None;
            claim.set_standing(Standing::Coming, now);
        }
    }

    fn ended(&mut self, active: &ActiveVpn, end: VpnEnd) -> Option<Ending> {
        let place = self.list.iter().position(|claim| claim.is_path(&active.path))?;
        let reason = match end {
            VpnEnd::User if self.list[place].restarting => Some(Reason::Restarted),
            VpnEnd::User => None,
            VpnEnd::Device => Some(Reason::DeviceGone),
            VpnEnd::ServiceStopped => Some(Reason::ServiceStopped),
            VpnEnd::Timeout | VpnEnd::Secrets | VpnEnd::Other(_) => Some(Reason::Ended),
        };
        self.ended_links.extend(self.list[place].index);
        Some(self.list.remove(place).end(reason))
    }
}

/// The servers of a connection. A client that has gone on to another of its servers does not report that:
/// the server that it reached again after a loss stays the one in use.
fn set_servers(claim: &mut Claim, active: &ActiveVpn, facts: &Facts) {
    let profile = || facts.endpoints_of_profile(&active.uuid);
    let heard = claim.heard.filter(|server| profile().contains(server));
    claim.endpoints = heard.map_or_else(|| facts.endpoints_of(active), |server| BTreeSet::from([server]));
}
