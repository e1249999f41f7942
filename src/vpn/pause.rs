//! A pause: what an administrator opened, and by which clock it ends. Pure.
//!
//! The kernel's rules use the wall clock, which an administrator can set. So a pause has a beginning as well
//! as an end: a clock that is set back to before the beginning closes. The agent also reads CLOCK_BOOTTIME,
//! which no administrator can change, and shortens the pause when the wall clock would make it longer.

use serde::{Deserialize, Serialize};

use super::machine::timestamp;

/// How far the wall clock may be set back, in seconds, before that ends a pause that has just begun.
/// Time services correct a clock that runs by less than that.
const CLOCK_TOLERANCE: u64 = 60;

/// What a pause opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum PauseScope {
    /// Everything, containers too.
    #[default]
    Everything,
    /// What it takes to sign in at a captive portal: DNS and web pages, from the host alone, on the
    /// uplink that leads out. It ends when a VPN protects.
    Portal,
}

impl PauseScope {
    /// The word for it on the bus and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Everything => "everything",
            Self::Portal => "portal",
        }
    }
}

impl std::fmt::Display for PauseScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for PauseScope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Everything, Self::Portal]
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| format!("a pause cannot open `{text}`; write everything or portal"))
    }
}

/// One pause, by the wall clock, in seconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// When the pause begins.
    pub from: u64,
    /// When the pause ends: it is over at this moment.
    pub until: u64,
    /// What it opens.
    pub scope: PauseScope,
}

impl Pause {
    /// A pause that begins `now` and lasts this number of seconds.
    pub fn new(now: u64, seconds: u64, scope: PauseScope) -> Self {
        Self { from: now.saturating_sub(CLOCK_TOLERANCE), until: now.saturating_add(seconds), scope }
    }

    /// Whether the pause is in force at this moment.
    pub fn covers(&self, now: u64) -> bool {
        (self.from..self.until).contains(&now)
    }

    /// The pause, if the kernel's rules can express it. A moment that they cannot express would open nothing,
    /// and never end.
    pub(super) fn expressible(self) -> Option<Self> {
        [self.from, self.until].into_iter().all(|moment| timestamp(moment).is_some()).then_some(self)
    }

    /// The same pause, but it ends in `left` seconds at the latest.
    #[must_use]
    pub fn at_most(self, now: u64, left: u64) -> Self {
        Self { until: self.until.min(now.saturating_add(left)), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_never_makes_a_pause_longer() {
        let pause = Pause::new(10_000, 300, PauseScope::Everything);
        assert!(pause.covers(10_000) && pause.covers(10_299) && !pause.covers(10_300), "unset");
        assert!(!pause.covers(20_000), "set forward past its end: over");
        assert!(!pause.covers(10_000 - CLOCK_TOLERANCE - 1), "set back past its beginning: over");
        // 100 seconds in, the clock goes back by 120: by CLOCK_BOOTTIME 200 seconds are left.
        let bounded = pause.at_most(9_980, 200);
        assert_eq!(bounded.until, 10_180);
        assert_eq!(bounded.at_most(9_980, 200), bounded);
        // Set forward within it: what the wall clock says comes first.
        assert_eq!(pause.at_most(10_250, 200), pause);
        assert!(!pause.at_most(10_010, 0).covers(10_010), "no time is left by CLOCK_BOOTTIME");
    }

    #[test]
    fn scopes_are_words() {
        for scope in [PauseScope::Everything, PauseScope::Portal] {
            assert_eq!(scope.to_string().parse(), Ok(scope));
        }
        assert!("portals".parse::<PauseScope>().is_err());
    }
}
