//! NetworkManager's numbers of states and reasons. Pure.

use crate::vpn::{VpnEnd, VpnPhase};

/// Values of `NMDeviceState`: the device begins to be activated, and the device is being deactivated.
const PREPARES: u32 = 40;
const DEACTIVATES: u32 = 110;

/// Values of `NMDeviceStateReason`: a user with permission deleted the profile, or asked to end the connection.
const ENDS_OF_USERS: [u32; 2] = [38, 39];

/// Whether a user ends the device; `None` in the states that a device has after it was ended.
pub(super) fn is_users_end(state: u32, reason: u32) -> Option<bool> {
    (state >= PREPARES).then_some(state == DEACTIVATES && ENDS_OF_USERS.contains(&reason))
}

/// The phase for a `NMVpnConnectionState`; `None` for a state that NetworkManager does not have yet.
pub(super) fn vpn_phase(state: u32, reason: u32) -> Option<VpnPhase> {
    match state {
        0..=4 => Some(VpnPhase::Connecting),
        5 => Some(VpnPhase::Activated),
        6 | 7 => Some(VpnPhase::Ended(vpn_end(reason))),
        _ => None,
    }
}

/// The end for a `NMActiveConnectionState`: 3 is deactivating, 4 is deactivated.
pub(super) fn active_end(state: u32, reason: u32) -> Option<VpnPhase> {
    matches!(state, 3 | 4).then(|| VpnPhase::Ended(vpn_end(reason)))
}

/// The phase of a connection without a plugin (`NMActiveConnectionState`: 2 is activated).
pub(super) fn wireguard_phase(state: u32) -> VpnPhase {
    let up = if state == 2 { VpnPhase::Activated } else { VpnPhase::Connecting };
    active_end(state, 0).unwrap_or(up)
}

/// `NMActiveConnectionStateReason`; `NMVpnConnectionStateReason` has the same numbers up to 11.
fn vpn_end(reason: u32) -> VpnEnd {
    match reason {
        // 11: a user with the permission deleted its profile.
        2 | 11 => VpnEnd::User,
        3 | 14 => VpnEnd::Device,
        4 => VpnEnd::ServiceStopped,
        6 => VpnEnd::Timeout,
        9 | 10 => VpnEnd::Secrets,
        other => VpnEnd::Other(other),
    }
}
