//! Wires that get no hook from the kernel, and more wires than one chain can have.

use std::fmt::Write;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tunwarden_lab::{Lab, Uplink, wait_for, with_lab};

use super::KNOWN;
use crate::support::nft::fill;
use crate::support::{self, SOON, status, tunwarden};

/// More wires than the kernel's maximum of 255 for one chain.
const WIRES: usize = 300;

/// A target that both layers block while the machine is locked.
const BEYOND: &str = "203.0.113.9:4000";

/// How many of three frames of a raw packet socket leave on each of these wires.
fn left<const N: usize>(lab: &Lab, wires: [&str; N]) -> Result<[usize; N]> {
    let capture = lab.capture()?;
    for wire in wires {
        lab.host().raw(wire, BEYOND)?.from_user("root").count(3).tag(wire).send()?;
    }
    let seen = capture.stop()?;
    Ok(wires.map(|wire| seen.iter().filter(|frame| frame.is_tagged(wire)).count()))
}

/// Adds `count` bridges without a port. Each of them is a wire.
fn add_wires(lab: &Lab, count: usize) -> Result<()> {
    let mut batch = String::new();
    for n in 0..count {
        writeln!(batch, "link add a{n} type bridge")?;
    }
    lab.host().command(["ip", "-batch", "-"]).stdin(&batch).succeed().map(drop)
}

/// The chains at the egress hook of tunwarden's table, with the wires of each.
fn hooks(lab: &Lab) -> Result<Vec<String>> {
    let table = lab.host().succeed(["nft", "list", "table", "netdev", "tunwarden"])?;
    Ok(table.lines().filter(|line| line.contains("hook egress")).map(str::to_owned).collect())
}

fn pause(lab: &Lab) -> Result<()> {
    let pause = tunwarden(lab, ["pause", "5m"])?;
    ensure!(pause.status.success(), "{pause:?}");
    Ok(())
}

fn resume(lab: &Lab) -> Result<()> {
    let resume = tunwarden(lab, ["resume"])?;
    ensure!(resume.status.success(), "{resume:?}");
    Ok(())
}

/// Changes the state twice, and checks in each state what leaves on these wires.
fn state_changes_arrive<const N: usize>(lab: &Lab, wires: [&str; N]) -> Result<()> {
    ensure!(left(lab, wires)? == [0; N], "it left while locked");
    pause(lab)?;
    ensure!(left(lab, wires)? == [3; N], "the control: a pause opens every wire");
    resume(lab)?;
    ensure!(left(lab, wires)? == [0; N], "it left after the pause");
    let verify = tunwarden(lab, ["verify"])?;
    ensure!(verify.status.success(), "{verify:?}");
    Ok(())
}

#[test]
fn three_hundred_wires_are_held_through_every_change_of_state() -> Result<()> {
    with_lab(|lab| {
        let _bus = support::bus(lab)?;
        lab.add_uplink(Uplink::numbered("usb0", 1))?;
        ensure!(left(lab, ["eth0", "usb0"])? == [3; 2], "the control: without tunwarden");
        let _agent = support::agent(lab, KNOWN)?;
        add_wires(lab, WIRES)?;
        wait_for("every wire is held", SOON, || {
            let held = hooks(lab)?.join(" ").matches('a').count() >= WIRES;
            Ok((held && status(lab)?["enforced"] == true).then_some(()))
        })?;
        ensure!(hooks(lab)?.len() == 2, "they fit into one chain: {:?}", hooks(lab)?);
        ensure!(nftables(lab)?["lacks"].is_null(), "{}", status(lab)?);
        state_changes_arrive(lab, ["eth0", "usb0"])
    })
}

/// The second layer in `status --json`.
fn nftables(lab: &Lab) -> Result<Value> {
    Ok(status(lab)?["layers"][1].clone())
}

/// Waits until the second layer is in force and reports that this wire has no hook, or, for `None`, that all have one.
fn wait_for_lack(lab: &Lab, device: Option<&str>) -> Result<()> {
    let mut last = Value::Null;
    wait_for(&format!("the layer says that {device:?} is not held"), SOON, || {
        last = nftables(lab)?;
        let said = last["lacks"].as_str();
        let right = match device {
            Some(device) => said.is_some_and(|said| said.contains(device)),
            None => said.is_none(),
        };
        Ok((right && last["enforced"] == true).then_some(()))
    })
    .with_context(|| format!("the last that it said: {last}"))
}

/// Checks that the text of `status` and the doctor report the wire without a hook.
fn is_reported(lab: &Lab, device: &str) -> Result<()> {
    let text = tunwarden(lab, ["status"])?.stdout;
    let line = text.lines().find(|line| line.contains("no egress hook"));
    ensure!(line.is_some_and(|line| line.contains(device)), "status does not say it: {text}");
    let doctor = tunwarden(lab, ["doctor"])?.stdout;
    ensure!(doctor.contains("no egress hook") && doctor.contains(device), "the doctor: {doctor}");
    Ok(())
}

#[test]
fn a_wire_without_room_for_a_hook_does_not_affect_other_wires() -> Result<()> {
    with_lab(|lab| {
        let _bus = support::bus(lab)?;
        lab.host().succeed(["ip", "link", "add", "full0", "type", "bridge"])?;
        fill(lab, "full0")?;
        let _agent = support::agent(lab, KNOWN)?;
        wait_for_lack(lab, Some("full0"))?;
        is_reported(lab, "full0")?;
        state_changes_arrive(lab, ["eth0"])?;
        let alone = support::verify_alone(lab)?;
        ensure!(alone.status.success(), "without the agent: {alone:?}");
        // After another hook is removed, the next change of state adds the wire.
        lab.host().succeed(["nft", "delete", "table", "netdev", "full0_0"])?;
        pause(lab)?;
        resume(lab)?;
        wait_for_lack(lab, None)?;
        ensure!(hooks(lab)?.join(" ").contains("full0"), "{:?}", hooks(lab)?);
        state_changes_arrive(lab, ["eth0"])
    })
}

#[test]
fn a_lock_alone_leaves_out_a_wire_that_has_no_room_for_a_hook() -> Result<()> {
    with_lab(|lab| {
        lab.host().succeed(["ip", "link", "add", "full0", "type", "bridge"])?;
        fill(lab, "full0")?;
        lab.host().file("/etc/tunwarden/config.toml", KNOWN)?;
        let lock = tunwarden(lab, ["lock"])?;
        ensure!(lock.status.success(), "{lock:?}");
        ensure!(left(lab, ["eth0"])? == [0], "it left");
        ensure!(nftables(lab)?["enforced"] == true, "{}", status(lab)?);
        wait_for_lack(lab, Some("full0"))
    })
}

/// Names that the kernel accepts, and that are hard to parse in a list of nft. nft takes the last one for a pattern.
const NAMES: [&str; 6] = ["a,b", "priority", "}", "{c", "=", "star*"];

#[test]
fn no_name_of_a_wire_keeps_the_others_from_being_held() -> Result<()> {
    with_lab(|lab| {
        let _bus = support::bus(lab)?;
        let _agent = support::agent(lab, KNOWN)?;
        for name in NAMES {
            lab.host().succeed(["ip", "link", "add", "name", name, "type", "bridge"])?;
        }
        wait_for("every wire is held", SOON, || {
            let held = hooks(lab)?.join(" ");
            let all = NAMES.iter().all(|name| held.contains(name));
            Ok((all && status(lab)?["enforced"] == true).then_some(()))
        })?;
        state_changes_arrive(lab, ["eth0"])?;
        // No rule can contain this name.
        lab.host().succeed(["ip", "link", "add", "name", "quo\"ted", "type", "bridge"])?;
        wait_for_lack(lab, Some("quo\\\"ted"))?;
        is_reported(lab, "quo\\\"ted")?;
        state_changes_arrive(lab, ["eth0"])
    })
}

/// A bridge that comes and goes without pause.
const COMES_AND_GOES: &str = "while :; do ip link add gone0 type bridge; ip link del gone0; done";

#[test]
fn a_wire_that_comes_and_goes_during_commits_fails_no_commit() -> Result<()> {
    with_lab(|lab| {
        ensure!(left(lab, ["eth0"])? == [3], "the control: without tunwarden");
        lab.host().file("/etc/tunwarden/config.toml", KNOWN)?;
        let mut churn = lab.host().spawn(["sh", "-c", COMES_AND_GOES])?;
        for _ in 0..8 {
            let lock = tunwarden(lab, ["lock"])?;
            ensure!(lock.status.success(), "{lock:?}");
            ensure!(left(lab, ["eth0"])? == [0], "it left");
        }
        churn.kill()?;
        lab.host().run(["ip", "link", "del", "gone0"])?;
        ensure!(hooks(lab)?.join(" ").contains("eth0"), "{:?}", hooks(lab)?);
        ensure!(nftables(lab)?["lacks"].is_null(), "{}", status(lab)?);
        let verify = tunwarden(lab, ["verify"])?;
        ensure!(verify.status.success(), "{verify:?}");
        Ok(())
    })
}
