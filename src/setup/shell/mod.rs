//! Reads a shell script without running it: which firewall commands it would run, with variables,
//! loops and functions of the same file followed where that is safe, and what cannot be told.

mod expand;
mod lex;
mod parse;
mod run;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeSet;

use super::command::Program;

/// The largest script that is read, in bytes.
pub(super) const MAX_BYTES: usize = 256 << 10;
/// Maximum number of commands that are followed, loops counted out.
const MAX_COMMANDS: usize = 8192;
/// Maximum number of lines that are reported as not understood.
const MAX_UNREAD: usize = 200;

/// What a script does, as far as that can be told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Reading {
    /// Firewall commands in their order.
    pub(in crate::setup) calls: Vec<Call>,
    /// Lines about a firewall whose meaning cannot be told.
    pub(in crate::setup) unread: Vec<Unread>,
    /// Other programs that the script runs.
    pub(in crate::setup) others: BTreeSet<String>,
    /// Those of them, and scripts given to a shell, that are named by their whole path.
    pub(in crate::setup) paths: BTreeSet<String>,
}

/// One firewall command with its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    /// Its line, from 1.
    pub(in crate::setup) line: usize,
    /// The program.
    pub(in crate::setup) program: Program,
    /// The words behind the program.
    pub(in crate::setup) words: Vec<String>,
    /// Whether it surely runs when the script runs.
    pub(in crate::setup) certainty: Certainty,
    /// What the program reads.
    pub(in crate::setup) input: Input,
}

/// What a program reads from its standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Input {
    /// Nothing.
    None,
    /// This text.
    Text(String),
    /// This file.
    File(String),
    /// The output of another program.
    Pipe,
}

/// Whether a command surely runs when the script runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Certainty {
    /// It does.
    Certain,
    /// Only under a condition that is not evaluated here.
    Conditional,
}

/// A line whose meaning cannot be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unread {
    /// Its number, from 1.
    pub(in crate::setup) line: usize,
    /// The line.
    pub(in crate::setup) text: String,
    /// Why not.
    pub(in crate::setup) why: String,
}

/// Reads a script. Of one that is too large nothing is read, and that is reported.
pub(super) fn read(text: &str) -> Reading {
    if text.len() > MAX_BYTES {
        let why = format!("the script is larger than {} KiB", MAX_BYTES >> 10);
        let unread = vec![Unread { line: 1, text: "the whole script".to_owned(), why }];
        return Reading { unread, ..Reading::default() };
    }
    let (steps, broken) = parse::parse(lex::tokens(text));
    let mut runner = run::Runner::new(text);
    runner.run(&steps);
    if let Some(line) = broken {
        runner.unread(line, "the script cannot be read from here on".to_owned());
    }
    runner.done()
}
