//! NetworkManager brings a VPN up and down in a laboratory.

use std::time::Duration;

use anyhow::Result;
use tunwarden_lab::address::INTERNET;
use tunwarden_lab::openvpn::ServerOptions;
use tunwarden_lab::{Contract, wait_until, with_lab};

const BOUND: Duration = Duration::from_secs(30);

#[test]
fn a_vpn_comes_up_and_only_its_endpoint_is_seen() -> Result<()> {
    with_lab(|lab| {
        let server = lab.openvpn_server(ServerOptions::default())?;
        let bus = lab.host().system_bus()?;
        let nm = lab.host().network_manager(&bus)?;
        nm.add_ethernet(&lab.uplinks()[0])?;
        nm.add_vpn("lab", &server)?;
        let capture = lab.capture()?;
        nm.up("lab")?;
        let sent = lab.host().ping(INTERNET).count(3).await_answers(BOUND).send()?;
        assert_eq!(sent.answered, 3);
        assert_eq!(nm.vpn_service()?.len(), 1);
        let seen = capture.stop()?;
        let endpoint = Contract::locked().discovery().endpoint(&server.endpoint())?;
        endpoint.check(&seen)?;
        assert!(!Contract::locked().discovery().clear_packets(&seen).is_empty());

        let tunnel = lab.host().outside("/sys/class/net/tun0");
        assert!(tunnel.exists());
        nm.down("lab")?;
        wait_until("the tunnel is gone", BOUND, || !tunnel.exists())
    })
}

#[test]
fn without_a_cable_and_with_foreign_routes_it_answers_after_a_restart() -> Result<()> {
    with_lab(|lab| {
        let bus = lab.host().system_bus()?;
        let mut nm = lab.host().network_manager(&bus)?;
        nm.add_ethernet(&lab.uplinks()[0])?;
        let routes = "for n in 0 64 128 192; do ip route add $n.0.0.0/2 via 10.0.0.1 dev eth0; done";
        lab.host().succeed(["sh", "-ec", routes])?;
        lab.unplug("eth0")?;
        nm.kill()?;
        nm.restart_unsettled()?;
        assert!(nm.manage(["-t", "-f", "NAME", "connection", "show"])?.contains("eth0"));
        Ok(())
    })
}
