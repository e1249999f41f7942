//! For tests: which packets leave during a change, while some tables have the new rules and others the old ones.

use std::collections::BTreeMap;

use super::case::Case;
use super::{Machine, Prover};
use crate::model::counterexample::Counterexample;
use crate::model::diagram::{Diagram, Logic, Set};
use crate::model::evaluate::{Bounds, Time};
use crate::model::rule::Rules;
use crate::net::Family;

/// The packets that pass each table, before and after.
type Tables = BTreeMap<String, [Bounds<Set>; 2]>;

impl Prover {
    /// A packet that leaves while some tables are old and others new, but would not leave with all old or with all new
    /// tables.
    pub(crate) fn wider(
        &mut self,
        family: Family,
        ends: [&Rules; 2],
        machine: &Machine,
    ) -> Result<Option<Counterexample>, String> {
        for case in machine.cases(family) {
            let case = Case { time: Time::Now, ..case };
            self.logic.make_room();
            let logic = &mut self.logic;
            let tables = tables(logic, &case, ends, machine)?;
            let there_is = case.all(logic, machine);
            let surely = [0, 1]
                .map(|end| tables.values().fold(there_is, |both, table| logic.and(both, table[end].surely)));
            let ends_let_out = logic.or(surely[0], surely[1]);
            for mixture in 0..1_u32 << tables.len() {
                let mut between = there_is;
                for (place, table) in tables.values().enumerate() {
                    between = logic.and(between, table[usize::from(mixture >> place & 1 == 1)].maybe);
                }
                let more = logic.without(between, ends_let_out);
                if let Some(bits) = case.packet(logic, more, machine) {
                    return Ok(Some(case.described(&bits, ends[0], machine)));
                }
            }
            case.unless_full(logic, ())?;
        }
        Ok(None)
    }
}

fn tables(
    logic: &mut Diagram,
    case: &Case<'_>,
    ends: [&Rules; 2],
    machine: &Machine,
) -> Result<Tables, String> {
    let all = Bounds { surely: logic.all(), maybe: logic.all() };
    let mut tables = Tables::new();
    for (end, rules) in ends.into_iter().enumerate() {
        for (table, name, base) in case.chains(rules) {
            let passed = case.passed(logic, (table, name, base), machine)?;
            let key = format!("{} {} {:?}", table.tool.as_str(), table.name, table.sees);
            let held = &mut tables.entry(key).or_insert([all; 2])[end];
            held.surely = logic.and(held.surely, passed.surely);
            held.maybe = logic.and(held.maybe, passed.maybe);
        }
    }
    Ok(tables)
}
