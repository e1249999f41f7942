//! Interface names and the patterns that match them, by the kernel's rules.

use serde::{Deserialize, Serialize};

/// The kernel's `IFNAMSIZ` less the closing zero.
const MAX_BYTES: usize = 15;

/// The name of one network interface, such as `eth0`.
///
/// 1 to 15 bytes of printable ASCII; none of `/ : " ' \ + !` and not `.` or `..`. The kernel itself
/// forbids white space, `/` and `:`; the others have a meaning of their own in a restore file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IfName(String);

/// Why a text is no interface name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IfNameError {
    /// No byte at all.
    #[error("an interface name cannot be empty")]
    Empty,
    /// Longer than the kernel allows.
    #[error("`{0}` is too long; an interface name has at most {MAX_BYTES} bytes")]
    TooLong(String),
    /// A byte that no interface name, or no rule, can carry.
    #[error("an interface name cannot contain {1:?} (in {0:?})")]
    Character(String, char),
    /// `.` or `..`.
    #[error("`{0}` is no interface name")]
    Reserved(String),
}

impl IfName {
    /// The loopback interface, `lo`.
    pub fn loopback() -> Self {
        Self("lo".to_owned())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for IfName {
    type Error = IfNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        check(&text)?;
        Ok(Self(text))
    }
}

impl std::str::FromStr for IfName {
    type Err = IfNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::try_from(text.to_owned())
    }
}

impl From<IfName> for String {
    fn from(name: IfName) -> Self {
        name.0
    }
}

impl std::fmt::Display for IfName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

fn check(text: &str) -> Result<(), IfNameError> {
    if text.is_empty() {
        return Err(IfNameError::Empty);
    }
    if let Some(bad) = text.chars().find(|&c| !is_plain(c)) {
        let shown = text.chars().take(40).collect();
        return Err(IfNameError::Character(shown, bad));
    }
    if text.len() > MAX_BYTES {
        return Err(IfNameError::TooLong(text.chars().take(40).collect()));
    }
    if text == "." || text == ".." {
        return Err(IfNameError::Reserved(text.to_owned()));
    }
    Ok(())
}

fn is_plain(c: char) -> bool {
    c.is_ascii_graphic() && !matches!(c, '/' | ':' | '"' | '\'' | '\\' | '+' | '!')
}

/// A set of interface names: one exact name, or every name that begins with a prefix (`tun+`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IfPattern {
    stem: IfName,
    wildcard: bool,
}

/// Why a text is no interface pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IfPatternError {
    /// `+` alone, or a pattern that matches the loopback.
    #[error("`{0}` would match the loopback and every network card")]
    TooWide(String),
    /// `*`, `?` and their like.
    #[error("`{0}`: the only wildcard is a `+` at the end, as in `tun+`")]
    Wildcard(String),
    /// The part before the `+` is no interface name.
    #[error(transparent)]
    Name(#[from] IfNameError),
}

impl IfPattern {
    /// Whether `name` belongs to the set.
    pub fn matches(&self, name: &str) -> bool {
        if self.wildcard { name.starts_with(self.stem.as_str()) } else { name == self.stem.as_str() }
    }

    /// The narrowest pattern that matches a link of this name. It is the name itself, if a rule can contain it.
    /// Otherwise it is the longest beginning that a rule can contain, with a `+`; `None` if there is none.
    pub fn covering(raw: &str) -> Option<Self> {
        if let Ok(name) = raw.parse::<IfName>() {
            return Some(name.into());
        }
        let stem: String = raw.chars().take_while(|&c| is_plain(c)).take(MAX_BYTES).collect();
        let stem = IfName::try_from(stem).ok()?;
        Some(Self { stem, wildcard: true })
    }

    /// Whether some name belongs to both sets.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.matches(other.stem.as_str()) || other.matches(self.stem.as_str())
    }
}

impl From<IfName> for IfPattern {
    fn from(stem: IfName) -> Self {
        Self { stem, wildcard: false }
    }
}

impl TryFrom<String> for IfPattern {
    type Error = IfPatternError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let (stem, wildcard) = match text.strip_suffix('+') {
            Some(stem) => (stem, true),
            None => (text.as_str(), false),
        };
        if text.contains(['*', '?']) || stem.contains('+') {
            return Err(IfPatternError::Wildcard(text.chars().take(40).collect()));
        }
        if wildcard && "lo".starts_with(stem) || text == "lo" {
            return Err(IfPatternError::TooWide(text));
        }
        // At least one byte must be left for the wildcard.
        if wildcard && stem.len() == MAX_BYTES {
            return Err(IfNameError::TooLong(text).into());
        }
        Ok(Self { stem: stem.parse()?, wildcard })
    }
}

impl std::str::FromStr for IfPattern {
    type Err = IfPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::try_from(text.to_owned())
    }
}

impl From<IfPattern> for String {
    fn from(pattern: IfPattern) -> Self {
        pattern.to_string()
    }
}

impl std::fmt::Display for IfPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.stem, if self.wildcard { "+" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_special_characters_is_refused() {
        for bad in
            ["", "tun0; id", "a b", "..", "eth0/1", "sixteen-bytes-xx", "tun0\n", "tün0", "!tun0", "tun+"]
        {
            assert!(bad.parse::<IfName>().is_err(), "{bad:?}");
        }
        for good in ["eth0", "br-0a1b2c3d4e5f", "wlp3s0", "eth0.100", "tun0", "fifteen-bytes-x"] {
            assert!(good.parse::<IfName>().is_ok(), "{good:?}");
        }
    }

    #[test]
    fn a_pattern_never_reaches_the_loopback() {
        for bad in ["+", "l+", "lo+", "lo", "tun*", "t+n", "tun++", "", "fifteen-bytes-x+"] {
            assert!(bad.parse::<IfPattern>().is_err(), "{bad:?}");
        }
        let tun: IfPattern = "tun+".parse().unwrap();
        assert!(tun.matches("tun0") && tun.matches("tunusb0") && !tun.matches("eth0"));
        let exact: IfPattern = "wg0".parse().unwrap();
        assert!(exact.matches("wg0") && !exact.matches("wg01"));
    }

    #[test]
    fn a_link_whose_name_no_rule_can_contain_is_still_covered() {
        let pattern = IfPattern::covering("tun\"x").unwrap();
        assert!(pattern.matches("tun\"x"));
        assert_eq!(IfPattern::covering("tunusb0").unwrap().to_string(), "tunusb0");
        assert_eq!(IfPattern::covering("\u{1}"), None);
    }
}
