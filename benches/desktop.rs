//! The time from the loss of the tunnel to the notification on the screen: `make bench`.
//!
//! The laboratory runs the real programs: NetworkManager and OpenVPN, the agent on a system bus, and `tunwarden notify`
//! as an ordinary user with dunst on a screen. The time starts when the kernel says that the tunnel is lost. It ends
//! when dunst has shown the notification and has started the program that writes the time, which is a little later.
//! Nothing passes or fails here: the benchmark prints medians and spreads.
#![allow(clippy::disallowed_methods, reason = "this reads times")]

mod figures;
#[path = "../tests/support/mod.rs"]
mod support;

use anyhow::{Context, Result};
use figures::{ratios, spread};
use jiff::Timestamp;
use nix::sys::signal::Signal;
use support::person::Person;
use support::{SOON, agent, bus, wait_for_state};
use tunwarden_lab::openvpn::ServerOptions;
use tunwarden_lab::{Process, with_lab};

/// Number of losses of the VPN.
const RUNS: usize = 15;

/// The program that dunst runs for each notification: it writes the time and the urgency to a file.
const NOTE: &str = "#!/bin/sh\necho \"$(date -u +%FT%T.%NZ) $DUNST_URGENCY\" >> /run/person/moments\n";

fn main() -> Result<()> {
    with_lab(|lab| {
        let bus = bus(lab)?;
        let server = lab.openvpn_server(ServerOptions::default())?;
        let nm = lab.host().network_manager(&bus)?;
        nm.add_ethernet(&lab.uplinks()[0])?;
        nm.add_vpn("lab", &server)?;
        let agent = agent(lab, "")?;
        let person = Person::log_in(lab, "en_US.UTF-8")?;
        person.session.file("seen.sh", NOTE, 0o755)?;
        let _dunst = person.dunst()?;
        let _notify = person.notify()?;
        let monitor = ["ip", "-ts", "-o", "monitor", "link"];
        let mut links = lab.host().command(monitor).env("TZ", "UTC").spawn()?;

        let (mut told, mut seen) = (Vec::new(), Vec::new());
        for run in 1..=RUNS {
            nm.up("lab")?;
            wait_for_state(lab, "protected")?;
            lab.host().signal_all("openvpn", Signal::SIGKILL)?;
            let tunnel_removed_at = tunnel_removed_at(&mut links, run)?;
            let on_screen = tunwarden_lab::wait_for("the notification", SOON, || {
                Ok(moments(&person).into_iter().find(|&moment| moment > tunnel_removed_at))
            })?;
            let on_bus = moment_of_loss(&agent, run)?;
            told.push(on_bus.duration_since(tunnel_removed_at).as_secs_f64() * 1000.0);
            seen.push(on_screen.duration_since(tunnel_removed_at).as_secs_f64() * 1000.0);
        }
        println!("tunnel gone -> rules in force and bus signal sent: {}", spread(&told));
        println!("tunnel gone -> notification on the screen:         {}", spread(&seen));
        println!("on the screen / bus signal:                        {}", ratios(&seen, &told));
        Ok(())
    })
}

/// When the kernel removed the `run`th tunnel: `[2026-01-01T10:00:00.000000] Deleted 5: tun0: …`.
fn tunnel_removed_at(links: &mut Process, run: usize) -> Result<Timestamp> {
    let line = links.wait_for_lines("Deleted", run, SOON)?;
    let moment = line.split(['[', ']']).nth(1).context("no time")?;
    Ok(format!("{moment}Z").parse()?)
}

/// When the agent's log reports the loss. The agent writes the log and sends the signal at the same time.
fn moment_of_loss(agent: &Process, run: usize) -> Result<Timestamp> {
    let log = agent.log();
    let line = log.lines().filter(|line| line.contains(" is lost: ")).nth(run - 1);
    let moment = line.and_then(|line| line.split(' ').next()).context("no loss in the log")?;
    Ok(moment.parse()?)
}

/// Every moment at which a critical notification was shown.
fn moments(person: &Person) -> Vec<Timestamp> {
    let noted = person.session.read("moments");
    let critical = noted.lines().filter_map(|line| line.strip_suffix(" CRITICAL")?.parse().ok());
    critical.collect()
}
