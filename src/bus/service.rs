//! Serves the agent's object while there is a bus, and serves it again when the bus comes back.

use std::borrow::Cow;
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use zbus::Connection;
use zbus::fdo::Properties;
use zbus::names::InterfaceName;
use zbus::object_server::{InterfaceRef, SignalEmitter};

use super::backlog::{Backlog, Waiting};
use super::bounded;
use super::interface::Agent1;
use super::limiter::CallLimiter;
use super::object::AgentObject;
use super::signals::{repairer, state_details};
use super::{BusSignal, Caller, NAME, PATH, Requester};
use crate::status::Status;
use crate::vpn::Announcement;

/// Time before the next attempt to reach the bus: the first value, and the maximum.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));

/// Serves the agent on the system bus. If the bus is missing or disappears, it connects again and sends what has
/// happened since.
pub async fn serve(caller: Caller, status: watch::Receiver<Status>, backlog: Backlog) {
    let mut pause = RETRY.0;
    let mut logged = String::new();
    loop {
        match connect(&caller, &status).await {
            Ok(connection) => {
                pause = RETRY.0;
                tracing::info!("on the system bus as {NAME}");
                send_until_closed(&connection, &status, &backlog).await;
                tracing::warn!("the system bus is gone; the agent goes on, and connects to the bus again");
            }
            Err(error) => {
                let why = error.to_string();
                if why != logged {
                    tracing::warn!("not on the system bus: {why}");
                    logged = why;
                }
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY.1);
    }
}

async fn connect(caller: &Caller, status: &watch::Receiver<Status>) -> zbus::Result<Connection> {
    let (caller, status) = (caller.clone(), status.clone());
    let agent =
        AgentObject(Agent1 { caller, status, limiter: CallLimiter::default(), question: Mutex::default() });
    bounded::system_bus().await?.serve_at(PATH, agent).name(NAME).build().await
}

async fn send_until_closed(connection: &Connection, status: &watch::Receiver<Status>, backlog: &Backlog) {
    let mut last = status.borrow().clone();
    loop {
        tokio::select! {
            mut waiting = backlog.take() => {
                if let Err(error) = send_waiting(connection, &last, &mut waiting).await {
                    tracing::debug!("a signal was not sent: {error}");
                    return backlog.put_back(waiting);
                }
                last = waiting.status;
            }
            () = connection.closed() => return,
        }
    }
}

/// Sends everything that waits. After an error, `waiting` contains what was not sent.
async fn send_waiting(connection: &Connection, last: &Status, waiting: &mut Waiting) -> zbus::Result<()> {
    let object: InterfaceRef<AgentObject> = connection.object_server().interface(PATH).await?;
    let emitter = object.signal_emitter();
    let now = &waiting.status;
    let changed = now.changes_since(last);
    if !changed.is_empty() {
        let interface = InterfaceName::from_static_str(NAME)?;
        Properties::properties_changed(emitter, interface, changed, Cow::Borrowed(&[])).await?;
    }
    if waiting.merged > 0 {
        tracing::warn!("the system bus was slow or away: {} signals were merged into others", waiting.merged);
        waiting.merged = 0;
    }
    while let Some((news, by)) = waiting.news.front() {
        signal(emitter, now, news, by.as_ref()).await?;
        waiting.news.pop_front();
    }
    Ok(())
}

async fn signal(
    emitter: &SignalEmitter<'_>,
    now: &Status,
    news: &BusSignal,
    by: Option<&Requester>,
) -> zbus::Result<()> {
    match news {
        BusSignal::Vpn(Announcement::State { old, new }) => {
            Agent1::state_changed(emitter, old.as_str(), new.as_str(), state_details(now, by)).await
        }
        BusSignal::Vpn(Announcement::Lost { name, interface, reason }) => {
            let interface = interface.as_ref().map_or("", |interface| interface.as_str());
            Agent1::vpn_lost(emitter, name, interface, &reason.to_string()).await
        }
        BusSignal::Repaired { what, by } => Agent1::repaired(emitter, what, repairer(by.as_ref())).await,
        BusSignal::Failed(why) => Agent1::enforcement_failed(emitter, why).await,
    }
}
