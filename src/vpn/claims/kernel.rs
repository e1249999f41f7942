//! Claims of tunnels that the kernel alone shows: nobody reports them, and traffic is routed into them.

use std::collections::{BTreeMap, BTreeSet};

use super::Claims;
use crate::config::Routes;
use crate::net::{Endpoint, IfName};
use crate::vpn::claim::{Claim, Claimant, Evidence, Finding, Standing};
use crate::vpn::facts::Facts;
use crate::vpn::questions::Question;
use crate::vpn::{Link, LinkTable};

/// How long a tunnel without a known server waits for a client that may report it, in seconds.
const REPORT_TIMEOUT: u64 = 10;

/// Tunnels that the kernel shows and that no source has claimed.
#[derive(Debug, Default)]
pub(super) struct Unclaimed {
    /// Those that count now.
    pub(super) claims: Vec<Claim>,
    /// Those that wait for a report, by index, and since when.
    pub(super) waiting: BTreeMap<u32, u64>,
    /// The questions to NetworkManager about all of them, by index.
    pub(super) asked: BTreeMap<u32, Question>,
}

impl Claims {
    /// Drops the kernel's claims that another source has taken over, that do not count any more, or that have
    /// failed and lost their link. It also drops those without a known server, once a source that reports its
    /// tunnel protects. A claim that protected until now stays if only its link is gone: `compare` ends it and
    /// announces the loss.
    pub(super) fn drop_kernel_claims(&mut self, facts: &Facts) {
        self.ended_links.retain(|index| facts.links.links.iter().any(|link| link.index == *index));
        let protected = self.is_protected();
        let names: BTreeSet<IfName> = self.others().filter_map(|claim| claim.interface.clone()).collect();
        self.list.retain(|claim| {
            let Some(interface) = claim.interface.as_ref().filter(|_| claim.claimant == Claimant::Kernel)
            else {
                return true;
            };
            let failed = matches!(claim.standing, Standing::Failed(_));
            let is_gone = failed && claim.link(&facts.links, &facts.config).is_none();
            let is_needless = protected && claim.endpoints.is_empty();
            let link = claim.link(&facts.links, &facts.config);
            let is_users = link.is_some_and(|link| facts.links.may_be_users(link));
            let counts = facts.tunnel_counts(interface) && !is_users;
            !names.contains(interface) && !is_gone && !is_needless && counts
        });
    }

    /// The tunnels that the kernel shows and that no source has claimed.
    pub(super) fn unclaimed(&self, facts: &Facts, evidence: &Evidence<'_>, now: u64) -> Unclaimed {
        let mut unclaimed = Unclaimed::default();
        let fresh = facts.links.tunnels(&facts.config).filter(|link| !facts.links.may_be_users(link));
        for link in fresh.filter(|link| !self.ended_links.contains(&link.index)) {
            let is_unclaimed = self.is_unclaimed(link);
            if !is_unclaimed && !self.is_of_another(link) {
                continue;
            }
            let claim = claim_of(link, facts, evidence, now);
            let question = self.questions.about(link, claim.is_some(), now);
            // A link that only its exact name makes a tunnel may carry packets without being a claim.
            if claim.is_some() || facts.links.is_exact_tunnel(link) {
                unclaimed.asked.insert(link.index, question);
            }
            let Some(claim) = claim.filter(|_| is_unclaimed) else { continue };
            if !facts.has_begun || question.is_open(link, facts) {
                continue;
            }
            // Without a known server every known server would be allowed. While a source that knows its server
            // protects, or is about to report one, that would be too much.
            if claim.endpoints.is_empty() && self.is_protected() {
                continue;
            }
            if claim.endpoints.is_empty() && self.awaits_a_report(facts) {
                let since = self.waiting.get(&link.index).map_or(now, |&since| since.min(now));
                // A client that the agent found may have lost its server and kept this link.
                if self.links_at_start.contains(&link.index) || now - since < REPORT_TIMEOUT {
                    unclaimed.waiting.insert(link.index, since);
                    continue;
                }
            }
            unclaimed.claims.push(claim);
        }
        unclaimed
    }

    /// The first events have been taken in: from now on the kernel's evidence alone counts.
    pub(in crate::vpn) fn begin(&mut self, facts: &mut Facts) {
        facts.has_begun = true;
        self.links_at_start = facts.links.links.iter().map(|link| link.index).collect();
    }

    /// When a tunnel has waited long enough for a report, or for its routes, in seconds since the epoch.
    pub(in crate::vpn) fn next_moment(&self) -> Option<u64> {
        let later = self.waiting.iter().filter(|(index, _)| !self.links_at_start.contains(index));
        let reports = later.map(|(_, since)| since.saturating_add(REPORT_TIMEOUT));
        reports.chain(self.list.iter().filter_map(Claim::growth_ends)).min()
    }

    /// A link stays claimed after its claim has ended: the end of the claim is also the end of the tunnel.
    fn is_unclaimed(&self, link: &Link) -> bool {
        let own = |claim: &Claim| {
            let named = claim.interface.as_ref().is_some_and(|name| name.as_str() == link.name);
            named || claim.index == Some(link.index)
        };
        !self.ended_links.contains(&link.index) && !self.list.iter().any(own)
    }

    /// Whether a claim of this link's name is about another link, and none is about this one.
    fn is_of_another(&self, link: &Link) -> bool {
        let named = |claim: &&Claim| claim.interface.as_ref().is_some_and(|name| name.as_str() == link.name);
        let mut named = self.list.iter().filter(named).peekable();
        named.peek().is_some() && named.all(|claim| claim.index.is_some_and(|index| index != link.index))
    }

    /// The links that sources have reported as their tunnels, by index. A lost tunnel's name may be another link's now.
    pub(in crate::vpn) fn reported(&self, links: &LinkTable) -> BTreeSet<u32> {
        let own = |claim: &Claim| {
            let index = links.named(claim.interface.as_ref()?)?.index;
            let is_it = claim.index.map_or(claim.standing == Standing::Coming, |own| own == index);
            is_it.then_some(index)
        };
        self.others().filter_map(own).collect()
    }

    fn others(&self) -> impl Iterator<Item = &Claim> {
        self.list.iter().filter(|claim| claim.claimant != Claimant::Kernel)
    }

    /// Whether a source that reports its tunnel protects.
    fn is_protected(&self) -> bool {
        self.others().any(|claim| claim.standing == Standing::Carrying)
    }

    /// Whether a client may soon report its tunnel.
    fn awaits_a_report(&self, facts: &Facts) -> bool {
        let is_coming = |claim: &Claim| claim.is_managed() && claim.standing == Standing::Coming;
        self.others().any(is_coming) || facts.sockets.is_heard()
    }

    /// Notes the servers of the kernel's claims: a file may name others now, or the device may use another.
    pub(in crate::vpn) fn find_servers_of_kernel(&mut self, facts: &Facts) {
        for claim in &mut self.list {
            let Some(interface) = &claim.interface else { continue };
            let is_external = || claim.uuid().is_some_and(|uuid| facts.is_external(uuid, interface));
            if claim.claimant != Claimant::Kernel && !is_external() {
                continue;
            }
            let servers = facts.endpoints_of_interface(interface);
            let heard = claim.heard.filter(|server| servers.contains(server));
            claim.endpoints = heard.map_or(servers, |server| BTreeSet::<Endpoint>::from([server]));
        }
    }
}

/// The claim that the kernel makes for a link, if the link counts and carries what it must.
fn claim_of(link: &Link, facts: &Facts, evidence: &Evidence<'_>, now: u64) -> Option<Claim> {
    let interface: IfName = link.name.parse().ok()?;
    // Any user can have NetworkManager make a link with a default route that no traffic takes.
    let default = facts.config.tunnel.routes == Routes::Default;
    let is_needless = default && !facts.links.has_the_internet(link, &facts.config);
    if is_needless || !facts.tunnel_counts(&interface) {
        return None;
    }
    let servers = facts.endpoints_of_interface(&interface);
    let mut claim = Claim::new(Claimant::Kernel, interface.to_string(), Some(interface), servers, now);
    claim.index = Some(link.index);
    let Finding::Carries(families) = facts.finding(&claim, evidence) else { return None };
    claim.carried = families;
    Some(claim)
}
