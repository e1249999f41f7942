//! The edge to the agent: its status and its signals on the system bus, and what a button asks of it.
//!
//! Any local user may send a signal that looks like the agent's. Only what the owner of the agent's
//! name sends is heard: the bus sorts the broadcasts, and a signal sent to this program alone passes
//! the bus's rules, so that the sender is looked at here as well.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::mpsc;
use zbus::fdo::{self, DBusProxy};
use zbus::message::Type;
use zbus::names::{BusName, OwnedUniqueName};
use zbus::{Connection, MatchRule, Message, MessageStream};

use super::event::{Button, Event, Refusal};
use crate::bus::{self, Agent1Proxy, NAME, PATH};

/// How long is waited for a system bus that is not there.
const RETRY: Duration = Duration::from_secs(2);
/// How long the agent is given to tell its status.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the pause of the menu is, in seconds.
const PAUSE: u64 = 5 * 60;

/// Says all that the agent says, for ever.
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
    let connection = zbus::connection::Builder::system().method_timeout(PATIENCE).build().await?;
    let bus = DBusProxy::new(&connection).await?;
    let mut owners = bus.receive_name_owner_changed_with_args(&[(0, NAME)]).await?;
    let rule = MatchRule::builder().msg_type(Type::Signal).sender(NAME).path(PATH).build()?;
    let mut signals = MessageStream::for_match_rule(rule, &connection, None).await?;
    // After the subscription: no change falls between.
    let mut owner = bus.get_name_owner(BusName::try_from(NAME)?).await.ok();
    tell(&connection, owner.as_ref(), events).await;
    loop {
        tokio::select! {
            Some(change) = owners.next() => {
                owner = change.args()?.new_owner().as_ref().map(|name| name.clone().into());
                tell(&connection, owner.as_ref(), events).await;
            }
            Some(message) = signals.next() => {
                let message = message?;
                if message.header().sender().is_some_and(|sender| owner.as_deref() == Some(sender)) {
                    hear(&connection, owner.as_ref(), &message, events).await;
                } else {
                    tracing::debug!("a signal that is not the agent's was not heard");
                }
            }
            () = connection.closed() => return Ok(()),
            else => return Ok(()),
        }
    }
}

/// Tells the status as it is now.
async fn tell(connection: &Connection, owner: Option<&OwnedUniqueName>, events: &mpsc::Sender<Event>) {
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

async fn hear(
    connection: &Connection,
    owner: Option<&OwnedUniqueName>,
    message: &Message,
    events: &mpsc::Sender<Event>,
) {
    let header = message.header();
    let member = header.member().map_or("", |member| member.as_str());
    let event = match member {
        "PropertiesChanged" => return tell(connection, owner, events).await,
        "VpnLost" => Event::Lost,
        "Repaired" => Event::Repaired { by: bus::repairer_in(message) },
        "EnforcementFailed" => Event::Failed(message.body().deserialize().unwrap_or_default()),
        _ => return,
    };
    let _ = events.send(event).await;
}

/// Asks of the agent what a button stands for.
pub(super) async fn ask(button: Button) -> Result<(), Refusal> {
    // No limit to the time: somebody may have to type a password first.
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
