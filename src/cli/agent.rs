//! `tunwarden agent`: the daemon.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args as ClapArgs;

use super::{Outcome, load::load, log_to_stderr};
use crate::agent::{Setup, run as run_agent};
use crate::config::Config;
use crate::store::Store;

#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// Log every event as well.
    #[arg(long, short)]
    verbose: bool,
}

pub(super) async fn run(args: &Args, config: Option<&Path>) -> Outcome {
    log_to_stderr(if args.verbose { tracing::Level::DEBUG } else { tracing::Level::INFO });
    let path: Option<PathBuf> = config.map(Path::to_owned);
    let config = load(config).unwrap_or_else(|error| {
        tracing::error!(
            "{error}\nLocked with the strictest rules until that is mended: sudo tunwarden reload"
        );
        Config::strictest()
    });
    let load = Box::new(move || load(path.as_deref()).map_err(|error| error.to_string()));
    run_agent(Setup { config, load, store: Store::default() }).await.context("the agent cannot run")?;
    Ok(ExitCode::SUCCESS)
}
