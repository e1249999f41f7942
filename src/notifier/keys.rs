//! The keys of all sentences in `texts/*.ftl`.

use crate::vpn::{Reason, Refusal};

/// Makes the enum of the keys, and the list of all keys, from one table.
macro_rules! keys {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// The key of a sentence.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the texts in texts/*.ftl explain the keys")]
        pub enum Key {
            $($name,)*
        }

        impl Key {
            /// Every key.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The key in `texts/*.ftl`.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

keys! {
    LostTitle = "lost-title",
    LostBody = "lost-body",
    LostSince = "lost-since",
    Waiting = "waiting",
    ReconnectingTitle = "reconnecting-title",
    StillClosed = "still-closed",
    WiresOpen = "wires-open",
    FlappingTitle = "flapping-title",
    FlappingBody = "flapping-body",
    BackTitle = "back-title",
    BackBody = "back-body",
    SteadyTitle = "steady-title",
    SteadyBody = "steady-body",
    PausedTitle = "paused-title",
    PausedBody = "paused-body",
    PortalTitle = "portal-title",
    PortalBody = "portal-body",
    PortalFoundTitle = "portal-found-title",
    PortalFoundBody = "portal-found-body",
    ResumedTitle = "resumed-title",
    ResumedProtected = "resumed-protected",
    ResumedLocked = "resumed-locked",
    FailedTitle = "failed-title",
    FailedBody = "failed-body",
    FailedRetry = "failed-retry",
    ClosedTitle = "closed-title",
    ClosedBody = "closed-body",
    UnreadTitle = "unread-title",
    UnreadBody = "unread-body",
    InForceTitle = "in-force-title",
    InForceBody = "in-force-body",
    RepairedTitle = "repaired-title",
    RepairedBody = "repaired-body",
    RepairedByBody = "repaired-by-body",
    FightTitle = "fight-title",
    FightByTitle = "fight-by-title",
    FightBody = "fight-body",
    GoneTitle = "gone-title",
    GoneBody = "gone-body",
    GoneHint = "gone-hint",
    ReturnedTitle = "returned-title",
    ReturnedBody = "returned-body",
    WelcomeTitle = "welcome-title",
    WelcomeBody = "welcome-body",
    WelcomeConnect = "welcome-connect",
    WelcomeNoVpn = "welcome-no-vpn",
    WelcomeNotCounting = "welcome-not-counting",
    WelcomePause = "welcome-pause",
    WelcomeInit = "welcome-init",
    WelcomeLeave = "welcome-leave",
    UncountedTitle = "uncounted-title",
    UncountedBody = "uncounted-body",
    MissedTitle = "missed-title",
    MissedBody = "missed-body",
    MissedClosed = "missed-closed",
    MissedOpen = "missed-open",
    NotAllowed = "not-allowed",
    NotRunning = "not-running",
    NoPkexec = "no-pkexec",
    NoHome = "no-home",
    CheckOld = "check-old",
    NoNetworkManager = "no-network-manager",
    NoProfile = "no-profile",
    NoPassword = "no-password",
    NoAnswer = "no-answer",
    ConnectEnded = "connect-ended",
    NoTerminal = "no-terminal",
    RefusedTitle = "refused-title",
    RefusedReconnect = "refused-reconnect",
    RefusedPause = "refused-pause",
    RefusedResume = "refused-resume",
    RefusedBlocked = "refused-blocked",
    RefusedJournal = "refused-journal",
    RefusedCheck = "refused-check",
    RefusedWhy = "refused-why",
    DetailState = "detail-state",
    DetailSince = "detail-since",
    DetailTunnel = "detail-tunnel",
    DetailServer = "detail-server",
    DetailRepairs = "detail-repairs",
    DetailWhy = "detail-why",
    DetailHint = "detail-hint",
    DetailTitle = "detail-title",
    NoTunnel = "no-tunnel",
    StateProtected = "state-protected",
    StateConnecting = "state-connecting",
    StateLocked = "state-locked",
    StateLost = "state-lost",
    StateFailed = "state-failed",
    StatePaused = "state-paused",
    StateClosed = "state-closed",
    StateUnread = "state-unread",
    StateUnknown = "state-unknown",
    Since = "since",
    Until = "until",
    Left = "left",
    Tunnel = "tunnel",
    Reconnect = "reconnect",
    Connect = "connect",
    Details = "details",
    Blocked = "blocked",
    BlockedTitle = "blocked-title",
    BlockedLine = "blocked-line",
    BlockedBy = "blocked-by",
    BlockedNothing = "blocked-nothing",
    BlockedHint = "blocked-hint",
    BlockedUnknown = "blocked-unknown",
    BlockedNoVpn = "blocked-no-vpn",
    BlockedVpnLost = "blocked-vpn-lost",
    BlockedNotThroughTunnel = "blocked-not-through-tunnel",
    BlockedContainerNotThroughTunnel = "blocked-container-not-through-tunnel",
    BlockedDnsOutsideTunnel = "blocked-dns-outside-tunnel",
    BlockedNotOnLink = "blocked-not-on-link",
    BlockedLanOff = "blocked-lan-off",
    BlockedMulticast = "blocked-multicast",
    BlockedNotVpnClient = "blocked-not-vpn-client",
    BlockedUnknownServer = "blocked-unknown-server",
    BlockedContainerPolicy = "blocked-container-policy",
    BlockedPublishedPorts = "blocked-published-ports",
    BlockedInbound = "blocked-inbound",
    BlockedRawFrame = "blocked-raw-frame",
    BlockedPausedPortal = "blocked-paused-portal",
    Pause = "pause",
    PausePortal = "pause-portal",
    PausePortalShort = "pause-portal-short",
    Journal = "journal",
    Resume = "resume",
    Check = "check",
    CheckProven = "check-proven",
    CheckOpen = "check-open",
    CheckNotShown = "check-not-shown",
    CheckReport = "check-report",
    CheckHint = "check-hint",
    ReasonLinkGone = "reason-link-gone",
    ReasonLinkDown = "reason-link-down",
    ReasonNoAddress = "reason-no-address",
    ReasonNoRoute = "reason-no-route",
    ReasonClientRestarts = "reason-client-restarts",
    ReasonClientEnded = "reason-client-ended",
    ReasonDeviceGone = "reason-device-gone",
    ReasonServiceStopped = "reason-service-stopped",
    ReasonEnded = "reason-ended",
    ReasonSilentServer = "reason-silent-server",
    ReasonManagementRestarts = "reason-management-restarts",
    ReasonManagementEnds = "reason-management-ends",
    ReasonManagementClosed = "reason-management-closed",
    ReasonRestarted = "reason-restarted",
}

impl Key {
    /// The words for the reason of a refusal.
    pub const fn of_refusal(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoVpn => Self::BlockedNoVpn,
            Refusal::VpnLost => Self::BlockedVpnLost,
            Refusal::NotThroughTunnel => Self::BlockedNotThroughTunnel,
            Refusal::ContainerNotThroughTunnel => Self::BlockedContainerNotThroughTunnel,
            Refusal::DnsOutsideTunnel => Self::BlockedDnsOutsideTunnel,
            Refusal::NotOnLink => Self::BlockedNotOnLink,
            Refusal::LanOff => Self::BlockedLanOff,
            Refusal::Multicast => Self::BlockedMulticast,
            Refusal::NotVpnClient => Self::BlockedNotVpnClient,
            Refusal::UnknownServer => Self::BlockedUnknownServer,
            Refusal::ContainerPolicy => Self::BlockedContainerPolicy,
            Refusal::PublishedPorts => Self::BlockedPublishedPorts,
            Refusal::Inbound => Self::BlockedInbound,
            Refusal::RawFrame => Self::BlockedRawFrame,
            Refusal::PausedPortal => Self::BlockedPausedPortal,
        }
    }

    /// The sentence for a reason of a loss.
    pub const fn of_reason(reason: Reason) -> Self {
        match reason {
            Reason::LinkGone => Self::ReasonLinkGone,
            Reason::LinkDown => Self::ReasonLinkDown,
            Reason::NoAddress => Self::ReasonNoAddress,
            Reason::NoRoute | Reason::RoutedPast => Self::ReasonNoRoute,
            Reason::ClientRestarts => Self::ReasonClientRestarts,
            Reason::ClientEnded => Self::ReasonClientEnded,
            Reason::DeviceGone | Reason::Unreachable => Self::ReasonDeviceGone,
            Reason::ServiceStopped => Self::ReasonServiceStopped,
            Reason::SilentServer => Self::ReasonSilentServer,
            Reason::ManagementRestarts => Self::ReasonManagementRestarts,
            Reason::ManagementEnds => Self::ReasonManagementEnds,
            Reason::ManagementClosed => Self::ReasonManagementClosed,
            Reason::Ended => Self::ReasonEnded,
            Reason::Restarted => Self::ReasonRestarted,
        }
    }
}
