//! The connection to the agent on the system bus: its status, its signals, and the requests of buttons.
//!
//! Any local user may send a signal that looks like the agent's. Only signals from the owner of the agent's
//! name count. For broadcasts the bus's match rule checks the sender. A signal that is sent only to this
//! program skips the match rule, so this file checks the sender again.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::mpsc;
use zbus::fdo::{self, DBusProxy};
use zbus::message::Type;
use zbus::names::{BusName, OwnedUniqueName};
use zbus::{Connection, MatchRule, Message, MessageStream};

use super::event::{Button, Event, Refusal};
use crate::bus::{self, Agent1Proxy, NAME, PATH};

/// How long to wait before the next attempt to connect to the system bus.
const RETRY: Duration = Duration::from_secs(2);
/// How long the agent may take to send its status.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Length of the pause in the menu, in seconds.
const PAUSE: u64 = 5 * 60;

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
    // Read after the subscription, so that no change is missed.
    let mut owner = bus.get_name_owner(BusName::try_from(NAME)?).await.ok();
    send_status(&connection, owner.as_ref(), events).await;
    loop {
        tokio::select! {
            Some(change) = owners.next() => {
                owner = change.args()?.new_owner().as_ref().map(|name| name.clone().into());
                send_status(&connection, owner.as_ref(), events).await;
            }
            Some(message) = signals.next() => {
                let message = message?;
                if message.header().sender().is_some_and(|sender| owner.as_deref() == Some(sender)) {
                    send_signal(&connection, owner.as_ref(), &message, events).await;
                } else {
                    tracing::debug!("ignored a signal that the agent did not send");
                }
            }
            () = connection.closed() => return Ok(()),
            else => return Ok(()),
        }
    }
}

/// Sends an event with the current status.
async fn send_status(connection: &Connection, owner: Option<&OwnedUniqueName>, events: &mpsc::Sender<Event>) {
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
    let _ = events.send(Event::Agent(status)).await;
}

/// Sends an event for a signal of the agent.
async fn send_signal(
    connection: &Connection,
    owner: Option<&OwnedUniqueName>,
    message: &Message,
    events: &mpsc::Sender<Event>,
) {
    let header = message.header();
    let member = header.member().map_or("", |member| member.as_str());
    let event = match member {
        "PropertiesChanged" => return send_status(connection, owner, events).await,
        "VpnLost" => Event::Lost,
        "Repaired" => Event::Repaired { by: bus::repairer_in(message) },
        "EnforcementFailed" => Event::Failed(message.body().deserialize().unwrap_or_default()),
        _ => return,
    };
    let _ = events.send(event).await;
}

/// Sends the request of a button to the agent.
pub(super) async fn ask(button: Button) -> Result<(), Refusal> {
    // No timeout: the user may have to type a password first.
    let answer = async {
        let connection = Connection::system().await?;
        let agent = Agent1Proxy::new(&connection).await?;
        match button {
            Button::Reconnect => agent.reconnect().await,
            Button::Pause => agent.pause(PAUSE).await,
            Button::Resume => agent.resume().await,
            Button::Details => Ok(()),
        }
    };
    answer.await.map_err(refusal)
}

fn refusal(error: zbus::Error) -> Refusal {
    use fdo::Error::{AccessDenied, AuthFailed, Failed, NameHasNoOwner, ServiceUnknown};
    let error = fdo::Error::from(error);
    if matches!(error, AccessDenied(_) | AuthFailed(_)) {
        Refusal::NotAllowed
    } else if matches!(error, ServiceUnknown(_) | NameHasNoOwner(_)) {
        Refusal::NotRunning
    } else if let Failed(why) = error {
        Refusal::Failed(why)
    } else {
        Refusal::Failed(error.to_string())
    }
}
