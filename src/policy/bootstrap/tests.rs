//! A rule for each endpoint or one set: the same packets pass.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::*;
use crate::config::Config;
use crate::policy::{Owners, Ruleset, WireRule, ruleset};
use crate::vpn::Situation;

/// `count` endpoints of each family. Every third is by TCP.
fn endpoints(count: usize) -> impl Iterator<Item = Endpoint> {
    (0..count).flat_map(|n| {
        let (high, low, transport) = (n / 250, n % 250 + 1, if n % 3 == 0 { "tcp" } else { "udp" });
        let texts = [
            format!("198.51.{high}.{low}:1194/{transport}"),
            format!("[2001:db8::{high:x}:{low:x}]:1194/{transport}"),
        ];
        texts.map(|text| text.parse().unwrap())
    })
}

fn rules(endpoints: impl IntoIterator<Item = (Endpoint, BTreeSet<u32>)>) -> Ruleset {
    let mut situation = Situation::default();
    situation.bootstrap.endpoints = endpoints.into_iter().collect();
    ruleset(&Config::strictest(), &Owners::from([0]), &situation)
}

fn texts(ruleset: &Ruleset, family: Family) -> Vec<String> {
    let chains = ruleset.family(family).iter().flat_map(|table| &table.chains);
    let bootstrap = chains.filter(|chain| chain.name == ChainName::VpnBootstrap);
    bootstrap.flat_map(|chain| chain.rules.iter().map(ToString::to_string)).collect()
}

#[test]
fn up_to_the_maximum_endpoints_are_rules_and_one_more_makes_a_set() {
    let few = rules(endpoints(MAX_RULES_WITHOUT_SET).map(|endpoint| (endpoint, BTreeSet::new())));
    assert_eq!((few.sets.len(), texts(&few, Family::V4).len()), (0, MAX_RULES_WITHOUT_SET));
    let many = rules(endpoints(MAX_RULES_WITHOUT_SET + 1).map(|endpoint| (endpoint, BTreeSet::new())));
    assert_eq!(many.sets.len(), 2);
    for (set, family) in many.sets.iter().zip([Family::V4, Family::V6]) {
        let name = set.name();
        assert_eq!((name.family(), set.members().len()), (family, MAX_RULES_WITHOUT_SET + 1));
        let expected = ["udp", "tcp"]
            .map(|transport| format!("-p {transport} -m set --match-set {name} dst,dst -j VPN_OWNER"));
        assert_eq!(texts(&many, family), expected);
    }
}

#[test]
fn a_set_of_one_transport_has_one_rule() {
    let udp = endpoints(500).filter(|endpoint| endpoint.transport() == Transport::Udp);
    let rules = rules(udp.map(|endpoint| (endpoint, BTreeSet::new())));
    assert_eq!(texts(&rules, Family::V4).len(), 1);
}

#[test]
fn further_users_have_rules_while_they_are_few_and_a_set_when_they_are_many() {
    let one =
        endpoints(1000).enumerate().map(|(n, to)| (to, if n == 0 { [65534].into() } else { [].into() }));
    let one = rules(one);
    let exact = "-d 198.51.0.1/32 -p tcp -m tcp --dport 1194 -m owner --uid-owner 65534 -j ACCEPT";
    assert_eq!(texts(&one, Family::V4).last().map(String::as_str), Some(exact));
    assert_eq!((texts(&one, Family::V4).len(), texts(&one, Family::V6).len()), (3, 2));
    // All of them: the same endpoints are the same set.
    let all = rules(endpoints(1000).map(|to| (to, [65534].into())));
    assert_eq!((all.sets.len(), texts(&all, Family::V4).len()), (2, 4));
    assert!(texts(&all, Family::V4)[3].ends_with("dst,dst -m owner --uid-owner 65534 -j ACCEPT"));
}

#[test]
fn without_sets_every_member_has_its_rule_and_nothing_else_has() {
    let many = rules(endpoints(200).map(|to| (to, [65534].into())));
    let plain = many.without_sets();
    assert_eq!(plain.sets, []);
    let few: BTreeSet<String> = (0..200 / MAX_RULES_WITHOUT_SET + 1)
        .flat_map(|part| {
            let part = endpoints(200).skip(part * 2 * MAX_RULES_WITHOUT_SET).take(2 * MAX_RULES_WITHOUT_SET);
            texts(&rules(part.map(|to| (to, [65534].into()))), Family::V4)
        })
        .collect();
    assert_eq!(texts(&plain, Family::V4).into_iter().collect::<BTreeSet<_>>(), few);
}

#[test]
fn sets_with_different_members_have_different_names() {
    let name = |count| EndpointSet::new(Family::V4, endpoints(count)).name();
    assert_eq!(name(100), name(100));
    assert_ne!(name(100), name(101));
    assert_ne!(name(100), EndpointSet::new(Family::V6, endpoints(100)).name());
    assert_eq!(name(100).to_string().len(), 25);
}

/// The rules on a wire for later fragments to `count` servers of each family to which the kernel sends marked packets.
fn rules_for_later_fragments(count: usize) -> Vec<Rule> {
    let mark = KernelPacket::Marked(std::num::NonZeroU32::new(0x7766).unwrap());
    let mut situation = Situation::default();
    situation.bootstrap.kernel = endpoints(count).map(|endpoint| (endpoint, mark)).collect();
    let wire = ruleset(&Config::strictest(), &Owners::from([0]), &situation).wire;
    let chains = wire.ipv4.into_iter().chain(wire.ipv6).filter(|chain| chain.name == ChainName::VpnBootstrap);
    let fragments = |rule| if let WireRule::LaterFragments(rule) = rule { Some(rule) } else { None };
    chains.flat_map(|chain| chain.rules).filter_map(fragments).collect()
}

#[test]
fn later_fragments_pass_to_servers_that_have_their_own_rules_and_to_no_member_of_a_set() {
    let udp = endpoints(MAX_RULES_WITHOUT_SET).filter(|endpoint| endpoint.transport() == Transport::Udp);
    let servers: BTreeSet<String> = udp.map(|endpoint| IpNet::from(endpoint.address()).to_string()).collect();
    let rules = rules_for_later_fragments(MAX_RULES_WITHOUT_SET);
    let texts: BTreeSet<String> = rules.iter().map(ToString::to_string).collect();
    let expected = servers.iter().map(|server| format!("-d {server} -p udp -m mark --mark 0x7766 -j ACCEPT"));
    assert_eq!(texts, expected.collect());
    assert_eq!(rules_for_later_fragments(MAX_RULES_WITHOUT_SET + 1).len(), 0);
}

#[test]
fn the_kernel_s_own_packets_are_known_by_their_mark_and_never_by_an_owner() {
    let to = |text: &str| text.parse::<Endpoint>().unwrap();
    let mark = KernelPacket::Marked(std::num::NonZeroU32::new(0x7766).unwrap());
    let mut situation = Situation::default();
    situation.bootstrap.kernel =
        [(to("198.51.100.9:51820/udp"), mark), (to("198.51.100.8:443/tcp"), KernelPacket::Any)].into();
    let rules = ruleset(&Config::strictest(), &Owners::from([0]), &situation);
    assert_eq!(
        texts(&rules, Family::V4),
        [
            "-d 198.51.100.8/32 -p tcp -m tcp --dport 443 -j ACCEPT",
            "-d 198.51.100.9/32 -p udp -m udp --dport 51820 -m mark --mark 0x7766 -j ACCEPT",
        ]
    );
    assert!(texts(&rules, Family::V6).is_empty());
}
