//! How what the kernel holds differs from our table. Pure.

use std::collections::BTreeMap;

use super::{Base, DORMANT, Held, Instruction, OWN, OWNER, Rule, Set, Value};
use crate::policy::nftables::{NftChain, NftTable, Owner};

/// Every difference between a table and what the kernel holds, one line each, for people.
pub fn differences(table: &NftTable, held: &Held) -> Vec<String> {
    let Some(flags) = held.flags else {
        return vec![format!("nft {}: the table is not there", table.id())];
    };
    let wanted = Held::of(table);
    let mut lines: Vec<String> =
        table.chains.iter().flat_map(|chain| chain_differences(chain, &wanted, held)).collect();
    let others = held.chains.keys().filter(|name| !wanted.chains.contains_key(*name));
    lines.extend(others.map(|name| format!("foreign: chain {name}")));
    lines.extend(set_differences(&wanted, held));
    if flags & DORMANT != 0 {
        lines.push("the table is switched off (flags dormant): no packet meets its rules".to_owned());
    }
    if table.owner != Owner::Nobody && flags & OWNER == 0 {
        lines.push("it has no owner: a flush of everything would remove it".to_owned());
    }
    // Other programs may give a chain or a set any name.
    let plain = |line: String| line.replace(char::is_control, "?");
    lines.into_iter().map(|line| format!("nft {}: {}", table.id(), plain(line))).collect()
}

/// Rules compare their own sets.
fn set_differences(wanted: &Held, held: &Held) -> Vec<String> {
    let named = |held: &Held| -> BTreeMap<String, Set> {
        let named = held.sets.iter().filter(|(_, set)| set.numbers[0] & OWN == 0);
        named.map(|(name, set)| (name.clone(), set.clone())).collect()
    };
    let (wanted, held) = (named(wanted), named(held));
    let ours = wanted.iter().filter_map(|(name, set)| match held.get(name) {
        None => Some(format!("there is no set {name}")),
        Some(found) => (found != set).then(|| format!("set {name} has other elements")),
    });
    let others = held.keys().filter(|name| !wanted.contains_key(*name));
    ours.chain(others.map(|name| format!("foreign: set {name}"))).collect()
}

fn chain_differences(chain: &NftChain, wanted: &Held, held: &Held) -> Vec<String> {
    let name = &chain.name;
    let (Some(wanted), Some(found)) = (wanted.chains.get(name), held.chains.get(name)) else {
        return vec![format!("there is no chain {name}")];
    };
    let mut lines = base_differences(chain, wanted.base.as_ref(), found.base.as_ref());
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

fn base_differences(chain: &NftChain, wanted: Option<&Base>, found: Option<&Base>) -> Vec<String> {
    let name = &chain.name;
    match (wanted, found) {
        (None, None) => Vec::new(),
        (None, Some(_)) => vec![format!("foreign: {name} is at a hook of the kernel")],
        (Some(wanted), Some(found)) if (wanted.numbers, &wanted.kind) == (found.numbers, &found.kind) => {
            let missing = wanted.devices.difference(&found.devices);
            let missing = missing.map(|device| format!("{name} is not on {device}"));
            let more = found.devices.difference(&wanted.devices);
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
    let (Some(Value::Nest(data)), "immediate") = (instruction.attributes.get(&2), &*instruction.name) else {
        return None;
    };
    let Some(Value::Nest(verdict)) = data.get(&2) else { return None };
    let Some(Value::Bytes(code)) = verdict.get(&1) else { return None };
    // `NF_…` and `NFT_…` of `linux/netfilter.h` and `nf_tables.h`.
    match i32::from_be_bytes(code.as_slice().try_into().ok()?) {
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
