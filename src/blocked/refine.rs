//! Finds the reason of a refusal, from the reason that the rule names and from the packet.
//!
//! A rule at the end of a chain refuses everything that no other rule lets through. It knows only the state. The packet
//! shows which rule might have let it through.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Refused, RefusedAt, is_group};
use crate::net::is_private;
use crate::vpn::{FromProgram, Refusal};

/// The facts of the configuration and the situation that a reason depends on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// Whether the LAN is open.
    pub lan: bool,
    /// Whether the journal gets the destinations.
    pub journal: bool,
    /// The user ids of VPN clients.
    pub owners: BTreeSet<u32>,
    /// The known VPN servers, each with a port on which it listens.
    pub servers: BTreeSet<(IpAddr, u16)>,
    /// The links that are tunnels now.
    pub tunnels: BTreeSet<String>,
}

/// Why the packet is refused.
pub(super) fn refine(refusal: &Refused, facts: &Facts) -> Refusal {
    let packet = refusal.packet;
    let knows_the_state_alone = matches!(
        refusal.reason,
        Refusal::NoVpn | Refusal::VpnLost | Refusal::NotThroughTunnel | Refusal::PausedPortal
    );
    if !knows_the_state_alone {
        return refusal.reason;
    }
    let through = refusal.output.as_ref().is_some_and(|link| facts.tunnels.contains(link));
    match refusal.at {
        RefusedAt::Forward if is_group(packet.destination) => Refusal::Multicast,
        RefusedAt::Forward if through => Refusal::ContainerNotThroughTunnel,
        RefusedAt::Forward if is_private(&packet.destination.into()) => Refusal::ContainerPolicy,
        RefusedAt::Forward => refusal.reason.of_forwarded(),
        RefusedAt::Output if is_group(packet.destination) => Refusal::Multicast,
        RefusedAt::Output if through => Refusal::NotThroughTunnel,
        RefusedAt::Output => of_program(refusal, facts),
        RefusedAt::Input | RefusedAt::Wire => refusal.reason,
    }
}

/// Why a program's packet is refused outside the tunnels.
fn of_program(refusal: &Refused, facts: &Facts) -> Refusal {
    let to = refusal.packet.destination;
    let to_server = refusal.packet.port.is_some_and(|port| facts.servers.contains(&(to, port)));
    let (uid, owners, lan) = (refusal.uid, &facts.owners, facts.lan);
    refusal.reason.of_program(&FromProgram { to, to_server, uid, owners, lan })
}
