//! Reads again what signals have made stale, one object after the other. The source keeps listening during this.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use super::super::skipped::shown;
use super::TIMEOUT;
use super::cache::{ActiveList, Tick};
use super::error::ReadError;
use super::objects::{ActiveConnection, Bus, Manager, NO_OBJECT};
use super::phase::{active_end, vpn_phase, wireguard_phase};
use super::settings::Reading;
use super::signals::{RULES, is_plugin};
use crate::guide::VpnKind;
use crate::net::IfName;
use crate::vpn::{ActiveVpn, VpnPhase};
use zbus::names::OwnedUniqueName;

/// What has to be read again.
#[derive(Debug, Clone, Default)]
pub(super) struct Stale {
    /// Whether the list of profiles must be read, and every profile in it.
    pub(super) all_profiles: bool,
    /// The paths of the profiles that must be read.
    pub(super) profiles: BTreeSet<String>,
    /// Whether the active connections and their interfaces must be read.
    pub(super) active: bool,
    /// Plugins for which it is unknown whether they are root's.
    pub(super) plugins: BTreeSet<OwnedUniqueName>,
}

impl Stale {
    pub(super) fn is_empty(&self) -> bool {
        !self.all_profiles && self.profiles.is_empty() && !self.active && self.plugins.is_empty()
    }

    /// Marks everything as stale: a NetworkManager has just appeared.
    pub(super) fn everything(&mut self) {
        self.all_profiles = true;
        self.active = true;
    }

    /// Marks again as stale what could not be read.
    pub(super) fn put_back(&mut self, other: Self) {
        self.all_profiles |= other.all_profiles;
        self.profiles.extend(other.profiles);
        self.active |= other.active;
        self.plugins.extend(other.plugins);
    }
}

/// Who is on the bus.
#[derive(Debug)]
pub(super) struct Present {
    pub(super) manager: Option<OwnedUniqueName>,
    /// Each plugin's name and its owner.
    pub(super) plugins: Vec<(String, OwnedUniqueName)>,
}

/// Asks the bus for the signals that the source needs, then for the processes that are already there.
pub(super) async fn introduce(bus: Bus) -> Result<Present, ReadError> {
    for rule in RULES {
        bus.add_match(rule).await?;
    }
    let manager = bus.owner(super::objects::MANAGER).await?;
    let mut plugins = Vec::new();
    for name in bus.names().await?.into_iter().filter(|name| is_plugin(name)) {
        if let Some(owner) = bus.owner(&name).await? {
            plugins.push((name, owner));
        }
    }
    Ok(Present { manager, plugins })
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Fresh {
    /// The paths of all profiles, if all were asked for.
    pub(super) all_profiles: Option<BTreeSet<String>>,
    /// The content of each profile; `None` if the profile is gone, unreadable or no VPN.
    pub(super) profiles: Vec<(String, Option<Reading>)>,
    pub(super) active: Option<ActiveList>,
    /// The number of the last question that came before the active connections were read.
    pub(super) question: u64,
    /// The user id of each plugin; `None` if it is gone.
    pub(super) plugins: Vec<(OwnedUniqueName, Option<u32>)>,
    /// What could not be read, and why.
    pub(super) failed: Vec<(String, ReadError)>,
}

/// The user id of each plugin that is not known yet.
pub(super) async fn users(bus: &Bus, stale: &Stale, fresh: &mut Fresh) -> Result<(), ReadError> {
    for plugin in &stale.plugins {
        fresh.plugins.push((plugin.clone(), bus.user(plugin).await?));
    }
    Ok(())
}

/// Reads active connections and profiles.
///
/// # Errors
/// Only when NetworkManager does not answer. One object that cannot be read is left out.
pub(super) async fn objects(
    manager: &Manager,
    stale: &Stale,
    passed: &BTreeSet<String>,
    asked: Tick,
    fresh: &mut Fresh,
) -> Result<(), ReadError> {
    // Phases first: the agent needs them soonest.
    if stale.active {
        fresh.active = Some(active(manager, passed, asked, &mut fresh.failed).await?);
    }
    let mut paths = stale.profiles.clone();
    if stale.all_profiles {
        paths = manager.profiles().await?.into_iter().map(|path| path.to_string()).collect();
        fresh.all_profiles = Some(paths.clone());
    }
    for path in paths {
        let settings = found(&path, manager.settings(&path).await, &mut fresh.failed)?;
        fresh.profiles.push((path, settings.and_then(super::settings::Settings::vpn_profile)));
    }
    let is_openconnect = |reading: &Reading| reading.profile.kind == VpnKind::ManagedOpenConnect;
    let mut readings = fresh.profiles.iter_mut().filter_map(|(_, reading)| reading.as_mut());
    if let Some(first) = readings.find(|reading| is_openconnect(reading)) {
        first.profile.user = user_id(OPENCONNECT_USER).await;
        let user = first.profile.user;
        readings.filter(|reading| is_openconnect(reading)).for_each(|reading| reading.profile.user = user);
    }
    Ok(())
}

/// The user as which NetworkManager-openconnect starts openconnect. It comes in addition to those of
/// `bootstrap.owners`.
const OPENCONNECT_USER: &str = "nm-openconnect";

/// The user id of a name. The user database may be on a server that does not answer.
async fn user_id(name: &'static str) -> Option<u32> {
    let found = tokio::task::spawn_blocking(move || crate::system::user_id(name));
    match tokio::time::timeout(TIMEOUT, found).await {
        Ok(found) => found.ok().flatten(),
        Err(_) => {
            tracing::warn!("the user database does not answer: the user {name} may reach no server");
            None
        }
    }
}

/// `None` for one object that cannot be read; an error when NetworkManager does not answer.
fn found<T>(
    path: &str,
    answer: Result<T, ReadError>,
    failed: &mut Vec<(String, ReadError)>,
) -> Result<Option<T>, ReadError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(ReadError::Gone) => Ok(None),
        Err(silent @ ReadError::Silent(_)) => Err(silent),
        Err(refused @ ReadError::Refused(_)) => {
            failed.push((path.to_owned(), refused));
            Ok(None)
        }
    }
}

/// `NM_VPN_CONNECTION_STATE_IP_CONFIG_GET`: the device may have its addresses, and NetworkManager does not name it yet.
const VPN_IS_CONFIGURED: u32 = 4;

/// Whether the device of a connection is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Yes,
    NotYet,
}

async fn active(
    manager: &Manager,
    passed: &BTreeSet<String>,
    asked: Tick,
    failed: &mut Vec<(String, ReadError)>,
) -> Result<ActiveList, ReadError> {
    let paths = manager.active_connections().await?.into_iter().map(|path| path.to_string()).collect();
    let (vpns, devices, others) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    let mut list = ActiveList { asked, paths, vpns, devices, others, is_whole: true };
    let (mut wanted, mut wireguards) = (Vec::new(), Vec::new());
    for path in list.paths.difference(passed) {
        let Some(connection) = found(path, manager.active_connection(path).await, failed)? else {
            list.is_whole = false;
            continue;
        };
        // wg-quick or OpenVPN has made this device. The kernel shows it.
        if connection.is_external() {
            list.others.insert(path.clone(), BTreeSet::new());
            continue;
        }
        if connection.kind == "wireguard" {
            list.devices.extend(connection.devices.first().map(|device| (path.clone(), device.to_string())));
            let (vpn, device) = wireguard(manager, path, connection, failed).await?;
            list.is_whole &= device == Found::Yes;
            wireguards.push(vpn);
            continue;
        }
        if !connection.vpn {
            // Without its device, the connection is read again at the next change.
            match made(manager, &connection, failed).await? {
                Some(made) => drop(list.others.insert(path.clone(), made)),
                None => list.is_whole &= !connection.is_without_its_device(),
            }
            continue;
        }
        let state = found(path, manager.vpn_state(path).await, failed)?;
        list.is_whole &= state.is_some_and(|state| state != VPN_IS_CONFIGURED);
        let Some(state) = state else { continue };
        let phase = active_end(connection.state, 0).or_else(|| vpn_phase(state, 0));
        list.vpns.push(ActiveVpn {
            path: path.clone(),
            uuid: connection.uuid.clone(),
            id: connection.id.clone(),
            phase: phase.unwrap_or(VpnPhase::Connecting),
            interface: None,
            gateway: None,
            mark: None,
        });
        wanted.push(connection);
    }
    interfaces(manager, &wanted, &mut list.vpns, failed).await?;
    list.vpns.extend(wireguards);
    Ok(list)
}

/// The interfaces of a connection that is no VPN; `None` while it has no device that can be read.
async fn made(
    manager: &Manager,
    connection: &ActiveConnection,
    failed: &mut Vec<(String, ReadError)>,
) -> Result<Option<BTreeSet<IfName>>, ReadError> {
    let mut made = BTreeSet::new();
    for device in &connection.devices {
        let Some(device) = found(device, manager.device(device).await, failed)? else { return Ok(None) };
        let names = [device.interface, device.ip_interface];
        // A rule cannot contain any other name, so nothing may pass on such a device.
        made.extend(names.iter().filter_map(|name| name.parse::<IfName>().ok()));
    }
    Ok((!connection.devices.is_empty()).then_some(made))
}

/// Reads a WireGuard connection. It has no plugin: like the connection of a card it has a device, which is the tunnel.
async fn wireguard(
    manager: &Manager,
    path: &str,
    connection: ActiveConnection,
    failed: &mut Vec<(String, ReadError)>,
) -> Result<(ActiveVpn, Found), ReadError> {
    let (mut interface, mut mark) = (None, None);
    let mut found_device = if connection.is_without_its_device() { Found::NotYet } else { Found::Yes };
    if let Some(device) = connection.devices.first() {
        let of_device = found(device, manager.device(device).await, failed)?;
        found_device = if of_device.is_some() { Found::Yes } else { Found::NotYet };
        interface = of_device.and_then(|device| device.interface.parse::<IfName>().ok());
        let number = found(device, manager.wireguard_mark(device).await, failed)?;
        mark = number.and_then(NonZeroU32::new);
    }
    let vpn = ActiveVpn {
        path: path.to_owned(),
        phase: wireguard_phase(connection.state),
        uuid: connection.uuid,
        id: connection.id,
        interface,
        gateway: None,
        mark,
    };
    Ok((vpn, found_device))
}

/// Finds the tunnel of each VPN: the device that has the connection's own addresses. `Devices` of the
/// connection are those of its parent, and are not used.
async fn interfaces(
    manager: &Manager,
    connections: &[ActiveConnection],
    vpns: &mut [ActiveVpn],
    failed: &mut Vec<(String, ReadError)>,
) -> Result<(), ReadError> {
    let has_addresses = |c: &ActiveConnection| is_object(&c.ip4_config) || is_object(&c.ip6_config);
    let mut missing = connections.iter().filter(|c| has_addresses(c)).count();
    if missing == 0 {
        return Ok(());
    }
    // A tunnel appears later than most devices, so the search begins at the end of the list.
    for path in manager.devices().await?.iter().rev() {
        if missing == 0 {
            break;
        }
        let Some(device) = found(path.as_str(), manager.device(path.as_str()).await, failed)? else {
            continue;
        };
        for (connection, vpn) in connections.iter().zip(vpns.iter_mut()) {
            let same_v4 = is_object(&device.ip4_config) && device.ip4_config == connection.ip4_config;
            let same_v6 = is_object(&device.ip6_config) && device.ip6_config == connection.ip6_config;
            if vpn.interface.is_none() && (same_v4 || same_v6) && !connection.devices.contains(path) {
                let name =
                    if device.ip_interface.is_empty() { &device.interface } else { &device.ip_interface };
                vpn.interface = name.parse::<IfName>().ok();
                if vpn.interface.is_none() {
                    tracing::warn!(vpn = %shown(&vpn.id), interface = %shown(name), "no rule can contain the name of this interface");
                }
                missing -= 1;
            }
        }
    }
    Ok(())
}

fn is_object(path: &zbus::OwnedObjectPath) -> bool {
    path.as_str() != NO_OBJECT
}
