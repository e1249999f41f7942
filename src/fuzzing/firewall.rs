//! Targets for the output of firewall tools, and for what the kernel reports about its rules.

use std::collections::BTreeMap;

use super::assert_plain;
use crate::config::Config;
use crate::firewall::saved_set::SavedSet;
use crate::firewall::{Saved, canonical};
use crate::model::Listing;
use crate::net::Family;
use crate::netfilter::readback::{Held, differences};
use crate::netfilter::{held, listing};
use crate::policy::nftables::tables;
use crate::policy::{EndpointSet, Owners, ruleset};
use crate::vpn::Situation;

/// The output of `iptables-save`; after `create `, that of `ipset save`.
pub(super) fn iptables(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if text.starts_with("create ") {
        let ours = "198.51.100.7:1194/udp".parse().ok();
        if let Some(set) = SavedSet::parse("NAME", &text) {
            assert!(set.differences(&EndpointSet::new(Family::V4, ours)).len() < 20, "told at length");
        }
        return;
    }
    // The model of `prove` and `why` reads the rules of every program.
    for family in Family::ALL {
        let saved = vec![crate::model::Saved { family, text: text.clone().into_owned() }];
        let _ = Listing { legacy: saved, ..Listing::default() }.rules(family);
    }
    let Ok(saved) = Saved::parse(&text) else { return };
    for name in ["filter", "mangle"] {
        let Some(table) = saved.table(name) else { continue };
        let _ = (table.nothing_but(), table.leads_to("DOCKER_VPN_KILL_SWITCH"));
        for chain in ["INPUT", "FORWARD", "OUTPUT", "OUTPUT_VPN_KILL_SWITCH"] {
            for rule in table.rules(chain).unwrap_or_default() {
                assert_eq!(canonical(rule), *rule, "one spelling");
            }
        }
    }
}

/// The kernel's answers about our tables, and about the tables of every program.
pub(super) fn nft(data: &[u8]) {
    let _ = held::take(&mut BTreeMap::new(), data);
    let mut nft = Vec::new();
    if listing::take(&mut nft, data).is_ok() {
        let listing = Listing { nft, ..Listing::default() };
        for family in Family::ALL {
            let _ = listing.rules(family);
        }
    }
    let rules = ruleset(&Config::default(), &Owners::from([0]), &Situation::default());
    for table in tables(&rules) {
        let mut held = Held::default();
        if held.take(table.id(), data).is_err() {
            continue;
        }
        differences(&table, &held, |_| true).iter().for_each(|line| assert_plain(line));
    }
}
