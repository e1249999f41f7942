//! VPNs that cannot be used as they are, or a part of them.

use std::collections::HashMap;

use serde::Serialize;
use zbus::OwnedVariant;

use super::{StatusError, take};
use crate::config::plain;
use crate::vpn::LeftOut;

/// A profile of which something is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOutStatus {
    /// Its name.
    pub name: String,
    /// What is left out, and why.
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
}

impl LeftOutStatus {
    pub(super) fn from_dict(mut dict: HashMap<String, OwnedVariant>) -> Result<Self, StatusError> {
        Ok(Self {
            name: take(&mut dict, "name")?,
            reason: take(&mut dict, "reason")?,
            remedy: take(&mut dict, "remedy")?,
        })
    }

    /// What people are told.
    pub fn line(&self) -> String {
        format!("{}: {}; {}", plain(&self.name), plain(&self.reason), plain(&self.remedy))
    }
}

impl From<(String, LeftOut)> for LeftOutStatus {
    fn from((name, what): (String, LeftOut)) -> Self {
        Self { name, reason: what.reason(), remedy: what.remedy() }
    }
}
