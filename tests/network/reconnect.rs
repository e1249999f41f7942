//! The agent reconnects a lost VPN: on request, or automatically if the configuration says so. It takes each
//! step only if the one before did not help. Nothing leaves in clear during this.

use crate::support;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use support::leak_test::Desktop;
use support::openvpn::{becomes, connect, hooked, protected_by};
use support::{SOON, TUNWARDEN, agent, bus, polkit, start_agent, status, tunwarden, wait_for_state};
use tunwarden_lab::openvpn::{ClientOptions, ServerOptions};
use tunwarden_lab::{wait_for, with_lab};

/// Runs `tunwarden reconnect`. Checks that it succeeds and that the VPN carries packets.
fn reconnect(desktop: &Desktop<'_>, promise: &str) -> Result<()> {
    let said = tunwarden(desktop.lab, ["reconnect"])?;
    ensure!(said.status.success(), "{promise}: {}{}", said.stderr, desktop.agent.log());
    desktop.check_state("protected", promise)?;
    desktop.carries()?;
    desktop.check(promise)
}

/// The steps in the agent's log after its first `from` lines.
fn steps(desktop: &Desktop<'_>, from: usize) -> Vec<String> {
    let log = desktop.agent.log();
    let step = |line: &str| line.split_once(" back: ").map(|(_, step)| step.to_owned());
    log.lines().skip(from).filter(|line| line.contains("bringing the VPN lab")).filter_map(step).collect()
}

#[test]
fn a_killed_client_is_brought_back_by_the_vpn_alone() -> Result<()> {
    with_lab(|lab| {
        let desktop = Desktop::new(lab, "")?;
        desktop.connect()?;
        lab.host().signal_all("openvpn", Signal::SIGKILL)?;
        desktop.signals.wait_for("lost", 1)?;
        reconnect(&desktop, "openvpn was killed")?;
        ensure!(steps(&desktop, 0) == ["Vpn"], "{:?}", steps(&desktop, 0));
        // A connected VPN is not changed.
        let before = desktop.signals.states().len();
        reconnect(&desktop, "the VPN is up")?;
        ensure!(desktop.signals.states().len() == before, "{:?}", desktop.signals.states());
        // A VPN that the user ended reconnects when the user asks.
        desktop.nm.down("lab")?;
        desktop.signals.wait_for("locked", 1)?;
        reconnect(&desktop, "the user asked for it")
    })
}

#[test]
fn a_dead_tunnel_that_networkmanager_calls_activated_is_replaced() -> Result<()> {
    with_lab(|lab| {
        let desktop = Desktop::new(lab, "")?;
        desktop.connect()?;
        lab.host().succeed("ip addr flush dev tun0".split(' '))?;
        desktop.signals.wait_for("lost", 1)?;
        reconnect(&desktop, "its tunnel had lost its address")?;
        ensure!(
            desktop.signals.losses().len() == 1,
            "not reported exactly once: {:?}",
            desktop.signals.losses()
        );
        ensure!(!desktop.signals.states().iter().any(|change| change.ends_with("locked")), "our own end");
        Ok(())
    })
}

#[test]
fn a_missing_network_under_the_vpn_is_brought_up() -> Result<()> {
    with_lab(|lab| {
        let desktop = Desktop::new(lab, "")?;
        desktop.connect()?;
        desktop.nm.manage(["device", "disconnect", "eth0"])?;
        desktop.signals.wait_for("lost", 1)?;
        reconnect(&desktop, "its network was down")?;
        ensure!(steps(&desktop, 0) == ["Vpn", "Parent"], "{:?}", steps(&desktop, 0));

        desktop.nm.manage(["networking", "off"])?;
        desktop.signals.wait_for("lost", 2)?;
        reconnect(&desktop, "all networks were off")?;
        let steps = steps(&desktop, 0);
        ensure!(steps[2..] == ["Vpn", "Parent", "Networking"], "{steps:?}");
        Ok(())
    })
}

/// The file in which the agent records that it has switched all networks off.
const NOTE: &str = "/var/lib/tunwarden/networking-off.json";

fn networking(desktop: &Desktop<'_>) -> Result<String> {
    Ok(desktop.nm.manage(["networking"])?.trim().to_owned())
}

/// Asks for the VPN, which cannot connect, and kills the agent while it has switched all networks off.
fn kill_while_networks_are_off(desktop: &mut Desktop<'_>) -> Result<()> {
    for _ in 0..5 {
        let mut asked = desktop.lab.host().spawn([TUNWARDEN, "reconnect"])?;
        while asked.is_running() && desktop.lab.host().read(NOTE).is_err() {}
        desktop.agent.kill()?;
        if desktop.lab.host().read(NOTE).is_ok() {
            // The agent may not have switched them off yet, or may have switched them on again. nmcli fails
            // if they are off already, which is no fault.
            drop(desktop.nm.manage(["networking", "off"]));
            return Ok(());
        }
        // The agent has finished before the kill.
        desktop.agent = start_agent(desktop.lab)?;
    }
    anyhow::bail!("the agent was never caught in the middle")
}

#[test]
fn networks_that_a_killed_agent_switched_off_are_on_again_and_those_of_a_user_are_not() -> Result<()> {
    with_lab(|lab| {
        let mut desktop = Desktop::new(lab, "")?;
        desktop.connect()?;
        // Without its certificate every client ends at once.
        let hide = |from: &str, to: &str| lab.host().succeed(["mv", from, to]).map(drop);
        hide("/run/lab/pki/ca.crt", "/run/lab/pki/hidden")?;
        lab.host().signal_all("openvpn", Signal::SIGKILL)?;
        desktop.signals.wait_for("lost", 1)?;
        kill_while_networks_are_off(&mut desktop)?;
        hide("/run/lab/pki/hidden", "/run/lab/pki/ca.crt")?;
        std::thread::sleep(std::time::Duration::from_secs(1));
        ensure!(networking(&desktop)? == "disabled", "the control: without an agent they stay off");

        desktop.agent = start_agent(lab)?;
        wait_for("all networks are on again", SOON, || {
            let gone = lab.host().read(NOTE).is_err();
            Ok((gone && networking(&desktop)? == "enabled").then_some(()))
        })?;
        reconnect(&desktop, "as before")?;

        // If the user switched the networks off, the agent does not switch them on.
        desktop.nm.manage(["networking", "off"])?;
        desktop.agent.kill()?;
        desktop.agent = start_agent(lab)?;
        wait_for_state(lab, "lost")?;
        std::thread::sleep(std::time::Duration::from_secs(3));
        ensure!(networking(&desktop)? == "disabled", "switched on what a user had switched off");
        desktop.check("nothing was opened for it")
    })
}

#[test]
fn polkit_decides_who_may_reconnect_and_a_refusal_changes_nothing() -> Result<()> {
    with_lab(|lab| {
        polkit::allow_only(lab, "reconnect", "daemon")?;
        let desktop = Desktop::new(lab, "")?;
        let _polkit = desktop.bus.polkit()?;
        desktop.connect()?;
        lab.host().signal_all("openvpn", Signal::SIGKILL)?;
        desktop.signals.wait_for("lost", 1)?;
        let before = (wait_for_state(lab, "lost")?, desktop.signals.states());

        let denied = lab.host().command([TUNWARDEN, "reconnect"]).user("nobody").run()?;
        ensure!(denied.status.code() == Some(1), "{denied:?}");
        ensure!(denied.stderr.contains("polkit did not allow"), "{denied:?}");
        let call = "dbus-send --system --print-reply --dest=org.tunwarden.Agent1 /org/tunwarden/Agent1 \
                    org.tunwarden.Agent1.Reconnect";
        let denied = lab.host().command(call.split_whitespace()).user("nobody").run()?;
        ensure!(denied.stderr.contains("org.freedesktop.DBus.Error.AccessDenied: polkit"), "{denied:?}");
        ensure!((status(lab)?, desktop.signals.states()) == before, "{}", desktop.agent.log());
        ensure!(steps(&desktop, 0).is_empty(), "{:?}", steps(&desktop, 0));

        let allowed = lab.host().command([TUNWARDEN, "reconnect"]).user("daemon").run()?;
        ensure!(allowed.status.success(), "{allowed:?}{}", desktop.agent.log());
        ensure!(steps(&desktop, 0) == ["Vpn"], "{:?}", steps(&desktop, 0));
        desktop.check_state("protected", "one may and one may not")?;
        desktop.carries()
    })
}

#[test]
fn a_vpn_that_the_user_ends_during_a_reconnect_stays_down_and_the_caller_gets_an_error() -> Result<()> {
    with_lab(|lab| {
        let mut desktop = Desktop::new(lab, "[vpn]\nreconnect = \"auto\"\n")?;
        desktop.connect()?;
        desktop.server.silence()?;
        lab.host().signal_all("openvpn", Signal::SIGKILL)?;
        desktop.signals.wait_for("connecting", 2)?;
        let mut asked = lab.host().spawn([TUNWARDEN, "reconnect"])?;
        desktop.agent.wait_for_line("is being brought back already", SOON)?;
        desktop.nm.down("lab")?;
        ensure!(asked.wait(SOON)?.code() == Some(1), "{}", asked.log());
        ensure!(asked.log().contains("a user or another program ended it"), "{}", asked.log());
        wait_for_state(lab, "locked")?;
        desktop.check("nothing was opened for it")
    })
}

#[test]
fn an_automatic_reconnect_follows_a_loss_and_not_the_users_own_end() -> Result<()> {
    with_lab(|lab| {
        let desktop = Desktop::new(lab, "[vpn]\nreconnect = \"auto\"\n")?;
        desktop.connect()?;
        for count in 1..=2 {
            lab.host().signal_all("openvpn", Signal::SIGKILL)?;
            desktop.signals.wait_for("lost", count)?;
            desktop.signals.wait_for("protected", count + 1)?;
            desktop.check_state("protected", "it came back by itself")?;
            desktop.carries()?;
        }
        let attempts = steps(&desktop, 0);
        desktop.nm.down("lab")?;
        wait_for_state(lab, "locked")?;
        // Longer than the first wait after a loss.
        wait_for("the floods go on", SOON, || {
            std::thread::sleep(std::time::Duration::from_secs(4));
            Ok(Some(()))
        })?;
        wait_for_state(lab, "locked")?;
        ensure!(steps(&desktop, 0) == attempts, "after the user's end: {:?}", steps(&desktop, 0));
        desktop.check("nothing was opened for it")
    })
}

#[test]
fn without_networkmanager_reconnect_is_refused_and_names_the_clients_own_service() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let server = lab.openvpn_server(ServerOptions::default())?;
        let _agent = agent(lab, "")?;
        let refused = tunwarden(lab, ["reconnect"])?;
        ensure!(refused.status.code() == Some(1), "{refused:?}");
        ensure!(refused.stderr.contains("NetworkManager is not running"), "{}", refused.stderr);
        let mut client = connect(lab, &hooked(lab, ClientOptions::of(&server))?)?;
        protected_by(lab, &server)?;
        client.kill()?;
        becomes(lab, "lost")?;
        let refused = tunwarden(lab, ["reconnect"])?;
        ensure!(refused.status.code() == Some(1), "{refused:?}");
        ensure!(refused.stderr.contains("restart its OpenVPN service"), "{}", refused.stderr);
        Ok(())
    })
}
