//! At login the notifier reports what happened while nobody was logged in, in the user's language.

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use tunwarden_lab::{Lab, with_lab};

use crate::support::leak_test::Desktop;
use crate::support::person::Person;
use crate::support::{SOON, start_agent, tunwarden, wait_for_state};

#[test]
fn a_current_loss_and_a_missing_agent_are_shown_in_german() -> Result<()> {
    with_lab(|lab| {
        let mut desktop = Desktop::new(lab, "")?;
        desktop.connect()?;
        lab.host().signal_all("openvpn", Signal::SIGKILL)?;
        wait_for_state(lab, "lost")?;
        let mut person = Person::log_in(lab, "de_DE.UTF-8")?;
        let _dunst = person.dunst()?;
        let mut notify = person.notify()?;
        let lost = person.sees("VPN verloren: lab", 1)?;
        ensure!(lost.body.contains("Das VPN-Programm") || lost.body.contains("Seine Verbindung"), "{lost:?}");

        desktop.agent.stop()?;
        let gone = person.sees("tunwarden läuft nicht", 1)?;
        ensure!(gone.body.contains("sudo systemctl start tunwarden"), "{gone:?}");
        desktop.agent = start_agent(lab)?;
        person.sees("VPN verloren: lab", 2)?;
        person.wait_displayed(1)?;

        person.session.log_out()?;
        ensure!(notify.wait(SOON)?.success(), "it ends with the session");
        Ok(())
    })
}

#[test]
fn a_loss_that_is_over_is_shown_once() -> Result<()> {
    with_lab(|lab| {
        let desktop = Desktop::new(lab, "")?;
        desktop.connect()?;
        lab.host().signal_all("openvpn", Signal::SIGKILL)?;
        wait_for_state(lab, "lost")?;
        desktop.connect()?;
        let person = Person::log_in(lab, "en_US.UTF-8")?;
        let _dunst = person.dunst()?;
        let mut notify = person.notify()?;
        let missed = person.sees("The VPN was lost while you were away", 1)?;
        ensure!(missed.body.contains("lab was lost at "), "{missed:?}");
        ensure!(missed.body.contains("Nothing left this computer unprotected"), "{missed:?}");
        notify.wait_for_line("Shown(Missed)", SOON)?;
        notify.stop()?;
        person.wait_displayed(0)?;

        // A second notifier in the same session shows nothing and exits with 0.
        let replace = [crate::support::TUNWARDEN, "notify", "--replace"];
        ensure!(person.session.command(replace).run()?.status.success(), "there is none to replace");
        let mut notify = person.notify()?;
        ensure!(person.session.command([crate::support::TUNWARDEN, "notify"]).run()?.status.success());
        notify.wait_for_line("event: Agent(Some", SOON)?;
        // An upgrade replaces the notifier that runs.
        let mut newer =
            person.session.spawn([crate::support::TUNWARDEN, "notify", "--replace", "--verbose"])?;
        ensure!(notify.wait(SOON)?.success(), "it was replaced");
        newer.wait_for_line("event: Agent(Some", SOON)?;
        lab.host().signal_all("openvpn", Signal::SIGKILL)?;
        person.sees("VPN lost: lab", 1)?;
        let missed = person.shown().into_iter().filter(|notice| notice.title.contains("away")).count();
        ensure!(missed == 1, "not shown at exactly one login: {:?}", person.shown());
        Ok(())
    })
}

/// Checks the notification of a user who logs in after a loss during which packets may have left.
fn is_warned_that_packets_may_have_left(
    during_the_loss: fn(&Lab, &mut Desktop<'_>) -> Result<()>,
) -> Result<()> {
    with_lab(|lab| {
        let mut desktop = Desktop::new(lab, "")?;
        desktop.connect()?;
        lab.host().signal_all("openvpn", Signal::SIGKILL)?;
        wait_for_state(lab, "lost")?;
        during_the_loss(lab, &mut desktop)?;
        desktop.connect()?;
        let person = Person::log_in(lab, "en_US.UTF-8")?;
        let _dunst = person.dunst()?;
        let _notify = person.notify()?;
        let missed = person.sees("The VPN was lost while you were away", 1)?;
        ensure!(missed.body.contains("something may have left this computer unprotected"), "{missed:?}");
        ensure!(!missed.body.contains("Nothing left"), "{missed:?}");
        Ok(())
    })
}

#[test]
fn a_loss_with_a_pause_is_not_shown_as_one_without_leaks() -> Result<()> {
    is_warned_that_packets_may_have_left(|lab, desktop| {
        ensure!(tunwarden(lab, ["pause", "60s"])?.status.success());
        desktop.leak_test.is_seen("a pause")?;
        ensure!(tunwarden(lab, ["resume"])?.status.success());
        Ok(())
    })
}

#[test]
fn a_loss_with_a_flush_and_no_agent_is_not_shown_as_one_without_leaks() -> Result<()> {
    is_warned_that_packets_may_have_left(|lab, desktop| {
        desktop.agent.kill()?;
        for flush in ["iptables -w -P OUTPUT ACCEPT", "iptables -w -F", "nft flush ruleset"] {
            lab.host().succeed(flush.split(' '))?;
        }
        desktop.leak_test.is_seen("the rules are gone")?;
        // `lock` completes the rules before the next agent checks them, so that agent cannot notice the flush.
        ensure!(tunwarden(lab, ["lock"])?.status.success());
        desktop.agent = start_agent(lab)?;
        Ok(())
    })
}
