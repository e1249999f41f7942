//! Answers by rules that iptables prints.

use super::*;
use crate::config::Config;
use crate::model::{LinkFacts, Listing, Saved, Users};
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
    let legacy = vec![Saved { family: Family::V4, text: format!("{FILTER}{NAT}") }];
    of(&Listing { legacy, ..Listing::default() }, port, from)
}

fn of(listing: &Listing, port: u16, from: SentBy) -> (Answer, Option<Refusal>) {
    answered(listing, &question(port, from))
}

fn question(port: u16, from: SentBy) -> Question {
    Question {
        from,
        source: "10.0.0.2".parse().unwrap(),
        destination: "203.0.113.9".parse().unwrap(),
        protocol: 6,
        port,
        way: Way::Out("eth0".to_owned(), None),
        first: None,
        then: None,
    }
}

fn answered(listing: &Listing, question: &Question) -> (Answer, Option<Refusal>) {
    let links = [("lo", LinkKind::Loopback), ("eth0", LinkKind::Other), ("docker0", LinkKind::Bridge)];
    let machine = Machine {
        links: links.map(|(name, kind)| LinkFacts { name: name.to_owned(), kind }).to_vec(),
        uplinks: vec!["eth0".to_owned()],
        ..Machine::default()
    };
    let (config, users) = (Config::default(), Users::default());
    let situation = Situation { state: State::Lost, ..Situation::default() };
    let contract = Contract { config: &config, situation: &situation, now: 0, users: &users };
    let answer = question.answer(&listing.rules(Family::V4).unwrap(), &machine, &contract);
    let refusal = answer.is_ours().then(|| question.last().refusal(&machine, &contract)).flatten();
    (answer, refusal.map(|reason| reason.refusal))
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
    // Docker's rule rewrites only packets to this machine.
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

/// The answer by the same rules with these rules before them.
fn with(more: &str, port: u16) -> Answer {
    let legacy = vec![Saved { family: Family::V4, text: format!("{more}{FILTER}{NAT}") }];
    of(&Listing { legacy, ..Listing::default() }, port, SentBy::Program(1000)).0
}

#[test]
fn a_packet_that_goes_elsewhere_is_not_refused_by_a_rule_for_where_it_went() {
    let output = |table: &str, rule: &str| {
        format!("*{table}\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT {rule}\nCOMMIT\n")
    };
    for (table, rule) in [
        ("nat", "-p tcp -m tcp --dport 444 -j REDIRECT --to-ports 9050"),
        ("nat", "-p tcp -m statistic --mode random --probability 0.5 -j DNAT --to-destination 10.0.0.9"),
        ("mangle", "-p tcp -m tcp --dport 444 -j MARK --set-xmark 0x1/0xffffffff"),
        (
            "mangle",
            "-m string --string x --algo bm -j RETURN\n-A OUTPUT -j CONNMARK --set-xmark 0x1/0xffffffff\n-A OUTPUT -j CONNMARK --restore-mark",
        ),
        ("raw", "-j SOMETHING"),
    ] {
        let answer = with(&output(table, rule), 444);
        assert_eq!(answer.verdict, Verdict::Unknown, "{rule}: {answer:?}");
        let last = rule.rsplit("OUTPUT ").next().unwrap();
        let decided = answer.decided_by.map(|decision| decision.rule);
        assert_eq!(decided.as_deref(), Some(last), "the rule is named");
    }
    let other = with(&output("mangle", "-p tcp -m tcp --dport 444 -j MARK --set-xmark 0x1/0xffffffff"), 443);
    assert_eq!(other.verdict, Verdict::Refused, "a rule for another port changes nothing");
    let saved = with(&output("mangle", "-j CONNMARK --restore-mark"), 443);
    assert_eq!(saved.verdict, Verdict::Refused, "the mark of a new connection is none");
    let before = with("*raw\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -p tcp -m tcp --dport 81 -j DROP\nCOMMIT\n", 81);
    assert_eq!(before.verdict, Verdict::Refused, "what is refused before goes nowhere");
}

#[test]
fn what_a_rule_writes_matters_where_a_later_rule_asks_for_it() {
    let filter = |rules: &str| format!("*security\n:OUTPUT ACCEPT [0:0]\n{rules}COMMIT\n");
    let accepted = |asks: &str| {
        let marked = "*filter\n:OUTPUT DROP [0:0]\n-A OUTPUT -p tcp -m tcp --dport 80 -j MARK --set-xmark 0x1/0xffffffff\n";
        let text = format!("{marked}-A OUTPUT {asks} -j ACCEPT\nCOMMIT\n");
        let legacy = vec![Saved { family: Family::V4, text }];
        of(&Listing { legacy, ..Listing::default() }, 80, SentBy::Program(1000)).0.verdict
    };
    assert_eq!(accepted("-m mark --mark 0x1"), Verdict::Unknown);
    assert_eq!(accepted("-p udp"), Verdict::Refused, "the mark decides nothing");
    let untracked =
        "*raw\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -p tcp -m tcp --dport 80 -j CT --notrack\nCOMMIT\n";
    let new = filter("-A OUTPUT -m conntrack --ctstate NEW -j DROP\n");
    assert_eq!(with(&new, 80).verdict, Verdict::Refused, "the control");
    assert_eq!(with(&format!("{untracked}{new}"), 80).verdict, Verdict::Unknown);
    assert_eq!(with(untracked, 443).verdict, Verdict::Refused, "of another port");
}

#[test]
fn a_destination_that_nat_gives_for_sure_is_followed() {
    let text = "*nat\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n\
                -A OUTPUT -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.0.0.9:8080\n\
                -A OUTPUT -p tcp -m tcp --dport 81 -j REDIRECT --to-ports 9050\n\
                -A OUTPUT -p tcp -m tcp --dport 82 -j REDIRECT --to-ports 9051\n\
                -A PREROUTING -p tcp -j REDIRECT --to-ports 9050\nCOMMIT\n\
                *filter\n:INPUT DROP [0:0]\n:OUTPUT DROP [0:0]\n:FORWARD DROP [0:0]\n\
                -A OUTPUT -d 10.0.0.9/32 -p tcp -m tcp --dport 8080 -m conntrack --ctstate DNAT --ctorigdstport 80 -j ACCEPT\n\
                -A OUTPUT -d 127.0.0.1/32 -o lo -p tcp -m tcp --dport 9050 -j ACCEPT\n\
                -A OUTPUT -d 127.0.0.1/32 -o eth0 -p tcp -m tcp --dport 9051 -j ACCEPT\n\
                -A INPUT -i lo -p tcp -m tcp --dport 9050:9051 -j ACCEPT\nCOMMIT\n";
    let legacy = vec![Saved { family: Family::V4, text: text.to_owned() }];
    let listing = Listing { legacy, ..Listing::default() };
    let of = |port, from: SentBy, then: Option<(&str, u16, Way)>| {
        let then = then.map(|(to, new_port, way)| {
            let (destination, first) = (to.parse().unwrap(), Some(("203.0.113.9".parse().unwrap(), port)));
            Box::new(Question { destination, port: new_port, way, first, ..question(port, from.clone()) })
        });
        answered(&listing, &Question { then, ..question(port, from) }).0
    };
    let program = SentBy::Program(1000);
    let first = of(80, program.clone(), None);
    let to = |address: &str, port| Some((address.parse().unwrap(), port));
    assert_eq!((first.verdict, first.elsewhere), (Verdict::Unknown, to("10.0.0.9", 8080)));
    let out = || Way::Out("eth0".to_owned(), None);
    assert_eq!(of(80, program.clone(), Some(("10.0.0.9", 8080, out()))).verdict, Verdict::Clear);
    assert_eq!(
        of(80, program.clone(), Some(("10.0.0.9", 8081, out()))).verdict,
        Verdict::Refused,
        "the control"
    );
    assert_eq!(of(81, program.clone(), None).elsewhere, to("127.0.0.1", 9050));
    let here = |port, new_port| of(port, program.clone(), Some(("127.0.0.1", new_port, Way::Here))).verdict;
    assert_eq!(here(82, 9051), Verdict::Local);
    assert_eq!(here(81, 9050), Verdict::Refused, "the chain that follows NAT in OUTPUT sees the first link");
    let container = of(80, SentBy::Bridge("docker0".to_owned()), None);
    assert_eq!((container.verdict, container.elsewhere), (Verdict::Unknown, None), "the address of its link");
}
