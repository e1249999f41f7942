//! Watches Docker through its API socket: whether it runs, its networks and its published ports.
//!
//! The agent works without Docker, and never changes or starts it. Where systemd holds the socket of a Docker that does
//! not run, a connection to the socket would start Docker, so the agent does not connect. An event of Docker only says
//! that something has changed. What is true now comes from Docker's lists, which the source reads after it has
//! subscribed.

mod attached;
pub(crate) mod http;
mod names;
pub(crate) mod read;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

pub use attached::{Attachable, addresses, attachable};
pub use read::HostContainer;

use names::Bridges;

use crate::blocked::Containers;
use crate::vpn::{DockerBackend, DockerView, Event};

/// The folder of Docker's socket and process id file.
const RUN: &str = "/run";

/// Time before the next attempt on a socket that does not answer. It doubles from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// Minimum time between two readings of the networks. The first change is read at once; a burst causes at
/// most ten readings a second.
const PAUSE: Duration = Duration::from_millis(100);

/// Time from the start or end of a container to the reading of the published ports. A container that starts
/// again and again causes at most two readings a second.
const PORTS_PAUSE: Duration = Duration::from_millis(500);

/// Events after which Docker may have changed its rules. The start and end of containers are not among them.
const EVENTS: &str = concat!(
    "/events?filters=%7B%22type%22%3A%5B%22network%22%2C%22daemon%22%5D%2C",
    "%22event%22%3A%5B%22create%22%2C%22destroy%22%2C%22remove%22%2C%22update%22%2C%22reload%22%5D%7D"
);

/// Events after which the published ports, or the addresses of their containers, may differ.
const CONTAINERS: &str = concat!(
    "/events?filters=%7B%22type%22%3A%5B%22container%22%2C%22network%22%5D%2C",
    "%22event%22%3A%5B%22start%22%2C%22die%22%2C%22stop%22%2C%22rename%22%2C%22connect%22%2C%22disconnect%22%5D%7D"
);

/// Why the source cannot follow Docker.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DockerError {
    #[error("Docker's socket does not answer")]
    Socket(#[from] io::Error),
    #[error("Docker did not answer in time")]
    Slow,
    #[error("Docker's answer is not HTTP, or has a form that was not asked for")]
    Form,
    #[error("Docker refused a request with status {0}")]
    Refused(u16),
    #[error("Docker's answer is larger than {0} bytes")]
    TooLarge(u64),
    #[error("cannot read Docker's answer to {0}")]
    Json(&'static str, #[source] serde_json::Error),
    #[error("Docker has ended")]
    Ended,
}

impl DockerError {
    /// Whether this error is normal when no Docker runs.
    fn is_silence(&self) -> bool {
        matches!(self, Self::Socket(_) | Self::Ended)
    }
}

/// Sends [`Event::Docker`] when Docker begins to answer, each time it has changed something, and when it has
/// ended, until the receiver is gone. Without Docker it sends nothing and waits without a timer.
pub async fn watch(events: mpsc::Sender<Event>, containers: watch::Sender<Containers>) {
    watch_in(Path::new(RUN), events, containers).await;
}

async fn watch_in(run: &Path, events: mpsc::Sender<Event>, containers: watch::Sender<Containers>) {
    let folder = match FolderWatch::new(run) {
        Ok(folder) => folder,
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "{} cannot be watched: Docker is not followed", run.display());
            return;
        }
    };
    let closed = events.clone();
    let events = Events { agent: events, containers, bridges: watch::Sender::default() };
    tokio::select! {
        () = closed.closed() => {}
        never = watch_forever(run, &folder, &events) => match never {},
    }
}

async fn watch_forever(run: &Path, folder: &FolderWatch, events: &Events) -> Infallible {
    let mut pause = FIRST_PAUSE;
    let mut said = String::new();
    loop {
        if !may_answer(run) {
            pause = FIRST_PAUSE;
            folder.changed().await;
            continue;
        }
        let mut answered = false;
        let Err(error) = follow(&run.join("docker.sock"), events, &mut answered).await;
        if answered {
            pause = FIRST_PAUSE;
            events.containers.send_replace(Containers::default());
            events.tell(None).await;
        }
        // The same reason is logged only once.
        let text = error.to_string();
        if answered || !error.is_silence() && text != said {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "Docker does not answer; the rules for its containers stay in force");
            said = text;
        }
        tokio::select! {
            () = folder.changed() => {}
            () = sleep(pause) => pause = (pause * 2).min(LAST_PAUSE),
        }
    }
}

/// Whether there is a socket of a Docker that may be running already.
fn may_answer(run: &Path) -> bool {
    let held_by_systemd = run.join("systemd/system").exists();
    run.join("docker.sock").exists() && (!held_by_systemd || is_running(&run.join("docker.pid")))
}

/// Whether Docker runs, by its process id file. Docker writes the file first of all and removes it at its
/// end.
#[expect(clippy::disallowed_methods, reason = "an edge file: it looks whether Docker runs")]
fn is_running(file: &Path) -> bool {
    let pid = std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse::<u32>().ok());
    pid.is_some_and(|pid| Path::new("/proc").join(pid.to_string()).exists())
}

/// Follows one Docker from its first answer until it ends.
async fn follow(socket: &Path, events: &Events, answered: &mut bool) -> Result<Infallible, DockerError> {
    // Without a timeout: a Docker that starts takes the request at once and answers when it is ready.
    let mut changes = http::Changes::open(socket, EVENTS).await?;
    let engine = Engine::ask(socket).await?;
    tracing::info!(version = engine.version, backend = engine.backend.as_str(), "Docker answers");
    // The networks first: what the ports of a container may open depends on its networks.
    tell_networks(socket, &engine, events).await?;
    *answered = true;
    tokio::select! {
        ended = follow_networks(socket, &engine, &mut changes, events) => ended,
        ended = follow_ports(socket, events) => ended,
    }
}

/// The containers that use the host's network now; `None` when Docker does not answer.
pub async fn on_host_network() -> Option<Vec<HostContainer>> {
    let run = Path::new(RUN);
    if !may_answer(run) {
        return None;
    }
    let answer = http::get(&run.join("docker.sock"), "/containers/json").await.ok()?;
    read::on_host_network(&answer).ok()
}

/// Follows the ports that containers publish, and the names of containers.
async fn follow_ports(socket: &Path, events: &Events) -> Result<Infallible, DockerError> {
    let mut changes = http::Changes::open(socket, CONTAINERS).await?;
    let mut bridges = events.bridges.subscribe();
    let mut known = BTreeSet::new();
    loop {
        let answer = http::get(socket, "/containers/json").await?;
        let ports = read::published(&answer)?;
        if ports != known {
            known.clone_from(&ports);
            events.say(Event::Published(ports)).await;
        }
        loop {
            // The names are only shown to people, so an answer whose names cannot be read still counts.
            let named = names::of_containers(&answer, &bridges.borrow_and_update());
            events.containers.send_replace(named.unwrap_or_default());
            tokio::select! {
                changed = changes.next() => break changed?,
                Ok(()) = bridges.changed() => {}
            }
        }
        // A container that has just ended is still in the list.
        sleep(PORTS_PAUSE).await;
    }
}

/// What does not change while one Docker runs.
struct Engine {
    version: String,
    backend: DockerBackend,
}

impl Engine {
    async fn ask(socket: &Path) -> Result<Self, DockerError> {
        let version = read::version(&http::get(socket, "/version").await?)?;
        let backend = read::backend(&http::get(socket, "/info").await?, &version)?;
        Ok(Self { version, backend })
    }
}

async fn follow_networks(
    socket: &Path,
    engine: &Engine,
    changes: &mut http::Changes,
    events: &Events,
) -> Result<Infallible, DockerError> {
    loop {
        sleep(PAUSE).await;
        changes.next().await?;
        tell_networks(socket, engine, events).await?;
    }
}

async fn tell_networks(socket: &Path, engine: &Engine, events: &Events) -> Result<(), DockerError> {
    let Engine { version, backend } = engine;
    let answer = http::get(socket, "/networks").await?;
    let networks = read::networks(&answer)?;
    events.bridges.send_replace(names::of_bridges(&answer)?);
    events.tell(Some(DockerView { version: version.clone(), backend: *backend, networks })).await;
    Ok(())
}

/// Sends events to the agent, and the names of containers to the source of refusals.
struct Events {
    agent: mpsc::Sender<Event>,
    containers: watch::Sender<Containers>,
    /// The bridges of Docker's networks, by which the addresses of containers are known.
    bridges: watch::Sender<Bridges>,
}

impl Events {
    async fn tell(&self, view: Option<DockerView>) {
        self.say(Event::Docker(view)).await;
    }

    async fn say(&self, event: Event) {
        // Without a receiver `watch_in` ends.
        let _ = self.agent.send(event).await;
    }
}

/// Reports when a file appears in a folder.
struct FolderWatch(AsyncFd<std::os::fd::OwnedFd>);

impl FolderWatch {
    #[expect(
        deprecated,
        reason = "the successor is unsafe, for types that may close early; an OwnedFd cannot"
    )]
    fn new(folder: &Path) -> io::Result<Self> {
        let inotify = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        add_watch(&inotify, folder, WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR)?;
        AsyncFd::new(inotify).map(Self)
    }

    /// Waits for the next file, and takes all notifications that are queued.
    async fn changed(&self) {
        let mut scrap = [0; 4096];
        // The only error is that of a runtime that is being shut down.
        let Ok(mut ready) = self.0.readable().await else { return std::future::pending().await };
        while rustix::io::read(&self.0, &mut scrap).is_ok_and(|length| length > 0) {}
        ready.clear_ready();
    }
}
