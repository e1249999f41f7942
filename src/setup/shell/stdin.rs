//! Whether commands may read the standard input that they share with the loop around them.

use super::lex::Word;
use super::program::WRAPPERS;
use super::run::{QUIET, Runner};
use super::tree::{After, Node, Simple, Step};
use crate::setup::command::Program;

/// Maximum depth of functions that are looked into.
const MAX_DEPTH: usize = 8;

/// Programs that read no standard input, besides those of [`QUIET`] and those that change rules.
const OTHERS: [&str; 6] = ["ip", "ipset", "sysctl", "modprobe", "conntrack", "systemctl"];

impl Runner<'_> {
    /// Whether one of these commands may read lines that the loop around them reads otherwise.
    pub(super) fn may_read(&self, steps: &[Step], depth: usize) -> bool {
        // What follows a pipe reads what comes out of it.
        steps.iter().any(|step| step.after != After::Pipe && self.node_may_read(&step.node, depth))
    }

    fn node_may_read(&self, node: &Node, depth: usize) -> bool {
        let any = |lists: &[&[Step]]| lists.iter().any(|steps| self.may_read(steps, depth));
        match node {
            Node::Simple(simple) => self.simple_may_read(simple, depth),
            Node::For { body, .. } | Node::Group(body) | Node::Subshell(body) => any(&[body]),
            Node::If { condition, then, otherwise } => any(&[condition, then, otherwise]),
            Node::Case { arms, .. } => arms.iter().any(|(_, body)| any(&[body])),
            Node::Loop { condition, body, input } => !is_fed(input) && any(&[condition, body]),
            Node::Function { .. } => false,
        }
    }

    fn simple_may_read(&self, simple: &Simple, depth: usize) -> bool {
        if is_fed(simple) || simple.words.is_empty() {
            return false;
        }
        let known = |word: &Word| self.variables.expand(word).ok()?.into_iter().next();
        let Some(first) = simple.words.first().and_then(known) else { return true };
        if let Some(body) = self.functions.get(&first) {
            return depth >= MAX_DEPTH || self.may_read(body, depth + 1);
        }
        let name = first.rsplit('/').next().unwrap_or_default();
        if WRAPPERS.contains(&name) {
            // What it runs is one of its words.
            let mut words = simple.words.iter().skip(1).filter_map(known);
            return !words.any(|word| reads_nothing(&word));
        }
        match name {
            "read" => true,
            "logger" => simple.words.len() == 1,
            "cat" => simple.words.len() == 1,
            _ => !(QUIET.contains(&name) || reads_nothing(name)),
        }
    }
}

fn reads_nothing(program: &str) -> bool {
    OTHERS.contains(&program) || matches!(Program::named(program, &[]), Some((Program::Rules(_), _)))
}

/// Whether a command has an input of its own.
fn is_fed(simple: &Simple) -> bool {
    simple.here.is_some() || simple.string.is_some() || simple.input.is_some()
}
