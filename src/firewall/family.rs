//! The iptables tables of one family: read them, change what differs in one transaction per table, and read
//! them again. A family whose rules cannot be put in force is closed.

use super::misplaced::{Misplaced, misplaced};
use super::plan;
use super::policies::{self, Before};
use super::reading::read;
use super::release::{LeftChain, Release, Released, release, removal};
use super::saved::Saved;
use super::tool::{self, ToolError};
use super::{Commit, FirewallError, Trust};
use crate::config::Backend;
use crate::describe::describe;
use crate::net::Family;
use crate::netfilter::socket::{remove_rules, switch_on};
use crate::policy::{Table, last_resort};

/// Maximum number of attempts at a commit while another program changes the tables.
const ATTEMPTS: u32 = 3;

/// Removes our `tables` from `saved`, and restores the policies from `before`. Returns what stays.
pub(super) async fn take_out(
    backend: Backend,
    family: Family,
    tables: &[Table],
    saved: &Saved,
    before: &Before,
) -> Result<Released, FirewallError> {
    let program = tool::for_people(backend, family);
    let Release { text, emptied, removed, mut released } = release(&program, tables, saved, before);
    if text.is_empty() {
        return Ok(released);
    }
    match tool::restore(backend, family, &text).await {
        Ok(()) => return Ok(released),
        Err(why) if why.is_timeout() => return Err(why.into()),
        // Something that no tool prints may refer to one of the chains, such as a verdict map of nftables.
        Err(_) => {}
    }
    if !emptied.is_empty() {
        tool::restore(backend, family, &emptied).await?;
    }
    for (table, chain) in removed {
        if tool::restore(backend, family, &removal(table, chain)).await.is_err() {
            let program = program.clone();
            released.left.push(LeftChain { program, table, chain, rules: Vec::new() });
        }
    }
    Ok(released)
}

/// Closes a family completely because of `why`. Returns the error that says what is in force now.
pub(super) async fn close(backend: Backend, family: Family, why: FirewallError) -> FirewallError {
    if !why.may_succeed() {
        return why.not_closed(vec![family]);
    }
    let last = last_resort();
    let last = last.family(family);
    let failed = match repair(backend, family, None, last, &mut Commit::AsPlanned).await {
        Ok(()) => return FirewallError::ClosedCompletely(Box::new(why)),
        Err(failed) => failed,
    };
    match write_unread(backend, family, last, failed).await {
        Ok(_) => FirewallError::ClosedUnread(Box::new(why)),
        Err(last) => {
            FirewallError::Open { families: vec![family], source: Box::new(why), last: Box::new(last) }
        }
    }
}

/// Writes the tables without reading them, if reading is what `failed`: it may still be possible to write
/// them.
async fn write_unread(
    backend: Backend,
    family: Family,
    tables: &[Table],
    failed: FirewallError,
) -> Result<Commit, FirewallError> {
    let FirewallError::Unreadable(why) = &failed else { return Err(failed) };
    // A program that hangs would hang again, for each question.
    if why.may_succeed() {
        policies::note_unread(backend, family).await;
    }
    match overwrite(backend, family, tables).await {
        Ok(()) => Ok(Commit::Unread(describe(why))),
        Err(_) => Err(failed),
    }
}

async fn overwrite(backend: Backend, family: Family, tables: &[Table]) -> Result<(), ToolError> {
    for table in tables {
        let mut held = Vec::new();
        for (hook, chain) in plan::jumps_to_overwrite(table) {
            let jump = (hook.as_str(), chain.as_str());
            if tool::has_jump(backend, family, table.name.as_str(), jump).await? {
                held.push((hook, chain));
            }
        }
        tool::restore(backend, family, &plan::overwrite(table, &held)).await?;
    }
    Ok(())
}

/// Puts `tables` in force, in one transaction per table. Returns what another program had changed.
pub(super) async fn commit(
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
        // Write only the chains that differ from the last commit. The code below repairs everything else.
        let began = tokio::time::Instant::now();
        let moved = tool::restore(backend, family, &text).await;
        tracing::debug!("restored {family:?} in {} µs", began.elapsed().as_micros());
        match moved {
            Ok(()) => expected = Some(tables),
            Err(why) if why.is_timeout() => return Err(why.into()),
            Err(_) => {}
        }
    }
    let (mut attempt, mut seen) = (1, Commit::AsPlanned);
    loop {
        match repair(backend, family, expected, tables, &mut seen).await {
            Ok(()) => return Ok(seen),
            Err(why) if attempt < ATTEMPTS && why.may_succeed() => attempt += 1,
            // Rules that open must be read.
            Err(why) if tables.iter().any(Table::is_paused) => return Err(why),
            Err(why) => return write_unread(backend, family, tables, why).await,
        }
    }
}

/// Reads the tables, changes what differs from `tables` in one transaction per table, and reads them again.
/// Another program made the differences from `expected`.
async fn repair(
    backend: Backend,
    family: Family,
    expected: Option<&[Table]>,
    tables: &[Table],
    seen: &mut Commit,
) -> Result<(), FirewallError> {
    let unreadable = |why| FirewallError::Unreadable(Box::new(why));
    let mut found = read(backend, family).await.map_err(unreadable)?;
    // Before the repair: an attempt that fails may have repaired a part.
    if let Some(expected) = expected {
        let lines = plan::differences(family, expected, &found);
        let now = match lines.is_empty() {
            true => Commit::AsPlanned,
            false if plan::only_moved(expected, &found) => Commit::Moved(lines),
            false => Commit::Mended(lines),
        };
        *seen = std::mem::replace(seen, Commit::AsPlanned).and(now);
    }
    let dormant = plan::dormant(tables, &found);
    for name in &dormant {
        switch_on(family, name).map_err(|error| FirewallError::Dormant(name, error))?;
        tool::count(1);
    }
    let removed_rules = plan::removed_rules(family, tables, &found);
    if !removed_rules.is_empty() {
        *seen = std::mem::replace(seen, Commit::AsPlanned).and(Commit::Mended(removed_rules));
    }
    if remove_unprintable(backend, family, tables, &found).await? {
        policies::note(backend, family, &found);
        found = read(backend, family).await.map_err(unreadable)?;
    }
    let text = plan::restore(tables, &found);
    if !text.is_empty() {
        tool::restore(backend, family, &text).await?;
    }
    // After the rules: a slow disk must not delay them.
    policies::note(backend, family, &found);
    if !text.is_empty() || !dormant.is_empty() {
        let written = read(backend, family).await.map_err(unreadable)?;
        policies::note(backend, family, &written);
        let differences = plan::differences(family, tables, &written);
        if !differences.is_empty() {
            return Err(FirewallError::Differs(differences));
        }
    }
    Ok(())
}

/// Removes misplaced rules whose text is not known, by their handles. Returns whether there were any. The rules
/// of the last resort come first: they hold while the removed rules are missing.
async fn remove_unprintable(
    backend: Backend,
    family: Family,
    tables: &[Table],
    found: &Saved,
) -> Result<bool, FirewallError> {
    let in_table = |table: &Table| {
        let saved = found.table(table.name.as_str());
        let rules = saved.map(|saved| misplaced(table, saved)).unwrap_or_default().into_iter();
        rules.filter(Misplaced::is_unprintable).map(|rule| (table.name, rule)).collect::<Vec<_>>()
    };
    let rules: Vec<_> = tables.iter().flat_map(in_table).collect();
    if rules.is_empty() {
        return Ok(false);
    }
    let last = last_resort();
    let last = plan::restore(last.family(family), found);
    if !last.is_empty() {
        tool::restore(backend, family, &last).await?;
    }
    for (table, rule) in rules {
        let Some(target) = rule.target() else { continue };
        remove_rules(family, table.as_str(), (rule.chain(), target)).map_err(FirewallError::Netfilter)?;
        tool::count(1);
    }
    Ok(true)
}
