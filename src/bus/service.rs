//! Serving the object, for as long as there is a bus, and again when it comes back.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use zbus::Connection;
use zbus::Variant;
use zbus::fdo::Properties;
use zbus::names::InterfaceName;
use zbus::object_server::InterfaceRef;

use super::gate::Gate;
use super::interface::{Agent1, changed};
use super::{Caller, NAME, News, Notice, PATH};
use crate::netfilter::Program;
use crate::status::Status;
use crate::vpn::Announcement;

/// How long is waited for a bus that is not there: at first, and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));

/// Serves the agent on the system bus until `notices` ends. A bus that is missing, or goes away, is
/// taken up again; what happened meanwhile is in the properties.
pub async fn serve(caller: Caller, status: watch::Receiver<Status>, mut notices: mpsc::Receiver<Notice>) {
    let mut pause = RETRY.0;
    let mut told = String::new();
    loop {
        match connect(&caller, &status).await {
            Ok(connection) => {
                pause = RETRY.0;
                tracing::info!("on the system bus as {NAME}");
                if tell_until_closed(&connection, &status, &mut notices).await.is_none() {
                    return;
                }
                tracing::warn!("the system bus is gone; the rules stand, and the bus will be taken up again");
            }
            Err(error) => {
                let why = error.to_string();
                if why != told {
                    tracing::warn!("not on the system bus: {why}");
                    told = why;
                }
            }
        }
        // Nobody listens now; what waits in the channel must not hold up the loop.
        let until = tokio::time::Instant::now() + pause;
        while let Ok(notice) = tokio::time::timeout_at(until, notices.recv()).await {
            if notice.is_none() {
                return;
            }
        }
        pause = (pause * 2).min(RETRY.1);
    }
}

async fn connect(caller: &Caller, status: &watch::Receiver<Status>) -> zbus::Result<Connection> {
    let (caller, status) = (caller.clone(), status.clone());
    let agent = Agent1 { caller, status, gate: Gate::default() };
    zbus::connection::Builder::system().serve_at(PATH, agent).name(NAME).build().await
}

/// `None` when there will be no more notices.
async fn tell_until_closed(
    connection: &Connection,
    status: &watch::Receiver<Status>,
    notices: &mut mpsc::Receiver<Notice>,
) -> Option<()> {
    let mut last = status.borrow().clone();
    loop {
        tokio::select! {
            notice = notices.recv() => {
                let notice = notice?;
                if let Err(error) = tell(connection, &last, &notice).await {
                    tracing::debug!("a signal was not sent: {error}");
                }
                last = notice.status;
            }
            () = connection.closed() => return Some(()),
        }
    }
}

async fn tell(connection: &Connection, last: &Status, notice: &Notice) -> zbus::Result<()> {
    let object: InterfaceRef<Agent1> = connection.object_server().interface(PATH).await?;
    let emitter = object.signal_emitter();
    let now = &notice.status;
    let changed = changed(last, now);
    if !changed.is_empty() {
        let interface = InterfaceName::from_static_str(NAME)?;
        Properties::properties_changed(emitter, interface, changed, Cow::Borrowed(&[])).await?;
    }
    for news in &notice.news {
        match news {
            News::Vpn(Announcement::State { old, new }) => {
                let mut details = HashMap::from([
                    ("enforced", Variant::from(now.enforced())),
                    ("since", Variant::from(now.since)),
                ]);
                if let Some(by) = &notice.by {
                    details.insert("uid", Variant::from(by.uid));
                    details.extend(by.name.as_deref().map(|name| ("user", Variant::from(name))));
                }
                Agent1::announce_state(emitter, old.as_str(), new.as_str(), details).await?;
            }
            News::Vpn(Announcement::Lost { name, interface, reason }) => {
                let interface = interface.as_ref().map_or("", |interface| interface.as_str());
                Agent1::vpn_lost(emitter, name, interface, &reason.to_string()).await?;
            }
            News::Repaired { what, by } => Agent1::repaired(emitter, what, repairer(by.as_ref())).await?,
            News::Failed(why) => Agent1::enforcement_failed(emitter, why).await?,
        }
    }
    Ok(())
}

/// Nothing in it: nobody knows.
fn repairer(by: Option<&Program>) -> HashMap<&'static str, Variant<'static>> {
    let dict = |by: &Program| {
        [("program", Variant::from(by.name.clone())), ("pid", Variant::from(by.pid))].into_iter().collect()
    };
    by.map(dict).unwrap_or_default()
}
