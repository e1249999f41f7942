//! Answers by rules that iptables prints.

use super::*;
use crate::config::Config;
use crate::model::{Listing, Saved, Users};
use crate::vpn::{LinkKind, Refusal, Situation, State};

const FILTER: &str = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n:ufw-user-output - [0:0]\n\
                      :OUTPUT_VPN_KILL_SWITCH - [0:0]\n-A OUTPUT -j ufw-user-output\n-A OUTPUT -j OUTPUT_VPN_KILL_SWITCH\n\
                      -A ufw-user-output -p tcp -m tcp --dport 25 -j REJECT\n\
                      -A ufw-user-output -p tcp -m tcp --dport 26 -m limit --limit 1/sec -j DROP\n\
                      -A OUTPUT_VPN_KILL_SWITCH -p tcp -m tcp --dport 80:89 -j RETURN\n\
                      -A OUTPUT_VPN_KILL_SWITCH -p tcp -m tcp --dport 26 -j RETURN\n-A OUTPUT_VPN_KILL_SWITCH -j DROP\nCOMMIT\n";

const NAT: &str = "*nat\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n:DOCKER - [0:0]\n\
                   -A OUTPUT -m addrtype --dst-type LOCAL -j DOCKER\n-A OUTPUT -p tcp -m tcp --dport 81 -j REDIRECT --to-ports 9050\n\
                   -A DOCKER -p tcp -m tcp --dport 80 -j DNAT --to-destination 172.17.0.2:80\nCOMMIT\n\
                   *mangle\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -p tcp -m tcp --dport 82 -j DROP\nCOMMIT\n";

fn asked(port: u16, from: SentBy) -> (Answer, Option<Refusal>) {
    let text = format!("{FILTER}{NAT}");
    let listing = Listing { legacy: vec![Saved { family: Family::V4, text }], ..Listing::default() };
    let links = [("eth0", LinkKind::Other), ("docker0", LinkKind::Bridge)];
    let machine = Machine {
        links: links.map(|(name, kind)| LinkFacts { name: name.to_owned(), kind }).to_vec(),
        uplinks: vec!["eth0".to_owned()],
        ..Machine::default()
    };
    let (config, users) = (Config::default(), Users::default());
    let situation = Situation { state: State::Lost, ..Situation::default() };
    let contract = Contract { config: &config, situation: &situation, now: 0, users: &users };
    let question = Question {
        from,
        source: "10.0.0.2".parse().unwrap(),
        destination: "203.0.113.9".parse().unwrap(),
        protocol: 6,
        port,
        way: Way::Out("eth0".to_owned(), None),
    };
    let answer = question.answer(&listing.rules(Family::V4).unwrap(), &machine, &contract);
    let refusal = answer.is_ours().then(|| question.refusal(&machine, &contract)).flatten();
    (answer, refusal)
}

#[test]
fn the_first_chain_that_refuses_decides_and_its_program_is_named() {
    let of = |port| {
        let (answer, refusal) = asked(port, SentBy::Program(1000));
        let whose = answer.decided_by.as_ref().map(Decision::whose);
        (answer.verdict, whose, refusal)
    };
    assert_eq!(of(25), (Verdict::Refused, Some("ufw"), None));
    assert_eq!(of(443), (Verdict::Refused, Some("tunwarden"), Some(Refusal::VpnLost)));
    assert_eq!(of(53).2, Some(Refusal::DnsOutsideTunnel));
    // Docker rewrites only what goes to this machine.
    assert_eq!(of(80).0, Verdict::Clear);
    assert_eq!(of(82).0, Verdict::Refused, "a chain after the route refuses it");
}

#[test]
fn what_is_not_known_and_what_goes_elsewhere_is_no_guess() {
    let (answer, _) = asked(26, SentBy::Program(1000));
    assert_eq!((answer.verdict, answer.unknown), (Verdict::Unknown, vec!["-m limit".to_owned()]));
    let (answer, _) = asked(81, SentBy::Program(1000));
    assert_eq!(answer.verdict, Verdict::Unknown, "{answer:?}");
    assert!(answer.decided_by.is_some_and(|decision| decision.rule.contains("REDIRECT")));
}

#[test]
fn a_policy_that_drops_decides_for_a_container() {
    let (answer, refusal) = asked(443, SentBy::Bridge("docker0".to_owned()));
    let decision = answer.decided_by.unwrap();
    assert_eq!((answer.verdict, decision.rule.as_str()), (Verdict::Refused, "policy DROP"));
    assert_eq!(refusal, Some(Refusal::VpnLost));
}
