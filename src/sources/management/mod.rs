//! Listens at the management sockets of plain OpenVPN clients: what they say of where they stand.
//!
//! Only root's own socket, in a place where root alone can write, with root's process or the user that
//! the configuration drops to at its other end. One question is asked, and nothing is ever commanded.
//! The interface admits one at a time: whoever is there already is left there. Nothing is polled: a
//! socket is tried when its folder changes, and one that is taken now and then.

mod place;
pub(crate) mod word;

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::inotify::WatchFlags;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use self::place::{Place, Refused};
use self::word::QUESTION;
use super::changes::Changes;
use super::skipped::shown;
use crate::vpn::{ClientState, Event, Hearing, ManagementMessage, ManagementSocket};

/// A client greets at once; one that does not is spoken to by somebody else.
const GREETING: Duration = Duration::from_secs(2);

/// When a socket that nobody answers at is tried again: its client makes it before it listens.
const STARTING: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_millis(300), Duration::from_secs(1), Duration::from_secs(3)];

/// How long until one that is taken, or at which nonsense is said, is tried again: at first, and at most.
const RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(300));

/// A socket is made in several steps, and a busy folder wakes nobody more often.
const SETTLED: Duration = Duration::from_millis(50);

/// OpenVPN's own lines are shorter; and whoever says so many that are none of its is not listened to.
const LONGEST_LINE: usize = 4096;
const MOST_NONSENSE: u32 = 32;

/// Listens at the sockets that `wanted` says, until nobody says it any more.
pub async fn watch(wanted: watch::Receiver<Vec<ManagementSocket>>, events: mpsc::Sender<Event>) {
    watch_in(Place { root: PathBuf::from("/"), owner: 0 }, wanted, events).await;
}

async fn watch_in(
    place: Place,
    mut wanted: watch::Receiver<Vec<ManagementSocket>>,
    events: mpsc::Sender<Event>,
) {
    let mut tasks: HashMap<ManagementSocket, AbortHandle> = HashMap::new();
    loop {
        let now = wanted.borrow_and_update().clone();
        tasks.retain(|socket, task| {
            let stays = now.contains(socket);
            if !stays {
                task.abort();
            }
            stays
        });
        for socket in now {
            tasks.entry(socket.clone()).or_insert_with(|| {
                let listener = Listener { place: place.clone(), socket, events: events.clone() };
                tokio::spawn(listener.listen()).abort_handle()
            });
        }
        if wanted.changed().await.is_err() {
            break;
        }
    }
    for task in tasks.into_values() {
        task.abort();
    }
}

/// Why a client is not heard.
#[derive(Debug, thiserror::Error)]
enum Deaf {
    #[error("it is not believed: {0}")]
    Refused(#[from] Refused),
    #[error("nobody answers at it")]
    Nobody,
    #[error("user {0} is at its other end, who is neither root nor the one that the configuration names")]
    Stranger(u32),
    #[error(
        "another program speaks to the client there, and OpenVPN admits one at a time: its loss is seen by \
         the other sources, and the socket is tried again now and then"
    )]
    Busy,
    #[error("what is said there is not OpenVPN's: {0}")]
    Nonsense(String),
    #[error("it cannot be read: {0}")]
    Broken(#[from] io::Error),
    #[error("the client closed it")]
    Closed,
}

impl Deaf {
    /// What there is to tell of it. A client that does not run, or does not run any more, is no fault.
    fn hearing(&self) -> Hearing {
        match self {
            Self::Nobody | Self::Closed => Hearing::Nobody,
            Self::Refused(refused) if refused.is_absence() => Hearing::Nobody,
            Self::Refused(_) | Self::Stranger(_) | Self::Busy | Self::Nonsense(_) | Self::Broken(_) => {
                Hearing::Unusable(self.to_string())
            }
        }
    }
}

struct Listener {
    place: Place,
    socket: ManagementSocket,
    events: mpsc::Sender<Event>,
}

impl Listener {
    /// For ever.
    async fn listen(self) {
        let path = PathBuf::from(&self.socket.path);
        let (mut said, mut tries, mut wait) = (String::new(), STARTING.iter(), RETRY.0);
        loop {
            // First the watch, then the look: nothing that changes in between is missed.
            let folder = self.place.nearest_folder(&path);
            let changes = changes(&folder);
            if folder != self.place.nearest_folder(&path) {
                continue;
            }
            let Err(deaf) = self.hear(&path).await;
            self.complain(&deaf, &mut said);
            self.tell(deaf.hearing()).await;
            let again = match &deaf {
                Deaf::Refused(_) | Deaf::Stranger(_) => None,
                Deaf::Nobody => tries.next().copied(),
                Deaf::Busy | Deaf::Nonsense(_) | Deaf::Broken(_) => {
                    let now = wait;
                    wait = (wait * 2).min(RETRY.1);
                    Some(now)
                }
                Deaf::Closed => {
                    (tries, wait) = (STARTING.iter(), RETRY.0);
                    Some(RETRY.0)
                }
            };
            tokio::select! {
                () = next(changes) => {
                    (tries, wait) = (STARTING.iter(), RETRY.0);
                    sleep(SETTLED).await;
                }
                () = after(again) => {}
            }
        }
    }

    /// Says each thing once, until it is another.
    fn complain(&self, deaf: &Deaf, said: &mut String) {
        let complaint = deaf.to_string();
        let (path, file) = (shown(&self.socket.path), shown(&self.socket.file));
        match deaf {
            // Its client does not run, or does not run any more.
            Deaf::Refused(refused) if refused.is_absence() => {}
            Deaf::Nobody | Deaf::Closed => tracing::debug!("the management socket {path}: {complaint}"),
            _ if *said == complaint => return,
            Deaf::Busy => tracing::info!("the management socket {path} of {file}: {complaint}"),
            Deaf::Refused(_) | Deaf::Stranger(_) | Deaf::Nonsense(_) | Deaf::Broken(_) => {
                tracing::warn!("the management socket {path} of {file} is not listened at: {complaint}");
            }
        }
        *said = complaint;
    }

    /// Until the client goes, or what it says cannot be borne.
    async fn hear(&self, path: &Path) -> Result<Infallible, Deaf> {
        self.place.socket(path)?;
        let mut stream = UnixStream::connect(path).await.map_err(|error| {
            if error.kind() == io::ErrorKind::ConnectionRefused { Deaf::Nobody } else { error.into() }
        })?;
        // Who it was that began to listen there: root, before it drops to anybody.
        let peer = stream.peer_cred()?;
        if ![Some(self.place.owner), self.socket.user].contains(&Some(peer.uid())) {
            return Err(Deaf::Stranger(peer.uid()));
        }
        let password = self.socket.password.as_ref().map(|path| self.place.password(Path::new(path)));
        let password = password.transpose()?;
        let mut conversation = Conversation {
            listener: self,
            pid: peer.pid().and_then(|pid| u32::try_from(pid).ok()).filter(|&pid| pid > 0),
            last: None,
            nonsense: 0,
        };
        let mut heard = Vec::with_capacity(LONGEST_LINE);
        match timeout(GREETING, stream.read_buf(&mut heard)).await {
            Err(_) => return Err(Deaf::Busy),
            Ok(read) => {
                if read? == 0 {
                    return Err(Deaf::Closed);
                }
            }
        }
        let mut question = password.map_or_else(Vec::new, |password| format!("{password}\n").into_bytes());
        question.extend(QUESTION);
        stream.write_all(&question).await?;
        tracing::info!("listening at the management socket {}", shown(&self.socket.path));
        self.tell(Hearing::Heard).await;
        let ended = conversation.go_on(&mut stream, heard).await;
        // Whatever it was: nobody says any more how this client stands.
        self.say(conversation.pid, ClientState::Gone).await;
        ended
    }

    async fn tell(&self, hearing: Hearing) {
        drop(self.events.send(Event::Hearing(self.socket.clone(), hearing)).await);
    }

    async fn say(&self, pid: Option<u32>, said: ClientState) {
        let word = ManagementMessage { file: self.socket.file.clone(), pid, said };
        drop(self.events.send(Event::Management(word)).await);
    }
}

/// What is said at one socket by one client.
struct Conversation<'a> {
    listener: &'a Listener,
    pid: Option<u32>,
    /// What it said last.
    last: Option<ClientState>,
    nonsense: u32,
}

impl Conversation<'_> {
    async fn go_on(&mut self, stream: &mut UnixStream, mut heard: Vec<u8>) -> Result<Infallible, Deaf> {
        loop {
            while let Some(end) = heard.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = heard.drain(..=end).collect();
                self.take(String::from_utf8_lossy(&line).trim_end()).await?;
            }
            if heard.len() >= LONGEST_LINE {
                return Err(Deaf::Nonsense(format!("a line of more than {LONGEST_LINE} bytes")));
            }
            if stream.read_buf(&mut heard).await? == 0 {
                return Err(Deaf::Closed);
            }
        }
    }

    async fn take(&mut self, line: &str) -> Result<(), Deaf> {
        match word::read(line) {
            Ok(None) => {}
            Ok(said) if said == self.last => {}
            Ok(Some(said)) => {
                self.last = Some(said.clone());
                self.listener.say(self.pid, said).await;
            }
            Err(nonsense) => {
                let what = format!("{nonsense}: {}", shown(line));
                if self.nonsense == 0 {
                    let path = shown(&self.listener.socket.path);
                    tracing::warn!("at the management socket {path} something was passed over: {what}");
                }
                self.nonsense += 1;
                if self.nonsense > MOST_NONSENSE {
                    return Err(Deaf::Nonsense(what));
                }
            }
        }
        Ok(())
    }
}

fn changes(folder: &Path) -> io::Result<Changes> {
    let flags = WatchFlags::CREATE | WatchFlags::MOVE | WatchFlags::DELETE | WatchFlags::ATTRIB;
    Changes::of([(folder.to_owned(), flags)]).inspect_err(|error| {
        tracing::warn!("a management socket that appears will not be noticed: {error}");
    })
}

async fn next(changes: io::Result<Changes>) {
    match changes {
        Ok(changes) => changes.next().await,
        Err(_) => std::future::pending().await,
    }
}

async fn after(wait: Option<Duration>) {
    match wait {
        Some(wait) => sleep(wait).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
