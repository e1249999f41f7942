//! What somebody else does to the kernel's tables: seen, put right, and told with his name.

mod ledger;

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Agent;
use crate::firewall::transactions;
use crate::netfilter::socket::generation;
use crate::netfilter::{Generation, Program};
use crate::sources::drift::Notice;
use crate::status::{FightStatus, Watch};
use ledger::{Ledger, Look};

pub(in crate::agent) use ledger::Read;

/// How often the kernel is looked at where it does not tell of changes.
const SLOW: Duration = Duration::from_secs(60);

/// What is heard of changes, and what came of it.
#[derive(Debug)]
pub(super) struct Drift {
    pub(super) notices: mpsc::Receiver<Notice>,
    ledger: Ledger,
    listening: bool,
    looked_at: Instant,
}

impl Drift {
    pub(super) fn new(notices: mpsc::Receiver<Notice>) -> Self {
        Self { notices, ledger: Ledger::default(), listening: false, looked_at: Instant::now() }
    }

    fn take(&mut self, notice: Notice) {
        match notice {
            Notice::Listening => {
                // What happened before was not told.
                self.ledger.note_unknown();
                self.listening = true;
            }
            Notice::Change(change) => {
                tracing::debug!("the tables have changed: {change:?}");
                self.ledger.note(change);
            }
            Notice::Unknown => self.ledger.note_unknown(),
            Notice::Deaf(why) => {
                tracing::warn!(
                    "netfilter does not tell what changes ({why}): looking every {} s instead",
                    SLOW.as_secs()
                );
                self.listening = false;
            }
        }
    }

    fn take_all(&mut self) {
        while let Ok(notice) = self.notices.try_recv() {
            self.take(notice);
        }
    }

    /// What is known just before a commit.
    pub(super) fn before_commit() -> Before {
        Before { generation: generation(), transactions: transactions() }
    }

    /// Accounts for a commit that read `read`. Says who had changed something before.
    pub(super) async fn after_commit(&mut self, before: Before, read: Read, made: Made) -> Option<Program> {
        // The source has its turn: what happened meanwhile is accounted for as well.
        tokio::task::yield_now().await;
        self.take_all();
        let (began, ended, now) = (before.generation, generation(), Instant::now());
        let look = match made {
            Made::Commit => {
                Look { read, began, ended, made: transactions().wrapping_sub(before.transactions) }
            }
            // It is tried again by the clock: what was done in vain is no reason to try at once.
            Made::Nothing => Look { read: Read::Everything, began: ended, ended, made: 0 },
        };
        self.looked_at = now;
        self.ledger.looked(look, now)
    }
}

/// The tables just before a commit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before {
    generation: Option<Generation>,
    transactions: u32,
}

/// What came of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    /// The rules are in force.
    Commit,
    /// They are not.
    Nothing,
}

impl Agent {
    /// Something was told; what follows from it is done when it is due.
    pub(super) async fn noticed(&mut self, notice: Notice) {
        let before = self.watch();
        self.drift.take(notice);
        self.drift.take_all();
        if self.watch() != before {
            self.tell().await;
        }
    }

    /// How changes come to be seen.
    pub(super) fn watch(&self) -> Watch {
        if self.drift.listening && !self.firewall.is_untold() { Watch::Netfilter } else { Watch::Slow }
    }

    /// When something has to be done although nothing more happens.
    pub(super) fn look_due(&self) -> Option<Instant> {
        // No kernel tells what is done to a set.
        let sets = self.applied.as_ref().is_some_and(|applied| !applied.sets.is_empty());
        let slow = (sets || self.watch() == Watch::Slow).then(|| self.drift.looked_at + SLOW);
        let ledger = &self.drift.ledger;
        [ledger.due(Instant::now()), slow, ledger.fight_ends()].into_iter().flatten().min()
    }

    /// Does what is due.
    pub(super) async fn look_now(&mut self) {
        let now = Instant::now();
        let fight_ends = self.drift.ledger.fight_ends().is_some_and(|end| end <= now);
        if fight_ends {
            return self.tell().await;
        }
        tracing::debug!("looking: the tables have changed, or it is time");
        self.look = true;
        self.enforce().await;
    }

    /// The tables have lost their owner, by somebody's doing: the agent takes them over again.
    pub(super) async fn take_over(&mut self) {
        tracing::warn!("the process that owns the tables of nftables has ended; another takes them over");
        self.look = true;
        self.enforce().await;
    }

    /// Counts a repair that was necessary because of `by`.
    pub(super) fn blame(&mut self, by: &Program) {
        if let Some(fight) = self.drift.ledger.repaired(by, Instant::now()) {
            tracing::warn!(
                "{} takes the rules away again and again, {} times in a minute; they are put back each time",
                fight.program,
                fight.count
            );
        }
    }

    pub(super) fn fights(&mut self) -> Vec<FightStatus> {
        self.drift.ledger.fights(Instant::now())
    }
}
