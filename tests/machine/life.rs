//! The life of one machine with the package, which it gets from a signed repository: installation while a VPN is up,
//! boot, restart of its services, upgrade, power-off, and removal of the package.

use anyhow::{Result, ensure};
use tunwarden_lab::{Release, wait_for};

use crate::desktop::{DesktopMachine, goes_on, on_a_desktop};
use crate::etc;
use crate::first_minute;
use crate::mirror::{self, Maintainers};
use crate::on_each_release;
use crate::support::SOON;
use crate::support::package::Packages;

/// Units that must keep running when the package is installed, upgraded or removed.
const OTHERS: [&str; 2] = ["NetworkManager.service", "docker.service"];

on_each_release!(from_power_on_to_removal_nothing_leaves_in_clear);

fn from_power_on_to_removal_nothing_leaves_in_clear(release: Release) -> Result<()> {
    let packages = Packages::new()?;
    let (this, next) = (packages.make("0.1.0-1")?, packages.make("0.1.1-1")?);
    let maintainers = Maintainers::new()?;
    let (first, second) = (maintainers.publish(&[&this], 1)?, maintainers.publish(&[&this, &next], 2)?);
    on_a_desktop(release, |desktop| {
        mirror::add(&desktop.machine, &first)?;
        mirror::refuses_a_change(desktop)?;
        desktop.apt("update")?;
        desktop.is_seen("before the installation")?;
        desktop.vpn_up()?;
        desktop.flows()?;
        goes_on(desktop, &OTHERS, || {
            let said = desktop.apt("install tunwarden")?;
            ensure!(said.contains("this machine is locked"), "the installation says: {said}");
            ensure!(
                said.contains("sudo apt remove tunwarden"),
                "the command that removes the package is missing: {said}"
            );
            Ok(())
        })?;
        desktop.close()?;
        desktop.flows()?;
        desktop.wait_for_state("protected")?;
        desktop.check_new_attempts("the package was installed while a VPN was up")?;

        boots(desktop)?;
        its_parts_are_restarted(desktop)?;
        a_flush_of_everything_opens_nothing(desktop)?;

        let before = desktop.machine.unit("tunwarden.service", "MainPID")?;
        mirror::serve(&desktop.machine, &second)?;
        goes_on(desktop, &OTHERS, || {
            desktop.apt("update")?;
            desktop.apt("upgrade").map(drop)
        })?;
        ensure!(desktop.machine.unit("tunwarden.service", "MainPID")? != before, "the old agent still runs");
        desktop.wait_for_state("protected")?;
        desktop.flows()?;
        desktop.check_new_attempts("the package was upgraded")?;

        desktop.machine.power_off()?;
        desktop.nothing_left("the machine was powered off")?;
        desktop.machine.power_on()?;
        desktop.wait_for_state("locked")?;
        desktop.check_new_attempts("the machine was powered on")?;
        is_switched_off_and_on_again(desktop)?;
        is_removed(desktop)?;
        is_installed_again_and_purged(desktop)
    })
}

/// Checks that the programs start to send before the network is up, and that the lock is in force before that.
fn boots(desktop: &mut DesktopMachine) -> Result<()> {
    desktop.machine.reboot()?;
    desktop.wait_for_state("locked")?;
    let began =
        |unit| -> Result<u64> { Ok(desktop.machine.unit(unit, "ExecMainStartTimestampMonotonic")?.parse()?) };
    let network = began("NetworkManager.service")?;
    ensure!(began("flood.service")? < network, "nothing was tried before there was a network");
    ensure!(began("tunwarden-lock.service")? < network, "the network came before the lock");
    ensure!(arp_ignore(desktop)? == "1", "arp_ignore is not set");
    desktop.check_new_attempts("the machine was booted")?;
    desktop.vpn_up()?;
    desktop.wait_for_state("protected")?;
    desktop.flows()?;
    desktop.check_new_attempts("the VPN is up")
}

fn its_parts_are_restarted(desktop: &DesktopMachine) -> Result<()> {
    desktop.machine.succeed(["systemctl", "restart", "docker"])?;
    desktop.flows()?;
    desktop.check_new_attempts("Docker was restarted")?;

    for service in ["NetworkManager", "dbus"] {
        desktop.machine.succeed(["systemctl", "restart", service])?;
        desktop.check_new_attempts(&format!("{service} was restarted"))?;
        // NetworkManager ends with the bus. On Debian 12 it does not start again by itself.
        desktop.machine.succeed(["systemctl", "start", "NetworkManager"])?;
        desktop.vpn_up()?;
        desktop.wait_for_state("protected")?;
        desktop.flows()?;
        desktop.check_new_attempts(&format!("the VPN is back after {service}"))?;
    }

    desktop.machine.succeed(["systemctl", "restart", "tunwarden"])?;
    desktop.wait_for_state("protected")?;
    desktop.check_new_attempts("the agent was restarted")?;
    let agent = desktop.machine.unit("tunwarden.service", "MainPID")?;
    desktop.machine.succeed(["kill", "-KILL", &agent])?;
    wait_for("another agent", SOON, || {
        let now = desktop.machine.unit("tunwarden.service", "MainPID")?;
        Ok((now != agent && now != "0").then_some(()))
    })?;
    desktop.wait_for_state("protected")?;
    desktop.check_new_attempts("the agent was killed")?;

    goes_on(desktop, &OTHERS, || {
        let stopped = desktop.machine.command(["systemctl", "stop", "tunwarden-lock"])?.run()?;
        ensure!(!stopped.status.success(), "the lock can be stopped, with all that needs it");
        Ok(())
    })
}

fn a_flush_of_everything_opens_nothing(desktop: &DesktopMachine) -> Result<()> {
    let status = desktop.machine.succeed(["tunwarden", "status"])?;
    ensure!(status.contains("no flush can remove it"), "the agent does not own its tables: {status}");
    for _ in 0..3 {
        desktop.machine.succeed(["nft", "flush", "ruleset"])?;
        desktop.wait_for_state("protected")?;
        desktop.check_new_attempts("all of nftables was flushed")?;
    }
    // The flush also removed the test's own rules.
    desktop.machine.succeed(["systemctl", "restart", "docker"])?;
    desktop.flows()?;
    desktop.check_new_attempts("Docker has its rules again")
}

/// Switches tunwarden off and keeps the package. No boot and no upgrade enables a unit that the user
/// disabled.
fn is_switched_off_and_on_again(desktop: &mut DesktopMachine) -> Result<()> {
    let units = ["tunwarden-lock", "tunwarden"];
    desktop.machine.succeed(["tunwarden", "release", "--yes"])?;
    desktop.is_seen("after the release")?;
    desktop.machine.succeed(["systemctl", "disable", "--quiet"].into_iter().chain(units))?;
    desktop.machine.reboot()?;
    desktop.is_seen("after a boot without the units")?;
    let said = desktop.apt("install --reinstall tunwarden")?;
    ensure!(said.contains("its units are disabled"), "the installation says: {said}");
    desktop.is_seen("after an upgrade without the units")?;
    desktop.machine.succeed(["systemctl", "enable", "--now", "--quiet"].into_iter().chain(units))?;
    desktop.close()?;
    desktop.wait_for_state("locked")?;
    desktop.check_new_attempts("the units are enabled again")
}

fn is_removed(desktop: &mut DesktopMachine) -> Result<()> {
    goes_on(desktop, &OTHERS, || desktop.apt("remove tunwarden").map(drop))?;
    desktop.is_seen("after the removal")?;
    let machine = &desktop.machine;
    let rules = machine.shell("iptables-save; ip6tables-save")?;
    ensure!(!rules.contains("VPN"), "rules of ours are left:\n{rules}");
    ensure!(machine.outside("/etc/tunwarden/config.toml").exists(), "the configuration is gone");
    ensure!(arp_ignore(desktop)? == "0", "arp_ignore is still set");
    // The network services no longer require a unit that is gone.
    machine.succeed(["systemctl", "restart", "NetworkManager"]).map(drop)
}

/// Checks what a user who is logged in at the screen sees at once: why the internet is gone, and what to do.
fn is_installed_again_and_purged(desktop: &mut DesktopMachine) -> Result<()> {
    first_minute::log_in(&desktop.machine)?;
    goes_on(desktop, &OTHERS, || desktop.apt("install tunwarden").map(drop))?;
    desktop.close()?;
    let card = first_minute::sees(&desktop.machine, "Dieser Rechner ist gesperrt")?;
    for words in ["sudo tunwarden init", "sudo apt remove tunwarden"] {
        ensure!(card.contains(words), "the first card does not name `{words}`: {card}");
    }
    first_minute::picture(&desktop.machine, "first-minute.png")?;
    desktop.wait_for_state("locked")?;
    desktop.check_new_attempts("the package was installed again")?;
    etc::only_the_pins_are_written(desktop)?;
    desktop.check_new_attempts("the agent has a server by name")?;
    // The state that an agent leaves if it pinned a name and nobody released the machine.
    let pin = "\n# BEGIN tunwarden: where VPN servers are\n198.51.100.7 vpn.example\n# END tunwarden\n";
    desktop.machine.command(["sh", "-c", "cat >>/etc/hosts"])?.stdin(pin).succeed()?;
    desktop.apt("purge tunwarden")?;
    desktop.is_seen("after the purge")?;
    let left = desktop
        .machine
        .shell("find /etc /usr /var/lib /run -xdev -name '*tunwarden*' ! -path '/var/lib/dpkg/*' ! -path '/etc/apt/*'")?;
    ensure!(left.is_empty(), "a purge leaves {left}");
    let hosts = desktop.machine.shell("cat /etc/hosts")?;
    ensure!(!hosts.contains("vpn.example"), "a purge leaves a pin: {hosts}");
    Ok(())
}

fn arp_ignore(desktop: &DesktopMachine) -> Result<String> {
    let value = desktop.machine.succeed(["cat", "/proc/sys/net/ipv4/conf/all/arp_ignore"])?;
    Ok(value.trim().to_owned())
}
