//! Whether the rules let out a packet that the contract does not list.
//!
//! Each link that leads out is checked separately, for both families and for each kind of sender. So the names and
//! kinds of links are constants, and diagrams stay small.

mod case;
mod others;
#[cfg(test)]
mod smt;
mod survey;
#[cfg(test)]
mod transition;

use std::collections::BTreeSet;

pub(super) use case::NO_LINK;
use case::{Case, Compared};
pub use survey::{Cell, Row};

use super::contract::{Contract, Sender};
use super::counterexample::Counterexample;
use super::diagram::Diagram;
use super::evaluate::{LinkFacts, Time};
use super::rule::Rules;
use super::walk::Decision;
use crate::net::Family;

/// What a proof assumes without checking.
pub const ASSUMPTIONS: [&str; 10] = [
    "the kernel runs the rules that it lists, and nothing sends below them: AF_XDP sockets, other drivers, the card",
    "no other network namespace holds a card that leads out",
    "tc and XDP programs move and change no packet, and a program that reads a queue gives packets back as they are",
    "root changes nothing afterwards: the rules, the links and the marks of packets are those that were read",
    "NAT changes no destination after the filter, and a packet with another source is still one of the same sender",
    "a mark is that of the packet when it leaves; a program that may set marks can use the VPN's mark",
    "no packet that is forwarded belongs to a transparent proxy, and no flow table bypasses the rules",
    "tags of VLANs are those of VLAN links; a raw sender's own tags are judged by the test laboratory alone",
    "the kernel (5.17) reads no port in later fragments",
    "the list of VPN servers, networks and links that tunwarden keeps is true; verify and status show it",
];

/// Maximum number of counterexamples.
const MAX_REASONS: usize = 10;

/// What is known about the machine in addition to its rules.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Machine {
    /// Every link.
    pub links: Vec<LinkFacts>,
    /// The names of links that lead out.
    pub uplinks: Vec<String>,
    /// The names of cards that are ports of such a link: only frames leave on them.
    pub ports: Vec<String>,
    /// The names of tunnels that carry packets now. Packets that go through them are not checked.
    pub tunnels: Vec<String>,
    /// The names of other devices that have the exact name of a tunnel: a user may have made them. Packets on them are
    /// checked, but frames are not, because no wire is behind such a device.
    pub devices: Vec<String>,
    /// The time, in seconds since 1970.
    pub now: i64,
}

/// The result of a proof, with the number of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Number of rules.
    pub rules: usize,
    /// The result.
    pub outcome: Outcome,
}

/// The result of a proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// No packet leaves that the contract does not list.
    Proven,
    /// These packets leave.
    Leaves(Vec<Counterexample>),
    /// It could not be shown, for these reasons.
    NotShown(Vec<String>),
}

/// Makes proofs. It computes only once what several proofs have in common.
#[derive(Debug, Default)]
pub struct Prover {
    logic: Diagram,
}

impl Prover {
    /// Compares what the rules of IPv4 and of IPv6 let out with the contract.
    pub fn prove(&mut self, rules: &[(Family, Rules)], machine: &Machine, contract: &Contract<'_>) -> Proof {
        // The rules of each family contain the tables of both families.
        let shared = rules.first().map_or(0, |(_, rules)| rules.shared());
        let count = shared + rules.iter().map(|(_, rules)| rules.own()).sum::<usize>();
        if contract.is_open() {
            let reason = "an administrator has paused tunwarden: every packet may leave until the pause ends";
            return Proof { rules: count, outcome: Outcome::NotShown(vec![reason.to_owned()]) };
        }
        let (mut found, mut reasons) = (Vec::new(), BTreeSet::new());
        if machine.links.len() >= usize::try_from(NO_LINK).unwrap_or_default() {
            let links = machine.links.len();
            reasons.insert(format!("there are {links} links, more than a packet has numbers for"));
        }
        for (family, rules) in rules {
            let reason =
                |writer| format!("the model does not compute {writer}: it changes or redirects packets");
            reasons.extend(rules.writers.iter().map(reason));
            for case in machine.cases(*family) {
                match self.compare(&case, rules, machine, contract) {
                    Ok(Compared::Within) => {}
                    Ok(Compared::Leaves(packet)) => found.push(packet),
                    Ok(Compared::MayLeave(packet)) => {
                        reasons.insert(doubt(&packet));
                    }
                    Err(reason) => {
                        reasons.insert(reason);
                    }
                }
            }
        }
        found.truncate(MAX_REASONS);
        let outcome = match (found.is_empty(), reasons.is_empty()) {
            (false, _) => Outcome::Leaves(found),
            (true, false) => Outcome::NotShown(reasons.into_iter().collect()),
            (true, true) => Outcome::Proven,
        };
        Proof { rules: count, outcome }
    }

    /// The first packet found that leaves although the contract does not list it, of these senders.
    pub fn first(
        &mut self,
        rules: &[(Family, Rules)],
        machine: &Machine,
        contract: &Contract<'_>,
        senders: &[Sender],
    ) -> Option<Counterexample> {
        let mut cases =
            rules.iter().flat_map(|(family, rules)| machine.cases(*family).map(move |case| (case, rules)));
        cases.find_map(|(case, rules)| {
            let compared =
                senders.contains(&case.sender).then(|| self.compare(&case, rules, machine, contract));
            match compared {
                Some(Ok(Compared::Leaves(packet))) => Some(packet),
                Some(Ok(Compared::Within | Compared::MayLeave(_)) | Err(_)) | None => None,
            }
        })
    }

    /// A packet that leaves now is a counterexample. A packet that may leave later, or by a rule that is not known, is
    /// a doubt.
    fn compare(
        &mut self,
        case: &Case<'_>,
        rules: &Rules,
        machine: &Machine,
        contract: &Contract<'_>,
    ) -> Result<Compared, String> {
        let found = case.compare(&mut self.logic, rules, machine, contract)?;
        if let Compared::MayLeave(_) = found {
            let now = Case { time: Time::Now, ..*case };
            if let Ok(leaves @ Compared::Leaves(_)) = now.compare(&mut self.logic, rules, machine, contract) {
                return Ok(leaves);
            }
        }
        Ok(found)
    }
}

fn doubt(packet: &Counterexample) -> String {
    match packet.decided_by.as_ref() {
        Some(decision) if !decision.unknown.is_empty() => {
            let Decision { tool, table, chain, rule, unknown, .. } = decision;
            let unknown = unknown.join(", ");
            let place = format!("{} {table} {chain} {rule}", tool.as_str());
            format!("the model does not know `{unknown}` in `{place}`; it may let this out: {packet}")
        }
        Some(_) | None => format!("something that the model does not know may let this out: {packet}"),
    }
}

impl Machine {
    /// The link of this name.
    pub(super) fn link(&self, name: &str) -> Option<&LinkFacts> {
        self.links.iter().find(|link| link.name == name)
    }

    fn cases(&self, family: Family) -> impl Iterator<Item = Case<'_>> {
        let time = Time::NowAndLater;
        let link = |name: &String| self.link(name);
        let uplinks = self.uplinks.iter().chain(&self.devices).filter_map(link).map(Some);
        let packets = uplinks.chain([None]).flat_map(move |out| {
            [Sender::Local, Sender::Forwarded].map(|sender| Case { family, sender, out, time })
        });
        let wires = self.uplinks.iter().chain(&self.ports).filter_map(link).map(Some);
        let frames = wires.flat_map(move |out| {
            // Frames that are neither IPv4 nor IPv6 are the same for both families, so they are checked once.
            let both = [Sender::Raw, Sender::Frame].into_iter();
            let both = both.filter(move |&sender| sender == Sender::Raw || family == Family::V4);
            both.map(move |sender| Case { family, sender, out, time })
        });
        packets.chain(frames)
    }
}
