//! The state machine: one total step from what is known and what was just seen to what is so now.
//!
//! It fuses the sources. NetworkManager and the hooks claim; the link table bears out or does not;
//! the state follows. Time is an argument. What is to be done comes out as data.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::claim::{Claim, Claimant, Ending, Evidence, Standing};
use super::comeback::Backoff;
use super::docker::Docker;
use super::known::Known;
use super::learned::{Learned, Memory};
use super::names::Resolution;
use super::{
    Action, Announcement, Event, Hearing, LastVpn, LinkTable, ManagementSocket, NmView, Pause, PauseScope,
    Report, ReportKind, Reporter, Situation, State, Tunnel, TunnelId,
};
use crate::config::Config;
use crate::net::IfName;

/// The machine. [`Machine::step`] is the only way to change it.
#[derive(Debug, Clone)]
pub struct Machine {
    pub(super) config: Config,
    pub(super) links: LinkTable,
    pub(super) docker: Docker,
    pub(super) nm: Option<NmView>,
    pub(super) claims: Vec<Claim>,
    pub(super) learned: Learned,
    pub(super) memory: Memory,
    /// Tunnels whose servers were silent when a forerunner last listened, and that nobody has claimed yet.
    pub(super) silent: BTreeSet<TunnelId>,
    /// Where plain clients can be heard, and whether they are.
    pub(super) sockets: BTreeMap<ManagementSocket, Hearing>,
    /// How many servers of which VPN are too many.
    pub(super) left_out: BTreeMap<String, usize>,
    pub(super) resolution: Resolution,
    /// The VPN that was there last.
    pub(super) last: Option<LastVpn>,
    pub(super) backoff: Backoff,
    pub(super) pause: Option<Pause>,
    /// What the state is when no tunnel stands or comes: locked, or lost.
    ground: State,
    pub(super) state: State,
    since: u64,
}

impl Machine {
    /// A machine that knows nothing but its configuration, what was learned before, and whether a
    /// VPN protected when its forerunner last spoke (then its absence is a loss).
    pub fn new(config: Config, learned: Learned, before: State, now: u64) -> Self {
        // Whoever was protected and is not now, lost the VPN while nobody looked.
        let ground = match before {
            State::Protected | State::Lost | State::Connecting => State::Lost,
            State::Locked | State::Paused => State::Locked,
        };
        Self {
            config,
            links: LinkTable::default(),
            docker: Docker::default(),
            nm: None,
            claims: Vec::new(),
            learned,
            memory: Memory::Whole,
            silent: BTreeSet::new(),
            sockets: BTreeMap::new(),
            left_out: BTreeMap::new(),
            resolution: Resolution::default(),
            last: None,
            backoff: Backoff::default(),
            pause: None,
            ground,
            state: ground,
            since: now,
        }
    }

    /// The configuration in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Since when the state is what it is, in seconds since the epoch.
    pub fn since(&self) -> u64 {
        self.since
    }

    /// The reports of root that still stand, so that a successor can take them up.
    pub fn reports(&self) -> Vec<Report> {
        let hooks = self.claims.iter().filter(|claim| claim.claimant == Claimant::Hook);
        hooks
            .filter_map(|claim| {
                let (interface, (endpoint, either)) = (claim.interface.clone()?, claim.server());
                let up = Report {
                    kind: ReportKind::Up,
                    interface,
                    pid: claim.pid,
                    started: claim.started,
                    endpoint,
                    either,
                };
                // What a hook has called lost, or what lost its link, a link alone does not bring back.
                let lost = Report { kind: ReportKind::DownLost, ..up.clone() };
                Some(std::iter::once(up).chain(claim.awaits_its_client().then_some(lost)))
            })
            .flatten()
            .collect()
    }

    /// The state is what it was before this machine began, and has been since then; so have the
    /// tunnels that stood then and stand now.
    pub fn keep_since(&mut self, since: u64, tunnels: &[Tunnel]) {
        self.since = since;
        for claim in &mut self.claims {
            let carrying = claim.standing == Standing::Carrying;
            let before = tunnels.iter().find(|tunnel| {
                claim.interface.as_ref() == Some(&tunnel.interface)
                    && claim.name == tunnel.name
                    && carrying == tunnel.carrying
            });
            claim.since = before.map_or(claim.since, |tunnel| tunnel.since);
        }
    }

    /// The processes of VPN clients: what descends from one may report that its tunnel is lost.
    pub fn clients(&self) -> BTreeSet<u32> {
        self.claims.iter().filter_map(|claim| claim.pid).collect()
    }

    /// Takes in one event, at `now` (seconds since the epoch), and says what is to be done.
    pub fn step(&mut self, event: Event, now: u64) -> Vec<Action> {
        let (learned, networks) = (self.learned.clone(), self.named_networks());
        let names = self.resolution.names.clone();
        let left_out = self.left_out();
        let mut actions = Vec::new();
        let mut endings = match event {
            Event::Links(table) => {
                // Whoever makes a bridge of containers makes rules for it.
                if table.bridges() != self.links.bridges() {
                    actions.push(Action::Look);
                }
                let before = self.links.clone();
                self.see(table);
                if self.links != before {
                    self.resolution.hope();
                }
                if self.links.uplinks(&self.config) != before.uplinks(&self.config) {
                    self.backoff.hope(now);
                }
                Vec::new()
            }
            Event::Docker(view) => {
                actions.push(Action::Look);
                self.docker.take(view);
                self.see(self.links.clone());
                Vec::new()
            }
            Event::Published(ports) => {
                self.docker.published = ports;
                Vec::new()
            }
            Event::NetworkManager(view) => self.network_manager(view, now),
            Event::OpenVpnFiles(files) => {
                self.learn_files(files);
                Vec::new()
            }
            Event::Report(report, reporter) => {
                actions.extend(report.pid.filter(|_| reporter == Reporter::Root).map(Action::Watch));
                self.report(report, reporter, now)
            }
            Event::Management(word) => {
                let (endings, watch) = self.management(word, now);
                actions.extend(watch);
                endings
            }
            Event::Hearing(socket, hearing) => {
                self.hearing(&socket, hearing);
                Vec::new()
            }
            Event::ClientUser { pid, uid } => {
                self.client_user(pid, uid);
                Vec::new()
            }
            Event::ClientUnit { pid, unit } => {
                self.client_unit(pid, &unit);
                Vec::new()
            }
            Event::ClientExited { pid } => self.client_exited(pid),
            Event::Resolvers(resolvers) => {
                if resolvers != self.resolution.resolvers {
                    self.resolution.resolvers = resolvers;
                    self.resolution.hope();
                }
                Vec::new()
            }
            Event::Resolved { name, addresses } => {
                self.resolution.take(name, &addresses, now);
                // Whoever is on his way to that name now may go to its address.
                let view = self.nm.clone();
                self.network_manager(view, now)
            }
            Event::Silent { tunnel } => self.silent(&tunnel, now).into_iter().collect(),
            Event::Heard { tunnel, server } => {
                self.heard(&tunnel, server, now);
                Vec::new()
            }
            Event::Restarting { path } => {
                self.restarting(&path);
                Vec::new()
            }
            Event::Reconnected(_) => {
                self.backoff.ended();
                Vec::new()
            }
            Event::Pause(pause) => {
                self.pause = pause.told();
                Vec::new()
            }
            Event::Resume => {
                self.pause = None;
                Vec::new()
            }
            Event::Clock => Vec::new(),
            Event::Woken => {
                actions.push(Action::Look);
                self.resolution.hope();
                self.backoff.hope(now);
                Vec::new()
            }
            Event::Config(config) => {
                self.config = *config;
                self.see(self.links.clone());
                let view = self.nm.clone();
                self.network_manager(view, now)
            }
        };
        endings.extend(self.weigh(now));
        self.settle(&endings);
        self.note_last();
        let in_use = self.servers_in_use();
        self.resolution.age(&in_use, now);
        actions.extend(self.conclude(endings, now));
        actions.extend(self.come_back(now));
        actions.extend(self.look_up(now));
        actions.extend(self.next_moment(now).and_then(timestamp).map(Action::WakeAt));
        if self.resolution.names != names {
            actions.push(Action::RememberNames(self.resolution.names.clone()));
        }
        if self.learned != learned {
            actions.push(Action::Remember(self.learned.clone()));
        }
        let news = self.left_out().into_iter().filter(|left| !left_out.contains(left));
        actions.extend(news.map(|(vpn, what)| Action::LeftOut(vpn, what)));
        if self.named_networks() != networks {
            actions.push(Action::RememberNetworks(self.named_networks()));
        }
        actions
    }

    /// What is so now: all that the rules follow from.
    pub fn situation(&self) -> Situation {
        let row = if self.state == State::Paused { self.beneath() } else { self.state };
        Situation {
            state: self.state,
            paused_until: self.pause.and_then(|pause| timestamp(pause.until)),
            paused_from: self.pause.and_then(|pause| timestamp(pause.from)),
            pause_scope: self.pause.map(|pause| pause.scope).unwrap_or_default(),
            portal_uplinks: self.portal_uplinks(),
            bootstrap: self.known().allowance(row),
            resolvers: self.resolvers(),
            tunnels: self.tunnels(),
            tunnel_networks: self.links.tunnel_networks(&self.config),
            tunnel_addresses: self.links.tunnel_addresses(&self.config),
            named_tunnels: self.named_tunnels(),
            uplinks: self.links.uplinks(&self.config),
            wires: self.links.wires(&self.config),
            unnamed_wires: self.links.unnamed_wires(&self.config),
            ppp_links: self.links.ppp_links(),
            known_uplinks: self.known_uplinks(),
            bridges: self.links.other_bridges(&self.config),
            shut_out: self.links.shut_out(&self.config),
            published: self.docker.published.clone(),
            networks: self.docker.accesses(&self.links, &self.config),
            ipv6_bridges: self.docker.ipv6_bridges(&self.links, &self.config),
        }
    }

    pub(super) fn known(&self) -> Known<'_> {
        Known {
            config: &self.config,
            nm: self.nm.as_ref(),
            learned: &self.learned,
            claims: &self.claims,
            names: &self.resolution.names,
            admitted: &self.resolution.admitted,
            memory: self.memory,
            links: &self.links,
        }
    }

    fn weigh(&mut self, now: u64) -> Vec<Ending> {
        self.find_links();
        self.remember_silence(now);
        let evidence = Evidence {
            servers: self.known().allowance(State::Lost).servers().collect(),
            links: &self.links,
            config: &self.config,
        };
        let mut endings = Vec::new();
        for claim in &mut self.claims {
            endings.extend(claim.weigh(&evidence, now));
        }
        self.claims.retain(|claim| !claim.is_forsaken());
        endings
    }

    /// Where the state falls back to when no tunnel stands or comes.
    fn settle(&mut self, endings: &[Ending]) {
        let asked = endings.iter().any(|ending| ending.reason.is_none());
        if asked || self.stands(Standing::Carrying) {
            self.ground = State::Locked;
        } else if endings.iter().any(|ending| ending.protected) {
            self.ground = State::Lost;
        }
    }

    fn stands(&self, standing: Standing) -> bool {
        // A plain client speaks when its interface is there: without it nothing is on its way.
        let on_its_way =
            |claim: &Claim| claim.is_managed() || claim.link(&self.links, &self.config).is_some();
        self.claims.iter().any(|claim| claim.standing == standing && on_its_way(claim))
    }

    /// The state without a pause.
    pub(super) fn beneath(&self) -> State {
        if self.stands(Standing::Carrying) {
            State::Protected
        } else if self.stands(Standing::Coming) {
            State::Connecting
        } else {
            self.ground
        }
    }

    fn conclude(&mut self, endings: Vec<Ending>, now: u64) -> Vec<Action> {
        let beneath = self.beneath();
        // Whoever has his VPN is through the portal.
        let signed_in = |pause: &Pause| pause.scope == PauseScope::Portal && beneath == State::Protected;
        self.pause = self.pause.filter(|pause| pause.covers(now) && !signed_in(pause));
        let new = if self.pause.is_some() { State::Paused } else { beneath };
        let mut actions = Vec::new();
        for ending in endings.into_iter().filter(|ending| ending.protected) {
            if let Some(reason) = ending.reason {
                let (name, interface) = (ending.name, ending.interface);
                actions.push(Action::Announce(Announcement::Lost { name, interface, reason }));
            }
        }
        if new != self.state {
            actions.push(Action::Announce(Announcement::State { old: self.state, new }));
            self.state = new;
            self.since = now;
        }
        actions
    }

    fn tunnels(&self) -> Vec<Tunnel> {
        let mut tunnels: Vec<Tunnel> = Vec::new();
        let carrying = |claim: &&Claim| claim.standing == Standing::Carrying;
        let others = self.claims.iter().filter(|claim| !carrying(claim));
        // Two may claim one interface: the one that carries speaks for it.
        for claim in self.claims.iter().filter(carrying).chain(others) {
            let Some(link) = claim.link(&self.links, &self.config).filter(|link| link.is_addressed()) else {
                continue;
            };
            let Some(interface) = claim.interface.clone() else { continue };
            let endpoint = claim.endpoint();
            if tunnels.iter().any(|tunnel| tunnel.interface == interface) {
                continue;
            }
            tunnels.push(Tunnel {
                interface,
                addresses: link.own_addresses(),
                carrying: claim.standing == Standing::Carrying,
                endpoint,
                source: claim.source(),
                name: claim.name.clone(),
                since: claim.since,
            });
        }
        tunnels
    }

    /// With named connections only their tunnels carry anything, and those that root reported.
    fn named_tunnels(&self) -> Option<Vec<IfName>> {
        if self.config.vpn.connections.is_empty() {
            return None;
        }
        // The very link that was vouched for: a name may be another tunnel's by now.
        let own = self.claims.iter().filter(|claim| claim.link(&self.links, &self.config).is_some());
        let mut names: Vec<IfName> = own.filter_map(|claim| claim.interface.clone()).collect();
        names.sort();
        names.dedup();
        Some(names)
    }
}

pub(super) fn timestamp(seconds: u64) -> Option<Timestamp> {
    Timestamp::from_second(i64::try_from(seconds).ok()?).ok()
}
