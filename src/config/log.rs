//! `[log]`: what is written to the journal.

/// `[log]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Log {
    /// Whether the journal gets the destinations of refused packets.
    pub destinations: bool,
}
