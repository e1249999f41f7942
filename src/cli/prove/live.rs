//! `prove --live`: sends real probes while a net drops them behind all rules, and says where each was refused.
//!
//! Without the net nothing is sent. It changes no rule and opens nothing. The tables of the net end with the process.

mod control;
mod packet;
mod probe;
mod send;
mod shown;

pub(super) use shown::{in_html, in_json, in_words};

use std::fmt;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::Uid;

use self::probe::{Ground, How, Probe};
use self::send::Sent;
use super::super::caller;
use super::Read;
use crate::config::{Config, plain};
use crate::model::{Contract, Question, SentBy, Verdict, Way};
use crate::net::{Family, Transport};
use crate::sources::links;
use crate::system;
use crate::vpn::{LinkTable, State};

/// `nobody`, if it is not known who calls.
const NOBODY: u32 = 65_534;
/// The port of the VPN, if no server is known: OpenVPN's.
const OPENVPN: (Transport, u16) = (Transport::Udp, 1194);
/// A line for each queue of packets that a program reads (`NFQUEUE`).
const QUEUES: &str = "/proc/net/netfilter/nfnetlink_queue";
/// It is there if the kernel has IPv6.
const HAS_IPV6: &str = "/proc/net/if_inet6";

/// The live part.
#[derive(Debug)]
pub(super) enum Tried {
    /// Probes were sent.
    Sent(Probes),
    /// Nothing was sent, or it says nothing, for this reason.
    NotAvailable(String),
}

/// Probes, and where each ended.
#[derive(Debug)]
pub(super) struct Probes {
    /// Number of probes that the control has sent, all of which the net has seen and caught.
    pub(super) control: usize,
    pub(super) ends: Vec<(Probe, End)>,
}

/// Where a probe ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// The kernel refused it when it was sent.
    AtSend(Errno),
    /// A filter of IP dropped it.
    InFilter,
    /// A chain on the link dropped it.
    OnLink,
    /// It had no route, or its link is down.
    NoWay(Errno),
    /// It went into this tunnel, and the net has dropped it there.
    Tunnel(String),
    /// It went to a link that does not lead out.
    Inside,
    /// It came to the net on this link, and the contract lists such packets.
    Listed(String),
    /// It came to the net on this link: without the net it would have left.
    Fault(String),
    /// It is not known, for this reason.
    NotKnown(String),
}

/// What it means if a probe comes to a link.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Wire(String),
    Tunnel(String),
    Inside,
}

impl Tried {
    /// Whether a probe would have left.
    pub(super) fn has_fault(&self) -> bool {
        self.ends().any(|end| matches!(end, End::Fault(_)))
    }

    /// Whether every probe is accounted for.
    pub(super) fn is_known(&self) -> bool {
        matches!(self, Self::Sent(_)) && !self.ends().any(|end| matches!(end, End::NotKnown(_)))
    }

    fn ends(&self) -> impl Iterator<Item = &End> {
        let probes = match self {
            Self::Sent(probes) => &probes.ends[..],
            Self::NotAvailable(_) => &[],
        };
        probes.iter().map(|(_, end)| end)
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.how.in_words(), self.to.ip())?;
        if self.to.port() != 0 {
            write!(f, " port {}", self.to.port())?;
        }
        let name = system::user_name(self.user).unwrap_or_else(|| self.user.to_string());
        write!(f, " from a program of {}", plain(&name))?;
        match &self.on {
            Some(link) => write!(f, " bound to {}", plain(link)),
            None => Ok(()),
        }
    }
}

/// Sends probes, if a net can be made.
pub(super) async fn tried(read: &Read, config: &Config) -> Tried {
    match attempt(read, config).await {
        Ok(probes) => Tried::Sent(probes),
        Err(why) => Tried::NotAvailable(why),
    }
}

async fn attempt(read: &Read, config: &Config) -> Result<Probes, String> {
    if read.situation.state == State::Paused {
        return Err("tunwarden is paused".to_owned());
    }
    if has_queue() {
        return Err(
            "a program decides about packets (NFQUEUE), and could hold a probe until the net is gone"
                .to_owned(),
        );
    }
    let ground = ground(read);
    let control = control::control(&ground)?;
    let probes = ground.probes().ok_or("each documentation network is in use here")?;
    let places = places(read);
    let links = places.iter().map(|(_, links)| links.clone()).collect();
    let sent = send::send(probes, links).map_err(|error| format!("the net cannot be made: {error}"))?;
    let ends = sent.into_iter().map(|sent| {
        let mut end = end(&sent, &places);
        if let End::Fault(link) = &end
            && is_listed(&sent.probe, link, read, config)
        {
            end = End::Listed(link.clone());
        }
        (sent.probe, end)
    });
    let probes = Probes { control, ends: ends.collect() };
    let has_fault = probes.ends.iter().any(|(_, end)| matches!(end, End::Fault(_)));
    let after = links::snapshot().await.map_err(|error| error.to_string())?;
    // A link that appeared during the probes was not in the net.
    if !has_fault && names(&after) != names(&read.links) {
        return Err("links came or went while the probes were sent; try again".to_owned());
    }
    Ok(probes)
}

/// Whether a program reads a queue. Without the file the kernel has no queues.
#[expect(clippy::disallowed_methods, reason = "only this file of the kernel has it")]
fn has_queue() -> bool {
    std::fs::read_to_string(QUEUES).is_ok_and(|queues| !queues.trim().is_empty())
}

fn names(table: &LinkTable) -> Vec<(u32, &str)> {
    let mut names: Vec<(u32, &str)> =
        table.links.iter().map(|link| (link.index, link.name.as_str())).collect();
    names.sort_unstable();
    names
}

fn ground(read: &Read) -> Ground {
    let Read { machine, situation, links, .. } = read;
    let caller = caller().and_then(|uid| uid.to_str().and_then(|uid| uid.parse().ok()));
    let is_there = |name: &&String| links.links.iter().any(|link| link.name == **name && link.up);
    let wires = [&machine.uplinks[..], &machine.ports].concat();
    let vpn = situation.bootstrap.endpoints.keys().next();
    let servers = situation.bootstrap.endpoints.keys().map(|server| server.address());
    let hosts = servers.chain(situation.resolvers.iter().copied()).map(Into::into);
    let addresses = links.links.iter().flat_map(|link| link.addresses.iter().copied());
    let lans = situation.uplinks.iter().flat_map(|uplink| uplink.on_link.iter().copied());
    let taken = hosts.chain(addresses).chain(lans).chain(situation.tunnel_networks.iter().copied());
    Ground {
        families: Family::ALL
            .into_iter()
            .filter(|family| *family == Family::V4 || Path::new(HAS_IPV6).exists())
            .collect(),
        wires: wires.iter().filter(is_there).cloned().collect(),
        user: caller.filter(|uid| *uid != Uid::from_raw(0).as_raw()).unwrap_or(NOBODY),
        vpn: vpn.map_or(OPENVPN, |server| (server.transport(), server.port().get())),
        taken: taken.filter(|network: &ipnet::IpNet| network.prefix_len() > 0).collect(),
    }
}

/// Every link of this machine, by what it means if a probe comes there.
fn places(read: &Read) -> Vec<(Place, Vec<String>)> {
    let Read { machine, situation, links, .. } = read;
    let wires = [&machine.uplinks[..], &machine.ports, &machine.devices].concat();
    let carries = |name: &str| situation.further_tunnels.iter().any(|tunnel| tunnel.as_str() == name);
    let mut places = Vec::new();
    let mut inside = Vec::new();
    for link in &links.links {
        let name = link.name.clone();
        if wires.contains(&name) {
            places.push((Place::Wire(name.clone()), vec![name]));
        } else if machine.tunnels.contains(&name) || carries(&name) {
            places.push((Place::Tunnel(name.clone()), vec![name]));
        } else {
            inside.push(name);
        }
    }
    places.push((Place::Inside, inside));
    places
}

/// Where a probe ended. What the net has counted says more than the answer of the kernel to its sender.
fn end(sent: &Sent, places: &[(Place, Vec<String>)]) -> End {
    let Sent { probe, error, progress } = sent;
    if let Some((place, _)) = progress.caught.and_then(|group| places.get(group)) {
        return match place {
            Place::Wire(link) => End::Fault(link.clone()),
            Place::Tunnel(link) => End::Tunnel(link.clone()),
            Place::Inside => End::Inside,
        };
    }
    if progress.seen {
        return End::OnLink;
    }
    if progress.passed {
        return End::NotKnown("it passed every filter, and came to no link: no neighbour answers".to_owned());
    }
    match error {
        Some(errno @ (Errno::EPERM | Errno::EACCES | Errno::ENOBUFS | Errno::ECONNREFUSED)) => {
            End::AtSend(*errno)
        }
        Some(
            errno @ (Errno::ENETUNREACH
            | Errno::EHOSTUNREACH
            | Errno::ENETDOWN
            | Errno::ENODEV
            | Errno::ENXIO
            | Errno::EINVAL
            | Errno::EADDRNOTAVAIL),
        ) => End::NoWay(*errno),
        Some(other) => End::NotKnown(other.desc().to_owned()),
        None if probe.how.is_routed() => End::InFilter,
        None => End::NotKnown("the kernel took it, and it came to no link".to_owned()),
    }
}

/// Whether the contract lists such a packet of a program on this link.
fn is_listed(probe: &Probe, link: &str, read: &Read, config: &Config) -> bool {
    let (How::Udp | How::Tcp) = probe.how else { return false };
    let Read { rules, machine, situation, users, links } = read;
    let family = probe.family();
    let Some((_, rules)) = rules.iter().find(|(of, _)| *of == family) else { return false };
    let own = links.links.iter().filter(|found| found.name == link).flat_map(|found| found.own_addresses());
    let Some(own) = own.into_iter().find(|own| Family::of(*own) == family) else { return false };
    let contract = Contract { config, situation, now: machine.now, users };
    let question = Question {
        from: SentBy::Program(probe.user),
        source: own,
        destination: probe.to.ip(),
        protocol: probe.protocol(),
        port: probe.to.port(),
        way: Way::Out(link.to_owned(), Some(own)),
        first: None,
        then: None,
    };
    matches!(question.answer(rules, machine, &contract).verdict, Verdict::Lan | Verdict::Server)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netfilter::net::Progress;

    fn end_of(how: How, error: Option<Errno>, [passed, seen]: [bool; 2], caught: Option<usize>) -> End {
        let to = "203.0.113.9:53".parse().unwrap();
        let probe = Probe { how, user: 0, to, on: None, tag: [0; 16] };
        let places = [Place::Wire("eth0".to_owned()), Place::Tunnel("tun0".to_owned()), Place::Inside];
        let places = places.map(|place| (place, Vec::new()));
        end(&Sent { probe, error, progress: Progress { passed, seen, caught } }, &places)
    }

    #[test]
    fn one_fault_and_one_doubt_count_among_refusals() {
        let tried = |end| {
            let to = "203.0.113.9:53".parse().unwrap();
            let probe = || Probe { how: How::Udp, user: 0, to, on: None, tag: [0; 16] };
            Tried::Sent(Probes { control: 2, ends: vec![(probe(), End::OnLink), (probe(), end)] })
        };
        let of = |tried: Tried| (tried.has_fault(), tried.is_known());
        assert_eq!(of(tried(End::InFilter)), (false, true));
        assert_eq!(of(tried(End::Fault("eth0".to_owned()))), (true, true));
        assert_eq!(of(tried(End::NotKnown("a test".to_owned()))), (false, false));
        assert_eq!(of(Tried::NotAvailable("a test".to_owned())), (false, false));
    }

    #[test]
    fn a_probe_that_the_net_has_caught_is_no_refusal_even_if_its_sender_got_an_error() {
        for error in [None, Some(Errno::ENOBUFS), Some(Errno::EPERM)] {
            assert_eq!(end_of(How::Udp, error, [true; 2], Some(0)), End::Fault("eth0".to_owned()));
            assert_eq!(end_of(How::Udp, error, [true; 2], Some(1)), End::Tunnel("tun0".to_owned()));
            assert_eq!(end_of(How::Udp, error, [true; 2], Some(2)), End::Inside);
            assert_eq!(end_of(How::Frame, error, [false, true], None), End::OnLink);
        }
    }

    #[test]
    fn what_is_not_known_is_no_refusal() {
        let waits = end_of(How::Udp, None, [true, false], None);
        assert!(matches!(waits, End::NotKnown(_)), "{waits:?}");
        let lost = end_of(How::Frame, None, [false; 2], None);
        assert!(matches!(lost, End::NotKnown(_)), "{lost:?}");
        let other = end_of(How::Udp, Some(Errno::EIO), [false; 2], None);
        assert!(matches!(other, End::NotKnown(_)), "{other:?}");
        let no_route = end_of(How::Udp, Some(Errno::ENETUNREACH), [false; 2], None);
        assert_eq!(no_route, End::NoWay(Errno::ENETUNREACH));
        assert_eq!(end_of(How::Udp, Some(Errno::EPERM), [false; 2], None), End::AtSend(Errno::EPERM));
        assert_eq!(end_of(How::Tcp, None, [false; 2], None), End::InFilter);
    }
}
