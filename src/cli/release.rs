//! `tunwarden release`: removes all rules of tunwarden from the kernel.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args as ClapArgs;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::load::{in_force, in_force_with_warning};
use super::{Outcome, check::is_in_legacy, lock::lock_rules, needs_root, say, warn};
use crate::agent::describe;
use crate::effects::{
    hosts::{self, Pins},
    routes, systemd,
};
use crate::firewall::{Dump, Firewall, Kept, LeftChain, Released, StillClosed, restore_arp};
use crate::policy::ForeignChain;
use crate::store::Store;
use crate::system::process::open;
use crate::vpn::Detours;

/// How long a running agent may take to end.
const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// Do not ask for confirmation.
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(args: &Args, path: Option<&Path>) -> Outcome {
    needs_root("release")?;
    if !args.yes && !confirmed()? {
        bail!(
            "not confirmed, so nothing was changed; to release without a question: tunwarden release --yes"
        );
    }
    let (mut firewall, _lock) = end(path).await?;
    let released = firewall.release().await.context("not everything could be released")?;
    print_released(&released);
    let forward_is_closed = released.closed.iter().any(|closed| closed.chain == ForeignChain::Forward);
    if is_in_legacy(&in_force(path, &Store::default()).config.firewall) && !forward_is_closed {
        say(
            "FORWARD is open, as it was before tunwarden. iptables-legacy does not show whether another program has closed \
             it since; to close it: sudo iptables-legacy -P FORWARD DROP",
        );
    }
    remove_other_changes().await?;
    Ok(ExitCode::SUCCESS)
}

/// Tells the user what is open now, and which parts stay closed.
fn print_released(released: &Released) {
    for LeftChain { program, table, chain, rules } in &released.left {
        let table = table.as_str();
        let why = match rules[..] {
            [] => format!(
                "something in the table {table} refers to it that iptables does not show; find it with: sudo nft list \
                 ruleset | grep {chain}; delete it"
            ),
            [_, ..] => {
                format!("these rules in the table {table} jump to it: {}; delete them", rules.join("; "))
            }
        };
        say(&format!(
            "{program}: the chain {chain} stays, empty, because {why}, then: {program} -t {table} -X {chain}"
        ));
    }
    for StillClosed { program, chain, why } in &released.closed {
        let why = match why {
            Kept::Docker => "Docker's rules stand there",
            Kept::Ufw => "ufw closes it",
            Kept::Before => "it was closed before tunwarden",
            Kept::Since => "another program has closed it while tunwarden ran",
            Kept::Rules => "its rules are those of a firewall that closes",
            Kept::Unknown => "nobody knows what it was before tunwarden",
        };
        let chain = chain.as_str();
        say(&format!(
            "{program}: {chain} stays closed (DROP), because {why}; to open it: {program} -P {chain} ACCEPT"
        ));
    }
    say("released: this machine has no kill switch now, everything leaves in clear");
}

/// Ends the agent, removes all rules of tunwarden from the kernel, and restores the rules of `before`.
pub(super) async fn restore_earlier(path: Option<&Path>, before: &Dump) -> anyhow::Result<()> {
    let (mut firewall, _lock) = end(path).await?;
    firewall.restore_earlier(before).await.context("the earlier rules could not be restored")?;
    remove_other_changes().await
}

/// Ends the agent. Returns the firewall and the lock that only one tunwarden process holds.
async fn end(path: Option<&Path>) -> anyhow::Result<(Firewall, Option<impl Drop + use<>>)> {
    let store = Store::default();
    end_agent(&store).await?;
    end_helper().await;
    let lock_rules = lock_rules(&store).await;
    Ok((Firewall::new(&in_force_with_warning(path, &store).config.firewall), lock_rules))
}

/// Removes what tunwarden has set outside the firewall.
async fn remove_other_changes() -> anyhow::Result<()> {
    let store = Store::default();
    if let Err(error) = restore_arp(store.run()) {
        warn(&format!("tunwarden: {}", describe(&error)));
    }
    // Host routes that a dead tunnel needed open nothing, but they are tunwarden's.
    if let Err(error) = routes::set(&Detours::default()).await {
        warn(&format!("tunwarden: {}", describe(&error)));
    }
    if let Err(error) = hosts::pin(Path::new(hosts::HOSTS), &Pins::new()) {
        warn(&format!("tunwarden: {}", describe(&error)));
    }
    let (policies, applied) = (store.forget_policies(), store.forget_applied());
    policies?;
    Ok(applied?)
}

fn confirmed() -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    let mut out = std::io::stdout().lock();
    write!(
        out,
        "This opens the firewall: everything that this machine sends leaves in clear. Continue? [y/N] "
    )?;
    out.flush()?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

/// Stops the helper that writes `/etc/hosts` for the agent, because it could add a pin again. The agent's unit starts
/// its socket again.
async fn end_helper() {
    // A helper that still runs writes before or after this process.
    stop(&["tunwarden-hosts.socket", "tunwarden-hosts@*.service"]).await;
}

/// Stops these units if systemd runs. A machine without the package's units has none of them.
async fn stop(units: &[&str]) {
    if systemd::is_running() {
        let _ = systemd::systemctl(&[&["stop", "--quiet"][..], units].concat()).await;
    }
}

/// Stops the unit and ends the agent: a running or restarted agent would put the rules in force again.
async fn end_agent(store: &Store) -> anyhow::Result<()> {
    // systemd would restart the agent if the agent alone ended. A failure of this call is noticed below: the agent
    // still runs.
    stop(&["tunwarden.service"]).await;
    let Some(pid) = store.running_agent() else { return Ok(()) };
    say(&format!("ending the agent (process {pid})"));
    let process = u32::try_from(pid).ok().and_then(|pid| open(pid).ok().flatten());
    kill(Pid::from_raw(pid), Signal::SIGTERM)
        .context("cannot end the agent; try: sudo systemctl stop tunwarden")?;
    let ended = async {
        while store.running_agent().is_some() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // The kernel may close the agent's lock before its sockets, with which the tables end that it owns.
        if let Some(process) = process {
            let _ = process.readable().await;
        }
    };
    tokio::time::timeout(TIMEOUT, ended)
        .await
        .context("the agent does not end; try: sudo systemctl stop tunwarden")
}
