//! A length of time, as a person writes it: `90s`, `5m`, `1h30m`, `5 minutes`, `1 day`.

use jiff::SpanRelativeTo;
use jiff::fmt::friendly::SpanParser;

/// Why a text is no length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LengthError {
    /// A number alone.
    #[error("{0} what? write {0}s, {0}m or {0}h")]
    NoUnit(u64),
    /// Anything else.
    #[error("write it as 90s, 5m or 1h30m")]
    Form,
    /// More seconds than can be counted.
    #[error("that is longer than anything of ours lasts")]
    Range,
}

/// A length of time in whole seconds: hours, minutes, seconds, each at most once and in this order; or in
/// words, where a day is 24 hours.
///
/// # Errors
/// [`LengthError`]
pub fn length(text: &str) -> Result<u64, LengthError> {
    let text = text.trim();
    match compact(text) {
        Err(LengthError::Form) => in_words(text).ok_or(LengthError::Form),
        other => other,
    }
}

/// `5 minutes`, `1h 30min`, `1 day`
fn in_words(text: &str) -> Option<u64> {
    let span = SpanParser::new().parse_span(text).ok()?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    // No part of a second, and nothing in the past.
    (duration.subsec_nanos() == 0).then(|| u64::try_from(duration.as_secs()).ok())?
}

fn compact(text: &str) -> Result<u64, LengthError> {
    if let Ok(number) = text.parse() {
        return Err(LengthError::NoUnit(number));
    }
    if text.is_empty() {
        return Err(LengthError::Form);
    }
    let mut total: u64 = 0;
    let mut below = u64::MAX;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit()).ok_or(LengthError::Form)?;
        let (number, tail) = rest.split_at(end);
        let unit = match tail.chars().next() {
            Some('h') => 3600,
            Some('m') => 60,
            Some('s') => 1,
            _ => return Err(LengthError::Form),
        };
        if unit >= below || number.is_empty() {
            return Err(LengthError::Form);
        }
        below = unit;
        let number: u64 = number.parse().map_err(|_| LengthError::Range)?;
        let part = number.checked_mul(unit).ok_or(LengthError::Range)?;
        total = total.checked_add(part).ok_or(LengthError::Range)?;
        rest = &tail[1..];
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_length_is_refused() {
        assert_eq!(length("5"), Err(LengthError::NoUnit(5)));
        for bad in [
            "",
            "m",
            "5x",
            "-5m",
            "5m5m",
            "30s1m",
            "５m",
            "s5",
            "5m ago",
            "500ms",
            "1 month",
            "5 minutes 1 hour",
        ] {
            assert_eq!(length(bad), Err(LengthError::Form), "{bad:?}");
        }
        for bad in ["99999999999999999999h", "18446744073709551615h"] {
            assert_eq!(length(bad), Err(LengthError::Range), "{bad:?}");
        }
    }

    #[test]
    fn lengths_are_read() {
        for (text, seconds) in [
            ("90s", 90),
            ("5m", 300),
            ("1h30m", 5400),
            ("24h", 86400),
            ("0s", 0),
            ("5min", 300),
            ("5 m", 300),
            ("5 minutes", 300),
            ("1h 30m", 5400),
            ("1 hour, 30 minutes", 5400),
            ("1.5h", 5400),
            ("1 day", 86400),
            ("1d", 86400),
            (" 10 sec ", 10),
        ] {
            assert_eq!(length(text), Ok(seconds));
        }
    }
}
