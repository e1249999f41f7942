//! A machine without iptables: the lock fails, so no service brings a network up.

use anyhow::{Result, ensure};
use tunwarden_lab::Release;

use crate::desktop::on_a_protected_desktop;
use crate::on_each_release;

on_each_release!(no_network_service_starts_if_the_lock_failed);

const TOOL: &str = "/usr/sbin/xtables-nft-multi";

fn no_network_service_starts_if_the_lock_failed(release: Release) -> Result<()> {
    on_a_protected_desktop(release, |desktop| {
        desktop.machine.succeed(["mv", TOOL, "/root/tool"])?;
        desktop.machine.reboot()?;
        for unit in ["NetworkManager.service", "docker.service"] {
            let state = desktop.machine.unit(unit, "ActiveState")?;
            ensure!(state == "inactive", "{unit} is {state} although the lock failed");
        }
        let said = desktop.machine.succeed([
            "journalctl",
            "--boot",
            "--no-pager",
            "--priority=err",
            "--unit=tunwarden-lock",
        ])?;
        ensure!(
            said.contains("sudo apt install iptables"),
            "the command that installs iptables is missing: {said}"
        );
        // The network services stay stopped until the lock succeeds.
        let start = desktop.machine.command(["systemctl", "start", "NetworkManager"])?.run()?;
        ensure!(!start.status.success(), "NetworkManager starts although the lock failed");
        desktop.nothing_left("the lock failed")?;

        desktop.machine.succeed(["mv", "/root/tool", TOOL])?;
        desktop.machine.succeed(["systemctl", "start", "NetworkManager", "docker"])?;
        desktop.machine.succeed(["systemctl", "restart", "tunwarden"])?;
        desktop.wait_for_state("locked")?;
        desktop.check_new_attempts("iptables is back")
    })
}
