//! Types the README's commands on a terminal, exactly as they are written there.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use tunwarden_lab::{Release, WholeMachine};

use crate::desktop::{DesktopMachine, goes_on, on_a_desktop};
use crate::on_each_release;
use crate::support::package::{Packages, ROOT, succeed};

on_each_release!(
    the_package_comes_and_goes_by_what_the_readme_says,
    a_source_install_comes_and_goes_by_what_the_readme_says,
);

const README: &str = include_str!("../../README.md");
const UNITS: &str = "tunwarden-lock tunwarden";
const OTHERS: [&str; 2] = ["NetworkManager.service", "docker.service"];

/// Folder of the unpacked source.
const CLONE: &str = "/root/tunwarden";
/// The parts of the source that `make` and the README need.
const SOURCE: [&str; 10] = [
    "CHANGELOG.md",
    "Makefile",
    "README.md",
    "dbus",
    "desktop",
    "docs",
    "examples",
    "hooks",
    "packaging",
    "systemd",
];

/// What stays after the package is removed: the configuration, the learned state, and each file of the package in
/// `/etc`.
const KEPT: [&str; 4] = [
    "/etc/tunwarden",
    "/etc/tunwarden/config.toml",
    "/var/lib/tunwarden",
    "/etc/xdg/autostart/tunwarden-notify.desktop",
];

fn the_package_comes_and_goes_by_what_the_readme_says(release: Release) -> Result<()> {
    let packages = Packages::new()?;
    let package = packages.make("0.1.0-1")?;
    on_a_desktop(release, |desktop| {
        has_sudo(&desktop.machine)?;
        let name = package.file_name().and_then(|name| name.to_str()).context("a package of a name")?;
        desktop.machine.file(&format!("{CLONE}/target/debian/{name}"), std::fs::read(&package)?, 0o644)?;
        desktop.is_seen("before the installation")?;
        typed(desktop, "sudo apt install ./target/debian/tunwarden_*.deb", 0)?;
        desktop.close()?;
        typed(desktop, "tunwarden status", 3)?;
        desktop.check_new_attempts("it is installed")?;

        typed(desktop, "sudo tunwarden pause 5m", 0)?;
        desktop.is_seen("in a pause")?;
        desktop.machine.succeed(["tunwarden", "resume"])?;
        desktop.close()?;
        typed(desktop, "sudo tunwarden pause --for portal", 0)?;
        desktop.check_new_attempts("what is no sign-in page")?;

        typed(desktop, "sudo tunwarden release", 0)?;
        desktop.is_seen("after the release")?;
        desktop.machine.reboot()?;
        desktop.close()?;
        desktop.wait_for_state("locked")?;
        desktop.check_new_attempts("until the next boot")?;
        typed(desktop, "sudo tunwarden release", 0)?;
        typed(desktop, "sudo systemctl disable tunwarden tunwarden-lock", 0)?;
        desktop.machine.reboot()?;
        desktop.is_seen("no boot locks")?;
        desktop.machine.shell(&format!("systemctl enable --quiet --now {UNITS}"))?;
        desktop.close()?;
        desktop.wait_for_state("locked")?;
        desktop.check_new_attempts("both are enabled")?;

        goes_on(desktop, &OTHERS, || {
            let said = typed(desktop, "sudo apt remove tunwarden", 0)?;
            // apt prints this line with every removal.
            let questions = said.lines().filter(|line| line.contains("? ")).count();
            ensure!(questions == 1 && said.contains("Do you want to continue?"), "it asks: {said}");
            Ok(())
        })?;
        desktop.is_seen("for good")?;
        leaves_nothing(&desktop.machine, &KEPT)?;
        // A session that finds this file does not start the notifier.
        let autostart = desktop.machine.succeed(["cat", KEPT[3]])?;
        ensure!(autostart.contains("\nTryExec=tunwarden\n"), "{autostart}");
        desktop.machine.succeed(["systemctl", "restart", "NetworkManager", "docker"]).map(drop)
    })
}

fn a_source_install_comes_and_goes_by_what_the_readme_says(release: Release) -> Result<()> {
    let packages = Packages::new()?;
    on_a_desktop(release, |desktop| {
        has_sudo(&desktop.machine)?;
        let binary = std::fs::read(packages.binary())?;
        desktop.machine.file(&format!("{CLONE}/target/release/tunwarden"), binary, 0o755)?;
        let tar = Command::new("tar").current_dir(ROOT).arg("--create").args(SOURCE).output()?;
        desktop.machine.file("/root/source.tar", tar.stdout, 0o644)?;
        desktop.machine.succeed(["tar", "--extract", "--file=/root/source.tar", "--directory", CLONE])?;

        made(desktop, "sudo make install")?;
        typed(desktop, "tunwarden check", 0)?;
        desktop.is_seen("nothing is started")?;
        goes_on(desktop, &OTHERS, || {
            typed(desktop, "sudo systemctl enable --now tunwarden-lock tunwarden", 0).map(drop)
        })?;
        desktop.close()?;
        desktop.wait_for_state("locked")?;
        typed(desktop, "sudo tunwarden reload", 0)?;
        desktop.check_new_attempts("from then on")?;
        typed(desktop, "nmcli connection up lab", 0)?;
        desktop.wait_for_state("protected")?;
        desktop.flows()?;
        desktop.check_new_attempts("with a VPN")?;
        desktop.machine.reboot()?;
        desktop.wait_for_state("locked")?;
        desktop.check_new_attempts("the machine was booted")?;

        goes_on(desktop, &OTHERS, || made(desktop, "sudo make uninstall"))?;
        desktop.is_seen("for good")?;
        leaves_nothing(&desktop.machine, &KEPT[..3])?;
        // The network services no longer require a unit that is gone.
        desktop.machine.succeed(["systemctl", "restart", "NetworkManager", "docker"]).map(drop)
    })
}

/// Types a command on a terminal, and answers `y` to every question.
fn typed(desktop: &DesktopMachine, line: &str, expected: i32) -> Result<String> {
    let own = line.replace(" lab", " NAME");
    ensure!(README.contains(&own), "the README does not say: {own}");
    let script = format!("cd {CLONE}; yes | head -n 20 | script -qefc '{line}' /dev/null 2>&1");
    let output = desktop.machine.command(["bash", "-c", &script])?.run()?;
    let said = output.stdout;
    ensure!(output.status.code() == Some(expected), "{line}: {}: {said}", output.status);
    Ok(said)
}

/// The commands that `make` would run. The machine has no `make`.
fn made(desktop: &DesktopMachine, line: &str) -> Result<()> {
    ensure!(README.contains(line), "the README does not say: {line}");
    let target = line.trim_start_matches("sudo make ");
    let mut make = Command::new("make");
    // `make` may run these tests. Its variables would make this `make` print the folders.
    make.env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
    let recipe =
        succeed(make.current_dir(ROOT).args(["--dry-run", "--no-print-directory", "DESTDIR=", target]))?;
    desktop.machine.file("/root/recipe", format!("cd {CLONE}\n{recipe}"), 0o644)?;
    desktop.machine.succeed(["sh", "-e", "/root/recipe"]).map(drop)
}

/// Installs a stand-in for sudo: the person at the terminal is already root.
fn has_sudo(machine: &WholeMachine) -> Result<()> {
    machine.file("/usr/local/bin/sudo", "#!/bin/sh\nexec \"$@\"\n", 0o755)?;
    machine.succeed(["mkdir", "-p", CLONE]).map(drop)
}

fn leaves_nothing(machine: &WholeMachine, but: &[&str]) -> Result<()> {
    let found = machine.shell(
        "find /etc /usr /var/lib /run -xdev '(' -name '*tunwarden*' -o -path '/etc/tunwarden/*' ')' \
         ! -path '/var/lib/dpkg/*' ! -path '/run/systemd/*'; \
         iptables-save | grep -i vpn || true; ip6tables-save | grep -i vpn || true; nft list tables | grep -i \
         tunwarden || true",
    )?;
    let left: Vec<&str> = found.lines().filter(|line| !but.contains(line)).collect();
    ensure!(left.is_empty(), "it leaves {left:#?}");
    Ok(())
}
