//! `prove --live`: compares what it says with what the provider sees, which is no packet at all.

use crate::support;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use support::tunwarden;
use tunwarden::netfilter::encode::probe_rules::{LINKS, PASSED};
use tunwarden::netfilter::own::read_back;
use tunwarden_lab::{Capture, Lab, wait_for, with_lab};

/// How long a command may take on a loaded machine.
const LONG: Duration = Duration::from_secs(120);

const CONFIG: &str = "[bootstrap]\nservers = [\"198.51.100.7\", \"[2001:db8:7::7]\"]\n";

/// Lets DNS over IPv4 pass, and removes the rules on the wire. NAT gives web packets another address and port, which
/// pass.
const OPENED: &str = "
    iptables -I OUTPUT 1 -p udp --dport 53 -j ACCEPT
    iptables -I OUTPUT 1 -p tcp --dport 8443 -j ACCEPT
    iptables -t nat -A OUTPUT -p tcp --dport 443 -j DNAT --to-destination 203.0.113.250:8443
    nft delete table inet tunwarden
    nft delete table netdev tunwarden";

/// Whether the kernel has one of the temporary tables that catch the probes.
fn has_net(lab: &Lab) -> Result<bool> {
    lab.host().enter(|| Ok(read_back(LINKS)?.is_there() || read_back(PASSED)?.is_there()))
}

/// The exit status of `prove --live`, and its live part. The provider sees none of its probes.
fn live(lab: &Lab, report: &str) -> Result<(Option<i32>, Value)> {
    let capture = lab.capture()?;
    let output = tunwarden(lab, ["prove", "--live", "--json", "--report", report])?;
    let said: Value = serde_json::from_str(&output.stdout).with_context(|| format!("{output:?}"))?;
    support::schema::check(support::schema::PROVE, &said)?;
    ensure!(said["live"]["not_available"].is_null(), "{said}");
    nothing_arrives(capture, &said["live"])?;
    ensure!(!has_net(lab)?, "the net stays");
    Ok((output.status.code(), said["live"].clone()))
}

fn probes(live: &Value) -> Result<&Vec<Value>> {
    live["probes"].as_array().context("no probes")
}

fn nothing_arrives(capture: Capture, live: &Value) -> Result<()> {
    let destinations = probes(live)?.iter().map(|probe| probe["destination"].as_str().unwrap_or_default());
    let destinations = destinations.map(str::parse).collect::<Result<BTreeSet<IpAddr>, _>>()?;
    let frames = capture.stop()?;
    let mut arrived = frames.iter().filter_map(|frame| frame.destination());
    let arrived =
        arrived.find(|destination| destinations.contains(destination) || *destination == rewritten());
    ensure!(destinations.len() > 40 && arrived.is_none(), "{arrived:?} of {destinations:?}");
    Ok(())
}

/// The destination that a rule of [`OPENED`] gives.
fn rewritten() -> IpAddr {
    IpAddr::from([203, 0, 113, 250])
}

/// The programs whose rules refused probes.
fn whose(live: &Value) -> Result<BTreeSet<String>> {
    let refused = probes(live)?.iter().filter(|probe| probe["end"].to_string().contains("refused"));
    Ok(refused.map(|probe| probe["refused_by"]["whose"].as_str().unwrap_or("nobody").to_owned()).collect())
}

/// Fails unless the page is HTML without a fault.
fn is_html(lab: &Lab, page: &str) -> Result<()> {
    let checked = lab.host().run(["tidy", "-quiet", "-errors", page])?;
    ensure!(checked.status.success(), "tidy, of scripts/deps test, on {page}: {checked:?}");
    Ok(())
}

/// How the probes of this kind to this port ended, for each family.
fn ends(live: &Value, how: &str, port: u16) -> Result<[BTreeSet<String>; 2]> {
    let mut ends = [BTreeSet::new(), BTreeSet::new()];
    for probe in probes(live)?.iter().filter(|probe| probe["how"] == how && probe["destination_port"] == port)
    {
        let is_v6 = probe["destination"].to_string().contains(':');
        ends[usize::from(is_v6)].insert(probe["end"].as_str().unwrap_or_default().to_owned());
    }
    Ok(ends)
}

#[test]
fn each_probe_is_refused_on_a_locked_machine_and_one_that_would_leave_is_named_and_held() -> Result<()> {
    with_lab(|lab| {
        lab.host().file("/etc/tunwarden/config.toml", CONFIG)?;
        let locked = tunwarden(lab, ["lock"])?;
        ensure!(locked.status.success(), "{locked:?}");
        let (code, said) = live(lab, "/run/locked.html")?;
        ensure!(code == Some(0) && said["refused"] == said["sent"], "locked: {code:?} {said}");
        ensure!(said["not_tried"][0] == "no Docker runs, so no container was tried", "{said}");
        // The machine has one link to the internet, and the control uses one.
        ensure!(said["control"] == said["sent"], "{said}");
        let one = |end: &str| BTreeSet::from([end.to_owned()]);
        for frame in ["frame", "frame-as-arp"] {
            let ends = ends(&said, frame, 9)?;
            ensure!(ends == [one("refused-on-link"), one("refused-on-link")], "{frame}: {ends:?}");
        }
        ensure!(ends(&said, "udp", 53)? == [one("refused-at-send"), one("refused-at-send")], "{said}");
        ensure!(whose(&said)? == BTreeSet::from(["tunwarden".to_owned()]), "{said}");
        for (how, port, chains) in [
            ("udp", 53, ["VPN_DNS", "VPN_REFUSED"]),
            ("frame", 9, ["VPN_WIRE_V4", "VPN_WIRE_V6"]),
            ("frame-as-arp", 9, ["VPN_", "VPN_"]),
        ] {
            let of = |probe: &&Value| probe["how"] == how && probe["destination_port"] == port;
            let found =
                probes(&said)?.iter().filter(of).map(|probe| probe["refused_by"]["chain"].to_string());
            let found: BTreeSet<String> = found.collect();
            let is_one = |chain: &String| chains.iter().any(|one| chain.contains(one));
            ensure!(found.iter().all(is_one) && !found.is_empty(), "{how}: {found:?}");
        }
        is_html(lab, "/run/locked.html")?;
        let verified = tunwarden(lab, ["verify"])?;
        ensure!(verified.status.success(), "the state has changed: {verified:?}");
        without_a_net(lab)?;

        lab.host().succeed(["sh", "-ec", OPENED])?;
        let capture = lab.capture()?;
        lab.host().udp("203.0.113.9:53")?.from_user("nobody").tag("control").send()?;
        capture.wait_for(1, LONG, |frame| frame.is_tagged("control"))?;
        let (code, said) = live(lab, "/run/opened.html")?;
        ensure!(code == Some(4) && said["seen"] != 0, "opened: {code:?} {said}");
        let (dns, web) = (ends(&said, "udp", 53)?, ends(&said, "udp", 443)?);
        ensure!(dns == [one("fault"), one("refused-at-send")], "{dns:?}");
        ensure!(web == [one("refused-at-send"), one("refused-at-send")], "{web:?}");
        // The IPv4 probe passed every filter with another address and port. The temporary tables know only its
        // connection.
        let rewritten = ends(&said, "tcp", 443)?;
        ensure!(rewritten[0] == one("unknown") && rewritten[1] != one("unknown"), "{rewritten:?}");
        is_html(lab, "/run/opened.html")?;
        ensure!(ends(&said, "frame", 9)? == [one("fault"), one("fault")], "{said}");
        let page = lab.host().read("/run/opened.html")?;
        ensure!(
            page.contains("<h1 class=\"open\">") && page.contains("without the net it would have left"),
            "{page}"
        );
        killed(lab)
    })
}

/// Another program's table has the name of a temporary table: as on a kernel without such tables, the command sends
/// nothing.
fn without_a_net(lab: &Lab) -> Result<()> {
    lab.host().succeed("nft add table inet tunwarden_net".split(' '))?;
    let capture = lab.capture()?;
    let output = tunwarden(lab, ["prove", "--live", "--json"])?;
    let said: Value = serde_json::from_str(&output.stdout).with_context(|| format!("{output:?}"))?;
    support::schema::check(support::schema::PROVE, &said)?;
    let why = said["live"]["not_available"].as_str().unwrap_or_default();
    ensure!(output.status.code() == Some(1) && said["proven"] == false, "{output:?}");
    ensure!(why.contains("the net cannot be made") && said["live"]["sent"] == 0, "{said}");
    let frames = capture.stop()?;
    let arrived = frames.iter().filter_map(|frame| frame.destination()).find(is_documentation);
    ensure!(arrived.is_none(), "{arrived:?}");
    lab.host().succeed("nft delete table inet tunwarden_net".split(' '))?;
    Ok(())
}

fn is_documentation(to: &IpAddr) -> bool {
    ["192.0.2.", "198.51.100.", "203.0.113."].iter().any(|network| to.to_string().starts_with(network))
}

/// Kills the command while it runs. Without an answer to ARP, the probe that leaves waits for its neighbour, and the
/// command waits for the probe.
fn killed(lab: &Lab) -> Result<()> {
    lab.isp().succeed("ip link set isp0 arp off".split(' '))?;
    lab.host().succeed("ip neigh flush dev eth0".split(' '))?;
    let capture = lab.capture()?;
    let mut command = lab.host().spawn([support::TUNWARDEN, "prove", "--live"])?;
    wait_for("the net", LONG, || {
        ensure!(command.is_running(), "it has ended: {}", command.log());
        Ok(has_net(lab)?.then_some(()))
    })?;
    command.kill()?;
    wait_for("the end of the net", LONG, || Ok((!has_net(lab)?).then_some(())))?;
    let frames = capture.stop()?;
    let arrived = frames.iter().filter_map(|frame| frame.destination()).find(is_documentation);
    ensure!(arrived.is_none(), "{arrived:?}");
    Ok(())
}

/// The VPN's port is open to every address, and no neighbour answers: the probes to it wait, and the command waits for
/// them.
const ANY: &str = "[bootstrap]\nscope = \"any\"\n";

#[test]
fn a_pause_that_begins_while_it_runs_is_no_fault() -> Result<()> {
    with_lab(|lab| {
        let _bus = support::bus(lab)?;
        let _agent = support::agent(lab, ANY)?;
        support::wait_for_state(lab, "locked")?;
        lab.isp().succeed("ip link set isp0 arp off".split(' '))?;
        lab.host().succeed("ip neigh flush dev eth0".split(' '))?;
        let mut command = lab.host().spawn([support::TUNWARDEN, "prove", "--live"])?;
        wait_for("the net", LONG, || {
            ensure!(command.is_running(), "it has ended: {}", command.log());
            Ok(has_net(lab)?.then_some(()))
        })?;
        let paused = tunwarden(lab, ["pause", "1h"])?;
        ensure!(paused.status.success(), "{paused:?}");
        wait_for("its end", LONG, || Ok((!command.is_running()).then_some(())))?;
        let said = command.log();
        ensure!(said.contains("the state changed while it ran: run it again"), "{said}");
        ensure!(!said.contains("WOULD HAVE LEFT") && said.contains("NOT SHOWN"), "{said}");
        Ok(())
    })
}
