//! `continue`, `break`, `return` and `exit`. They end one pass of a loop, a loop, a function or the script.

use std::rc::Rc;

use super::lex::Word;
use super::loops::Passes;
use super::run::Runner;
use super::snapshot::Snapshot;
use super::tree::Node;
use super::{Certainty, UNKNOWN};

/// What has ended, or may have ended.
#[derive(Debug, Clone, Default)]
pub(super) struct Ends {
    /// Set after an `exit`, and after an `exit` that may not have run.
    pub(super) exited: bool,
    may_have_exited: bool,
    /// Set after a `return` in a function.
    pub(super) ended: bool,
    /// The moment of a `return` that may have run.
    pub(super) may_have_ended: Option<Rc<Snapshot>>,
    pub(super) passes: Passes,
}

/// Whether a command does nothing except end a pass, a loop, a function or the script.
pub(super) fn leaves(node: &Node) -> bool {
    let Node::Simple(simple) = node else { return false };
    let first = simple.words.first().and_then(Word::bare);
    matches!(first, Some("continue" | "break" | "return" | "exit"))
}

impl Runner<'_> {
    /// Whether no more commands of this list run.
    pub(super) fn is_over(&self) -> bool {
        self.ends.ended || self.ends.exited || self.ends.passes.is_over()
    }

    /// Whether it is not known if more commands run.
    pub(super) fn may_be_over(&self) -> bool {
        self.ends.may_have_ended.is_some() || self.ends.may_have_exited || self.ends.passes.is_uncertain()
    }

    /// `continue`, `break`, `return` or `exit`.
    pub(super) fn leave(&mut self, command: &str, arguments: &[String], certainty: Certainty) {
        if self.is_dormant {
            return;
        }
        let code = arguments.first().map(String::as_str);
        // A script that fails opens nothing more, and the user wants its rules for the case that it does not fail.
        let is_success = matches!(code, None | Some("0" | UNKNOWN));
        match (command, certainty) {
            ("exit", Certainty::Certain) => self.ends.exited = true,
            ("exit", _) => self.ends.may_have_exited |= is_success && self.has_changed,
            // Outside a function, some shells end the script and others continue.
            ("return", Certainty::Certain) if self.depth == 0 => self.may_end(),
            ("return", Certainty::Certain) => self.ends.ended = true,
            // In a function with arguments, a `return` with an error may be for some arguments only. If the arguments
            // are not known, an early return is most often for the argument `stop`.
            ("return", _) => match &self.variables.arguments {
                Some(own) if is_success || !own.is_empty() => self.may_end(),
                None if is_success && self.has_changed => self.may_end(),
                Some(_) | None => {}
            },
            // The command ends several loops.
            (_, _) if code.is_some_and(|code| code != "1") => self.may_end(),
            (_, _) if !self.ends.passes.in_loop => {}
            ("continue", Certainty::Certain) => self.ends.passes.continued = true,
            ("continue", _) => {
                let before = self.ends.passes.may_continue.take();
                self.ends.passes.may_continue = Some(self.record_exit(before));
            }
            (_, Certainty::Certain) => self.ends.passes.broken = true,
            (_, _) => {
                let before = self.ends.passes.may_break.take();
                self.ends.passes.may_break = Some(self.record_exit(before));
            }
        }
    }

    /// Notes that the function, or the script, may end here.
    pub(super) fn may_end(&mut self) {
        let before = self.ends.may_have_ended.take();
        self.ends.may_have_ended = Some(self.record_exit(before));
    }

    /// The moment at which a command leaves. From here on, what has changed since an earlier departure to the same
    /// place is unknown, so one moment is enough for both.
    fn record_exit(&mut self, earlier: Option<Rc<Snapshot>>) -> Rc<Snapshot> {
        self.merge_exit(earlier);
        Rc::new(self.snapshot())
    }

    /// The place where the script continues after a departure. There are two paths to it.
    pub(super) fn merge_exit(&mut self, departure: Option<Rc<Snapshot>>) {
        if let Some(before) = departure {
            self.forget_changes_since(&before);
        }
    }
}
