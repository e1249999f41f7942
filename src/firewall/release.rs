//! How our rules are removed from one family's tables, and what has to stay. Pure.

use super::policies::{Before, Kept};
use super::saved::{Saved, SavedTable, leads_to};
use crate::policy::{ChainName, ForeignChain, Table, TableName};

/// What is left of us, and what stays closed, when our rules are out of the kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Released {
    /// Chains that still drop what no rule accepts.
    pub closed: Vec<StillClosed>,
    /// Chains of ours that rules of others jump to. They are empty.
    pub left: Vec<LeftChain>,
}

/// A built-in chain of filter whose policy stays DROP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StillClosed {
    /// The program that shows and opens it: `iptables`, or `ip6tables-legacy`.
    pub program: String,
    /// The built-in chain.
    pub chain: ForeignChain,
    /// The reason why its policy stays DROP.
    pub why: Kept,
}

/// A chain of ours that cannot be removed, because a rule of another program jumps to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftChain {
    /// The program that shows and removes it: `iptables`, or `ip6tables-legacy`.
    pub program: String,
    /// The table of the chain.
    pub table: TableName,
    /// The name of the chain.
    pub chain: ChainName,
    /// The rules that jump to it: `-A FORWARD -i wlan1 -j RELATED_AND_ESTABLISHED`. None if iptables does not
    /// show what refers to it, such as a verdict map of nftables.
    pub rules: Vec<String>,
}

impl Released {
    /// Both together.
    pub(super) fn and(mut self, other: Self) -> Self {
        for one in other.closed {
            let is_known = |known: &StillClosed| (&known.program, known.chain) == (&one.program, one.chain);
            if !self.closed.iter().any(is_known) {
                self.closed.push(one);
            }
        }
        self.left.extend(other.left);
        self
    }
}

/// What removes everything of ours from one family.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Release {
    /// The restore text; empty if there is nothing of ours.
    pub(super) text: String,
    /// The same without the removal of chains.
    pub(super) emptied: String,
    /// The chains that `text` removes.
    pub(super) removed: Vec<(TableName, ChainName)>,
    /// What stays.
    pub(super) released: Released,
}

/// What removes everything of ours from the tables of one family, which `program` shows.
pub(super) fn release(program: &str, tables: &[Table], saved: &Saved, before: &Before) -> Release {
    let mut all = Release::default();
    for table in tables {
        let Some(saved) = saved.table(table.name.as_str()) else { continue };
        let of_table = release_table(program, table, saved, before);
        all.text.push_str(&of_table.text);
        all.emptied.push_str(&of_table.emptied);
        all.removed.extend(of_table.removed);
        all.released = all.released.and(of_table.released);
    }
    all
}

/// The restore text of one table; empty without lines.
fn section(table: TableName, lines: &[String]) -> String {
    if lines.is_empty() {
        String::new()
    } else {
        format!("*{}\n{}\nCOMMIT\n", table.as_str(), lines.join("\n"))
    }
}

fn release_table(program: &str, table: &Table, saved: &SavedTable, before: &Before) -> Release {
    let ours: Vec<ChainName> =
        ChainName::ALL.into_iter().filter(|name| saved.rules(name.as_str()).is_some()).collect();
    let drops = |hook: &&ForeignChain| saved.policy(hook.as_str()) == Some("DROP");
    // If nothing of ours is there, the policies are those of other programs.
    let may_open = !ours.is_empty() || before.is_after_our_rules();
    let (mut released, mut lines) = (Released::default(), Vec::new());
    for &chain in table.dropping.iter().filter(drops) {
        let why = before.keeps_closed(chain, saved);
        match why.or_else(|| (!may_open).then_some(Kept::Unknown)) {
            Some(why) => {
                released.closed.push(StillClosed { program: program.to_owned(), chain, why });
            }
            None => lines.push(format!(":{} ACCEPT [0:0]", chain.as_str())),
        }
    }
    for &(hook, chain) in table.jumps.iter().chain(&table.last) {
        let jump = format!("-j {chain}");
        let count =
            saved.rules(hook.as_str()).unwrap_or_default().iter().filter(|rule| **rule == jump).count();
        lines.extend(std::iter::repeat_n(format!("-D {} {jump}", hook.as_str()), count));
    }
    // All of them are emptied before one is removed, because they jump to one another.
    lines.extend(ours.iter().map(|name| format!("-F {name}")));
    let emptied = section(table.name, &lines);
    let mut removed = Vec::new();
    for chain in ours {
        let rules = foreign_jumps(table, saved, chain);
        match rules.is_empty() {
            true => removed.push((table.name, chain)),
            false => {
                let program = program.to_owned();
                released.left.push(LeftChain { program, table: table.name, chain, rules });
            }
        }
    }
    lines.extend(removed.iter().map(|(_, chain)| format!("-X {chain}")));
    if table.name == TableName::Filter && docker_user_is_ours(saved) {
        lines.push(format!("-X {}", ForeignChain::DockerUser.as_str()));
    }
    Release { text: section(table.name, &lines), emptied, removed, released }
}

/// The restore text that removes one chain.
pub(super) fn removal(table: TableName, chain: ChainName) -> String {
    section(table, &[format!("-X {chain}")])
}

/// Rules of others that lead to a chain of ours.
fn foreign_jumps(table: &Table, saved: &SavedTable, chain: ChainName) -> Vec<String> {
    let is_our_jump = |from: &str, rule: &str| {
        let jumps = table.jumps.iter().chain(&table.last);
        let mut jumps = jumps.filter(|(_, to)| *to == chain);
        jumps.any(|(hook, to)| hook.as_str() == from && rule == format!("-j {to}"))
    };
    let others = saved.chains().filter(|(from, _)| ChainName::named(from).is_none());
    let rules = others.flat_map(|(from, rules)| rules.iter().map(move |rule| (from, rule)));
    let rules = rules.filter(|(from, rule)| leads_to(rule, chain.as_str()) && !is_our_jump(from, rule));
    rules.map(|(from, rule)| format!("-A {from} {rule}")).collect()
}

/// Whether we made `DOCKER-USER`: no rule leads to it, because Docker has not run, and it holds only our jump.
fn docker_user_is_ours(saved: &SavedTable) -> bool {
    let name = ForeignChain::DockerUser.as_str();
    let jump = format!("-j {}", ChainName::DockerVpnKillSwitch);
    saved.rules(name).is_some_and(|rules| rules.iter().all(|rule| *rule == jump)) && !saved.leads_to(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Family;
    use crate::policy::last_resort;

    fn released_after(text: &str, before: &Before) -> (String, Released) {
        let saved = Saved::parse(text).unwrap();
        let release = release("iptables", last_resort().family(Family::V4), &saved, before);
        (release.text, release.released)
    }

    fn released(text: &str) -> (String, Released) {
        released_after(text, &Before::open())
    }

    #[test]
    fn policies_that_no_rules_of_ours_came_with_stay_and_are_named() {
        let text = "*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT DROP [0:0]\nCOMMIT\n";
        let (text, released) = released_after(text, &Before::default());
        let closed = |chain| StillClosed { program: "iptables".to_owned(), chain, why: Kept::Unknown };
        assert_eq!(released.closed, [closed(ForeignChain::Input), closed(ForeignChain::Output)]);
        assert_eq!(text, "");
    }

    #[test]
    fn a_chain_that_others_jump_to_stays_empty_and_is_named() {
        let (text, released) = released(
            "*filter\n:OUTPUT DROP [0:0]\n:RELATED_AND_ESTABLISHED - [0:0]\n:VPN_LAN - [0:0]\n:MINE - [0:0]\n\
             -A INPUT -j RELATED_AND_ESTABLISHED\n-A FORWARD -i wlan1 -j RELATED_AND_ESTABLISHED\n\
             -A MINE -g VPN_LAN\n-A RELATED_AND_ESTABLISHED -j VPN_LAN\nCOMMIT\n",
        );
        for line in ["-D INPUT -j RELATED_AND_ESTABLISHED", "-F RELATED_AND_ESTABLISHED", "-F VPN_LAN"] {
            assert!(text.lines().any(|one| one == line), "{line}: {text}");
        }
        assert!(!text.contains("-X") && text.contains(":OUTPUT ACCEPT"), "{text}");
        let rules: Vec<&str> =
            released.left.iter().flat_map(|left| &left.rules).map(String::as_str).collect();
        assert_eq!(rules, ["-A MINE -g VPN_LAN", "-A FORWARD -i wlan1 -j RELATED_AND_ESTABLISHED"]);
    }

    #[test]
    fn chains_that_only_we_use_are_removed() {
        let (text, released) =
            released("*filter\n:VPN_LAN - [0:0]\n:VPN_DNS - [0:0]\n-A VPN_DNS -j VPN_LAN\nCOMMIT\n");
        assert!(text.contains("-X VPN_LAN\n") && text.contains("-X VPN_DNS\n"), "{text}");
        assert_eq!(released, Released::default());
    }

    #[test]
    fn policies_of_ours_are_opened_although_our_rules_were_flushed() {
        let (text, _) = released("*filter\n:INPUT DROP [0:0]\n:OUTPUT DROP [0:0]\nCOMMIT\n");
        assert!(
            text.contains(":INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT") || text.contains(":OUTPUT ACCEPT"),
            "{text}"
        );
        let (text, _) = released("*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n");
        assert_eq!(text, "");
    }
}
