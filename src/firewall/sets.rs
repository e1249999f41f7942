//! Sets in the kernel: loaded before the rules that name them, taken away after.
//!
//! A set that cannot be had is an error here; the caller then does without sets, by a rule for each
//! member.

use super::saved_set::SavedSet;
use super::tool::{self, ToolError};
use crate::policy::iptables::set::render;
use crate::policy::{EndpointSet, SetName};
use crate::system::program::path;

/// Why a set is not held.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// The program failed, or is not there.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// What the kernel holds cannot be read.
    #[error("what ipset says of {0} cannot be understood")]
    Saved(SetName),
    /// The kernel took it and holds something else.
    #[error("the kernel does not hold the set that was loaded: {}", .0.join("; "))]
    Differs(Vec<String>),
}

/// Whether sets can be had at all.
pub fn can_hold_sets() -> bool {
    path("ipset").is_some()
}

/// Has the kernel hold exactly these sets. Says what differed in those that were taken to be held.
pub(super) async fn load(sets: &[EndpointSet], known: &[EndpointSet]) -> Result<Vec<String>, SetError> {
    let mut text = String::new();
    let mut moved = Vec::new();
    for (set, lines) in look(sets).await? {
        if !lines.is_empty() {
            text += &render(set);
        }
        if known.contains(set) {
            moved.extend(lines);
        }
    }
    if !text.is_empty() {
        tool::ipset(&["-exist", "restore"], &text).await?;
        let lines = differences(sets).await?;
        if !lines.is_empty() {
            return Err(SetError::Differs(lines));
        }
    }
    Ok(moved)
}

/// Every difference between these sets and what the kernel holds, a line each.
pub(super) async fn differences(sets: &[EndpointSet]) -> Result<Vec<String>, SetError> {
    Ok(look(sets).await?.into_iter().flat_map(|(_, lines)| lines).collect())
}

async fn look(sets: &[EndpointSet]) -> Result<Vec<(&EndpointSet, Vec<String>)>, SetError> {
    let mut found = Vec::new();
    let held = ours().await?;
    for set in sets {
        let name = set.name();
        let lines = if held.contains(&name.to_string()) {
            let text = tool::ipset(&["save", &name.to_string()], "").await?;
            SavedSet::parse(&name.to_string(), &text).ok_or(SetError::Saved(name))?.differences(set)
        } else {
            vec!["there is no such set".to_owned()]
        };
        found.push((set, lines.into_iter().map(|line| format!("ipset {name}: {line}")).collect()));
    }
    Ok(found)
}

/// The names of all sets of ours that are held, whatever is in them.
async fn ours() -> Result<Vec<String>, SetError> {
    let names = tool::ipset(&["list", "-name"], "").await?;
    Ok(names.lines().filter(|name| name.starts_with(SetName::PREFIX)).map(ToOwned::to_owned).collect())
}

/// Takes away every set of ours but these. One that a rule still names stays, and is an error.
pub(super) async fn keep_only(sets: &[EndpointSet]) -> Result<(), SetError> {
    destroy(ours().await?, sets).await
}

/// Takes away every set of ours. A kernel that knows no sets holds none.
pub(super) async fn release() -> Result<(), SetError> {
    destroy(ours().await.unwrap_or_default(), &[]).await
}

async fn destroy(held: Vec<String>, but: &[EndpointSet]) -> Result<(), SetError> {
    let kept: Vec<String> = but.iter().map(|set| set.name().to_string()).collect();
    let text: String = held
        .into_iter()
        .filter(|name| !kept.contains(name))
        .map(|name| format!("destroy {name}\n"))
        .collect();
    if !text.is_empty() {
        tool::ipset(&["restore"], &text).await?;
    }
    Ok(())
}
