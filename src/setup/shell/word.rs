//! The parts of a script's words.

use super::lex::{All, Part, Quoted, Reference, Word};

impl Word {
    /// Adds a letter.
    pub(super) fn text(&mut self, c: char, quoted: Quoted) {
        match self.parts.last_mut() {
            Some(Part::Text(text, same)) if *same == quoted => text.push(c),
            _ => self.parts.push(Part::Text(c.to_string(), quoted)),
        }
    }

    /// A word of text without quotes.
    pub(super) fn plain(text: &str) -> Self {
        Self { parts: vec![Part::Text(text.to_owned(), Quoted::No)] }
    }

    /// `"$@"`
    pub(super) fn all_arguments() -> Self {
        Self { parts: vec![Part::Variable(Reference::to("@".to_owned(), Quoted::Yes))] }
    }

    /// Whether `[[` may use it as a pattern, or it stands for several words.
    pub(super) fn is_pattern(&self, is_right_side: bool) -> bool {
        let is_special = |part: &Part| match part {
            Part::Text(text, Quoted::No) => text != "[[" && text.contains(['*', '?', '[', '{']),
            Part::Text(_, Quoted::Yes) => false,
            Part::Variable(Reference { name, all, quoted, .. }) => {
                *all != All::No || name == "@" || name == "*" || is_right_side && *quoted == Quoted::No
            }
            Part::Output(_) | Part::Unknown(_) => true,
        };
        self.parts.iter().any(is_special)
    }

    /// Whether the shell replaces it with the names of files.
    pub(super) fn is_glob(&self) -> bool {
        let is_special =
            |part: &Part| matches!(part, Part::Text(text, Quoted::No) if text.contains(['*', '?', '[']));
        self.parts.iter().any(is_special)
    }

    /// The same word with its variables protected against splitting.
    pub(super) fn unsplit(&self) -> Self {
        let as_quoted = |part: &Part| match part {
            Part::Variable(reference) => {
                Part::Variable(Reference { quoted: Quoted::Yes, ..reference.clone() })
            }
            Part::Text(_, _) | Part::Output(_) | Part::Unknown(_) => part.clone(),
        };
        Self { parts: self.parts.iter().map(as_quoted).collect() }
    }

    /// The word, if it is text without quotes: a reserved word, or the start of an assignment.
    pub(super) fn bare(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Text(text, Quoted::No)] => Some(text),
            _ => None,
        }
    }

    /// The text of a pattern of `case`. A backslash marks a quoted letter, which has no special meaning.
    pub(super) fn pattern(&self) -> String {
        let text = |part: &Part| match part {
            Part::Text(text, Quoted::No) => text.clone(),
            Part::Text(text, Quoted::Yes) => {
                let letter = |c: char| if "*?[\\".contains(c) { format!("\\{c}") } else { c.to_string() };
                text.chars().map(letter).collect()
            }
            Part::Variable(_) | Part::Output(_) | Part::Unknown(_) => "$".to_owned(),
        };
        self.parts.iter().map(text).collect()
    }
}

/// Whether the name of a variable may have this character.
pub(super) fn is_in_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}
