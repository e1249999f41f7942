//! Who changed the kernel's tables, what of it was looked at, and when to look next. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::netfilter::{Change, Generation, Program};
use crate::status::FightStatus;

/// So many looks may follow one another at once; then they are spread. A look is a few processes of a
/// few milliseconds: twenty a second is what a storm may cost.
const BURST: usize = 4;
const WINDOW: Duration = Duration::from_millis(200);

/// So many changes are remembered until a look accounts for them.
const REMEMBERED: usize = 64;

/// So many commits of our own are remembered until they have been told.
const OWN: usize = 8;

/// Who has made so many repairs necessary in a minute fights.
const FIGHT: usize = 20;
const MINUTE: Duration = Duration::from_secs(60);

/// So many programs are counted; any process may name itself as it likes.
const COUNTED: usize = 32;

/// What is known of changes.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Changes that no look has accounted for.
    changes: VecDeque<Change>,
    /// Whether something may have changed that nobody can name.
    unknown: bool,
    /// Up to where the kernel has been looked at.
    covered: Option<Generation>,
    /// Generations of our own, the latest first: after the first of each pair, up to the second.
    own: VecDeque<(Generation, Generation)>,
    /// When the last looks were.
    looks: VecDeque<Instant>,
    /// When each program made a repair necessary, in the last minute.
    repairs: BTreeMap<String, VecDeque<Instant>>,
    /// Who has been named as one that fights.
    named: Vec<String>,
}

/// What was read of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::agent) enum Read {
    /// All that we hold.
    Everything,
    /// Only what was to change.
    Changes,
}

/// A commit, as far as it concerns who changed what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) read: Read,
    /// The generation before it.
    pub(super) began: Option<Generation>,
    /// The generation after it.
    pub(super) ended: Option<Generation>,
    /// How many of those between are our own.
    pub(super) made: u32,
}

impl Look {
    /// The generations that are our own and nobody else's: when there are as many as we made.
    fn own(self) -> Option<(Generation, Generation)> {
        self.began.zip(self.ended).filter(|(began, ended)| ended.since(*began) == self.made)
    }
}

impl Ledger {
    /// A change was told. One that has been looked at, or is our own, is no news.
    pub(super) fn note(&mut self, change: Change) {
        if !self.is_old(change.generation) {
            if self.changes.len() == REMEMBERED {
                self.changes.pop_front();
            }
            self.changes.push_back(change);
        }
    }

    /// Something may have changed that was not told.
    pub(super) fn note_unknown(&mut self) {
        self.unknown = true;
    }

    /// When the next look is due, which may have gone by; `None` while there is nothing to look for.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        if self.changes.is_empty() && !self.unknown {
            return None;
        }
        let first = self.looks.front().filter(|_| self.looks.len() == BURST);
        Some(first.map_or(now, |&first| first + WINDOW))
    }

    fn is_old(&self, generation: Generation) -> bool {
        let within = |&(began, ended): &(Generation, Generation)| {
            generation.is_after(began) && !generation.is_after(ended)
        };
        self.covered.is_some_and(|covered| !generation.is_after(covered)) || self.own.iter().any(within)
    }

    /// A commit has been made. Says who had last changed something before or meanwhile.
    pub(super) fn looked(&mut self, look: Look, now: Instant) -> Option<Program> {
        let own = look.own();
        if let Some(own) = own.filter(|_| look.made > 0) {
            self.own.truncate(OWN - 1);
            self.own.push_front(own);
        }
        let before = |change: &&Change| match look.began {
            Some(began) => !change.generation.is_after(began),
            None => true,
        };
        // Meanwhile there may be our own among them.
        let foreign = |change: &&Change| before(change) || own.is_none() && !is_ours(&change.by.name);
        let by = self.changes.iter().rfind(foreign).map(|change| change.by.clone());
        if look.read == Read::Everything {
            if self.looks.len() == BURST {
                self.looks.pop_front();
            }
            self.looks.push_back(now);
            self.unknown = false;
            // What others did meanwhile may have come after the reading.
            self.covered = if own.is_some() { look.ended } else { look.began };
            if self.covered.is_none() {
                // The kernel does not count: whatever was told before has been looked at.
                self.changes.clear();
            }
        }
        let changes = std::mem::take(&mut self.changes);
        self.changes = changes.into_iter().filter(|change| !self.is_old(change.generation)).collect();
        by
    }

    /// A repair was necessary because of this program. Says who fights and has not been named yet.
    pub(super) fn repaired(&mut self, by: &Program, now: Instant) -> Option<FightStatus> {
        self.forget(now);
        if self.repairs.len() < COUNTED || self.repairs.contains_key(&by.name) {
            let times = self.repairs.entry(by.name.clone()).or_default();
            if times.len() == REMEMBERED * FIGHT {
                times.pop_front();
            }
            times.push_back(now);
        }
        let fight = self.fights(now).into_iter().find(|fight| fight.program == by.name)?;
        if self.named.contains(&fight.program) {
            return None;
        }
        self.named.push(fight.program.clone());
        Some(fight)
    }

    /// Who fights, and how often a minute.
    pub(super) fn fights(&mut self, now: Instant) -> Vec<FightStatus> {
        self.forget(now);
        let fights = self.repairs.iter().filter(|(_, times)| times.len() >= FIGHT);
        fights
            .map(|(program, times)| FightStatus {
                program: program.clone(),
                count: u32::try_from(times.len()).unwrap_or(u32::MAX),
            })
            .collect()
    }

    /// When the next of those who fight is over it, should nothing more happen.
    pub(super) fn fight_ends(&self) -> Option<Instant> {
        let fights = self.repairs.values().filter(|times| times.len() >= FIGHT);
        fights.filter_map(|times| times.get(times.len() - FIGHT)).min().map(|&time| time + MINUTE)
    }

    fn forget(&mut self, now: Instant) {
        for times in self.repairs.values_mut() {
            while times.front().is_some_and(|&time| now.duration_since(time) >= MINUTE) {
                times.pop_front();
            }
        }
        self.repairs.retain(|_, times| !times.is_empty());
        let repairs = &self.repairs;
        self.named.retain(|name| repairs.get(name).is_some_and(|times| times.len() >= FIGHT));
    }
}

/// Whether a process of ours bears this name: what we start, cut to the kernel's 15 bytes.
fn is_ours(name: &str) -> bool {
    let ours =
        ["iptables-restore", "ip6tables-restore", "iptables-nft-restore", "ip6tables-nft-restore", "nft"];
    ours.iter().any(|ours| ours[..ours.len().min(15)] == *name)
}

#[cfg(test)]
mod tests;
