//! The main use with real programs: NetworkManager, its OpenVPN plugin, and packets at the ISP.
//!
//! During each test, floods of UDP and of pings run over IPv4 and IPv6.

use crate::support;

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use support::leak_test::{Desktop, allowance, contract, set};
use support::{SOON, wait_for_state};
use tunwarden_lab::address::{OTHER_VPN, VPN};
use tunwarden_lab::openvpn::ServerOptions;
use tunwarden_lab::{Frame, Transport, wait_for, with_lab};

#[test]
fn the_allowance_follows_a_vpn_up_and_the_users_end_is_no_loss() -> Result<()> {
    with_lab(|lab| {
        let mut desktop = Desktop::new(lab, "")?;
        let other = lab.openvpn_server(ServerOptions { address: OTHER_VPN, ..ServerOptions::default() })?;
        desktop.nm.add_vpn("other", &other)?;
        let both = set(&[desktop.server.endpoint(), other.endpoint()]);
        support::wait_for_allowance(lab, &both)?;

        desktop.server.silence()?;
        desktop.nm.nmcli(["--wait", "0", "connection", "up", "lab"])?;
        let status =
            desktop.check_state("connecting", "connecting allows the server of that profile alone")?;
        assert_eq!(status["tunnels"].as_array().map(Vec::len), Some(0));
        desktop.server.resume()?;
        desktop.signals.wait_for("protected", 1)?;
        let status = desktop.check_state("protected", "protected allows the server in use alone")?;
        assert_eq!(status["tunnels"][0]["interface"], "tun0");
        desktop.carries()?;
        desktop.check("what is answered goes through the tunnel")?;

        desktop.nm.down("lab")?;
        desktop.signals.wait_for("locked", 1)?;
        wait_for_state(lab, "locked")?;
        assert_eq!(allowance(lab)?, both, "locked allows both servers again");
        desktop.leak_test.check("after the user's end", &contract(&[&desktop.server, &other])?)?;
        desktop.connect()?;
        assert_eq!(desktop.signals.losses(), [], "the user asked for it");
        desktop.check("connected again")
    })
}

/// Checks the `count`th loss of the VPN and everything that the agent promises for a loss.
fn lost(desktop: &Desktop<'_>, count: usize, promise: &str) -> Result<()> {
    desktop.signals.wait_for("lost", count).with_context(|| promise.to_owned())?;
    let seen_by = desktop.check_state("lost", promise)?["loss"]["seen_by"].clone();
    ensure!(seen_by == "links" || seen_by == "networkmanager", "{promise}: seen by {seen_by}");
    let losses = desktop.signals.losses();
    ensure!(losses.len() == count, "{promise}: each loss is reported once: {losses:?}");
    // The reason comes from the source that noticed the loss first, the kernel or NetworkManager.
    for (name, tunnel, reason) in losses {
        ensure!(name == "lab" && tunnel.starts_with("tun") && !reason.is_empty(), "{name} {tunnel} {reason}");
    }
    Ok(())
}

/// Reconnects the VPN after its `count`th loss, and checks that the agent reports nothing else.
fn back(desktop: &Desktop<'_>, count: usize, promise: &str) -> Result<()> {
    desktop.connect().with_context(|| promise.to_owned())?;
    desktop.signals.wait_for("protected", count + 1)?;
    desktop.check_state("protected", promise)?;
    let cycle = ["connecting -> protected", "protected -> lost", "lost -> connecting"];
    let mut expected = vec!["locked -> connecting"];
    expected.extend(cycle.iter().cycle().take(3 * count + 1));
    // A busy machine can miss the short time in which the VPN connects.
    let told = desktop.signals.states();
    let steps = told.iter().flat_map(|step| match step.as_str() {
        "locked -> protected" => vec!["locked -> connecting", "connecting -> protected"],
        "lost -> protected" => vec!["lost -> connecting", "connecting -> protected"],
        step => vec![step],
    });
    ensure!(steps.collect::<Vec<_>>() == expected, "{promise}: {told:?}");
    ensure!(desktop.signals.losses().len() == count, "{promise}: {:?}", desktop.signals.losses());
    Ok(())
}

#[test]
fn a_killed_client_or_plugin_is_a_loss_and_the_vpn_comes_back() -> Result<()> {
    with_lab(|lab| {
        let desktop = Desktop::new(lab, "")?;
        desktop.connect()?;
        lab.host().signal_all("openvpn", Signal::SIGKILL)?;
        lost(&desktop, 1, "openvpn was killed")?;
        back(&desktop, 1, "after openvpn was killed")?;
        lab.host().signal_all("nm-openvpn-service", Signal::SIGKILL)?;
        lost(&desktop, 2, "the plugin was killed")?;
        back(&desktop, 2, "after the plugin was killed")
    })
}

#[test]
fn networkmanager_stopped_killed_or_restarted_never_opens_anything() -> Result<()> {
    with_lab(|lab| {
        let mut desktop = Desktop::new(lab, "")?;
        desktop.connect()?;
        desktop.nm.stop()?;
        lost(&desktop, 1, "NetworkManager was stopped")?;
        desktop.nm.restart()?;
        desktop.nm.up("eth0")?;
        back(&desktop, 1, "after NetworkManager was stopped")?;

        desktop.nm.kill()?;
        lost(&desktop, 2, "NetworkManager was killed")?;
        desktop.nm.restart()?;
        desktop.nm.up("eth0")?;
        back(&desktop, 2, "after NetworkManager was killed")
    })
}

#[test]
fn the_network_switched_off_or_unplugged_is_a_loss() -> Result<()> {
    with_lab(|lab| {
        let desktop = Desktop::new(lab, "")?;
        desktop.connect()?;
        desktop.nm.manage(["networking", "off"])?;
        lost(&desktop, 1, "networking was switched off")?;
        desktop.nm.manage(["networking", "on"])?;
        desktop.nm.up("eth0")?;
        back(&desktop, 1, "after networking was switched on")?;

        lab.unplug("eth0")?;
        lost(&desktop, 2, "the cable was taken out")?;
        lab.plug("eth0")?;
        desktop.nm.up("eth0")?;
        back(&desktop, 2, "after the cable was put back")
    })
}

#[test]
fn the_kernel_decides_when_networkmanager_still_reports_the_vpn_as_activated() -> Result<()> {
    with_lab(|lab| {
        let desktop = Desktop::new(lab, "")?;
        let harms = [
            ("ip route del default dev", "traffic is no longer routed into it"),
            ("ip addr flush dev", "its interface has lost its address"),
            ("ip link set down dev", "its interface is down"),
        ];
        for (count, (harm, reason)) in (1..).zip(harms) {
            let status = desktop.connect()?;
            desktop.signals.wait_for("protected", count)?;
            // After a quick reconnect the link has the next name, because the old link still exists.
            let tunnel = status["tunnels"][0]["interface"].as_str().context("no tunnel")?;
            lab.host().succeed(harm.split(' ').chain([tunnel]))?;
            lost(&desktop, count, harm)?;
            let losses = desktop.signals.losses();
            ensure!(losses[count - 1].2 == reason, "{harm}: {losses:?}");
            let seen_by = support::status(lab)?["loss"]["seen_by"].clone();
            ensure!(seen_by == "links", "{harm}: seen by {seen_by}");
            let active = desktop.nm.manage(["-t", "-f", "NAME,STATE", "connection", "show", "--active"])?;
            ensure!(
                active.contains("lab:activated"),
                "{harm}: NetworkManager does not call it activated: {active}"
            );
            desktop.nm.down("lab")?;
            desktop.signals.wait_for("locked", count)?;
        }
        desktop.check_state("locked", "the user ended what was lost").map(drop)
    })
}

#[test]
fn openvpn_reaches_a_restarted_server_by_itself_under_the_standing_rules() -> Result<()> {
    with_lab(|lab| {
        let mut desktop = Desktop::new(lab, "")?;
        desktop.connect()?;
        desktop.signals.wait_for("protected", 1)?;
        let before = desktop.signals.states();
        let first = ports(&desktop)?;
        // The client runs as nm-openvpn by now, and uses a new port for each connection.
        desktop.server.restart()?;
        await_another_port(&desktop, &first)?;
        desktop.carries()?;
        desktop.check_state("protected", "the server was restarted")?;
        assert_eq!(desktop.signals.states(), before, "the tunnel stayed up");

        // The agent does not notice the silence yet: the tunnel is up, but loses every packet.
        let second = ports(&desktop)?;
        desktop.server.silence()?;
        await_another_port(&desktop, &second)?;
        desktop.check_state("protected", "the server is silent past ping-restart")?;
        desktop.server.resume()?;

        desktop.server.restart_with_pool("10.9.0.0/24".parse()?)?;
        lost(&desktop, 1, "the server gave another address, which the dropped client cannot set")?;
        let active = desktop.nm.manage(["-t", "-f", "NAME,STATE", "connection", "show", "--active"])?;
        assert!(active.contains("lab:activated"), "NetworkManager calls it active all the same: {active}");
        desktop.nm.down("lab")?;
        desktop.signals.wait_for("locked", 1)?;
        desktop.check_state("locked", "the user ended what was lost")?;
        desktop.connect()?;
        desktop.check_state("protected", "after the server gave another address")?;
        assert_eq!(desktop.signals.losses().len(), 1);
        Ok(())
    })
}

/// The source ports of the packets to the VPN server.
fn ports(desktop: &Desktop<'_>) -> Result<BTreeSet<u16>> {
    Ok(desktop.leak_test.since_closed()?.iter().filter_map(port).collect())
}

fn port(frame: &Frame) -> Option<u16> {
    let Some(Transport::Udp { from, to: 1194 }) = frame.transport() else { return None };
    (frame.destination() == Some(VPN) && !frame.is_tagged("server")).then_some(from)
}

fn await_another_port(desktop: &Desktop<'_>, known: &BTreeSet<u16>) -> Result<()> {
    wait_for("the client starts over from another port", SOON * 3, || {
        Ok(ports(desktop)?.difference(known).next().map(drop))
    })
}
