//! The agent's sources start late, stop and start again: the bus, NetworkManager, an earlier VPN.

use crate::support;

use anyhow::{Result, ensure};
use support::leak_test::{Desktop, LeakTest, contract, set};
use support::signals::Signals;
use support::{SOON, TUNWARDEN, bus, start_agent, status, tunwarden, wait_for_state};
use tunwarden_lab::openvpn::ServerOptions;
use tunwarden_lab::{wait_for, wait_until, with_lab};

#[test]
fn the_agent_closes_without_a_bus_and_uses_sources_that_start_later() -> Result<()> {
    with_lab(|lab| {
        let server = lab.openvpn_server(ServerOptions::default())?;
        let contract = contract(&[&server])?;
        let mut leak_test = LeakTest::begin(lab)?;
        let _agent = lab.host().spawn([TUNWARDEN, "agent", "--verbose"])?;
        wait_for("the rules", SOON, || {
            let rules = lab.host().run(["ip6tables", "-S", "OUTPUT"])?;
            Ok((rules.stdout.contains("-j OUTPUT_VPN_KILL_SWITCH")).then_some(()))
        })?;
        leak_test.await_silence()?;
        leak_test.close()?;
        leak_test.check("no bus at all", &contract)?;
        let status = tunwarden(lab, ["status"])?;
        assert_eq!(
            status.status.code(),
            Some(3),
            "closed, though nobody can ask the agent: {}",
            status.stdout
        );

        let bus = bus(lab)?;
        wait_until("the agent is on the bus", SOON, || {
            bus.has_owner("org.tunwarden.Agent1").unwrap_or(false)
        })?;
        let status = wait_for_state(lab, "locked")?;
        assert_eq!(status["bootstrap"], serde_json::json!(["any"]), "nothing is known yet");

        let nm = lab.host().network_manager(&bus)?;
        nm.add_ethernet(&lab.uplinks()[0])?;
        nm.add_vpn("lab", &server)?;
        support::wait_for_allowance(lab, &set(&[server.endpoint()]))?;
        nm.up("lab")?;
        wait_for_state(lab, "protected")?;
        leak_test.check("bus and NetworkManager came later", &contract)
    })
}

#[test]
fn a_bus_that_restarts_under_a_vpn_changes_nothing_and_the_agent_reconnects_to_it() -> Result<()> {
    with_lab(|lab| {
        let mut desktop = Desktop::new(lab, "")?;
        desktop.connect()?;
        desktop.bus.restart()?;
        let bus = &desktop.bus;
        wait_until("the agent is on the bus", SOON, || {
            bus.has_owner("org.tunwarden.Agent1").unwrap_or(false)
        })?;
        // NetworkManager may end with the bus, and may remove the tunnel or leave it.
        wait_for("the state agrees with the kernel", SOON, || {
            let tunnel = lab.host().outside("/sys/class/net/tun0").exists();
            let state = if tunnel { "protected" } else { "lost" };
            Ok((status(lab)?["state"] == state).then_some(()))
        })?;
        desktop.check("the bus was restarted")?;
        desktop.signals = Signals::listen(&desktop.bus)?;
        desktop.nm.restart()?;
        desktop.nm.up("eth0")?;
        desktop.connect()?;
        desktop.signals.wait_for("protected", 1)?;
        desktop.check_state("protected", "NetworkManager is taken up again on the new bus")?;
        Ok(())
    })
}

#[test]
fn an_agent_that_starts_after_the_vpn_finds_it_and_allows_one_endpoint() -> Result<()> {
    with_lab(|lab| {
        let mut desktop = Desktop::new(lab, "")?;
        desktop.connect()?;
        desktop.agent.stop()?;
        ensure!(tunwarden(lab, ["release", "--yes"])?.status.success());
        lab.host().succeed(["rm", "-r", "/var/lib/tunwarden", "/run/tunwarden"])?;
        desktop.agent = start_agent(lab)?;
        desktop.leak_test.await_silence()?;
        desktop.leak_test.close()?;
        let status = desktop.check_state("protected", "the VPN was there first")?;
        assert_eq!(status["tunnels"][0]["interface"], "tun0");
        assert_eq!(desktop.signals.losses(), []);
        desktop.carries()
    })
}
