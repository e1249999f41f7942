//! If the kernel supports it, the agent owns the tables of the second layer. No other program can flush them,
//! they stay when the agent dies, and `release` always removes them.

use anyhow::{Context, Result, ensure};
use tunwarden_lab::{Lab, wait_for, with_lab};

use super::flood::FloodTest;
use super::{BOTH, ONE};
use crate::support::{SOON, nft, start_agent, status, tunwarden};

/// Waits until the agent reports that it owns the tables, or that it does not.
fn wait_for_owned(lab: &Lab, owned: bool) -> Result<()> {
    wait_for(&format!("owned: {owned}"), SOON, || {
        let said = status(lab)?;
        Ok((said["layers"][1]["owned"] == owned && said["enforced"] == true).then_some(()))
    })
}

fn tables(lab: &Lab) -> Result<String> {
    lab.host().succeed(["nft", "list", "tables"])
}

/// Commands that flush all of nftables. `ATTACKS` change only tunwarden's tables.
const FLUSHES: [&[&str]; 2] =
    [&["nft", "flush", "ruleset"], &["sh", "-c", "nft flush ruleset; nft flush ruleset"]];

const ATTACKS: [&str; 4] = [
    "delete table inet tunwarden",
    "flush table netdev tunwarden",
    "insert rule inet tunwarden output accept",
    "table netdev tunwarden { flags dormant; }",
];

#[test]
fn a_flush_of_everything_opens_nothing_where_the_agent_owns_the_tables() {
    with_lab(|lab| {
        let mut test = FloodTest::begin(lab, BOTH)?;
        wait_for_owned(lab, true).with_context(|| test.agent.log())?;
        let text = tunwarden(lab, ["status"])?.stdout;
        ensure!(text.contains("owned by the agent"), "{text}");
        for flush in FLUSHES {
            let left = test.repaired(&format!("owned, {}", flush.join(" ")), flush, "nft")?;
            ensure!(left.of_host + left.of_container == 0, "{flush:?}: {left:?} left");
        }
        for attack in ATTACKS {
            let refused = lab.host().run(["nft", attack])?;
            ensure!(!refused.status.success(), "the kernel lets others do this: {attack}");
            ensure!(refused.stderr.contains("not permitted"), "{attack}: {}", refused.stderr);
        }
        // The agent itself can still change its tables.
        let from = test.so_far()?;
        ensure!(tunwarden(lab, ["pause", "60s"])?.status.success());
        let seen = test.left_since(from)?;
        wait_for("the pause opens", SOON, || {
            Ok((test.left_since(from)?.of_host > seen.of_host).then_some(()))
        })?;
        ensure!(tunwarden(lab, ["resume"])?.status.success());
        test.is_silent("after a pause")?;
        wait_for_owned(lab, true)?;
        for (config, owned) in [(ONE, false), (BOTH, true)] {
            lab.host().file("/etc/tunwarden/config.toml", config)?;
            let reload = tunwarden(lab, ["reload"])?;
            ensure!(reload.status.success(), "{reload:?}");
            ensure!(tables(lab)?.contains("inet tunwarden\n") == owned, "{}", tables(lab)?);
            test.is_silent("after a reload")?;
        }
        wait_for_owned(lab, true)?;

        // The tables stay when their owner dies. The control: the same flush removes tables without an owner.
        test.agent.kill()?;
        test.is_silent("the agent is dead")?;
        ensure!(tables(lab)?.contains("inet tunwarden\n"), "{}", tables(lab)?);
        ensure!(status(lab)?["layers"][1]["owned"] == false, "{}", status(lab)?);
        test.leaks_after_a_flush("the control: without an owner everything leaves")
    })
    .unwrap();
}

#[test]
fn an_agent_that_is_killed_and_started_again_opens_nothing_to_a_flush() {
    with_lab(|lab| {
        let mut test = FloodTest::begin(lab, BOTH)?;
        wait_for_owned(lab, true)?;
        for _ in 0..3 {
            test.agent.kill()?;
            test.is_silent("the owner was killed")?;
            test.agent = start_agent(lab)?;
            wait_for_owned(lab, true).with_context(|| test.agent.log())?;
            test.is_silent("the next owner")?;
            let left = test.repaired("owned again, nft flush ruleset", FLUSHES[0], "nft")?;
            ensure!(left.of_host + left.of_container == 0, "{left:?} left");
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_lock_takes_over_owned_tables_and_a_release_removes_them() {
    with_lab(|lab| {
        let mut test = FloodTest::begin(lab, BOTH)?;
        wait_for_owned(lab, true)?;
        // The next agent takes over the tables of the last one.
        test.agent.kill()?;
        test.agent = start_agent(lab)?;
        wait_for_owned(lab, true).with_context(|| test.agent.log())?;
        test.is_silent("another agent")?;
        test.agent.kill()?;
        let lock = tunwarden(lab, ["lock"])?;
        ensure!(lock.status.success(), "{lock:?}");
        test.is_silent("a lock")?;
        ensure!(tunwarden(lab, ["verify"])?.status.success());
        // `release` while the agent runs.
        test.agent = start_agent(lab)?;
        wait_for_owned(lab, true)?;
        let release = tunwarden(lab, ["release", "--yes"])?;
        ensure!(release.status.success(), "{release:?}");
        ensure!(!tables(lab)?.contains("tunwarden"), "{}", tables(lab)?);

        // The owner does not end: the error names the command that helps. After the owner ends, it works.
        let mut agent = start_agent(lab)?;
        wait_for_owned(lab, true)?;
        let owner = nft::owner_of(&agent)?;
        agent.kill()?;
        ensure!(tunwarden(lab, ["lock"])?.status.success(), "it holds the rules already");
        lab.host().file("/etc/tunwarden/config.toml", &format!("{BOTH}[lan]\nallow = false\n"))?;
        let lock = tunwarden(lab, ["lock"])?;
        ensure!(lock.status.code() == Some(1), "{lock:?}");
        ensure!(lock.stderr.contains("systemctl restart tunwarden"), "{lock:?}");
        test.is_silent("an owner that does not end")?;
        let release = tunwarden(lab, ["release", "--yes"])?;
        ensure!(!release.status.success(), "{release:?}");
        ensure!(release.stderr.contains("systemctl restart tunwarden"), "{release:?}");
        drop(owner);
        let release = tunwarden(lab, ["release", "--yes"])?;
        ensure!(release.status.success(), "{release:?}");
        ensure!(!tables(lab)?.contains("tunwarden"), "{}", tables(lab)?);
        Ok(())
    })
    .unwrap();
}

#[test]
fn an_agent_owns_the_tables_as_soon_as_nobody_else_does() {
    with_lab(|lab| {
        let mut test = FloodTest::begin(lab, BOTH)?;
        wait_for_owned(lab, true)?;
        let owner = nft::owner_of(&test.agent)?;
        test.agent.kill()?;
        test.agent = start_agent(lab)?;
        // The rules are in force, although the agent does not own them.
        wait_for_owned(lab, false).with_context(|| test.agent.log())?;
        test.is_silent("another owner")?;
        let from = test.so_far()?;
        let pause = tunwarden(lab, ["pause", "60s"])?;
        ensure!(!pause.status.success() && pause.stderr.contains("nothing was opened"), "{pause:?}");
        test.is_silent("a pause that the kernel refuses")?;
        let left = test.left_since(from)?;
        ensure!(left.of_host + left.of_container == 0, "{left:?} left");

        drop(owner);
        wait_for_owned(lab, true).with_context(|| test.agent.log())?;
        let left = test.repaired("owned again, nft flush ruleset", FLUSHES[0], "nft")?;
        ensure!(left.of_host + left.of_container == 0, "{left:?} left");
        ensure!(tunwarden(lab, ["pause", "60s"])?.status.success(), "the control: the owner can open");
        Ok(())
    })
    .unwrap();
}
