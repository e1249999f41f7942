//! The indicator in the panel and its menu, as a panel reads it.

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use tunwarden_lab::{Lab, wait_for, with_lab};

use crate::support::leak_test::Desktop;
use crate::support::person::{Entry, PERSON, Person, ShownNotice};
use crate::support::{SOON, TUNWARDEN, agent, bus, polkit, status, wait_for_state};

/// `Pause` asks polkit for an administrator's password. Here a file stands for the correct password. On a real machine
/// NetworkManager lets a person at the screen connect a VPN. A laboratory has no such person, so a rule allows it.
const MAY_PAUSE: &str = r#"polkit.addRule(function(action, subject) {
    if (action.id == "org.freedesktop.NetworkManager.network-control") { return polkit.Result.YES; }
    if (action.id != "org.tunwarden.agent1.pause") { return polkit.Result.NOT_HANDLED; }
    try { polkit.spawn(["/usr/bin/test", "-e", "/run/password"]); return polkit.Result.YES; }
    catch (error) { return polkit.Result.NO; }
});
"#;

/// A stand-in for `pkexec`, which needs a real session: it runs the check and writes its report as the same user.
const PKEXEC: &str = "#!/bin/sh
test \"$1 $3 $4\" = '--disable-internal-agent prove --report' || exit 99
test -e /run/password || exit 126
echo report >\"$5\"
";

/// Puts the stand-in among the programs of this machine.
const INSTALL: &str = "
    mkdir -p /run/programs/upper /run/programs/work
    install -m 755 /run/pkexec /run/programs/upper/pkexec
    mount -t overlay -o lowerdir=/usr/bin,upperdir=/run/programs/upper,workdir=/run/programs/work overlay /usr/bin";

/// The indicator on the session bus.
struct Panel<'a> {
    person: &'a Person,
    item: String,
}

impl Panel<'_> {
    fn property(&self, name: &str) -> Result<String> {
        let words = ["get-property", &self.item, "/StatusNotifierItem", "org.kde.StatusNotifierItem", name];
        let said = self.person.session.busctl(&words)?.stdout;
        Ok(said.trim().trim_start_matches("s ").trim_matches('"').to_owned())
    }

    fn has(&self, name: &str, value: &str) -> Result<()> {
        wait_for(value, SOON, || Ok((self.property(name)? == value).then_some(())))
            .with_context(|| format!("its {name} is {:?}", self.property(name)))
    }

    fn shows(&self, icon: &str) -> Result<()> {
        self.has("IconName", icon)
    }

    fn menu(&self) -> Result<Vec<Entry>> {
        self.person.menu(&self.item)
    }

    fn says(&self, text: &str) -> Result<()> {
        wait_for(text, SOON, || Ok(self.menu()?.iter().any(|entry| entry.label.contains(text)).then_some(())))
            .with_context(|| format!("the menu: {:?}", self.menu()))
    }

    /// Clicks on the indicator itself, as Cinnamon's panel does for the user.
    fn click(&self) -> Result<()> {
        let words = ["call", &self.item, "/StatusNotifierItem", "org.kde.StatusNotifierItem"];
        let output = self.person.session.busctl(&[&words[..], &["Activate", "ii", "0", "0"]].concat())?;
        ensure!(output.status.success(), "{output:?}");
        Ok(())
    }

    fn press(&self, text: &str) -> Result<()> {
        let menu = self.menu()?;
        let entry = menu.iter().find(|entry| entry.is_enabled && entry.label == text);
        let id = entry.with_context(|| format!("{text} in {menu:?}"))?.id.to_string();
        let words =
            ["call", &self.item, "/MenuBar", "com.canonical.dbusmenu", "Event", "isvu", &id, "clicked"];
        let output = self.person.session.busctl(&[&words[..], &["s", "", "0"]].concat())?;
        ensure!(output.status.success(), "{output:?}");
        Ok(())
    }
}

fn install_pkexec(lab: &Lab) -> Result<()> {
    lab.host().file("/run/pkexec", PKEXEC)?;
    lab.host().succeed(["sh", "-ec", INSTALL]).map(drop)
}

/// Checks the machine from the menu. The notification shows where the report is.
fn checks(lab: &Lab, person: &Person, panel: &Panel<'_>) -> Result<()> {
    panel.press("Check this machine")?;
    let checked = person.sees("Checked: no packet leaves this computer unprotected", 1)?;
    let report = checked.body.split_whitespace().find(|word| word.contains("/tunwarden-check-"));
    let report = report.with_context(|| format!("no place of a report: {checked:?}"))?;
    ensure!(lab.host().read(report)? == "report\n", "{report}");
    Ok(())
}

#[test]
fn the_indicator_shows_the_state_and_its_menu_acts() -> Result<()> {
    with_lab(|lab| {
        polkit::rules(lab, MAY_PAUSE)?;
        install_pkexec(lab)?;
        let mut desktop = Desktop::new(lab, "")?;
        let _polkit = desktop.bus.polkit()?;
        let person = Person::log_in_first(lab, "en_US.UTF-8")?;
        let _dunst = person.dunst()?;
        let _notify = person.notify()?;
        let panel = Panel { person: &person, item: person.wait_for_indicator()? };
        panel.shows("tunwarden-locked")?;
        panel.says("Locked, no VPN")?;
        panel.says("Pause to sign in to this network")?;
        panel.says("Connect lab")?;

        // The first notification says why the internet is gone, and what to do.
        let first = person.sees("This computer is locked until a VPN is connected", 1)?;
        ensure!(first.body.contains("sudo tunwarden init"), "{first:?}");
        person.reads("Connect your VPN")?;
        person.press("Connect lab")?;
        panel.shows("tunwarden-protected")?;
        person.wait_displayed(0)?;
        desktop.carries()?;
        panel.says("VPN: lab (tun0)")?;
        panel.says("since ")?;

        // Without the password the agent does not pause, and the notifier reports it.
        panel.press("Pause for 5 minutes")?;
        let refused = person.sees("The request was not carried out", 1)?;
        ensure!(refused.body.contains("an administrator's password"), "{refused:?}");
        ensure!(status(lab)?["state"] == "protected", "a pause that nobody allowed");

        lab.host().file("/run/password", "")?;
        checks(lab, &person, &panel)?;
        panel.press("Pause for 30 minutes")?;
        let paused = wait_for_state(lab, "paused")?;
        // The pause ends half an hour after the request. The state begins only when the rules are in force.
        let length = paused["paused_until"].as_u64().zip(paused["since"].as_u64());
        ensure!(length.is_some_and(|(until, since)| (1740..=1801).contains(&(until - since))), "{paused}");
        panel.shows("tunwarden-paused")?;
        panel.says("until ")?;
        panel.says(" minutes left")?;
        panel.press("Resume")?;
        wait_for_state(lab, "protected")?;
        panel.shows("tunwarden-protected")?;

        panel.click()?;
        let told = person.sees("Protection in detail", 1)?;
        ensure!(told.body.contains("VPN: lab, through tun0"), "{told:?}");

        panel.has("Status", "Active")?;
        lab.host().signal_all("openvpn", Signal::SIGKILL)?;
        panel.has("Status", "NeedsAttention")?;
        panel.has("AttentionIconName", "tunwarden-lost")?;
        let lost = person.sees("VPN lost: lab", 1)?;
        ensure!(lost.hints == "network.disconnected org.tunwarden.tunwarden", "{lost:?}");
        person.wait_displayed(1)?;
        person.click()?;
        wait_for("the details of the loss", SOON, || {
            let is_grown = |sight: &ShownNotice| {
                sight.title == lost.title && sight.body.contains("in a terminal: tunwarden status")
            };
            Ok(person.shown().iter().any(is_grown).then_some(()))
        })
        .with_context(|| format!("{:#?}", person.shown()))?;

        desktop.agent.stop()?;
        panel.shows("tunwarden-unknown")
    })
}

/// Destinations at which programs of the person are refused, and one at which a program of another user is.
const OWN: &str = "203.0.113.9";
const OTHER: &str = "203.0.113.10:443";

#[test]
fn the_menu_lists_the_last_ten_destinations_that_were_refused_to_this_user() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let _agent = agent(lab, "[bootstrap]\nservers = [\"198.51.100.7\"]\n")?;
        let person = Person::log_in(lab, "en_US.UTF-8")?;
        let _dunst = person.dunst()?;
        let _notify = person.notify()?;
        let panel = Panel { person: &person, item: person.wait_for_indicator()? };
        panel.shows("tunwarden-locked")?;
        let ports = 1001..=1012;
        wait_for("all are listed", SOON, || {
            for port in ports.clone() {
                lab.host().udp(&format!("{OWN}:{port}"))?.from_user(PERSON).send()?;
            }
            lab.host().udp(OTHER)?.from_user("daemon").send()?;
            let list = lab.host().succeed([TUNWARDEN, "blocked"])?;
            let own = list.matches(&format!("{PERSON} to {OWN}:")).count();
            Ok((own == ports.clone().count() && list.contains(OTHER)).then_some(()))
        })?;
        panel.press("Blocked")?;
        let list = person.sees("Blocked in the last hour", 1)?;
        let shown = |port: u16| list.body.contains(&format!("{OWN}:{port}/udp"));
        ensure!((1003..=1012).all(shown) && ![1001, 1002].into_iter().any(shown), "{list:?}");
        ensure!(list.body.contains(": no VPN") && !list.body.contains(OTHER), "another user's: {list:?}");

        let now = status(lab)?;
        ensure!(now["state"] == "locked" && now["paused_until"].is_null(), "{now}");
        Ok(())
    })
}
