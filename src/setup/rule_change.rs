//! How a script changes the firewall rules that exist when it runs.

use std::collections::BTreeSet;

use super::command::{Program, is_check};
use super::shell::{self, Call, UNKNOWN};

/// How a script changes existing rules, the least severe change first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RuleChange {
    /// It adds or deletes rules.
    Edits,
    /// It sets a policy to ACCEPT.
    Opens,
    /// It replaces all rules with a saved ruleset.
    Restores,
    /// It flushes chains or the whole ruleset.
    Flushes,
}

impl RuleChange {
    /// A verb phrase for people: "flushes firewall rules".
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Edits => "changes firewall rules",
            Self::Opens => "sets policies to ACCEPT",
            Self::Restores => "replaces all rules with a saved ruleset",
            Self::Flushes => "flushes firewall rules",
        }
    }
}

/// The most severe change that a script makes, and the paths of other scripts that it runs.
pub fn worst_change(text: &str) -> (Option<RuleChange>, BTreeSet<String>) {
    let reading = shell::read(text);
    let calls = reading.calls.iter().filter_map(of_call);
    let unread = reading.unread.iter().filter_map(|unread| of_line(&unread.text));
    (calls.chain(unread).max(), reading.paths)
}

fn of_call(call: &Call) -> Option<RuleChange> {
    let has = |options: &[&str]| call.words.iter().any(|word| options.contains(&word.as_str()));
    if call.words.iter().any(|word| word == UNKNOWN) {
        // This line is already listed as not understood.
        return None;
    }
    match call.program {
        Program::Restore(_) if has(&["-t", "--test"]) => None,
        Program::Restore(_) if has(&["-n", "--noflush"]) => Some(RuleChange::Edits),
        Program::Restore(_) => Some(RuleChange::Restores),
        Program::Rules(_) if is_check(&call.words) => None,
        Program::Rules(_) if has(&["-F", "--flush", "-X", "--delete-chain"]) => Some(RuleChange::Flushes),
        Program::Rules(_) if has(&["-P", "--policy"]) && has(&["ACCEPT"]) => Some(RuleChange::Opens),
        Program::Rules(_) => Some(RuleChange::Edits),
    }
}

/// The change by a line that the shell reader does not understand.
fn of_line(line: &str) -> Option<RuleChange> {
    let line = line.replace("--force ", "");
    let has = |words: &[&str]| words.iter().any(|word| line.contains(word));
    let firewall = ["iptables", "ip6tables", "nft ", "ufw ", "firewall-cmd", "netfilter-persistent"];
    // The program may be in a variable: `$IPTABLES -F`, `${IPT6} -F`.
    let variable = ["$ipt", "${ipt", "$ip6t", "${ip6t"];
    let lower = line.to_lowercase();
    let asks =
        ["nft list", "nft -a list", "ufw status", "--list", "iptables-save", "ip6tables-save", "nft monitor"];
    let separates = |c: char| c.is_whitespace() || ";&|()'\"`".contains(c);
    let words: Vec<&str> = line.split(separates).filter(|word| !word.is_empty()).collect();
    if starts_a_firewall(&words) {
        Some(RuleChange::Restores)
    } else if line.contains("tunwarden release") {
        Some(RuleChange::Flushes)
    } else if !has(&firewall) && !variable.iter().any(|name| lower.contains(name)) || has(&asks) {
        None
    } else if has(&["flush", " -F", " -X", "ufw reset", "ufw disable"]) {
        Some(RuleChange::Flushes)
    } else if has(&["-restore", "nft -f", "netfilter-persistent", "ufw enable", "ufw reload", "--reload"]) {
        Some(RuleChange::Restores)
    } else {
        Some(RuleChange::Edits)
    }
}

/// Services that load their own firewall rules when they start.
const FIREWALLS: [&str; 11] = [
    "nftables",
    "netfilter-persistent",
    "iptables",
    "ip6tables",
    "iptables-persistent",
    "firewalld",
    "ufw",
    "ferm",
    "shorewall",
    "firehol",
    "arno-iptables-firewall",
];

/// Whether a command starts such a service: `systemctl restart nftables`, `service ufw reload`.
pub(super) fn starts_a_firewall(words: &[&str]) -> bool {
    let base = |word: &str| word.rsplit('/').next().unwrap_or_default().to_owned();
    let name = |word: &&str| {
        ["systemctl", "service"].contains(&base(word).as_str()) || word.starts_with("/etc/init.d/")
    };
    let starts = ["start", "restart", "try-restart", "reload", "force-reload", "reload-or-restart", "--now"];
    let Some(at) = words.iter().position(name) else { return false };
    let service = |word: &&str| FIREWALLS.contains(&base(word).trim_end_matches(".service"));
    let rest = words.get(at..).unwrap_or_default();
    rest.iter().any(|word| starts.contains(word)) && rest.iter().any(service)
}
