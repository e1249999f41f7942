//! The positive control: the same steps without the package. Each step shows clear packets.

use anyhow::Result;
use tunwarden_lab::Release;

use crate::desktop::on_a_desktop;
use crate::on_each_release;

on_each_release!(without_the_package_every_step_is_seen);

fn without_the_package_every_step_is_seen(release: Release) -> Result<()> {
    on_a_desktop(release, |desktop| {
        desktop.is_seen("the machine was powered on")?;
        for service in ["docker", "NetworkManager", "dbus"] {
            desktop.machine.succeed(["systemctl", "restart", service])?;
            desktop.is_seen(service)?;
        }
        desktop.machine.reboot()?;
        desktop.is_seen("the machine was booted")?;
        desktop.close()?;
        desktop.machine.power_off()?;
        let judged = desktop.nothing_left("");
        anyhow::ensure!(judged.is_err(), "the judge sees nothing in what was seen");
        Ok(())
    })
}
