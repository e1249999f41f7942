//! From the situation to the kernel: the agent commits the rules of the situation and reports the result.

use tokio::time::Instant;

use super::drift::{Drift, Made, Read};
use super::wait::Retry;
use super::{Agent, describe};
use crate::bus::BusSignal;
use crate::config;
use crate::firewall::{Commit, Firewall, FirewallError};
use crate::netfilter::Program;
use crate::policy::{self, Ruleset};
use crate::status::{Enforcement, Unread};
use crate::vpn::Situation;

/// The rules: what should be in force, and what the kernel was found to hold.
pub(super) struct Rules {
    pub(super) firewall: Firewall,
    /// The rules that were put in force last and then read back.
    pub(super) applied: Option<Ruleset>,
    /// The situation whose rules were committed last, or refused.
    pub(super) wanted: Situation,
    /// What the kernel was found to hold after that commit.
    pub(super) found: Enforcement,
    /// Why the rules of an earlier situation are in force.
    pub(super) pending: Option<String>,
    /// How much the next commit reads.
    pub(super) next_read: Read,
    /// Number of repairs since the agent started.
    pub(super) repairs: u32,
    /// Whether the rules were damaged since the agent last wrote what it keeps: packets may have left in clear.
    pub(super) damaged: bool,
    failed: Option<Failed>,
}

/// A commit that failed, and when it is repeated.
#[derive(Debug, Clone)]
struct Failed {
    /// The rules that are not in force.
    refused: Ruleset,
    /// Why they are not.
    why: String,
    retry: Retry,
}

/// Which rules may be in force if the kernel refuses a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fallback {
    /// The rules before, if they keep the contract in the new situation too.
    BeforeIfSafe,
    /// The rules before: the situation has not changed, somebody only asked for a change.
    Before,
}

impl Rules {
    pub(super) fn new(config: &config::FirewallSettings, wanted: Situation) -> Self {
        Self {
            firewall: Firewall::of_agent(config),
            applied: None,
            wanted,
            found: Enforcement::Unknown(Unread::Failed),
            pending: None,
            next_read: Read::Changes,
            repairs: 0,
            damaged: false,
            failed: None,
        }
    }

    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.failed.as_ref().map(|failed| failed.retry.at)
    }

    /// Why the last commit failed, if it did.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failed.as_ref().map(|failed| failed.why.as_str())
    }

    /// Whether the kernel refused these rules, and it is not yet time to try them again.
    fn were_refused(&self, ruleset: &Ruleset) -> bool {
        let waits = |failed: &Failed| failed.refused == *ruleset && Instant::now() < failed.retry.at;
        self.failed.as_ref().is_some_and(waits)
    }

    /// Whether the rules of the situation are in force.
    pub(super) fn are_enforced(&self) -> bool {
        self.found == Enforcement::Enforced
    }
}

impl Agent {
    /// Puts the rules of the situation in force, and reports the result.
    pub(super) async fn enforce(&mut self) {
        self.direct_sources();
        let situation = self.machine.situation();
        self.publish_facts(&situation);
        let ruleset = policy::ruleset(self.machine.config(), &self.owners.current, &situation);
        let read = std::mem::replace(&mut self.rules.next_read, Read::Changes);
        let is_new = self.rules.applied.as_ref() != Some(&ruleset) && !self.rules.were_refused(&ruleset);
        if read == Read::Everything || is_new {
            match self.commit(&ruleset, read, Fallback::BeforeIfSafe).await {
                Ok((commit, by)) => self.committed(ruleset, commit, by),
                Err(error) => self.failed(ruleset, &error),
            }
        } else if self.rules.applied.as_ref() == Some(&ruleset) && self.rules.pending.take().is_some() {
            // The situation is again the one whose rules are in force.
            self.rules.failed = None;
            self.rules.found = Enforcement::Enforced;
        }
        self.keep_configuration();
        // After the rules: they let the look-up out, and let a client reach its server.
        self.pin();
        self.detour().await;
        self.ask();
        self.start_attempt();
        self.keep(situation);
        self.announce().await;
    }

    /// Puts rules in force that a caller asks for. If that fails, the rules before are in force, or the
    /// caller has to restore them ([`Agent::restore`]).
    pub(super) async fn try_rules(&mut self, ruleset: Ruleset) -> Result<(), FirewallError> {
        if self.rules.applied.as_ref() == Some(&ruleset) {
            return Ok(());
        }
        let (commit, by) = self.commit(&ruleset, Read::Changes, Fallback::Before).await?;
        self.committed(ruleset, commit, by);
        Ok(())
    }

    /// After [`Agent::try_rules`] failed: puts the rules of the situation in force again, unless they still
    /// are. Returns why the kernel refused the other rules.
    pub(super) async fn restore(&mut self, refused: &FirewallError) -> String {
        let why = describe(refused);
        tracing::error!("{why}");
        if !refused.is_kept() {
            self.rules.applied = None;
            self.rules.next_read = Read::Everything;
            self.enforce().await;
        }
        self.announce().await;
        why
    }

    /// Commits, and answers requests during the commit. Returns the program that had changed something
    /// before.
    async fn commit(
        &mut self,
        ruleset: &Ruleset,
        read: Read,
        fallback: Fallback,
    ) -> Result<(Commit, Option<Program>), FirewallError> {
        if read == Read::Everything {
            self.rules.firewall.require_full_read();
        }
        let before = Drift::before_commit();
        let commit = async {
            match fallback {
                Fallback::BeforeIfSafe => self.rules.firewall.commit(ruleset).await,
                Fallback::Before => self.rules.firewall.try_commit(ruleset).await,
            }
        };
        let commit = match ruleset.is_paused() {
            true => self.receiver.run_unless_closed(&self.machine, commit).await,
            false => Some(self.receiver.run(&self.machine, commit).await),
        };
        let commit = match commit {
            Some(commit) => commit,
            None => {
                self.rules.firewall.abandon();
                Err(FirewallError::GivenUp)
            }
        };
        let made = if commit.is_ok() { Made::Commit } else { Made::Nothing };
        let by = self.drift.after_commit(before, read, made).await;
        commit.map(|commit| (commit, by))
    }

    fn committed(&mut self, ruleset: Ruleset, commit: Commit, by: Option<Program>) {
        self.rules.pending = None;
        if self.rules.failed.take().is_some() {
            let what = "the rules are in force again".to_owned();
            self.announcer.news.push(BusSignal::Repaired { what, by: None });
        }
        self.rules.applied = Some(ruleset);
        self.rules.found = Enforcement::Enforced;
        match commit {
            Commit::AsPlanned | Commit::Unread(_) => {}
            // Nothing was open, so the user gets no notification of a repair.
            Commit::Moved(lines) => tracing::info!("the rules are back in their place: {}", lines.join("; ")),
            Commit::Mended(lines) => {
                self.rules.repairs = self.rules.repairs.saturating_add(1);
                self.rules.damaged = true;
                self.announcer.news.push(BusSignal::Repaired { what: lines.join("; "), by: by.clone() });
                by.iter().for_each(|by| self.count_repair(by));
            }
        }
    }

    fn failed(&mut self, refused: Ruleset, error: &FirewallError) {
        let why = describe(error);
        tracing::error!("{why}");
        self.rules.pending = error.is_pending().then(|| why.clone());
        self.rules.applied = self.rules.firewall.held().cloned();
        self.rules.found = Enforcement::after(error);
        let retry = Retry::next(self.rules.failed.as_ref().map(|failed| failed.retry));
        self.rules.failed = Some(Failed { refused, why: why.clone(), retry });
        self.announcer.news.push(BusSignal::Failed(why));
    }

    pub(super) async fn retry(&mut self) {
        self.rules.next_read = Read::Everything;
        self.enforce().await;
    }
}
