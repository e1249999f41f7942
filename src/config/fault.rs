//! Faults of a configuration: each is shown with its line, a caret and a hint.
//!
//! Text from a file never controls the terminal: characters that could move the cursor, change colours or
//! reverse the direction of text are escaped.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::PathBuf;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::hint::plain;
use super::item::{Finding, Wrong};

/// Maximum number of characters of a source line before and after the start of the fault.
const CONTEXT: usize = 60;

/// The width in columns at which the renderer would cut a line. The excerpt was already cut around the fault and is
/// narrower: [`CONTEXT`] characters on both sides need less, even if all of them are escaped.
const WIDTH: usize = 4096;

/// Maximum number of faults in a message.
const MAX_FAULTS: usize = 100;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Faults {
    /// The file does not exist. For the default path the caller then uses [`super::Config::default`]; a path that
    /// the user has named must exist.
    #[error("{}: there is no such file\n  = hint: name an existing file, or none for the defaults", plain(&.0.to_string_lossy()))]
    NotFound(PathBuf),
    /// The file exists, but cannot be read.
    #[error("{}: {what}\n  = hint: {hint}", plain(&.path.to_string_lossy()))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
        /// What the user can do.
        hint: &'static str,
        /// The error of the kernel, if there was one.
        source: Option<io::Error>,
    },
    /// The content of the file has faults.
    #[error("{}", Listing(.found, *.more))]
    Wrong {
        /// The faults in the order of the file. There is at least one.
        found: Vec<Fault>,
        /// Number of further faults that are not listed.
        more: usize,
    },
}

impl Faults {
    /// The faults of a text, in the order of the text.
    pub(super) fn of(file: &str, text: &str, mut findings: Vec<Finding>) -> Self {
        findings.sort_by_key(|finding| finding.span.start);
        let fault = |Finding { span, wrong }: &Finding| Fault::at(file, text, span, &wrong.what, &wrong.hint);
        Self::Wrong {
            found: findings.iter().take(MAX_FAULTS).map(fault).collect(),
            more: findings.len().saturating_sub(MAX_FAULTS),
        }
    }

    /// A file of more than 1 MiB.
    pub(super) fn too_large(path: PathBuf) -> Self {
        let what = "this file is larger than 1 MiB, the maximum";
        Self::Unreadable { path, what, hint: "check that this is the right file", source: None }
    }

    /// The bytes from `offset` on are not UTF-8.
    pub(super) fn not_utf8(file: &str, bytes: &[u8], offset: usize) -> Self {
        let byte = bytes.get(offset).copied().unwrap_or_default();
        let wrong = Wrong {
            what: format!("this is not UTF-8: byte 0x{byte:02x} at offset {offset}"),
            hint: "save the file as UTF-8 text".to_owned(),
        };
        // The text is unchanged up to the offset; at the offset it has the replacement character.
        let finding = Finding { span: offset..offset + char::REPLACEMENT_CHARACTER.len_utf8(), wrong };
        Self::of(file, &String::from_utf8_lossy(bytes), vec![finding])
    }

    /// The first fault in one line, without the source line. It is for programs, and may be shown to all users on the
    /// bus.
    pub fn summary(&self) -> String {
        let path = |path: &PathBuf| plain(&path.to_string_lossy());
        match self {
            Self::NotFound(file) => format!("{}: there is no such file", path(file)),
            Self::Unreadable { path: file, what, .. } => format!("{}: {what}", path(file)),
            Self::Wrong { found, more } => {
                let first = found.first().map_or_else(String::new, |fault| {
                    format!("{}:{}: {}", fault.file, fault.line, fault.what)
                });
                match (found.len() + more).saturating_sub(1) {
                    0 => first,
                    others => format!("{first}; and {others} more"),
                }
            }
        }
    }

    /// The faults in the content of the file; empty if it could not be read.
    pub fn found(&self) -> &[Fault] {
        match self {
            Self::Wrong { found, .. } => found,
            Self::NotFound(_) | Self::Unreadable { .. } => &[],
        }
    }
}

/// Several faults, with an empty line between them.
struct Listing<'f>(&'f [Fault], usize);

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, fault) in self.0.iter().enumerate() {
            write!(f, "{}{fault}", if nth == 0 { "" } else { "\n\n" })?;
        }
        match self.1 {
            0 => Ok(()),
            more => write!(f, "\n\nand {more} more"),
        }
    }
}

/// A fault with its position in the file. Its text is safe to print on a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    file: String,
    line: usize,
    column: usize,
    source: String,
    caret: Range<usize>,
    what: String,
    hint: String,
}

impl Fault {
    /// A fault about the bytes `span` of `text`.
    pub(super) fn at(file: &str, text: &str, span: &Range<usize>, what: &str, hint: &str) -> Self {
        let start = floor(text, span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
        let end = floor(text, span.end).clamp(start, line_end);
        let (source, caret) = excerpt(&text[line_start..start], &text[start..end], &text[end..line_end]);
        Self {
            file: plain(file),
            line: text[..line_start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            source,
            caret,
            what: plain(what),
            hint: plain(hint),
        }
    }

    /// The name of the file.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The line, from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The column in characters, from 1.
    pub fn column(&self) -> usize {
        self.column
    }

    /// The source line, with unprintable characters escaped. A long line is cut around the fault.
    pub fn source_line(&self) -> &str {
        &self.source
    }

    /// The characters of [`Self::source_line`] that are faulty; never empty.
    pub fn caret(&self) -> Range<usize> {
        self.caret.clone()
    }

    /// What is wrong.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// What to do about it.
    pub fn hint(&self) -> &str {
        &self.hint
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, source, caret, what, hint } = self;
        let title = Level::ERROR.no_name().primary_title(format!("{file}:{line}:{column}: {what}"));
        let marked = byte_at(source, caret.start)..byte_at(source, caret.end);
        let snippet = Snippet::source(source).line_start(*line);
        let snippet = snippet.annotation(AnnotationKind::Primary.span(marked));
        let report = [title.element(snippet).element(Level::HELP.with_name("hint").message(hint))];
        f.write_str(&Renderer::plain().term_width(WIDTH).render(&report))
    }
}

/// The byte offset of a character; the end of the text if it has fewer characters.
fn byte_at(text: &str, character: usize) -> usize {
    text.char_indices().nth(character).map_or(text.len(), |(byte, _)| byte)
}

/// The nearest character boundary at or before `offset`.
fn floor(text: &str, offset: usize) -> usize {
    (0..=offset.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

/// Cuts a line around the fault. Returns the cut line, and the position of the fault in it.
fn excerpt(before: &str, meant: &str, after: &str) -> (String, Range<usize>) {
    let after = after.strip_suffix('\r').unwrap_or(after);
    let skipped = before.chars().count().saturating_sub(CONTEXT);
    let mut source = String::from(if skipped > 0 { "…" } else { "" });
    source.extend(before.chars().skip(skipped).map(printable));
    let start = source.chars().count();

    let mut rest = meant.chars().chain(after.chars());
    let visible = meant.chars().count().min(CONTEXT);
    source.extend(rest.by_ref().take(visible).map(printable));
    let end = source.chars().count().max(start + 1);
    source.extend(rest.by_ref().take(CONTEXT - visible).map(printable));
    if rest.next().is_some() {
        source.push('…');
    }
    (source.trim_end().to_owned(), start..end)
}

/// A character of a source line, safe to print. A tab becomes one space.
fn printable(c: char) -> String {
    if c == '\t' { " ".to_owned() } else { plain(c.encode_utf8(&mut [0; 4])) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_the_file_is_printed_without_control_characters() {
        let text = "a = \"\u{1b}[2J\u{202e}\u{7}\"\t# x\r\n";
        let fault = Fault::at("dir/\u{1b}]0;x", text, &(4..13), "bad \u{9b}31m", "not \u{200b}this");
        let shown = fault.to_string();
        assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
        assert!(!shown.contains(['\u{202e}', '\u{200b}']), "{shown:?}");
    }

    #[test]
    fn the_caret_is_below_the_fault_after_wide_characters() {
        let text = "names = [\"日本\", oops]";
        let at = text.find("oops").unwrap();
        let shown = Fault::at("f", text, &(at..at + 4), "x", "y").to_string();
        // `names = ["` is 10 columns wide, each of the two characters 2, `", ` 3.
        assert!(shown.contains(&format!("| {}^^^^", " ".repeat(17))), "{shown}");
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let text = format!("a = [{}\"here\"{}]", "1, ".repeat(1000), ", 1".repeat(1000));
        let at = text.find("\"here").unwrap();
        let fault = Fault::at("f", &text, &(at..at + 6), "x", "y");
        assert_eq!(fault.column(), at + 1);
        assert!(fault.source_line().chars().count() <= 2 * CONTEXT + 2);
        let caret = fault.caret();
        let meant: String = fault.source_line().chars().skip(caret.start).take(caret.len()).collect();
        assert_eq!(meant, "\"here\"");
    }

    #[test]
    fn a_span_outside_the_text_or_inside_a_character_does_not_panic() {
        for span in [0..0, 1..2, 2..900, 900..901] {
            assert!(!Fault::at("f", "ä\n€", &span, "x", "y").caret().is_empty(), "{span:?}");
        }
    }
}
