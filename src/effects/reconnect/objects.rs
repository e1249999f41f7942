//! The part of NetworkManager's D-Bus interface that brings connections up and down.

use zbus::{ObjectPath, OwnedObjectPath, proxy};

/// `org.freedesktop.NetworkManager`
#[proxy(
    interface = "org.freedesktop.NetworkManager",
    default_service = "org.freedesktop.NetworkManager",
    default_path = "/org/freedesktop/NetworkManager"
)]
pub(super) trait NetworkManager {
    /// Brings a profile up on a device (`/`: any device that fits), on top of another active connection (`/`: the one
    /// with the default route).
    fn activate_connection(
        &self,
        connection: &ObjectPath<'_>,
        device: &ObjectPath<'_>,
        specific_object: &ObjectPath<'_>,
    ) -> zbus::Result<OwnedObjectPath>;
    /// Brings an active connection down.
    fn deactivate_connection(&self, active: &ObjectPath<'_>) -> zbus::Result<()>;
    /// Switches all networks on or off.
    fn enable(&self, enable: bool) -> zbus::Result<()>;
    /// Whether all networks are switched on.
    #[zbus(property)]
    fn networking_enabled(&self) -> zbus::Result<bool>;
    /// Every connection that is active or being activated.
    #[zbus(property)]
    fn active_connections(&self) -> zbus::Result<Vec<OwnedObjectPath>>;
    /// Every network interface.
    #[zbus(property)]
    fn devices(&self) -> zbus::Result<Vec<OwnedObjectPath>>;
    /// The active connection that has the default route.
    #[zbus(property)]
    fn primary_connection(&self) -> zbus::Result<OwnedObjectPath>;
    /// `NMState`
    #[zbus(property)]
    fn state(&self) -> zbus::Result<u32>;
}

/// `org.freedesktop.NetworkManager.Settings`
#[proxy(
    interface = "org.freedesktop.NetworkManager.Settings",
    default_service = "org.freedesktop.NetworkManager",
    default_path = "/org/freedesktop/NetworkManager/Settings"
)]
pub(super) trait Settings {
    /// The profile of a UUID.
    fn get_connection_by_uuid(&self, uuid: &str) -> zbus::Result<OwnedObjectPath>;
}

/// `org.freedesktop.NetworkManager.Connection.Active`: one connection that is active or being activated.
#[proxy(
    interface = "org.freedesktop.NetworkManager.Connection.Active",
    default_service = "org.freedesktop.NetworkManager"
)]
pub(super) trait Active {
    /// The connection's profile.
    #[zbus(property)]
    fn connection(&self) -> zbus::Result<OwnedObjectPath>;
    /// The UUID of the connection's profile.
    #[zbus(property)]
    fn uuid(&self) -> zbus::Result<String>;
    /// Whether the connection is a VPN of a plugin.
    #[zbus(property)]
    fn vpn(&self) -> zbus::Result<bool>;
    /// `NMActiveConnectionState`
    #[zbus(property)]
    fn state(&self) -> zbus::Result<u32>;
    /// The devices that the connection uses.
    #[zbus(property)]
    fn devices(&self) -> zbus::Result<Vec<OwnedObjectPath>>;
}

/// `org.freedesktop.NetworkManager.Device`: one network interface.
#[proxy(
    interface = "org.freedesktop.NetworkManager.Device",
    default_service = "org.freedesktop.NetworkManager"
)]
pub(super) trait Device {
    /// `NMDeviceState`
    #[zbus(property)]
    fn state(&self) -> zbus::Result<u32>;
    /// `NMDeviceType`
    #[zbus(property)]
    fn device_type(&self) -> zbus::Result<u32>;
    /// The active connection of the device; `/` when there is none.
    #[zbus(property)]
    fn active_connection(&self) -> zbus::Result<OwnedObjectPath>;
    /// Profiles that can be brought up on the device now.
    #[zbus(property)]
    fn available_connections(&self) -> zbus::Result<Vec<OwnedObjectPath>>;
}
