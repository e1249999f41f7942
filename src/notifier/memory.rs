//! Saves what the user has already seen, in a file of the user.
#![expect(clippy::disallowed_methods, reason = "this file reads and writes the user's own state")]

use std::path::PathBuf;

use super::event::Memory;

/// A file below `~/.local/state`. Without a home directory nothing is saved.
#[derive(Debug)]
pub struct MemoryFile(Option<PathBuf>);

impl MemoryFile {
    /// The file in the folder that the environment names: `XDG_STATE_HOME`, or `HOME`.
    pub fn of_person(variable: impl Fn(&str) -> Option<String>) -> Self {
        let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
        Self(state.map(|state| state.join("tunwarden/notify.json")))
    }

    /// What the user has seen. An unreadable file counts as empty: showing news twice is better than not at all.
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
            tracing::warn!(
                "{}: cannot save which notices were shown; they will be shown again: {error}",
                path.display()
            );
        }
    }
}
