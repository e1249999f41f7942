//! The life of one machine with the package, which it gets from a signed repository: installation while a VPN is up,
//! boot, restart of its services, upgrade, power-off, and removal of the package.

use anyhow::{Result, ensure};
use tunwarden_lab::{Release, wait_for};

use crate::desk::{Desk, goes_on, on_a_desk};
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
    on_a_desk(release, |desk| {
        mirror::add(&desk.machine, &first)?;
        mirror::refuses_a_change(desk)?;
        desk.apt("update")?;
        desk.is_seen("before the installation")?;
        desk.vpn_up()?;
        desk.flows()?;
        goes_on(desk, &OTHERS, || {
            let said = desk.apt("install tunwarden")?;
            ensure!(said.contains("this machine is locked"), "the installation says: {said}");
            ensure!(
                said.contains("sudo apt remove tunwarden"),
                "the command that removes the package is missing: {said}"
            );
            Ok(())
        })?;
        desk.close()?;
        desk.flows()?;
        desk.wait_for_state("protected")?;
        desk.tried_in_vain("the package was installed while a VPN was up")?;

        boots(desk)?;
        its_parts_are_restarted(desk)?;
        a_flush_of_everything_opens_nothing(desk)?;

        let before = desk.machine.unit("tunwarden.service", "MainPID")?;
        mirror::serve(&desk.machine, &second)?;
        goes_on(desk, &OTHERS, || {
            desk.apt("update")?;
            desk.apt("upgrade").map(drop)
        })?;
        ensure!(desk.machine.unit("tunwarden.service", "MainPID")? != before, "the old agent still runs");
        desk.wait_for_state("protected")?;
        desk.flows()?;
        desk.tried_in_vain("the package was upgraded")?;

        desk.machine.power_off()?;
        desk.nothing_left("the machine was powered off")?;
        desk.machine.power_on()?;
        desk.wait_for_state("locked")?;
        desk.tried_in_vain("the machine was powered on")?;
        is_switched_off_and_on_again(desk)?;
        is_removed(desk)?;
        is_installed_again_and_purged(desk)
    })
}

/// Checks that the programs start to send before the network is up, and that the lock is in force before that.
fn boots(desk: &mut Desk) -> Result<()> {
    desk.machine.reboot()?;
    desk.wait_for_state("locked")?;
    let began =
        |unit| -> Result<u64> { Ok(desk.machine.unit(unit, "ExecMainStartTimestampMonotonic")?.parse()?) };
    let network = began("NetworkManager.service")?;
    ensure!(began("flood.service")? < network, "nothing was tried before there was a network");
    ensure!(began("tunwarden-lock.service")? < network, "the network came before the lock");
    ensure!(arp_ignore(desk)? == "1", "arp_ignore is not set");
    desk.tried_in_vain("the machine was booted")?;
    desk.vpn_up()?;
    desk.wait_for_state("protected")?;
    desk.flows()?;
    desk.tried_in_vain("the VPN is up")
}

fn its_parts_are_restarted(desk: &Desk) -> Result<()> {
    desk.machine.succeed(["systemctl", "restart", "docker"])?;
    desk.flows()?;
    desk.tried_in_vain("Docker was restarted")?;

    for service in ["NetworkManager", "dbus"] {
        desk.machine.succeed(["systemctl", "restart", service])?;
        desk.tried_in_vain(&format!("{service} was restarted"))?;
        // NetworkManager ends with the bus. On Debian 12 it does not start again by itself.
        desk.machine.succeed(["systemctl", "start", "NetworkManager"])?;
        desk.vpn_up()?;
        desk.wait_for_state("protected")?;
        desk.flows()?;
        desk.tried_in_vain(&format!("the VPN is back after {service}"))?;
    }

    desk.machine.succeed(["systemctl", "restart", "tunwarden"])?;
    desk.wait_for_state("protected")?;
    desk.tried_in_vain("the agent was restarted")?;
    let agent = desk.machine.unit("tunwarden.service", "MainPID")?;
    desk.machine.succeed(["kill", "-KILL", &agent])?;
    wait_for("another agent", SOON, || {
        let now = desk.machine.unit("tunwarden.service", "MainPID")?;
        Ok((now != agent && now != "0").then_some(()))
    })?;
    desk.wait_for_state("protected")?;
    desk.tried_in_vain("the agent was killed")?;

    goes_on(desk, &OTHERS, || {
        let stopped = desk.machine.command(["systemctl", "stop", "tunwarden-lock"])?.run()?;
        ensure!(!stopped.status.success(), "the lock can be stopped, with all that needs it");
        Ok(())
    })
}

fn a_flush_of_everything_opens_nothing(desk: &Desk) -> Result<()> {
    let status = desk.machine.succeed(["tunwarden", "status"])?;
    ensure!(status.contains("no flush can remove it"), "the agent does not own its tables: {status}");
    for _ in 0..3 {
        desk.machine.succeed(["nft", "flush", "ruleset"])?;
        desk.wait_for_state("protected")?;
        desk.tried_in_vain("all of nftables was flushed")?;
    }
    // The flush also removed the test's own rules.
    desk.machine.succeed(["systemctl", "restart", "docker"])?;
    desk.flows()?;
    desk.tried_in_vain("Docker has its rules again")
}

/// Switches tunwarden off and keeps the package. No boot and no upgrade enables a unit that the user
/// disabled.
fn is_switched_off_and_on_again(desk: &mut Desk) -> Result<()> {
    let units = ["tunwarden-lock", "tunwarden"];
    desk.machine.succeed(["tunwarden", "release", "--yes"])?;
    desk.is_seen("after the release")?;
    desk.machine.succeed(["systemctl", "disable", "--quiet"].into_iter().chain(units))?;
    desk.machine.reboot()?;
    desk.is_seen("after a boot without the units")?;
    let said = desk.apt("install --reinstall tunwarden")?;
    ensure!(said.contains("its units are disabled"), "the installation says: {said}");
    desk.is_seen("after an upgrade without the units")?;
    desk.machine.succeed(["systemctl", "enable", "--now", "--quiet"].into_iter().chain(units))?;
    desk.close()?;
    desk.wait_for_state("locked")?;
    desk.tried_in_vain("the units are enabled again")
}

fn is_removed(desk: &mut Desk) -> Result<()> {
    goes_on(desk, &OTHERS, || desk.apt("remove tunwarden").map(drop))?;
    desk.is_seen("after the removal")?;
    let machine = &desk.machine;
    let rules = machine.shell("iptables-save; ip6tables-save")?;
    ensure!(!rules.contains("VPN"), "rules of ours are left:\n{rules}");
    ensure!(machine.outside("/etc/tunwarden/config.toml").exists(), "the configuration is gone");
    ensure!(arp_ignore(desk)? == "0", "arp_ignore is still set");
    // The network services no longer require a unit that is gone.
    machine.succeed(["systemctl", "restart", "NetworkManager"]).map(drop)
}

/// Checks what a user who is logged in at the screen sees at once: why the internet is gone, and what to do.
fn is_installed_again_and_purged(desk: &mut Desk) -> Result<()> {
    first_minute::log_in(&desk.machine)?;
    goes_on(desk, &OTHERS, || desk.apt("install tunwarden").map(drop))?;
    desk.close()?;
    let card = first_minute::sees(&desk.machine, "Dieser Rechner ist gesperrt")?;
    for words in ["sudo tunwarden init", "sudo apt remove tunwarden"] {
        ensure!(card.contains(words), "the first card does not name `{words}`: {card}");
    }
    first_minute::picture(&desk.machine, "first-minute.png")?;
    desk.wait_for_state("locked")?;
    desk.tried_in_vain("the package was installed again")?;
    etc::only_the_pins_are_written(desk)?;
    desk.tried_in_vain("the agent has a server by name")?;
    // The state that an agent leaves if it pinned a name and nobody released the machine.
    let pin = "\n# BEGIN tunwarden: where VPN servers are\n198.51.100.7 vpn.example\n# END tunwarden\n";
    desk.machine.command(["sh", "-c", "cat >>/etc/hosts"])?.stdin(pin).succeed()?;
    desk.apt("purge tunwarden")?;
    desk.is_seen("after the purge")?;
    let left = desk
        .machine
        .shell("find /etc /usr /var/lib /run -xdev -name '*tunwarden*' ! -path '/var/lib/dpkg/*' ! -path '/etc/apt/*'")?;
    ensure!(left.is_empty(), "a purge leaves {left}");
    let hosts = desk.machine.shell("cat /etc/hosts")?;
    ensure!(!hosts.contains("vpn.example"), "a purge leaves a pin: {hosts}");
    Ok(())
}

fn arp_ignore(desk: &Desk) -> Result<String> {
    let value = desk.machine.succeed(["cat", "/proc/sys/net/ipv4/conf/all/arp_ignore"])?;
    Ok(value.trim().to_owned())
}
