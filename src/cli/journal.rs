//! `tunwarden log`: what the agent and the lock wrote to the journal.

use std::os::unix::process::CommandExt;

use anyhow::{Context, anyhow};
use clap::Args as ClapArgs;

use super::Outcome;
use crate::system::program;

/// The units whose lines are shown.
pub(super) const UNITS: [&str; 2] = ["--unit=tunwarden.service", "--unit=tunwarden-lock.service"];

#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// Keep running and show each new line.
    #[arg(long, short)]
    follow: bool,
    /// Only lines after this moment, as journalctl takes it: -1h, today, "2026-01-31 12:00".
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    since: Option<String>,
}

/// Replaces this process by journalctl, which then uses the terminal, the pager and the user's own settings.
pub(super) fn run(args: &Args) -> Outcome {
    let path = program::path("journalctl")
        .context("journalctl is not installed; without systemd the agent writes to its standard error")?;
    #[expect(clippy::disallowed_methods, reason = "this process becomes journalctl")]
    let mut journalctl = std::process::Command::new(path);
    journalctl.args(UNITS);
    if args.follow {
        journalctl.arg("--follow");
    }
    if let Some(since) = &args.since {
        journalctl.arg(format!("--since={since}"));
    }
    Err(anyhow!(journalctl.exec()).context("cannot run journalctl"))
}
