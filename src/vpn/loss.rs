//! The last loss of a VPN, for programs that did not receive the signal.

use serde::{Deserialize, Serialize};

use super::{Reason, as_code};

/// The last loss.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastLoss {
    /// The VPN's name.
    pub name: String,
    /// NetworkManager's UUID of it, if it is NetworkManager's and that is known.
    #[serde(default)]
    pub uuid: Option<String>,
    /// Its interface; empty if that is unknown.
    pub interface: String,
    /// Why, as the signal `VpnLost` says it: a sentence for people.
    pub reason: String,
    /// Why, for programs; `None` where an agent of another version has no code for it, or one that this
    /// version does not know.
    #[serde(default, with = "as_code")]
    pub code: Option<Reason>,
    /// Which source saw it: `networkmanager`, `hook`, `links`, `process`, `silence` or
    /// `management`.
    pub seen_by: String,
    /// When, in seconds since the epoch.
    pub at: u64,
    /// Whether the rules were in force at every check since, and no pause was opened: no packet has left in
    /// clear.
    #[serde(default)]
    pub held: bool,
}
