//! The reason of a refusal, from the word that the rule has and from the packet.
//!
//! A rule at the end of a chain refuses everything that no other rule lets through, and knows only the state. The
//! packet shows which rule might have let it through.

use std::collections::BTreeSet;

use super::{Place, Refused, is_group};
use crate::net::{Port, Transport, is_private};
use crate::vpn::Refusal;

/// What the configuration says, as far as a reason depends on it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// Whether the LAN is open.
    pub lan: bool,
    /// Whether the journal gets the destinations.
    pub told: bool,
    /// The user ids of VPN clients.
    pub owners: BTreeSet<u32>,
    /// The ports on which VPN servers listen.
    pub ports: Vec<(Transport, Port)>,
    /// The links that are tunnels now.
    pub tunnels: BTreeSet<String>,
}

/// Why it is refused.
pub fn refine(refusal: &Refused, facts: &Facts) -> Refusal {
    let packet = refusal.packet;
    let knows_the_state_alone = matches!(
        refusal.reason,
        Refusal::NoVpn | Refusal::VpnLost | Refusal::NotThroughTunnel | Refusal::PausedPortal
    );
    if !knows_the_state_alone {
        return refusal.reason;
    }
    let through = refusal.output.as_ref().is_some_and(|link| facts.tunnels.contains(link));
    if through {
        return if refusal.place == Place::Forward {
            Refusal::ContainerPolicy
        } else {
            Refusal::NotThroughTunnel
        };
    }
    if refusal.place != Place::Output {
        return refusal.reason;
    }
    if is_group(packet.destination) {
        return Refusal::Multicast;
    }
    if is_private(&packet.destination.into()) {
        return if facts.lan { Refusal::NotOnLink } else { Refusal::LanOff };
    }
    let is_of_vpn = packet.port.is_some_and(|port| {
        let by = |transport: Transport| match transport {
            Transport::Udp => 17,
            Transport::Tcp => 6,
        };
        let mut ports = facts.ports.iter();
        ports.any(|(transport, known)| by(*transport) == packet.protocol && known.get() == port)
    });
    match refusal.uid {
        Some(uid) if is_of_vpn && facts.owners.contains(&uid) => Refusal::UnknownServer,
        Some(_) if is_of_vpn => Refusal::NotVpnClient,
        Some(_) | None => refusal.reason,
    }
}
