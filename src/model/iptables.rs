//! Reads the rules in the output of `iptables-save`, of every table and every program.

mod options;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use super::rule::{Action, Base, Chain, ChainType, Hook, Rule, SeenPackets, Table, Tool};
use super::sets::Sets;
use super::writes::{Write, Written};
use crate::net::Family;

/// A line of a listing that cannot be understood. Then nothing in the listing counts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of what {} prints cannot be understood: {text:?}", tool.as_str())]
pub struct ListingError {
    tool: Tool,
    line: usize,
    text: String,
}

/// The tables of one family in the output of `iptables-save`. `sets` are the sets that rules name.
///
/// # Errors
/// A line that is not understood, or a listing that has no end.
pub(super) fn tables(family: Family, listing: &str, sets: &Sets) -> Result<Vec<Table>, ListingError> {
    let tool = match family {
        Family::V4 => Tool::Iptables,
        Family::V6 => Tool::Ip6tables,
    };
    let mut done = Vec::new();
    let mut current: Option<Table> = None;
    for (number, line) in listing.lines().enumerate() {
        let error = || ListingError { tool, line: number + 1, text: line.chars().take(120).collect() };
        match (line.chars().next(), &mut current) {
            (None | Some('#'), _) => {}
            (Some('*'), None) => {
                let name = line[1..].to_owned();
                current =
                    Some(Table { tool, sees: SeenPackets::Only(family), name, chains: BTreeMap::new() });
            }
            (Some(':'), Some(table)) => declare(table, &line[1..]).ok_or_else(error)?,
            (Some('-'), Some(table)) => append(table, line, family, sets).ok_or_else(error)?,
            (Some('C'), Some(_)) if line == "COMMIT" => done.extend(current.take()),
            (Some(_), _) => return Err(error()),
        }
    }
    match current {
        None => Ok(done),
        Some(table) => {
            let text = format!("the table {} has no end", table.name);
            Err(ListingError { tool, line: listing.lines().count(), text })
        }
    }
}

fn declare(table: &mut Table, line: &str) -> Option<()> {
    let mut words = line.split(' ');
    let (name, policy) = (words.next()?, words.next()?);
    let base = match policy {
        "-" => None,
        "ACCEPT" => base(&table.name, name, true),
        "DROP" => base(&table.name, name, false),
        _ => return None,
    };
    table.chains.insert(name.to_owned(), Chain { base, rules: Vec::new() });
    Some(())
}

/// Where packets enter a built-in chain.
fn base(table: &str, chain: &str, accepts: bool) -> Option<Base> {
    let hook = match chain {
        "PREROUTING" => Hook::Prerouting,
        "INPUT" => Hook::Input,
        "FORWARD" => Hook::Forward,
        "OUTPUT" => Hook::Output,
        "POSTROUTING" => Hook::Postrouting,
        _ => return None,
    };
    // `NF_IP_PRI_…`
    let priority = match (table, hook) {
        ("raw", _) => -300,
        ("mangle", _) => -150,
        ("nat", Hook::Input | Hook::Postrouting) => 100,
        ("nat", _) => -100,
        ("security", _) => 50,
        _ => 0,
    };
    let kind = match (table, hook) {
        ("nat", _) => ChainType::Nat,
        ("mangle", Hook::Output) => ChainType::Route,
        _ => ChainType::Filter,
    };
    Some(Base { hook, kind, priority, devices: BTreeSet::new(), accepts })
}

fn append(table: &mut Table, line: &str, family: Family, sets: &Sets) -> Option<()> {
    let (name, text) = line.strip_prefix("-A ")?.split_once(' ').unwrap_or((&line[3..], ""));
    let rule = rule(text, family, sets, &|chain| table.chains.contains_key(chain))?;
    // iptables-save declares every chain first.
    table.chains.get_mut(name)?.rules.push(rule);
    Some(())
}

/// One rule, without `-A CHAIN`.
fn rule(text: &str, family: Family, sets: &Sets, is_chain: &dyn Fn(&str) -> bool) -> Option<Rule> {
    let words = words::words(text)?;
    let place = words.iter().position(|word| matches!(word.as_str(), "-j" | "-g"));
    let (matches, target) = words.split_at(place.unwrap_or(words.len()));
    let action = match target {
        [] => Action::Continue,
        [how, name, ..] if how == "-g" => Action::Goto(name.clone()),
        [_, name, ..] if is_chain(name) => Action::Jump(name.clone()),
        [_, name, ..] => action(name),
        [_] => return None,
    };
    let matches = options::matches(matches, family, sets)?;
    let writes = match (target, &action) {
        ([_, name, options @ ..], Action::Accept | Action::Continue | Action::Unknown(_)) => {
            Write::of_target(name, options)
        }
        _ => Vec::new(),
    };
    let writes = writes.into_iter().map(|write| Written { write, after: matches.len() }).collect();
    Some(Rule { text: text.to_owned(), matches, action, writes })
}

/// What a target does to a packet (iptables-extensions(8)).
fn action(target: &str) -> Action {
    match target {
        // A target of the nat table ends the table, and the packet passes.
        "ACCEPT" | "MASQUERADE" | "SNAT" | "DNAT" | "REDIRECT" | "NETMAP" => Action::Accept,
        "DROP" | "REJECT" => Action::Drop,
        "RETURN" => Action::Return,
        "LOG" | "NFLOG" | "ULOG" | "TRACE" | "AUDIT" | "MARK" | "CONNMARK" | "SECMARK" | "CONNSECMARK"
        | "CLASSIFY" | "TCPMSS" | "TCPOPTSTRIP" | "TTL" | "HL" | "DSCP" | "TOS" | "ECN" | "CHECKSUM"
        | "CT" | "NOTRACK" | "SET" | "IDLETIMER" | "RATEEST" | "LED" => Action::Continue,
        other => Action::Unknown(format!("-j {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::rule::Match;

    fn read(listing: &str) -> Result<Vec<Table>, ListingError> {
        tables(Family::V4, listing, &Sets::default())
    }

    #[test]
    fn a_listing_that_is_cut_or_is_none_is_an_error() {
        for bad in [
            "*filter\n:OUTPUT DROP [0:0]\n",
            "*filter\n:OUTPUT DROP [0:0]\n-A OUTPUT -j",
            "*filter\n:OUTPUT DROP [0:0]\n-A NEW -j DROP\nCOMMIT\n",
            "*filter\n:OUTPUT\nCOMMIT\n",
            "*filter\n:OUTPUT DROP [0:0]\n-A OUTPUT -m comment --comment \"open -j DROP\nCOMMIT\n",
            "nonsense",
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_not_known_is_named_and_nothing_else_is_lost() {
        let rule =
            "-o eth0 -m string --string \"a b\" --algo bm -p tcp -m tcp --dport 80 -j NFQUEUE --queue-num 1";
        let tables = read(&format!("*filter\n:OUTPUT DROP [0:0]\n-A OUTPUT {rule}\nCOMMIT\n")).unwrap();
        let rule = &tables[0].chains["OUTPUT"].rules[0];
        assert_eq!(rule.unknown(), ["-m string", "-j NFQUEUE"]);
        assert!(rule.matches.contains(&Match::protocol(6)), "{rule:?}");
        assert_eq!(tables[0].chains["OUTPUT"].base.as_ref().map(|base| base.hook), Some(Hook::Output));
    }

    #[test]
    fn every_line_that_the_policy_prints_is_understood() {
        let config = crate::config::Config::default();
        let situation = crate::vpn::Situation::default();
        let ruleset = crate::policy::ruleset(&config, &crate::policy::Owners::from([0]), &situation);
        for family in Family::ALL {
            for table in ruleset.family(family) {
                for rule in table.chains.iter().flat_map(|chain| &chain.rules) {
                    let text = rule.to_string();
                    let read =
                        super::rule(&text, family, &Sets::default(), &|name| name.contains('_')).unwrap();
                    // Whether this machine has asked depends on time, and only matters for packets that come in. An
                    // unknown part of a rule that answers or logs makes no difference, because a rule after it drops
                    // the packet.
                    let unknown = read.unknown();
                    let ends = ["-j REJECT", "-j NFLOG"].iter().any(|target| text.contains(target));
                    let is_fine = |name: &&str| name.starts_with("-m recent") || ends;
                    assert!(unknown.iter().all(is_fine), "{text}: {unknown:?}");
                }
            }
        }
    }
}
