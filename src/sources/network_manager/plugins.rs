//! The VPN plugins on the bus. Decides which of their messages count. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use zbus::names::{OwnedUniqueName, UniqueName};

use crate::guide::VpnKind;

/// Every plugin by its well-known name. Only the messages of root's plugins count.
#[derive(Debug, Default)]
pub(super) struct Plugins(BTreeMap<String, Plugin>);

#[derive(Debug)]
struct Plugin {
    owner: OwnedUniqueName,
    is_root: bool,
    /// The server that the plugin says it has reached. It is kept until it is assigned to a connection.
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

    /// Notes that root runs the plugin's process.
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

    /// Offers to `take` each server that one of root's plugins has reached, until `take` accepts it. A plugin that
    /// serves several connections one after the other reports a server for each of them.
    pub(super) fn assign(&mut self, mut take: impl FnMut(Serves, IpAddr) -> bool) {
        for (name, plugin) in self.0.iter_mut().filter(|(_, plugin)| plugin.is_root) {
            plugin.gateway = plugin.gateway.filter(|gateway| !take(Serves::of(name), *gateway));
        }
    }
}

/// Which connections a plugin serves under one name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Serves {
    /// The one at this path.
    Connection(String),
    /// All of this kind, one after the other.
    All(VpnKind),
}

impl Serves {
    /// `….openvpn.Connection_4` serves `…/ActiveConnection/4`.
    fn of(name: &str) -> Self {
        match name.rsplit_once(".Connection_") {
            Some((_, number)) => {
                Self::Connection(format!("/org/freedesktop/NetworkManager/ActiveConnection/{number}"))
            }
            None => Self::All(VpnKind::of_service(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn each_server_is_taken_once_and_only_from_root_s_plugin() {
        let mut plugins = Plugins::default();
        let owner = |name: &str| OwnedUniqueName::try_from(name).unwrap();
        let address: IpAddr = "198.51.100.7".parse().unwrap();
        let names =
            ["org.freedesktop.NetworkManager.openvpn.Connection_4", "org.freedesktop.NetworkManager.vpnc"];
        for (name, at) in names.iter().zip([":1.4", ":1.5"]) {
            plugins.arrive((*name).to_owned(), owner(at));
            plugins.reach(&owner(at), address);
        }
        let mut offered = Vec::new();
        plugins.assign(|serves, gateway| {
            offered.push((serves, gateway));
            true
        });
        assert_eq!(offered, [], "nobody knows yet whose plugins they are");
        [":1.4", ":1.5"].iter().for_each(|at| plugins.trust(&owner(at)));
        let path = "/org/freedesktop/NetworkManager/ActiveConnection/4".to_owned();
        let all = [(Serves::Connection(path), address), (Serves::All(VpnKind::Vpnc), address)];
        for taken in [false, true] {
            offered.clear();
            plugins.assign(|serves, gateway| {
                offered.push((serves, gateway));
                taken
            });
            assert_eq!(offered, all);
        }
        plugins.assign(|serves, _| panic!("the next connection of a plugin has another server: {serves:?}"));
    }
}
