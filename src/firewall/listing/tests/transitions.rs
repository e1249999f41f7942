//! A change from one state or configuration to another. Each table is changed by itself, in any order: what leaves by a
//! mixture of the tables of before and of after, leaves by one of both.

use std::num::NonZeroU32;

use super::*;
use crate::config::Access;
use crate::vpn::{KernelPacket, NetworkAccess};

/// Configurations and situations between which the agent may go.
fn moments() -> Vec<(&'static str, Situation)> {
    let any = Allowance { any: true, ..Allowance::default() };
    let mark = KernelPacket::Marked(NonZeroU32::MIN.saturating_add(50));
    let kernel = [("192.0.2.4:51820/udp".parse().unwrap(), mark)].into();
    let kernel = Allowance { kernel, ..locked().bootstrap };
    let lan = NetworkAccess { bridge: "docker0".parse().unwrap(), access: Access::Lan };
    vec![
        ("", locked()),
        ("", protected()),
        ("", portal()),
        ("", Situation { bootstrap: any, ..locked() }),
        (CONFIGURED, protected()),
        ("[lan]\nallow = false\n", locked()),
        ("", Situation { state: State::Connecting, bootstrap: kernel, ..locked() }),
        ("[docker]\nnetworks = { l = \"lan\" }\n", Situation { networks: vec![lan], ..protected() }),
    ]
}

#[test]
fn during_a_change_of_state_only_packets_of_the_old_or_the_new_state_leave() {
    let moments = moments();
    let rules = |(text, situation): &(&str, Situation), family| {
        let ruleset = of(&config(text), situation);
        listing(&ruleset, &BOTH).rules(family).unwrap()
    };
    for family in Family::ALL {
        let all: Vec<Rules> = moments.iter().map(|moment| rules(moment, family)).collect();
        let mut prover = Prover::default();
        for (place, before) in all.iter().enumerate() {
            for (other, after) in all.iter().enumerate().skip(place + 1) {
                let found = prover.wider(family, [before, after], &machine()).unwrap();
                assert_eq!(found.map(|packet| packet.to_string()), None, "{family:?} {place} {other}");
            }
        }
    }
}

#[test]
fn a_table_that_opens_before_another_one_closes_is_found() {
    let (mut before, mut after) = (listing(&of(&config(""), &locked()), &BOTH), Listing::default());
    after.clone_from(&before);
    // One packet passes iptables alone before, and nf_tables alone afterwards.
    let rule = "-d 192.0.2.9/32 -p tcp -m tcp --dport 25 -j ACCEPT";
    let text = &mut before.legacy[0].text;
    *text = text.replacen("-A OUTPUT -j", &format!("-A OUTPUT {rule}\n-A OUTPUT -j"), 1);
    after.nft.clear();
    let ends = [&before, &after].map(|listing| listing.rules(Family::V4).unwrap());
    let found = Prover::default().wider(Family::V4, [&ends[0], &ends[1]], &machine()).unwrap().unwrap();
    assert_eq!(found.destination, "192.0.2.9".parse().ok(), "{found}");
}
