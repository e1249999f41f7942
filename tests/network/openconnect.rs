//! openconnect with a real ocserv, and the servers of its profiles in NetworkManager. It connects by TLS over TCP, and then by DTLS over
//! UDP: both are endpoints of the server.

use crate::support;

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use support::leak_test::LeakTest;
use support::openconnect::{SERVER, Server};
use support::openvpn::{flows_to, seen};
use support::{SOON, agent, bus, chain, tunwarden, wait_for_state};
use tunwarden_lab::address::{INTERNET, INTERNET_V6};
use tunwarden_lab::{Contract, Frame, Lab, Transport, wait_for, with_lab};

const ENDPOINTS: [&str; 2] = ["198.51.100.9:443/tcp", "198.51.100.9:443/udp"];

fn contract() -> Result<Contract> {
    let lan = Contract::locked().lan("10.0.0.0/24")?.lan("fd00:0:0:1::/64")?.discovery();
    ENDPOINTS.iter().try_fold(lan, |contract, endpoint| contract.endpoint(endpoint))
}

/// Who may reach the server outside the tunnel, each with the transport, as the rules in the kernel say. Fails if a
/// rule allows anything else.
fn allowed(lab: &Lab) -> Result<BTreeSet<String>> {
    let rules =
        chain(lab, "iptables", "VPN_BOOTSTRAP")?.into_iter().chain(chain(lab, "ip6tables", "VPN_BOOTSTRAP")?);
    let who = |rule: String| {
        let (_, rest) = rule.split_once(" -d 198.51.100.9/32 -p ").with_context(|| rule.clone())?;
        let (transport, rest) = rest.split_once(' ').with_context(|| rule.clone())?;
        ensure!(rest.contains(" --dport 443 "), "{rule}");
        let user = rest.split_once("--uid-owner ").and_then(|(_, rest)| rest.strip_suffix(" -j ACCEPT"));
        ensure!(user.is_some() || rest.ends_with(" -j VPN_OWNER"), "everybody: {rule}");
        Ok(format!("{transport} {}", user.unwrap_or("owners")))
    };
    rules.map(who).collect()
}

/// Waits until exactly these may reach the server.
fn await_allowed(lab: &Lab, who: &BTreeSet<String>) -> Result<()> {
    wait_for(&format!("the kernel allows {who:?}"), SOON, || {
        Ok(allowed(lab).is_ok_and(|allowed| allowed == *who).then_some(()))
    })
    .with_context(|| format!("it allows {:?}", allowed(lab)))
}

/// The users of `bootstrap.owners` over both transports.
fn owners() -> BTreeSet<String> {
    ["tcp owners", "udp owners"].map(str::to_owned).into()
}

/// Checks that pings of both families through the tunnel are answered.
fn flows(lab: &Lab) -> Result<()> {
    [INTERNET, INTERNET_V6].into_iter().try_for_each(|target| flows_to(lab, target))
}

/// Checks that the tunnel protects because of this source, and that the kernel allows the server's two endpoints.
fn protected_by(lab: &Lab, source: &str, who: &BTreeSet<String>) -> Result<Value> {
    let status = wait_for_state(lab, "protected")?;
    let tunnel = &status["tunnels"][0];
    ensure!(tunnel["source"] == source && tunnel["carrying"] == true, "{status}");
    assert_eq!(allowed(lab)?, *who);
    flows(lab)?;
    Ok(status)
}

/// Sends packets of an ordinary user to the server, outside the tunnel.
fn beside(lab: &Lab) -> Result<()> {
    let server = format!("{SERVER}:443");
    lab.host().udp(&server)?.on("eth0").from_user("nobody").tag("beside").count(20).send().map(drop)
}

/// Waits until the client has used both endpoints since `close`.
fn uses_both_transports(leak_test: &LeakTest) -> Result<()> {
    let is_to = |frame: &Frame, udp: bool| match frame.transport() {
        Some(Transport::Udp { to: 443, .. }) => udp && frame.tag.is_none(),
        Some(Transport::Tcp { to: 443, .. }) => !udp,
        _ => false,
    };
    wait_for("TLS and DTLS to the server", SOON, || {
        let frames = leak_test.since_closed()?;
        let both = [true, false].into_iter().all(|udp| frames.iter().any(|frame| is_to(frame, udp)));
        Ok(both.then_some(()))
    })
}

#[test]
fn a_plain_client_protects_by_the_kernel_s_evidence_and_its_end_is_a_loss() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let server = Server::start(lab)?;
        let mut leak_test = LeakTest::begin(lab)?;
        let config = format!("[bootstrap]\nscope = \"known\"\nservers = {ENDPOINTS:?}\n");
        let agent = agent(lab, &config)?;
        await_allowed(lab, &owners())?;
        leak_test.await_silence()?;
        leak_test.close()?;

        let client = server.client(lab)?;
        protected_by(lab, "kernel", &owners()).with_context(|| format!("{}{}", client.log(), agent.log()))?;
        uses_both_transports(&leak_test)?;
        beside(lab)?;
        lab.host().signal_all("openconnect", Signal::SIGKILL)?;
        let lost = wait_for_state(lab, "lost")?;
        ensure!(lost["loss"]["seen_by"] == "links", "{lost}");
        drop(client);
        let client = server.client(lab)?;
        wait_for_state(lab, "protected").with_context(|| client.log())?;
        leak_test.check("plain openconnect", &contract()?)?;
        assert_eq!(
            seen(&leak_test.since_closed()?, "beside"),
            0,
            "an ordinary user's packets reach the server"
        );
        Ok(())
    })
}

#[test]
fn a_profile_of_networkmanager_protects_and_gives_its_server_to_its_own_user_alone() -> Result<()> {
    with_lab(|lab| {
        let bus = bus(lab)?;
        let server = Server::start(lab)?;
        let nm = lab.host().network_manager(&bus)?;
        nm.add_ethernet(&lab.uplinks()[0])?;
        let data =
            format!("gateway={SERVER},protocol=anyconnect,cookie-flags=2,gateway-flags=2,gwcert-flags=2");
        let new = ["connection", "add", "type", "vpn", "vpn-type", "openconnect", "con-name", "office"];
        nm.manage(new.into_iter().chain(["autoconnect", "no", "vpn.data", &data]))?;
        // This kind of VPN does not work. The status reports it, and it adds no server.
        let new = ["connection", "add", "type", "vpn", "vpn-type", "l2tp", "con-name", "old"];
        nm.manage(new.into_iter().chain(["autoconnect", "no", "vpn.data", "gateway=198.51.100.77"]))?;
        let mut leak_test = LeakTest::begin(lab)?;
        let agent =
            agent(lab, "[bootstrap]\nscope = \"known\"\n[tunnel]\ninterfaces = [\"tun+\", \"vpn+\"]\n")?;
        let user = lab.host().succeed(["id", "-u", "nm-openconnect"])?;
        let mut who = owners();
        who.extend(["tcp", "udp"].map(|transport| format!("{transport} {}", user.trim())));
        await_allowed(lab, &who)?;
        let shown = tunwarden(lab, ["status"])?.stdout;
        ensure!(shown.contains("old: L2TP over IPsec: nothing"), "{shown}");
        let check = tunwarden(lab, ["check"])?.stdout;
        ensure!(
            check.contains("office (NetworkManager): 198.51.100.9:443/udp, 198.51.100.9:443/tcp; counts"),
            "{check}"
        );
        leak_test.await_silence()?;
        leak_test.close()?;

        beside(lab)?;
        let up = || server.activate(lab, "office").with_context(|| agent.log());
        up()?;
        let status = protected_by(lab, "networkmanager", &who).with_context(|| agent.log())?;
        ensure!(status["tunnels"][0]["interface"] == "vpn0", "{status}");
        uses_both_transports(&leak_test)?;
        beside(lab)?;
        lab.host().signal_all("openconnect", Signal::SIGKILL)?;
        let lost = wait_for_state(lab, "lost").with_context(|| agent.log())?;
        ensure!(lost["loss"]["name"] == "office", "{lost}");
        await_allowed(lab, &who)?;
        up()?;
        wait_for_state(lab, "protected").with_context(|| agent.log())?;
        flows(lab)?;
        nm.down("office")?;
        wait_for_state(lab, "locked").with_context(|| agent.log())?;
        leak_test.check("openconnect by NetworkManager", &contract()?)?;
        assert_eq!(
            seen(&leak_test.since_closed()?, "beside"),
            0,
            "an ordinary user's packets reach the server"
        );
        Ok(())
    })
}
