//! One family's tables: what is held is read, what differs is changed in one transaction a table, and
//! read again. What cannot be put in force is closed.

use super::plan::{self, Jumps};
use super::saved::Saved;
use super::tool::{self, ToolError};
use super::{Commit, FirewallError, Trust};
use crate::config::Backend;
use crate::net::Family;
use crate::policy::{Table, last_resort};

/// How often a commit is tried when somebody else changes the tables under it.
const ATTEMPTS: u32 = 3;

pub(super) async fn read(backend: Backend, family: Family) -> Result<Saved, FirewallError> {
    Ok(Saved::parse(&tool::save(backend, family).await?)?)
}

/// Takes `tables` of ours out of what is held; says whether anything of them was there.
pub(super) async fn take_out(
    backend: Backend,
    family: Family,
    tables: &[Table],
    saved: &Saved,
) -> Result<bool, FirewallError> {
    let text = plan::release(tables, saved);
    if !text.is_empty() {
        tool::restore(backend, family, &text).await?;
    }
    Ok(!text.is_empty())
}

pub(super) async fn commit_or_close(
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
        Err(last) => Err(FirewallError::Open {
            families: vec![family],
            source: Box::new(why),
            last: Box::new(last.into()),
        }),
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
