//! Follows the commands of a script in the order in which a shell would run them.

use std::rc::Rc;

use super::expand::{Variable, Variables};
use super::functions::Functions;
use super::leave::{Ends, leaves};
use super::lex::{Part, Reference, Word};
use super::loops::glob;
use super::shells::is_like_bash;
use super::tree::{After, Body, Node, Simple, Step};
use super::{Certainty, Input, MAX_COMMANDS, MAX_UNREAD, Reading, Unread};
use crate::setup::command::is_check;

/// Values of `$1` that a boot uses to start a script.
pub(super) const START: [&str; 6] = ["start", "up", "on", "enable", "enabled", "boot"];

/// Programs that change nothing. They are not reported.
pub(super) const QUIET: [&str; 32] = [
    "echo",
    "printf",
    "true",
    "false",
    ":",
    "test",
    "[",
    "[[",
    "sleep",
    "exit",
    "return",
    "set",
    "logger",
    "shift",
    "break",
    "continue",
    "trap",
    "cd",
    "umask",
    "id",
    "read",
    "unset",
    "wait",
    "export",
    "local",
    "readonly",
    "declare",
    "typeset",
    "let",
    "shopt",
    "getopts",
    "iptables-save",
];

/// The result of the last command, on which `&&` and `||` depend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    /// A firewall command that changes something.
    Change,
    /// A firewall command that only reads, and such a command after `!`. At boot no rule exists.
    Check,
    NotCheck,
    /// A comparison of known words that is true, and one that is false.
    True,
    False,
    Other,
}

/// Whether a command runs, depending on the result of the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Execution {
    Runs,
    MayRun,
    /// It runs only if a change fails. The reader assumes that changes succeed.
    AfterFailure,
    Never,
}

pub(super) struct Runner<'t> {
    lines: Vec<&'t str>,
    pub(super) variables: Variables,
    pub(super) functions: Functions,
    /// All functions that a command has defined.
    pub(super) defined: Vec<(String, Rc<Body>)>,
    pub(super) reading: Reading,
    /// The amount of work so far, and the line of the last command.
    commands: usize,
    line: usize,
    pub(super) depth: usize,
    pub(super) last: Last,
    /// The output of the last command, for a pipe.
    pub(super) printed: Option<Input>,
    pub(super) ends: Ends,
    /// Whether the commands do not run when the script starts at boot. Then they are only listed.
    pub(super) is_dormant: bool,
    /// Set after the first firewall command that adds a rule or closes a chain.
    pub(super) has_changed: bool,
    /// Set after `shift` outside a function: then `$1` is no longer the first argument of the script.
    pub(super) shifted: bool,
    /// Variables that exist only inside a function, with their outer values.
    pub(super) locals: Vec<(String, Option<Variable>)>,
}

impl<'t> Runner<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let is_like_bash =
            text.lines().next().is_some_and(|line| line.starts_with("#!") && is_like_bash(line));
        Self {
            lines: text.lines().collect(),
            variables: Variables { is_like_bash, ..Variables::default() },
            functions: Functions::default(),
            defined: Vec::new(),
            reading: Reading::default(),
            commands: 0,
            line: 1,
            depth: 0,
            last: Last::Other,
            printed: None,
            ends: Ends::default(),
            is_dormant: false,
            has_changed: false,
            shifted: false,
            locals: Vec::new(),
        }
    }

    pub(super) fn run(&mut self, steps: &[Step]) {
        self.steps(steps, Certainty::Certain);
        self.uncalled();
    }

    pub(super) fn done(self) -> Reading {
        self.reading
    }

    pub(super) fn unread(&mut self, line: usize, why: String) {
        let text = self.source(line);
        let unread = Unread { line, text, why };
        if self.reading.unread.len() < MAX_UNREAD && !self.reading.unread.contains(&unread) {
            self.reading.unread.push(unread);
        }
    }

    /// A line of the script and its continuation lines.
    pub(super) fn source(&self, line: usize) -> String {
        let mut text = String::new();
        for part in self.lines.iter().skip(line.saturating_sub(1)).take(20) {
            let part = part.trim();
            match part.strip_suffix('\\') {
                Some(part) => text += part,
                None => {
                    text += part;
                    break;
                }
            }
        }
        text.chars().filter(|c| !c.is_control()).take(200).collect()
    }

    pub(super) fn steps(&mut self, steps: &[Step], certainty: Certainty) {
        let mut chance = Execution::Runs;
        for (nth, step) in steps.iter().enumerate() {
            if self.is_over() {
                return self.behind_the_end(steps.get(nth..).unwrap_or_default());
            }
            if step.after != After::Pipe {
                self.printed = None;
            }
            chance = match (step.after, self.last) {
                // Either all parts of a pipe run, or none.
                (After::Pipe, _) => chance,
                (After::Always, _)
                | (After::And, Last::Change | Last::True | Last::NotCheck)
                | (After::Or, Last::Check | Last::False) => Execution::Runs,
                (After::And, Last::False) | (After::Or, Last::True) => Execution::Never,
                (After::Or, Last::Change) => Execution::AfterFailure,
                (After::And | After::Or, _) => Execution::MayRun,
            };
            let certainty = if self.may_be_over() { Certainty::Conditional } else { certainty };
            // A shell may run each part of a pipe in its own process.
            let in_pipe =
                step.after == After::Pipe || steps.get(nth + 1).is_some_and(|next| next.after == After::Pipe);
            match chance {
                Execution::Never => self.never(step),
                Execution::MayRun => self.run_uncertain(step),
                Execution::AfterFailure => self.dormant(|runner| runner.run_uncertain(step)),
                Execution::Runs if in_pipe => {
                    self.in_pipe(|runner| runner.node(&step.node, step.after, certainty));
                }
                Execution::Runs => self.node(&step.node, step.after, certainty),
            }
        }
    }

    /// Lists the commands after `exit`, which never run. Commands after `return`, `break` and `continue` may run at
    /// another time, and are followed then.
    fn behind_the_end(&mut self, steps: &[Step]) {
        if self.ends.exited && !self.is_dormant {
            let ends = std::mem::take(&mut self.ends);
            self.not_taken(steps);
            self.ends = ends;
        }
    }

    /// Follows a command that may not run.
    fn run_uncertain(&mut self, step: &Step) {
        // At boot no rule exists, so a check for a rule does not end the script.
        if !(step.after == After::And && self.last == Last::Check && leaves(&step.node)) {
            self.with_unknown_results(|runner| runner.node(&step.node, step.after, Certainty::Conditional));
        }
        self.last = Last::Other;
    }

    /// Lists a command that does not run. It ends nothing, and the next command depends on the result before it.
    fn never(&mut self, step: &Step) {
        if leaves(&step.node) {
            return;
        }
        let last = self.last;
        self.dormant(|runner| {
            runner.isolated(|runner| runner.node(&step.node, step.after, Certainty::Conditional));
        });
        self.last = last;
    }

    fn node(&mut self, node: &Node, after: After, certainty: Certainty) {
        match node {
            Node::Simple(simple) => return self.simple(simple, after, certainty),
            Node::Group(steps) => {
                self.steps(steps, certainty);
                // Only the output of the last command would be known here.
                self.printed = None;
            }
            Node::Subshell(steps) => {
                self.isolated(|runner| runner.steps(steps, certainty));
                self.printed = None;
            }
            Node::Function { name, body } => self.define(name, body),
            Node::For { name, words, body } => self.for_each(name, words, body, certainty),
            Node::Loop { condition, body, input } => self.while_loop([condition, body], input, certainty),
            Node::If { condition, then, otherwise } => self.if_node(condition, [then, otherwise], certainty),
            Node::Case { word, arms } => self.case(word, arms, certainty),
        }
        self.last = Last::Other;
    }

    fn if_node(&mut self, condition: &[Step], branches: [&[Step]; 2], certainty: Certainty) {
        let [then, otherwise] = branches;
        let calls = self.reading.calls.len();
        self.conditional(condition);
        // "If the rule does not exist, add it": after this the rule exists.
        let asked = self.reading.calls.get(calls..).unwrap_or_default();
        let is_negated = condition.first().is_some_and(|step| is_negated(&step.node));
        let checked = is_negated && !asked.is_empty() && asked.iter().all(|call| is_check(&call.words));
        match (condition.len(), self.last) {
            (1, Last::True) => {
                self.steps(then, certainty);
                self.not_taken(otherwise);
            }
            (1, Last::False) => {
                self.not_taken(then);
                self.steps(otherwise, certainty);
            }
            _ if checked && otherwise.is_empty() => self.steps(then, certainty),
            _ => {
                self.conditional(then);
                self.conditional(otherwise);
            }
        }
    }

    /// Adds to the amount of work. Returns false if it is too much.
    pub(super) fn counts(&mut self, many: usize) -> bool {
        if self.commands > MAX_COMMANDS {
            return false;
        }
        self.commands += many;
        if self.commands > MAX_COMMANDS {
            self.unread(self.line, format!("more than {MAX_COMMANDS} commands"));
        }
        self.commands <= MAX_COMMANDS
    }

    fn case(&mut self, word: &Word, arms: &[(Vec<String>, Vec<Step>)], certainty: Certainty) {
        self.change_by(word);
        let text = self.variables.text(word).ok();
        let is_action = word.parts.iter().any(|part| self.is_first_argument(part));
        let matches = |pattern: &String| match &text {
            Some(text) => glob(pattern, text),
            None => is_action && START.contains(&pattern.as_str()),
        };
        let plain = |pattern: &String| !pattern.contains(['[', '$']);
        let sure = text.is_none() || arms.iter().flat_map(|(patterns, _)| patterns).all(plain);
        let taken = arms.iter().position(|(patterns, _)| patterns.iter().any(matches)).filter(|_| sure);
        for (nth, (_, body)) in arms.iter().enumerate() {
            match taken {
                Some(taken) if taken == nth => self.steps(body, certainty),
                Some(_) if text.is_some() => {}
                Some(_) => self.not_taken(body),
                None if text.is_some() && sure => self.not_taken(body),
                None => self.conditional(body),
            }
        }
    }

    pub(super) fn is_first_argument(&self, part: &Part) -> bool {
        let Part::Variable(Reference { name, .. }) = part else { return false };
        name == "1" && self.variables.arguments.is_none() && !self.shifted
            || self.variables.named.get(name) == Some(&Variable::FirstArgument)
    }

    fn simple(&mut self, simple: &Simple, after: After, certainty: Certainty) {
        self.line = simple.line;
        if !self.counts(1) {
            return;
        }
        let words: Result<Vec<Vec<String>>, String> =
            simple.words.iter().map(|word| self.variables.expand(word)).collect();
        self.side_effects(simple);
        match simple.words.first().and_then(Word::bare) {
            Some("local" | "declare" | "typeset") if self.depth > 0 => self.declare(simple, certainty),
            Some("export" | "readonly" | "local" | "declare" | "typeset") => self.assign_all(simple),
            None if simple.words.is_empty() => self.assign_all(simple),
            Some(_) | None if simple.assignments.is_empty() => {}
            // `IFS=: read NAME`
            Some("read") if simple.assignments.iter().all(|assignment| assignment.name == "IFS") => {}
            // `NAME=VALUE COMMAND`: for most commands only the command gets the value.
            Some(_) | None => self.with_unknown_results(|runner| runner.assign_all(simple)),
        }
        let printed = match after {
            After::Pipe => self.printed.take().unwrap_or(Input::Pipe),
            After::Always | After::And | After::Or => Input::None,
        };
        let before = std::mem::replace(&mut self.last, Last::Other);
        match words {
            Ok(words) => {
                let words = words.concat();
                self.words(simple, &words, certainty, printed);
                if words.is_empty() && after == After::Always {
                    self.last = before;
                } else if Self::only_assigns(simple) {
                    self.last = Last::True;
                }
            }
            Err(why) => self.partly_known(simple, why, certainty, printed),
        }
    }
}

/// Whether a command stands after `!`.
fn is_negated(node: &Node) -> bool {
    matches!(node, Node::Simple(simple) if simple.words.first().and_then(Word::bare) == Some("!"))
}
