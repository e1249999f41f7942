//! Server names: which of them are looked up, and when they are looked up again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::resolved::{InUse, Resolved};
use super::{Action, Machine, State};
use crate::net::HostName;

/// What is known of each server name, kept for the lock at the next boot.
pub type Names = BTreeMap<HostName, Resolved>;

/// Maximum number of different names of users' profiles that are looked up within [`HOUR`]: each tells the
/// network's resolver what its author wrote into it.
pub(super) const MOST_NAMES_OF_USERS: usize = 16;

/// In seconds.
const HOUR: u64 = 3600;

/// How soon after a failure a name is asked for again, in seconds: at first, and at most.
const RETRY: (u64, u64) = (2, 300);

/// How long a question may be under way, in seconds, before it counts as lost.
const PATIENCE: u64 = 60;

/// The names, and what is being done about them.
#[derive(Debug, Clone, Default)]
pub(super) struct Resolution {
    pub(super) names: Names,
    /// Names of users' profiles that may be looked up, each since when, in seconds since the epoch.
    pub(super) admitted: BTreeMap<HostName, u64>,
    /// The resolvers of the uplinks.
    pub(super) resolvers: BTreeSet<IpAddr>,
    /// Since when a question is under way.
    asked: BTreeMap<HostName, u64>,
    /// When the last question failed, and how long after it the next one waits.
    failed: BTreeMap<HostName, (u64, u64)>,
}

impl Resolution {
    pub(super) fn new(names: Names) -> Self {
        Self { names, ..Self::default() }
    }

    /// Takes in an answer, or that there was none.
    pub(super) fn take(&mut self, name: HostName, answer: &[IpAddr], now: u64) {
        self.asked.remove(&name);
        let mut resolved = self.names.get(&name).cloned().unwrap_or_default();
        if resolved.take(answer, now) {
            self.failed.remove(&name);
            self.names.insert(name, resolved);
        } else {
            let wait = self.failed.get(&name).map_or(RETRY.0, |(_, wait)| (wait * 2).min(RETRY.1));
            self.failed.insert(name, (now, wait));
        }
    }

    /// The network is another: what failed before may work now.
    pub(super) fn hope(&mut self) {
        self.failed.clear();
    }

    /// Admits names of users' profiles that are being activated or in use, as far as the bound allows.
    pub(super) fn admit(&mut self, users: &BTreeSet<HostName>, now: u64) {
        // A time ahead of the clock means that the clock was set back: it counts as long ago.
        let recent = |at: u64| at <= now && now - at < HOUR;
        self.admitted.retain(|name, at| users.contains(name) || recent(*at));
        for name in users {
            if self.admitted.len() < MOST_NAMES_OF_USERS {
                self.admitted.entry(name.clone()).or_insert(now);
            }
        }
    }

    /// When there is room for a name that waits; `None` when none does.
    fn next_admission(&self, users: &BTreeSet<HostName>) -> Option<u64> {
        users.iter().find(|name| !self.admitted.contains_key(name))?;
        let past = self.admitted.iter().filter(|(name, _)| !users.contains(name));
        past.map(|(_, at)| at.saturating_add(HOUR)).min()
    }

    /// Forgets addresses that nothing has confirmed for too long.
    pub(super) fn age(&mut self, in_use: &InUse, now: u64) {
        for resolved in self.names.values_mut() {
            resolved.age(in_use, now);
        }
    }

    /// When an address will be forgotten next.
    pub(super) fn next_expiry(&self, now: u64) -> Option<u64> {
        self.names.values().filter_map(|resolved| resolved.next_expiry(now)).min()
    }

    /// Forgets what nobody wants any more.
    pub(super) fn keep_only(&mut self, wanted: &BTreeSet<HostName>) {
        self.names.retain(|name, _| wanted.contains(name));
        self.asked.retain(|name, _| wanted.contains(name));
        self.failed.retain(|name, _| wanted.contains(name));
    }

    /// The names whose time has come; they count as asked from now on.
    pub(super) fn ask(&mut self, wanted: &BTreeSet<HostName>, state: State, now: u64) -> Vec<HostName> {
        if self.resolvers.is_empty() {
            return Vec::new();
        }
        let due = wanted.iter().filter(|name| self.due(name, state, now) <= now);
        let due: Vec<HostName> = due.cloned().collect();
        self.asked.extend(due.iter().map(|name| (name.clone(), now)));
        due
    }

    /// When the next of them is to be asked for; `None` when none ever is.
    pub(super) fn next_moment(&self, wanted: &BTreeSet<HostName>, state: State, now: u64) -> Option<u64> {
        if self.resolvers.is_empty() {
            return None;
        }
        wanted.iter().map(|name| self.due(name, state, now)).min()
    }

    /// A time that lies ahead of the clock says that the clock was set back: it counts as long ago.
    fn due(&self, name: &HostName, state: State, now: u64) -> u64 {
        let past = |at: &&u64| **at <= now;
        if let Some(asked) = self.asked.get(name).filter(past) {
            return asked.saturating_add(PATIENCE);
        }
        let answered = self.names.get(name).map(Resolved::answered);
        let due = answered.filter(|at| *at <= now).map_or(0, |at| at.saturating_add(good_for(state)));
        let retry = self.failed.get(name).filter(|(at, _)| *at <= now);
        retry.map_or(due, |(at, wait)| due.max(at.saturating_add(*wait)))
    }
}

impl Machine {
    /// What server names stood for when a forerunner looked them up.
    pub fn recall_names(&mut self, names: Names) {
        self.resolution = Resolution::new(names);
        let wanted = self.known().wanted_names();
        self.resolution.keep_only(&wanted);
    }

    /// Where each server that has a name is now: what the VPN client has to find.
    ///
    /// Those that root named at any time; those of other profiles only while the profile is being activated
    /// or in use, for any user may save one. While a VPN protects, only the names of that VPN, of the
    /// configuration and of root's files: what the uplink's resolver says is not to be believed by programs
    /// that could ask through the tunnel.
    pub fn pins(&self) -> BTreeMap<HostName, BTreeSet<IpAddr>> {
        let wanted = match self.beneath() {
            State::Protected => self.known().names_in_use(),
            State::Locked | State::Connecting | State::Lost | State::Paused => self.known().wanted_names(),
        };
        let users = self.known().users_names();
        let own: BTreeSet<IpAddr> =
            self.links.links.iter().flat_map(|link| &link.addresses).map(ipnet::IpNet::addr).collect();
        let names = self.resolution.names.iter().filter(|(name, _)| wanted.contains(name));
        let pins = names.map(|(name, resolved)| {
            // No server of a user's is this machine itself.
            let fit = |address: &IpAddr| !(users.contains(name) && own.contains(address));
            (name.clone(), resolved.current().filter(fit).collect::<BTreeSet<_>>())
        });
        pins.filter(|(_, addresses)| !addresses.is_empty()).collect()
    }

    /// When the next name is to be asked for, or can be.
    pub(super) fn next_question(&self, now: u64) -> Option<u64> {
        let known = self.known();
        let due = self.resolution.next_moment(&known.wanted_names(), self.beneath(), now);
        due.into_iter().chain(self.resolution.next_admission(&known.users_names())).min()
    }

    /// The names whose time has come.
    pub(super) fn look_up(&mut self, now: u64) -> Option<Action> {
        let users = self.known().users_names();
        self.resolution.admit(&users, now);
        let wanted = self.known().wanted_names();
        self.resolution.keep_only(&wanted);
        let names = self.resolution.ask(&wanted, self.beneath(), now);
        let resolvers = self.resolution.resolvers.clone();
        (!names.is_empty()).then_some(Action::LookUp { names, resolvers })
    }

    /// Whom the agent may ask outside the tunnel: nobody while it can ask through it, or has nothing
    /// to ask.
    pub(super) fn resolvers(&self) -> BTreeSet<IpAddr> {
        if self.beneath() == State::Protected || self.known().wanted_names().is_empty() {
            return BTreeSet::new();
        }
        self.resolution.resolvers.clone()
    }
}

/// How long an answer is good for, in seconds: while the server is wanted and not there, not long.
fn good_for(state: State) -> u64 {
    match state {
        State::Connecting | State::Lost => 30,
        State::Protected => 1800,
        State::Locked | State::Paused => 3600,
    }
}

#[cfg(test)]
mod tests;
