//! The rules of nf_tables: the second layer.
//!
//! A rule is questions and a verdict. `Display` prints it in the words of nft, and [`instructions`] gives what the
//! kernel runs.
//!
//! We have two tables. The one of the family `inet` holds the chains of filter for both protocols, at hooks of its
//! own. A drop there is final, even if other tables accept the packet. An accept there ends only this layer. A forwarded
//! packet that returns from our chain passes. The table of the family `netdev` stands where packets go out on a
//! wire.

mod bytes;
mod frame;
mod instruction;
mod matches;
mod number;
mod program;
mod refused;
mod rule;
mod set;
mod table;

pub use instruction::{Base as PayloadBase, Ct, Fib, Instruction, KeyType, Keys, Loads, Meta};
pub use matches::{Bits, Comparison, DeclaredType, Header, Match, Side, Way};
pub use number::L4;
pub use program::instructions;
pub use refused::{lines, to_containers, to_programs};
pub use rule::{NftRule, NftVerdict};
pub use set::{ASKED, ASKED_MILLISECONDS, NftElements, NftSet};
pub use table::{Base, Found, Hook, NftChain, NftFamily, NftTable, Owner, TABLE, TableId};

use super::{Chain, ChainName, ForeignChain, Ruleset, Table};
use crate::net::Family;
use set::{asked, sets, tunnel_kinds};

/// After iptables' filter (0), so that what enters has passed there, and after the usual rewrites of destinations
/// at these hooks.
const PRIORITY: i32 = 10;

/// Before iptables' mangle (-150), which drops what it refuses. No rule of mangle can answer the sender. Destinations
/// are rewritten at an earlier hook.
const BEFORE_MANGLE: i32 = -160;

/// The kernel's hooks that packets enter our table from, and the chain of iptables at each.
const HOOKS: [(ForeignChain, Hook); 3] = [
    (ForeignChain::Output, Hook::Output),
    (ForeignChain::Input, Hook::Input),
    (ForeignChain::Forward, Hook::Forward),
];

/// Both tables of a ruleset.
pub fn tables(ruleset: &Ruleset) -> [NftTable; 2] {
    [inet(ruleset), netdev(ruleset)]
}

/// What `rules --format nft` prints: a file that `nft -f` takes.
pub fn render_fresh(ruleset: &Ruleset) -> String {
    tables(ruleset).iter().map(NftTable::printed).collect()
}

fn inet(ruleset: &Ruleset) -> NftTable {
    // In iptables the rules for forwarded packets stand in two tables, filter and mangle. Here once is enough.
    let filters = Family::ALL.map(|family| (family, ruleset.family(family).first()));
    let filters = filters.into_iter().filter_map(|(family, table)| Some((family, table?)));
    let filters: Vec<(Family, &Table)> = filters.collect();
    let mut chains: Vec<NftChain> =
        filters.iter().flat_map(|&(family, table)| protocol_chains(family, table)).collect();
    if let Some(answered) = &ruleset.answered {
        chains.iter_mut().for_each(refused::answer);
        chains.extend(filters.iter().map(|&(family, _)| refused::chain(family, answered)));
    }
    for (from, hook) in HOOKS {
        let jumps = filters.iter().flat_map(|&(family, table)| {
            let ours = table.jumps.iter().filter(move |(chain, _)| *chain == from);
            ours.map(move |&(_, to)| {
                NftRule::new([Match::Family(family)], NftVerdict::Jump(rule::name(to, family)))
            })
        });
        // No packet returns from the chains of the other hooks.
        let rules =
            jumps.chain((hook == Hook::Forward).then(|| NftRule::always(NftVerdict::Accept))).collect();
        let priority = if hook == Hook::Forward { BEFORE_MANGLE } else { PRIORITY };
        let base = Some(Base { hook, priority, devices: Vec::new() });
        chains.push(NftChain { name: hook.as_str().to_owned(), base, rules });
    }
    let sets = sets(ruleset).into_iter().chain([tunnel_kinds()]).chain(asked(&filters)).collect();
    NftTable { family: NftFamily::Inet, owner: Owner::Nobody, sets, chains }
}

/// The chains of a table, without those that stand after the rules of others: this table has no rules of others.
fn protocol_chains(family: Family, table: &Table) -> impl Iterator<Item = NftChain> {
    let last = |name: ChainName| table.last.iter().any(|&(_, chain)| chain == name);
    let chain = move |Chain { name, rules }: &Chain| NftChain {
        name: rule::name(*name, family),
        base: None,
        rules: rules.iter().map(rule::of).collect(),
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
    // The kernel takes no chain at this hook without a link.
    for (n, wires) in wire.wires.chunks(LINKS_OF_A_CHAIN).enumerate() {
        let name = if n == 0 { "egress".to_owned() } else { format!("egress_{}", n + 1) };
        let devices = wires.iter().map(|wire| wire.interface.to_string()).collect();
        let base = Some(Base { hook: Hook::Egress, priority: PRIORITY, devices });
        chains.push(NftChain {
            name,
            base,
            rules: vec![NftRule::always(NftVerdict::Goto(frame::FIRST.to_owned()))],
        });
    }
    NftTable { family: NftFamily::Netdev, owner: Owner::Nobody, sets: sets(ruleset), chains }
}

#[cfg(test)]
mod tests;
