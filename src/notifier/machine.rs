//! The notifier's state. Pure: no clock, no file, no bus, no language.
//!
//! Only [`Notifier::step`] changes it. [`super::wanted`] and [`super::indicator`] compute from the state what to
//! show. No event is shown directly, so that a screen that starts later misses nothing.

use std::collections::VecDeque;

use super::checking::Checking;
use super::event::{Action, BlockedLine, Button, Closing, Event, Memory, Portal, Refusal, Topic};
use super::uncounted::Uncounted;
use crate::status::{Status, Verdict};
use crate::vpn::{LastLoss, State};

/// How long the agent may be missing before the user is informed, in seconds. systemd restarts it faster.
const GRACE: u64 = 5;
/// How long news are shown, in seconds, counted from their appearance on the screen.
const NEWS_DURATION: u64 = 8;
/// Length of the window in which losses and repairs are counted, in seconds.
const WINDOW: u64 = 60;
/// A minute, in seconds.
const MINUTE: u64 = 60;
/// Minimum number of losses in the window before the VPN counts as unstable.
const FLAPPING: usize = 3;
/// Minimum number of repairs in the window before another program counts as fighting tunwarden.
const FIGHT: usize = 5;

/// The notifier's state.
#[derive(Debug, Clone)]
pub struct Notifier {
    pub(super) agent: Presence,
    /// The current loss.
    pub(super) loss: Option<Loss>,
    /// A loss that was over before it was shown.
    pub(super) missed: Option<LastLoss>,
    /// Repairs whose notice the user has not closed.
    pub(super) repaired: Option<Repairs>,
    pub(super) news: Option<ShownNews>,
    /// The agent's message that says why the rules are not in force.
    pub(super) why: String,
    /// The topic that is shown with details.
    pub(super) detailed: Option<Topic>,
    /// The refusals that the user asked for, newest last.
    pub(super) blocked: Option<Vec<BlockedLine>>,
    /// The check that the user asked for.
    pub(super) check: Checking,
    /// Number of containers that wait for the VPN.
    pub(super) waiting: u32,
    /// Topics whose notice was closed before they were resolved.
    pub(super) hidden: Vec<(Topic, Closing)>,
    /// Minutes until a pause ends, rounded up.
    pub(super) minutes_left: Option<u64>,
    pub(super) portal: Portal,
    /// Whether the notice of the first minute is still open.
    pub(super) welcoming: bool,
    pub(super) uncounted: Option<Uncounted>,
    losses: VecDeque<u64>,
    repairs: VecDeque<u64>,
    flapping: Flapping,
    pub(super) memory: Memory,
}

/// Whether an agent runs.
#[derive(Debug, Clone)]
pub(super) enum Presence {
    /// The agent has not been asked yet.
    Unknown,
    /// No agent has run since this time, in seconds since the epoch.
    Absent { since: u64, told: bool },
    /// The agent runs and has this status.
    Present(Box<Status>),
}

/// A loss that is not over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Loss {
    /// Which VPN was lost and why, if the agent knows.
    pub(super) what: Option<LastLoss>,
    /// Whether the user has asked to connect it again.
    pub(super) reconnecting: bool,
}

/// Repairs since the user closed the last notice about repairs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Repairs {
    pub(super) count: u64,
    pub(super) by: Option<String>,
}

/// News, and when they were first on the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ShownNews {
    pub(super) what: News,
    pub(super) seen: Option<u64>,
}

/// News that are shown for a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    /// This VPN is back.
    Back(String),
    /// This VPN has been connected for a minute after several losses.
    Steady(String),
    /// A pause is over.
    Resumed(State),
    /// The rules are in force again.
    InForce,
    /// The agent is back.
    Returned,
    /// The request of a button has failed.
    Refused(Button, Refusal),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flapping {
    Yes,
    No,
}

impl Notifier {
    /// A notifier that has not processed any event, for a user who has seen what `memory` says.
    pub fn new(memory: Memory) -> Self {
        Self {
            agent: Presence::Unknown,
            loss: None,
            missed: None,
            repaired: None,
            news: None,
            why: String::new(),
            detailed: None,
            blocked: None,
            check: Checking::None,
            waiting: 0,
            hidden: Vec::new(),
            minutes_left: None,
            portal: Portal::None,
            welcoming: false,
            uncounted: None,
            losses: VecDeque::new(),
            repairs: VecDeque::new(),
            flapping: Flapping::No,
            memory,
        }
    }

    /// Processes one event at `now` (seconds since the epoch), and returns what the caller must do.
    pub fn step(&mut self, event: Event, now: u64) -> Vec<Action> {
        let before = self.memory;
        let mut actions = Vec::new();
        match event {
            Event::Agent(Some(status)) => self.agent_present(*status, now),
            Event::Agent(None) => self.agent_absent(now),
            Event::Lost => {
                self.blocked = None;
                self.losses.push_back(now);
                // This is a new loss, not the one whose notice the user closed.
                self.hidden.retain(|(topic, _)| *topic != Topic::Lost);
            }
            Event::Repaired { by } => {
                if let (Some(repaired), Some(by)) = (&mut self.repaired, by) {
                    repaired.by = Some(by);
                }
            }
            Event::Failed(why) => self.why = why,
            Event::Shown(topic) => self.shown(topic, now),
            Event::Closed(topic, closing) => self.closed(topic, closing),
            Event::Clicked(topic) => self.clicked(topic),
            Event::Pressed(Button::Details) => {
                self.blocked = None;
                self.show_details();
            }
            Event::Portal(portal) => self.portal = portal,
            Event::Waiting(count) => self.waiting = count,
            Event::Blocked(Ok(lines)) => self.blocked = Some(lines),
            Event::Blocked(Err(refusal)) => self.tell(News::Refused(Button::Blocked, refusal)),
            Event::Pressed(Button::Check) => actions.extend(self.check.begin()),
            Event::Checked(answer) => self.checked(answer),
            Event::Pressed(button) => {
                if let (Button::Reconnect, Some(loss)) = (&button, &mut self.loss) {
                    loss.reconnecting = true;
                }
                actions.push(Action::Ask(button));
            }
            Event::Answered(button, answer) => {
                // The agent answers after its last attempt.
                if let (Button::Reconnect, Some(loss)) = (&button, &mut self.loss) {
                    loss.reconnecting = false;
                }
                if let Err(refusal) = answer {
                    self.tell(News::Refused(button, refusal));
                }
            }
            Event::Clock => {}
            Event::MayBeVisible => self.hidden.clear(),
        }
        self.age(now);
        self.forget_what_is_resolved();
        if self.memory != before {
            actions.push(Action::Remember(self.memory));
        }
        actions
    }

    /// The next time at which the state changes without an event, in seconds since the epoch.
    pub fn next_moment(&self) -> Option<u64> {
        let agent_absent = match self.agent {
            Presence::Absent { since, told: false } => Some(since.saturating_add(GRACE)),
            Presence::Absent { told: true, .. } | Presence::Unknown | Presence::Present(_) => None,
        };
        let over =
            self.news.as_ref().and_then(|news| news.seen).map(|seen| seen.saturating_add(NEWS_DURATION));
        let of_window = |moments: &VecDeque<u64>| moments.front().map(|first| first.saturating_add(WINDOW));
        let windows = [of_window(&self.losses), of_window(&self.repairs)];
        let others = [agent_absent, over, self.next_minute(), self.uncounted_moment()];
        windows.into_iter().chain(others).flatten().min()
    }

    pub(super) fn status(&self) -> Option<&Status> {
        match &self.agent {
            Presence::Present(status) => Some(status),
            Presence::Unknown | Presence::Absent { .. } => None,
        }
    }

    /// How often the VPN was lost in the last minute, if that is too often.
    pub(super) fn flapping(&self) -> Option<u64> {
        (self.flapping == Flapping::Yes).then(|| count(&self.losses))
    }

    /// How often the rules were repaired in the last minute, if another program fights tunwarden.
    pub(super) fn fight(&self) -> Option<u64> {
        (self.repairs.len() >= FIGHT).then(|| count(&self.repairs))
    }

    pub(super) fn is_hidden(&self, topic: Topic) -> bool {
        self.hidden.iter().any(|(hidden, _)| *hidden == topic)
    }

    fn agent_present(&mut self, new: Status, now: u64) {
        if matches!(self.agent, Presence::Absent { .. }) {
            self.blocked = None;
            self.check.mark_outdated();
        }
        match std::mem::replace(&mut self.agent, Presence::Unknown) {
            Presence::Present(old) => self.follow(&old, &new, now),
            Presence::Absent { told: true, .. } => {
                self.tell(News::Returned);
                self.catch_up(&new);
            }
            Presence::Absent { told: false, .. } | Presence::Unknown => self.catch_up(&new),
        }
        self.settle(&new);
        self.welcome(&new);
        self.agent = Presence::Present(Box::new(new));
    }

    fn agent_absent(&mut self, now: u64) {
        if !matches!(self.agent, Presence::Absent { .. }) {
            self.agent = Presence::Absent { since: now, told: false };
            self.blocked = None;
            self.check.mark_outdated();
        }
    }

    /// Finds in the status what happened while the notifier was not running.
    fn catch_up(&mut self, status: &Status) {
        let untold = status.loss.clone().filter(|loss| loss.at > self.memory.loss);
        self.missed = untold.filter(|_| status.state == State::Protected && self.loss.is_none());
        // If the number is smaller, the agent was restarted and counts from zero.
        let told = if status.repairs < self.memory.repairs { 0 } else { self.memory.repairs };
        if let Some(count) = status.repairs.checked_sub(told).filter(|&count| count > 0) {
            self.repaired = Some(Repairs { count: u64::from(count), by: None });
        }
    }

    fn follow(&mut self, old: &Status, new: &Status, now: u64) {
        // A change of the protection closes the list of refusals and the details.
        if (old.state, old.enforcement) != (new.state, new.enforcement) {
            self.blocked = None;
            self.detailed = self.detailed.filter(|topic| *topic != Topic::Details);
            self.waiting = 0;
            self.check.mark_outdated();
        }
        // Both notices say that nothing leaves, so they are shown only if the verdict says the same.
        if old.state == State::Paused && new.state != State::Paused && new.verdict().is_closed() {
            self.tell(News::Resumed(new.state));
        }
        if !old.enforced() && new.enforced() && new.verdict().is_closed() {
            self.tell(News::InForce);
        }
        let repairs = new.repairs.saturating_sub(old.repairs);
        if repairs > 0 {
            self.repaired.get_or_insert_default().count += u64::from(repairs);
            self.repairs.extend(std::iter::repeat_n(now, usize::try_from(repairs.min(100)).unwrap_or(100)));
            self.hidden.retain(|(topic, _)| *topic != Topic::Repaired);
        }
    }

    /// Updates the fields that depend only on the state.
    fn settle(&mut self, status: &Status) {
        match status.state {
            State::Lost => {
                if self.loss.is_none() {
                    self.news = None;
                }
                let reconnecting = self.loss.as_ref().is_some_and(|loss| loss.reconnecting);
                let before = self.loss.take().and_then(|loss| loss.what);
                self.loss = Some(Loss { what: status.loss.clone().or(before), reconnecting });
            }
            // The loss is over only when the VPN is connected.
            State::Connecting => {}
            State::Protected => {
                if let Some(loss) = self.loss.take().filter(|_| status.verdict() == Verdict::Protected) {
                    let name = loss.what.map(|what| what.name);
                    let name = name.or_else(|| status.tunnels.first().map(|tunnel| tunnel.name.clone()));
                    self.tell(News::Back(name.unwrap_or_default()));
                }
            }
            // The user has ended the VPN or begun a pause.
            State::Locked | State::Paused => self.loss = None,
        }
    }

    pub(super) fn tell(&mut self, what: News) {
        self.news = Some(ShownNews { what, seen: None });
    }

    /// The time at which a pause ends.
    fn paused_until(&self) -> Option<u64> {
        self.status().filter(|status| status.state == State::Paused)?.paused_until
    }

    /// The time at which the remaining minutes of a pause decrease.
    fn next_minute(&self) -> Option<u64> {
        let later = self.minutes_left?.saturating_sub(1).saturating_mul(MINUTE);
        Some(self.paused_until()?.saturating_sub(later))
    }

    fn age(&mut self, now: u64) {
        let left = self.paused_until().and_then(|until| until.checked_sub(now));
        self.minutes_left = left.map(|seconds| seconds.div_ceil(MINUTE)).filter(|&minutes| minutes > 0);
        for moments in [&mut self.losses, &mut self.repairs] {
            // If the clock was set back, these times lie in the future: drop them.
            moments.retain(|&at| at <= now && now - at < WINDOW);
        }
        self.note_uncounted(now);
        if let Presence::Absent { since, told } = &mut self.agent {
            *told |= now.saturating_sub(*since) >= GRACE;
        }
        if self
            .news
            .as_ref()
            .and_then(|news| news.seen)
            .is_some_and(|seen| now.abs_diff(seen) >= NEWS_DURATION)
        {
            self.news = None;
        }
        let flapping = match self.losses.len() {
            // It counts as stable only after a whole window without a loss.
            1.. if self.flapping == Flapping::Yes => Flapping::Yes,
            FLAPPING.. => Flapping::Yes,
            _ => Flapping::No,
        };
        if (self.flapping, flapping) == (Flapping::Yes, Flapping::No) && self.loss.is_none() {
            let name = self.status().and_then(|status| status.tunnels.first());
            if let Some(name) = name.map(|tunnel| tunnel.name.clone()) {
                self.tell(News::Steady(name));
            }
        }
        self.flapping = flapping;
    }

    fn forget_what_is_resolved(&mut self) {
        let open: Vec<Topic> = self.candidates().iter().map(|notice| notice.topic).collect();
        self.hidden.retain(|(topic, _)| open.contains(topic));
        self.detailed = self.detailed.filter(|topic| open.contains(topic));
    }
}

fn count(moments: &VecDeque<u64>) -> u64 {
    u64::try_from(moments.len()).unwrap_or(u64::MAX)
}
