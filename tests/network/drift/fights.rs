//! A program that removes the rules again and again: the agent names it and repairs the rules each time.

use anyhow::{Context, Result, ensure};
use tunwarden_lab::{Lab, wait_for, with_lab};

use super::ONE;
use super::flood::FloodTest;
use crate::support::{SOON, status, tunwarden};

/// Flushes `times` times. Each flush comes after the repair of the last one.
fn fight(lab: &Lab, test: &FloodTest<'_>, times: usize) -> Result<()> {
    for _ in 0..times {
        let before = test.signals.repairs().len();
        lab.host().succeed(["iptables", "-w", "-F"])?;
        wait_for("it is repaired", SOON, || Ok((test.signals.repairs().len() > before).then_some(())))?;
    }
    Ok(())
}

#[test]
fn twenty_flushes_a_minute_are_repaired_and_the_program_is_named() {
    with_lab(|lab| {
        let mut test = FloodTest::begin(lab, ONE)?;
        fight(lab, &test, 10)?;
        ensure!(status(lab)?["fights"] == serde_json::json!([]), "{}", status(lab)?);
        fight(lab, &test, 12)?;
        test.agent.wait_for_line("iptables has removed the rules", SOON)?;
        let said = status(lab)?;
        let fights = &said["fights"];
        ensure!(fights[0]["program"] == "iptables", "{said}");
        ensure!(fights[0]["count"].as_u64() >= Some(20), "{said}");
        let text = tunwarden(lab, ["status"])?.stdout;
        ensure!(text.contains("iptables removes the rules"), "{text}");
        let named = test.agent.log().matches("iptables has removed the rules").count();
        ensure!(named == 1, "named {named} times");
        test.is_silent("after a fight").context("it still loses")
    })
    .unwrap();
}
