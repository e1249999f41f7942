//! Signals on the bus. Each is checked by the sender that the bus daemon writes into it.
//!
//! Any local user can send a message that looks like NetworkManager's, to every process or to this one alone. A message
//! to this process alone passes every match rule. So a message is read only if the bus daemon names the process that
//! may send it as its sender.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use zbus::message::{Message, Type};
use zbus::names::OwnedUniqueName;
use zbus::{OwnedObjectPath, Variant};

use super::objects::{ACTIVE, BUS, DEVICE, MANAGER, PLUGIN, PROFILE, PROPERTIES, SETTINGS, VPN, WIREGUARD};
use super::plugins::Plugins;
use crate::net::server_address;

/// The match rules: what the bus sends to us. A well-known name in `sender` means the process that owns it at
/// that moment. Wireless scans and statistics are left out, so that an idle machine stays idle.
pub(super) const RULES: [&str; 12] = [
    "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',\
     member='NameOwnerChanged',arg0='org.freedesktop.NetworkManager'",
    "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',\
     member='NameOwnerChanged',arg0namespace='org.freedesktop.NetworkManager.openvpn'",
    "type='signal',sender='org.freedesktop.NetworkManager',\
     interface='org.freedesktop.NetworkManager.VPN.Connection'",
    "type='signal',sender='org.freedesktop.NetworkManager',\
     interface='org.freedesktop.NetworkManager.Connection.Active'",
    "type='signal',sender='org.freedesktop.NetworkManager',\
     interface='org.freedesktop.NetworkManager.Settings'",
    "type='signal',sender='org.freedesktop.NetworkManager',\
     interface='org.freedesktop.NetworkManager.Settings.Connection'",
    "type='signal',sender='org.freedesktop.NetworkManager',\
     interface='org.freedesktop.DBus.Properties',arg0='org.freedesktop.NetworkManager'",
    "type='signal',sender='org.freedesktop.NetworkManager',\
     interface='org.freedesktop.DBus.Properties',arg0='org.freedesktop.NetworkManager.Connection.Active'",
    "type='signal',sender='org.freedesktop.NetworkManager',\
     interface='org.freedesktop.DBus.Properties',arg0='org.freedesktop.NetworkManager.Device'",
    "type='signal',sender='org.freedesktop.NetworkManager',\
     interface='org.freedesktop.DBus.Properties',arg0='org.freedesktop.NetworkManager.Device.WireGuard'",
    "type='signal',sender='org.freedesktop.NetworkManager',\
     interface='org.freedesktop.NetworkManager.Device',member='StateChanged'",
    // A plugin has a name of its own for each connection. This file checks the owner of that name; the bus does not.
    "type='signal',path='/org/freedesktop/NetworkManager/VPN/Plugin',\
     interface='org.freedesktop.NetworkManager.VPN.Plugin'",
];

/// The name of the OpenVPN plugin. By the bus policy, only root can own it and the names that begin with it.
const OPENVPN: &str = "org.freedesktop.NetworkManager.openvpn";

/// Whether `name` is the plugin's, or its name for one connection
/// (`org.freedesktop.NetworkManager.openvpn.Connection_4`).
pub(super) fn is_plugin(name: &str) -> bool {
    name.strip_prefix(OPENVPN).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The content of a trusted signal.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// NetworkManager's name has another owner.
    Manager(Option<OwnedUniqueName>),
    /// A plugin's name has another owner.
    Plugin { name: String, owner: Option<OwnedUniqueName> },
    /// `VpnStateChanged` of an active connection.
    VpnState { path: String, state: u32, reason: u32 },
    /// `StateChanged` of an active connection.
    ActiveState { path: String, state: u32, reason: u32 },
    /// A property that the source reads has changed at an active connection.
    Active { path: String },
    /// Active connections have been added or removed.
    ActiveList,
    /// `StateChanged` of a device.
    DeviceState { path: String, state: u32, reason: u32 },
    /// Network interfaces have been added or removed, or have other addresses.
    Devices,
    /// A profile is new or has changed.
    Profile { path: String },
    /// A profile is gone.
    ProfileGone { path: String },
    /// The plugin with this unique name has reached a server.
    Gateway { plugin: OwnedUniqueName, address: IpAddr },
}

/// The known senders of signals.
pub(super) struct Senders<'a> {
    /// The owner of NetworkManager's name.
    pub(super) manager: Option<&'a OwnedUniqueName>,
    /// The owners of the plugins' names.
    pub(super) plugins: &'a Plugins,
}

impl Signal {
    /// Reads a message; `None` if it is no signal, has the wrong sender, or does not matter.
    pub(super) fn read(message: &Message, senders: &Senders<'_>) -> Option<Self> {
        if message.message_type() != Type::Signal {
            return None;
        }
        let header = message.header();
        let sender = header.sender()?;
        let error_text = SignalHeader {
            message,
            path: header.path()?.as_str(),
            interface: header.interface()?.as_str(),
            member: header.member()?.as_str(),
        };
        if sender.as_str() == BUS {
            error_text.by_bus()
        } else if senders.manager.is_some_and(|manager| manager.as_str() == sender.as_str()) {
            error_text.by_manager()
        } else if senders.plugins.own(sender) {
            let address = error_text.by_plugin()?;
            Some(Self::Gateway { plugin: sender.to_owned().into(), address })
        } else {
            None
        }
    }
}

/// A signal whose sender is known.
struct SignalHeader<'a> {
    message: &'a Message,
    path: &'a str,
    interface: &'a str,
    member: &'a str,
}

impl SignalHeader<'_> {
    fn by_bus(&self) -> Option<Signal> {
        if (self.interface, self.member) != (BUS, "NameOwnerChanged") {
            return None;
        }
        let body = self.message.body();
        let (name, _, owner): (&str, &str, &str) = body.deserialize().ok()?;
        let owner = OwnedUniqueName::try_from(owner).ok();
        match name {
            MANAGER => Some(Signal::Manager(owner)),
            _ if is_plugin(name) => Some(Signal::Plugin { name: name.to_owned(), owner }),
            _ => None,
        }
    }

    fn by_manager(&self) -> Option<Signal> {
        let path = self.path.to_owned();
        match (self.interface, self.member) {
            (VPN, "VpnStateChanged") => {
                let (state, reason) = self.message.body().deserialize().ok()?;
                Some(Signal::VpnState { path, state, reason })
            }
            (ACTIVE, "StateChanged") => {
                let (state, reason) = self.message.body().deserialize().ok()?;
                Some(Signal::ActiveState { path, state, reason })
            }
            (DEVICE, "StateChanged") => {
                let (state, _, reason): (u32, u32, u32) = self.message.body().deserialize().ok()?;
                Some(Signal::DeviceState { path, state, reason })
            }
            (PROPERTIES, "PropertiesChanged") => self.properties(path),
            (SETTINGS, "NewConnection") => Some(Signal::Profile { path: self.object()? }),
            (SETTINGS, "ConnectionRemoved") => Some(Signal::ProfileGone { path: self.object()? }),
            (PROFILE, "Updated") => Some(Signal::Profile { path }),
            (PROFILE, "Removed") => Some(Signal::ProfileGone { path }),
            _ => None,
        }
    }

    fn properties(&self, path: String) -> Option<Signal> {
        let body = self.message.body();
        let (interface, changed, _): (&str, HashMap<&str, Variant<'_>>, Vec<&str>) =
            body.deserialize().ok()?;
        let any = |names: &[&str]| names.iter().any(|name| changed.contains_key(name));
        match interface {
            MANAGER if any(&["ActiveConnections"]) => Some(Signal::ActiveList),
            MANAGER if any(&["Devices"]) => Some(Signal::Devices),
            ACTIVE if any(&["Ip4Config", "Ip6Config", "State", "Uuid", "Id", "Devices"]) => {
                Some(Signal::Active { path })
            }
            DEVICE if any(&["Ip4Config", "Ip6Config", "Interface", "IpInterface"]) => Some(Signal::Devices),
            WIREGUARD if any(&["FwMark"]) => Some(Signal::Devices),
            _ => None,
        }
    }

    fn by_plugin(&self) -> Option<IpAddr> {
        if self.interface != PLUGIN || !matches!(self.member, "Config" | "Ip4Config" | "Ip6Config") {
            return None;
        }
        let body = self.message.body();
        let config: HashMap<&str, Variant<'_>> = body.deserialize().ok()?;
        gateway(config.get("gateway")?)
    }

    fn object(&self) -> Option<String> {
        let path: OwnedObjectPath = self.message.body().deserialize().ok()?;
        Some(path.as_str().to_owned())
    }
}

/// `NM_VPN_PLUGIN_CONFIG_EXT_GATEWAY`: `u` in network byte order, or `ay` of 16 bytes.
fn gateway(value: &Variant<'_>) -> Option<IpAddr> {
    let address: IpAddr = if let Ok(v4) = u32::try_from(value) {
        Ipv4Addr::from(v4.to_ne_bytes()).into()
    } else {
        let bytes: Vec<u8> = value.try_clone().ok()?.try_into().ok()?;
        Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()
    };
    server_address(address).ok()
}
