//! The second layer: the same rules as tables of nftables, in the words in which `nft list` shows them.
//!
//! Two tables of our own. In the one of the family `inet` stand the chains of filter, for both
//! protocols, at hooks of their own: a drop there is final whatever other tables accept, and an accept
//! ends this layer alone. A chain of forwarded packets that returns has no objection. The other table,
//! of the family `netdev`, stands where packets go out on a wire.

mod frame;
mod rule;

use std::fmt::Write;

use super::{Chain, ChainName, Hook, Ruleset, Table};
use crate::net::{Endpoint, Family};
use crate::vpn::LinkKind;

/// The name of both tables.
pub const TABLE: &str = "tunwarden";

/// After iptables' filter (0), so that what reaches us has passed there, and after every rewrite of
/// destinations that is usual at these hooks.
const PRIORITY: i32 = 10;

/// The chains in which packets arrive have the kernel's own names for their hooks.
const HOOKS: [(Hook, &str); 3] =
    [(Hook::Output, "output"), (Hook::Input, "input"), (Hook::Forward, "forward")];

/// Our two tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NftFamily {
    /// Both protocols, at their hooks.
    Inet,
    /// Links.
    Netdev,
}

impl NftFamily {
    /// nft's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inet => "inet",
            Self::Netdev => "netdev",
        }
    }
}

/// Whose a table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Nobody's: whoever may change tables may change it.
    Nobody,
    /// Of who makes it (kernel 5.12): nobody else may change it, and a flush of everything passes it by. It
    /// outlives its owner (6.9), and is nobody's then.
    Maker,
}

/// What a table's text puts it in the place of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Whatever has its name, if anything does; a table that has or had an owner refuses it.
    Unknown,
    /// A table that is there, whose ever it was.
    Taken,
    /// Nothing, as a look has shown; a table that has come since refuses it, where nobody owns ours.
    Free,
}

/// A table as it is to be held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NftTable {
    /// Which.
    pub family: NftFamily,
    /// Whose.
    pub owner: Owner,
    /// Its sets.
    pub sets: Vec<NftSet>,
    /// Its chains; what a rule leads to stands in front of it.
    pub chains: Vec<NftChain>,
}

/// A set of endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NftSet {
    /// Its name.
    pub name: String,
    /// The type of its elements.
    pub kind: &'static str,
    /// Its elements.
    pub elements: Vec<String>,
}

/// A chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NftChain {
    /// Its name.
    pub name: String,
    /// Where packets arrive in it, if they come from the kernel.
    pub base: Option<Base>,
    /// Its rules, as they are listed.
    pub rules: Vec<String>,
}

/// Where packets arrive. What no rule decides is dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// The kernel's word for the hook.
    pub hook: &'static str,
    /// Before and after whom.
    pub priority: i32,
    /// The links it is on; empty where the hook belongs to no link.
    pub devices: Vec<String>,
}

/// Both tables of a ruleset.
pub fn tables(ruleset: &Ruleset) -> [NftTable; 2] {
    [inet(ruleset), netdev(ruleset)]
}

/// What `rules --format nft` prints: a file that `nft -f` takes.
pub fn render_fresh(ruleset: &Ruleset) -> String {
    tables(ruleset).iter().map(|table| table.replaced(Place::Unknown)).collect()
}

fn inet(ruleset: &Ruleset) -> NftTable {
    // The tables of iptables hold the same for forwarded packets twice; here once is enough.
    let filters = Family::ALL.map(|family| (family, ruleset.family(family).first()));
    let filters = filters.into_iter().filter_map(|(family, table)| Some((family, table?)));
    let filters: Vec<(Family, &Table)> = filters.collect();
    let mut chains: Vec<NftChain> =
        filters.iter().flat_map(|&(family, table)| protocol_chains(family, table)).collect();
    for (hook, name) in HOOKS {
        let jumps = filters.iter().flat_map(|&(family, table)| {
            let ours = table.jumps.iter().filter(move |(from, _)| *from == hook);
            ours.map(move |&(_, to)| {
                format!("meta nfproto {} jump {}", rule::protocol(family), rule::name(to, family))
            })
        });
        // In the others nothing returns.
        let rules = jumps.chain((hook == Hook::Forward).then(|| "accept".to_owned())).collect();
        let base = Some(Base { hook: name, priority: PRIORITY, devices: Vec::new() });
        chains.push(NftChain { name: name.to_owned(), base, rules });
    }
    let sets = sets(ruleset).into_iter().chain([tunnel_kinds()]).collect();
    NftTable { family: NftFamily::Inet, owner: Owner::Nobody, sets, chains }
}

/// Chains that stand last in somebody else's have no place here: there is nobody else.
fn protocol_chains(family: Family, table: &Table) -> impl Iterator<Item = NftChain> {
    let last = |name: ChainName| table.last.iter().any(|&(_, chain)| chain == name);
    let chain = move |Chain { name, rules }: &Chain| NftChain {
        name: rule::name(*name, family),
        base: None,
        rules: rules.iter().map(rule::text).collect(),
    };
    table.chains.iter().filter(move |chain| !last(chain.name)).map(chain)
}

/// Maximum number of links that the kernel takes for one chain: one less than `NFT_NETDEVICE_MAX`.
pub const LINKS_OF_A_CHAIN: usize = 255;

fn netdev(ruleset: &Ruleset) -> NftTable {
    let wire = &ruleset.wire;
    let mut chains: Vec<NftChain> = Vec::new();
    for (family, own) in [(Family::V4, &wire.ipv4), (Family::V6, &wire.ipv6)] {
        chains.extend(own.iter().map(|chain| NftChain {
            name: rule::name(chain.name, family),
            base: None,
            rules: chain.rules.iter().map(rule::on_wire).collect(),
        }));
    }
    chains.extend(frame::chains(wire));
    // The kernel has no chain at this hook without a link.
    for (n, wires) in wire.wires.chunks(LINKS_OF_A_CHAIN).enumerate() {
        let name = if n == 0 { "egress".to_owned() } else { format!("egress_{}", n + 1) };
        let devices = wires.iter().map(|wire| wire.interface.to_string()).collect();
        let base = Some(Base { hook: "egress", priority: PRIORITY, devices });
        chains.push(NftChain { name, base, rules: vec![format!("goto {}", frame::FIRST)] });
    }
    NftTable { family: NftFamily::Netdev, owner: Owner::Nobody, sets: sets(ruleset), chains }
}

/// A card that bears a tunnel's name is of none of these kinds, also while nobody is there to look at it.
fn tunnel_kinds() -> NftSet {
    let elements = LinkKind::tunnels().map(|kind| format!("\"{kind}\"")).collect();
    NftSet { name: rule::TUNNEL_KINDS.to_owned(), kind: "ifname", elements }
}

fn sets(ruleset: &Ruleset) -> Vec<NftSet> {
    let element = |endpoint: &Endpoint| {
        format!("{} . {} . {}", endpoint.address(), endpoint.transport(), endpoint.port())
    };
    let set = |set: &super::EndpointSet| NftSet {
        name: set.name().to_string(),
        kind: match set.name().family() {
            Family::V4 => "ipv4_addr . inet_proto . inet_service",
            Family::V6 => "ipv6_addr . inet_proto . inet_service",
        },
        elements: set.members().iter().map(element).collect(),
    };
    ruleset.sets.iter().map(set).collect()
}

impl NftTable {
    /// The table's name with its family: `inet tunwarden`.
    pub fn name(&self) -> String {
        format!("{} {TABLE}", self.family.as_str())
    }

    /// The text that puts this table in its place, in one transaction.
    pub fn replaced(&self, place: Place) -> String {
        let name = self.name();
        let cleared = match (place, self.owner) {
            // So that there is one to delete.
            (Place::Unknown, _) => format!("table {name}\ndelete table {name}\n"),
            (Place::Taken, _) => format!("delete table {name}\n"),
            // Where something is deleted the kernel waits for its readers, and the next transaction with it.
            (Place::Free, Owner::Nobody) => format!("create table {name}\n"),
            // Nobody can make a table twice and own it.
            (Place::Free, Owner::Maker) => String::new(),
        };
        cleared + &self.text(Bases::Told)
    }

    /// The text that gives a table with these very chains other rules, in one transaction: what comes
    /// from the kernel is never without a chain. `stale` are sets that it holds and nobody wants.
    pub fn refilled(&self, held: &Self) -> String {
        let name = self.name();
        let other = |set: &&NftSet| !self.sets.contains(set);
        let stale = held.sets.iter().filter(other).map(|set| format!("delete set {name} {}\n", set.name));
        format!("flush table {name}\n{}{}", stale.collect::<String>(), self.text(Bases::Held))
    }

    /// Whether a table with the chains of `held` can be refilled with ours.
    pub fn can_refill(&self, held: &Self) -> bool {
        let chains = |table: &Self| {
            let chain = |chain: &NftChain| (chain.name.clone(), chain.base.clone());
            table.chains.iter().map(chain).collect::<Vec<_>>()
        };
        self.owner == held.owner && chains(self) == chains(held)
    }

    /// The same on those of its links alone that are `there`.
    pub fn on_links(&self, there: impl Fn(&str) -> bool) -> Self {
        let mut table = self.clone();
        for base in table.chains.iter_mut().filter_map(|chain| chain.base.as_mut()) {
            base.devices.retain(|device| there(device));
        }
        table
    }

    fn text(&self, bases: Bases) -> String {
        let mut text = format!("table {} {{\n", self.name());
        if self.owner == Owner::Maker {
            text.push_str("\tflags owner, persist\n");
        }
        for set in &self.sets {
            let _ = writeln!(text, "\tset {} {{\n\t\ttype {}", set.name, set.kind);
            if !set.elements.is_empty() {
                let _ = writeln!(text, "\t\telements = {{ {} }}", set.elements.join(", "));
            }
            text.push_str("\t}\n");
        }
        for chain in &self.chains {
            let _ = writeln!(text, "\tchain {} {{", chain.name);
            if let Some(base) = chain.base.as_ref().filter(|_| bases == Bases::Told) {
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
}

/// Whether a text says where packets arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bases {
    Told,
    /// The kernel knows.
    Held,
}

impl std::fmt::Display for Base {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "type filter hook {}", self.hook)?;
        if !self.devices.is_empty() {
            let quoted: Vec<String> = self.devices.iter().map(|device| format!("\"{device}\"")).collect();
            write!(f, " devices = {{ {} }}", quoted.join(", "))?;
        }
        write!(f, " priority {}; policy drop;", self.priority)
    }
}

#[cfg(test)]
mod tests;
