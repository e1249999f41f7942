//! The layer in iptables.
//!
//! A commit is one transaction a table, and one more for policies that are not held; the two families run
//! side by side, since no packet belongs to both. A family that refuses a commit holds what it held. Then
//! either both go back to that, or the family is closed with rules that every kernel has.

use super::absent::{is_absent, nothing_if_absent};
use super::family::{close, commit, take_out};
use super::reading::read;
use super::saved::Saved;
use super::sets::{self, can_hold_sets};
use super::{Commit, FirewallError, Trust, plan, tool};
use crate::config::Backend;
use crate::describe::describe;
use crate::net::Family;
use crate::policy::{Ruleset, TableName, last_resort};

/// In which order the families are committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Both at once.
    AtOnce,
    /// IPv6 after IPv4, and only when IPv4 has taken it: what opens one family alone never begins.
    InTurn,
}

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

    /// Puts `ruleset` in force in both families and reads it back. Where nothing has to change, nothing is
    /// written. A family that refuses it holds what it held before.
    ///
    /// # Errors
    /// [`Refusal`]: the families that do not hold `ruleset`.
    pub(super) async fn commit(&mut self, ruleset: &Ruleset, order: Order) -> Result<Commit, Refusal> {
        let held = self.held.take();
        let trust = std::mem::replace(&mut self.trust, Trust::Full);
        let mut mended = Commit::AsPlanned;
        if !ruleset.sets.is_empty() {
            let known = held.as_ref().map_or(&[][..], |held| &held.sets);
            // Before any rule names them. The members are known by the name: no rule sees a set change.
            let loaded = sets::load(&ruleset.sets, known).await.map_err(FirewallError::from);
            let why = match loaded {
                Ok(moved) => {
                    if !moved.is_empty() {
                        mended = Commit::Mended(moved);
                    }
                    match self.commit_rules(ruleset, held.as_ref(), trust, order).await {
                        Err(refusal) if refusal.may_pass() => refusal.into_why(),
                        result => {
                            self.complaint.clear();
                            return Ok(result?.and(mended));
                        }
                    }
                }
                Err(error) => error,
            };
            let commit = self.commit_rules(&ruleset.without_sets(), held.as_ref(), trust, order).await?;
            self.complain(&why);
            return Ok(commit.and(mended));
        }
        self.commit_rules(ruleset, held.as_ref(), trust, order).await
    }

    fn complain(&mut self, why: &FirewallError) {
        let complaint =
            format!("every server is a rule of its own, for ipset cannot be used: {}", describe(why));
        if complaint != self.complaint {
            tracing::warn!("{complaint}");
            self.complaint = complaint;
        }
    }

    async fn commit_rules(
        &mut self,
        ruleset: &Ruleset,
        held: Option<&Ruleset>,
        trust: Trust,
        order: Order,
    ) -> Result<Commit, Refusal> {
        let family = |family| {
            let held = held.map(|held| held.family(family));
            commit(self.backend, family, held, trust, ruleset.family(family))
        };
        let (v4, v6) = match order {
            Order::AtOnce => tokio::join!(family(Family::V4), family(Family::V6)),
            Order::InTurn => match family(Family::V4).await {
                Ok(commit) => (Ok(commit), family(Family::V6).await),
                Err(why) => return Err(Refusal::of(Family::V4, why)),
            },
        };
        let v6 = match v6 {
            Err(why) if is_absent(Family::V6) => {
                tracing::debug!("this kernel has no IPv6, so there is none to close: {}", describe(&why));
                // Root can load it later. Then the next commit finds it.
                self.trust = Trust::None;
                Ok(Commit::AsPlanned)
            }
            v6 => v6,
        };
        let commit = both(v4, v6)?;
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

    /// Closes completely the families that refused. What is in force afterwards is said by the error:
    /// [`FirewallError::Open`] is the only one that leaves anything open.
    pub(super) async fn close(&mut self, refusal: Refusal) -> FirewallError {
        self.held = None;
        let (family, why) = *refusal.first;
        let closed = close(self.backend, family, why).await;
        let Some(second) = refusal.second else { return closed };
        let (family, why) = *second;
        worse(closed, close(self.backend, family, why).await)
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
        let v6 = match v6 {
            Ok(lines) if lines.is_empty() => lines,
            _ if is_absent(Family::V6) => Vec::new(),
            v6 => v6?,
        };
        Ok([v4?, v6].concat())
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
            let saved = nothing_if_absent(family, read(self.backend, family).await)?;
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

/// Why one family, or each of them, does not hold what it should.
#[derive(Debug)]
pub(super) struct Refusal {
    first: Box<(Family, FirewallError)>,
    second: Option<Box<(Family, FirewallError)>>,
}

impl Refusal {
    fn of(family: Family, why: FirewallError) -> Self {
        Self { first: Box::new((family, why)), second: None }
    }

    /// Whether another attempt at once may end otherwise.
    fn may_pass(&self) -> bool {
        self.first.1.may_pass() && self.second.iter().all(|second| second.1.may_pass())
    }

    /// Why the first of them does not.
    pub(super) fn why(&self) -> &FirewallError {
        &self.first.1
    }

    /// The same, for good.
    pub(super) fn into_why(self) -> FirewallError {
        self.first.1
    }
}

fn both(v4: Result<Commit, FirewallError>, v6: Result<Commit, FirewallError>) -> Result<Commit, Refusal> {
    match (v4, v6) {
        (Ok(v4), Ok(v6)) => Ok(v4.and(v6)),
        (Err(why), Ok(_)) => Err(Refusal::of(Family::V4, why)),
        (Ok(_), Err(why)) => Err(Refusal::of(Family::V6, why)),
        (Err(v4), Err(v6)) => {
            Err(Refusal { second: Some(Box::new((Family::V6, v6))), ..Refusal::of(Family::V4, v4) })
        }
    }
}

/// What both families come to: an open one is never hidden behind one that is closed.
fn worse(v4: FirewallError, v6: FirewallError) -> FirewallError {
    let open_too = matches!(v4, FirewallError::Open { .. });
    if let FirewallError::Open { mut families, source, last } = v6 {
        if open_too {
            families.insert(0, Family::V4);
        }
        return FirewallError::Open { families, source, last };
    }
    v4
}
