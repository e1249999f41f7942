//! Shells that a script starts: `sh -c TEXT`, `sh <<END`, `sh FILE`, and `eval`.

use std::rc::Rc;

use super::expand::Variables;
use super::functions::MAX_CALLS;
use super::lex::tokens;
use super::loops::Passes;
use super::parse::parse;
use super::run::Runner;
use super::tree::Simple;
use super::{Certainty, Input};

/// The names of shells.
const SHELLS: [&str; 6] = ["sh", "bash", "dash", "ash", "ksh", "zsh"];

/// Whether a program is a shell.
pub(super) fn is_shell(program: &str) -> bool {
    SHELLS.contains(&program.rsplit('/').next().unwrap_or_default())
}

/// Whether a shell with this name knows `[[`, and `==` in `[`.
pub(super) fn is_like_bash(name: &str) -> bool {
    ["bash", "ksh", "zsh"].iter().any(|shell| name.contains(shell))
}

/// The source of a shell's commands.
enum Commands<'w> {
    /// `-c TEXT`
    Text(&'w str),
    File(&'w str),
    Stdin,
    /// `-c` without a text.
    Missing,
}

/// Reads the arguments of a shell.
fn commands(arguments: &[String]) -> Commands<'_> {
    let (mut rest, mut has_text, mut has_stdin) = (arguments, false, false);
    while let Some((option, after)) = rest.split_first() {
        let is_option = option.len() > 1 && option.starts_with(['-', '+']);
        if !is_option {
            break;
        }
        rest = after;
        let letters = option.get(1..).unwrap_or_default();
        if option == "--" {
            break;
        }
        let takes_value = match letters.strip_prefix('-') {
            Some(long) => ["rcfile", "init-file"].contains(&long),
            None => letters.contains(['o', 'O']),
        };
        if !letters.starts_with('-') && option.starts_with('-') {
            has_text |= letters.contains('c');
            has_stdin |= letters.contains('s');
        }
        if takes_value {
            rest = rest.get(1..).unwrap_or_default();
        }
    }
    match (rest.first(), has_text, has_stdin) {
        (Some(text), true, _) => Commands::Text(text),
        (None, true, _) => Commands::Missing,
        (Some(file), false, false) if file != "-" => Commands::File(file),
        (_, false, _) => Commands::Stdin,
    }
}

impl Runner<'_> {
    /// Follows the commands of a shell, if the script contains them.
    pub(super) fn shell(
        &mut self,
        simple: &Simple,
        (name, arguments): (&str, &[String]),
        certainty: Certainty,
        printed: Input,
    ) {
        match commands(arguments) {
            Commands::Text(text) => self.other_shell(simple, name, text, certainty),
            Commands::File(file) if file.starts_with('/') => self.path(file),
            Commands::File(_) => {
                self.unread(simple.line, "it runs another file, which tunwarden does not read".to_owned());
            }
            Commands::Stdin => self.commands_of_input(simple, name, printed, certainty),
            Commands::Missing => {
                self.unread(simple.line, "it starts a shell without commands".to_owned());
            }
        }
    }

    /// Follows the commands that a shell reads from its standard input.
    fn commands_of_input(&mut self, simple: &Simple, name: &str, printed: Input, certainty: Certainty) {
        match self.input(simple, printed) {
            Ok(Input::Text(text)) => self.other_shell(simple, name, &text, certainty),
            Ok(Input::File(path)) => self.path(&path),
            Err(why) => self.unread(simple.line, why),
            Ok(Input::Pipe) => {
                let why = "it runs commands that another program prints, which tunwarden does not read";
                self.unread(simple.line, why.to_owned());
            }
            Ok(Input::None | Input::Unknown) => {
                let why = "it runs commands of its standard input, which tunwarden does not read";
                self.unread(simple.line, why.to_owned());
            }
        }
    }

    /// Follows the commands of a new shell. It has no functions, and only exported variables, of which none is known
    /// here.
    fn other_shell(&mut self, simple: &Simple, name: &str, text: &str, certainty: Certainty) {
        let variables = Variables { is_like_bash: is_like_bash(name), ..Variables::default() };
        self.isolated(|runner| {
            (runner.variables, runner.functions) = (variables, Rc::default());
            (runner.ends.passes, runner.shifted) = (Passes::default(), true);
            runner.eval(simple, text, certainty);
        });
    }

    pub(super) fn eval(&mut self, simple: &Simple, text: &str, certainty: Certainty) {
        if self.depth >= MAX_CALLS {
            return self.too_deep(simple.line);
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
}
