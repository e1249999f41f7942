//! Commands with a word whose value is unknown.

use super::lex::{Part, Word};
use super::program::unwrapped;
use super::run::{Last, QUIET, Runner, START};
use super::shells::is_shell;
use super::tree::Simple;
use super::{Call, Certainty, Input, UNKNOWN};
use crate::net::Family;
use crate::setup::command::{Program, is_check};

/// Values of `$1` that no boot uses to start a script.
const STOP: [&str; 8] = ["stop", "down", "off", "disable", "disabled", "flush", "status", "--help"];

impl Runner<'_> {
    pub(super) fn partly_known(
        &mut self,
        simple: &Simple,
        why: String,
        certainty: Certainty,
        printed: Input,
    ) {
        let first = simple.words.first().and_then(Word::bare);
        // `main "$@"`
        if let Some(function) = first.and_then(|name| self.functions.get(name)).cloned() {
            self.call(&function, None, simple.line, certainty);
            if function.certainty == Certainty::Conditional {
                self.unknown(simple, why);
            }
            return;
        }
        let given: Vec<String> = simple
            .words
            .iter()
            .flat_map(|word| self.variables.expand(word).unwrap_or_else(|_| vec![UNKNOWN.to_owned()]))
            .collect();
        let Some((program, arguments)) = unwrapped(&given).split_first() else {
            return self.unknown(simple, why);
        };
        match program.as_str() {
            "set" | "shift" => self.lose_arguments(),
            "exit" | "return" | "continue" | "break" => self.leave(program, arguments, certainty),
            "[" | "test" | "[[" => {
                self.last = match self.is_started_for(&simple.words) {
                    Some(true) => Last::True,
                    Some(false) => Last::False,
                    None => Last::Other,
                };
            }
            "." | "source" | "eval" => {
                self.forget_all();
                self.unread(simple.line, why);
            }
            "read" => self.forget_where_known(&without_values_of_options(arguments)),
            "let" | "unset" | "mapfile" | "readarray" | "getopts" => self.forget_where_known(arguments),
            "printf" if arguments.first().is_some_and(|word| word == "-v") => {
                self.forget_where_known(arguments.get(1..2).unwrap_or_default());
            }
            shell if is_shell(shell) => self.unread(simple.line, why),
            _ => {
                self.uncertain_calls(simple, (program, arguments), certainty, printed);
                self.negate(&given);
                self.unknown(simple, why);
            }
        }
    }

    /// Takes firewall commands with an unknown word. They open nothing, but they may delete or refuse.
    fn uncertain_calls(
        &mut self,
        simple: &Simple,
        (program, arguments): (&str, &[String]),
        certainty: Certainty,
        printed: Input,
    ) {
        let has = |options: &[&str]| arguments.iter().any(|word| options.contains(&word.as_str()));
        let is_rule = has(&["-A", "-I", "--append", "--insert"]) && has(&["-j", "-g", "--jump", "--goto"]);
        let mut is_other = false;
        let programs = match Program::named(program, arguments) {
            Some((program, arguments)) => vec![(program, arguments)],
            None if program == UNKNOWN && is_rule => {
                // It may be another program, so the rule opens nothing.
                is_other = true;
                Family::ALL.map(|family| (Program::Rules(family), arguments)).to_vec()
            }
            None => return,
        };
        let input = self.input(simple, printed).unwrap_or(Input::Pipe);
        for (program, arguments) in programs {
            self.last = if is_check(arguments) { Last::Check } else { Last::Change };
            let (line, input, mut words) = (simple.line, input.clone(), arguments.to_vec());
            words.extend(is_other.then(|| UNKNOWN.to_owned()));
            self.push(Call { line, program, words, certainty, input });
        }
    }

    /// Makes the variables with these names unknown. An unknown name may be any variable.
    fn forget_where_known(&mut self, names: &[String]) {
        if names.iter().any(|name| name == UNKNOWN) {
            return self.forget_all();
        }
        self.forget(names);
    }

    /// The result of a comparison of `$1` with the name of an action, if the script is started at boot.
    fn is_started_for(&self, words: &[Word]) -> Option<bool> {
        let words = match words {
            [open, inside @ .., close] if open.bare() == Some("[") && close.bare() == Some("]") => inside,
            [open, inside @ .., close]
                if open.bare() == Some("[[") && close.bare() == Some("]]") && self.variables.is_like_bash =>
            {
                inside
            }
            [open, inside @ ..] if open.bare() == Some("test") => inside,
            _ => return None,
        };
        let [one, sign, other] = words else { return None };
        let is_action = |word: &Word| {
            word.parts.split_last().is_some_and(|(last, before)| {
                let is_quote = |part: &Part| matches!(part, Part::Text(text, _) if text.is_empty());
                self.is_first_argument(last) && before.iter().all(is_quote)
            })
        };
        let text = match (is_action(one), is_action(other)) {
            (true, false) => self.variables.text(other).ok()?,
            (false, true) => self.variables.text(one).ok()?,
            _ => return None,
        };
        let is_start = START.contains(&text.as_str());
        if !is_start && !STOP.contains(&text.as_str()) {
            return None;
        }
        match sign.bare()? {
            "=" | "==" => Some(is_start),
            "!=" => Some(!is_start),
            _ => None,
        }
    }

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
}

/// The arguments of `read` without unknown values of its options, such as the question of `-p`.
fn without_values_of_options(arguments: &[String]) -> Vec<String> {
    let takes_value =
        |word: &String| word.starts_with('-') && word.ends_with(['p', 't', 'd', 'n', 'N', 'u', 'i']);
    let before = std::iter::once(None).chain(arguments.iter().map(Some));
    let is_value = |before: Option<&String>| before.is_some_and(takes_value);
    let names = before.zip(arguments).filter(|(before, _)| !is_value(*before));
    names.map(|(_, word)| word.clone()).collect()
}
