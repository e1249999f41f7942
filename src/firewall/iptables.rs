//! The layer in iptables.
//!
//! A commit is one transaction a table, and one more for policies that are not held; the two families run
//! side by side, since no packet belongs to both. What cannot be put in force is closed with rules that
//! every kernel has.

use super::family::{commit_or_close, read, take_out};
use super::saved::Saved;
use super::sets::{self, can_hold_sets};
use super::{Commit, FirewallError, Trust, plan, tool};
use crate::config::Backend;
use crate::describe::describe;
use crate::net::Family;
use crate::policy::{Ruleset, TableName, last_resort};

/// The kernel's tables, and what we know them to hold.
#[derive(Debug)]
pub(super) struct Iptables {
    backend: Backend,
    /// Whether they are those of iptables-legacy.
    legacy: bool,
    held: Option<Ruleset>,
    trust: Trust,
    /// What was last said of sets that could not be used.
    complaint: String,
}

impl Iptables {
    /// The kernel's tables, of which nothing is known yet.
    pub(super) fn new(backend: Backend) -> Self {
        Self {
            backend,
            legacy: tool::is_legacy(backend),
            held: None,
            trust: Trust::Full,
            complaint: String::new(),
        }
    }

    /// Puts `ruleset` in force in both families and reads it back. What is in force afterwards is
    /// `ruleset`, or a complete lock for the family in which that failed. Where nothing has to change,
    /// nothing is written.
    ///
    /// # Errors
    /// See [`FirewallError`]; [`FirewallError::Open`] is the only one that leaves anything open.
    pub(super) async fn commit(&mut self, ruleset: &Ruleset) -> Result<Commit, FirewallError> {
        let held = self.held.take();
        let trust = std::mem::replace(&mut self.trust, Trust::Full);
        if ruleset.sets.is_empty() {
            return self.commit_rules(ruleset, held, trust).await;
        }
        let known = held.as_ref().map_or(&[][..], |held| &held.sets);
        // Before any rule names them. The members are known by the name: no rule sees a set change.
        let why = match sets::load(&ruleset.sets, known).await {
            Ok(moved) => match self.commit_rules(ruleset, held, trust).await {
                Ok(commit) => {
                    self.complaint.clear();
                    return Ok(if moved.is_empty() { commit } else { commit.and(Commit::Mended(moved)) });
                }
                Err(error) => describe(&error),
            },
            Err(error) => {
                self.held = held;
                describe(&error)
            }
        };
        let held = self.held.take();
        let commit = self.commit_rules(&ruleset.without_sets(), held, trust).await?;
        let complaint = format!("every server is a rule of its own, for ipset cannot be used: {why}");
        if complaint != self.complaint {
            tracing::warn!("{complaint}");
            self.complaint = complaint;
        }
        Ok(commit)
    }

    async fn commit_rules(
        &mut self,
        ruleset: &Ruleset,
        held: Option<Ruleset>,
        trust: Trust,
    ) -> Result<Commit, FirewallError> {
        let family = |family| {
            let held = held.as_ref().map(|held| held.family(family));
            commit_or_close(self.backend, family, held, trust, ruleset.family(family))
        };
        let (v4, v6) = tokio::join!(family(Family::V4), family(Family::V6));
        let commit = worse(v4, v6)?;
        let before = held.map_or(0, |held| held.sets.len());
        // After the last rule that names them.
        if before + ruleset.sets.len() > 0
            && let Err(error) = sets::keep_only(&ruleset.sets).await
        {
            tracing::debug!("a set that no rule names any more stays: {}", describe(&error));
        }
        self.held = Some(ruleset.clone());
        Ok(commit)
    }

    /// Whether the kernel tells nothing of what others do to these tables.
    pub(super) fn is_untold(&self) -> bool {
        self.legacy
    }

    /// What of the rules is in force in another form than they ask for, if anything is.
    pub(super) fn complaint(&self) -> Option<&str> {
        Some(self.complaint.as_str()).filter(|complaint| !complaint.is_empty())
    }

    /// Takes it as known that the kernel holds `ruleset`: no differences were found.
    pub(super) fn holds(&mut self, ruleset: Ruleset) {
        self.held = Some(ruleset);
    }

    /// Has the next commit look at everything first: somebody else may have moved something.
    pub(super) fn distrust(&mut self) {
        self.trust = Trust::None;
    }

    /// Every difference between `ruleset` and what the kernel holds, a line each. A rule for each
    /// member in place of a set is no difference.
    ///
    /// # Errors
    /// When the kernel cannot be read: that is no verdict.
    pub(super) async fn differences(&self, ruleset: &Ruleset) -> Result<Vec<String>, FirewallError> {
        let plain = || ruleset.without_sets();
        if ruleset.sets.is_empty() || !can_hold_sets() {
            return self.rule_differences(&plain()).await;
        }
        let (rules, sets) = tokio::join!(self.rule_differences(ruleset), sets::differences(&ruleset.sets));
        let rules = rules?;
        let same = rules.is_empty() && sets.as_ref().is_ok_and(Vec::is_empty);
        if same || self.rule_differences(&plain()).await?.is_empty() {
            return Ok(Vec::new());
        }
        Ok([rules, sets?].concat())
    }

    async fn rule_differences(&self, ruleset: &Ruleset) -> Result<Vec<String>, FirewallError> {
        let family = async |family| {
            let saved = read(self.backend, family).await?;
            Ok::<_, FirewallError>(plan::differences(family, ruleset.family(family), &saved))
        };
        let (v4, v6) = tokio::join!(family(Family::V4), family(Family::V6));
        Ok([v4?, v6?].concat())
    }

    /// Takes every trace of us out of the kernel; policies go back to ACCEPT, but for FORWARD where it
    /// is Docker's: there it stays what it is. Says in which families that is so.
    ///
    /// Both worlds of iptables are looked at: before the system or the configuration changed to this one,
    /// the rules stood in the other, and every packet still passes both.
    ///
    /// # Errors
    /// When a family could not be released; the other one is all the same.
    pub(super) async fn release(&mut self) -> Result<Vec<Family>, FirewallError> {
        self.held = None;
        let other = if self.legacy { Backend::Nft } else { Backend::Legacy };
        let ours = last_resort();
        let dockers = |saved: &Saved| saved.table(TableName::Filter.as_str()).is_some_and(plan::is_dockers);
        let family = async |family| {
            let saved = read(self.backend, family).await?;
            take_out(self.backend, family, ours.family(family), &saved).await?;
            let beside = match read(other, family).await {
                Ok(beside) => {
                    take_out(other, family, ours.family(family), &beside).await? && dockers(&beside)
                }
                Err(error) => {
                    tracing::debug!("the other world of iptables is not there: {}", describe(&error));
                    false
                }
            };
            Ok::<_, FirewallError>((dockers(&saved) || beside).then_some(family))
        };
        let (v4, v6) = tokio::join!(family(Family::V4), family(Family::V6));
        let families = [v4?, v6?].into_iter().flatten().collect();
        release_sets().await?;
        Ok(families)
    }
}

/// Takes out the sets that no rule names any more.
pub(super) async fn release_sets() -> Result<(), FirewallError> {
    if can_hold_sets() {
        sets::release().await?;
    }
    Ok(())
}

/// What both families come to: an open one is never hidden behind one that is merely closed.
fn worse(
    v4: Result<Commit, FirewallError>,
    v6: Result<Commit, FirewallError>,
) -> Result<Commit, FirewallError> {
    let open_too = matches!(v4, Err(FirewallError::Open { .. }));
    if let Err(FirewallError::Open { mut families, source, last }) = v6 {
        if open_too {
            families.insert(0, Family::V4);
        }
        return Err(FirewallError::Open { families, source, last });
    }
    Ok(v4?.and(v6?))
}
