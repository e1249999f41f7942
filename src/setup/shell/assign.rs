//! The values that assignments give to variables.

use super::assignment::is_name;
use super::expand::Variable;
use super::lex::{Part, Reference, Word};
use super::run::Runner;
use super::tree::{Assignment, Simple, Value};
use super::word::is_in_name;
use super::{Certainty, MAX_COMMANDS};

impl Runner<'_> {
    /// Makes the assignments of a command.
    pub(super) fn assign_all(&mut self, simple: &Simple) {
        for assignment in &simple.assignments {
            self.assign(assignment);
        }
        if makes_references(simple) {
            self.refer(simple);
        }
        if simple.words.first().and_then(Word::bare) == Some("readonly") {
            let names = simple.assignments.iter().map(|assignment| assignment.name.clone());
            self.variables.readonly.extend(names);
        }
    }

    /// `declare -n NAME=OTHER`: an assignment to one of them changes the other. From here on both are unknown.
    fn refer(&mut self, simple: &Simple) {
        for Assignment { name, .. } in &simple.assignments {
            match self.variables.named.get(name) {
                Some(Variable::Text(other)) => {
                    let names = [name.clone(), other.clone()];
                    self.forget(&names);
                    self.variables.readonly.extend(names);
                }
                Some(_) | None => self.forget_all(),
            }
        }
    }

    /// Takes assignments to variables that exist only inside the function. If there is no value, some shells keep the
    /// outer value.
    pub(super) fn declare(&mut self, simple: &Simple, certainty: Certainty) {
        let words: Vec<&str> = simple.words.iter().skip(1).filter_map(Word::bare).collect();
        let is_global = words.iter().any(|word| word.starts_with('-') && word.contains('g'));
        let bare = words.iter().filter(|word| is_name(word)).map(|word| (*word).to_owned());
        let bare: Vec<String> = bare.collect();
        let assigned = simple.assignments.iter().map(|assignment| assignment.name.clone());
        for name in assigned.chain(bare.iter().cloned()).filter(|_| !is_global) {
            let outer = match certainty {
                Certainty::Certain => self.variables.named.get(&name).cloned(),
                Certainty::Conditional | Certainty::Never => Some(Variable::Unknown),
            };
            self.locals.push((name, outer));
        }
        if !is_global {
            self.forget(&bare);
        }
        self.assign_all(simple);
    }

    /// Whether a command only assigns known values. Such a command never fails.
    pub(super) fn only_assigns(simple: &Simple) -> bool {
        let runs = |part: &Part| matches!(part, Part::Output(_) | Part::Unknown(_));
        let is_plain = |assignment: &Assignment| match &assignment.value {
            Value::One(word) => !word.parts.iter().any(runs),
            Value::List(_) | Value::Element => false,
        };
        simple.words.is_empty() && simple.assignments.iter().all(is_plain)
    }

    /// What a command assigns in addition to its own assignments: `${NAME:=DEFAULT}`, `((NAME++))`.
    pub(super) fn side_effects(&mut self, simple: &Simple) {
        let values = simple.assignments.iter().flat_map(|assignment| match &assignment.value {
            Value::One(word) => std::slice::from_ref(word),
            Value::List(words) => words,
            Value::Element => &[],
        });
        for word in simple.words.iter().chain(values) {
            self.change_by(word);
        }
    }

    /// Takes what the expansion of a word assigns.
    pub(super) fn change_by(&mut self, word: &Word) {
        for part in &word.parts {
            match part {
                Part::Variable(Reference { name, default: Some(default), assigns: true, .. }) => {
                    let new = match self.variables.named.get(name) {
                        None if !self.variables.is_sourced => Variable::Text(default.clone()),
                        Some(Variable::Text(text)) if !text.is_empty() => continue,
                        Some(_) | None => Variable::Unknown,
                    };
                    self.variables.named.insert(name.clone(), new);
                }
                Part::Unknown(text) => self.forget(&assigned_in(text)),
                Part::Variable(_) | Part::Text(..) | Part::Output(_) => {}
            }
        }
    }

    /// From here on all variables are unknown.
    pub(super) fn forget_all(&mut self) {
        self.variables.named.values_mut().for_each(|value| *value = Variable::Unknown);
        self.variables.is_sourced = true;
    }

    fn assign(&mut self, assignment: &Assignment) {
        let Assignment { name, appends, value } = assignment;
        let new = match value {
            Value::One(word) => {
                let of_script = word.parts.iter().any(|part| self.is_first_argument(part));
                match self.variables.text(word) {
                    Err(_) if of_script => Ok(Variable::FirstArgument),
                    text => text.map(Variable::Text),
                }
            }
            Value::List(words) => {
                let words: Result<Vec<_>, _> = words.iter().map(|word| self.variables.expand(word)).collect();
                let words = words.map(|words| words.concat());
                // `NAME=([INDEX]=VALUE)`
                words.map(|words| match words.iter().any(|word| word.starts_with('[')) {
                    true => Variable::Unknown,
                    false => Variable::List(words),
                })
            }
            Value::Element => Ok(Variable::Unknown),
        };
        let new = match (new, appends) {
            (Ok(new), false) => new,
            (Ok(new), true) => match (self.variables.named.remove(name), new) {
                (Some(Variable::Text(old)), Variable::Text(new)) if old.len() < super::MAX_BYTES / 64 => {
                    Variable::Text(old + &new)
                }
                (Some(Variable::List(old)), Variable::List(new)) if old.len() < MAX_COMMANDS => {
                    Variable::List([old, new].concat())
                }
                _ => Variable::Unknown,
            },
            (Err(_), _) => Variable::Unknown,
        };
        let new = if self.variables.readonly.contains(name) { Variable::Unknown } else { new };
        self.variables.named.insert(name.clone(), new);
    }
}

/// Whether the command is `declare -n`, `local -n` or `typeset -n`.
fn makes_references(simple: &Simple) -> bool {
    let words: Vec<&str> = simple.words.iter().filter_map(Word::bare).collect();
    let declares = matches!(words.first(), Some(&("declare" | "local" | "typeset")));
    declares && words.iter().any(|word| word.starts_with('-') && word.contains('n'))
}

/// The names to which an expression may assign: all names in it, if it contains an assignment operator.
fn assigned_in(text: &str) -> Vec<String> {
    let ends = |c| !is_in_name(c);
    // `${NAME:=$OTHER}`
    if let Some(inside) = text.strip_prefix("${") {
        let (name, rest) = inside.split_at(inside.find(ends).unwrap_or(inside.len()));
        let assigns = is_name(name) && rest.trim_start_matches(':').starts_with('=');
        return if assigns { vec![name.to_owned()] } else { Vec::new() };
    }
    let compares = ["==", "!=", "<=", ">="];
    let bare = compares.iter().fold(text.to_owned(), |text, sign| text.replace(sign, " "));
    if !text.starts_with('(') || !["=", "++", "--"].iter().any(|sign| bare.contains(sign)) {
        return Vec::new();
    }
    text.split(ends).filter(|word| is_name(word)).map(ToOwned::to_owned).collect()
}
