//! Follows one packet through the tables, and names the rule that lets it pass each of them.

mod changes;

use super::diagram::Packet;
use super::evaluate::View;
use super::rule::{Action, Base, SeenPackets, Table, Tool};
use super::whose;
pub(super) use changes::{Change, changes};

/// The rule or policy that decides about a packet in a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The program that lists the rule.
    pub tool: Tool,
    /// nft's word for the table's family; empty for iptables.
    pub family: &'static str,
    /// The table.
    pub table: String,
    /// The chain.
    pub chain: String,
    /// The rule, or the chain's policy.
    pub rule: String,
    /// Whether the chain's policy decides, and no rule.
    pub by_policy: bool,
    /// What the model does not know about the rule.
    pub unknown: Vec<String>,
}

impl Decision {
    /// The program whose rule it is.
    pub fn whose(&self) -> &'static str {
        whose::program(self)
    }
}

/// Maximum depth of chains that jump to one another. nf_tables allows 16, and iptables any number.
const DEPTH: usize = 1000;

/// The rule or policy that lets `packet` pass a base chain; `None` if the packet does not pass. An unknown rule counts
/// as one that lets it pass.
pub(super) fn passed(packet: &Packet, view: &View<'_>, table: &Table, at: (&str, &Base)) -> Option<Decision> {
    match chain_verdict(packet, view, table, at).0 {
        ChainVerdict::Passed(decision) => Some(decision),
        ChainVerdict::Refused(_) => None,
    }
}

/// What a base chain does to a packet, and which rule decides.
pub(super) enum ChainVerdict {
    Passed(Decision),
    Refused(Decision),
}

/// What a base chain does to `packet`, and the rules that it may have met. An unknown rule counts as one that lets the
/// packet pass.
pub(super) fn chain_verdict(
    packet: &Packet,
    view: &View<'_>,
    table: &Table,
    (name, base): (&str, &Base),
) -> (ChainVerdict, Vec<Decision>) {
    let policy = |word: &str| {
        let word = if table.tool == Tool::Nft { word.to_lowercase() } else { word.to_owned() };
        Decision { by_policy: true, ..decision(table, name, &format!("policy {word}")) }
    };
    let mut walk = Walk { packet, view, table, doubts: Vec::new() };
    let verdict = match (walk.chain(name, 0), base.accepts) {
        (End::Passed(decision), _) => ChainVerdict::Passed(decision),
        (End::Refused(decision), _) => ChainVerdict::Refused(decision),
        (End::Back, true) => ChainVerdict::Passed(policy("ACCEPT")),
        (End::Back, false) => ChainVerdict::Refused(policy("DROP")),
    };
    (verdict, walk.doubts)
}

/// A packet while it goes through a table.
struct Walk<'a> {
    packet: &'a Packet,
    view: &'a View<'a>,
    table: &'a Table,
    /// The rules that it meets and that may match or not.
    doubts: Vec<Decision>,
}

enum End {
    Passed(Decision),
    Refused(Decision),
    Back,
}

fn decision(table: &Table, chain: &str, rule: &str) -> Decision {
    let family = match (table.tool, table.sees) {
        (Tool::Iptables | Tool::Ip6tables, _) => "",
        (Tool::Nft, SeenPackets::Both) => "inet",
        (Tool::Nft, SeenPackets::Frames) => "netdev",
        (Tool::Nft, SeenPackets::Only(crate::net::Family::V4)) => "ip",
        (Tool::Nft, SeenPackets::Only(crate::net::Family::V6)) => "ip6",
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

impl Walk<'_> {
    fn chain(&mut self, name: &str, depth: usize) -> End {
        let table = self.table;
        let Some(found) = table.chains.get(name).filter(|_| depth < DEPTH) else {
            return End::Refused(decision(table, name, "no such chain"));
        };
        for rule in &found.rules {
            let held = self.view.all(&mut self.packet.clone(), &rule.matches);
            let here = || {
                let unknown = rule.unknown().into_iter().map(ToOwned::to_owned).collect();
                Decision { unknown, ..decision(table, name, &rule.text) }
            };
            let is_known = held.surely && !matches!(rule.action, Action::Unknown(_));
            if held.maybe && !is_known && rule.action != Action::Continue {
                self.doubts.push(here());
            }
            match &rule.action {
                Action::Accept | Action::Unknown(_) if held.maybe => return End::Passed(here()),
                Action::Drop if held.surely => return End::Refused(here()),
                Action::Return if held.surely => return End::Back,
                Action::Jump(to) | Action::Goto(to) if held.maybe => {
                    let end = self.chain(to, depth + 1);
                    match (end, matches!(rule.action, Action::Goto(_))) {
                        (End::Passed(decision), _) => return End::Passed(decision),
                        (End::Refused(decision), _) if held.surely => return End::Refused(decision),
                        (End::Back, true) if held.surely => return End::Back,
                        (End::Refused(_) | End::Back, _) => {}
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
}
