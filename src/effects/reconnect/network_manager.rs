//! The steps to bring a VPN back, as calls to NetworkManager.
//!
//! Every call goes to the unique name that owns NetworkManager's name now. So no other program can answer, and a call
//! does not start a NetworkManager that does not run.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::watch;
use zbus::fdo::DBusProxy;
use zbus::message::Type;
use zbus::names::BusName;
use zbus::proxy::CacheProperties;
use zbus::{Connection, MatchRule, MessageStream, ObjectPath, OwnedObjectPath};

use super::AttemptContext;
use super::objects::{ActiveProxy, DeviceProxy, NetworkManagerProxy, SettingsProxy};
use super::plan::Failure;
use crate::bus;
use crate::describe::describe;
use crate::status::Status;
use crate::store::{Store, StoreError};
use crate::system;
use crate::vpn::{Event, ManagedVpn, NoReconnectTarget};

const NAME: &str = "org.freedesktop.NetworkManager";
const VPN: &str = "org.freedesktop.NetworkManager.VPN.Connection";

/// How long one call may take.
const ANSWER: Duration = Duration::from_secs(10);
/// How long a VPN may take to come up. NetworkManager itself gives up after 60 s.
const VPN_UP: Duration = Duration::from_secs(75);
/// How long a VPN that NetworkManager reports as activated may take to carry traffic.
pub(super) const CARRY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a network may take to come up, with Wi-Fi and DHCP, and how long anything may take to go down.
const NETWORK_UP: Duration = Duration::from_secs(30);
const DOWN: Duration = Duration::from_secs(10);
/// The time between two polls of a fact that has no signal.
const POLL: Duration = Duration::from_millis(200);

/// `NMState`: asleep, and connected with a default route.
const ASLEEP: u32 = 10;
const CONNECTED: u32 = 60;
/// `NMActiveConnectionState`
const ACTIVATING: u32 = 1;
/// `NMDeviceState`
const DISCONNECTED: u32 = 30;
const ACTIVATED: u32 = 100;
/// `NMDeviceType`s on which no VPN is based: generic, tun, IP tunnel, WireGuard, loopback, and a bridge, which may
/// belong to containers.
const NO_PARENT: [u32; 6] = [13, 14, 16, 17, 29, 32];
/// The path for "none", or for "any that fits".
const ANY: ObjectPath<'static> = ObjectPath::from_static_str_unchecked("/");

/// NetworkManager, as long as it has this unique name.
pub(super) struct Manager {
    connection: Connection,
    owner: BusName<'static>,
    proxy: NetworkManagerProxy<'static>,
}

/// A network card that may carry the VPN's packets, and the profile to bring up on it.
struct Parent {
    device: OwnedObjectPath,
    profile: OwnedObjectPath,
}

impl From<zbus::Error> for Failure {
    fn from(error: zbus::Error) -> Self {
        Self::Again(bus::error_text(&error))
    }
}

impl Manager {
    /// Connects to NetworkManager.
    pub(super) async fn connect() -> Result<Self, String> {
        let absent = |error| format!("no system bus: {error}");
        let bus = bus::bounded::system_bus().await.map_err(absent)?;
        let connection = bus.method_timeout(ANSWER).build().await.map_err(absent)?;
        let absent = |_| NoReconnectTarget::NoNetworkManager.to_string();
        let bus = DBusProxy::new(&connection).await.map_err(absent)?;
        let owner = bus.get_name_owner(BusName::from_static_str(NAME).map_err(absent)?).await;
        let owner =
            BusName::Unique(owner.map_err(|_| NoReconnectTarget::NoNetworkManager.to_string())?.into_inner());
        let proxy = NetworkManagerProxy::builder(&connection)
            .destination(owner.clone())
            .cache_properties(CacheProperties::No)
            .build()
            .await
            .map_err(absent)?;
        Ok(Self { connection, owner, proxy })
    }

    /// Restarts the VPN: ends what is left of it, brings it up, and waits until it carries traffic.
    pub(super) async fn restart_vpn(
        &self,
        vpn: &ManagedVpn,
        context: &mut AttemptContext,
    ) -> Result<(), Failure> {
        let name = vpn.name.as_str();
        let signals = MatchRule::builder()
            .msg_type(Type::Signal)
            .sender(self.owner.clone())
            .interface(VPN)
            .member("VpnStateChanged")
            .build()?;
        // The subscription comes before the VPN is brought up, because its first signal may be its last.
        let mut signals = MessageStream::for_match_rule(signals, &self.connection, None).await?;
        let active = match self.clear(vpn, context).await? {
            Some(on_its_way) => on_its_way,
            None => {
                let profile = self.settings().await?.get_connection_by_uuid(&vpn.uuid).await?;
                self.proxy.activate_connection(&profile, &ANY, &ANY).await?
            }
        };
        tokio::select! {
            () = carries(&mut context.status, name) => Ok(()),
            failure = ending(&mut signals, &active) => Err(failure),
            () = tokio::time::sleep(VPN_UP) => {
                Err(Failure::Again("it was not up in time".to_owned()))
            }
        }
    }

    /// Ends what is left of a VPN that carries no traffic. A VPN that is being activated stays.
    async fn clear(
        &self,
        vpn: &ManagedVpn,
        context: &AttemptContext,
    ) -> Result<Option<OwnedObjectPath>, Failure> {
        for path in self.proxy.active_connections().await? {
            let Ok(active) = self.active(&path).await else { continue };
            if active.uuid().await.ok().as_deref() != Some(vpn.uuid.as_str()) {
                continue;
            }
            if active.state().await.ok() == Some(ACTIVATING) {
                return Ok(Some(path));
            }
            let restarting = Event::Restarting { path: path.to_string() };
            let _ = context.events.send(restarting).await;
            // The connection may have ended already.
            let _ = self.proxy.deactivate_connection(&path).await;
            let (proxy, old) = (&self.proxy, &path);
            let gone = || async move { Ok(!proxy.active_connections().await?.contains(old)) };
            until(DOWN, gone, "the rest of the connection does not end").await?;
        }
        Ok(None)
    }

    /// Restarts the connection under the VPN. If none is up, it brings any network up.
    pub(super) async fn restart_parent(&self) -> Result<(), Failure> {
        let mut last = Failure::Again("there is no network to restart".to_owned());
        for Parent { device, profile } in self.parents().await? {
            match self.bring_up(&device, &profile).await {
                Ok(()) => return Ok(()),
                Err(failure) => last = failure,
            }
        }
        Err(last)
    }

    /// Switches all networks off and on again.
    pub(super) async fn restart_networking(&self, store: &Store) -> Result<(), Failure> {
        let proxy = &self.proxy;
        // If the networks are already off, this process has not switched them off. The note makes sure that networks do
        // not stay off if this process dies.
        if proxy.networking_enabled().await? {
            let now = system::now();
            let noted = on_disk(store, move |store| store.note_networking_off(now)).await;
            noted.map_err(Failure::Again)?;
        }
        let _ = proxy.enable(false).await;
        let asleep = || async move { Ok(proxy.state().await? == ASLEEP) };
        let off = until(DOWN, asleep, "the networks do not switch off").await;
        let mut on = proxy.enable(true).await;
        if on.is_err() {
            tokio::time::sleep(POLL).await;
            on = proxy.enable(true).await;
        }
        on?;
        forget(store).await;
        off?;
        let connected = || async move { Ok(proxy.state().await? >= CONNECTED) };
        if until(NETWORK_UP, connected, "").await.is_ok() {
            return Ok(());
        }
        // Some profiles do not come up automatically.
        self.restart_parent().await
    }

    /// Switches all networks on again, if they are off.
    pub(super) async fn finish_networking(&self, store: &Store) -> zbus::Result<()> {
        if !self.proxy.networking_enabled().await? {
            tracing::warn!(
                "all networks were left off when an agent ended in the middle of a reconnect: on again"
            );
            self.proxy.enable(true).await?;
        }
        forget(store).await;
        Ok(())
    }

    async fn bring_up(&self, device: &OwnedObjectPath, profile: &OwnedObjectPath) -> Result<(), Failure> {
        let active = self.proxy.activate_connection(profile, device, &ANY).await?;
        let (active, device) = (&active, &self.device(device).await?);
        let up = || async move {
            Ok(device.active_connection().await? == *active && device.state().await? == ACTIVATED)
        };
        until(NETWORK_UP, up, "the network under it does not come up").await
    }

    /// The card that has the default route; without one, every card that could be brought up.
    async fn parents(&self) -> Result<Vec<Parent>, Failure> {
        let primary = self.proxy.primary_connection().await?;
        if let Ok(active) = self.active(&primary).await
            && let (Ok(false), Ok(profile), Ok(devices)) =
                (active.vpn().await, active.connection().await, active.devices().await)
        {
            return Ok(devices
                .into_iter()
                .map(|device| Parent { device, profile: profile.clone() })
                .collect());
        }
        let mut parents = Vec::new();
        for path in self.proxy.devices().await? {
            let Ok(device) = self.device(&path).await else { continue };
            let fit = device.device_type().await.is_ok_and(|kind| !NO_PARENT.contains(&kind));
            if !fit || device.state().await.ok() != Some(DISCONNECTED) {
                continue;
            }
            let profiles = device.available_connections().await.unwrap_or_default();
            parents.extend(profiles.into_iter().map(|profile| Parent { device: path.clone(), profile }));
        }
        Ok(parents)
    }

    async fn settings(&self) -> zbus::Result<SettingsProxy<'static>> {
        SettingsProxy::builder(&self.connection)
            .destination(self.owner.clone())
            .cache_properties(CacheProperties::No)
            .build()
            .await
    }

    async fn active(&self, path: &OwnedObjectPath) -> zbus::Result<ActiveProxy<'static>> {
        ActiveProxy::builder(&self.connection)
            .destination(self.owner.clone())
            .path(path.clone())
            .cache_properties(CacheProperties::No)
            .build()
            .await
    }

    async fn device(&self, path: &OwnedObjectPath) -> zbus::Result<DeviceProxy<'static>> {
        DeviceProxy::builder(&self.connection)
            .destination(self.owner.clone())
            .path(path.clone())
            .cache_properties(CacheProperties::No)
            .build()
            .await
    }
}

/// Removes the note that this agent has switched all networks off.
pub(super) async fn forget(store: &Store) {
    if let Err(error) = on_disk(store, Store::forget_networking_off).await {
        tracing::warn!("{error}");
    }
}

/// Runs `work` in a thread of its own: a disk can hold a write for minutes, and the agent's loop must not wait for it.
async fn on_disk(
    store: &Store,
    work: impl FnOnce(&Store) -> Result<(), StoreError> + Send + 'static,
) -> Result<(), String> {
    let store = store.clone();
    let done = tokio::task::spawn_blocking(move || work(&store)).await;
    done.map_err(|error| error.to_string())?.map_err(|error| describe(&error))
}

/// Waits until the agent's status shows that this VPN carries traffic.
pub(super) async fn carries(status: &mut watch::Receiver<Status>, name: &str) {
    let carries = |status: &Status| {
        status.enforced() && status.tunnels.iter().any(|tunnel| tunnel.carrying && tunnel.name == name)
    };
    if status.wait_for(carries).await.is_err() {
        // The agent is ending.
        std::future::pending().await
    }
}

/// Waits until this connection has ended, or until it is activated but carries no traffic in time.
async fn ending(signals: &mut MessageStream, active: &OwnedObjectPath) -> Failure {
    let mut deadline = Duration::MAX;
    loop {
        let message = match tokio::time::timeout(deadline, signals.next()).await {
            Ok(Some(Ok(message))) => message,
            Ok(Some(Err(_)) | None) => return Failure::Again("NetworkManager went away".to_owned()),
            Err(_) => return Failure::Again("it is up, but nothing is routed into it".to_owned()),
        };
        let header = message.header();
        let sent = header.path().is_some_and(|path| path.as_str() == active.as_str());
        match message.body().deserialize::<(u32, u32)>() {
            Ok((5, _)) if sent => deadline = CARRY_TIMEOUT,
            Ok((6 | 7, reason)) if sent => return failure(reason),
            Ok(_) | Err(_) => {}
        }
    }
}

/// The failure of a `NMVpnConnectionStateReason`, and whether another step can help.
fn failure(reason: u32) -> Failure {
    match reason {
        2 => Failure::Final("a user or another program ended it".to_owned()),
        11 => Failure::Final("its profile was deleted".to_owned()),
        9 | 10 => Failure::Final(
            "NetworkManager has no password for it, or a wrong one; try: nmcli --ask connection up NAME"
                .to_owned(),
        ),
        3 => Failure::Again("the network under it went away".to_owned()),
        6 => Failure::Again("its server did not answer in time".to_owned()),
        5 | 7 | 8 => Failure::Again("the VPN service could not be started or gave no addresses".to_owned()),
        other => Failure::Again(format!("it ended at once (NetworkManager's reason {other})")),
    }
}

/// Polls a fact until it is true.
async fn until<F: Future<Output = zbus::Result<bool>>>(
    bound: Duration,
    mut is_true: impl FnMut() -> F,
    otherwise: &str,
) -> Result<(), Failure> {
    let looks = async {
        while !is_true().await? {
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    };
    match tokio::time::timeout(bound, looks).await {
        Ok(seen) => seen,
        Err(_) => Err(Failure::Again(otherwise.to_owned())),
    }
}
