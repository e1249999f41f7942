//! How long a pause is, as a person writes it.

use std::str::FromStr;

use crate::bus::LONGEST_PAUSE;

/// 1 second to 24 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PauseLength(u64);

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PauseLengthError {
    #[error("{0} what? write {0}s, {0}m or {0}h")]
    NoUnit(u64),
    #[error("write it as 90s, 5m or 1h30m")]
    Form,
    #[error("a pause is 1s to 24h")]
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
        if let Ok(number) = text.parse() {
            return Err(PauseLengthError::NoUnit(number));
        }
        let mut total: u64 = 0;
        // Each unit once, the greater first.
        let mut below = u64::MAX;
        let mut rest = text;
        while !rest.is_empty() {
            let end = rest.find(|c: char| !c.is_ascii_digit()).ok_or(PauseLengthError::Form)?;
            let (number, tail) = rest.split_at(end);
            let unit = match tail.chars().next() {
                Some('h') => 3600,
                Some('m') => 60,
                Some('s') => 1,
                _ => return Err(PauseLengthError::Form),
            };
            if unit >= below || number.is_empty() {
                return Err(PauseLengthError::Form);
            }
            below = unit;
            let number: u64 = number.parse().map_err(|_| PauseLengthError::Range)?;
            total = number
                .checked_mul(unit)
                .and_then(|part| total.checked_add(part))
                .ok_or(PauseLengthError::Range)?;
            rest = &tail[1..];
        }
        if (1..=LONGEST_PAUSE).contains(&total) { Ok(Self(total)) } else { Err(PauseLengthError::Range) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_length_is_refused_with_a_hint() {
        assert_eq!("5".parse::<PauseLength>(), Err(PauseLengthError::NoUnit(5)));
        for bad in ["", "m", "5x", "-5m", "5m5m", "30s1m", "1.5h", "5 m", "５m"] {
            assert!(
                matches!(bad.parse::<PauseLength>(), Err(PauseLengthError::Form | PauseLengthError::Range)),
                "{bad:?}"
            );
        }
        for bad in ["0s", "25h", "24h1s", "99999999999999999999h"] {
            assert_eq!(bad.parse::<PauseLength>(), Err(PauseLengthError::Range), "{bad:?}");
        }
    }

    #[test]
    fn lengths_are_read() {
        for (text, seconds) in [("90s", 90), ("5m", 300), ("1h30m", 5400), ("24h", 86400), ("1s", 1)] {
            assert_eq!(text.parse::<PauseLength>().unwrap().seconds(), seconds);
        }
    }
}
