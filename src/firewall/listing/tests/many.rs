//! Bad input: many thousand rules and members of sets of another program, and rules that change all the time.

use super::*;

/// One of many addresses of IPv4.
fn address(n: u32) -> std::net::Ipv4Addr {
    std::net::Ipv4Addr::from_bits(0xcb00_7100 ^ n << 3)
}

/// Rules of another program for single addresses, before those of tunwarden.
fn listed(text: &str, count: u32, action: &str) -> String {
    let rule = |n: u32| format!("-A blocklist -d {}/32 -j {action}", address(n));
    let rules: Vec<String> = (1..=count).map(rule).collect();
    let text = text.replacen("\n:", "\n:blocklist - [0:0]\n:", 1);
    text.replacen("-A OUTPUT -j", &format!("-A OUTPUT -j blocklist\n{}\n-A OUTPUT -j", rules.join("\n")), 1)
}

#[test]
fn fifty_thousand_rules_of_another_program_are_computed_and_name_what_they_open() {
    let (config, situation) = (Config::default(), locked());
    let outcome = |action: &str, has_nft: bool| {
        let mut held = listing(&of(&config, &situation), &BOTH);
        held.legacy[0].text = listed(&held.legacy[0].text, 50_000, action);
        if !has_nft {
            held.nft.clear();
        }
        let mut machine = machine();
        machine.uplinks.truncate(1);
        judge_on(&held, (&config, &situation), &machine, &[Family::V4])
    };
    assert_eq!(outcome("DROP", true), Outcome::Proven);
    let found = of_protocols(outcome("ACCEPT", false));
    let rules = found.iter().filter_map(|packet| packet.decided_by.as_ref());
    assert!(rules.map(|rule| rule.chain.as_str()).any(|chain| chain == "blocklist"), "{found:?}");
}

#[test]
fn a_set_of_a_hundred_thousand_addresses_is_computed_and_names_what_it_opens() {
    let (config, situation) = (Config::default(), locked());
    let mut held = listing(&of(&config, &situation), &[Layer::Iptables]);
    let members: String = (0..100_000).map(|n| format!("add big {}\n", address(n))).collect();
    held.sets.push_str(&format!("create big hash:ip family inet hashsize 65536 maxelem 131072\n{members}"));
    let mut machine = machine();
    machine.uplinks.truncate(1);
    let judged = |action: &str| {
        let mut held = held.clone();
        let rule = format!("-A OUTPUT -m set --match-set big dst -j {action}\n-A OUTPUT -j");
        held.legacy[0].text = held.legacy[0].text.replacen("-A OUTPUT -j", &rule, 1);
        of_protocols(judge_on(&held, (&config, &situation), &machine, &[Family::V4]))
    };
    assert_eq!(judged("DROP"), []);
    let found = judged("ACCEPT");
    let members: std::collections::BTreeSet<_> = (0..100_000).map(address).collect();
    let is_member = |packet: &Counterexample| matches!(packet.destination, Some(std::net::IpAddr::V4(to)) if members.contains(&to));
    assert!(!found.is_empty() && found.iter().all(is_member), "{found:?}");
}

#[tokio::test]
async fn rules_that_differ_with_each_reading_are_an_error_and_no_answer() {
    let mut readings = 0;
    let changing = settled(async || {
        readings += 1;
        Ok(readings)
    });
    assert!(matches!(changing.await, Err(RulesError::Changing)));
    let mut readings = vec![3, 3, 2, 1];
    assert_eq!(settled(async || Ok(readings.pop().unwrap())).await.unwrap(), 3);
}
