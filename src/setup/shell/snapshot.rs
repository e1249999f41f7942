//! Handles commands that may not run. Where the path with them and the path without them meet, what they change is
//! unknown.

use std::rc::Rc;

use super::Certainty;
use super::expand::{Variable, Variables};
use super::functions::Functions;
use super::run::Runner;
use super::tree::Step;

/// The variables, the functions and the arguments at one time.
#[derive(Debug)]
pub(super) struct Snapshot {
    variables: Variables,
    functions: Functions,
    shifted: bool,
}

impl Runner<'_> {
    pub(super) fn snapshot(&mut self) -> Snapshot {
        self.count_copy();
        let (variables, functions) = (self.variables.clone(), Rc::clone(&self.functions));
        Snapshot { variables, functions, shifted: self.shifted }
    }

    /// Makes everything unknown that has changed since this moment.
    pub(super) fn forget_changes_since(&mut self, before: &Snapshot) {
        self.forget_changed_functions(&before.functions);
        for (name, value) in &mut self.variables.named {
            if before.variables.named.get(name) != Some(value) {
                *value = Variable::Unknown;
            }
        }
        let arguments = (&before.variables.arguments, before.shifted);
        if arguments != (&self.variables.arguments, self.shifted) {
            self.lose_arguments();
        }
    }

    /// Counts the work of a copy of large variables.
    fn count_copy(&mut self) {
        let size = self.variables.size() + self.functions.len() * 32;
        self.counts(size >> 14);
    }

    /// Follows commands. The variables and the functions that they set are unknown afterwards.
    pub(super) fn with_unknown_results(&mut self, follow: impl FnOnce(&mut Self)) {
        let before = self.snapshot();
        follow(self);
        self.forget_changes_since(&before);
    }

    /// Follows commands that may not run.
    pub(super) fn conditional(&mut self, steps: &[Step]) {
        self.with_unknown_results(|runner| runner.steps(steps, Certainty::Conditional));
        self.ends.ended = false;
    }

    /// Follows commands of another process, or commands that do not run. Their variables and functions do not exist
    /// outside of them, and they cannot end the script.
    pub(super) fn isolated(&mut self, follow: impl FnOnce(&mut Self)) {
        let before = self.snapshot();
        let ends = self.ends.clone();
        follow(self);
        (self.variables, self.functions, self.shifted) = (before.variables, before.functions, before.shifted);
        self.ends = ends;
    }

    /// Follows one part of a pipe. Most shells run it in its own process.
    pub(super) fn in_pipe(&mut self, follow: impl FnOnce(&mut Self)) {
        let ends = self.ends.clone();
        self.with_unknown_results(follow);
        let is_over = self.is_over();
        self.ends = ends;
        if is_over {
            self.may_end();
        }
    }

    /// Lists commands that do not run.
    pub(super) fn not_taken(&mut self, steps: &[Step]) {
        self.dormant(|runner| runner.isolated(|runner| runner.conditional(steps)));
    }

    /// Follows commands that do not run when the script starts at boot. They delete nothing and end nothing.
    pub(super) fn dormant(&mut self, follow: impl FnOnce(&mut Self)) {
        let outer = std::mem::replace(&mut self.is_dormant, true);
        follow(self);
        self.is_dormant = outer;
    }
}
