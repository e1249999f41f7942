//! Parses what `nft list table` prints, and compares it with our tables. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::policy::nftables::{NftChain, NftSet, NftTable, Owner};

/// A table in the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Listed {
    flags: BTreeSet<String>,
    sets: BTreeMap<String, Elements>,
    chains: BTreeMap<String, Held>,
    /// Other objects, by their first line.
    others: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Elements {
    kind: String,
    elements: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Held {
    base: Option<Arrival>,
    rules: Vec<String>,
}

/// Where packets enter a chain, in one spelling for all releases of nft.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Arrival {
    how: String,
    devices: BTreeSet<String>,
}

/// A line that is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of what nft lists cannot be understood: {text:?}")]
pub struct ListingError {
    line: usize,
    text: String,
}

/// The block that a line belongs to.
enum Block {
    Set(String),
    Chain(String),
    Other,
}

impl Listed {
    /// Parses one table.
    pub(crate) fn parse(text: &str) -> Result<Self, ListingError> {
        let mut listed = Self::default();
        let mut depth = 0_u32;
        let mut block = Block::Other;
        let mut elements: Option<String> = None;
        for (number, line) in text.lines().enumerate() {
            let error = || ListingError { line: number + 1, text: line.chars().take(120).collect() };
            let words = line.split(" # ").next().unwrap_or(line).trim();
            if let Some(begun) = &mut elements {
                begun.push_str(words);
                if words.ends_with('}') {
                    listed.add_elements(&block, &elements.take().unwrap_or_default());
                }
                continue;
            }
            match (depth, words) {
                (_, "") => {}
                (0, _) if words.starts_with("table ") && words.ends_with('{') => depth = 1,
                (1, "}") => depth = 0,
                (1, _) if words.ends_with('{') => {
                    depth = 2;
                    block = listed.begin(words);
                }
                (1, _) => listed.add_flags(words),
                (2, "}") => depth = 1,
                (2, _) if matches!(block, Block::Set(_)) && words.starts_with("elements = {") => {
                    match words.ends_with('}') {
                        true => listed.add_elements(&block, words),
                        false => elements = Some(words.to_owned()),
                    }
                }
                (2, _) => listed.line(&block, words),
                _ => return Err(error()),
            }
        }
        match depth {
            0 => Ok(listed),
            _ => Err(ListingError { line: text.lines().count(), text: "the table has no end".to_owned() }),
        }
    }

    /// Whether a process owns it.
    pub(super) fn is_owned(&self) -> bool {
        self.flags.contains("owner")
    }

    /// Whether one of its chains has a hook.
    pub(super) fn has_hooks(&self) -> bool {
        self.chains.values().any(|chain| chain.base.is_some())
    }

    /// Whether one of its chains is on this link.
    pub(super) fn is_on(&self, link: &str) -> bool {
        self.chains.values().filter_map(|chain| chain.base.as_ref()).any(|base| base.devices.contains(link))
    }

    fn add_flags(&mut self, words: &str) {
        let flags = words.strip_prefix("flags ").unwrap_or_default().split([',', ' ', ';']);
        self.flags.extend(flags.filter(|flag| !flag.is_empty()).map(ToOwned::to_owned));
    }

    fn begin(&mut self, words: &str) -> Block {
        let mut parts = words.split(' ');
        match (parts.next(), parts.next()) {
            (Some("chain"), Some(name)) => {
                self.chains.entry(name.to_owned()).or_default();
                Block::Chain(name.to_owned())
            }
            (Some("set"), Some(name)) => {
                self.sets.entry(name.to_owned()).or_default();
                Block::Set(name.to_owned())
            }
            _ => {
                self.others.push(words.trim_end_matches(" {").to_owned());
                Block::Other
            }
        }
    }

    fn line(&mut self, block: &Block, words: &str) {
        match block {
            Block::Chain(name) => {
                let chain = self.chains.entry(name.clone()).or_default();
                match words.starts_with("type ") {
                    true => chain.base = Some(arrival(words)),
                    false => chain.rules.push(canonical(words)),
                }
            }
            Block::Set(name) => {
                if let Some(kind) = words.strip_prefix("type ") {
                    self.sets.entry(name.clone()).or_default().kind = kind.to_owned();
                }
            }
            Block::Other => {}
        }
    }

    fn add_elements(&mut self, block: &Block, words: &str) {
        let inside = words.trim_start_matches("elements = {").trim_end_matches('}');
        if let Block::Set(name) = block {
            let elements = inside.split(',').map(element);
            let set = self.sets.entry(name.clone()).or_default();
            set.elements.extend(elements.filter(|element| !element.is_empty()));
        }
    }
}

/// A rule in one spelling. Releases of nft differ in numbers and names.
fn canonical(rule: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in rule.split_whitespace() {
        let hex = word.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
        let of = words.len().checked_sub(2).and_then(|place| words.get(place)).map(String::as_str);
        words.push(match (words.last().map(String::as_str), hex) {
            (Some("type"), _) => icmp_type(of, word).to_owned(),
            (Some("l4proto"), _) => protocol(word).to_owned(),
            (_, Some(number)) => number.to_string(),
            (_, None) => word.to_owned(),
        });
    }
    words.join(" ")
}

/// An element in one spelling: `198.51.100.7 . 17 . 1194`.
fn element(words: &str) -> String {
    let parts: Vec<&str> = words.split(" . ").map(|part| protocol(part.trim())).collect();
    parts.join(" . ")
}

/// The numbers of the protocols that our rules name (IANA's protocol numbers).
fn protocol(word: &str) -> &str {
    match word {
        "icmp" => "1",
        "igmp" => "2",
        "tcp" => "6",
        "udp" => "17",
        "ipv6-icmp" => "58",
        other => other,
    }
}

/// The numbers of the types that our rules name (IANA's ICMPv6 and ICMP parameters). An echo reply has the
/// same name in both protocols, but different numbers.
fn icmp_type<'a>(protocol: Option<&str>, word: &'a str) -> &'a str {
    match word {
        "echo-reply" if protocol == Some("icmpv6") => "129",
        "echo-reply" => "0",
        "nd-router-solicit" => "133",
        "nd-router-advert" => "134",
        "nd-neighbor-solicit" => "135",
        "nd-neighbor-advert" => "136",
        "mld-listener-query" => "130",
        "mld-listener-report" => "131",
        "mld-listener-done" | "mld-listener-reduction" => "132",
        "mld2-listener-report" => "143",
        other => other,
    }
}

/// Where packets arrive. A link's name may be a word or a sign of nft's own, so names are what stands between
/// `device` and the last `priority`, and a space ends each.
fn arrival(words: &str) -> Arrival {
    let named = words.split_once(" device").and_then(|(before, rest)| {
        let (names, after) = rest.rsplit_once(" priority ")?;
        Some((format!("{before} priority {after}"), names))
    });
    let Some((how, names)) = named else {
        return Arrival { how: words.to_owned(), devices: BTreeSet::new() };
    };
    let list = names.strip_prefix("s = {").and_then(|names| names.strip_suffix('}'));
    let devices = list.unwrap_or(names).split(", ").map(|name| name.trim().trim_matches('"').to_owned());
    Arrival { how, devices: devices.collect() }
}

/// Every difference between a table and what the kernel holds, one line each, for people.
pub(crate) fn differences(table: &NftTable, held: Option<&Listed>) -> Vec<String> {
    let lines = match held {
        None => vec!["the table is not there".to_owned()],
        Some(held) => table_differences(table, held),
    };
    lines.into_iter().map(|line| format!("nft {}: {line}", table.name())).collect()
}

fn table_differences(table: &NftTable, held: &Listed) -> Vec<String> {
    let mut lines: Vec<String> =
        table.chains.iter().flat_map(|chain| chain_differences(chain, held)).collect();
    lines.extend(table.sets.iter().filter_map(|set| set_difference(set, held)));
    let chain = |name: &String| table.chains.iter().any(|chain| chain.name == *name);
    let set = |name: &String| table.sets.iter().any(|set| set.name == *name);
    lines.extend(held.chains.keys().filter(|name| !chain(name)).map(|name| format!("foreign: chain {name}")));
    lines.extend(held.sets.keys().filter(|name| !set(name)).map(|name| format!("foreign: set {name}")));
    lines.extend(held.others.iter().map(|other| format!("foreign: {other}")));
    if held.flags.contains("dormant") {
        lines.push("the table is switched off (flags dormant): no packet meets its rules".to_owned());
    }
    if table.owner == Owner::Maker && !held.is_owned() {
        lines.push("it has no owner: a flush of everything would remove it".to_owned());
    }
    lines
}

fn set_difference(set: &NftSet, held: &Listed) -> Option<String> {
    let Some(found) = held.sets.get(&set.name) else { return Some(format!("there is no set {}", set.name)) };
    let wanted = set.elements.words();
    let same = found.kind == set.elements.kind()
        && found.elements == wanted.iter().map(|words| element(words)).collect();
    (!same).then(|| format!("set {} has other elements", set.name))
}

fn chain_differences(chain: &NftChain, held: &Listed) -> Vec<String> {
    let name = &chain.name;
    let Some(found) = held.chains.get(name) else { return vec![format!("there is no chain {name}")] };
    let mut lines = Vec::new();
    let base = chain.base.as_ref().map(|base| arrival(&base.to_string()));
    match (&base, &found.base) {
        (Some(wanted), Some(found)) if wanted.how == found.how => {
            let missing = wanted.devices.difference(&found.devices);
            lines.extend(missing.map(|device| format!("{name} is not on {device}")));
            let more = found.devices.difference(&wanted.devices);
            lines.extend(more.map(|device| format!("foreign: {name} on {device}")));
        }
        (None, None) => {}
        (Some(Arrival { how, .. }), _) => lines.push(format!("{name} is not `{how}`")),
        (None, Some(Arrival { how, .. })) => lines.push(format!("foreign: {name} is `{how}`")),
    }
    let wanted: Vec<String> = chain.rules.iter().map(|rule| canonical(&rule.to_string())).collect();
    if wanted == found.rules {
        return lines;
    }
    let before = lines.len();
    let missing = wanted.iter().filter(|rule| !found.rules.contains(rule));
    lines.extend(missing.map(|rule| format!("missing: {name} {rule}")));
    let foreign = found.rules.iter().filter(|rule| !wanted.contains(rule));
    lines.extend(foreign.map(|rule| format!("foreign: {name} {rule}")));
    if lines.len() == before {
        lines.push(format!("the rules of {name} are out of order or doubled"));
    }
    lines
}

#[cfg(test)]
mod tests;
