//! Follows one packet through the chains of every program, in the order in which the kernel runs them.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::{Answer, Question, SentBy, Verdict, Way};
use crate::model::contract::{Contract, Part};
use crate::model::diagram::Packet;
use crate::model::evaluate::{Evaluation, Input, LinkFacts, Time, View};
use crate::model::layout::{Field, Stage};
use crate::model::proof::Machine;
use crate::model::rule::{Base, ChainType, Hook, NAT_DESTINATION, NAT_SOURCE, Rules, SeenPackets, Table};
use crate::model::walk::{self, ChainVerdict, Change, Decision};
use crate::model::writes::{NewDestination, Write};
use crate::net::Family;

/// A base chain.
type Entry<'r> = (&'r Table, &'r str, &'r Base);

/// What a chain does to the packet.
enum ChainResult<'a> {
    Passes,
    /// The answer is final.
    Decided(Box<Answer>),
    /// NAT gives the packet another destination. This is the question about the packet after that.
    Redirected(&'a Question),
}

/// A packet and what is known about it so far.
pub(super) struct PacketPath<'a> {
    question: &'a Question,
    /// The question before NAT.
    asked: &'a Question,
    machine: &'a Machine,
    /// What the model does not know.
    unknown: Vec<String>,
    /// The rules that let it pass.
    passed: Vec<Decision>,
    /// The rules that may have decided.
    doubts: Vec<Decision>,
    /// The places of bits that a rule may have changed.
    unknown_bits: BTreeSet<u16>,
    /// What the rules have written.
    written: BTreeSet<Write>,
    /// Whether its source was rewritten to the address of the link on which it leaves.
    has_link_source: bool,
}

impl<'a> PacketPath<'a> {
    pub(super) fn new(question: &'a Question, rules: &Rules, machine: &'a Machine) -> Self {
        let reason = |writer| format!("the model does not compute {writer}");
        Self {
            question,
            asked: question,
            machine,
            unknown: rules.writers.iter().map(reason).collect(),
            passed: Vec::new(),
            doubts: Vec::new(),
            unknown_bits: BTreeSet::new(),
            written: BTreeSet::new(),
            has_link_source: false,
        }
    }

    /// What would happen to the packet.
    pub(super) fn run(mut self, rules: &Rules, contract: &Contract<'_>) -> Answer {
        loop {
            match self.pass(rules) {
                ChainResult::Passes => break,
                ChainResult::Decided(answer) => return *answer,
                ChainResult::Redirected(question) => self.question = question,
            }
        }
        let verdict = match self.doubts.is_empty() && self.unknown.is_empty() {
            true => self.leaves(contract),
            false => Verdict::Unknown,
        };
        if verdict == Verdict::Unknown {
            let decided_by = self.doubts.first().cloned();
            return self.not_known(decided_by);
        }
        Answer::new(verdict, deciding(self.passed))
    }

    /// Runs the chains in the path of the packet, until its path changes.
    fn pass(&mut self, rules: &Rules) -> ChainResult<'a> {
        let is_turned = !std::ptr::eq(self.question, self.asked);
        for (number, &hook) in self.question.hooks().iter().enumerate() {
            for entry in self.question.chains(hook, rules) {
                // The first hook is the same for every path.
                if is_turned && number == 0 && entry.2.place() <= NAT_DESTINATION {
                    continue;
                }
                match self.run_chain(hook, entry) {
                    ChainResult::Passes => {}
                    met @ (ChainResult::Decided(_) | ChainResult::Redirected(_)) => return met,
                }
            }
        }
        ChainResult::Passes
    }

    /// Runs one chain.
    fn run_chain(&mut self, hook: Hook, (table, name, base): Entry<'_>) -> ChainResult<'a> {
        let packet = self.question.packet(self.machine, self.has_link_source);
        let changes = self.apply_writes(hook, &packet, (table, name, base));
        let view = self.view(hook, base);
        let bounds = Evaluation::new(table, view).passed(&mut packet.clone(), name, base);
        let (verdict, met) = walk::chain_verdict(&packet, &view, table, (name, base));
        match (bounds, verdict) {
            (Err(error), _) => self.unknown.push(format!("the table {}: {error}", table.name)),
            (Ok(bounds), ChainVerdict::Refused(decision)) if !bounds.maybe => {
                let decided_by = Some(decision);
                return ChainResult::Decided(Box::new(Answer::new(Verdict::Refused, decided_by)));
            }
            (Ok(bounds), ChainVerdict::Passed(decision)) if bounds.surely => self.passed.push(decision),
            (Ok(_), ChainVerdict::Refused(_) | ChainVerdict::Passed(_)) => {
                self.unknown.extend(met.iter().flat_map(|one| one.unknown.clone()));
                self.doubts.extend(met);
            }
        }
        self.rewrite(hook, &changes);
        let elsewhere = changes.into_iter().find(|change| self.changes_path(hook, base, change.write));
        let Some(change) = elsewhere else { return ChainResult::Passes };
        let elsewhere = self.sent_to(hook, &change).filter(|_| base.kind == ChainType::Nat);
        if let (Some(_), Some(then)) = (elsewhere, &self.question.then) {
            return ChainResult::Redirected(then);
        }
        self.unknown.insert(0, change.write.sentence().to_owned());
        ChainResult::Decided(Box::new(Answer { elsewhere, ..self.not_known(Some(change.by)) }))
    }

    /// The address and the port that a rule certainly gives the packet.
    fn sent_to(&self, hook: Hook, change: &Change) -> Option<(IpAddr, u16)> {
        let Write::DestinationTo(NewDestination { address, port }) = change.write else { return None };
        let is_sure = change.surely && !self.written.contains(&Write::Tracking);
        // `None` for an incoming packet: it would go to an address of its link.
        let own = match (hook, self.question.family()) {
            (Hook::Output, Family::V4) => Some(Ipv4Addr::LOCALHOST.into()),
            (Hook::Output, Family::V6) => Some(Ipv6Addr::LOCALHOST.into()),
            _ => None,
        };
        Some((address.or(own)?, port.unwrap_or(self.question.port))).filter(|_| is_sure)
    }

    /// What the rules of a chain write. A written value may decide which other rules the packet meets.
    fn apply_writes(&mut self, hook: Hook, packet: &Packet, (table, name, base): Entry<'_>) -> Vec<Change> {
        loop {
            let view = self.view(hook, base);
            let changes = walk::changes(packet, &view, table, name);
            let before = self.unknown_bits.len();
            for change in &changes {
                self.mark_unknown(change.write);
            }
            if self.unknown_bits.len() == before {
                return changes;
            }
        }
    }

    /// From now on, it is not known whether a match on the written bits holds.
    fn mark_unknown(&mut self, write: Write) {
        let family = self.question.family();
        let service = match family {
            Family::V4 => 8..16,
            Family::V6 => 4..12,
        };
        let whole = |field: Field| (field, 0..field.width());
        let fields = match write {
            // The mark of a new connection is 0, and so is the mark of the packet.
            Write::MarkOfConnection if !self.written.contains(&Write::ConnectionMark) => return,
            Write::Mark | Write::MarkOfConnection => vec![whole(Field::Mark)],
            Write::Tracking => [Field::State, Field::Direction, Field::Status].map(whole).to_vec(),
            Write::Hops => vec![whole(Field::hops(family))],
            Write::Service => vec![(Field::Network, service)],
            Write::ConnectionMark
            | Write::Destination
            | Write::DestinationTo(_)
            | Write::Source
            | Write::LinkSource
            | Write::Anything => Vec::new(),
        };
        if !fields.is_empty() || write == Write::ConnectionMark {
            self.written.insert(write);
        }
        for (field, bits) in fields {
            self.mark_bits_unknown(field, bits, Stage::Filter);
        }
    }

    fn mark_bits_unknown(&mut self, field: Field, bits: Range<u16>, stage: Stage) {
        let family = self.question.family();
        self.unknown_bits.extend(bits.map(|at| field.bit(at, stage, family)));
    }

    /// Takes a change of the source by NAT. Later chains see the new source.
    fn rewrite(&mut self, hook: Hook, changes: &[Change]) {
        let is_source = |change: &&Change| matches!(change.write, Write::Source | Write::LinkSource);
        let (Hook::Postrouting | Hook::Input, Some(change)) = (hook, changes.iter().find(is_source)) else {
            return;
        };
        let own = matches!(self.question.way, Way::Out(_, Some(_))) && change.write == Write::LinkSource;
        if change.surely && own && !self.written.contains(&Write::Tracking) {
            self.has_link_source = true;
            return;
        }
        for stage in [Stage::Filter, Stage::Wire] {
            self.mark_bits_unknown(Field::Network, Field::source(self.question.family()), stage);
        }
        self.mark_bits_unknown(Field::Status, 0..Field::Status.width(), Stage::Filter);
        self.written.insert(change.write);
    }

    /// Whether the packet may go from here to another destination or link than the question says.
    fn changes_path(&self, hook: Hook, base: &Base, write: Write) -> bool {
        let is_before_route = match hook {
            // The path of a packet from this machine to itself does not change any more.
            Hook::Prerouting => matches!(self.question.from, SentBy::Bridge(_)),
            Hook::Output => base.kind == ChainType::Route,
            Hook::Input | Hook::Forward | Hook::Postrouting | Hook::Egress => false,
        };
        match write {
            Write::Anything => true,
            Write::Destination | Write::DestinationTo(_) => matches!(hook, Hook::Prerouting | Hook::Output),
            Write::Mark | Write::Service => is_before_route,
            Write::MarkOfConnection => is_before_route && self.written.contains(&write),
            Write::Source | Write::LinkSource | Write::ConnectionMark | Write::Tracking | Write::Hops => {
                false
            }
        }
    }

    /// What a rule of a chain sees of the packet.
    fn view(&self, hook: Hook, base: &Base) -> View<'_> {
        let mut view = self.question.view(hook, self.machine);
        if hook == Hook::Output {
            // NAT in this hook changes the route, but the later chains of the hook still see the first link.
            view.out = self.asked.view(hook, self.machine).out;
        }
        let is_after_nat = hook == Hook::Postrouting && base.place() > NAT_SOURCE;
        let stage = if is_after_nat { Stage::Wire } else { view.stage };
        View { stage, unknown_bits: Some(&self.unknown_bits), ..view }
    }

    fn not_known(&self, decided_by: Option<Decision>) -> Answer {
        let sentences = self.written.iter().filter(|write| **write != Write::ConnectionMark);
        let sentences = sentences.map(|write| write.sentence().to_owned());
        let mut unknown: Vec<String> = Vec::new();
        for one in self.unknown.iter().cloned().chain(sentences) {
            if !unknown.contains(&one) {
                unknown.push(one);
            }
        }
        Answer { unknown, ..Answer::new(Verdict::Unknown, decided_by) }
    }

    /// Where a packet goes if nothing refuses it.
    fn leaves(&self, contract: &Contract<'_>) -> Verdict {
        let (question, machine) = (self.question, self.machine);
        let Some(out) = question.interface() else { return Verdict::Local };
        let is = |names: &[String]| names.iter().any(|name| name == out);
        if is(&machine.tunnels) {
            return Verdict::Tunnel;
        }
        if !is(&machine.uplinks) && !is(&machine.ports) && !is(&machine.devices) {
            let is_tunnel = |link: &LinkFacts| link.kind.is_tunnel();
            return if machine.link(out).is_some_and(is_tunnel) { Verdict::Tunnel } else { Verdict::Local };
        }
        let hook = match question.from {
            SentBy::Program(_) => Hook::Output,
            SentBy::Bridge(_) => Hook::Forward,
            SentBy::Raw(..) => Hook::Egress,
        };
        let packet = question.packet(machine, false);
        let view = View { unknown_bits: Some(&self.unknown_bits), ..question.view(hook, machine) };
        let mut verdict = Verdict::Clear;
        for (part, one) in contract.parts(question.family(), question.sender(), out) {
            let held = view.all(&mut packet.clone(), &one);
            if held.surely {
                return match part {
                    Part::Server => Verdict::Server,
                    Part::Lan | Part::Link => Verdict::Lan,
                    Part::Portal => Verdict::Clear,
                };
            }
            if held.maybe {
                verdict = Verdict::Unknown;
            }
        }
        verdict
    }
}

impl Question {
    /// The hooks that it passes, in order.
    fn hooks(&self) -> &'static [Hook] {
        match (&self.from, &self.way) {
            (_, Way::Nowhere | Way::NotKnown(_)) => &[],
            (SentBy::Program(_), Way::Here) => {
                &[Hook::Output, Hook::Postrouting, Hook::Prerouting, Hook::Input]
            }
            (SentBy::Program(_), Way::Out(..)) => &[Hook::Output, Hook::Postrouting, Hook::Egress],
            // No IP filter sees a frame, and a frame to this machine itself is not judged.
            (SentBy::Raw(..), Way::Out(..)) => &[Hook::Egress],
            (SentBy::Raw(..), Way::Here) => &[],
            (SentBy::Bridge(_), Way::Here) => &[Hook::Prerouting, Hook::Input],
            (SentBy::Bridge(_), Way::Out(..)) => {
                &[Hook::Prerouting, Hook::Forward, Hook::Postrouting, Hook::Egress]
            }
        }
    }

    /// The chains of a hook that it enters, in the kernel's order.
    fn chains<'r>(&self, hook: Hook, rules: &'r Rules) -> Vec<Entry<'r>> {
        let mut found = Vec::new();
        for table in &rules.tables {
            let is_for_frames = table.sees == SeenPackets::Frames;
            for (name, chain) in &table.chains {
                let enters = |base: &&Base| match hook {
                    Hook::Egress => {
                        let out = self.interface();
                        base.hook == hook && out.is_some_and(|out| base.devices.contains(out))
                    }
                    // A packet from this machine to itself already has its NAT when it comes in again.
                    Hook::Prerouting | Hook::Input => {
                        let has_nat = matches!(self.from, SentBy::Program(_));
                        base.hook == hook && !is_for_frames && !(has_nat && base.kind == ChainType::Nat)
                    }
                    Hook::Forward | Hook::Output | Hook::Postrouting => base.hook == hook && !is_for_frames,
                };
                if let Some(base) = chain.base.as_ref().filter(enters) {
                    found.push((table, name.as_str(), base));
                }
            }
        }
        found.sort_by_key(|(_, _, base)| (base.place(), base.priority));
        found
    }

    /// What a rule at a hook sees of a packet that no rule has changed.
    fn view<'m>(&self, hook: Hook, machine: &'m Machine) -> View<'m> {
        let out = match (hook, &self.way) {
            (Hook::Prerouting | Hook::Input, _) | (_, Way::Nowhere | Way::NotKnown(_)) => None,
            (_, Way::Here) => machine.link("lo"),
            (_, Way::Out(name, _)) => machine.link(name),
        };
        let input = match hook {
            Hook::Prerouting | Hook::Input | Hook::Forward => Input::OfPacket,
            Hook::Output | Hook::Postrouting | Hook::Egress => Input::None,
        };
        let stage = if hook == Hook::Egress { Stage::Wire } else { Stage::Filter };
        let (links, now, time) = (&machine.links, machine.now, Time::Now);
        View { family: self.family(), stage, out, input, links, now, time, fixed: &[], unknown_bits: None }
    }
}

/// The rule that explains most among those that let a packet pass: preferably a rule of a filter table, and not a
/// policy.
fn deciding(mut passed: Vec<Decision>) -> Option<Decision> {
    passed.sort_by_key(|decision| {
        (decision.by_policy, decision.table != "filter", !decision.family.is_empty())
    });
    passed.into_iter().next()
}
