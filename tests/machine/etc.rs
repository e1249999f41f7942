//! What the agent's unit may write in `/etc` on a booted machine: nothing. Another unit writes its lines into
//! `/etc/hosts`.

use anyhow::{Result, ensure};
use tunwarden_lab::{WholeMachine, wait_for};

use crate::desktop::DesktopMachine;
use crate::support::SOON;

/// Files and folders that would give power over the machine. Most of them do not exist.
const TARGETS: &str = "/etc/ld.so.preload /etc/rc.local /etc/cron.d/new /etc/resolv.conf /etc/fstab /etc/passwd \
    /etc/sudoers.d/new /etc/systemd/system/new.service /etc/rc2.d/S01new /etc/ppp/ip-up.d/new /etc/profile.d/new \
    /etc/hosts /etc/hosts.tunwarden-new /etc/tunwarden/config.toml /etc/new";

/// Prints what can be opened for writing. Opening changes no file that is there.
const TRY: &str = "for file in $0; do test -d \"${file%/*}\" || continue; \
    new=$(test -e \"$file\" || echo new); \
    (: >>\"$file\") 2>/dev/null && echo \"$file\"; test -z \"$new\" || rm -f \"$file\"; done; :";

/// Which of the files can be written in the mounts of this process.
fn writable(machine: &WholeMachine, pid: &str) -> Result<String> {
    machine.succeed(["nsenter", "--target", pid, "--mount", "sh", "-c", TRY, TARGETS])
}

const NAME: &str = "vpn.example.net";
const ADDRESS: &str = "198.51.100.7";

/// Checks that the agent's unit can write none of these files, and that its lines are in `/etc/hosts` nevertheless.
pub(crate) fn only_the_pins_are_written(desktop: &DesktopMachine) -> Result<()> {
    let machine = &desktop.machine;
    let control = writable(machine, "1")?;
    ensure!(control.lines().count() > 10, "the control: systemd itself can write {control}");
    let agent = machine.unit("tunwarden.service", "MainPID")?;
    let written = writable(machine, &agent)?;
    ensure!(written.is_empty(), "the agent's unit can write {written}");

    // The agent has stored the address before: no query has to leave.
    machine.succeed(["systemctl", "stop", "tunwarden"])?;
    let before = machine.shell("cat /etc/hosts")?;
    ensure!(!before.contains(NAME), "the control: {before}");
    let config = format!("[bootstrap]\nservers = [\"{NAME}\"]\n");
    machine.command(["sh", "-c", "cat >/etc/tunwarden/config.toml"])?.stdin(&config).succeed()?;
    machine.shell(": >/etc/resolv.conf")?;
    machine.shell(&format!(
        "now=$(date +%s); echo \"{{\\\"{NAME}\\\":{{\\\"addresses\\\":{{\\\"{ADDRESS}\\\":$now}},\\\"answered\\\":$now}}}}\" \
         >/var/lib/tunwarden/names.json"
    ))?;
    machine.succeed(["systemctl", "start", "tunwarden"])?;
    let line = format!("{ADDRESS} {NAME}\n");
    wait_for("the pin is in /etc/hosts", SOON, || {
        Ok(machine.shell("cat /etc/hosts")?.contains(&line).then_some(()))
    })?;
    let hosts = machine.shell("stat -c '%a %U' /etc/hosts; ls /etc")?;
    ensure!(hosts.starts_with("644 root\n") && !hosts.contains("tunwarden-new"), "{hosts}");
    // Another program replaces the file, and the agent puts its lines back.
    machine.shell("echo 127.0.0.1 localhost >/etc/hosts.other; mv /etc/hosts.other /etc/hosts")?;
    wait_for("the pin is back", SOON, || {
        let text = machine.shell("cat /etc/hosts")?;
        Ok((text.contains(&line) && text.starts_with("127.0.0.1 localhost\n")).then_some(()))
    })?;
    // Only root may ask the other unit.
    let socket = machine.succeed(["stat", "-c", "%a %U", "/run/tunwarden/hosts.sock"])?;
    ensure!(socket == "600 root\n", "{socket}");
    Ok(())
}
