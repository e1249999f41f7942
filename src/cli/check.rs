//! `tunwarden check`: what the configuration means.

use std::path::Path;
use std::process::ExitCode;

use super::{BAD_CONFIG, Outcome, complain, load::load, say};
use crate::firewall::can_hold_sets;
use crate::policy::FEW;
use crate::system;

pub(super) fn run(path: Option<&Path>) -> Outcome {
    let config = match load(path) {
        Ok(written) => written.config,
        Err(error) => {
            complain(&error.to_string());
            return Ok(ExitCode::from(BAD_CONFIG));
        }
    };
    say(config.explain().trim_end());
    let (_, unknown) = system::owners(&config);
    for name in unknown {
        say(&format!("bootstrap.owners: this system has no user `{}`. It is ignored.", name.as_str()));
    }
    if !can_hold_sets() {
        say(&format!(
            "ipset is not installed. With more than {FEW} servers each server needs its own rule, and a packet \
             to one of the last servers must pass all of them. To install it: sudo apt install ipset"
        ));
    }
    Ok(ExitCode::SUCCESS)
}
