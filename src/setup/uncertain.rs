//! Commands that may not run, and commands with an unknown value. They open nothing, but they may delete and refuse.

use super::chains::{Chains, Kept, Origin};
use super::command::{Action, Command, command};
use super::rule::{Rule, Target};
use super::shell::{Certainty, UNKNOWN};
use crate::net::{Family, Services};

/// The chains in which a rule may refuse if the name of its chain is not known.
const CHAINS: [&str; 4] = ["INPUT", "OUTPUT", "FORWARD", "DOCKER-USER"];

impl Chains {
    /// Whether all rules before the position that a command names exist each time the script runs.
    pub(super) fn is_placed(&self, family: Family, action: &Action) -> bool {
        let (chain, place) = match action {
            Action::DeleteNumber(chain, place) | Action::Replace(chain, place, _) => (chain, *place),
            Action::Append(..)
            | Action::Insert(..)
            | Action::Delete(..)
            | Action::Policy(..)
            | Action::Flush(_)
            | Action::NewChain(_)
            | Action::Nothing => return true,
        };
        let rules = self.rules.get(&(family, chain.clone())).into_iter().flatten();
        rules.take(place).all(|kept| kept.certainty == Certainty::Certain && kept.is_listed)
    }

    /// Notes what a command may delete or close if it runs. Returns the part of it that adds something.
    pub(super) fn apply_uncertain(
        &mut self,
        family: Family,
        action: Action,
        origin: &Origin,
        certainty: Certainty,
    ) -> Action {
        let may_run = certainty != Certainty::Never;
        match action {
            Action::Replace(chain, place, rule) => {
                if may_run {
                    self.mark_uncertain(family, Some(&chain), &origin.file);
                }
                Action::Insert(chain, place, rule)
            }
            Action::Delete(chain, rule) if may_run => {
                let rules = self.rules.get_mut(&(family, chain)).into_iter().flatten();
                rules.filter(|kept| kept.rule == rule).for_each(Kept::mark_uncertain);
                Action::Nothing
            }
            Action::DeleteNumber(chain, _) if may_run => {
                self.mark_uncertain(family, Some(&chain), &origin.file);
                Action::Nothing
            }
            Action::Flush(chain) if may_run => {
                self.mark_uncertain(family, chain.as_deref(), &origin.file);
                Action::Nothing
            }
            Action::Policy(chain, Target::Refuse) if may_run => Action::Policy(chain, Target::Refuse),
            Action::Delete(..) | Action::DeleteNumber(..) | Action::Flush(_) | Action::Policy(..) => {
                Action::Nothing
            }
            other @ (Action::Append(..) | Action::Insert(..) | Action::NewChain(_) | Action::Nothing) => {
                other
            }
        }
    }

    /// Notes that rules of this file may be missing, in one chain or in all chains.
    pub(super) fn mark_uncertain(&mut self, family: Family, chain: Option<&str>, file: &str) {
        let is_meant =
            |(of, name): &(Family, String)| *of == family && chain.is_none_or(|chain| chain == name);
        let rules = self.rules.iter_mut().filter(|(key, _)| is_meant(key)).flat_map(|(_, rules)| rules);
        rules.filter(|kept| kept.origin.file == file).for_each(Kept::mark_uncertain);
    }

    /// Notes what a command with unknown words may delete or refuse. Its line is listed elsewhere.
    pub(super) fn note_uncertain_command(
        &mut self,
        family: Family,
        words: &[String],
        services: &Services,
        origin: &Origin,
    ) {
        let (words, is_open) = without_unknown(words);
        let Ok(command) = command(family, &words, services) else {
            self.not_parsed(family, &words, origin);
            return;
        };
        if command.table != "filter" {
            return;
        }
        let known = |chain: String| Some(chain).filter(|chain| chain != UNKNOWN);
        match command.action {
            Action::Append(chain, rule) if may_refuse(&rule, is_open) => {
                self.refuse(family, &chain, usize::MAX, (rule, origin));
            }
            Action::Insert(chain, place, rule) if may_refuse(&rule, is_open) => {
                self.refuse(family, &chain, place.saturating_sub(1), (rule, origin));
            }
            Action::Replace(chain, _, rule) => {
                self.mark_uncertain(family, known(chain.clone()).as_deref(), &origin.file);
                if may_refuse(&rule, is_open) {
                    self.refuse(family, &chain, 0, (rule, origin));
                }
            }
            Action::Delete(chain, _) | Action::DeleteNumber(chain, _) => {
                self.mark_uncertain(family, known(chain).as_deref(), &origin.file);
            }
            Action::Flush(chain) => {
                self.mark_uncertain(family, chain.and_then(known).as_deref(), &origin.file)
            }
            Action::Policy(chain, Target::Refuse | Target::Chain(_)) => {
                let all = CHAINS.iter().filter(|name| chain == UNKNOWN || **name == chain);
                let names: Vec<String> = all.map(|name| (*name).to_owned()).collect();
                self.policies.extend(names.into_iter().map(|name| ((family, name), Target::Refuse)));
            }
            Action::Append(..)
            | Action::Insert(..)
            | Action::Policy(..)
            | Action::NewChain(_)
            | Action::Nothing => {}
        }
    }

    /// Notes what a command that is not understood may delete or refuse.
    fn not_parsed(&mut self, family: Family, words: &[String], origin: &Origin) {
        let after = |options: &[&str]| {
            let at = words.iter().position(|word| options.contains(&word.as_str()))?;
            words.get(at + 1).map(String::as_str)
        };
        let target = after(&["-j", "--jump", "-g", "--goto"]).map_or(Target::None, Target::named);
        let rule = Rule { target, ..Rule::default() };
        let adds = after(&["-A", "--append"]).map(|chain| (chain, usize::MAX));
        let inserts = || after(&["-I", "-R", "--insert", "--replace"]).map(|chain| (chain, 0));
        match adds.or_else(inserts) {
            Some((chain, place)) if may_refuse(&rule, true) => {
                self.refuse(family, chain, place, (rule, origin))
            }
            Some(_) => {}
            None if after(&["-D", "-F", "--delete", "--flush"]).is_some() => {
                self.mark_uncertain(family, None, &origin.file)
            }
            None => {}
        }
    }

    /// Notes what a rule of another table refuses. Such packets do not reach the table filter, or do not leave after
    /// it.
    pub(super) fn refused_elsewhere(&mut self, family: Family, command: &Command, origin: &Origin) {
        let (Action::Append(chain, rule) | Action::Insert(chain, _, rule)) = &command.action else { return };
        let chains: &[&str] = match chain.as_str() {
            "OUTPUT" => &["OUTPUT"],
            "FORWARD" => &["FORWARD", "DOCKER-USER"],
            "POSTROUTING" => &["OUTPUT", "FORWARD", "DOCKER-USER"],
            _ => &[],
        };
        if rule.target == Target::Refuse {
            chains.iter().for_each(|chain| self.refuse(family, chain, 0, (rule.clone(), origin)));
        }
    }

    /// Adds a rule that may refuse a part of the packets that it matches.
    fn refuse(&mut self, family: Family, chain: &str, place: usize, (mut rule, origin): (Rule, &Origin)) {
        rule.target = Target::Refuse;
        rule.narrower.insert("a value that is not known".to_owned());
        let chains = if chain == UNKNOWN { CHAINS.to_vec() } else { vec![chain] };
        for name in chains {
            let rules = self.rules.entry((family, name.to_owned())).or_default();
            let kept = Kept { is_listed: false, ..Kept::new(origin, rule.clone(), Certainty::Conditional) };
            rules.insert(place.min(rules.len()), kept);
        }
    }
}

impl Kept {
    /// Notes that the rule may be missing. A rule that refuses stays: if in doubt, it exists.
    fn mark_uncertain(&mut self) {
        if self.certainty == Certainty::Certain {
            self.certainty = Certainty::Conditional;
        }
    }
}

/// Whether a rule may refuse packets. `is_open` says that an unknown word may be its target.
fn may_refuse(rule: &Rule, is_open: bool) -> bool {
    match &rule.target {
        Target::Refuse | Target::Return | Target::Chain(_) => true,
        Target::Continue(name) => ["QUEUE", "NFQUEUE"].contains(&name.as_str()),
        Target::None => is_open,
        Target::Accept => false,
    }
}

/// The known words, and whether an unknown word may be an option of its own.
fn without_unknown(words: &[String]) -> (Vec<String>, bool) {
    let (mut known, mut is_open): (Vec<String>, bool) = (Vec::new(), false);
    for word in words {
        if word != UNKNOWN {
            known.push(word.clone());
            continue;
        }
        let before = |many: usize| {
            known.len().checked_sub(many).and_then(|at| known.get(at)).map_or("", String::as_str)
        };
        match (before(2), before(1)) {
            ("-P" | "--policy", _) | (_, "-j" | "--jump" | "-g" | "--goto") => known.push("DROP".to_owned()),
            (_, "-A" | "-I" | "-D" | "-R" | "-P" | "-F" | "-N" | "-X") => known.push(UNKNOWN.to_owned()),
            (_, "--append" | "--insert" | "--delete" | "--replace" | "--policy" | "--flush") => {
                known.push(UNKNOWN.to_owned());
            }
            ("-R" | "--replace", _) => known.push("1".to_owned()),
            // The unknown word is the value of a condition. Without the condition the rule matches more.
            (_, option) if option.starts_with('-') => {
                known.pop();
                if known.last().is_some_and(|word| word == "!") {
                    known.pop();
                }
            }
            _ => is_open = true,
        }
    }
    (known, is_open)
}
