//! A person's desktop session on a screen in memory: it shows the notification that a user would see.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use tunwarden_lab::{Lab, Process, Session, wait_for};

use super::{SOON, TUNWARDEN};

/// The notification daemon writes each notification that it shows into a file.
const SEEN: &str = "#!/bin/sh\nprintf '%s\\n%s\\n' \"$DUNST_SUMMARY\" \"$DUNST_BODY\" >/run/person/seen\n";

const DUNSTRC: &str = "[global]\n\
                       always_run_script = true\n\
                       width = 420\n\
                       icon_theme = hicolor\n\
                       enable_recursive_icon_lookup = true\n\
                       [all]\n\
                       summary = \"*\"\n\
                       script = /run/person/seen.sh\n";

const ICON: &str = include_str!("../../desktop/icons/hicolor/scalable/status/tunwarden-lost.svg");

/// The session, with a notification daemon and `tunwarden notify` in it.
pub(crate) struct Screen {
    session: Session,
    _programs: [Process; 2],
}

impl Screen {
    /// Returns nothing if this system has no dunst: `scripts/deps` does not install it next to another notification
    /// daemon.
    pub(crate) fn log_in(lab: &Lab) -> Result<Option<Self>> {
        if ["dunst", "Xvfb", "import"].iter().any(|program| !Path::new("/usr/bin").join(program).exists()) {
            println!("   No picture of the notification: dunst, Xvfb or ImageMagick is not installed.");
            return Ok(None);
        }
        lab.host().file("/usr/share/icons/hicolor/scalable/status/tunwarden-lost.svg", ICON)?;
        let session = lab.host().session("nobody", "en_US.UTF-8")?;
        session.file("seen.sh", SEEN, 0o755)?;
        session.file(".config/dunst/dunstrc", DUNSTRC, 0o644)?;
        let start = |words: &[&str], name: &str| {
            let process = session.spawn(words.iter().copied())?;
            session.wait_for_name(name, SOON).with_context(|| process.log())?;
            anyhow::Ok(process)
        };
        // The user has read the notification of the first minute.
        session.file(".local/state/tunwarden/notify.json", "{\"welcomed\":true}", 0o644)?;
        let dunst = start(&["dunst"], "org.freedesktop.Notifications")?;
        let notify = start(&[TUNWARDEN, "notify"], "org.tunwarden.Notifier1")?;
        Ok(Some(Self { session, _programs: [dunst, notify] }))
    }

    /// Waits for the notification of the loss, prints its words, and saves its picture in a folder.
    pub(crate) fn show_loss(&self, folder: &Path) -> Result<()> {
        let text = wait_for("the notification of the loss", SOON, || {
            let shown = self.session.succeed(["dunstctl", "count", "displayed"])?;
            Ok(Some(self.session.read("seen"))
                .filter(|text| shown.trim() == "1" && text.contains("VPN lost")))
        })?;
        println!("   The user sees this notification:");
        text.lines().for_each(|line| println!("   > {line}"));
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let folder = folder.canonicalize()?;
        let picture = folder.join("notification.png");
        self.session.screenshot(&picture)?;
        let path = picture.display().to_string();
        let cut = std::process::Command::new("convert").args([&path, "-trim", "+repage", &path]).status()?;
        ensure!(cut.success(), "convert: {cut}");
        println!("   Its picture: {path}");
        Ok(())
    }
}
