//! Refusals by the rules that few packets reach: each has a line, which names the sender and the reason.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tunwarden_lab::forged::{datagram, ethernet, ipv4};
use tunwarden_lab::openvpn::{ClientOptions, READY, ServerOptions};
use tunwarden_lab::{Lab, with_lab};

use super::{KNOWN, wait_for_group};
use crate::support::{BRIDGED_UPLINK, SOON, agent, bus, wait_for_state};

/// Another machine that is refused this port of an address of this machine.
fn remote(to: &str, port: u16, key: Option<&str>) -> Value {
    json!(["remote", "10.0.0.1", null, to, port, "udp", "inbound", key])
}

/// A raw sender with this source.
fn raw(source: &str, to: &str, port: Value) -> Value {
    json!(["raw", format!("{source} on eth0"), null, to, port, "udp", "raw-frame", null])
}

/// Sends from the ISP's end of the link. The route there leads elsewhere.
fn from_link(lab: &Lab, to: &str) -> Result<()> {
    lab.isp().udp(to)?.bind("10.0.0.1:7000")?.on("isp0").send().map(drop)
}

/// Sends a frame with an IPv4 packet.
fn forge(lab: &Lab, packet: &[u8]) -> Result<()> {
    lab.host().forge("eth0", 0x0800, &ethernet(0x0800, packet), 1).map(drop)
}

#[test]
fn what_comes_in_on_a_bridge_that_leads_out_is_reported() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        lab.host().succeed(["sh", "-ec", BRIDGED_UPLINK])?;
        let _agent = agent(lab, KNOWN)?;
        wait_for_state(lab, "locked")?;
        wait_for_group(lab, &remote("10.0.0.2", 9999, Some("input.allow")), || {
            from_link(lab, "10.0.0.2:9999")
        })
    })
}

#[test]
fn what_comes_to_the_address_of_a_tunnel_on_another_link_is_reported() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let server = lab.openvpn_server(ServerOptions::default())?;
        let mut client = lab.host().openvpn_client(&ClientOptions::of(&server))?;
        client.wait_for_line(READY, SOON)?;
        let _agent = agent(lab, KNOWN)?;
        wait_for_state(lab, "protected")?;
        let card = lab.host().read("/sys/class/net/eth0/address")?;
        let neighbour = ["ip", "neigh", "replace", "10.8.0.2", "lladdr", card.trim(), "dev", "isp0"];
        lab.isp().succeed(neighbour)?;
        wait_for_group(lab, &remote("10.8.0.2", 7001, None), || from_link(lab, "10.8.0.2:7001"))?;

        let (source, to): (SocketAddr, SocketAddr) = ("10.8.0.2:7000".parse()?, "10.0.0.5:4000".parse()?);
        let packet = datagram(source, to, b"forged")?;
        wait_for_group(lab, &raw("10.8.0.2", "10.0.0.5", json!(4000)), || forge(lab, &packet))
    })
}

#[test]
fn a_packet_that_is_cut_before_its_port_is_reported() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let _agent = agent(lab, KNOWN)?;
        wait_for_state(lab, "locked")?;
        let cut = ipv4([203, 0, 113, 9].into(), 17, 64, &[], &[0x10, 0x00]);
        ensure!(cut.len() == 22, "it has no destination port: {cut:?}");
        wait_for_group(lab, &raw("10.0.0.2", "203.0.113.9", Value::Null), || forge(lab, &cut))
    })
}
