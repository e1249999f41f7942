//! `tunwarden check`: what the configuration means.

use std::path::Path;
use std::process::ExitCode;

use super::{BAD_CONFIG, Outcome, complain, load::load, say};
use crate::firewall::{self, can_hold_sets};
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
    if let Some(missing) = firewall::missing(&config.firewall) {
        say(missing);
    }
    let (_, unknown) = system::owners(&config);
    for name in unknown {
        say(&format!("bootstrap.owners: this system has no user `{}`; it is skipped.", name.as_str()));
    }
    if !can_hold_sets() {
        say(&format!(
            "ipset is not installed: more than {FEW} servers would be a rule each, which every packet to one of \
             the last has to pass. To install it: sudo apt install ipset"
        ));
    }
    Ok(ExitCode::SUCCESS)
}
