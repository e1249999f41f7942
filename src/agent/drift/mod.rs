//! What somebody else does to the kernel's tables: seen, put right, and told with his name.

mod ledger;

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Agent;
use crate::firewall::{Commit, FirewallError, transactions};
use crate::netfilter::Program;
use crate::netfilter::socket::generation;
use crate::policy::Ruleset;
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
                tracing::debug!(?change, "the tables have changed");
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

    /// Commits, and accounts for it. Says who had changed something before.
    pub(super) async fn commit(
        &mut self,
        ruleset: &Ruleset,
        read: Read,
    ) -> (Result<Commit, FirewallError>, Option<Program>) {
        if read == Read::Everything {
            self.firewall.distrust();
        }
        let (began, before) = (generation(), transactions());
        let commit = self.firewall.commit(ruleset).await;
        // The source has its turn: what happened meanwhile is accounted for as well.
        tokio::task::yield_now().await;
        self.drift.take_all();
        let (ended, now) = (generation(), Instant::now());
        let look = match commit {
            Ok(_) => Look { read, began, ended, made: transactions().wrapping_sub(before) },
            // It is tried again by the clock: what was done in vain is no reason to try at once.
            Err(_) => Look { read: Read::Everything, began: ended, ended, made: 0 },
        };
        self.drift.looked_at = now;
        (commit, self.drift.ledger.looked(look, now))
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
