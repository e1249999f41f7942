//! Which state follows from the claims, a pause, and what ended.

use super::claim::{Ending, Standing};
use super::claims::Claims;
use super::facts::Facts;
use super::{Announcement, Pause, PauseScope, State};

/// The state, and what it follows from besides the claims.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pause: Option<Pause>,
    /// The state without a tunnel that carries packets or connects: locked, or lost.
    fallback: State,
    state: State,
    /// Since when the state is what it is, in seconds since the epoch.
    since: u64,
}

impl Outcome {
    /// `before` is the state that the last agent reported.
    pub(super) fn new(before: State, now: u64) -> Self {
        // A VPN that protected then, and does not now, was lost while no agent ran.
        let fallback = match before {
            State::Protected | State::Lost | State::Connecting => State::Lost,
            State::Locked | State::Paused => State::Locked,
        };
        Self { pause: None, fallback, state: fallback, since: now }
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    pub(super) fn since(&self) -> u64 {
        self.since
    }

    pub(super) fn pause(&self) -> Option<Pause> {
        self.pause
    }

    /// Begins or ends a pause.
    pub(super) fn set_pause(&mut self, pause: Option<Pause>) {
        self.pause = pause.and_then(Pause::expressible);
    }

    /// Sets since when the state is what it is.
    pub(super) fn keep_since(&mut self, since: u64) {
        self.since = since;
    }

    /// The state without a pause.
    pub(super) fn state_without_pause(&self, claims: &Claims, facts: &Facts) -> State {
        if claims.stands(Standing::Carrying, facts) {
            State::Protected
        } else if claims.stands(Standing::Coming, facts) {
            State::Connecting
        } else {
            self.fallback
        }
    }

    /// Decides which state follows once no tunnel carries packets or connects.
    pub(super) fn settle(&mut self, endings: &[Ending], claims: &Claims, facts: &Facts) {
        let asked = endings.iter().any(|ending| ending.reason.is_none());
        if asked || claims.stands(Standing::Carrying, facts) {
            self.fallback = State::Locked;
        } else if endings.iter().any(|ending| ending.protected) {
            self.fallback = State::Lost;
        }
    }

    /// Concludes the state. Returns what there is to announce.
    pub(super) fn conclude(&mut self, beneath: State, endings: Vec<Ending>, now: u64) -> Vec<Announcement> {
        // Once a VPN protects, the user has signed in at the portal.
        let signed_in = |pause: &Pause| pause.scope == PauseScope::Portal && beneath == State::Protected;
        self.pause = self.pause.filter(|pause| pause.covers(now) && !signed_in(pause));
        let new = if self.pause.is_some() { State::Paused } else { beneath };
        let lost = |ending: Ending| {
            let Ending { name, interface, reason, protected } = ending;
            let reason = reason.filter(|_| protected)?;
            Some(Announcement::Lost { name, interface, reason })
        };
        let mut announcements: Vec<Announcement> = endings.into_iter().filter_map(lost).collect();
        if new != self.state {
            announcements.push(Announcement::State { old: self.state, new });
            self.state = new;
            self.since = now;
        }
        announcements
    }
}
