//! What `release` knows about the firewall before the lock: without a record, with a damaged one, and with a firewall
//! that was set up after the lock.

use anyhow::{Result, ensure};
use tunwarden_lab::{Lab, with_lab};

use super::{KNOWN, OWN, Ports, SHUT, answers, is_closed, own_ruleset, policies, released};
use crate::support::kernel::{Backend, FAMILIES};
use crate::support::tunwarden;

/// The record of this boot.
const RECORD: &str = "/run/tunwarden/policies.json";

/// Removes all rules and chains, as another program does. The policies stay.
fn flush(lab: &Lab, backend: Backend) -> Result<()> {
    for family in FAMILIES {
        for table in ["filter", "mangle"] {
            backend.change(lab, family, &format!("-t {table} -F"))?;
            backend.change(lab, family, &format!("-t {table} -X"))?;
        }
    }
    Ok(())
}

#[test]
fn a_firewall_that_was_set_up_after_the_lock_on_an_open_machine_stays_closed() -> Result<()> {
    with_lab(|lab| {
        let _ports = Ports::open(lab.host())?;
        // The machine was open, and had one rule.
        for family in FAMILIES {
            Backend::Nft.change(lab, family, "-A INPUT -p tcp --dport 9 -j DROP")?;
        }
        ensure!(answers(lab, SHUT)? == [true; 2], "the control failed");
        Backend::Nft.lock(lab, KNOWN)?;
        own_ruleset(lab, Backend::Nft)?;
        let said = released(lab)?;
        ensure!(said.contains("iptables: INPUT stays closed (DROP)"), "{said}");
        is_closed(lab, "released")
    })
}

#[test]
fn without_a_record_our_own_policies_are_opened_and_those_of_others_are_named() -> Result<()> {
    with_lab(|lab| {
        let _ports = Ports::open(lab.host())?;
        // As after an upgrade from a version without a record.
        Backend::Nft.lock(lab, KNOWN)?;
        lab.host().succeed(["rm", RECORD])?;
        flush(lab, Backend::Nft)?;
        Backend::Nft.lock(lab, KNOWN)?;
        released(lab)?;
        assert_eq!(answers(lab, SHUT)?, [true; 2], "{:?}", policies(lab, Backend::Nft)?);

        // The record is damaged, and another program has flushed our rules.
        Backend::Nft.lock(lab, KNOWN)?;
        lab.host().file(RECORD, "{")?;
        flush(lab, Backend::Nft)?;
        released(lab)?;
        assert_eq!(answers(lab, SHUT)?, [true; 2], "{:?}", policies(lab, Backend::Nft)?);

        // The next lock replaces a damaged record.
        Backend::Nft.lock(lab, KNOWN)?;
        lab.host().file(RECORD, "{")?;
        flush(lab, Backend::Nft)?;
        Backend::Nft.lock(lab, KNOWN)?;
        let record = lab.host().succeed(["cat", RECORD])?;
        ensure!(record.contains("nft ipv4") && record.contains("nft ipv6"), "{record}");
        released(lab)?;

        // Without any lock the policies belong to other programs.
        for family in FAMILIES {
            Backend::Nft.change(lab, family, "-P INPUT DROP")?;
        }
        let said = tunwarden(lab, ["release", "--yes"])?.stdout;
        for family in FAMILIES {
            let line = format!("{family}: INPUT stays closed (DROP)");
            ensure!(said.contains(&line), "it does not say {line}: {said}");
            ensure!(said.contains(&format!("to open it: {family} -P INPUT ACCEPT")), "{said}");
        }
        ensure!(answers(lab, SHUT)? == [false; 2], "a firewall of others was opened");
        Ok(())
    })
}

#[test]
fn a_layer_or_backend_that_is_not_named_any_more_leaves_no_rules_and_no_record() -> Result<()> {
    with_lab(|lab| {
        let _ports = Ports::open(lab.host())?;
        Backend::Nft.lock(lab, KNOWN)?;
        Backend::NftablesAlone.lock(lab, KNOWN)?;
        ensure!(!Backend::Nft.all_saved(lab)?.iter().any(|line| line.contains("VPN")), "rules are left");
        // The user's own firewall accepts no replies, so only the record can tell whose policies these are.
        for family in FAMILIES {
            Backend::Nft.change(lab, family, "-P INPUT DROP")?;
        }
        Backend::Nft.lock(lab, KNOWN)?;
        let said = released_closed(lab)?;
        ensure!(said.contains("iptables: INPUT stays closed (DROP), because it was closed before"), "{said}");
        for family in FAMILIES {
            Backend::Nft.change(lab, family, "-P INPUT ACCEPT")?;
        }

        Backend::Legacy.lock(lab, KNOWN)?;
        let said = Backend::Nft.lock(lab, KNOWN)?;
        ensure!(said.contains("iptables-legacy, which firewall.backend does not name"), "{said}");
        let left = Backend::Legacy.all_saved(lab)?;
        ensure!(!left.iter().any(|line| line.contains("VPN") || line.contains("DROP")), "{left:#?}");
        ensure!(tunwarden(lab, ["verify"])?.status.success(), "the new backend does not hold the rules");

        // A message names the program that shows the chain.
        for family in FAMILIES {
            for rule in OWN.into_iter().filter(|rule| family == "ip6tables" || !rule.contains("ipv6")) {
                Backend::Legacy.change(lab, family, rule)?;
            }
        }
        Backend::Legacy.lock(lab, KNOWN)?;
        lab.host().file("/etc/tunwarden/config.toml", &Backend::Nft.config(KNOWN))?;
        let said = released_closed(lab)?;
        ensure!(said.contains("iptables-legacy: INPUT stays closed (DROP)"), "{said}");
        ensure!(said.contains("to open it: ip6tables-legacy -P INPUT ACCEPT"), "{said}");
        Ok(())
    })
}

/// Releases a machine whose firewall does not accept replies.
fn released_closed(lab: &Lab) -> Result<String> {
    let output = tunwarden(lab, ["release", "--yes"])?;
    ensure!(output.status.success(), "release: {output:?}");
    Ok(output.stdout)
}

#[test]
fn a_chain_that_a_release_left_behind_hides_no_firewall_from_the_next_one() -> Result<()> {
    with_lab(|lab| {
        let _ports = Ports::open(lab.host())?;
        Backend::Nft.lock(lab, KNOWN)?;
        for family in FAMILIES {
            Backend::Nft.change(lab, family, "-N MINE")?;
            Backend::Nft.change(lab, family, "-A MINE -j VPN_BOOTSTRAP")?;
            Backend::Nft.change(lab, family, "-t mangle -N MINE")?;
            Backend::Nft.change(lab, family, "-t mangle -A MINE -j DOCKER_VPN_KILL_SWITCH")?;
        }
        released(lab)?;
        let status = tunwarden(lab, ["status"])?;
        ensure!(status.status.code() == Some(4), "an empty chain is taken for our rules: {status:?}");
        for family in FAMILIES {
            Backend::Nft.change(lab, family, "-P INPUT DROP")?;
        }
        Backend::Nft.lock(lab, KNOWN)?;
        let said = released_closed(lab)?;
        ensure!(said.contains("iptables: INPUT stays closed (DROP), because it was closed before"), "{said}");
        ensure!(answers(lab, SHUT)? == [false; 2], "the firewall was opened");
        Ok(())
    })
}
