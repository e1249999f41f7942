//! The main job on real parts: NetworkManager, OpenVPN, packets.

mod support;

use support::{agent, bus, chain, status, wait_for_state};
use tunwarden_lab::openvpn::ServerOptions;
use tunwarden_lab::{Contract, with_lab};

#[test]
fn networkmanager_connects_and_the_allowance_is_one_endpoint() {
    with_lab(|lab| {
        let capture = lab.capture()?;
        let bus = bus(lab)?;
        let server = lab.openvpn_server(ServerOptions::default())?;
        let nm = lab.host().network_manager(&bus)?;
        nm.add_ethernet(&lab.uplinks()[0])?;
        nm.add_vpn("lab", &server)?;
        let _agent = agent(lab, "")?;
        println!("{}", status(lab)?);
        nm.up("lab")?;
        let status = wait_for_state(lab, "protected")?;
        println!("{status}");
        println!("{:?}", chain(lab, "iptables", "VPN_BOOTSTRAP")?);
        nm.down("lab")?;
        println!("{}", wait_for_state(lab, "locked")?);
        let seen = capture.stop()?;
        Contract::locked().lan("10.0.0.0/24")?.endpoint(&server.endpoint())?.discovery().check(&seen)?;
        Ok(())
    })
    .unwrap();
}
