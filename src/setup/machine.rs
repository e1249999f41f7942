//! Facts about this machine that the meaning of a rule depends on.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::config::Docker;
use crate::net::IfPattern;
use crate::net::Services;
use crate::vpn::{LinkKind, LinkTable};

/// Facts about this machine.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    /// All links, as the kernel reports them.
    pub links: LinkTable,
    /// WireGuard interfaces with a configuration that belongs to root.
    pub wireguard: BTreeSet<String>,
    /// Interfaces that the user has confirmed to be the VPN's.
    pub confirmed: BTreeSet<String>,
    /// Addresses of VPN servers in saved profiles.
    pub servers: BTreeSet<IpAddr>,
    /// Ports of services by name.
    pub services: Services,
}

/// What kind of interface a rule names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DeviceKind {
    Loopback,
    Tunnel,
    /// A bridge of containers or virtual machines.
    Bridge,
    /// A network card, a modem or a bond: packets leave in clear here.
    Card,
    /// Nothing shows its kind: the user is asked.
    Unknown,
}

/// Prefixes of the names of cards, modems, bonds and VLANs.
const CARDS: [&str; 14] = [
    "e", "wl", "ww", "usb", "bond", "team", "vlan", "macvlan", "ipvlan", "dsl", "hso", "rmnet", "ib", "veth",
];

impl Machine {
    /// A device is a tunnel by its kind, by a configuration that belongs to root, by the user's confirmation,
    /// or by a name in `tun+`, which is in the default configuration.
    pub(super) fn device(&self, name: &str) -> DeviceKind {
        if name == "lo" {
            return DeviceKind::Loopback;
        }
        let Ok(pattern) = name.parse::<IfPattern>() else { return DeviceKind::Unknown };
        let links: Vec<_> = self.links.links.iter().filter(|link| pattern.matches(&link.name)).collect();
        // For the kernel, a link to an internet provider (PPPoE, a modem) has the same kind as a VPN.
        let by_kind = |link: &&crate::vpn::Link| link.kind.is_tunnel() && !link.name.starts_with("ppp");
        let bridges = Docker::default().bridges;
        if links.iter().any(|link| link.kind == LinkKind::Other) {
            DeviceKind::Card
        } else if self.confirmed.contains(name) {
            DeviceKind::Tunnel
        } else if bridges
            .iter()
            .any(|bridge| pattern.to_string() == bridge.to_string() || bridge.matches(name))
        {
            DeviceKind::Bridge
        } else if links.iter().any(|link| matches!(link.kind, LinkKind::Bridge | LinkKind::Veth)) {
            // A bridge can connect to a card as well as to containers.
            DeviceKind::Card
        } else if is_tun(name) || self.wireguard.contains(name) {
            DeviceKind::Tunnel
        } else if CARDS.iter().any(|card| name.starts_with(card)) || name.starts_with("br") {
            DeviceKind::Card
        } else if !links.is_empty() && links.iter().all(by_kind) {
            DeviceKind::Tunnel
        } else {
            DeviceKind::Unknown
        }
    }

    /// The network cards that the kernel reports.
    pub(super) fn cards(&self) -> impl Iterator<Item = &str> {
        let cards = self.links.links.iter().filter(|link| link.kind == LinkKind::Other);
        cards.map(|link| link.name.as_str())
    }
}

/// `tun0`, `tun+`: names within the default of `tunnel.interfaces`.
pub(super) fn is_tun(name: &str) -> bool {
    let stem = name.trim_end_matches('+');
    stem.strip_prefix("tun").is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit()))
}
