//! How what the kernel holds differs from our table. Pure.

use std::iter;

use super::{Base, DORMANT, Held, Instruction, OWN, OWNER, Rule, value_in};
use crate::policy::nftables::{NftChain, NftTable, Owner};

/// Every difference between a table and what the kernel holds, one line each, for people. A hook on a link that is not
/// `there` is none: a kernel since 6.16 keeps the hook of a link that is gone, for the next link of that name.
pub fn differences(table: &NftTable, held: &Held, there: impl Fn(&str) -> bool) -> Vec<String> {
    each(table, &Held::of(table), held, &there).collect()
}

/// Whether there is a difference.
pub fn differs(table: &NftTable, held: &Held, there: impl Fn(&str) -> bool) -> bool {
    each(table, &Held::of(table), held, &there).next().is_some()
}

/// Finds each difference when it is asked for. `wanted` is what the kernel is to hold of the table.
fn each<'a>(
    table: &'a NftTable,
    wanted: &'a Held,
    held: &'a Held,
    there: &'a dyn Fn(&str) -> bool,
) -> Box<dyn Iterator<Item = String> + 'a> {
    let Some(flags) = held.flags else {
        return Box::new(iter::once(format!("nft {}: the table is not there", table.id())));
    };
    let of_chains = table.chains.iter().flat_map(move |chain| chain_differences(chain, wanted, held, there));
    let others = iter::once_with(move || other_differences(table, flags, wanted, held)).flatten();
    // Other programs may give a chain or a set any name.
    let plain = |line: String| line.replace(char::is_control, "?");
    Box::new(of_chains.chain(others).map(move |line| format!("nft {}: {}", table.id(), plain(line))))
}

/// The differences outside the chains of the table.
fn other_differences(table: &NftTable, flags: u32, wanted: &Held, held: &Held) -> Vec<String> {
    let others = held.chains.keys().filter(|name| !wanted.chains.contains_key(*name));
    let mut lines: Vec<String> = others.map(|name| format!("foreign: chain {name}")).collect();
    lines.extend(set_differences(wanted, held));
    if flags & DORMANT != 0 {
        lines.push("the table is switched off (flags dormant): no packet meets its rules".to_owned());
    }
    if table.owner != Owner::Nobody && flags & OWNER == 0 {
        lines.push("it has no owner: a flush of everything would remove it".to_owned());
    }
    lines
}

/// The differences of the named sets. A rule's own set is compared with the rule.
fn set_differences<'a>(wanted: &'a Held, held: &'a Held) -> Vec<String> {
    let named = |held: &'a Held| held.sets.iter().filter(|(_, set)| set.numbers[0] & OWN == 0);
    let ours = named(wanted).filter_map(|(name, set)| match held.named_set(name) {
        None => Some(format!("there is no set {name}")),
        Some(found) => (found != set).then(|| format!("set {name} has other elements")),
    });
    let others = named(held).filter(|(name, _)| wanted.named_set(name).is_none());
    ours.chain(others.map(|(name, _)| format!("foreign: set {name}"))).collect()
}

fn chain_differences(
    chain: &NftChain,
    wanted: &Held,
    held: &Held,
    there: &dyn Fn(&str) -> bool,
) -> Vec<String> {
    let name = &chain.name;
    let (Some(wanted), Some(found)) = (wanted.chains.get(name), held.chains.get(name)) else {
        return vec![format!("there is no chain {name}")];
    };
    let mut lines = base_differences(chain, wanted.base.as_ref(), found.base.as_ref(), there);
    if wanted.rules == found.rules {
        return lines;
    }
    let before = lines.len();
    let missing = chain.rules.iter().zip(&wanted.rules).filter(|(_, rule)| !found.rules.contains(rule));
    lines.extend(missing.map(|(rule, _)| format!("missing: {name} {rule}")));
    let foreign = found.rules.iter().filter(|rule| !wanted.rules.contains(rule));
    lines.extend(foreign.map(|rule| format!("foreign: {name} {}", named(rule))));
    if lines.len() == before {
        lines.push(format!("the rules of {name} are out of order or doubled"));
    }
    lines
}

fn base_differences(
    chain: &NftChain,
    wanted: Option<&Base>,
    found: Option<&Base>,
    there: &dyn Fn(&str) -> bool,
) -> Vec<String> {
    let name = &chain.name;
    match (wanted, found) {
        (None, None) => Vec::new(),
        (None, Some(_)) => vec![format!("foreign: {name} is at a hook of the kernel")],
        (Some(wanted), Some(found)) if (wanted.numbers, &wanted.kind) == (found.numbers, &found.kind) => {
            let is_found = |device: &String| found.devices.contains(device) && there(device);
            let missing = wanted.devices.iter().filter(|device| !is_found(device));
            let missing = missing.map(|device| format!("{name} is not on {device}"));
            let more = found.devices.difference(&wanted.devices).filter(|device| there(device));
            missing.chain(more.map(|device| format!("foreign: {name} on {device}"))).collect()
        }
        (Some(_), _) => {
            let words = chain.base.as_ref().map(ToString::to_string).unwrap_or_default();
            vec![format!("{name} is not `{words}`")]
        }
    }
}

/// A rule of another program: its instructions, and the word for a verdict.
fn named(rule: &Rule) -> String {
    let word = |instruction: &Instruction| verdict(instruction).unwrap_or(&instruction.name).to_owned();
    rule.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// The word of nft for the verdict of an instruction; `None` for one that gives no verdict.
fn verdict(instruction: &Instruction) -> Option<&'static str> {
    let (Some(data), "immediate") = (instruction.attributes.get(2), &*instruction.name) else {
        return None;
    };
    let code = value_in(value_in(data, 2)?, 1)?;
    // `NF_…` and `NFT_…` of `linux/netfilter.h` and `nf_tables.h`.
    match i32::from_be_bytes(code.try_into().ok()?) {
        0 => Some("drop"),
        1 => Some("accept"),
        -1 => Some("continue"),
        -2 => Some("break"),
        -3 => Some("jump"),
        -4 => Some("goto"),
        -5 => Some("return"),
        _ => None,
    }
}
