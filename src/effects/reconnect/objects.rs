//! The part of NetworkManager's D-Bus interface that brings connections up and down.

use zbus::{ObjectPath, OwnedObjectPath, proxy};

/// `org.freedesktop.NetworkManager`
#[proxy(
    interface = "org.freedesktop.NetworkManager",
    default_service = "org.freedesktop.NetworkManager",
    default_path = "/org/freedesktop/NetworkManager"
)]
pub(super) trait NetworkManager {
    /// Brings a profile up on a device (`/`: any that fits) over another active connection (`/`: the
    /// one with the default route).
    fn activate_connection(
        &self,
        connection: &ObjectPath<'_>,
        device: &ObjectPath<'_>,
        specific_object: &ObjectPath<'_>,
    ) -> zbus::Result<OwnedObjectPath>;
    /// Brings an active connection down.
    fn deactivate_connection(&self, active: &ObjectPath<'_>) -> zbus::Result<()>;
    /// All networks on or off.
    fn enable(&self, enable: bool) -> zbus::Result<()>;
    /// Whether all networks are on, as somebody has set it.
    #[zbus(property)]
    fn networking_enabled(&self) -> zbus::Result<bool>;
    /// What is active or on its way.
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

/// `org.freedesktop.NetworkManager.Connection.Active`
#[proxy(
    interface = "org.freedesktop.NetworkManager.Connection.Active",
    default_service = "org.freedesktop.NetworkManager"
)]
pub(super) trait Active {
    /// Its profile.
    #[zbus(property)]
    fn connection(&self) -> zbus::Result<OwnedObjectPath>;
    /// Its profile's UUID.
    #[zbus(property)]
    fn uuid(&self) -> zbus::Result<String>;
    /// Whether it is a VPN of a plugin.
    #[zbus(property)]
    fn vpn(&self) -> zbus::Result<bool>;
    /// `NMActiveConnectionState`
    #[zbus(property)]
    fn state(&self) -> zbus::Result<u32>;
    /// On which it stands.
    #[zbus(property)]
    fn devices(&self) -> zbus::Result<Vec<OwnedObjectPath>>;
}

/// `org.freedesktop.NetworkManager.Device`
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
    /// What is active on it; `/` when nothing is.
    #[zbus(property)]
    fn active_connection(&self) -> zbus::Result<OwnedObjectPath>;
    /// Profiles that could be brought up on it now.
    #[zbus(property)]
    fn available_connections(&self) -> zbus::Result<Vec<OwnedObjectPath>>;
}
