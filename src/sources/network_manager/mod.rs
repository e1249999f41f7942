//! Watches the VPNs of NetworkManager: saved profiles, and connections that are up or being activated. It
//! only listens and reads, and never changes anything in NetworkManager.
//! A signal that moves a VPN from one phase to another is reported at once, with the details that are known. The source
//! then reads the other details, and keeps listening while it reads. An "activated" connection does not prove that
//! traffic is protected. These signals come later than the kernel's, so the rules do not depend on them.

mod cache;
mod error;
mod gateway;
mod objects;
mod phase;
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
use tokio::sync::watch;
use zbus::connection::Builder;
use zbus::{Connection, MessageStream};

use self::error::SessionError;
use self::read::introduce;
use self::session::Session;
use crate::bus::bounded::system_bus;
use crate::vpn::{Event, NmView};

/// How long one call may take. NetworkManager answers within milliseconds.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Time before the next attempt to reach the bus. It doubles from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// Maximum number of waiting signals that are taken before something is read again. There is a limit, because
/// any process can send us signals.
const BATCH: usize = 1_000;

/// Watches NetworkManager on the system bus, until the receiver of `events` is dropped.
///
/// If there is a NetworkManager, the first event is `ManagerUnread`, and `NetworkManager` follows when everything has
/// been read. If there is none, the first event is `NetworkManager(None)`, at once. The source sends
/// `NetworkManager(None)` also whenever NetworkManager or the bus disappears.
///
/// `questions` has the number of the agent's last question. The source reads the active connections again for each new
/// number.
pub async fn watch(questions: watch::Receiver<u64>, events: Sender<Event>) {
    watch_bus(system_bus, questions, events).await;
}

async fn watch_bus<B>(bus: impl Fn() -> B, questions: watch::Receiver<u64>, events: Sender<Event>)
where
    B: Future<Output = zbus::Result<Builder<'static>>>,
{
    let closed = events.clone();
    tokio::select! {
        () = closed.closed() => {}
        never = watch_forever(bus, questions, Views { events, last: None, is_unread: false }) => match never {},
    }
}

async fn watch_forever<B>(
    bus: impl Fn() -> B,
    questions: watch::Receiver<u64>,
    mut views: Views,
) -> Infallible
where
    B: Future<Output = zbus::Result<Builder<'static>>>,
{
    let mut pause = FIRST_PAUSE;
    loop {
        let connected =
            tokio::time::timeout(TIMEOUT, async { bus().await?.method_timeout(TIMEOUT).build().await });
        let Err(error) = match connected.await {
            Ok(Ok(connection)) => {
                pause = FIRST_PAUSE;
                listen(connection, questions.clone(), &mut views).await
            }
            Ok(Err(error)) => Err(SessionError::Connect(error)),
            Err(_) => Err(SessionError::Slow),
        };
        // Only the first failure is logged as a warning.
        if views.tell(None).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "NetworkManager cannot be reached");
        } else {
            tracing::debug!(error = &error as &dyn std::error::Error, "still no bus");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

/// Reports to the agent, but never the same view twice.
struct Views {
    events: Sender<Event>,
    last: Option<Option<NmView>>,
    /// Whether the agent has been informed that NetworkManager has appeared and has not been read yet.
    is_unread: bool,
}

impl Views {
    /// Reports that NetworkManager has appeared and has not been read yet. The next view is sent even if it equals the
    /// last one.
    async fn tell_unread(&mut self) {
        if !std::mem::replace(&mut self.is_unread, true) {
            self.last = None;
            let _ = self.events.send(Event::ManagerUnread).await;
        }
    }

    /// Returns whether the view differs from the last one.
    async fn tell(&mut self, view: Option<NmView>) -> bool {
        if self.last.as_ref() == Some(&view) {
            return false;
        }
        self.last = Some(view.clone());
        self.is_unread = false;
        // Without a receiver `watch_bus` ends.
        let _ = self.events.send(Event::NetworkManager(view)).await;
        true
    }
}

/// Serves one connection to the bus, from the first match rule to its end.
async fn listen(
    connection: Connection,
    questions: watch::Receiver<u64>,
    views: &mut Views,
) -> Result<Infallible, SessionError> {
    let stream = MessageStream::from(&connection);
    let mut listener = Listener { stream, session: Session::new(connection), questions, views };
    let present = introduce(listener.session.bus.clone());
    if let Some(present) = listener.while_listening(present, |_| false).await? {
        listener.session.take_present(present.map_err(SessionError::Introduce)?);
    }
    loop {
        listener.session.tell(listener.views).await;
        listener.drain().await?;
        listener.session.ask(*listener.questions.borrow_and_update());
        let Some(job) = listener.session.job() else {
            listener.take_next_signal().await?;
            continue;
        };
        let manager = listener.session.manager().cloned();
        let is_void = |session: &Session| session.manager() != manager.as_ref();
        match listener.while_listening(job, is_void).await? {
            Some(outcome) => listener.session.learn(outcome),
            None => listener.session.abandon(),
        }
    }
}

/// The stream of messages. It must always be read, even while a call waits for its answer: zbus reads no
/// answer while messages wait, and any process can send messages.
struct Listener<'a> {
    stream: MessageStream,
    session: Session,
    questions: watch::Receiver<u64>,
    views: &'a mut Views,
}

impl Listener<'_> {
    /// Waits for a message or a question.
    async fn take_next_signal(&mut self) -> Result<(), SessionError> {
        tokio::select! {
            message = self.stream.next() => self.take_signal(message).await,
            Ok(()) = self.questions.changed() => Ok(()),
        }
    }

    /// Takes the messages that have already arrived.
    async fn drain(&mut self) -> Result<(), SessionError> {
        for _ in 0..BATCH {
            let Some(message) = self.stream.next().now_or_never() else { break };
            self.take_signal(message).await?;
        }
        Ok(())
    }

    /// Runs `job` and takes messages at the same time. `None` if a message makes the result useless.
    async fn while_listening<T>(
        &mut self,
        job: impl Future<Output = T>,
        is_void: impl Fn(&Session) -> bool,
    ) -> Result<Option<T>, SessionError> {
        let mut job = pin!(job);
        let mut outcome = None;
        while outcome.is_none() && !is_void(&self.session) {
            tokio::select! {
                done = &mut job => outcome = Some(done),
                message = self.stream.next() => self.take_signal(message).await?,
            }
        }
        // zbus delivers an answer before signals that arrived earlier, and only those signals say why a VPN ended.
        self.drain().await?;
        Ok(outcome.filter(|_| !is_void(&self.session)))
    }

    async fn take_signal(
        &mut self,
        message: Option<zbus::Result<zbus::Message>>,
    ) -> Result<(), SessionError> {
        let message = message.ok_or(SessionError::Closed)?.map_err(SessionError::Broken)?;
        self.session.take_signal(&message);
        self.session.tell(self.views).await;
        Ok(())
    }
}
