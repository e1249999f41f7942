//! Traffic that must keep working: between containers, their host and the LAN, while the machine is locked
//! and while it is protected, with filtered and with unfiltered bridges.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tunwarden_lab::address::HOST;
use tunwarden_lab::{Capture, Contract, Docker, Engine, Lab, with_lab};

use super::protected::Protected;
use super::{KNOWN, TIMEOUT, lock, locked};
use crate::support::docker::{IPV6, address, bridge_nf, counted, inside};
use crate::support::leak_test::contract;
use crate::support::wait_for_state;

/// How long a test waits for an answer that must not come.
const SILENCE: Duration = Duration::from_millis(500);

/// A web server in a container. Its page names the container.
const WEB: &str = "mkdir -p /www; echo \"page of $HOSTNAME\" >/www/index.html; exec httpd -f -h /www";

/// Starts two containers on each of three networks, one of which is internal. `two` is also on `user`.
fn containers(docker: &Docker) -> Result<()> {
    docker.cli(["network", "create", "user"])?;
    docker.cli(["network", "create", "--internal", "inner"])?;
    for (name, network) in [
        ("one", "bridge"),
        ("two", "bridge"),
        ("three", "user"),
        ("four", "user"),
        ("five", "inner"),
        ("six", "inner"),
    ] {
        let (host, network) = (format!("--hostname={name}"), format!("--network={network}"));
        let port: &[&str] = if name == "one" { &["--publish=8080:80"] } else { &[] };
        let own = ["--name", name, &host, &network].into_iter().chain(port.iter().copied());
        docker.run(own.chain(["lab", "bash", "-c", WEB]))?;
    }
    docker.cli(["network", "connect", "user", "two"]).map(drop)
}

/// Checks the traffic that needs neither the internet nor the LAN.
///
/// With filtered bridges, IPv6 between containers needs an agent, which learns of networks with IPv6. This
/// Docker has no rules of its own for IPv6.
fn neighbours_talk(lab: &Lab, docker: &Docker, filtered: bool) -> Result<()> {
    let echo = lab.host().udp_echo("172.17.0.1:5000")?;
    for (from, to, network) in [
        ("one", "two", "bridge"),
        ("three", "four", "user"),
        ("four", "two", "user"),
        ("five", "six", "inner"),
    ] {
        let v4 = address(docker, to, network, "IPAddress")?;
        inside(docker, from, &format!("ping -c 1 -W 5 {v4}"))?;
        let page = inside(docker, from, &format!("timeout 10 wget -qO- http://{v4}/"))?;
        ensure!(page == format!("page of {to}\n"), "{from} asked {to}: {page:?}");
        if network == "bridge" {
            let v6 = address(docker, to, network, "GlobalIPv6Address")?;
            if !filtered {
                inside(docker, from, &format!("ping -c 1 -W 5 {v6}"))?;
            }
            let ping = lab.host().ping(v6.parse::<std::net::IpAddr>()?).await_answers(TIMEOUT).send()?;
            ensure!(ping.answered == 1, "the host does not reach {to} at {v6}: {ping:?}");
        }
        if network != "bridge" {
            let page = inside(docker, from, &format!("timeout 10 wget -qO- http://{to}/"))?;
            ensure!(page == format!("page of {to}\n"), "{from} asked {to} by name: {page:?}");
        }
        let answer = lab.host().fetch("0.0.0.0", &format!("{v4}:80"), TIMEOUT)?;
        ensure!(answer.is_some_and(|page| page.contains(to)), "the host does not reach {to} at {v4}");
    }
    let said =
        inside(docker, "one", "exec 3<>/dev/udp/172.17.0.1/5000; echo hello >&3; timeout 10 dd count=1 <&3")?;
    ensure!(said == "hello\n" && echo.received() == 1, "a container does not reach its host: {said:?}");
    for own in ["10.0.0.2:8080", "172.17.0.1:8080"] {
        let answer = lab.host().fetch("0.0.0.0", own, TIMEOUT)?;
        ensure!(answer.is_some_and(|page| page.contains("one")), "the host does not reach its own {own}");
    }
    Ok(())
}

/// How many packets the host has forwarded or sent to an address that only the internal network uses.
fn passed_on(lab: &Lab) -> Result<u64> {
    counted(lab.host(), "mangle", "POSTROUTING -d 203.0.113.88/32 -p icmp")
}

/// Checks that an internal network reaches only itself.
fn internal_stays_internal(lab: &Lab, docker: &Docker) -> Result<()> {
    let before = passed_on(lab)?;
    for target in ["203.0.113.88", "10.0.0.1"] {
        let output = docker.exec("five", &format!("ping -c 1 -W 1 {target}"))?;
        ensure!(!output.status.success(), "an internal network is open to the world: {}", output.stdout);
    }
    // The tunnel's other end refuses the source address of these packets. So a missing answer alone
    // proves nothing.
    ensure!(passed_on(lab)? == before, "the host passes on what an internal network sends");
    Ok(())
}

/// Checks that the LAN can fetch a web page from the host's address if `from_lan`, and the internet never.
fn published(lab: &Lab, from_lan: bool) -> Result<()> {
    let target = format!("{HOST}:8080");
    // The LAN's router and another machine on it.
    for from in ["10.0.0.5", "10.0.0.1"] {
        let page = lab.isp().fetch(from, &target, if from_lan { TIMEOUT } else { SILENCE })?;
        ensure!(page.is_some() == from_lan, "a published port from {from}: {page:?}, wanted: {from_lan}");
    }
    let page = lab.isp().fetch("198.51.100.9", &target, SILENCE)?;
    ensure!(page.is_none(), "a published port is open to the internet: {page:?}");
    Ok(())
}

/// Checks all of this with filtered and unfiltered bridges. No packet may leave in clear during the checks.
fn everything_works(
    lab: &Lab,
    docker: &Docker,
    capture: &Capture,
    contract: &Contract,
    from_lan: bool,
) -> Result<()> {
    for filtered in ["1", "0"] {
        bridge_nf(lab, filtered)?;
        let what = || format!("with bridge-nf-call-iptables {filtered}");
        let before = capture.so_far()?.len();
        neighbours_talk(lab, docker, filtered == "1").with_context(what)?;
        internal_stays_internal(lab, docker).with_context(what)?;
        published(lab, from_lan).with_context(what)?;
        contract.check(&capture.so_far()?[before..]).with_context(what)?;
    }
    Ok(())
}

with_each_engine!(what_must_work_works_on_a_locked_machine, what_must_work_works_on_a_protected_machine);

fn what_must_work_works_on_a_locked_machine(engine: Engine) -> Result<()> {
    with_lab(|lab| {
        let docker = lab.host().docker(engine, IPV6)?;
        containers(&docker)?;
        let capture = lab.capture()?;
        neighbours_talk(lab, &docker, false).context("the control, without tunwarden")?;
        internal_stays_internal(lab, &docker).context("the control, without tunwarden")?;
        let page = lab.isp().fetch("198.51.100.9", "10.0.0.2:8080", TIMEOUT)?;
        ensure!(page.is_some(), "the control: the internet should reach a published port");

        lock(lab, KNOWN)?;
        everything_works(lab, &docker, &capture, &locked()?, true).context("locked")?;
        lock(lab, &format!("{KNOWN}[docker]\npublished_ports = \"none\"\n"))?;
        everything_works(lab, &docker, &capture, &locked()?, false).context("locked, no published ports")
    })
}

fn what_must_work_works_on_a_protected_machine(engine: Engine) -> Result<()> {
    with_lab(|lab| {
        let desktop = Protected::prepare(lab, engine)?;
        containers(&desktop.docker)?;
        let _agent = desktop.guard("")?;
        desktop.nm.up("lab")?;
        wait_for_state(lab, "protected")?;
        let capture = lab.capture()?;
        let before = passed_on(lab)?;
        inside(&desktop.docker, "one", "ping -c 1 -W 5 203.0.113.88").context("the control")?;
        ensure!(passed_on(lab)? == before + 1, "the control: another network's ping is passed on");
        let contract = contract(&[&desktop.server])?;
        everything_works(lab, &desktop.docker, &capture, &contract, true)?;
        contract.check(&capture.stop()?)
    })
}
