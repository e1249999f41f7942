//! Sets in the words of nft.

use super::NftSet;
use super::rule::TUNNEL_KINDS;
use crate::net::{Endpoint, Family};
use crate::policy::{EndpointSet, Ruleset};
use crate::vpn::LinkKind;

/// The kernel's kinds of tunnels. A network card with a tunnel's name has none of them, and the kernel knows that
/// while no agent runs.
pub(super) fn tunnel_kinds() -> NftSet {
    let elements = LinkKind::tunnels().map(|kind| format!("\"{kind}\"")).collect();
    NftSet { name: TUNNEL_KINDS.to_owned(), kind: "ifname", elements }
}

/// The sets of endpoints.
pub(super) fn sets(ruleset: &Ruleset) -> Vec<NftSet> {
    let element = |endpoint: &Endpoint| {
        format!("{} . {} . {}", endpoint.address(), endpoint.transport(), endpoint.port())
    };
    let set = |set: &EndpointSet| NftSet {
        name: set.name().to_string(),
        kind: match set.name().family() {
            Family::V4 => "ipv4_addr . inet_proto . inet_service",
            Family::V6 => "ipv6_addr . inet_proto . inet_service",
        },
        elements: set.members().iter().map(element).collect(),
    };
    ruleset.sets.iter().map(set).collect()
}
