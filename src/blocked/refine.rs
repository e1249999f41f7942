//! Finds the reason of a refusal, from the reason that the rule names and from the packet.
//!
//! A rule at the end of a chain refuses everything that no other rule lets through. It knows only the state. The packet
//! shows which rule might have let it through.

use std::collections::BTreeSet;

use super::{Packet, Refused, RefusedAt};
use crate::net::is_group;
use crate::vpn::{FromProgram, Refusal, RefusalFacts, RefusalReason};

/// The facts of the configuration and the situation that a line depends on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// Those that the reason of a packet outside the tunnels depends on.
    pub outside: RefusalFacts,
    /// Whether the journal gets the destinations.
    pub journal: bool,
    /// The links that are tunnels now.
    pub tunnels: BTreeSet<String>,
}

/// Why the packet is refused.
pub(super) fn refine(refusal: &Refused, facts: &Facts) -> RefusalReason {
    let Packet { source, destination: to, protocol, port, .. } = refusal.packet;
    if refusal.reason == Refusal::Inbound {
        return facts.outside.of_inbound(refusal.input.as_deref(), [source, to]);
    }
    if refusal.reason == Refusal::PublishedPorts {
        return facts.outside.of_unpublished();
    }
    let knows_the_state_alone = matches!(
        refusal.reason,
        Refusal::NoVpn | Refusal::VpnLost | Refusal::NotThroughTunnel | Refusal::PausedPortal
    );
    if !knows_the_state_alone {
        return refusal.reason.into();
    }
    let through = refusal.output.as_ref().is_some_and(|link| facts.tunnels.contains(link));
    match refusal.at {
        RefusedAt::Forward if is_group(to) => RefusalReason::without_key(Refusal::Multicast),
        RefusedAt::Forward if through => Refusal::ContainerNotThroughTunnel.into(),
        RefusedAt::Forward => facts.outside.of_forwarded(refusal.reason, to),
        RefusedAt::Output if is_group(to) => facts.outside.of_group(to, protocol, port),
        RefusedAt::Output if through => Refusal::NotThroughTunnel.into(),
        RefusedAt::Output => {
            facts.outside.of_program(refusal.reason, &FromProgram { to, protocol, port, uid: refusal.uid })
        }
        RefusedAt::Input | RefusedAt::Wire => refusal.reason.into(),
    }
}
