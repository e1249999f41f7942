//! Replaces variables in words by their values.

use std::collections::HashMap;

use super::lex::{Part, Quoted, Reference, Word};
use super::program::WRAPPERS;

/// Maximum length of a variable's value and of a command, in bytes.
const MAX_TEXT: usize = 8 << 10;
/// Maximum number of words that one word may become.
const MAX_WORDS: usize = 2048;

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

    fn split(&mut self, text: &str) {
        let mut first = !text.starts_with(char::is_whitespace);
        for word in text.split_whitespace() {
            if !first {
                self.done.extend(self.current.take());
            }
            first = false;
            self.push(word);
        }
        if text.ends_with(char::is_whitespace) || text.starts_with(char::is_whitespace) && first {
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
                Part::Output(text) => fields.split(&output(text).ok_or_else(|| {
                    format!("the output of `{}` is known only when the script runs", cut(text))
                })?),
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
            return Ok(words);
        }
        Ok(fields.done)
    }

    /// The text of a word that is not split: the value of an assignment, or the word of `case`.
    pub(super) fn text(&self, word: &Word) -> Result<String, Unknown> {
        Ok(self.expand(&word.unsplit())?.join(" "))
    }

    fn variable(&self, fields: &mut Fields, reference: &Reference) -> Result<(), Unknown> {
        let Reference { name, default, all, quoted } = reference;
        let (default, all, quoted) = (default.as_deref(), *all, *quoted);
        if let Some(arguments) = &self.arguments {
            if name == "@" || name == "*" {
                match quoted {
                    Quoted::Yes => fields.list(arguments),
                    Quoted::No => fields.split(&arguments.join(" ")),
                }
                return Ok(());
            }
            if let Ok(nth @ 1..) = name.parse::<usize>() {
                let value = arguments.get(nth - 1).map(String::as_str).or(default).unwrap_or_default();
                put(fields, value, quoted);
                return Ok(());
            }
        }
        match (self.named.get(name), default) {
            (Some(Variable::Text(text)), _) => put(fields, text, quoted),
            (Some(Variable::List(words)), _) if all && quoted == Quoted::Yes => fields.list(words),
            (Some(Variable::List(words)), _) if all => fields.split(&words.join(" ")),
            (Some(Variable::List(words)), _) => {
                put(fields, words.first().map_or("", String::as_str), quoted);
            }
            (None, Some(default)) => put(fields, default, quoted),
            (Some(Variable::Unknown | Variable::FirstArgument), _) => {
                return Err(format!("${name} is known only when the script runs"));
            }
            (None, None) => return Err(format!("${name} is not set in this file")),
        }
        Ok(())
    }
}

fn put(fields: &mut Fields, text: &str, quoted: Quoted) {
    match quoted {
        Quoted::Yes => fields.push(text),
        Quoted::No => fields.split(text),
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
    // Whether this machine has another program is known only when the script runs.
    let base = name.rsplit('/').next().unwrap_or_default();
    let is_known = base.starts_with("ip") || WRAPPERS.contains(&base);
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "/_-.".contains(c));
    (plain && is_known).then(|| (*name).to_owned())
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
