//! Types the README's commands on a terminal, exactly as they are written there.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use tunwarden_lab::{Release, WholeMachine};

use crate::desk::{Desk, goes_on, on_a_desk};
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
    on_a_desk(release, |desk| {
        has_sudo(&desk.machine)?;
        let name = package.file_name().and_then(|name| name.to_str()).context("a package of a name")?;
        desk.machine.file(&format!("{CLONE}/target/debian/{name}"), std::fs::read(&package)?, 0o644)?;
        desk.is_seen("before the installation")?;
        typed(desk, "sudo apt install ./target/debian/tunwarden_*.deb", 0)?;
        desk.close()?;
        typed(desk, "tunwarden status", 3)?;
        desk.tried_in_vain("it is installed")?;

        typed(desk, "sudo tunwarden pause 5m", 0)?;
        desk.is_seen("in a pause")?;
        desk.machine.succeed(["tunwarden", "resume"])?;
        desk.close()?;
        typed(desk, "sudo tunwarden pause --for portal", 0)?;
        desk.tried_in_vain("what is no sign-in page")?;

        typed(desk, "sudo tunwarden release", 0)?;
        desk.is_seen("after the release")?;
        desk.machine.reboot()?;
        desk.close()?;
        desk.wait_for_state("locked")?;
        desk.tried_in_vain("until the next boot")?;
        typed(desk, "sudo tunwarden release", 0)?;
        typed(desk, "sudo systemctl disable tunwarden tunwarden-lock", 0)?;
        desk.machine.reboot()?;
        desk.is_seen("no boot locks")?;
        desk.machine.shell(&format!("systemctl enable --quiet --now {UNITS}"))?;
        desk.close()?;
        desk.wait_for_state("locked")?;
        desk.tried_in_vain("both are enabled")?;

        goes_on(desk, &OTHERS, || {
            let said = typed(desk, "sudo apt remove tunwarden", 0)?;
            // apt prints this line with every removal.
            let questions = said.lines().filter(|line| line.contains("? ")).count();
            ensure!(questions == 1 && said.contains("Do you want to continue?"), "it asks: {said}");
            Ok(())
        })?;
        desk.is_seen("for good")?;
        leaves_nothing(&desk.machine, &KEPT)?;
        // A session that finds this file does not start the notifier.
        let autostart = desk.machine.succeed(["cat", KEPT[3]])?;
        ensure!(autostart.contains("\nTryExec=tunwarden\n"), "{autostart}");
        desk.machine.succeed(["systemctl", "restart", "NetworkManager", "docker"]).map(drop)
    })
}

fn a_source_install_comes_and_goes_by_what_the_readme_says(release: Release) -> Result<()> {
    let packages = Packages::new()?;
    on_a_desk(release, |desk| {
        has_sudo(&desk.machine)?;
        let binary = std::fs::read(packages.binary())?;
        desk.machine.file(&format!("{CLONE}/target/release/tunwarden"), binary, 0o755)?;
        let tar = Command::new("tar").current_dir(ROOT).arg("--create").args(SOURCE).output()?;
        desk.machine.file("/root/source.tar", tar.stdout, 0o644)?;
        desk.machine.succeed(["tar", "--extract", "--file=/root/source.tar", "--directory", CLONE])?;

        made(desk, "sudo make install")?;
        typed(desk, "tunwarden check", 0)?;
        desk.is_seen("nothing is started")?;
        goes_on(desk, &OTHERS, || {
            typed(desk, "sudo systemctl enable --now tunwarden-lock tunwarden", 0).map(drop)
        })?;
        desk.close()?;
        desk.wait_for_state("locked")?;
        typed(desk, "sudo tunwarden reload", 0)?;
        desk.tried_in_vain("from then on")?;
        typed(desk, "nmcli connection up lab", 0)?;
        desk.wait_for_state("protected")?;
        desk.flows()?;
        desk.tried_in_vain("with a VPN")?;
        desk.machine.reboot()?;
        desk.wait_for_state("locked")?;
        desk.tried_in_vain("the machine was booted")?;

        goes_on(desk, &OTHERS, || made(desk, "sudo make uninstall"))?;
        desk.is_seen("for good")?;
        leaves_nothing(&desk.machine, &KEPT[..3])?;
        // The network services no longer require a unit that is gone.
        desk.machine.succeed(["systemctl", "restart", "NetworkManager", "docker"]).map(drop)
    })
}

/// Types a command on a terminal, and answers `y` to every question.
fn typed(desk: &Desk, line: &str, expected: i32) -> Result<String> {
    let own = line.replace(" lab", " NAME");
    ensure!(README.contains(&own), "the README does not say: {own}");
    let script = format!("cd {CLONE}; yes | head -n 20 | script -qefc '{line}' /dev/null 2>&1");
    let output = desk.machine.command(["bash", "-c", &script])?.run()?;
    let said = output.stdout;
    ensure!(output.status.code() == Some(expected), "{line}: {}: {said}", output.status);
    Ok(said)
}

/// The commands that `make` would run. The machine has no `make`.
fn made(desk: &Desk, line: &str) -> Result<()> {
    ensure!(README.contains(line), "the README does not say: {line}");
    let target = line.trim_start_matches("sudo make ");
    let mut make = Command::new("make");
    // `make` may run these tests. Its variables would make this `make` print the folders.
    make.env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
    let recipe =
        succeed(make.current_dir(ROOT).args(["--dry-run", "--no-print-directory", "DESTDIR=", target]))?;
    desk.machine.file("/root/recipe", format!("cd {CLONE}\n{recipe}"), 0o644)?;
    desk.machine.succeed(["sh", "-e", "/root/recipe"]).map(drop)
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
