//! The length of a pause on the command line.

use std::str::FromStr;

use crate::bus::LONGEST_PAUSE;
use crate::net::{LengthError, length};

/// A length from 1 second to 24 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PauseLength(u64);

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PauseLengthError {
    #[error(transparent)]
    Length(LengthError),
    #[error("A pause lasts from 1s to 24h.")]
    Range,
}

impl PauseLength {
    pub(super) fn seconds(self) -> u64 {
        self.0
    }
}

impl FromStr for PauseLength {
    type Err = PauseLengthError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match length(text) {
            Ok(seconds) if (1..=LONGEST_PAUSE).contains(&seconds) => Ok(Self(seconds)),
            Ok(_) | Err(LengthError::Range) => Err(PauseLengthError::Range),
            Err(error) => Err(PauseLengthError::Length(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_not_a_pause_is_refused_with_a_hint() {
        assert_eq!("5".parse::<PauseLength>(), Err(PauseLengthError::Length(LengthError::NoUnit(5))));
        assert_eq!("5x".parse::<PauseLength>(), Err(PauseLengthError::Length(LengthError::Form)));
        for bad in ["0s", "25h", "24h1s", "99999999999999999999h"] {
            assert_eq!(bad.parse::<PauseLength>(), Err(PauseLengthError::Range), "{bad:?}");
        }
    }

    #[test]
    fn lengths_are_read() {
        for (text, seconds) in [("1h30m", 5400), ("24h", 86400), ("1s", 1)] {
            assert_eq!(text.parse::<PauseLength>().unwrap().seconds(), seconds);
        }
    }
}
