//! The iptables layer.
//!
//! A commit is one transaction per table, and one more for policies that differ. Both families are committed
//! at the same time, because no packet belongs to both; rules of a pause go to IPv6 only after IPv4 has
//! taken them. A table that the kernel refuses keeps the rules that it had. Then either both families go
//! back to the rules before, or the family is closed with rules that every kernel accepts.

mod fallback;

use super::absent::{is_absent, nothing_if_absent};
use super::before::remove_bare_tables;
use super::comparison::Held;
use super::family::{close, commit, take_out};
use super::fewer_modules::{Lacking, warn_of_change};
use super::policies::{BackendRole, Before, forget, forget_all};
use super::reading::read;
use super::release::Released;
use super::sets::{self, can_hold_sets};
use super::{Commit, FirewallError, Trust, tool};
use crate::config::Backend;
use crate::describe::describe;
use crate::net::Family;
use crate::policy::{Ruleset, TableName, last_resort};

/// Maximum number of attempts at a release while another program changes the tables.
const RELEASES: u32 = 3;

/// In which order the families are committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Both at once.
    AtOnce,
    /// IPv6 after IPv4, and only if IPv4 has taken the rules: rules that open must not open IPv6 alone.
    InTurn,
}

/// The tables of iptables, and the rules that they are known to hold.
#[derive(Debug)]
pub(super) struct Iptables {
    backend: Backend,
    /// Whether these are the tables of iptables-legacy.
    legacy: bool,
    held: Option<Ruleset>,
    trust: Trust,
    /// The last warning about sets that cannot be used.
    no_sets: Option<String>,
    lacking: Lacking,
    /// Why the kernel last refused the rules and took fewer.
    refused: Option<String>,
}

impl Iptables {
    /// Tables whose rules are not known yet.
    pub(super) fn new(backend: Backend) -> Self {
        Self {
            backend,
            legacy: tool::is_legacy(backend),
            held: None,
            trust: Trust::Full,
            no_sets: None,
            lacking: Lacking::default(),
            refused: None,
        }
    }

    /// Puts `ruleset` in force in both families and reads it back. Writes only what has to change. A table
    /// that the kernel refuses keeps the rules that it had.
    ///
    /// # Errors
    /// [`Refusal`]: the families that do not hold `ruleset`.
    pub(super) async fn commit(&mut self, ruleset: &Ruleset, order: Order) -> Result<Commit, Refusal> {
        let held = self.held.take();
        let trust = std::mem::replace(&mut self.trust, Trust::Full);
        let held = held.as_ref();
        let why = match self.commit_sets(ruleset, held, trust, order).await {
            Err(refusal) if refusal.may_succeed() => refusal,
            result => {
                if result.is_ok() {
                    self.refused = None;
                    self.lacking.update([None; 3], "");
                }
                return result;
            }
        };
        self.commit_fewer(ruleset, (held, trust), order, why).await
    }

    /// The same, with a rule for each server if the sets cannot be used.
    async fn commit_sets(
        &mut self,
        ruleset: &Ruleset,
        held: Option<&Ruleset>,
        trust: Trust,
        order: Order,
    ) -> Result<Commit, Refusal> {
        let mut mended = Commit::AsPlanned;
        if !ruleset.sets.is_empty() {
            let known = held.map_or(&[][..], |held| &held.sets);
            // Sets come before the rules that name them. A set's name is made from its members, so a set in
            // use never changes.
            let loaded = sets::load(&ruleset.sets, known).await.map_err(FirewallError::from);
            let why = match loaded {
                Ok(moved) => {
                    if !moved.is_empty() {
                        mended = Commit::Mended(moved);
                    }
                    match self.commit_rules(ruleset, held, trust, order).await {
                        Err(refusal) if refusal.may_succeed() => refusal.into_why(),
                        result => {
                            self.no_sets = None;
                            return Ok(result?.and(mended));
                        }
                    }
                }
                Err(error) => error,
            };
            let commit = self.commit_rules(&ruleset.without_sets(), held, trust, order).await?;
            let warning = format!(
                "each server needs a rule of its own, because ipset cannot be used: {}",
                describe(&why)
            );
            warn_of_change(&mut self.no_sets, warning);
            return Ok(commit.and(mended));
        }
        self.commit_rules(ruleset, held, trust, order).await
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
                // Root can load the module later. The next commit reads everything, and finds it.
                self.trust = Trust::None;
                Ok(Commit::AsPlanned)
            }
            v6 => v6,
        };
        let commit = both(v4, v6)?;
        let before = held.map_or(0, |held| held.sets.len());
        // Old sets go after the last rule that names them.
        if before + ruleset.sets.len() > 0
            && let Err(error) = sets::keep_only(&ruleset.sets).await
        {
            tracing::debug!("an unused set stays: {}", describe(&error));
        }
        self.held = Some(ruleset.clone());
        Ok(commit)
    }

    /// Closes the families that refused completely. The error says what is in force afterwards: only
    /// [`FirewallError::Open`] leaves anything open.
    pub(super) async fn close(&mut self, refusal: Refusal) -> FirewallError {
        self.held = None;
        let (family, why) = *refusal.first;
        let closed = close(self.backend, family, why).await;
        let Some(second) = refusal.second else { return closed };
        let (family, why) = *second;
        worse(closed, close(self.backend, family, why).await)
    }

    /// Whether the kernel does not report changes of these tables by other programs.
    pub(super) fn is_unreported(&self) -> bool {
        self.legacy
    }

    /// Which rules are in force in another form than configured.
    pub(super) fn warning(&self) -> Option<&str> {
        self.no_sets.as_deref().or(self.lacking.warning())
    }

    /// The caller found no difference between `ruleset` and the kernel.
    pub(super) fn holds(&mut self, ruleset: Ruleset) {
        self.held = Some(ruleset);
    }

    /// Makes the next commit read everything first, because another program may have changed something.
    pub(super) fn require_full_read(&mut self) {
        self.trust = Trust::None;
    }

    /// Every difference between `ruleset` and what the kernel holds, one line each. These are no differences: a rule
    /// for each member of a set in place of the set, and rules without answers to discovery, without answers to
    /// refused senders, or without reports to the agent.
    ///
    /// # Errors
    /// When the kernel cannot be read. Then it is not known whether there are differences.
    pub(super) async fn differences(&self, ruleset: &Ruleset) -> Result<Vec<String>, FirewallError> {
        let sets = async {
            let has_sets = !ruleset.sets.is_empty() && can_hold_sets();
            if has_sets { Some(sets::differences(&ruleset.sets).await) } else { None }
        };
        let read = |family| read(self.backend, family);
        let (v4, v6, sets) = tokio::join!(read(Family::V4), read(Family::V6), sets);
        let v6 = match v6 {
            _ if is_absent(Family::V6) => None,
            v6 => Some(v6?),
        };
        Ok(Held { v4: v4?, v6 }.differences(ruleset, sets)?)
    }

    /// Removes everything of ours from the kernel. Policies go back to what they were before our rules came.
    /// Returns what stays.
    ///
    /// Rules may be in both backends of iptables, if the system or the configuration changed from one to the
    /// other. Every packet passes both, so both are released.
    ///
    /// # Errors
    /// When a family could not be released. The other one is released all the same.
    pub(super) async fn release(&mut self) -> Result<Released, FirewallError> {
        self.held = None;
        let family = async |family| {
            let released = release_world(self.backend, family, BackendRole::Configured).await?;
            Ok::<_, FirewallError>(released.and(self.release_other(family).await?.unwrap_or_default()))
        };
        let (v4, v6) = tokio::join!(family(Family::V4), family(Family::V6));
        let released = v4?.and(v6?);
        release_sets().await?;
        forget_all();
        Ok(released)
    }

    /// Removes our rules from the backend of iptables that the configuration does not name: they refuse packets
    /// until then. Returns the name of that backend if there were any.
    ///
    /// # Errors
    /// When a family could not be released.
    pub(super) async fn release_other_backend(&self) -> Result<Option<&'static str>, FirewallError> {
        let (v4, v6) = tokio::join!(self.release_other(Family::V4), self.release_other(Family::V6));
        let (v4, v6) = (v4?, v6?);
        Family::ALL.into_iter().for_each(|family| forget(self.other(), family));
        let word = if self.legacy { "nft" } else { "legacy" };
        Ok((v4.is_some() || v6.is_some()).then_some(word))
    }

    fn other(&self) -> Backend {
        if self.legacy { Backend::Nft } else { Backend::Legacy }
    }

    /// Removes our rules from one family in the other backend of iptables; `None` if there were none.
    async fn release_other(&self, family: Family) -> Result<Option<Released>, FirewallError> {
        let other = self.other();
        let saved = match read(other, family).await {
            Ok(saved) => saved,
            Err(error) => {
                tracing::debug!("the other backend of iptables is not there: {}", describe(&error));
                return Ok(None);
            }
        };
        if !saved.has_our_rules() && !Before::of(other, family, BackendRole::Other).is_after_our_rules() {
            return Ok(None);
        }
        release_world(other, family, BackendRole::Other).await.map(Some)
    }
}

/// Removes our rules from one family in one backend of iptables, and the tables that only we made.
async fn release_world(
    backend: Backend,
    family: Family,
    role: BackendRole,
) -> Result<Released, FirewallError> {
    let (ours, before) = (last_resort(), Before::of(backend, family, role));
    let mut attempt = 1;
    let released = loop {
        let saved = nothing_if_absent(family, read(backend, family).await)?;
        match take_out(backend, family, ours.family(family), &saved, &before).await {
            // Another program may have changed a rule after the read.
            Err(_) if attempt < RELEASES => attempt += 1,
            result => break result?,
        }
    };
    let new = TableName::ALL.into_iter().filter(|table| !before.had(*table));
    remove_bare_tables(backend, family, new).await?;
    Ok(released)
}

/// Removes the sets that no rule names any more.
pub(super) async fn release_sets() -> Result<(), FirewallError> {
    if can_hold_sets() {
        sets::release().await?;
    }
    Ok(())
}

/// Why one family, or both, do not hold the rules.
#[derive(Debug)]
pub(super) struct Refusal {
    first: Box<(Family, FirewallError)>,
    second: Option<Box<(Family, FirewallError)>>,
}

impl Refusal {
    fn of(family: Family, why: FirewallError) -> Self {
        Self { first: Box::new((family, why)), second: None }
    }

    /// Whether an immediate second attempt may succeed.
    fn may_succeed(&self) -> bool {
        self.first.1.may_succeed() && self.second.iter().all(|second| second.1.may_succeed())
    }

    /// Whether both families refused, so that none has taken the rules.
    fn is_of_both(&self) -> bool {
        self.second.is_some()
    }

    /// The reason of the first family that refused.
    pub(super) fn why(&self) -> &FirewallError {
        &self.first.1
    }

    /// The same, by value.
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

/// The worse error of both families: a family that is closed must not hide one that is open.
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
