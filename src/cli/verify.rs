//! `tunwarden verify`: compares the kernel's rules with the policy, line by line.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, ensure};

use super::{BAD_CONFIG, OPEN, Outcome, client, load::in_force_with_warning, lock::locked, say};
use crate::config::{Config, Source};
use crate::firewall::Firewall;
use crate::policy;
use crate::store::Store;
use crate::system;

pub(super) async fn run(path: Option<&Path>) -> Outcome {
    let asked = match client::connect().await {
        Ok(agent) => Some(agent.verify().await),
        Err(_) => None,
    };
    let lines = match asked {
        Some(Ok(lines)) => lines,
        Some(Err(error)) if !is_root() => return Err(client::answer(error)),
        Some(Err(_)) | None => {
            let store = Store::default();
            let in_force = in_force_with_warning(path, &store);
            if in_force.source == Source::Unknown {
                return Ok(ExitCode::from(BAD_CONFIG));
            }
            let config = in_force.config;
            without_agent(&mut Firewall::new(&config.firewall), &config, &store).await?
        }
    };
    if lines.is_empty() {
        say("The kernel holds the rules.");
        return Ok(ExitCode::SUCCESS);
    }
    lines.iter().for_each(|line| say(line));
    Ok(ExitCode::from(OPEN))
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Compares the kernel's rules with the rules applied last, or with the locked rules if none were applied. Only
/// root can do this: other users can read neither the rules nor the state directory.
pub(super) async fn without_agent(
    firewall: &mut Firewall,
    config: &Config,
    store: &Store,
) -> anyhow::Result<Vec<String>> {
    ensure!(
        is_root(),
        "the kernel's rules cannot be read as this user, and no agent answers; run it with sudo"
    );
    let applied = store.applied().ok().flatten();
    let situation = match applied {
        Some(applied) => applied.situation,
        None => locked(config, store).await,
    };
    let (owners, _) = system::owners(config);
    let ruleset = policy::ruleset(config, &owners, &situation);
    firewall.differences(&ruleset).await.context("cannot read what the kernel holds")
}
