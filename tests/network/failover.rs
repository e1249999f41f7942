//! One of several servers dies. The client connects to the next server by itself, although the dead tunnel
//! still has the default route. The rules are never wider than those of the state `lost`.

use crate::support;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use support::leak_test::{Desktop, allowance, contract as contract_of_servers, set};
use support::openvpn::{background_traffic, becomes, connect, contract, flows, hooked, protected_by};
use support::{SOON, agent, bus, wait_for_state};
use tunwarden_lab::address::OTHER_VPN;
use tunwarden_lab::openvpn::{ClientOptions, ServerOptions};
use tunwarden_lab::{Lab, wait_for, with_lab};

const CONFIG: &str = "[vpn]\nsilence = \"5s\"\n";

fn lasting() -> ServerOptions {
    // The client reconnects after 12 s without packets.
    ServerOptions { keepalive: (1, 12), ..ServerOptions::default() }
}

/// Waits until the client has reconnected to the next server. It may try the dead server first.
fn goes_on(lab: &Lab) -> Result<()> {
    wait_for("the client reconnects", Duration::from_secs(90), || {
        Ok((support::status(lab)?["state"] == "protected").then_some(()))
    })
}

#[test]
fn networkmanagers_client_connects_to_the_next_server_by_itself() -> Result<()> {
    with_lab(|lab| {
        let mut desktop =
            Desktop::with_server_and_remote(lab, CONFIG, lasting(), "198.51.100.7 198.51.100.8")?;
        desktop.connect()?;
        ensure!(allowance(lab)? == set(&[desktop.server.endpoint()]), "the one in use");
        // The other server gives the same addresses. Only then can the unprivileged client keep its address.
        let other = lab.openvpn_server(ServerOptions { address: OTHER_VPN, ..lasting() })?;
        desktop.server.stop()?;
        desktop.signals.wait_for("lost", 1)?;
        ensure!(desktop.signals.losses()[0].2 == "silent server", "{:?}", desktop.signals.losses());
        goes_on(lab)?;
        ensure!(allowance(lab)? == set(&[other.endpoint()]), "the one in use now: {:?}", allowance(lab)?);
        desktop.carries()?;
        desktop.leak_test.check("after the fail-over", &contract_of_servers(&[&desktop.server, &other])?)?;
        // The agent removes the route with the VPN that needed it.
        desktop.nm.down("lab")?;
        wait_for_state(lab, "locked")?;
        wait_for("no route of ours is left", SOON, || {
            let routes = lab.host().succeed("ip route show proto 177".split(' '))?;
            Ok(routes.trim().is_empty().then_some(()))
        })
    })
}

#[test]
fn a_plain_client_connects_to_its_next_remote() -> Result<()> {
    with_lab(|lab| {
        let capture = lab.capture()?;
        let _bus = bus(lab)?;
        let mut server = lab.openvpn_server(lasting())?;
        let pool = "10.9.0.0/24".parse()?;
        let other = lab.openvpn_server(ServerOptions { address: OTHER_VPN, pool, ..lasting() })?;
        let config = "[bootstrap]\nservers = [\"198.51.100.7\", \"198.51.100.8\"]\n[vpn]\nsilence = \"5s\"\n";
        let agent = agent(lab, config)?;
        let _floods = background_traffic(lab)?;
        let options = ClientOptions::of(&server).or(&other).user("nobody").persist();
        let _client = connect(lab, &hooked(lab, options)?)?;
        protected_by(lab, &server)?;
        server.stop()?;
        becomes(lab, "lost")?;
        goes_on(lab).with_context(|| agent.log())?;
        protected_by(lab, &other)?;
        flows(lab)?;
        contract(&[&server, &other])?.check(&capture.stop()?)
    })
}
