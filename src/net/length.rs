//! A duration in whole seconds, as a person writes it: `90s`, `5m`, `1h30m`, `5 minutes`, `1 day`.

use jiff::SpanRelativeTo;
use jiff::fmt::friendly::SpanParser;

/// Why a text is not a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LengthError {
    /// A number without a unit.
    #[error("Missing unit. Use {0}s, {0}m or {0}h.")]
    NoUnit(u64),
    /// Neither a number nor a duration.
    #[error("This is not a duration. Use a number with a unit, such as 90s, 5m or 1h30m.")]
    Form,
    /// Longer than jiff can count, about 20,000 years.
    #[error("This duration is too long.")]
    Range,
}

/// Parses a duration in whole seconds. Units are in descending order, each at most once; a day is 24 hours.
///
/// # Errors
/// [`LengthError`]
pub fn length(text: &str) -> Result<u64, LengthError> {
    let text = text.trim();
    if let Ok(number) = text.parse() {
        return Err(LengthError::NoUnit(number));
    }
    let span = SpanParser::new().parse_span(text).map_err(|_| match with_small_numbers(text) {
        Ok(_) => LengthError::Range,
        Err(_) => LengthError::Form,
    })?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| LengthError::Form)?;
    // Durations in the past and fractions of a second have no meaning here.
    match (u64::try_from(duration.as_secs()), duration.subsec_nanos()) {
        (Ok(seconds), 0) => Ok(seconds),
        (Ok(_) | Err(_), _) => Err(LengthError::Form),
    }
}

/// Parses the same text with every number replaced by 1. If this succeeds, only a number was too large.
fn with_small_numbers(text: &str) -> Result<jiff::Span, jiff::Error> {
    let mut small = String::new();
    for c in text.chars() {
        let digit = if c.is_ascii_digit() { '1' } else { c };
        if digit != '1' || !small.ends_with('1') {
            small.push(digit);
        }
    }
    SpanParser::new().parse_span(&small)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_without_a_unit_is_refused_with_the_units() {
        assert_eq!(length("5"), Err(LengthError::NoUnit(5)));
        assert_eq!(LengthError::NoUnit(5).to_string(), "Missing unit. Use 5s, 5m or 5h.");
    }

    #[test]
    fn text_that_is_not_a_duration_is_refused() {
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
            "1h 30",
        ] {
            assert_eq!(length(bad), Err(LengthError::Form), "{bad:?}");
        }
        for bad in ["99999999999999999999h", "18446744073709551615h", "999999999h 5m"] {
            assert_eq!(length(bad), Err(LengthError::Range), "{bad:?}");
        }
    }

    #[test]
    fn durations_are_parsed() {
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
            assert_eq!(length(text), Ok(seconds), "{text:?}");
        }
    }
}
