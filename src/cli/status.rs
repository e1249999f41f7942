//! `tunwarden status`: shows whether this machine is protected.

use std::path::Path;
use std::process::ExitCode;

use clap::Args as ClapArgs;
use futures_util::StreamExt;
use zbus::{MatchRule, MessageStream};

use super::load::{configuration_status, in_force};
use super::screen::{self, Screen};
use super::{LOCKED, OPEN, Outcome, UNKNOWN, client, lock, say, verify, warn};
use crate::bus::{self, Agent1Proxy, NAME, PATH};
use crate::firewall::Firewall;
use crate::status::{Enforcement, Status, Unread, Verdict, VpnStatus};
use crate::store::Store;
use crate::system;
use crate::vpn::State;

/// How often `--watch` updates the elapsed time.
const SECOND: std::time::Duration = std::time::Duration::from_secs(1);

/// How long the agent's comparison may take. It may take longer if a program hangs, which is killed after 20 seconds.
const COMPARISON: std::time::Duration = std::time::Duration::from_secs(15);

#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// Print JSON, for programs.
    #[arg(long)]
    json: bool,
    /// Keep running and print every change.
    #[arg(long, short)]
    watch: bool,
}

pub(super) async fn run(args: &Args, path: Option<&Path>) -> Outcome {
    let agent = client::connect().await;
    let status = match &agent {
        Ok(agent) => of_agent(agent).await?,
        Err(error) => {
            let status = without_agent(path).await;
            if !args.json {
                warn(&format!("tunwarden: {error:#}"));
            }
            status
        }
    };
    let mut screen = Screen::of_stdout();
    print(args, &status, &mut screen);
    if args.watch {
        return watch(args, &agent?, status, screen).await;
    }
    Ok(exit_code(&status))
}

/// Shows every changed status until the agent or the bus ends. On a terminal it also updates the elapsed time.
async fn watch(args: &Args, agent: &Agent1Proxy<'_>, mut status: Status, mut screen: Screen) -> Outcome {
    let passes = screen.is_terminal() && !args.json;
    let mut changes = changes(agent).await?;
    let mut owners = agent.inner().receive_owner_changed().await?;
    let mut reader_gone = std::pin::pin!(screen::reader_gone());
    loop {
        // The status is read before waiting, because it may have changed before the subscription.
        let Ok(now) = client::status(agent).await else { break };
        if now != status || passes {
            print(args, &now, &mut screen);
            status = now;
        }
        tokio::select! {
            () = tokio::time::sleep(SECOND), if passes => {}
            change = changes.next() => if change.is_none() { break },
            owner = owners.next() => if owner.flatten().is_none() { break },
            () = &mut reader_gone => return Ok(exit_code(&status)),
        }
    }
    anyhow::bail!("the agent has ended; to see which rules the kernel holds now: tunwarden status")
}

fn exit_code(status: &Status) -> ExitCode {
    ExitCode::from(match status.verdict() {
        Verdict::Protected => 0,
        Verdict::Locked => LOCKED,
        Verdict::Open => OPEN,
        Verdict::Unknown => UNKNOWN,
    })
}

fn print(args: &Args, status: &Status, screen: &mut Screen) {
    if args.json {
        match status.json() {
            Ok(json) => say(&json),
            Err(error) => warn(&format!("tunwarden: {error}")),
        }
    } else {
        screen.show(status, system::now());
    }
}

/// The current status, from the agent if one answers, else from the kernel.
pub(super) async fn now(path: Option<&Path>) -> Status {
    match client::connect().await {
        Ok(agent) => match of_agent(&agent).await {
            Ok(status) => status,
            Err(_) => without_agent(path).await,
        },
        Err(_) => without_agent(path).await,
    }
}

/// The agent's status, corrected by what the kernel holds now.
async fn of_agent(agent: &Agent1Proxy<'_>) -> anyhow::Result<Status> {
    let mut differences = compared(agent).await;
    if differences.as_ref().is_ok_and(|lines| !lines.is_empty()) {
        // The agent has repaired the differences. A second comparison shows what the kernel holds after that.
        differences = compared(agent).await;
    }
    let status = client::status(agent).await?;
    let found = match &differences {
        Ok(lines) if lines.is_empty() => return Ok(status),
        // The agent's own status already says why the rules are not in force.
        Ok(_) if !status.enforced() => status.enforcement,
        Ok(_) => Enforcement::NotEnforced,
        Err(_) => Enforcement::Unknown(Unread::Failed),
    };
    let mut status = status.found(found);
    for layer in &mut status.layers {
        match &differences {
            Ok(lines) => layer.compare_with(lines),
            Err(error) => layer.mark_unread(&bus::error_text(error)),
        }
    }
    Ok(status)
}

/// The agent's comparison. If a program hangs, it takes longer. Then the agent's status says that it waits for a
/// program.
async fn compared(agent: &Agent1Proxy<'_>) -> zbus::Result<Vec<String>> {
    let compared = tokio::time::timeout(COMPARISON, agent.verify()).await;
    compared.unwrap_or_else(|_| Err(zbus::Error::Failure("the agent does not answer in time".to_owned())))
}

/// All signals of the agent. Each may mean that the status has changed.
async fn changes(agent: &Agent1Proxy<'_>) -> anyhow::Result<MessageStream> {
    let rule = MatchRule::builder().msg_type(zbus::message::Type::Signal).sender(NAME).path(PATH).build()?;
    Ok(MessageStream::for_match_rule(rule, agent.inner().connection(), None).await?)
}

/// The status from the kernel's rules alone. Without an agent the VPN's state is unknown, and it counts as locked.
async fn without_agent(path: Option<&Path>) -> Status {
    let store = Store::default();
    let in_force = in_force(path, &store);
    let configuration = configuration_status(path, &in_force);
    let config = in_force.config;
    let learned = lock::learned(&config, &store);
    let mut firewall = Firewall::new(&config.firewall);
    let enforcement = match verify::without_agent(&mut firewall, &config, &store).await {
        Ok(lines) if lines.is_empty() => Enforcement::Enforced,
        Ok(_) => Enforcement::NotEnforced,
        Err(error) if nix::unistd::geteuid().is_root() => {
            warn(&format!("tunwarden: {error:#}"));
            Enforcement::Unknown(Unread::Failed)
        }
        Err(_) => Enforcement::Unknown(Unread::NotPermitted),
    };
    let applied = store.applied().ok().flatten().unwrap_or_default();
    let mut situation = applied.situation;
    let now = system::now().cast_signed();
    let from = situation.paused_from.is_none_or(|from| from.as_second() <= now);
    let open = from && situation.paused_until.is_some_and(|until| until.as_second() > now);
    situation.state = if open { State::Paused } else { State::Locked };
    if !open {
        situation.paused_until = None;
    }
    let status = Status::new(&situation, applied.since, enforcement, crate::system::has_docker());
    let mut status = status.with_layers(firewall.layers());
    status.agent = false;
    status.configuration = Some(configuration);
    status.left_out = lock::left_out(&learned);
    (status.vpns, status.vpns_left_out) = VpnStatus::listed(learned.listed_vpns());
    status
}
