//! What this person has been told, on disk. The edge to the person's own files.
#![expect(clippy::disallowed_methods, reason = "this file keeps the person's own state")]

use std::path::PathBuf;

use super::event::Memory;

/// A file below `~/.local/state`; without one, nothing outlives the session.
#[derive(Debug)]
pub struct Notebook(Option<PathBuf>);

impl Notebook {
    /// By the environment: `XDG_STATE_HOME`, or `HOME`.
    pub fn of_person(variable: impl Fn(&str) -> Option<String>) -> Self {
        let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
        Self(state.map(|state| state.join("tunwarden/notify.json")))
    }

    /// What was told; nothing, if that cannot be read: better told twice than not at all.
    pub(super) fn read(&self) -> Memory {
        let text = self.0.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
        text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }

    pub(super) fn write(&self, memory: Memory) {
        let Some(path) = &self.0 else { return };
        let written = || -> std::io::Result<()> {
            let beside = path.with_extension("new");
            path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
            std::fs::write(&beside, serde_json::to_vec(&memory)?)?;
            std::fs::rename(&beside, path)
        };
        if let Err(error) = written() {
            tracing::warn!("{}: what was told now will be told again: {error}", path.display());
        }
    }
}
