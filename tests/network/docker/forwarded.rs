//! A port that the VPN forwards to a container is reachable only through the tunnel.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tunwarden_lab::address::{HOST, PRINTER, ROUTER_V6};
use tunwarden_lab::openvpn::{ClientOptions, ServerOptions};
use tunwarden_lab::{Docker, Engine, Frame, Lab, Packet, wait_for, with_lab};

use super::TIMEOUT;
use crate::support::docker::{address, counted};
use crate::support::openvpn::{connect, contract, flows};
use crate::support::{SOON, agent, bus, status, wait_for_state};

/// An address of the internet that the ISP's machine has.
const FOREIGN: &str = "198.51.100.9";

/// How long a test waits for an answer that must not come.
const SILENCE: Duration = Duration::from_millis(500);

/// Who can reach published ports, besides the tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Published {
    Lan,
    Nobody,
}

/// Containers may send to nothing except this port by themselves, so an answer needs a separate rule.
fn config(published: Published) -> String {
    let published = match published {
        Published::Lan => "lan",
        Published::Nobody => "none",
    };
    format!(
        "[bootstrap]\nscope = \"known\"\n[docker]\nallow = [{{ protocol = \"tcp\", ports = [443] }}]\n\
         published_ports = \"{published}\"\nforwarded = [{{ protocol = \"tcp\", port = 6000, to = \"bt:80\" }}]\n"
    )
}

/// The server's and the client's own addresses in the tunnel, in both families.
const PEERS: [(&str, &str); 2] = [("10.8.0.1", "10.8.0.2"), ("fd00:8::1", "[fd00:8::1000]")];

/// Starts a container with a web server and these ports.
fn web(docker: &Docker, name: &str, ports: &[&str]) -> Result<()> {
    let serve = "mkdir -p /www; echo \"page of $HOSTNAME\" >/www/index.html; exec httpd -f -h /www";
    let host = format!("--hostname={name}");
    let own = ["--name", name, &host].into_iter().chain(ports.iter().copied());
    docker.run(own.chain(["lab", "bash", "-c", serve])).map(drop)
}

fn page(lab: &Lab, from: &str, target: &str, timeout: Duration) -> Result<bool> {
    Ok(lab.isp().fetch(from, target, timeout)?.is_some_and(|page| page.contains("page of")))
}

/// Number of packets that reached a container, or tried to, in connections to ports that are not forwarded: to the
/// other container, and to the same port of the first one. No connection that is allowed counts, so one packet that is
/// sent twice changes nothing.
fn arrived(lab: &Lab, other: &str) -> Result<u64> {
    let rules = [
        format!("-d {other}/32 -o docker0 -p tcp"),
        "-o docker0 -m conntrack --ctorigdstport 6001".to_owned(),
    ];
    let counts = rules.map(|rule| counted(lab.host(), "mangle", &format!("POSTROUTING {rule}")));
    counts.into_iter().sum()
}

/// Sends a SYN out of the tunnel with a source on the LAN, in both families. Waits for no answer.
fn forge(lab: &Lab) -> Result<()> {
    let sources = [PRINTER.to_string(), ROUTER_V6.to_string()];
    for (from, (_, own)) in sources.iter().zip(PEERS) {
        lab.isp().fetch(from, &format!("{own}:6000"), SILENCE)?;
    }
    Ok(())
}

/// Whether a frame on a network card has the tunnel's own address as its source.
fn is_of_tunnel(frame: &Frame) -> bool {
    let own = PEERS.map(|(_, own)| own.trim_matches(['[', ']']));
    matches!(&frame.packet, Packet::Ip { source, .. } if own.contains(&source.to_string().as_str()))
}

/// Waits until the forwarded port is reached through the tunnel, in both families.
fn await_pages(lab: &Lab) -> Result<()> {
    for (peer, own) in PEERS {
        let reached = || Ok(page(lab, peer, &format!("{own}:6000"), SILENCE * 2)?.then_some(()));
        wait_for("the forwarded port is reached", SOON, reached).with_context(|| own.to_owned())?;
    }
    Ok(())
}

/// Checks that nobody reaches the ports that are not forwarded, and that of the uplinks only the LAN may reach the
/// forwarded one.
fn refuses(lab: &Lab, published: Published) -> Result<()> {
    for (peer, own) in PEERS {
        for port in [6001, 6002, 80] {
            let target = format!("{own}:{port}");
            ensure!(!page(lab, peer, &target, SILENCE)?, "{target} is reached");
        }
    }
    let uplink = format!("{HOST}:6000");
    ensure!(!page(lab, FOREIGN, &uplink, SILENCE)?, "{FOREIGN} has the page");
    let (lan, bound) = match published {
        Published::Lan => (true, TIMEOUT),
        Published::Nobody => (false, SILENCE),
    };
    ensure!(page(lab, &PRINTER.to_string(), &uplink, bound)? == lan, "the LAN, with {published:?}");
    Ok(())
}

#[test]
fn a_forwarded_port_reaches_its_container_through_the_tunnel_alone_with_docker_20() -> Result<()> {
    a_forwarded_port_reaches_its_container_through_the_tunnel_alone(Engine::System, Published::Nobody)
}

#[test]
fn a_forwarded_port_is_answered_into_the_tunnel_alone_beside_ports_for_the_lan_with_docker_28() -> Result<()>
{
    a_forwarded_port_reaches_its_container_through_the_tunnel_alone(Engine::Forky, Published::Lan)
}

fn a_forwarded_port_reaches_its_container_through_the_tunnel_alone(
    engine: Engine,
    published: Published,
) -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let push = ["redirect-gateway def1", "route-ipv6 2000::/3"].map(Into::into).to_vec();
        let extra = vec!["server-ipv6 fd00:8::/64".into()];
        let server = lab.openvpn_server(ServerOptions { push, extra, ..ServerOptions::default() })?;
        let docker = lab.host().docker(engine, [])?;
        // The same port of the container a second time, and another container.
        web(&docker, "bt", &["--publish=6000:80", "--publish=6001:80"])?;
        web(&docker, "other", &["--publish=6002:80"])?;
        let other = address(&docker, "other", "bridge", "IPAddress")?;
        for from in [FOREIGN, &PRINTER.to_string()] {
            wait_for("the control: the uplink reaches the port", SOON, || {
                Ok(page(lab, from, &format!("{HOST}:6000"), SILENCE * 2)?.then_some(()))
            })?;
        }
        let _client = connect(lab, &ClientOptions::of(&server))?;
        arrived(lab, other.trim())?;
        for (peer, own) in PEERS {
            for port in [6000, 6001, 6002] {
                let target = format!("{own}:{port}");
                let reached = page(lab, peer, &target, TIMEOUT)?;
                ensure!(reached, "the control: the tunnel reaches {target}");
            }
        }
        ensure!(arrived(lab, other.trim())? > 0, "the control: a connection is counted");
        let control = lab.capture()?;
        forge(lab)?;
        for own in [true, false] {
            let family = |frame: &Frame| frame.destination().is_some_and(|to| to.is_ipv4() == own);
            control.wait_for(1, SOON, |frame| is_of_tunnel(frame) && family(frame)).context("the control")?;
        }
        control.stop()?;

        let _agent = agent(lab, &config(published))?;
        wait_for_state(lab, "protected")?;
        let capture = lab.capture()?;
        flows(lab)?;
        await_pages(lab)?;
        let told = &status(lab)?["docker"]["forwarded"];
        let wanted = json!([{ "port": 6000, "protocol": "tcp", "to": "bt:80", "fault": null }]);
        ensure!(*told == wanted, "{told}");

        let before = arrived(lab, other.trim())?;
        refuses(lab, published)?;
        forge(lab)?;
        // The earlier packets have arrived, or were dropped, before these pages.
        await_pages(lab)?;
        ensure!(arrived(lab, other.trim())? == before, "another connection reached a container");
        let clear = capture.so_far()?.into_iter().find(is_of_tunnel);
        ensure!(clear.is_none(), "an answer to a connection out of the tunnel left elsewhere: {clear:?}");

        // The rule follows the container.
        docker.cli(["stop", "bt"])?;
        wait_for("the rule is removed", SOON, || {
            let fault = status(lab)?["docker"]["forwarded"][0]["fault"].to_string();
            Ok(fault.contains("no running container").then_some(()))
        })?;
        let rules = lab.host().succeed(["iptables", "-w", "-S", "DOCKER_VPN_KILL_SWITCH"])?;
        ensure!(!rules.contains("ctorigdstport"), "{rules}");
        docker.cli(["start", "bt"])?;
        await_pages(lab)?;
        contract(&[&server])?.check(&capture.stop()?)
    })
}
