//! Finds out whether commands may read the standard input that they share with the loop around them.

use std::collections::HashSet;

use super::Certainty;
use super::lex::{All, Part, Quoted, Reference, Word};
use super::program::unwrapped;
use super::run::{QUIET, Runner};
use super::tree::{After, Node, Simple, Step, Value};
use crate::setup::command::Program;

/// Maximum depth of calls to functions that are searched.
const MAX_DEPTH: usize = 8;

/// Programs that do not read standard input, in addition to those of [`QUIET`] and those that change rules.
const OTHERS: [&str; 6] = ["ip", "ipset", "sysctl", "modprobe", "conntrack", "systemctl"];

impl Runner<'_> {
    /// Whether one of these commands may read lines that the loop around them would read.
    pub(super) fn may_read(&self, steps: &[Step]) -> bool {
        ReadSearch { runner: self, seen: HashSet::new() }.steps(steps, 0)
    }
}

struct ReadSearch<'r, 't> {
    runner: &'r Runner<'t>,
    /// Functions that were searched. The search ends at the first command that may read.
    seen: HashSet<String>,
}

impl ReadSearch<'_, '_> {
    fn steps(&mut self, steps: &[Step], depth: usize) -> bool {
        // A command after a pipe reads the output of the command before it.
        steps.iter().any(|step| step.after != After::Pipe && self.node(&step.node, depth))
    }

    fn node(&mut self, node: &Node, depth: usize) -> bool {
        let mut any = |lists: &[&[Step]]| lists.iter().any(|steps| self.steps(steps, depth));
        match node {
            Node::Simple(simple) => self.simple(simple, depth),
            Node::Group(body) | Node::Subshell(body) => any(&[body]),
            Node::For { words, body, .. } => any(&[body]) || words.iter().any(|word| self.word(word)),
            Node::If { condition, then, otherwise } => any(&[condition, then, otherwise]),
            Node::Case { word, arms } => arms.iter().any(|(_, body)| any(&[body])) || self.word(word),
            Node::Loop { condition, body, input } => {
                !has_redirected_input(input) && any(&[condition, body]) || self.expands(input)
            }
            Node::Function { .. } => false,
        }
    }

    /// Whether a command in `$(…)` may read. It shares the input too.
    fn word(&self, word: &Word) -> bool {
        word.parts.iter().any(|part| match part {
            Part::Text(..) | Part::Variable(_) => false,
            Part::Output(_) => self.runner.variables.expand(&Word { parts: vec![part.clone()] }).is_err(),
            Part::Unknown(text) => text.contains(['`', '<']) || text.contains("$(") || text.starts_with("(("),
        })
    }

    fn expands(&self, simple: &Simple) -> bool {
        let mut words = simple.words.iter().chain(&simple.string).chain(&simple.input);
        let mut values = simple.assignments.iter().map(|assignment| match &assignment.value {
            Value::One(word) => std::slice::from_ref(word),
            Value::List(words) => words,
            Value::Element => &[],
        });
        let runs = |text: &str| text.contains('`') || text.contains("$(");
        words.any(|word| self.word(word))
            || values.any(|words| words.iter().any(|word| self.word(word)))
            || simple.here.as_ref().is_some_and(|here| here.quoted == Quoted::No && runs(&here.text))
    }

    fn simple(&mut self, simple: &Simple, depth: usize) -> bool {
        if self.expands(simple) {
            return true;
        }
        if has_redirected_input(simple) || simple.words.is_empty() {
            return false;
        }
        let words = self.words(simple);
        let Some(first) = words.first() else { return true };
        if let Some(function) = self.runner.functions.get(first) {
            let is_new = self.seen.insert(first.clone());
            return function.certainty == Certainty::Conditional
                || depth >= MAX_DEPTH
                || is_new && self.steps(&function.body.steps, depth + 1);
        }
        match unwrapped(&words).split_first() {
            Some((program, arguments)) => program_reads(program, arguments),
            None => first != "exec",
        }
    }

    /// The words of a command. A word with an unknown value begins with `?`. It is empty if it may expand to no word.
    fn words(&self, simple: &Simple) -> Vec<String> {
        let mut words = Vec::new();
        for word in &simple.words {
            match self.runner.variables.expand(word) {
                Ok(known) => words.extend(known),
                Err(_) if is_one_word(word) => words.push("?".to_owned()),
                Err(_) => words.push(String::new()),
            }
        }
        words
    }
}

/// Whether a word is always exactly one argument and never an option, for all values of its variables.
fn is_one_word(word: &Word) -> bool {
    let is_one = |part: &Part| match part {
        Part::Text(_, _) => true,
        Part::Variable(Reference { name, all, quoted, .. }) => {
            *quoted == Quoted::Yes && *all == All::No && name != "@"
        }
        Part::Output(_) | Part::Unknown(_) => false,
    };
    let is_option = matches!(word.parts.first(), Some(Part::Text(text, _)) if text.starts_with('-'));
    word.parts.iter().all(is_one) && !is_option
}

fn program_reads(program: &str, arguments: &[String]) -> bool {
    let name = program.rsplit('/').next().unwrap_or_default();
    let is_file = |word: &String| {
        let is_known = !word.is_empty() && !word.starts_with(['?', '-']);
        is_known && !["/dev/", "/proc/"].iter().any(|special| word.starts_with(special))
    };
    // Some programs read their commands from standard input: `ip -batch -`, `ipset restore`.
    let names_input = |word: &String| {
        ["-", "-R", "restore"].contains(&word.as_str()) || word.ends_with("=-") || word.contains("stdin")
    };
    match name {
        "read" => true,
        "logger" => !has_message(arguments),
        "cat" => arguments.is_empty() || !arguments.iter().all(is_file),
        _ if QUIET.contains(&name) => false,
        _ if OTHERS.contains(&name) => arguments.iter().any(names_input),
        _ => !matches!(Program::named(program, arguments), Some((Program::Rules(_), _))),
    }
}

/// Whether `logger` gets a message. The word after an option may be the value of the option.
fn has_message(arguments: &[String]) -> bool {
    let is_word = |word: &String| !word.is_empty() && !word.starts_with('-');
    match arguments {
        [message] => is_word(message),
        [.., before, message] => is_word(before) && is_word(message),
        [] => false,
    }
}

/// Whether the command redirects its input.
fn has_redirected_input(simple: &Simple) -> bool {
    simple.here.is_some() || simple.string.is_some() || simple.input.is_some()
}
