//! Reads the rules in the kernel, and compares them with those of the scripts.

use std::collections::BTreeSet;

use super::chains::{Chains, Direction, Effective, Origin, Source};
use super::machine::Machine;
use super::rule::{Rule, Target, is_of_another_program};
use super::saved::{self, Before};
use super::shell::Certainty;
use crate::net::Family;

/// Maximum number of differences that are reported one by one.
const MAX_DIFFERENCES: usize = 20;
/// The name that rules in the kernel have instead of a file name.
const KERNEL: &str = "the kernel";

/// What `iptables-save` and `ip6tables-save` print.
#[derive(Debug, Clone, Copy)]
pub struct Kernel<'k> {
    /// IPv4.
    pub ipv4: &'k str,
    /// IPv6.
    pub ipv6: &'k str,
}

/// The rules in the kernel, without the chains of other programs.
pub(super) fn chains_of(kernel: Kernel<'_>, machine: &Machine) -> Chains {
    let mut chains = Chains::default();
    for (family, text) in [(Family::V4, kernel.ipv4), (Family::V6, kernel.ipv6)] {
        let ufw = ufw_refuses(text);
        // The text has the tables of one backend, followed by those of the other.
        for line in saved::lines(family, text, &machine.services, Before::Dumped) {
            let Ok(command) = line.command else { continue };
            let origin = Origin { file: KERNEL.to_owned(), line: line.number, text: line.text };
            let is_read = if ufw { is_beside_or_of_ufw(&origin.text) } else { !is_of_others(&origin.text) };
            if command.table == "filter" && is_read {
                chains.apply(family, command, &origin, Certainty::Certain);
            }
        }
    }
    chains
}

/// Whether ufw refuses packets that none of its rules allows. tunwarden's rules come before ufw's, so what ufw allows
/// must be read.
pub fn ufw_refuses(text: &str) -> bool {
    let mut lines = text.lines();
    lines.any(|line| {
        let policy = ["ufw", "ufw6"].into_iter().find_map(|ufw| {
            line.strip_prefix("-A ")?.strip_prefix(ufw)?.strip_prefix("-skip-to-policy-output -j ")
        });
        policy.is_some_and(|policy| policy != "ACCEPT")
    })
}

/// Whether a line belongs to no other program, or is one of ufw's lines about what the user lets out.
fn is_beside_or_of_ufw(line: &str) -> bool {
    let Some(rest) = line.strip_prefix("-A ") else { return true };
    let chain = rest.split(' ').next().unwrap_or_default();
    let target = rest.rsplit_once("-j ").map_or("", |(_, target)| target);
    let is_path = |name: &str| name.ends_with("-before-output") || name.ends_with("-user-output");
    match (chain.starts_with("ufw"), target.starts_with("ufw")) {
        // Other rules allow what every link needs.
        (true, _) => is_path(chain) && !rest.contains(" ipv6-icmp ") && !rest.contains(" -m rt "),
        (false, true) => is_path(target),
        (false, false) => !is_of_others(line),
    }
}

/// Whether a line of iptables-save is in a chain that another program fills. Docker and libvirt add rules to FORWARD
/// too.
pub(super) fn is_of_others(line: &str) -> bool {
    let Some(rest) = line.strip_prefix("-A ") else { return false };
    let chain = rest.split(' ').next().unwrap_or_default();
    chain == "FORWARD" || is_of_another_program(chain)
}

pub(super) fn same(one: &Effective, other: &Effective) -> bool {
    let bare = |rule: &Rule| Rule { owner: None, ..rule.clone() };
    one.family == other.family && one.direction == other.direction && bare(&one.rule) == bare(&other.rule)
}

/// The differences between the scripts and the kernel, one per line.
pub(super) fn differences(rules: &[Effective], held: &[Effective], sources: &[Source]) -> Vec<String> {
    // The kernel's FORWARD is not read, and iptables-save prints narrower conditions in another form.
    let accepts = |rule: &&Effective| {
        rule.rule.target == Target::Accept
            && rule.rule.narrower.is_empty()
            && rule.direction != Direction::Forward
    };
    let (said, holds): (Vec<_>, Vec<_>) =
        (rules.iter().filter(accepts).collect(), held.iter().filter(accepts).collect());
    if said.is_empty() {
        return Vec::new();
    }
    if !said.iter().any(|rule| holds.iter().any(|other| same(rule, other))) {
        let name = sources.first().map_or("the script", |source| source.name.as_str());
        return vec![format!("the kernel holds none of the rules of {name} now")];
    }
    let missing = said
        .iter()
        .filter(|rule| rule.certainty == Certainty::Certain && !holds.iter().any(|other| same(rule, other)));
    let extra = holds.iter().filter(|rule| !said.iter().any(|other| same(rule, other)));
    let missing =
        missing.map(|rule| format!("in {} but not in the kernel: {}", rule.origin.file, rule.origin.text));
    let extra = extra.map(|rule| format!("in the kernel but in no script: {}", rule.origin.text));
    let all: BTreeSet<String> = missing.chain(extra).collect();
    all.into_iter().take(MAX_DIFFERENCES).collect()
}
