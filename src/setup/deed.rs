//! What a script does to the rules that stand when it runs.

use std::collections::BTreeSet;

use super::command::{Program, is_check};
use super::shell::{self, Call};

/// What a script does to rules that stand already, the mildest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deed {
    /// It adds or deletes rules.
    Changes,
    /// It sets a policy to ACCEPT.
    Opens,
    /// It puts a saved set of rules in the place of all others.
    Restores,
    /// It flushes chains or the whole ruleset.
    Flushes,
}

impl Deed {
    /// For people: "it flushes rules".
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Changes => "changes firewall rules",
            Self::Opens => "sets policies to ACCEPT",
            Self::Restores => "puts a saved ruleset in the place of all rules",
            Self::Flushes => "flushes firewall rules",
        }
    }
}

/// The worst that a script does, and the other scripts that it runs by their whole paths.
pub fn deed(text: &str) -> (Option<Deed>, BTreeSet<String>) {
    let reading = shell::read(text);
    let calls = reading.calls.iter().filter_map(of_call);
    let unread = reading.unread.iter().filter_map(|unread| of_line(&unread.text));
    (calls.chain(unread).max(), reading.paths)
}

fn of_call(call: &Call) -> Option<Deed> {
    let has = |options: &[&str]| call.words.iter().any(|word| options.contains(&word.as_str()));
    match call.program {
        Program::Restore(_) if has(&["-t", "--test"]) => None,
        Program::Restore(_) if has(&["-n", "--noflush"]) => Some(Deed::Changes),
        Program::Restore(_) => Some(Deed::Restores),
        Program::Rules(_) if is_check(&call.words) => None,
        Program::Rules(_) if has(&["-F", "--flush", "-X", "--delete-chain"]) => Some(Deed::Flushes),
        Program::Rules(_) if has(&["-P", "--policy"]) && has(&["ACCEPT"]) => Some(Deed::Opens),
        Program::Rules(_) => Some(Deed::Changes),
    }
}

/// A line that the reader of scripts does not follow.
fn of_line(line: &str) -> Option<Deed> {
    let has = |words: &[&str]| words.iter().any(|word| line.contains(word));
    let firewall = ["iptables", "ip6tables", "nft ", "ufw ", "firewall-cmd", "netfilter-persistent"];
    let asks =
        ["nft list", "nft -a list", "ufw status", "--list", "iptables-save", "ip6tables-save", "nft monitor"];
    if !has(&firewall) || has(&asks) {
        None
    } else if has(&["flush", " -F", " -X", "ufw reset", "ufw disable"]) {
        Some(Deed::Flushes)
    } else if has(&["-restore", "nft -f", "netfilter-persistent", "ufw enable", "ufw reload", "--reload"]) {
        Some(Deed::Restores)
    } else {
        Some(Deed::Changes)
    }
}
