//! The indicator and the notifications in the desktops of users, from Debian's packages: what is in the panel and on the
//! screen, and what real clicks do.

mod menu;
mod panel;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use tunwarden_lab::{DesktopKind, Shade, with_lab};

use self::panel::Panel;
use crate::support::leak_test::Desktop;
use crate::support::person::Person;
use crate::support::screen::Screen;
use crate::support::{SOON, polkit, tunwarden, wait_for_state};

/// polkit allows these to a person at the screen. A laboratory has no such person.
const MAY_CONNECT: &str = r#"polkit.addRule(function(action, subject) {
    if (action.id == "org.tunwarden.agent1.reconnect") { return polkit.Result.YES; }
    if (action.id == "org.freedesktop.NetworkManager.network-control") { return polkit.Result.YES; }
});
"#;

/// The indicator is in the list that the panel reads.
fn is_registered(person: &Person) -> Result<()> {
    let item = person.wait_for_indicator()?;
    let list = ["get-property", "org.kde.StatusNotifierWatcher", "/StatusNotifierWatcher"];
    let list = [&list[..], &["org.kde.StatusNotifierWatcher", "RegisteredStatusNotifierItems"]].concat();
    tunwarden_lab::wait_for("the indicator in the panel's list", SOON, || {
        Ok(person.session.busctl(&list)?.stdout.contains(&item).then_some(()))
    })
}

/// What the indicator says of itself.
fn has_status(person: &Person, status: &str) -> Result<()> {
    let item = person.wait_for_indicator()?;
    let words = ["get-property", &item, "/StatusNotifierItem", "org.kde.StatusNotifierItem", "Status"];
    let said = person.session.busctl(&words)?.stdout;
    ensure!(said.trim() == format!("s \"{status}\""), "{said}");
    Ok(())
}

/// All that a user does with the indicator and the notifications, by real clicks.
fn works(kind: DesktopKind) -> Result<()> {
    with_lab(|lab| {
        polkit::rules(lab, MAY_CONNECT)?;
        let desktop = Desktop::new(lab, "")?;
        let _polkit = desktop.bus.polkit()?;
        let person = Person::log_in(lab, "en_US.UTF-8")?;
        let _programs = person.session.desktop(kind, Shade::Dark)?;
        let _notify = person.notify()?;
        let screen = Screen { session: &person.session, program: "" };
        let panel = Panel { session: &person.session, kind };

        is_registered(&person)?;
        panel.click("locked", "3")?;
        menu::choose(&person, kind, "Connect lab")?;
        wait_for_state(lab, "protected")?;
        desktop.carries()?;
        panel.click("protected", "1")?;
        screen.waits("the details", |seen| seen.says("Protection in detail"))?;
        has_status(&person, "Active")?;

        lab.host().signal_all("openvpn", Signal::SIGKILL)?;
        wait_for_state(lab, "lost")?;
        panel.shows("lost")?;
        has_status(&person, "NeedsAttention")?;
        let seen = screen.waits("the loss", |seen| {
            seen.says("VPN lost: lab") && seen.find("push button", "Reconnect").is_some()
        })?;
        match kind {
            DesktopKind::Cinnamon | DesktopKind::Mate => {
                screen.click_on(seen.saying("Nothing leaves this computer").context("no text")?)?;
            }
            // A click on the text only closes a notification of Xfce.
            DesktopKind::Xfce => screen.click("push button", "Details")?,
        }
        screen.waits("its details", |seen| seen.says("in a terminal: tunwarden status"))?;
        screen.click("push button", "Reconnect")?;
        wait_for_state(lab, "protected")?;
        desktop.carries()?;
        panel.shows("protected")?;
        has_status(&person, "Active")?;
        desktop.check("clicks in the panel and on a notification")
    })
}

/// The icon of each state has enough contrast with the panel.
fn stands_out(kind: DesktopKind, shade: Shade) -> Result<()> {
    with_lab(|lab| {
        let desktop = Desktop::new(lab, "")?;
        let person = Person::log_in(lab, "en_US.UTF-8")?;
        let _programs = person.session.desktop(kind, shade)?;
        let _notify = person.notify()?;
        let panel = Panel { session: &person.session, kind };
        panel.shows("locked")?;
        desktop.connect()?;
        panel.shows("protected")?;
        lab.host().signal_all("openvpn", Signal::SIGKILL)?;
        panel.shows("lost")?;
        ensure!(tunwarden(lab, ["pause", "5m"])?.status.success());
        panel.shows("paused")?;
        Ok(())
    })
}

#[test]
#[ignore = "needs Cinnamon: make desktops"]
fn cinnamon_shows_the_indicator_and_clicks_work() -> Result<()> {
    works(DesktopKind::Cinnamon)
}

#[test]
#[ignore = "needs Cinnamon: make desktops"]
fn the_icons_stand_out_from_cinnamons_own_panel() -> Result<()> {
    stands_out(DesktopKind::Cinnamon, Shade::Dark)
}

#[test]
#[ignore = "needs Cinnamon: make desktops"]
fn the_icons_stand_out_from_a_light_panel_of_cinnamon() -> Result<()> {
    stands_out(DesktopKind::Cinnamon, Shade::Light)
}

#[test]
#[ignore = "needs MATE: make desktops"]
fn mate_shows_the_indicator_and_clicks_work() -> Result<()> {
    works(DesktopKind::Mate)
}

#[test]
#[ignore = "needs MATE: make desktops"]
fn the_icons_stand_out_from_a_dark_panel_of_mate() -> Result<()> {
    stands_out(DesktopKind::Mate, Shade::Dark)
}

#[test]
#[ignore = "needs MATE: make desktops"]
fn the_icons_stand_out_from_a_light_panel_of_mate() -> Result<()> {
    stands_out(DesktopKind::Mate, Shade::Light)
}

#[test]
#[ignore = "needs the packages of the other desktops: make desktops"]
fn xfce_shows_the_indicator_and_clicks_work() -> Result<()> {
    works(DesktopKind::Xfce)
}

#[test]
#[ignore = "needs the packages of the other desktops: make desktops"]
fn the_icons_stand_out_from_a_dark_panel_of_xfce() -> Result<()> {
    stands_out(DesktopKind::Xfce, Shade::Dark)
}

#[test]
#[ignore = "needs the packages of the other desktops: make desktops"]
fn the_icons_stand_out_from_a_light_panel_of_xfce() -> Result<()> {
    stands_out(DesktopKind::Xfce, Shade::Light)
}
