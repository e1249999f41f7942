//! Docker's nftables backend, by a stand-in: Debian has no Docker 29. The rules are of the kind that it makes, in a table
//! of its own, with none in iptables. The container is a network namespace, and a thread answers as Docker's socket.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;

use anyhow::{Context, Result, ensure};
use tunwarden_lab::{Container, ContainerFlood, Lab, wait_for, with_lab};

use super::Desktop;
use crate::support::leak_test::contract;
use crate::support::{SOON, status, wait_for_state};

const RULES: &str = "table ip docker-bridges {
    chain filter-FORWARD {
        type filter hook forward priority filter; policy accept
        iifname docker0 counter accept
        oifname docker0 ct state established,related counter accept
        oifname docker0 drop
    }
    chain nat-POSTROUTING {
        type nat hook postrouting priority srcnat; policy accept
        iifname docker0 oifname != docker0 masquerade
        ip saddr 172.17.0.0/16 oifname != docker0 masquerade
    }
}";

const NETWORKS: &str = r#"[{"Name": "bridge", "Id": "0123456789ab", "Driver": "bridge", "Internal": false, "EnableIPv6": false,
    "Options": {"com.docker.network.bridge.name": "docker0"}}]"#;

/// The flood, and a packet whose answer must come back.
const FLOOD: &str = "203.0.113.77:4000";
const ECHO: &str = "203.0.113.9:4000";

fn answer(stream: UnixStream) -> Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut question, mut header) = (String::new(), String::new());
    stream.read_line(&mut question)?;
    while stream.read_line(&mut header)? > 2 {}
    let body = match question.split(['?', ' ']).nth(1) {
        Some("/version") => r#"{"Version": "29.0.0"}"#,
        Some("/info") => r#"{"FirewallBackend": {"Driver": "nftables"}}"#,
        Some("/networks") => NETWORKS,
        Some("/events") => "",
        _ => "[]",
    };
    stream.get_mut().write_all(format!("HTTP/1.0 200 OK\r\n\r\n{body}").as_bytes())?;
    if question.contains("/events") {
        // Until the agent closes it: nothing happens in this Docker.
        let _ = stream.read_line(&mut header);
    }
    Ok(())
}

/// Answers at Docker's socket until the test ends.
fn engine(lab: &Lab) -> Result<()> {
    let listener = UnixListener::bind(lab.host().outside("/run/docker.sock"))?;
    lab.host().file("/run/docker.pid", "1")?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(stream));
        }
    });
    Ok(())
}

/// Whether a datagram of the container is answered.
fn is_answered(container: &Container) -> Result<bool> {
    container.enter(|| {
        let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
        socket.set_read_timeout(Some(std::time::Duration::from_secs(1)))?;
        let _ = socket.send_to(b"hello", ECHO);
        Ok(socket.recv(&mut [0; 16]).is_ok())
    })
}

#[test]
fn a_container_whose_engine_has_rules_in_nf_tables_alone_is_contained_and_has_the_tunnel() -> Result<()> {
    with_lab(|lab| {
        let container = lab.host().bridged_container("box", "docker0")?;
        lab.host().command(["nft", "-f", "-"]).stdin(RULES).succeed()?;
        engine(lab)?;
        let _echo = lab.isp().udp_echo(ECHO)?;
        let desktop = Desktop::new(lab)?;
        let (capture, contract) = (lab.capture()?, contract(&[&desktop.server])?);
        let flood: ContainerFlood = container.flood(FLOOD, "container", 100)?;
        capture.wait_for(20, SOON, |frame| frame.is_tagged("container")).context("the control")?;
        ensure!(is_answered(&container)?, "the control: an answer");

        let agent = desktop.agent()?;
        wait_for("the agent knows Docker's backend", SOON, || {
            Ok((status(lab)?["docker"]["backend"] == "nftables").then_some(()))
        })
        .with_context(|| agent.log())?;
        let from = capture.so_far()?.len();
        let check = |promise: &str| -> Result<()> {
            flood.await_more(100)?;
            contract.check(&capture.so_far()?[from..]).with_context(|| promise.to_owned())
        };
        check("locked")?;
        ensure!(!is_answered(&container)?, "locked, and a container reaches the internet");
        let mut client = desktop.connect()?;
        wait_for("an answer through the tunnel", SOON, || Ok(is_answered(&container)?.then_some(())))?;
        desktop.flood_arrives()?;
        check("protected")?;
        client.kill()?;
        wait_for_state(lab, "lost")?;
        check("lost")
    })
}
