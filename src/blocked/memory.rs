//! A bounded memory of refusals.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Containers, Facts, NamedContainer, PROVE_CONTAINER, Refused, Who};
use crate::config::plain;
use crate::vpn::{Refusal, RefusalReason, State};

/// Maximum number of groups that are kept.
const MAX_GROUPS: usize = 10_000;

/// Maximum number of groups of one sender. If one user has many destinations, the groups of this same user are removed
/// first.
const MAX_GROUPS_OF_SENDER: usize = MAX_GROUPS / 4;

/// Maximum number of groups in an answer.
pub const MAX_ANSWERED: usize = 500;

/// How long a group is kept after its last refusal, in seconds.
pub const HOUR: u64 = 3600;

/// Conditions for a sender that waits: its last refusal is at most this many seconds ago, and it was refused at least
/// this often.
const MINUTE: u64 = 60;
const MIN_REFUSALS: u64 = 3;

/// What refusals of one group have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Who sent the packets.
    pub who: Who,
    /// The container, if Docker lists one at the source address, or if Docker or podman has one with the id of the
    /// unit.
    pub container: Option<NamedContainer>,
    /// Where they were sent.
    pub destination: IpAddr,
    /// The destination port.
    pub port: Option<u16>,
    /// The number of the protocol.
    pub protocol: u8,
    /// Why they are refused.
    pub reason: RefusalReason,
}

/// The refusals of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What they have in common.
    pub key: Key,
    /// Number of refusals that the kernel reported. If there are many, it leaves some out.
    pub count: u64,
    /// When the first one came, in seconds since the epoch.
    pub first: u64,
    /// When the last one came.
    pub last: u64,
}

impl std::fmt::Display for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Key { who, destination, port, protocol, reason, .. } = &self.key;
        let reason = reason.refusal;
        match who {
            Who::Program(Some(uid), _) => write!(f, "a program of user {uid}")?,
            Who::Program(None, _) => f.write_str("a program")?,
            Who::Forwarded(link, source) => write!(f, "{source} on {}", plain(link))?,
            Who::Raw(link, source) => write!(f, "a raw sender as {source} on {}", plain(link))?,
            Who::Remote(source) => write!(f, "{source}")?,
        }
        write!(f, " to {destination}")?;
        if let Some(port) = port {
            write!(f, " port {port}")?;
        }
        write!(f, " protocol {protocol}, {} times: {reason}", self.count)
    }
}

/// The lowest user id that may be subordinate (subuid(5)): a user can have thousands of them.
const SUBORDINATE: u32 = 1 << 16;

/// The senders whose groups are limited together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Sender {
    /// The programs of a user.
    User(Option<u32>),
    /// The programs of all users with high ids, because one user may have many such ids.
    Subordinate,
    /// Senders whose packets come in on this link and are forwarded.
    Forwarded(String),
    /// Raw senders on a link.
    Raw(String),
    /// Other machines.
    Remote,
}

impl Sender {
    fn of(who: &Who) -> Self {
        match who {
            Who::Program(uid, _) => Self::of_user(*uid),
            Who::Forwarded(link, _) => Self::Forwarded(link.clone()),
            Who::Raw(link, _) => Self::Raw(link.clone()),
            Who::Remote(_) => Self::Remote,
        }
    }

    fn of_user(uid: Option<u32>) -> Self {
        if uid.is_some_and(|uid| uid >= SUBORDINATE) { Self::Subordinate } else { Self::User(uid) }
    }
}

/// The refusals of one group, without what they have in common.
#[derive(Debug, Clone, Copy)]
struct Tally {
    count: u64,
    first: u64,
    last: u64,
    /// The time when the state of the last refusal began, and the number of refusals in that state.
    in_state: (u64, u64),
}

impl Tally {
    fn new(now: u64) -> Self {
        Self { count: 0, first: now, last: now, in_state: (0, 0) }
    }

    fn add(&mut self, state_since: u64, now: u64) {
        let before = if self.in_state.0 == state_since { self.in_state.1 } else { 0 };
        self.in_state = (state_since, before + 1);
        self.count += 1;
        self.last = now;
    }

    fn of(self, key: Key) -> Group {
        let Self { count, first, last, .. } = self;
        Group { key, count, first, last }
    }
}

/// The state of the VPN now.
#[derive(Debug, Default)]
struct Now {
    state: State,
    /// When it began, in seconds since the epoch.
    since: u64,
    /// The number of refusals since then.
    refusals: u32,
    /// The number of containers that wait, with the second in which it was counted.
    waiting: Option<(u64, u32)>,
}

/// The refusals of the last hour.
#[derive(Debug, Default)]
pub struct Memory {
    groups: BTreeMap<Sender, BTreeMap<Key, Tally>>,
    counts: BTreeMap<Refusal, u64>,
    now: Now,
    /// Number of times that the kernel had more lines than the socket could keep.
    overruns: u64,
    /// Why the agent cannot receive the kernel's lines now.
    fault: Option<String>,
}

impl Memory {
    /// Adds one refusal.
    pub fn take(&mut self, refusal: &Refused, facts: &Facts, containers: &Containers, now: u64) {
        let Some(key) = refusal.key(facts, containers) else { return };
        *self.counts.entry(key.reason.refusal).or_default() += 1;
        self.now.refusals = self.now.refusals.saturating_add(1);
        let state_since = self.now.since;
        let sender = Sender::of(&key.who);
        if let Some(tally) = self.groups.get_mut(&sender).and_then(|groups| groups.get_mut(&key)) {
            tally.add(state_since, now);
            return;
        }
        self.make_room(&sender, now);
        let mut tally = Tally::new(now);
        tally.add(state_since, now);
        self.groups.entry(sender).or_default().insert(key, tally);
    }

    /// Forgets what is older than an hour.
    pub fn forget(&mut self, now: u64) {
        self.groups.retain(|_, groups| {
            groups.retain(|_, tally| tally.last + HOUR > now);
            !groups.is_empty()
        });
    }

    fn len(&self) -> usize {
        self.groups.values().map(BTreeMap::len).sum()
    }

    /// Makes room for a group of this sender. If it is not enough to forget old groups, it removes groups of this
    /// sender if the sender has too many, or otherwise of the sender that has the most.
    fn make_room(&mut self, sender: &Sender, now: u64) {
        let has_many = |memory: &Self| {
            memory.groups.get(sender).is_some_and(|groups| groups.len() >= MAX_GROUPS_OF_SENDER)
        };
        if !has_many(self) && self.len() < MAX_GROUPS {
            return;
        }
        self.forget(now);
        if has_many(self) {
            self.groups.get_mut(sender).into_iter().for_each(forget_oldest);
        } else if self.len() >= MAX_GROUPS {
            let largest = self.groups.values_mut().max_by_key(|groups| groups.len());
            largest.into_iter().for_each(forget_oldest);
        }
    }

    /// The newest groups with a refusal at or after `moment`, at most [`MAX_ANSWERED`], newest last. If a user id is given,
    /// only the groups of that user.
    pub fn since(&self, moment: u64, of: Option<u32>, now: u64) -> Vec<Group> {
        let may_have = |sender: &Sender| of.is_none_or(|uid| *sender == Sender::of_user(Some(uid)));
        let is_of = |who: &Who| of.is_none_or(|uid| matches!(who, Who::Program(own, _) if *own == Some(uid)));
        let is_in_time = |tally: &Tally| tally.last >= moment && tally.last + HOUR > now;
        let senders = self.groups.iter().filter(|(sender, _)| may_have(sender));
        let groups = senders.flat_map(|(_, groups)| groups);
        let of_user = groups.filter(|(key, tally)| is_of(&key.who) && is_in_time(tally));
        let mut found: Vec<(&Key, &Tally)> = of_user.collect();
        found.sort_by_key(|(_, tally)| tally.last);
        let newest = found.len().saturating_sub(MAX_ANSWERED);
        found.into_iter().skip(newest).map(|(key, tally)| tally.of(key.clone())).collect()
    }

    /// The number of refusals by reason since the last call.
    pub fn take_counts(&mut self) -> BTreeMap<Refusal, u64> {
        std::mem::take(&mut self.counts)
    }

    /// Notes that a state of the VPN began at this time. It may be the state that is already known.
    pub fn begin(&mut self, state: State, since: u64) {
        if (self.now.state, self.now.since) != (state, since) {
            self.now = Now { state, since, ..Now::default() };
        }
    }

    /// The number of refusals since the state began.
    pub fn count(&self) -> u32 {
        self.now.refusals
    }

    /// The number of containers that are refused again and again because the VPN is lost. Many of them only ask for a
    /// name, and send nothing else before they get an answer. Containers of `tunwarden prove --live` do not wait for
    /// the VPN.
    pub fn waiting(&self, now: u64) -> u32 {
        if self.now.state != State::Lost {
            return 0;
        }
        let mut senders: BTreeMap<(&str, IpAddr), u64> = BTreeMap::new();
        for (key, tally) in self.groups.values().flatten() {
            let (state, count) = tally.in_state;
            let is_now = state == self.now.since && tally.last + MINUTE > now;
            let waits = matches!(key.reason.refusal, Refusal::VpnLost | Refusal::DnsOutsideTunnel);
            let is_probe =
                key.container.as_ref().is_some_and(|container| container.name.starts_with(PROVE_CONTAINER));
            if let (Who::Forwarded(link, source), true) = (&key.who, is_now && waits && !is_probe) {
                *senders.entry((link, *source)).or_default() += count;
            }
        }
        let waiting = senders.values().filter(|count| **count >= MIN_REFUSALS).count();
        u32::try_from(waiting).unwrap_or(u32::MAX)
    }

    /// The same, counted once in this second and state.
    pub fn waiting_in_second(&mut self, now: u64) -> u32 {
        let known = self.now.waiting.filter(|(second, _)| *second == now);
        let count = known.map_or_else(|| self.waiting(now), |(_, count)| count);
        self.now.waiting = Some((now, count));
        count
    }

    /// Notes that the kernel had more lines than the socket could keep.
    pub fn overrun(&mut self) {
        self.overruns += 1;
    }

    /// Number of such events since the last call.
    pub fn take_overruns(&mut self) -> u64 {
        std::mem::take(&mut self.overruns)
    }

    /// Sets why the agent cannot receive the kernel's lines now; `None` if it can.
    pub fn set_fault(&mut self, why: Option<String>) {
        self.fault = why;
    }

    /// Why the agent cannot receive the kernel's lines now.
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }
}

/// Removes the oldest tenth of the groups.
fn forget_oldest(groups: &mut BTreeMap<Key, Tally>) {
    let mut moments: Vec<u64> = groups.values().map(|tally| tally.last).collect();
    moments.sort_unstable();
    let mut left = moments.len().div_ceil(10);
    let Some(&youngest) = left.checked_sub(1).and_then(|at| moments.get(at)) else { return };
    groups.retain(|_, tally| {
        let goes = left > 0 && tally.last <= youngest;
        left -= usize::from(goes);
        !goes
    });
}

#[cfg(test)]
mod tests;
