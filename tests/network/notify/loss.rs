//! A VPN is lost: a notification is on the screen, and its button reconnects the VPN.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use tunwarden_lab::{Lab, Process, wait_for, with_lab};

use crate::support::leak_test::Desktop;
use crate::support::person::{Person, may_reconnect};
use crate::support::{SOON, property, tunwarden, wait_for_state};

/// A desktop without a VPN, and a person in a session with dunst, who may reconnect. The programs run until they are
/// dropped.
fn with_dunst(lab: &Lab) -> Result<(Desktop<'_>, Person, [Process; 3])> {
    may_reconnect(lab)?;
    let desktop = Desktop::new(lab, "")?;
    let polkit = desktop.bus.polkit()?;
    let person = Person::log_in(lab, "en_US.UTF-8")?;
    let programs = [polkit, person.dunst()?, person.notify()?];
    Ok((desktop, person, programs))
}

#[test]
fn a_loss_is_on_the_screen_and_its_button_brings_the_vpn_back() -> Result<()> {
    with_lab(|lab| {
        let (desktop, person, _programs) = with_dunst(lab)?;
        desktop.connect()?;
        ensure!(person.shown().is_empty(), "all is well: {:?}", person.shown());

        lab.host().signal_all("openvpn", Signal::SIGKILL)?;
        let lost = person.sees("VPN lost: lab", 1)?;
        ensure!(lost.urgency == "CRITICAL", "{lost:?}");
        ensure!(lost.body.contains("Nothing leaves this computer unprotected"), "{lost:?}");
        person.wait_displayed(1)?;
        person.press("Details")?;
        let grown = person.reads("in a terminal: tunwarden status")?;
        ensure!(grown.title == "VPN lost: lab", "{grown:?}");
        person.wait_displayed(1)?;

        person.press("Reconnect")?;
        wait_for_state(lab, "protected")?;
        let back = person.sees("Protected again", 1)?;
        ensure!(back.body.contains("Everything goes through lab"), "{back:?}");
        desktop.carries()?;
        person.wait_displayed(0)?;
        desktop.check("a loss, and a button")
    })
}

/// Another container on the same bridge: its name, and the last byte of its address.
const CONTAINER: &str = "
    ip netns add $1
    ip link add veth-$1 type veth peer name eth0 netns $1
    ip link set veth-$1 master docker0
    ip link set veth-$1 up
    ip -n $1 link set lo up
    ip -n $1 address add 172.17.0.$2/16 dev eth0
    ip -n $1 link set eth0 up
    ip -n $1 route add default via 172.17.0.1";

/// What three containers try again and again: connections, datagrams, and questions for names.
const TRIES: [(&str, &str); 3] = [
    ("web", "echo >/dev/tcp/203.0.113.9/443"),
    ("db", "echo refused >/dev/udp/203.0.113.9/4000"),
    ("cache", "echo refused >/dev/udp/203.0.113.53/53"),
];

#[test]
fn three_containers_that_wait_for_the_vpn_are_one_line_in_the_notification_about_its_loss() -> Result<()> {
    with_lab(|lab| {
        let (desktop, person, _programs) = with_dunst(lab)?;
        let host = lab.host();
        host.bridged_container("web", "docker0")?;
        for (name, address) in [("db", "3"), ("cache", "4"), ("quiet", "5")] {
            host.succeed(["sh", "-ec", CONTAINER, "sh", name, address])?;
        }
        desktop.connect()?;
        let tries = TRIES.map(|(name, once)| {
            let again = format!("while :; do ({once}) 2>/dev/null; sleep 0.1; done");
            host.spawn(["ip", "netns", "exec", name, "bash", "-c", &again])
        });
        let _tries = tries.into_iter().collect::<Result<Vec<_>>>()?;
        ensure!(waiting(lab)? == "u 0", "they wait for no VPN while it is connected");

        host.signal_all("openvpn", Signal::SIGKILL)?;
        let told = person.reads("3 containers are waiting for it.")?;
        ensure!(told.title == "VPN lost: lab", "{told:?}");
        person.wait_displayed(1)?;
        // One refusal is not "again and again".
        host.succeed(["ip", "netns", "exec", "quiet", "bash", "-c", "echo once >/dev/udp/203.0.113.9/4001"])?;
        ensure!(waiting(lab)? == "u 3", "the agent counts {}", waiting(lab)?);

        person.press("Reconnect")?;
        wait_for_state(lab, "protected")?;
        ensure!(waiting(lab)? == "u 0", "they wait for no VPN after it is back");
        desktop.check("a loss, and containers that wait")
    })
}

/// The number of containers that wait, as every user can read it.
fn waiting(lab: &Lab) -> Result<String> {
    property(lab, "nobody", "WaitingContainers")
}

#[test]
fn a_click_on_the_button_in_xfces_window_brings_the_vpn_back() -> Result<()> {
    with_lab(|lab| {
        may_reconnect(lab)?;
        let desktop = Desktop::new(lab, "")?;
        let _polkit = desktop.bus.polkit()?;
        let person = Person::log_in(lab, "en_US.UTF-8")?;
        let _xfce = person.xfce4_notifyd()?;
        let _notify = person.notify()?;
        desktop.connect()?;
        ensure!(person.window()?.is_none(), "all is well");
        lab.host().signal_all("openvpn", Signal::SIGKILL)?;
        let window = wait_for("the window", SOON, || person.window())?;
        // The buttons are in the last row, `Reconnect` to the left of `Details`.
        let (x, y) = ((window.width - 150).to_string(), (window.height - 31).to_string());
        person.session.succeed(["xdotool", "mousemove", "--window", &window.id, &x, &y, "click", "1"])?;
        wait_for_state(lab, "protected")?;
        desktop.carries()?;
        desktop.check("a loss, and a click")
    })
}

#[test]
fn five_losses_in_a_minute_are_one_notification_with_the_count() -> Result<()> {
    with_lab(|lab| {
        let desktop = Desktop::new(lab, "")?;
        let person = Person::log_in(lab, "en_US.UTF-8")?;
        let _dunst = person.dunst()?;
        let mut notify = person.notify()?;
        desktop.connect()?;
        let route = lab.host().succeed(["ip", "route", "show", "default", "dev", "tun0"])?;
        let route = format!("{} dev tun0", route.trim());
        let default = |verb: &str| {
            let words = ["ip", "route", verb].into_iter().chain(route.split_whitespace());
            lab.host().succeed(words).map(drop)
        };
        for round in 1..=5 {
            default("del")?;
            desktop.signals.wait_for("lost", round)?;
            default("add")?;
            desktop.signals.wait_for("protected", round + 1)?;
            ensure!(person.displayed()? <= 1, "a pile: {:#?}", person.shown());
        }
        notify.wait_for_lines("event: Lost", 5, SOON)?;
        let unstable = person.reads("It was lost 5 times within a minute")?;
        ensure!(unstable.urgency == "CRITICAL", "{unstable:?}");
        // From the third loss on, each notification replaces the one before.
        let told = person.shown().into_iter().filter(|notice| notice.title == "VPN unstable: lab");
        let ids: BTreeSet<String> = told.map(|notice| notice.id).collect();
        ensure!(ids.len() == 1, "{ids:?}");
        person.wait_displayed(1)
    })
}

#[test]
fn a_pause_and_a_repair_are_shown() -> Result<()> {
    with_lab(|lab| {
        let desktop = Desktop::new(lab, "")?;
        let person = Person::log_in(lab, "en_US.UTF-8")?;
        let _dunst = person.dunst()?;
        let _notify = person.notify()?;
        ensure!(tunwarden(lab, ["pause", "5m"])?.status.success());
        let paused = person.sees("Protection is off until", 1)?;
        ensure!(paused.body.contains("For 5 minutes everything leaves"), "{paused:?}");
        // Closing needs no permission.
        person.press("Resume")?;
        wait_for_state(lab, "locked")?;
        let resumed = person.sees("Protection is on again", 1)?;
        ensure!(resumed.body.contains("until the VPN is connected"), "{resumed:?}");
        lab.host().succeed(["iptables", "-F", "OUTPUT_VPN_KILL_SWITCH"])?;
        tunwarden(lab, ["verify"])?;
        person.sees("Protection was damaged and repaired", 1)?;
        wait_for_state(lab, "locked")?;
        drop(desktop);
        Ok(())
    })
}
