//! A person at the desktop: their session, a real dunst, and `tunwarden notify` as their autostart runs it.

use anyhow::{Context, Result};
use serde_json::Value;
use tunwarden_lab::{Lab, Process, ScreenWindow, Session, wait_for, xfce_library};

use super::{SOON, TUNWARDEN, polkit};

/// An ordinary user.
pub const PERSON: &str = "nobody";

/// dunst runs this script for every notification on the screen. It writes one line to `seen`.
const SEEN: &str = "#!/bin/sh\n\
                    printf '%s|%s|%s|%s|%s\\n' \"$DUNST_ID\" \"$DUNST_URGENCY\" \
                    \"$DUNST_CATEGORY $DUNST_DESKTOP_ENTRY\" \"$DUNST_SUMMARY\" \
                    \"$(printf %s \"$DUNST_BODY\" | tr '\\n' ' ')\" >> /run/person/seen\n";

/// dunst runs this script in the place of dmenu to choose an action. It prints the line named in `choice`.
const CHOOSE: &str = "#!/bin/sh\ngrep -m1 -F \"$(cat /run/person/choice)\"\n";

const DUNSTRC: &str = "[global]\n\
                       always_run_script = true\n\
                       width = 420\n\
                       offset = 20x40\n\
                       dmenu = /run/person/choose\n\
                       icon_theme = hicolor\n\
                       enable_recursive_icon_lookup = true\n\
                       [all]\n\
                       summary = \"*\"\n\
                       script = /run/person/seen.sh\n";

/// The icons, in the folders where `make install` puts them.
pub const ICONS: [(&str, &str); 7] = [
    ("protected", include_str!("../../desktop/icons/hicolor/scalable/status/tunwarden-protected.svg")),
    ("connecting", include_str!("../../desktop/icons/hicolor/scalable/status/tunwarden-connecting.svg")),
    ("locked", include_str!("../../desktop/icons/hicolor/scalable/status/tunwarden-locked.svg")),
    ("lost", include_str!("../../desktop/icons/hicolor/scalable/status/tunwarden-lost.svg")),
    ("failed", include_str!("../../desktop/icons/hicolor/scalable/status/tunwarden-failed.svg")),
    ("paused", include_str!("../../desktop/icons/hicolor/scalable/status/tunwarden-paused.svg")),
    ("unknown", include_str!("../../desktop/icons/hicolor/scalable/status/tunwarden-unknown.svg")),
];

/// `Reconnect` asks polkit. polkit allows a person at the screen, and a laboratory has no such person.
const MAY_RECONNECT: &str = r#"polkit.addRule(function(action, subject) {
    if (action.id == "org.tunwarden.agent1.reconnect") { return polkit.Result.YES; }
});
"#;

/// Allows the user of this laboratory to reconnect the VPN.
pub fn may_reconnect(lab: &Lab) -> Result<()> {
    polkit::rules(lab, MAY_RECONNECT)
}

/// A notification that was on the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownNotice {
    /// The daemon's number for it. A replacement has the same number.
    pub id: String,
    /// `NORMAL` or `CRITICAL`.
    pub urgency: String,
    /// Its category and the name of the sender's `.desktop` file.
    pub hints: String,
    /// The title, in bold on the screen.
    pub title: String,
    /// For example `Connect lab`. in one line.
    pub body: String,
}

/// An entry of the indicator's menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number on the bus.
    pub id: i64,
    /// For example `Connect lab`.
    pub label: String,
    pub is_enabled: bool,
}

/// A user with a desktop session.
pub struct Person {
    pub session: Session,
}

impl Person {
    /// Logs a user in who already knows tunwarden. No program runs in the session yet.
    pub fn log_in(lab: &Lab, language: &str) -> Result<Self> {
        let person = Self::log_in_first(lab, language)?;
        person.session.file(".local/state/tunwarden/notify.json", "{\"welcomed\":true}", 0o644)?;
        Ok(person)
    }

    /// Logs in for the first time since tunwarden was installed.
    pub fn log_in_first(lab: &Lab, language: &str) -> Result<Self> {
        for (name, icon) in ICONS {
            let path = format!("/usr/share/icons/hicolor/scalable/status/tunwarden-{name}.svg");
            lab.host().file(&path, icon)?;
        }
        let session = lab.host().session(PERSON, language)?;
        session.file("seen.sh", SEEN, 0o755)?;
        session.file("choose", CHOOSE, 0o755)?;
        session.file(".config/dunst/dunstrc", DUNSTRC, 0o644)?;
        Ok(Self { session })
    }

    /// Starts a notification daemon.
    pub fn dunst(&self) -> Result<Process> {
        let dunst = self.session.spawn(["dunst"])?;
        let owned = self.session.wait_for_name("org.freedesktop.Notifications", SOON);
        owned.with_context(|| dunst.log())?;
        Ok(dunst)
    }

    /// Starts XFCE's notification daemon and the settings it asks for.
    pub fn xfce4_notifyd(&self) -> Result<[Process; 2]> {
        let library = xfce_library()?;
        let start = |program: &str, name: &str| {
            let process = self.session.spawn([format!("{library}/{program}")])?;
            self.session.wait_for_name(name, SOON).with_context(|| process.log())?;
            anyhow::Ok(process)
        };
        let settings = start("xfce4/xfconf/xfconfd", "org.xfce.Xfconf")?;
        Ok([settings, start("xfce4/notifyd/xfce4-notifyd", "org.freedesktop.Notifications")?])
    }

    /// The window of XFCE's notification.
    pub fn window(&self) -> Result<Option<ScreenWindow>> {
        let windows = self.session.windows("xfce4-notifyd")?;
        Ok(windows.into_iter().find(|window| window.width > 100 && window.height > 50))
    }

    /// Starts the programs of the session's autostart.
    pub fn notify(&self) -> Result<Process> {
        let notify = self.session.spawn([TUNWARDEN, "notify", "--verbose"])?;
        let owned = self.session.wait_for_name("org.tunwarden.Notifier1", SOON);
        owned.with_context(|| notify.log())?;
        Ok(notify)
    }

    /// All notifications that were on the screen so far, in order.
    pub fn shown(&self) -> Vec<ShownNotice> {
        let seen = self.session.read("seen");
        let notice = |line: &str| {
            let mut parts = line.splitn(5, '|').map(ToOwned::to_owned);
            let mut next = || parts.next();
            Some(ShownNotice { id: next()?, urgency: next()?, hints: next()?, title: next()?, body: next()? })
        };
        seen.lines().filter_map(notice).collect()
    }

    /// Waits until the `count`th notification whose title has these words was on the screen.
    pub fn sees(&self, title: &str, count: usize) -> Result<ShownNotice> {
        let found = wait_for(&format!("notification {count} of {title:?}"), SOON, || {
            let notices = self.shown().into_iter().filter(|notice| notice.title.contains(title));
            Ok(notices.collect::<Vec<_>>().get(count - 1).cloned())
        });
        found.with_context(|| format!("seen: {:#?}", self.shown()))
    }

    /// Waits until a notification with these words in its text was on the screen.
    pub fn reads(&self, words: &str) -> Result<ShownNotice> {
        let found = wait_for(&format!("a notification that says {words:?}"), SOON, || {
            Ok(self.shown().into_iter().find(|notice| notice.body.contains(words)))
        });
        found.with_context(|| format!("seen: {:#?}", self.shown()))
    }

    /// How many notifications are on the screen now.
    pub fn displayed(&self) -> Result<usize> {
        let count = self.session.succeed(["dunstctl", "count", "displayed"])?;
        count.trim().parse().with_context(|| count.clone())
    }

    /// Waits until `count` notifications are on the screen.
    pub fn wait_displayed(&self, count: usize) -> Result<()> {
        wait_for(&format!("{count} notifications on the screen"), SOON, || {
            Ok((self.displayed()? == count).then_some(()))
        })
        .with_context(|| format!("seen: {:#?}", self.shown()))
    }

    /// Presses the button with this text through dunst's own menu.
    pub fn press(&self, label: &str) -> Result<()> {
        self.session.file("choice", label, 0o644)?;
        self.session.succeed(["dunstctl", "context"]).map(drop)
    }

    /// Clicks on the notification itself.
    pub fn click(&self) -> Result<()> {
        self.session.succeed(["dunstctl", "action", "0"]).map(drop)
    }

    /// The indicator's name on the session bus. A panel reads the indicator there.
    pub fn wait_for_indicator(&self) -> Result<String> {
        wait_for("the indicator on the session bus", SOON, || {
            let listed = self.session.busctl(&["list", "--no-legend", "--acquired"])?.stdout;
            let names = listed.lines().filter_map(|line| line.split_whitespace().next());
            Ok(names.map(ToOwned::to_owned).find(|name| name.starts_with("org.kde.StatusNotifierItem-")))
        })
    }

    /// The entries of the indicator's menu, as a panel reads them.
    pub fn menu(&self, item: &str) -> Result<Vec<Entry>> {
        // Without `--` busctl would take `-1` for an option.
        let words = ["--json=short", "--", "call", item, "/MenuBar", "com.canonical.dbusmenu", "GetLayout"];
        let said = self.session.busctl(&[&words[..], &["iias", "0", "-1", "0"]].concat())?.stdout;
        let said: Value = serde_json::from_str(&said).with_context(|| said.clone())?;
        let entries = said["data"][1][2].as_array().context("no entries")?;
        let entry = |entry: &Value| {
            let entry = &entry["data"];
            let label = entry[1]["label"]["data"].as_str()?.to_owned();
            let is_enabled = entry[1]["enabled"]["data"].as_bool().unwrap_or(true);
            Some(Entry { id: entry[0].as_i64()?, label, is_enabled })
        };
        Ok(entries.iter().filter_map(entry).collect())
    }
}
