//! The agent makes systemd restart a lost device of wg-quick after the name of its server gets another address. A
//! script stands in for systemctl: systemd does not run in a network namespace.

use crate::support;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use support::leak_test::LeakTest;
use support::openvpn::{flows, seen};
use support::wireguard::{Server, wg_quick};
use support::{SOON, agent, bus, tunwarden, wait_for_state};
use tunwarden_lab::address::ROUTER;
use tunwarden_lab::{Contract, Lab, wait_for, with_lab};

const NAME: &str = "wg.example.net";

/// This script knows one unit, whose state is in a file.
const SYSTEMCTL: &str = "#!/bin/sh\nexec 2>>/run/systemctl.log\nset -ex\ncase \"$*\" in\n\
    'show --property=ActiveState --value -- wg-quick@office.service') cat /run/unit ;;\n\
    'restart -- wg-quick@office.service') wg-quick down office >&2 || true; wg-quick up office >&2 ;;\n\
    'start -- wg-quick@office.service') touch /run/joined; wg-quick up office >&2 ;;\n\
    *) exit 1 ;;\nesac\n";

fn contract() -> Result<Contract> {
    let lan = Contract::locked().lan("10.0.0.0/24")?.lan("fd00:0:0:1::/64")?.discovery();
    let servers = lan.endpoint("198.51.100.9:51820/udp")?.endpoint("198.51.100.8:51820/udp")?;
    servers.endpoint(&format!("{ROUTER}:53/udp"))?.endpoint(&format!("{ROUTER}:53/tcp"))
}

/// Checks that the device sends to this server, and that packets pass.
fn connected_to(lab: &Lab, server: &str) -> Result<Value> {
    let wanted = format!("{server}:51820");
    wait_for(&format!("the device sends to {wanted}"), SOON, || {
        let endpoints = lab.host().run(["wg", "show", "office", "endpoints"])?;
        Ok(endpoints.stdout.trim_end().ends_with(&wanted).then_some(()))
    })?;
    let status = wait_for_state(lab, "protected")?;
    flows(lab)?;
    Ok(status)
}

#[test]
fn a_device_of_wg_quick_comes_back_at_the_new_address_of_its_server() -> Result<()> {
    with_lab(|lab| {
        let host = lab.host();
        let _bus = bus(lab)?;
        let dns = lab.isp().dns(ROUTER)?;
        dns.set(NAME, &["198.51.100.9"])?;
        let wireguard = Server::start(lab)?;
        wireguard.write(lab, "office", "")?;
        let path = "/etc/wireguard/office.conf";
        let text = host.read(path)?.replace("198.51.100.9", NAME);
        host.file_with_mode(path, &text, 0o600)?;
        host.file_with_mode("/run/systemctl", SYSTEMCTL, 0o755)?;
        host.file("/run/unit", "active\n")?;
        host.succeed(["mount", "--bind", "/run/systemctl", "/usr/bin/systemctl"])?;

        let mut leak_test = LeakTest::begin(lab)?;
        let agent = agent(lab, "[bootstrap]\nscope = \"known\"\n[vpn]\nreconnect = \"auto\"\n")?;
        wait_for("the server's name is pinned", SOON, || {
            Ok(host.read("/etc/hosts")?.contains(&format!("198.51.100.9 {NAME}")).then_some(()))
        })?;
        leak_test.await_silence()?;
        leak_test.close()?;
        wg_quick(lab, "up", "office")?;
        connected_to(lab, "198.51.100.9")?;

        dns.set(NAME, &["198.51.100.8"])?;
        host.signal_all("wireguard-go", Signal::SIGKILL)?;
        connected_to(lab, "198.51.100.8").with_context(|| agent.log())?;

        // systemd is starting the unit, and a restart would interrupt that.
        host.file("/run/unit", "activating\n")?;
        host.signal_all("wireguard-go", Signal::SIGKILL)?;
        connected_to(lab, "198.51.100.8").with_context(|| agent.log())?;
        ensure!(host.outside("/run/joined").exists(), "{}", agent.log());

        // A user stops the unit: the agent does not start it until a user asks.
        host.file("/run/unit", "inactive\n")?;
        wg_quick(lab, "down", "office")?;
        wait_for_state(lab, "lost")?;
        wait_for("the agent says why it stays down", SOON, || {
            Ok(agent.log().contains("wg-quick@office.service does not run; start it").then_some(()))
        })?;
        ensure!(host.run(["ip", "link", "show", "office"])?.status.code() == Some(1), "it was started");
        wait_for("a person's request starts it", SOON, || {
            Ok(tunwarden(lab, ["reconnect"])?.status.success().then_some(()))
        })
        .with_context(|| agent.log())?;
        connected_to(lab, "198.51.100.8")?;
        leak_test.check("wg-quick was restarted", &contract()?)?;
        ensure!(seen(&leak_test.since_closed()?, "server") == 0, "an ordinary user's packets reach a server");
        Ok(())
    })
}
