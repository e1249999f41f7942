//! One packet on its way through the tables: which rule lets it pass each of them.

use super::diagram::Packet;
use super::evaluate::View;
use super::rule::{Action, Base, Sees, Table, Tool};

/// What lets a packet pass a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What lists the rule.
    pub tool: Tool,
    /// The word of nft for the table's family; empty for iptables.
    pub family: &'static str,
    /// The table.
    pub table: String,
    /// The chain.
    pub chain: String,
    /// The rule, or the chain's policy.
    pub rule: String,
    /// Whether no rule decides, but the policy of the chain.
    pub by_policy: bool,
    /// What the model does not know of the rule.
    pub unknown: Vec<String>,
}

/// Maximum number of chains that lead into each other. nf_tables allows 16, and iptables any number.
const DEPTH: usize = 1000;

/// What lets `packet` pass a base chain. What is not known is taken for what lets it pass. `None` if it does not
/// pass.
pub(super) fn passed(
    packet: &Packet,
    view: &View<'_>,
    table: &Table,
    (name, base): (&str, &Base),
) -> Option<Decision> {
    match (chain(packet, view, table, name, 0), base.accepts) {
        (End::Passed(decision), _) => Some(decision),
        (End::Back, true) => {
            let policy = format!("policy {}", if table.tool == Tool::Nft { "accept" } else { "ACCEPT" });
            Some(Decision { by_policy: true, ..decision(table, name, &policy) })
        }
        (End::Back, false) | (End::Refused, _) => None,
    }
}

enum End {
    Passed(Decision),
    Refused,
    Back,
}

fn decision(table: &Table, chain: &str, rule: &str) -> Decision {
    let family = match (table.tool, table.sees) {
        (Tool::Iptables | Tool::Ip6tables, _) => "",
        (Tool::Nft, Sees::Both) => "inet",
        (Tool::Nft, Sees::Frames) => "netdev",
        (Tool::Nft, Sees::Only(crate::net::Family::V4)) => "ip",
        (Tool::Nft, Sees::Only(crate::net::Family::V6)) => "ip6",
    };
    Decision {
        tool: table.tool,
        family,
        table: table.name.clone(),
        chain: chain.to_owned(),
        rule: rule.to_owned(),
        by_policy: false,
        unknown: Vec::new(),
    }
}

fn chain(packet: &Packet, view: &View<'_>, table: &Table, name: &str, depth: usize) -> End {
    let Some(found) = table.chains.get(name).filter(|_| depth < DEPTH) else { return End::Refused };
    for rule in &found.rules {
        let held = view.all(&mut packet.clone(), &rule.matches);
        let here = || {
            let unknown = rule.unknown().into_iter().map(ToOwned::to_owned).collect();
            Decision { unknown, ..decision(table, name, &rule.text) }
        };
        match &rule.action {
            Action::Accept | Action::Unknown(_) if held.maybe => return End::Passed(here()),
            Action::Drop if held.surely => return End::Refused,
            Action::Return if held.surely => return End::Back,
            Action::Jump(to) | Action::Goto(to) if held.maybe => {
                let end = chain(packet, view, table, to, depth + 1);
                match (end, matches!(rule.action, Action::Goto(_))) {
                    (End::Passed(decision), _) => return End::Passed(decision),
                    (End::Refused, _) if held.surely => return End::Refused,
                    (End::Back, true) if held.surely => return End::Back,
                    (End::Refused | End::Back, _) => {}
                }
            }
            Action::Accept
            | Action::Drop
            | Action::Return
            | Action::Jump(_)
            | Action::Goto(_)
            | Action::Continue
            | Action::Unknown(_) => {}
        }
    }
    End::Back
}
