//! Parses what `iptables-save` prints. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::mark::Mark;
use crate::policy::{ChainName, TableName};

/// The tables of one family, as iptables-save prints them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Saved {
    tables: BTreeMap<String, SavedTable>,
}

/// One table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SavedTable {
    policies: BTreeMap<String, String>,
    marks: BTreeMap<String, Mark>,
    rules: BTreeMap<String, Vec<String>>,
    dormant: bool,
}

/// A line that is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of what the kernel holds cannot be understood: {text:?}")]
pub struct SavedError {
    line: usize,
    text: String,
}

impl Saved {
    /// Parses the output of `iptables-save` or `ip6tables-save`.
    ///
    /// # Errors
    /// A line that is not understood. Then nothing of the output counts.
    pub fn parse(text: &str) -> Result<Self, SavedError> {
        let mut saved = Self::default();
        let mut current: Option<(String, SavedTable)> = None;
        for (number, line) in text.lines().enumerate() {
            let error = || SavedError { line: number + 1, text: line.chars().take(120).collect() };
            match (line.chars().next(), &mut current) {
                (None | Some('#'), _) => {}
                (Some('*'), None) => current = Some((line[1..].to_owned(), SavedTable::default())),
                (Some(':'), Some((_, table))) => table.chain(line).ok_or_else(error)?,
                (Some('-'), Some((_, table))) => table.rule(line).ok_or_else(error)?,
                (Some('C'), Some(_)) if line == "COMMIT" => saved.tables.extend(current.take()),
                (Some(_), _) => return Err(error()),
            }
        }
        // The output was cut off. What is missing is not known to be absent.
        match current {
            None => Ok(saved),
            Some((name, _)) => {
                Err(SavedError { line: text.lines().count(), text: format!("the table {name} has no end") })
            }
        }
    }

    /// A table, if it is there.
    pub fn table(&self, name: &str) -> Option<&SavedTable> {
        self.tables.get(name)
    }

    /// Whether rules of ours are in force. A chain that a release left behind is empty, and the article's
    /// scripts have chains of some of our names in the table filter.
    pub(super) fn has_our_rules(&self) -> bool {
        const ARTICLE: [ChainName; 3] = [
            ChainName::OutputVpnKillSwitch,
            ChainName::RelatedAndEstablished,
            ChainName::DockerVpnKillSwitch,
        ];
        let holds = |table: TableName, chain: &ChainName| {
            let rules = self.table(table.as_str()).and_then(|table| table.rules(chain.as_str()));
            let is_articles = table == TableName::Filter && ARTICLE.contains(chain);
            !is_articles && rules.is_some_and(|rules| !rules.is_empty())
        };
        TableName::ALL.into_iter().any(|table| ChainName::ALL.iter().any(|chain| holds(table, chain)))
    }

    pub(super) fn insert(&mut self, name: &str, table: SavedTable) {
        self.tables.insert(name.to_owned(), table);
    }

    pub(super) fn set_dormant(&mut self, name: &str) {
        if let Some(table) = self.tables.get_mut(name) {
            table.dormant = true;
        }
    }
}

impl SavedTable {
    /// A table with these chains: name, policy of a built-in chain, and rules.
    pub(super) fn of(chains: Vec<(String, Option<&str>, Vec<String>)>) -> Self {
        let mut table = Self::default();
        for (name, policy, rules) in chains {
            table.policies.extend(policy.map(|policy| (name.clone(), policy.to_owned())));
            table.rules.insert(name, rules);
        }
        table
    }

    /// Whether the table is switched off, so that no packet meets its rules (`flags dormant` of nft).
    pub fn is_dormant(&self) -> bool {
        self.dormant
    }

    fn chain(&mut self, line: &str) -> Option<()> {
        let mut words = line[1..].split(' ');
        let (name, policy) = (words.next()?, words.next()?);
        if policy != "-" {
            self.policies.insert(name.to_owned(), policy.to_owned());
            let mark = words.next().and_then(Mark::of);
            self.marks.extend(mark.map(|mark| (name.to_owned(), mark)));
        }
        self.rules.entry(name.to_owned()).or_default();
        Some(())
    }

    fn rule(&mut self, line: &str) -> Option<()> {
        let (name, rule) = line.strip_prefix("-A ")?.split_once(' ').unwrap_or((&line[3..], ""));
        self.rules.entry(name.to_owned()).or_default().push(canonical(rule));
        Some(())
    }

    /// The policy of a built-in chain.
    pub fn policy(&self, chain: &str) -> Option<&str> {
        self.policies.get(chain).map(String::as_str)
    }

    /// The mark of that policy; `None` if its counters are not known.
    pub(super) fn mark(&self, chain: &str) -> Option<Mark> {
        self.marks.get(chain).copied()
    }

    /// The rules of a chain in canonical form, if the chain is there.
    pub fn rules(&self, chain: &str) -> Option<&[String]> {
        self.rules.get(chain).map(Vec::as_slice)
    }

    /// Every chain with its rules.
    pub fn chains(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.rules.iter().map(|(name, rules)| (name.as_str(), rules.as_slice()))
    }

    /// The built-in chains, if the table holds nothing else: no other chain, no rule, and no policy but
    /// ACCEPT.
    pub fn nothing_but(&self) -> Option<Vec<&str>> {
        let open = self.policies.values().all(|policy| policy == "ACCEPT");
        let bare =
            self.rules.iter().all(|(name, rules)| rules.is_empty() && self.policies.contains_key(name));
        (open && bare).then(|| self.policies.keys().map(String::as_str).collect())
    }

    /// Whether any rule of the table leads to `chain`.
    pub fn leads_to(&self, chain: &str) -> bool {
        self.rules.values().flatten().any(|rule| leads_to(rule, chain))
    }

    /// The chains that packets in one of the chains `from` can come to, with their rules, `from` included. Our
    /// own chains are left out, and what only they lead to.
    pub(super) fn reached_from<'s>(&'s self, from: &[&'s str]) -> Vec<(&'s str, &'s [String])> {
        let (mut seen, mut next, mut reached) = (BTreeSet::new(), from.to_vec(), Vec::new());
        while let Some(chain) = next.pop() {
            if ChainName::named(chain).is_some() || !seen.insert(chain) {
                continue;
            }
            let rules = self.rules(chain).unwrap_or_default();
            let targets = rules.iter().filter_map(|rule| rule.split(' ').next_back());
            next.extend(targets.filter(|target| self.rules(target).is_some()));
            reached.push((chain, rules));
        }
        reached
    }
}

/// Whether a rule jumps or goes to a chain.
pub(super) fn leads_to(rule: &str, chain: &str) -> bool {
    let head = rule.strip_suffix(chain);
    head.is_some_and(|head| ["-j ", "-g "].iter().any(|jump| head.ends_with(jump)))
}

/// The rules of one chain in what `iptables -S CHAIN` prints, in canonical form.
pub(super) fn rules_of(chain: &str, text: &str) -> Vec<String> {
    let start = format!("-A {chain} ");
    text.lines().filter_map(|line| line.strip_prefix(&start)).map(canonical).collect()
}

/// A rule in one spelling. Releases of iptables differ in the names of protocols.
pub fn canonical(rule: &str) -> String {
    let mut words = Vec::new();
    let mut after_protocol = false;
    for word in rule.split_whitespace() {
        words.push(match word {
            "1" if after_protocol => "icmp",
            "2" if after_protocol => "igmp",
            "6" if after_protocol => "tcp",
            "17" if after_protocol => "udp",
            "33" if after_protocol => "dccp",
            "132" if after_protocol => "sctp",
            "136" if after_protocol => "udplite",
            "58" | "icmpv6" | "icmp6" if after_protocol => "ipv6-icmp",
            other => other,
        });
        after_protocol = word == "-p";
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_not_trusted() {
        for bad in ["garbage", "*filter\n:INPUT\nCOMMIT", "*filter\n-X foo\nCOMMIT", "-A INPUT -j DROP"] {
            assert!(Saved::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_truncated_listing_is_an_error() {
        assert!(Saved::parse("*filter\n:INPUT DROP [0:0]\n").is_err());
        assert!(Saved::parse("*nat\nCOMMIT\n*filter\n:INPUT DROP [0:0]\n-A INPUT -j DR").is_err());
    }

    #[test]
    fn rules_and_policies_are_read() {
        let text =
            "# comment\n*filter\n:INPUT DROP [1:2]\n:X - [0:0]\n-A INPUT -j X\n-A X -p 17 -j DROP\nCOMMIT\n";
        let saved = Saved::parse(text).unwrap();
        let table = saved.table("filter").unwrap();
        assert_eq!(table.policy("INPUT"), Some("DROP"));
        assert_eq!(table.rules("X").unwrap(), ["-p udp -j DROP"]);
        assert!(table.leads_to("X") && !table.leads_to("INPUT"));
    }
}
