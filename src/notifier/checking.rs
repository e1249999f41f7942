//! The check of this machine that the user asked for. Pure.

use super::event::{Action, Button, Check, Refusal};
use super::keys::Key;
use super::machine::{News, Notifier};

/// The state of a check of this machine. A check is true only for the state in which it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Checking {
    /// No check was made.
    None,
    /// It is running.
    Runs,
    /// It is running, and the state has changed since it began.
    Outdated,
    /// It has ended, and its result must be shown.
    Done(Check),
}

impl Checking {
    /// Begins a check. Only one runs at a time, because each asks for a password.
    pub(super) fn begin(&mut self) -> Option<Action> {
        if matches!(self, Self::Runs | Self::Outdated) {
            return None;
        }
        *self = Self::Runs;
        Some(Action::Ask(Button::Check))
    }

    /// Notes that the state has changed.
    pub(super) fn mark_outdated(&mut self) {
        *self = match self {
            Self::Runs | Self::Outdated => Self::Outdated,
            Self::None | Self::Done(_) => Self::None,
        };
    }
}

impl Notifier {
    pub(super) fn checked(&mut self, answer: Result<Check, Refusal>) {
        let is_old = self.check == Checking::Outdated;
        self.check = Checking::None;
        match answer {
            Ok(check) if !is_old => self.check = Checking::Done(check),
            Ok(_) => self.tell(News::Refused(Button::Check, Refusal::Own(Key::CheckOld))),
            Err(refusal) => self.tell(News::Refused(Button::Check, refusal)),
        }
    }
}
