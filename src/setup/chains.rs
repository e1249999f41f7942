//! The chains that scripts make, and the order in which packets pass their rules.

use std::collections::{BTreeMap, BTreeSet};

use super::command::{Action, Command};
use super::machine::is_tun;
use super::overlap::{Overlap, overlap};
use super::rule::{Rule, Target, is_of_another_program};
use super::shell::Certainty;
use crate::net::Family;

/// Maximum depth of jumps from chain to chain.
const MAX_DEPTH: usize = 8;
/// Maximum number of rules on the path of a packet.
const MAX_RULES: usize = 8192;

/// A file with rules: a script, or a text for `iptables-restore`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The path of the file.
    pub name: String,
    /// The content of the file.
    pub text: String,
}

/// Where a rule comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Origin {
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) text: String,
}

/// The packets that pass a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Direction {
    Input,
    Output,
    /// From and to containers and virtual machines.
    Forward,
}

/// A rule in its chain.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) origin: Origin,
    pub(super) rule: Rule,
    pub(super) certainty: Certainty,
    /// False for a rule whose line is already listed because it has an unknown value. Such a rule can only refuse.
    pub(super) is_listed: bool,
}

impl Kept {
    pub(super) fn new(origin: &Origin, rule: Rule, certainty: Certainty) -> Self {
        Self { origin: origin.clone(), rule, certainty, is_listed: true }
    }

    /// The chain to which it jumps.
    fn jump(&self) -> Option<String> {
        match &self.rule.target {
            Target::Chain(chain) => Some(chain.clone()),
            Target::None | Target::Accept | Target::Refuse | Target::Return | Target::Continue(_) => None,
        }
    }

    /// Whether it is this same rule, and exists each time the script runs.
    fn is_certain(&self, rule: &Rule) -> bool {
        self.rule == *rule && self.certainty == Certainty::Certain
    }
}

/// A rule with the conditions of all jumps that lead to it.
#[derive(Debug, Clone)]
pub(super) struct Effective {
    pub(super) origin: Origin,
    pub(super) family: Family,
    pub(super) direction: Direction,
    pub(super) rule: Rule,
    pub(super) certainty: Certainty,
    /// An earlier rule that refuses all or some of the packets that this rule accepts.
    pub(super) refused: Option<(Overlap, Origin)>,
}

/// All chains of the table `filter`.
#[derive(Debug, Default)]
pub(super) struct Chains {
    pub(super) rules: BTreeMap<(Family, String), Vec<Kept>>,
    pub(super) policies: BTreeMap<(Family, String), Target>,
    /// Chains to which a script deletes the jump.
    left: BTreeSet<(Family, String)>,
    /// Rules that have no effect, with the reason: a later line deletes them, or no packet passes their chain.
    pub(super) lost: Vec<(Origin, String)>,
}

/// The chains in which the path of a packet starts.
const ROOTS: [(&str, Direction); 4] = [
    ("INPUT", Direction::Input),
    ("OUTPUT", Direction::Output),
    ("DOCKER-USER", Direction::Forward),
    ("FORWARD", Direction::Forward),
];

impl Chains {
    /// Applies a command.
    pub(super) fn apply(&mut self, family: Family, command: Command, origin: &Origin, certainty: Certainty) {
        let sure = certainty == Certainty::Certain;
        let key = |chain: String| (family, chain);
        let action = if sure && self.is_placed(family, &command.action) {
            command.action
        } else {
            self.apply_uncertain(family, command.action, origin, certainty)
        };
        match action {
            Action::Append(chain, rule) => {
                let rules = self.rules.entry(key(chain)).or_default();
                // Adding the same rule a second time changes nothing, as `start` does in `restart) stop; start ;;`.
                if sure || !rules.iter().any(|kept| kept.is_certain(&rule)) {
                    rules.push(Kept::new(origin, rule, certainty));
                }
            }
            Action::Insert(chain, place, rule) => {
                let rules = self.rules.entry(key(chain)).or_default();
                let at = place.saturating_sub(1).min(rules.len());
                if sure || !rules.get(at).is_some_and(|kept| kept.is_certain(&rule)) {
                    rules.insert(at, Kept::new(origin, rule, certainty));
                }
            }
            Action::Replace(chain, place, rule) => {
                let rules = self.rules.entry(key(chain)).or_default();
                if let Some(kept) = rules.get_mut(place.saturating_sub(1)) {
                    let old = std::mem::replace(kept, Kept::new(origin, rule, certainty));
                    self.lost.push((old.origin, format!("line {} replaces it", origin.line)));
                } else {
                    self.lost.push((origin.clone(), "there is no rule at this position".to_owned()));
                }
            }
            Action::Delete(chain, rule) => {
                self.delete(&key(chain), origin, |rules| rules.iter().position(|kept| kept.rule == rule));
            }
            Action::DeleteNumber(chain, number) => {
                self.delete(&key(chain), origin, |rules| {
                    number.checked_sub(1).filter(|at| *at < rules.len())
                });
            }
            Action::Policy(chain, policy) => drop(self.policies.insert(key(chain), policy)),
            Action::Flush(chain) => {
                for ((of, name), rules) in &mut self.rules {
                    if *of == family && chain.as_ref().is_none_or(|chain| chain == name) {
                        let flushed = |kept: &mut Kept| kept.is_listed && kept.origin.file == origin.file;
                        for kept in rules.extract_if(.., flushed) {
                            self.left.extend(kept.jump().map(|chain| (family, chain)));
                            self.lost.push((kept.origin, format!("line {} flushes it", origin.line)));
                        }
                    }
                }
            }
            Action::NewChain(chain) => drop(self.rules.entry(key(chain)).or_default()),
            Action::Nothing => {}
        }
    }

    /// Deletes the rule at the place that `place` finds, if there is one.
    fn delete(
        &mut self,
        chain: &(Family, String),
        origin: &Origin,
        place: impl Fn(&[Kept]) -> Option<usize>,
    ) {
        if let Some(rules) = self.rules.get_mut(chain)
            && let Some(at) = place(rules)
        {
            let kept = rules.remove(at);
            self.left.extend(kept.jump().map(|jump| (chain.0, jump)));
            self.lost.push((kept.origin, format!("line {} deletes it", origin.line)));
        }
    }

    /// The policy of a built-in chain, if a command sets it.
    pub(super) fn policy(&self, family: Family, chain: &str) -> Option<&Target> {
        self.policies.get(&(family, chain.to_owned()))
    }

    /// Every rule that packets reach, in order, each with the earlier rule that refuses the same packets.
    pub(super) fn effective(&mut self, family: Family) -> Vec<Effective> {
        let mut walk =
            Walk { chains: self, family, found: Vec::new(), refusals: Vec::new(), seen: BTreeSet::new() };
        for (root, direction) in ROOTS {
            // Docker already has a chain that jumps to it.
            if root == "DOCKER-USER" && walk.leads_to(root) {
                continue;
            }
            walk.refusals.clear();
            walk.chain(root, &Path::start(direction));
        }
        let unreached: Vec<String> = self
            .rules
            .keys()
            .filter(|(of, name)| *of == family && !walk.seen.contains(name))
            .map(|(_, name)| name.clone())
            .collect();
        let mut lost = Vec::new();
        for name in &unreached {
            let direction = by_name(name).filter(|_| !self.left.contains(&(family, name.clone())));
            match direction {
                Some(direction) if !walk.seen.contains(name) => {
                    walk.refusals.clear();
                    walk.chain(name, &Path::start(direction));
                }
                Some(_) => {}
                None => {
                    let rules = self.rules.get(&(family, name.clone())).into_iter().flatten();
                    lost.extend(rules.map(|kept| (kept.origin.clone(), name.clone())));
                }
            }
        }
        let (found, seen) = (walk.found, walk.seen);
        let lost = lost.into_iter().filter(|(_, name)| !seen.contains(name));
        let why = |name: &str| format!("no rule jumps to the chain {name}");
        self.lost.extend(lost.map(|(origin, name)| (origin, why(&name))));
        found
    }
}

/// The direction of a chain to which nothing jumps, guessed from its name. In the article, one script adds rules to a
/// chain of another script.
fn by_name(name: &str) -> Option<Direction> {
    if name.contains("DOCKER") || name.contains("FORWARD") {
        Some(Direction::Forward)
    } else if name.contains("OUTPUT") {
        Some(Direction::Output)
    } else if name.contains("INPUT") || name.contains("RELATED_AND_ESTABLISHED") {
        Some(Direction::Input)
    } else {
        None
    }
}

/// How packets reach a chain.
struct Path {
    direction: Direction,
    /// The conditions of all jumps on the path.
    conditions: Rule,
    certainty: Certainty,
    /// Number of jumps.
    depth: usize,
}

impl Path {
    /// Every packet of this direction.
    fn start(direction: Direction) -> Self {
        Self { direction, conditions: Rule::default(), certainty: Certainty::Certain, depth: 0 }
    }
}

struct Walk<'c> {
    chains: &'c Chains,
    family: Family,
    found: Vec<Effective>,
    refusals: Vec<(Rule, Origin)>,
    seen: BTreeSet<String>,
}

impl Walk<'_> {
    fn leads_to(&self, chain: &str) -> bool {
        let target = Target::Chain(chain.to_owned());
        let mut rules = self.chains.rules.iter().filter(|((of, _), _)| *of == self.family);
        rules.any(|(_, rules)| rules.iter().any(|kept| kept.rule.target == target))
    }

    fn chain(&mut self, name: &str, path: &Path) {
        self.seen.insert(name.to_owned());
        let Some(rules) = self.chains.rules.get(&(self.family, name.to_owned())) else { return };
        // RETURN ends only this chain, and so does a rule with `-g`.
        let (mut returns, mut gone) = (Vec::new(), None);
        for kept in rules {
            returns.extend(gone.take());
            if !kept.is_listed {
                self.refusals.push((kept.rule.under(&path.conditions), kept.origin.clone()));
                continue;
            }
            if self.found.len() >= MAX_RULES {
                return;
            }
            let mut rule = kept.rule.under(&path.conditions);
            let certainty =
                if kept.certainty == Certainty::Certain { path.certainty } else { kept.certainty };
            let (origin, family, direction) = (kept.origin.clone(), self.family, path.direction);
            if kept.rule.is_goto {
                gone = Some((rule.clone(), origin.clone()));
            }
            let effective = |rule| Effective { origin, family, direction, rule, certainty, refused: None };
            if let Target::Chain(target) = &kept.rule.target
                && self.chains.rules.contains_key(&(self.family, target.clone()))
                && path.depth < MAX_DEPTH
            {
                let conditions = Rule { target: Target::None, ..rule.clone() };
                // Of ufw's chains, only the rules matter.
                let rules = self.chains.rules.get(&(self.family, target.clone()));
                if !target.starts_with("ufw") || rules.is_none_or(Vec::is_empty) {
                    self.add(effective(rule), &returns);
                }
                self.chain(target, &Path { direction, conditions, certainty, depth: path.depth + 1 });
                continue;
            }
            // Docker's own rules accept packets that come back from DOCKER-USER.
            let conditional = Rule { target: Target::None, ..kept.rule.clone() } != Rule::default();
            if name == "DOCKER-USER" && kept.rule.target == Target::Return && conditional {
                rule.target = Target::Accept;
            }
            if let Target::Chain(target) = &rule.target
                && !self.chains.rules.contains_key(&(self.family, target.clone()))
                && !is_of_another_program(target)
            {
                rule.target = Target::Continue(target.clone());
            }
            // Another program decides about these packets.
            if matches!(&rule.target, Target::Continue(target) if ["NFQUEUE", "QUEUE"].contains(&target.as_str()))
            {
                self.refusals.push((rule.clone(), kept.origin.clone()));
            }
            match rule.target {
                Target::Refuse => self.refusals.push((rule.clone(), kept.origin.clone())),
                Target::Return => returns.push((rule.clone(), kept.origin.clone())),
                Target::None | Target::Accept | Target::Continue(_) | Target::Chain(_) => {}
            }
            self.add(effective(rule), &returns);
        }
    }

    /// Adds a rule, with the earlier rule that refuses packets that it accepts.
    fn add(&mut self, mut found: Effective, returns: &[(Rule, Origin)]) {
        if found.rule.target == Target::Accept {
            let before = self.refusals.iter().chain(returns);
            // A rule without an interface also matches packets in clear. A refusal for a tunnel refuses none of those.
            let of_tunnel = |refusal: &Rule| {
                let tunnel = refusal.output.as_ref().filter(|device| !device.but && is_tun(&device.name));
                found.direction == Direction::Output && found.rule.output.is_none() && tunnel.is_some()
            };
            found.refused = before
                .filter(|(refusal, _)| !of_tunnel(refusal))
                .map(|(refusal, origin)| (overlap(refusal, &found.rule), origin))
                .filter(|(overlap, _)| *overlap != Overlap::None)
                .max_by_key(|(overlap, _)| *overlap)
                .map(|(overlap, origin)| (overlap, origin.clone()));
        }
        self.found.push(found);
    }
}

impl Rule {
    /// The rule, with the conditions of the jump that leads to its chain.
    fn under(&self, outer: &Self) -> Self {
        let mut narrower: BTreeSet<String> = self.narrower.union(&outer.narrower).cloned().collect();
        let mut both = |differ: bool| {
            if differ {
                narrower.insert("a condition of the rule that jumps to this chain".to_owned());
            }
        };
        both(differ(&self.input, &outer.input));
        both(differ(&self.output, &outer.output));
        both(differ(&self.from, &outer.from));
        both(differ(&self.to, &outer.to));
        both(differ(&self.protocol, &outer.protocol));
        both(differ(&self.ports, &outer.ports));
        both(differ(&self.source_ports, &outer.source_ports));
        both(differ(&self.states, &outer.states));
        both(differ(&self.owner, &outer.owner));
        Self {
            input: self.input.clone().or_else(|| outer.input.clone()),
            output: self.output.clone().or_else(|| outer.output.clone()),
            from: self.from.clone().or_else(|| outer.from.clone()),
            to: self.to.clone().or_else(|| outer.to.clone()),
            protocol: self.protocol.clone().or_else(|| outer.protocol.clone()),
            ports: self.ports.clone().or_else(|| outer.ports.clone()),
            source_ports: self.source_ports.clone().or_else(|| outer.source_ports.clone()),
            states: self.states.clone().or_else(|| outer.states.clone()),
            owner: self.owner.clone().or_else(|| outer.owner.clone()),
            narrower,
            target: self.target.clone(),
            is_goto: self.is_goto,
        }
    }
}

fn differ<T: PartialEq>(one: &Option<T>, other: &Option<T>) -> bool {
    one.is_some() && other.is_some() && one != other
}
