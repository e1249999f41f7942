//! `tunwarden doctor`: what is wrong, and how to fix it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args as ClapArgs;
use serde::Serialize;
use zbus::fdo;
use zbus::fdo::DBusProxy;

use super::bundle::{self, Addresses};
use super::load::{configuration_status, in_force};
use super::{Outcome, client, prove, say, verify, warn};
use crate::bus::Agent1Proxy;
use crate::config::{Backend, Bootstrap, Config, Layer};
use crate::doctor::{
    BackendsInUse, Files, Finding, NotificationFault, OwnVerdict, Proof, Refused, SecondReading, Snapshot,
    diagnose, second_reader, text_of,
};
use crate::firewall::{Dump, Firewall, has_rules};
use crate::net::{Family, Host};
use crate::sources::docker;
use crate::status::Status;
use crate::store::Store;
use crate::system;

#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// Print JSON, for programs.
    #[arg(long)]
    json: bool,
    /// Write one archive (tar.gz) for a bug report into a new file: the output of doctor and status, the rules,
    /// versions and the journal of the last hour. Addresses and names are replaced.
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    /// Keep addresses and names in the archive unchanged.
    #[arg(long, requires = "bundle")]
    with_addresses: bool,
    /// Run as the second reader of iptables: read questions from standard input and print the answers.
    #[arg(long, hide = true)]
    second_reader: bool,
}

/// The checks that need root.
const ROOTS: [&str; 6] = [
    "whether a packet can leave in clear",
    "whether a second reader of iptables sees the same rules",
    "chains of older kill switch scripts",
    "which tables of iptables hold rules",
    "the addresses known for server names",
    "the configurations of OpenVPN",
];

/// The JSON of `tunwarden doctor --json`.
#[derive(Serialize)]
struct Report<'a> {
    healthy: bool,
    problems: &'a [Finding],
    proof: Option<&'static str>,
    notes: &'a [String],
}

pub(super) async fn run(args: &Args, path: Option<&Path>) -> Outcome {
    if args.second_reader {
        let answer = second_reader::answer(&std::io::read_to_string(std::io::stdin())?);
        say(&answer.map_err(anyhow::Error::msg)?);
        return Ok(ExitCode::SUCCESS);
    }
    let seen = look(path).await;
    let findings = diagnose(&seen);
    let notes = seen.proof.as_ref().map(Proof::notes).unwrap_or_default();
    if let Some(file) = &args.bundle {
        let addresses = if args.with_addresses { Addresses::Kept } else { Addresses::Replaced };
        bundle::write(file, addresses, &findings, path).await?;
        say(&format!(
            "written: {}, which only its owner can read; look through it before you send it",
            file.display()
        ));
        return Ok(ExitCode::SUCCESS);
    }
    if args.json {
        match serde_json::to_string(&Report {
            healthy: findings.is_empty(),
            problems: &findings,
            proof: seen.proof.as_ref().map(Proof::as_str),
            notes: &notes,
        }) {
            Ok(json) => say(&json),
            Err(error) => warn(&format!("tunwarden: {error}")),
        }
    } else {
        say(&text_of(&findings));
        notes.iter().for_each(|note| say(&format!("Note: {note}")));
    }
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn look(path: Option<&Path>) -> Snapshot {
    let store = Store::default();
    let in_force = in_force(path, &store);
    let configuration = configuration_status(path, &in_force);
    let config = in_force.config;
    let files = Files::below("/");
    let openvpn = files.openvpn();
    let (status, rules, refusals_fault) = match client::connect().await {
        Ok(agent) => {
            let rules = agent.verify().await.map_err(|error| format!("{:#}", client::answer(error)));
            (client::status(&agent).await.ok(), rules, refusals_fault(&agent).await)
        }
        Err(_) => {
            let rules = verify::without_agent(&mut Firewall::new(&config.firewall), &config, &store).await;
            (None, rules.map_err(|error| format!("{error:#}")), None)
        }
    };
    // A running agent knows which configuration is in force.
    let of_agent = status.as_ref().and_then(|status: &Status| status.configuration.clone());
    let source = of_agent.map_or_else(|| configuration.source.clone(), |agent| agent.source);
    let left_out = match &status {
        Some(status) => status.left_out.clone(),
        None => super::lock::left_out(&super::lock::learned(&config, &store)),
    };
    let second_reader = second_reading(&config, &rules).await;
    let proof = match nix::unistd::geteuid().is_root() {
        true => Some(prove::look(&config, &store).await),
        false => None,
    };
    Snapshot {
        status,
        left_out,
        config: in_force.fault.map(|(faults, _)| Refused { faults, source }),
        missing_owners: missing_owners(&config),
        unresolved: unresolved(&config, &store),
        rules,
        refusals_fault,
        second_reader,
        backends_in_use: backends_in_use(&files).await,
        other_firewalls: files.other_firewalls(),
        disabled_units: files.disabled_units(),
        without_hooks: openvpn.without_hooks,
        openvpn_left_out: openvpn.left_out,
        wireguard_left_out: files.wireguard_left_out(),
        vpns: files.vpns(),
        notifications: notifications(&files).await,
        article: article(&files).await,
        others: files.others(),
        gluetun: gluetun().await,
        proof,
        unread: if nix::unistd::geteuid().is_root() { Vec::new() } else { ROOTS.to_vec() },
    }
}

/// The agent's own message if it cannot learn which packets are refused.
async fn refusals_fault(agent: &Agent1Proxy<'_>) -> Option<String> {
    let error = fdo::Error::from(agent.recently_blocked(u64::MAX).await.err()?);
    if let fdo::Error::Failed(why) = error { Some(why) } else { None }
}

/// What the second reader of iptables finds.
async fn second_reading(config: &Config, rules: &Result<Vec<String>, String>) -> SecondReading {
    let is_root = nix::unistd::geteuid().is_root();
    // If tunwarden's own reader fails, another finding reports that.
    let (true, true, Ok(lines)) = (is_root, config.firewall.layers.contains(&Layer::Iptables), rules) else {
        return SecondReading::NotAsked;
    };
    let verdict = if lines.is_empty() { OwnVerdict::InForce } else { OwnVerdict::NotInForce };
    second_reader::compare(config.firewall.backend, verdict).await
}

/// The article's scripts and units, those of its author's later tool, and the chains of that tool.
async fn article(files: &Files) -> Vec<String> {
    let chains = match nix::unistd::geteuid().is_root() {
        true => Dump::take(Backend::Auto).await.map(|dump| dump.later_chains()).unwrap_or_default(),
        false => Vec::new(),
    };
    files.article().into_iter().chain(chains.into_iter().map(|chain| format!("the chain {chain}"))).collect()
}

/// Users in the configuration that do not exist. The default names users of many distributions, so a missing one of
/// these is not a fault.
fn missing_owners(config: &Config) -> Vec<String> {
    let default = Bootstrap::default().owners;
    let (_, unknown) = system::owners(config);
    let named = unknown.into_iter().filter(|name| !default.contains(name));
    named.map(|name| name.as_str().to_owned()).collect()
}

fn unresolved(config: &Config, store: &Store) -> Vec<String> {
    // Only root may read the known names. For other users nothing is reported.
    let Ok(known) = store.names() else { return Vec::new() };
    let names = config.bootstrap.servers.iter().filter_map(|server| match &server.host {
        Host::Name(name) => Some(name),
        Host::Address(_) => None,
    });
    names.filter(|name| !known.contains_key(name)).map(ToString::to_string).collect()
}

/// Containers of gluetun that use the host's network; none if Docker does not answer.
async fn gluetun() -> Vec<String> {
    let containers = docker::on_host_network().await.unwrap_or_default();
    let gluetun = containers.into_iter().filter(|container| container.image.contains("gluetun"));
    gluetun.map(|container| container.name).collect()
}

async fn backends_in_use(files: &Files) -> BackendsInUse {
    let used = files.has_legacy_tables();
    let holds = async |backend| {
        for family in Family::ALL {
            if has_rules(backend, family).await {
                return true;
            }
        }
        false
    };
    BackendsInUse { legacy: used && holds(Backend::Legacy).await, nft: holds(Backend::Nft).await }
}

/// Problems with notifications in the user's session. Without a session only the autostart file is checked.
async fn notifications(files: &Files) -> Vec<NotificationFault> {
    let mut found = Vec::new();
    if !files.has("etc/xdg/autostart/tunwarden-notify.desktop") {
        found.push(NotificationFault::NoAutostart);
    }
    let graphical = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
    if graphical
        && let Ok(connection) = zbus::Connection::session().await
        && let Ok(bus) = DBusProxy::new(&connection).await
        && let Ok(names) = bus.list_names().await
    {
        let daemon = "org.freedesktop.Notifications";
        let startable = bus.list_activatable_names().await.unwrap_or_default();
        if !names.iter().chain(&startable).any(|name| name.as_str() == daemon) {
            found.push(NotificationFault::NoDaemon);
        }
        if !names.iter().any(|name| name.as_str() == crate::notifier::NAME) {
            found.push(NotificationFault::NotRunning);
        }
    }
    found
}
