//! Listens at the management sockets of plain OpenVPN clients, on which they report their state.
//!
//! A socket counts only if it is root's, in a folder that root alone can write, and if the process at its
//! other end is root's or runs as the user to which the configuration drops. The agent asks for the state,
//! and sends no commands. OpenVPN admits one program at a time, and the agent does not displace another one.
//! It polls nothing: it tries a socket when its folder changes, and retries one that is in use.

pub(crate) mod line;

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

use self::line::QUESTION;
use super::changes::Changes;
use super::skipped::shown;
use super::trusted::{Refused, TrustedRoot};
use crate::vpn::{ClientState, Event, ManagementMessage, ManagementSocket, SocketState};

/// How long a client may take to send its greeting. If it sends none, another program is connected to it.
const GREETING: Duration = Duration::from_secs(2);

/// When a socket that refuses connections is tried again. OpenVPN creates the socket before it listens at it.
const STARTING: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_millis(300), Duration::from_secs(1), Duration::from_secs(3)];

/// Time before the next attempt on a socket that is in use or that sends unknown lines: at first, and at
/// most.
const RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(300));

/// How long after a change of the folder the agent waits before it tries the socket. OpenVPN creates a socket in
/// several steps.
const SETTLED: Duration = Duration::from_millis(50);

/// Maximum length of a line, in bytes, and maximum number of lines that are not OpenVPN's.
const MAX_LINE: usize = 4096;
const MAX_UNKNOWN_LINES: u32 = 32;

/// Listens at the sockets in `wanted`, until its sender is dropped.
pub async fn watch(wanted: watch::Receiver<Vec<ManagementSocket>>, events: mpsc::Sender<Event>) {
    watch_in(TrustedRoot { root: PathBuf::from("/"), owner: 0 }, wanted, events).await;
}

async fn watch_in(
    trusted: TrustedRoot,
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
                let listener = Listener { trusted: trusted.clone(), socket, events: events.clone() };
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

/// Why the agent does not listen to a client.
#[derive(Debug, thiserror::Error)]
enum ListenError {
    #[error("it is not trusted: {0}")]
    Refused(#[from] Refused),
    #[error("no process answers at it")]
    NoClient,
    #[error("user {0} is at its other end, who is neither root nor the one that the configuration names")]
    OtherUser(u32),
    #[error(
        "another program uses this socket, and OpenVPN admits only one at a time: the other sources report the \
         loss, and the socket is tried again later"
    )]
    Busy,
    #[error("the lines there are not OpenVPN's: {0}")]
    MalformedLine(String),
    #[error("it cannot be read: {0}")]
    Broken(#[from] io::Error),
    #[error("the client closed it")]
    Closed,
}

impl ListenError {
    /// What the status shows. A client that does not run is not a fault.
    fn socket_state(&self) -> SocketState {
        match self {
            Self::NoClient | Self::Closed => SocketState::NoClient,
            Self::Refused(refused) if refused.is_absence() => SocketState::NoClient,
            Self::Refused(_) | Self::OtherUser(_) | Self::Busy | Self::MalformedLine(_) | Self::Broken(_) => {
                SocketState::Unusable(self.to_string())
            }
        }
    }
}

struct Listener {
    trusted: TrustedRoot,
    socket: ManagementSocket,
    events: mpsc::Sender<Event>,
}

impl Listener {
    /// Listens without end.
    async fn listen(self) {
        let path = PathBuf::from(&self.socket.path);
        let (mut said, mut tries, mut wait) = (String::new(), STARTING.iter(), RETRY.0);
        loop {
            // The watch begins before the socket is tried, so that no change is missed.
            let folder = self.trusted.nearest_folder(&path);
            let changes = changes(&folder);
            if folder != self.trusted.nearest_folder(&path) {
                continue;
            }
            let Err(error) = self.follow_client(&path).await;
            self.log_fault(&error, &mut said);
            self.tell(error.socket_state()).await;
            let again = match &error {
                ListenError::Refused(_) | ListenError::OtherUser(_) => None,
                ListenError::NoClient => tries.next().copied(),
                ListenError::Busy | ListenError::MalformedLine(_) | ListenError::Broken(_) => {
                    let now = wait;
                    wait = (wait * 2).min(RETRY.1);
                    Some(now)
                }
                ListenError::Closed => {
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

    /// Logs an error once, until another error comes.
    fn log_fault(&self, error: &ListenError, said: &mut String) {
        let warning = error.to_string();
        let (path, file) = (shown(&self.socket.path), shown(&self.socket.file));
        match error {
            // The client does not run.
            ListenError::Refused(refused) if refused.is_absence() => {}
            ListenError::NoClient | ListenError::Closed => {
                tracing::debug!("the management socket {path}: {warning}")
            }
            _ if *said == warning => return,
            ListenError::Busy => tracing::info!("the management socket {path} of {file}: {warning}"),
            ListenError::Refused(_)
            | ListenError::OtherUser(_)
            | ListenError::MalformedLine(_)
            | ListenError::Broken(_) => {
                tracing::warn!("the management socket {path} of {file} is not listened at: {warning}");
            }
        }
        *said = warning;
    }

    /// Listens until the client ends, or sends too many unknown lines.
    async fn follow_client(&self, path: &Path) -> Result<Infallible, ListenError> {
        self.trusted.socket(path)?;
        let mut stream = UnixStream::connect(path).await.map_err(|error| {
            if error.kind() == io::ErrorKind::ConnectionRefused {
                ListenError::NoClient
            } else {
                error.into()
            }
        })?;
        // The credentials of the process when it began to listen: root, before it drops privileges.
        let peer = stream.peer_cred()?;
        if ![Some(self.trusted.owner), self.socket.user].contains(&Some(peer.uid())) {
            return Err(ListenError::OtherUser(peer.uid()));
        }
        let password = self.socket.password.as_ref().map(|path| self.trusted.password(Path::new(path)));
        let password = password.transpose()?;
        let mut conversation = Conversation {
            listener: self,
            pid: peer.pid().and_then(|pid| u32::try_from(pid).ok()).filter(|&pid| pid > 0),
            last: None,
            nonsense: 0,
        };
        let mut heard = Vec::with_capacity(MAX_LINE);
        match timeout(GREETING, stream.read_buf(&mut heard)).await {
            Err(_) => return Err(ListenError::Busy),
            Ok(read) => {
                if read? == 0 {
                    return Err(ListenError::Closed);
                }
            }
        }
        let mut question = password.map_or_else(Vec::new, |password| format!("{password}\n").into_bytes());
        question.extend(QUESTION);
        stream.write_all(&question).await?;
        tracing::info!("listening at the management socket {}", shown(&self.socket.path));
        self.tell(SocketState::Heard).await;
        let ended = conversation.receive(&mut stream, heard).await;
        // From now on this client's state is unknown.
        self.say(conversation.pid, ClientState::Gone).await;
        ended
    }

    async fn tell(&self, socket_state: SocketState) {
        drop(self.events.send(Event::SocketState(self.socket.clone(), socket_state)).await);
    }

    async fn say(&self, pid: Option<u32>, said: ClientState) {
        let word = ManagementMessage { file: self.socket.file.clone(), pid, said };
        drop(self.events.send(Event::Management(word)).await);
    }
}

/// A conversation with one client at one socket.
struct Conversation<'a> {
    listener: &'a Listener,
    pid: Option<u32>,
    /// The last state that it reported.
    last: Option<ClientState>,
    nonsense: u32,
}

impl Conversation<'_> {
    async fn receive(
        &mut self,
        stream: &mut UnixStream,
        mut heard: Vec<u8>,
    ) -> Result<Infallible, ListenError> {
        loop {
            while let Some(end) = heard.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = heard.drain(..=end).collect();
                self.take(String::from_utf8_lossy(&line).trim_end()).await?;
            }
            if heard.len() >= MAX_LINE {
                return Err(ListenError::MalformedLine(format!("a line of more than {MAX_LINE} bytes")));
            }
            if stream.read_buf(&mut heard).await? == 0 {
                return Err(ListenError::Closed);
            }
        }
    }

    async fn take(&mut self, line: &str) -> Result<(), ListenError> {
        match line::read(line) {
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
                    tracing::warn!("a line at the management socket {path} was ignored: {what}");
                }
                self.nonsense += 1;
                if self.nonsense > MAX_UNKNOWN_LINES {
                    return Err(ListenError::MalformedLine(what));
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
