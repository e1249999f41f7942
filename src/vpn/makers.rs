//! Who makes the device of a tunnel, and which links an ordinary user may have made.
//!
//! Any user can have NetworkManager make a link of any name: a tun device, a WireGuard device, a tunnel of IPsec. So the
//! name that a file of root's gives to a device proves nothing about the device.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::facts::Facts;
use super::links::named_tunnel;
use super::questions::Question;
use super::{Link, LinkKind, LinkTable};
use crate::config::Config;
use crate::net::IfName;

/// What says that the link of an exact name is a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExactTunnel {
    /// A file of root's for wg-quick or systemd-networkd: the kernel, or a program (wireguard-go), makes the device.
    WireGuardFile,
    /// A file of root's for OpenVPN, which makes a tun device, or one of the kernel's for it (DCO).
    OpenVpnFile,
    /// A WireGuard profile of NetworkManager's, which makes a device of the kernel's. Any user may save one.
    Profile,
}

impl ExactTunnel {
    /// Whether such a VPN makes links of this kind. A `ppp` link of that name may be an uplink.
    fn makes(self, kind: LinkKind) -> bool {
        match kind {
            LinkKind::WireGuard => matches!(self, Self::WireGuardFile | Self::Profile),
            LinkKind::Tunnel => matches!(self, Self::WireGuardFile | Self::OpenVpnFile),
            LinkKind::OpenVpn => self == Self::OpenVpnFile,
            LinkKind::Ipsec
            | LinkKind::Ppp
            | LinkKind::Loopback
            | LinkKind::Bridge
            | LinkKind::Veth
            | LinkKind::Other => false,
        }
    }
}

impl LinkTable {
    /// Whether an ordinary user may have made the link, or may read what is routed into it.
    pub(super) fn may_be_users(&self, link: &Link) -> bool {
        self.of_users.contains(&link.index) || self.of_connections.contains(&link.index)
    }

    /// Whether VPNs that count name the link exactly, and make links of its kind.
    pub(super) fn is_exact_tunnel(&self, link: &Link) -> bool {
        let name = || link.name.parse::<IfName>().ok();
        let exact = || self.exact_tunnels.get(&name()?);
        link.kind.is_tunnel() && exact().is_some_and(|exact| exact.iter().any(|exact| exact.makes(link.kind)))
    }

    /// The tunnels by their exact names.
    pub(super) fn exact(&self) -> impl Iterator<Item = &Link> {
        self.links.iter().filter(|link| self.is_exact_tunnel(link))
    }

    /// The links that are tunnels by their exact names and kinds, and by nothing else, as the kernel calls them.
    pub fn exact_names(&self, config: &Config) -> Vec<String> {
        let exact = self.exact().filter(|link| !named_tunnel(link, config));
        exact.map(|link| link.name.clone()).collect()
    }

    /// The tunnels that only their exact names make tunnels, and that carry packets. A link that a user may have made
    /// is among them only if a source has reported that very link.
    pub(super) fn further_tunnels(&self, reported: &BTreeSet<u32>, config: &Config) -> Vec<IfName> {
        let of_root = |link: &&Link| !self.may_be_users(link) || reported.contains(&link.index);
        let further = self.exact().filter(|link| !named_tunnel(link, config)).filter(of_root);
        let mut names: Vec<IfName> = further.filter_map(|link| link.name.parse().ok()).collect();
        names.sort();
        names
    }
}

impl Facts {
    /// Whether NetworkManager may have made the link, and it is unknown whether it made it for a user. `question` is
    /// the last one about the link.
    pub(super) fn awaits_manager(&self, link: &Link, question: Question) -> bool {
        if self.answered >= question.number {
            return false;
        }
        if (self.manager.is_none() || question.is_late) && self.has_own_key_of_file(link) {
            return false;
        }
        if self.manager.is_some() {
            return true;
        }
        match link.kind {
            // A program of root's has it open: see `LinkTable::of_users`.
            LinkKind::Tunnel | LinkKind::OpenVpn => self.is_manager_unread,
            // These devices stay when NetworkManager, which may have made them, stops.
            LinkKind::WireGuard
            | LinkKind::Ipsec
            | LinkKind::Ppp
            | LinkKind::Loopback
            | LinkKind::Bridge
            | LinkKind::Veth
            | LinkKind::Other => self.is_manager_unread || self.has_manager_left,
        }
    }

    /// Whether the device has the private key in root's file for it, and no peers but those of the file. Only somebody
    /// who knows the file can make such a device, and it leads where the file says.
    fn has_own_key_of_file(&self, link: &Link) -> bool {
        let Ok(name) = link.name.parse::<IfName>() else { return false };
        let own = self.devices.of(link).and_then(|device| device.own);
        let has_key = own.zip(self.own_keys.get(&name)).is_some_and(|(own, keys)| keys.contains(&own));
        has_key && self.device_of_file(&name).is_some()
    }

    /// Notes the links that NetworkManager made for connections that do not count. A link stays noted while it is
    /// there: NetworkManager may stop, or forget the connection.
    pub(super) fn note_makers(&mut self) {
        let Some(view) = &self.manager else { return };
        let does_not_count = |uuid: &str, id: &str| !self.counts(uuid, id);
        let active = view.active.iter().filter(|active| !active.has_ended());
        let active = active.filter(|active| does_not_count(&active.uuid, &active.id));
        let names = active.filter_map(|active| active.interface.as_ref()).chain(&view.made);
        let names: BTreeSet<&str> = names.map(IfName::as_str).collect();
        let own = self.links.links.iter().filter(|link| names.contains(link.name.as_str()));
        let own: Vec<u32> = own.map(|link| link.index).collect();
        self.links.of_connections.extend(own);
    }

    /// Keeps what was known of the makers of the links that are still there.
    pub(super) fn keep_makers(&mut self, before: &LinkTable) {
        let here: BTreeSet<u32> = self.links.links.iter().map(|link| link.index).collect();
        let still = |known: &BTreeSet<u32>| known.intersection(&here).copied().collect::<Vec<u32>>();
        self.links.of_users.extend(still(&before.of_users));
        self.links.of_connections.extend(still(&before.of_connections));
    }
}
