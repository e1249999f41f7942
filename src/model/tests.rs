//! Rules of other programs, as the kernel describes them. They refuse fewer packets than they seem to.

use super::*;
use crate::config::Config;
use crate::net::Family;
use crate::vpn::{LinkKind, PauseScope, Situation, State};

const NOW: i64 = 1_800_000_000;

/// One attribute, padded.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len() + 4).unwrap();
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn number(kind: u16, number: u32) -> Vec<u8> {
    attribute(kind, &number.to_be_bytes())
}

fn text(kind: u16, text: &str) -> Vec<u8> {
    attribute(kind, &[text.as_bytes(), &[0]].concat())
}

fn message(kind: u8, family: u8, body: &[Vec<u8>]) -> Message {
    Message { kind, family, body: body.concat() }
}

const INET: u8 = 1;
const NETDEV: u8 = 5;

/// A table `x` with one base chain.
fn table(family: u8, chain: &str, hook: u32, accepts: bool) -> [Message; 2] {
    let device = if family == NETDEV { text(3, "eth0") } else { Vec::new() };
    let hook = attribute(4, &[number(1, hook), number(2, 20), device].concat());
    let body = [text(1, "x"), text(3, chain), hook, number(5, accepts.into()), text(7, "filter")];
    [message(0, family, &[text(1, "x"), number(2, 0)]), message(3, family, &body)]
}

fn instruction(name: &str, body: &[Vec<u8>]) -> Vec<u8> {
    attribute(1, &[text(1, name), attribute(2, &body.concat())].concat())
}

fn rule(family: u8, chain: &str, instructions: &[Vec<u8>]) -> Message {
    let handle = attribute(3, &7_u64.to_be_bytes());
    message(6, family, &[text(1, "x"), text(2, chain), handle, attribute(4, &instructions.concat())])
}

/// Loads a key of `meta` or `ct`, and compares its value.
fn compared(name: &str, key: u32, how: u32, value: &[u8]) -> Vec<Vec<u8>> {
    let keys = [number(1, 1), number(2, key)];
    let data = attribute(3, &attribute(1, value));
    vec![instruction(name, &keys), instruction("cmp", &[number(1, 1), number(2, how), data])]
}

const EQUAL: u32 = 0;
const OTHER: u32 = 1;
const BELOW: u32 = 2;

fn verdict(code: i32, chain: Option<&str>) -> Vec<u8> {
    let chain = chain.map_or(Vec::new(), |chain| text(2, chain));
    let verdict = attribute(2, &[number(1, code.cast_unsigned()), chain].concat());
    instruction("immediate", &[number(1, 0), attribute(2, &verdict)])
}

fn dropped(matches: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    [matches, vec![verdict(0, None)]].concat()
}

/// The result if everything is refused except at one hook, which has these rules.
fn judged(hook: &str, rules: &[Vec<Vec<u8>>]) -> Outcome {
    let mut nft = Vec::new();
    for (family, chain, number) in [(INET, "output", 3), (INET, "forward", 2), (NETDEV, "egress", 1)] {
        let [table, base] = table(family, chain, number, chain == hook);
        // The table of the output hook has the forward chain too.
        nft.extend((chain != "forward").then_some(table));
        nft.push(base);
        if chain == hook {
            nft.extend(rules.iter().map(|instructions| rule(family, chain, instructions)));
        }
    }
    judge(nft)
}

fn judge(nft: Vec<Message>) -> Outcome {
    judge_listing(&Listing { nft, ..Listing::default() }).unwrap()
}

fn judge_listing(listing: &Listing) -> Result<Outcome, ReadError> {
    let (config, situation, users) = (Config::default(), Situation::default(), Users::default());
    let links = [("eth0", LinkKind::Other), ("docker0", LinkKind::Bridge)];
    let machine = Machine {
        links: links.map(|(name, kind)| LinkFacts { name: name.to_owned(), kind }).to_vec(),
        uplinks: vec!["eth0".to_owned()],
        now: NOW,
        ..Machine::default()
    };
    let contract = Contract { config: &config, situation: &situation, now: NOW, users: &users };
    let rules = listing.rules(Family::V4)?;
    Ok(Prover::default().prove(&[(Family::V4, rules)], &machine, &contract).outcome)
}

/// The name of a link as it is in a register.
fn name(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(16, 0);
    bytes
}

#[test]
fn at_the_output_and_on_the_wire_the_incoming_link_has_no_name() {
    let iifname = |how, wanted: &str| dropped(compared("meta", 6, how, &name(wanted)));
    for hook in ["output", "egress"] {
        assert_eq!(judged(hook, &[dropped(Vec::new())]), Outcome::Proven, "the control: {hook}");
        let any = judged(hook, &[iifname(OTHER, "")]);
        assert!(matches!(any, Outcome::Leaves(_)), "{hook}: a rule for every link refuses nothing: {any:?}");
        assert_eq!(judged(hook, &[iifname(EQUAL, "")]), Outcome::Proven, "{hook}: the name is empty");
        let kind = judged(hook, &[dropped(compared("meta", 26, OTHER, &name("bridge")))]);
        assert!(matches!(kind, Outcome::NotShown(_)), "{hook}: there is no kind to compare: {kind:?}");
    }
    // A forwarded packet has an incoming link there.
    assert_eq!(judged("forward", &[iifname(OTHER, "")]), Outcome::Proven);
}

#[test]
fn a_card_has_no_kind_and_a_rule_about_its_kind_refuses_nothing() {
    let outcome = judged("output", &[dropped(compared("meta", 27, OTHER, &name("bridge")))]);
    assert_ne!(outcome, Outcome::Proven);
}

#[test]
fn without_a_connection_a_rule_about_it_refuses_nothing() {
    for hook in ["output", "forward", "egress"] {
        let direction = |value: u8| dropped(compared("ct", 1, EQUAL, &[value]));
        let found = judged(hook, &[direction(0), direction(1)]);
        assert!(matches!(found, Outcome::Leaves(_)), "{hook}: {found:?}");
        let status = dropped(compared("ct", 2, OTHER, &u32::MAX.to_ne_bytes()));
        assert_ne!(judged(hook, &[status]), Outcome::Proven, "{hook}");
    }
}

#[test]
fn without_a_connection_iptables_looks_at_the_state_alone() {
    let judge = |rules: &[&str]| {
        let lines = rules.join("\n");
        let text = format!("*filter\n:OUTPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n{lines}\nCOMMIT\n");
        let [table, chain] = table(NETDEV, "egress", 1, false);
        let legacy = vec![Saved { family: Family::V4, text }];
        // No packet leaves on a link but the one that has a chain on the wire, so the other links are judged.
        judge_listing(&Listing { nft: vec![table, chain], legacy, ..Listing::default() }).unwrap()
    };
    let (original, reply) =
        ("-A OUTPUT -m conntrack --ctdir ORIGINAL -j DROP", "-A OUTPUT -m conntrack --ctdir REPLY -j DROP");
    assert!(matches!(judge(&[original, reply]), Outcome::Leaves(_)), "INVALID and UNTRACKED pass");
    let negated = "-A OUTPUT -m conntrack ! --ctdir REPLY -j DROP";
    assert!(matches!(judge(&[negated, reply]), Outcome::Leaves(_)), "a negation needs a connection too");
    let state = "-A OUTPUT -m conntrack --ctstate INVALID,UNTRACKED --ctdir REPLY -j DROP";
    assert_eq!(judge(&[original, reply, state]), Outcome::Proven, "the state decides");
    let nat = "-A OUTPUT -m conntrack ! --ctstate DNAT -j DROP";
    let dnat = "-A OUTPUT -m conntrack --ctstate DNAT -j DROP";
    assert_eq!(judge(&[nat, dnat]), Outcome::Proven);
}

#[test]
fn a_rule_that_refuses_until_a_moment_refuses_nothing_for_long() {
    let until = |seconds: i64| {
        let nanoseconds = u64::try_from((NOW + seconds) * 1_000_000_000).unwrap();
        dropped(compared("meta", 30, BELOW, &nanoseconds.to_ne_bytes()))
    };
    for hook in ["output", "egress"] {
        let found = judged(hook, &[until(300)]);
        assert!(matches!(found, Outcome::NotShown(_)), "{hook}: {found:?}");
        assert!(matches!(judged(hook, &[until(-300)]), Outcome::Leaves(_)), "{hook}");
    }
}

#[test]
fn a_rule_that_writes_or_redirects_packets_is_named_and_makes_no_proof() {
    let closed = || {
        let mut nft = table(NETDEV, "egress", 1, false).to_vec();
        nft.extend(table(INET, "output", 3, false));
        nft.push(table(INET, "forward", 2, false)[1].clone());
        nft
    };
    assert_eq!(judge(closed()), Outcome::Proven, "the control");
    let writers = [
        ("payload", instruction("payload", &[number(5, 1), number(2, 1), number(3, 16), number(4, 4)])),
        ("exthdr", instruction("exthdr", &[number(7, 1), number(6, 1), number(3, 2), number(4, 2)])),
        ("fwd", instruction("fwd", &[number(1, 1)])),
        ("dup", instruction("dup", &[number(1, 1)])),
        ("flow_offload", instruction("flow_offload", &[text(1, "f")])),
    ];
    for (word, writer) in writers {
        for family in [INET, NETDEV, 7] {
            let mut nft = closed();
            let body = [text(1, "y"), text(3, "later")];
            let [table, chain] =
                [message(0, family, &[text(1, "y"), number(2, 0)]), message(3, family, &body)];
            let list = attribute(4, &writer);
            let handle = attribute(3, &7_u64.to_be_bytes());
            let rule = message(6, family, &[text(1, "y"), text(2, "later"), handle, list]);
            nft.extend([table, chain, rule]);
            let Outcome::NotShown(why) = judge(nft) else { panic!("{word} in family {family}") };
            assert!(why[0].contains(word) && why[0].contains("y later handle 7"), "{why:?}");
        }
    }
}

#[test]
fn a_listing_with_fewer_rules_than_the_kernel_has_counted_is_an_error() {
    let listing = |number_of_uses| {
        let mut nft = table(INET, "output", 3, false).to_vec();
        nft.push(message(3, INET, &[text(1, "x"), text(3, "inner"), number(6, number_of_uses)]));
        nft.push(rule(INET, "output", &[verdict(-3, Some("inner"))]));
        nft.push(rule(INET, "inner", &[verdict(0, None)]));
        let map = [text(1, "x"), text(2, "map"), number(3, 8), number(4, 6), number(5, 2)];
        nft.push(message(9, INET, &map));
        let data =
            attribute(2, &attribute(2, &[number(1, (-4_i32).cast_unsigned()), text(2, "inner")].concat()));
        let element = attribute(1, &[attribute(1, &attribute(1, &[0, 53])), data].concat());
        nft.push(message(12, INET, &[text(1, "x"), text(2, "map"), attribute(3, &element)]));
        Listing { nft, ..Listing::default() }
    };
    // The kernel counts one rule, one jump, and one element of a map.
    assert!(listing(3).rules(Family::V4).is_ok());
    let error = listing(4).rules(Family::V4).unwrap_err();
    assert!(error.to_string().contains("inet x inner"), "{error}");
}

#[test]
fn a_pause_that_is_over_opens_nothing() {
    let (config, users) = (Config::default(), Users::default());
    let at = |until: i64, pause_scope| {
        let paused_until = jiff::Timestamp::from_second(until).ok();
        let portal_uplinks = vec!["eth0".parse().unwrap()];
        let situation = Situation {
            state: State::Paused,
            paused_until,
            pause_scope,
            portal_uplinks,
            ..Situation::default()
        };
        let contract = Contract { config: &config, situation: &situation, now: NOW, users: &users };
        (contract.is_open(), contract.allowed(Family::V4, Sender::Local, "eth0").len())
    };
    let none = at(NOW - 1, PauseScope::Portal).1;
    assert!(at(NOW + 60, PauseScope::Portal).1 > none, "the control");
    assert_eq!(at(NOW, PauseScope::Portal).1, none);
    assert!(at(NOW + 60, PauseScope::Everything).0, "the control");
    assert!(!at(NOW, PauseScope::Everything).0);
}

/// A chain at the output of the table `x`.
fn at_output(chain: &str, kind: &str, priority: i32, accepts: bool) -> Message {
    let hook = attribute(4, &[number(1, 3), number(2, priority.cast_unsigned())].concat());
    message(3, INET, &[text(1, "x"), text(3, chain), hook, number(5, accepts.into()), text(7, kind)])
}

#[test]
fn a_chain_of_nat_refuses_only_the_first_packet_of_a_connection() {
    for (kind, is_proven) in [("filter", true), ("nat", false)] {
        let [egress, base] = table(NETDEV, "egress", 1, false);
        let [own, forward] = table(INET, "forward", 2, false);
        let outcome = judge(vec![own, at_output("output", kind, 0, false), forward, egress, base]);
        assert_eq!(outcome == Outcome::Proven, is_proven, "{kind}: {outcome:?}");
    }
}

#[test]
fn a_destination_that_nftables_may_change_is_not_known_at_any_priority() {
    let verdict_of = |kind: &str, priority, instructions: &[Vec<u8>]| {
        let [own, _] = table(INET, "output", 3, true);
        let chains = [at_output("early", kind, priority, true), at_output("late", "filter", 0, false)];
        let nft = [vec![own], chains.to_vec(), vec![rule(INET, "early", instructions)]].concat();
        let rules = Listing { nft, ..Listing::default() }.rules(Family::V4).unwrap();
        let machine = Machine {
            links: vec![LinkFacts { name: "eth0".to_owned(), kind: LinkKind::Other }],
            uplinks: vec!["eth0".to_owned()],
            ..Machine::default()
        };
        let (config, situation, users) = (Config::default(), Situation::default(), Users::default());
        let contract = Contract { config: &config, situation: &situation, now: NOW, users: &users };
        let question = Question {
            from: SentBy::Program(1000),
            source: "10.0.0.2".parse().unwrap(),
            destination: "203.0.113.9".parse().unwrap(),
            protocol: 6,
            port: 443,
            way: Way::Out("eth0".to_owned(), None),
            first: None,
            then: None,
        };
        question.answer(&rules, &machine, &contract).verdict
    };
    let mark = |name, place| instruction(name, &[number(2, 3), number(place, 1)]);
    let load = instruction("ct", &[number(1, 1), number(2, 3)]);
    let tcp = compared("meta", 16, EQUAL, &[6]);
    let udp = compared("meta", 16, EQUAL, &[17]);
    let redirect = [instruction("redir", &[])];
    assert_eq!(verdict_of("nat", -90, &redirect), Verdict::Unknown);
    assert_eq!(verdict_of("nat", 90, &redirect), Verdict::Unknown, "NAT is early at any priority");
    assert_eq!(
        verdict_of("nat", -90, &[udp, redirect.to_vec()].concat()),
        Verdict::Refused,
        "of another protocol"
    );
    assert_eq!(verdict_of("filter", -100, &[verdict(1, None)]), Verdict::Refused, "a filter changes nothing");
    assert_eq!(verdict_of("route", -150, &[mark("meta", 3)]), Verdict::Unknown);
    assert_eq!(verdict_of("filter", -150, &[mark("meta", 3)]), Verdict::Refused, "its route stays");
    // A rule may write before its later matches.
    assert_eq!(verdict_of("route", -150, &[vec![mark("meta", 3)], tcp].concat()), Verdict::Unknown);
    let restored = [load, mark("meta", 3)];
    assert_eq!(verdict_of("route", -150, &restored), Verdict::Refused, "a new connection has no mark");
    assert_eq!(verdict_of("route", -150, &[&[mark("ct", 4)][..], &restored].concat()), Verdict::Unknown);
}
