//! `prove --live` from temporary containers: without rules, locked, with a VPN, and killed.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tunwarden_lab::{Docker, Engine, Lab, wait_for, with_lab};

use super::protected::Protected;
use crate::support::docker::{IPV6, user_network};
use crate::support::{SOON, TUNWARDEN, schema, tunwarden, wait_for_state};

/// The networks of Docker here.
const NETWORKS: [&str; 2] = ["bridge", "user"];

/// Without a known server every address on the VPN's port is listed for root.
const SERVER: &str = "[bootstrap]\nservers = [\"198.51.100.7\"]\n";

/// The exit status of `prove --live`, and its live part. The provider sees none of its probes.
fn live(lab: &Lab) -> Result<(Option<i32>, Value)> {
    let capture = lab.capture()?;
    let output = tunwarden(lab, ["prove", "--live", "--json"])?;
    let said: Value = serde_json::from_str(&output.stdout).with_context(|| format!("{output:?}"))?;
    schema::check(schema::PROVE, &said)?;
    ensure!(said["live"]["not_available"].is_null(), "{said}");
    let probes = said["live"]["probes"].as_array().context("no probes")?;
    let destinations: BTreeSet<&str> =
        probes.iter().filter_map(|probe| probe["destination"].as_str()).collect();
    let frames = capture.stop()?;
    let arrived = frames.iter().filter_map(|frame| frame.destination()).map(|to| to.to_string());
    let arrived: Vec<String> = arrived.filter(|to| destinations.contains(to.as_str())).collect();
    ensure!(arrived.is_empty(), "{arrived:?}");
    Ok((output.status.code(), said["live"].clone()))
}

/// How the probes from a network ended.
fn ends(live: &Value, network: &str) -> Result<BTreeSet<String>> {
    let probes = live["probes"].as_array().context("no probes")?;
    let of_network = probes.iter().filter(|probe| probe["network"] == network);
    Ok(of_network.filter_map(|probe| probe["end"].as_str()).map(ToOwned::to_owned).collect())
}

fn one(end: &str) -> BTreeSet<String> {
    BTreeSet::from([end.to_owned()])
}

/// Waits until neither a container nor an image of the command is left.
fn is_clean(docker: &Docker) -> Result<()> {
    wait_for("the containers and the image are gone", SOON, || {
        let containers = docker.cli(["ps", "--all", "--quiet"])?;
        let images = docker.cli(["images", "--all", "--quiet"])?;
        Ok((containers.is_empty() && images.lines().count() == 1).then_some(()))
    })
}

/// Somebody else's table has the name of the net, as on a kernel that has no such tables: nothing will be sent.
fn makes_nothing_without_a_net(lab: &Lab, desktop: &Protected<'_>) -> Result<()> {
    let host = lab.host();
    let moment = || Ok::<_, anyhow::Error>(host.succeed(["date", "+%s.%N"])?.trim().to_owned());
    let made = |since: &str, until: &str| {
        desktop.docker.cli(["events", "--since", since, "--until", until, "--filter", "event=create"])
    };
    let begin = moment()?;
    ensure!(!made("1", &begin)?.is_empty(), "the control: containers were made before");
    host.succeed("nft add table inet tunwarden_net".split(' '))?;
    let output = tunwarden(lab, ["prove", "--live"])?;
    host.succeed("nft delete table inet tunwarden_net".split(' '))?;
    let said = "The live part is not available";
    ensure!(output.status.code() == Some(1) && output.stdout.contains(said), "{output:?}");
    let made = made(&begin, &moment()?)?;
    ensure!(made.is_empty(), "{made}");
    Ok(())
}

#[test]
fn containers_are_tried_on_each_network_and_removed_also_when_the_command_is_killed() -> Result<()> {
    with_lab(|lab| {
        let desktop = Protected::prepare(lab, Engine::System)?;
        user_network(&desktop.docker)?;
        lab.host().file("/etc/tunwarden/config.toml", "")?;
        let (code, said) = live(lab)?;
        ensure!(code == Some(4) && said["not_tried"] == json!([]), "without rules: {code:?} {said}");
        for network in NETWORKS {
            ensure!(ends(&said, network)? == one("fault"), "without rules, {network}: {said}");
        }
        is_clean(&desktop.docker)?;

        let _agent = desktop.guard("")?;
        let (code, said) = live(lab)?;
        ensure!(code == Some(0) && said["refused"] == said["sent"], "locked: {code:?} {said}");
        for network in NETWORKS {
            ensure!(ends(&said, network)? == one("refused-by-filter"), "locked, {network}: {said}");
        }
        let probes = said["probes"].as_array().context("no probes")?;
        let mut nobody = probes.iter().filter(|probe| probe["refused_by"]["whose"] != "tunwarden");
        ensure!(nobody.next().is_none(), "{said}");

        desktop.nm.up("lab")?;
        wait_for_state(lab, "protected")?;
        let (code, said) = live(lab)?;
        ensure!(code == Some(0), "protected: {code:?} {said}");
        for network in NETWORKS {
            ensure!(ends(&said, network)?.contains("tunnel"), "protected, {network}: {said}");
        }
        let probes = said["probes"].as_array().context("no probes")?;
        let of = |bound: Value| {
            let v4 = |probe: &&Value| !probe["destination"].to_string().contains(':');
            let sent = probes.iter().filter(|probe| probe["network"].is_null() && probe["bound_to"] == bound);
            let ends = sent.filter(v4).filter_map(|probe| probe["end"].as_str()).map(ToOwned::to_owned);
            ends.collect::<BTreeSet<String>>()
        };
        ensure!(of(Value::Null) == one("tunnel"), "by the routes: {said}");
        ensure!(of("eth0".into()).iter().all(|end| end.starts_with("refused")), "past the VPN: {said}");
        is_clean(&desktop.docker)?;

        makes_nothing_without_a_net(lab, &desktop)?;
        let mut command = lab.host().spawn([TUNWARDEN, "prove", "--live"])?;
        wait_for("a container", SOON, || {
            ensure!(command.is_running(), "it has ended: {}", command.log());
            Ok((!desktop.docker.cli(["ps", "--quiet"])?.is_empty()).then_some(()))
        })?;
        command.kill()?;
        is_clean(&desktop.docker)
    })
}

/// Makes a network whose containers share the card, with addresses of the LAN.
fn shared(docker: &Docker, driver: &str) -> Result<()> {
    let words = ["network", "create", "--driver", driver, "--opt", "parent=eth0", "--ipv6"];
    let v4 = ["--subnet=10.0.0.0/24", "--gateway=10.0.0.1", "--ip-range=10.0.0.192/28"];
    docker.cli(words.into_iter().chain(v4).chain(["--subnet=fd00:1a0::/64", driver])).map(drop)
}

#[test]
fn containers_that_share_the_card_are_tried_on_its_wire() -> Result<()> {
    with_lab(|lab| {
        let docker = lab.host().docker(Engine::System, IPV6)?;
        shared(&docker, "macvlan")?;
        lab.host().file("/etc/tunwarden/config.toml", SERVER)?;
        let capture = lab.capture()?;
        let ping = "ping -c 1 203.0.113.77; true";
        docker.cli(["run", "--rm", "--network", "macvlan", "lab", "sh", "-c", ping])?;
        let to = "203.0.113.77".parse()?;
        let frames = capture.stop()?;
        ensure!(frames.iter().any(|frame| frame.destination() == Some(to)), "the control: {frames:?}");

        let (code, said) = live(lab)?;
        ensure!(code == Some(4) && said["not_tried"] == json!([]), "without rules: {code:?} {said}");
        ensure!(ends(&said, "macvlan")? == one("fault"), "without rules: {said}");
        let probes = said["probes"].as_array().context("no probes")?;
        let shares = probes.iter().filter(|probe| probe["network"] == "macvlan");
        let kinds: BTreeSet<(&str, bool)> = shares
            .filter_map(|probe| Some((probe["how"].as_str()?, probe["destination"].as_str()?.contains(':'))))
            .collect();
        // Six ways to send, in both families.
        ensure!(kinds.len() == 12, "{kinds:?}");

        let locked = tunwarden(lab, ["lock"])?;
        ensure!(locked.status.success(), "{locked:?}");
        let (code, said) = live(lab)?;
        ensure!(code == Some(0) && said["refused"] == said["sent"], "locked: {code:?} {said}");
        ensure!(ends(&said, "macvlan")? == one("refused-on-link"), "locked: {said}");
        let probes = said["probes"].as_array().context("no probes")?;
        let mut others = probes.iter().filter(|probe| probe["refused_by"]["whose"] != "tunwarden");
        ensure!(others.next().is_none(), "{said}");

        docker.cli("network rm macvlan".split(' '))?;
        shared(&docker, "ipvlan")?;
        let has_ipvlan = lab.host().run("ip link add try link eth0 type ipvlan".split(' '))?.status.success();
        lab.host().run("ip link del try".split(' '))?;
        let (code, said) = live(lab)?;
        if has_ipvlan {
            ensure!(code == Some(0) && ends(&said, "ipvlan")? == one("refused-on-link"), "{code:?} {said}");
        } else {
            let why = said["not_tried"][0].as_str().unwrap_or_default();
            ensure!(code == Some(1) && why.starts_with("ipvlan: no container could be tried: "), "{said}");
        }
        is_clean(&docker)
    })
}
