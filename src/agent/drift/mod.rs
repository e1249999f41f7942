//! Changes that other programs make to the kernel's tables: the agent sees them, repairs them, and names the
//! program.

mod ledger;

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Agent;
use crate::firewall::{note_forward, transactions};
use crate::netfilter::socket::generation;
use crate::netfilter::{Generation, Program};
use crate::sources::drift::TableReport;
use crate::status::{FightStatus, Watch};
use ledger::{Ledger, Reading, is_ours};

pub(in crate::agent) use ledger::Read;

/// How often the agent reads the tables if the kernel does not report changes.
const SLOW: Duration = Duration::from_secs(60);

/// The reports of changes, and what followed from them.
#[derive(Debug)]
pub(super) struct Drift {
    pub(super) reports: mpsc::Receiver<TableReport>,
    ledger: Ledger,
    listening: bool,
    looked_at: Instant,
}

impl Drift {
    pub(super) fn new(reports: mpsc::Receiver<TableReport>) -> Self {
        Self { reports, ledger: Ledger::default(), listening: false, looked_at: Instant::now() }
    }

    fn take(&mut self, report: TableReport) {
        match report {
            TableReport::Listening => {
                // Changes before this moment were not reported.
                self.ledger.note_unknown();
                self.listening = true;
            }
            TableReport::Change(change) => {
                tracing::debug!("the tables have changed: {change:?}");
                self.ledger.note(change);
            }
            TableReport::Forward(set) if is_ours(&set.by.name) || !set.is_wanted() => {}
            TableReport::Forward(set) => note_forward(&set),
            TableReport::Unknown => self.ledger.note_unknown(),
            TableReport::Unavailable(why) => {
                tracing::warn!(
                    "the kernel does not report changes of the tables ({why}): the agent reads them every {} s instead",
                    SLOW.as_secs()
                );
                self.listening = false;
            }
        }
    }

    fn take_all(&mut self) {
        while let Ok(report) = self.reports.try_recv() {
            self.take(report);
        }
    }

    /// Reads the state of the tables just before a commit.
    pub(super) fn before_commit() -> Before {
        Before { generation: generation(), transactions: transactions() }
    }

    /// Accounts for a commit that read `read`. Returns the program that had changed something before.
    pub(super) async fn after_commit(&mut self, before: Before, read: Read, made: Made) -> Option<Program> {
        // The source gets to run, so that changes during the commit are accounted for too.
        tokio::task::yield_now().await;
        self.take_all();
        let (began, ended, now) = (before.generation, generation(), Instant::now());
        let reading = match made {
            Made::Commit => {
                Reading { read, began, ended, made: transactions().wrapping_sub(before.transactions) }
            }
            // Another program may have changed what was read before: the agent reads again at once.
            Made::Nothing if self.ledger.is_foreign_since(began) => {
                Reading { read: Read::Everything, began, ended: None, made: 0 }
            }
            // The commit is repeated after a delay. The changes that it made and took back must not repeat it
            // at once.
            Made::Nothing => Reading { read: Read::Everything, began: ended, ended, made: 0 },
        };
        self.looked_at = now;
        self.ledger.account_for(reading, now)
    }
}

/// The tables just before a commit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before {
    generation: Option<Generation>,
    transactions: u32,
}

/// The result of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    /// The rules are in force.
    Commit,
    /// They are not.
    Nothing,
}

impl Agent {
    /// Takes a report of a change. The repair follows when it is due.
    pub(super) async fn tables_reported(&mut self, report: TableReport) {
        let before = self.watch();
        self.drift.take(report);
        self.drift.take_all();
        if self.watch() != before {
            self.announce().await;
        }
    }

    /// How the agent sees changes.
    pub(super) fn watch(&self) -> Watch {
        if self.drift.listening && !self.rules.firewall.is_unreported() {
            Watch::Netfilter
        } else {
            Watch::Slow
        }
    }

    /// When the next look at the tables, or the end of a fight, is due.
    pub(super) fn look_due(&self) -> Option<Instant> {
        // The kernel does not report changes of a set.
        let sets = self.rules.applied.as_ref().is_some_and(|applied| !applied.sets.is_empty());
        let slow = (sets || self.watch() == Watch::Slow).then(|| self.drift.looked_at + SLOW);
        let ledger = &self.drift.ledger;
        [ledger.due(Instant::now()), slow, ledger.fight_ends()].into_iter().flatten().min()
    }

    /// Reads the tables, or reports that a fight is over.
    pub(super) async fn look_now(&mut self) {
        let now = Instant::now();
        let fight_ends = self.drift.ledger.fight_ends().is_some_and(|end| end <= now);
        if fight_ends {
            return self.announce().await;
        }
        tracing::debug!("looking: the tables have changed, or it is time");
        self.rules.next_read = Read::Everything;
        self.enforce().await;
    }

    /// Counts a repair that the program `by` made necessary.
    pub(super) fn count_repair(&mut self, by: &Program) {
        if let Some(fight) = self.drift.ledger.repaired(by, Instant::now()) {
            tracing::warn!(
                "{} has removed the rules {} times in a minute; the agent restores them each time",
                fight.program,
                fight.count
            );
        }
    }

    pub(super) fn fights(&mut self) -> Vec<FightStatus> {
        self.drift.ledger.fights(Instant::now())
    }
}
