//! The command line: one file a verb. Here `anyhow` carries what went wrong to the person who asked.

mod agent;
mod bundle;
mod check;
mod client;
mod control;
mod doctor;
mod duration;
mod examples;
mod hook;
mod init;
mod journal;
mod load;
mod lock;
mod log;
mod notify;
mod release;
mod rules;
mod screen;
mod status;
mod verify;
mod version;

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_journald::Priority;

use crate::store::Store;

/// A VPN kill switch for this machine and its containers that fails closed.
///
/// A drop-by-default firewall stays in place for ever; only the narrow allowance through which the
/// VPN client reaches its server moves as the VPN comes and goes.
#[derive(Debug, Parser)]
#[command(
    version,
    propagate_version = true,
    after_help = examples::ALL
)]
pub struct Cli {
    /// The configuration to use.
    #[arg(long, global = true, value_name = "PATH")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Look at this machine, write a configuration for it, and put it in force, to be confirmed.
    #[command(after_help = examples::INIT)]
    Init(init::Args),
    /// Say what is wrong and how to mend it. Exit: 1 when anything is.
    #[command(after_help = examples::DOCTOR)]
    Doctor(doctor::Args),
    /// Run the agent that follows the VPN (systemd does this).
    #[command(after_help = examples::AGENT)]
    Agent(agent::Args),
    /// Put the locked rules in force, once; needs neither bus nor network.
    #[command(after_help = examples::LOCK)]
    Lock,
    /// Take every trace of tunwarden out of the kernel again.
    #[command(after_help = examples::RELEASE)]
    Release(release::Args),
    /// Say whether this machine is protected. Exit: 0 protected, 3 not protected but locked, 4 open,
    /// 5 unknown.
    #[command(after_help = examples::STATUS)]
    Status(status::Args),
    /// Read the configuration and say what it means. Exit: 2 when it has faults.
    #[command(after_help = examples::CHECK)]
    Check,
    /// Print the exact rules of a state, as iptables-restore takes them.
    #[command(after_help = examples::RULES)]
    Rules(rules::Args),
    /// Compare the kernel with the rules, line by line. Exit: 4 when they differ.
    #[command(after_help = examples::VERIFY)]
    Verify,
    /// Open everything for a while: 90s, 5m, 1h30m.
    #[command(after_help = examples::PAUSE)]
    Pause(control::PauseArgs),
    /// Close again at once.
    #[command(after_help = examples::RESUME)]
    Resume,
    /// Bring the VPN back that was lost: the VPN, then its network, then all networks off and on.
    #[command(after_help = examples::RECONNECT)]
    Reconnect,
    /// Have the agent read its configuration anew. Exit: 2 when it is refused.
    #[command(after_help = examples::RELOAD)]
    Reload,
    /// Show notifications and an indicator in this desktop session (it starts with the session).
    #[command(after_help = examples::NOTIFY)]
    Notify(notify::Args),
    /// Show what the agent wrote to the journal.
    #[command(after_help = examples::LOG)]
    Log(journal::Args),
    /// Say what this is, and the versions of what it works with.
    #[command(after_help = examples::VERSION)]
    Version,
    /// What OpenVPN and NetworkManager call; never fails them.
    #[command(subcommand)]
    Hook(hook::Hook),
}

/// What a verb ends with.
type Outcome = anyhow::Result<ExitCode>;

/// Not protected, and nothing leaves in clear.
const LOCKED: u8 = 3;
/// Packets may leave in clear: the rules are not in force, or they are paused.
const OPEN: u8 = 4;
/// What the kernel holds cannot be read.
const UNKNOWN: u8 = 5;
/// The configuration has faults.
const BAD_CONFIG: u8 = 2;

/// Does what the command line says.
pub fn run(cli: Cli) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(dispatch(cli)),
        Err(error) => Err(error.into()),
    };
    result.unwrap_or_else(|error| {
        log::complain(Priority::Error, &format!("tunwarden: {error:#}"));
        ExitCode::FAILURE
    })
}

/// Says what is wrong with a command line, or shows the help that it asks for.
pub fn refuse(error: &clap::Error, words: impl Iterator<Item = OsString>) -> ExitCode {
    match opening_verb(error) {
        // clap would offer `lock` for `unlock`.
        Some(word) => complain(&format!(
            "error: unrecognized subcommand '{word}'\n\n  \
             to open for a while:      sudo tunwarden pause 5m\n  \
             to give everything back:  sudo tunwarden release\n\n\
             For more information, try '--help'."
        )),
        // A reader that has gone away is no error.
        None => drop(error.print()),
    }
    // Behind the program: `--config PATH` at most.
    let first: Vec<OsString> = words.skip(1).take(3).collect();
    let verb = |name: &str| first.iter().any(|word| word == name);
    // A hook that fails ends the VPN that called it.
    if verb("hook") {
        return ExitCode::SUCCESS;
    }
    // Not open, for whatever reason.
    if verb("pause") && error.use_stderr() {
        return ExitCode::FAILURE;
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(BAD_CONFIG))
}

/// The word of somebody who wants out, where a verb should stand.
fn opening_verb(error: &clap::Error) -> Option<String> {
    let words = [
        "unlock",
        "off",
        "disable",
        "open",
        "disconnect",
        "stop",
        "unblock",
        "allow",
        "down",
        "quit",
        "uninstall",
        "remove",
    ];
    if error.kind() != clap::error::ErrorKind::InvalidSubcommand {
        return None;
    }
    match error.get(clap::error::ContextKind::InvalidSubcommand) {
        Some(clap::error::ContextValue::String(word)) if words.contains(&word.as_str()) => Some(word.clone()),
        _ => None,
    }
}

async fn dispatch(cli: Cli) -> Outcome {
    let config = cli.config.as_deref();
    let closes = matches!(cli.verb, Verb::Lock | Verb::Resume);
    let reads =
        matches!(cli.verb, Verb::Status(_) | Verb::Verify | Verb::Reconnect | Verb::Reload | Verb::Pause(_));
    // With an agent these verbs ask the agent, and would not look at the file at all.
    if (closes || reads)
        && let Some(path) = config
        && let Err(faults) = load::load(Some(path))
    {
        if reads {
            complain(&faults.to_string());
            return Ok(ExitCode::from(if matches!(cli.verb, Verb::Pause(_)) { 1 } else { BAD_CONFIG }));
        }
        if Store::default().running_agent().is_some() {
            complain(&faults.to_string());
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
        Verb::Pause(args) => control::pause(&args).await,
        Verb::Resume => control::resume(config).await,
        Verb::Reconnect => control::reconnect().await,
        Verb::Reload => control::reload().await,
        Verb::Notify(args) => notify::run(&args).await,
        Verb::Log(args) => journal::run(&args),
        Verb::Version => version::run().await,
        Verb::Hook(hook) => Ok(hook::run(&hook).await),
    }
}

/// Ends a verb that only root can do.
fn needs_root(verb: &str) -> anyhow::Result<()> {
    anyhow::ensure!(nix::unistd::geteuid().is_root(), "this needs root: sudo tunwarden {verb}");
    Ok(())
}

/// Prints to standard output; a reader that has gone away (`| head`) is no error.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Prints a warning to standard error.
fn complain(text: &str) {
    log::complain(Priority::Warning, text);
}
