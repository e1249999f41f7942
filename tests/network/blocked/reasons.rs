//! Each reason is seen with an agent in that state and a packet that is refused for it, with the key that would change it.

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tunwarden_lab::openvpn::ServerOptions;
use tunwarden_lab::{Container, Lab, with_lab};

use super::{from_container, wait_for_group};
use crate::support::{TUNWARDEN, agent, answer, bus, tunwarden, wait_for_state};

/// Only the web may leave through the tunnel, and `games` is a user of a VPN client.
const NARROW: &str = r#"
    [bootstrap]
    owners = ["root", "nm-openvpn", "games"]
    [tunnel]
    allow = [{ protocol = "tcp", ports = [443] }]
    [docker]
    allow = [{ protocol = "tcp", ports = [443] }]
    [lan]
    multicast = false
"#;

/// What a program of the host sends, and what is listed for it.
struct Sent<'a> {
    user: &'a str,
    to: (&'a str, u16),
    protocol: &'a str,
    reason: &'a str,
    key: Option<&'a str>,
}

impl Sent<'_> {
    fn is_listed(&self, lab: &Lab) -> Result<()> {
        let Self { user, to: (address, port), protocol, reason, key } = *self;
        let group = json!(["program", null, user, address, port, protocol, reason, key]);
        let target = format!("{address}:{port}");
        wait_for_group(lab, &group, || {
            let probe = if protocol == "tcp" { lab.host().tcp(&target)? } else { lab.host().udp(&target)? };
            probe.from_user(user).send().map(drop)
        })?;
        why_says_the_same(lab, ["--as", user], &format!("{target}/{protocol}"), (reason, &json!(key)))
    }
}

/// Compares what `why` says about the packet.
fn why_says_the_same(
    lab: &Lab,
    sender: [&str; 2],
    target: &str,
    (reason, key): (&str, &Value),
) -> Result<()> {
    let words = [TUNWARDEN, "why", "--json"].into_iter().chain(sender).chain([target]);
    let said = answer(&lab.host().command(words))?;
    let said: Value = serde_json::from_str(&said.stdout).with_context(|| format!("{said:?}"))?;
    ensure!(said["reason"] == reason && said["key"] == *key, "{reason} {key}: {said}");
    Ok(())
}

fn of_nobody<'a>(
    to: (&'a str, u16),
    protocol: &'a str,
    reason: &'a str,
    key: impl Into<Option<&'a str>>,
) -> Sent<'a> {
    Sent { user: "nobody", to, protocol, reason, key: key.into() }
}

/// What a datagram of the container's is listed as.
fn of_container(lab: &Lab, container: &Container, (reason, key): (&str, Value)) -> Result<()> {
    let group = json!(["forwarded", "172.17.0.2 on docker0", null, "203.0.113.9", 4000, "udp", reason, key]);
    wait_for_group(lab, &group, || from_container(container, "203.0.113.9", 4000))?;
    why_says_the_same(lab, ["--from", "docker0"], "203.0.113.9:4000/udp", (reason, &key))
}

/// What is refused in every state without a pause.
fn others(lab: &Lab) -> Result<()> {
    let client = Sent {
        user: "games",
        ..of_nobody(("203.0.113.9", 1194), "udp", "unknown-server", "bootstrap.servers")
    };
    client.is_listed(lab)?;
    of_nobody(("224.0.0.251", 5353), "udp", "multicast", "lan.multicast").is_listed(lab)?;
    of_nobody(("239.1.2.3", 5000), "udp", "multicast", None).is_listed(lab)?;
    // Root may send there by UDP.
    let root = Sent { user: "root", ..of_nobody(("198.51.100.7", 1194), "tcp", "no-vpn", None) };
    root.is_listed(lab)?;
    let group = json!(["remote", "10.0.0.1", null, "10.0.0.2", 8080, "tcp", "inbound", "input.allow"]);
    wait_for_group(lab, &group, || lab.isp().tcp("10.0.0.2:8080")?.send().map(drop))?;
    lab.isp().succeed(["ip", "route", "add", "172.17.0.0/16", "via", "10.0.0.2"])?;
    // Published ports are open, and this packet did not come to one.
    let group =
        json!(["forwarded", "10.0.0.1 on eth0", null, "172.17.0.2", 9000, "udp", "published-ports", null]);
    wait_for_group(lab, &group, || lab.isp().udp("172.17.0.2:9000")?.send().map(drop))
}

#[test]
fn a_refusal_has_the_reason_of_the_state_and_the_key_that_would_change_it() -> Result<()> {
    with_lab(|lab| {
        let bus = bus(lab)?;
        let container = lab.host().bridged_container("box", "docker0")?;
        let server = lab.openvpn_server(ServerOptions::default())?;
        let manager = lab.host().network_manager(&bus)?;
        manager.add_ethernet(&lab.uplinks()[0])?;
        manager.add_vpn("lab", &server)?;
        let _agent = agent(lab, NARROW)?;
        wait_for_state(lab, "locked")?;
        others(lab)?;

        manager.up("lab")?;
        wait_for_state(lab, "protected")?;
        of_nobody(("203.0.113.9", 25), "tcp", "not-through-tunnel", "tunnel.allow").is_listed(lab)?;
        of_container(lab, &container, ("container-not-through-tunnel", json!("docker.allow")))?;

        lab.host().signal_all("openvpn", Signal::SIGKILL)?;
        wait_for_state(lab, "lost")?;
        of_nobody(("203.0.113.9", 443), "tcp", "vpn-lost", None).is_listed(lab)?;
        of_container(lab, &container, ("vpn-lost", Value::Null))?;

        lab.host().file("/etc/tunwarden/config.toml", "[lan]\nallow = false\n")?;
        let reload = tunwarden(lab, ["reload"])?;
        ensure!(reload.status.success(), "{reload:?}");
        of_nobody(("10.0.0.1", 631), "tcp", "lan-off", "lan.allow").is_listed(lab)?;
        of_nobody(("224.0.0.251", 5353), "udp", "multicast", "lan.allow").is_listed(lab)?;

        let pause = tunwarden(lab, ["pause", "--for", "portal"])?;
        ensure!(pause.status.success(), "{pause:?}");
        of_nobody(("203.0.113.9", 9000), "tcp", "paused-portal", None).is_listed(lab)
    })
}
