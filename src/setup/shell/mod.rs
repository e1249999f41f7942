//! Reads a shell script without running it, and finds the firewall commands that it would run. It follows variables,
//! loops and functions of the same file where that is safe, and reports what it does not understand.
//!
//! No library parses the script: conch-parser has had no release since 2019, and yash-syntax has a licence (GPL-3.0)
//! that this program cannot use. Both would only parse. To find out which values are certainly known is the larger
//! part.

mod arguments;
mod assign;
mod assignment;
mod expand;
mod functions;
mod interpreters;
mod leave;
mod lex;
mod loops;
mod parse;
mod partly;
mod printed;
mod program;
mod run;
mod shells;
mod snapshot;
mod stdin;
#[cfg(test)]
mod tests;
mod tree;
mod word;

use std::collections::BTreeSet;

use super::command::Program;

/// Stands for a word with an unknown value in a [`Call`].
pub(super) const UNKNOWN: &str = "\u{fffd}";
/// Maximum size of a script, in bytes.
pub(super) const MAX_BYTES: usize = 256 << 10;
/// Maximum number of commands that are followed. Every pass of a loop counts.
const MAX_COMMANDS: usize = 8192;
/// Maximum number of lines that are reported as not understood.
const MAX_UNREAD: usize = 200;

/// What a script does, as far as it is understood.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Reading {
    /// Firewall commands, in order.
    pub(in crate::setup) calls: Vec<Call>,
    /// Lines about a firewall that are not understood.
    pub(in crate::setup) unread: Vec<Unread>,
    /// Other programs that the script runs.
    pub(in crate::setup) others: BTreeSet<String>,
    /// Absolute paths of programs and scripts that the script runs.
    pub(in crate::setup) paths: BTreeSet<String>,
}

/// One firewall command with its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    /// The line in the script, from 1.
    pub(in crate::setup) line: usize,
    /// The program.
    pub(in crate::setup) program: Program,
    /// The arguments of the program.
    pub(in crate::setup) words: Vec<String>,
    /// Whether it runs every time the script runs.
    pub(in crate::setup) certainty: Certainty,
    /// The standard input of the program.
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
    /// A text that the reader has listed as not understood.
    Unknown,
}

/// Whether a command runs every time the script runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Certainty {
    /// It runs every time.
    Certain,
    /// It depends on a condition that is not evaluated here.
    Conditional,
    /// It does not run when the script starts at boot, and is only listed.
    Never,
}

/// A line that is not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unread {
    /// The line number, from 1.
    pub(in crate::setup) line: usize,
    /// The line.
    pub(in crate::setup) text: String,
    /// Why it is not understood.
    pub(in crate::setup) why: String,
}

/// Reads a script. A script that is too large is reported and not read.
pub(super) fn read(text: &str) -> Reading {
    if text.len() > MAX_BYTES {
        let why = format!("the script is larger than {} KiB", MAX_BYTES >> 10);
        let unread = vec![Unread { line: 1, text: "the whole script".to_owned(), why }];
        return Reading { unread, ..Reading::default() };
    }
    if let Some(reading) = interpreters::of_another_language(text) {
        return reading;
    }
    let (steps, broken) = parse::parse(lex::tokens(text));
    let mut runner = run::Runner::new(text);
    runner.run(&steps);
    if let Some(line) = broken {
        runner.unread(line, "the script cannot be read from this line on".to_owned());
    }
    runner.done()
}
