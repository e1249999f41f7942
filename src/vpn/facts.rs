//! What the sources say, each in a part of its own, and the configuration. Nothing here is concluded.

use std::collections::{BTreeMap, BTreeSet};

use super::device::Devices;
use super::docker::Docker;
use super::learned::Origin;
use super::learning::Learning;
use super::management::Sockets;
use super::names::Resolution;
use super::{ExactTunnel, FileFault, LinkTable, NmView, Profile, Remembered, WireGuardFile};
use crate::config::{Config, RootFile, Scope};
use crate::net::{IfName, OwnKey, PeerKey};

/// What is known without the claims.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) config: Config,
    pub(super) links: LinkTable,
    pub(super) docker: Docker,
    /// NetworkManager's last view; `None` without NetworkManager.
    pub(super) manager: Option<NmView>,
    /// Whether NetworkManager has come, and was not read yet.
    pub(super) is_manager_unread: bool,
    /// Whether NetworkManager was there, and is not now.
    pub(super) has_manager_left: bool,
    /// The number of the last question that NetworkManager has answered.
    pub(super) answered: u64,
    pub(super) learning: Learning,
    pub(super) sockets: Sockets,
    pub(super) names: Resolution,
    /// Root's files of which something is left out.
    pub(super) file_faults: BTreeMap<RootFile, Vec<FileFault>>,
    /// The keys of the peers of root's WireGuard files, by device.
    pub(super) keys: BTreeMap<IfName, BTreeSet<PeerKey>>,
    /// The private keys in these files, by device.
    pub(super) own_keys: BTreeMap<IfName, BTreeSet<OwnKey>>,
    /// The last readings of the WireGuard devices.
    pub(super) devices: Devices,
    /// Whether the first events have been taken in: see [`super::Event::Begun`].
    pub(super) has_begun: bool,
}

impl Facts {
    pub(super) fn new(config: Config, remembered: Remembered) -> Self {
        let known_uplinks = remembered.uplinks.iter().map(|wire| wire.index).collect();
        let of_connections = remembered.connection_links.iter().map(|wire| wire.index).collect();
        let mut facts = Self {
            config,
            links: LinkTable { known_uplinks, of_connections, ..LinkTable::default() },
            docker: Docker::new(remembered.networks),
            manager: None,
            is_manager_unread: false,
            has_manager_left: false,
            answered: 0,
            learning: Learning::new(remembered.learned),
            sockets: Sockets::default(),
            names: Resolution::new(remembered.names),
            file_faults: BTreeMap::new(),
            keys: BTreeMap::new(),
            own_keys: BTreeMap::new(),
            devices: Devices::default(),
            has_begun: false,
        };
        facts.links.exact_tunnels = facts.exact_tunnels();
        facts
    }

    /// Takes in the keys in root's files.
    pub(super) fn take_keys(&mut self, files: &[WireGuardFile]) {
        self.keys.clear();
        self.own_keys.clear();
        for file in files {
            self.keys.entry(file.interface.clone()).or_default().extend(&file.keys);
            self.own_keys.entry(file.interface.clone()).or_default().extend(file.own);
        }
    }

    /// Takes in what NetworkManager says, or that it is not there.
    pub(super) fn take_view(&mut self, view: Option<NmView>) {
        self.answered = self.answered.max(view.as_ref().map_or(0, |view| view.answered));
        let was_there = self.manager.is_some() || self.is_manager_unread || self.has_manager_left;
        self.has_manager_left = was_there && view.is_none();
        self.is_manager_unread = false;
        self.manager = view;
        if let Some(view) = &self.manager {
            self.learning.learn_profiles(view, &self.config);
        }
    }

    /// Finds again which links are tunnels by their exact names, after a change of the VPNs that count.
    pub(super) fn name_tunnels(&mut self) {
        let exact = self.exact_tunnels();
        if exact != self.links.exact_tunnels {
            self.links.exact_tunnels = exact;
            self.find_uplinks_again();
        }
    }

    /// The devices that VPNs that count name exactly. If a file and a profile name the same device, it is the file's.
    fn exact_tunnels(&self) -> BTreeMap<IfName, BTreeSet<ExactTunnel>> {
        let mut exact: BTreeMap<IfName, BTreeSet<ExactTunnel>> = BTreeMap::new();
        if self.config.bootstrap.scope == Scope::Nothing {
            return exact;
        }
        for (_, vpn) in self.counting() {
            let Some(interface) = &vpn.interface else { continue };
            let maker = match vpn.origin {
                Origin::WireGuard => ExactTunnel::WireGuardFile,
                Origin::OpenVpn => ExactTunnel::OpenVpnFile,
                Origin::NetworkManager => ExactTunnel::Profile,
                Origin::Hook => continue,
            };
            exact.entry(interface.clone()).or_default().insert(maker);
        }
        for makers in exact.values_mut().filter(|makers| makers.len() > 1) {
            makers.remove(&ExactTunnel::Profile);
        }
        exact
    }

    /// Whether a tunnel that nobody reports counts. With named connections only those of root's files do:
    /// NetworkManager itself reports the device of a profile, and any user may give another device its name.
    pub(super) fn tunnel_counts(&self, interface: &IfName) -> bool {
        let of_file = |exact: &BTreeSet<ExactTunnel>| !exact.contains(&ExactTunnel::Profile);
        self.config.vpn.connections.is_empty() || self.links.exact_tunnels.get(interface).is_some_and(of_file)
    }

    /// Takes in the links, and remembers which of them are uplinks. Returns the table before.
    pub(super) fn take_links(&mut self, mut links: LinkTable) -> LinkTable {
        links.exact_tunnels.clone_from(&self.links.exact_tunnels);
        let before = std::mem::replace(&mut self.links, links);
        self.keep_makers(&before);
        self.note_makers();
        self.remember_uplinks(&before.known_uplinks);
        before
    }

    /// Finds the uplinks again, after a change of the configuration or of Docker's bridges.
    pub(super) fn find_uplinks_again(&mut self) {
        let before = std::mem::take(&mut self.links.known_uplinks);
        self.remember_uplinks(&before);
    }

    fn remember_uplinks(&mut self, before: &BTreeSet<u32>) {
        let of_docker = self.docker.bridges().map(|bridge| bridge.as_str()).collect();
        self.links.remember_uplinks(before, &of_docker, &self.config);
    }

    /// NetworkManager's saved profiles that count.
    pub(super) fn profiles(&self) -> impl Iterator<Item = &Profile> {
        let profiles = self.manager.iter().flat_map(|view| &view.profiles);
        profiles.filter(|profile| self.config.vpn.counts(&profile.uuid, &profile.id))
    }

    /// Whether a connection counts: under the name it was brought up with, and under the one its
    /// profile has now.
    pub(super) fn counts(&self, uuid: &str, name: &str) -> bool {
        let mut profiles = self.manager.iter().flat_map(|view| &view.profiles);
        let renamed = profiles.find(|profile| profile.uuid == uuid);
        self.config.vpn.counts(uuid, name)
            && renamed.is_none_or(|profile| self.config.vpn.counts(uuid, &profile.id))
    }
}
