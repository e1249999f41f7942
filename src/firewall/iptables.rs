//! The layer in iptables.
//!
//! A commit is one transaction a table; the two families run side by side, since no packet belongs
//! to both. What cannot be put in force is closed with rules that every kernel has.

use super::plan::{self, Jumps};
use super::saved::Saved;
use super::tool::{self, ToolError};
use super::{Commit, FirewallError};
use crate::config::Backend;
use crate::net::Family;
use crate::policy::{Ruleset, Table, TableName, last_resort};

/// How often a commit is tried when somebody else changes the tables under it.
const ATTEMPTS: u32 = 3;

/// The kernel's tables, and what we know them to hold.
#[derive(Debug)]
pub(super) struct Iptables {
    backend: Backend,
    held: Option<Ruleset>,
    trust: Trust,
}

/// Whether the kernel is taken to hold what it was last seen to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    Full,
    /// Somebody else may have moved it.
    None,
}

impl Iptables {
    /// The kernel's tables, of which nothing is known yet.
    pub(super) fn new(backend: Backend) -> Self {
        Self { backend, held: None, trust: Trust::Full }
    }

    /// Puts `ruleset` in force in both families and reads it back. What is in force afterwards is
    /// `ruleset`, or a complete lock for the family in which that failed. Where nothing has to change,
    /// nothing is written.
    ///
    /// # Errors
    /// See [`FirewallError`]; [`FirewallError::Open`] is the only one that leaves anything open.
    pub(super) async fn commit(&mut self, ruleset: &Ruleset) -> Result<Commit, FirewallError> {
        let ruleset = &ruleset.without_sets();
        let held = self.held.take();
        let trust = std::mem::replace(&mut self.trust, Trust::Full);
        let family = |family| {
            let held = held.as_ref().map(|held| held.family(family));
            commit_or_close(self.backend, family, held, trust, ruleset.family(family))
        };
        let (v4, v6) = tokio::join!(family(Family::V4), family(Family::V6));
        let commit = worse(v4, v6)?;
        self.held = Some(ruleset.clone());
        Ok(commit)
    }

    /// Has the next commit look at everything first: somebody else may have moved something.
    pub(super) fn distrust(&mut self) {
        self.trust = Trust::None;
    }

    /// Every difference between `ruleset` and what the kernel holds, a line each.
    ///
    /// # Errors
    /// When the kernel cannot be read: that is no verdict.
    pub(super) async fn differences(&self, ruleset: &Ruleset) -> Result<Vec<String>, FirewallError> {
        let ruleset = &ruleset.without_sets();
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
    /// # Errors
    /// When a family could not be released; the other one is all the same.
    pub(super) async fn release(&mut self) -> Result<Vec<Family>, FirewallError> {
        self.held = None;
        let ours = last_resort();
        let family = async |family| {
            let saved = read(self.backend, family).await?;
            let text = plan::release(ours.family(family), &saved);
            if !text.is_empty() {
                tool::restore(self.backend, family, &text).await?;
            }
            let dockers = saved.table(TableName::Filter.as_str()).is_some_and(plan::is_dockers);
            Ok::<_, FirewallError>(dockers.then_some(family))
        };
        let (v4, v6) = tokio::join!(family(Family::V4), family(Family::V6));
        Ok([v4?, v6?].into_iter().flatten().collect())
    }
}

/// What both families come to: an open one is never hidden behind one that is merely closed.
fn worse(
    v4: Result<Commit, FirewallError>,
    v6: Result<Commit, FirewallError>,
) -> Result<Commit, FirewallError> {
    if matches!(v6, Err(FirewallError::Open { .. })) {
        return v6;
    }
    Ok(v4?.and(v6?))
}

async fn read(backend: Backend, family: Family) -> Result<Saved, FirewallError> {
    Ok(Saved::parse(&tool::save(backend, family).await?)?)
}

async fn commit_or_close(
    backend: Backend,
    family: Family,
    held: Option<&[Table]>,
    trust: Trust,
    tables: &[Table],
) -> Result<Commit, FirewallError> {
    let why = match commit(backend, family, held, trust, tables).await {
        Ok(commit) => return Ok(commit),
        Err(why) => why,
    };
    let last = last_resort();
    let last = last.family(family);
    if mend(backend, family, None, last, &mut Commit::AsPlanned).await.is_ok() {
        return Err(FirewallError::ClosedCompletely(Box::new(why)));
    }
    match overwrite(backend, family, last).await {
        Ok(()) => Err(FirewallError::ClosedUnread(Box::new(why))),
        Err(last) => Err(FirewallError::Open { source: Box::new(why), last: Box::new(last.into()) }),
    }
}

/// Closes without looking: a table with a rule that this release of iptables cannot print can still
/// be written. Tried first as if our jumps stood there, so that they do not pile up.
async fn overwrite(backend: Backend, family: Family, tables: &[Table]) -> Result<(), ToolError> {
    for table in tables {
        if tool::restore(backend, family, &plan::overwrite(table, Jumps::Held)).await.is_err() {
            tool::restore(backend, family, &plan::overwrite(table, Jumps::Missing)).await?;
        }
    }
    Ok(())
}

/// What somebody else had moved, and is mended.
async fn commit(
    backend: Backend,
    family: Family,
    held: Option<&[Table]>,
    trust: Trust,
    tables: &[Table],
) -> Result<Commit, FirewallError> {
    let mut expected = held;
    if let Some(text) = held.filter(|_| trust == Trust::Full).and_then(|held| plan::step(held, tables)) {
        if text.is_empty() {
            return Ok(Commit::AsPlanned);
        }
        // The quick way: only what moved. Whatever is found afterwards, the long way mends.
        let began = tokio::time::Instant::now();
        let moved = tool::restore(backend, family, &text).await.is_ok();
        tracing::debug!(?family, micros = began.elapsed().as_micros(), "restored");
        if moved {
            expected = Some(tables);
        }
    }
    let (mut attempt, mut seen) = (1, Commit::AsPlanned);
    loop {
        match mend(backend, family, expected, tables, &mut seen).await {
            Err(_) if attempt < ATTEMPTS => attempt += 1,
            result => return result.map(|()| seen),
        }
    }
}

/// Looks, changes what differs from `tables` in one transaction a table, and looks again. What differed
/// from what was expected is somebody else's doing.
async fn mend(
    backend: Backend,
    family: Family,
    expected: Option<&[Table]>,
    tables: &[Table],
    seen: &mut Commit,
) -> Result<(), FirewallError> {
    let found = read(backend, family).await?;
    // Said before it is mended: an attempt that comes to nothing may have put back the half of it.
    if let Some(expected) = expected {
        let lines = plan::differences(family, expected, &found);
        let now = match lines.is_empty() {
            true => Commit::AsPlanned,
            false if plan::only_moved(expected, &found) => Commit::Moved(lines),
            false => Commit::Mended(lines),
        };
        *seen = std::mem::replace(seen, Commit::AsPlanned).and(now);
    }
    let text = plan::restore(tables, &found);
    if !text.is_empty() {
        tool::restore(backend, family, &text).await?;
        let differences = plan::differences(family, tables, &read(backend, family).await?);
        if !differences.is_empty() {
            return Err(FirewallError::Differs(differences));
        }
    }
    Ok(())
}
