//! `prove --live`: sends real probes, and reports where each was refused. A temporary set of tables (the net) is behind
//! all rules and drops every probe that the rules let out.
//!
//! Without the net nothing is sent. The net changes no rule and opens nothing. Its tables end with this process.

mod containers;
mod control;
mod end;
mod gateway;
mod image;
mod origin;
mod packet;
mod probe;
mod rule;
mod send;
mod shown;

pub(super) use containers::Containers;
pub(super) use shown::{in_html, in_json, in_words};

use std::io;
use std::path::Path;
use std::sync::Arc;

use nix::unistd::{Uid, User};

use self::containers::Untried;
use self::end::{End, Reached, end};
use self::origin::{Attachment, Container, Origin};
use self::probe::{Probe, ProbeContext};
use super::super::caller;
use super::{Read, situation};
use crate::config::Config;
use crate::firewall;
use crate::model::Decision;
use crate::net::{Family, Transport};
use crate::netfilter::probe_tables::{ProbeRules, ProbeTables};
use crate::sources::links;
use crate::store::Store;
use crate::vpn::{LinkTable, Situation, State};

/// The user id of `nobody`. It is used if it is not known who runs the command.
const NOBODY: u32 = 65_534;
/// OpenVPN's port. It is used if no server is known.
const OPENVPN: (Transport, u16) = (Transport::Udp, 1194);
/// A line for each queue of packets that a program reads (`NFQUEUE`).
const QUEUES: &str = "/proc/net/netfilter/nfnetlink_queue";
/// This file exists if the kernel has IPv6.
const HAS_IPV6: &str = "/proc/net/if_inet6";

/// The message if the answer would mix facts from two different times.
const CHANGED: &str = "the state changed while it ran: run it again";

/// The result of the live part.
#[derive(Debug)]
pub(super) enum Tried {
    /// Probes were sent.
    Sent(Probes),
    /// No probes were sent, or they prove nothing, for this reason.
    NotAvailable(String),
}

/// The probes, and where each ended.
#[derive(Debug)]
pub(super) struct Probes {
    /// Number of probes that the control has sent. The net has seen and dropped all of them.
    control: usize,
    all: Vec<Probed>,
    /// What was not tried.
    untried: Vec<Untried>,
}

/// A probe, where it ended, and the rule that refuses it according to the model.
#[derive(Debug)]
struct Probed {
    probe: Probe,
    end: End,
    by: Option<Decision>,
}

impl Tried {
    /// Whether a probe would have left.
    pub(super) fn has_fault(&self) -> bool {
        self.probes().iter().any(|probed| matches!(probed.end, End::Fault(_)))
    }

    /// Whether it is known where every probe ended, and no container failed.
    pub(super) fn is_known(&self) -> bool {
        let Self::Sent(probes) = self else { return false };
        let has_failed = probes.untried.iter().any(|untried| matches!(untried, Untried::Failed(_)));
        !has_failed && !probes.all.iter().any(|probed| matches!(probed.end, End::NotKnown(_)))
    }

    fn probes(&self) -> &[Probed] {
        match self {
            Self::Sent(probes) => &probes.all,
            Self::NotAvailable(_) => &[],
        }
    }
}

/// Makes containers, unless nothing will be sent.
pub(super) async fn containers(config: &Config, store: &Store) -> Containers {
    let is_paused = situation(config, store).await.is_ok_and(|now| now.state == State::Paused);
    if is_paused || has_queue() || net().is_err() { Containers::default() } else { Containers::make().await }
}

/// Makes a net without probes and removes it again.
fn net() -> io::Result<()> {
    let groups = vec![vec!["lo".to_owned()]];
    ProbeTables::make(ProbeRules { probes: Vec::new(), groups }).map(drop)
}

/// Sends probes, if the net can be made.
pub(super) async fn tried(read: &Read, config: &Config, store: &Store, containers: &mut Containers) -> Tried {
    match attempt(read, config, store, containers).await {
        Ok(probes) => Tried::Sent(probes),
        Err(why) => Tried::NotAvailable(why),
    }
}

async fn attempt(
    read: &Read,
    config: &Config,
    store: &Store,
    containers: &mut Containers,
) -> Result<Probes, String> {
    if read.situation.state == State::Paused {
        return Err("tunwarden is paused".to_owned());
    }
    if has_queue() {
        return Err(
            "a program decides about packets (NFQUEUE), and could hold a probe until the net is gone"
                .to_owned(),
        );
    }
    let mut untried = std::mem::take(&mut containers.untried);
    let (made, odd) = std::mem::take(&mut containers.made)
        .into_iter()
        .partition::<Vec<Container>, _>(|container| is_attached(container, &read.links));
    let odd = odd
        .iter()
        .map(|odd| format!("{}: its container is not behind {}", odd.network, odd.attachment.link()));
    untried.extend(odd.map(Untried::Failed));
    let probe_context = probe_context(read, made);
    let control = control::control(&probe_context)?;
    let probes = probe_context.probes().ok_or("each documentation network is in use here")?;
    let link_groups = link_groups(read);
    let links = link_groups.iter().map(|(_, links)| links.clone()).collect();
    let sent = send::send(probes, links).map_err(|error| format!("the net cannot be made: {error}"))?;
    let mut all = Vec::new();
    for sent in sent {
        let mut end = end(&sent, &link_groups);
        if let End::Fault(link) = &end
            && rule::is_listed(&sent.probe, link, read, config)
        {
            end = End::Listed(link.clone());
        }
        let by = if end.is_refusal() { rule::refusing(&sent.probe, read, config).await } else { None };
        all.push(Probed { probe: sent.probe, end, by });
    }
    let has_fault = all.iter().any(|probed| matches!(probed.end, End::Fault(_)));
    unchanged(read, config, store, has_fault).await?;
    Ok(Probes { control, all, untried })
}

/// Checks that nothing has changed since everything was read, before the probes were sent.
async fn unchanged(read: &Read, config: &Config, store: &Store, has_fault: bool) -> Result<(), String> {
    let after = links::snapshot().await.map_err(|error| error.to_string())?;
    // The net did not cover a link that appeared during the probes.
    if !has_fault && names(&after) != names(&read.links) {
        return Err("links came or went while the probes were sent; try again".to_owned());
    }
    let now = situation(config, store).await.map_err(|error| error.to_string())?;
    // The agent changes the rules first, and saves the new situation afterwards.
    let is_same = same(&read.situation, &now)
        && (!has_fault || firewall::rules().await.is_ok_and(|rules| rules == read.rules));
    is_same.then_some(()).ok_or_else(|| CHANGED.to_owned())
}

/// Whether two situations open the same packets. Other changes, which a new container causes, do not count.
fn same(one: &Situation, other: &Situation) -> bool {
    let pause = |of: &Situation| (of.state, of.paused_until, of.paused_from, of.pause_scope);
    pause(one) == pause(other)
        && one.bootstrap == other.bootstrap
        && one.tunnels == other.tunnels
        && one.portal_uplinks == other.portal_uplinks
}

/// Whether a program reads a queue. Without the file the kernel has no queues.
#[expect(clippy::disallowed_methods, reason = "only this file of the kernel has it")]
fn has_queue() -> bool {
    std::fs::read_to_string(QUEUES).is_ok_and(|queues| !queues.trim().is_empty())
}

/// Whether an address of the container is in a network of its bridge, or the card that it shares is up.
fn is_attached(container: &Container, table: &LinkTable) -> bool {
    let name = container.attachment.link().as_str();
    let link = table.links.iter().find(|link| link.name == name);
    link.is_some_and(|link| match container.attachment {
        Attachment::Bridge(_) => {
            let has = |address| link.addresses.iter().any(|network| network.contains(address));
            container.addresses.iter().any(has)
        }
        Attachment::Card(_) => link.up,
    })
}

fn names(table: &LinkTable) -> Vec<(u32, &str)> {
    let mut names: Vec<(u32, &str)> =
        table.links.iter().map(|link| (link.index, link.name.as_str())).collect();
    names.sort_unstable();
    names
}

fn probe_context(read: &Read, containers: Vec<Container>) -> ProbeContext {
    let Read { machine, situation, links, .. } = read;
    let caller = caller().and_then(|uid| uid.to_str().and_then(|uid| uid.parse().ok()));
    let user = caller.filter(|uid| *uid != Uid::from_raw(0).as_raw()).unwrap_or(NOBODY);
    let is_there = |name: &&String| links.links.iter().any(|link| link.name == **name && link.up);
    let wires = [&machine.uplinks[..], &machine.ports].concat();
    let vpn = situation.bootstrap.endpoints.keys().next();
    let servers = situation.bootstrap.endpoints.keys().map(|server| server.address());
    let hosts = servers.chain(situation.resolvers.iter().copied()).map(Into::into);
    let addresses = links.links.iter().flat_map(|link| link.addresses.iter().copied());
    let lans = situation.uplinks.iter().flat_map(|uplink| uplink.on_link.iter().copied());
    let taken = hosts.chain(addresses).chain(lans).chain(situation.tunnel_networks.iter().copied());
    let program = |uid| Origin::program(uid, User::from_uid(Uid::from_raw(uid)).ok().flatten());
    ProbeContext {
        families: Family::ALL
            .into_iter()
            .filter(|family| *family == Family::V4 || Path::new(HAS_IPV6).exists())
            .collect(),
        wires: wires.iter().filter(is_there).cloned().collect(),
        users: [user, 0].map(|uid| Arc::new(program(uid))),
        containers: containers.into_iter().map(|container| Arc::new(Origin::container(container))).collect(),
        vpn: vpn.map_or(OPENVPN, |server| (server.transport(), server.port().get())),
        taken: taken.filter(|network: &ipnet::IpNet| network.prefix_len() > 0).collect(),
    }
}

/// Every link of this machine, grouped by what it means if a probe gets there.
fn link_groups(read: &Read) -> Vec<(Reached, Vec<String>)> {
    let Read { machine, situation, links, .. } = read;
    let wires = [&machine.uplinks[..], &machine.ports, &machine.devices].concat();
    let carries = |name: &str| situation.further_tunnels.iter().any(|tunnel| tunnel.as_str() == name);
    let mut link_groups = Vec::new();
    let mut inside = Vec::new();
    for link in &links.links {
        let name = link.name.clone();
        if wires.contains(&name) {
            link_groups.push((Reached::Wire(name.clone()), vec![name]));
        } else if machine.tunnels.contains(&name) || carries(&name) {
            link_groups.push((Reached::Tunnel(name.clone()), vec![name]));
        } else {
            inside.push(name);
        }
    }
    link_groups.push((Reached::Inside, inside));
    link_groups
}

#[cfg(test)]
mod tests {
    use super::probe::How;
    use super::*;

    fn probed(end: End) -> Probed {
        let to = "203.0.113.9:53".parse().unwrap();
        let origin = Arc::new(Origin::program(0, None));
        Probed { probe: Probe { how: How::Udp, origin, to, on: None, tag: [0; 16] }, end, by: None }
    }

    #[test]
    fn one_fault_and_one_doubt_count_among_refusals() {
        let tried = |end, untried| {
            Tried::Sent(Probes { control: 2, all: vec![probed(End::OnLink), probed(end)], untried })
        };
        let of = |tried: Tried| (tried.has_fault(), tried.is_known());
        assert_eq!(of(tried(End::InFilter, Vec::new())), (false, true));
        assert_eq!(of(tried(End::Fault("eth0".to_owned()), Vec::new())), (true, true));
        assert_eq!(of(tried(End::NotKnown("a test".to_owned()), Vec::new())), (false, false));
        let failed = vec![Untried::Failed("a test".to_owned())];
        assert_eq!(of(tried(End::InFilter, failed)), (false, false));
        let left_out = vec![Untried::LeftOut("a test".to_owned())];
        assert_eq!(of(tried(End::InFilter, left_out)), (false, true));
        assert_eq!(of(Tried::NotAvailable("a test".to_owned())), (false, false));
    }

    #[test]
    fn a_pause_or_another_state_is_another_situation_and_a_new_bridge_is_none() {
        let locked = Situation { state: State::Locked, ..Situation::default() };
        let more = Situation { bridges: vec!["docker0".parse().unwrap()], ..locked.clone() };
        assert!(same(&locked, &more));
        for state in [State::Paused, State::Protected, State::Lost] {
            assert!(!same(&locked, &Situation { state, ..locked.clone() }), "{state}");
        }
        let until = jiff::Timestamp::from_second(1_800_000_000).ok();
        let paused = Situation { state: State::Paused, paused_until: until, ..locked };
        assert!(!same(&paused, &Situation { paused_until: None, ..paused.clone() }));
    }

    #[test]
    fn a_container_that_is_not_behind_its_bridge_is_not_tried() {
        let container = Origin::of_test_container().container.unwrap();
        let table = |name: &str, address: &str| {
            let link = crate::vpn::Link::plain(3, name, crate::vpn::LinkKind::Bridge);
            let link = crate::vpn::Link { addresses: vec![address.parse().unwrap()], ..link };
            LinkTable { links: vec![link], ..LinkTable::default() }
        };
        assert!(is_attached(&container, &table("docker0", "172.17.0.1/16")));
        assert!(!is_attached(&container, &table("docker0", "172.18.0.1/16")));
        assert!(!is_attached(&container, &table("br-lan", "172.17.0.1/16")));
        let shared = Container { attachment: Attachment::Card("eth0".parse().unwrap()), ..container };
        assert!(is_attached(&shared, &table("eth0", "10.0.0.2/24")));
        assert!(!is_attached(&shared, &table("docker0", "172.17.0.1/16")));
    }
}
