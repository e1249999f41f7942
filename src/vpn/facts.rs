//! What the sources say, each in a part of its own, and the configuration. Nothing here is concluded.

use std::collections::{BTreeMap, BTreeSet};

use super::docker::Docker;
use super::learning::Learning;
use super::management::Sockets;
use super::names::Resolution;
use super::{FileFault, LinkTable, NmView, OpenVpnFile, Profile, Remembered};
use crate::config::Config;
use crate::net::IfName;

/// What is known without the claims.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) config: Config,
    pub(super) links: LinkTable,
    pub(super) docker: Docker,
    /// What NetworkManager said last; `None` without NetworkManager.
    pub(super) manager: Option<NmView>,
    pub(super) learning: Learning,
    pub(super) sockets: Sockets,
    pub(super) names: Resolution,
    /// The files of root's of which something is left out.
    pub(super) file_faults: Vec<FileFault>,
    /// The devices that root's files name exactly, each with a file that names it.
    devices: BTreeMap<IfName, String>,
}

impl Facts {
    pub(super) fn new(config: Config, remembered: Remembered) -> Self {
        let known_uplinks = remembered.uplinks.iter().map(|wire| wire.index).collect();
        Self {
            config,
            links: LinkTable { known_uplinks, ..LinkTable::default() },
            docker: Docker::new(remembered.networks),
            manager: None,
            learning: Learning::new(remembered.learned),
            sockets: Sockets::default(),
            names: Resolution::new(remembered.names),
            file_faults: Vec::new(),
            devices: BTreeMap::new(),
        }
    }

    /// Takes in the devices that root's files name.
    pub(super) fn take_devices(&mut self, files: &[OpenVpnFile]) {
        let device = |file: &OpenVpnFile| Some((file.device.clone()?, file.path.clone()));
        self.devices = files.iter().rev().filter_map(device).collect();
    }

    /// The devices of root's files that the configuration does not name, each with a file that names it.
    pub(super) fn unnamed_devices(&self) -> impl Iterator<Item = (&IfName, &String)> {
        let patterns = &self.config.tunnel.interfaces;
        let is_named = |device: &IfName| patterns.iter().any(|pattern| pattern.matches(device.as_str()));
        self.devices.iter().filter(move |(device, _)| !is_named(device))
    }

    /// Takes in the links, and remembers which of them are uplinks. Returns the table before.
    pub(super) fn see(&mut self, links: LinkTable) -> LinkTable {
        let before = std::mem::replace(&mut self.links, links);
        self.remember_uplinks(&before.known_uplinks);
        before
    }

    /// The configuration or Docker's bridges are different: another link may be an uplink.
    pub(super) fn see_again(&mut self) {
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
