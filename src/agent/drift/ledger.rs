//! Which program changed the kernel's tables, which changes the agent has read, and when it reads again.
//! Pure.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::netfilter::{Change, Generation, Program};
use crate::status::FightStatus;

/// Maximum number of looks within [`WINDOW`]. A look starts a few processes of a few milliseconds each;
/// twenty looks a second is the limit, however often others change the tables.
const BURST: usize = 4;
const WINDOW: Duration = Duration::from_millis(200);

/// Maximum number of changes that are remembered until a look accounts for them.
const REMEMBERED: usize = 64;

/// Maximum number of our own commits that are remembered until the kernel has reported them.
const OWN: usize = 8;

/// A program that makes this many repairs necessary in a minute fights the agent.
const FIGHT: usize = 20;
const MINUTE: Duration = Duration::from_secs(60);

/// Maximum number of programs that are counted. Any process can give itself any number of names.
const COUNTED: usize = 32;

/// The changes of the tables, and the repairs.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Changes that no look has accounted for.
    changes: VecDeque<Change>,
    /// Whether there may be changes that were not reported.
    unknown: bool,
    /// The last generation that a look has read.
    covered: Option<Generation>,
    /// Our own generations, the latest first: those after the first of a pair, up to the second.
    own: VecDeque<(Generation, Generation)>,
    /// The times of the last looks.
    looks: VecDeque<Instant>,
    /// The times in the last minute at which each program made a repair necessary.
    repairs: BTreeMap<String, VecDeque<Instant>>,
    /// The programs that have been named as fighting.
    named: Vec<String>,
}

/// How much a commit reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::agent) enum Read {
    /// All of our rules.
    Everything,
    /// Only the rules that it changes.
    Changes,
}

/// A commit, as the ledger sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub(super) read: Read,
    /// The generation before it.
    pub(super) began: Option<Generation>,
    /// The generation after it.
    pub(super) ended: Option<Generation>,
    /// Number of our own generations between both.
    pub(super) made: u32,
}

impl Reading {
    /// The generations, if all of them are our own: there are as many as we made.
    fn own(self) -> Option<(Generation, Generation)> {
        self.began.zip(self.ended).filter(|(began, ended)| ended.since(*began) == self.made)
    }
}

impl Ledger {
    /// Takes the report of a change. A change that a look has read, or that is our own, is left out.
    pub(super) fn note(&mut self, change: Change) {
        if !self.is_old(change.generation) {
            if self.changes.len() == REMEMBERED {
                self.changes.pop_front();
            }
            self.changes.push_back(change);
        }
    }

    /// There may be a change that was not reported.
    pub(super) fn note_unknown(&mut self) {
        self.unknown = true;
    }

    /// When the next look is due, which may be in the past; `None` if nothing has changed.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        if self.changes.is_empty() && !self.unknown {
            return None;
        }
        let first = self.looks.front().filter(|_| self.looks.len() == BURST);
        Some(first.map_or(now, |&first| first + WINDOW))
    }

    /// Whether another program has changed something after this generation.
    pub(super) fn is_foreign_since(&self, generation: Option<Generation>) -> bool {
        let is_after = |change: &Change| generation.is_none_or(|began| change.generation.is_after(began));
        self.changes.iter().any(|change| is_after(change) && !is_ours(&change.by.name))
    }

    fn is_old(&self, generation: Generation) -> bool {
        let within = |&(began, ended): &(Generation, Generation)| {
            generation.is_after(began) && !generation.is_after(ended)
        };
        self.covered.is_some_and(|covered| !generation.is_after(covered)) || self.own.iter().any(within)
    }

    /// Accounts for a commit. Returns the program that last changed something before or during it.
    pub(super) fn account_for(&mut self, reading: Reading, now: Instant) -> Option<Program> {
        let own = reading.own();
        if let Some(own) = own.filter(|_| reading.made > 0) {
            self.own.truncate(OWN - 1);
            self.own.push_front(own);
        }
        let before = |change: &&Change| match reading.began {
            Some(began) => !change.generation.is_after(began),
            None => true,
        };
        // Changes during the commit may be our own.
        let foreign = |change: &&Change| before(change) || own.is_none() && !is_ours(&change.by.name);
        let by = self.changes.iter().rfind(foreign).map(|change| change.by.clone());
        if reading.read == Read::Everything {
            if self.looks.len() == BURST {
                self.looks.pop_front();
            }
            self.looks.push_back(now);
            self.unknown = false;
            // A change of another program during the look may have come after the reading.
            self.covered = if own.is_some() { reading.ended } else { reading.began };
            if self.covered.is_none() {
                // The kernel does not count generations. The look has read all changes that were reported
                // before.
                self.changes.clear();
            }
        }
        let changes = std::mem::take(&mut self.changes);
        self.changes = changes.into_iter().filter(|change| !self.is_old(change.generation)).collect();
        by
    }

    /// Counts a repair that this program made necessary. Returns the program if it fights and was not named
    /// yet.
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

    /// The programs that fight, with their number of repairs in the last minute.
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

    /// When the next fight ends if no further repair is necessary.
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

/// Whether this program, or a program that it starts, has this name, which the kernel cuts to 15 bytes.
pub(super) fn is_ours(name: &str) -> bool {
    let ours = [
        "iptables-restore",
        "ip6tables-restore",
        "iptables-nft-restore",
        "ip6tables-nft-restore",
        "tunwarden",
    ];
    ours.iter().any(|ours| ours[..ours.len().min(15)] == *name)
}

#[cfg(test)]
mod tests;
