//! A tunnel that has all traffic and does not count as a VPN, so that nothing passes through it. Pure.

use super::event::{Button, Topic};
use super::keys::Key;
use super::machine::Notifier;
use super::notice::{Lifetime, Notice, Text, Urgency};
use crate::status::{LeftOutStatus, Status};
use crate::vpn::State;

/// How long such a tunnel must be there before a notice says so, in seconds: the report that makes it count may come
/// after its routes.
const GRACE: u64 = 5;

/// Since when there is such a tunnel, in seconds since the epoch, and whether a notice says so.
#[derive(Debug, Clone, Copy)]
pub(super) struct Uncounted {
    since: u64,
    told: bool,
}

impl Notifier {
    /// Notes at `now` whether there is such a tunnel while no VPN protects.
    pub(super) fn note_uncounted(&mut self, now: u64) {
        let waits =
            |status: &&Status| matches!(status.state, State::Locked | State::Connecting | State::Lost);
        let is_there = self.status().filter(waits).is_some_and(|status| uncounted(status).next().is_some());
        let before = self.uncounted.filter(|_| is_there);
        self.uncounted = is_there.then(|| {
            let since = before.map_or(now, |before| before.since.min(now));
            Uncounted { since, told: before.is_some_and(|before| before.told) || now - since >= GRACE }
        });
    }

    /// When a notice says so, in seconds since the epoch.
    pub(super) fn uncounted_moment(&self) -> Option<u64> {
        self.uncounted
            .filter(|uncounted| !uncounted.told)
            .map(|uncounted| uncounted.since.saturating_add(GRACE))
    }

    /// The notice about the first such tunnel.
    pub(super) fn of_uncounted(&self) -> Option<Notice> {
        let one = self.first_uncounted()?;
        Some(Notice {
            topic: Topic::Uncounted,
            urgency: Urgency::Normal,
            lifetime: Lifetime::UntilResolved,
            state_icon: self.state_icon(),
            title: title(one),
            body: self.uncounted_lines(),
            buttons: vec![Button::Details],
        })
    }

    /// What there is to say about it, and what to do.
    pub(super) fn uncounted_lines(&self) -> Vec<Text> {
        let lines = self.first_uncounted().map(|one| {
            let what = Text::new(Key::UncountedBody).word("name", &one.name);
            [what, Text::new(Key::DetailWhy).word("why", &one.remedy)]
        });
        lines.into_iter().flatten().collect()
    }

    fn first_uncounted(&self) -> Option<&LeftOutStatus> {
        let told = self.uncounted.is_some_and(|uncounted| uncounted.told);
        self.status().filter(|_| told).and_then(|status| uncounted(status).next())
    }
}

/// The line of the indicator for each such tunnel.
pub(super) fn lines(status: &Status) -> impl Iterator<Item = Text> {
    uncounted(status).map(title)
}

fn title(one: &LeftOutStatus) -> Text {
    Text::new(Key::UncountedTitle).word("name", &one.name)
}

/// These tunnels, while the rules let nothing through them.
fn uncounted(status: &Status) -> impl Iterator<Item = &LeftOutStatus> {
    let is_closed = status.verdict().is_closed();
    status.left_out.iter().filter(move |one| is_closed && one.carries)
}
