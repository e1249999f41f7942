//! The notice of the first minute: it says why the computer is locked, and what to do. Pure.

use super::event::{Button, Topic};
use super::keys::Key;
use super::machine::Notifier;
use super::notice::{Lifetime, Notice, Text, Urgency};
use crate::status::{Status, Verdict};
use crate::vpn::State;

/// The pause that the notice offers, in minutes.
const PAUSE: u64 = 5;

impl Notifier {
    /// Begins or ends the notice. It begins once for each user, when the computer is locked.
    pub(super) fn welcome(&mut self, status: &Status) {
        self.welcoming = is_locked(status) && (self.welcoming || !self.memory.welcomed);
    }

    /// The notice of the first minute.
    pub(super) fn of_welcome(&self) -> Option<Notice> {
        let status = self.status().filter(|status| self.welcoming && is_locked(status))?;
        let counts = status.vpns.iter().any(|vpn| vpn.counts && vpn.fault.is_none());
        let connect = match (counts, status.vpns.is_empty()) {
            (true, _) => Key::WelcomeConnect,
            (false, true) => Key::WelcomeNoVpn,
            (false, false) => Key::WelcomeNotCounting,
        };
        let mut body = self.leaves(Key::WelcomeBody);
        body.extend([connect, Key::WelcomePause, Key::WelcomeInit, Key::WelcomeLeave].map(Text::new));
        let mut buttons: Vec<Button> = self.connectable().into_iter().take(1).map(Button::Connect).collect();
        buttons.extend([Button::Pause(PAUSE), Button::Details]);
        Some(Notice {
            topic: Topic::Welcome,
            urgency: Urgency::Normal,
            lifetime: Lifetime::UntilResolved,
            state_icon: self.state_icon(),
            title: Text::new(Key::WelcomeTitle),
            body,
            buttons,
        })
    }
}

fn is_locked(status: &Status) -> bool {
    status.state == State::Locked && status.verdict() == Verdict::Locked
}
