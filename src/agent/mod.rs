//! The one loop: it owns the order in which things happen.
//!
//! An event goes into the machine, the machine's situation becomes rules, the rules go to the
//! kernel; what was applied is told. Nothing else in this process touches the firewall.

mod attend;
mod begin;
mod comeback;
mod commit;
mod configuration;
mod drift;
mod looks;
mod names;
mod owners;
mod pause;
mod reports;
mod requests;
mod tell;
mod wait;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

pub use crate::describe::describe;

use crate::bus::{self, Asker, Backlog, Caller, News, Request};
use crate::config::{Faults, InForce, Written};
use crate::effects::reconnect::Reach;
use crate::effects::systemd::notify;
use crate::firewall::Firewall;
use crate::policy::{Owners, Ruleset};
use crate::sources::{self, process::Watcher};
use crate::status::{Enforcement, Status, Unread};
use crate::store::{Applied, Store, StoreError};
use crate::system;
use attend::Attendant;
use comeback::Attempt;
use configuration::Configuration;
use drift::Drift;
use looks::Looks;
use names::Questions;
use owners::{Lookups, owners};
use reports::Taken;
use wait::{EndSignals, until, until_instant};

use crate::vpn::{
    Action, Detours, Event, Listening, Machine, ManagementSocket, ReportLog, Situation, VpnPhase,
};

/// Reads the configuration's file.
pub type Loader = Box<dyn Fn() -> Result<Written, Faults> + Send>;

/// What the agent is started with.
pub struct Setup {
    /// The configuration in force from the start.
    pub config: InForce,
    /// Its file.
    pub path: PathBuf,
    /// How it is read anew.
    pub load: Loader,
    /// Where state is kept.
    pub store: Store,
}

/// The agent.
struct Agent {
    machine: Machine,
    owners: Owners,
    lookups: Lookups,
    firewall: Firewall,
    configuration: Configuration,
    load: Loader,
    store: Store,
    watcher: Watcher,
    events: mpsc::Sender<Event>,
    questions: Questions,
    /// The attempt to bring a VPN back that is under way.
    attempt: Option<Attempt>,
    /// Whether a forerunner ended in the middle of one.
    unfinished: bool,
    /// The routes past a dead tunnel as they were set last; `None` when nobody knows what there is.
    detours: Option<Detours>,
    /// Which servers are listened for.
    listening: watch::Sender<Vec<Listening>>,
    /// At which management sockets plain clients are heard.
    sockets: watch::Sender<Vec<ManagementSocket>>,
    attendant: Attendant,
    /// The rules that were last put in force, and held when they were read back.
    applied: Option<Ruleset>,
    /// The situation that was last to be put in force, and what the kernel was found to hold then.
    situation: Situation,
    found: Enforcement,
    /// Whether packets may have left in clear since the last loss was kept: the rules were damaged.
    damaged: bool,
    /// Why the rules of an earlier situation are in force and not those of this one.
    pending: Option<String>,
    status: watch::Sender<Status>,
    /// The processes of VPN clients. What descends from one of them may report on its tunnel.
    clients: watch::Sender<BTreeSet<u32>>,
    notices: Backlog,
    /// What of it is on disk for our successor.
    kept: Applied,
    /// The reports of root's hooks that were taken last.
    heard: ReportLog,
    repairs: u32,
    /// Whether somebody who moves others' rules was at work since the last commit.
    look: bool,
    /// When the pause ends by the clock that nobody sets, in seconds since the machine was started.
    pause_ends: Option<u64>,
    /// Who asked for what is being done.
    asked_by: Option<Asker>,
    looks: Looks,
    drift: Drift,
    wake_at: Option<jiff::Timestamp>,
    retry: Option<(tokio::time::Instant, Duration)>,
    news: Vec<News>,
}

/// Why the agent could not run.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Another one runs, or its folders cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It cannot be told to end or to reload.
    #[error("cannot listen for signals")]
    Signals(#[from] std::io::Error),
}

/// Runs the agent until it is told to end. The rules stay, however it ends.
///
/// # Errors
/// [`AgentError`]: it could not begin.
pub async fn run(setup: Setup) -> Result<(), AgentError> {
    // A disk that takes nothing is no reason to leave the rules to themselves.
    if let Err(error) = setup.store.prepare() {
        tracing::warn!("{}: what is learned now is gone with the next boot", describe(&error));
    }
    let _only_one = setup.store.lock()?;
    let signals = Signals { hangup: signal(SignalKind::hangup())?, end: EndSignals::listen()? };
    let mut end = EndSignals::listen()?;

    let (event_sender, events) = mpsc::channel(256);
    let (request_sender, requests) = mpsc::channel(64);
    let notices = Backlog::default();
    let (change_sender, changes) = mpsc::channel(256);
    let drift = Drift::new(changes);
    let mut agent = Agent::new(setup, event_sender.clone(), notices.clone(), drift, requests).await;
    tokio::spawn(sources::drift::watch(change_sender));
    let files = watch_all(&agent, event_sender);
    let caller = Caller { requests: request_sender, clients: agent.clients.subscribe() };
    let bus = (caller, notices);

    let ended_in_time = async {
        end.received().await;
        // A commit that goes well ends within this time.
        tokio::time::sleep(attend::PATIENCE).await;
    };
    tokio::select! {
        () = agent.work(events, files, signals, bus) => {}
        () = ended_in_time => tracing::warn!("a firewall program is still at work; it is ended too"),
    }
    notify(&[NotifyState::Stopping]);
    tracing::info!("ending; what the kernel holds stays as it is");
    Ok(())
}

/// Signals from whoever started the agent.
struct Signals {
    hangup: Signal,
    end: EndSignals,
}

/// Changes of files that others write.
struct Files {
    hosts: mpsc::Receiver<()>,
    users: mpsc::Receiver<()>,
    /// Reports of hooks that did not reach the agent over the bus.
    reports: mpsc::Receiver<()>,
}

/// Starts every source.
fn watch_all(agent: &Agent, event_sender: mpsc::Sender<Event>) -> Files {
    let (hosts_sender, hosts) = mpsc::channel(1);
    let (reports_sender, left) = mpsc::channel(1);
    let (users_sender, users) = mpsc::channel(1);
    tokio::spawn(sources::links::watch(event_sender.clone()));
    tokio::spawn(sources::docker::watch(event_sender.clone()));
    tokio::spawn(sources::resolvers::watch(event_sender.clone()));
    tokio::spawn(sources::files::watch(hosts_sender));
    tokio::spawn(sources::files::watch_users(users_sender));
    let reports = agent.store.reports();
    tokio::spawn(sources::reports::watch(agent.store.run().to_owned(), reports, reports_sender));
    tokio::spawn(sources::clock::watch(event_sender.clone()));
    tokio::spawn(sources::sleep::watch(event_sender.clone()));
    tokio::spawn(sources::openvpn_files::watch(event_sender.clone()));
    tokio::spawn(sources::management::watch(agent.sockets.subscribe(), event_sender.clone()));
    tokio::spawn(sources::silence::watch(agent.listening.subscribe(), event_sender.clone()));
    tokio::spawn(sources::network_manager::watch(event_sender));
    Files { hosts, users, reports: left }
}

impl Agent {
    /// Puts the first rules in force, and then does what is asked for until somebody ends it.
    async fn work(
        &mut self,
        mut events: mpsc::Receiver<Event>,
        mut files: Files,
        mut signals: Signals,
        (caller, notices): (Caller, Backlog),
    ) {
        self.begin(&mut events).await;
        tokio::spawn(bus::serve(caller, self.status.subscribe(), notices));
        notify(&[NotifyState::Ready]);
        loop {
            while self.take_waiting_reports() == Taken::Reports {
                self.enforce().await;
            }
            let look_due = self.look_due();
            tokio::select! {
                Some(event) = events.recv() => self.take_all(event, &mut events).await,
                Some(request) = self.attendant.next() => self.answer(request).await,
                Some(()) = signals.hangup.recv() => self.reload_on_signal().await,
                () = signals.end.received() => break,
                () = until(self.wake_at) => self.take_all(Event::Clock, &mut events).await,
                () = until_instant(self.retry.map(|(moment, _)| moment)) => self.retry().await,
                Some(notice) = self.drift.notices.recv() => self.noticed(notice).await,
                () = until_instant(look_due) => self.look_now().await,
                Some(()) = files.hosts.recv() => self.pin_again(),
                Some(()) = files.users.recv() => self.look_up_owners(),
                Some(found) = self.lookups.found.recv() => self.owners_found(found).await,
                Some(()) = files.reports.recv() => self.take_left_reports().await,
                () = self.firewall.orphaned() => self.take_over().await,
                () = self.looks.wait() => self.look_for_all().await,
            }
        }
    }

    async fn new(
        setup: Setup,
        events: mpsc::Sender<Event>,
        notices: Backlog,
        drift: Drift,
        requests: mpsc::Receiver<Request>,
    ) -> Self {
        let Setup { config, path, load, store } = setup;
        let configuration = Configuration::new(&path, &config);
        let config = config.config;
        let before = store.applied().unwrap_or_else(|error| {
            tracing::warn!("{}", describe(&error));
            None
        });
        let before = before.unwrap_or_default();
        let owners = owners(&config);
        let firewall = Firewall::of_agent(&config.firewall);
        let (remembered, faults) = store.remembered(&before);
        for fault in faults {
            tracing::warn!("{fault}");
        }
        let machine = Machine::new(config, remembered, system::now());
        let found = Enforcement::Unknown(Unread::Failed);
        let status = Status::new(&before.situation, before.since, found, system::has_docker());
        let status = watch::Sender::new(status);
        let attendant = Attendant::new(requests, status.clone(), notices.clone());
        let unfinished = store.networking_off().is_some();
        let mut agent = Self {
            machine,
            owners,
            lookups: Lookups::default(),
            firewall,
            configuration,
            load,
            store,
            watcher: Watcher::new(events.clone()),
            events,
            questions: Questions::default(),
            attempt: None,
            unfinished,
            detours: None,
            listening: watch::Sender::default(),
            sockets: watch::Sender::default(),
            clients: watch::Sender::default(),
            attendant,
            applied: None,
            situation: before.situation.clone(),
            found,
            damaged: false,
            heard: before.heard.clone(),
            pending: None,
            kept: before,
            status,
            notices,
            repairs: 0,
            look: false,
            pause_ends: None,
            asked_by: None,
            looks: Looks::default(),
            drift,
            wake_at: None,
            retry: None,
            news: Vec::new(),
        };
        agent.look_once().await;
        agent
    }

    /// Takes in an event and all that wait behind it, then puts in force what follows.
    async fn take_all(&mut self, first: Event, events: &mut mpsc::Receiver<Event>) {
        self.take(first);
        while let Ok(event) = events.try_recv() {
            self.take(event);
        }
        self.enforce().await;
    }

    fn take(&mut self, event: Event) {
        // They came before: the end of a client is told after the report of its last hook.
        self.take_waiting_reports();
        tracing::debug!("event: {event:?}");
        if let Event::Reconnected(result) = &event {
            self.attempt_ended(result);
        }
        if let Event::NetworkManager(Some(view)) = &event {
            self.finish_comeback();
            // Users that no file names, a directory's, come and go untold.
            if view.active.iter().any(|active| active.phase == VpnPhase::Connecting) {
                self.look_up_owners();
            }
        }
        if let Event::ClientExited { .. } = &event {
            // Its last hook left its report before it ended, and may have said that somebody asked for it.
            self.take_left();
        }
        let bound = self.shorter_pause();
        for event in bound.into_iter().chain([event]) {
            self.step(event);
        }
    }

    fn step(&mut self, event: Event) {
        self.wake_at = None;
        for action in self.machine.step(event, system::now()) {
            match action {
                Action::Watch(pid) => self.watcher.watch(pid),
                Action::WakeAt(moment) => self.wake_at = Some(moment),
                Action::Announce(announcement) => self.news.push(News::Vpn(announcement)),
                Action::Remember(change) => {
                    if let Err(error) = self.store.remember(&change) {
                        tracing::warn!("{}: the next agent has to learn this again", describe(&error));
                    }
                }
                Action::LeftOut(vpn, what) => tracing::warn!("{}: {what}", crate::config::plain(&vpn)),
                Action::Reconnect(comeback) => self.bring_back(comeback, Reach::Vpn, None),
                Action::LookUp { names, resolvers } => self.questions.add(names, resolvers),
                Action::Look => self.look = true,
            }
        }
    }
}

fn publish<T: PartialEq>(sender: &watch::Sender<T>, value: T) {
    sender.send_if_modified(|now| {
        let differs = *now != value;
        *now = value;
        differs
    });
}
