//! The window of settings, as a screen reader reads it and as its user works with it: by keys and by clicks.
#![allow(clippy::disallowed_methods, reason = "a test starts programs and reads files")]

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tunwarden_lab::{Lab, Process, Session, wait_for, with_lab};

use crate::set::{AFTER, BEFORE, FILE, MAY_SET};
use crate::support::package::{ROOT, succeed};
use crate::support::person::PERSON;
use crate::support::screen::{Screen, Seen};
use crate::support::{SOON, agent, bus, chain, polkit};

/// Things that a user can act on, by the name that AT-SPI gives to their role.
const CONTROLS: [&str; 8] =
    ["push button", "check box", "radio button", "combo box", "text", "page tab", "table", "tree table"];

/// The window on the screen of a user.
struct Window {
    session: Session,
    _programs: Vec<Process>,
}

impl Window {
    fn open(lab: &Lab) -> Result<Self> {
        for entry in std::fs::read_dir(format!("{ROOT}/desktop/settings"))? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).context("a name that is no text")?;
            if path.is_file() {
                let to = format!("/usr/share/tunwarden-settings/{name}");
                lab.host().file(&to, &std::fs::read_to_string(&path)?)?;
            }
        }
        let session = lab.host().session(PERSON, "en_US.UTF-8")?;
        let mut programs = vec![session.spawn(["xfwm4", "--compositor=off"])?];
        session.wait_for_window_manager(SOON)?;
        programs.push(session.spawn(["/usr/libexec/at-spi-bus-launcher", "--launch-immediately"])?);
        session.wait_for_name("org.a11y.Bus", SOON)?;
        let window = "/usr/share/tunwarden-settings/tunwarden-settings";
        programs.push(session.readable(["/usr/bin/python3", window]).spawn()?);
        let window = Self { session, _programs: programs };
        window.waits("the window", |seen| seen.find("page tab", "Settings").is_some())?;
        Ok(window)
    }

    fn screen(&self) -> Screen<'_> {
        Screen { session: &self.session, program: "tunwarden" }
    }

    fn waits(&self, what: &str, is_there: impl Fn(&Seen) -> bool) -> Result<Seen> {
        self.screen().waits(what, is_there)
    }

    fn key(&self, keys: &str) -> Result<()> {
        self.session.succeed(["xdotool", "key", keys]).map(drop)
    }

    fn click(&self, role: &str, name: &str) -> Result<()> {
        self.screen().click(role, name)
    }

    /// Every control of every page has a name. Returns them.
    fn named_controls(&self) -> Result<Vec<String>> {
        let seen = self.screen().read()?;
        let controls = seen.0.iter().filter(|one| CONTROLS.iter().any(|role| one["role"] == *role));
        let name = |one: &Value| {
            let name = one["name"].as_str().filter(|name| !name.is_empty());
            name.map(ToOwned::to_owned).with_context(|| format!("it has no name: {one}"))
        };
        controls.map(name).collect()
    }
}

/// Controls of each page, by the names that a screen reader says.
const NAMED: [&str; 14] = [
    "State",
    "Pause for 30 minutes",
    "Check this machine",
    "Reach the local network",
    "Open the ports of containers to the local network",
    "When the VPN is lost",
    "Every VPN of this computer",
    "Protocol",
    "Port",
    "From the network",
    "Add",
    "Apply",
    "Blocked in the last hour",
    "Refresh",
];

/// Whether the LAN is open.
fn lan(lab: &Lab) -> Result<bool> {
    Ok(!chain(lab, "iptables", "VPN_LAN")?.is_empty())
}

fn has_file(lab: &Lab, text: &str) -> Result<()> {
    let read = || lab.host().read(FILE);
    wait_for("the changed file", SOON, || Ok((read()? == text).then_some(())))
        .with_context(|| format!("{:?}", read()))
}

#[test]
fn a_setting_is_changed_by_keys_and_by_clicks_and_every_control_has_a_name() -> Result<()> {
    with_lab(|lab| {
        polkit::install(lab)?;
        polkit::rules(lab, MAY_SET)?;
        let bus = bus(lab)?;
        let _polkit = bus.polkit()?;
        let _agent = agent(lab, BEFORE)?;
        ensure!(lan(lab)?, "the control: the LAN is open");
        let window = Window::open(lab)?;
        window.waits("the state", |seen| seen.says("Locked, no VPN"))?;

        // By keys. Without the password nothing changes, and the window says so.
        let allow = ("check box", "Reach the local network");
        window.key("alt+e")?;
        window.waits("the file's settings", |seen| seen.is(allow.0, allow.1, "checked"))?;
        let named = window.named_controls()?;
        for control in NAMED {
            ensure!(named.iter().any(|name| name == control), "{control} is not among {named:?}");
        }
        window.key("alt+l")?;
        let seen = window.waits("a change", |seen| seen.is("push button", "Apply", "sensitive"))?;
        ensure!(!seen.is(allow.0, allow.1, "checked") && !seen.says("This opens"), "a change that closes");
        window.key("alt+a")?;
        window.waits("the refusal", |seen| seen.says("It needs an administrator's password"))?;
        ensure!(lab.host().read(FILE)? == BEFORE && lan(lab)?, "changed without the password");

        lab.host().file("/run/password", "")?;
        window.key("alt+a")?;
        has_file(lab, AFTER)?;
        window.waits("the answer", |seen| seen.says("The settings are in force."))?;
        ensure!(!lan(lab)?, "the agent has the new setting");

        // By clicks, the other way: what it opens is said before the password.
        window.click(allow.0, allow.1)?;
        window
            .waits("what it opens", |seen| seen.says("This opens: the local network, for this computer"))?;
        window.click("push button", "Apply")?;
        has_file(lab, BEFORE)?;
        window.waits("the answer", |seen| seen.says("The settings are in force."))?;
        ensure!(lan(lab)?, "the agent has the old setting again");

        window.key("alt+b")?;
        window.waits("the list", |seen| seen.says("None of your programs was blocked."))?;
        Ok(())
    })
}

#[test]
fn settings_that_somebody_else_has_changed_are_shown_before_they_are_written() -> Result<()> {
    with_lab(|lab| {
        polkit::install(lab)?;
        polkit::rules(lab, MAY_SET)?;
        lab.host().file("/run/password", "")?;
        let bus = bus(lab)?;
        let _polkit = bus.polkit()?;
        let agent = agent(lab, BEFORE)?;
        let window = Window::open(lab)?;
        let allow = ("check box", "Reach the local network");
        let published = ("check box", "Open the ports of containers to the local network");
        window.key("alt+e")?;
        window.waits("the file's settings", |seen| seen.is(allow.0, allow.1, "checked"))?;

        lab.host().file(FILE, AFTER)?;
        window.click(published.0, published.1)?;
        window.waits("the choice", |seen| !seen.is(published.0, published.1, "checked"))?;
        window.click("push button", "Apply")?;
        // A read of the window takes a moment, so that its lines may be of two moments.
        window.waits("the answer, and the settings of the file", |seen| {
            let is_checked = |(role, name)| seen.is(role, name, "checked");
            let is_as_in_the_file = !is_checked(allow) && is_checked(published);
            seen.says("The file has other settings now.") && is_as_in_the_file
        })?;
        ensure!(lab.host().read(FILE)? == AFTER, "written over a file that the window had not shown");

        drop(agent);
        let unknown =
            |one: &Value| one["name"].as_str().is_some_and(|name| name.starts_with("Unknown: tunwarden"));
        window.waits("the agent's end", |seen| seen.0.iter().any(unknown))?;
        window.click(allow.0, allow.1)?;
        window.click("push button", "Apply")?;
        has_file(lab, BEFORE)?;
        window.waits("the answer", |seen| seen.says("They are in force when tunwarden starts."))?;
        Ok(())
    })
}

#[test]
fn what_the_window_computes_is_correct() -> Result<()> {
    let folder = Path::new(ROOT).join("desktop/settings");
    let test = Path::new(ROOT).join("tests/network/settings/model_test.py");
    succeed(Command::new("/usr/bin/python3").arg(test).arg(folder)).map(drop)
}
