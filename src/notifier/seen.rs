//! Takes what the user has done with a notice: seen it, closed it, clicked it, or asked for the details. Pure.

use super::checking::Checking;
use super::event::{Button, Closing, Topic};
use super::machine::Notifier;

impl Notifier {
    pub(super) fn shown(&mut self, topic: Topic, now: u64) {
        let (loss, repairs) = match self.status() {
            Some(status) => (status.loss.as_ref().map_or(0, |loss| loss.at), status.repairs),
            None => (self.memory.loss, self.memory.repairs),
        };
        match topic {
            Topic::Lost | Topic::Flapping | Topic::Missed => self.memory.loss = loss,
            Topic::Repaired => self.memory.repairs = repairs,
            Topic::Welcome => self.memory.welcomed = true,
            Topic::News => {
                if let Some(news) = &mut self.news {
                    news.seen.get_or_insert(now);
                    self.memory.loss = loss.max(self.memory.loss);
                }
            }
            Topic::Details
            | Topic::Blocked
            | Topic::Checked
            | Topic::Gone
            | Topic::NotEnforced
            | Topic::Paused(_)
            | Topic::Uncounted
            | Topic::Portal => {}
        }
    }

    pub(super) fn closed(&mut self, topic: Topic, closing: Closing) {
        // The list of refusals was in this notice too.
        if topic != Topic::News {
            self.blocked = None;
        }
        match (topic, closing) {
            (Topic::News, _) => self.news = None,
            (Topic::Details, _) => self.detailed = None,
            (Topic::Blocked, _) => {}
            (Topic::Checked, _) => self.check = Checking::None,
            (Topic::Missed, Closing::Dismissed) => self.missed = None,
            (Topic::Repaired, Closing::Dismissed) => self.repaired = None,
            (Topic::Welcome, Closing::Dismissed) => self.welcoming = false,
            (Topic::Missed | Topic::Repaired | Topic::Welcome, Closing::TimedOut)
            | (
                Topic::Gone
                | Topic::NotEnforced
                | Topic::Paused(_)
                | Topic::Flapping
                | Topic::Lost
                | Topic::Uncounted
                | Topic::Portal,
                Closing::Dismissed | Closing::TimedOut,
            ) => {
                self.hidden.retain(|(hidden, _)| *hidden != topic);
                self.hidden.push((topic, closing));
            }
        }
    }

    /// Adds the details to the current notice. If there is none with such a button, it shows the details as a notice of
    /// their own.
    pub(super) fn show_details(&mut self) {
        let current = self.notice().filter(|notice| notice.buttons.contains(&Button::Details));
        self.detailed = Some(current.map_or(Topic::Details, |notice| notice.topic));
    }

    /// A click on a notice shows the details. If it shows them already, or the user has asked for it, the click
    /// closes it.
    pub(super) fn clicked(&mut self, topic: Topic) {
        let is_asked_for =
            matches!(topic, Topic::Details | Topic::Blocked | Topic::Checked) || self.detailed == Some(topic);
        let is_read = matches!(topic, Topic::News | Topic::Missed | Topic::Gone);
        if is_asked_for || is_read {
            self.closed(topic, Closing::Dismissed);
        }
        self.blocked = None;
        if !is_asked_for {
            self.show_details();
        }
    }
}
