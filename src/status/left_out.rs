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
    /// Whether it is a tunnel that has all traffic and does not count, so that nothing passes through it.
    pub carries: bool,
}

impl LeftOutStatus {
    /// A line for people.
    pub fn line(&self) -> String {
        format!("{}: {}; {}", plain(&self.name), plain(&self.reason), plain(&self.remedy))
    }
}

impl From<(String, LeftOut)> for LeftOutStatus {
    fn from((name, what): (String, LeftOut)) -> Self {
        Self { name, reason: what.reason(), remedy: what.remedy(), carries: carries(&what) }
    }
}

/// Whether this is said of a tunnel that has all traffic.
fn carries(what: &LeftOut) -> bool {
    match what {
        LeftOut::NoTunnel(_)
        | LeftOut::NotNamed(_)
        | LeftOut::UsersDevice
        | LeftOut::Unanswered
        | LeftOut::ManagerLeft => true,
        LeftOut::Servers(_)
        | LeftOut::MoreServers { .. }
        | LeftOut::NamesOfFiles(_)
        | LeftOut::File { .. }
        | LeftOut::Unmarked(_)
        | LeftOut::Kind(_)
        | LeftOut::TunnelNamed(..)
        | LeftOut::UnmarkedFile(..)
        | LeftOut::NoServer
        | LeftOut::NotFollowed(_)
        | LeftOut::Broadcast(_)
        | LeftOut::SharedMark(..)
        | LeftOut::Dns(_)
        | LeftOut::Names(..)
        | LeftOut::TooManyNames(_) => false,
    }
}
