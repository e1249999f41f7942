//! Watches Docker through its API socket: that it is there, and its networks.
//!
//! Nothing of it is required, and Docker is never changed, nor started: where systemd holds the socket
//! for a Docker that does not run, connecting would start it. Docker's events are read only as
//! "something has changed"; what is true now comes from its lists, asked for after subscribing.

pub(crate) mod http;
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
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::vpn::{DockerBackend, DockerView, Event};

/// Where Docker's socket and process id file are.
const RUN: &str = "/run";

/// The pause before a socket is tried again on which nobody answers: doubled from the first to the
/// last.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// The least time between two looks at the networks. A first change is read at once; a burst of
/// networks makes at most ten a second.
const PAUSE: Duration = Duration::from_millis(100);

/// From a container's start or end to a look at the published ports: one that is started again and
/// again makes at most two a second.
const PORTS_PAUSE: Duration = Duration::from_millis(500);

/// Events after which Docker may have touched its rules. Containers that come and go do not.
const EVENTS: &str = concat!(
    "/events?filters=%7B%22type%22%3A%5B%22network%22%2C%22daemon%22%5D%2C",
    "%22event%22%3A%5B%22create%22%2C%22destroy%22%2C%22remove%22%2C%22update%22%2C%22reload%22%5D%7D"
);

/// Events after which another port may be published.
const CONTAINERS: &str = concat!(
    "/events?filters=%7B%22type%22%3A%5B%22container%22%5D%2C",
    "%22event%22%3A%5B%22start%22%2C%22die%22%2C%22stop%22%5D%7D"
);

/// Why Docker cannot be followed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DockerError {
    #[error("Docker's socket does not answer")]
    Socket(#[from] io::Error),
    #[error("Docker did not answer in time")]
    Slow,
    #[error("Docker's answer is no HTTP, or of a form that was not asked for")]
    Form,
    #[error("Docker refused a question with status {0}")]
    Refused(u16),
    #[error("Docker's answer is larger than {0} bytes")]
    TooLarge(u64),
    #[error("Docker's answer to {0} cannot be understood")]
    Json(&'static str, #[source] serde_json::Error),
    #[error("Docker has ended")]
    Ended,
}

impl DockerError {
    /// Whether there may simply be no Docker.
    fn is_silence(&self) -> bool {
        matches!(self, Self::Socket(_) | Self::Ended)
    }
}

/// Sends [`Event::Docker`] when Docker begins to answer, whenever it has changed something, and when it
/// has gone; until nobody listens. Without Docker it sends nothing and waits without a timer.
pub async fn watch(events: mpsc::Sender<Event>) {
    watch_in(Path::new(RUN), events).await;
}

async fn watch_in(run: &Path, events: mpsc::Sender<Event>) {
    let bell = match Bell::new(run) {
        Ok(bell) => bell,
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "{} cannot be watched: Docker is not followed", run.display());
            return;
        }
    };
    let (closed, teller) = (events.clone(), Teller(events));
    tokio::select! {
        () = closed.closed() => {}
        never = watch_for_ever(run, &bell, &teller) => match never {},
    }
}

async fn watch_for_ever(run: &Path, bell: &Bell, teller: &Teller) -> Infallible {
    let mut pause = FIRST_PAUSE;
    let mut said = String::new();
    loop {
        if !may_answer(run) {
            pause = FIRST_PAUSE;
            bell.rung().await;
            continue;
        }
        let mut told = false;
        let Err(error) = follow(&run.join("docker.sock"), teller, &mut told).await;
        if told {
            pause = FIRST_PAUSE;
            teller.tell(None).await;
        }
        // The first time is news, the others are noise.
        let text = error.to_string();
        if told || !error.is_silence() && text != said {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "Docker is out of sight; its containers stay behind the rules");
            said = text;
        }
        tokio::select! {
            () = bell.rung() => {}
            () = sleep(pause) => pause = (pause * 2).min(LAST_PAUSE),
        }
    }
}

/// Whether there is a socket on which a Docker may answer that runs already.
fn may_answer(run: &Path) -> bool {
    let held_by_systemd = run.join("systemd/system").exists();
    run.join("docker.sock").exists() && (!held_by_systemd || is_running(&run.join("docker.pid")))
}

/// By its process id file, which Docker writes before anything else and removes at its end.
#[expect(clippy::disallowed_methods, reason = "an edge file: it looks whether Docker runs")]
fn is_running(file: &Path) -> bool {
    let pid = std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse::<u32>().ok());
    pid.is_some_and(|pid| Path::new("/proc").join(pid.to_string()).exists())
}

/// One Docker, from its first answer to its end.
async fn follow(socket: &Path, teller: &Teller, told: &mut bool) -> Result<Infallible, DockerError> {
    // Without a bound: a Docker that is starting takes the question and answers when it is up.
    let mut changes = http::Changes::open(socket, EVENTS).await?;
    let version = read::version(&http::get(socket, "/version").await?)?;
    let backend = read::backend(&http::get(socket, "/info").await?, &version)?;
    tracing::info!(version, backend = backend.as_str(), "Docker is there");
    tokio::select! {
        ended = follow_networks(socket, teller, told, &mut changes, &version, backend) => ended,
        ended = follow_ports(socket, teller) => ended,
    }
}

/// The ports that containers publish, as they come and go.
async fn follow_ports(socket: &Path, teller: &Teller) -> Result<Infallible, DockerError> {
    let mut changes = http::Changes::open(socket, CONTAINERS).await?;
    let mut known = BTreeSet::new();
    loop {
        let ports = read::published(&http::get(socket, "/containers/json").await?)?;
        if ports != known {
            known.clone_from(&ports);
            teller.say(Event::Published(ports)).await;
        }
        changes.next().await?;
        // At the moment of its death a container is still in the list.
        sleep(PORTS_PAUSE).await;
    }
}

async fn follow_networks(
    socket: &Path,
    teller: &Teller,
    told: &mut bool,
    changes: &mut http::Changes,
    version: &str,
    backend: DockerBackend,
) -> Result<Infallible, DockerError> {
    loop {
        let networks = read::networks(&http::get(socket, "/networks").await?)?;
        teller.tell(Some(DockerView { version: version.to_owned(), backend, networks })).await;
        *told = true;
        sleep(PAUSE).await;
        changes.next().await?;
    }
}

/// Tells the agent.
struct Teller(mpsc::Sender<Event>);

impl Teller {
    async fn tell(&self, view: Option<DockerView>) {
        self.say(Event::Docker(view)).await;
    }

    async fn say(&self, event: Event) {
        // Without a receiver there is nobody to tell, and `watch_in` ends.
        let _ = self.0.send(event).await;
    }
}

/// Rings when something appears in a folder.
struct Bell(AsyncFd<std::os::fd::OwnedFd>);

impl Bell {
    #[expect(
        deprecated,
        reason = "the successor is unsafe, for types that may close early; an OwnedFd cannot"
    )]
    fn new(folder: &Path) -> io::Result<Self> {
        let inotify = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        add_watch(&inotify, folder, WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR)?;
        AsyncFd::new(inotify).map(Self)
    }

    /// Waits for the next ring and takes all that are queued behind it.
    async fn rung(&self) {
        let mut scrap = [0; 4096];
        // The only error is that of a runtime that is being shut down.
        let Ok(mut ready) = self.0.readable().await else { return std::future::pending().await };
        while rustix::io::read(&self.0, &mut scrap).is_ok_and(|length| length > 0) {}
        ready.clear_ready();
    }
}
