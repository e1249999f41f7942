//! The name of a system user in the configuration. This file does not check whether the user exists.

/// The name of a system user: what `useradd` would accept (shadow's `NAME_REGEX`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UserName(String);

/// Why a text is not a user name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no valid user name: a name begins with a letter or `_`, and then has letters, digits, `_`, `.` or `-`, at \
     most 32 characters"
)]
pub struct UserNameError(String);

impl UserName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for UserName {
    type Error = UserNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let first = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let rest = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
        if first && rest && text.len() <= 32 {
            Ok(Self(text))
        } else {
            Err(UserNameError(text.chars().take(40).collect()))
        }
    }
}
