//! A user is logged in at the screen of a whole machine, in a session of the machine's own logind, with a real
//! notification daemon. The tests read what the user sees after an installation.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use tunwarden_lab::{WholeMachine, wait_for};

use crate::desktop::SOON;
use crate::support::package::succeed;

/// The user's name and home folder.
const USER: &str = "anna";
const FOLDER: &str = "/home/anna";

/// dunst runs this script for every notification.
const SEEN: &str = "#!/bin/sh\nprintf '%s|%s\\n' \"$DUNST_SUMMARY\" \"$(printf %s \"$DUNST_BODY\" | tr '\\n' ' ')\" \
    >>/home/anna/seen\n";
const DUNSTRC: &str = "[global]\nalways_run_script = true\nwidth = 420\nheight = 400\noffset = 20x40\n[all]\nsummary = \"*\"\n\
    script = /home/anna/seen.sh\n";

/// A screen in memory. Its content is a file that other programs can read.
const SCREEN_UNIT: &str = "[Service]\nStateDirectory=screen\n\
    ExecStart=Xvfb :77 -screen 0 800x600x24 -nolisten tcp -noreset -fbdir /var/lib/screen\n";

/// A graphical session: PAM registers it with logind, and it gives its screen and language to the user's systemd.
const SESSION_UNIT: &str = "[Unit]\nRequires=screen.service\nAfter=screen.service\n[Service]\nUser=anna\nPAMName=login\n\
    Environment=XDG_SESSION_TYPE=x11 XDG_SESSION_CLASS=user DISPLAY=:77 LANG=de_DE.UTF-8\n\
    ExecStart=sh -euc 'systemctl --user import-environment DISPLAY LANG; exec dunst'\n";

/// Logs a German-speaking user in.
pub(crate) fn log_in(machine: &WholeMachine) -> Result<()> {
    machine.succeed(["useradd", "--create-home", USER])?;
    machine.file(&format!("{FOLDER}/seen.sh"), SEEN, 0o755)?;
    machine.file(&format!("{FOLDER}/.config/dunst/dunstrc"), DUNSTRC, 0o644)?;
    machine.succeed(["chown", "-R", USER, FOLDER])?;
    machine.file("/etc/systemd/system/screen.service", SCREEN_UNIT, 0o644)?;
    machine.file("/etc/systemd/system/anna.service", SESSION_UNIT, 0o644)?;
    machine.shell("systemctl daemon-reload; systemctl start anna")?;
    let asked = format!(
        "runuser -u {USER} -- busctl --address=unix:path=/run/user/$(id -u {USER})/bus status org.freedesktop.Notifications"
    );
    wait_for("the notification daemon of the session", SOON, || {
        Ok(machine.command(["sh", "-c", &asked])?.run()?.status.success().then_some(()))
    })
}

/// Waits until the user has seen a notification with these words, and returns it.
pub(crate) fn sees(machine: &WholeMachine, words: &str) -> Result<String> {
    let mut seen = String::new();
    let found = wait_for(&format!("a notification that says {words:?}"), SOON, || {
        seen = machine.command(["cat", &format!("{FOLDER}/seen")])?.run()?.stdout;
        Ok(seen.lines().find(|line| line.contains(words)).map(ToOwned::to_owned))
    });
    found.with_context(|| format!("seen:\n{seen}"))
}

/// Saves a picture of the screen.
pub(crate) fn picture(machine: &WholeMachine, name: &str) -> Result<()> {
    let screen = machine.outside("/var/lib/screen/Xvfb_screen0");
    let picture = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let from = format!("xwd:{}", screen.display());
    succeed(Command::new("convert").arg(from).arg(&picture)).map(drop)
}
