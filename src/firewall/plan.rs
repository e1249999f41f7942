//! The differences between our tables and what the kernel holds, and the text that removes them. Pure.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::misplaced::misplaced;
use super::saved::{Saved, SavedTable, canonical};
use crate::net::Family;
use crate::policy::iptables::{Edits, render};
use crate::policy::{Chain, ChainName, ForeignChain, Table, TableName};

/// The restore text that changes what the kernel holds into `tables`; empty if nothing has to change.
///
/// Policies come last, in a transaction of their own: setting one makes the kernel wait for its readers, and
/// all other transactions wait too. The jumps to our chains are in force before, and our chains decide.
pub(super) fn restore(tables: &[Table], saved: &Saved) -> String {
    let edits = tables.iter().map(|table| (table, edits(table, saved.table(table.name.as_str()))));
    let (mut rules, policies): (Vec<String>, Vec<String>) = edits
        .map(|(table, edits)| {
            let sets = edits.policies && !table.dropping.is_empty();
            let policies = Edits { policies: sets, ..Edits::chains(BTreeSet::new()) };
            let rules = Edits { policies: false, ..edits };
            (render(table, &rules), render(table, &policies))
        })
        .unzip();
    for (table, rules) in tables.iter().zip(&mut rules) {
        let found = saved.table(table.name.as_str()).map(|saved| misplaced(table, saved)).unwrap_or_default();
        let printable = found.iter().filter(|rule| !rule.is_unprintable());
        let removals: String = printable.map(|rule| format!("{}\n", rule.removal())).collect();
        if !removals.is_empty() {
            let start = format!("*{}\n", table.name.as_str());
            let rest = rules.strip_prefix(&start).unwrap_or("COMMIT\n");
            *rules = format!("{start}{removals}{rest}");
        }
    }
    [rules, policies].concat().concat()
}

/// Says which rules of others [`restore`] removes.
pub(super) fn removed_rules(family: Family, tables: &[Table], saved: &Saved) -> Vec<String> {
    let found = |table: &Table| {
        let saved = saved.table(table.name.as_str())?;
        Some(misplaced(table, saved).into_iter().map(|rule| rule.line()).collect::<Vec<_>>())
    };
    let lines = tables.iter().filter_map(found).flatten();
    lines.map(|line| format!("{}: {line}", family.iptables())).collect()
}

/// The restore text from known tables to other ones, if only our own chains change; otherwise `None`.
pub(super) fn step(held: &[Table], tables: &[Table]) -> Option<String> {
    let mut text = String::new();
    for (old, new) in held.iter().zip(tables) {
        let names = |table: &Table| table.chains.iter().map(|chain| chain.name).collect::<Vec<_>>();
        if names(old) != names(new)
            || old.jumps != new.jumps
            || old.last != new.last
            || old.dropping != new.dropping
        {
            return None;
        }
        let changed = old.chains.iter().zip(&new.chains).filter(|(old, new)| old != new);
        let _ = write!(text, "{}", render(new, &Edits::chains(changed.map(|(_, new)| new.name).collect())));
    }
    Some(text)
}

/// The restore text that puts a table in force without reading it. The jumps `held` are there: they are
/// removed and inserted again, so none is there twice. `DOCKER-USER` is left alone, because creating it would
/// flush its user's rules.
pub(super) fn overwrite(table: &Table, held: &[(ForeignChain, ChainName)]) -> String {
    let insert = jumps_to_overwrite(table).collect();
    let edits = Edits { create: Vec::new(), insert, append: Vec::new(), ..Edits::fresh(table) };
    render(table, &Edits { remove: held.to_vec(), ..edits })
}

/// The jumps that [`overwrite`] inserts.
pub(super) fn jumps_to_overwrite(table: &Table) -> impl Iterator<Item = (ForeignChain, ChainName)> {
    table.jumps.iter().copied().filter(|&(parent, _)| parent != ForeignChain::DockerUser)
}

/// Those of our tables that are switched off.
pub(super) fn dormant(tables: &[Table], saved: &Saved) -> Vec<&'static str> {
    let names = tables.iter().map(|table| table.name.as_str());
    names.filter(|name| saved.table(name).is_some_and(SavedTable::is_dormant)).collect()
}

fn edits(table: &Table, saved: Option<&SavedTable>) -> Edits {
    let Some(saved) = saved else { return Edits::fresh(table) };
    let mut edits = Edits::chains(
        table.chains.iter().filter(|chain| !holds_chain(saved, chain)).map(|chain| chain.name).collect(),
    );
    edits.empty = stale(table, saved);
    edits.policies = table.dropping.iter().any(|parent| saved.policy(parent.as_str()) != Some("DROP"));
    for &(parent, chain) in &table.jumps {
        let Some(rules) = saved.rules(parent.as_str()) else {
            // A built-in chain exists as soon as its table does.
            if parent == ForeignChain::DockerUser {
                edits.create.push(parent);
            }
            edits.insert.push((parent, chain));
            continue;
        };
        let places = places(rules, chain);
        if places.len() != 1 || !comes_first(parent, rules, places[0]) {
            edits.remove.extend(places.iter().map(|_| (parent, chain)));
            edits.insert.push((parent, chain));
        }
    }
    for &(parent, chain) in &table.last {
        let rules = saved.rules(parent.as_str()).unwrap_or_default();
        let places = places(rules, chain);
        if places != [rules.len().wrapping_sub(1)] {
            edits.remove.extend(places.iter().map(|_| (parent, chain)));
            edits.append.push((parent, chain));
        }
    }
    edits
}

fn holds_chain(saved: &SavedTable, chain: &Chain) -> bool {
    saved.rules(chain.name.as_str()).is_some_and(|rules| rules.iter().eq(wanted(chain).iter()))
}

fn wanted(chain: &Chain) -> Vec<String> {
    chain.rules.iter().map(|rule| canonical(&rule.to_string())).collect()
}

/// Our chains that this ruleset does not use, but that still hold rules.
fn stale(table: &Table, saved: &SavedTable) -> BTreeSet<ChainName> {
    let ours = |name: &ChainName| table.chains.iter().any(|chain| chain.name == *name);
    ChainName::ALL
        .into_iter()
        .filter(|name| !ours(name) && saved.rules(name.as_str()).is_some_and(|rules| !rules.is_empty()))
        .collect()
}

fn places(rules: &[String], chain: ChainName) -> Vec<usize> {
    let jump = format!("-j {chain}");
    rules.iter().enumerate().filter(|(_, rule)| **rule == jump).map(|(place, _)| place).collect()
}

/// Whether our jump is first, or only Docker's jump to `DOCKER-USER` stands before it: our jump is first
/// there too.
fn comes_first(parent: ForeignChain, rules: &[String], place: usize) -> bool {
    rules[..place].iter().all(|rule| is_dockers_jump(parent, rule))
}

fn is_dockers_jump(parent: ForeignChain, rule: &str) -> bool {
    parent == ForeignChain::Forward && rule.strip_prefix("-j ") == Some(ForeignChain::DockerUser.as_str())
}

/// Every difference between `tables` and what the kernel holds, one line each, for people.
pub(super) fn differences(family: Family, tables: &[Table], saved: &Saved) -> Vec<String> {
    let tool = family.iptables();
    tables
        .iter()
        .flat_map(|table| {
            let found = match saved.table(table.name.as_str()) {
                Some(saved) => table_differences(table, saved, Places::Exact),
                None => vec!["the table is not there".to_owned()],
            };
            let name = table.name.as_str();
            found.into_iter().map(move |line| format!("{tool} {name}: {line}"))
        })
        .collect()
}

/// Whether the place of a jump in its chain counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Places {
    /// In every chain.
    Exact,
    /// In every chain but FORWARD of the table filter, where container engines insert their own rules.
    NotInFilterForward,
}

/// Whether the only differences are the places of our jumps in FORWARD of the table filter. Then nothing was
/// open, because our jump in the table mangle gives the same verdicts first.
pub(super) fn only_moved(tables: &[Table], saved: &Saved) -> bool {
    tables.iter().all(|table| {
        let saved = saved.table(table.name.as_str());
        saved.is_some_and(|saved| table_differences(table, saved, Places::NotInFilterForward).is_empty())
    })
}

fn table_differences(table: &Table, saved: &SavedTable, places_count: Places) -> Vec<String> {
    let anywhere = |parent| {
        let engines = table.name == TableName::Filter && parent == ForeignChain::Forward;
        engines && places_count == Places::NotInFilterForward
    };
    let mut lines = Vec::new();
    if saved.is_dormant() {
        lines.push("the table is switched off (flags dormant): no packet meets its rules".to_owned());
    }
    for parent in &table.dropping {
        let policy = saved.policy(parent.as_str()).unwrap_or("missing");
        if policy != "DROP" {
            lines.push(format!("the policy of {} is {policy}, not DROP", parent.as_str()));
        }
    }
    for &(parent, chain) in &table.jumps {
        let rules = saved.rules(parent.as_str()).unwrap_or_default();
        let places = places(rules, chain);
        let name = parent.as_str();
        match places[..] {
            [] => lines.push(format!("{name} does not jump to {chain}")),
            [place] if comes_first(parent, rules, place) || anywhere(parent) => {}
            [place] => {
                let before = rules.get(..place).unwrap_or_default();
                let other = before.iter().find(|rule| !is_dockers_jump(parent, rule));
                let foreign =
                    other.map_or(String::new(), |rule| format!(": -A {name} {rule} stands before it"));
                lines.push(format!(
                    "the jump from {name} to {chain} is rule {}, not the first{foreign}",
                    place + 1
                ));
            }
            _ => lines.push(format!("{name} jumps to {chain} {} times", places.len())),
        }
    }
    for &(parent, chain) in &table.last {
        let rules = saved.rules(parent.as_str()).unwrap_or_default();
        let (places, moved, parent) = (places(rules, chain), anywhere(parent), parent.as_str());
        match places[..] {
            [] => lines.push(format!("{parent} does not jump to {chain}")),
            [place] if place + 1 == rules.len() || moved => {}
            [place] => {
                lines.push(format!("the jump from {parent} to {chain} is rule {}, not the last", place + 1))
            }
            _ => lines.push(format!("{parent} jumps to {chain} {} times", places.len())),
        }
    }
    lines.extend(table.chains.iter().flat_map(|chain| chain_differences(chain, saved)));
    lines.extend(stale(table, saved).into_iter().map(|name| format!("{name} should be empty")));
    lines
}

fn chain_differences(chain: &Chain, saved: &SavedTable) -> Vec<String> {
    let name = chain.name;
    let Some(held) = saved.rules(name.as_str()) else { return vec![format!("there is no chain {name}")] };
    let wanted = wanted(chain);
    if held == wanted {
        return Vec::new();
    }
    let missing =
        wanted.iter().filter(|rule| !held.contains(rule)).map(|rule| format!("missing: -A {name} {rule}"));
    let foreign =
        held.iter().filter(|rule| !wanted.contains(rule)).map(|rule| format!("foreign: -A {name} {rule}"));
    let lines: Vec<String> = missing.chain(foreign).collect();
    if lines.is_empty() { vec![format!("the rules of {name} are out of order or doubled")] } else { lines }
}

/// The rules that the article's script puts into `DOCKER-USER`, if all three are there.
pub(super) fn articles_rules(saved: &Saved) -> Vec<&'static str> {
    const RULES: [&str; 3] =
        ["-o tun+ -j ACCEPT", "-i tun+ -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "-j DROP"];
    let held = saved.table("filter").and_then(|table| table.rules(ForeignChain::DockerUser.as_str()));
    let all = held.is_some_and(|held| RULES.iter().all(|rule| held.contains(&canonical(rule))));
    if all { RULES.to_vec() } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::last_resort;

    fn sections(text: &str) -> Vec<Vec<&str>> {
        text.split_inclusive("COMMIT\n").map(|section| section.lines().collect()).collect()
    }

    #[test]
    fn policies_come_last_and_apart_and_only_where_they_are_not_held() {
        let (ruleset, policies) = (last_resort(), [":INPUT DROP", ":FORWARD DROP", ":OUTPUT DROP"]);
        for family in Family::ALL {
            let tables = ruleset.family(family);
            let (sets, text) =
                (|line: &&str| line.contains(" DROP [0:0]"), restore(tables, &Saved::default()));
            let mut sections = sections(&text);
            let last = sections.pop().unwrap_or_default();
            assert_eq!(
                last,
                ["*filter", ":INPUT DROP [0:0]", ":FORWARD DROP [0:0]", ":OUTPUT DROP [0:0]", "COMMIT"]
            );
            assert_eq!(sections.len(), tables.len(), "{text}");
            assert!(!sections.concat().iter().any(sets), "{text}");

            let held = format!("*filter\n{} [0:0]\nCOMMIT\n", policies.join(" [0:0]\n"));
            let text = restore(tables, &Saved::parse(&held).unwrap());
            assert!(text.contains("-I OUTPUT 1") && !text.lines().any(|line| sets(&line)), "{text}");
        }
    }
}
