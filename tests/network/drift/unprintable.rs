//! Other programs add rules that iptables cannot print while the agent runs.

use anyhow::{Context, Result, ensure};
use tunwarden_lab::{Lab, wait_for, with_lab};

use super::flood::FloodTest;
use super::{BOTH, ONE};
use crate::support::foreign::UNPRINTABLE;
use crate::support::{SOON, status, tunwarden};

fn jumps(lab: &Lab) -> Result<usize> {
    let chain = lab.host().succeed(["nft", "list", "chain", "ip", "filter", "OUTPUT"])?;
    Ok(chain.matches("jump OUTPUT_VPN_KILL_SWITCH").count())
}

fn is_held(test: &FloodTest<'_>, when: &str) -> Result<()> {
    wait_for("the rules are in force", SOON, || Ok((status(test.lab)?["enforced"] == true).then_some(())))
        .with_context(|| when.to_owned())?;
    ensure!(jumps(test.lab)? == 1, "{when}: {} jumps", jumps(test.lab)?);
    let users = test.lab.host().succeed(["nft", "list", "chain", "ip", "filter", "DOCKER-USER"])?;
    ensure!(users.contains("192.0.2.7"), "{when}: the user's rule is gone:\n{users}");
    test.is_silent(when)
}

fn the_agent_enforces_beside_them(config: &str) -> Result<()> {
    with_lab(|lab| {
        let test = FloodTest::begin(lab, config)?;
        lab.host().succeed(["iptables", "-w", "-I", "DOCKER-USER", "-s", "192.0.2.7", "-j", "DROP"])?;
        for (family, chain, rule) in UNPRINTABLE {
            let words = ["nft", "add", "rule", family].into_iter().chain(chain.split(' '));
            lab.host().succeed(words.chain(rule.split(' ')))?;
            is_held(&test, &format!("{rule} in {family} {chain}"))?;
        }
        for change in [
            "iptables -w -D OUTPUT -j OUTPUT_VPN_KILL_SWITCH",
            "iptables -w -t mangle -F",
            "iptables -w -F VPN_LAN",
        ] {
            let words: Vec<&str> = change.split(' ').collect();
            test.repaired(&format!("{change} beside what cannot be printed"), &words, "iptables")?;
            is_held(&test, change)?;
        }
        // Every check ignores these rules and adds nothing.
        for _ in 0..10 {
            ensure!(tunwarden(lab, ["verify"])?.status.success());
        }
        ensure!(tunwarden(lab, ["lock"])?.status.success());
        is_held(&test, "after ten looks and a lock")?;
        ensure!(!test.agent.log().contains("closed completely"), "{}", test.agent.log());
        Ok(())
    })
}

#[test]
fn an_agent_enforces_beside_rules_that_iptables_cannot_print_with_one_layer() {
    the_agent_enforces_beside_them(ONE).unwrap();
}

#[test]
fn an_agent_enforces_beside_rules_that_iptables_cannot_print_with_both_layers() {
    the_agent_enforces_beside_them(BOTH).unwrap();
}
