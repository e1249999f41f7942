//! The agent: one loop, which decides in which order things happen.
//!
//! An event goes into the machine. The machine's situation becomes rules. The rules go to the kernel
//! (`commit.rs`). Then the agent reports what is in force (`announcer.rs`). Nothing else in this
//! process changes the firewall.

mod announcer;
mod begin;
mod commit;
mod configuration;
mod drift;
mod memory;
mod names;
mod owners;
mod pause;
mod receiver;
mod reconnection;
mod reports;
mod requests;
mod sources;
mod verifications;
mod wait;
mod writer;

use std::path::PathBuf;

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

pub use crate::describe::describe;

use crate::bus::{self, Backlog, BusSignal, Caller};
use crate::config::{Faults, InForce, Written};
use crate::effects::systemd::{ask_for_time, notify};
use crate::store::{Store, StoreError};
use crate::system;
use crate::vpn::{Action, Event, Machine, VpnPhase};
use announcer::Announcer;
use commit::Rules;
use configuration::Configuration;
use drift::{Drift, Read};
use memory::Memory;
use names::ServerNames;
use owners::BootstrapOwners;
use receiver::RequestReceiver;
use reconnection::Reconnection;
use reports::Taken;
use sources::{Files, Sources};
use verifications::Verifications;
use wait::{EndSignals, Timers, until, until_instant};

/// Reads the configuration file.
pub type Loader = Box<dyn Fn() -> Result<Written, Faults> + Send>;

/// What the agent is started with.
pub struct Options {
    /// The configuration in force from the start.
    pub config: InForce,
    /// The path of its file.
    pub path: PathBuf,
    /// How the agent reads the file again.
    pub load: Loader,
    /// Where the agent keeps state.
    pub store: Store,
}

/// The agent. Each field is one concern, with a file of its own.
struct Agent {
    /// All knowledge about VPNs and links, and the situation that follows from it.
    machine: Machine,
    configuration: Configuration,
    owners: BootstrapOwners,
    rules: Rules,
    drift: Drift,
    receiver: RequestReceiver,
    verifications: Verifications,
    memory: Memory,
    sources: Sources,
    names: ServerNames,
    reconnection: Reconnection,
    announcer: Announcer,
    timers: Timers,
}

/// Why the agent could not run.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Another agent runs, or the agent cannot use its directories.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The agent cannot listen for the signals that end it and that make it reload.
    #[error("cannot listen for signals")]
    Signals(#[from] std::io::Error),
}

/// Runs the agent until a signal ends it. The rules stay in the kernel, however it ends.
///
/// # Errors
/// [`AgentError`]: the agent could not start.
pub async fn run(options: Options) -> Result<(), AgentError> {
    // Keep enforcing the rules even if the state directory is not writable.
    if let Err(error) = options.store.prepare() {
        tracing::warn!("{}: what the agent learns now is lost at the next boot", describe(&error));
    }
    let _only_one = options.store.lock()?;
    let signals = Signals { hangup: signal(SignalKind::hangup())?, end: EndSignals::listen()? };
    let mut end = EndSignals::listen()?;

    let (event_sender, events) = mpsc::channel(256);
    let (change_sender, changes) = mpsc::channel(256);
    let notices = Backlog::default();
    let (requests, inbox) = bus::request_channel();
    let receiver = |status| RequestReceiver::new(inbox, status, notices.clone());
    let mut agent = Agent::new(options, event_sender, Drift::new(changes), receiver).await;
    let files = agent.start_sources(change_sender);
    let blocked = agent.sources.blocked.clone();
    let caller = Caller { requests, blocked, clients: agent.announcer.clients.subscribe() };
    let bus = (caller, notices);

    let ended_in_time = async {
        end.received().await;
        // A commit that goes well ends within this time.
        tokio::time::sleep(receiver::SLOW_AFTER).await;
    };
    tokio::select! {
        () = agent.work(events, files, signals, bus) => {}
        () = ended_in_time => tracing::warn!("a firewall program is still running; the agent ends it too"),
    }
    notify(&[NotifyState::Stopping]);
    agent.sources.say_refusals();
    tracing::info!("the agent ends; the rules in the kernel stay as they are");
    Ok(())
}

/// The signals that the loop handles.
struct Signals {
    hangup: Signal,
    end: EndSignals,
}

impl Agent {
    /// Puts the first rules in force, then handles everything that happens until a signal ends the agent.
    async fn work(
        &mut self,
        mut events: mpsc::Receiver<Event>,
        mut files: Files,
        mut signals: Signals,
        (caller, notices): (Caller, Backlog),
    ) {
        tokio::select! {
            () = self.begin(&mut events) => {}
            () = ask_for_time() => {}
        }
        tokio::spawn(bus::serve(caller, self.announcer.status.subscribe(), notices));
        notify(&[NotifyState::Ready]);
        loop {
            while self.take_waiting_reports() == Taken::Reports {
                self.enforce().await;
            }
            let look_due = self.look_due();
            // A commit that failed is repeated by `retry_at` alone, with its delay.
            let refused_due = self.rules.firewall.due().filter(|_| self.rules.retry_at().is_none());
            tokio::select! {
                Some(event) = events.recv() => self.take_all(event, &mut events).await,
                Some(request) = self.receiver.next() => self.answer(request).await,
                Some(()) = signals.hangup.recv() => self.reload_on_signal().await,
                () = signals.end.received() => break,
                () = until(self.timers.wake_at) => self.take_all(Event::Clock, &mut events).await,
                () = until_instant(self.rules.retry_at()) => self.retry().await,
                Some(report) = self.drift.reports.recv() => self.tables_reported(report).await,
                () = until_instant(look_due) => self.look_now().await,
                () = until_instant(refused_due) => self.retry().await,
                Some(()) = files.hosts.recv() => self.pin_again(),
                () = self.names.due() => self.pin(),
                Some(()) = files.users.recv() => self.look_up_owners(),
                Some(found) = self.owners.found.recv() => self.owners_found(found).await,
                Some(()) = files.reports.recv() => self.take_stored_reports().await,
                () = self.verifications.due() => self.verify_for_all().await,
            }
        }
    }

    /// Handles an event and all events that wait behind it, then enforces what follows from them.
    async fn take_all(&mut self, first: Event, events: &mut mpsc::Receiver<Event>) {
        self.take(first);
        while let Ok(event) = events.try_recv() {
            self.take(event);
        }
        self.enforce().await;
    }

    fn take(&mut self, event: Event) {
        // These reports came before the event. The machine needs the report of a client's last hook before
        // the event that the client ended.
        self.take_waiting_reports();
        tracing::debug!("event: {event:?}");
        if let Event::Reconnected(result) = &event {
            self.attempt_ended(result);
        }
        if let Event::NetworkManager(Some(view)) = &event {
            self.finish_earlier_attempt();
            // No file changes when the users of a directory service change.
            if view.active.iter().any(|active| active.phase == VpnPhase::Connecting) {
                self.look_up_owners();
            }
        }
        if let Event::ClientExited { .. } = &event {
            // The last hook of the client left its report before the client ended. It may say that somebody
            // asked for the end.
            self.take_stored();
        }
        let bound = self.shorter_pause();
        for event in bound.into_iter().chain([event]) {
            self.step(event);
        }
    }

    fn step(&mut self, event: Event) {
        self.timers.wake_at = None;
        for action in self.machine.step(event, system::now()) {
            match action {
                Action::Watch(pid) => self.sources.clients.watch(pid),
                Action::WakeAt(moment) => self.timers.wake_at = Some(moment),
                Action::Announce(announcement) => self.announcer.news.push(BusSignal::Vpn(announcement)),
                Action::Remember(change) => self.memory.remember(change),
                Action::LeftOut(vpn, what) => tracing::warn!("{}: {what}", crate::config::plain(&vpn)),
                Action::Reconnect(reconnect_target) => self.request_reconnect(reconnect_target),
                Action::LookUp { names, resolvers } => self.names.ask_later(names, resolvers),
                Action::CheckRules => self.rules.next_read = Read::Everything,
            }
        }
    }
}
