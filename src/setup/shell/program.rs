//! Runs one command whose words are known: a function, a builtin, a program of the iptables family, or another program.

use super::expand::Variable;
use super::lex::{Document, Quoted, Token, tokens};
use super::loops::test;
use super::printed::{echo, printf};
use super::run::{Last, QUIET, Runner};
use super::shells::is_shell;
use super::tree::Simple;
use super::word::is_in_name;
use super::{Call, Certainty, Input};
use crate::setup::command::{Program, is_check};
use crate::setup::rule_change::starts_a_firewall;

/// Programs that run the command that their arguments contain.
pub(super) const WRAPPERS: [&str; 14] = [
    "sudo", "doas", "command", "exec", "builtin", "time", "nohup", "env", "nice", "ionice", "timeout",
    "setsid", "stdbuf", "busybox",
];

/// Programs that only store, print or compare their input.
const READERS: [&str; 12] =
    ["cat", "tee", "grep", "sed", "awk", "sort", "wc", "mail", "head", "tail", "less", "more"];

/// Files with functions that print messages.
const MESSAGE_LIBRARIES: [&str; 4] = [
    "/lib/lsb/init-functions",
    "/usr/lib/lsb/init-functions",
    "/etc/init.d/functions",
    "/etc/rc.d/init.d/functions",
];

impl Runner<'_> {
    /// A command whose words all have known values.
    pub(super) fn words(&mut self, simple: &Simple, given: &[String], certainty: Certainty, printed: Input) {
        if let Some(found) = looks_for_a_program(given) {
            self.last = if found.iter().all(|name| is_installed(name)) { Last::True } else { Last::Other };
            return self.negate(given);
        }
        let words = unwrapped(given);
        let Some((program, arguments)) = words.split_first() else {
            // `sudo -s <<END`
            return self.text_for_another(simple, given.first().map_or("", String::as_str), &printed);
        };
        let function = self.functions.get(program).filter(|_| !is_started_by_another(given)).cloned();
        match function {
            None => self.builtin(simple, [given, words], certainty, printed),
            Some(function) => {
                self.call(&function, Some(arguments.to_vec()), simple.line, certainty);
                // If the function does not exist, the program with this name runs.
                if function.certainty == Certainty::Conditional
                    && Program::named(program, arguments).is_some()
                {
                    self.program(simple, words, Certainty::Conditional, printed);
                    self.last = Last::Other;
                }
            }
        }
        self.negate(given);
        // The program replaces the shell.
        if certainty == Certainty::Certain && given.first().is_some_and(|word| word == "exec") {
            self.ends.exited = true;
        }
    }

    fn builtin(
        &mut self,
        simple: &Simple,
        [given, words]: [&[String]; 2],
        certainty: Certainty,
        printed: Input,
    ) {
        let Some((program, arguments)) = words.split_first() else { return };
        match program.as_str() {
            "exit" | "return" | "continue" | "break" => self.leave(program, arguments, certainty),
            "[" | "test" | "[[" => {
                self.last = match test(given, self.variables.is_like_bash) {
                    Some(true) => Last::True,
                    Some(false) => Last::False,
                    None => Last::Other,
                };
            }
            "true" | ":" => self.last = Last::True,
            "false" => self.last = Last::False,
            "shift" => self.shift(arguments, certainty),
            "set" => self.set(arguments, certainty),
            "eval" => self.eval(simple, &arguments.join(" "), certainty),
            "." | "source"
                if arguments.first().is_some_and(|file| MESSAGE_LIBRARIES.contains(&file.as_str())) => {}
            "." | "source" => {
                self.forget_all();
                self.unread(simple.line, "it runs another file, which tunwarden does not read".to_owned());
            }
            shell if is_shell(shell) => self.shell(simple, (shell, arguments), certainty, printed),
            "unset" => {
                self.undefine(arguments, certainty);
                self.forget(arguments);
            }
            "read" | "let" | "mapfile" | "readarray" | "getopts" => self.forget(arguments),
            "tee" => self.printed = self.input(simple, printed).ok(),
            "cat" => self.printed = self.cat(simple, arguments),
            "echo" => self.printed = echo(arguments, self.variables.is_like_bash).map(Input::Text),
            "trap" if arguments.first().is_some_and(|word| is_command(word)) => {
                self.unread(simple.line, "tunwarden does not follow commands of a trap".to_owned());
            }
            "printf" if arguments.first().is_some_and(|word| word == "-v") => self.forget(arguments),
            "printf" => self.printed = printf(arguments).map(Input::Text),
            _ => self.program(simple, words, certainty, printed),
        }
    }

    /// Makes the variables in these arguments unknown: `read NAME`, `let NAME=1`.
    pub(super) fn forget(&mut self, arguments: &[String]) {
        for word in arguments {
            let name = word.split(|c| !is_in_name(c)).next().unwrap_or_default();
            self.variables.named.insert(name.to_owned(), Variable::Unknown);
        }
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
            let given: Vec<&str> = words.iter().map(String::as_str).collect();
            if starts_a_firewall(&given) {
                self.unread(simple.line, "it starts another firewall, which has rules of its own".to_owned());
            } else if name == "tunwarden" && arguments.iter().any(|word| word == "release") {
                self.unread(simple.line, "it removes the rules of tunwarden".to_owned());
            } else if ["nft", "ufw", "firewall-cmd", "netfilter-persistent", "shorewall", "ferm", "xargs"]
                .contains(&name)
            {
                self.unread(simple.line, format!("tunwarden does not understand commands of {name}"));
            } else if !QUIET.contains(&name) && self.reading.others.len() < 20 && name.len() < 40 {
                self.reading.others.insert(name.to_owned());
            }
            return self.text_for_another(simple, name, &printed);
        };
        let input = self.input(simple, printed).unwrap_or_else(|why| {
            self.unread(simple.line, why);
            Input::Unknown
        });
        self.last = if is_check(arguments) { Last::Check } else { Last::Change };
        let words = arguments.to_vec();
        self.push(Call { line: simple.line, program, words, certainty, input });
    }

    pub(super) fn push(&mut self, call: Call) {
        let certainty = if self.is_dormant { Certainty::Never } else { call.certainty };
        let has = |options: &[&str]| call.words.iter().any(|word| options.contains(&word.as_str()));
        let changes = match call.program {
            Program::Restore(_) => true,
            Program::Rules(_) => {
                has(&["-A", "-I", "--append", "--insert"])
                    || has(&["-P", "--policy"]) && has(&["DROP", "REJECT"])
            }
        };
        self.has_changed |= changes && certainty == Certainty::Certain;
        self.reading.calls.push(Call { certainty, ..call });
    }

    /// The result of a command after `!`.
    pub(super) fn negate(&mut self, given: &[String]) {
        if given.first().is_some_and(|word| word == "!") {
            self.last = match self.last {
                Last::Check => Last::NotCheck,
                Last::NotCheck => Last::Check,
                Last::True => Last::False,
                Last::False => Last::True,
                Last::Change | Last::Other => Last::Other,
            };
        }
    }

    /// Lists a line that passes firewall commands to another program: `sudo -s <<END`, `echo … | at now`.
    fn text_for_another(&mut self, simple: &Simple, name: &str, printed: &Input) {
        let given = self.given(simple).and_then(Result::ok);
        let text = match (&given, printed) {
            (Some(text), _) | (None, Input::Text(text)) => text,
            (None, _) => return,
        };
        if !READERS.contains(&name) && !QUIET.contains(&name) && text.lines().any(is_command) {
            self.unread(simple.line, format!("tunwarden does not follow commands that {name} gets"));
        }
    }

    pub(super) fn path(&mut self, path: &str) {
        if path.starts_with('/') && path.len() < 256 && self.reading.paths.len() < 64 {
            self.reading.paths.insert(path.to_owned());
        }
    }

    /// The output of `cat` with these arguments, if it is one file or a here-document.
    fn cat(&self, simple: &Simple, arguments: &[String]) -> Option<Input> {
        match arguments {
            [file] if file != "-" => Some(Input::File(file.clone())),
            [] => self.input(simple, Input::Pipe).ok(),
            _ => None,
        }
    }

    /// The standard input of a command: `printed`, unless the command redirects its input.
    pub(super) fn input(&self, simple: &Simple, printed: Input) -> Result<Input, String> {
        match (self.given(simple), &simple.input) {
            (Some(text), _) => text.map(Input::Text),
            (None, Some(word)) => self.variables.text(word).map(Input::File),
            (None, None) => Ok(printed),
        }
    }

    /// The text of the here-document or the here-string of a command, if it has one.
    pub(super) fn given(&self, simple: &Simple) -> Option<Result<String, String>> {
        let string =
            |word| match self.variables.is_like_bash {
                true => self.variables.text(word).map(|text| text + "\n"),
                false => Err("not every shell knows `<<<`; the first line of the script names no such shell"
                    .to_owned()),
            };
        let here = simple.here.as_ref().map(|text| self.in_here(text));
        here.or_else(|| simple.string.as_ref().map(string))
    }

    /// The text of a here-document, with variables replaced by their values.
    fn in_here(&self, Document { text, quoted }: &Document) -> Result<String, String> {
        if *quoted == Quoted::Yes || !text.contains(['$', '`', '\\']) {
            return Ok(text.to_owned());
        }
        let unknown = || "tunwarden does not follow this here-document".to_owned();
        let mut lines = Vec::new();
        for line in text.replace("\\\n", "").lines() {
            if line.contains("\\\"") {
                return Err(unknown());
            }
            let quoted = format!("\"{}\"", line.replace('"', "\\\""));
            let tokens = tokens(&quoted);
            match &tokens.list[..] {
                [(_, Token::Word(word))] if tokens.open.is_none() => lines.push(self.variables.text(word)?),
                _ => return Err(unknown()),
            }
        }
        Ok(lines.join("\n"))
    }
}

/// The command without the programs that only start it, as in `sudo -u root timeout 5 iptables …`.
pub(super) fn unwrapped(words: &[String]) -> &[String] {
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
        // Options, their values, assignments and durations come before the command.
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

/// The programs that a command such as `command -v iptables` looks for. It runs none of them.
fn looks_for_a_program(given: &[String]) -> Option<Vec<&str>> {
    let words: Vec<&str> = given.iter().map(String::as_str).skip_while(|word| *word == "!").collect();
    let names = match words.as_slice() {
        ["command", "-v" | "-V" | "-pv", names @ ..] | ["which" | "type" | "hash", names @ ..] => names,
        _ => return None,
    };
    Some(names.iter().copied().filter(|name| !name.starts_with('-')).collect())
}

/// Whether a program is certainly installed. For other programs this is known only when the script runs.
pub(super) fn is_installed(name: &str) -> bool {
    let base = name.rsplit('/').next().unwrap_or_default();
    let is_wrapper = WRAPPERS.contains(&base) && !["doas", "busybox"].contains(&base);
    base == "ip" || base.starts_with("iptables") || base.starts_with("ip6tables") || is_wrapper
}

/// Whether a program or `command` starts this command. Then no function is called.
fn is_started_by_another(words: &[String]) -> bool {
    let before = words.len() - unwrapped(words).len();
    let name = |word: &String| word.rsplit('/').next().unwrap_or_default().to_owned();
    words.iter().take(before).map(name).any(|name| name != "time" && WRAPPERS.contains(&name.as_str()))
}

/// Whether these are arguments of iptables that change rules.
fn changes_rules(arguments: &[String]) -> bool {
    let has = |options: &[&str]| arguments.iter().any(|word| options.contains(&word.as_str()));
    has(&["-A", "-I", "--append", "--insert"]) && has(&["-j", "-g", "--jump", "--goto"])
        || arguments.iter().any(|word| ["iptables", "ip6tables"].contains(&word.as_str()))
            && has(&["-P", "-F", "-D", "--policy", "--flush", "--delete"])
}

/// Whether a word contains a whole command that changes rules, as in `su -c 'iptables …'`.
fn is_command(word: &str) -> bool {
    let words: Vec<String> = word.split_whitespace().map(ToOwned::to_owned).collect();
    let is_program = |word: &String| Program::named(word, &[]).is_some();
    let after = words.iter().position(is_program).and_then(|at| words.get(at + 1..));
    after.is_some_and(|after| !after.is_empty() && !is_check(after))
}
