//! `[log]`: what the journal gets.

/// `[log]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Log {
    /// Whether the journal gets the destinations of refused packets.
    pub destinations: bool,
}
