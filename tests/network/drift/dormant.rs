//! Tables that another program switches off (`flags dormant`): listings still show their rules, but the
//! kernel applies them to no packet.

use anyhow::{Context, Result, ensure};
use tunwarden_lab::{Lab, wait_for, with_lab};

use super::flood::FloodTest;
use super::{BOTH, ONE};
use crate::support::{SOON, agent, bus, status, tunwarden};

/// The tables of iptables whose rules stop packets. If one of them is off, some packets can leave.
const TABLES: [&str; 4] = ["ip filter", "ip6 filter", "ip mangle", "ip6 mangle"];

fn switch_off(lab: &Lab, table: &str) -> Result<()> {
    lab.host().succeed(["nft", &format!("add table {table} {{ flags dormant; }}")]).map(drop)
}

fn is_off(lab: &Lab, table: &str) -> Result<bool> {
    let words = ["nft", "list", "table"].into_iter().chain(table.split(' '));
    Ok(lab.host().succeed(words)?.contains("flags dormant"))
}

#[test]
fn an_agent_with_one_layer_switches_its_tables_on_again_and_names_the_program() {
    with_lab(|lab| {
        let test = FloodTest::begin(lab, ONE)?;
        let from = test.so_far()?;
        for table in TABLES {
            let command = format!("add table {table} {{ flags dormant; }}");
            test.repaired(&format!("{table} dormant"), &["nft", &command], "nft")?;
            ensure!(!is_off(lab, table)?, "{table} is still off");
        }
        let left = test.left_since(from)?;
        println!("with one layer left while tables were off: {left:?}");
        ensure!(test.agent.log().contains("switched off (flags dormant)"), "{}", test.agent.log());
        Ok(())
    })
    .unwrap();
}

#[test]
fn nothing_leaves_through_both_layers_when_a_table_of_iptables_is_switched_off() {
    with_lab(|lab| {
        let test = FloodTest::begin(lab, BOTH)?;
        // The kernel refuses it for the agent's own tables: see `owned.rs`.
        for table in TABLES {
            let command = format!("add table {table} {{ flags dormant; }}");
            let left = test.repaired(&format!("{table} dormant"), &["nft", &command], "nft")?;
            ensure!(left.of_host + left.of_container == 0, "{table}: {left:?} left");
            ensure!(!is_off(lab, table)?, "{table} is still off");
        }
        Ok(())
    })
    .unwrap();
}

/// Without an agent, `status` and `verify` report the table, and `lock` switches it on again.
#[test]
fn a_table_that_is_switched_off_is_not_in_force_and_a_lock_switches_it_on() {
    with_lab(|lab| {
        // No agent has owned these tables. The kernel refuses the change also for a table that had an owner.
        lab.host().file("/etc/tunwarden/config.toml", BOTH)?;
        ensure!(tunwarden(lab, ["lock"])?.status.success());
        for table in TABLES.iter().chain(&["inet tunwarden", "netdev tunwarden"]) {
            let exit = |words: [&str; 1]| Ok::<_, anyhow::Error>(tunwarden(lab, words)?.status.code());
            ensure!(exit(["status"])? == Some(3), "locked before {table}");
            switch_off(lab, table)?;
            ensure!(is_off(lab, table)?, "the control failed");
            ensure!(exit(["status"])? == Some(4), "{table} is off, and status does not say so");
            let verify = tunwarden(lab, ["verify"])?;
            ensure!(verify.status.code() == Some(4), "{table} is off, and verify does not say so");
            ensure!(verify.stdout.contains("switched off (flags dormant)"), "{table}: {}", verify.stdout);
            let lock = tunwarden(lab, ["lock"])?;
            ensure!(lock.status.success(), "{table}: {lock:?}");
            ensure!(!is_off(lab, table)?, "{table} is still off");
            ensure!(exit(["verify"])? == Some(0), "{table} is off");
        }
        // The control: with every table off, the packet leaves.
        for table in TABLES.iter().chain(&["inet tunwarden", "netdev tunwarden"]) {
            switch_off(lab, table)?;
        }
        let sent = lab.host().udp("203.0.113.9:4000")?.from_user("nobody").send()?;
        ensure!(sent.accepted == 1, "the control failed: {sent:?}");
        ensure!(tunwarden(lab, ["lock"])?.status.success());
        let sent = lab.host().udp("203.0.113.9:4000")?.from_user("nobody").send()?;
        ensure!(sent.accepted == 0, "it is open: {sent:?}");
        Ok(())
    })
    .unwrap();
}

/// A table with rules of another program that was off before the agent started: the agent switches it on.
#[test]
fn a_table_that_was_switched_off_before_is_switched_on_by_the_agent() {
    with_lab(|lab| {
        lab.host().succeed(["iptables", "-w", "-A", "INPUT", "-s", "192.0.2.7", "-j", "DROP"])?;
        switch_off(lab, "ip filter")?;
        let _bus = bus(lab)?;
        let _agent = agent(lab, ONE)?;
        wait_for("in force", SOON, || Ok((status(lab)?["enforced"] == true).then_some(())))
            .context("the agent begins with a table that is off")?;
        ensure!(!is_off(lab, "ip filter")?);
        let input = lab.host().succeed(["iptables", "-S", "INPUT"])?;
        ensure!(input.contains("192.0.2.7"), "somebody's rule is gone: {input}");
        Ok(())
    })
    .unwrap();
}
