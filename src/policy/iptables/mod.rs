//! The rules in the words of iptables and ipset.

mod rule;
pub mod set;
mod table;

use crate::net::Family;
use crate::policy::Ruleset;

pub use table::{Edits, render};

/// The restore text of a whole family for a kernel that holds nothing yet: what `rules` prints.
pub fn render_fresh(ruleset: &Ruleset, family: Family) -> String {
    ruleset.family(family).iter().map(|table| render(table, &Edits::fresh(table))).collect()
}
