//! A port that the VPN forwards to a container is reached through the tunnel alone.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tunwarden_lab::address::HOST;
use tunwarden_lab::openvpn::{ClientOptions, ServerOptions};
use tunwarden_lab::{Docker, Engine, Lab, wait_for, with_lab};

use super::TIMEOUT;
use crate::support::docker::counted;
use crate::support::openvpn::{connect, contract, flows};
use crate::support::{SOON, agent, bus, status, wait_for_state};

/// How long a test waits for an answer that must not come.
const SILENCE: Duration = Duration::from_millis(500);

/// Containers send nothing on their own but to this port, so an answer needs its own rule.
const CONFIG: &str = "[bootstrap]\nscope = \"known\"\n[docker]\nallow = [{ protocol = \"tcp\", ports = [443] }]\n\
     published_ports = \"none\"\nforwarded = [{ protocol = \"tcp\", port = 6000, to = \"bt:80\" }]\n";

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

/// Number of connections that reached a container, or tried to.
fn arrived(lab: &Lab) -> Result<u64> {
    let rule = "POSTROUTING -o docker0 -p tcp -m tcp --dport 80 --tcp-flags FIN,SYN,RST,ACK SYN";
    counted(lab.host(), "mangle", rule)
}

/// Waits until the forwarded port is reached through the tunnel, in both families.
fn await_pages(lab: &Lab) -> Result<()> {
    for (peer, own) in PEERS {
        let reached = || Ok(page(lab, peer, &format!("{own}:6000"), SILENCE * 2)?.then_some(()));
        wait_for("the forwarded port is reached", SOON, reached).with_context(|| own.to_owned())?;
    }
    Ok(())
}

#[test]
fn a_forwarded_port_reaches_its_container_through_the_tunnel_alone_with_docker_20() -> Result<()> {
    a_forwarded_port_reaches_its_container_through_the_tunnel_alone(Engine::System)
}

#[test]
fn a_forwarded_port_reaches_its_container_through_the_tunnel_alone_with_docker_28() -> Result<()> {
    a_forwarded_port_reaches_its_container_through_the_tunnel_alone(Engine::Forky)
}

fn a_forwarded_port_reaches_its_container_through_the_tunnel_alone(engine: Engine) -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let push = ["redirect-gateway def1", "route-ipv6 2000::/3"].map(Into::into).to_vec();
        let extra = vec!["server-ipv6 fd00:8::/64".into()];
        let server = lab.openvpn_server(ServerOptions { push, extra, ..ServerOptions::default() })?;
        let docker = lab.host().docker(engine, [])?;
        // The same port of the container a second time, and another container.
        web(&docker, "bt", &["--publish=6000:80", "--publish=6001:80"])?;
        web(&docker, "other", &["--publish=6002:80"])?;
        let uplink = |port: u16| format!("{HOST}:{port}");
        let from_uplinks = ["198.51.100.9", "10.0.0.5"];
        for from in from_uplinks {
            wait_for("the control: the uplink reaches the port", SOON, || {
                Ok(page(lab, from, &uplink(6000), SILENCE * 2)?.then_some(()))
            })?;
        }
        let _client = connect(lab, &ClientOptions::of(&server))?;
        for (peer, own) in PEERS {
            for port in [6000, 6001, 6002] {
                let target = format!("{own}:{port}");
                let reached = page(lab, peer, &target, TIMEOUT)?;
                ensure!(reached, "the control: the tunnel reaches {target}");
            }
        }

        let _agent = agent(lab, CONFIG)?;
        wait_for_state(lab, "protected")?;
        let capture = lab.capture()?;
        flows(lab)?;
        await_pages(lab)?;
        let told = &status(lab)?["docker"]["forwarded"];
        let wanted = json!([{ "port": 6000, "protocol": "tcp", "to": "bt:80", "fault": null }]);
        ensure!(*told == wanted, "{told}");

        let before = arrived(lab)?;
        ensure!(page(lab, PEERS[0].0, "10.8.0.2:6000", TIMEOUT)?, "the forwarded port");
        let counted = arrived(lab)?;
        ensure!(counted > before, "the control: a connection is counted");
        for (peer, own) in PEERS {
            for port in [6001, 6002, 80] {
                let target = format!("{own}:{port}");
                ensure!(!page(lab, peer, &target, SILENCE)?, "{target} is reached");
            }
        }
        for from in from_uplinks {
            ensure!(!page(lab, from, &uplink(6000), SILENCE)?, "{from} has the page");
        }
        ensure!(arrived(lab)? == counted, "another connection reached a container");

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
