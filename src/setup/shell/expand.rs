//! Replaces variables in words by their values.

use std::collections::{HashMap, HashSet};

use super::lex::{All, Part, Quoted, Reference, Word};
use super::program::is_installed;

/// Maximum length of a variable's value and of a command, in bytes.
const MAX_TEXT: usize = 8 << 10;
/// Maximum number of words that one word may become.
const MAX_WORDS: usize = 2048;
/// The characters at which a shell splits values if the script does not set `IFS`.
const BLANKS: &str = " \t\n";

/// Why the value of a word is unknown.
pub(super) type Unknown = String;

/// The value of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Variable {
    Text(String),
    List(Vec<String>),
    /// The first argument of the script.
    FirstArgument,
    /// Known only when the script runs.
    Unknown,
}

/// Variables with a known value.
#[derive(Debug, Clone, Default)]
pub(super) struct Variables {
    pub(super) named: HashMap<String, Variable>,
    /// `$1` and the other arguments, inside a function.
    pub(super) arguments: Option<Vec<String>>,
    /// Variables that keep their value if the shell continues after an assignment to them.
    pub(super) readonly: HashSet<String>,
    /// Whether the shell that runs these commands knows `{1..3}`, `<<<` and `[[`.
    pub(super) is_like_bash: bool,
    /// Whether another file was run. It may have set any variable.
    pub(super) is_sourced: bool,
}

/// Collects the words that one word expands to. Unquoted values are split at spaces.
#[derive(Default)]
struct Fields {
    done: Vec<String>,
    current: Option<String>,
    length: usize,
}

impl Fields {
    fn push(&mut self, text: &str) {
        self.length += text.len();
        self.current.get_or_insert_default().push_str(text);
    }

    /// Adds a text and splits it at these characters.
    fn split(&mut self, text: &str, blanks: &str) {
        let is_blank = |c: char| blanks.contains(c);
        let mut first = !text.starts_with(is_blank);
        for word in text.split(is_blank).filter(|word| !word.is_empty()) {
            if !first {
                self.done.extend(self.current.take());
            }
            first = false;
            self.push(word);
        }
        if text.ends_with(is_blank) || text.starts_with(is_blank) && first {
            self.done.extend(self.current.take());
        }
    }

    fn list(&mut self, words: &[String]) {
        for (nth, word) in words.iter().enumerate() {
            if nth > 0 {
                self.done.extend(self.current.take());
            }
            self.push(word);
        }
    }
}

impl Variables {
    /// The words that a word expands to.
    pub(super) fn expand(&self, word: &Word) -> Result<Vec<String>, Unknown> {
        let mut fields = Fields::default();
        for part in &word.parts {
            match part {
                Part::Text(text, _) => fields.push(text),
                Part::Variable(reference) => self.variable(&mut fields, reference)?,
                Part::Output(text) => {
                    let output = output(text).ok_or_else(|| {
                        format!("the output of `{}` is known only when the script runs", cut(text))
                    })?;
                    self.put(&mut fields, &output, Quoted::No)?;
                }
                Part::Unknown(text) => {
                    return Err(format!("`{}` is known only when the script runs", cut(text)));
                }
            }
            if fields.length > MAX_TEXT || fields.done.len() > MAX_WORDS {
                return Err("it is too long".to_owned());
            }
        }
        fields.done.extend(fields.current.take());
        if let Some(text) = word.bare()
            && let Some(words) = braces(text)
        {
            if !self.is_like_bash {
                return Err(
                    "not every shell expands braces; the first line of the script names no such shell"
                        .to_owned(),
                );
            }
            return Ok(words);
        }
        Ok(fields.done)
    }

    /// The text of a word without splitting: the value of an assignment, or the word of `case`.
    pub(super) fn text(&self, word: &Word) -> Result<String, Unknown> {
        Ok(self.expand(&word.unsplit())?.join(" "))
    }

    fn variable(&self, fields: &mut Fields, reference: &Reference) -> Result<(), Unknown> {
        let Reference { name, default, all, quoted, .. } = reference;
        let (default, quoted) = (default.as_deref(), *quoted);
        if let Some(arguments) = &self.arguments {
            if name == "*" && quoted == Quoted::Yes {
                return self.joined(fields, arguments);
            }
            if name == "@" || name == "*" {
                return self.list(fields, arguments, quoted);
            }
            if let Ok(nth @ 1..) = name.parse::<usize>() {
                let value = arguments.get(nth - 1).map(String::as_str).or(default).unwrap_or_default();
                return self.put(fields, value, quoted);
            }
        } else if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            return Err(format!("${name} is known only when the script runs"));
        }
        match (self.named.get(name), default) {
            // `${NAME:-DEFAULT}` uses the default if the value is empty, and `${NAME-DEFAULT}` does not.
            (Some(Variable::Text(text)), Some(_)) if text.is_empty() => {
                Err(format!("${name} is empty, and may have a default"))
            }
            (Some(Variable::Text(text)), _) => self.put(fields, text, quoted),
            (Some(Variable::List(words)), _) if *all == All::Joined && quoted == Quoted::Yes => {
                self.joined(fields, words)
            }
            (Some(Variable::List(words)), _) if *all != All::No => self.list(fields, words, quoted),
            (Some(Variable::List(words)), _) => {
                self.put(fields, words.first().map_or("", String::as_str), quoted)
            }
            (None, Some(_)) if self.is_sourced => Err(format!("${name} may be set in another file")),
            (None, Some(default)) => self.put(fields, default, quoted),
            (Some(Variable::Unknown | Variable::FirstArgument), _) => {
                Err(format!("${name} is known only when the script runs"))
            }
            (None, None) if name == "IFS" => self.put(fields, BLANKS, quoted),
            (None, None) => Err(format!("${name} is not set in this file")),
        }
    }

    /// `"$*"`: the words become one, with the first character of `IFS` between them.
    fn joined(&self, fields: &mut Fields, words: &[String]) -> Result<(), Unknown> {
        let separator = match self.named.get("IFS") {
            None => " ".to_owned(),
            Some(Variable::Text(text)) => text.chars().take(1).collect(),
            Some(_) => return Err("`IFS` is known only when the script runs".to_owned()),
        };
        fields.push(&words.join(&separator));
        Ok(())
    }

    fn list(&self, fields: &mut Fields, words: &[String], quoted: Quoted) -> Result<(), Unknown> {
        if quoted == Quoted::Yes {
            fields.list(words);
            return Ok(());
        }
        for (nth, word) in words.iter().enumerate() {
            if nth > 0 {
                fields.done.extend(fields.current.take());
            }
            self.put(fields, word, quoted)?;
        }
        Ok(())
    }

    /// Adds a value, which is split at the blanks of `IFS` unless it is quoted.
    fn put(&self, fields: &mut Fields, text: &str, quoted: Quoted) -> Result<(), Unknown> {
        let separators = match self.named.get("IFS") {
            _ if quoted == Quoted::Yes => {
                fields.push(text);
                return Ok(());
            }
            None => BLANKS,
            Some(Variable::Text(separators)) => separators,
            Some(_) if text.chars().all(|c| c.is_ascii_alphanumeric()) => BLANKS,
            Some(_) => return Err("`IFS` is known only when the script runs".to_owned()),
        };
        if text.contains(|c: char| separators.contains(c) && !BLANKS.contains(c)) {
            return Err("`IFS` splits it, which tunwarden does not follow".to_owned());
        }
        fields.split(text, separators);
        Ok(())
    }

    /// The size of all values, in bytes.
    pub(super) fn size(&self) -> usize {
        let of = |variable: &Variable| match variable {
            Variable::Text(text) => text.len(),
            Variable::List(words) => words.iter().map(|word| word.len() + 24).sum(),
            Variable::FirstArgument | Variable::Unknown => 0,
        };
        self.named.values().map(|variable| of(variable) + 64).sum()
    }
}

/// The output of `seq`.
fn numbers(first: &str, last: &str) -> Option<String> {
    let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
    let many = usize::try_from(last.checked_sub(first)?).ok()?;
    let all = (first..=last).map(|number| number.to_string());
    (many < MAX_WORDS).then(|| all.collect::<Vec<_>>().join(" "))
}

/// The output of `seq`, and of commands that look for a program.
fn output(command: &str) -> Option<String> {
    let words: Vec<&str> = command.split_whitespace().take_while(|word| !word.starts_with("2>")).collect();
    let name = match words.as_slice() {
        ["seq", last] => return numbers("1", last),
        ["seq", first, last] => return numbers(first, last),
        ["which", name] | ["command", "-v", name] | ["type", "-p" | "-P", name] => name,
        _ => return None,
    };
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "/_-.".contains(c));
    (plain && is_installed(name)).then(|| (*name).to_owned())
}

/// Expands `{80,443}` and `{1..3}` in a word without quotes.
fn braces(text: &str) -> Option<Vec<String>> {
    let (before, rest) = text.split_once('{')?;
    let (inside, after) = rest.split_once('}')?;
    let words: Vec<String> = match inside.split_once("..") {
        Some((first, last)) => {
            let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
            let many = usize::try_from(last.checked_sub(first)?).ok()?;
            if many > MAX_WORDS {
                return None;
            }
            (first..=last).map(|number| number.to_string()).collect()
        }
        None if inside.contains(',') => inside.split(',').map(str::to_owned).collect(),
        None => return None,
    };
    Some(words.into_iter().map(|word| format!("{before}{word}{after}")).collect())
}

fn cut(text: &str) -> String {
    text.chars().take(40).collect()
}
