//! VPNs that cannot be used as they are, or a part of them.

use serde::Serialize;

use crate::config::plain;
use crate::vpn::LeftOut;

/// A profile or file of which a part is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOutStatus {
    /// The name of the profile or file.
    pub name: String,
    /// What is left out, and why.
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
}

impl LeftOutStatus {
    /// A line for people.
    pub fn line(&self) -> String {
        format!("{}: {}; {}", plain(&self.name), plain(&self.reason), plain(&self.remedy))
    }
}

impl From<(String, LeftOut)> for LeftOutStatus {
    fn from((name, what): (String, LeftOut)) -> Self {
        Self { name, reason: what.reason(), remedy: what.remedy() }
    }
}
