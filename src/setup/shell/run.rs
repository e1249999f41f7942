//! Follows the commands of a script in the order in which a shell would run them.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::expand::{Variable, Variables};
use super::lex::{Part, Reference, Word};
use super::loops::{Passes, glob, leaves};
use super::tree::{After, Assignment, Node, Simple, Step, Value};
use super::{Certainty, Input, MAX_COMMANDS, MAX_UNREAD, Reading, Unread};
use crate::setup::command::is_check;

/// Values of `$1` with which a script is started at boot.
const START: [&str; 6] = ["start", "up", "on", "enable", "enabled", "boot"];

/// Programs that change nothing. They are not reported.
pub(super) const QUIET: [&str; 31] = [
    "echo",
    "printf",
    "true",
    "false",
    ":",
    "test",
    "[",
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

/// The kind of the last command, which `&&` and `||` depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    /// A firewall command that changes something.
    Change,
    /// A firewall command that only reads.
    Check,
    /// A comparison of known words that is true, and one that is false.
    True,
    False,
    Other,
}

pub(super) struct Runner<'t> {
    lines: Vec<&'t str>,
    pub(super) variables: Variables,
    pub(super) functions: HashMap<String, Rc<Vec<Step>>>,
    /// Functions that a command has called.
    pub(super) called: HashSet<String>,
    pub(super) reading: Reading,
    pub(super) commands: usize,
    pub(super) depth: usize,
    pub(super) last: Last,
    /// The output of the last command, for a pipe.
    pub(super) printed: Option<Input>,
    /// After `return` in a function.
    pub(super) ended: bool,
    /// After a `return` in a function that may not have run.
    pub(super) may_have_ended: bool,
    pub(super) passes: Passes,
    /// After `exit`.
    pub(super) exited: bool,
}

impl<'t> Runner<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            lines: text.lines().collect(),
            variables: Variables::default(),
            functions: HashMap::new(),
            called: HashSet::new(),
            reading: Reading::default(),
            commands: 0,
            depth: 0,
            last: Last::Other,
            printed: None,
            ended: false,
            may_have_ended: false,
            passes: Passes::default(),
            exited: false,
        }
    }

    pub(super) fn run(&mut self, steps: &[Step]) {
        self.steps(steps, Certainty::Certain);
        self.uncalled();
    }

    /// Follows the functions that no command has called: another program may call them, or a name in a variable
    /// does. Their commands are not certain.
    fn uncalled(&mut self) {
        let mut names: Vec<String> = self.functions.keys().cloned().collect();
        names.sort_unstable();
        for name in names {
            if !self.called.contains(&name)
                && let Some(body) = self.functions.get(&name).cloned()
            {
                (self.ended, self.exited) = (false, false);
                self.call(&name, &body, None, Certainty::Conditional);
            }
        }
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
    fn source(&self, line: usize) -> String {
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
        for step in steps {
            if self.ended || self.exited || self.passes.is_over() {
                return;
            }
            // Commands that do not run are listed, but they end nothing.
            let never_runs =
                matches!((step.after, self.last), (After::And, Last::False) | (After::Or, Last::True));
            if never_runs && leaves(&step.node) {
                continue;
            }
            let certainty = match (step.after, self.last) {
                _ if self.may_have_ended || self.passes.is_uncertain() => Certainty::Conditional,
                (After::Always | After::Pipe, _) => certainty,
                (After::And, Last::Change | Last::True) => certainty,
                (After::Or, Last::Check | Last::False) => certainty,
                (After::And | After::Or, _) => Certainty::Conditional,
            };
            if step.after != After::Pipe {
                self.printed = None;
            }
            self.node(&step.node, step.after, certainty);
        }
    }

    fn node(&mut self, node: &Node, after: After, certainty: Certainty) {
        match node {
            Node::Simple(simple) => return self.simple(simple, after, certainty),
            Node::Group(steps) => {
                self.steps(steps, certainty);
                // Only the output of its last command is known here.
                self.printed = None;
            }
            Node::Function { name, body } => drop(self.functions.insert(name.clone(), Rc::clone(body))),
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
        // "If the rule does not exist, add it": it exists afterwards.
        let asked = self.reading.calls.get(calls..).unwrap_or_default();
        let checked = !asked.is_empty() && asked.iter().all(|call| is_check(&call.words));
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

    /// Lists commands that do not run.
    fn not_taken(&mut self, steps: &[Step]) {
        let before = (self.variables.named.clone(), self.passes, self.may_have_ended, self.exited);
        self.conditional(steps);
        (self.variables.named, self.passes, self.may_have_ended, self.exited) = before;
    }

    /// Follows commands that may not run: the variables that they set are unknown afterwards.
    pub(super) fn conditional(&mut self, steps: &[Step]) {
        let before = self.variables.named.clone();
        self.steps(steps, Certainty::Conditional);
        self.ended = false;
        for (name, value) in &mut self.variables.named {
            if before.get(name) != Some(value) {
                *value = Variable::Unknown;
            }
        }
    }

    fn case(&mut self, word: &Word, arms: &[(Vec<String>, Vec<Step>)], certainty: Certainty) {
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
                None if text.is_some() && sure => self.not_taken(body),
                Some(_) | None => self.conditional(body),
            }
        }
    }

    fn is_first_argument(&self, part: &Part) -> bool {
        let Part::Variable(Reference { name, .. }) = part else { return false };
        name == "1" && self.variables.arguments.is_none()
            || self.variables.named.get(name) == Some(&Variable::FirstArgument)
    }

    fn simple(&mut self, simple: &Simple, after: After, certainty: Certainty) {
        self.commands += 1;
        if self.commands > MAX_COMMANDS {
            if self.commands == MAX_COMMANDS + 1 {
                self.unread(simple.line, format!("more than {MAX_COMMANDS} commands"));
            }
            return;
        }
        for assignment in &simple.assignments {
            self.assign(assignment);
        }
        let words: Result<Vec<Vec<String>>, String> =
            simple.words.iter().map(|word| self.variables.expand(word)).collect();
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
                }
            }
            Err(why) => match simple.words.first().and_then(Word::bare) {
                // `main "$@"`
                Some(name) if self.functions.contains_key(name) => {
                    let (name, body) =
                        (name.to_owned(), self.functions.get(name).cloned().unwrap_or_default());
                    self.call(&name, &body, None, certainty);
                }
                Some(_) | None => self.unknown(simple, why),
            },
        }
    }

    /// A command with a word of unknown value.
    fn unknown(&mut self, simple: &Simple, why: String) {
        let text = self.source(simple.line);
        let about = ["iptables", "ip6tables", "nft ", "ufw ", " -A ", " -I ", " -j ", "--append", "--jump"];
        let unknown_program = simple.words.first().is_some_and(|word| self.variables.expand(word).is_err())
            && !text.starts_with('[');
        let first = simple.words.first().and_then(Word::bare).unwrap_or_default();
        if (about.iter().any(|word| text.contains(word)) || unknown_program) && !QUIET.contains(&first) {
            self.unread(simple.line, why);
        }
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
                words.map(|words| Variable::List(words.concat()))
            }
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
        self.variables.named.insert(name.clone(), new);
    }
}
