//! Learning the servers of VPNs: from saved profiles, root's files and root's hooks.

use std::collections::{BTreeMap, BTreeSet};

use super::learned::{Learned, LearnedVpn, LeftOut, Origin, file_key, hook_key, wireguard_key};
use super::{NmView, OpenVpnFile, Report, Sender, WireGuardFile};
use crate::config::{Config, MAX_SERVERS};
use crate::net::{Endpoint, IfName};

/// Maximum number of VPNs whose servers are remembered. [`MAX_SERVERS`] bounds the servers of all together.
pub(super) const MAX_VPNS: usize = 16_384;

/// Maximum number of VPNs that are named because some of their servers are left out.
const MAX_NAMED: usize = 8;

/// The servers of VPNs, and whether all that was learned before could be read.
#[derive(Debug, Clone)]
pub(super) struct Learning {
    known: Learned,
    memory: Memory,
    /// How many servers of which VPN are left out because there are too many.
    excess: BTreeMap<String, usize>,
    has_changed: bool,
}

/// Whether what was learned before could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Memory {
    Whole,
    Damaged,
}

impl Learning {
    /// From what was learned before; `None` when that cannot be read.
    pub(super) fn new(learned: Option<Learned>) -> Self {
        let memory = if learned.is_some() { Memory::Whole } else { Memory::Damaged };
        Self { known: learned.unwrap_or_default(), memory, excess: BTreeMap::new(), has_changed: false }
    }

    /// Every VPN that is known, by its key.
    pub(super) fn all(&self) -> &Learned {
        &self.known
    }

    /// The VPN of a key.
    pub(super) fn get(&self, key: &str) -> Option<&LearnedVpn> {
        self.known.get(key)
    }

    /// The VPNs of NetworkManager's profiles.
    pub(super) fn of_manager(&self) -> impl Iterator<Item = (&String, &LearnedVpn)> {
        self.known.iter().filter(|(_, vpn)| vpn.origin == Origin::NetworkManager)
    }

    /// Root's file for a device, whether it counts or not. A WireGuard file always names its device, so it comes
    /// before OpenVPN's.
    pub(super) fn file_of(&self, interface: &IfName) -> Option<&LearnedVpn> {
        let of = |origin| {
            let mut files = self.known.values().filter(move |vpn| vpn.origin == origin);
            files.find(|vpn| vpn.interface.as_ref() == Some(interface))
        };
        of(Origin::WireGuard).or_else(|| of(Origin::OpenVpn))
    }

    /// Root's WireGuard files, whether they count or not.
    pub(super) fn wireguard_files(&self) -> impl Iterator<Item = &LearnedVpn> {
        let first = wireguard_key("");
        let prefix = first.clone();
        let files = self.known.range(first..).take_while(move |(key, _)| key.starts_with(&prefix));
        files.map(|(_, vpn)| vpn)
    }

    pub(super) fn memory(&self) -> Memory {
        self.memory
    }

    /// What is left out because there are too many servers, each with the name of its VPN.
    pub(super) fn excess(&self) -> impl Iterator<Item = (String, LeftOut)> {
        let named = self.excess.iter().take(MAX_NAMED);
        let named = named.map(|(name, count)| (name.clone(), LeftOut::Servers(*count)));
        let mut more = self.excess.iter().skip(MAX_NAMED);
        let more = more.next().map(|(name, count)| {
            let (mut servers, mut vpns) = (*count, 1);
            more.for_each(|(_, count)| (servers, vpns) = (servers + count, vpns + 1));
            (name.clone(), LeftOut::MoreServers { servers, vpns })
        });
        named.chain(more)
    }

    /// Whether anything was learned or forgotten since the last call.
    pub(super) fn take_change(&mut self) -> bool {
        std::mem::take(&mut self.has_changed)
    }

    /// Every saved profile that counts is known from now on, connected before or not; one that is gone
    /// is forgotten.
    pub(super) fn learn_profiles(&mut self, view: &NmView, config: &Config) {
        self.learn(|known| {
            let saved = |uuid: &str| view.profiles.iter().any(|profile| profile.uuid == uuid);
            known.retain(|key, vpn| {
                vpn.origin != Origin::NetworkManager || saved(key) && vpn.counts(key, config)
            });
            for profile in
                view.profiles.iter().filter(|profile| config.vpn.counts(&profile.uuid, &profile.id))
            {
                // Keep the addresses that the plugin has reported for these names. With other names it is
                // another VPN.
                let mut vpn = LearnedVpn::of_profile(profile);
                let old =
                    known.get(&profile.uuid).filter(|old| !old.names.is_empty() && old.names == vpn.names);
                vpn.endpoints.extend(old.into_iter().flat_map(|old| &old.endpoints));
                known.insert(profile.uuid.clone(), vpn);
            }
        });
    }

    /// Every file of root's is known; one that is gone is forgotten.
    pub(super) fn learn_files(&mut self, files: Vec<OpenVpnFile>) {
        self.learn(|known| {
            known.retain(|_, vpn| vpn.origin != Origin::OpenVpn);
            for OpenVpnFile { path, endpoints, names, user, mark, device: interface, management: _ } in files
            {
                let (key, sender) = (file_key(&path), Sender::Client);
                let (name, origin, manager_marks) = (path, Origin::OpenVpn, false);
                let vpn = LearnedVpn {
                    name,
                    origin,
                    endpoints,
                    names,
                    user,
                    sender,
                    mark,
                    interface,
                    manager_marks,
                };
                known.insert(key, vpn);
            }
        });
    }

    /// The same for root's WireGuard files.
    pub(super) fn learn_wireguard(&mut self, files: Vec<WireGuardFile>) {
        self.learn(|known| {
            known.retain(|_, vpn| vpn.origin != Origin::WireGuard);
            for WireGuardFile { path, interface, endpoints, names, mark, keys: _, own: _ } in files {
                let (name, origin, sender) = (interface.to_string(), Origin::WireGuard, Sender::Kernel);
                let (user, interface) = (None, Some(interface));
                let manager_marks = false;
                let vpn = LearnedVpn {
                    name,
                    origin,
                    endpoints,
                    names,
                    user,
                    sender,
                    mark,
                    interface,
                    manager_marks,
                };
                known.insert(wireguard_key(&path), vpn);
            }
        });
    }

    /// The servers that root's hook has named.
    pub(super) fn learn_hook(&mut self, report: &Report, endpoints: BTreeSet<Endpoint>) {
        if endpoints.is_empty() {
            return;
        }
        let name = report.interface.to_string();
        let key = hook_key(&name);
        let (origin, names, sender) = (Origin::Hook, BTreeSet::new(), Sender::Client);
        let (user, mark, interface) = (None, None, None);
        let manager_marks = false;
        let vpn = LearnedVpn { name, origin, endpoints, names, user, sender, mark, interface, manager_marks };
        self.has_changed |= self.known.get(&key) != Some(&vpn);
        self.known.insert(key, vpn);
    }

    /// The servers whose addresses a profile's plugin has reported: the profile has only a name for them.
    pub(super) fn learn_gateway(&mut self, uuid: &str, endpoints: &BTreeSet<Endpoint>) {
        let Some(vpn) = self.known.get_mut(uuid) else { return };
        let before = vpn.endpoints.len();
        vpn.endpoints.extend(endpoints);
        self.has_changed |= vpn.endpoints.len() != before;
    }

    /// Changes what is known, within the bounds.
    fn learn(&mut self, change: impl FnOnce(&mut Learned)) {
        let before = self.known.clone();
        change(&mut self.known);
        self.bound();
        self.has_changed |= self.known != before;
    }

    /// Leaves out what exceeds the bounds. Root's VPNs come first, and of each origin those with fewer servers. A
    /// server of several VPNs counts once.
    fn bound(&mut self) {
        self.excess.clear();
        let mut order: Vec<(Origin, usize, String)> =
            self.known.iter().map(|(key, vpn)| (vpn.origin, vpn.size(), key.clone())).collect();
        order.sort();
        let (mut endpoints, mut names) = (BTreeSet::new(), BTreeSet::new());
        for (place, (_, size, key)) in order.into_iter().enumerate() {
            let Some(vpn) = self.known.get_mut(&key) else { continue };
            if place < MAX_VPNS {
                let is_full = |endpoints: &BTreeSet<_>, names: &BTreeSet<_>| {
                    endpoints.len() + names.len() >= MAX_SERVERS
                };
                vpn.endpoints.retain(|server| {
                    endpoints.contains(server) || !is_full(&endpoints, &names) && endpoints.insert(*server)
                });
                vpn.names.retain(|server| {
                    names.contains(server) || !is_full(&endpoints, &names) && names.insert(server.clone())
                });
            }
            let kept = if place < MAX_VPNS { vpn.size() } else { 0 };
            if kept < size {
                self.excess.insert(vpn.name.clone(), size - kept);
            }
            if place >= MAX_VPNS {
                self.known.remove(&key);
            }
        }
    }
}
