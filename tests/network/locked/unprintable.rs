//! Rules of other programs that iptables cannot print: tunwarden never takes such a table for empty, and
//! never flushes it.

use anyhow::{Context, Result, ensure};
use tunwarden_lab::{Lab, with_lab};

use super::KNOWN;
use crate::support::foreign::UNPRINTABLE;
use crate::support::kernel::{Backend, FAMILIES};
use crate::support::tunwarden;

/// A rule of the user in DOCKER-USER.
const USERS: &str = "-I DOCKER-USER 1 -s 192.0.2.7 -j DROP";

/// tunwarden's jumps in both families.
const JUMPS: [(&str, &str); 5] = [
    ("filter OUTPUT", "jump OUTPUT_VPN_KILL_SWITCH"),
    ("filter INPUT", "jump RELATED_AND_ESTABLISHED"),
    ("filter FORWARD", "jump DOCKER_VPN_KILL_SWITCH"),
    ("filter DOCKER-USER", "jump DOCKER_VPN_KILL_SWITCH"),
    ("mangle FORWARD", "jump DOCKER_VPN_KILL_SWITCH"),
];

fn listed(lab: &Lab, family: &str, chain: &str) -> Result<String> {
    lab.host().succeed(["nft", "list", "chain", family].into_iter().chain(chain.split(' ')))
}

/// Checks that each of tunwarden's jumps exists once, and that the user's rules exist.
fn is_whole(lab: &Lab) -> Result<()> {
    for family in ["ip", "ip6"] {
        for (chain, jump) in JUMPS {
            let rules = listed(lab, family, chain)?;
            let count = rules.matches(jump).count();
            ensure!(count == 1, "{family} {chain} jumps {count} times:\n{rules}");
        }
    }
    let users = listed(lab, "ip", "filter DOCKER-USER")?;
    ensure!(users.contains("192.0.2.7"), "the user's rule is gone:\n{users}");
    Ok(())
}

fn lock(lab: &Lab) -> Result<()> {
    let lock = tunwarden(lab, ["lock"])?;
    ensure!(lock.status.success(), "lock: {lock:?}");
    let verify = tunwarden(lab, ["verify"])?;
    ensure!(verify.status.success(), "verify: {verify:?}");
    is_whole(lab)
}

/// Adds each rule and locks. Then removes parts of the lock and checks that the next lock repairs them.
fn lock_beside_each(lab: &Lab) -> Result<()> {
    for (family, chain, rule) in UNPRINTABLE {
        let rule_words = ["nft", "add", "rule", family].into_iter().chain(chain.split(' '));
        lab.host().succeed(rule_words.chain(rule.split(' ')))?;
        for _ in 0..3 {
            lock(lab).with_context(|| format!("{rule} in {family} {chain}"))?;
        }
        for (change, named) in [
            ("-D OUTPUT -j OUTPUT_VPN_KILL_SWITCH", "OUTPUT does not jump to OUTPUT_VPN_KILL_SWITCH"),
            ("-I OUTPUT 1 -j ACCEPT", "is rule 2, not the first"),
            ("-F VPN_LAN", "missing: -A VPN_LAN"),
            ("-t mangle -F DOCKER_VPN_KILL_SWITCH", "mangle: missing: -A DOCKER_VPN_KILL_SWITCH"),
        ] {
            Backend::Nft.change(lab, "iptables", change)?;
            let verify = tunwarden(lab, ["verify"])?;
            ensure!(verify.status.code() == Some(4), "{change} is not noticed: {verify:?}");
            ensure!(verify.stdout.contains(named), "{change}: {}", verify.stdout);
            lock(lab).with_context(|| format!("{change}, beside {rule} in {family} {chain}"))?;
            if change.ends_with("ACCEPT") {
                Backend::Nft.change(lab, "iptables", "-D OUTPUT -j ACCEPT")?;
            }
        }
        let ours = chain.ends_with("KILL_SWITCH");
        let stays = listed(lab, family, chain)?;
        let word = rule.split(' ').nth(1).unwrap_or_default();
        ensure!(stays.contains(word) != ours, "{rule} in {family} {chain}:\n{stays}");
    }
    Ok(())
}

#[test]
fn a_lock_beside_rules_that_iptables_cannot_print_holds_and_flushes_nothing() {
    with_lab(|lab| {
        Backend::Nft.lock(lab, KNOWN)?;
        Backend::Nft.change(lab, "iptables", USERS)?;
        lock(lab)?;
        lock_beside_each(lab)?;
        // The control: iptables prints neither family.
        for family in FAMILIES {
            let save = lab.host().run([Backend::Nft.tool(family, "-save")])?;
            let whole = save.status.success() && save.stdout.contains("-A OUTPUT");
            ensure!(!whole, "the control failed: {}", save.stdout);
        }

        let release = tunwarden(lab, ["release", "--yes"])?;
        ensure!(release.status.success(), "{release:?}");
        let ruleset = lab.host().succeed(["nft", "list", "ruleset"])?;
        ensure!(!ruleset.contains("VPN"), "of ours there is still:\n{ruleset}");
        ensure!(ruleset.contains("192.0.2.7"), "the user's rule is gone:\n{ruleset}");
        let others = UNPRINTABLE.iter().filter(|(_, chain, _)| !chain.ends_with("KILL_SWITCH")).count();
        let left = ruleset.matches("ct mark set").count() + ruleset.matches("meta skuid").count();
        ensure!(left == others, "{left} of {others} rules of others are left:\n{ruleset}");
        let sent = lab.host().udp("203.0.113.9:4000")?.from_user("nobody").send()?;
        ensure!(sent.accepted == 1, "it is still closed: {sent:?}");
        Ok(())
    })
    .unwrap();
}

/// The tools fail completely: tunwarden flushes no rule of others, and adds no jump twice.
#[test]
fn a_first_lock_beside_rules_that_iptables_cannot_print_flushes_nothing() {
    with_lab(|lab| {
        lab.host().file("/etc/tunwarden/config.toml", &Backend::Nft.config(KNOWN))?;
        Backend::Nft.restore(lab, "iptables", crate::support::foreign::DOCKER_20)?;
        for chain in ["INPUT", "OUTPUT", "FORWARD"] {
            Backend::Nft.change(lab, "iptables", &format!("-A {chain} -s 192.0.2.9 -j DROP"))?;
            lab.host().succeed(["nft", "add", "rule", "ip", "filter", chain, "ct", "mark", "set", "7"])?;
        }
        lock(lab)?;
        lock(lab)?;
        for chain in ["INPUT", "OUTPUT", "FORWARD"] {
            let rules = listed(lab, "ip", &format!("filter {chain}"))?;
            ensure!(rules.contains("ct mark set") && rules.contains("192.0.2.9"), "{chain}:\n{rules}");
        }
        Ok(())
    })
    .unwrap();
}
