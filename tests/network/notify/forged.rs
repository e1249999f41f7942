//! Any local user can send signals that look like the agent's. The notifier accepts only the agent's.

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use tunwarden_lab::with_lab;

use crate::support::SOON;
use crate::support::leak_test::Desktop;
use crate::support::person::Person;

const PATH: &str = "/org/tunwarden/Agent1";
const NAME: &str = "org.tunwarden.Agent1";

#[test]
fn signals_of_somebody_else_are_not_shown() -> Result<()> {
    with_lab(|lab| {
        let desktop = Desktop::new(lab, "")?;
        let person = Person::log_in(lab, "en_US.UTF-8")?;
        let _dunst = person.dunst()?;
        let mut notify = person.notify()?;
        notify.wait_for_line("event: Agent(Some", SOON)?;
        // To everybody, and to each connection alone, one of which is the notifier's.
        let names = lab.host().succeed(["busctl", "--system", "--no-legend", "--unique", "list"])?;
        let targets: Vec<&str> = names.lines().filter_map(|line| line.split_whitespace().next()).collect();
        ensure!(targets.len() >= 2, "the agent and the notifier are on the bus: {names}");
        let forge = |destination: Option<&str>| {
            let destination = destination.map(|name| format!("--dest={name}"));
            for (member, words) in [
                ("VpnLost", vec!["string:forged", "string:tun0", "string:forged"]),
                ("EnforcementFailed", vec!["string:forged"]),
            ] {
                let member = format!("{NAME}.{member}");
                let send = ["dbus-send", "--system", "--type=signal"].into_iter().map(ToOwned::to_owned);
                let rest =
                    [PATH.to_owned(), member].into_iter().chain(words.into_iter().map(ToOwned::to_owned));
                lab.host().command(send.chain(destination.clone()).chain(rest)).user("nobody").succeed()?;
            }
            anyhow::Ok(())
        };
        forge(None)?;
        targets.iter().try_for_each(|name| forge(Some(name)))?;
        // The control: the signals to the notifier alone did arrive.
        notify.wait_for_line("ignored a signal that the agent did not send", SOON)?;
        // A real signal after the forged ones: the notifier accepted none before it.
        desktop.connect()?;
        lab.host().signal_all("openvpn", Signal::SIGKILL)?;
        person.sees("VPN lost: lab", 1)?;
        let log = notify.log();
        ensure!(log.matches("event: Lost").count() == 1, "one loss was real: {log}");
        ensure!(!log.contains("event: Failed"), "{log}");
        ensure!(!person.shown().iter().any(|notice| notice.body.contains("forged")), "{:?}", person.shown());
        Ok(())
    })
}
