//! From the situation to the kernel: the rules that it asks for are committed, and what came of it is told.

use std::time::Duration;

use super::drift::{Drift, Made, Read};
use super::{Agent, describe, publish};
use crate::bus::News;
use crate::firewall::{Commit, FirewallError};
use crate::netfilter::Program;
use crate::policy::{self, Ruleset};
use crate::status::Enforcement;

/// How long until a commit that failed is tried again: at first, and at most.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// What a refusal is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Otherwise {
    /// The rules before, where they still keep the contract.
    BeforeIfTheyMay,
    /// The rules before: nothing but what was asked for is another.
    Before,
}

impl Agent {
    /// Puts in force what the situation asks for, and tells.
    pub(super) async fn enforce(&mut self) {
        self.listen();
        let situation = self.machine.situation();
        let ruleset = policy::ruleset(self.machine.config(), &self.owners, &situation);
        let read = if std::mem::take(&mut self.look) { Read::Everything } else { Read::Changes };
        if read == Read::Everything || self.applied.as_ref() != Some(&ruleset) {
            match self.commit(&ruleset, read, Otherwise::BeforeIfTheyMay).await {
                Ok((commit, by)) => self.committed(ruleset, commit, by),
                Err(error) => self.failed(&error),
            }
        } else if self.pending.take().is_some() {
            // The situation is again what it was when these rules were put in force.
            self.retry = None;
            self.found = Enforcement::Enforced;
        }
        self.keep_configuration();
        // Both follow the rules: a question leaves, and a client finds its server, only by them.
        self.pin();
        self.detour().await;
        self.ask();
        self.keep(situation);
        self.tell().await;
    }

    /// Puts rules in force that somebody asks for, while all else stays as it is. Where that fails, the
    /// rules before are in force, or the caller has to see to it ([`Agent::restore`]).
    pub(super) async fn try_rules(&mut self, ruleset: Ruleset) -> Result<(), FirewallError> {
        if self.applied.as_ref() == Some(&ruleset) {
            return Ok(());
        }
        let (commit, by) = self.commit(&ruleset, Read::Changes, Otherwise::Before).await?;
        self.committed(ruleset, commit, by);
        Ok(())
    }

    /// What was asked for was refused: the rules of the situation are in force, or are put in force again.
    pub(super) async fn restore(&mut self, refused: &FirewallError) -> String {
        let why = describe(refused);
        tracing::error!("{why}");
        if !refused.is_kept() {
            self.applied = None;
            self.look = true;
            self.enforce().await;
        }
        self.tell().await;
        why
    }

    /// Says whom the sources are to listen to.
    pub(super) fn listen(&mut self) {
        publish(&self.listening, self.machine.listening());
        publish(&self.sockets, self.machine.management_sockets());
    }

    /// Commits, and answers requests meanwhile. Says who had changed something before.
    async fn commit(
        &mut self,
        ruleset: &Ruleset,
        read: Read,
        otherwise: Otherwise,
    ) -> Result<(Commit, Option<Program>), FirewallError> {
        if read == Read::Everything {
            self.firewall.distrust();
        }
        let before = Drift::before_commit();
        let commit = async {
            match otherwise {
                Otherwise::BeforeIfTheyMay => self.firewall.commit(ruleset).await,
                Otherwise::Before => self.firewall.try_commit(ruleset).await,
            }
        };
        let commit = self.attendant.attend(&self.machine, commit).await;
        let made = if commit.is_ok() { Made::Commit } else { Made::Nothing };
        let by = self.drift.after_commit(before, read, made).await;
        commit.map(|commit| (commit, by))
    }

    fn committed(&mut self, ruleset: Ruleset, commit: Commit, by: Option<Program>) {
        self.pending = None;
        if self.retry.take().is_some() {
            let what = "the rules are in force again".to_owned();
            self.news.push(News::Repaired { what, by: None });
        }
        self.applied = Some(ruleset);
        self.found = Enforcement::Enforced;
        match commit {
            Commit::AsPlanned | Commit::Unread(_) => {}
            // Nothing was open: no repair, and nothing to trouble anybody with.
            Commit::Moved(lines) => tracing::info!("back in its place: {}", lines.join("; ")),
            Commit::Mended(lines) => {
                self.repairs = self.repairs.saturating_add(1);
                self.damaged = true;
                self.news.push(News::Repaired { what: lines.join("; "), by: by.clone() });
                by.iter().for_each(|by| self.blame(by));
            }
        }
    }

    fn failed(&mut self, error: &FirewallError) {
        let why = describe(error);
        tracing::error!("{why}");
        self.pending = error.is_pending().then(|| why.clone());
        self.applied = self.firewall.held().cloned();
        self.found = Enforcement::after(error);
        let wait = self.retry.map_or(RETRY.0, |(_, wait)| (wait * 2).min(RETRY.1));
        self.retry = Some((tokio::time::Instant::now() + wait, wait));
        self.news.push(News::Failed(why));
    }

    pub(super) async fn retry(&mut self) {
        self.look = true;
        self.enforce().await;
    }

    /// Whether the rules of the situation are in force.
    pub(super) fn is_enforced(&self) -> bool {
        self.found == Enforcement::Enforced
    }
}
