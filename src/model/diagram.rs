//! Sets of packets as binary decision diagrams (Bryant, 1986). A variable is one bit of a packet.
//!
//! Equal sets have the same number, so one comparison shows whether a set is empty. The libraries for this
//! (`biodivine-lib-bdd`, `oxidd`) bring second copies of crates, crates that nobody maintains, or threads and unsafe
//! code. Only one operation is needed here, and a test compares it with truth tables.

use std::collections::HashMap;

use rustc_hash::FxBuildHasher;

/// Maximum number of nodes. A node takes about 40 bytes, with its entries in both tables.
const NODES: usize = 3_000_000;

/// Maximum number of remembered results.
const RESULTS: usize = 1 << 20;

/// Evaluates a condition on the bits of a packet, for all packets at once or for one packet.
pub(super) trait Logic {
    /// The packets for which a condition holds.
    type Set: Copy + PartialEq;

    /// Every packet, or none.
    fn all_or_none(&self, all: bool) -> Self::Set;
    /// The packets in which this bit is one.
    fn bit(&mut self, number: u16) -> Self::Set;
    /// `then` for the packets in `test`, and `otherwise` for the others.
    fn choose(&mut self, test: Self::Set, then: Self::Set, otherwise: Self::Set) -> Self::Set;

    /// `then` for the packets in which this bit is one, and `otherwise` for the others.
    fn choose_by(&mut self, number: u16, then: Self::Set, otherwise: Self::Set) -> Self::Set {
        let test = self.bit(number);
        self.choose(test, then, otherwise)
    }

    /// Every packet.
    fn all(&self) -> Self::Set {
        self.all_or_none(true)
    }

    /// No packet.
    fn none(&self) -> Self::Set {
        self.all_or_none(false)
    }

    /// Packets in both sets.
    fn and(&mut self, one: Self::Set, other: Self::Set) -> Self::Set {
        let none = self.none();
        self.choose(one, other, none)
    }

    /// Packets in either set.
    fn or(&mut self, one: Self::Set, other: Self::Set) -> Self::Set {
        let all = self.all();
        self.choose(one, all, other)
    }

    /// Packets that are not in the set.
    fn not(&mut self, set: Self::Set) -> Self::Set {
        let (all, none) = (self.all(), self.none());
        self.choose(set, none, all)
    }

    /// Packets of the first set that are not in the second.
    fn without(&mut self, one: Self::Set, other: Self::Set) -> Self::Set {
        let none = self.none();
        self.choose(other, none, one)
    }
}

/// A set in a [`Diagram`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Set(u32);

const NONE: Set = Set(0);
const ALL: Set = Set(1);

/// A node of a diagram: it chooses a set by the value of one bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Node {
    bit: u16,
    zero: Set,
    one: Set,
}

/// Sets that share their nodes.
#[derive(Debug)]
pub(super) struct Diagram {
    nodes: Vec<Node>,
    numbers: HashMap<Node, Set, FxBuildHasher>,
    results: HashMap<[Set; 3], Set, FxBuildHasher>,
    full: bool,
}

impl Default for Diagram {
    fn default() -> Self {
        // The two leaves come after every bit.
        let leaf = |set| Node { bit: u16::MAX, zero: set, one: set };
        let nodes = vec![leaf(NONE), leaf(ALL)];
        Self { nodes, numbers: HashMap::default(), results: HashMap::default(), full: false }
    }
}

impl Diagram {
    /// Whether the diagram needed too many nodes. Then none of its sets means anything.
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    /// Forgets every set, if the sets take more than a third of the nodes. The caller must not use older sets
    /// afterwards.
    pub(super) fn make_room(&mut self) {
        if self.full || self.nodes.len() > NODES / 3 {
            *self = Self::default();
        }
    }

    /// One packet of a set: each bit that matters, with its value. `None` for the empty set. A bit that does not matter
    /// is left out.
    pub(super) fn packet(&self, set: Set) -> Option<Vec<(u16, bool)>> {
        let mut bits = Vec::new();
        let mut at = set;
        while at != ALL {
            let node = self.node(at)?;
            let one = node.zero == NONE;
            bits.push((node.bit, one));
            at = if one { node.one } else { node.zero };
        }
        Some(bits)
    }

    fn node(&self, set: Set) -> Option<Node> {
        self.nodes.get(usize::try_from(set.0).ok()?).copied().filter(|_| set != NONE)
    }

    fn level(&self, set: Set) -> u16 {
        self.node(set).map_or(u16::MAX, |node| node.bit)
    }

    /// The two halves of a set, divided by the value of a bit. The first bit of the set must not come before this bit.
    fn halves(&self, set: Set, bit: u16) -> [Set; 2] {
        match self.node(set) {
            Some(node) if node.bit == bit => [node.zero, node.one],
            Some(_) | None => [set, set],
        }
    }

    /// The set that chooses by this bit between two sets. Neither of them may depend on this bit or on an earlier one.
    fn node_of(&mut self, bit: u16, zero: Set, one: Set) -> Set {
        if zero == one {
            return zero;
        }
        let node = Node { bit, zero, one };
        if let Some(&found) = self.numbers.get(&node) {
            return found;
        }
        let Some(number) = u32::try_from(self.nodes.len()).ok().filter(|_| self.nodes.len() < NODES) else {
            self.full = true;
            return NONE;
        };
        self.nodes.push(node);
        self.numbers.insert(node, Set(number));
        Set(number)
    }
}

impl Logic for Diagram {
    type Set = Set;

    fn all_or_none(&self, all: bool) -> Set {
        if all { ALL } else { NONE }
    }

    fn bit(&mut self, number: u16) -> Set {
        self.node_of(number, NONE, ALL)
    }

    fn choose_by(&mut self, number: u16, then: Set, otherwise: Set) -> Set {
        if number < self.level(then).min(self.level(otherwise)) {
            return self.node_of(number, otherwise, then);
        }
        let test = self.bit(number);
        self.choose(test, then, otherwise)
    }

    fn choose(&mut self, test: Set, then: Set, otherwise: Set) -> Set {
        match (test, then, otherwise) {
            (ALL, ..) => return then,
            (NONE, ..) => return otherwise,
            (_, ALL, NONE) => return test,
            _ if then == otherwise => return then,
            _ if self.full => return NONE,
            _ => {}
        }
        let key = [test, then, otherwise];
        if let Some(&known) = self.results.get(&key) {
            return known;
        }
        let bit = key.iter().map(|&set| self.level(set)).min().unwrap_or(u16::MAX);
        let [test, then, otherwise] = key.map(|set| self.halves(set, bit));
        let zero = self.choose(test[0], then[0], otherwise[0]);
        let one = self.choose(test[1], then[1], otherwise[1]);
        let result = self.node_of(bit, zero, one);
        if self.results.len() >= RESULTS {
            self.results.clear();
        }
        self.results.insert(key, result);
        result
    }
}

/// One packet by its bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packet(Vec<bool>);

impl Packet {
    /// A packet of `count` bits. Those that are not in `bits` are zero.
    pub(super) fn new(count: u16, bits: &[(u16, bool)]) -> Self {
        let mut all = vec![false; usize::from(count)];
        for &(bit, value) in bits {
            if let Some(place) = all.get_mut(usize::from(bit)) {
                *place = value;
            }
        }
        Self(all)
    }

    /// Whether this bit is one.
    pub(super) fn has(&self, bit: u16) -> bool {
        self.0.get(usize::from(bit)).copied().unwrap_or_default()
    }
}

impl Logic for Packet {
    type Set = bool;

    fn all_or_none(&self, all: bool) -> bool {
        all
    }

    fn bit(&mut self, number: u16) -> bool {
        self.has(number)
    }

    fn choose(&mut self, test: bool, then: bool, otherwise: bool) -> bool {
        if test { then } else { otherwise }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A condition on five bits.
    #[derive(Debug, Clone)]
    enum Condition {
        Bit(u16),
        Not(Box<Condition>),
        Both(Box<Condition>, Box<Condition>),
        Either(Box<Condition>, Box<Condition>),
    }

    fn evaluate<L: Logic>(logic: &mut L, condition: &Condition) -> L::Set {
        match condition {
            Condition::Bit(bit) => logic.bit(*bit),
            Condition::Not(inner) => {
                let inner = evaluate(logic, inner);
                logic.not(inner)
            }
            Condition::Both(one, other) => {
                let (one, other) = (evaluate(logic, one), evaluate(logic, other));
                logic.and(one, other)
            }
            Condition::Either(one, other) => {
                let (one, other) = (evaluate(logic, one), evaluate(logic, other));
                logic.or(one, other)
            }
        }
    }

    fn conditions() -> impl Strategy<Value = Condition> {
        (0..5_u16).prop_map(Condition::Bit).prop_recursive(6, 40, 2, |inner| {
            let two = (inner.clone(), inner.clone());
            prop_oneof![
                inner.prop_map(|one| Condition::Not(one.into())),
                two.clone().prop_map(|(one, other)| Condition::Both(one.into(), other.into())),
                two.prop_map(|(one, other)| Condition::Either(one.into(), other.into())),
            ]
        })
    }

    fn packets() -> impl Iterator<Item = Packet> {
        (0..32_u32).map(|bits| Packet((0..5).map(|bit| bits >> bit & 1 == 1).collect()))
    }

    proptest! {
        #[test]
        fn a_set_is_its_truth_table(one in conditions(), other in conditions()) {
            let mut diagram = Diagram::default();
            let sets = [&one, &other].map(|condition| evaluate(&mut diagram, condition));
            let tables = [&one, &other].map(|condition| {
                packets().map(|mut packet| evaluate(&mut packet, condition)).collect::<Vec<bool>>()
            });
            prop_assert_eq!(sets[0] == sets[1], tables[0] == tables[1]);
            prop_assert_eq!(sets[0] == diagram.none(), tables[0].iter().all(|holds| !holds));
            let without = diagram.without(sets[0], sets[1]);
            match diagram.packet(without) {
                None => prop_assert!(tables[0].iter().zip(&tables[1]).all(|(one, other)| !one || *other)),
                Some(bits) => {
                    let mut packet = Packet::new(5, &bits);
                    prop_assert!(evaluate(&mut packet, &one) && !evaluate(&mut packet, &other));
                }
            }
        }
    }
}
