//! What is said of the last loss of a VPN: for those who were not there to hear the signal.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use zbus::OwnedVariant;

use super::{StatusError, take};

/// The last loss.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossStatus {
    /// The VPN's name.
    pub name: String,
    /// Its interface, or nothing.
    pub interface: String,
    /// Why, as the signal `VpnLost` says it.
    pub reason: String,
    /// Which source saw it: `networkmanager`, `hook`, `links`, `process`, `silence` or
    /// `management`.
    pub seen_by: String,
    /// When, in seconds since the epoch.
    pub at: u64,
    /// Whether the rules were found in force ever since, and nobody paused them: nothing has left in clear.
    #[serde(default)]
    pub held: bool,
}

impl LossStatus {
    /// `None` for a dict without entries: nothing was lost.
    pub(super) fn from_dict(mut dict: HashMap<String, OwnedVariant>) -> Result<Option<Self>, StatusError> {
        if dict.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self {
            name: take(&mut dict, "name")?,
            interface: take(&mut dict, "interface")?,
            reason: take(&mut dict, "reason")?,
            seen_by: take(&mut dict, "seen_by")?,
            at: take(&mut dict, "at")?,
            held: dict.contains_key("held") && take(&mut dict, "held")?,
        }))
    }
}
