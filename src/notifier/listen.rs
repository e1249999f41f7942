//! The connection to the agent on the system bus: its status and its signals.
//!
//! Any local user may send a signal that looks like the agent's. Only signals from the owner of the agent's name count.
//! For broadcasts, the bus checks the sender by the match rule. A signal that is sent to this program alone is
//! delivered without a match rule, so this file checks the sender again.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use zbus::fdo::DBusProxy;
use zbus::message::Type;
use zbus::names::{BusName, OwnedUniqueName};
use zbus::proxy::CacheProperties;
use zbus::{Connection, MatchRule, Message, MessageStream};

use super::event::Event;
use crate::bus::{self, Agent1Proxy, NAME, PATH};
use crate::vpn::State;

/// How long to wait before the next attempt to connect to the system bus.
const RETRY: Duration = Duration::from_secs(2);
/// How long the agent may take to send its status.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
/// How often the notifier asks the agent for the number of waiting containers, while the VPN is lost.
const WAITING: Duration = Duration::from_secs(15);

/// Sends an event for every message of the agent, until the receiver is closed.
pub(super) async fn listen(events: mpsc::Sender<Event>) {
    while !events.is_closed() {
        if let Err(error) = follow(&events).await {
            tracing::debug!("the system bus: {error}");
        }
        let _ = events.send(Event::Agent(None)).await;
        tokio::time::sleep(RETRY).await;
    }
}

async fn follow(events: &mpsc::Sender<Event>) -> zbus::Result<()> {
    let connection = zbus::connection::Builder::system().method_timeout(TIMEOUT).build().await?;
    let bus = DBusProxy::new(&connection).await?;
    let mut owners = bus.receive_name_owner_changed_with_args(&[(0, NAME)]).await?;
    let rule = MatchRule::builder().msg_type(Type::Signal).sender(NAME).path(PATH).build()?;
    let mut signals = MessageStream::for_match_rule(rule, &connection, None).await?;
    // The status is read after the subscription, so that no change is missed.
    let mut owner = bus.get_name_owner(BusName::try_from(NAME)?).await.ok();
    let mut lost = send_status(&connection, owner.as_ref(), events).await;
    let mut tick = interval(WAITING);
    // The timer does not run while the VPN is not lost. Missed ticks are not repeated when it is lost again.
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick(), if lost => send_waiting(&connection, owner.as_ref(), events).await,
            Some(change) = owners.next() => {
                owner = change.args()?.new_owner().as_ref().map(|name| name.clone().into());
                lost = send_status(&connection, owner.as_ref(), events).await;
            }
            Some(message) = signals.next() => {
                let message = message?;
                if message.header().sender().is_some_and(|sender| owner.as_deref() == Some(sender)) {
                    let now = send_signal(&connection, owner.as_ref(), &message, events).await;
                    lost = now.unwrap_or(lost);
                } else {
                    tracing::debug!("ignored a signal that the agent did not send");
                }
            }
            () = connection.closed() => return Ok(()),
            else => return Ok(()),
        }
    }
}

/// Sends an event with the current status, and returns whether the VPN is lost.
async fn send_status(
    connection: &Connection,
    owner: Option<&OwnedUniqueName>,
    events: &mpsc::Sender<Event>,
) -> bool {
    let status = match owner {
        None => None,
        Some(owner) => match bus::read_status(connection, owner.into()).await {
            Ok(status) => Some(Box::new(status)),
            Err(error) => {
                tracing::warn!("the agent's status cannot be read: {error}");
                None
            }
        },
    };
    let lost = status.as_ref().is_some_and(|status| status.state == State::Lost);
    let _ = events.send(Event::Agent(status)).await;
    lost
}

/// Sends an event for a signal of the agent. Returns whether the VPN is lost, if the signal says so.
async fn send_signal(
    connection: &Connection,
    owner: Option<&OwnedUniqueName>,
    message: &Message,
    events: &mpsc::Sender<Event>,
) -> Option<bool> {
    let header = message.header();
    let member = header.member().map_or("", |member| member.as_str());
    let event = match member {
        "PropertiesChanged" => return Some(send_status(connection, owner, events).await),
        "VpnLost" => Event::Lost,
        "Repaired" => Event::Repaired { by: bus::repairer_in(message) },
        "EnforcementFailed" => Event::Failed(message.body().deserialize().unwrap_or_default()),
        _ => return None,
    };
    let _ = events.send(event).await;
    None
}

/// Sends an event with the number of waiting containers. An older agent cannot report it.
async fn send_waiting(
    connection: &Connection,
    owner: Option<&OwnedUniqueName>,
    events: &mpsc::Sender<Event>,
) {
    let Some(owner) = owner else { return };
    let agent = Agent1Proxy::builder(connection).destination(owner.clone());
    let Ok(agent) = agent.cache_properties(CacheProperties::No).build().await else { return };
    if let Ok(count) = agent.waiting_containers().await {
        let _ = events.send(Event::Waiting(count)).await;
    }
}
