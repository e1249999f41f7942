//! A machine without iptables: the lock fails, so no service brings a network up.

use anyhow::{Result, ensure};
use tunwarden_lab::Release;

use crate::desk::on_a_guarded_desk;
use crate::on_each_release;

on_each_release!(no_network_service_starts_if_the_lock_failed);

const TOOL: &str = "/usr/sbin/xtables-nft-multi";

fn no_network_service_starts_if_the_lock_failed(release: Release) -> Result<()> {
    on_a_guarded_desk(release, |desk| {
        desk.machine.succeed(["mv", TOOL, "/root/tool"])?;
        desk.machine.reboot()?;
        for unit in ["NetworkManager.service", "docker.service"] {
            let state = desk.machine.unit(unit, "ActiveState")?;
            ensure!(state == "inactive", "{unit} is {state} although the lock failed");
        }
        let said = desk.machine.succeed([
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
        let start = desk.machine.command(["systemctl", "start", "NetworkManager"])?.run()?;
        ensure!(!start.status.success(), "NetworkManager starts although the lock failed");
        desk.nothing_left("the lock failed")?;

        desk.machine.succeed(["mv", "/root/tool", TOOL])?;
        desk.machine.succeed(["systemctl", "start", "NetworkManager", "docker"])?;
        desk.machine.succeed(["systemctl", "restart", "tunwarden"])?;
        desk.wait_for_state("locked")?;
        desk.tried_in_vain("iptables is back")
    })
}
