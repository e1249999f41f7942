//! Why a VPN went away: a code for programs, a sentence for people, and which source saw it.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a VPN went away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Its link is gone.
    LinkGone,
    /// Its link is switched off, or no process holds it open.
    LinkDown,
    /// Its link has no address.
    NoAddress,
    /// Nothing of what it must carry is routed into it.
    NoRoute,
    /// Some of what it must carry is routed past it.
    RoutedPast,
    /// No link leads to its server.
    Unreachable,
    /// A hook reports that the client has lost its server.
    ClientRestarts,
    /// The client's process has ended.
    ClientEnded,
    /// The device under it went away.
    DeviceGone,
    /// The VPN service stopped.
    ServiceStopped,
    /// NetworkManager gave no reason, or one that has no name here.
    Ended,
    /// It is being started again.
    Restarted,
    /// No packet comes from its server.
    SilentServer,
    /// The client reports on its management socket that it has lost its server.
    ManagementRestarts,
    /// The client reports on its management socket that it ends.
    ManagementEnds,
    /// The client closed its management socket.
    ManagementClosed,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 16] = [
        Self::LinkGone,
        Self::LinkDown,
        Self::NoAddress,
        Self::NoRoute,
        Self::RoutedPast,
        Self::Unreachable,
        Self::ClientRestarts,
        Self::ClientEnded,
        Self::DeviceGone,
        Self::ServiceStopped,
        Self::Ended,
        Self::Restarted,
        Self::SilentServer,
        Self::ManagementRestarts,
        Self::ManagementEnds,
        Self::ManagementClosed,
    ];

    /// The code on the bus, in JSON and on disk. It never changes.
    pub const fn code(self) -> &'static str {
        match self {
            Self::LinkGone => "link-gone",
            Self::LinkDown => "link-down",
            Self::NoAddress => "no-address",
            Self::NoRoute => "no-route",
            Self::RoutedPast => "routed-past",
            Self::Unreachable => "unreachable",
            Self::ClientRestarts => "client-restarts",
            Self::ClientEnded => "client-ended",
            Self::DeviceGone => "device-gone",
            Self::ServiceStopped => "service-stopped",
            Self::Ended => "ended",
            Self::Restarted => "restarted",
            Self::SilentServer => "silent-server",
            Self::ManagementRestarts => "management-restarts",
            Self::ManagementEnds => "management-ends",
            Self::ManagementClosed => "management-closed",
        }
    }

    /// The reason that has this code; `None` for a code of another version.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// The source that saw it.
    pub const fn seen_by(self) -> &'static str {
        match self {
            Self::LinkGone
            | Self::LinkDown
            | Self::NoAddress
            | Self::NoRoute
            | Self::RoutedPast
            | Self::Unreachable => "links",
            Self::ClientRestarts => "hook",
            Self::ClientEnded => "process",
            Self::DeviceGone | Self::ServiceStopped | Self::Ended | Self::Restarted => "networkmanager",
            Self::SilentServer => "silence",
            Self::ManagementRestarts | Self::ManagementEnds | Self::ManagementClosed => "management",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LinkGone => "its interface is gone",
            Self::LinkDown => "its interface is down",
            Self::NoAddress => "its interface has lost its address",
            Self::NoRoute => "traffic is no longer routed into it",
            Self::RoutedPast => "some traffic is routed past it",
            Self::Unreachable => "no network leads to its server",
            Self::ClientRestarts => "the VPN client lost its server",
            Self::ClientEnded => "the VPN client has ended",
            Self::DeviceGone => "the network under it went away",
            Self::ServiceStopped => "the VPN service stopped",
            Self::Ended => "it ended unexpectedly",
            Self::Restarted => "it is being restarted",
            Self::SilentServer => "silent server",
            Self::ManagementRestarts => {
                "the VPN client says on its management socket that it lost its server"
            }
            Self::ManagementEnds => "the VPN client says on its management socket that it ends",
            Self::ManagementClosed => "the VPN client closed its management socket",
        })
    }
}

/// A reason is stored as its code. A code of another version is read as `None`.
pub(crate) mod as_code {
    use super::{Deserialize, Deserializer, Reason, Serialize, Serializer};

    /// Writes the code.
    pub(crate) fn serialize<S: Serializer>(
        reason: &Option<Reason>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        reason.map(Reason::code).serialize(serializer)
    }

    /// Reads a code.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Reason>, D::Error> {
        let code = Option::<String>::deserialize(deserializer)?;
        Ok(code.as_deref().and_then(Reason::from_code))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_reason_is_read_back_from_its_code() {
        let codes: BTreeSet<&str> = Reason::ALL.into_iter().map(Reason::code).collect();
        assert_eq!(codes.len(), Reason::ALL.len(), "two reasons have one code");
        for reason in Reason::ALL {
            assert_eq!(Reason::from_code(reason.code()), Some(reason));
            assert!(
                reason.code().bytes().all(|byte| byte == b'-' || byte.is_ascii_lowercase()),
                "{reason:?}"
            );
        }
        for other in ["", "LINK-GONE", "its interface is gone"] {
            assert_eq!(Reason::from_code(other), None);
        }
    }
}
