//! One table as data, and the text that makes it in one transaction, in the words in which `nft list` shows it.

use std::fmt::Write;

use super::rule::NftRule;
use super::set::NftSet;

/// The name of both tables.
pub const TABLE: &str = "tunwarden";

/// The name of their copies, which end with their owner.
pub(super) const COPY: &str = "tunwarden_copy";

/// Our two tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NftFamily {
    /// Both protocols, at their hooks.
    Inet,
    /// Links.
    Netdev,
}

impl NftFamily {
    /// The word of nft for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inet => "inet",
            Self::Netdev => "netdev",
        }
    }
}

/// Who owns a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Nobody: every program that may change tables may change it.
    Nobody,
    /// The socket that makes it (kernel 5.12). No other socket may change it, and `flush ruleset` leaves it
    /// alone. It outlives its owner (6.9), and has none then.
    Maker,
    /// The same, but the table ends with its owner (before 6.9). So it is a copy, and has another name than the table
    /// that stays.
    MakerOfCopy,
}

/// A table in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableId {
    /// The family of the table: `inet` or `netdev`.
    pub family: NftFamily,
    /// The table's name: `tunwarden` or `tunwarden_copy`.
    pub name: &'static str,
}

impl TableId {
    /// Every table that we may have. The tables that stay are the last ones.
    pub const ALL: [Self; 4] = [
        Self::copy(NftFamily::Netdev),
        Self::copy(NftFamily::Inet),
        Self::ours(NftFamily::Netdev),
        Self::ours(NftFamily::Inet),
    ];

    /// The table of this family that stays.
    pub const fn ours(family: NftFamily) -> Self {
        Self { family, name: TABLE }
    }

    /// Its copy, which ends with its owner.
    pub const fn copy(family: NftFamily) -> Self {
        Self { family, name: COPY }
    }
}

impl std::fmt::Display for TableId {
    /// As nft writes it: `inet tunwarden`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.family.as_str(), self.name)
    }
}

/// What the kernel holds under the name of a table that is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// This is not known. The kernel refuses the transaction where the table has or had an owner.
    Unknown,
    /// A table, with or without an owner.
    Present,
    /// No table. The kernel refuses the transaction if there is a table by now.
    Absent,
}

/// A table as the kernel should hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NftTable {
    /// Which of the two.
    pub family: NftFamily,
    /// Who owns it.
    pub owner: Owner,
    /// The sets that its rules look addresses and ports up in.
    pub sets: Vec<NftSet>,
    /// Its chains. A chain stands before those whose rules lead to it.
    pub chains: Vec<NftChain>,
}

/// A chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NftChain {
    /// The name by which rules jump to it.
    pub name: String,
    /// Where packets enter it, if they come from the kernel.
    pub base: Option<Base>,
    /// Its rules, first to last.
    pub rules: Vec<NftRule>,
}

/// Where packets enter. A packet that no rule decides is dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// The kernel's hook.
    pub hook: Hook,
    /// The place among the chains of others at the same hook.
    pub priority: i32,
    /// The links it is on; empty where the hook belongs to no link.
    pub devices: Vec<String>,
}

/// The kernel's hooks that we use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// To this machine.
    Input,
    /// Through this machine.
    Forward,
    /// From this machine.
    Output,
    /// Out on a link.
    Egress,
}

impl Hook {
    /// The word of nft for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Forward => "forward",
            Self::Output => "output",
            Self::Egress => "egress",
        }
    }
}

impl NftTable {
    /// Which table of the kernel this is.
    pub fn id(&self) -> TableId {
        let name = match self.owner {
            Owner::Nobody | Owner::Maker => TABLE,
            Owner::MakerOfCopy => COPY,
        };
        TableId { family: self.family, name }
    }

    /// The text that makes this table in place of the one of its name, for `nft -f`.
    pub fn printed(&self) -> String {
        let name = self.id();
        // The first line makes sure that there is a table to delete.
        let mut text = format!("table {name}\ndelete table {name}\ntable {name} {{\n");
        text.push_str(match self.owner {
            Owner::Nobody => "",
            Owner::Maker => "\tflags owner, persist\n",
            Owner::MakerOfCopy => "\tflags owner\n",
        });
        for set in &self.sets {
            let _ = write!(text, "{set}");
        }
        for chain in &self.chains {
            let _ = writeln!(text, "\tchain {} {{", chain.name);
            if let Some(base) = &chain.base {
                let _ = writeln!(text, "\t\t{base}");
            }
            for rule in &chain.rules {
                let _ = writeln!(text, "\t\t{rule}");
            }
            text.push_str("\t}\n");
        }
        text.push_str("}\n");
        text
    }

    /// Whether a table with the chains of `held` can be refilled with ours.
    pub fn can_refill(&self, held: &Self) -> bool {
        let chains = |table: &Self| {
            let chain = |chain: &NftChain| (chain.name.clone(), chain.base.clone());
            table.chains.iter().map(chain).collect::<Vec<_>>()
        };
        self.owner == held.owner && chains(self) == chains(held)
    }

    /// The same table on fewer links: on those that are `there`.
    pub fn on_links(&self, there: impl Fn(&str) -> bool) -> Self {
        let mut table = self.clone();
        for base in table.chains.iter_mut().filter_map(|chain| chain.base.as_mut()) {
            base.devices.retain(|device| there(device));
        }
        table
    }
}

impl std::fmt::Display for Base {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "type filter hook {}", self.hook.as_str())?;
        if !self.devices.is_empty() {
            let quoted: Vec<String> = self.devices.iter().map(|device| format!("\"{device}\"")).collect();
            write!(f, " devices = {{ {} }}", quoted.join(", "))?;
        }
        write!(f, " priority {}; policy drop;", self.priority)
    }
}
