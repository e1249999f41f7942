//! `tunwarden agent`: the daemon.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args as ClapArgs;

use super::load::{in_force, load, path_of};
use super::{Outcome, log};
use crate::agent::{Options, run as run_agent};
use crate::store::Store;

#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// Log every event too.
    #[arg(long, short)]
    verbose: bool,
}

pub(super) async fn run(args: &Args, config: Option<&Path>) -> Outcome {
    log::start(if args.verbose { tracing::Level::DEBUG } else { tracing::Level::INFO });
    let path: Option<PathBuf> = config.map(Path::to_owned);
    let store = Store::default();
    let config = in_force(config, &store);
    if let Some(announcement) = config.announcement() {
        tracing::error!("{announcement}");
    }
    let file = path_of(path.as_deref());
    let load = Box::new(move || load(path.as_deref()));
    run_agent(Options { config, path: file, load, store }).await.context("the agent cannot run")?;
    Ok(ExitCode::SUCCESS)
}
