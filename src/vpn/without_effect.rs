//! VPNs that cannot be used as they are although the kernel or a file of root's shows them, with the line that
//! changes that.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::num::NonZeroU32;

use super::claim::Standing;
use super::known::Known;
use super::learned::{LearnedVpn, LeftOut, Origin, PPP, stem, wireguard_path};
use super::{Link, LinkKind, Profile};
use crate::config::RootFile;
use crate::guide::VpnKind;
use crate::net::{Endpoint, IfName};

/// Maximum number of VPNs with the same mark that are named.
const MAX_OTHERS: usize = 4;

/// The tunnel of NetworkManager's openconnect.
const OPENCONNECT: &str = "vpn0";

/// Words that nmcli(1) does not take for a profile's name.
const NMCLI_WORDS: [&str; 6] = ["id", "uuid", "path", "apath", "filename", "help"];

impl Known<'_> {
    /// Tunnels into which the internet is routed, and through which nothing may pass.
    pub(super) fn without_effect(&self) -> BTreeSet<(String, LeftOut)> {
        if !self.facts.has_begun {
            return BTreeSet::new();
        }
        let links = self.facts.links.links.iter().filter_map(|link| self.fault(link));
        links.chain(self.serverless()).chain(self.unfollowed()).chain(self.broadcasts()).collect()
    }

    fn fault(&self, link: &Link) -> Option<(String, LeftOut)> {
        let (links, config) = (&self.facts.links, &self.facts.config);
        // A link of kind `ppp` has the internet where it is the uplink.
        if !link.kind.is_tunnel() || link.kind == LinkKind::Ppp || !link.is_addressed() {
            return None;
        }
        let name: IfName = link.name.parse().ok()?;
        let claimed = || self.claims.iter().any(|claim| claim.index == Some(link.index));
        let is_tunnel = links.is_tunnel(link, config);
        let counts = is_tunnel && self.facts.tunnel_counts(&name);
        let is_users = counts && links.may_be_users(link) && !claimed();
        if counts && !is_users || is_tunnel && claimed() || !links.has_the_internet(link, config) {
            return None;
        }
        if is_users {
            return Some((name.to_string(), LeftOut::UsersDevice));
        }
        let file = || self.facts.learning.file_of(&name);
        let is_excluded = !config.vpn.connections.is_empty() && (is_tunnel || file().is_some());
        let fault = if is_excluded {
            LeftOut::NotNamed(file().map(|vpn| self.line_for_file(vpn)))
        } else {
            LeftOut::NoTunnel(self.line_for_tunnel(name.as_str()))
        };
        Some((name.to_string(), fault))
    }

    /// Peers of root's WireGuard files that are where nothing follows them.
    fn unfollowed(&self) -> impl Iterator<Item = (String, LeftOut)> {
        let names = self.facts.links.exact().filter_map(|link| link.name.parse::<IfName>().ok());
        names.filter_map(|name| {
            let unfollowed = self.facts.peers(&name).unfollowed;
            (!unfollowed.is_empty()).then(|| (name.to_string(), LeftOut::NotFollowed(unfollowed)))
        })
    }

    /// Servers of root's WireGuard files at a broadcast address of a link.
    fn broadcasts(&self) -> impl Iterator<Item = (String, LeftOut)> {
        let broadcasts = self.facts.links.broadcasts();
        self.facts.learning.wireguard_files().filter_map(move |vpn| {
            let at = |address: &IpAddr| vpn.endpoints.range(Endpoint::all_at(*address)).copied();
            let found: BTreeSet<Endpoint> = broadcasts.iter().flat_map(at).collect();
            (!found.is_empty()).then(|| (vpn.name.clone(), LeftOut::Broadcast(found)))
        })
    }

    /// VPNs of different programs with the same mark. A mark that several files of one program share is no
    /// fault: wg-quick itself gives one mark to the first of its devices that is up.
    pub(super) fn shared_marks(&self) -> impl Iterator<Item = (String, LeftOut)> {
        let mut by_mark: BTreeMap<NonZeroU32, BTreeSet<(Origin, &str)>> = BTreeMap::new();
        for (_, vpn) in self.facts.counting() {
            if let Some(mark) = vpn.mark {
                by_mark.entry(mark).or_default().insert((vpn.origin, &vpn.name));
            }
        }
        by_mark.into_iter().filter_map(|(mark, vpns)| {
            let (first, name) = *vpns.first()?;
            let others = vpns.into_iter().filter(|(origin, _)| *origin != first).take(MAX_OTHERS);
            let others: BTreeSet<String> = others.map(|(_, name)| name.to_owned()).collect();
            (!others.is_empty()).then(|| (name.to_owned(), LeftOut::SharedMark(mark, others)))
        })
    }

    /// The line of the configuration that makes a device of this name a tunnel.
    fn line_for_tunnel(&self, name: &str) -> String {
        let patterns = self.facts.config.tunnel.interfaces.iter().map(ToString::to_string);
        let names: Vec<String> =
            patterns.chain([name.to_owned()]).map(|name| format!("\"{name}\"")).collect();
        format!("tunnel.interfaces = [{}]", names.join(", "))
    }

    /// Profiles of NetworkManager's that do not work, or only in part, because of their kind.
    pub(super) fn kinds_left_out(&self) -> impl Iterator<Item = (String, LeftOut)> {
        self.facts.profiles().filter_map(|profile| Some((profile.id.clone(), self.fault_of_kind(profile)?)))
    }

    pub(super) fn fault_of_kind(&self, profile: &Profile) -> Option<LeftOut> {
        let config = &self.facts.config;
        match profile.kind {
            VpnKind::L2tp | VpnKind::Pptp | VpnKind::Ipsec => Some(LeftOut::Kind(profile.kind)),
            // Root may have named its server.
            VpnKind::OtherPlugin => {
                config.bootstrap.servers.is_empty().then_some(LeftOut::Kind(profile.kind))
            }
            VpnKind::Fortinet | VpnKind::Sstp => self.tunnel_left_out(PPP),
            VpnKind::ManagedOpenConnect => self.tunnel_left_out(OPENCONNECT),
            VpnKind::ManagedOpenVpn
            | VpnKind::OpenVpn
            | VpnKind::ManagedWireGuard
            | VpnKind::WgQuick
            | VpnKind::Networkd
            | VpnKind::OpenConnect
            | VpnKind::Vpnc
            | VpnKind::Provider
            | VpnKind::Tailscale
            | VpnKind::Mesh => None,
        }
    }

    /// The first tunnel of a kind of VPN, if the configuration does not name it.
    fn tunnel_left_out(&self, device: &'static str) -> Option<LeftOut> {
        let patterns = &self.facts.config.tunnel.interfaces;
        let is_named = patterns.iter().any(|pattern| pattern.matches(device));
        (!is_named).then(|| LeftOut::TunnelNamed(device, self.line_for_tunnel(device)))
    }

    /// Whether NetworkManager gives the profile's device a mark, or has given it one.
    pub(super) fn is_marked_by_manager(&self, uuid: &str, vpn: &LearnedVpn) -> bool {
        let claim = self.claims.iter().find(|claim| claim.uuid() == Some(uuid));
        match claim.filter(|claim| claim.standing != Standing::Coming) {
            Some(claim) => claim.mark.is_some(),
            None => vpn.manager_marks,
        }
    }

    /// How a person names a profile to nmcli in a shell: by its name, or by its UUID where the name cannot be used.
    pub(super) fn word_for(&self, uuid: &str, vpn: &LearnedVpn) -> String {
        let name = self.name_in_config(uuid, vpn);
        let is_word = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        match name.as_str() {
            odd if odd.starts_with('-') || odd.contains('\'') || NMCLI_WORDS.contains(&odd) => {
                let uuid = Some(uuid).filter(|uuid| uuid.chars().all(is_word));
                uuid.unwrap_or("PROFILE").to_owned()
            }
            word if word.chars().all(is_word) => name,
            _ => format!("'{name}'"),
        }
    }

    /// WireGuard files of root's whose servers nothing identifies, so that none is allowed.
    pub(super) fn unmarked_files(&self) -> impl Iterator<Item = (String, LeftOut)> {
        let files = self.facts.counting().filter(|(_, vpn)| vpn.origin == Origin::WireGuard);
        let unmarked = files.filter(|(key, vpn)| self.is_unmarked(key, vpn));
        unmarked.map(|(key, vpn)| {
            let path = wireguard_path(key).to_owned();
            (vpn.name.clone(), LeftOut::UnmarkedFile(path, self.line_for_file(vpn)))
        })
    }

    /// The line of the configuration that names this file, and with it the VPNs that count now.
    fn line_for_file(&self, vpn: &LearnedVpn) -> String {
        let own = match vpn.origin {
            Origin::OpenVpn => format!("{}{}", RootFile::OpenVpn.prefix(), stem(&vpn.name)),
            Origin::WireGuard | Origin::Hook | Origin::NetworkManager => {
                format!("{}{}", RootFile::WireGuard.prefix(), vpn.name)
            }
        };
        self.line_with(own.clone(), self.others_in_config().into_iter().filter(|name| *name != own).collect())
    }

    /// How the configuration names each WireGuard file that is known.
    pub(super) fn files_in_config(&self) -> Vec<String> {
        let files = self.facts.learning.all().values().filter(|vpn| vpn.origin == Origin::WireGuard);
        files.map(|vpn| format!("{}{}", RootFile::WireGuard.prefix(), vpn.name)).collect()
    }
}
