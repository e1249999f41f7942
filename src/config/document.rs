//! Parses TOML with positions. It finds every syntax error, and also returns the document without the broken
//! statements.
//!
//! After a broken statement a parser misreads the next ones. So this file reports the first error of a broken
//! statement, replaces the statement with spaces and parses the text again, until no syntax error is left.

use std::collections::HashMap;
use std::ops::Range;

use toml::de::{DeTable, Error};
use toml_parser::Source;
use toml_parser::lexer::TokenKind;

use super::Config;
use super::fault::Faults;
use super::hint::shown;
use super::item::{Finding, Findings, Wrong};
use super::schema;

/// Maximum size of a configuration, in bytes. A configuration with a hundred servers has about 10,000.
pub(super) const MAX_BYTES: usize = 1 << 20;

/// Maximum number of attempts to parse a broken document, and maximum size of a document that gets more than one
/// attempt, in bytes.
const MAX_ROUNDS: usize = 32;
const MAX_ROUNDS_BYTES: usize = 64 << 10;

/// Maximum number of parts of a dotted key.
const MAX_PARTS: usize = 16;

/// Maximum depth of the search for a statement. Sections, their keys and dotted keys are not deeper.
const MAX_DEPTH: usize = 4;

impl Config {
    /// Parses a configuration. `file` is the name of the file in messages.
    ///
    /// # Errors
    /// Every fault of the text, or the fault that it is larger than 1 MiB.
    pub fn parse(text: &str, file: &str) -> Result<Self, Faults> {
        if text.len() > MAX_BYTES {
            return Err(Faults::too_large(file.into()));
        }
        let (sound, mut found) = without_broken_statements(text);
        let mut config = Self::default();
        if let Some(sound) = sound {
            let (document, errors) = DeTable::parse_recoverable(&sound);
            let findings = Findings::new(&sound);
            config = schema::config(document.get_ref(), &findings);
            found.extend(duplicates(&sound, &errors));
            found.extend(findings.found.take());
        }
        if found.is_empty() { Ok(config) } else { Err(Faults::of(file, text, found)) }
    }
}

/// The text with its broken statements replaced by spaces, and the errors in them. Returns no text if too much of
/// it is broken.
fn without_broken_statements(text: &str) -> (Option<String>, Vec<Finding>) {
    let mut found = long_keys(text);
    if !found.is_empty() {
        return (None, found);
    }
    let mut sound = text.to_owned();
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

/// Dotted keys with more than [`MAX_PARTS`] parts. The parser limits the depth of brackets, but not of tables: each
/// part of a key is one more level, and the tables are freed recursively.
fn long_keys(text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut parts: Option<(Range<usize>, usize)> = None;
    for token in Source::new(text).lex() {
        let span = token.span().start()..token.span().end();
        let joins = matches!(
            token.kind(),
            TokenKind::Atom | TokenKind::BasicString | TokenKind::LiteralString | TokenKind::Whitespace
        );
        parts = match (parts, token.kind() == TokenKind::Dot) {
            (Some((key, dots)), true) => Some((key.start..span.end, dots + 1)),
            (Some((key, dots)), false) if joins => Some((key, dots)),
            (Some((key, dots)), false) if dots >= MAX_PARTS => {
                found.push(long_key(key));
                None
            }
            (None, _) if joins => Some((span, 0)),
            (None | Some(_), _) => None,
        };
    }
    found
}

fn long_key(span: Range<usize>) -> Finding {
    let what = format!("a key of more than {MAX_PARTS} parts");
    Finding { span, wrong: Wrong { what, hint: "no key here has more than two: tunnel.allow".to_owned() } }
}

fn is_duplicate(error: &Error) -> bool {
    error.message().starts_with("duplicate key")
}

/// The start of the value that contains the position `at`.
fn opened(table: &DeTable<'_>, at: usize, depth: usize) -> Option<usize> {
    let depth = depth.checked_sub(1)?;
    table.values().find_map(|value| {
        let span = value.span();
        // The span of a section is only its header.
        let inside = span.start < at && at <= span.end;
        match value.get_ref().as_table() {
            Some(table) => opened(table, at, depth).or_else(|| inside.then_some(span.start)),
            None => inside.then_some(span.start),
        }
    })
}

/// The lines of the statement whose first line contains `at`. For a header these are all lines of its section.
fn statement(text: &str, at: usize) -> Range<usize> {
    let start = line_start(text, at);
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

/// Overwrites a part with spaces. All other bytes keep their positions.
fn blank(text: &mut String, part: Range<usize>) {
    let spaces: String = text[part.clone()].bytes().map(|b| if b == b'\n' { '\n' } else { ' ' }).collect();
    text.replace_range(part, &spaces);
}

/// The message and the hint for a syntax error.
fn syntax(text: &str, error: &Error, begin: usize) -> Finding {
    let span = error.span().unwrap_or_default();
    let (what, expected) = match error.message().split_once(", expected ") {
        Some((what, expected)) => (what, Some(expected)),
        None => (error.message(), None),
    };
    // The parser reads an unquoted word that starts with t or f as a mistyped true or false.
    if matches!(what, "string values must be quoted" | "invalid boolean") {
        let hint = "write it in quotes; without them there are only true, false and numbers".to_owned();
        return Finding { span, wrong: Wrong { what: "a word without quotes".to_owned(), hint } };
    }
    let begin_line = line_of(text, begin);
    let hint = match what {
        "key with no value" | "missing value for key" => "write key = value".to_owned(),
        "invalid unquoted key" if text.get(span.start..).is_some_and(|rest| rest.starts_with(':')) => {
            "write key = value, with an equals sign, and a section as [section]".to_owned()
        }
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

/// Keys and sections that are set twice, with the line of the first one.
fn duplicates(text: &str, errors: &[Error]) -> Vec<Finding> {
    let first = if errors.is_empty() { HashMap::new() } else { repeated(text) };
    let finding = |error: &Error| {
        let span = error.span().unwrap_or_default();
        let name = text.get(span.clone()).unwrap_or_default();
        let line_start = line_start(text, span.start);
        let what = if begins_section(&text[line_start..]) {
            format!("a second section [{name}]")
        } else {
            format!("duplicate key `{}`", shown(name))
        };
        let hint = match first.get(&line_start) {
            Some(line) => format!("it is on line {line} already; keep one of the two"),
            None => "keep one of the two".to_owned(),
        };
        Finding { span, wrong: Wrong { what, hint } }
    };
    errors.iter().map(finding).collect()
}

/// Lines that repeat a header or a key of the same section: the position of the line, and the number of the first
/// line.
fn repeated(text: &str) -> HashMap<usize, usize> {
    let (mut headers, mut keys, mut repeated) = (HashMap::new(), HashMap::new(), HashMap::new());
    let mut start = 0;
    for (nth, line) in text.split_inclusive('\n').enumerate() {
        let first = if begins_section(line) {
            keys.clear();
            headers.entry(line.split(']').next().unwrap_or(line).trim()).or_insert(nth + 1)
        } else {
            keys.entry(line.split('=').next().unwrap_or(line).trim()).or_insert(nth + 1)
        };
        if *first <= nth {
            repeated.insert(start, *first);
        }
        start += line.len();
    }
    repeated
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}
