//! Makes a plan from scripts and the kernel's rules: a configuration that allows the same and no more.

use std::collections::BTreeSet;

use super::chains::{Chains, Direction, Effective, Origin, Source};
use super::families::{self, Closed};
use super::kernel::{Kernel, chains_of, differences, same};
use super::machine::{DeviceKind, Machine};
use super::meaning::meaning;
use super::overlap::{Overlap, overlap};
use super::piece::{Meaning, Part, Piece};
use super::reader::{self, Scripts};
use super::rule::{Device, Rule, Target};
use super::shell::Certainty;
use super::traffic;
use crate::config::{Inbound, Traffic};
use crate::net::{Family, IfPattern, LanPrefix, Port, Server, Transport};

/// What happens to a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum RuleResult {
    /// It is carried over, as this key.
    Carried(&'static str),
    /// The configuration does the same anyway, for this reason.
    Covered(String),
    /// It is not carried over, for this reason.
    LeftOut(String),
}

/// A rule that was found, and what happens to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The path of the file, or "the kernel".
    pub file: String,
    /// The line in the file, from 1.
    pub line: usize,
    /// The rule, with the values of variables.
    pub text: String,
    /// What happens to it, and why.
    pub result: RuleResult,
}

/// The content of the new configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Whether any rules were found. Without rules the defaults are used.
    pub found: bool,
    /// Interfaces that are tunnels.
    pub interfaces: Vec<IfPattern>,
    /// What the host may send through the tunnel.
    pub tunnel: Option<Traffic>,
    /// What containers may send through the tunnel.
    pub docker: Option<Traffic>,
    /// Whether a rule concerned containers.
    pub docker_rules: bool,
    /// Ports of VPN servers at any address.
    pub ports: Vec<(Transport, Port)>,
    /// VPN servers.
    pub servers: Vec<Server>,
    /// Private networks that are open as a whole.
    pub lan: Vec<LanPrefix>,
    /// Machines and networks that were open only in part.
    pub lan_parts: Vec<LanPrefix>,
    /// Which connections from outside are allowed.
    pub input: Vec<Inbound>,
    /// Every rule and what happens to it, in order.
    pub entries: Vec<Entry>,
    /// Sentences about other programs that the scripts run.
    pub others: Vec<String>,
    /// Differences between the scripts and the kernel.
    pub differences: Vec<String>,
    /// Interfaces that may be the VPN's: only the user knows.
    pub questions: BTreeSet<String>,
    /// Files from which a script restores rules.
    pub restores: BTreeSet<String>,
}

impl Plan {
    /// Whether no rule was carried over.
    pub fn is_empty(&self) -> bool {
        !self.entries.iter().any(|entry| matches!(entry.result, RuleResult::Carried(_)))
    }

    /// Rules that are not carried over.
    pub fn left_out(&self) -> impl Iterator<Item = (&Entry, &str)> {
        self.entries.iter().filter_map(|entry| match &entry.result {
            RuleResult::LeftOut(why) => Some((entry, why.as_str())),
            RuleResult::Carried(_) | RuleResult::Covered(_) => None,
        })
    }
}

/// Makes a plan from scripts and from the rules in the kernel.
pub fn plan(sources: &[Source], kernel: Option<Kernel<'_>>, machine: &Machine) -> Plan {
    let mut plan = Plan::default();
    let Scripts { mut chains, left_out, others, restores } = reader::read(sources, machine);
    (plan.others, plan.restores) = (others, restores);
    for (origin, why) in left_out {
        plan.note(&origin, RuleResult::LeftOut(why));
    }
    let mut rules: Vec<Effective> = Vec::new();
    for family in Family::ALL {
        rules.extend(chains.effective(family));
    }
    let mut in_kernel = kernel.map(|kernel| chains_of(kernel, machine)).unwrap_or_default();
    let closed = Closed::by(&chains, &in_kernel);
    let mut held: Vec<Effective> =
        Family::ALL.into_iter().flat_map(|family| in_kernel.effective(family)).collect();
    if kernel.is_some() {
        plan.differences = differences(&rules, &held, sources);
    }
    let is_held = |rule: &Effective| held.iter().any(|other| same(rule, other));
    for rule in &rules {
        if rule.certainty != Certainty::Certain && !is_held(rule) {
            let why = match rule.certainty {
                Certainty::Never => {
                    "it does not run when the script starts at boot: it stands in another branch, in a function that \
                     nothing calls, or behind an exit"
                }
                Certainty::Certain | Certainty::Conditional => {
                    "it depends on a condition (if, case, while, && or ||) that tunwarden does not evaluate"
                }
            };
            plan.note(&rule.origin, RuleResult::LeftOut(why.to_owned()));
        } else {
            plan.take(rule, machine, &closed);
        }
    }
    for (origin, why) in std::mem::take(&mut chains.lost) {
        plan.note(&origin, RuleResult::LeftOut(why));
    }
    held.retain(|rule| !rules.iter().any(|other| same(rule, other)));
    held.iter()
        .filter(|rule| rule.rule.target == Target::Accept)
        .for_each(|rule| plan.take(rule, machine, &closed));
    open_policies(&mut plan, &chains, &rules, machine);
    let all: Vec<Effective> = rules.into_iter().chain(held).collect();
    plan.others.extend(closed.remark(&all));
    plan.finish();
    plan
}

impl Plan {
    fn note(&mut self, origin: &Origin, result: RuleResult) {
        let Origin { file, line, text } = origin.clone();
        self.entries.push(Entry { file, line, text, result });
    }

    fn take(&mut self, rule: &Effective, machine: &Machine, closed: &Closed) {
        if rule.direction == Direction::Forward {
            self.docker_rules = true;
        }
        let result = match meaning(rule, machine) {
            None => return,
            Some(Meaning::Covered(why)) => RuleResult::Covered(why),
            Some(Meaning::LeftOut(why)) => RuleResult::LeftOut(why),
            Some(Meaning::Ask(name)) => {
                let why = format!(
                    "it is unknown whether {name} is your VPN's interface; if so, add it to tunnel.interfaces"
                );
                self.questions.insert(name);
                RuleResult::LeftOut(why)
            }
            Some(Meaning::Pieces(pieces)) => {
                let key = pieces.first().map_or("lan", Piece::key);
                let narrowed = pieces.into_iter().map(|piece| closed.narrowed(piece, rule.family));
                narrowed.for_each(|piece| self.piece(piece));
                RuleResult::Carried(key)
            }
        };
        self.note(&rule.origin, result);
    }

    fn piece(&mut self, piece: Piece) {
        match piece {
            Piece::Tunnel(interface, rule) => {
                add(&mut self.interfaces, interface);
                traffic::add(&mut self.tunnel, rule);
            }
            Piece::Docker(interface, rule) => {
                add(&mut self.interfaces, interface);
                traffic::add(&mut self.docker, rule);
            }
            Piece::Port(transport, port) => add(&mut self.ports, (transport, port)),
            Piece::Server(server) => add(&mut self.servers, server),
            Piece::Lan(prefix, Part::Whole) => add(&mut self.lan, prefix),
            Piece::Lan(prefix, Part::Some) => add(&mut self.lan_parts, prefix),
            Piece::Input(inbound) => add(&mut self.input, inbound),
        }
    }

    /// If `lan.networks` lists whole networks, it must list the other machines of the LAN too.
    fn add_parts(&mut self) {
        let (part, whole) = (Piece::part_of_the_lan(), "lan.networks");
        if self.lan.is_empty() || self.lan_parts.is_empty() {
            return;
        }
        for prefix in std::mem::take(&mut self.lan_parts) {
            if !self.lan.iter().any(|known| known.net().contains(&prefix.net())) {
                self.lan.push(prefix);
            }
        }
        let results = self.entries.iter_mut().map(|entry| &mut entry.result);
        results
            .filter(|result| **result == RuleResult::Carried(part))
            .for_each(|result| *result = RuleResult::Carried(whole));
    }

    /// Keeps each rule once, in the order of its file.
    fn finish(&mut self) {
        families::merge(&mut self.input);
        self.add_parts();
        let mut entries = std::mem::take(&mut self.entries);
        entries.sort();
        entries.dedup_by(|later, first| later.text == first.text && later.result == first.result);
        let at = |entry: &Entry| (entry.file.clone(), entry.line, entry.text.clone());
        let said: BTreeSet<_> =
            entries.iter().filter(|entry| !matches!(entry.result, RuleResult::Covered(_))).map(at).collect();
        entries.retain(|entry| !matches!(entry.result, RuleResult::Covered(_)) || !said.contains(&at(entry)));
        entries.dedup_by(|later, first| {
            at(later) == at(first) && matches!(later.result, RuleResult::Covered(_))
        });
        self.found = !entries.is_empty();
        self.entries = entries;
    }
}

/// Adds an element unless the list already contains it.
fn add<T: PartialEq>(list: &mut Vec<T>, new: T) {
    if !list.contains(&new) {
        list.push(new);
    }
}

/// Handles scripts that allow by their policy everything that they do not refuse, for example with only `-o eth0 -j
/// DROP`: what they allow through a tunnel is carried over.
fn open_policies(plan: &mut Plan, chains: &Chains, rules: &[Effective], machine: &Machine) {
    for (direction, chain) in [(Direction::Output, "OUTPUT"), (Direction::Forward, "FORWARD")] {
        let closed = chain == "OUTPUT" && chains.policy(Family::V4, chain) == Some(&Target::Refuse);
        let refusals: Vec<&Effective> = rules
            .iter()
            .filter(|rule| rule.direction == direction && rule.rule.target == Target::Refuse)
            .filter(|rule| rule.family == Family::V4)
            .collect();
        let decided =
            if direction == Direction::Output { plan.tunnel.is_some() } else { plan.docker.is_some() };
        if closed || refusals.is_empty() || decided {
            continue;
        }
        let named = refusals.iter().find_map(|rule| rule.rule.output.as_ref().filter(|device| device.but));
        let name = named.map_or("tun+", |device| device.name.as_str());
        let output = Some(Device { name: name.to_owned(), but: false });
        let all = Rule { output, target: Target::Accept, ..Rule::default() };
        if refusals.iter().any(|refusal| overlap(&refusal.rule, &all) != Overlap::None) {
            continue;
        }
        let text = format!("{chain} allows everything that it does not refuse: all of {name}");
        let origin = Origin { text, ..refusals.last().map(|rule| rule.origin.clone()).unwrap_or_default() };
        match (machine.device(name), name.parse()) {
            (DeviceKind::Tunnel, Ok(pattern)) => {
                let make = if direction == Direction::Output { Piece::Tunnel } else { Piece::Docker };
                let piece = make(pattern, None);
                plan.note(&origin, RuleResult::Carried(piece.key()));
                plan.piece(piece);
            }
            (DeviceKind::Unknown, Ok(_)) => drop(plan.questions.insert(name.to_owned())),
            _ => {}
        }
    }
}
