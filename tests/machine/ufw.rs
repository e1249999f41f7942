//! A machine with ufw, from the installation of the package over reboots to its purge: a port that ufw closes
//! never answers the LAN.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tunwarden_lab::{Lab, Release, WholeMachine, wait_for, with_lab};

use crate::desktop::SOON;
use crate::on_each_release;
use crate::support::package::Packages;

on_each_release!(a_port_that_ufw_closes_never_answers_from_installation_to_purge);

/// A port that ufw closes, and one that it opens.
const CLOSED_PORT: u16 = 8080;
const OPEN: u16 = 8081;

/// Programs that listen on both ports from the start of every boot.
const LISTENER: &str = "[Unit]
After=network.target
[Service]
ExecStart=/usr/bin/python3 -m http.server --directory /run --bind :: %i
Restart=always
[Install]
WantedBy=multi-user.target
";

/// Asks both addresses again and again, and writes a line for each answer. $1: the port; then the addresses.
const ASK: &str = "port=$1; shift
    while :; do
        for to in \"$@\"; do
            timeout 1 bash -c \"exec 3<>/dev/tcp/$to/$port\" 2>/dev/null && echo \"$to answered\"
        done
        echo asked
    done";

/// A machine, and its addresses on the LAN.
struct Guarded<'a> {
    lab: &'a Lab,
    machine: WholeMachine,
    addresses: [String; 2],
}

impl Guarded<'_> {
    fn answers(&self, port: u16) -> Result<[bool; 2]> {
        let ask = |address: &String| {
            let connect = format!("exec 3<>/dev/tcp/{address}/{port}");
            Ok::<_, anyhow::Error>(
                self.lab.isp().run(["timeout", "2", "bash", "-c", &connect])?.status.success(),
            )
        };
        Ok([ask(&self.addresses[0])?, ask(&self.addresses[1])?])
    }

    /// Waits until the listeners run and the LAN sees what ufw opens.
    fn await_open(&self, port: u16, when: &str) -> Result<()> {
        wait_for(&format!("{when}: port {port} answers"), SOON, || {
            Ok((self.answers(port)? == [true; 2]).then_some(()))
        })
    }

    /// Checks that the LAN sees what ufw lets it see.
    fn is_closed(&self, when: &str) -> Result<()> {
        self.await_open(OPEN, when)?;
        let shut = self.answers(CLOSED_PORT)?;
        ensure!(shut == [false; 2], "{when}: the shut port answers: {shut:?}");
        let status = self.machine.succeed(["ufw", "status"])?;
        ensure!(status.contains("Status: active"), "{when}: {status}");
        Ok(())
    }

    fn policies(&self) -> Result<String> {
        self.machine.shell("iptables -S | grep ^-P; ip6tables -S | grep ^-P")
    }

    fn await_locked(&self) -> Result<()> {
        let mut last = String::new();
        wait_for("the machine is locked", SOON, || {
            last = self.machine.command(["tunwarden", "status", "--json"])?.run()?.stdout;
            let status: Value = serde_json::from_str(&last).unwrap_or_default();
            Ok((status["state"] == "locked" && status["enforced"] == true).then_some(()))
        })
        .with_context(|| last.clone())
    }
}

fn a_port_that_ufw_closes_never_answers_from_installation_to_purge(release: Release) -> Result<()> {
    let packages = Packages::new()?;
    let package = std::fs::read(packages.make("0.1.0-1")?)?;
    with_lab(|lab| {
        let machine = lab.whole_machine(release)?;
        let addresses = addresses(&machine)?;
        let mut guarded = Guarded { lab, machine, addresses };
        let told = scenario(&mut guarded, &package);
        if told.is_err() {
            eprintln!("{}", guarded.machine.journal());
        }
        told
    })
}

/// The machine's IPv4 address, and its unique local IPv6 address.
fn addresses(machine: &WholeMachine) -> Result<[String; 2]> {
    let link = machine.link();
    let local = link.host_v6.iter().map(|net| net.addr()).find(|address| address.is_unique_local());
    Ok([link.host.addr().to_string(), local.context("no unique local address")?.to_string()])
}

fn scenario(guarded: &mut Guarded<'_>, package: &[u8]) -> Result<()> {
    guarded.machine.file("/etc/systemd/system/listener@.service", LISTENER, 0o644)?;
    guarded.machine.power_on()?;
    guarded.machine.succeed([
        "systemctl",
        "enable",
        "--now",
        "--quiet",
        &format!("listener@{CLOSED_PORT}.service"),
        &format!("listener@{OPEN}.service"),
    ])?;
    guarded.await_open(CLOSED_PORT, "the control: without ufw")?;
    guarded.machine.shell("ufw allow 8081/tcp; ufw --force enable; systemctl enable --quiet ufw")?;
    guarded.is_closed("ufw is enabled")?;
    let before = guarded.policies()?;

    let (port, isp) = (CLOSED_PORT.to_string(), guarded.lab.isp().clone());
    let ask = ["bash", "-c", ASK, "ask", &port, &guarded.addresses[0], &guarded.addresses[1]];
    let mut asking = isp.spawn(ask)?;
    asking.wait_for_line("asked", SOON)?;

    guarded.machine.file("/root/tunwarden.deb", package, 0o644)?;
    apt(&guarded.machine, "install /root/tunwarden.deb")?;
    guarded.await_locked()?;
    guarded.machine.reboot()?;
    guarded.await_locked()?;
    apt(&guarded.machine, "purge tunwarden")?;
    guarded.is_closed("the package is purged")?;
    ensure!(guarded.policies()? == before, "policies before: {before}, now: {}", guarded.policies()?);
    guarded.machine.succeed(["ping", "-c", "1", "-W", "5", "203.0.113.9"])?;
    guarded.machine.reboot()?;
    guarded.is_closed("the machine was booted without the package")?;
    ensure!(guarded.policies()? == before, "policies before: {before}, now: {}", guarded.policies()?);

    let asked = asking.log().matches("asked").count();
    asking.wait_for_lines("asked", asked + 1, Duration::from_secs(60))?;
    let log = asking.log();
    ensure!(!log.contains("answered"), "the shut port answered: {log}");
    asking.kill().map(drop)
}

/// Runs apt without questions.
fn apt(machine: &WholeMachine, words: &str) -> Result<String> {
    machine.shell(&format!("DEBIAN_FRONTEND=noninteractive exec apt-get --yes {words} </dev/null 2>&1"))
}
