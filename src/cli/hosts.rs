//! `tunwarden hosts`: started by systemd for the agent, which may not write to `/etc` itself.

use std::io::{stdin, stdout};
use std::path::Path;
use std::process::ExitCode;

use super::Outcome;
use crate::effects::hosts::{HOSTS, helper};

/// Reads a request from standard input and answers on standard output.
pub(super) fn run() -> Outcome {
    helper::serve(stdin().lock(), stdout().lock(), Path::new(HOSTS))?;
    Ok(ExitCode::SUCCESS)
}
