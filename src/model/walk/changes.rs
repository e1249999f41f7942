//! What the rules write that a packet may meet in a table.

use std::collections::BTreeMap;

use super::{Decision, decision};
use crate::model::diagram::Packet;
use crate::model::evaluate::View;
use crate::model::rule::{Action, Rule, Table};
use crate::model::writes::Write;

/// A rule that writes, and that the packet may meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::model) struct Change {
    pub(in crate::model) write: Write,
    /// Whether the packet meets this rule and matches it in every case.
    pub(in crate::model) surely: bool,
    pub(in crate::model) by: Decision,
}

/// Everything that rules may write to a packet that enters a base chain, in their order. Unlike
/// [`super::chain_verdict`], it follows every path that the packet may take.
pub(in crate::model) fn changes(packet: &Packet, view: &View<'_>, table: &Table, base: &str) -> Vec<Change> {
    let mut search = Search { packet, view, table, known: BTreeMap::new(), found: Vec::new() };
    search.chain(base, true);
    search.found
}

/// How a packet may go through a chain.
#[derive(Debug, Clone, Copy)]
struct End {
    /// It may return from the chain.
    back: bool,
    /// The model knows every rule that it meets there.
    certain: bool,
}

struct Search<'a> {
    packet: &'a Packet,
    view: &'a View<'a>,
    table: &'a Table,
    /// The chains that were searched. A chain that is found again while it is still searched leads to itself.
    known: BTreeMap<&'a str, End>,
    found: Vec<Change>,
}

impl<'a> Search<'a> {
    fn chain(&mut self, name: &'a str, surely: bool) -> End {
        if let Some(&end) = self.known.get(name) {
            return end;
        }
        let mut end = End { back: true, certain: false };
        self.known.insert(name, end);
        let Some(chain) = self.table.chains.get(name) else { return end };
        end = End { back: false, certain: true };
        let mut goes_on = true;
        for rule in &chain.rules {
            self.written(rule, name, surely && end.certain);
            if !self.rule(rule, surely, &mut end) {
                goes_on = false;
                break;
            }
        }
        end.back |= goes_on;
        self.known.insert(name, end);
        end
    }

    /// Whether the packet may reach the next rule.
    fn rule(&mut self, rule: &'a Rule, surely: bool, end: &mut End) -> bool {
        if rule.action == Action::Continue {
            return true;
        }
        let held = self.view.all(&mut self.packet.clone(), &rule.matches);
        if !held.maybe {
            return true;
        }
        let surely = surely && end.certain && held.surely;
        end.certain &= held.surely;
        let ends = match &rule.action {
            Action::Accept | Action::Drop => true,
            Action::Return => {
                end.back = true;
                true
            }
            Action::Jump(to) | Action::Goto(to) => {
                let inner = self.chain(to, surely);
                end.certain &= inner.certain;
                let is_goto = matches!(rule.action, Action::Goto(_));
                end.back |= is_goto && inner.back;
                is_goto || !inner.back
            }
            Action::Unknown(_) => {
                *end = End { back: true, certain: false };
                false
            }
            Action::Continue => false,
        };
        !(ends && held.surely)
    }

    fn written(&mut self, rule: &Rule, chain: &str, surely: bool) {
        for written in &rule.writes {
            let matches = rule.matches.get(..written.after).unwrap_or(&rule.matches);
            let held = self.view.all(&mut self.packet.clone(), matches);
            if held.maybe {
                let unknown = rule.unknown().into_iter().map(ToOwned::to_owned).collect();
                let by = Decision { unknown, ..decision(self.table, chain, &rule.text) };
                self.found.push(Change { write: written.write, surely: surely && held.surely, by });
            }
        }
    }
}
