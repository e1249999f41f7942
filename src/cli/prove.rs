//! `tunwarden prove`: computes from the kernel's own rules that no packet leaves in clear, and can also send probes.

mod file;
mod json;
mod live;
mod look;
mod machine;
mod page;
mod words;

pub(super) use look::look;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args as ClapArgs;

use self::live::{Containers, Tried};
use super::load::in_force_with_warning;
use super::lock::locked;
use super::{OPEN, Outcome, needs_root, no_file_by_pkexec, say, version, warn};
use crate::config::{Config, Source};
use crate::firewall;
use crate::model::{Contract, Machine, Outcome as Shown, Proof, Prover, Row, Rules, Users};
use crate::net::Family;
use crate::sources::links;
use crate::store::Store;
use crate::system;
use crate::vpn::{LinkTable, Situation, State};

/// Maximum number of attempts to read everything without a change by the agent in between.
const READS: usize = 5;

#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Write a report into a new file: one page of HTML for people to read and keep.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Also send real probes to documentation addresses, while temporary rules on every link drop all that the other
    /// rules let out.
    #[arg(long)]
    live: bool,
}

/// The result of the computation, and the facts that it is about.
#[derive(Debug)]
struct Computed {
    proof: Proof,
    /// Which sender may send where; empty if that cannot be computed.
    rows: Vec<Row>,
    /// The result of the probes, with `--live`.
    tried: Option<Tried>,
    state: State,
    uplinks: Vec<String>,
    tunnels: Vec<String>,
    /// Seconds since 1970.
    now: i64,
}

/// What was read about the machine at one time.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) rules: Vec<(Family, Rules)>,
    pub(super) machine: Machine,
    pub(super) situation: Situation,
    pub(super) users: Users,
    pub(super) links: LinkTable,
}

pub(super) async fn run(args: &Args, path: Option<&Path>) -> Outcome {
    needs_root("prove")?;
    no_file_by_pkexec("prove", path)?;
    // The file is created first: if the name exists, the command fails before it reads anything.
    let report = args.report.as_deref().map(|file| {
        let created = file::create(file);
        created.with_context(|| format!("cannot make {}, which has to be a new file", file.display()))
    });
    let report = report.transpose()?;
    let computed = computed(path, args.live).await.context("it could not be shown");
    if let (Some(mut file), Some(path)) = (report, &args.report) {
        let page = match &computed {
            Ok(computed) => page::page(computed, &version::text().await, &date(computed.now)),
            Err(error) => page::failed(&format!("{error:#}")),
        };
        let written = file.write_all(page.as_bytes()).and_then(|()| file.sync_all());
        written.with_context(|| format!("cannot write {}", path.display()))?;
    }
    let computed = computed?;
    match args.json {
        true => say(&json::in_json(&computed).to_string()),
        false => say(&words::in_words(&computed)),
    }
    Ok(match computed.conclusion() {
        Conclusion::Proven => ExitCode::SUCCESS,
        Conclusion::Open => ExitCode::from(OPEN),
        Conclusion::NotShown => ExitCode::FAILURE,
    })
}

/// The result of the computation and the probes together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Conclusion {
    Proven,
    Open,
    NotShown,
}

impl Computed {
    fn conclusion(&self) -> Conclusion {
        let has_fault = self.tried.as_ref().is_some_and(Tried::has_fault);
        let is_known = self.tried.as_ref().is_none_or(Tried::is_known);
        match self.proof.outcome {
            Shown::Leaves(_) => Conclusion::Open,
            Shown::Proven | Shown::NotShown(_) if has_fault => Conclusion::Open,
            Shown::Proven if is_known => Conclusion::Proven,
            Shown::Proven | Shown::NotShown(_) => Conclusion::NotShown,
        }
    }
}

/// A time for people, in the local time zone, with its distance from UTC.
fn date(seconds: i64) -> String {
    let moment = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    let zone = jiff::tz::TimeZone::system();
    let local = zone.to_datetime(moment).strftime("%Y-%m-%d %H:%M:%S");
    format!("{local} (UTC{}).", zone.to_offset(moment))
}

/// Reads everything, and compares it with the contract. With `is_live` it also sends probes.
async fn computed(path: Option<&Path>, is_live: bool) -> anyhow::Result<Computed> {
    let store = Store::default();
    let in_force = in_force_with_warning(path, &store);
    anyhow::ensure!(in_force.source != Source::Unknown, "no configuration can be read");
    let config = &in_force.config;
    if !is_live {
        return compute(config, &store, None).await;
    }
    // The containers are made before everything is read, because they add links.
    let mut containers = live::containers(config, &store).await;
    let computed = compute(config, &store, Some(&mut containers)).await;
    if let Some(left) = containers.remove().await {
        warn(&left);
    }
    computed
}

/// Reads everything, and compares it with the contract. With `containers` it also sends probes.
async fn compute(
    config: &Config,
    store: &Store,
    containers: Option<&mut Containers>,
) -> anyhow::Result<Computed> {
    let read = read(config, store).await?;
    let Read { rules, machine, situation, users, .. } = &read;
    let contract = Contract { config, situation, now: machine.now, users };
    let mut prover = Prover::default();
    let proof = prover.prove(rules, machine, &contract);
    // The proof holds without this table too. If something cannot be computed, the proof's reasons already say so.
    let rows = prover.survey(rules, machine, &contract).unwrap_or_default();
    let tried = match containers {
        Some(containers) => Some(live::tried(&read, config, store, containers).await),
        None => None,
    };
    let Machine { uplinks, ports, tunnels, now, .. } = read.machine;
    let state = read.situation.state;
    Ok(Computed { proof, rows, tried, state, uplinks: [uplinks, ports].concat(), tunnels, now })
}

/// Reads the rules, the links and what the agent has applied. It repeats this until nothing changes in between.
pub(super) async fn read(config: &Config, store: &Store) -> anyhow::Result<Read> {
    for _ in 0..READS {
        let situation = situation(config, store).await?;
        let links = links::snapshot().await?;
        let rules = firewall::rules().await?;
        // The agent may have changed the rules, and may have saved the new situation afterwards.
        if self::situation(config, store).await? != situation || links::snapshot().await? != links {
            continue;
        }
        let (owners, _) = system::owners(config);
        let users = Users { vpn: owners.bootstrap, dhcp: owners.leases };
        let machine = machine::machine(links.clone(), config, &situation);
        return Ok(Read { rules, machine, situation, users, links });
    }
    anyhow::bail!("the links or the state change faster than they can be read; try again")
}

/// The situation for which the rules in force were made.
async fn situation(config: &Config, store: &Store) -> anyhow::Result<Situation> {
    Ok(match store.applied()? {
        Some(applied) => applied.situation,
        None => locked(config, store).await,
    })
}
