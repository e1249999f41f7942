//! Detects a captive portal by NetworkManager's own check of the network. It only listens.
//!
//! Any local user may send a signal that looks like NetworkManager's. Only signals from the owner of NetworkManager's
//! name count.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::mpsc;
use zbus::fdo::{DBusProxy, PropertiesProxy};
use zbus::message::Type;
use zbus::names::{BusName, InterfaceName, OwnedUniqueName};
use zbus::proxy::CacheProperties;
use zbus::{Connection, MatchRule, Message, MessageStream, OwnedVariant};

use super::connect::{MANAGER, MANAGER_PATH};
use super::event::{Event, Portal};
use super::listen::TIMEOUT;

/// How long to wait before the next attempt to connect to the system bus.
const RETRY: Duration = Duration::from_secs(10);
/// NetworkManager's property with the result of its check.
const CONNECTIVITY: &str = "Connectivity";
/// `NM_CONNECTIVITY_PORTAL`
const PORTAL: u32 = 2;

/// Sends an event for every change, until the receiver is closed.
pub(super) async fn watch(events: mpsc::Sender<Event>) {
    while !events.is_closed() {
        if let Err(error) = follow(&events).await {
            tracing::debug!("NetworkManager's check of the network: {error}");
        }
        let _ = events.send(Event::Portal(Portal::None)).await;
        tokio::time::sleep(RETRY).await;
    }
}

async fn follow(events: &mpsc::Sender<Event>) -> zbus::Result<()> {
    let connection = zbus::connection::Builder::system().method_timeout(TIMEOUT).build().await?;
    let bus = DBusProxy::new(&connection).await?;
    let mut owners = bus.receive_name_owner_changed_with_args(&[(0, MANAGER)]).await?;
    let rule = MatchRule::builder().msg_type(Type::Signal).sender(MANAGER).path(MANAGER_PATH);
    let rule = rule.member("PropertiesChanged").build()?;
    let mut signals = MessageStream::for_match_rule(rule, &connection, None).await?;
    // The property is read after the subscription, so that no change is missed.
    let mut owner = bus.get_name_owner(BusName::from_static_str(MANAGER)?).await.ok();
    let _ = events.send(Event::Portal(read(&connection, owner.as_ref()).await)).await;
    loop {
        let portal = tokio::select! {
            Some(change) = owners.next() => {
                owner = change.args()?.new_owner().as_ref().map(|name| name.clone().into());
                read(&connection, owner.as_ref()).await
            }
            Some(signal) = signals.next() => {
                let signal = signal?;
                if signal.header().sender().is_none_or(|sender| owner.as_deref() != Some(sender)) {
                    continue;
                }
                let Some(portal) = connectivity(&signal) else { continue };
                portal
            }
            () = connection.closed() => return Ok(()),
            else => return Ok(()),
        };
        let _ = events.send(Event::Portal(portal)).await;
    }
}

/// The present result of the check. Without NetworkManager, or without an answer, no portal is known.
async fn read(connection: &Connection, owner: Option<&OwnedUniqueName>) -> Portal {
    let Some(owner) = owner else { return Portal::None };
    let answer = async {
        let properties = PropertiesProxy::builder(connection).destination(owner.clone()).path(MANAGER_PATH);
        let properties = properties.cache_properties(CacheProperties::No).build().await?;
        let value = properties.get(InterfaceName::from_static_str(MANAGER)?, CONNECTIVITY).await?;
        zbus::Result::Ok(portal_of(&value))
    };
    answer.await.unwrap_or(Portal::None)
}

/// The result of the check, if this signal of NetworkManager has it.
fn connectivity(signal: &Message) -> Option<Portal> {
    let body = signal.body();
    let (_, changed, _): (String, HashMap<String, OwnedVariant>, Vec<String>) = body.deserialize().ok()?;
    changed.get(CONNECTIVITY).map(portal_of)
}

fn portal_of(value: &OwnedVariant) -> Portal {
    match u32::try_from(value) {
        Ok(PORTAL) => Portal::Found,
        Ok(_) | Err(_) => Portal::None,
    }
}
