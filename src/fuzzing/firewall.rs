//! Targets for what the firewall tools print of the rules in the kernel.

use super::assert_plain;
use crate::config::Config;
use crate::firewall::nftables::listing::{Listed, differences};
use crate::firewall::saved_set::SavedSet;
use crate::firewall::{Saved, canonical};
use crate::net::Family;
use crate::policy::nftables::tables;
use crate::policy::{EndpointSet, Owners, ruleset};
use crate::vpn::Situation;

/// What `iptables-save` prints, and after `create ` what `ipset save` does.
pub(super) fn iptables(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if text.starts_with("create ") {
        let ours = "198.51.100.7:1194/udp".parse().ok();
        if let Some(set) = SavedSet::parse("NAME", &text) {
            assert!(set.differences(&EndpointSet::new(Family::V4, ours)).len() < 20, "told at length");
        }
        return;
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

/// What `nft list table` prints.
pub(super) fn nft(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match Listed::parse(&text) {
        Err(error) => assert_plain(&error.to_string()),
        Ok(listed) => {
            let rules = ruleset(&Config::default(), &Owners::from([0]), &Situation::default());
            for table in tables(&rules) {
                let told = differences(&table, Some(&listed));
                assert!(told.iter().all(|line| !line.contains('\n')), "{told:?}");
            }
        }
    }
}
