//! The VPNs that are known, as `tunwarden status` and `tunwarden check` list them.

use std::num::NonZeroU32;

use super::claim::Claimant;
use super::facts::Facts;
use super::known::Known;
use super::learned::{LearnedVpn, LeftOut, Origin, file_key};
use super::{Machine, Profile};

/// Maximum number of servers of one VPN in the list.
const MAX_SERVERS: usize = 8;

/// Maximum number of VPNs in the status. Any user may save thousands of profiles.
const MAX_VPNS: usize = 128;

/// A VPN that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownVpn {
    /// Its name for people.
    pub name: String,
    /// The UUID of a profile of NetworkManager's.
    pub uuid: Option<String>,
    /// Who named its servers.
    pub named_by: Origin,
    /// Its first servers, by address or by name.
    pub servers: Vec<String>,
    /// How many servers it has besides.
    pub more: usize,
    /// The mark on the packets to them.
    pub mark: Option<NonZeroU32>,
    /// Whether it counts.
    pub counts: bool,
    /// Why it does not count, or why its servers are of no use.
    pub fault: Option<String>,
}

/// Why a VPN does not count.
const NOT_NAMED: &str = "vpn.connections does not name it";

/// A VPN, and whether it counts.
struct Entry<'a> {
    counts: bool,
    key: &'a str,
    vpn: LearnedVpn,
}

impl Known<'_> {
    /// At most this many VPNs, and how many there are besides. Those in use come first, then those that count: any user
    /// may save thousands of profiles.
    fn vpns(&self, most: usize) -> (Vec<KnownVpn>, usize) {
        let config = &self.facts.config;
        let learned = self.facts.learning.all().iter().filter(|(_, vpn)| !self.is_of_a_card(vpn));
        let order = |key: &str, vpn: &LearnedVpn| {
            (!self.is_in_use(key, vpn), !vpn.counts(key, config), rank(vpn.origin))
        };
        let mut learned: Vec<_> = learned.map(|(key, vpn)| (order(key, vpn), key, vpn)).collect();
        learned.sort_by_key(|(order, key, _)| (*order, *key));
        let learned =
            learned.into_iter().map(|((_, not, _), key, vpn)| Entry { counts: !not, key, vpn: vpn.clone() });
        let saved = self.facts.manager.iter().flat_map(|view| &view.profiles);
        let others = saved.filter(|profile| !config.vpn.counts(&profile.uuid, &profile.id));
        let others = others.map(|profile| Entry {
            counts: false,
            key: &profile.uuid,
            vpn: LearnedVpn::of_profile(profile),
        });
        let mut all = learned.chain(others);
        let shown = all.by_ref().take(most).map(|entry| self.shown(&entry)).collect();
        (shown, all.count())
    }

    /// Whether a claim is about it.
    fn is_in_use(&self, key: &str, vpn: &LearnedVpn) -> bool {
        self.claims.iter().any(|claim| match &claim.claimant {
            Claimant::NetworkManager { uuid, .. } => uuid == key,
            Claimant::Management { file, .. } => file_key(file) == key,
            Claimant::Hook | Claimant::Kernel => vpn.interface.is_some() && vpn.interface == claim.interface,
        })
    }

    /// Whether a hook has reported it for a link that is no tunnel.
    fn is_of_a_card(&self, vpn: &LearnedVpn) -> bool {
        let Facts { links, config, .. } = self.facts;
        let name = vpn.name.parse().ok().filter(|_| vpn.origin == Origin::Hook);
        name.and_then(|name| links.named(&name)).is_some_and(|link| !links.is_tunnel(link, config))
    }

    fn shown(&self, Entry { counts, key, vpn }: &Entry<'_>) -> KnownVpn {
        let endpoints = vpn.endpoints.iter().map(ToString::to_string);
        let names = vpn.names.iter().map(|(name, transport, port)| format!("{name}:{port}/{transport}"));
        let fault = if *counts { self.fault_of(key, vpn) } else { Some(NOT_NAMED.to_owned()) };
        KnownVpn {
            name: vpn.name.clone(),
            uuid: (vpn.origin == Origin::NetworkManager).then(|| (*key).to_owned()),
            named_by: vpn.origin,
            servers: endpoints.chain(names).take(MAX_SERVERS).collect(),
            more: vpn.size().saturating_sub(MAX_SERVERS),
            mark: self.mark_of(key, vpn),
            counts: *counts,
            fault,
        }
    }

    /// The mark on its packets: what its device says goes before what its file or profile says.
    fn mark_of(&self, key: &str, vpn: &LearnedVpn) -> Option<NonZeroU32> {
        let of_claim = || self.claims.iter().find(|claim| claim.uuid() == Some(key))?.mark;
        match vpn.origin {
            Origin::NetworkManager => of_claim().or(vpn.mark),
            Origin::WireGuard => self.facts.mark_of_file(vpn),
            Origin::Hook | Origin::OpenVpn => vpn.mark,
        }
    }

    /// Why nothing may reach the servers of a VPN that counts, or why nothing passes through its tunnel.
    fn fault_of(&self, key: &str, vpn: &LearnedVpn) -> Option<String> {
        let of_kind = |profile: &Profile| self.fault_of_kind(profile);
        let profile = || self.facts.profiles().find(|profile| profile.uuid == key);
        let unmarked = self.is_unmarked(key, vpn) && !self.is_marked_by_manager(key, vpn);
        let unmarked = unmarked.then(|| LeftOut::Unmarked(String::new()));
        unmarked.or_else(|| of_kind(profile()?)).map(|left_out| left_out.reason())
    }
}

/// Root's VPNs come before NetworkManager's, and other files before OpenVPN's: an archive of a provider has hundreds of
/// those.
const fn rank(origin: Origin) -> u8 {
    match origin {
        Origin::Hook => 0,
        Origin::WireGuard => 1,
        Origin::OpenVpn => 2,
        Origin::NetworkManager => 3,
    }
}

impl Machine {
    /// Every VPN that is known, whether it counts or not.
    pub fn known_vpns(&self) -> Vec<KnownVpn> {
        self.known().vpns(usize::MAX).0
    }

    /// The first of them, as they were when servers, names or claims last changed, and how many there are besides.
    pub fn listed_vpns(&self) -> (&[KnownVpn], usize) {
        let (vpns, more) = &self.derived.vpns;
        (vpns, *more)
    }

    /// Finds what is left out, and lists the VPNs again.
    pub(super) fn review_vpns(&mut self) {
        self.derived.vpns = self.known().vpns(MAX_VPNS);
        self.derived.left_out = self.find_left_out();
    }
}
