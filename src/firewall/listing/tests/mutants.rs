//! Rules of random configurations, and rules that lack one refusal.

use ipnet::IpNet;
use proptest::prelude::*;

use super::weaker::{moved, widened};
use super::*;
use crate::policy::{Chain, ChainName};

/// The machine of these tests has one card.
fn one_card() -> Machine {
    Machine { uplinks: vec!["eth0".to_owned()], ..machine() }
}

/// The rules of a chain in every table of a family.
fn chains(ruleset: &mut Ruleset, family: Family, name: ChainName) -> impl Iterator<Item = &mut Chain> {
    let tables = if family == Family::V4 { &mut ruleset.ipv4 } else { &mut ruleset.ipv6 };
    tables.iter_mut().flat_map(|table| &mut table.chains).filter(move |chain| chain.name == name)
}

/// Every ruleset that lacks one rule that does not accept, in each table that has it. A ruleset that lacks one that
/// accepts passes less.
fn mutants(ruleset: &Ruleset, family: Family) -> Vec<(String, Ruleset)> {
    let mut found = Vec::new();
    for chain in &ruleset.family(family)[0].chains {
        for (place, rule) in chain.rules.iter().enumerate() {
            let text = format!("{family:?} {} {rule}", chain.name);
            // A rule that only answers or reports refuses nothing: the rule after it does.
            let is_extra =
                text.contains("-j NFLOG") || text.contains("REJECT") || text.contains("VPN_REFUSED");
            if !text.ends_with("-j ACCEPT") && !is_extra {
                let mut mutant = ruleset.clone();
                chains(&mut mutant, family, chain.name).for_each(|chain| drop(chain.rules.remove(place)));
                found.push((text, mutant));
            }
        }
    }
    found
}

/// The states whose rules differ.
fn states() -> [(&'static str, Situation); 3] {
    [("locked", locked()), ("protected", protected()), ("portal", portal())]
}

#[test]
fn the_rules_of_a_lost_vpn_are_those_without_one() {
    let lost = Situation { state: State::Lost, ..locked() };
    let refusing = |situation| of(&Config::default(), situation).without_lines();
    assert_eq!(refusing(&lost), refusing(&locked()));
}

#[test]
fn each_refusal_of_iptables_is_needed_or_is_known_to_be_redundant() {
    let (config, users) = (Config::default(), users());
    let mut redundant = Vec::new();
    for (name, situation) in states() {
        let ruleset = of(&config, &situation);
        let contract = contract(&config, &situation, &users);
        for family in Family::ALL {
            let mut prover = Prover::default();
            let mut is_closed = |ruleset: &Ruleset| {
                let mut held = listing(ruleset, &[Layer::Iptables]);
                // Another program lets everything pass that our chains return, as a container engine does for its
                // networks.
                for saved in &mut held.legacy {
                    saved.text = saved.text.replacen("COMMIT", "-A FORWARD -j ACCEPT\nCOMMIT", 1);
                }
                // Without the second layer, raw senders pass.
                let protocols = [Sender::Local, Sender::Forwarded];
                prover.first(&read_back(&held, &[family]), &one_card(), &contract, &protocols).is_none()
            };
            assert!(is_closed(&ruleset), "the control");
            let mutants = mutants(&ruleset, family).into_iter();
            let mutants = mutants.filter(|(_, mutant)| is_closed(mutant));
            redundant.extend(mutants.map(|(rule, _)| format!("{name} {rule}")));
        }
    }
    insta::assert_snapshot!("redundant", redundant.join("\n"));
}

/// What another program would let pass is added, as in the test above.
fn with_accepting_rule(text: &str) -> String {
    text.replacen("COMMIT", "-A FORWARD -j ACCEPT\nCOMMIT", 1)
}

#[test]
fn each_rule_that_is_moved_or_loses_a_condition_is_found_or_is_known_to_be_redundant() {
    let (config, users) = (Config::default(), users());
    let mut redundant = Vec::new();
    for (name, situation, family) in
        [("protected", protected(), Family::V4), ("locked", locked(), Family::V6)]
    {
        let held = listing(&of(&config, &situation), &[Layer::Iptables]);
        let contract = contract(&config, &situation, &users);
        let mut prover = Prover::default();
        let mut is_closed = |text: &str| {
            let saved = Saved { family, text: with_accepting_rule(text) };
            let held = Listing { legacy: vec![saved], sets: held.sets.clone(), ..Listing::default() };
            let protocols = [Sender::Local, Sender::Forwarded];
            prover.first(&read_back(&held, &[family]), &one_card(), &contract, &protocols).is_none()
        };
        let of_family = held.legacy.iter().find(|saved| saved.family == family);
        let text = of_family.map(|saved| saved.text.clone()).unwrap_or_default();
        assert!(is_closed(&text), "the control");
        let mutants: Vec<(String, String)> = moved(&text).into_iter().chain(widened(&text)).collect();
        let all = mutants.len();
        let closed = mutants.into_iter().filter(|(_, text)| is_closed(text));
        let closed: Vec<String> = closed.map(|(what, _)| format!("{name} {what}")).collect();
        assert!(all > 100 && closed.len() < all, "{} of {all}", closed.len());
        redundant.extend(closed);
    }
    insta::assert_snapshot!("redundant_if_weaker", redundant.join("\n"));
}

/// Every ruleset that lacks one rule of the wires that does not accept.
fn wire_mutants(ruleset: &Ruleset, family: Family) -> Vec<(String, Ruleset)> {
    let of = |ruleset: &mut Ruleset| match family {
        Family::V4 => std::mem::take(&mut ruleset.wire.ipv4),
        Family::V6 => std::mem::take(&mut ruleset.wire.ipv6),
    };
    let all = of(&mut ruleset.clone());
    let mut found = Vec::new();
    for (at, chain) in all.iter().enumerate() {
        for place in 0..chain.rules.len() {
            let text = format!("{:?}", chain.rules[place]);
            let verdict = text.split("verdict: ").nth(1).and_then(|rest| rest.split(", ").next());
            let verdict = verdict.unwrap_or_default();
            if verdict != "Accept" && !verdict.starts_with("Log") {
                let (mut mutant, mut chains) = (ruleset.clone(), all.clone());
                chains[at].rules.remove(place);
                match family {
                    Family::V4 => mutant.wire.ipv4 = chains,
                    Family::V6 => mutant.wire.ipv6 = chains,
                }
                found.push((format!("{family:?} {} rule {}: {verdict}", chain.name, place + 1), mutant));
            }
        }
    }
    found
}

#[test]
fn each_refusal_on_the_wire_is_needed_or_is_known_to_be_redundant() {
    let config = Config::default();
    // Only frames leave on a card that is a port.
    let card = Machine { uplinks: Vec::new(), ports: vec!["eth0".to_owned()], ..machine() };
    let mut redundant = Vec::new();
    for (name, situation) in states() {
        let ruleset = of(&config, &situation);
        for family in Family::ALL {
            let mut prover = Prover::default();
            let mut is_proven = |ruleset: &Ruleset| {
                let held = listing(ruleset, &[Layer::Nftables]);
                let outcome = judge_by(&mut prover, &held, (&config, &situation), &card, &[family]);
                outcome == Outcome::Proven
            };
            assert!(is_proven(&ruleset), "the control");
            let mutants = wire_mutants(&ruleset, family).into_iter();
            let mutants = mutants.filter(|(_, mutant)| is_proven(mutant));
            redundant.extend(mutants.map(|(rule, _)| format!("{name} {rule}")));
        }
    }
    insta::assert_snapshot!("redundant_on_the_wire", redundant.join("\n"));
}

fn configurations() -> impl Strategy<Value = String> {
    let lan = prop_oneof![
        Just(""),
        Just("allow = false"),
        Just("networks = [\"192.168.0.0/16\", \"10.0.0.0/8\"]"),
        Just("multicast = false"),
        Just("services = [\"ws-discovery\", \"localsend\", \"kde-connect\", \"wake-on-lan\"]"),
    ];
    let input = prop_oneof![
        Just(""),
        Just("allow = [{ protocol = \"icmp\" }]"),
        Just(
            "allow = [{ protocol = \"udp\" }, { protocol = \"tcp\", ports = [\"6000-6007\"], from = \"10.0.0.0/24\" }]"
        ),
        Just("allow = [{ protocol = \"tcp\", ports = [22], on = \"tunnel\" }]"),
    ];
    let docker =
        prop_oneof![Just(""), Just("published_ports = \"none\""), Just("networks = { l = \"lan\" }")];
    (lan, input, docker)
        .prop_map(|(lan, input, docker)| format!("[lan]\n{lan}\n[input]\n{input}\n[docker]\n{docker}\n"))
}

fn situations() -> impl Strategy<Value = Situation> {
    let base = prop_oneof![Just(locked()), Just(protected()), Just(portal())];
    let tunnel: IpNet = "10.0.0.0/25".parse().unwrap();
    (base, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(move |(base, any, marked, shared)| {
        let mut situation = base;
        situation.bootstrap.any = any;
        if marked {
            let by = crate::vpn::KernelPacket::Marked(std::num::NonZeroU32::MIN.saturating_add(50));
            situation.bootstrap.kernel.insert(("192.0.2.4:51820/udp".parse().unwrap(), by));
        }
        if shared {
            situation.tunnel_networks = vec![tunnel];
            let access = crate::config::Access::Lan;
            let bridge = "docker0".parse().unwrap();
            situation.networks = vec![crate::vpn::NetworkAccess { bridge, access }];
        }
        situation
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn every_configuration_and_situation_is_proven(text in configurations(), situation in situations()) {
        let config = config(&text);
        let mut situation = situation;
        if !text.contains("l = \"lan\"") {
            // Only the configuration gives a network another access.
            situation.networks.clear();
        }
        let outcome = judge(&listing(&of(&config, &situation), &BOTH), &config, &situation);
        prop_assert_eq!(outcome, Outcome::Proven, "{}", text);
    }
}
