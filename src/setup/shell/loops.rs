//! Loops of a script, and comparisons of words.

use std::rc::Rc;

use super::expand::Variable;
use super::lex::{Part, Word};
use super::run::Runner;
use super::snapshot::Snapshot;
use super::tree::{After, Node, Simple, Step, Value};
use super::{Certainty, Input};

/// The state of a loop.
#[derive(Debug, Clone, Default)]
pub(super) struct Passes {
    /// Whether there is a loop around the commands.
    pub(super) in_loop: bool,
    /// Set after `continue`, and after `break`.
    pub(super) continued: bool,
    pub(super) broken: bool,
    /// The moment of a `continue` or a `break` that may have run. It is not known which commands follow.
    pub(super) may_continue: Option<Rc<Snapshot>>,
    pub(super) may_break: Option<Rc<Snapshot>>,
}

impl Passes {
    /// Whether no further command of this pass runs.
    pub(super) fn is_over(&self) -> bool {
        self.continued || self.broken
    }

    /// Whether it is not known if more commands of this pass run.
    pub(super) fn is_uncertain(&self) -> bool {
        self.may_continue.is_some() || self.may_break.is_some()
    }
}

/// The options of `read` in `while read`.
struct Read<'c> {
    names: Vec<&'c str>,
    /// `IFS`, if the loop sets it.
    separators: Option<String>,
    /// With `-r`, a backslash has no special meaning.
    raw: bool,
    /// Whether a last line without a line end counts.
    takes_the_rest: bool,
}

impl Runner<'_> {
    pub(super) fn for_each(&mut self, name: &str, words: &[Word], body: &[Step], certainty: Certainty) {
        // It is known only when the script runs which files a pattern matches.
        let value = |word: &Word| match word.is_glob() {
            true => Err(String::new()),
            false => self.variables.expand(word),
        };
        let values: Result<Vec<Vec<String>>, _> = words.iter().map(value).collect();
        let outer = self.enter_loop();
        words.iter().for_each(|word| self.change_by(word));
        match values {
            Ok(values) => {
                for value in values.concat() {
                    if !self.goes_on() {
                        break;
                    }
                    self.variables.named.insert(name.to_owned(), Variable::Text(value));
                    self.steps(body, certainty);
                    self.end_pass();
                }
            }
            Err(_) => {
                self.variables.named.insert(name.to_owned(), Variable::Unknown);
                self.conditional(body);
            }
        }
        self.leave_loop(outer);
    }

    /// `while` and `until`. A loop that reads the lines of a known text has one pass for each line.
    pub(super) fn while_loop(&mut self, node: [&[Step]; 2], input: &Simple, certainty: Certainty) {
        let [condition, body] = node;
        let printed = self.printed.take();
        let outer = self.enter_loop();
        match read_of(condition).and_then(|read| Some((self.lines(&read, input, printed)?, read))) {
            Some((lines, read)) => {
                // If the body may read the same input, it is not known which lines the loop gets.
                let certainty = if self.may_read(body) { Certainty::Conditional } else { certainty };
                match certainty {
                    Certainty::Certain => self.passes_of(&read, &lines, body, certainty),
                    Certainty::Conditional | Certainty::Never => {
                        self.with_unknown_results(|runner| runner.passes_of(&read, &lines, body, certainty));
                    }
                }
                for name in read.names {
                    self.variables.named.insert(name.to_owned(), Variable::Unknown);
                }
            }
            None => {
                self.conditional(condition);
                self.conditional(body);
            }
        }
        self.leave_loop(outer);
    }

    /// A pass for each line.
    fn passes_of(&mut self, read: &Read<'_>, lines: &[String], body: &[Step], certainty: Certainty) {
        for line in lines {
            if !self.goes_on() {
                break;
            }
            for (name, value) in read.values(line) {
                self.variables.named.insert(name.to_owned(), Variable::Text(value));
            }
            self.steps(body, certainty);
            self.end_pass();
        }
    }

    /// The lines that a loop reads; `None` if they are not known.
    fn lines(&mut self, read: &Read<'_>, input: &Simple, printed: Option<Input>) -> Option<Vec<String>> {
        let text = match (self.given(input), &input.input, printed) {
            (Some(text), _, _) => text.ok()?,
            (None, None, Some(Input::Text(text))) => match text.rsplit_once('\n') {
                _ if read.takes_the_rest => text,
                Some((whole, _)) => whole.to_owned(),
                None => return Some(Vec::new()),
            },
            (None, _, _) => return None,
        };
        let is_plain = read.raw || !text.contains('\\');
        is_plain.then(|| text.lines().map(ToOwned::to_owned).collect())
    }

    fn enter_loop(&mut self) -> Passes {
        std::mem::replace(&mut self.ends.passes, Passes { in_loop: true, ..Passes::default() })
    }

    /// `continue` leads here.
    fn end_pass(&mut self) {
        self.ends.passes.continued = false;
        let departure = self.ends.passes.may_continue.take();
        self.merge_exit(departure);
    }

    /// `break` leads here.
    fn leave_loop(&mut self, outer: Passes) {
        let inner = std::mem::replace(&mut self.ends.passes, outer);
        self.merge_exit(inner.may_continue);
        self.merge_exit(inner.may_break);
    }

    /// Whether a loop has another pass.
    fn goes_on(&mut self) -> bool {
        !self.is_over() && self.counts(1)
    }
}

/// `read NAME…` as the condition of a loop. `|| [ -n "$NAME" ]` may follow, which takes a last line without a line end.
fn read_of(condition: &[Step]) -> Option<Read<'_>> {
    let (first, rest) = condition.split_first()?;
    let Node::Simple(read) = &first.node else { return None };
    let is_test = |step: &Step| {
        let Node::Simple(simple) = &step.node else { return false };
        matches!(simple.words.first().and_then(Word::bare), Some("[" | "test"))
    };
    if !rest.iter().all(|step| step.after == After::Or && is_test(step)) {
        return None;
    }
    let words: Vec<&str> = read.words.iter().map(Word::bare).collect::<Option<_>>()?;
    let (&"read", words) = words.split_first()? else { return None };
    let raw = words.first() == Some(&"-r");
    let names = if raw { &words[1..] } else { words };
    let separators = match &read.assignments[..] {
        [] => None,
        [one] if one.name == "IFS" => Some(plain(&one.value)?),
        _ => return None,
    };
    let is_name = |name: &&str| !name.is_empty() && !name.starts_with('-');
    (!names.is_empty() && names.iter().all(is_name)).then(|| Read {
        names: names.to_vec(),
        separators,
        raw,
        takes_the_rest: !rest.is_empty(),
    })
}

/// A value without variables.
fn plain(value: &Value) -> Option<String> {
    let Value::One(word) = value else { return None };
    let mut text = String::new();
    for part in &word.parts {
        match part {
            Part::Text(more, _) => text.push_str(more),
            Part::Variable(_) | Part::Output(_) | Part::Unknown(_) => return None,
        }
    }
    Some(text)
}

impl Read<'_> {
    /// The value of each name: one field each, and the rest of the line for the last name.
    fn values(&self, line: &str) -> Vec<(&str, String)> {
        let separators = self.separators.as_deref().unwrap_or(" \t\n");
        let is_blank = |c: char| c.is_whitespace() && separators.contains(c);
        let mut rest = line.trim_matches(is_blank);
        let mut values = Vec::new();
        for (nth, name) in self.names.iter().enumerate() {
            let is_last = nth + 1 == self.names.len();
            let (field, after) = match rest.find(|c: char| separators.contains(c)) {
                Some(at) if !is_last => rest.split_at(at),
                Some(_) | None => (rest, ""),
            };
            values.push((*name, field.to_owned()));
            let mut after = after.trim_start_matches(is_blank);
            if let Some(next) = after.strip_prefix(|c: char| separators.contains(c) && !c.is_whitespace()) {
                after = next.trim_start_matches(is_blank);
            }
            rest = after;
        }
        values
    }
}

/// The result of `test`, `[` or `[[`, if it only compares these words. A shell that is not like bash may have no `[[`,
/// and no `==`.
pub(super) fn test(words: &[String], is_like_bash: bool) -> Option<bool> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if !is_like_bash && (words.first() == Some(&"[[") || words.contains(&"==")) {
        return None;
    }
    let words = match &words[..] {
        ["[", inside @ .., "]"] | ["test", inside @ ..] | ["[[", inside @ .., "]]"] => inside,
        _ => return None,
    };
    compared(words)
}

/// Whether a pattern of `case` matches a text. `*` matches any text, `?` any letter, and a backslash the letter after
/// it.
pub(super) fn glob(pattern: &str, text: &str) -> bool {
    #[derive(PartialEq)]
    enum Piece {
        Text,
        Letter,
        Exactly(char),
    }
    let mut letters = pattern.chars();
    let next = || match letters.next()? {
        '*' => Some(Piece::Text),
        '?' => Some(Piece::Letter),
        '\\' => Some(Piece::Exactly(letters.next().unwrap_or('\\'))),
        letter => Some(Piece::Exactly(letter)),
    };
    let pattern: Vec<Piece> = std::iter::from_fn(next).collect();
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut read) = (0, 0);
    // The position after the last asterisk, and the end of the text that this asterisk has matched.
    let mut last = None;
    while let Some(&letter) = text.get(read) {
        match pattern.get(at) {
            Some(Piece::Text) => {
                at += 1;
                last = Some((at, read));
            }
            Some(piece) if [Piece::Letter, Piece::Exactly(letter)].contains(piece) => {
                at += 1;
                read += 1;
            }
            Some(_) | None => {
                let Some((after, taken)) = last else { return false };
                last = Some((after, taken + 1));
                (at, read) = (after, taken + 1);
            }
        }
    }
    pattern.iter().skip(at).all(|piece| *piece == Piece::Text)
}

fn compared(words: &[&str]) -> Option<bool> {
    // Some shells read a number with a leading zero as octal.
    let number = |text: &str| {
        let digits = text.trim_start_matches(['-', '+']);
        text.parse::<i64>().ok().filter(|_| digits == "0" || !digits.starts_with('0'))
    };
    Some(match words {
        ["!", rest @ ..] if !rest.is_empty() => !compared(rest)?,
        ["-n", text] => !text.is_empty(),
        ["-z", text] => text.is_empty(),
        [one, "=" | "==", other] => one == other,
        [one, "!=", other] => one != other,
        [one, "-eq", other] => number(one)? == number(other)?,
        [one, "-ne", other] => number(one)? != number(other)?,
        [one, "-lt", other] => number(one)? < number(other)?,
        [one, "-le", other] => number(one)? <= number(other)?,
        [one, "-gt", other] => number(one)? > number(other)?,
        [one, "-ge", other] => number(one)? >= number(other)?,
        _ => return None,
    })
}
