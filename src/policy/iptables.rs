//! The text that `iptables-restore --noflush` takes, one table a transaction.
//!
//! Chains of ours are replaced whole; chains of others only get or lose our jump. What has to be
//! done about those depends on what the kernel holds: that comes in as [`Edits`].

use std::collections::BTreeSet;

use super::{ChainName, Hook, Ruleset, Table};
use crate::net::Family;

/// How one table in the kernel gets from what it holds to ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edits {
    /// Chains of ours to replace; the others are held as they should be.
    pub replace: BTreeSet<ChainName>,
    /// Chains of ours that are held and must be empty now.
    pub empty: BTreeSet<ChainName>,
    /// Whether the policies have to be set.
    pub policies: bool,
    /// Chains to make before a jump can stand in them.
    pub create: Vec<Hook>,
    /// Jumps to take out, one entry for each time it stands there.
    pub remove: Vec<(Hook, ChainName)>,
    /// Jumps to put in at the first place.
    pub insert: Vec<(Hook, ChainName)>,
    /// Jumps to put in at the last place.
    pub append: Vec<(Hook, ChainName)>,
}

impl Edits {
    /// What a table needs that holds nothing at all.
    pub fn fresh(table: &Table) -> Self {
        Self {
            replace: table.chains.iter().map(|chain| chain.name).collect(),
            empty: BTreeSet::new(),
            policies: true,
            create: table
                .jumps
                .iter()
                .map(|&(hook, _)| hook)
                .filter(|&hook| hook == Hook::DockerUser)
                .collect(),
            remove: Vec::new(),
            insert: table.jumps.clone(),
            append: table.last.clone(),
        }
    }

    /// Nothing but the contents of these chains.
    pub fn chains(replace: BTreeSet<ChainName>) -> Self {
        Self {
            replace,
            empty: BTreeSet::new(),
            policies: false,
            create: Vec::new(),
            remove: Vec::new(),
            insert: Vec::new(),
            append: Vec::new(),
        }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        *self == Self::chains(BTreeSet::new())
    }
}

/// The restore text of one table; empty when there is nothing to do.
pub fn render(table: &Table, edits: &Edits) -> String {
    if edits.is_empty() {
        return String::new();
    }
    let mut lines = vec![format!("*{}", table.name.as_str())];
    if edits.policies {
        lines.extend(table.dropping.iter().map(|hook| format!(":{} DROP [0:0]", hook.as_str())));
    }
    lines.extend(edits.create.iter().map(|hook| format!(":{} - [0:0]", hook.as_str())));
    lines.extend(edits.replace.union(&edits.empty).map(|chain| format!(":{chain} - [0:0]")));
    for chain in table.chains.iter().filter(|chain| edits.replace.contains(&chain.name)) {
        lines.extend(chain.rules.iter().map(|rule| format!("-A {} {rule}", chain.name)));
    }
    lines.extend(edits.remove.iter().map(|(hook, chain)| format!("-D {} -j {chain}", hook.as_str())));
    lines.extend(edits.insert.iter().map(|(hook, chain)| format!("-I {} 1 -j {chain}", hook.as_str())));
    lines.extend(edits.append.iter().map(|(hook, chain)| format!("-A {} -j {chain}", hook.as_str())));
    lines.push("COMMIT".to_owned());
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

/// The restore text of a whole family for a kernel that holds nothing yet: what `rules` prints.
pub fn render_fresh(ruleset: &Ruleset, family: Family) -> String {
    ruleset.family(family).iter().map(|table| render(table, &Edits::fresh(table))).collect()
}
