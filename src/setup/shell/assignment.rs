//! Finds assignments among the words of a command.

use super::lex::{Part, Quoted, Word};
use super::tree::{After, Node, Simple, Step};
use super::word::is_in_name;

/// The left side of an assignment, and the start of its value.
pub(super) struct Left {
    pub(super) name: String,
    pub(super) appends: bool,
    /// `NAME[INDEX]=…`
    pub(super) is_element: bool,
    pub(super) rest: Word,
}

/// Commands whose arguments are assignments.
pub(super) fn declares(simple: &Simple) -> bool {
    let first = simple.words.first().and_then(Word::bare);
    matches!(first, Some("export" | "local" | "readonly" | "declare" | "typeset"))
}

/// `NAME=…` or `NAME+=…`
pub(super) fn assignment(word: &Word) -> Option<Left> {
    let Some(Part::Text(text, quoted)) = word.parts.first() else { return None };
    if *quoted == Quoted::Yes {
        return None;
    }
    if let Some((name, _)) = text.split_once('[').filter(|(name, _)| is_name(name)) {
        let is_end =
            |part: &Part| matches!(part, Part::Text(text, _) if text.contains("]=") || text.contains("]+="));
        let left = Left { name: name.to_owned(), appends: false, is_element: true, rest: Word::default() };
        return word.parts.iter().any(is_end).then_some(left);
    }
    let (name, rest) = text.split_once('=')?;
    let (name, appends) = name.strip_suffix('+').map_or((name, false), |name| (name, true));
    if !is_name(name) {
        return None;
    }
    let mut parts = Vec::new();
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned(), *quoted));
    }
    parts.extend(word.parts.iter().skip(1).cloned());
    Some(Left { name: name.to_owned(), appends, is_element: false, rest: Word { parts } })
}

pub(super) fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && word.chars().all(is_in_name)
}

/// `COMMAND &` runs in a process of its own. For a part of a pipe this makes no difference.
pub(super) fn in_background(steps: &mut Vec<Step>) {
    if let Some(Step { after, node }) = steps.pop() {
        let node = match after {
            After::Pipe => node,
            After::Always | After::And | After::Or => {
                Node::Subshell(vec![Step { after: After::Always, node }])
            }
        };
        steps.push(Step { after, node });
    }
}
