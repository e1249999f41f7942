//! Connects a VPN of NetworkManager, as the user can do in the network menu. NetworkManager decides whether the user
//! may do this, and the agent decides what may leave.

use std::time::Duration;

use futures_util::StreamExt;
use zbus::fdo::DBusProxy;
use zbus::message::Type;
use zbus::names::{BusName, OwnedUniqueName};
use zbus::proxy::CacheProperties;
use zbus::{Connection, MatchRule, MessageStream, ObjectPath, OwnedObjectPath, Proxy};

use super::ask::refusal;
use super::event::Refusal;
use super::keys::Key;
use crate::sources::network_manager::settings::Settings;

/// NetworkManager's name on the system bus, and the interface of its first object.
pub(super) const MANAGER: &str = "org.freedesktop.NetworkManager";
/// The path of that object.
pub(super) const MANAGER_PATH: &str = "/org/freedesktop/NetworkManager";
const SETTINGS: &str = "org.freedesktop.NetworkManager.Settings";
const SETTINGS_PATH: &str = "/org/freedesktop/NetworkManager/Settings";
const PROFILE: &str = "org.freedesktop.NetworkManager.Settings.Connection";
const ACTIVE: &str = "org.freedesktop.NetworkManager.Connection.Active";

/// NetworkManager chooses the device, and the connection below the VPN.
const ANY: ObjectPath<'static> = ObjectPath::from_static_str_unchecked("/");

/// How long the notifier waits for NetworkManager's result. The user may have to type a password. After this time only
/// the agent's state shows the result.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Connects the VPN with this UUID. Returns when it is connected or has failed.
pub(super) async fn connect(uuid: &str) -> Result<(), Refusal> {
    let connection = Connection::system().await.map_err(refusal)?;
    let bus = DBusProxy::new(&connection).await.map_err(refusal)?;
    let manager = BusName::from_static_str(MANAGER).map_err(refusal)?;
    // A call to this unique name never starts NetworkManager.
    let Ok(owner) = bus.get_name_owner(manager).await else {
        return Err(Refusal::Own(Key::NoNetworkManager));
    };
    let profile = profile_of(&connection, &owner, uuid).await.ok().flatten();
    let profile = profile.ok_or(Refusal::Own(Key::NoProfile))?;
    let ended = activate(&connection, &owner, &profile);
    tokio::time::timeout(TIMEOUT, ended).await.unwrap_or(Ok(()))
}

async fn proxy<'a>(
    connection: &Connection,
    owner: &OwnedUniqueName,
    (path, interface): (&'a str, &'static str),
) -> zbus::Result<Proxy<'a>> {
    zbus::proxy::Builder::new(connection)
        .destination(owner.clone())
        .path(path)
        .interface(interface)
        .cache_properties(CacheProperties::No)
        .build()
        .await
}

/// The VPN profile with this UUID. NetworkManager does not show the profiles of other users.
async fn profile_of(
    connection: &Connection,
    owner: &OwnedUniqueName,
    uuid: &str,
) -> zbus::Result<Option<OwnedObjectPath>> {
    let settings = proxy(connection, owner, (SETTINGS_PATH, SETTINGS)).await?;
    let path: OwnedObjectPath = settings.call("GetConnectionByUuid", &uuid).await?;
    let profile = proxy(connection, owner, (path.as_str(), PROFILE)).await?;
    let settings: Settings = profile.call("GetSettings", &()).await?;
    Ok(settings.vpn_profile().is_some().then(|| path.clone()))
}

async fn activate(
    connection: &Connection,
    owner: &OwnedUniqueName,
    profile: &OwnedObjectPath,
) -> Result<(), Refusal> {
    let rule = MatchRule::builder().msg_type(Type::Signal).interface(ACTIVE).member("StateChanged").build();
    let rule = rule.map_err(refusal)?;
    // The subscription comes before the call, so that no signal is missed.
    let mut signals = MessageStream::for_match_rule(rule, connection, None).await.map_err(refusal)?;
    let manager = proxy(connection, owner, (MANAGER_PATH, MANAGER)).await.map_err(refusal)?;
    let active: OwnedObjectPath =
        manager.call("ActivateConnection", &(profile, ANY, ANY)).await.map_err(refusal)?;
    while let Some(Ok(signal)) = signals.next().await {
        let header = signal.header();
        let is_sent = header.sender().is_some_and(|sender| *sender == **owner);
        if is_sent
            && header.path().is_some_and(|path| path.as_str() == active.as_str())
            && let Ok((state, reason)) = signal.body().deserialize::<(u32, u32)>()
            && let Some(result) = result_of(state, reason)
        {
            return result;
        }
    }
    Ok(())
}

/// The result for an `NMActiveConnectionState` with its `NMActiveConnectionStateReason`; `None` while it is not known.
fn result_of(state: u32, reason: u32) -> Option<Result<(), Refusal>> {
    const ACTIVATED: u32 = 2;
    const DEACTIVATED: u32 = 4;
    match (state, reason) {
        (ACTIVATED, _) => Some(Ok(())),
        // The user has ended the connection.
        (DEACTIVATED, 2) => Some(Ok(())),
        (DEACTIVATED, 9 | 10) => Some(Err(Refusal::Own(Key::NoPassword))),
        (DEACTIVATED, 6) => Some(Err(Refusal::Own(Key::NoAnswer))),
        (DEACTIVATED, _) => Some(Err(Refusal::Own(Key::ConnectEnded))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_end_that_the_user_did_not_ask_for_is_a_failure() {
        assert_eq!(result_of(1, 0), None, "it is being activated");
        assert_eq!(result_of(2, 1), Some(Ok(())));
        assert_eq!(result_of(4, 2), Some(Ok(())), "the user has ended it");
        assert_eq!(result_of(4, 9), Some(Err(Refusal::Own(Key::NoPassword))));
        assert_eq!(result_of(4, 99), Some(Err(Refusal::Own(Key::ConnectEnded))));
    }
}
