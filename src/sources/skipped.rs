//! The parts of a foreign text that could not be used. They are reported once, escaped and short.

/// Maximum number of characters of a foreign text that are shown to people.
const SHOWN: usize = 60;

/// The first fault in full, and the number of the others, so that a hostile text cannot fill the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Skipped {
    pub(super) first: String,
    pub(super) others: usize,
}

impl Skipped {
    /// Notes one more fault, without control characters: it may quote foreign text.
    pub(super) fn note(skipped: &mut Option<Self>, fault: &str) {
        match skipped {
            Some(skipped) => skipped.others += 1,
            None => *skipped = Some(Self { first: fault.replace(char::is_control, "?"), others: 0 }),
        }
    }
}

impl std::fmt::Display for Skipped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.first)?;
        if self.others > 0 {
            write!(f, " (and {} more)", self.others)?;
        }
        Ok(())
    }
}

/// A foreign text as it may be shown: escaped and short.
pub(super) fn shown(text: &str) -> String {
    let short: String = text.chars().take(SHOWN).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("{short:?}{more}")
}
