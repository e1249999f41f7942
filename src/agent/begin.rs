//! How the agent begins: with what it can know at once, and with the rules that an earlier agent left in
//! force.

use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::reports::is_current;
use super::{
    Agent, Announcer, BootstrapOwners, Configuration, Drift, Memory, Options, Reconnection, RequestReceiver,
    Rules, ServerNames, Sources, Timers, Verifications, describe,
};
use crate::bus::BusSignal;
use crate::config::Config;
use crate::firewall::hide_tunnel_addresses;
use crate::policy;
use crate::sources::links;
use crate::status::Status;
use crate::store::{Applied, Store};
use crate::system;
use crate::vpn::{Announcement, Event, Machine, QuestionMark, Reason, Reporter, State, Tunnel, TunnelSource};

/// How long the agent waits for the first events. If the kernel already holds the rules of an earlier agent, it waits
/// before its first commit; otherwise only before the kernel's evidence alone counts.
const FIRST_EVENTS: Duration = Duration::from_millis(1500);

impl Agent {
    pub(super) async fn new(
        options: Options,
        events: mpsc::Sender<Event>,
        drift: Drift,
        receiver: impl FnOnce(watch::Sender<Status>) -> RequestReceiver,
    ) -> Self {
        let Options { config, path, load, store } = options;
        let configuration = Configuration::new(&path, &config, load);
        let config = config.config;
        let kept = store.applied().unwrap_or_else(|error| {
            tracing::warn!("{}", describe(&error));
            None
        });
        let kept = kept.unwrap_or_default();
        let owners = BootstrapOwners::new(&config);
        let rules = Rules::new(&config.firewall, kept.situation.clone());
        let status = Status::new(&kept.situation, kept.since, rules.found, system::has_docker());
        let status = watch::Sender::new(status);
        let receiver = receiver(status.clone());
        let mut agent = Self {
            machine: machine(config, &store, &kept),
            configuration,
            owners,
            rules,
            drift,
            announcer: Announcer::new(status, receiver.notices()),
            receiver,
            verifications: Verifications::default(),
            reconnection: Reconnection::new(&store),
            memory: Memory::new(store, kept),
            sources: Sources::new(events),
            names: ServerNames::default(),
            timers: Timers::default(),
        };
        agent.look_once().await;
        agent
    }

    /// Takes what the agent can know at once: the links, and what root's hooks reported to an earlier agent.
    async fn look_once(&mut self) {
        match links::snapshot().await {
            Ok(table) => self.take(Event::Links(table)),
            Err(error) => {
                tracing::warn!("{}: the LAN is closed until the links can be read", describe(&error));
            }
        }
        let before = self.memory.kept.reports.clone();
        for report in before.into_iter().filter(is_current) {
            self.take(Event::Report(report, Reporter::Root));
        }
        self.take_stored();
        if let Err(error) = hide_tunnel_addresses(self.memory.store.run()) {
            tracing::debug!("{}", describe(&error));
        }
    }

    /// Makes the first commit. If the kernel does not hold the rules of the earlier agent, the agent puts
    /// rules in force at once. If it does, the agent first waits a moment for events: otherwise the rules
    /// of a VPN that is up would be narrowed and widened again.
    pub(super) async fn begin(&mut self, events: &mut mpsc::Receiver<Event>) {
        let before =
            policy::ruleset(self.machine.config(), &self.owners.current, &self.memory.kept.situation);
        let differences = self.rules.firewall.differences(&before);
        let differences = self.receiver.run(&self.machine, differences).await;
        // Rules that the kernel refused to the earlier agent are tried at once.
        let held = self.memory.kept.refused.is_none() && differences.is_ok_and(|lines| lines.is_empty());
        // While no agent ran, somebody may have opened something.
        self.rules.damaged = !held;
        if held {
            self.rules.firewall.holds(before);
            // A pause goes on until its deadline, which the rules in the kernel still have.
            self.take_up_pause();
            self.take_first_events(events).await;
            self.step(Event::Begun);
        } else {
            self.begin_later();
        }
        let (old, new) = (self.memory.kept.announced_state(), self.machine.situation().state);
        if old == new && held {
            self.machine.keep_since(self.memory.kept.since, &self.memory.kept.situation.tunnels);
        }
        self.announcer.news = self.changes_without_agent(old, new);
        self.enforce().await;
    }

    /// Sends [`Event::Begun`] after a moment. Sources that know their tunnel report first: the kernel's evidence alone
    /// counts only then.
    fn begin_later(&self) {
        let events = self.sources.events.clone();
        tokio::spawn(async move {
            tokio::time::sleep(FIRST_EVENTS).await;
            let _ = events.send(Event::Begun).await;
        });
    }

    /// Takes events until these have reported, or [`FIRST_EVENTS`] has passed:
    ///
    /// - NetworkManager, with an answer to every question;
    /// - the client of a management socket, if it had reported a tunnel to the last agent;
    /// - the sources of WireGuard's files and devices, if there are devices.
    async fn take_first_events(&mut self, events: &mut mpsc::Receiver<Event>) {
        let before = &self.memory.kept.situation.tunnels;
        let reported = |tunnel: &Tunnel| tunnel.carrying && tunnel.source == TunnelSource::Management;
        let (mut manager, mut client) = (false, !before.iter().any(reported));
        let (mut files, mut devices) = (false, false);
        let first = async {
            while let Some(event) = events.recv().await {
                manager |= matches!(event, Event::NetworkManager(_));
                client |= matches!(event, Event::Management(_));
                files |= matches!(event, Event::WireGuardFiles(_));
                devices |= matches!(event, Event::WireGuardDevices { .. });
                self.take(event);
                self.direct_sources();
                let wireguard = files && devices || self.machine.wireguard_links().is_empty();
                if manager && client && wireguard && !self.machine.awaits_manager() {
                    break;
                }
            }
        };
        // A machine without NetworkManager or without a bus has only the other sources.
        let _ = tokio::time::timeout(FIRST_EVENTS, first).await;
    }

    /// The news of the time in which no agent ran.
    fn changes_without_agent(&self, old: State, new: State) -> Vec<BusSignal> {
        let mut news = Vec::new();
        if new == State::Lost && old == State::Protected {
            news.extend(self.memory.kept.situation.tunnels.iter().map(|tunnel| {
                let (name, interface) = (tunnel.name.clone(), Some(tunnel.interface.clone()));
                BusSignal::Vpn(Announcement::Lost { name, interface, reason: Reason::LinkGone })
            }));
        }
        if old != new {
            news.push(BusSignal::Vpn(Announcement::State { old, new }));
        }
        news
    }
}

/// The machine, with everything that earlier agents learned.
fn machine(config: Config, store: &Store, kept: &Applied) -> Machine {
    let (remembered, faults) = store.remembered(kept);
    for fault in faults {
        tracing::warn!("{fault}");
    }
    let mut machine = Machine::new(config, remembered, system::now());
    machine.set_question_mark(QuestionMark::random(system::random()));
    machine
}
