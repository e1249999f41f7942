//! OpenVPN that leaves its packets to the kernel (DCO): the device has the kind `ovpn`. The client is OpenVPN 2.7 of a
//! later Debian, which `scripts/kernel` gets. The server is this machine's own OpenVPN.

use crate::support;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use support::openvpn::{
    CONNECT, ECHO, background_traffic, becomes, connect, contract, endpoint, flows, hooked, seen,
};
use support::{SOON, agent, bus, wait_for_state};
use tunwarden_lab::openvpn::{ClientOptions, Protocol, READY, Server, ServerOptions};
use tunwarden_lab::{Lab, wait_for, with_lab};

/// OpenVPN 2.7.
fn program() -> String {
    let cache = std::env::var("TUNWARDEN_LAB_CACHE");
    let cache = cache.as_deref().unwrap_or("/var/cache/tunwarden-lab");
    format!("{cache}/kernel-forky/openvpn/openvpn")
}

/// Checks that the device is the kernel's own.
fn is_offloaded(lab: &Lab, name: &str) -> Result<()> {
    let shown = lab.host().succeed(["ip", "-d", "link", "show", name])?;
    ensure!(shown.lines().any(|line| line.trim_start().starts_with("ovpn ")), "{shown}");
    Ok(())
}

/// Checks that the tunnel of this name protects. Two kinds of packets may reach the server: OpenVPN's own, which only
/// its users may send, and the kernel's, which have the owner of the packet inside them. Nothing else may reach it.
fn protected_by(lab: &Lab, server: &Server, name: &str) -> Result<()> {
    let wanted = endpoint(server);
    let mut of_kernel = wanted.clone();
    of_kernel["by"] = json!("anybody");
    let mut told = Value::Null;
    // The kernel shows the tunnel before its hook reports it.
    wait_for("OpenVPN's tunnel protects", CONNECT, || {
        told = wait_for_state(lab, "protected")?;
        let tunnel = &told["tunnels"][0];
        Ok((tunnel["source"] == "openvpn" && tunnel["endpoint"] == wanted).then_some(()))
    })
    .with_context(|| format!("the last status: {told}"))?;
    ensure!(
        told["tunnels"][0]["interface"] == name && told["bootstrap"] == json!([wanted, of_kernel]),
        "{told}"
    );
    is_offloaded(lab, name)?;
    flows(lab)?;
    wait_for("a user's packet is answered through the tunnel", CONNECT, || {
        let probe = lab.host().udp(ECHO)?.from_user("nobody").await_answers(Duration::from_secs(3));
        Ok((probe.send()?.answered == 1).then_some(()))
    })
}

/// The reason of a loss, by its code and its source.
fn loss(lost: &Value) -> String {
    let loss = &lost["loss"];
    format!("{} by {}", loss["code"], loss["seen_by"])
}

/// Connects, loses the server and finds it again, loses the client and connects again.
fn connect_stop_and_kill(options: ServerOptions) -> Result<()> {
    with_lab(|lab| {
        let capture = lab.capture()?;
        let _bus = bus(lab)?;
        let mut server = lab.openvpn_server(options)?;
        let _echo = lab.isp().udp_echo(ECHO)?;
        let config = format!("[bootstrap]\nservers = [\"{}\"]\n", server.endpoint());
        let agent = agent(lab, &config)?;
        let floods = background_traffic(lab)?;
        becomes(lab, "locked")?;
        let options = hooked(lab, ClientOptions::of(&server).program(&program()))?;

        let mut client = connect(lab, &options)?;
        protected_by(lab, &server, "tun0").with_context(|| format!("{}{}", client.log(), agent.log()))?;

        server.silence()?;
        let lost = becomes(lab, "lost").with_context(|| format!("{}{}", client.log(), agent.log()))?;
        println!("a silent server is a loss: {}", loss(&lost));
        server.resume()?;
        client.wait_for_lines(READY, 2, SOON * 2)?;
        protected_by(lab, &server, "tun0").with_context(|| format!("{}{}", client.log(), agent.log()))?;

        // When a client is killed, the kernel keeps its device and the routes into it.
        client.kill()?;
        let lost = becomes(lab, "lost").with_context(|| agent.log())?;
        println!("a killed client is a loss: {}", loss(&lost));
        lab.host().run(["ip", "link", "del", "tun0"])?;
        let client = connect(lab, &options)?;
        protected_by(lab, &server, "tun0").with_context(|| format!("{}{}", client.log(), agent.log()))?;
        for flood in &floods {
            flood.await_more(20)?;
        }
        let frames = capture.stop()?;
        contract(&[&server])?.check(&frames)?;
        ensure!(seen(&frames, "pressure") == 0, "the flood left in clear");
        Ok(())
    })
}

#[test]
#[ignore = "needs a kernel with OpenVPN's data channel (6.16) and OpenVPN 2.7: make kernels"]
fn over_udp_the_kernel_s_device_protects_its_loss_is_reported_and_it_comes_back() -> Result<()> {
    connect_stop_and_kill(ServerOptions::default())
}

#[test]
#[ignore = "needs a kernel with OpenVPN's data channel (6.16) and OpenVPN 2.7: make kernels"]
fn over_tcp_the_kernel_s_device_protects_its_loss_is_reported_and_it_comes_back() -> Result<()> {
    connect_stop_and_kill(ServerOptions { port: 443, protocol: Protocol::Tcp, ..ServerOptions::default() })
}
