//! `tunwarden lock`: puts the locked rules in force, once. A unit runs it early during boot.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;

use super::{Outcome, client, load::in_force_with_warning, needs_root, say, warn};
use crate::agent::describe;
use crate::config::{Config, InForce};
use crate::firewall::{Commit, Firewall, LayerReport, WIRES_HELD, WIRES_OPEN, hide_tunnel_addresses};
use crate::policy;
use crate::sources::links;
use crate::status::LeftOutStatus;
use crate::store::{Applied, Store};
use crate::system;
use crate::vpn::{Event, LastLoss, LinkTable, Machine, Remembered, Situation, State};

pub(super) async fn run(path: Option<&Path>) -> Outcome {
    let store = Store::default();
    if store.running_agent().is_some() && client::close().await.is_ok() {
        say("locked: the agent is running and enforces the rules");
        return Ok(ExitCode::SUCCESS);
    }
    needs_root("lock")?;
    let InForce { config, text, .. } = in_force_with_warning(path, &store);
    if let Err(error) = store.prepare() {
        warn(&format!("tunwarden: {}", describe(&error)));
    }
    let _lock = lock_rules(&store).await;
    let situation = locked(&config, &store).await;
    let (owners, _) = system::owners(&config);
    let ruleset = policy::ruleset(&config, &owners, &situation);
    let mut firewall = Firewall::new(&config.firewall);
    let commit = firewall.commit(&ruleset).await.context("the locked rules could not be put in force")?;
    // `lock` does not know the earlier rules, so these lines are the rules that it has removed.
    if let Commit::Mended(lines) = commit {
        lines.iter().for_each(|line| warn(&format!("tunwarden: {line}")));
    }
    if let Some(removed) = firewall.removed_backend() {
        warn(&format!("tunwarden: {removed}"));
    }
    if let Some(warning) = firewall.warning() {
        warn(&format!("tunwarden: {warning}"));
    }
    if let Err(error) = hide_tunnel_addresses(store.run()) {
        warn(&format!("tunwarden: {}", describe(&error)));
    }
    keep(&store, situation);
    keep_configuration(&store, text.as_deref());
    let holds_wires = firewall.layers().iter().any(LayerReport::holds_wires);
    say(&format!("locked: {}", if holds_wires { WIRES_HELD } else { WIRES_OPEN }));
    Ok(ExitCode::SUCCESS)
}

/// Takes the lock that only one tunwarden process holds while it changes the rules. If that fails, the rules are
/// changed without the lock.
pub(super) async fn lock_rules(store: &Store) -> Option<impl Drop + use<>> {
    let lock_rules = store.lock_rules().await;
    lock_rules.inspect_err(|error| warn(&format!("tunwarden: {}", describe(error)))).ok()
}

/// What was learned about VPNs before, for a status without an agent.
pub(super) fn learned(config: &Config, store: &Store) -> Machine {
    let remembered = Remembered { learned: store.endpoints().ok(), ..Remembered::default() };
    Machine::new(config.clone(), remembered, system::now())
}

/// The parts of these VPNs that cannot be used.
pub(super) fn left_out(machine: &Machine) -> Vec<LeftOutStatus> {
    machine.left_out().into_iter().map(LeftOutStatus::from).collect()
}

/// The locked situation, from the current links and the endpoints learned before.
pub(super) async fn locked(config: &Config, store: &Store) -> Situation {
    let table = links::snapshot().await.unwrap_or_else(|error| {
        warn(&format!("tunwarden: {}: no LAN until the links can be read", describe(&error)));
        LinkTable::default()
    });
    let now = system::now();
    let before = store.applied().ok().flatten().unwrap_or_default();
    let (remembered, faults) = store.remembered(&before);
    for fault in faults {
        warn(&format!("tunwarden: {fault}"));
    }
    let mut machine = Machine::new(config.clone(), Remembered { state: State::Locked, ..remembered }, now);
    machine.step(Event::Links(table), now);
    machine.situation()
}

/// Saves the configuration that is in force. A later start uses it if the file has a fault.
fn keep_configuration(store: &Store, text: Option<&str>) {
    if let Some(Err(error)) = text.map(|text| store.keep_configuration(text)) {
        warn(&format!("tunwarden: {}", describe(&error)));
    }
}

fn keep(store: &Store, situation: Situation) {
    // The reports of hooks, the last VPN and the last loss stay, because the next agent needs them.
    let before = store.applied().ok().flatten().unwrap_or_default();
    // It is not known which packets left before this lock.
    let loss = before.loss.clone().map(|loss| LastLoss { held: false, ..loss });
    let before = Applied { loss, ..before };
    let locked = Applied { situation, refused: None, since: system::now(), pause_ends: None, ..before };
    if let Err(error) = store.keep_applied(&locked) {
        warn(&format!("tunwarden: {}", describe(&error)));
    }
}
