//! The command line, with one file for each command. `anyhow` carries errors to the user only here and in `main`.

mod agent;
mod blocked;
mod bundle;
mod check;
mod client;
mod control;
mod doctor;
mod duration;
mod examples;
mod hook;
mod hosts;
mod init;
mod journal;
mod load;
mod lock;
mod log;
mod notify;
mod prove;
mod refused;
mod release;
mod rules;
mod screen;
mod set;
mod status;
mod verify;
mod version;
mod why;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_journald::Priority;

use crate::store::Store;
pub use refused::refuse;

/// A VPN kill switch for this machine and its containers that fails closed.
///
/// A firewall that drops by default is always in force. When the VPN comes or goes, only one thing changes:
/// the narrow allowance through which the VPN client reaches its server.
#[derive(Debug, Parser)]
#[command(
    version,
    propagate_version = true,
    after_help = examples::ALL
)]
pub struct Cli {
    /// Use this configuration file.
    #[arg(long, global = true, value_name = "PATH")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Write a configuration for this machine and put it in force; it is undone unless you confirm it.
    #[command(after_help = examples::INIT)]
    Init(init::Args),
    /// Show what is wrong and how to fix it. Exit: 1 if anything is wrong.
    #[command(after_help = examples::DOCTOR)]
    Doctor(doctor::Args),
    /// Run the agent that follows the VPN (systemd does this).
    #[command(after_help = examples::AGENT)]
    Agent(agent::Args),
    /// Put the locked rules in force, once. Needs no bus and no network.
    #[command(after_help = examples::LOCK)]
    Lock,
    /// Remove all rules of tunwarden from the kernel. Everything leaves in clear then.
    #[command(after_help = examples::RELEASE)]
    Release(release::Args),
    /// Show whether this machine is protected. Exit: 0 protected, 3 not protected but locked, 4 open,
    /// 5 unknown.
    #[command(after_help = examples::STATUS)]
    Status(status::Args),
    /// Read the configuration and explain what it means. Exit: 2 if it has faults.
    #[command(after_help = examples::CHECK)]
    Check,
    /// Print the exact rules of a state, in the format of iptables-restore.
    #[command(after_help = examples::RULES)]
    Rules(rules::Args),
    /// Compare the rules in the kernel with the expected rules. Exit: 4 if they differ.
    #[command(after_help = examples::VERIFY)]
    Verify,
    /// Compute from the kernel's own rules that no packet can leave in clear. Exit: 0 proven; 4 a packet can leave;
    /// 1 it could not be shown.
    #[command(after_help = examples::PROVE)]
    Prove(prove::Args),
    /// Show what would happen to such a packet now, and which rule of which program decides. Exit: 0 it goes to the
    /// tunnel, the LAN or a VPN server; 3 refused; 4 it would leave in clear; 5 unknown.
    #[command(after_help = examples::WHY)]
    Why(why::Args),
    /// Show who was refused, where to, how often and why.
    #[command(after_help = examples::BLOCKED)]
    Blocked(blocked::Args),
    /// Open everything for a limited time: 90s, 5m, 1h30m.
    #[command(after_help = examples::PAUSE)]
    Pause(control::PauseArgs),
    /// End a pause immediately.
    #[command(after_help = examples::RESUME)]
    Resume,
    /// Reconnect a lost VPN: restart the VPN, then its network, then all networks.
    #[command(after_help = examples::RECONNECT)]
    Reconnect,
    /// Tell the agent to read its configuration again. Exit: 2 if it is refused.
    #[command(after_help = examples::RELOAD)]
    Reload,
    /// Change keys of the configuration, with its comments kept, and put it in force. Exit: 2 if it is refused.
    #[command(after_help = examples::SET)]
    Set(set::Args),
    /// Show notifications and an indicator in this desktop session (starts with the session).
    #[command(after_help = examples::NOTIFY)]
    Notify(notify::Args),
    /// Show the log of the agent from the journal.
    #[command(after_help = examples::LOG)]
    Log(journal::Args),
    /// Show the version of tunwarden and of the programs that it uses.
    #[command(after_help = examples::VERSION)]
    Version,
    /// Called by OpenVPN and NetworkManager; always exits with 0.
    #[command(subcommand)]
    Hook(hook::Hook),
    /// Started by systemd for the agent: writes pins to /etc/hosts.
    #[command(hide = true)]
    Hosts,
}

/// The result of a command: an exit code, or an error for the user.
type Outcome = anyhow::Result<ExitCode>;

/// Exit code: not protected, and nothing leaves in clear.
const LOCKED: u8 = 3;
/// Exit code: packets may leave in clear, because the rules are not in force or are paused.
const OPEN: u8 = 4;
/// Exit code: the rules in the kernel cannot be read.
const UNKNOWN: u8 = 5;
/// Exit code: the configuration has faults.
const BAD_CONFIG: u8 = 2;

/// Runs the command.
pub fn run(cli: Cli) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(dispatch(cli)),
        Err(error) => Err(error.into()),
    };
    result.unwrap_or_else(|error| {
        log::print(Priority::Error, &format!("tunwarden: {error:#}"));
        ExitCode::FAILURE
    })
}

async fn dispatch(cli: Cli) -> Outcome {
    let config = cli.config.as_deref();
    let closes = matches!(cli.verb, Verb::Lock | Verb::Resume);
    let reads =
        matches!(cli.verb, Verb::Status(_) | Verb::Verify | Verb::Reconnect | Verb::Reload | Verb::Pause(_));
    // If an agent runs, these commands ask the agent, and do not read the file otherwise.
    if (closes || reads)
        && let Some(path) = config
        && let Err(faults) = load::load(Some(path))
    {
        if reads {
            warn(&faults.to_string());
            return Ok(ExitCode::from(if matches!(cli.verb, Verb::Pause(_)) { 1 } else { BAD_CONFIG }));
        }
        if Store::default().running_agent().is_some() {
            warn(&faults.to_string());
            verb(cli.verb, config).await?;
            return Ok(ExitCode::from(BAD_CONFIG));
        }
    }
    verb(cli.verb, config).await
}

async fn verb(verb: Verb, config: Option<&Path>) -> Outcome {
    match verb {
        Verb::Agent(args) => agent::run(&args, config).await,
        Verb::Init(args) => init::run(&args, config).await,
        Verb::Doctor(args) => doctor::run(&args, config).await,
        Verb::Lock => lock::run(config).await,
        Verb::Release(args) => release::run(&args, config).await,
        Verb::Status(args) => status::run(&args, config).await,
        Verb::Check => check::run(config),
        Verb::Rules(args) => rules::run(&args, config).await,
        Verb::Verify => verify::run(config).await,
        Verb::Prove(args) => prove::run(&args, config).await,
        Verb::Why(args) => why::run(&args, config).await,
        Verb::Blocked(args) => blocked::run(&args).await,
        Verb::Pause(args) => control::pause(&args).await,
        Verb::Resume => control::resume(config).await,
        Verb::Reconnect => control::reconnect().await,
        Verb::Reload => control::reload().await,
        Verb::Set(args) => set::run(&args, config).await,
        Verb::Notify(args) => notify::run(&args).await,
        Verb::Log(args) => journal::run(&args),
        Verb::Version => version::run().await,
        Verb::Hook(hook) => Ok(hook::run(&hook).await),
        Verb::Hosts => hosts::run(),
    }
}

/// Fails unless the user is root.
fn needs_root(verb: &str) -> anyhow::Result<()> {
    anyhow::ensure!(nix::unistd::geteuid().is_root(), "this needs root: sudo tunwarden {verb}");
    Ok(())
}

/// The variable in which `pkexec` gives the id of the user who runs it.
const PKEXEC: &str = "PKEXEC_UID";

/// The id of the user who runs the command with sudo or pkexec.
fn caller() -> Option<std::ffi::OsString> {
    ["SUDO_UID", PKEXEC].into_iter().find_map(std::env::var_os)
}

/// Refuses a configuration that the caller of `pkexec` chooses. polkit's action is for this command with any options, its
/// prompt speaks of the settings of this machine, and root reads no file for somebody else.
fn no_file_by_pkexec(verb: &str, path: Option<&Path>) -> anyhow::Result<()> {
    anyhow::ensure!(
        path.is_none() || std::env::var_os(PKEXEC).is_none(),
        "pkexec cannot choose the configuration: sudo tunwarden {verb} --config FILE"
    );
    Ok(())
}

/// Prints to standard output. If the reader has ended (`| head`), this is not an error.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Prints a warning to standard error.
fn warn(text: &str) {
    log::print(Priority::Warning, text);
}
