//! One question of a proof: which packets of one sender leave on one link?

use super::Machine;
use crate::model::contract::{Contract, Sender};
use crate::model::counterexample::{Bits, Counterexample};
use crate::model::diagram::{Diagram, Logic, Packet, Set};
use crate::model::evaluate::{Bounds, Evaluation, Input, LinkFacts, Time, View};
use crate::model::layout::{Field, Stage};
use crate::model::rule::{Base, Hook, Match, NAT_DESTINATION, Rules, SeenPackets, Table};
use crate::model::walk::{self, Decision};
use crate::model::whose;
use crate::net::Family;

/// The number that a packet has as its link if it has no link.
pub(in crate::model) const NO_LINK: u32 = 0xfff;

/// One question: may this sender's packets leave on this link?
#[derive(Debug, Clone, Copy)]
pub(in crate::model) struct Case<'a> {
    pub(in crate::model) family: Family,
    pub(in crate::model) sender: Sender,
    /// `None` for a link whose name is in no rule.
    pub(in crate::model) out: Option<&'a LinkFacts>,
    /// The times that matter: a packet that leaves now is a counterexample, and one that may leave later is a doubt.
    pub(in crate::model) time: Time,
}

/// What a comparison with the contract shows.
#[derive(Debug)]
pub(super) enum Compared {
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
            unknown_bits: None,
        }
    }

    /// Chains at the output and on the wire see no incoming link, not even for a forwarded packet.
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
        let ethertype = u32::from(self.family.ethertype());
        let of = |field: Field, [start, length]: [u16; 2], value: u32| {
            let bit = move |at| {
                (field.bit(start + at, Stage::Wire, self.family), value >> (length - 1 - at) & 1 == 1)
            };
            (0..length).map(bit).collect::<Vec<_>>()
        };
        let called = of(Field::DeclaredType, [0, 16], ethertype);
        // The kernel's protocols refuse a packet whose ports cannot be read, and the kernel itself makes the frame. On
        // the wire, all other packets and frames are checked too.
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

    /// The stage at which the contract describes this packet.
    fn stage(&self) -> Stage {
        match self.sender {
            Sender::Local | Sender::Forwarded => Stage::Filter,
            Sender::Raw | Sender::Frame => Stage::Wire,
        }
    }

    pub(super) fn name(&self) -> &str {
        self.out.map_or("any other link", |out| &out.name)
    }

    /// Every packet of the sender.
    pub(super) fn all<L: Logic>(&self, logic: &mut L, machine: &Machine) -> L::Set {
        let fixed = self.fixed();
        let view = self.view(machine, &fixed, self.stage());
        view.all(logic, &self.packets(machine)).surely
    }

    /// The packets that pass a base chain.
    ///
    /// # Errors
    /// The table cannot be evaluated. The text is for people.
    pub(super) fn passed<L: Logic>(
        &self,
        logic: &mut L,
        (table, name, base): (&Table, &str, &Base),
        machine: &Machine,
    ) -> Result<Bounds<L::Set>, String> {
        let fixed = self.fixed();
        let view = self.view(machine, &fixed, stage_of(base));
        let passed = Evaluation::new(table, view).passed(logic, name, base);
        passed.map_err(|error| format!("the table {}: {error}", table.name))
    }

    /// The packets of the sender that leave.
    ///
    /// # Errors
    /// As [`Self::passed`].
    pub(super) fn leaves<L: Logic>(
        &self,
        logic: &mut L,
        rules: &Rules,
        machine: &Machine,
    ) -> Result<Bounds<L::Set>, String> {
        let all = self.all(logic, machine);
        let mut leaves = Bounds { surely: all, maybe: all };
        for chain in self.chains(rules) {
            let passed = self.passed(logic, chain, machine)?;
            leaves.surely = logic.and(leaves.surely, passed.surely);
            leaves.maybe = logic.and(leaves.maybe, passed.maybe);
        }
        Ok(leaves)
    }

    /// Returns `computed`, unless the sets are too large and so have no meaning.
    pub(super) fn unless_full<T>(&self, logic: &Diagram, computed: T) -> Result<T, String> {
        match logic.is_full() {
            true => Err(format!("the rules of {} are too many to compute", self.name())),
            false => Ok(computed),
        }
    }

    /// The packets for which at least one of these lists of conditions holds.
    pub(super) fn of<L: Logic>(
        &self,
        logic: &mut L,
        machine: &Machine,
        alternatives: &[Vec<Match>],
    ) -> Bounds<L::Set> {
        let fixed = self.fixed();
        self.view(machine, &fixed, self.stage()).any(logic, alternatives)
    }

    /// Compares what leaves with the contract.
    ///
    /// # Errors
    /// As [`Self::passed`], or the sets are too large.
    pub(super) fn compare(
        &self,
        logic: &mut Diagram,
        rules: &Rules,
        machine: &Machine,
        contract: &Contract<'_>,
    ) -> Result<Compared, String> {
        logic.make_room();
        let leaves = self.leaves(logic, rules, machine)?;
        let allowed = contract.allowed(self.family, self.sender, self.name());
        let allowed = self.of(logic, machine, &allowed);
        let surely = logic.without(leaves.surely, allowed.maybe);
        let maybe = logic.without(leaves.maybe, allowed.surely);
        let packets = [surely, maybe].map(|set| self.packet(logic, set, machine));
        self.unless_full(logic, ())?;
        Ok(match packets {
            [Some(bits), _] => Compared::Leaves(self.described(&bits, rules, machine)),
            [None, Some(bits)] => Compared::MayLeave(self.described(&bits, rules, machine)),
            [None, None] => Compared::Within,
        })
    }

    /// The chains that a packet enters on its way out and that may refuse it. Chains before DNAT do not count, because
    /// they see another destination.
    pub(super) fn chains<'r>(&self, rules: &'r Rules) -> Vec<(&'r Table, &'r str, &'r Base)> {
        let wanted = |table: &Table, base: &Base| match (base.hook, table.sees) {
            (Hook::Output | Hook::Forward, SeenPackets::Frames) => false,
            // They can only refuse more, and a proof does not need that.
            (Hook::Prerouting | Hook::Input | Hook::Postrouting, _) => false,
            // A NAT chain sees only the first packet of a connection.
            (Hook::Output, _) => self.sender == Sender::Local && base.place() > NAT_DESTINATION,
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

    /// Further conditions that hold for every packet of the sender.
    fn packets(&self, machine: &Machine) -> Vec<Match> {
        let states = [1, 2, 4, 8, 64].map(|state| vec![Match::is(Field::State, state)]).to_vec();
        let mut there_is = vec![Match::Any(states)];
        there_is.extend(Match::between(Field::Direction, [0, 1]));
        match self.sender {
            Sender::Local | Sender::Raw => {}
            Sender::Forwarded => {
                // The last number stands for a link that is in no rule.
                let links = u128::try_from(machine.links.len()).unwrap_or(NO_LINK.into());
                there_is.extend(Match::between(Field::In, [0, links]));
            }
            Sender::Frame => {
                there_is.extend([0x0800, 0x86dd].map(|number| Match::is(Field::DeclaredType, number).not()));
            }
        }
        there_is
    }

    /// A packet of a set, an ordinary one if possible.
    pub(super) fn packet(
        &self,
        logic: &mut Diagram,
        set: Set,
        machine: &Machine,
    ) -> Option<Vec<(u16, bool)>> {
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

    pub(super) fn described(&self, bits: &[(u16, bool)], rules: &Rules, machine: &Machine) -> Counterexample {
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
        // A rule of another program explains more than a policy that applies to every packet.
        decisions.sort_by_key(|decision| {
            let ours = whose::program(decision) == "tunwarden";
            (decision.unknown.is_empty(), decision.by_policy, ours, decision.table != "filter")
        });
        found.decided_by = decisions.into_iter().next();
        found
    }
}

/// A hook on a link sees packets after NAT.
fn stage_of(base: &Base) -> Stage {
    match base.hook {
        Hook::Prerouting | Hook::Input | Hook::Forward | Hook::Output | Hook::Postrouting => Stage::Filter,
        Hook::Egress => Stage::Wire,
    }
}
