//! Whether the rules let out a packet that the contract does not list.
//!
//! Each link that leads out is judged by itself, for both families and for each kind of sender. So the names and kinds
//! of links are constants, and diagrams stay small.

use std::collections::BTreeSet;

use super::contract::{Contract, Sender};
use super::counterexample::{Bits, Counterexample};
use super::diagram::{Diagram, Logic, Packet, Set};
use super::evaluate::{Bounds, ChainError, Evaluation, Input, LinkFacts, Time, View};
use super::layout::{Field, Stage};
use super::rule::{Base, Hook, Match, Rules, Sees, Table};
use super::walk::{self, Decision};
use super::whose;
use crate::net::Family;

/// What a proof takes for granted.
pub const ASSUMPTIONS: [&str; 10] = [
    "the kernel runs the rules that it lists, and nothing sends below them: AF_XDP sockets, other drivers, the card",
    "no other network namespace holds a card that leads out",
    "tc and XDP programs move and change no packet, and a program that reads a queue gives packets back as they are",
    "root changes nothing afterwards: the rules, the links and the marks of packets are those that were read",
    "NAT changes no destination after the filter, and a packet with another source is still one of the same sender",
    "a mark is that of the packet when it leaves; who may set marks may pass for the VPN's own transport",
    "no packet that is forwarded belongs to a transparent proxy, and no flow table passes by the rules",
    "tags of VLANs are those of VLAN links; a raw sender's own tags are judged by the test laboratory alone",
    "the kernel (5.17) reads no port in later fragments",
    "the list of VPN servers, networks and links that tunwarden keeps is true; verify and status show it",
];

/// The number of a packet's link that stands for no link.
const NO_LINK: u32 = 0xfff;

/// Maximum number of counterexamples.
const MOST: usize = 10;

/// What is known of the machine besides its rules.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Machine {
    /// Every link.
    pub links: Vec<LinkFacts>,
    /// The names of links that lead out.
    pub uplinks: Vec<String>,
    /// The names of cards that are ports of such a link: only frames leave on them.
    pub ports: Vec<String>,
    /// The time, in seconds since 1970.
    pub now: i64,
}

/// What was computed.
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

/// One question: may a packet of this sender leave there?
#[derive(Debug, Clone, Copy)]
struct Case<'a> {
    family: Family,
    sender: Sender,
    /// `None` stands for a link whose name no rule has.
    out: Option<&'a LinkFacts>,
    /// What leaves now is a counterexample; what may leave later is a doubt.
    time: Time,
}

/// Compares what the rules of IPv4 and of IPv6 let out with the contract.
pub fn prove(rules: &[(Family, Rules)], machine: &Machine, contract: &Contract<'_>) -> Proof {
    // Tables of both families are in the rules of each.
    let shared = rules.first().map_or(0, |(_, rules)| rules.shared());
    let count = shared + rules.iter().map(|(_, rules)| rules.own()).sum::<usize>();
    if contract.is_open() {
        let reason = "an administrator has paused tunwarden: every packet may leave until the pause ends";
        return Proof { rules: count, outcome: Outcome::NotShown(vec![reason.to_owned()]) };
    }
    let (mut found, mut reasons) = (Vec::new(), BTreeSet::new());
    if machine.links.len() >= usize::try_from(NO_LINK).unwrap_or_default() {
        reasons
            .insert(format!("there are {} links, more than a packet has numbers for", machine.links.len()));
    }
    for (family, rules) in rules {
        let reason = |writer| format!("the model does not compute {writer}: it changes or redirects packets");
        reasons.extend(rules.writers.iter().map(reason));
        for case in machine.cases(*family) {
            match case.compare(rules, machine, contract) {
                Ok(Compared::Within) => {}
                Ok(Compared::Leaves(packet)) => found.push(packet),
                Ok(Compared::MayLeave(packet)) => {
                    match (Case { time: Time::Now, ..case }).compare(rules, machine, contract) {
                        Ok(Compared::Leaves(packet)) => found.push(packet),
                        Ok(Compared::Within | Compared::MayLeave(_)) | Err(_) => {
                            reasons.insert(doubt(&packet));
                        }
                    }
                }
                Err(reason) => {
                    reasons.insert(reason);
                }
            }
        }
    }
    found.truncate(MOST);
    let outcome = match (found.is_empty(), reasons.is_empty()) {
        (false, _) => Outcome::Leaves(found),
        (true, false) => Outcome::NotShown(reasons.into_iter().collect()),
        (true, true) => Outcome::Proven,
    };
    Proof { rules: count, outcome }
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
    fn cases(&self, family: Family) -> impl Iterator<Item = Case<'_>> {
        let time = Time::NowAndLater;
        let link = |name: &String| self.links.iter().find(|link| link.name == *name);
        let uplinks = self.uplinks.iter().filter_map(link).map(Some);
        let packets = uplinks.chain([None]).flat_map(move |out| {
            [Sender::Local, Sender::Forwarded].map(|sender| Case { family, sender, out, time })
        });
        let wires = self.uplinks.iter().chain(&self.ports).filter_map(link).map(Some);
        let frames = wires.flat_map(move |out| {
            // Frames that are neither IPv4 nor IPv6 are the same in both families.
            let both = [Sender::Raw, Sender::Frame].into_iter();
            let both = both.filter(move |&sender| sender == Sender::Raw || family == Family::V4);
            both.map(move |sender| Case { family, sender, out, time })
        });
        packets.chain(frames)
    }
}

enum Compared {
    Within,
    Leaves(Counterexample),
    MayLeave(Counterexample),
}

impl<'a> Case<'a> {
    fn view<'v>(&self, machine: &'v Machine, fixed: &'v [(u16, bool)], stage: Stage) -> View<'v>
    where
        'a: 'v,
    {
        View {
            family: self.family,
            stage,
            out: self.out,
            links: &machine.links,
            input: self.input(stage),
            now: machine.now,
            time: self.time,
            fixed,
        }
    }

    /// A chain at the output and on the wire has no incoming link, also for a packet that is forwarded.
    fn input(&self, stage: Stage) -> Input {
        match (self.sender, stage) {
            (Sender::Forwarded, Stage::Filter) => Input::OfPacket,
            (Sender::Local | Sender::Raw | Sender::Frame, _) | (Sender::Forwarded, Stage::Wire) => {
                Input::None
            }
        }
    }

    /// The bits that are the same in every packet of the sender, by their places.
    fn fixed(&self) -> Vec<(u16, bool)> {
        let ethertype = match self.family {
            Family::V4 => 0x0800_u32,
            Family::V6 => 0x86dd,
        };
        let of = |field: Field, [start, length]: [u16; 2], value: u32| {
            let bit = move |at| {
                (field.bit(start + at, Stage::Wire, self.family), value >> (length - 1 - at) & 1 == 1)
            };
            (0..length).map(bit).collect::<Vec<_>>()
        };
        let called = of(Field::Called, [0, 16], ethertype);
        // The protocols refuse a packet whose ports cannot be read, and the kernel makes the frame. The wire is judged
        // for every other packet and frame too.
        let mut whole = [
            called.clone(),
            of(Field::Parsed, [0, 1], 1),
            of(Field::PortRead, [0, 1], 1),
            of(Field::FrameRead, [0, 1], 1),
            of(Field::Frame, [96, 16], ethertype),
        ]
        .concat();
        match self.sender {
            Sender::Local => whole.extend(of(Field::In, [0, 12], NO_LINK)),
            Sender::Forwarded => whole.extend(of(Field::Socket, [0, 1], 0)),
            Sender::Raw => whole = called,
            Sender::Frame => whole = Vec::new(),
        }
        whole.sort_unstable();
        whole
    }

    /// Where the contract looks at a packet.
    fn stage(&self) -> Stage {
        match self.sender {
            Sender::Local | Sender::Forwarded => Stage::Filter,
            Sender::Raw | Sender::Frame => Stage::Wire,
        }
    }

    fn name(&self) -> &str {
        self.out.map_or("any other link", |out| &out.name)
    }

    fn compare(&self, rules: &Rules, machine: &Machine, contract: &Contract<'_>) -> Result<Compared, String> {
        let mut logic = Diagram::default();
        let fixed = self.fixed();
        let view = self.view(machine, &fixed, self.stage());
        let there_is = self.packets(machine);
        let all = view.all(&mut logic, &there_is).surely;
        let mut leaves = Bounds { surely: all, maybe: all };
        for (table, name, base) in self.chains(rules) {
            let view = self.view(machine, &fixed, stage_of(base));
            let passed = Evaluation::new(table, view).passed(&mut logic, name, base);
            let passed = passed.map_err(|error: ChainError| format!("the table {}: {error}", table.name))?;
            leaves.surely = logic.and(leaves.surely, passed.surely);
            leaves.maybe = logic.and(leaves.maybe, passed.maybe);
        }
        let allowed = view.any(&mut logic, &contract.allowed(self.family, self.sender, self.name()));
        let surely = logic.without(leaves.surely, allowed.maybe);
        let maybe = logic.without(leaves.maybe, allowed.surely);
        let outcome =
            match (self.packet(&mut logic, surely, machine), self.packet(&mut logic, maybe, machine)) {
                (Some(bits), _) => Compared::Leaves(self.described(&bits, rules, machine)),
                (None, Some(bits)) => Compared::MayLeave(self.described(&bits, rules, machine)),
                (None, None) => Compared::Within,
            };
        match logic.is_full() {
            true => Err(format!("the rules of {} are too many to compute", self.name())),
            false => Ok(outcome),
        }
    }

    /// The chains that a packet enters on its way out, and that may refuse it. Those before the rewriting of
    /// destinations do not count: they see another packet.
    fn chains<'r>(&self, rules: &'r Rules) -> Vec<(&'r Table, &'r str, &'r Base)> {
        /// `NF_IP_PRI_NAT_DST`
        const REWRITTEN: i32 = -100;
        let wanted = |table: &Table, base: &Base| match (base.hook, table.sees) {
            (Hook::Output, Sees::Frames) | (Hook::Forward, Sees::Frames) => false,
            (Hook::Output, _) => self.sender == Sender::Local && base.priority > REWRITTEN,
            (Hook::Forward, _) => self.sender == Sender::Forwarded,
            (Hook::Egress, _) => self.out.is_some_and(|out| base.devices.contains(&out.name)),
        };
        let mut found = Vec::new();
        for table in &rules.tables {
            for (name, chain) in &table.chains {
                if let Some(base) = chain.base.as_ref().filter(|base| wanted(table, base)) {
                    found.push((table, name.as_str(), base));
                }
            }
        }
        found
    }

    /// What else holds for every packet of the sender.
    fn packets(&self, machine: &Machine) -> Vec<Match> {
        let states = [1, 2, 4, 8, 64].map(|state| vec![Match::is(Field::State, state)]).to_vec();
        let mut there_is = vec![Match::Any(states)];
        there_is.extend(Match::between(Field::Direction, [0, 1]));
        match self.sender {
            Sender::Local | Sender::Raw => {}
            Sender::Forwarded => {
                // The last number is a link that no rule names.
                let links = u128::try_from(machine.links.len()).unwrap_or(NO_LINK.into());
                there_is.extend(Match::between(Field::In, [0, links]));
            }
            Sender::Frame => {
                there_is.extend([0x0800, 0x86dd].map(|number| Match::is(Field::Called, number).not()));
            }
        }
        there_is
    }

    /// A packet of a set: an ordinary one, if there is one.
    fn packet(&self, logic: &mut Diagram, set: Set, machine: &Machine) -> Option<Vec<(u16, bool)>> {
        if set == logic.none() {
            return None;
        }
        let fixed = self.fixed();
        let view = self.view(machine, &fixed, self.stage());
        let address = match self.family {
            Family::V4 => "203.0.113.77/32",
            Family::V6 => "2001:db8:9::77/128",
        };
        let whole = vec![Match::later_fragment(self.family).not(), Match::is(Field::PortRead, 1)];
        let mut ordinary = vec![whole, vec![Match::protocol(17)], vec![Match::is(Field::State, 8)]];
        ordinary.extend(address.parse().ok().map(|net| vec![Match::to(&net)]));
        ordinary.push(Match::port(Field::DestinationPort, [4000, 4000]));
        ordinary.push(Match::user(1000));
        ordinary.push(vec![Match::is(Field::Mark, 0)]);
        let mut best = set;
        for wish in ordinary {
            let wish = view.all(logic, &wish).surely;
            let both = logic.and(best, wish);
            if both != logic.none() {
                best = both;
            }
        }
        logic.packet(best)
    }

    fn described(&self, bits: &[(u16, bool)], rules: &Rules, machine: &Machine) -> Counterexample {
        let known = Bits { bits, stage: self.stage(), family: self.family };
        let number = known.number(Field::In).and_then(|number| usize::try_from(number).ok());
        let input = number.and_then(|number| machine.links.get(number)).map(|link| link.name.clone());
        let mut found = known.describe(self.sender, self.name(), input);
        let packet = Packet::new(Field::all(), bits);
        let fixed = self.fixed();
        let mut decisions: Vec<Decision> = Vec::new();
        for (table, name, base) in self.chains(rules) {
            let view = self.view(machine, &fixed, stage_of(base));
            decisions.extend(walk::passed(&packet, &view, table, (name, base)));
        }
        // A rule of another program says more than a policy that every packet meets.
        decisions.sort_by_key(|decision| {
            let ours = whose::program(decision) == "tunwarden";
            (decision.unknown.is_empty(), decision.by_policy, ours, decision.table != "filter")
        });
        found.decided_by = decisions.into_iter().next();
        found
    }
}

/// A hook on a link sees a packet after NAT.
fn stage_of(base: &Base) -> Stage {
    match base.hook {
        Hook::Output | Hook::Forward => Stage::Filter,
        Hook::Egress => Stage::Wire,
    }
}
