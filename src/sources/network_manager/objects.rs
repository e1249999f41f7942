//! NetworkManager's objects as its D-Bus interface describes them, and a function to read each.
//!
//! This file only reads. Calls go to the unique name that owns NetworkManager's name, so no other process can
//! answer, and no call starts NetworkManager.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use zbus::names::{BusName, OwnedUniqueName};
use zbus::{Connection, DynamicType, ObjectPath, OwnedObjectPath, Type, as_variant};

use super::error::ReadError;
use super::settings::Settings;

/// NetworkManager's name on the bus, and the interface of its first object.
pub(super) const MANAGER: &str = "org.freedesktop.NetworkManager";
/// A connection that is active or being activated: `StateChanged(u state, u reason)`.
pub(super) const ACTIVE: &str = "org.freedesktop.NetworkManager.Connection.Active";
/// What a VPN connection has in addition to [`ACTIVE`]: `VpnStateChanged(u state, u reason)`, `VpnState u`.
pub(super) const VPN: &str = "org.freedesktop.NetworkManager.VPN.Connection";
/// One network interface that NetworkManager knows.
pub(super) const DEVICE: &str = "org.freedesktop.NetworkManager.Device";
/// What a WireGuard interface has in addition to [`DEVICE`]: `FwMark u`.
pub(super) const WIREGUARD: &str = "org.freedesktop.NetworkManager.Device.WireGuard";
/// The list of profiles: `NewConnection(o)`, `ConnectionRemoved(o)`.
pub(super) const SETTINGS: &str = "org.freedesktop.NetworkManager.Settings";
/// One profile: `Updated()`.
pub(super) const PROFILE: &str = "org.freedesktop.NetworkManager.Settings.Connection";
/// What a VPN plugin sends: `Config(a{sv})`, `Ip4Config(a{sv})`, `Ip6Config(a{sv})`.
pub(super) const PLUGIN: &str = "org.freedesktop.NetworkManager.VPN.Plugin";
/// The bus itself.
pub(super) const BUS: &str = "org.freedesktop.DBus";
/// `PropertiesChanged(s interface, a{sv} changed, as invalidated)`.
pub(super) const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// The path that means "none".
pub(super) const NO_OBJECT: &str = "/";

/// The properties of an [`ACTIVE`] object that are read.
#[derive(Debug, Deserialize, Type)]
#[zbus(signature = "dict")]
#[serde(rename_all = "PascalCase")]
pub(super) struct ActiveConnection {
    /// Whether it is a VPN of a plugin (a WireGuard connection is not).
    #[serde(with = "as_variant")]
    pub(super) vpn: bool,
    /// The profile's `connection.type`.
    #[serde(rename = "Type", with = "as_variant")]
    pub(super) kind: String,
    #[serde(with = "as_variant")]
    pub(super) uuid: String,
    #[serde(with = "as_variant")]
    pub(super) id: String,
    /// `NMActiveConnectionState`.
    #[serde(with = "as_variant")]
    pub(super) state: u32,
    /// For a VPN of a plugin: the *parent's* devices. WireGuard's are its own.
    #[serde(with = "as_variant")]
    pub(super) devices: Vec<OwnedObjectPath>,
    #[serde(with = "as_variant")]
    pub(super) ip4_config: OwnedObjectPath,
    #[serde(with = "as_variant")]
    pub(super) ip6_config: OwnedObjectPath,
    /// `NMActivationStateFlags`.
    #[serde(default, with = "as_variant")]
    state_flags: u32,
}

/// `NM_ACTIVATION_STATE_FLAG_EXTERNAL`
const EXTERNAL: u32 = 0x80;

/// `NM_ACTIVE_CONNECTION_STATE_ACTIVATING`
const ACTIVATING: u32 = 1;

impl ActiveConnection {
    /// Whether its device may exist although no name of it is known: its device cannot be read, or does not exist yet.
    pub(super) fn is_without_its_device(&self) -> bool {
        !self.devices.is_empty() || self.state == ACTIVATING
    }

    /// Whether another program has made and configured the device, and NetworkManager has only found it.
    pub(super) fn is_external(&self) -> bool {
        self.state_flags & EXTERNAL != 0
    }
}

/// The properties of a [`DEVICE`] object that are read.
#[derive(Debug, Deserialize, Type)]
#[zbus(signature = "dict")]
#[serde(rename_all = "PascalCase")]
pub(super) struct Device {
    #[serde(with = "as_variant")]
    pub(super) interface: String,
    /// The name of the interface that carries the addresses; empty while it is unknown.
    #[serde(with = "as_variant")]
    pub(super) ip_interface: String,
    #[serde(with = "as_variant")]
    pub(super) ip4_config: OwnedObjectPath,
    #[serde(with = "as_variant")]
    pub(super) ip6_config: OwnedObjectPath,
}

/// The bus daemon, which answers questions about other processes on the bus.
#[derive(Debug, Clone)]
pub(super) struct Bus(pub(super) Connection);

impl Bus {
    /// Asks the bus to send us the messages that match `rule`.
    pub(super) async fn add_match(&self, rule: &str) -> Result<(), ReadError> {
        self.ask("AddMatch", &rule).await
    }

    /// Every name on the bus.
    pub(super) async fn names(&self) -> Result<Vec<String>, ReadError> {
        self.ask("ListNames", &()).await
    }

    /// The owner of `name`; `None` if it has none. This call starts no program.
    pub(super) async fn owner(&self, name: &str) -> Result<Option<OwnedUniqueName>, ReadError> {
        match self.ask("GetNameOwner", &name).await {
            Err(ReadError::Gone) => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// The user id of the process behind a unique name; `None` if it is gone.
    pub(super) async fn user(&self, name: &str) -> Result<Option<u32>, ReadError> {
        match self.ask("GetConnectionUnixUser", &name).await {
            Err(ReadError::Gone) => Ok(None),
            answer => answer.map(Some),
        }
    }

    async fn ask<B, T>(&self, method: &str, body: &B) -> Result<T, ReadError>
    where
        B: serde::Serialize + DynamicType,
        T: DeserializeOwned + Type,
    {
        let peer = Peer { connection: &self.0, name: BusName::try_from(BUS)? };
        peer.ask("/org/freedesktop/DBus", BUS, method, body).await
    }
}

/// NetworkManager, as long as its process has this unique name.
#[derive(Debug, Clone)]
pub(super) struct Manager {
    pub(super) connection: Connection,
    pub(super) owner: OwnedUniqueName,
}

impl Manager {
    /// Every saved profile.
    pub(super) async fn profiles(&self) -> Result<Vec<OwnedObjectPath>, ReadError> {
        self.ask("/org/freedesktop/NetworkManager/Settings", SETTINGS, "ListConnections", &()).await
    }

    /// The settings of one profile, without secrets.
    pub(super) async fn settings(&self, profile: &str) -> Result<Settings, ReadError> {
        self.ask(profile, PROFILE, "GetSettings", &()).await
    }

    /// Every connection that is active or being activated.
    pub(super) async fn active_connections(&self) -> Result<Vec<OwnedObjectPath>, ReadError> {
        self.list("ActiveConnections").await
    }

    /// Every network interface.
    pub(super) async fn devices(&self) -> Result<Vec<OwnedObjectPath>, ReadError> {
        self.list("Devices").await
    }

    /// One active connection.
    pub(super) async fn active_connection(&self, path: &str) -> Result<ActiveConnection, ReadError> {
        self.ask(path, PROPERTIES, "GetAll", &ACTIVE).await
    }

    /// One network interface.
    pub(super) async fn device(&self, path: &str) -> Result<Device, ReadError> {
        self.ask(path, PROPERTIES, "GetAll", &DEVICE).await
    }

    /// `NMVpnConnectionState` of an active connection that is a VPN.
    pub(super) async fn vpn_state(&self, path: &str) -> Result<u32, ReadError> {
        let Number(state) = self.ask(path, PROPERTIES, "Get", &(VPN, "VpnState")).await?;
        Ok(state)
    }

    /// The mark that a WireGuard device puts on its packets, or 0 for none. The profile sets it, or NetworkManager has
    /// chosen it.
    pub(super) async fn wireguard_mark(&self, path: &str) -> Result<u32, ReadError> {
        let Number(mark) = self.ask(path, PROPERTIES, "Get", &(WIREGUARD, "FwMark")).await?;
        Ok(mark)
    }

    async fn list(&self, property: &str) -> Result<Vec<OwnedObjectPath>, ReadError> {
        let path = "/org/freedesktop/NetworkManager";
        let Paths(list) = self.ask(path, PROPERTIES, "Get", &(MANAGER, property)).await?;
        Ok(list)
    }

    async fn ask<B, T>(&self, path: &str, interface: &str, method: &str, body: &B) -> Result<T, ReadError>
    where
        B: serde::Serialize + DynamicType,
        T: DeserializeOwned + Type,
    {
        let peer = Peer { connection: &self.connection, name: BusName::from(self.owner.as_ref()) };
        peer.ask(path, interface, method, body).await
    }
}

/// A number as `Properties.Get` answers it.
#[derive(Debug, Deserialize, Type)]
#[zbus(signature = "v")]
struct Number(#[serde(with = "as_variant")] u32);

/// A list of objects as `Properties.Get` answers it.
#[derive(Debug, Deserialize, Type)]
#[zbus(signature = "v")]
struct Paths(#[serde(with = "as_variant")] Vec<OwnedObjectPath>);

/// The process that calls go to.
struct Peer<'a> {
    connection: &'a Connection,
    name: BusName<'a>,
}

impl Peer<'_> {
    async fn ask<B, T>(&self, path: &str, interface: &str, method: &str, body: &B) -> Result<T, ReadError>
    where
        B: serde::Serialize + DynamicType,
        T: DeserializeOwned + Type,
    {
        let (path, name) = (ObjectPath::try_from(path)?, Some(&self.name));
        let reply = self.connection.call_method(name, path, Some(interface), method, body).await?;
        Ok(reply.body().deserialize()?)
    }
}
