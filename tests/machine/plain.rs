//! Plain OpenVPN under Debian's own units, without any hook: the agent reads the client's management socket
//! although both units are sandboxed.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tunwarden_lab::{Release, WholeMachine, wait_for};

use crate::desktop::{DesktopMachine, SOON, on_a_protected_desktop};
use crate::named::senders_are_named;
use crate::on_each_release;

on_each_release!(a_client_without_hooks_is_read_at_its_socket);

/// Debian's two units for a client. Each has its own configuration folder and its own socket folder.
const CLIENT: Plain = Plain {
    unit: "openvpn-client@office.service",
    configuration: "/etc/openvpn/client/office.conf",
    management: "/run/openvpn-client/office.sock unix",
};
const OLDER: Plain = Plain {
    unit: "openvpn@home.service",
    configuration: "/etc/openvpn/home.conf",
    management: "/run/openvpn/home.sock unix /etc/openvpn/lab/password",
};

/// Sockets that the agent cannot use, and what it reports about them.
const UNUSABLE: [(&str, &str, &str); 3] = [
    ("root", "management /root/a.sock unix", "line 2: management: \"/root/a.sock\" is hidden from the agent"),
    ("tmp", "management /tmp/a.sock unix", "line 2: management: \"/tmp/a.sock\" is hidden from the agent"),
    (
        "own",
        "management /run/a.sock unix\nmanagement-client-user nobody",
        "line 3: with \"management-client-user\" another program needs the management socket, and the agent does not \
         use it",
    ),
];

const LOST: &str = "the VPN client says on its management socket that it lost its server";

/// A client as a user configures it.
struct Plain {
    unit: &'static str,
    configuration: &'static str,
    management: &'static str,
}

fn a_client_without_hooks_is_read_at_its_socket(release: Release) -> Result<()> {
    on_a_protected_desktop(release, |desktop| {
        desktop.wait_for_state("locked")?;
        senders_are_named(desktop)?;
        desktop.machine.file("/etc/openvpn/lab/password", "secret\n", 0o600)?;

        connects(desktop, &CLIENT)?;
        its_loss_is_reported(desktop)?;
        let client = desktop.machine.unit(CLIENT.unit, "MainPID")?;
        desktop.machine.succeed(["kill", "-USR1", &client])?;
        is_lost(desktop, 2)?;
        protected_by_its_management_socket(desktop, "office")?;
        ensure!(desktop.machine.unit(CLIENT.unit, "MainPID")? == client, "the client was restarted");
        desktop.check_new_attempts("the client reconnected")?;
        desktop.machine.succeed(["systemctl", "stop", CLIENT.unit])?;
        desktop.wait_for_state("locked")?;
        desktop.check_new_attempts("the client was stopped")?;

        connects(desktop, &OLDER)?;
        unusable_sockets_are_reported(desktop)?;
        desktop.machine.succeed(["systemctl", "enable", "--quiet", OLDER.unit])?;
        desktop.machine.reboot()?;
        protected_by_its_management_socket(desktop, "home").context("after a boot")?;
        desktop.flows()?;
        desktop.check_new_attempts("the machine was booted, and its client with it")
    })
}

/// Starts the client's unit and waits until the agent knows its tunnel.
fn connects(desktop: &DesktopMachine, client: &Plain) -> Result<()> {
    let options = desktop.server.options();
    let text = format!(
        "client\ndev tun\nnobind\nremote {} {} udp4\nremote-cert-tls server\nuser nobody\npersist-tun\n\
         persist-key\nconnect-retry 1 2\nserver-poll-timeout 5\nca /etc/openvpn/lab/ca.crt\n\
         cert /etc/openvpn/lab/client.crt\nkey /etc/openvpn/lab/client.key\nmanagement {}\n",
        options.address, options.port, client.management
    );
    desktop.machine.file(client.configuration, text, 0o600)?;
    desktop.machine.succeed(["systemctl", "start", client.unit])?;
    let name = client.unit.split(['@', '.']).nth(1).context("a unit of a name")?;
    protected_by_its_management_socket(desktop, name)?;
    desktop.flows()?;
    desktop.check_new_attempts(&format!("{} is up", client.unit))
}

fn protected_by_its_management_socket(desktop: &DesktopMachine, name: &str) -> Result<()> {
    desktop.wait_for_state("protected")?;
    // The kernel may show the tunnel before its client reports it.
    wait_for("its client reports it", SOON, || {
        Ok((status(&desktop.machine)?["tunnels"][0]["source"] == "management").then_some(()))
    })?;
    let status = status(&desktop.machine)?;
    let tunnel = &status["tunnels"][0];
    ensure!(
        tunnel["source"] == "management" && tunnel["name"] == name,
        "the source or the name is wrong: {status}"
    );
    Ok(())
}

/// Stops the server. The client's own `ping-restart` notices it, and its tunnel stays up.
fn its_loss_is_reported(desktop: &mut DesktopMachine) -> Result<()> {
    desktop.server.silence()?;
    desktop.wait_for_state("lost")?;
    is_lost(desktop, 1)?;
    let status = status(&desktop.machine)?;
    ensure!(status["loss"]["seen_by"] == "management", "who saw it: {status}");
    let routes = desktop.machine.succeed(["ip", "route", "show", "0.0.0.0/1"])?;
    ensure!(routes.contains("tun0"), "the link shows the loss too: {routes}");
    desktop.check_new_attempts("the server is dead")?;
    desktop.server.restart()?;
    protected_by_its_management_socket(desktop, "office")?;
    desktop.flows()?;
    desktop.check_new_attempts("the server is back")
}

/// Waits until the agent has reported this many losses, each because of a message of the client.
fn is_lost(desktop: &DesktopMachine, times: usize) -> Result<()> {
    wait_for("the agent reports the loss", SOON, || {
        let log = journal(&desktop.machine)?;
        let losses: Vec<&str> = log.lines().filter(|line| line.contains(" is lost: ")).collect();
        ensure!(losses.iter().all(|line| line.contains(LOST)), "who saw it: {losses:#?}");
        Ok((losses.len() >= times).then_some(()))
    })
}

/// Checks that the agent's log and the doctor report each unusable socket.
fn unusable_sockets_are_reported(desktop: &DesktopMachine) -> Result<()> {
    for (name, lines, _) in UNUSABLE {
        let path = format!("/etc/openvpn/client/{name}.conf");
        desktop.machine.file(&path, format!("remote 198.51.100.7\n{lines}\n"), 0o600)?;
    }
    let doctor = desktop.machine.shell("tunwarden doctor || true")?;
    for (name, _, why) in UNUSABLE {
        let line = format!("/etc/openvpn/client/{name}.conf: left out of it: {why}");
        ensure!(doctor.contains(&line), "the doctor does not say {line}: {doctor}");
        wait_for(&line, SOON, || Ok(journal(&desktop.machine)?.contains(&line).then_some(())))?;
    }
    desktop.machine.shell("rm /etc/openvpn/client/*.conf").map(drop)
}

fn status(machine: &WholeMachine) -> Result<Value> {
    // The doctor's exit code reports it too.
    let said = machine.command(["tunwarden", "status", "--json"])?.run()?.stdout;
    serde_json::from_str(&said).with_context(|| said.clone())
}

fn journal(machine: &WholeMachine) -> Result<String> {
    machine.succeed(["journalctl", "--boot", "--no-pager", "--unit=tunwarden", "--output=cat"])
}
