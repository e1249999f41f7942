//! Destinations are private: they exist only in the agent's memory, and each user sees only their own.

use anyhow::{Result, ensure};
use serde_json::json;
use tunwarden_lab::{Lab, wait_for, with_lab};

use super::{KNOWN, blocked, wait_for_group};
use crate::support::{SOON, TUNWARDEN, agent, bus, property, start_agent, wait_for_state};

const SECRET: &str = "203.0.113.99";

/// The number of refusals that a user reads on the bus.
fn count(lab: &Lab, user: &str) -> Result<u32> {
    Ok(property(lab, user, "Blocked")?.trim_start_matches("u ").parse()?)
}

/// A program of nobody sends to `SECRET`, and the refusal is listed.
fn refuse(lab: &Lab) -> Result<()> {
    let group = json!(["program", null, "nobody", SECRET, 4000, "udp", "no-vpn", null]);
    let target = format!("{SECRET}:4000");
    wait_for_group(lab, &group, || lab.host().udp(&target)?.from_user("nobody").send().map(drop))
}

#[test]
fn destinations_are_in_memory_alone_and_only_the_count_is_for_everybody() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let mut first = agent(lab, KNOWN)?;
        wait_for_state(lab, "locked")?;
        refuse(lab)?;
        ensure!(blocked(lab, "nobody")?.len() == 1, "the control: the own user sees it");
        ensure!(blocked(lab, "daemon")?.is_empty(), "another user sees it");
        ensure!(count(lab, "daemon")? >= 1, "the count is for everybody");

        let files = ["/etc/tunwarden", "/run/tunwarden", "/var/lib/tunwarden"];
        let grep =
            ["grep", "--recursive", "--files-with-matches", "--fixed-strings", "--devices=skip", SECRET];
        let found = lab.host().run(grep.into_iter().chain(files))?;
        ensure!(found.stdout.is_empty(), "a file has the destination: {found:?}");
        let kept =
            ["grep", "--recursive", "--quiet", "--fixed-strings", "198.51.100.7", "/var/lib/tunwarden"];
        ensure!(lab.host().run(kept)?.status.success(), "the control: nothing is kept there");

        first.stop()?;
        let log = first.log();
        ensure!(log.contains("refused in the last minute: no-vpn "), "{log}");
        ensure!(!log.contains(SECRET), "the journal has the destination: {log}");
        let _second = start_agent(lab)?;
        wait_for_state(lab, "locked")?;
        ensure!(blocked(lab, "nobody")?.is_empty(), "the list is gone with the agent");
        Ok(())
    })
}

#[test]
fn the_journal_gets_destinations_if_the_configuration_says_so() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let mut agent = agent(lab, &format!("{KNOWN}[log]\ndestinations = true\n"))?;
        wait_for_state(lab, "locked")?;
        refuse(lab)?;
        agent.stop()?;
        let uid = lab.host().succeed(["id", "-u", "nobody"])?;
        let said = format!("refused: a program of user {} to {SECRET} port 4000 protocol 17, ", uid.trim());
        let log = agent.log();
        ensure!(log.contains("refused in the last minute: no-vpn ") && log.contains(&said), "{log}");
        Ok(())
    })
}

#[test]
fn a_refusal_is_older_than_the_period_that_is_asked_for() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let _agent = agent(lab, KNOWN)?;
        wait_for_state(lab, "locked")?;
        refuse(lab)?;
        let listed = |words: &[&str]| {
            let words = [TUNWARDEN, "blocked"].into_iter().chain(words.iter().copied());
            Ok::<_, anyhow::Error>(lab.host().succeed(words)?.contains(SECRET))
        };
        ensure!(listed(&["--since", "10m"])?, "it is not in the list of the last ten minutes");
        wait_for("it is not in the list of the last second", SOON, || {
            Ok((!listed(&["--since", "1s"])?).then_some(()))
        })?;
        ensure!(listed(&[])? && listed(&["--since", "10m"])?, "the control: it is not listed any more");
        Ok(())
    })
}
