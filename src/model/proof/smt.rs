//! For tests: the question of a proof as a text for an SMT solver (SMT-LIB 2), which shares no code with the diagrams.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::{Machine, Prover};
use crate::model::contract::Contract;
use crate::model::diagram::Logic;
use crate::model::rule::Rules;
use crate::net::Family;

/// Definitions of conditions. Each is made from two other conditions and a bit. Numbers 0 and 1 are false and true.
#[derive(Debug, Default)]
struct Text {
    bits: BTreeSet<u16>,
    definitions: String,
    next: u32,
}

/// A condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    Known(bool),
    Bit(u16),
    Defined(u32),
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Known(value) => write!(f, "{value}"),
            Self::Bit(bit) => write!(f, "b{bit}"),
            Self::Defined(number) => write!(f, "e{number}"),
        }
    }
}

impl Logic for Text {
    type Set = Condition;

    fn all_or_none(&self, all: bool) -> Condition {
        Condition::Known(all)
    }

    fn bit(&mut self, number: u16) -> Condition {
        self.bits.insert(number);
        Condition::Bit(number)
    }

    fn choose(&mut self, test: Condition, then: Condition, otherwise: Condition) -> Condition {
        match (test, then, otherwise) {
            (Condition::Known(true), ..) => return then,
            (Condition::Known(false), ..) => return otherwise,
            _ if then == otherwise => return then,
            _ => {}
        }
        self.next += 1;
        let defined = Condition::Defined(self.next);
        // Each condition is a constant of its own: a solver that expands definitions would repeat shared definitions
        // many times.
        let chosen = format!("(ite {test} {then} {otherwise})");
        let _ = writeln!(self.definitions, "(declare-const {defined} Bool)\n(assert (= {defined} {chosen}))");
        defined
    }
}

impl Prover {
    /// For each case, the question whether a packet may leave that the contract does not list, with the answer that the
    /// diagrams give.
    pub(crate) fn questions(
        &mut self,
        family: Family,
        rules: &Rules,
        machine: &Machine,
        contract: &Contract<'_>,
    ) -> Result<Vec<(String, bool)>, String> {
        let mut questions = Vec::new();
        for case in machine.cases(family) {
            let mut text = Text::default();
            let leaves = case.leaves(&mut text, rules, machine)?;
            let allowed = contract.allowed(family, case.sender, case.name());
            let allowed = case.of(&mut text, machine, &allowed);
            let more = text.without(leaves.maybe, allowed.surely);
            let bits: String = text.bits.iter().map(|bit| format!("(declare-const b{bit} Bool)\n")).collect();
            let question = format!("{bits}{}(assert {more})\n(check-sat)\n", text.definitions);
            let found = case.compare(&mut self.logic, rules, machine, contract)?;
            questions.push((question, !matches!(found, super::Compared::Within)));
        }
        Ok(questions)
    }
}
