//! The state machine: one total step from what is known and one event to what is true now.
//!
//! Its parts own what they know: `Facts` what the sources say, `Claims` the claims of tunnels, `Outcome`
//! the state. A step takes in the event (`absorb`) and then draws the conclusions (`conclude`). Time is an
//! argument. Actions come out as data.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::claim::Ending;
use super::claims::Claims;
use super::facts::Facts;
use super::known::Known;
use super::outcome::Outcome;
use super::reconnect::Backoff;
use super::{
    Action, Change, Event, KnownVpn, LastVpn, LeftOut, LinkTable, ManagementMessage, NetworkBridge, NmView,
    Remembered, Report, ReportKind, Reporter, State, Tunnel,
};
use crate::config::Config;
use crate::net::Endpoint;

/// The machine. [`Machine::step`] is the only way to change it.
#[derive(Debug, Clone)]
pub struct Machine {
    pub(super) facts: Facts,
    pub(super) claims: Claims,
    pub(super) outcome: Outcome,
    /// The VPN that was there last.
    last: Option<LastVpn>,
    /// When this machine began, in seconds since the epoch.
    started: u64,
    pub(super) backoff: Backoff,
    pub(super) derived: Derived,
}

/// How long NetworkManager may take before its first answer, in seconds.
const MANAGER_TIMEOUT: u64 = 600;

/// What depends on thousands of servers. It is computed again only when what it depends on has changed.
#[derive(Debug, Clone, Default)]
pub(super) struct Derived {
    /// The profiles, files and devices that claims are about.
    in_use: BTreeSet<String>,
    pub(super) left_out: BTreeSet<(String, LeftOut)>,
    /// Tunnels that all traffic is routed into, although the rules let no packet into them.
    pub(super) without_effect: BTreeSet<(String, LeftOut)>,
    networks: Vec<NetworkBridge>,
    pub(super) vpns: (Vec<KnownVpn>, usize),
}

/// What one event led to so far.
#[derive(Debug, Default)]
pub(super) struct Absorbed {
    /// The protection that has ended.
    pub(super) endings: Vec<Ending>,
    pub(super) actions: Vec<Action>,
    /// Whether other servers or names may be known.
    pub(super) servers: Servers,
}

/// Whether an event may have changed which servers and names are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Servers {
    #[default]
    AsBefore,
    Changed,
}

impl Machine {
    /// A machine that knows its configuration and what the last agent knew.
    pub fn new(config: Config, remembered: Remembered, now: u64) -> Self {
        let outcome = Outcome::new(remembered.state, now);
        let claims = Claims::new(remembered.silent.clone());
        let last = remembered.last.clone();
        let facts = Facts::new(config, remembered);
        let (backoff, derived) = (Backoff::default(), Derived::default());
        let mut machine = Self { facts, claims, outcome, last, started: now, backoff, derived };
        machine.review_servers();
        machine.derived.networks = machine.named_networks();
        machine
    }

    /// Takes over two times from the last agent: when the state began, and when each tunnel
    /// came that is still there. The caller makes sure that the state is the same.
    pub fn keep_since(&mut self, since: u64, tunnels: &[Tunnel]) {
        self.outcome.keep_since(since);
        self.claims.keep_since(tunnels);
    }

    /// When the state began, in seconds since the epoch.
    pub fn since(&self) -> u64 {
        self.outcome.since()
    }

    /// The VPN that was there last, for the next agent.
    pub fn last(&self) -> Option<&LastVpn> {
        self.last.as_ref()
    }

    /// Takes in one event at `now`, in seconds since the epoch. Returns what the agent must do.
    pub fn step(&mut self, event: Event, now: u64) -> Vec<Action> {
        let absorbed = self.absorb(event, now);
        self.conclude(absorbed, now)
    }

    /// Takes in what a source says.
    fn absorb(&mut self, event: Event, now: u64) -> Absorbed {
        let mut absorbed = Absorbed::default();
        match event {
            Event::Links(table) => absorbed.actions.extend(self.absorb_links(table, now)),
            Event::Docker(view) => {
                absorbed.actions.push(Action::CheckRules);
                self.facts.docker.take(view);
                self.facts.find_uplinks_again();
            }
            Event::Published(ports) => self.facts.docker.published = ports,
            Event::ManagerUnread => self.facts.is_manager_unread = true,
            Event::NetworkManager(view) => {
                absorbed.endings = self.absorb_view(view, now);
                absorbed.servers = Servers::Changed;
            }
            Event::OpenVpnFiles(files) => {
                self.facts.sockets.set(files.iter().filter_map(|file| file.management.clone()));
                self.facts.learning.learn_files(files);
                absorbed.servers = Servers::Changed;
            }
            Event::FilesLeftOut(kind, faults) => {
                self.facts.file_faults.insert(kind, faults);
                absorbed.servers = Servers::Changed;
            }
            Event::WireGuardDevices { devices, awake } => absorbed = self.absorb_devices(devices, awake, now),
            Event::WireGuardFiles(files) => {
                self.facts.take_keys(&files);
                self.facts.learning.learn_wireguard(files);
                absorbed.servers = Servers::Changed;
            }
            Event::Begun => self.claims.begin(&mut self.facts),
            Event::Report(report, reporter) => absorbed = self.absorb_report(&report, &reporter, now),
            Event::Management(message) => absorbed = self.absorb_message(&message, now),
            Event::SocketState(socket, socket_state) => self.facts.sockets.note(&socket, socket_state),
            Event::ClientUser { pid, uid } => self.claims.client_user(pid, uid),
            Event::ClientUnit { pid, unit } => self.claims.client_unit(pid, &unit),
            Event::ClientExited { pid } => absorbed.endings = self.claims.client_exited(pid),
            Event::Resolvers(resolvers) => self.facts.names.set_resolvers(resolvers),
            Event::Resolved { name, addresses } => {
                self.facts.names.take(name, &addresses, now);
                self.claims.find_servers(&self.facts);
                absorbed.servers = Servers::Changed;
            }
            Event::Silent { tunnel } => absorbed.endings.extend(self.claims.silent(&tunnel, now)),
            Event::Heard { tunnel, server } => self.claims.heard(&tunnel, server, &self.facts, now),
            Event::Restarting { path } => self.claims.restarting(&path),
            Event::Reconnected(_) => self.backoff.ended(),
            Event::Pause(pause) => self.outcome.set_pause(Some(pause)),
            Event::Resume => self.outcome.set_pause(None),
            Event::Clock => {}
            Event::Woken => {
                absorbed.actions.push(Action::CheckRules);
                self.facts.names.retry_now();
                self.backoff.retry_now(now);
            }
            Event::Config(config) => {
                self.absorb_config(*config, now);
                absorbed.servers = Servers::Changed;
            }
        }
        absorbed
    }

    fn absorb_links(&mut self, table: LinkTable, now: u64) -> Option<Action> {
        // A program that makes a bridge of containers makes rules for it.
        let look = (table.bridges() != self.facts.links.bridges()).then_some(Action::CheckRules);
        let before = self.facts.take_links(table);
        if self.facts.links != before {
            self.facts.names.retry_now();
        }
        let config = &self.facts.config;
        if self.facts.links.uplinks(config) != before.uplinks(config) {
            self.backoff.retry_now(now);
        }
        look
    }

    fn absorb_view(&mut self, view: Option<NmView>, now: u64) -> Vec<Ending> {
        self.facts.take_view(view);
        self.facts.note_makers();
        self.learn_gateways();
        let endings = self.claims.take_view(&self.facts, now);
        // An ending is listed once: it must not end a later connection that has the same path.
        if let Some(view) = &mut self.facts.manager {
            view.active.retain(|active| !active.has_ended());
        }
        endings
    }

    /// Learns the servers that plugins have reported. What a resolver has answered is kept with its name.
    fn learn_gateways(&mut self) {
        let view = self.facts.manager.iter().flat_map(|view| &view.active);
        let counting = view.filter(|active| self.facts.counts(&active.uuid, &active.id));
        let reported = counting.filter(|active| active.gateway.is_some() && !active.has_ended());
        let gateways: Vec<(String, BTreeSet<Endpoint>)> =
            reported.map(|active| (active.uuid.clone(), self.facts.endpoints_of(active))).collect();
        for (uuid, endpoints) in gateways {
            self.facts.learning.learn_gateway(&uuid, &endpoints);
        }
    }

    fn absorb_config(&mut self, config: Config, now: u64) {
        let facts = &mut self.facts;
        facts.config = config;
        facts.find_uplinks_again();
        if let Some(view) = &facts.manager {
            facts.learning.learn_profiles(view, &facts.config);
        }
        self.learn_gateways();
        self.claims.count_again(&self.facts, now);
    }

    fn absorb_report(&mut self, report: &Report, reporter: &Reporter, now: u64) -> Absorbed {
        let report = &self.known().with_transport_of_files(report);
        let mut absorbed = Absorbed::default();
        match reporter {
            Reporter::Root => {
                absorbed.actions.extend(report.pid.map(Action::Watch));
                absorbed.endings.extend(self.claims.take_root_report(report, now));
                if report.kind == ReportKind::Up {
                    self.facts.learning.learn_hook(report, self.claims.servers_of_hook(report));
                    absorbed.servers = Servers::Changed;
                }
            }
            Reporter::Client(lineage) if self.may_report(report, reporter) => {
                let allowed = self.known().allowance(self.state_without_pause()).endpoints;
                let mut servers = report.servers();
                servers.retain(|server| allowed.contains_key(server));
                absorbed.endings = self.claims.take_client_report(report, lineage, &servers, now);
            }
            Reporter::Client(_) => {}
        }
        absorbed
    }

    fn absorb_message(&mut self, message: &ManagementMessage, now: u64) -> Absorbed {
        let mut absorbed = Absorbed::default();
        // A message from a socket whose configuration is gone is ignored.
        if self.facts.sockets.has(&message.file) {
            absorbed.endings = self.claims.take_message(message, &self.facts, now);
            absorbed.actions.extend(message.pid.filter(|_| message.is_connected()).map(Action::Watch));
        }
        absorbed
    }

    /// Draws the conclusions.
    fn conclude(&mut self, absorbed: Absorbed, now: u64) -> Vec<Action> {
        let Absorbed { mut endings, mut actions, servers } = absorbed;
        if servers == Servers::Changed {
            self.facts.name_tunnels();
            self.claims.find_servers_of_kernel(&self.facts);
        }
        endings.extend(self.claims.compare(&self.facts, now));
        self.outcome.settle(&endings, &self.claims, &self.facts);
        self.last = self.claims.last().or(self.last.take());
        if self.knows_what_is_in_use(now) {
            let in_use = self.claims.servers_in_use(&self.facts);
            self.facts.names.age(&in_use, now);
        }
        let announcements = self.outcome.conclude(self.state_without_pause(), endings, now);
        actions.extend(announcements.into_iter().map(Action::Announce));
        actions.extend(self.begin_attempt_if_due(now));
        let left_out = self.review_names(servers, now);
        actions.extend(self.look_up(now));
        actions.extend(self.next_moment(now).and_then(timestamp).map(Action::WakeAt));
        actions.extend(self.changes().into_iter().map(Action::Remember));
        actions.extend(left_out);
        actions.extend(self.review_tunnels());
        actions
    }

    /// Finds which names are looked up and what is left out, if that may have changed. Returns what is left
    /// out now and was not before.
    fn review_names(&mut self, servers: Servers, now: u64) -> Vec<Action> {
        let in_use = self.claims.in_use();
        let is_stale = servers == Servers::Changed || in_use != self.derived.in_use;
        if is_stale {
            self.derived.in_use = in_use;
            self.want_names();
        }
        let admits_others = self.facts.names.admit(now);
        if admits_others || is_stale {
            self.facts.names.choose_wanted();
        }
        if self.knows_what_is_in_use(now) {
            self.facts.names.forget_unwanted();
        }
        if !admits_others && !is_stale {
            return Vec::new();
        }
        let before = std::mem::take(&mut self.derived.left_out);
        self.review_vpns();
        let new = self.derived.left_out.difference(&before);
        new.map(|(vpn, what)| Action::LeftOut(vpn.clone(), what.clone())).collect()
    }

    /// Finds the tunnels that all traffic is routed into, although the rules let no packet into them. Returns warnings
    /// about those that are new.
    fn review_tunnels(&mut self) -> Vec<Action> {
        let mut without_effect = self.known().without_effect();
        without_effect.extend(self.unanswered());
        let before = std::mem::replace(&mut self.derived.without_effect, without_effect);
        let new = self.derived.without_effect.difference(&before);
        new.map(|(name, what)| Action::LeftOut(name.clone(), what.clone())).collect()
    }

    /// Whether the agent knows which VPNs are in use. An agent that was restarted does not know it before
    /// NetworkManager's first answer.
    fn knows_what_is_in_use(&self, now: u64) -> bool {
        self.facts.manager.is_some() || now.saturating_sub(self.started) >= MANAGER_TIMEOUT
    }

    /// Finds the names to look up and what is left out, at the start. No name of a user's profile is admitted then.
    fn review_servers(&mut self) {
        self.want_names();
        self.facts.names.choose_wanted();
        self.review_vpns();
    }

    fn want_names(&mut self) {
        let roots = self.known().roots_names();
        let users = self.known().users_names(&roots);
        self.facts.names.want(roots, users);
    }

    pub(super) fn find_left_out(&self) -> BTreeSet<(String, LeftOut)> {
        self.facts.learning.excess().chain(self.known().left_out()).collect()
    }

    /// Asks for the names that are due.
    fn look_up(&mut self, now: u64) -> Option<Action> {
        let state = self.state_without_pause();
        let names = self.facts.names.ask(state, now);
        let resolvers = self.facts.names.resolvers().clone();
        (!names.is_empty()).then_some(Action::LookUp { names, resolvers })
    }

    /// What has to be written to the disk.
    fn changes(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        if self.facts.names.take_change() {
            changes.push(Change::Names(self.facts.names.all().clone()));
        }
        if self.facts.learning.take_change() {
            changes.push(Change::Learned(self.facts.learning.all().clone()));
        }
        let networks = self.named_networks();
        if self.derived.networks != networks {
            self.derived.networks.clone_from(&networks);
            changes.push(Change::Networks(networks));
        }
        changes
    }

    /// The next moment at which something changes by the clock alone, in seconds since the epoch.
    pub(super) fn next_moment(&self, now: u64) -> Option<u64> {
        let pause = self.outcome.pause().map(|pause| pause.until);
        let question = self.facts.names.next_moment(self.state_without_pause(), now);
        let expiry = self.facts.names.next_expiry(now);
        let report = self.claims.next_moment();
        // An attempt that is due and has not begun waits for the answer of a resolver, which is an event.
        let attempt = self.backoff.next_moment().filter(|at| *at > now);
        let answer = self.claims.questions.next_moment(&self.facts, now);
        [pause, question, expiry, report, attempt, answer].into_iter().flatten().min()
    }

    pub(super) fn known(&self) -> Known<'_> {
        Known { facts: &self.facts, claims: self.claims.all() }
    }

    /// The state without a pause.
    pub(super) fn state_without_pause(&self) -> State {
        self.outcome.state_without_pause(&self.claims, &self.facts)
    }

    pub(super) fn state(&self) -> State {
        self.outcome.state()
    }

    fn named_networks(&self) -> Vec<NetworkBridge> {
        self.facts.docker.named_networks(&self.facts.config)
    }
}

pub(super) fn timestamp(seconds: u64) -> Option<Timestamp> {
    Timestamp::from_second(i64::try_from(seconds).ok()?).ok()
}
