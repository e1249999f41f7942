//! A harmless change by another program makes the agent check its rules once. Its own commits cause no check.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tunwarden_lab::{Lab, Process, wait_for, with_lab};

use super::{BOTH, ONE};
use crate::support::{SOON, agent, bus, status, tunwarden};

/// How often the agent has checked the rules because of a change, and how often it has written them.
fn looks(agent: &Process) -> (usize, usize) {
    let log = agent.log();
    (log.matches("looking: the tables have changed").count(), log.matches("restored").count())
}

/// Waits until the agent logs nothing for a moment: its work after a change is done.
fn settle(agent: &Process) -> Result<()> {
    let mut said = agent.log().len();
    wait_for("the agent is done", SOON, || {
        std::thread::sleep(Duration::from_millis(600));
        let before = std::mem::replace(&mut said, agent.log().len());
        Ok((said == before).then_some(()))
    })
}

fn own_changes_cause_no_check(lab: &Lab, config: &str) -> Result<()> {
    let _bus = bus(lab)?;
    let mut agent = agent(lab, config)?;
    ensure!(status(lab)?["watch"] == "netfilter", "{}", status(lab)?);
    settle(&agent)?;
    let before = looks(&agent);
    for _ in 0..3 {
        ensure!(tunwarden(lab, ["pause", "60s"])?.status.success());
        ensure!(tunwarden(lab, ["resume"])?.status.success());
    }
    settle(&agent)?;
    let after = looks(&agent);
    ensure!(after.1 > before.1, "the control failed: nothing was committed");
    ensure!(after.0 == before.0, "{} looks at our own changes:\n{}", after.0 - before.0, agent.log());

    // A rule of another program in another chain: one check, and the agent writes nothing.
    lab.host().succeed(["iptables", "-w", "-t", "nat", "-A", "POSTROUTING", "-j", "RETURN"])?;
    agent.wait_for_lines("looking: the tables have changed", before.0 + 1, SOON)?;
    settle(&agent)?;
    ensure!(looks(&agent) == (before.0 + 1, after.1), "{before:?} {:?}\n{}", looks(&agent), agent.log());
    ensure!(status(lab)?["repairs"] == 0, "{}", status(lab)?);

    // Fifty changes without a pause.
    let storm = "for n in $(seq 50); do iptables -w -t nat -A POSTROUTING -j RETURN; done";
    lab.host().succeed(["sh", "-c", storm])?;
    settle(&agent)?;
    let looked = looks(&agent).0 - before.0 - 1;
    println!("fifty changes: {looked} looks");
    ensure!((1..=25).contains(&looked), "{looked} looks at a storm of fifty changes");
    Ok(())
}

#[test]
fn our_own_changes_cause_no_check_and_harmless_ones_cause_one_with_one_layer() {
    with_lab(|lab| own_changes_cause_no_check(lab, ONE)).unwrap();
}

#[test]
fn our_own_changes_cause_no_check_and_harmless_ones_cause_one_with_both_layers() {
    with_lab(|lab| own_changes_cause_no_check(lab, BOTH)).unwrap();
}

#[test]
fn status_says_that_the_kernel_reports_no_changes() {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let _agent = agent(lab, "[firewall]\nbackend = \"legacy\"\nlayers = [\"iptables\"]\n")?;
        wait_for("the status says how changes are seen", SOON, || {
            Ok((status(lab)?["watch"] == "slow").then_some(()))
        })
        .with_context(|| format!("{:?}", status(lab)))?;
        let said = tunwarden(lab, ["status"])?.stdout;
        ensure!(said.contains("within a minute"), "{said}");
        Ok(())
    })
    .unwrap();
}
