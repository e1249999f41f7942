//! The text of one table for `iptables-restore --noflush`, which makes one transaction of it.
//!
//! It replaces our chains as a whole. A foreign chain only gets or loses our jump. What a foreign chain needs
//! depends on what the kernel holds: [`Edits`] say it.

use std::collections::BTreeSet;

use crate::policy::{ChainName, ForeignChain, Table};

/// What one table in the kernel needs so that it holds ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edits {
    /// Chains of ours to replace; the kernel holds the others as they should be.
    pub replace: BTreeSet<ChainName>,
    /// Chains of ours that the kernel holds and that must be empty now.
    pub empty: BTreeSet<ChainName>,
    /// Whether the policies have to be set.
    pub policies: bool,
    /// Foreign chains to make, so that a jump can stand in them.
    pub create: Vec<ForeignChain>,
    /// Jumps to remove, one entry for each time that a jump stands there.
    pub remove: Vec<(ForeignChain, ChainName)>,
    /// Jumps to insert at the first place.
    pub insert: Vec<(ForeignChain, ChainName)>,
    /// Jumps to append at the last place.
    pub append: Vec<(ForeignChain, ChainName)>,
}

impl Edits {
    /// What an empty table needs.
    pub fn fresh(table: &Table) -> Self {
        Self {
            replace: table.chains.iter().map(|chain| chain.name).collect(),
            empty: BTreeSet::new(),
            policies: true,
            create: table
                .jumps
                .iter()
                .map(|&(parent, _)| parent)
                .filter(|&parent| parent == ForeignChain::DockerUser)
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
        lines.extend(table.dropping.iter().map(|parent| format!(":{} DROP [0:0]", parent.as_str())));
    }
    lines.extend(edits.create.iter().map(|parent| format!(":{} - [0:0]", parent.as_str())));
    lines.extend(edits.replace.union(&edits.empty).map(|chain| format!(":{chain} - [0:0]")));
    for chain in table.chains.iter().filter(|chain| edits.replace.contains(&chain.name)) {
        lines.extend(chain.rules.iter().map(|rule| format!("-A {} {rule}", chain.name)));
    }
    lines.extend(edits.remove.iter().map(|(parent, chain)| format!("-D {} -j {chain}", parent.as_str())));
    lines.extend(edits.insert.iter().map(|(parent, chain)| format!("-I {} 1 -j {chain}", parent.as_str())));
    lines.extend(edits.append.iter().map(|(parent, chain)| format!("-A {} -j {chain}", parent.as_str())));
    lines.push("COMMIT".to_owned());
    let mut text = lines.join("\n");
    text.push('\n');
    text
}
