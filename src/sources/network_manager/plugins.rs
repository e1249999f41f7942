//! VPN plugins on the bus, and which of their messages count. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use zbus::names::{OwnedUniqueName, UniqueName};

/// Every plugin by its well-known name. Only the messages of root's plugins count.
#[derive(Debug, Default)]
pub(super) struct Plugins(BTreeMap<String, Plugin>);

#[derive(Debug)]
struct Plugin {
    owner: OwnedUniqueName,
    is_root: bool,
    /// The server that it reported to have reached.
    gateway: Option<IpAddr>,
}

impl Plugins {
    /// Notes the owner of a plugin's name.
    pub(super) fn arrive(&mut self, name: String, owner: OwnedUniqueName) {
        self.0.insert(name, Plugin { owner, is_root: false, gateway: None });
    }

    /// Removes a plugin's name, which has no owner any more.
    pub(super) fn leave(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// Whether a name has an owner.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Whether this name on the bus belongs to a plugin.
    pub(super) fn own(&self, sender: &UniqueName<'_>) -> bool {
        self.0.values().any(|plugin| plugin.owner == *sender)
    }

    /// Notes that a plugin's process is root's.
    pub(super) fn trust(&mut self, owner: &OwnedUniqueName) {
        for plugin in self.0.values_mut().filter(|plugin| plugin.owner == *owner) {
            plugin.is_root = true;
        }
    }

    /// Notes that a plugin has reached a server.
    pub(super) fn reach(&mut self, owner: &OwnedUniqueName, gateway: IpAddr) {
        for plugin in self.0.values_mut().filter(|plugin| plugin.owner == *owner) {
            plugin.gateway = Some(gateway);
        }
    }

    /// Each server that a plugin of root's has reached, with the path of the active connection that the
    /// plugin serves: `….openvpn.Connection_4` serves `…/ActiveConnection/4`. A plugin that serves all
    /// connections under one name has no path.
    pub(super) fn gateways(&self) -> impl Iterator<Item = (Option<String>, IpAddr)> {
        self.0.iter().filter(|(_, plugin)| plugin.is_root).filter_map(|(name, plugin)| {
            let path = name
                .rsplit_once(".Connection_")
                .map(|(_, number)| format!("/org/freedesktop/NetworkManager/ActiveConnection/{number}"));
            plugin.gateway.map(|gateway| (path, gateway))
        })
    }
}
