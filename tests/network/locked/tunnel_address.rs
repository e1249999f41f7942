//! Machines on another link cannot detect the address of a tunnel (CVE-2019-14899).

use std::net::UdpSocket;

use anyhow::{Result, ensure};
use tunwarden_lab::openvpn::{ClientOptions, READY, ServerOptions};
use tunwarden_lab::{Lab, bind_when_free, with_lab};

use super::{KNOWN, TIMEOUT};
use crate::support::kernel::Backend;

/// The address that the attacker can forge: the far end of a flow through the tunnel.
const FAR: &str = "10.8.0.1:7000";
const NEAR: &str = "10.8.0.2:7001";

/// Whether the ISP can detect the tunnel's address on the LAN's link: with ARP, with a forged packet of an
/// existing flow, and with a ping.
fn probed(lab: &Lab) -> Result<[bool; 3]> {
    let socket = established(lab)?;
    let isp = lab.isp();
    let capture = lab.capture()?;
    isp.command(["ip", "neigh", "flush", "all"]).succeed()?;
    // The ping makes the ISP send an ARP request.
    isp.ping([10, 8, 0, 2]).on("isp0").send()?;
    let asked = || isp.succeed(["ip", "neigh", "show", "10.8.0.2", "dev", "isp0"]);
    let told = tunwarden_lab::wait_for("the ISP has its answer or gives up", TIMEOUT, || {
        let state = asked()?;
        Ok(match state.split_whitespace().last() {
            Some("REACHABLE" | "STALE" | "DELAY") => Some(true),
            Some("FAILED") => Some(false),
            _ => None,
        })
    })?;
    // The attacker may know the card's address from another source.
    let card = lab.host().read("/sys/class/net/eth0/address")?;
    isp.succeed(["ip", "neigh", "replace", "10.8.0.2", "lladdr", card.trim(), "dev", "isp0"])?;
    isp.udp(NEAR)?.bind(FAR)?.on("isp0").tag("forged").send()?;
    isp.ping([10, 8, 0, 2]).on("isp0").tag("probing").send()?;
    let seen = capture.so_far()?;
    // This packet of the host to itself is behind the forged one in the queue of the same socket.
    lab.host().udp(NEAR)?.tag("fence").send()?;
    let mut heard = [0; 64];
    let (length, _) = socket.recv_from(&mut heard)?;
    let forged = String::from_utf8_lossy(&heard[..length]).contains("forged");
    isp.succeed(["ip", "neigh", "del", "10.8.0.2", "dev", "isp0"])?;
    let answered = seen.iter().any(|frame| frame.is_tagged("probing"));
    Ok([told, forged, answered])
}

/// A socket on the host with an answered flow through the tunnel.
fn established(lab: &Lab) -> Result<UdpSocket> {
    let _far = lab.isp().udp_echo(FAR)?;
    let socket = lab.host().enter(|| bind_when_free(|| UdpSocket::bind(NEAR)))?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    socket.send_to(b"hello", FAR)?;
    socket.recv_from(&mut [0; 64])?;
    Ok(socket)
}

fn a_tunnels_address_is_not_probed(backend: Backend) -> Result<()> {
    with_lab(|lab| {
        let server = lab.openvpn_server(ServerOptions::default())?;
        let mut client = lab.host().openvpn_client(&ClientOptions::of(&server))?;
        client.wait_for_line(READY, TIMEOUT)?;
        for which in ["all", "default", "eth0", "tun0"] {
            lab.host().sysctl(&format!("net.ipv4.conf.{which}.rp_filter"), "0")?;
        }
        let before = probed(lab)?;
        ensure!(before == [true; 3], "the control failed: {before:?}");
        backend.lock(lab, KNOWN)?;
        let after = probed(lab)?;
        ensure!(after == [false; 3], "asked for, forged, pinged: {after:?}");
        Ok(())
    })
}

#[test]
fn a_tunnels_address_is_not_probed_on_another_link_with_nft() {
    a_tunnels_address_is_not_probed(Backend::Nft).unwrap();
}

#[test]
fn a_tunnels_address_is_not_probed_on_another_link_with_legacy() {
    a_tunnels_address_is_not_probed(Backend::Legacy).unwrap();
}

#[test]
fn a_tunnels_address_is_not_probed_on_another_link_with_iptables_alone() {
    a_tunnels_address_is_not_probed(Backend::IptablesAlone).unwrap();
}

#[test]
fn a_tunnels_address_is_not_probed_on_another_link_with_nftables_alone() {
    a_tunnels_address_is_not_probed(Backend::NftablesAlone).unwrap();
}
