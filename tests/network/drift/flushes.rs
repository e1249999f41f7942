//! Flushes of every kind, against one layer and against both.

use anyhow::ensure;
use tunwarden_lab::with_lab;

use super::flood::FloodTest;
use super::{BOTH, ONE};

/// The action, its command, and the kernel's name of the program.
const FLUSHES: [(&str, &[&str], &str); 9] = [
    ("iptables -F", &["iptables", "-w", "-F"], "iptables"),
    ("iptables -F DOCKER-USER", &["iptables", "-w", "-F", "DOCKER-USER"], "iptables"),
    ("iptables -F and -X", &["sh", "-c", "iptables -w -F; iptables -w -X"], "iptables"),
    ("iptables -t mangle -F", &["iptables", "-w", "-t", "mangle", "-F"], "iptables"),
    ("iptables -P OUTPUT ACCEPT", &["iptables", "-w", "-P", "OUTPUT", "ACCEPT"], "iptables"),
    (
        "everything accepted",
        &["sh", "-c", "for c in INPUT FORWARD OUTPUT; do iptables -w -P $c ACCEPT; done; iptables -w -F"],
        "iptables",
    ),
    (
        "iptables-restore of an empty table",
        &["sh", "-c", "printf '*filter\\n:OUTPUT ACCEPT\\n:FORWARD ACCEPT\\nCOMMIT\\n' | iptables-restore"],
        "iptables-restor",
    ),
    ("nft delete table ip filter", &["nft", "delete", "table", "ip", "filter"], "nft"),
    ("nft flush ruleset", &["nft", "flush", "ruleset"], "nft"),
];

#[test]
fn one_layer_is_back_after_every_flush_and_the_agent_names_the_program() {
    with_lab(|lab| {
        let test = FloodTest::begin(lab, ONE)?;
        for (what, command, program) in FLUSHES {
            test.repaired(&format!("one layer, {what}"), command, program)?;
        }
        // The same flushes a second time.
        for (what, command, program) in FLUSHES {
            test.repaired(&format!("one layer, again, {what}"), command, program)?;
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn nothing_leaves_through_both_layers() {
    with_lab(|lab| {
        let test = FloodTest::begin(lab, BOTH)?;
        for (what, command, program) in FLUSHES {
            let left = test.repaired(&format!("both layers, {what}"), command, program)?;
            ensure!(left.of_host + left.of_container == 0, "both layers, {what}: {left:?} left");
        }
        Ok(())
    })
    .unwrap();
}
