//! A server that dies silently: neither NetworkManager nor a hook reports it. The agent notices that no more
//! packets arrive from the server. An idle tunnel does not count as silent.

use crate::support;

use anyhow::{Context, Result, ensure};
use support::leak_test::{Desktop, allowance, contract, set};
use support::{SOON, status, wait_for_state};
use tunwarden_lab::address::{OTHER_VPN, VPN};
use tunwarden_lab::forged::{datagram, ethernet_to};
use tunwarden_lab::openvpn::ServerOptions;
use tunwarden_lab::{Flood, Frame, Lab, Packet, Transport, wait_for, with_lab};

const CONFIG: &str = "[vpn]\nsilence = \"5s\"\n";

#[test]
fn a_silent_server_is_a_loss_and_protects_again_when_it_answers() -> Result<()> {
    with_lab(|lab| {
        // The server pings every second. Its client's own timeout is much longer than the agent's.
        let options = ServerOptions { keepalive: (1, 600), ..ServerOptions::default() };
        let mut desktop = Desktop::with(lab, CONFIG, options)?;
        let other = lab.openvpn_server(ServerOptions { address: OTHER_VPN, ..ServerOptions::default() })?;
        desktop.nm.add_vpn("other", &other)?;
        let both = set(&[desktop.server.endpoint(), other.endpoint()]);
        desktop.connect()?;
        desktop.server.silence()?;
        desktop.signals.wait_for("lost", 1)?;
        let losses = desktop.signals.losses();
        ensure!(losses == [("lab".to_owned(), "tun0".to_owned(), "silent server".to_owned())], "{losses:?}");
        let lost = status(lab)?;
        ensure!(lost["loss"]["seen_by"] == "silence", "{lost}");
        let active = desktop.nm.manage(["-t", "-f", "NAME,STATE", "connection", "show", "--active"])?;
        ensure!(active.contains("lab:activated"), "NetworkManager noticed too: {active}");
        // The rules are those of the state `lost`, and not wider.
        support::wait_for_allowance(lab, &both)?;
        desktop.leak_test.check("the server is silent", &contract(&[&desktop.server, &other])?)?;

        desktop.server.resume()?;
        desktop.signals.wait_for("protected", 2)?;
        wait_for_state(lab, "protected")?;
        ensure!(allowance(lab)? == set(&[desktop.server.endpoint()]), "narrowed again");
        desktop.carries()?;
        ensure!(desktop.signals.losses().len() == 1, "told once: {:?}", desktop.signals.losses());
        desktop.leak_test.check("the server speaks again", &contract(&[&desktop.server, &other])?)
    })
}

/// Ports of the host from which the VPN client does not send. The kernel gives the client a port above
/// 32,767. 1194 is OpenVPN's default port.
const OTHER_PORTS: [u16; 3] = [9, 1194, 20_000];

/// Floods the host with datagrams that have the server's address, to ports from which the client does not
/// send. Waits until each port has received some of them.
fn spoof(lab: &Lab) -> Result<Vec<Flood>> {
    let forge = "-t nat -A POSTROUTING -p udp --sport 7777 -j SNAT --to-source 198.51.100.7:1194";
    lab.isp().succeed(["iptables", "-w"].into_iter().chain(forge.split(' ')))?;
    let flood = |port| lab.isp().udp(&format!("10.0.0.2:{port}"))?.bind("10.0.0.1:7777")?.flood(20);
    OTHER_PORTS.into_iter().try_for_each(|port| count_spoofed(lab, port))?;
    let floods = OTHER_PORTS.into_iter().map(flood).collect::<Result<_>>()?;
    OTHER_PORTS.into_iter().try_for_each(|port| await_spoofed(lab, port))?;
    Ok(floods)
}

/// Adds a rule that counts the datagrams from the server's address to this port of the host.
fn count_spoofed(lab: &Lab, port: u16) -> Result<()> {
    let count = format!("-t raw -A PREROUTING -s 198.51.100.7 -p udp --sport 1194 --dport {port}");
    lab.host().succeed(["iptables", "-w"].into_iter().chain(count.split(' '))).map(drop)
}

/// Waits until the rule has counted one.
fn await_spoofed(lab: &Lab, port: u16) -> Result<()> {
    wait_for(&format!("a forged datagram arrives at port {port}"), SOON, || {
        let rules = lab.host().succeed(["iptables", "-w", "-t", "raw", "-vxnL", "PREROUTING"])?;
        let mut counts = rules.lines().filter(|line| line.ends_with(&format!("dpt:{port}")));
        Ok(counts.any(|line| line.split_whitespace().next() != Some("0")).then_some(()))
    })
}

/// Sends datagrams that have the server's address to the port from which the client sends.
fn spoof_the_flow(desktop: &Desktop<'_>) -> Result<()> {
    let (lab, port) = (desktop.lab, client_port(desktop)?);
    count_spoofed(lab, port)?;
    let packet = datagram("198.51.100.7:1194".parse()?, ([10, 0, 0, 2], port).into(), b"x")?;
    let frame = ethernet_to([0xff; 6], 0x0800, &packet);
    lab.isp().forge(&lab.uplinks()[0].isp_end, 0x0800, &frame, 20)?;
    await_spoofed(lab, port)
}

/// The port from which the client sends to the server.
fn client_port(desktop: &Desktop<'_>) -> Result<u16> {
    let port = |frame: Frame| match frame.packet {
        Packet::Ip { destination, transport: Transport::Udp { from, to: 1194 }, .. }
            if destination == VPN =>
        {
            Some(from)
        }
        Packet::Ip { .. } | Packet::Arp | Packet::Unreadable => None,
    };
    desktop.leak_test.since_closed()?.into_iter().rev().find_map(port).context("the client sends nothing")
}

#[test]
fn datagrams_with_the_address_of_the_server_do_not_prevent_a_silence() -> Result<()> {
    with_lab(|lab| {
        let options = ServerOptions { keepalive: (1, 600), ..ServerOptions::default() };
        let mut desktop = Desktop::with(lab, CONFIG, options)?;
        desktop.connect()?;
        let _floods = spoof(lab)?;
        desktop.server.silence()?;
        desktop.signals.wait_for("lost", 1)?;
        ensure!(desktop.signals.losses()[0].2 == "silent server", "{:?}", desktop.signals.losses());
        desktop.leak_test.check("spoofed", &contract(&[&desktop.server])?)
    })
}

#[test]
fn datagrams_with_the_address_of_the_server_do_not_end_a_loss() -> Result<()> {
    with_lab(|lab| {
        let options = ServerOptions { keepalive: (1, 600), ..ServerOptions::default() };
        let mut desktop = Desktop::with(lab, CONFIG, options)?;
        desktop.connect()?;
        desktop.server.silence()?;
        desktop.signals.wait_for("lost", 1)?;
        let before = desktop.signals.states();
        let floods = spoof(lab)?;
        spoof_the_flow(&desktop)?;
        floods.iter().try_for_each(|flood| flood.await_more(100))?;
        ensure!(desktop.signals.states() == before, "the loss ended: {:?}", desktop.signals.states());
        wait_for_state(lab, "lost")?;
        // The control: packets of the server itself end the loss.
        desktop.server.resume()?;
        desktop.signals.wait_for("protected", 2)?;
        desktop.leak_test.check("spoofed", &contract(&[&desktop.server])?)
    })
}

#[test]
fn an_idle_tunnel_is_not_silent() -> Result<()> {
    with_lab(|lab| {
        // No program pings, and nothing answers the floods of the leak test.
        let options = ServerOptions { keepalive: (3600, 7200), ..ServerOptions::default() };
        let mut desktop = Desktop::with(lab, CONFIG, options)?;
        desktop.connect()?;
        desktop.leak_test.stop_floods();
        let before = desktop.signals.states();
        std::thread::sleep(std::time::Duration::from_secs(15));
        ensure!(desktop.signals.states() == before, "{:?}", desktop.signals.states());
        // The control: the same tunnel with a flow of packets that get no answer.
        desktop.server.silence()?;
        let _flood = lab.host().udp("203.0.113.9:4000")?.from_user("nobody").tag("late").flood(5)?;
        desktop.signals.wait_for("lost", 1)?;
        ensure!(desktop.signals.losses()[0].2 == "silent server", "{:?}", desktop.signals.losses());
        Ok(())
    })
}

#[test]
fn switched_off_the_agent_has_no_packet_socket() -> Result<()> {
    with_lab(|lab| {
        let options = ServerOptions { keepalive: (1, 600), ..ServerOptions::default() };
        let mut desktop = Desktop::with(lab, "[vpn]\nsilence = \"off\"\n", options)?;
        desktop.connect()?;
        let sockets = lab.host().succeed(["cat", "/proc/net/packet"])?;
        // NetworkManager has a packet socket for ARP (0806), to detect a conflict of its address.
        let others = sockets.lines().skip(1).filter(|line| line.split_whitespace().nth(3) != Some("0806"));
        ensure!(others.count() == 0, "packet sockets: {sockets}");
        desktop.server.silence()?;
        std::thread::sleep(std::time::Duration::from_secs(15));
        wait_for_state(lab, "protected").map(drop)
    })
}
