//! The desktops of users, from Debian's packages: window manager, panel and notifications of Cinnamon, MATE and Xfce. They
//! run without a session manager and without a settings daemon.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::machine::{Cmd, Process};
use crate::session::{SIZE, Session};

/// How long a program of a desktop may take to start on a busy machine.
const START: Duration = Duration::from_secs(90);

/// The settings of GLib's programs, as a file.
const SETTINGS: &str = ".config/glib-2.0/settings/keyfile";

/// Cinnamon's applets are those of its default panel, without the ones for which the laboratory has no service.
const CINNAMON: &str = include_str!("cinnamon.ini");
/// A theme for Cinnamon: its own, with a light panel.
const CINNAMON_LIGHT: &str = include_str!("cinnamon-light.css");
/// MATE's panel with the notification area and a clock.
const MATE: &str = include_str!("mate.ini");
/// Xfce's panel with a place for indicators and a clock.
const XFCE_PANEL: &str = include_str!("xfce4-panel.xml");
/// Xfce's notifications: at the top right, opaque, and without a timeout.
const XFCE_NOTIFYD: &str = include_str!("xfce4-notifyd.xml");

/// Whose panel and notifications the session has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DesktopKind {
    /// Linux Mint's.
    Cinnamon,
    /// MATE.
    Mate,
    /// Xfce.
    Xfce,
}

/// The colours of the panel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shade {
    /// Dark text on a light panel.
    Light,
    /// Light text on a dark panel.
    Dark,
}

impl DesktopKind {
    /// The rows of the screen that the panel covers.
    #[must_use]
    pub fn panel(self) -> Range<usize> {
        match self {
            Self::Cinnamon => SIZE.1 - 40..SIZE.1,
            Self::Mate => 0..28,
            Self::Xfce => 0..30,
        }
    }
}

impl Session {
    /// Starts a desktop, and an accessibility bus on which its windows can be read. The programs end when the result is
    /// dropped.
    ///
    /// # Errors
    /// When a program is not installed or does not start.
    pub fn desktop(&self, kind: DesktopKind, shade: Shade) -> Result<Vec<Process>> {
        let mut starter = Starter { session: self, variables: Vec::new(), programs: Vec::new() };
        starter.start("org.a11y.Bus", &["/usr/libexec/at-spi-bus-launcher", "--launch-immediately"])?;
        match kind {
            DesktopKind::Cinnamon => starter.cinnamon(shade)?,
            DesktopKind::Mate => starter.mate(shade)?,
            DesktopKind::Xfce => starter.xfce(shade)?,
        }
        self.wait_for_name("org.kde.StatusNotifierWatcher", START)?;
        self.wait_for_name("org.freedesktop.Notifications", START)?;
        Ok(starter.programs)
    }

    /// A command of the session whose windows can be read on the accessibility bus.
    pub fn readable<A: Into<String>>(&self, args: impl IntoIterator<Item = A>) -> Cmd {
        let without = ["env", "-u", "NO_AT_BRIDGE"].map(Into::into);
        self.command(without.into_iter().chain(args.into_iter().map(Into::into)))
    }
}

/// Starts the programs of one desktop.
struct Starter<'a> {
    session: &'a Session,
    variables: Vec<(&'static str, &'static str)>,
    programs: Vec<Process>,
}

impl Starter<'_> {
    /// Starts a program and waits until it has its name on the session's bus.
    fn start(&mut self, name: &str, words: &[&str]) -> Result<()> {
        self.spawn(words)?;
        let log = || self.programs.last().map(Process::log).unwrap_or_default();
        self.session.wait_for_name(name, START).with_context(log)
    }

    fn spawn(&mut self, words: &[&str]) -> Result<()> {
        let command = self.session.readable(words.iter().copied());
        let with = |command: Cmd, (key, value): &(&str, &str)| command.env(key, value);
        self.programs.push(self.variables.iter().fold(command, with).spawn()?);
        Ok(())
    }

    /// Settings come from a file. No service that writes them is activated in this session.
    fn settings(&mut self, content: &str) -> Result<()> {
        self.variables.push(("GSETTINGS_BACKEND", "keyfile"));
        self.session.file(SETTINGS, content, 0o644)
    }

    fn window_manager(&mut self, words: &[&str]) -> Result<()> {
        self.spawn(words)?;
        self.session.wait_for_window_manager(START)
    }

    /// Cinnamon is window manager, panel and notification service in one program. A program of the session's autostart
    /// keeps the list of indicators for it.
    fn cinnamon(&mut self, shade: Shade) -> Result<()> {
        self.variables.push(("XDG_CURRENT_DESKTOP", "X-Cinnamon"));
        self.session.file(".themes/Light/cinnamon/cinnamon.css", CINNAMON_LIGHT, 0o644)?;
        let theme = match shade {
            Shade::Light => "Light",
            Shade::Dark => "cinnamon",
        };
        self.settings(&CINNAMON.replace("THEME", theme))?;
        self.start("org.Cinnamon", &["cinnamon"])?;
        self.start("org.x.StatusNotifierWatcher", &["/usr/libexec/xapps/sn-watcher/xapp-sn-watcher"])
    }

    fn mate(&mut self, shade: Shade) -> Result<()> {
        self.variables.push(("XDG_CURRENT_DESKTOP", "MATE"));
        self.variables.push((
            "GTK_THEME",
            match shade {
                Shade::Light => "Adwaita",
                Shade::Dark => "Adwaita:dark",
            },
        ));
        self.settings(MATE)?;
        self.window_manager(&["marco"])?;
        // In a session of MATE the bus starts these three when they are needed.
        let applet = |name: &str| format!("org.mate.panel.applet.{name}AppletFactory");
        self.start(&applet("NotificationArea"), &["/usr/lib/mate-panel/notification-area-applet"])?;
        self.start(&applet("Clock"), &["/usr/lib/mate-panel/clock-applet"])?;
        let notifications = "/usr/lib/mate-notification-daemon/mate-notification-daemon";
        self.start("org.freedesktop.Notifications", &[notifications])?;
        self.start("org.mate.Panel", &["mate-panel"])
    }

    fn xfce(&mut self, shade: Shade) -> Result<()> {
        let folder = ".config/xfce4/xfconf/xfce-perchannel-xml";
        let panel = XFCE_PANEL.replace("IS_DARK", &(shade == Shade::Dark).to_string());
        self.session.file(&format!("{folder}/xfce4-panel.xml"), &panel, 0o644)?;
        self.session.file(&format!("{folder}/xfce4-notifyd.xml"), XFCE_NOTIFYD, 0o644)?;
        self.window_manager(&["xfwm4", "--compositor=off"])?;
        let library = xfce_library()?;
        self.start("org.xfce.Xfconf", &[&format!("{library}/xfce4/xfconf/xfconfd")])?;
        self.start("org.xfce.Panel", &["xfce4-panel"])?;
        let notifications = format!("{library}/xfce4/notifyd/xfce4-notifyd");
        self.start("org.freedesktop.Notifications", &[&notifications])
    }
}

/// Where this architecture's programs of Xfce are.
///
/// # Errors
/// When Xfce's notification service is not installed.
pub fn xfce_library() -> Result<String> {
    let found = std::fs::read_dir("/usr/lib")?.flatten().map(|entry| entry.path());
    let found = found.into_iter().find(|path| path.join("xfce4/notifyd/xfce4-notifyd").exists());
    Ok(found.context("xfce4-notifyd is not installed: scripts/deps test")?.display().to_string())
}
