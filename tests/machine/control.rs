//! The positive control: the same steps without the package. Each step shows clear packets.

use anyhow::Result;
use tunwarden_lab::Release;

use crate::desk::on_a_desk;
use crate::on_each_release;

on_each_release!(without_the_package_every_step_is_seen);

fn without_the_package_every_step_is_seen(release: Release) -> Result<()> {
    on_a_desk(release, |desk| {
        desk.is_seen("the machine was powered on")?;
        for service in ["docker", "NetworkManager", "dbus"] {
            desk.machine.succeed(["systemctl", "restart", service])?;
            desk.is_seen(service)?;
        }
        desk.machine.reboot()?;
        desk.is_seen("the machine was booted")?;
        desk.close()?;
        desk.machine.power_off()?;
        let judged = desk.nothing_left("");
        anyhow::ensure!(judged.is_err(), "the judge sees nothing in what was seen");
        Ok(())
    })
}
