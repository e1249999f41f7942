//! Runs one command whose words are known: a function, a builtin, a program of iptables, or another program.

use std::rc::Rc;

use super::expand::{Variable, Variables};
use super::lex::{Token, tokens};
use super::loops::{Passes, test};
use super::parse::parse;
use super::run::{Last, QUIET, Runner};
use super::tree::{Simple, Step};
use super::{Call, Certainty, Input};
use crate::setup::command::{Program, is_check};

/// Maximum depth of function calls.
const MAX_CALLS: usize = 8;

/// Programs that run the command in their arguments.
pub(super) const WRAPPERS: [&str; 14] = [
    "sudo", "doas", "command", "exec", "builtin", "time", "nohup", "env", "nice", "ionice", "timeout",
    "setsid", "stdbuf", "busybox",
];

impl Runner<'_> {
    /// A command whose words all have known values.
    pub(super) fn words(&mut self, simple: &Simple, words: &[String], certainty: Certainty, printed: Input) {
        let given = words;
        let words = unwrapped(given);
        let Some((program, arguments)) = words.split_first() else { return };
        if let Some(body) = self.functions.get(program).cloned() {
            return self.call(program, &body, Some(arguments.to_vec()), certainty);
        }
        match program.as_str() {
            "exit" => self.exited = certainty == Certainty::Certain,
            "return" => match certainty {
                Certainty::Certain => self.ended = true,
                // With another number than 0 it reports a failure. Only a function with arguments fails for some of
                // them. Where the arguments are not known, most scripts return early from what they do for `stop`.
                Certainty::Conditional => {
                    let is_success = arguments.first().is_none_or(|code| code == "0");
                    let own = self.variables.arguments.as_ref();
                    self.may_have_ended |= own.is_some_and(|own| is_success || !own.is_empty());
                }
            },
            // One with a number ends several loops.
            "continue" | "break" if !arguments.is_empty() => self.may_have_ended = true,
            "continue" => self.passes.note_continue(certainty),
            "break" => self.passes.note_break(certainty),
            "[" | "test" | "[[" => {
                self.last = match test(given) {
                    Some(true) => Last::True,
                    Some(false) => Last::False,
                    None => Last::Other,
                };
            }
            "shift" => self.shift(arguments, certainty),
            "set" => self.set(arguments, certainty),
            "eval" => self.eval(simple, &arguments.join(" "), certainty),
            "." | "source" => {
                self.variables.named.values_mut().for_each(|value| *value = Variable::Unknown);
                self.unread(simple.line, "it runs another file, which tunwarden does not read".to_owned());
            }
            "sh" | "bash" | "dash" | "/bin/sh" | "/bin/bash" | "/usr/bin/bash" | "/bin/dash" => {
                match arguments.iter().position(|word| !word.starts_with('-')) {
                    Some(at @ 1..) if arguments.iter().take(at).any(|word| word.ends_with('c')) => {
                        let text = arguments.get(at).cloned().unwrap_or_default();
                        self.other_shell(simple, &text, certainty);
                    }
                    Some(at) => self.path(arguments.get(at).map_or("", String::as_str)),
                    None => self.commands_of_input(simple, printed, certainty),
                }
            }
            "read" | "unset" | "let" | "mapfile" | "readarray" | "getopts" => self.forget(arguments),
            "cat" => self.printed = self.cat(simple, arguments),
            "echo" => {
                let end = if arguments.iter().any(|word| word == "-n") { "" } else { "\n" };
                self.printed = printed_text(arguments).map(|text| Input::Text(text + end));
            }
            "printf" if arguments.first().is_some_and(|word| word == "-v") => self.forget(arguments),
            "printf" => self.printed = printed_text(arguments).map(Input::Text),
            _ => self.program(simple, words, certainty, printed),
        }
    }

    /// The variables in these arguments get values that are not known: `read NAME`, `let NAME=1`.
    fn forget(&mut self, arguments: &[String]) {
        for word in arguments {
            let ends = |c: char| !c.is_ascii_alphanumeric() && c != '_';
            let name = word.split(ends).next().unwrap_or_default();
            self.variables.named.insert(name.to_owned(), Variable::Unknown);
        }
    }

    /// Follows a function. Without `arguments` their values are unknown.
    pub(super) fn call(
        &mut self,
        name: &str,
        body: &Rc<Vec<Step>>,
        arguments: Option<Vec<String>>,
        certainty: Certainty,
    ) {
        self.called.insert(name.to_owned());
        if self.depth >= MAX_CALLS {
            return;
        }
        self.depth += 1;
        let before = std::mem::replace(&mut self.variables.arguments, arguments);
        let around = (self.passes, self.may_have_ended, self.shifted);
        (self.passes, self.may_have_ended) = (Passes::default(), false);
        let locals = self.locals.len();
        self.steps(body, certainty);
        for (name, value) in self.locals.split_off(locals).into_iter().rev() {
            match value {
                Some(value) => drop(self.variables.named.insert(name, value)),
                None => drop(self.variables.named.remove(&name)),
            }
        }
        (self.passes, self.may_have_ended, self.shifted) = around;
        self.variables.arguments = before;
        self.depth -= 1;
        self.ended = false;
    }

    /// Follows the commands that a shell gets on its standard input.
    fn commands_of_input(&mut self, simple: &Simple, printed: Input, certainty: Certainty) {
        let file = simple.input.as_ref().map(|word| self.variables.text(word));
        match (self.given(simple), file, printed) {
            (Some(Ok(text)), _, _) | (None, None, Input::Text(text)) => {
                self.other_shell(simple, &text, certainty);
            }
            (Some(Err(why)), _, _) | (None, Some(Err(why)), _) => self.unread(simple.line, why),
            (None, Some(Ok(path)), _) | (None, None, Input::File(path)) => self.path(&path),
            (None, None, Input::Pipe) => {
                let why = "it runs commands that another program prints, which tunwarden does not read";
                self.unread(simple.line, why.to_owned());
            }
            (None, None, Input::None) => {}
        }
    }

    /// Follows the commands of a shell of its own. It has no functions, and only variables that are exported: none is known
    /// here.
    fn other_shell(&mut self, simple: &Simple, text: &str, certainty: Certainty) {
        let functions = std::mem::take(&mut self.functions);
        self.apart(|runner| {
            runner.variables = Variables::default();
            runner.shifted = true;
            runner.eval(simple, text, certainty);
        });
        self.functions = functions;
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

    fn program(&mut self, simple: &Simple, words: &[String], certainty: Certainty, printed: Input) {
        let Some((program, arguments)) = words.split_first() else { return };
        let Some((program, arguments)) = Program::named(program, arguments) else {
            let name = program.rsplit('/').next().unwrap_or_default();
            self.path(program);
            if changes_rules(arguments)
                || !QUIET.contains(&name) && arguments.iter().any(|word| is_command(word))
            {
                return self
                    .unread(simple.line, format!("tunwarden does not follow commands through {name}"));
            }
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
        let input = match (self.given(simple), file) {
            (Some(Ok(text)), _) => Input::Text(text),
            (Some(Err(why)), _) => return self.unread(simple.line, why),
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

    /// The output of `cat` with these arguments, if it is one file or a here-document.
    fn cat(&self, simple: &Simple, arguments: &[String]) -> Option<Input> {
        match (arguments, self.given(simple), &simple.input) {
            ([file], _, _) if file != "-" => Some(Input::File(file.clone())),
            ([], Some(text), _) => text.ok().map(Input::Text),
            ([], None, Some(word)) => self.variables.text(word).ok().map(Input::File),
            _ => None,
        }
    }

    /// The text of the here-document or the here-string of a command, if it has one.
    pub(super) fn given(&self, simple: &Simple) -> Option<Result<String, String>> {
        let string = |word| self.variables.text(word).map(|text| text + "\n");
        let here = simple.here.as_ref().map(|text| self.in_here(text));
        here.or_else(|| simple.string.as_ref().map(string))
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

/// The command without the programs that only start it: `sudo -u root timeout 5 iptables …`.
fn unwrapped(words: &[String]) -> &[String] {
    let mut rest = words;
    while let Some((first, after)) = rest.split_first() {
        let name = first.rsplit('/').next().unwrap_or_default();
        if first == "!" {
            rest = after;
            continue;
        }
        if !WRAPPERS.contains(&name) {
            break;
        }
        rest = after;
        // Options, their values, assignments and durations stand before the command.
        let value =
            |word: &String| word.chars().next().is_some_and(|c| c.is_ascii_digit()) || word.contains('=');
        while let Some((word, after)) = rest.split_first() {
            let takes_value = ["-u", "-g", "-n", "-c", "-k", "-s", "--user", "--group"]
                .contains(&word.as_str())
                && !(name == "sudo" && word == "-n");
            match word.as_str() {
                _ if takes_value => rest = after.get(1..).unwrap_or_default(),
                option if option.starts_with('-') || value(word) => rest = after,
                _ => break,
            }
        }
    }
    rest
}

/// Whether these are arguments of iptables that change rules.
fn changes_rules(arguments: &[String]) -> bool {
    let has = |options: &[&str]| arguments.iter().any(|word| options.contains(&word.as_str()));
    has(&["-A", "-I", "--append", "--insert"]) && has(&["-j", "-g", "--jump", "--goto"])
        || arguments.iter().any(|word| ["iptables", "ip6tables"].contains(&word.as_str()))
            && has(&["-P", "-F", "-D", "--policy", "--flush", "--delete"])
}

/// Whether a word is the text of a command that changes rules, as in `su -c 'iptables …'`.
fn is_command(word: &str) -> bool {
    let words: Vec<String> = word.split_whitespace().map(ToOwned::to_owned).collect();
    let is_program = |word: &String| Program::named(word, &[]).is_some();
    let after = words.iter().position(is_program).and_then(|at| words.get(at + 1..));
    after.is_some_and(|after| !after.is_empty() && !is_check(after))
}

/// What `echo` or `printf` prints, if that is known.
fn printed_text(arguments: &[String]) -> Option<String> {
    let options =
        arguments.iter().take_while(|word| ["-e", "-n", "-E", "-en", "-ne"].contains(&word.as_str()));
    let words = arguments.get(options.count()..)?;
    let formats = words.first().is_some_and(|word| word.contains('%'));
    (!formats).then(|| words.join(" ").replace("\\n", "\n"))
}
