//! What had to be left out of something that somebody else wrote: said once, escaped and short.

/// How much of a text from outside is shown to people.
const SHOWN: usize = 60;

/// The first fault in full, the others by number, so that a hostile text fills no log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Skipped {
    pub(super) first: String,
    pub(super) others: usize,
}

impl Skipped {
    /// Notes one more fault, without its control characters: it may quote text from outside.
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

/// Text from outside as it may be shown: escaped and short.
pub(super) fn shown(text: &str) -> String {
    let short: String = text.chars().take(SHOWN).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("{short:?}{more}")
}
