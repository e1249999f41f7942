//! A plain OpenVPN client with tunwarden's hooks, as a package installs them, and what a test checks while
//! the client runs.
#![allow(clippy::disallowed_methods, reason = "a measurement that is printed, and nothing depends on")]

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tunwarden_lab::openvpn::{ClientOptions, READY, Server};
use tunwarden_lab::{Contract, Flood, Frame, Lab, Process, wait_for};

use super::{TUNWARDEN, chain, wait_for_state};

/// Path of the hook on the laboratory's host.
pub const HOOK: &str = "/etc/openvpn/tunwarden-up";

/// How long OpenVPN may take to connect on a busy machine.
pub const CONNECT: Duration = Duration::from_secs(90);

/// A host of the internet that echoes. Packets reach it only through the tunnel.
pub const ECHO: &str = "203.0.113.9:4000";

/// The client's options with tunwarden's hooks. Writes the hooks to the host.
pub fn hooked(lab: &Lab, options: ClientOptions) -> Result<ClientOptions> {
    let original = include_str!("../../hooks/openvpn-up");
    let text = original.replace("TUNWARDEN=/usr/bin/tunwarden\n", &format!("TUNWARDEN={TUNWARDEN}\n"));
    ensure!(text != original, "the hook has another line for its binary now");
    lab.host().file_with_mode(HOOK, &text, 0o755)?;
    Ok(options.up(HOOK).down(HOOK))
}

/// Starts a client and waits until its log says that it is connected.
pub fn connect(lab: &Lab, options: &ClientOptions) -> Result<Process> {
    let mut client = lab.host().openvpn_client(options)?;
    client.wait_for_line(READY, CONNECT)?;
    Ok(client)
}

/// The tag of the test's own traffic in a capture.
pub const BACKGROUND_TAG: &str = "pressure";

/// Starts traffic of both families that tries to leave on the uplink. The first two floods ignore the
/// routes. The traffic stops when the value is dropped.
pub fn background_traffic(lab: &Lab) -> Result<[Flood; 3]> {
    let host = lab.host();
    Ok([
        host.udp("203.0.113.9:4444")?.on("eth0").tag(BACKGROUND_TAG).flood(100)?,
        host.udp("[2001:db8:9::9]:4444")?.on("eth0").tag(BACKGROUND_TAG).from_user("nobody").flood(100)?,
        // This flood names no interface: its packets take the tunnel while there is one.
        host.udp("203.0.113.9:1194")?.tag(BACKGROUND_TAG).from_user("nobody").flood(100)?,
    ])
}

/// What may leave with the LAN of the laboratory and these endpoints.
pub fn contract(servers: &[&Server]) -> Result<Contract> {
    let contract = Contract::locked().lan("10.0.0.0/24")?.lan("fd00:0:0:1::/64")?.discovery();
    servers.iter().try_fold(contract, |contract, server| contract.endpoint(&server.endpoint()))
}

/// How many frames of a probe were seen.
pub fn seen(frames: &[Frame], tag: &str) -> usize {
    frames.iter().filter(|frame| frame.is_tagged(tag)).count()
}

/// An endpoint as `status --json` has it.
pub fn endpoint(server: &Server) -> Value {
    let options = server.options();
    json!({
        "address": options.address.to_string(),
        "port": options.port,
        "protocol": options.protocol.to_string(),
    })
}

/// Waits until an OpenVPN tunnel to this server protects the machine. Checks that the status and the kernel
/// allow only this server, with the right family and protocol.
pub fn protected_by(lab: &Lab, server: &Server) -> Result<Value> {
    let start = Instant::now();
    let status = wait_for_state(lab, "protected")?;
    println!("protected after {:?}: {status}", start.elapsed());
    let wanted = endpoint(server);
    let tunnel = &status["tunnels"][0];
    ensure!(tunnel["source"] == "openvpn", "the source is not OpenVPN: {status}");
    ensure!(tunnel["endpoint"] == wanted, "another endpoint in use: {status}");
    ensure!(status["bootstrap"] == json!([wanted]), "more than the endpoint in use is allowed: {status}");

    let options = server.options();
    let (own, other) =
        if options.address.is_ipv4() { ("iptables", "ip6tables") } else { ("ip6tables", "iptables") };
    let rules = chain(lab, own, "VPN_BOOTSTRAP")?;
    let to = format!(
        "-d {}/{} -p {protocol} -m {protocol} --dport {} ",
        options.address,
        if options.address.is_ipv4() { 32 } else { 128 },
        options.port,
        protocol = options.protocol,
    );
    ensure!(!rules.is_empty() && rules.iter().all(|rule| rule.contains(&to)), "{own}: {rules:?}");
    let rules = chain(lab, other, "VPN_BOOTSTRAP")?;
    ensure!(rules.is_empty(), "{other}: {rules:?}");
    Ok(status)
}

/// Waits for a state and prints how long that took.
pub fn becomes(lab: &Lab, state: &str) -> Result<Value> {
    let start = Instant::now();
    let status = wait_for_state(lab, state)?;
    println!("{state} after {:?}", start.elapsed());
    Ok(status)
}

/// Checks that pings through the tunnel are answered.
pub fn flows(lab: &Lab) -> Result<()> {
    flows_to(lab, tunwarden_lab::address::INTERNET)
}

/// Pings this host until it answers three pings in a row. Nothing else repeats a ping that was lost while the network
/// changed.
pub fn flows_to(lab: &Lab, target: IpAddr) -> Result<()> {
    wait_for(&format!("{target} answers through the tunnel"), CONNECT, || {
        let sent = lab.host().ping(target).count(3).await_answers(Duration::from_secs(3)).send()?;
        Ok((sent.answered == 3).then_some(()))
    })
}

/// The reason that the agent's log gives for the last loss of a VPN.
pub fn lost_because(agent: &Process) -> Result<String> {
    let log = agent.log();
    let line = log.lines().rfind(|line| line.contains(" is lost: ")).context("no VPN was lost")?;
    let (_, reason) = line.split_once(" is lost: ").context("no reason")?;
    Ok(reason.split(';').next().unwrap_or(reason).to_owned())
}
