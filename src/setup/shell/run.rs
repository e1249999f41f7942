//! Follows the commands of a script in the order in which a shell would run them.

use std::collections::HashMap;
use std::rc::Rc;

use super::expand::{Variable, Variables};
use super::lex::{Part, Token, Word, tokens};
use super::parse::parse;
use super::tree::{After, Assignment, Node, Simple, Step, Value};
use super::{Call, Certainty, Input, MAX_COMMANDS, MAX_UNREAD, Reading, Unread};
use crate::setup::command::{Program, is_check};

/// Maximum depth of function calls.
const MAX_CALLS: usize = 8;

/// Values of `$1` with which a script is started at boot.
const START: [&str; 6] = ["start", "up", "on", "enable", "enabled", "boot"];

/// Programs that change nothing. They are not reported.
const QUIET: [&str; 22] = [
    "echo", "printf", "true", "false", ":", "test", "[", "sleep", "exit", "return", "set", "logger", "shift",
    "break", "continue", "trap", "cd", "umask", "id", "read", "unset", "wait",
];

/// The kind of the last command, which `&&` and `||` depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    /// A firewall command that changes something.
    Change,
    /// A firewall command that only reads.
    Check,
    Other,
}

pub(super) struct Runner<'t> {
    lines: Vec<&'t str>,
    variables: Variables,
    functions: HashMap<String, Rc<Vec<Step>>>,
    reading: Reading,
    commands: usize,
    depth: usize,
    last: Last,
    /// The output of the last command, for a pipe.
    printed: Option<Input>,
    /// After `exit`, or `return` in a function.
    ended: bool,
}

impl<'t> Runner<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            lines: text.lines().collect(),
            variables: Variables::default(),
            functions: HashMap::new(),
            reading: Reading::default(),
            commands: 0,
            depth: 0,
            last: Last::Other,
            printed: None,
            ended: false,
        }
    }

    pub(super) fn run(&mut self, steps: &[Step]) {
        self.steps(steps, Certainty::Certain);
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

    fn steps(&mut self, steps: &[Step], certainty: Certainty) {
        for step in steps {
            if self.ended {
                return;
            }
            let certainty = match (step.after, self.last) {
                (After::Always | After::Pipe, _) => certainty,
                (After::And, Last::Change) | (After::Or, Last::Check) => certainty,
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
            Node::Group(steps) => self.steps(steps, certainty),
            Node::Function { name, body } => drop(self.functions.insert(name.clone(), Rc::clone(body))),
            Node::For { name, words, body } => self.for_each(name, words, body, certainty),
            Node::Loop(condition, body) => {
                self.conditional(condition);
                self.conditional(body);
            }
            Node::If { condition, then, otherwise } => {
                let calls = self.reading.calls.len();
                self.conditional(condition);
                // "If the rule does not exist, add it": it exists afterwards.
                let asked = self.reading.calls.get(calls..).unwrap_or_default();
                let checked = !asked.is_empty() && asked.iter().all(|call| is_check(&call.words));
                let then_runs = checked && otherwise.is_empty();
                if then_runs {
                    self.steps(then, certainty)
                } else {
                    self.conditional(then)
                }
                self.conditional(otherwise);
            }
            Node::Case { word, arms } => self.case(word, arms, certainty),
        }
        self.last = Last::Other;
    }

    /// Follows commands that may not run: the variables that they set are unknown afterwards.
    fn conditional(&mut self, steps: &[Step]) {
        let before = self.variables.named.clone();
        self.steps(steps, Certainty::Conditional);
        self.ended = false;
        for (name, value) in &mut self.variables.named {
            if before.get(name) != Some(value) {
                *value = Variable::Unknown;
            }
        }
    }

    fn for_each(&mut self, name: &str, words: &[Word], body: &[Step], certainty: Certainty) {
        let values: Result<Vec<Vec<String>>, _> =
            words.iter().map(|word| self.variables.expand(word)).collect();
        let Ok(values) = values else {
            self.variables.named.insert(name.to_owned(), Variable::Unknown);
            return self.conditional(body);
        };
        for value in values.concat() {
            if self.commands > MAX_COMMANDS || self.ended {
                return;
            }
            self.variables.named.insert(name.to_owned(), Variable::Text(value));
            self.steps(body, certainty);
        }
    }

    fn case(&mut self, word: &Word, arms: &[(Vec<String>, Vec<Step>)], certainty: Certainty) {
        let text = self.variables.text(word).ok();
        let action = |part: &Part| matches!(part, Part::Variable { name, .. } if name == "1");
        let is_action = word.parts.iter().any(action);
        let matches = |pattern: &String| match &text {
            Some(text) => pattern == text || pattern == "*",
            None => is_action && START.contains(&pattern.as_str()),
        };
        let plain = |pattern: &String| pattern == "*" || !pattern.contains(['*', '?', '[', '$']);
        let sure = text.is_none() || arms.iter().flat_map(|(patterns, _)| patterns).all(plain);
        let taken = arms.iter().position(|(patterns, _)| patterns.iter().any(matches)).filter(|_| sure);
        for (nth, (_, body)) in arms.iter().enumerate() {
            match taken {
                Some(taken) if taken == nth => self.steps(body, certainty),
                Some(_) if text.is_some() => {}
                Some(_) | None => self.conditional(body),
            }
        }
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
            Err(why) => self.unknown(simple, why),
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
            Value::One(word) => self.variables.text(word).map(Variable::Text),
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

    /// A command whose words all have known values.
    fn words(&mut self, simple: &Simple, words: &[String], certainty: Certainty, printed: Input) {
        let skip = words.iter().take_while(|word| {
            matches!(
                word.as_str(),
                "sudo" | "command" | "exec" | "builtin" | "time" | "nohup" | "!" | "-n" | "-E"
            )
        });
        let Some((program, arguments)) = words.get(skip.count()..).and_then(|words| words.split_first())
        else {
            return;
        };
        if let Some(body) = self.functions.get(program).cloned() {
            return self.call(&body, arguments, certainty);
        }
        match program.as_str() {
            "exit" | "return" => self.ended = certainty == Certainty::Certain,
            "eval" => self.eval(simple, &arguments.join(" "), certainty),
            "." | "source" => {
                self.variables.named.values_mut().for_each(|value| *value = Variable::Unknown);
                self.unread(simple.line, "it runs another file, which tunwarden does not read".to_owned());
            }
            "sh" | "bash" | "dash" | "/bin/sh" | "/bin/bash" | "/usr/bin/bash" | "/bin/dash" => {
                match arguments.iter().position(|word| !word.starts_with('-')) {
                    Some(at @ 1..) if arguments.iter().take(at).any(|word| word.ends_with('c')) => {
                        let text = arguments.get(at).cloned().unwrap_or_default();
                        self.eval(simple, &text, certainty);
                    }
                    Some(at) => self.path(arguments.get(at).map_or("", String::as_str)),
                    None => {}
                }
            }
            "read" | "unset" => {
                for name in arguments {
                    self.variables.named.insert(name.clone(), Variable::Unknown);
                }
            }
            "cat" => self.printed = arguments.first().map(|file| Input::File(file.clone())),
            "echo" | "printf" => self.printed = Some(Input::Text(arguments.join(" ").replace("\\n", "\n"))),
            _ => self.program(simple, program, arguments, certainty, printed),
        }
    }

    fn call(&mut self, body: &Rc<Vec<Step>>, arguments: &[String], certainty: Certainty) {
        if self.depth >= MAX_CALLS {
            return;
        }
        self.depth += 1;
        let before = self.variables.arguments.replace(arguments.to_vec());
        self.steps(body, certainty);
        self.variables.arguments = before;
        self.depth -= 1;
        self.ended = false;
    }

    fn eval(&mut self, simple: &Simple, text: &str, certainty: Certainty) {
        if self.depth >= MAX_CALLS {
            return;
        }
        self.depth += 1;
        let (steps, broken) = parse(tokens(text));
        if broken.is_some() {
            self.unread(simple.line, "tunwarden does not understand the argument of `eval`".to_owned());
        } else {
            self.steps(&steps, certainty);
        }
        self.depth -= 1;
    }

    fn program(
        &mut self,
        simple: &Simple,
        program: &str,
        arguments: &[String],
        certainty: Certainty,
        printed: Input,
    ) {
        let Some((program, arguments)) = Program::named(program, arguments) else {
            let name = program.rsplit('/').next().unwrap_or_default();
            self.path(program);
            if ["nft", "ufw", "firewall-cmd", "netfilter-persistent", "shorewall", "ferm", "xargs"]
                .contains(&name)
            {
                self.unread(simple.line, format!("tunwarden does not understand commands of {name}"));
            } else if !QUIET.contains(&name) && self.reading.others.len() < 20 && name.len() < 40 {
                self.reading.others.insert(name.to_owned());
            }
            return;
        };
        let file = simple.input.as_ref().map(|word| self.variables.text(word));
        let input = match (&simple.here, file) {
            (Some(text), _) => match self.in_here(text) {
                Ok(text) => Input::Text(text),
                Err(why) => return self.unread(simple.line, why),
            },
            (None, Some(Ok(file))) => Input::File(file),
            (None, Some(Err(why))) => return self.unread(simple.line, why),
            (None, None) => printed,
        };
        self.last = if is_check(arguments) { Last::Check } else { Last::Change };
        let words = arguments.to_vec();
        self.reading.calls.push(Call { line: simple.line, program, words, certainty, input });
    }

    fn path(&mut self, path: &str) {
        if path.starts_with('/') && path.len() < 256 && self.reading.paths.len() < 64 {
            self.reading.paths.insert(path.to_owned());
        }
    }

    /// The text of a here-document, with variables replaced by their values.
    fn in_here(&self, text: &str) -> Result<String, String> {
        if !text.contains('$') {
            return Ok(text.to_owned());
        }
        let mut lines = Vec::new();
        for line in text.lines() {
            let quoted = format!("\"{}\"", line.replace('"', "\\\""));
            let tokens = tokens(&quoted);
            match tokens.list.first() {
                Some((_, Token::Word(word))) => lines.push(self.variables.text(word)?),
                _ => lines.push(line.to_owned()),
            }
        }
        Ok(lines.join("\n"))
    }
}
