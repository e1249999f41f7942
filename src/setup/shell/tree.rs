//! The commands of a script as a tree.

use std::rc::Rc;

use super::lex::Word;

/// A command, and how it follows the one before.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) after: After,
    pub(super) node: Node,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    Always,
    /// `&&`
    And,
    /// `||`
    Or,
    /// `|`
    Pipe,
}

#[derive(Debug)]
pub(super) enum Node {
    Simple(Simple),
    For {
        name: String,
        words: Vec<Word>,
        body: Vec<Step>,
    },
    /// `elif` stands in `otherwise`.
    If {
        condition: Vec<Step>,
        then: Vec<Step>,
        otherwise: Vec<Step>,
    },
    Case {
        word: Word,
        arms: Vec<(Vec<String>, Vec<Step>)>,
    },
    /// `while` or `until`.
    Loop {
        condition: Vec<Step>,
        body: Vec<Step>,
        /// The redirections after `done`.
        input: Simple,
    },
    /// `{ … }`
    Group(Vec<Step>),
    /// `( … )`: its variables end with it.
    Subshell(Vec<Step>),
    Function {
        name: String,
        body: Rc<Vec<Step>>,
    },
}

#[derive(Debug, Default)]
pub(super) struct Simple {
    pub(super) line: usize,
    pub(super) assignments: Vec<Assignment>,
    pub(super) words: Vec<Word>,
    /// The text of a here-document.
    pub(super) here: Option<String>,
    /// `<<< WORD`
    pub(super) string: Option<Word>,
    /// The file of `< FILE`.
    pub(super) input: Option<Word>,
}

#[derive(Debug)]
pub(super) struct Assignment {
    pub(super) name: String,
    pub(super) appends: bool,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    One(Word),
    List(Vec<Word>),
}
