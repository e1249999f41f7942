//! What the kernel was found to hold, and what this means for packets. Every statement about packets follows from this,
//! and never from the state alone.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::firewall::FirewallError;
use crate::vpn::State;

/// What the kernel was found to hold when it was last read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enforcement {
    /// The rules of the state.
    Enforced,
    /// Other rules than those of the state, which let nothing out in clear.
    Closed,
    /// Anything else: packets may leave in clear.
    NotEnforced,
    /// The rules could not be read, or a commit has not ended yet.
    Unknown(Unread),
}

/// Why the kernel could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    /// This user may not read it.
    NotPermitted,
    /// A tool is missing, has failed, or has printed something that cannot be understood.
    Failed,
}

impl Enforcement {
    /// What the kernel holds after a commit that failed.
    pub fn after(error: &FirewallError) -> Self {
        if error.is_unread() {
            Self::Unknown(Unread::Failed)
        } else if error.is_open() || error.is_open_on_wires() {
            Self::NotEnforced
        } else {
            Self::Closed
        }
    }

    /// The value for what the bus says: `Enforced`, and `Verdict`, which an older agent does not have.
    pub(super) fn from_words(enforced: bool, verdict: Option<Verdict>) -> Self {
        match (enforced, verdict) {
            (true, _) => Self::Enforced,
            (false, Some(Verdict::Protected | Verdict::Locked)) => Self::Closed,
            (false, Some(Verdict::Open) | None) => Self::NotEnforced,
            (false, Some(Verdict::Unknown)) => Self::Unknown(Unread::Failed),
        }
    }
}

/// The whole status in one word: what may leave this machine now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// A VPN is up, and nothing leaves in clear.
    Protected,
    /// There is no VPN, and nothing leaves in clear.
    Locked,
    /// Packets may leave in clear: the rules are not in force, or an administrator paused them.
    Open,
    /// It is not known what the kernel holds.
    Unknown,
}

impl Verdict {
    /// Every verdict.
    const ALL: [Self; 4] = [Self::Protected, Self::Locked, Self::Open, Self::Unknown];

    /// What may leave if the kernel holds this in this state.
    pub const fn of(enforcement: Enforcement, state: State) -> Self {
        match (enforcement, state) {
            (Enforcement::Enforced, State::Protected) => Self::Protected,
            (Enforcement::Enforced, State::Paused) | (Enforcement::NotEnforced, _) => Self::Open,
            (Enforcement::Enforced, State::Locked | State::Connecting | State::Lost)
            | (Enforcement::Closed, _) => Self::Locked,
            (Enforcement::Unknown(_), _) => Self::Unknown,
        }
    }

    /// The word for it on the bus and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Protected => "protected",
            Self::Locked => "locked",
            Self::Open => "open",
            Self::Unknown => "unknown",
        }
    }

    /// Whether nothing leaves in clear.
    pub const fn is_closed(self) -> bool {
        matches!(self, Self::Protected | Self::Locked)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Verdict {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|verdict| verdict.as_str() == text);
        found.ok_or_else(|| format!("`{text}` is no verdict"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layer;

    #[test]
    fn a_layer_that_may_hold_a_pause_is_open() {
        let why = || Box::new(FirewallError::Differs(Vec::new()));
        let wires = FirewallError::WiresOpen { until: jiff::Timestamp::UNIX_EPOCH, source: why() };
        assert_eq!(Enforcement::after(&wires), Enforcement::NotEnforced);
        let alone = FirewallError::OneLayer { layer: Layer::Nftables, source: why() };
        assert_eq!(Enforcement::after(&alone), Enforcement::NotEnforced);
        let closed = FirewallError::ClosedCompletely(why());
        assert_eq!(Enforcement::after(&closed), Enforcement::Closed);
    }
}
