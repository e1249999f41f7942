//! Changes single keys in the text of a configuration. Comments and order stay. Pure.
//!
//! The new text is parsed as the agent parses it, and compared with the old one: it must differ in the given keys
//! alone. Otherwise nothing of it is used.

use std::str::FromStr;

use toml_edit::{DocumentMut, Item, Table, TableLike, Value};

use super::fault::Faults;
use super::hint::{listed, nearest, plain, shown};
use super::{Config, REFERENCE};

/// Maximum length of a value, in bytes. A longer list is edited in the file.
const MAX_VALUE: usize = 16 << 10;

/// A key of the configuration and its new value: `lan.allow=false`.
#[derive(Debug, Clone)]
pub struct Assignment {
    section: &'static str,
    key: &'static str,
    value: Value,
}

/// Why a text is no [`Assignment`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssignmentError {
    /// There is no `=`.
    #[error("it has no =; write SECTION.KEY=VALUE, such as lan.allow=false")]
    Form,
    /// The configuration has no such key.
    #[error("there is no key `{0}`; {1}")]
    Key(String, String),
    /// The value is not TOML.
    #[error("`{0}` cannot be read as TOML; a list is written [\"a\", \"b\"], in quotes of the shell")]
    Value(String),
    /// The value is longer than [`MAX_VALUE`].
    #[error("the value is longer than 16 KiB; edit the file, then: sudo tunwarden reload")]
    Long,
}

impl FromStr for Assignment {
    type Err = AssignmentError;

    fn from_str(text: &str) -> Result<Self, AssignmentError> {
        let (name, value) = text.split_once('=').ok_or(AssignmentError::Form)?;
        let (section, key) = known(name.trim())?;
        if value.len() > MAX_VALUE {
            return Err(AssignmentError::Long);
        }
        Ok(Self { section, key, value: parsed(value.trim())? })
    }
}

/// The section and the key with this name.
fn known(name: &str) -> Result<(&'static str, &'static str), AssignmentError> {
    let all = || REFERENCE.iter().flat_map(|section| section.keys.iter().map(|key| (section.name, key.name)));
    if let Some(found) = all().find(|(section, key)| name.split_once('.') == Some((*section, *key))) {
        return Ok(found);
    }
    let names: Vec<String> = all().map(|(section, key)| format!("{section}.{key}")).collect();
    let hint = match nearest(name, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean {near}?"),
        None => {
            let sections: Vec<&str> = REFERENCE.iter().map(|section| section.name).collect();
            format!("the sections are {}; see tunwarden.toml(5)", listed(&sections, "and"))
        }
    };
    Err(AssignmentError::Key(plain(&shown(name)), hint))
}

/// A value in TOML, in one line. A word needs no quotes, because a shell removes them.
fn parsed(text: &str) -> Result<Value, AssignmentError> {
    let error = || AssignmentError::Value(plain(&shown(text)));
    if text.contains(char::is_control) {
        return Err(error());
    }
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let mut value = match text.parse::<Value>() {
        Ok(value) => value,
        Err(_) if !text.is_empty() && text.chars().all(is_word) => Value::from(text),
        Err(_) => return Err(error()),
    };
    value.decor_mut().clear();
    Ok(value)
}

/// What an edit has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// The new text.
    pub text: String,
    /// The keys that have another value, in the order of the request.
    pub changes: Vec<Change>,
}

/// One key that has another value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key: `lan.allow`.
    pub key: String,
    /// The value in the old text, as TOML; `None` if the key was not set.
    pub before: Option<String>,
    /// The new value.
    pub after: String,
    /// The lines that differ, as `diff` shows them.
    pub diff: String,
}

/// Why a text cannot be edited.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The old text or the new one has faults. The text of this error names the file and the line.
    #[error(transparent)]
    Faults(#[from] Faults),
    /// The new text would differ in more than this key.
    #[error(
        "{0} is written in a form that this command cannot change; edit the file, then: sudo tunwarden reload"
    )]
    Form(String),
}

/// Sets each key in the text. `file` is the name of the file in messages.
///
/// # Errors
/// If the old or the new text has a fault, and if anything else would change.
pub fn edit(text: &str, file: &str, assignments: &[Assignment]) -> Result<Edited, EditError> {
    Config::parse(text, file)?;
    let mut edited = Edited { text: text.to_owned(), changes: Vec::new() };
    for assignment in assignments {
        if let Some((text, change)) = assignment.apply(&edited.text)? {
            edited.text = text;
            edited.changes.push(change);
        }
    }
    Config::parse(&edited.text, file)?;
    Ok(edited)
}

impl Assignment {
    fn name(&self) -> String {
        format!("{}.{}", self.section, self.key)
    }

    /// The text with this key, and the change; `None` if it has this value.
    fn apply(&self, text: &str) -> Result<Option<(String, Change)>, EditError> {
        let form = || EditError::Form(self.name());
        let mut wanted: toml::Table = text.parse().map_err(|_| form())?;
        let value = self.value.to_string().parse::<toml::Value>().map_err(|_| form())?;
        let values = wanted.entry(self.section).or_insert_with(|| toml::Table::new().into());
        let before = values.as_table_mut().ok_or_else(form)?.insert(self.key.to_owned(), value.clone());
        if before.as_ref() == Some(&value) {
            return Ok(None);
        }
        let mut document: DocumentMut = text.parse().map_err(|_| form())?;
        put(section(&mut document, self.section).ok_or_else(form)?, self.key, &self.value);
        let after = document.to_string();
        if after.parse::<toml::Table>().ok() != Some(wanted) {
            return Err(form());
        }
        let change = Change {
            key: self.name(),
            before: before.map(|value| value.to_string()),
            after: value.to_string(),
            diff: diff(text, &after),
        };
        Ok(Some((after, change)))
    }
}

/// The section with this name. A new one comes at the end, below the last comment.
fn section<'d>(document: &'d mut DocumentMut, name: &str) -> Option<&'d mut dyn TableLike> {
    if !document.contains_key(name) {
        let end = document.trailing().as_str().unwrap_or_default().to_owned();
        let gap = if document.is_empty() && end.is_empty() { "" } else { "\n" };
        document.set_trailing("");
        let mut table = Table::new();
        table.decor_mut().set_prefix(format!("{end}{gap}"));
        document.insert(name, Item::Table(table));
    }
    document.get_mut(name)?.as_table_like_mut()
}

/// Sets the key. The comment behind an old value stays.
fn put(section: &mut dyn TableLike, key: &str, value: &Value) {
    let mut value = value.clone();
    match section.get_mut(key) {
        Some(Item::Value(old)) => {
            *value.decor_mut() = old.decor().clone();
            *old = value;
        }
        Some(other) => *other = Item::Value(value),
        None => {
            section.insert(key, Item::Value(value));
        }
    }
}

/// The lines between the first and the last one that differ.
fn diff(before: &str, after: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let first = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let ends = old[first..].iter().rev().zip(new[first..].iter().rev());
    let rest = ends.take_while(|(a, b)| a == b).count();
    let lines = |mark: char, lines: &[&str]| {
        lines[first..lines.len() - rest]
            .iter()
            .map(|line| format!("{mark}{}\n", plain(line)))
            .collect::<String>()
    };
    format!("@@ line {} @@\n{}{}", first + 1, lines('-', &old), lines('+', &new))
}

/// Every key with the value that this text sets, or its default.
///
/// # Errors
/// Every fault of the text.
pub fn values(text: &str, file: &str) -> Result<Vec<(String, toml::Value)>, EditError> {
    Config::parse(text, file)?;
    let set: toml::Table = text.parse().map_err(|_| EditError::Form("the file".to_owned()))?;
    let mut values = Vec::new();
    for section in REFERENCE {
        for key in section.keys {
            let name = format!("{}.{}", section.name, key.name);
            let value = match set.get(section.name).and_then(|section| section.get(key.name)) {
                Some(value) => value.clone(),
                None => key.default.parse().map_err(|_| EditError::Form(name.clone()))?,
            };
            values.push((name, value));
        }
    }
    Ok(values)
}

#[cfg(test)]
#[path = "edit_tests.rs"]
mod tests;
