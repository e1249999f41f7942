//! The allowance through which the VPN client reaches its server. It changes with the VPN.
//!
//! While there are few endpoints, each has its rule. Many endpoints are one set: then a packet costs the same,
//! however many there are.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::view::View;
use super::{ChainName, EndpointSet, MAX_RULES_WITHOUT_SET, Rule, Verdict};
use crate::net::{Endpoint, Family, Port, Transport};
use crate::vpn::KernelPacket;

/// Which packets may reach an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    /// Those of the users in `bootstrap.owners`.
    Owners,
    /// Those of this other user.
    User(u32),
    /// Those that the kernel itself sends. Their owner is the owner of the packet inside, so the rule does not
    /// ask for one.
    Kernel(KernelPacket),
}

impl Who {
    fn rule(self, view: &View<'_>) -> Rule {
        match self {
            Self::Owners => view.rule(Verdict::Jump(ChainName::VpnOwner)),
            Self::User(uid) => view.rule(Verdict::Accept).owner(uid),
            Self::Kernel(KernelPacket::Marked(mark)) => view.rule(Verdict::Accept).mark(mark.get()),
            Self::Kernel(KernelPacket::Any) => view.rule(Verdict::Accept),
        }
    }
}

/// Which endpoints of the view's family may be reached, and by which packets.
fn reach(view: &View<'_>) -> BTreeMap<Who, BTreeSet<Endpoint>> {
    let mut reach: BTreeMap<Who, BTreeSet<Endpoint>> = BTreeMap::new();
    let allowance = &view.situation.bootstrap;
    for &(endpoint, by) in allowance.kernel.iter().filter(|(endpoint, _)| endpoint.family() == view.family) {
        reach.entry(Who::Kernel(by)).or_default().insert(endpoint);
    }
    let endpoints = allowance.endpoints.iter();
    for (&endpoint, users) in endpoints.filter(|(endpoint, _)| endpoint.family() == view.family) {
        let further =
            users.iter().filter(|uid| !view.owners.bootstrap.contains(uid)).map(|&uid| Who::User(uid));
        for who in further.chain([Who::Owners]) {
            reach.entry(who).or_default().insert(endpoint);
        }
    }
    reach
}

/// The sets that the rules of this family name. Users with the same endpoints share one.
pub(super) fn sets(view: &View<'_>) -> Vec<EndpointSet> {
    let many = reach(view).into_values().filter(|endpoints| endpoints.len() > MAX_RULES_WITHOUT_SET);
    let sets = many.map(|endpoints| EndpointSet::new(view.family, endpoints));
    sets.map(|set| (set.name(), set)).collect::<BTreeMap<_, _>>().into_values().collect()
}

pub(super) fn bootstrap(view: &View<'_>) -> Vec<Rule> {
    let (many, few): (Vec<_>, Vec<_>) =
        reach(view).into_iter().partition(|(_, endpoints)| endpoints.len() > MAX_RULES_WITHOUT_SET);
    let mut rules: Vec<Rule> =
        many.into_iter().flat_map(|(who, endpoints)| by_set(view, who, endpoints)).collect();
    rules.extend(one_by_one(view, few));
    rules.extend(questions(view));
    if view.situation.bootstrap.any {
        let ports = &view.config.bootstrap.ports;
        rules.extend(
            ports.iter().map(|&(transport, port)| Who::Owners.rule(view).transport(transport).dport(port)),
        );
    }
    rules
}

/// The members have a transport too; the rule names it as well, so that other packets are not looked up.
fn by_set(view: &View<'_>, who: Who, endpoints: BTreeSet<Endpoint>) -> Vec<Rule> {
    let transports: BTreeSet<Transport> = endpoints.iter().map(Endpoint::transport).collect();
    let set = EndpointSet::new(view.family, endpoints).name();
    transports.into_iter().map(|transport| who.rule(view).transport(transport).to_member(set)).collect()
}

/// A rule for each endpoint and for each of its users, endpoint after endpoint.
fn one_by_one(view: &View<'_>, reach: Vec<(Who, BTreeSet<Endpoint>)>) -> Vec<Rule> {
    let pairs = reach.into_iter().flat_map(|(who, endpoints)| endpoints.into_iter().map(move |to| (to, who)));
    let pairs: BTreeSet<(Endpoint, Who)> = pairs.collect();
    pairs.into_iter().map(|(endpoint, who)| who.rule(view).to_endpoint(endpoint)).collect()
}

/// The agent alone looks its servers' names up: its sockets are root's and have a mark that no other process
/// knows.
fn questions(view: &View<'_>) -> Vec<Rule> {
    let resolvers = view.situation.resolvers.iter().filter(|&&address| Family::of(address) == view.family);
    let ask = |&address: &IpAddr, transport| {
        let to = view.rule(Verdict::Accept).to(address.into()).transport(transport).dport(Port::DNS);
        to.mark(view.situation.question_mark.get()).owner(0)
    };
    resolvers.flat_map(|address| [ask(address, Transport::Udp), ask(address, Transport::Tcp)]).collect()
}

pub(super) fn owners(view: &View<'_>) -> Vec<Rule> {
    view.owners.bootstrap.iter().map(|&uid| view.rule(Verdict::Accept).owner(uid)).collect()
}

#[cfg(test)]
mod tests;
