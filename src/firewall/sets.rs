//! Sets in the kernel: loaded before the rules that name them, removed after.
//!
//! If a set cannot be loaded, the caller uses a rule for each member instead.

use super::saved_set::SavedSet;
use super::tool::{self, ToolError};
use crate::policy::iptables::set::render;
use crate::policy::{EndpointSet, SetName};
use crate::system::program::path;

/// Why the kernel does not hold a set.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// The program failed or is not installed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The output of ipset cannot be understood.
    #[error("cannot read what ipset prints about {0}")]
    Saved(SetName),
    /// The kernel accepted the set but holds something else.
    #[error("the kernel does not hold the set that was loaded: {}", .0.join("; "))]
    Differs(Vec<String>),
}

/// Whether this system can hold sets.
pub fn can_hold_sets() -> bool {
    path("ipset").is_some()
}

/// Makes the kernel hold these sets. Returns what differed in the `known` ones.
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

/// Every difference between these sets and what the kernel holds, one line each.
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

/// The names of all our sets in the kernel.
async fn ours() -> Result<Vec<String>, SetError> {
    let names = tool::ipset(&["list", "-name"], "").await?;
    Ok(names.lines().filter(|name| name.starts_with(SetName::PREFIX)).map(ToOwned::to_owned).collect())
}

/// Removes all our sets but these. A set that a rule still names stays, and is an error.
pub(super) async fn keep_only(sets: &[EndpointSet]) -> Result<(), SetError> {
    destroy(ours().await?, sets).await
}

/// Removes all our sets. A kernel without sets holds none.
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
