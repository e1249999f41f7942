//! Watches which resolvers this system uses: the files that name them, read again when one changes.
//!
//! Behind a resolver on loopback (systemd-resolved, dnsmasq) stand others; the files that its makers
//! write for that purpose name them.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::vpn::Event;

/// resolv.conf(5); what systemd-resolved(8) writes of the links' own; what NetworkManager writes beside
/// a stub.
const FILES: [&str; 3] =
    ["etc/resolv.conf", "run/systemd/resolve/resolv.conf", "run/NetworkManager/no-stub-resolv.conf"];

/// Folders in which the others appear.
const PARENTS: [&str; 2] = ["run", "run/systemd"];

/// What is read of a file, in bytes, and how many resolvers count: glibc itself uses three.
const LONGEST: usize = 64 << 10;
const MOST: usize = 8;

/// A file is written in several steps: it is read when that is over.
const SETTLED: Duration = Duration::from_millis(50);

/// Sends [`Event::Resolvers`] at once and whenever they are others, until nobody listens.
pub async fn watch(events: mpsc::Sender<Event>) {
    watch_in(Path::new("/"), events).await;
}

async fn watch_in(root: &Path, events: mpsc::Sender<Event>) {
    let closed = events.clone();
    tokio::select! {
        () = closed.closed() => {}
        () = tell_changes(root, &events) => {}
    }
}

async fn tell_changes(root: &Path, events: &mpsc::Sender<Event>) {
    let mut told = None;
    loop {
        // First the watch, then the look: nothing that changes in between is missed.
        let changes = Changes::of(root);
        let now = look(root);
        if told.as_ref() != Some(&now) {
            told = Some(now.clone());
            if events.send(Event::Resolvers(now)).await.is_err() {
                return;
            }
        }
        let Some(changes) = changes else { return std::future::pending().await };
        changes.next().await;
        sleep(SETTLED).await;
    }
}

fn look(root: &Path) -> BTreeSet<IpAddr> {
    let texts = FILES.iter().map(|file| read(&root.join(file)));
    texts.flat_map(|text| parse(&text)).take(MOST).collect()
}

/// The beginning of a file; nothing when there is none.
#[expect(clippy::disallowed_methods, reason = "an edge file: it reads which resolvers there are")]
fn read(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(bytes.get(..LONGEST).unwrap_or(&bytes)).into_owned()
}

/// The `nameserver` lines that name another machine.
fn parse(text: &str) -> Vec<IpAddr> {
    let addresses = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next())??.parse::<IpAddr>().ok()
    });
    addresses.filter_map(|address| crate::net::server_address(address).ok()).collect()
}

/// One change of a folder that holds one of the files, or in which one may appear.
struct Changes(AsyncFd<OwnedFd>);

impl Changes {
    fn of(root: &Path) -> Option<Self> {
        Self::new(root)
            .inspect_err(|error| {
                tracing::warn!("a change of this system's resolvers will not be noticed: {error}");
            })
            .ok()
    }

    #[expect(
        deprecated,
        reason = "the successor is unsafe, for types that may close early; an OwnedFd cannot"
    )]
    fn new(root: &Path) -> io::Result<Self> {
        let inotify = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let files = FILES.iter().map(|file| root.join(file));
        // A link (Debian's to systemd's file) is followed to where the text is written.
        let targets = files.clone().filter_map(|file| file.canonicalize().ok());
        let of_files = files.chain(targets).filter_map(|file| file.parent().map(Path::to_owned));
        let folders: BTreeSet<PathBuf> = of_files.collect();
        let written =
            WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::CLOSE_WRITE | WatchFlags::DELETE;
        for folder in folders {
            watch_folder(&inotify, &folder, written)?;
        }
        for folder in PARENTS {
            // Only for a folder that is not there yet: much else comes and goes in these.
            watch_folder(&inotify, &root.join(folder), WatchFlags::CREATE)?;
        }
        AsyncFd::new(inotify).map(Self)
    }

    async fn next(&self) {
        let mut scrap = [0; 4096];
        // The only error is that of a runtime that is being shut down.
        let Ok(mut ready) = self.0.readable().await else { return std::future::pending().await };
        while rustix::io::read(&self.0, &mut scrap).is_ok_and(|length| length > 0) {}
        ready.clear_ready();
    }
}

/// A folder that is not there is told of by the one above it.
fn watch_folder(inotify: &OwnedFd, folder: &Path, flags: WatchFlags) -> io::Result<()> {
    match add_watch(inotify, folder, flags | WatchFlags::ONLYDIR | WatchFlags::MASK_ADD) {
        Ok(_) | Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
