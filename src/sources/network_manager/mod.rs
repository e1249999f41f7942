//! What NetworkManager says of VPNs: its saved profiles and the connections that are up or on their
//! way. Only listens and reads; nothing in NetworkManager is ever changed from here.
//!
//! A signal that moves a VPN from one phase to another is told at once, from what is known; the
//! details are read afterwards, with the ears open. That a connection is "activated" is no evidence
//! of protection, and these signals trail the kernel: the rules stand without them.

mod cache;
mod error;
mod objects;
mod plugins;
mod read;
mod session;
pub(crate) mod settings;
mod signals;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use tokio::sync::mpsc::Sender;
use zbus::connection::Builder;
use zbus::{Connection, MessageStream};

use self::error::SessionError;
use self::read::introduce;
use self::session::Session;
use crate::bus::bounded::system_bus;
use crate::vpn::{Event, NmView};

/// How long one question may take. NetworkManager answers within milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// The pause before the bus is tried again: doubled from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// How many waiting signals are heard before something is read again. A bound, because anybody can
/// send us anything.
const BATCH: usize = 1_000;

/// Watches NetworkManager on the system bus, until the receiver of `events` is dropped.
///
/// The first event comes when everything has been read, or at once if there is no NetworkManager:
/// then, whenever NetworkManager goes, and when the bus goes, it is `NetworkManager(None)`.
pub async fn watch(events: Sender<Event>) {
    watch_bus(system_bus, events).await;
}

async fn watch_bus<B>(bus: impl Fn() -> B, events: Sender<Event>)
where
    B: Future<Output = zbus::Result<Builder<'static>>>,
{
    let closed = events.clone();
    tokio::select! {
        () = closed.closed() => {}
        never = watch_for_ever(bus, Teller { events, last: None }) => match never {},
    }
}

async fn watch_for_ever<B>(bus: impl Fn() -> B, mut teller: Teller) -> Infallible
where
    B: Future<Output = zbus::Result<Builder<'static>>>,
{
    let mut pause = FIRST_PAUSE;
    loop {
        let connected =
            tokio::time::timeout(PATIENCE, async { bus().await?.method_timeout(PATIENCE).build().await });
        let Err(error) = match connected.await {
            Ok(Ok(connection)) => {
                pause = FIRST_PAUSE;
                listen(connection, &mut teller).await
            }
            Ok(Err(error)) => Err(SessionError::Connect(error)),
            Err(_) => Err(SessionError::Slow),
        };
        // The first time is news, the others are noise.
        if teller.tell(None).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "NetworkManager is out of sight");
        } else {
            tracing::debug!(error = &error as &dyn std::error::Error, "still no bus");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

/// Tells the agent, but never the same thing twice.
struct Teller {
    events: Sender<Event>,
    last: Option<Option<NmView>>,
}

impl Teller {
    /// Whether it was news.
    async fn tell(&mut self, view: Option<NmView>) -> bool {
        if self.last.as_ref() == Some(&view) {
            return false;
        }
        self.last = Some(view.clone());
        // Without a receiver there is nobody to tell, and `watch_bus` ends.
        let _ = self.events.send(Event::NetworkManager(view)).await;
        true
    }
}

/// One connection to the bus, from the first rule to its end.
async fn listen(connection: Connection, teller: &mut Teller) -> Result<Infallible, SessionError> {
    let stream = MessageStream::from(&connection);
    let mut ears = Ears { stream, session: Session::new(connection), teller };
    let present = introduce(ears.session.bus.clone());
    if let Some(present) = ears.meanwhile(present, |_| false).await? {
        ears.session.meet(present.map_err(SessionError::Introduce)?);
    }
    loop {
        ears.session.tell(ears.teller).await;
        ears.drain().await?;
        let Some(job) = ears.session.job() else {
            ears.hear_next().await?;
            continue;
        };
        let manager = ears.session.manager().cloned();
        let is_void = |session: &Session| session.manager() != manager.as_ref();
        match ears.meanwhile(job, is_void).await? {
            Some(outcome) => ears.session.learn(outcome),
            None => ears.session.abandon(),
        }
    }
}

/// The stream of messages with those who listen. It must never stand still, not even while a
/// question is out: zbus reads no answer while messages wait, and anybody can send messages.
struct Ears<'a> {
    stream: MessageStream,
    session: Session,
    teller: &'a mut Teller,
}

impl Ears<'_> {
    async fn hear_next(&mut self) -> Result<(), SessionError> {
        let message = self.stream.next().await;
        self.hear(message).await
    }

    /// Hears what has come already.
    async fn drain(&mut self) -> Result<(), SessionError> {
        for _ in 0..BATCH {
            let Some(message) = self.stream.next().now_or_never() else { break };
            self.hear(message).await?;
        }
        Ok(())
    }

    /// Does `job` and hears on; `None` if what was heard makes the outcome worthless.
    async fn meanwhile<T>(
        &mut self,
        job: impl Future<Output = T>,
        is_void: impl Fn(&Session) -> bool,
    ) -> Result<Option<T>, SessionError> {
        let mut job = pin!(job);
        let mut outcome = None;
        while outcome.is_none() && !is_void(&self.session) {
            tokio::select! {
                done = &mut job => outcome = Some(done),
                message = self.stream.next() => self.hear(message).await?,
            }
        }
        // zbus hands an answer over past the signals that came before it, and only those say why a
        // VPN ended.
        self.drain().await?;
        Ok(outcome.filter(|_| !is_void(&self.session)))
    }

    async fn hear(&mut self, message: Option<zbus::Result<zbus::Message>>) -> Result<(), SessionError> {
        let message = message.ok_or(SessionError::Closed)?.map_err(SessionError::Broken)?;
        self.session.hear(&message);
        self.session.tell(self.teller).await;
        Ok(())
    }
}
