//! vpnc with a real server, by itself and through NetworkManager's plugin. The server has two endpoints: the client
//! logs in on UDP 500 and sends everything else to UDP 4500.

use crate::support;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use support::leak_test::{LeakTest, set};
use support::openvpn::{flows, seen};
use support::vpnc::{SERVER, Server};
use support::{agent, bus, tunwarden, wait_for_allowance, wait_for_state};
use tunwarden_lab::{Contract, Lab, with_lab};

const ENDPOINTS: [&str; 2] = ["198.51.100.9:500/udp", "198.51.100.9:4500/udp"];

fn contract() -> Result<Contract> {
    let lan = Contract::locked().lan("10.0.0.0/24")?.lan("fd00:0:0:1::/64")?.discovery();
    ENDPOINTS.iter().try_fold(lan, |contract, endpoint| contract.endpoint(endpoint))
}

/// Checks that the tunnel protects because of this source, and carries packets.
fn protected_by(lab: &Lab, source: &str) -> Result<()> {
    let status = wait_for_state(lab, "protected")?;
    let tunnel = &status["tunnels"][0];
    ensure!(tunnel["source"] == source && tunnel["interface"] == "tun0", "{status}");
    flows(lab)
}

/// Sends packets of an ordinary user to the server, outside the tunnel.
fn beside(lab: &Lab) -> Result<()> {
    ["500", "4500"].into_iter().try_for_each(|port| {
        let target = format!("{SERVER}:{port}");
        lab.host().udp(&target)?.on("eth0").from_user("nobody").tag("beside").count(20).send().map(drop)
    })
}

/// Checks what has left, and that only the client reached the server.
fn check(leak_test: &LeakTest, promise: &str) -> Result<()> {
    leak_test.check(promise, &contract()?)?;
    ensure!(seen(&leak_test.since_closed()?, "beside") == 0, "an ordinary user's packets reach the server");
    Ok(())
}

#[test]
fn a_plain_client_protects_by_the_kernel_s_evidence_and_its_end_is_a_loss() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let server = Server::start(lab)?;
        let mut leak_test = LeakTest::begin(lab)?;
        let agent = agent(lab, &format!("[bootstrap]\nscope = \"known\"\nservers = {ENDPOINTS:?}\n"))?;
        wait_for_allowance(lab, &set(&ENDPOINTS.map(str::to_owned)))?;
        leak_test.await_silence()?;
        leak_test.close()?;
        let client = server.client(lab)?;
        protected_by(lab, "kernel").with_context(|| format!("{}{}", client.log(), agent.log()))?;
        beside(lab)?;
        lab.host().signal_all("vpnc", Signal::SIGKILL)?;
        let lost = wait_for_state(lab, "lost")?;
        ensure!(lost["loss"]["seen_by"] == "links", "{lost}");
        drop(client);
        let client = server.client(lab)?;
        protected_by(lab, "kernel").with_context(|| format!("{}{}", client.log(), agent.log()))?;
        check(&leak_test, "plain vpnc")
    })
}

#[test]
fn a_profile_of_networkmanager_protects_its_loss_is_reported_and_it_comes_back() -> Result<()> {
    with_lab(|lab| {
        let bus = bus(lab)?;
        let server = Server::start(lab)?;
        let nm = lab.host().network_manager(&bus)?;
        nm.add_ethernet(&lab.uplinks()[0])?;
        let [data, secrets] = server.profile();
        let new = ["connection", "add", "type", "vpn", "vpn-type", "vpnc", "con-name", "office"];
        let further = ["autoconnect", "no", "vpn.data", &data, "vpn.secrets", &secrets];
        nm.manage(new.into_iter().chain(further))?;
        let mut leak_test = LeakTest::begin(lab)?;
        let agent = agent(lab, "[bootstrap]\nscope = \"known\"\n")?;
        wait_for_allowance(lab, &set(&ENDPOINTS.map(str::to_owned)))?;
        let check_says = tunwarden(lab, ["check"])?.stdout;
        ensure!(check_says.contains("office (NetworkManager): 198.51.100.9:500/udp"), "{check_says}");
        leak_test.await_silence()?;
        leak_test.close()?;
        nm.up("office").with_context(|| agent.log())?;
        protected_by(lab, "networkmanager").with_context(|| agent.log())?;
        beside(lab)?;
        lab.host().signal_all("vpnc", Signal::SIGKILL)?;
        let lost = wait_for_state(lab, "lost").with_context(|| agent.log())?;
        ensure!(lost["loss"]["name"] == "office", "{lost}");
        nm.up("office").with_context(|| agent.log())?;
        protected_by(lab, "networkmanager").with_context(|| agent.log())?;
        nm.down("office")?;
        wait_for_state(lab, "locked").with_context(|| agent.log())?;
        check(&leak_test, "vpnc by NetworkManager")
    })
}
