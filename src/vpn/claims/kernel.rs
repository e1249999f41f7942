//! Claims of tunnels that the kernel alone shows: nobody reports them, and traffic is routed into them.

use std::collections::BTreeSet;

use super::Claims;
use crate::config::Routes;
use crate::net::{Endpoint, IfName};
use crate::vpn::Link;
use crate::vpn::claim::{Claim, Claimant, Evidence, Standing};
use crate::vpn::facts::Facts;

impl Claims {
    /// Drops the kernel's claims that another source has taken over, that do not count any more, or whose link
    /// is gone; and those without a known server, once a source that knows its server protects. Another claim
    /// that protects until now stays: `weigh` ends it and announces the loss.
    pub(super) fn drop_kernel_claims(&mut self, facts: &Facts) {
        self.retired.retain(|index| facts.links.links.iter().any(|link| link.index == *index));
        let others = self.list.iter().filter(|claim| claim.claimant != Claimant::Kernel);
        let protected = others.clone().any(|claim| claim.standing == Standing::Carrying);
        let names: BTreeSet<IfName> = others.filter_map(|claim| claim.interface.clone()).collect();
        self.list.retain(|claim| {
            let Some(interface) = claim.interface.as_ref().filter(|_| claim.claimant == Claimant::Kernel)
            else {
                return true;
            };
            let failed = matches!(claim.standing, Standing::Failed(_));
            let is_gone = failed && claim.link(&facts.links, &facts.config).is_none();
            let is_needless = protected && claim.endpoints.is_empty();
            !names.contains(interface) && !is_gone && !is_needless && facts.tunnel_counts(interface)
        });
    }

    /// The tunnels that the kernel shows and that no source has claimed.
    pub(super) fn unclaimed(&self, facts: &Facts, evidence: &Evidence<'_>, now: u64) -> Vec<Claim> {
        if !facts.has_begun {
            return Vec::new();
        }
        let of_users = &facts.links.of_users;
        let fresh = facts.links.tunnels(&facts.config).filter(|link| !of_users.contains(&link.index));
        let fresh = fresh.filter(|link| self.is_unclaimed(link));
        let claims = fresh.filter_map(|link| {
            let interface: IfName = link.name.parse().ok()?;
            let servers = facts.endpoints_of_interface(&interface);
            // Without a known server every known server would be allowed. While a source that knows its
            // server protects, or is about to report one, that would be too much.
            if !facts.tunnel_counts(&interface) || servers.is_empty() && self.awaits_a_report(facts) {
                return None;
            }
            // Any user can have NetworkManager make a link with a default route that no traffic takes.
            let default = facts.config.tunnel.routes == Routes::Default;
            if default && !facts.links.has_the_internet(link, &facts.config) {
                return None;
            }
            let name = interface.to_string();
            let mut claim = Claim::new(Claimant::Kernel, name, Some(interface), servers, now);
            claim.index = Some(link.index);
            claim.objection(evidence).is_none().then_some(claim)
        });
        claims.collect()
    }

    /// A link stays claimed after its claim has ended: the end of the claim is also the end of the tunnel.
    fn is_unclaimed(&self, link: &Link) -> bool {
        let own = |claim: &Claim| {
            let named = claim.interface.as_ref().is_some_and(|name| name.as_str() == link.name);
            named || claim.index == Some(link.index)
        };
        !self.retired.contains(&link.index) && !self.list.iter().any(own)
    }

    fn awaits_a_report(&self, facts: &Facts) -> bool {
        let others = self.list.iter().filter(|claim| claim.claimant != Claimant::Kernel);
        let speaks = |claim: &Claim| {
            claim.standing == Standing::Carrying || claim.is_managed() && claim.standing == Standing::Coming
        };
        others.clone().any(speaks) || facts.sockets.is_heard()
    }

    /// Notes the servers of the kernel's claims: a file may name others now.
    pub(in crate::vpn) fn find_servers_of_kernel(&mut self, facts: &Facts) {
        for claim in self.list.iter_mut().filter(|claim| claim.claimant == Claimant::Kernel) {
            let Some(interface) = &claim.interface else { continue };
            let servers = facts.endpoints_of_interface(interface);
            let heard = claim.heard.filter(|server| servers.contains(server));
            claim.endpoints = heard.map_or(servers, |server| BTreeSet::<Endpoint>::from([server]));
        }
    }
}
