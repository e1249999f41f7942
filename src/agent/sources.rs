//! The connection to the sources: they send events to the loop, and the loop tells some of them what to
//! watch.

use tokio::sync::{mpsc, watch};

use super::Agent;
use crate::blocked::Facts;
use crate::sources::drift::TableReport;
use crate::sources::refusals::{Blocked, Inputs};
use crate::sources::{self, process::Watcher};
use crate::vpn::{Event, Link, Listening, ManagementSocket, RefusalFacts, Situation};

/// What the loop tells the sources.
pub(super) struct Sources {
    /// The way into the loop, for sources and for tasks that the loop starts.
    pub(super) events: mpsc::Sender<Event>,
    /// The processes of VPN clients, whose ends are events.
    pub(super) clients: Watcher,
    /// Whether sessions of PPPoE count: there is a link of PPP that is no tunnel.
    pppoe: watch::Sender<bool>,
    /// The servers whose packets have to arrive.
    silence: watch::Sender<Vec<Listening>>,
    /// The management sockets of plain OpenVPN clients.
    management: watch::Sender<Vec<ManagementSocket>>,
    /// The links of WireGuard devices.
    wireguard: watch::Sender<Vec<Link>>,
    /// The number of the last question to NetworkManager.
    question: watch::Sender<u64>,
    /// Which packets were refused, and whose they were.
    pub(super) blocked: Blocked,
    /// What the reason of a refusal depends on.
    facts: watch::Sender<Facts>,
}

/// Changes of files that other programs write.
pub(super) struct Files {
    pub(super) hosts: mpsc::Receiver<()>,
    pub(super) users: mpsc::Receiver<()>,
    /// Reports of hooks that could not reach the agent over the bus.
    pub(super) reports: mpsc::Receiver<()>,
}

impl Sources {
    pub(super) fn new(events: mpsc::Sender<Event>) -> Self {
        Self {
            clients: Watcher::new(events.clone()),
            events,
            pppoe: watch::Sender::default(),
            silence: watch::Sender::default(),
            management: watch::Sender::default(),
            wireguard: watch::Sender::default(),
            question: watch::Sender::default(),
            blocked: Blocked::default(),
            facts: watch::Sender::default(),
        }
    }

    /// Writes to the journal which refusals were counted since its last minute.
    pub(super) fn say_refusals(&self) {
        sources::refusals::say_counts(&self.blocked, self.facts.borrow().journal);
    }
}

impl Agent {
    /// Starts every source.
    pub(super) fn start_sources(&self, changes: mpsc::Sender<TableReport>) -> Files {
        let (hosts_sender, hosts) = mpsc::channel(1);
        let (users_sender, users) = mpsc::channel(1);
        let (reports_sender, reports) = mpsc::channel(1);
        // The first reading answers the questions about the links that are there now.
        publish(&self.sources.question, self.machine.question());
        let store = &self.memory.store;
        tokio::spawn(sources::drift::watch(changes));
        tokio::spawn(sources::files::watch(hosts_sender));
        tokio::spawn(sources::files::watch_users(users_sender));
        tokio::spawn(sources::reports::watch(store.run().to_owned(), store.reports(), reports_sender));
        let events = || self.sources.events.clone();
        tokio::spawn(sources::links::watch(self.sources.pppoe.subscribe(), events()));
        let containers = watch::Sender::default();
        let inputs = Inputs { facts: self.sources.facts.subscribe(), containers: containers.subscribe() };
        tokio::spawn(sources::refusals::watch(self.sources.blocked.clone(), inputs));
        tokio::spawn(sources::docker::watch(events(), containers));
        tokio::spawn(sources::resolvers::watch(events()));
        tokio::spawn(sources::clock::watch(events()));
        tokio::spawn(sources::sleep::watch(events()));
        tokio::spawn(sources::openvpn_files::watch(events()));
        tokio::spawn(sources::wireguard_files::watch(events()));
        tokio::spawn(sources::wireguard_devices::watch(self.sources.wireguard.subscribe(), events()));
        tokio::spawn(sources::management::watch(self.sources.management.subscribe(), events()));
        tokio::spawn(sources::silence::watch(self.sources.silence.subscribe(), events()));
        tokio::spawn(sources::network_manager::watch(self.sources.question.subscribe(), events()));
        Files { hosts, users, reports }
    }

    /// Tells the sources which servers, management sockets and devices to watch.
    pub(super) fn direct_sources(&self) {
        publish(&self.sources.pppoe, self.machine.counts_pppoe());
        publish(&self.sources.silence, self.machine.listening());
        publish(&self.sources.management, self.machine.management_sockets());
        publish(&self.sources.wireguard, self.machine.wireguard_links());
        publish(&self.sources.question, self.machine.question());
    }

    /// Tells the source of refusals what their reasons depend on.
    pub(super) fn publish_facts(&self, situation: &Situation) {
        let config = self.machine.config();
        let tunnels = situation.tunnels.iter().map(|tunnel| tunnel.interface.to_string());
        let owners = self.owners.current.bootstrap.clone();
        let facts = Facts {
            outside: RefusalFacts::new(config, situation, owners),
            journal: config.log.destinations,
            tunnels: tunnels.collect(),
        };
        publish(&self.sources.facts, facts);
    }
}

/// Sends a value that differs from the last one.
pub(super) fn publish<T: PartialEq>(sender: &watch::Sender<T>, value: T) {
    sender.send_if_modified(|now| {
        let differs = *now != value;
        *now = value;
        differs
    });
}
