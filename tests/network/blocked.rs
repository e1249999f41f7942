//! `tunwarden blocked` names who was refused, which destination, and why: programs, containers, raw senders.

mod compose;
mod lines;
mod opening;
mod private;
mod reasons;
mod units;

use crate::support;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::collections::BTreeSet;

use support::{SOON, TUNWARDEN, agent, bus, polkit, schema, tunwarden, wait_for_state};
use tunwarden::netfilter::nflog_socket::{Lines, Received};
use tunwarden::policy::LOG_GROUP;
use tunwarden_lab::{Container, Lab, Process, wait_for, with_lab};

const KNOWN: &str = "[bootstrap]\nservers = [\"198.51.100.7\"]\n";

/// What `blocked --json` says to a user. The schema describes each group.
pub(crate) fn blocked(lab: &Lab, user: &str) -> Result<Vec<Value>> {
    let text = lab.host().command([TUNWARDEN, "blocked", "--json"]).user(user).succeed()?;
    let groups: Vec<Value> = serde_json::from_str(&text).with_context(|| text)?;
    groups.iter().try_for_each(|group| schema::check(schema::BLOCKED, group))?;
    Ok(groups)
}

/// The parts of a group that these tests compare.
fn short(group: &Value) -> Value {
    let (who, to) = (&group["who"], &group["destination"]);
    json!([
        who["kind"],
        who["name"],
        who["user"],
        to["address"],
        to["port"],
        to["protocol"],
        group["reason"],
        group["key"]
    ])
}

/// Sends again and again until the list has a group: the kernel drops log lines while no program receives them.
fn wait_for_group(lab: &Lab, wanted: &Value, send: impl Fn() -> Result<()>) -> Result<()> {
    let mut last = Vec::new();
    wait_for(&format!("{wanted} is listed"), SOON, || {
        send()?;
        last = blocked(lab, "root")?.iter().map(short).collect();
        Ok(last.contains(wanted).then_some(()))
    })
    .with_context(|| format!("the last list: {last:#?}"))
}

/// Starts `blocked --follow` and waits until it shows that a program of nobody sent to port 443 of this address. Checks
/// the same line of `--json`.
fn followed(lab: &Lab, address: &str) -> Result<Process> {
    let mut followed = lab.host().spawn([TUNWARDEN, "blocked", "--follow"])?;
    followed.wait_for_line(&format!("a program of nobody to {address}:443/tcp"), SOON)?;
    let mut json = lab.host().spawn([TUNWARDEN, "blocked", "--follow", "--json"])?;
    let line = json.wait_for_line(&format!("\"address\":\"{address}\""), SOON)?;
    schema::check(schema::BLOCKED, &serde_json::from_str(&line)?)?;
    Ok(followed)
}

/// Sends a datagram from a container.
fn from_container(container: &Container, to: &str, port: u16) -> Result<()> {
    container.enter(|| {
        let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
        socket.send_to(b"refused", (to, port)).map(drop).map_err(Into::into)
    })
}

/// Configuration for apt in place of this machine's own, whose hooks would change this machine.
const APT: &str = r#"
    mkdir -p /run/apt/etc/apt.conf.d /run/apt/etc/preferences.d
    mkdir -p /run/apt/state/lists/partial /run/apt/cache/archives/partial
    echo 'deb [trusted=yes] http://203.0.113.9/debian stable main' >/run/apt/etc/sources.list
    echo 'Dir::Etc "/run/apt/etc"; Dir::State "/run/apt/state"; Dir::Cache "/run/apt/cache";
        Dir::Log "/run/apt"; Acquire::Retries "0"; Acquire::http::Proxy "DIRECT";' >/run/apt/config"#;

/// A real apt is refused, and its user is named.
fn apt_is_named(lab: &Lab) -> Result<()> {
    lab.host().succeed(["sh", "-ec", APT])?;
    let group = json!(["program", null, "_apt", "203.0.113.9", 80, "tcp", "no-vpn", null]);
    wait_for_group(lab, &group, || {
        let update = lab.host().command(["apt-get", "update"]).env("APT_CONFIG", "/run/apt/config").run()?;
        let said = format!("{}{}", update.stdout, update.stderr);
        ensure!(said.contains("203.0.113.9:80"), "apt did not try: {said}");
        Ok(())
    })
}

#[test]
fn each_sender_is_named_with_its_destination_and_the_reason() -> Result<()> {
    with_lab(|lab| {
        let bus = bus(lab)?;
        polkit::allow_only(lab, "blocked", "games")?;
        let _polkit = bus.polkit()?;
        let container = lab.host().bridged_container("box", "docker0")?;
        let macvlan = lab.host().macvlan_container("mac", "eth0")?;
        let _agent = agent(lab, KNOWN)?;
        wait_for_state(lab, "locked")?;
        let host = lab.host();
        let out = |kind: &'static str, target: &'static str| {
            move || {
                let probe = if kind == "tcp" { host.tcp(target)? } else { host.udp(target)? };
                probe.from_user("nobody").send().map(drop)
            }
        };
        let program = |to: &str, port: u16, protocol: &str, reason: &str, key: Value| {
            json!(["program", null, "nobody", to, port, protocol, reason, key])
        };
        let internet = program("203.0.113.9", 443, "tcp", "no-vpn", Value::Null);
        wait_for_group(lab, &internet, out("tcp", "203.0.113.9:443"))?;
        let mut followed = followed(lab, "203.0.113.9")?;
        let internet = program("2001:db8:9::9", 443, "tcp", "no-vpn", Value::Null);
        wait_for_group(lab, &internet, out("tcp", "[2001:db8:9::9]:443"))?;
        let dns = program("10.0.0.1", 53, "udp", "dns-outside-tunnel", Value::Null);
        wait_for_group(lab, &dns, out("udp", "10.0.0.1:53"))?;
        let routed = program("10.77.0.1", 631, "tcp", "not-on-link", json!("lan.networks"));
        wait_for_group(lab, &routed, out("tcp", "10.77.0.1:631"))?;
        followed.wait_for_line("a program of nobody to 10.77.0.1:631/tcp", SOON)?;
        let client = program("198.51.100.7", 1194, "udp", "not-vpn-client", json!("bootstrap.owners"));
        wait_for_group(lab, &client, out("udp", "198.51.100.7:1194"))?;

        for (to, port, reason, key) in [
            ("203.0.113.9", 4000, "no-vpn", Value::Null),
            // With published ports, a separate rule refuses DNS.
            ("203.0.113.9", 53, "dns-outside-tunnel", Value::Null),
            ("10.77.0.1", 631, "container-policy", json!("docker.networks")),
        ] {
            let forwarded = json!(["forwarded", "172.17.0.2 on docker0", null, to, port, "udp", reason, key]);
            wait_for_group(lab, &forwarded, || from_container(&container, to, port))?;
        }
        let on_card =
            json!(["raw", "10.0.0.88 on eth0", null, "203.0.113.9", 4000, "udp", "raw-frame", null]);
        wait_for_group(lab, &on_card, || from_container(&macvlan, "203.0.113.9", 4000))?;
        let raw = json!(["raw", "10.0.0.2 on eth0", null, "203.0.113.9", 5001, "udp", "raw-frame", null]);
        wait_for_group(lab, &raw, || host.raw("eth0", "203.0.113.9:5001")?.send().map(drop))?;
        let dns =
            json!(["raw", "10.0.0.2 on eth0", null, "203.0.113.9", 53, "udp", "dns-outside-tunnel", null]);
        wait_for_group(lab, &dns, || host.raw("eth0", "203.0.113.9:53")?.send().map(drop))?;

        apt_is_named(lab)?;

        // Each user sees only the refusals of their own user id.
        let own = blocked(lab, "nobody")?;
        ensure!(own.len() >= 5 && own.iter().all(|group| group["who"]["user"] == "nobody"), "{own:#?}");
        ensure!(blocked(lab, "daemon")?.is_empty(), "another user sees it");
        let kinds = |groups: &[Value]| groups.iter().map(|group| group["who"]["kind"].to_string()).collect();
        let of_polkit: BTreeSet<String> = kinds(&blocked(lab, "games")?);
        let wanted = ["program", "forwarded", "raw"].map(|kind| format!("\"{kind}\""));
        ensure!(wanted.iter().all(|kind| of_polkit.contains(kind)), "polkit allows it: {of_polkit:?}");
        let text = tunwarden(lab, ["blocked", "--since", "10m"])?.stdout;
        ensure!(text.contains("a program of nobody to 10.77.0.1:631/tcp"), "{text}");
        ensure!(text.ends_with("its unit is not known.\n"), "{text}");
        Ok(())
    })
}

/// More lines than the socket can hold are no error: the reader reports an overrun and continues.
fn is_overrun(lab: &Lab, runtime: &tokio::runtime::Runtime, lines: &mut Lines) -> Result<()> {
    let rule = format!("-I OUTPUT -o lo -p udp --dport 9 -j NFLOG --nflog-group {LOG_GROUP}");
    let iptables = |rule: &str| lab.host().succeed(["iptables", "-w"].into_iter().chain(rule.split(' ')));
    iptables(&rule)?;
    lab.host().udp("127.0.0.1:9")?.count(20_000).send()?;
    iptables(&rule.replacen("-I", "-D", 1))?;
    let heard = |lines: &mut Lines| {
        runtime.block_on(async {
            let next = tokio::time::timeout(SOON, lines.next()).await;
            Ok::<_, anyhow::Error>(next.context("no line")??)
        })
    };
    let first = heard(lines)?;
    ensure!(first == Received::Overrun, "{first:?}");
    let next = heard(lines)?;
    ensure!(matches!(&next, Received::Lines(lines) if !lines.is_empty()), "{next:?}");
    Ok(())
}

#[test]
fn lines_that_another_program_receives_are_reported_as_missing_and_packets_stay_refused() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut taken = lab.host().enter(|| {
            let _context = runtime.enter();
            Ok(Lines::listen(LOG_GROUP)?)
        })?;
        is_overrun(lab, &runtime, &mut taken)?;
        let capture = lab.capture()?;
        let mut agent = agent(lab, KNOWN)?;
        agent.wait_for_line("another program receives group", SOON)?;
        wait_for_state(lab, "locked")?;
        let said = tunwarden(lab, ["blocked"])?;
        ensure!(
            said.status.code() == Some(1) && said.stderr.contains("another program receives"),
            "{said:?}"
        );
        let found = tunwarden(lab, ["doctor", "--json"])?;
        ensure!(found.stdout.contains("refusals-unheard"), "{found:?}");
        let sent = lab.host().udp("203.0.113.9:4000")?.count(500).tag("refused").send()?;
        ensure!(sent.forbidden() == 500, "{sent:?}");
        ensure!(!capture.stop()?.iter().any(|frame| frame.is_tagged("refused")), "it left");
        Ok(())
    })
}
