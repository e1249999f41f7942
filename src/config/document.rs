//! TOML with places: every fault of the syntax, and the document that is left without them.
//!
//! One broken statement makes a parser misread what follows. So each is noted by its first fault,
//! blanked out, and the rest is read again, until what is left can be trusted to mean what it says.

use std::ops::Range;

use toml::de::{DeTable, Error};

use super::Config;
use super::fault::Faults;
use super::item::{Finding, Findings, Wrong};
use super::schema;

/// The largest configuration, in bytes; one that names a hundred servers has some ten thousand.
pub(super) const MAX_BYTES: usize = 1 << 20;

/// How often a broken document is read again, and up to which size that is worth the time.
const MAX_ROUNDS: usize = 32;
const MAX_ROUNDS_BYTES: usize = 64 << 10;

/// How deep a statement is looked for; sections, their keys and dotted keys are no deeper.
const MAX_DEPTH: usize = 4;

impl Config {
    /// Reads a configuration from its text; `file` is how faults call it.
    ///
    /// # Errors
    /// Every fault of the text, or that it is larger than 1 MiB.
    pub fn parse(text: &str, file: &str) -> Result<Self, Faults> {
        if text.len() > MAX_BYTES {
            return Err(Faults::too_large(file.into()));
        }
        let (sound, mut found) = mend(text);
        let mut config = Self::default();
        if let Some(sound) = sound {
            let (document, errors) = DeTable::parse_recoverable(&sound);
            let findings = Findings::new(&sound);
            config = schema::config(document.get_ref(), &findings);
            found.extend(errors.iter().map(|error| duplicate(&sound, error)));
            found.extend(findings.found.take());
        }
        if found.is_empty() { Ok(config) } else { Err(Faults::of(file, text, found)) }
    }
}

/// The text without its broken statements, which are blank now, and what is wrong with those. No
/// text when too much of it is broken for the rest to be worth reading.
fn mend(text: &str) -> (Option<String>, Vec<Finding>) {
    let mut sound = text.to_owned();
    let mut found = Vec::new();
    for _ in 0..MAX_ROUNDS {
        let broken = {
            let (document, errors) = DeTable::parse_recoverable(&sound);
            let errors = errors.iter().filter(|error| !is_duplicate(error));
            let first = errors.min_by_key(|error| error.span().map(|span| span.start));
            first.map(|error| {
                let at = error.span().unwrap_or_default();
                let begin = opened(document.get_ref(), at.start, MAX_DEPTH).unwrap_or(at.start);
                found.push(syntax(&sound, error, begin));
                error.span().map(|_| statement(&sound, begin))
            })
        };
        match broken {
            None => return (Some(sound), found),
            Some(Some(statement)) if sound.len() <= MAX_ROUNDS_BYTES => blank(&mut sound, statement),
            Some(_) => return (None, found),
        }
    }
    (None, found)
}

fn is_duplicate(error: &Error) -> bool {
    error.message().starts_with("duplicate key")
}

/// Where the value begins that the place `at` lies in.
fn opened(table: &DeTable<'_>, at: usize, depth: usize) -> Option<usize> {
    let depth = depth.checked_sub(1)?;
    table.values().find_map(|value| {
        let span = value.span();
        // The span of a section is its header alone.
        let inside = span.start < at && at <= span.end;
        match value.get_ref().as_table() {
            Some(table) => opened(table, at, depth).or_else(|| inside.then_some(span.start)),
            None => inside.then_some(span.start),
        }
    })
}

/// The lines of the statement that has `at` in its first one; a header's are those of its section.
fn statement(text: &str, at: usize) -> Range<usize> {
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let header = text[start..].trim_start().starts_with('[');
    let mut end = start;
    for (nth, line) in text[start..].split_inclusive('\n').enumerate() {
        if nth > 0 && (begins_section(line) || !header && begins_key(line)) {
            break;
        }
        end += line.len();
    }
    start..end
}

fn begins_section(line: &str) -> bool {
    let name = line.trim_start().trim_start_matches('[');
    name.len() < line.trim_start().len() && name.starts_with(|c: char| c.is_ascii_alphabetic())
}

fn begins_key(line: &str) -> bool {
    let Some((key, _)) = line.split_once('=') else { return false };
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    !key.trim().is_empty() && key.trim().chars().all(bare)
}

/// Overwrites a part with spaces; every other byte keeps its place.
fn blank(text: &mut String, part: Range<usize>) {
    let spaces: String = text[part.clone()].bytes().map(|b| if b == b'\n' { '\n' } else { ' ' }).collect();
    text.replace_range(part, &spaces);
}

/// What a fault of the syntax means to a person.
fn syntax(text: &str, error: &Error, begin: usize) -> Finding {
    let span = error.span().unwrap_or_default();
    let (what, expected) = match error.message().split_once(", expected ") {
        Some((what, expected)) => (what, Some(expected)),
        None => (error.message(), None),
    };
    let begin_line = line_of(text, begin);
    let hint = match what {
        "string values must be quoted" | "invalid boolean" => {
            "text goes in quotes: \"tun+\"; without quotes there are only true, false and numbers".to_owned()
        }
        "key with no value" | "missing value for key" => "write key = value".to_owned(),
        "recursion limit" => "nothing in this file is nested deeper than a table in a list".to_owned(),
        _ if begin_line < line_of(text, span.start) => {
            format!("what line {begin_line} opens may not be closed: look for a missing ], }} or quote")
        }
        _ => match expected {
            Some(expected) => format!("this should be {}", expected.replace("`, `", "` or `")),
            None => "write key = value, one a line, below its [section]".to_owned(),
        },
    };
    Finding { span, wrong: Wrong { what: what.to_owned(), hint } }
}

/// What is set twice, and where it was set first if that is on a line of its own.
fn duplicate(text: &str, error: &Error) -> Finding {
    let span = error.span().unwrap_or_default();
    let name = text.get(span.clone()).unwrap_or_default();
    let line_start = text[..span.start].rfind('\n').map_or(0, |newline| newline + 1);
    let header = text[line_start..].trim_start().starts_with('[');
    let mut first = None;
    for (nth, line) in text[..line_start].lines().enumerate() {
        let line = line.trim();
        if header {
            let found = line.trim_start_matches('[').strip_prefix(name);
            first = if found.is_some_and(|rest| rest.starts_with(']')) { Some(nth + 1) } else { first };
        } else if begins_section(line) {
            first = None;
        } else if line.split_once('=').is_some_and(|(key, _)| key.trim() == name) {
            first = first.or(Some(nth + 1));
        }
    }
    let hint = match first {
        Some(line) => format!("it is on line {line} already; keep one of the two"),
        None => "keep one of the two".to_owned(),
    };
    let what = if header { format!("a second section [{name}]") } else { format!("duplicate key `{name}`") };
    Finding { span, wrong: Wrong { what, hint } }
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}
