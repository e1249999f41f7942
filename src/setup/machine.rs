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
    /// Interfaces about which the user has confirmed that they belong to the VPN.
    pub confirmed: BTreeSet<String>,
    /// Addresses of VPN servers in saved profiles.
    pub servers: BTreeSet<IpAddr>,
    /// The ports of services by name.
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
    /// Nothing shows its kind, so the user is asked.
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
        // The kernel reports a link to an internet provider (PPPoE, a modem) with the same kind as a VPN.
        let by_kind = |link: &&crate::vpn::Link| link.kind.is_tunnel() && !link.name.starts_with("ppp");
        if links.iter().any(|link| link.kind == LinkKind::Other) {
            DeviceKind::Card
        } else if self.confirmed.contains(name) {
            DeviceKind::Tunnel
        } else if self.is_of_containers(name) {
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

    /// Whether a bridge belongs to containers or virtual machines: the default configuration has its name, and no card
    /// is a port of it. If the bridge does not exist, its name must be one that an engine makes up, because a LAN's
    /// bridge may be called `br-lan`.
    fn is_of_containers(&self, name: &str) -> bool {
        let bridges = Docker::default().bridges;
        let mut matching = bridges.iter().filter(|bridge| bridge.to_string() == name || bridge.matches(name));
        let Some(bridge) = matching.next() else { return false };
        match self.links.links.iter().find(|link| link.name == name) {
            Some(link) => {
                let is_port =
                    |port: &crate::vpn::Link| port.master == Some(link.index) && port.kind == LinkKind::Other;
                !self.links.links.iter().any(is_port)
            }
            None => bridge.to_string() == name || !bridge.to_string().starts_with("br-") || is_dockers(name),
        }
    }

    /// The network cards that the kernel reports.
    pub(super) fn cards(&self) -> impl Iterator<Item = &str> {
        let cards = self.links.links.iter().filter(|link| link.kind == LinkKind::Other);
        cards.map(|link| link.name.as_str())
    }
}

/// `br-` and the first twelve digits of a network's id.
fn is_dockers(name: &str) -> bool {
    name.strip_prefix("br-")
        .is_some_and(|id| id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// `tun0`, `tun+`: names within the default of `tunnel.interfaces`.
pub(super) fn is_tun(name: &str) -> bool {
    let stem = name.trim_end_matches('+');
    stem.strip_prefix("tun").is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit()))
}
