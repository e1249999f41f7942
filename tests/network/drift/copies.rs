//! A kernel from 6.1 to 6.8 removes an owned table together with its owner. There the agent owns a copy of the
//! tables: a flush leaves the copy in force, and the end of the agent leaves the tables.

use anyhow::{Context, Result, ensure};
use tunwarden_lab::{Lab, wait_for, with_lab};

use super::BOTH;
use super::flood::FloodTest;
use crate::support::{SOON, nft, start_agent, status, tunwarden, verify_alone};

const ON_OTHER_KERNELS: &str = "on a kernel from 6.1 to 6.8: make kernels";

fn tables(lab: &Lab) -> Result<String> {
    lab.host().succeed(["nft", "list", "tables"])
}

/// Waits until the agent reports that a flush leaves its rules in force, or that it does not. Checks that both copies
/// are there then, or none.
fn wait_for_copies(test: &FloodTest<'_>, expected: bool) -> Result<()> {
    wait_for(&format!("copies: {expected}"), SOON, || {
        let said = status(test.lab)?;
        Ok((said["layers"][1]["owned"] == expected && said["enforced"] == true).then_some(()))
    })
    .with_context(|| test.agent.log())?;
    let tables = tables(test.lab)?;
    for copy in ["inet tunwarden_copy", "netdev tunwarden_copy"] {
        ensure!(tables.contains(copy) == expected, "{copy}, {ON_OTHER_KERNELS}: {tables}");
    }
    Ok(())
}

/// Checks that the copies have the same rules as the tables that stay.
fn are_copies(lab: &Lab) -> Result<()> {
    for family in ["inet", "netdev"] {
        let list = |name| lab.host().succeed(["nft", "list", "table", family, name]);
        let without_name = |text: String| {
            let lines = text.lines().filter(|line| !line.is_empty());
            let lines = lines.filter(|line| !line.contains("tunwarden") && !line.contains("flags owner"));
            lines.map(ToOwned::to_owned).collect::<Vec<_>>()
        };
        let (table, copy) = (without_name(list("tunwarden")?), without_name(list("tunwarden_copy")?));
        ensure!(table.len() > 10 && table == copy, "{family}: {table:#?} is not {copy:#?}");
    }
    Ok(())
}

/// Commands that remove or open the tables that stay.
const ATTACKS: [&[&str]; 4] = [
    &["nft", "flush", "ruleset"],
    &["nft", "delete", "table", "inet", "tunwarden"],
    &["nft", "delete", "table", "netdev", "tunwarden"],
    &["nft", "insert", "rule", "inet", "tunwarden", "output", "accept"],
];

/// Both layers are removed again and again.
const LOOP: &str = "for n in 1 2 3 4 5 6 7 8; do
    iptables -w -F; iptables -w -X; iptables -w -P OUTPUT ACCEPT; nft flush ruleset
    nft delete table netdev tunwarden 2>/dev/null || true
done";

#[test]
#[ignore = "needs a kernel from 6.1 to 6.8: make kernels"]
fn a_flush_and_the_end_of_the_agent_each_leave_the_rules_in_force() {
    with_lab(|lab| {
        let mut test = FloodTest::begin(lab, BOTH)?;
        wait_for_copies(&test, true)?;
        for attack in ATTACKS {
            let left = test.repaired(&format!("a copy, {}", attack.join(" ")), attack, "nft")?;
            ensure!(left.of_host + left.of_container == 0, "{attack:?}: {left:?} left");
        }
        let from = test.so_far()?;
        lab.host().run(["sh", "-c", LOOP])?;
        wait_for("the rules are back", SOON, || Ok(verify_alone(lab)?.status.success().then_some(())))?;
        test.is_silent("after a loop of flushes")?;
        let left = test.left_since(from)?;
        ensure!(left.of_host + left.of_container == 0, "a loop of flushes: {left:?} left");
        let refused = lab.host().run(["nft", "delete", "table", "inet", "tunwarden_copy"])?;
        ensure!(!refused.status.success() && refused.stderr.contains("not permitted"), "{refused:?}");

        test.agent.kill()?;
        test.is_silent("the agent is dead")?;
        let left = tables(lab)?;
        ensure!(left.contains("inet tunwarden\n") && !left.contains("tunwarden_copy"), "{left}");
        ensure!(tunwarden(lab, ["verify"])?.status.success(), "the tables are whole");
        test.agent = start_agent(lab)?;
        wait_for_copies(&test, true)?;
        test.is_silent("the next agent")?;
        let left = test.repaired("the next agent, nft flush ruleset", ATTACKS[0], "nft")?;
        ensure!(left.of_host + left.of_container == 0, "{left:?} left");

        are_copies(lab)?;

        // The control: without the agent the same flush opens.
        test.agent.kill()?;
        test.leaks_after_a_flush("the control: without a copy everything leaves")
    })
    .unwrap();
}

#[test]
#[ignore = "needs a kernel from 6.1 to 6.8: make kernels"]
fn where_there_is_no_room_for_a_copy_the_tables_are_in_force_alone() {
    with_lab(|lab| {
        let mut test = FloodTest::begin(lab, BOTH)?;
        test.agent.kill()?;
        // Leaves room for the existing hook only.
        nft::fill_all_but(lab, "eth0", 1)?;
        test.agent = start_agent(lab)?;
        wait_for_copies(&test, false)?;
        ensure!(status(lab)?["layers"][1]["lacks"].is_null(), "{}", status(lab)?);
        test.is_silent("no room for a copy")?;
        lab.host().succeed(["nft", "delete", "table", "netdev", "eth0_0"])?;
        wait_for_copies(&test, true)?;
        test.is_silent("room for a copy")
    })
    .unwrap();
}

#[test]
#[ignore = "needs a kernel from 6.1 to 6.8: make kernels"]
fn a_copy_whose_owner_does_not_end_refuses_no_lock_and_is_named_by_a_release() {
    with_lab(|lab| {
        let mut test = FloodTest::begin(lab, BOTH)?;
        wait_for_copies(&test, true)?;
        let owner = nft::owner_of(&test.agent)?;
        test.agent.kill()?;
        lab.host().file("/etc/tunwarden/config.toml", &format!("{BOTH}[lan]\nallow = false\n"))?;
        let lock = tunwarden(lab, ["lock"])?;
        ensure!(lock.status.success(), "{lock:?}");
        test.is_silent("a copy that nobody can change")?;
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
