//! Watches which resolvers this system uses. It reads the files that name them, and again when one changes.
//!
//! A resolver on loopback (systemd-resolved, dnsmasq) asks other resolvers. systemd-resolved and NetworkManager write
//! files that name those other resolvers.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::inotify::WatchFlags;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::changes::Changes;
use crate::vpn::Event;

/// resolv.conf(5), the file in which systemd-resolved(8) names the resolvers of the links, and the file that
/// NetworkManager writes when resolv.conf names only a local stub.
const FILES: [&str; 3] =
    ["etc/resolv.conf", "run/systemd/resolve/resolv.conf", "run/NetworkManager/no-stub-resolv.conf"];

/// Folders in which the folders of the last two files appear.
const PARENTS: [&str; 2] = ["run", "run/systemd"];

/// Maximum number of bytes that are read of a file, and maximum number of resolvers. glibc itself uses three.
const LONGEST: usize = 64 << 10;
const MAX_RESOLVERS: usize = 8;

/// How long after a change before the files are read: a file is written in several steps.
const SETTLED: Duration = Duration::from_millis(50);

/// Sends [`Event::Resolvers`] at once and after each change, until the receiver is dropped.
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
    let mut sent = None;
    loop {
        // The watch begins before the files are read, so that no change is missed.
        let changes = changes(root).inspect_err(|error| {
            tracing::warn!("a change of this system's resolvers will not be noticed: {error}");
        });
        let now = look(root);
        if sent.as_ref() != Some(&now) {
            sent = Some(now.clone());
            if events.send(Event::Resolvers(now)).await.is_err() {
                return;
            }
        }
        let Ok(changes) = changes else { return std::future::pending().await };
        changes.next().await;
        sleep(SETTLED).await;
    }
}

fn look(root: &Path) -> BTreeSet<IpAddr> {
    let texts = FILES.iter().map(|file| read(&root.join(file)));
    texts.flat_map(|text| parse(&text)).take(MAX_RESOLVERS).collect()
}

/// The beginning of a file; empty when there is no file.
#[expect(clippy::disallowed_methods, reason = "an edge file: it reads which resolvers there are")]
fn read(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(bytes.get(..LONGEST).unwrap_or(&bytes)).into_owned()
}

/// The addresses in `nameserver` lines that another machine can have.
pub(crate) fn parse(text: &str) -> Vec<IpAddr> {
    let addresses = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next())??.parse::<IpAddr>().ok()
    });
    addresses.filter_map(|address| crate::net::server_address(address).ok()).collect()
}

/// Changes of the folders that hold one of the files, or in which one may appear.
fn changes(root: &Path) -> io::Result<Changes> {
    let files = FILES.iter().map(|file| root.join(file));
    // A symbolic link (Debian links to systemd's file) is followed to the file that is written.
    let targets = files.clone().filter_map(|file| file.canonicalize().ok());
    let of_files = files.chain(targets).filter_map(|file| file.parent().map(Path::to_owned));
    let folders: BTreeSet<PathBuf> = of_files.collect();
    let written = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::CLOSE_WRITE | WatchFlags::DELETE;
    // Only for a folder that does not exist yet: many other files come and go in its parent.
    let parents = PARENTS.iter().map(|folder| (root.join(folder), WatchFlags::CREATE));
    Changes::of(folders.into_iter().map(|folder| (folder, written)).chain(parents))
}

#[cfg(test)]
mod tests;
