//! A port that the VPN forwards is reachable only through the tunnel.

use std::net::{TcpListener, TcpStream};

use anyhow::{Result, ensure};
use tunwarden_lab::openvpn::{ClientOptions, READY, ServerOptions};
use tunwarden_lab::{Lab, with_lab};

use super::{KNOWN, TIMEOUT};
use crate::support::kernel::Backend;

/// The tunnel's own list does not contain the port: only answers may leave from it.
const FORWARDED: &str = "[tunnel]\nallow = [{ protocol = \"tcp\", ports = [443] }]\n\
     [input]\nallow = [{ protocol = \"udp\", ports = [6881], on = \"tunnel\" }]\n";

/// Sends three packets: through the tunnel to another port, through the tunnel to the forwarded port, and from the LAN
/// to the forwarded port. Returns whether each arrives, and whether the one through the tunnel to the forwarded port is
/// answered.
fn arrive(lab: &Lab) -> Result<[bool; 4]> {
    let (other, forwarded) = (lab.host().udp_echo("0.0.0.0:6882")?, lab.host().udp_echo("10.8.0.2:6881")?);
    let on_the_card = lab.host().udp_echo("10.0.0.2:6881")?;
    // The client sends first: the rules recognize its connection to the server by its own packet.
    let _listener = lab.isp().enter(|| Ok(TcpListener::bind("10.8.0.1:443")?))?;
    lab.host().enter(|| Ok(TcpStream::connect_timeout(&"10.8.0.1:443".parse()?, TIMEOUT)?))?;
    let through = |port: u16| {
        let probe = lab.isp().udp(&format!("10.8.0.2:{port}"))?.bind("10.8.0.1:7000")?;
        anyhow::Ok(probe)
    };
    through(6882)?.send()?;
    // In the tunnel this packet comes after the first one.
    let sent = through(6881)?.await_answers(TIMEOUT).send()?;
    lab.isp().udp("10.0.0.2:6881")?.send()?;
    // In each queue this packet over the loopback comes after the earlier ones.
    for target in ["10.0.0.2:6881", "127.0.0.1:6882"] {
        let fence = lab.host().udp(target)?.await_answers(TIMEOUT).send()?;
        ensure!(fence.answered == 1, "the host does not receive its own packet");
    }
    Ok([other.received() > 1, forwarded.received() > 0, on_the_card.received() > 1, sent.answered == 1])
}

#[test]
fn a_forwarded_port_is_reached_through_the_tunnel_and_never_from_an_uplink() {
    for backend in [Backend::Nft, Backend::NftablesAlone] {
        with_lab(|lab| {
            let server = lab.openvpn_server(ServerOptions::default())?;
            let mut client = lab.host().openvpn_client(&ClientOptions::of(&server))?;
            client.wait_for_line(READY, TIMEOUT)?;
            let before = arrive(lab)?;
            ensure!(before == [true; 4], "the control failed: {before:?}");
            backend.lock(lab, &format!("{KNOWN}{FORWARDED}"))?;
            let after = arrive(lab)?;
            ensure!(
                after == [false, true, false, true],
                "{backend:?}: other port, forwarded, card, answer: {after:?}"
            );
            Ok(())
        })
        .unwrap();
    }
}
