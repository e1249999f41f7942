//! Notification daemons that start late, die, or are set to "do not disturb": no notification is lost.

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use tunwarden_lab::with_lab;

use crate::support::leak_test::Desktop;
use crate::support::person::Person;
use crate::support::{TUNWARDEN, wait_for_state};

#[test]
fn a_daemon_that_starts_late_or_restarts_shows_the_current_notifications() -> Result<()> {
    with_lab(|lab| {
        let desktop = Desktop::new(lab, "")?;
        let person = Person::log_in(lab, "en_US.UTF-8")?;
        let mut notify = person.notify()?;
        desktop.connect()?;
        lab.host().signal_all("openvpn", Signal::SIGKILL)?;
        wait_for_state(lab, "lost")?;
        notify.wait_for_line("no notification daemon took", crate::support::SOON)?;
        ensure!(person.shown().is_empty(), "nobody could show it");

        let mut dunst = person.dunst()?;
        person.sees("VPN lost: lab", 1)?;
        dunst.kill()?;
        let _other = person.dunst()?;
        person.sees("VPN lost: lab", 2)?;
        person.wait_displayed(1)
    })
}

#[test]
fn notifications_during_do_not_disturb_are_shown_afterwards_and_the_menu_shows_details() -> Result<()> {
    with_lab(|lab| {
        let desktop = Desktop::new(lab, "")?;
        let person = Person::log_in(lab, "en_US.UTF-8")?;
        let _dunst = person.dunst()?;
        let mut notify = person.notify()?;
        desktop.connect()?;
        person.session.succeed(["dunstctl", "set-paused", "true"])?;
        lab.host().signal_all("openvpn", Signal::SIGKILL)?;
        notify.wait_for_line("Shown(Lost)", crate::support::SOON)?;
        ensure!(person.shown().is_empty() && person.displayed()? == 0, "it was held back");
        person.session.succeed(["dunstctl", "set-paused", "false"])?;
        person.sees("VPN lost: lab", 1)?;
        person.wait_displayed(1)?;

        // The entry in the menu of applications. The notifier that runs shows the details.
        person.session.succeed([TUNWARDEN, "notify", "--details"])?;
        person.reads("in a terminal: tunwarden status")?;
        person.wait_displayed(1)
    })
}
