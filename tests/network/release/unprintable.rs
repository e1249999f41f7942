//! Rules and maps of others that iptables cannot print, and that refer to our chains.

use anyhow::{Result, ensure};
use tunwarden_lab::with_lab;

use super::{KNOWN, released};
use crate::support::kernel::Backend;
use crate::support::tunwarden;

#[test]
fn a_verdict_map_that_refers_to_our_chain_does_not_stop_a_release() -> Result<()> {
    with_lab(|lab| {
        Backend::Nft.lock(lab, KNOWN)?;
        let nft = |words: &str| lab.host().succeed(["nft", words]).map(drop);
        nft("add map ip filter theirs { type ipv4_addr : verdict; }")?;
        nft("add element ip filter theirs { 192.0.2.1 : jump VPN_LAN }")?;
        let said = released(lab)?;
        ensure!(said.contains("iptables: the chain VPN_LAN stays, empty, because something"), "{said}");
        let listing = lab.host().succeed(["nft", "list", "table", "ip", "filter"])?;
        ensure!(listing.matches("VPN_").count() == 2, "more than the chain and the map are left: {listing}");
        ensure!(!listing.contains("policy drop"), "{listing}");
        // The next lock and release succeed too.
        Backend::Nft.lock(lab, KNOWN)?;
        released(lab).map(drop)
    })
}

#[test]
fn a_misplaced_jump_beside_a_rule_that_no_tool_prints_is_removed_and_its_neighbour_stays() -> Result<()> {
    with_lab(|lab| {
        for words in [
            "-N OUTPUT_VPN_KILL_SWITCH",
            "-A OUTPUT_VPN_KILL_SWITCH -p udp --dport 1194 -j ACCEPT",
            "-A FORWARD -i docker0 -p udp -j OUTPUT_VPN_KILL_SWITCH",
            "-A FORWARD -p udp -j ACCEPT",
        ] {
            Backend::Nft.change(lab, "iptables", words)?;
        }
        lab.host().succeed(["nft", "insert rule ip filter FORWARD ct mark set 7"])?;
        let said = Backend::Nft.lock(lab, KNOWN)?;
        ensure!(said.contains("is removed: that chain"), "{said}");
        let listing = lab.host().succeed(["nft", "list", "chain", "ip", "filter", "FORWARD"])?;
        ensure!(!listing.contains("OUTPUT_VPN_KILL_SWITCH"), "the jump is left: {listing}");
        ensure!(listing.contains("ct mark set 0x00000007"), "its neighbour is gone: {listing}");
        ensure!(listing.contains("udp"), "its neighbour is gone: {listing}");
        ensure!(tunwarden(lab, ["verify"])?.status.success(), "the kernel does not hold the rules");
        released(lab).map(drop)
    })
}
