//! Server names: which of them are looked up, and when they are looked up again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::learned::MAX_NAMES_OF_USERS;
use super::resolved::InUse;
use super::{Machine, QuestionMark, Resolved, State};
use crate::net::HostName;

/// The addresses of each server name, kept for the lock at the next boot.
pub type Names = BTreeMap<HostName, Resolved>;

/// In seconds.
const HOUR: u64 = 3600;

/// How soon after a failure a name is asked for again, in seconds: at first, and at most.
const RETRY: (u64, u64) = (2, 300);

/// How long to wait for an answer, in seconds, before the question counts as lost.
const ANSWER_TIMEOUT: u64 = 60;

/// A question without an answer. Each moment is in seconds since the epoch.
#[derive(Debug, Clone, Copy)]
struct Failure {
    asked: u64,
    ended: u64,
    /// How long after its end the next question waits, in seconds.
    wait: u64,
}

/// The server names, and what is being done about them.
#[derive(Debug, Clone, Default)]
pub(super) struct Resolution {
    names: Names,
    /// Names that root wants to be looked up at any time.
    roots: BTreeSet<HostName>,
    /// Names of users' profiles that are being activated or in use.
    users: BTreeSet<HostName>,
    /// Those of `users` that may be looked up, each since when, in seconds since the epoch.
    admitted: BTreeMap<HostName, u64>,
    /// Names that are looked up: `roots` and those of `users` that are admitted.
    wanted: BTreeSet<HostName>,
    /// The resolvers of the uplinks.
    resolvers: BTreeSet<IpAddr>,
    /// The mark of the questions to them.
    mark: QuestionMark,
    /// Since when a question is under way.
    asked: BTreeMap<HostName, u64>,
    /// Names that are asked for at once.
    urgent: BTreeSet<HostName>,
    /// The last question of each name, if it failed.
    failed: BTreeMap<HostName, Failure>,
    has_changed: bool,
}

impl Resolution {
    pub(super) fn new(names: Names) -> Self {
        Self { names, ..Self::default() }
    }

    /// Every name with its addresses.
    pub(super) fn all(&self) -> &Names {
        &self.names
    }

    /// Names of users' profiles that are being activated or in use.
    pub(super) fn users(&self) -> &BTreeSet<HostName> {
        &self.users
    }

    /// Whether a name of a user's profile may be looked up.
    pub(super) fn is_admitted(&self, name: &HostName) -> bool {
        self.admitted.contains_key(name)
    }

    /// Names that are looked up.
    pub(super) fn wanted(&self) -> &BTreeSet<HostName> {
        &self.wanted
    }

    /// Marks these names for an immediate look-up, except those that were answered since `since`, in seconds since
    /// the epoch, and those for which a question of that time failed. Returns whether a name is marked. A question
    /// from before `since` shows nothing: its packets may have met the rules or the routes of another state.
    pub(super) fn await_answers(&mut self, names: BTreeSet<HostName>, since: u64) -> bool {
        if self.resolvers.is_empty() {
            return false;
        }
        let answered = |name: &HostName| self.names.get(name).is_some_and(|known| known.answered() >= since);
        let failed = |name: &HostName| self.failed.get(name).is_some_and(|failure| failure.asked >= since);
        let wanted = names.into_iter().filter(|name| self.wanted.contains(name));
        self.urgent = wanted.filter(|name| !answered(name) && !failed(name)).collect();
        !self.urgent.is_empty()
    }

    /// The resolvers of the uplinks.
    pub(super) fn resolvers(&self) -> &BTreeSet<IpAddr> {
        &self.resolvers
    }

    /// Takes in the resolvers of the uplinks.
    pub(super) fn set_resolvers(&mut self, resolvers: BTreeSet<IpAddr>) {
        if resolvers != self.resolvers {
            self.resolvers = resolvers;
            self.retry_now();
        }
    }

    /// Whether the addresses have changed since the last call.
    pub(super) fn take_change(&mut self) -> bool {
        std::mem::take(&mut self.has_changed)
    }

    /// Takes in an answer, or that there was none.
    pub(super) fn take(&mut self, name: HostName, answer: &[IpAddr], now: u64) {
        let asked = self.asked.remove(&name).unwrap_or_default();
        self.urgent.remove(&name);
        let mut resolved = self.names.get(&name).cloned().unwrap_or_default();
        if resolved.take(answer, now) {
            self.failed.remove(&name);
            self.names.insert(name, resolved);
            self.has_changed = true;
        } else {
            let wait = self.failed.get(&name).map_or(RETRY.0, |last| (last.wait * 2).min(RETRY.1));
            self.failed.insert(name, Failure { asked, ended: now, wait });
        }
    }

    /// The network has changed: what failed before may work now.
    pub(super) fn retry_now(&mut self) {
        self.failed.clear();
    }

    /// Forgets addresses that nothing has confirmed for too long.
    pub(super) fn age(&mut self, in_use: &InUse, now: u64) {
        for resolved in self.names.values_mut() {
            self.has_changed |= resolved.age(in_use, now);
        }
    }

    /// When an address will be forgotten next.
    pub(super) fn next_expiry(&self, now: u64) -> Option<u64> {
        self.names.values().filter_map(|resolved| resolved.next_expiry(now)).min()
    }

    /// Replaces the names of root and of users' profiles. [`Self::choose_wanted`] decides which of them are looked up.
    pub(super) fn want(&mut self, roots: BTreeSet<HostName>, users: BTreeSet<HostName>) {
        self.roots = roots;
        self.users = users;
    }

    /// Admits names of users' profiles that are being activated or in use, as far as the bound allows.
    /// Returns whether the admitted names are others now.
    pub(super) fn admit(&mut self, now: u64) -> bool {
        let Self { users, admitted, .. } = self;
        let before = admitted.len();
        // A time ahead of the clock means that the clock was set back: it counts as long ago.
        let recent = |at: u64| at <= now && now - at < HOUR;
        admitted.retain(|name, at| users.contains(name) || recent(*at));
        let mut has_changed = admitted.len() != before;
        for name in users.iter() {
            if admitted.len() < MAX_NAMES_OF_USERS && !admitted.contains_key(name) {
                admitted.insert(name.clone(), now);
                has_changed = true;
            }
        }
        has_changed
    }

    /// When there is room for a name that waits; `None` if no name waits, or none makes room by the clock.
    fn next_admission(&self) -> Option<u64> {
        self.users.iter().find(|name| !self.admitted.contains_key(name))?;
        let past = self.admitted.iter().filter(|(name, _)| !self.users.contains(name));
        past.map(|(_, at)| at.saturating_add(HOUR)).min()
    }

    /// Decides which names are looked up. No other name is asked for any more.
    pub(super) fn choose_wanted(&mut self) {
        let admitted = self.users.iter().filter(|name| self.admitted.contains_key(name));
        self.wanted = self.roots.iter().chain(admitted).cloned().collect();
        let wanted = &self.wanted;
        self.asked.retain(|name, _| wanted.contains(name));
        self.failed.retain(|name, _| wanted.contains(name));
    }

    /// Forgets the addresses of names that are not looked up.
    pub(super) fn forget_unwanted(&mut self) {
        let (wanted, before) = (&self.wanted, self.names.len());
        self.names.retain(|name, _| wanted.contains(name));
        self.has_changed |= self.names.len() != before;
    }

    /// The names that are due. They count as asked from now on.
    pub(super) fn ask(&mut self, state: State, now: u64) -> Vec<HostName> {
        if self.resolvers.is_empty() {
            return Vec::new();
        }
        let due = self.wanted.iter().filter(|name| self.due(name, state, now) <= now);
        let due: Vec<HostName> = due.cloned().collect();
        self.asked.extend(due.iter().map(|name| (name.clone(), now)));
        due
    }

    /// When the next look-up is due or allowed; `None` if none will be.
    pub(super) fn next_moment(&self, state: State, now: u64) -> Option<u64> {
        let wanted = self.wanted.iter().filter(|_| !self.resolvers.is_empty());
        wanted.map(|name| self.due(name, state, now)).chain(self.next_admission()).min()
    }

    /// When a name is due, in seconds since the epoch. A time ahead of the clock means that the clock was set back:
    /// it counts as long ago.
    fn due(&self, name: &HostName, state: State, now: u64) -> u64 {
        let past = |at: &&u64| **at <= now;
        if let Some(asked) = self.asked.get(name).filter(past) {
            return asked.saturating_add(ANSWER_TIMEOUT);
        }
        if self.urgent.contains(name) {
            return now;
        }
        let answered = self.names.get(name).map(Resolved::answered);
        let due = answered.filter(|at| *at <= now).map_or(0, |at| at.saturating_add(good_for(state)));
        let retry = self.failed.get(name).filter(|failure| failure.ended <= now);
        retry.map_or(due, |failure| due.max(failure.ended.saturating_add(failure.wait)))
    }
}

impl Machine {
    /// The addresses of each server name now, for the VPN client to find.
    ///
    /// Names that root has named are pinned at any time. Names of other profiles are pinned only while the
    /// profile is being activated or in use, because any user may save a profile. While a VPN protects, only
    /// the names of that VPN, of the configuration and of root's files are pinned: programs could ask through
    /// the tunnel then, and must not get the answers of the uplink's resolver.
    pub fn pins(&self) -> BTreeMap<HostName, BTreeSet<IpAddr>> {
        let names = &self.facts.names;
        let in_use = (self.state_without_pause() == State::Protected).then(|| self.known().names_in_use());
        let wanted = in_use.as_ref().unwrap_or(names.wanted());
        let links = &self.facts.links.links;
        let own: BTreeSet<IpAddr> =
            links.iter().flat_map(|link| &link.addresses).map(ipnet::IpNet::addr).collect();
        let pinned = names.all().iter().filter(|(name, _)| wanted.contains(name));
        let pins = pinned.map(|(name, resolved)| {
            // A user's server is never this machine itself.
            let fit = |address: &IpAddr| !(names.users().contains(name) && own.contains(address));
            (name.clone(), resolved.current().filter(fit).collect::<BTreeSet<_>>())
        });
        pins.filter(|(_, addresses)| !addresses.is_empty()).collect()
    }

    /// Sets the mark of the agent's questions.
    pub fn set_question_mark(&mut self, mark: QuestionMark) {
        self.facts.names.mark = mark;
    }

    /// The mark of the agent's questions.
    pub fn question_mark(&self) -> QuestionMark {
        self.facts.names.mark
    }

    /// The resolvers that the agent may ask outside the tunnel: none while it can ask through the tunnel, or
    /// has nothing to ask.
    pub(super) fn resolvers(&self) -> BTreeSet<IpAddr> {
        let names = &self.facts.names;
        if self.state_without_pause() == State::Protected || names.wanted().is_empty() {
            return BTreeSet::new();
        }
        names.resolvers().clone()
    }
}

/// How long an answer is used before the next question, in seconds: a short time while a VPN is needed and
/// none is there.
fn good_for(state: State) -> u64 {
    match state {
        State::Connecting | State::Lost => 30,
        State::Protected => 1800,
        State::Locked | State::Paused => 3600,
    }
}

#[cfg(test)]
mod tests;
