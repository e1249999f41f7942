//! The commands of a script as a tree.

use std::cell::Cell;
use std::rc::Rc;

use super::lex::{Document, Word};

/// A command, and how it is connected with the one before.
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
    /// An `elif` is in `otherwise`.
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
    /// `( … )`: its variables exist only inside.
    Subshell(Vec<Step>),
    Function {
        name: String,
        body: Rc<Body>,
    },
}

/// The commands of a function.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) steps: Vec<Step>,
    /// Whether the definition has run, and whether a command has called the function.
    pub(super) is_defined: Cell<bool>,
    pub(super) is_called: Cell<bool>,
}

impl Body {
    pub(super) fn new(steps: Vec<Step>) -> Self {
        Self { steps, is_defined: Cell::new(false), is_called: Cell::new(false) }
    }
}

#[derive(Debug, Default)]
pub(super) struct Simple {
    pub(super) line: usize,
    pub(super) assignments: Vec<Assignment>,
    pub(super) words: Vec<Word>,
    pub(super) here: Option<Document>,
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
    /// `NAME[INDEX]=…`
    Element,
}
