//! IPv6 of containers, with a Docker that makes no rules for IPv6 and with one that does.

use anyhow::{Context, Result, ensure};
use tunwarden_lab::openvpn::ServerOptions;
use tunwarden_lab::{Docker, Engine, Lab, wait_for, with_lab};

use super::TIMEOUT;
use crate::support::docker::{IPV6, address, bridge_nf, user_network};
use crate::support::leak_test::contract;
use crate::support::{SOON, agent, bus, wait_for_state};

/// A host of the internet, and the server's own address in the tunnel.
const INTERNET: &str = "2001:db8:9::9";

/// How many IPv6 pings to the internet the kernel has forwarded.
fn passed_on(lab: &Lab) -> Result<u64> {
    let rule = "-A POSTROUTING -d 2001:db8:9::9/128 -p ipv6-icmp";
    let listing = || lab.host().succeed(["ip6tables", "-w", "-t", "mangle", "-v", "-S"]);
    if !listing()?.contains(rule) {
        lab.host().succeed(["ip6tables", "-w", "-t", "mangle"].into_iter().chain(rule.split(' ')))?;
    }
    let listing = listing()?;
    let line = listing.lines().find_map(|line| line.strip_prefix(rule)).context("no counting rule")?;
    Ok(line.split(' ').nth(2).context("no count")?.parse()?)
}

/// Whether a container's ping is answered within a time.
fn answered(docker: &Docker, from: &str, to: &str) -> Result<bool> {
    Ok(docker.exec(from, &format!("ping -c 1 -W 1 {to}"))?.status.success())
}

fn reaches(docker: &Docker, from: &str, to: &str) -> Result<()> {
    wait_for("an answer", TIMEOUT, || Ok(answered(docker, from, to)?.then_some(())))
        .with_context(|| format!("{from} to {to}"))
}

/// Starts two containers on each of three networks: Docker's own, a user's and an internal one. The
/// containers on the internal network get a default route that Docker did not give them.
fn containers(lab: &Lab, docker: &Docker) -> Result<()> {
    user_network(docker)?;
    let inner =
        ["--internal", "--ipv6", "--subnet=fd00:d0e::/64", "-o", "com.docker.network.bridge.name=br-inner"];
    docker.cli(["network", "create"].into_iter().chain(inner).chain(["inner"]))?;
    for (name, network) in [
        ("one", "bridge"),
        ("two", "bridge"),
        ("three", "user"),
        ("four", "user"),
        ("five", "inner"),
        ("six", "inner"),
    ] {
        let network = format!("--network={network}");
        docker.run(["--name", name, "--cap-add=NET_ADMIN", &network, "lab", "sleep", "1000"])?;
    }
    let way = "ip -6 route show default | grep -q . || ip -6 route add default via $(ip -6 route | \
        grep -q fd00:d0e && echo fd00:d0e::1) dev eth0";
    docker.exec("five", way)?;
    lab.host()
        .succeed(["ip", "-6", "addr", "replace", "fd00:d0e::1/64", "dev", "br-inner", "nodad"])
        .map(drop)
}

/// Checks that containers on one bridge reach one another, also on an internal network.
fn neighbours_talk(docker: &Docker) -> Result<()> {
    for (from, to, network) in [("one", "two", "bridge"), ("three", "four", "user"), ("five", "six", "inner")]
    {
        reaches(docker, from, &address(docker, to, network, "GlobalIPv6Address")?)?;
    }
    Ok(())
}

/// Checks that the kernel forwards no packet from the internal network.
fn internal_stays_internal(lab: &Lab, docker: &Docker) -> Result<()> {
    let before = passed_on(lab)?;
    ensure!(!answered(docker, "five", INTERNET)?, "an internal network has the internet");
    ensure!(passed_on(lab)? == before, "the host passes on what an internal network sends");
    Ok(())
}

#[test]
fn containers_have_ipv6_where_docker_20_makes_no_rules_for_it() -> Result<()> {
    containers_have_ipv6_where_docker_makes_no_rules_for_it(Engine::System)
}

#[test]
fn containers_have_ipv6_where_docker_26_makes_no_rules_for_it() -> Result<()> {
    containers_have_ipv6_where_docker_makes_no_rules_for_it(Engine::Trixie)
}

fn containers_have_ipv6_where_docker_makes_no_rules_for_it(engine: Engine) -> Result<()> {
    with_lab(|lab| {
        let bus = bus(lab)?;
        let push = ["redirect-gateway def1", "route-ipv6 2000::/3"].map(Into::into).to_vec();
        let extra = vec!["server-ipv6 fd00:8::/64".into()];
        let server = lab.openvpn_server(ServerOptions { push, extra, ..ServerOptions::default() })?;
        let nm = lab.host().network_manager(&bus)?;
        nm.add_ethernet(&lab.uplinks()[0])?;
        nm.add_vpn("lab", &server)?;
        let docker = lab.host().docker(engine, IPV6)?;
        containers(lab, &docker)?;
        // This Docker does no address translation either. The administrator adds it.
        let nat = "-w -t nat -A POSTROUTING -s fd00:d00::/24 -o tun+ -j MASQUERADE";
        lab.host().succeed(["ip6tables"].into_iter().chain(nat.split(' ')))?;
        neighbours_talk(&docker).context("the control, without tunwarden")?;
        let before = passed_on(lab)?;
        for from in ["one", "five"] {
            answered(&docker, from, INTERNET)?;
        }
        ensure!(
            passed_on(lab)? == before + 2,
            "the control: an internal network is open where nobody speaks"
        );

        let _agent = agent(lab, "")?;
        wait_for_state(lab, "locked")?;
        let capture = lab.capture()?;
        let contract = contract(&[&server])?;
        for filtered in ["1", "0"] {
            bridge_nf(lab, filtered)?;
            neighbours_talk(&docker).with_context(|| format!("locked, bridge-nf {filtered}"))?;
            internal_stays_internal(lab, &docker).context("locked")?;
            let before = passed_on(lab)?;
            ensure!(!answered(&docker, "one", INTERNET)? && passed_on(lab)? == before, "open while locked");
        }
        nm.up("lab")?;
        wait_for_state(lab, "protected")?;
        for filtered in ["1", "0"] {
            bridge_nf(lab, filtered)?;
            neighbours_talk(&docker).with_context(|| format!("protected, bridge-nf {filtered}"))?;
            for from in ["one", "three"] {
                reaches(&docker, from, INTERNET).context("through the tunnel")?;
            }
            internal_stays_internal(lab, &docker).context("protected")?;
            let other = address(&docker, "three", "user", "GlobalIPv6Address")?;
            ensure!(!answered(&docker, "one", &other)?, "one network reaches another");
        }
        contract.check(&capture.stop()?)
    })
}

#[test]
fn ipv6_that_docker_refuses_stays_refused() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let own_rules = ["--experimental", "--ip6tables", "--icc=false"];
        let docker = lab.host().docker(Engine::System, IPV6.into_iter().chain(own_rules))?;
        for name in ["one", "two"] {
            docker.run(["--name", name, "lab", "sleep", "1000"])?;
        }
        let two = address(&docker, "two", "bridge", "GlobalIPv6Address")?;
        bridge_nf(lab, "1")?;
        let _agent = agent(lab, "")?;
        wait_for_state(lab, "locked")?;
        let rules = || lab.host().succeed(["ip6tables", "-w", "-S", "DOCKER_VPN_IPV6"]);
        wait_for("the agent knows Docker's bridge", SOON, || {
            Ok(rules()?.contains("-i docker0 -o docker0 -j ACCEPT").then_some(()))
        })?;
        let ping = lab.host().ping(two.parse::<std::net::IpAddr>()?).await_answers(TIMEOUT).send()?;
        ensure!(ping.answered == 1, "the control: the container has its address: {ping:?}");
        for _ in 0..3 {
            ensure!(!answered(&docker, "one", &two)?, "our accept comes before Docker's drop");
        }
        let drop = ["ip6tables", "-w", "-D", "FORWARD", "-i", "docker0", "-o", "docker0", "-j", "DROP"];
        lab.host().succeed(drop).context("the control: Docker's own rule")?;
        reaches(&docker, "one", &two).context("the control: without Docker's drop")
    })
}
