//! What is remembered of what was heard. Pure: no clock, no file, no bus, no language.
//!
//! [`Notifier::step`] is the only way to change it. What is to be seen follows from it, in
//! [`super::wanted`] and [`super::indicator`]; nothing is told by an event alone, so that a screen that
//! was not there misses nothing.

use std::collections::VecDeque;

use super::event::{Action, Button, Closing, Event, Memory, Refusal, Topic};
use crate::status::{LossStatus, Status, Verdict};
use crate::vpn::State;

/// How long an agent may be away without a word of it, in seconds: it is started anew in less.
const GRACE: u64 = 5;
/// How long something that is of interest for a moment stands, in seconds from when it is seen.
const MOMENT: u64 = 8;
/// Losses and repairs are counted over this many seconds.
const WINDOW: u64 = 60;
/// So many losses within the window, and the VPN is unstable.
const FLAPPING: usize = 3;
/// So many repairs within the window, and somebody fights.
const FIGHT: usize = 5;

/// The notifier's mind.
#[derive(Debug, Clone)]
pub struct Notifier {
    pub(super) agent: Presence,
    /// A loss that has not been made good.
    pub(super) loss: Option<Loss>,
    /// A loss that came and went while nobody was told.
    pub(super) missed: Option<LossStatus>,
    /// Repairs that nobody has clicked away.
    pub(super) repaired: Option<Repairs>,
    pub(super) news: Option<Passing>,
    /// Why the rules are not in force, in the agent's words.
    pub(super) why: String,
    /// What is shown at length.
    pub(super) at_length: Option<Topic>,
    /// What has gone from the screen though it is not resolved.
    hidden: Vec<(Topic, Closing)>,
    losses: VecDeque<u64>,
    repairs: VecDeque<u64>,
    flapping: Flapping,
    memory: Memory,
}

/// Whether there is an agent.
#[derive(Debug, Clone)]
pub(super) enum Presence {
    /// Nobody has looked yet.
    Unknown,
    /// It has been away since then.
    Away { since: u64, told: bool },
    /// Its status.
    Here(Box<Status>),
}

/// A loss that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Loss {
    /// Which VPN and why, if the agent knows.
    pub(super) what: Option<LossStatus>,
    /// Whether somebody asked for it to be connected again.
    pub(super) reconnecting: bool,
}

/// Repairs since the last one was clicked away.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Repairs {
    pub(super) count: u64,
    pub(super) by: Option<String>,
}

/// Something of interest for a moment, and when that moment began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Passing {
    pub(super) what: News,
    seen: Option<u64>,
}

/// What is of interest for a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    /// This VPN is back.
    Back(String),
    /// This VPN has held for a while.
    Steady(String),
    /// A pause is over.
    Resumed(State),
    /// The rules are in force again.
    InForce,
    /// The agent is back.
    Returned,
    /// A button did nothing.
    Refused(Button, Refusal),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flapping {
    Yes,
    No,
}

impl Notifier {
    /// A notifier that has heard nothing, for a person who was told what `memory` says.
    pub fn new(memory: Memory) -> Self {
        Self {
            agent: Presence::Unknown,
            loss: None,
            missed: None,
            repaired: None,
            news: None,
            why: String::new(),
            at_length: None,
            hidden: Vec::new(),
            losses: VecDeque::new(),
            repairs: VecDeque::new(),
            flapping: Flapping::No,
            memory,
        }
    }

    /// Takes in one event, at `now` (seconds since the epoch), and says what is to be done.
    pub fn step(&mut self, event: Event, now: u64) -> Vec<Action> {
        let before = self.memory;
        let mut actions = Vec::new();
        match event {
            Event::Agent(Some(status)) => self.here(*status, now),
            Event::Agent(None) => self.away(now),
            Event::Lost => {
                self.losses.push_back(now);
                // Another loss than the one that was clicked away.
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
            Event::Pressed(Button::Details) => self.tell_at_length(),
            Event::Pressed(button) => {
                if let (Button::Reconnect, Some(loss)) = (button, &mut self.loss) {
                    loss.reconnecting = true;
                }
                actions.push(Action::Ask(button));
            }
            Event::Answered(button, answer) => {
                // The agent answers at the end of all its attempts.
                if let (Button::Reconnect, Some(loss)) = (button, &mut self.loss) {
                    loss.reconnecting = false;
                }
                if let Err(refusal) = answer {
                    self.tell(News::Refused(button, refusal));
                }
            }
            Event::Clock => {}
            Event::Occasion => self.hidden.clear(),
        }
        self.age(now);
        self.forget_what_is_resolved();
        if self.memory != before {
            actions.push(Action::Remember(self.memory));
        }
        actions
    }

    /// When something is so by the clock alone, in seconds since the epoch: the nearest such moment.
    pub fn next_moment(&self) -> Option<u64> {
        let away = match self.agent {
            Presence::Away { since, told: false } => Some(since.saturating_add(GRACE)),
            Presence::Away { told: true, .. } | Presence::Unknown | Presence::Here(_) => None,
        };
        let over = self.news.as_ref().and_then(|news| news.seen).map(|seen| seen.saturating_add(MOMENT));
        let of_window = |moments: &VecDeque<u64>| moments.front().map(|first| first.saturating_add(WINDOW));
        [away, over, of_window(&self.losses), of_window(&self.repairs)].into_iter().flatten().min()
    }

    pub(super) fn status(&self) -> Option<&Status> {
        match &self.agent {
            Presence::Here(status) => Some(status),
            Presence::Unknown | Presence::Away { .. } => None,
        }
    }

    /// How often the VPN was lost in the last minute, if that is too often.
    pub(super) fn flapping(&self) -> Option<u64> {
        (self.flapping == Flapping::Yes).then(|| count(&self.losses))
    }

    /// How often the rules were repaired in the last minute, if that is a fight.
    pub(super) fn fight(&self) -> Option<u64> {
        (self.repairs.len() >= FIGHT).then(|| count(&self.repairs))
    }

    pub(super) fn is_hidden(&self, topic: Topic) -> bool {
        self.hidden.iter().any(|(hidden, _)| *hidden == topic)
    }

    fn here(&mut self, new: Status, now: u64) {
        match std::mem::replace(&mut self.agent, Presence::Unknown) {
            Presence::Here(old) => self.follow(&old, &new, now),
            Presence::Away { told: true, .. } => {
                self.tell(News::Returned);
                self.catch_up(&new);
            }
            Presence::Away { told: false, .. } | Presence::Unknown => self.catch_up(&new),
        }
        self.settle(&new);
        self.agent = Presence::Here(Box::new(new));
    }

    fn away(&mut self, now: u64) {
        if !matches!(self.agent, Presence::Away { .. }) {
            self.agent = Presence::Away { since: now, told: false };
        }
    }

    /// What happened while nobody listened: all that a status can tell.
    fn catch_up(&mut self, status: &Status) {
        let untold = status.loss.clone().filter(|loss| loss.at > self.memory.loss);
        self.missed = untold.filter(|_| status.state == State::Protected && self.loss.is_none());
        // A smaller count is another agent's.
        let told = if status.repairs < self.memory.repairs { 0 } else { self.memory.repairs };
        if let Some(count) = status.repairs.checked_sub(told).filter(|&count| count > 0) {
            self.repaired = Some(Repairs { count: u64::from(count), by: None });
        }
    }

    fn follow(&mut self, old: &Status, new: &Status, now: u64) {
        // Both say that nothing leaves.
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

    /// What stands by the state alone.
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
            // It stays lost until it is back.
            State::Connecting => {}
            State::Protected => {
                if let Some(loss) = self.loss.take().filter(|_| status.verdict() == Verdict::Protected) {
                    let name = loss.what.map(|what| what.name);
                    let name = name.or_else(|| status.tunnels.first().map(|tunnel| tunnel.name.clone()));
                    self.tell(News::Back(name.unwrap_or_default()));
                }
            }
            // Somebody wanted it so.
            State::Locked | State::Paused => self.loss = None,
        }
    }

    fn tell(&mut self, what: News) {
        self.news = Some(Passing { what, seen: None });
    }

    fn shown(&mut self, topic: Topic, now: u64) {
        let (loss, repairs) = match self.status() {
            Some(status) => (status.loss.as_ref().map_or(0, |loss| loss.at), status.repairs),
            None => (self.memory.loss, self.memory.repairs),
        };
        match topic {
            Topic::Lost | Topic::Flapping | Topic::Missed => self.memory.loss = loss,
            Topic::Repaired => self.memory.repairs = repairs,
            Topic::News => {
                if let Some(news) = &mut self.news {
                    news.seen.get_or_insert(now);
                    self.memory.loss = loss.max(self.memory.loss);
                }
            }
            Topic::Details | Topic::Gone | Topic::NotEnforced | Topic::Paused(_) => {}
        }
    }

    fn closed(&mut self, topic: Topic, closing: Closing) {
        match (topic, closing) {
            (Topic::News, _) => self.news = None,
            (Topic::Details, _) => self.at_length = None,
            (Topic::Missed, Closing::Dismissed) => self.missed = None,
            (Topic::Repaired, Closing::Dismissed) => self.repaired = None,
            (Topic::Missed | Topic::Repaired, Closing::Faded)
            | (
                Topic::Gone | Topic::NotEnforced | Topic::Paused(_) | Topic::Flapping | Topic::Lost,
                Closing::Dismissed | Closing::Faded,
            ) => {
                self.hidden.retain(|(hidden, _)| *hidden != topic);
                self.hidden.push((topic, closing));
            }
        }
    }

    /// The notice that stands grows; where none has more to say, there is one for it.
    fn tell_at_length(&mut self) {
        let grows = self.notice().filter(|notice| notice.buttons.contains(&Button::Details));
        self.at_length = Some(grows.map_or(Topic::Details, |notice| notice.topic));
    }

    fn age(&mut self, now: u64) {
        for moments in [&mut self.losses, &mut self.repairs] {
            // A clock that was set back must not keep them for ever.
            moments.retain(|&at| at <= now && now - at < WINDOW);
        }
        if let Presence::Away { since, told } = &mut self.agent {
            *told |= now.saturating_sub(*since) >= GRACE;
        }
        if self.news.as_ref().and_then(|news| news.seen).is_some_and(|seen| now.abs_diff(seen) >= MOMENT) {
            self.news = None;
        }
        let flapping = match self.losses.len() {
            // It has to hold for a while before it counts as steady.
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
        self.at_length = self.at_length.filter(|topic| open.contains(topic));
    }
}

fn count(moments: &VecDeque<u64>) -> u64 {
    u64::try_from(moments.len()).unwrap_or(u64::MAX)
}
