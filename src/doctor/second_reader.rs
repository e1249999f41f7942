//! A second reader of iptables: the crate `iptables`, which shares no code with tunwarden's own parser.
//!
//! The crate starts programs itself and waits for them without a timeout. So a separate process reads: this program
//! again, which is killed with all its child processes when its time is over. Nothing is written with the crate.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use iptables::IPTables;
use serde::{Deserialize, Serialize};

use crate::config::Backend;
use crate::firewall::{Dump, Saved, iptables_program};
use crate::net::Family;
use crate::policy::{ChainName, TableName, last_resort};
use crate::system::program::run_self;

/// How long the second reader may take before it is killed.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The result of a comparison of both readers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecondReading {
    /// There was no comparison: iptables is not a configured layer, or this user may not read its rules.
    NotAsked,
    /// Both readers see the same.
    Agrees,
    /// They see different things: one line for each difference.
    Disagrees(Vec<String>),
    /// The second reader gave no answer, for this reason.
    Failed(String),
}

/// Whether tunwarden's own reader has found the rules in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnVerdict {
    /// No difference was found.
    InForce,
    /// Differences were found, or the rules could not be read.
    NotInForce,
}

/// One of tunwarden's chains, or a jump to one, in iptables or ip6tables.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Item {
    family: String,
    table: String,
    chain: String,
    /// The chain to which the jump leads; `None` for the chain itself.
    to: Option<String>,
}

/// The items about which the second reader is asked, with one program.
#[derive(Debug, Serialize, Deserialize)]
struct Question {
    program: PathBuf,
    items: Vec<Item>,
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { family, table, chain, to } = self;
        match to {
            Some(to) => write!(f, "{family} {table}: the jump from {chain} to {to}"),
            None => write!(f, "{family} {table}: the chain {chain}"),
        }
    }
}

/// Compares what both readers see of tunwarden's chains and jumps in one backend of iptables. Another program may
/// change them between the two readings, so a difference counts only if it is seen twice.
pub async fn compare(backend: Backend, verdict: OwnVerdict) -> SecondReading {
    let mut result = compare_once(backend, verdict).await;
    if matches!(result, Ok(ref lines) if !lines.is_empty()) {
        result = compare_once(backend, verdict).await;
    }
    match result {
        Ok(lines) if lines.is_empty() => SecondReading::Agrees,
        Ok(lines) => SecondReading::Disagrees(lines),
        Err(why) => SecondReading::Failed(why),
    }
}

async fn compare_once(backend: Backend, verdict: OwnVerdict) -> Result<Vec<String>, String> {
    let dump = Dump::take(backend).await.map_err(|error| crate::describe::describe(&error))?;
    let mut first = BTreeSet::new();
    let mut questions = Vec::new();
    for family in Family::ALL {
        let saved = Saved::parse(dump.text(family)).map_err(|error| error.to_string())?;
        first.extend(wanted(family).into_iter().filter(|item| holds(&saved, item)));
        // Older releases of iptables create a table when they are asked about it.
        let items: Vec<Item> =
            wanted(family).into_iter().filter(|item| saved.table(&item.table).is_some()).collect();
        let program = iptables_program(backend, family);
        if let Some(program) = program.filter(|_| !items.is_empty()) {
            questions.push(Question { program, items });
        }
    }
    let second = ask(&questions).await?;
    Ok(disagreements(&first, &second, verdict))
}

/// All chains that may be tunwarden's, and all of its jumps.
fn wanted(family: Family) -> Vec<Item> {
    let item = |table: TableName, chain: &str, to: Option<ChainName>| Item {
        family: family.iptables().to_owned(),
        table: table.as_str().to_owned(),
        chain: chain.to_owned(),
        to: to.map(|to| to.as_str().to_owned()),
    };
    let ours = last_resort();
    let of_table = |table: &crate::policy::Table| {
        let chains = ChainName::ALL.into_iter().map(|chain| item(table.name, chain.as_str(), None));
        let jumps = table.jumps.iter().chain(&table.last);
        let jumps = jumps.map(|(hook, chain)| item(table.name, hook.as_str(), Some(*chain)));
        chains.chain(jumps).collect::<Vec<_>>()
    };
    ours.family(family).iter().flat_map(of_table).collect()
}

/// Whether tunwarden's own reader sees this item.
fn holds(saved: &Saved, item: &Item) -> bool {
    let rules = saved.table(&item.table).and_then(|table| table.rules(&item.chain));
    match &item.to {
        None => rules.is_some(),
        Some(to) => rules.is_some_and(|rules| rules.contains(&format!("-j {to}"))),
    }
}

fn disagreements(first: &BTreeSet<Item>, second: &BTreeSet<Item>, verdict: OwnVerdict) -> Vec<String> {
    let unseen = first.difference(second).map(|item| format!("only our own reader sees {item}"));
    let unknown = second.difference(first).map(|item| format!("only the second reader sees {item}"));
    let mut lines: Vec<String> = unseen.chain(unknown).collect();
    if verdict == OwnVerdict::InForce {
        let jumps = Family::ALL.into_iter().flat_map(wanted).filter(|item| item.to.is_some());
        let missing = jumps.filter(|item| !first.contains(item) && !second.contains(item));
        lines.extend(missing.map(|item| format!("the rules are said to be in force, without {item}")));
    }
    lines
}

/// Lets a separate process answer the questions.
async fn ask(questions: &[Question]) -> Result<BTreeSet<Item>, String> {
    if questions.is_empty() {
        return Ok(BTreeSet::new());
    }
    let text = serde_json::to_vec(questions).map_err(|error| error.to_string())?;
    let output =
        run_self(TIMEOUT, &["doctor", "--second-reader"], &text).await.map_err(|error| {
            match error.is_timeout() {
                true => format!("iptables did not answer it within {} seconds", TIMEOUT.as_secs()),
                false => format!("{:#}", anyhow::Error::from(error)),
            }
        })?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().chars().take(500).collect());
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("its answer cannot be read: {error}"))
}

/// The second reader itself: reads questions as text and answers with the items that it sees.
///
/// # Errors
/// Something could not be read.
pub fn answer(questions: &str) -> Result<String, String> {
    let questions: Vec<Question> = serde_json::from_str(questions).map_err(|error| error.to_string())?;
    let mut seen = BTreeSet::new();
    for question in questions {
        seen.extend(read(question)?);
    }
    serde_json::to_string(&seen).map_err(|error| error.to_string())
}

fn read(question: Question) -> Result<BTreeSet<Item>, String> {
    let name = question.program.to_string_lossy().into_owned();
    // The crate needs a name that lives as long as the process, which ends soon.
    let tool = IPTables { cmd: name.clone().leak(), has_check: true, has_wait: true, is_numeric: true };
    let mut chains: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for item in question.items {
        if !chains.contains_key(&item.table) {
            let listed = tool.list_chains(&item.table).map_err(|error| format!("{name}: {error}"))?;
            // If a program fails, the crate returns an empty table.
            if !listed.iter().any(|chain| chain == "OUTPUT") {
                return Err(format!("{name} cannot list the table {}", item.table));
            }
            chains.insert(item.table.clone(), listed);
        }
        let is_there = match &item.to {
            None => chains.get(&item.table).is_some_and(|listed| listed.contains(&item.chain)),
            Some(to) => tool
                .exists(&item.table, &item.chain, &format!("-j {to}"))
                .map_err(|error| format!("{name}: {error}"))?,
        };
        if is_there {
            seen.insert(item);
        }
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a family holds while the last resort is in force, in the format of `iptables-save`.
    fn locked(family: Family) -> String {
        let jumps = |table: &crate::policy::Table| {
            let jumps = table.jumps.iter().chain(&table.last);
            jumps.map(|(hook, chain)| format!("-A {} -j {chain}\n", hook.as_str())).collect::<String>()
        };
        let chains = ":OUTPUT DROP [0:0]\n:VPN_LAN - [0:0]\n";
        let ours = last_resort();
        let tables = ours.family(family).iter();
        tables.map(|table| format!("*{}\n{chains}{}COMMIT\n", table.name.as_str(), jumps(table))).collect()
    }

    fn seen_by_us(family: Family, text: &str) -> BTreeSet<Item> {
        let saved = Saved::parse(text).unwrap();
        wanted(family).into_iter().filter(|item| holds(&saved, item)).collect()
    }

    fn both() -> BTreeSet<Item> {
        Family::ALL.into_iter().flat_map(|family| seen_by_us(family, &locked(family))).collect()
    }

    #[test]
    fn readers_that_see_the_same_agree() {
        assert_eq!(disagreements(&both(), &both(), OwnVerdict::InForce), [""; 0]);
        let nothing = BTreeSet::new();
        assert_eq!(disagreements(&nothing, &nothing, OwnVerdict::NotInForce), [""; 0]);
    }

    #[test]
    fn what_only_one_reader_sees_is_named() {
        let all = both();
        for item in &all {
            let without: BTreeSet<Item> = all.iter().filter(|other| *other != item).cloned().collect();
            let lines = disagreements(&all, &without, OwnVerdict::InForce);
            assert_eq!(lines, [format!("only our own reader sees {item}")]);
            let lines = disagreements(&without, &all, OwnVerdict::InForce);
            assert_eq!(lines, [format!("only the second reader sees {item}")]);
        }
        assert_eq!(all.iter().filter(|item| item.to.is_some()).count(), 12);
    }

    #[test]
    fn rules_in_force_that_no_reader_sees_are_a_disagreement() {
        let nothing = BTreeSet::new();
        let lines = disagreements(&nothing, &nothing, OwnVerdict::InForce);
        assert!(lines.iter().any(|line| line.contains("from OUTPUT to OUTPUT_VPN_KILL_SWITCH")), "{lines:?}");
    }

    #[test]
    fn a_jump_with_a_condition_is_not_our_jump() {
        let text = "*filter\n:OUTPUT DROP [0:0]\n-A OUTPUT -o eth0 -j OUTPUT_VPN_KILL_SWITCH\nCOMMIT\n";
        assert!(seen_by_us(Family::V4, text).is_empty());
    }
}
