//! `tunwarden check`: what the configuration means.

use std::path::Path;
use std::process::ExitCode;

use super::{BAD_CONFIG, Outcome, complain, load::load, say};
use crate::system;

pub(super) fn run(path: Option<&Path>) -> Outcome {
    let config = match load(path) {
        Ok(config) => config,
        Err(error) => {
            complain(&error.to_string());
            return Ok(ExitCode::from(BAD_CONFIG));
        }
    };
    say(config.explain().trim_end());
    let (_, unknown) = system::owners(&config);
    for name in unknown {
        say(&format!("bootstrap.owners: this system has no user `{}`; it is skipped.", name.as_str()));
    }
    Ok(ExitCode::SUCCESS)
}
