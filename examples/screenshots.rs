//! The pictures of the README: `make screenshots`.
//!
//! A private laboratory with a real NetworkManager, a real OpenVPN, the agent, and a person's session on a screen in
//! memory: the panel and the notifications of Cinnamon, then those of Xfce, and `tunwarden notify`. This program writes what
//! they show to `docs/desktop-*.png`, and what a browser shows of the report of `prove` to `docs/prove-report.png`.
#![allow(clippy::disallowed_methods, reason = "this starts programs and touches files")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use tunwarden_lab::openvpn::{Server, ServerOptions};
use tunwarden_lab::{
    DesktopKind, Lab, NetworkManager, Process, Session, Shade, SystemBus, wait_for, with_lab,
};

/// How long any step may take here.
const SOON: Duration = Duration::from_secs(30);
/// How long the screen gets to finish fades and menus. Their end cannot be detected.
const SETTLE: Duration = Duration::from_secs(3);

/// The top right corner of the screen, where both the panel's indicators and notifications are.
const CORNER: &str = "460x220+340+0";
/// The same, as high as a notification with a list.
const HIGH_CORNER: &str = "460x380+340+0";
/// The bottom right corner, where Cinnamon has both.
const LOW_CORNER: &str = "460x340+340+260";
/// Where the only indicator is, beside the clock.
const CINNAMON_INDICATOR: [&str; 2] = ["740", "580"];
const XFCE_INDICATOR: [&str; 2] = ["748", "15"];

/// Draws the background of Cinnamon's settings. Cinnamon's own program for it waits for a session manager.
const BACKGROUND: &str = r#"
import gi
gi.require_version("Gdk", "3.0")
gi.require_version("CinnamonDesktop", "3.0")
from gi.repository import CinnamonDesktop, Gdk, Gio
background = CinnamonDesktop.BG()
background.load_from_preferences(Gio.Settings.new("org.cinnamon.desktop.background"))
screen = Gdk.Screen.get_default()
size = screen.get_width(), screen.get_height()
surface = background.create_surface(screen.get_root_window(), *size, True)
CinnamonDesktop.BG.set_surface_as_root(screen, surface)
"#;

/// Puts the program where the package has it.
const INSTALL: &str = "
    mkdir -p /run/installed/upper /run/installed/work
    install -m 755 \"$1\" /run/installed/upper/tunwarden
    mount -t overlay -o lowerdir=/usr/bin,upperdir=/run/installed/upper,workdir=/run/installed/work overlay /usr/bin";

fn main() -> Result<()> {
    with_lab(|lab| PicturedDesktop::start(lab, DesktopKind::Cinnamon)?.take_readme_pictures())?;
    with_lab(|lab| PicturedDesktop::start(lab, DesktopKind::Xfce)?.take_pictures())
}

/// A desktop with an agent and a notifier, of which pictures are taken.
struct PicturedDesktop<'a> {
    lab: &'a Lab,
    session: Session,
    nm: NetworkManager,
    tunwarden: String,
    _services: (SystemBus, Server),
    _programs: Vec<Process>,
}

impl<'a> PicturedDesktop<'a> {
    fn start(lab: &'a Lab, kind: DesktopKind) -> Result<Self> {
        let mut bus = lab.host().system_bus()?;
        bus.add_policy("org.tunwarden.Agent1.conf", include_str!("../dbus/org.tunwarden.Agent1.conf"))?;
        let server = lab.openvpn_server(ServerOptions::default())?;
        let nm = lab.host().network_manager(&bus)?;
        nm.add_ethernet(&lab.uplinks()[0])?;
        nm.add_vpn("office", &server)?;
        let tunwarden = binary()?;
        let mut agent = lab.host().spawn([tunwarden.as_str(), "agent"])?;
        agent.wait_for_line("on the system bus", SOON)?;

        icons(lab)?;
        let session = lab.host().session("nobody", "en_US.UTF-8")?;
        // The user has read the notification of the first minute.
        session.file(".local/state/tunwarden/notify.json", "{\"welcomed\":true}", 0o644)?;
        session.succeed([
            "convert",
            "-size",
            "800x600",
            "gradient:#6c8ea6-#2d4a5f",
            "/run/person/back.png",
        ])?;
        let mut programs = session.desktop(kind, Shade::Dark)?;
        programs.push(agent);
        match kind {
            DesktopKind::Cinnamon => {
                let draw = session.command(["/usr/bin/python3", "-c", BACKGROUND]);
                draw.env("GSETTINGS_BACKEND", "keyfile").succeed()?;
            }
            // `display` draws, and then exits with 1, because it has no window to show.
            DesktopKind::Mate | DesktopKind::Xfce => {
                session.command(["display", "-window", "root", "/run/person/back.png"]).run()?;
            }
        }
        programs.push(session.spawn([tunwarden.as_str(), "notify"])?);
        session.wait_for_name("org.tunwarden.Notifier1", SOON)?;
        Ok(Self { lab, session, nm, tunwarden, _services: (bus, server), _programs: programs })
    }

    /// The pictures that the README begins with.
    fn take_readme_pictures(&self) -> Result<()> {
        self.reach("locked")?;
        self.click_indicator(CINNAMON_INDICATOR)?;
        self.picture_of("cinnamon-locked", LOW_CORNER)?;
        self.session.succeed(["xdotool", "key", "Escape", "mousemove", "100", "100"])?;
        self.connect()?;
        self.lab.host().signal_all("openvpn", Signal::SIGKILL)?;
        self.reach("lost")?;
        self.picture_of("cinnamon-lost", LOW_CORNER)
    }

    fn take_pictures(&self) -> Result<()> {
        self.reach("locked")?;
        self.click_indicator(XFCE_INDICATOR)?;
        self.picture("locked")?;
        self.session.succeed(["xdotool", "key", "Escape", "mousemove", "100", "500"])?;
        self.refuse()?;
        self.press("Blocked")?;
        self.picture_of("blocked", HIGH_CORNER)?;

        self.connect()?;
        self.lab.host().signal_all("openvpn", Signal::SIGKILL)?;
        self.reach("lost")?;
        self.picture("lost")?;

        self.connect()?;
        self.picture("protected")?;
        self.report()?;

        self.lab.host().succeed([self.tunwarden.as_str(), "pause", "5m"])?;
        self.reach("paused")?;
        self.picture("paused")?;
        self.settings()
    }

    /// The window of settings, before a change that opens something.
    fn settings(&self) -> Result<()> {
        let host = self.lab.host();
        host.succeed([self.tunwarden.as_str(), "resume"])?;
        host.succeed([self.tunwarden.as_str(), "set", "lan.allow=false"])?;
        host.succeed(["sh", "-ec", INSTALL, "install", &self.tunwarden])?;
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("desktop/settings");
        for entry in std::fs::read_dir(source)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).context("a name that is no text")?;
            host.file(&format!("/usr/share/tunwarden-settings/{name}"), &std::fs::read_to_string(&path)?)?;
        }
        let program = "/usr/share/tunwarden-settings/tunwarden-settings";
        let _window = self.session.spawn(["/usr/bin/python3", program])?;
        let search = ["xdotool", "search", "--onlyvisible", "--name", "tunwarden Settings"];
        let id = wait_for("the window", SOON, || {
            let found = self.session.command(search).run()?.stdout;
            Ok(found.lines().last().map(ToOwned::to_owned))
        })?;
        self.session.succeed(["xdotool", "windowfocus", "--sync", &id])?;
        // The window reads the settings of the file.
        std::thread::sleep(SETTLE);
        self.session.succeed(["xdotool", "key", "alt+e"])?;
        self.session.succeed(["xdotool", "key", "alt+l"])?;
        let place = self.session.succeed(["xdotool", "getwindowgeometry", "--shell", &id])?;
        let number = |key: &str| {
            let line = place.lines().find_map(|line| line.strip_prefix(key));
            line.with_context(|| format!("no {key} in {place}"))
        };
        let (x, y) = (number("X=")?, number("Y=")?);
        let corner = format!("{}x{}+{x}+{y}", number("WIDTH=")?, number("HEIGHT=")?);
        self.picture_at("settings.png", &corner)
    }

    /// The report of a check, in a browser without a screen.
    fn report(&self) -> Result<()> {
        let host = self.lab.host();
        let [page, picture] = ["/run/report.html", "/run/report.png"];
        host.succeed([self.tunwarden.as_str(), "prove", "--live", "--report", page])?;
        let browser = ["chromium-headless-shell", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"];
        let words =
            ["--window-size=900,860".to_owned(), format!("--screenshot={picture}"), format!("file://{page}")];
        let words = browser.map(ToOwned::to_owned).into_iter().chain(words);
        host.command(words).env("HOME", "/run/browser").succeed()?;
        let path = folder().join("prove-report.png");
        std::fs::copy(host.outside(picture), &path)?;
        reduce(&path, &[])
    }

    /// Makes the person's programs send packets, which are refused.
    fn refuse(&self) -> Result<()> {
        let host = self.lab.host();
        wait_for("the list of what was refused", SOON, || {
            host.tcp("203.0.113.9:443")?.from_user("nobody").count(2).send()?;
            host.udp("10.0.0.1:53")?.from_user("nobody").count(2).send()?;
            host.tcp("10.77.0.1:631")?.from_user("nobody").count(2).send()?;
            let list = host.run([self.tunwarden.as_str(), "blocked", "--json"])?.stdout;
            let is_whole =
                ["no-vpn", "dns-outside-tunnel", "not-on-link"].iter().all(|why| list.contains(why));
            Ok(is_whole.then_some(()))
        })
    }

    /// Presses the entry of the indicator's menu with this text.
    fn press(&self, text: &str) -> Result<()> {
        let names = self.session.busctl(&["list", "--no-legend"])?.stdout;
        let mut names = names.lines().filter_map(|line| line.split_whitespace().next());
        let item = names.find(|name| name.starts_with("org.kde.StatusNotifierItem-"));
        let item = item.context("no indicator on the bus")?;
        let menu = [item, "/MenuBar", "com.canonical.dbusmenu"];
        let layout = [&["--json=short", "--", "call"], &menu[..], &["GetLayout", "iias", "0", "-1", "0"]];
        let said = self.session.busctl(&layout.concat())?.stdout;
        let said: serde_json::Value = serde_json::from_str(&said).with_context(|| said.clone())?;
        let entries = said["data"][1][2].as_array().context("no menu")?;
        let entry = entries.iter().find(|entry| entry["data"][1]["label"]["data"] == text);
        let id = entry.and_then(|entry| entry["data"][0].as_i64()).with_context(|| said.to_string())?;
        let event = [&["call"], &menu[..], &["Event", "isvu", &id.to_string(), "clicked", "s", "", "0"]];
        let pressed = self.session.busctl(&event.concat())?;
        ensure!(pressed.status.success(), "{pressed:?}");
        Ok(())
    }

    fn connect(&self) -> Result<()> {
        self.nm.up("office")?;
        self.reach("protected")
    }

    fn reach(&self, state: &str) -> Result<()> {
        wait_for(state, SOON, || {
            let status = self.lab.host().run([self.tunwarden.as_str(), "status", "--json"])?.stdout;
            Ok(status.contains(&format!("\"state\":\"{state}\"")).then_some(()))
        })
    }

    /// Opens the menu of the indicator.
    fn click_indicator(&self, [x, y]: [&str; 2]) -> Result<()> {
        std::thread::sleep(SETTLE);
        self.session.succeed(["xdotool", "mousemove", x, y, "click", "3"]).map(drop)
    }

    fn picture(&self, state: &str) -> Result<()> {
        self.picture_of(state, CORNER)
    }

    fn picture_of(&self, state: &str, corner: &str) -> Result<()> {
        self.picture_at(&format!("desktop-{state}.png"), corner)
    }

    fn picture_at(&self, name: &str, corner: &str) -> Result<()> {
        std::thread::sleep(SETTLE);
        let path = folder().join(name);
        self.session.screenshot(&path)?;
        reduce(&path, &["-crop", corner, "+repage"])
    }
}

/// Changes a picture, and takes away what makes its file large.
fn reduce(path: &Path, change: &[&str]) -> Result<()> {
    let whole = path.display().to_string();
    let small = ["-strip", "+dither", "-colors", "128", &whole];
    let made = std::process::Command::new("convert").arg(&whole).args(change).args(small).status()?;
    ensure!(made.success(), "convert: {made}");
    println!("{whole}");
    Ok(())
}

/// Installs every icon, in the places where `make install` puts them.
fn icons(lab: &Lab) -> Result<()> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("desktop/icons/hicolor");
    for kind in ["scalable/status", "symbolic/status"] {
        for entry in std::fs::read_dir(source.join(kind))? {
            let entry = entry?;
            let name = entry.file_name().into_string().ok().context("a name that is no text")?;
            let path = format!("/usr/share/icons/hicolor/{kind}/{name}");
            lab.host().file(&path, &std::fs::read_to_string(entry.path())?)?;
        }
    }
    lab.host().run(["gtk-update-icon-cache", "-q", "-t", "-f", "/usr/share/icons/hicolor"])?;
    Ok(())
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

/// The path of tunwarden's binary, in the folder above this program's.
fn binary() -> Result<String> {
    let me = std::env::current_exe()?;
    let folder = me.parent().and_then(Path::parent).context("this program stands in no build folder")?;
    let binary = folder.join("tunwarden");
    ensure!(binary.exists(), "{} is not built: cargo build", binary.display());
    Ok(binary.display().to_string())
}
