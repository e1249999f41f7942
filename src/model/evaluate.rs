//! Computes which packets a condition, a chain and a hook pass: for all packets at once, or for one packet.
//!
//! Every answer consists of two sets. `surely` has the packets for which the answer holds in every case, and `maybe`
//! has those for which it may hold. They differ where the model does not know something.

mod cube;
mod kind;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use cube::{Cube, union};
use kind::{is_of_kind, kinds};

use super::diagram::Logic;
use super::layout::{Field, Stage};
use super::rule::{Action, Base, Bit, Comparison, Match, Rule, Table, Test, Way};
use crate::net::Family;
use crate::vpn::LinkKind;

/// A link of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkFacts {
    /// The name of the link, as the kernel shows it.
    pub name: String,
    /// The kind that the kernel reports: a bridge, a tunnel, WireGuard …
    pub kind: LinkKind,
}

/// What a rule can see of the link that a packet came in on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    /// Nothing: the name is empty, and there is no kind.
    None,
    /// The link that the packet came in on.
    OfPacket,
}

/// The times for which an answer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Time {
    /// Now.
    Now,
    /// Now and at any later time.
    NowAndLater,
}

/// What is known about packets when a rule looks at them.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    /// IPv4 or IPv6.
    pub family: Family,
    /// Where in a packet's path the rule is.
    pub stage: Stage,
    /// The link on which they leave; `None` for a link whose name is in no rule.
    pub out: Option<&'a LinkFacts>,
    /// What a rule can see of the link on which they came in.
    pub input: Input,
    /// Every link of this machine. A packet has the number of its link in this list.
    pub links: &'a [LinkFacts],
    /// The time, in seconds since 1970.
    pub now: i64,
    /// The times for which an answer must hold.
    pub time: Time,
    /// Bits that have the same value in all of these packets, by their places.
    pub fixed: &'a [(u16, bool)],
    /// The places of bits that an earlier rule may have changed. Whether a match on one of them holds is not known.
    pub unknown_bits: Option<&'a BTreeSet<u16>>,
}

/// An answer as two sets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bounds<S> {
    /// It holds in every case.
    pub surely: S,
    /// It may hold.
    pub maybe: S,
}

impl<S: Copy> Bounds<S> {
    fn exactly(set: S) -> Self {
        Self { surely: set, maybe: set }
    }

    fn and<L: Logic<Set = S>>(self, logic: &mut L, other: Self) -> Self {
        Self { surely: logic.and(self.surely, other.surely), maybe: logic.and(self.maybe, other.maybe) }
    }

    fn or<L: Logic<Set = S>>(self, logic: &mut L, other: Self) -> Self {
        Self { surely: logic.or(self.surely, other.surely), maybe: logic.or(self.maybe, other.maybe) }
    }

    fn not<L: Logic<Set = S>>(self, logic: &mut L) -> Self {
        Self { surely: logic.not(self.maybe), maybe: logic.not(self.surely) }
    }
}

impl View<'_> {
    /// The packets for which all of these hold.
    pub(super) fn all<L: Logic>(&self, logic: &mut L, matches: &[Match]) -> Bounds<L::Set> {
        let mut result = Bounds::exactly(logic.all());
        for one in matches {
            let held = self.one(logic, one);
            result = result.and(logic, held);
            if result.maybe == logic.none() {
                break;
            }
        }
        result
    }

    /// The packets for which at least one of these rules holds.
    fn held<L: Logic>(&self, logic: &mut L, rules: &[Rule]) -> Bounds<L::Set> {
        match rules {
            [one] => self.all(logic, &one.matches),
            many => {
                let all: Vec<Vec<Match>> = many.iter().map(|rule| rule.matches.clone()).collect();
                self.any(logic, &all)
            }
        }
    }

    /// The packets for which at least one of these lists of conditions holds.
    pub(super) fn any<L: Logic>(&self, logic: &mut L, alternatives: &[Vec<Match>]) -> Bounds<L::Set> {
        let cubes: Option<Vec<Cube>> = alternatives.iter().map(|matches| self.cube(matches)).collect();
        if let Some(cubes) = cubes {
            return Bounds::exactly(union(logic, cubes));
        }
        if let Some((way, kinds)) = kinds(alternatives).filter(|(way, _)| *way == Way::Out) {
            return self.link(logic, way, |link| is_of_kind(link.kind, &kinds));
        }
        match alternatives {
            [] => Bounds::exactly(logic.none()),
            [one] => self.all(logic, one),
            many => {
                let (one, other) = many.split_at(many.len() / 2);
                let one = self.any(logic, one);
                let other = self.any(logic, other);
                one.or(logic, other)
            }
        }
    }

    fn one<L: Logic>(&self, logic: &mut L, one: &Match) -> Bounds<L::Set> {
        let unknown = |logic: &L| Bounds { surely: logic.none(), maybe: logic.all() };
        match one {
            Match::Unknown(_) => unknown(logic),
            Match::Bits(bits, _) if self.is_unknown(bits) => unknown(logic),
            Match::Bits(bits, test) => Bounds::exactly(self.bits(logic, bits, test)),
            Match::Name(_, wanted) if wanted.is_empty() => Bounds::exactly(logic.all()),
            Match::Name(Way::In, wanted) if self.input == Input::None => {
                Bounds::exactly(logic.all_or_none([0].starts_with(wanted)))
            }
            Match::Kind(Way::In, _) if self.input == Input::None => Bounds::exactly(logic.none()),
            Match::Name(way, wanted) => self.link(logic, *way, |link| {
                let name = [link.name.as_bytes(), &[0]].concat();
                Some(name.starts_with(wanted))
            }),
            Match::Kind(way, wanted) => self.link(logic, *way, |link| is_of_kind(link.kind, &[wanted])),
            Match::Since(moment) if self.time == Time::Now => {
                Bounds::exactly(logic.all_or_none(self.now >= *moment))
            }
            Match::Until(moment) if self.time == Time::Now => {
                Bounds::exactly(logic.all_or_none(self.now < *moment))
            }
            // The answer is also for later times, and then this rule may hold.
            Match::Since(moment) => {
                Bounds { surely: logic.all_or_none(self.now >= *moment), maybe: logic.all() }
            }
            // The answer is also for later times, and then this rule does not hold.
            Match::Until(moment) => {
                Bounds { surely: logic.none(), maybe: logic.all_or_none(self.now < *moment) }
            }
            Match::Any(alternatives) => self.any(logic, alternatives),
            // If a link has no kind, as a card, the kernel ends a rule that asks for the kind. So neither the kind nor
            // its negation holds.
            Match::Not(inner) if inner.asks_for_kind() => {
                Bounds { surely: logic.none(), ..self.one(logic, inner).not(logic) }
            }
            Match::Not(inner) => self.one(logic, inner).not(logic),
        }
    }

    /// Whether it is not known if a comparison of these bits holds.
    fn is_unknown(&self, bits: &[Bit]) -> bool {
        let is_blurred = |bit: &Bit| match (self.unknown_bits, bit) {
            (Some(unknown_bits), Bit::Of(field, at)) => {
                unknown_bits.contains(&field.bit(*at, self.stage, self.family))
            }
            (_, bit) => *bit == Bit::Unknown,
        };
        bits.iter().any(is_blurred)
    }

    /// The value of a bit, or its place in a diagram if the value is not known.
    fn place(&self, bit: Bit) -> Result<bool, u16> {
        match bit {
            Bit::Of(field, at) => {
                let place = field.bit(at, self.stage, self.family);
                let fixed = self.fixed.binary_search_by_key(&place, |(place, _)| *place);
                fixed.map_or(Err(place), |found| Ok(self.fixed[found].1))
            }
            Bit::Known(value) => Ok(value),
            Bit::Unknown => Ok(false),
        }
    }

    fn bits<L: Logic>(&self, logic: &mut L, bits: &[Bit], test: &Test) -> L::Set {
        // From the last bit to the first one: the packets whose remaining bits compare as wanted.
        let mut held = logic.all_or_none(test.comparison == Comparison::Equal);
        for (&bit, &wanted) in bits.iter().zip(&test.value).rev() {
            let (all, none) = (logic.all(), logic.none());
            let other = match (test.comparison, wanted) {
                (Comparison::Below, true) | (Comparison::Above, false) => all,
                (Comparison::Equal | Comparison::Below | Comparison::Above, _) => none,
            };
            held = match (self.place(bit), wanted) {
                (Ok(value), _) if value == wanted => held,
                (Ok(_), _) => other,
                (Err(place), true) => logic.choose_by(place, held, other),
                (Err(place), false) => logic.choose_by(place, other, held),
            };
        }
        held
    }

    /// The packets on those links for which `holds` is true.
    fn link<L: Logic>(
        &self,
        logic: &mut L,
        way: Way,
        holds: impl Fn(&LinkFacts) -> Option<bool>,
    ) -> Bounds<L::Set> {
        let bounds = |logic: &L, held: Option<bool>| Bounds {
            surely: logic.all_or_none(held == Some(true)),
            maybe: logic.all_or_none(held != Some(false)),
        };
        if way == Way::Out {
            return bounds(logic, self.out.map_or(Some(false), holds));
        }
        let mut result = Bounds::exactly(logic.none());
        for (number, link) in (0_u128..).zip(self.links) {
            let held = holds(link);
            if held != Some(false) {
                let here = self.one(logic, &Match::is(Field::In, number));
                let held = bounds(logic, held).and(logic, here);
                result = result.or(logic, held);
            }
        }
        result
    }
}

/// What a chain does to the packets that enter it.
#[derive(Debug, Clone, Copy)]
struct Effect<S> {
    /// They pass the table.
    accepted: Bounds<S>,
    /// They return to the chain that jumped here.
    back: Bounds<S>,
}

/// Why a table cannot be evaluated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// A chain leads back to itself.
    #[error("the chain {0} leads to itself")]
    Loop(String),
    /// A rule leads to a chain that does not exist.
    #[error("a rule leads to the chain {0}, which is not there")]
    Missing(String),
}

/// A table. Each of its chains is evaluated only once.
#[derive(Debug)]
pub(super) struct Evaluation<'t, 'v, S> {
    table: &'t Table,
    view: View<'v>,
    done: BTreeMap<&'t str, Effect<S>>,
    in_progress: HashSet<&'t str>,
}

impl<'t, 'v, S: Copy + PartialEq> Evaluation<'t, 'v, S> {
    /// A table, for the packets of this view.
    pub(super) fn new(table: &'t Table, view: View<'v>) -> Self {
        Self { table, view, done: BTreeMap::new(), in_progress: HashSet::new() }
    }

    /// The packets that pass a base chain.
    ///
    /// # Errors
    /// [`ChainError`]
    pub(super) fn passed<L: Logic<Set = S>>(
        &mut self,
        logic: &mut L,
        name: &'t str,
        base: &Base,
    ) -> Result<Bounds<S>, ChainError> {
        let effect = self.effect(logic, name)?;
        Ok(match base.accepts {
            true => effect.accepted.or(logic, effect.back),
            false => effect.accepted,
        })
    }

    fn effect<L: Logic<Set = S>>(&mut self, logic: &mut L, name: &'t str) -> Result<Effect<S>, ChainError> {
        if let Some(&known) = self.done.get(name) {
            return Ok(known);
        }
        let chain = self.table.chains.get(name).ok_or_else(|| ChainError::Missing(name.to_owned()))?;
        if !self.in_progress.insert(name) {
            return Err(ChainError::Loop(name.to_owned()));
        }
        let nothing = Bounds::exactly(logic.none());
        let mut state = Walk { here: Bounds::exactly(logic.all()), accepted: nothing, back: nothing };
        let mut rules = chain.rules.as_slice();
        while let Some((rule, _)) = rules.split_first() {
            let (alike, others) = rules.split_at(alike(rules));
            rules = others;
            let target = match &rule.action {
                Action::Jump(chain) | Action::Goto(chain) => Some(self.effect(logic, chain)?),
                Action::Accept | Action::Drop | Action::Return | Action::Continue | Action::Unknown(_) => {
                    None
                }
            };
            let held = self.view.held(logic, alike);
            state.rule(logic, &rule.action, held, target);
            if state.here.maybe == logic.none() {
                break;
            }
        }
        self.in_progress.remove(name);
        let effect = Effect { accepted: state.accepted, back: state.back.or(logic, state.here) };
        self.done.insert(name, effect);
        Ok(effect)
    }
}

/// Number of rules at the beginning of the list that can be evaluated at once, because all of them have the same
/// action. This makes one question of a list with many thousand addresses.
fn alike(rules: &[Rule]) -> usize {
    let ends = |rule: &Rule| matches!(rule.action, Action::Accept | Action::Drop | Action::Return);
    let is_alike =
        |rule: &&Rule| ends(rule) && rules.first().is_some_and(|first| first.action == rule.action);
    rules.iter().take_while(is_alike).count().max(1)
}

/// Packets while they go through a chain.
struct Walk<S> {
    /// Those that reach the next rule.
    here: Bounds<S>,
    accepted: Bounds<S>,
    back: Bounds<S>,
}

impl<S: Copy + PartialEq> Walk<S> {
    fn rule<L: Logic<Set = S>>(
        &mut self,
        logic: &mut L,
        action: &Action,
        held: Bounds<S>,
        target: Option<Effect<S>>,
    ) {
        if *action == Action::Continue || held.maybe == logic.none() {
            return;
        }
        let taken = self.here.and(logic, held);
        let other = held.not(logic);
        let rest = self.here.and(logic, other);
        match (action, target) {
            (Action::Unknown(_), _) => {
                self.accepted.maybe = logic.or(self.accepted.maybe, taken.maybe);
                self.back.maybe = logic.or(self.back.maybe, taken.maybe);
                self.here.surely = rest.surely;
                return;
            }
            (Action::Accept, _) => self.accepted = self.accepted.or(logic, taken),
            (Action::Return, _) => self.back = self.back.or(logic, taken),
            (Action::Jump(_), Some(effect)) => {
                let accepted = taken.and(logic, effect.accepted);
                self.accepted = self.accepted.or(logic, accepted);
                let back = taken.and(logic, effect.back);
                self.here = rest.or(logic, back);
                return;
            }
            (Action::Goto(_), Some(effect)) => {
                let accepted = taken.and(logic, effect.accepted);
                self.accepted = self.accepted.or(logic, accepted);
                let back = taken.and(logic, effect.back);
                self.back = self.back.or(logic, back);
            }
            (Action::Drop | Action::Jump(_) | Action::Goto(_) | Action::Continue, _) => {}
        }
        self.here = rest;
    }
}
