//! Properties of the machine: the contract's rows hold for every sequence of events.
//!
//! The test keeps its own bounds, from the events alone, and compares them with the machine.

mod contract;
mod devices;
mod events;
mod growing;
mod kernel;
mod makers;
mod overview;
mod questions;
mod scenarios;
mod sleep;
mod unclaimed;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use jiff::Timestamp;
use proptest::prelude::*;

use super::claim::{Claimant, Standing};
use super::*;
use crate::config::{Config, Dns, Routes, Scope};
use crate::net::{Endpoint, Family, Host, HostName, Port, Transport};
use crate::policy;
use contract::the_contract_holds;
use events::{Step, config, from_one_seed, keys, learned, steps};

/// All that may ever be an endpoint, and whose tunnels may ever carry anything, by the events so far.
#[derive(Debug, Default)]
struct Reported {
    /// What each profile named, by its UUID, and the names of profiles.
    profiles: BTreeMap<String, (String, BTreeSet<Endpoint>)>,
    /// What root reported or the last run had kept of such reports.
    root: BTreeSet<Endpoint>,
    root_interfaces: BTreeSet<String>,
    /// Addresses that clients said on their management sockets.
    management_addresses: BTreeSet<IpAddr>,
    /// Servers of root's files that have only a name.
    root_names: BTreeSet<(HostName, Transport, Port)>,
    /// Interfaces that NetworkManager gave to a profile.
    interfaces: BTreeSet<(String, String, String)>,
    links: LinkTable,
    /// Devices of root's WireGuard files, as they are now.
    devices: BTreeSet<String>,
    /// Servers of profiles that have only a name.
    named: BTreeSet<(String, (HostName, Transport, Port))>,
    /// The addresses that answers gave for each name.
    resolved: BTreeMap<HostName, BTreeSet<IpAddr>>,
    pause: Option<Pause>,
}

impl Reported {
    fn of(learned: &Learned) -> Self {
        let mut reported = Self::default();
        for (key, vpn) in learned {
            if vpn.origin != Origin::NetworkManager {
                reported.root.extend(&vpn.endpoints);
            } else {
                reported.profiles.insert(key.clone(), (vpn.name.clone(), vpn.endpoints.clone()));
            }
        }
        reported
    }

    fn record(&mut self, event: &Event) {
        match event {
            Event::Links(table) => self.links = table.clone(),
            Event::NetworkManager(Some(view)) => self.record_view(view),
            Event::OpenVpnFiles(files) => {
                self.root.extend(files.iter().flat_map(|file| &file.endpoints));
                self.root_names.extend(files.iter().flat_map(|file| file.names.clone()));
            }
            Event::WireGuardFiles(files) => {
                self.root.extend(files.iter().flat_map(|file| &file.endpoints));
                self.devices = files.iter().map(|file| file.interface.to_string()).collect();
            }
            Event::Report(report, Reporter::Root) => {
                self.root.extend(report.servers());
                self.root_interfaces.insert(report.interface.to_string());
            }
            Event::Resolved { name, addresses } => {
                self.resolved.entry(name.clone()).or_default().extend(addresses);
            }
            Event::Management(ManagementMessage {
                said: ClientState::Connected { addresses, .. }, ..
            }) => {
                self.management_addresses.extend(addresses);
            }
            Event::Pause(pause) => self.pause = Some(*pause),
            Event::Resume => self.pause = None,
            Event::Management(_)
            | Event::SocketState(..)
            | Event::NetworkManager(None)
            | Event::ManagerUnread
            | Event::Begun
            | Event::WireGuardDevices { .. }
            | Event::Report(_, Reporter::Client(_))
            | Event::Docker(_)
            | Event::Published(_)
            | Event::Resolvers(_)
            | Event::ClientUser { .. }
            | Event::ClientUnit { .. }
            | Event::Restarting { .. }
            | Event::Silent { .. }
            | Event::Heard { .. }
            | Event::Reconnected(_)
            | Event::ClientExited { .. }
            | Event::Clock
            | Event::Woken
            | Event::FilesLeftOut(..)
            | Event::Config(_) => {}
        }
        // A client's own link is the one with the address that the client reported.
        let own = |link: &&Link| {
            link.kind.is_tunnel()
                && link.addresses.iter().any(|net| self.management_addresses.contains(&net.addr()))
        };
        self.root_interfaces.extend(self.links.links.iter().filter(own).map(|link| link.name.clone()));
    }

    fn record_view(&mut self, view: &NmView) {
        for profile in &view.profiles {
            let entry = self.profiles.entry(profile.uuid.clone()).or_default();
            entry.0.clone_from(&profile.id);
            entry.1.extend(&profile.endpoints);
            self.named.extend(profile.names.iter().map(|name| (profile.uuid.clone(), name.clone())));
            let gateways =
                view.active.iter().filter(|active| active.uuid == profile.uuid).filter_map(|a| a.gateway);
            for gateway in gateways {
                let named = profile.names.iter();
                entry.1.extend(named.filter_map(|(_, by, port)| Endpoint::new(gateway, *by, *port).ok()));
            }
        }
        for active in &view.active {
            let interface = active.interface.as_ref().map(ToString::to_string);
            self.interfaces.extend(interface.map(|name| (active.uuid.clone(), active.id.clone(), name)));
        }
    }

    /// The endpoints of the configuration, of profiles that count, and of root.
    fn endpoints(&self, config: &Config) -> BTreeSet<Endpoint> {
        let bootstrap = &config.bootstrap;
        let mut all: BTreeSet<Endpoint> =
            bootstrap.servers.iter().flat_map(|server| server.endpoints(&bootstrap.ports)).collect();
        all.extend(&self.root);
        let counting =
            self.profiles.iter().filter(|(uuid, (name, _))| config.vpn.counts(uuid, name)).map(|(_, p)| &p.1);
        all.extend(counting.flatten());
        if bootstrap.dns == Dns::Pin {
            all.extend(self.of_names(config));
        }
        all
    }

    /// The endpoints of the names of profiles that count and of the configuration, by the answers so far.
    fn of_names(&self, config: &Config) -> BTreeSet<Endpoint> {
        let addresses = |name: &HostName| self.resolved.get(name).into_iter().flatten().copied();
        let counts =
            |uuid: &String| self.profiles.get(uuid).is_some_and(|(id, _)| config.vpn.counts(uuid, id));
        let named = self.named.iter().filter(|(uuid, _)| counts(uuid));
        let named = named.map(|(_, server)| server).chain(&self.root_names);
        let of_profiles = named.flat_map(|(name, by, port)| {
            addresses(name).filter_map(|address| Endpoint::new(address, *by, *port).ok())
        });
        let of_config = config.bootstrap.servers.iter().flat_map(|server| match &server.host {
            Host::Name(name) => {
                addresses(name).flat_map(|at| server.endpoints_at(at, &[])).collect::<Vec<_>>()
            }
            Host::Address(_) => Vec::new(),
        });
        of_profiles.chain(of_config).collect()
    }

    /// Whether a name may be that of a tunnel of ours while only named connections count.
    fn may_carry(&self, name: &str, config: &Config) -> bool {
        let named = self.interfaces.iter().any(|(uuid, id, own)| own == name && config.vpn.counts(uuid, id));
        named || self.root_interfaces.contains(name)
    }

    /// Whether the kernel has shown a tunnel that protects.
    fn kernel_shows_a_tunnel(&self, config: &Config) -> bool {
        self.links.links.iter().any(|link| {
            let routed = |net: &str| link.routes.iter().any(|route| route.to_string() == net);
            let halves = (routed("0.0.0.0/1") && routed("128.0.0.0/1"))
                || (routed("::/1") && routed("8000::/1"))
                || routed("0.0.0.0/0")
                || routed("::/0");
            let own = link.addresses.iter().any(|net| !net.to_string().starts_with("fe80"));
            let carries = match &config.tunnel.routes {
                Routes::Default => halves,
                Routes::Networks(nets) => {
                    nets.iter().all(|net| link.routes.iter().any(|route| route.contains(net)))
                }
            };
            let named = link.name.starts_with("tun") || self.devices.contains(&link.name);
            named && link.kind.is_tunnel() && link.up && link.carrier && own && carries
        })
    }
}

/// Each value that is computed only after a change equals a new computation.
fn nothing_is_stale(machine: &Machine) -> Result<(), TestCaseError> {
    let known = machine.known();
    prop_assert_eq!(&known.wanted_names(), machine.facts.names.wanted());
    prop_assert_eq!(&known.users_names(&known.roots_names()), machine.facts.names.users());
    let left_out: BTreeSet<_> = machine.facts.learning.excess().chain(known.left_out()).collect();
    prop_assert_eq!(&left_out, &machine.derived.left_out);
    let without_effect: BTreeSet<_> =
        known.without_effect().into_iter().chain(machine.unanswered()).collect();
    prop_assert_eq!(&without_effect, &machine.derived.without_effect);
    Ok(())
}

/// No line says more than its rule, even if links have strange names.
fn the_rules_render(machine: &Machine) -> Result<(), TestCaseError> {
    let owners = [0, 103].into();
    let rules = policy::ruleset(machine.config(), &owners, &machine.situation());
    for family in [Family::V4, Family::V6] {
        let text = policy::iptables::render_fresh(&rules, family);
        prop_assert_eq!(text.matches("COMMIT\n").count(), 2);
        for line in text.lines() {
            let first = ["*", ":", "-A ", "-I ", "COMMIT"].iter().any(|start| line.starts_with(start));
            let plain = line.chars().all(|c| c == ' ' || c.is_ascii_graphic() && !"\"'\\".contains(c));
            let words = line.split(' ').all(|word| !word.is_empty());
            prop_assert!(first && plain && words, "{line:?}");
        }
    }
    Ok(())
}

/// A report of an unprivileged client opens nothing that a loss would not open.
fn a_client_only_tightens(
    report: &Report,
    before: &Machine,
    after: &Machine,
    reported: &Reported,
) -> Result<(), TestCaseError> {
    let (was, is) = (before.situation(), after.situation());
    let lost = before.known().allowance(State::Lost);
    prop_assert!(keys(&is.bootstrap).is_subset(&keys(&lost)) && (lost.any || !is.bootstrap.any));
    prop_assert_eq!(before.facts.learning.all(), after.facts.learning.all());
    let known = before.claims.all().iter().all(|claim| !claim.endpoints.is_empty());
    if report.kind == ReportKind::Up && known {
        prop_assert!(keys(&is.bootstrap).is_subset(&keys(&was.bootstrap)), "a client chose {report:?}");
    }
    if is.state == State::Protected && ![State::Protected, State::Paused].contains(&was.state) {
        prop_assert!(report.kind == ReportKind::Up && reported.kernel_shows_a_tunnel(after.config()));
    }
    prop_assert!(is.paused_until.is_none() || is.paused_until == was.paused_until);
    let of_manager = |machine: &Machine| {
        let by_itself = |claim: &&claim::Claim| matches!(claim.claimant, Claimant::Hook | Claimant::Kernel);
        let managed = machine.claims.all().iter().filter(|claim| !by_itself(claim));
        managed.map(|claim| claim.endpoints.clone()).collect::<BTreeSet<_>>()
    };
    prop_assert!(of_manager(after).is_subset(&of_manager(before)));
    Ok(())
}

/// A message on a management socket opens nothing: no endpoint except those that a loss would allow, no
/// name, no pause.
fn a_client_on_its_socket_opens_nothing(before: &Machine, after: &Machine) -> Result<(), TestCaseError> {
    let (was, is) = (before.situation(), after.situation());
    let lost = before.known().allowance(State::Lost);
    prop_assert!(keys(&is.bootstrap).is_subset(&keys(&lost)) && (lost.any || !is.bootstrap.any));
    prop_assert_eq!(before.facts.learning.all(), after.facts.learning.all());
    prop_assert_eq!(is.paused_until.is_some(), was.paused_until.is_some() && is.paused_until.is_some());
    Ok(())
}

fn announced_losses_were_protection(was: &Situation, actions: &[Action]) -> Result<(), TestCaseError> {
    let lost = |action: &Action| matches!(action, Action::Announce(Announcement::Lost { .. }));
    let carrying = was.tunnels.iter().any(|tunnel| tunnel.carrying);
    prop_assert!(carrying || !actions.iter().any(lost), "lost, and nothing was there to lose");
    Ok(())
}

/// The next agent, after it has taken in the reports that stand.
fn next_agent(machine: &Machine, reported: &Reported, now: u64) -> Machine {
    let state = machine.situation().state;
    let learned = Some(machine.facts.learning.all().clone());
    let remembered = Remembered { state, learned, silent: machine.silent_tunnels(), ..Remembered::default() };
    let mut next = Machine::new(machine.config().clone(), remembered, now);
    next.step(Event::Links(reported.links.clone()), now);
    for report in machine.reports() {
        next.step(Event::Report(report, Reporter::Root), now);
    }
    next
}

proptest! {
    #![proptest_config(from_one_seed())]

    #[test]
    fn the_contract_holds_for_every_sequence_of_events(
        config in config(),
        learned in learned(),
        before in prop::sample::select(&State::ALL[..]),
        steps in steps(),
    ) {
        let mut reported = Reported::of(&learned);
        let mut now = 1_000_000;
        let remembered = Remembered { state: before, learned: Some(learned), ..Remembered::default() };
        let mut machine = Machine::new(config, remembered, now);
        the_contract_holds(&machine, &reported, now)?;
        for Step { event, clock } in steps {
            now = clock.unwrap_or(now);
            let old = machine.clone();
            reported.record(&event);
            let actions = machine.step(event.clone(), now);
            the_contract_holds(&machine, &reported, now)?;
            nothing_is_stale(&machine)?;
            the_rules_render(&machine)?;
            announced_losses_were_protection(&old.situation(), &actions)?;
            if let Some(moment) = machine.situation().paused_until {
                let in_time = |action: &Action| matches!(action, Action::WakeAt(at) if *at <= moment);
                prop_assert!(actions.iter().any(in_time), "nobody wakes it");
            }
            if let Event::Report(report, Reporter::Client(_)) = &event {
                a_client_only_tightens(report, &old, &machine, &reported)?;
            }
            if let Event::Management(_) = &event {
                a_client_on_its_socket_opens_nothing(&old, &machine)?;
            }
            let next = next_agent(&machine, &reported, now);
            let hooks = |machine: &Machine| {
                let hook = machine.claims.all().iter().filter(|claim| claim.claimant == Claimant::Hook);
                hook.filter(|claim| claim.standing == Standing::Carrying).count()
            };
            prop_assert!(hooks(&next) <= hooks(&machine), "the next agent believes what was lost");
        }
    }
}
