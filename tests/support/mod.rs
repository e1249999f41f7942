//! The agent and its command line inside the laboratory.
#![allow(dead_code, unreachable_pub, reason = "every test file uses its own part of it")]

pub mod browser;
pub mod docker;
pub mod foreign;
pub mod groups;
pub mod journal;
pub mod kernel;
pub mod leak_test;
pub mod nft;
pub mod openconnect;
pub mod openvpn;
pub mod package;
pub mod page;
pub mod person;
pub mod polkit;
pub mod schema;
pub mod screen;
pub mod signals;
pub mod vpnc;
pub mod wireguard;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tunwarden_lab::{Cmd, Lab, Output, Process, SystemBus as Bus, wait_for};

/// The binary under test.
pub const TUNWARDEN: &str = env!("CARGO_BIN_EXE_tunwarden");

/// How long a wait may take before the test fails. It is long because the machine may compile something
/// else at the same time. A wait ends as soon as its condition holds.
pub const SOON: Duration = Duration::from_secs(90);

/// The uplink becomes the port of a bridge that has the name of a container bridge.
pub const BRIDGED_UPLINK: &str = "
    ip link add br-lan address $(cat /sys/class/net/eth0/address) type bridge
    ip link set eth0 master br-lan
    ip link set br-lan up
    ip address flush dev eth0
    ip address add 10.0.0.2/24 dev br-lan
    ip address add fd00:0:0:1::2/64 dev br-lan nodad
    ip route add default via 10.0.0.1";

/// The bus with the agent's policy.
pub fn bus(lab: &Lab) -> Result<Bus> {
    let mut bus = lab.host().system_bus()?;
    bus.add_policy("org.tunwarden.Agent1.conf", include_str!("../../dbus/org.tunwarden.Agent1.conf"))?;
    Ok(bus)
}

/// What the agent answers while a firewall program works for a long time, as on a busy machine.
pub const BUSY_MESSAGE: &str = "a firewall program has been reading or changing the rules";

/// Runs a verb on the host.
pub fn tunwarden<const N: usize>(lab: &Lab, words: [&str; N]) -> Result<Output> {
    let command: Vec<&str> = std::iter::once(TUNWARDEN).chain(words).collect();
    answer(&lab.host().command(command))
}

/// Runs a command of tunwarden, again while the answer is that a firewall program is at work.
pub fn answer(command: &Cmd) -> Result<Output> {
    wait_for("an answer while no firewall program is at work", SOON, || {
        let output = command.run()?;
        Ok((!output.stderr.contains(BUSY_MESSAGE)).then_some(output))
    })
}

/// A property of the agent on the bus, as this user reads it: `u 3`.
pub fn property(lab: &Lab, user: &str, name: &str) -> Result<String> {
    let get = "busctl --system get-property org.tunwarden.Agent1 /org/tunwarden/Agent1 org.tunwarden.Agent1";
    let said = lab.host().command(get.split(' ').chain([name])).user(user).succeed()?;
    Ok(said.trim().to_owned())
}

/// Starts the agent and waits until it has put its first rules in force and answers on the bus.
pub fn agent(lab: &Lab, config: &str) -> Result<Process> {
    lab.host().file("/etc/tunwarden/config.toml", config)?;
    start_agent(lab)
}

/// What `status --json` says. Fails unless `docs/status.schema.json` describes it.
pub fn status(lab: &Lab) -> Result<Value> {
    let output = tunwarden(lab, ["status", "--json"])?;
    let status = serde_json::from_str(&output.stdout)
        .with_context(|| format!("status said {:?} {:?}", output.stdout, output.stderr))?;
    schema::check(schema::STATUS, &status)?;
    Ok(status)
}

/// Runs `verify` without a bus: an agent would repair the rules before it answers. `verify` compares the
/// kernel with the rules that were applied last. It exits with 4 if they differ.
pub fn verify_alone(lab: &Lab) -> Result<Output> {
    let verify = lab.host().command([TUNWARDEN, "verify"]);
    verify.env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent").run()
}

/// Waits until the agent reports a state and the kernel holds its rules. Returns the whole status.
/// If no agent answers, `status` reads only the kernel: that is not yet the agent's state.
pub fn wait_for_state(lab: &Lab, state: &str) -> Result<Value> {
    let mut last = Value::Null;
    wait_for(&format!("the state is {state}"), SOON, || {
        last = status(lab)?;
        let told = last["agent"] == true && last["state"] == state && last["enforced"] == true;
        Ok(told.then(|| last.clone()))
    })
    .with_context(|| format!("the last status: {last}"))
}

/// The rules of one chain as the kernel holds them.
pub fn chain(lab: &Lab, tool: &str, chain: &str) -> Result<Vec<String>> {
    let listing = lab.host().succeed([tool, "-S", chain])?;
    Ok(listing.lines().filter(|line| line.starts_with("-A")).map(ToOwned::to_owned).collect())
}

/// Waits until the kernel allows exactly these endpoints. It may allow others at first.
pub fn wait_for_allowance(lab: &Lab, endpoints: &BTreeSet<String>) -> Result<()> {
    wait_for(&format!("the kernel allows {endpoints:?}"), SOON, || {
        Ok(leak_test::allowance(lab).is_ok_and(|allowed| allowed == *endpoints).then_some(()))
    })
}

/// Starts the agent with the existing configuration and waits until it answers on the bus.
pub fn start_agent(lab: &Lab) -> Result<Process> {
    start_agent_as(lab, lab.host().command([TUNWARDEN, "agent", "--verbose"]))
}

/// Starts the agent with the test's own command and waits until it answers on the bus. Before that, the
/// command line reports that no agent runs.
pub fn start_agent_as(lab: &Lab, command: Cmd) -> Result<Process> {
    let mut agent = command.spawn()?;
    wait_for("the agent answers", SOON, || {
        ensure!(agent.is_running(), "the agent has ended: {}", agent.log());
        Ok(status(lab)?["agent"].as_bool().filter(|&agent| agent))
    })?;
    Ok(agent)
}

/// The current time in seconds since the epoch, as the agent counts.
#[expect(clippy::disallowed_methods, reason = "a test sees from outside when something happens")]
pub fn seconds() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map(|since| since.as_secs()).unwrap_or_default()
}
