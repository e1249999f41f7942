//! `tunwarden init` on whole machines: it replaces the article's scripts, and it undoes its changes if
//! nobody confirms them.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use tunwarden_lab::{Release, WholeMachine, wait_for};

use crate::desktop::{DesktopMachine, SOON, on_a_desktop};
use crate::on_each_release;
use crate::support::package::{Packages, ROOT, succeed};

on_each_release!(
    an_unattended_first_run_takes_the_place_of_the_articles_scripts,
    an_unconfirmed_first_run_is_undone,
);

const HOST: &str = include_str!("../data/article-host.sh");
const DOCKER: &str = include_str!("../data/article-docker-three.sh");
const ARTICLES_UNIT: &str = "[Unit]\nAfter=docker.service\n[Service]\nType=oneshot\n\
    ExecStart=/usr/local/bin/dockerkillswitch.sh\n[Install]\nWantedBy=multi-user.target\n";
/// The rules that the machine's user has added.
const ADDED: &str = "iptables -A OUTPUT_VPN_KILL_SWITCH -o tun+ -p tcp --dport 993 -j ACCEPT\n";

const UNITS: [&str; 2] = ["tunwarden-lock.service", "tunwarden.service"];
const CONFIG: &str = "/etc/tunwarden/config.toml";

/// A terminal in a session of its own, whose user writes `y` and then nothing more.
const SESSION: &str = "(echo y; exec sleep infinity) | script -qefc 'tunwarden init' /dev/null";

fn an_unattended_first_run_takes_the_place_of_the_articles_scripts(release: Release) -> Result<()> {
    let packages = Packages::new()?;
    on_a_desktop(release, |desktop| {
        with_the_article(&desktop.machine)?;
        from_source(&desktop.machine, &packages)?;
        let said = desktop.machine.shell("exec tunwarden init --yes </dev/null 2>&1")?;
        desktop.close()?;
        ensure!(said.contains("dockerkillswitch.service will not be started any more"), "{said}");

        is_in_its_place(desktop).with_context(|| said.clone())?;
        desktop.check_new_attempts("the first run is over")?;
        desktop.vpn_up()?;
        desktop.wait_for_state("protected")?;
        desktop.flows()?;
        desktop.machine.reboot()?;
        is_in_its_place(desktop).context("after a boot")?;
        desktop.check_new_attempts("the machine was booted")
    })
}

/// Checks that the agent and the lock start at every boot and allow what the user had allowed, and that the
/// article's unit does not start.
fn is_in_its_place(desktop: &DesktopMachine) -> Result<()> {
    desktop.wait_for_state("locked")?;
    let machine = &desktop.machine;
    for unit in UNITS {
        ensure!(machine.unit(unit, "ActiveState")? == "active", "{unit} does not run");
        ensure!(machine.unit(unit, "UnitFileState")? == "enabled", "no boot starts {unit}");
    }
    let old = "dockerkillswitch.service";
    ensure!(machine.unit(old, "UnitFileState")? == "disabled", "a boot starts {old}");
    ensure!(machine.outside(&format!("/etc/systemd/system/{old}")).exists(), "{old} is gone");
    let user = machine.shell("iptables -S DOCKER-USER")?;
    ensure!(!user.contains("tun+"), "the article's rules are there: {user}");
    let rules = machine.shell("iptables -S")?;
    let mut words = rules.split([' ', ',', '\n']);
    ensure!(words.any(|word| word == "993"), "the user's port was not carried over: {rules}");
    Ok(())
}

fn an_unconfirmed_first_run_is_undone(release: Release) -> Result<()> {
    let packages = Packages::new()?;
    on_a_desktop(release, |desktop| {
        from_source(&desktop.machine, &packages)?;
        desktop.machine.file(CONFIG, "# mine\n", 0o644)?;
        // The test's counting rules are in a table that no other program uses here.
        desktop.is_tried()?;
        let before = held(&desktop.machine)?;
        desktop.is_seen("before the first run")?;

        let session =
            ["systemd-run", "--quiet", "--unit=session", "--property=StandardOutput=file:/run/said"];
        desktop.machine.succeed(session.into_iter().chain(["sh", "-c", SESSION]))?;
        wait_for("the rules are in force", SOON, || {
            let said = desktop.machine.shell("cat /run/said 2>/dev/null || true")?;
            Ok(said.contains("Type yes within").then_some(()))
        })?;
        desktop.close()?;
        desktop.check_new_attempts("init waits for a confirmation")?;
        // The user is locked out: the session ends with all its processes.
        desktop.machine.succeed(["systemctl", "stop", "session.service"])?;
        desktop.check_new_attempts("the session has ended")?;
        ensure!(held(&desktop.machine)? != before, "the rules were not in force");

        wait_for("the guard has ended", SOON * 6, || {
            Ok((!desktop.machine.command(["pgrep", "-f", "init --undo"])?.run()?.status.success())
                .then_some(()))
        })?;
        is_as_before(&desktop.machine, &before)?;
        desktop.is_seen("after it was undone")?;

        // With an agent, the earlier state is the agent's rules.
        desktop.machine.succeed(["systemctl", "enable", "--now", "--quiet"].into_iter().chain(UNITS))?;
        desktop.close()?;
        desktop.wait_for_state("locked")?;
        let before = held(&desktop.machine)?;
        is_refused(&desktop.machine)?;
        desktop.wait_for_state("locked")?;
        is_as_before(&desktop.machine, &before)?;
        desktop.check_new_attempts("it was refused")?;

        // Without an agent, the rules of the last agent stay in force.
        desktop.machine.succeed(["systemctl", "stop", "tunwarden"])?;
        is_refused(&desktop.machine)?;
        desktop.machine.succeed(["tunwarden", "verify"])?;
        desktop.check_new_attempts("it was refused while no agent ran")
    })
}

fn is_refused(machine: &WholeMachine) -> Result<()> {
    let said = machine.shell("printf 'y\\nno\\n' | script -qefc 'tunwarden init' /dev/null || true")?;
    ensure!(said.contains("not confirmed: the earlier state is restored"), "{said}");
    Ok(())
}

/// Rules, chains, policies, tables, sysctls, files and units: without counters, in a fixed order.
fn held(machine: &WholeMachine) -> Result<Vec<String>> {
    let text = machine.shell(
        "iptables-save; ip6tables-save; nft list tables; cat /etc/tunwarden/config.toml /etc/hosts \
         /proc/sys/net/ipv4/conf/all/arp_ignore; \
         systemctl is-enabled tunwarden-lock tunwarden NetworkManager docker || true",
    )?;
    let lines = text.lines().filter(|line| !line.starts_with("# ") || *line == "# mine");
    let mut lines: Vec<String> =
        lines.map(|line| line.split(" [").next().unwrap_or(line).to_owned()).collect();
    lines.sort_unstable();
    Ok(lines)
}

fn is_as_before(machine: &WholeMachine, before: &[String]) -> Result<()> {
    let now = held(machine)?;
    let only = |one: &[String], other: &[String]| -> Vec<String> {
        one.iter().filter(|line| !other.contains(line)).cloned().collect()
    };
    let (gone, new) = (only(before, &now), only(&now, before));
    ensure!(now == before, "gone: {gone:#?}\nnew: {new:#?}");
    Ok(())
}

/// Installs the files as `make install` does, and starts nothing.
fn from_source(machine: &WholeMachine, packages: &Packages) -> Result<()> {
    let mut make = Command::new("make");
    make.current_dir(ROOT).arg("install").arg(format!("BINARY={}", packages.binary().display()));
    succeed(make.arg(format!("DESTDIR={}", machine.outside("/").display())))?;
    // The bus may have read the policy before install(1) made it readable.
    machine.shell(
        "systemd-tmpfiles --create tunwarden.conf; systemctl daemon-reload; \
         busctl call org.freedesktop.DBus / org.freedesktop.DBus ReloadConfig",
    )?;
    Ok(())
}

/// Installs the article's scripts, enables its unit, and puts its rules in force.
pub(crate) fn with_the_article(machine: &WholeMachine) -> Result<()> {
    machine.file("/usr/local/bin/vpnkillswitch_granular.sh", format!("{HOST}{ADDED}"), 0o755)?;
    machine.file("/usr/local/bin/dockerkillswitch.sh", DOCKER, 0o755)?;
    machine.file("/etc/systemd/system/dockerkillswitch.service", ARTICLES_UNIT, 0o644)?;
    // The script also flushes Docker's rules. Docker then adds them again.
    machine.succeed(["/usr/local/bin/vpnkillswitch_granular.sh"])?;
    machine.succeed(["systemctl", "restart", "docker"])?;
    machine.succeed(["systemctl", "enable", "--now", "--quiet", "dockerkillswitch.service"])?;
    let rules = machine.shell("iptables -S")?;
    ensure!(rules.contains("-A DOCKER-USER -o tun+ -j ACCEPT"), "the article's unit did nothing: {rules}");
    Ok(())
}
