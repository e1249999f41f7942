//! The kernel refuses the second layer, or a part of it. The other layer holds, and the status reports what is missing.

use crate::support;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use support::kernel::{Backend, REFUSING_LONG_MESSAGES, REFUSING_SOCKETS};
use support::{
    SOON, TUNWARDEN, agent, bus, nft, start_agent, start_agent_as, status, tunwarden, wait_for_state,
};
use tunwarden::netfilter::own::OwnSocket;
use tunwarden_lab::{Capture, Flood, Frame, Lab, Process, wait_for, with_lab};

const KNOWN: &str = "[bootstrap]\nservers = [\"198.51.100.7\"]\n";

/// A host that sends without pause, and a capture at the ISP.
struct Host {
    capture: Capture,
    flood: Flood,
}

impl Host {
    fn flood(lab: &Lab) -> Result<Self> {
        let capture = lab.capture()?;
        let flood = lab.host().udp("203.0.113.9:5000")?.from_user("nobody").tag("host").flood(1000)?;
        let host = Self { capture, flood };
        host.is_seen("the control, without an agent")?;
        Ok(host)
    }

    fn is_seen(&self, why: &str) -> Result<()> {
        let ours = |frame: &Frame| frame.is_tagged("host");
        let before = self.capture.so_far()?.iter().filter(|frame| ours(frame)).count();
        self.capture.wait_for(before + 50, SOON, ours).with_context(|| why.to_owned())
    }

    fn is_silent(&self, why: &str) -> Result<()> {
        let from = self.capture.so_far()?.len();
        self.flood.await_more(300)?;
        let left = self.capture.so_far()?[from..].iter().filter(|frame| frame.is_tagged("host")).count();
        ensure!(left == 0, "{why}: {left} left");
        Ok(())
    }
}

/// The second layer in `status --json`.
fn layer(lab: &Lab) -> Result<Value> {
    Ok(status(lab)?["layers"][1].clone())
}

fn wait_for_layer(lab: &Lab, what: &str, holds: impl Fn(&Value) -> bool) -> Result<()> {
    let mut last = Value::Null;
    wait_for(what, SOON, || {
        last = layer(lab)?;
        Ok(holds(&last).then_some(()))
    })
    .with_context(|| format!("the last that it said: {last}"))
}

/// Kills the agent, and starts another one. The tables of the first one stay owned: the kernel refuses every change
/// of them until the returned sockets are closed.
fn succeeded(lab: &Lab, mut agent: Process) -> Result<(Vec<OwnSocket>, Process)> {
    wait_for_layer(lab, "the agent owns the tables", |layer| layer["owned"] == true)?;
    let owner = nft::owner_of(&agent)?;
    agent.kill()?;
    Ok((owner, start_agent(lab)?))
}

/// Whether three frames of a raw sender get to the ISP.
fn raw_leaves(lab: &Lab, host: &Host, tag: &str) -> Result<bool> {
    let marker = format!("{tag}-marker");
    lab.host().raw("eth0", "203.0.113.9:5001")?.count(3).tag(tag).send()?;
    // A raw sender may send to the LAN. Packets leave in the order in which they were sent.
    lab.host().raw("eth0", "10.0.0.5:5002")?.tag(&marker).send()?;
    host.capture.wait_for(1, SOON, |frame| frame.is_tagged(&marker)).context("the marker")?;
    Ok(host.capture.so_far()?.iter().any(|frame| frame.is_tagged(tag)))
}

#[test]
fn a_commit_that_the_kernel_refuses_leaves_what_was_in_force_and_the_stricter_layer_holds() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let host = Host::flood(lab)?;
        let first = agent(lab, KNOWN)?;
        wait_for_state(lab, "locked")?;
        host.is_silent("locked")?;
        let (owner, second) = succeeded(lab, first)?;
        wait_for_state(lab, "locked")?;
        let held = || lab.host().succeed(["nft", "list", "table", "inet", "tunwarden"]);
        let before = held()?;

        // If one layer refuses a pause, the other layer stays locked too.
        let iptables = || lab.host().succeed(["iptables", "-S"]);
        let locked = iptables()?;
        let pause = tunwarden(lab, ["pause", "60s"])?;
        ensure!(!pause.status.success(), "it says that the pause is in force: {pause:?}");
        ensure!(pause.stderr.contains("nothing was opened"), "{pause:?}");
        ensure!(pause.stderr.contains("Operation not permitted"), "it does not say why: {pause:?}");
        ensure!(held()? == before, "the table is another: {}", held()?);
        ensure!(iptables()? == locked, "the other layer is another: {}", iptables()?);
        host.is_silent("the kernel has refused the pause")?;
        let said = status(lab)?;
        ensure!(said["enforced"] == true && said["state"] == "locked", "nothing has changed: {said}");
        ensure!(layer(lab)?["lacks"].is_null(), "the refusal may pass: {}", layer(lab)?);

        // The control: when the owner has ended, the pause opens.
        drop(owner);
        ensure!(tunwarden(lab, ["pause", "1h"])?.status.success());
        host.is_seen("the owner has ended, and the pause is in force")?;
        ensure!(raw_leaves(lab, &host, "paused")?, "a pause opens the wire");
        let (owner, third) = succeeded(lab, second)?;
        wait_for_state(lab, "paused")?;
        let resume = tunwarden(lab, ["resume"])?;
        ensure!(!resume.status.success(), "it says that it is closed: {resume:?}");
        ensure!(resume.stderr.contains("may hold the rules of the pause until"), "{resume:?}");
        host.is_silent("the resume closes the layer that can be")?;
        ensure!(raw_leaves(lab, &host, "resumed")?, "what it says is not so");
        // During each attempt to close, the verdict is "unknown", otherwise "open".
        let said = status(lab)?;
        ensure!(said["verdict"] != "locked" && said["enforced"] == false, "it hides what leaves: {said}");

        drop(owner);
        wait_for_state(lab, "locked")?;
        wait_for_layer(lab, "both layers", |layer| layer["enforced"] == true).with_context(|| third.log())?;
        ensure!(tunwarden(lab, ["verify"])?.status.success());
        ensure!(!raw_leaves(lab, &host, "locked")?, "the wire is open");
        host.is_silent("locked again")
    })
}

#[test]
fn without_an_egress_hook_the_rest_of_the_second_layer_holds_and_is_reported() -> Result<()> {
    with_lab(|lab| {
        // If a device has no room for another hook, the kernel gives the same answer as a kernel without such a hook.
        for device in ["lo", "eth0"] {
            nft::fill(lab, device)?;
        }
        let _bus = bus(lab)?;
        let host = Host::flood(lab)?;
        let mut agent = agent(lab, KNOWN)?;
        wait_for_state(lab, "locked")?;
        agent.wait_for_line("a layer does not hold all its rules: this kernel has no egress", SOON)?;
        let said = status(lab)?;
        let layer = &said["layers"][1];
        ensure!(said["enforced"] == true && layer["enforced"] == true, "{said}");
        ensure!(layer["lacks"].as_str().is_some_and(|why| why.contains("no egress hook (5.16)")), "{layer}");
        let text = tunwarden(lab, ["status"])?.stdout;
        ensure!(text.contains("no egress hook (5.16)"), "{text}");
        says_that_the_wires_are_open(&text)?;
        ensure!(tunwarden(lab, ["verify"])?.status.success(), "what this system lacks is no difference");
        let tables = lab.host().succeed(["nft", "list", "tables"])?;
        let ours = tables.contains("inet tunwarden\n") && !tables.contains("netdev tunwarden");
        ensure!(ours, "{tables}");

        // The second layer blocks the host when iptables is open. It does not block raw sockets, because
        // only the egress hook can.
        agent.kill()?;
        lab.host().succeed(["sh", "-c", "iptables -w -P OUTPUT ACCEPT; iptables -w -F"])?;
        host.is_silent("iptables is open")?;
        ensure!(raw_leaves(lab, &host, "raw")?, "the control: a raw sender passes");
        Ok(())
    })
}

#[test]
fn tables_of_another_owner_do_not_disable_the_second_layer_for_good() -> Result<()> {
    with_lab(|lab| {
        let owner = nft::another_owner(lab)?;
        let _bus = bus(lab)?;
        let host = Host::flood(lab)?;
        let mut agent = agent(lab, KNOWN)?;
        agent.wait_for_line("Operation not permitted", SOON)?;
        host.is_silent("iptables alone")?;
        wait_for_layer(lab, "it is not in force", |layer| layer["enforced"] == false)?;
        ensure!(layer(lab)?["lacks"].is_null(), "the kernel lacks nothing: {}", layer(lab)?);
        ensure!(raw_leaves(lab, &host, "raw")?, "the control: iptables does not see a raw sender");
        let said = tunwarden(lab, ["status"])?;
        ensure!(said.status.code() == Some(4) && said.stdout.starts_with("OPEN"), "{said:?}");
        says_that_the_wires_are_open(&said.stdout)?;
        ensure!(status(lab)?["verdict"] == "open", "{}", status(lab)?);
        let lock = tunwarden(lab, ["lock"])?;
        ensure!(!lock.status.success(), "it says that both layers are in force: {lock:?}");

        drop(owner);
        wait_for_layer(lab, "the second layer is in force and owned", |layer| {
            layer["enforced"] == true && layer["owned"] == true && layer["lacks"].is_null()
        })
        .with_context(|| agent.log())?;
        ensure!(!raw_leaves(lab, &host, "later")?, "the wire is open");
        host.is_silent("both layers again")
    })
}

/// More bytes than the rules of the last resort (9,620), and fewer than those of the state (181,148).
const ROOM: &str = "40000";

#[test]
fn a_second_layer_that_takes_the_last_resort_alone_is_closed_and_no_raw_sender_is_named() -> Result<()> {
    with_lab(|lab| {
        lab.host().file("/etc/tunwarden/config.toml", KNOWN)?;
        let _bus = bus(lab)?;
        let host = Host::flood(lab)?;
        ensure!(raw_leaves(lab, &host, "before")?, "the control, without an agent");
        let command = REFUSING_LONG_MESSAGES.into_iter().chain([ROOM, TUNWARDEN, "agent", "--verbose"]);
        let mut agent = start_agent_as(lab, lab.host().command(command))?;
        agent.wait_for_line("Message too long", SOON)?;
        // Also after the agent has tried again.
        for _ in 0..2 {
            let before = agent.log().matches("Message too long").count();
            wait_for("another attempt", SOON, || {
                Ok((agent.log().matches("Message too long").count() > before).then_some(()))
            })?;
            wait_for_layer(lab, "it is closed", |layer| layer["closed"] == true)
                .with_context(|| agent.log())?;
            let said = status(lab)?;
            ensure!(said["enforced"] == false && said["verdict"] == "locked", "{said}");
            ensure!(
                said["layers"][0]["enforced"] == true && said["layers"][1]["enforced"] == false,
                "{said}"
            );
            let text = tunwarden(lab, ["status"])?.stdout;
            ensure!(text.contains("others are in force, nothing leaves in clear"), "{text}");
            ensure!(text.contains("nftables: does not hold the rules of this state"), "{text}");
            ensure!(!text.contains("raw packet senders"), "{text}");
            ensure!(agent.log().contains("nothing leaves in clear by the rules of the other layer"));
            host.is_silent("closed")?;
            lab.host().raw("eth0", "203.0.113.9:5001")?.count(3).tag("closed-raw").send()?;
            host.is_silent("a raw sender")?;
            let left = host.capture.so_far()?.iter().filter(|frame| frame.is_tagged("closed-raw")).count();
            ensure!(left == 0, "what it says is not so: {left} frames");
        }
        Ok(())
    })
}

/// Packets of a raw sender leave, so no sentence may claim that nothing does.
fn says_that_the_wires_are_open(said: &str) -> Result<()> {
    let names = said.contains("programs send nothing in clear, but raw packet senders");
    ensure!(names && !said.contains("nothing leaves in clear"), "{said}");
    Ok(())
}

/// A kernel without the module refuses its sockets. This machine's kernel has the module, so a filter refuses them.
#[test]
fn without_the_module_of_nf_tables_iptables_holds_and_what_is_missing_is_reported() -> Result<()> {
    with_lab(|lab| {
        let host = Host::flood(lab)?;
        lab.host().file("/etc/tunwarden/config.toml", &Backend::Legacy.config(KNOWN))?;
        let without =
            REFUSING_SOCKETS.into_iter().chain(["AF_NETLINK", "NETLINK_NETFILTER", "EPROTONOSUPPORT"]);
        let without = |words: &[&str]| lab.host().run(without.clone().chain(words.iter().copied()));
        let nft = without(&["nft", "list", "tables"])?;
        ensure!(!nft.status.success(), "the control: nft has no socket: {nft:?}");
        let lock = without(&[TUNWARDEN, "lock"])?;
        ensure!(lock.status.success() && lock.stderr.contains("this kernel has no nftables"), "{lock:?}");
        host.is_silent("locked")?;
        ensure!(raw_leaves(lab, &host, "raw")?, "the control: iptables does not see a raw sender");
        let verify = without(&[TUNWARDEN, "verify"])?;
        ensure!(verify.status.success(), "what this system lacks is no difference: {verify:?}");
        let said = without(&[TUNWARDEN, "status"])?.stdout;
        ensure!(said.contains("no nftables") && !said.contains("OPEN"), "{said}");
        says_that_the_wires_are_open(&said)?;
        let release = without(&[TUNWARDEN, "release", "--yes"])?;
        ensure!(release.status.success(), "{release:?}");
        host.is_seen("released")
    })
}

/// In another user namespace root may change rules, but may not enlarge a socket's buffer.
const UNPRIVILEGED: [&str; 4] = ["unshare", "--user", "--map-root-user", "--net"];

#[test]
fn in_another_user_namespace_the_second_layer_is_committed() -> Result<()> {
    with_lab(|lab| {
        lab.host().file("/etc/tunwarden/config.toml", "[firewall]\nlayers = [\"nftables\"]\n")?;
        let script = "ip link set lo up; \"$1\" lock; \"$1\" verify; nft list tables";
        let said = lab.host().run(UNPRIVILEGED.into_iter().chain(["sh", "-euc", script, "sh", TUNWARDEN]))?;
        ensure!(said.status.success() && said.stdout.contains("table inet tunwarden"), "{said:?}");
        Ok(())
    })
}
