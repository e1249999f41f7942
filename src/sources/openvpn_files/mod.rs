//! Watches the configurations of plain OpenVPN clients: where root has said that they connect to.
//!
//! Root's own word, as a hook's is: so only a plain file counts that is root's and that nobody else can
//! write, in a folder that is. Read again when one changes, and never otherwise.

pub(crate) mod client;
mod management;
mod options;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::User;
use rustix::fs::inotify::WatchFlags;
use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use self::client::Client;
use super::changes::Changes;
use super::skipped::{Skipped, shown};
use crate::vpn::{Event, ManagementSocket, OpenVpnFile};

/// Where OpenVPN's own units look for clients (openvpn@.service, openvpn-client@.service).
const FOLDERS: [&str; 2] = ["etc/openvpn", "etc/openvpn/client"];
/// The second, seen from the first.
const BELOW: &str = "client";
/// Where the first of them appears.
const PARENT: &str = "etc";
const ENDINGS: [&str; 2] = [".conf", ".ovpn"];

/// A configuration with keys and ten thousand servers is smaller, in bytes; and so many files count.
const LARGEST: u64 = 1 << 20;
const MOST_FILES: usize = 1_024;

/// A file is written in several steps: it is read when that is over.
const SETTLED: Duration = Duration::from_millis(50);

/// Sends [`Event::OpenVpnFiles`] at once and whenever they are others, until nobody listens.
pub async fn watch(events: mpsc::Sender<Event>) {
    watch_in(Place { root: PathBuf::from("/"), owner: 0 }, events).await;
}

/// Where to look, and whose files are believed.
#[derive(Debug, Clone)]
struct Place {
    root: PathBuf,
    owner: u32,
}

/// What the doctor asks of the same files.
#[derive(Debug, Default)]
pub struct Told {
    /// Clients that do not report to us, by their paths.
    pub without_hooks: Vec<String>,
    /// What is not taken as it stands, and why; nothing for one who may not read them all.
    pub left_out: Vec<String>,
}

/// The configurations of a system whose files are below `root` and belong to `owner`.
pub fn told(root: &Path, owner: u32) -> Told {
    let look = look(&Place { root: root.to_owned(), owner });
    let own = |path: &str| match Path::new(path).strip_prefix(root) {
        Ok(below) => format!("/{}", below.display()),
        Err(_) => path.to_owned(),
    };
    let faults = look.faults.iter().filter(|_| nix::unistd::geteuid().as_raw() == owner);
    Told {
        without_hooks: look.without_hooks.iter().map(|path| own(path)).collect(),
        left_out: faults.map(|(path, fault)| format!("{}: {fault}", own(path))).collect(),
    }
}

async fn watch_in(place: Place, events: mpsc::Sender<Event>) {
    let closed = events.clone();
    tokio::select! {
        () = closed.closed() => {}
        () = tell_changes(place, &events) => {}
    }
}

async fn tell_changes(place: Place, events: &mpsc::Sender<Event>) {
    let (mut told, mut said) = (None, Faults::new());
    loop {
        // First the watch, then the look: nothing that changes in between is missed.
        let changes = changes(&place.root).inspect_err(|error| {
            tracing::warn!("a change of OpenVPN's configurations will not be noticed: {error}");
        });
        let here = place.clone();
        // Files, and the user database, which may be asked over a network that is shut.
        let Ok(Look { files, faults, .. }) = spawn_blocking(move || look(&here)).await else { return };
        for (path, fault) in faults.iter().filter(|(path, fault)| said.get(*path) != Some(fault)) {
            tracing::warn!("{}: {fault}", crate::config::plain(path));
        }
        said = faults;
        if told.as_ref() != Some(&files) {
            told = Some(files.clone());
            if events.send(Event::OpenVpnFiles(files)).await.is_err() {
                return;
            }
        }
        let Ok(changes) = changes else { return std::future::pending().await };
        changes.next().await;
        sleep(SETTLED).await;
    }
}

fn changes(root: &Path) -> io::Result<Changes> {
    let names = WatchFlags::CREATE | WatchFlags::MOVE | WatchFlags::DELETE;
    // Who owns a file, and who may write it, is part of what it is.
    let texts = names | WatchFlags::CLOSE_WRITE | WatchFlags::ATTRIB | WatchFlags::DONT_FOLLOW;
    let folders = FOLDERS.iter().map(|folder| (root.join(folder), texts));
    Changes::of(folders.chain([(root.join(PARENT), names | WatchFlags::CLOSE_WRITE)]))
}

/// What is wrong, by its path.
type Faults = BTreeMap<String, String>;

#[derive(Debug, Default)]
struct Look {
    files: Vec<OpenVpnFile>,
    faults: Faults,
    /// Those of the files whose tunnel nobody reports.
    without_hooks: Vec<String>,
}

/// Why a file or folder is not believed.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] Errno),
    #[error("it cannot be read: {0}")]
    Broken(#[from] io::Error),
    #[error("it is {0}; put the file itself there")]
    Odd(&'static str),
    #[error("others than root can write it; make it root's alone: chown root, chmod go-w")]
    Foreign,
    #[error("at most {MOST_FILES} files count")]
    TooMany,
    #[error("it is larger than {LARGEST} bytes")]
    TooLarge,
}

fn look(place: &Place) -> Look {
    let mut look = Look::default();
    let outer = place.root.join(FOLDERS[0]);
    if let Some(folder) = look_into(CWD, &outer, &outer, place.owner, &mut look) {
        // Seen from there: a folder in one that is not believed is none either.
        look_into(folder, Path::new(BELOW), &outer.join(BELOW), place.owner, &mut look);
    }
    look
}

/// The folder, if it is there and believed.
fn look_into(at: impl AsFd, name: &Path, path: &Path, owner: u32, look: &mut Look) -> Option<OwnedFd> {
    let names = folder(at, name, owner).and_then(|folder| match folder {
        Some(folder) => Ok(Some((configurations(&folder)?, folder))),
        None => Ok(None),
    });
    match names {
        Ok(Some((names, folder))) => {
            for name in names {
                look_at(&folder, &name, path.join(&name).display().to_string(), owner, look);
            }
            Some(folder)
        }
        Ok(None) => None,
        Err(refused) => {
            look.faults.insert(path.display().to_string(), format!("left out: {refused}"));
            None
        }
    }
}

/// A folder that is not there has nothing wrong with it.
fn folder(at: impl AsFd, name: &Path, owner: u32) -> Result<Option<OwnedFd>, Refused> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = match openat(at, name, flags, Mode::empty()) {
        Ok(folder) => folder,
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP | Errno::NOTDIR) => return Err(Refused::Odd("no folder")),
        Err(error) => return Err(error.into()),
    };
    believed(&folder, owner)?;
    Ok(Some(folder))
}

fn look_at(folder: &OwnedFd, name: &str, path: String, owner: u32, look: &mut Look) {
    let text = if look.files.len() < MOST_FILES { read(folder, name, owner) } else { Err(Refused::TooMany) };
    match text {
        Ok(text) => take(path, client::read(&text), look),
        Err(refused) => {
            look.faults.insert(path, format!("left out: {refused}"));
        }
    }
}

/// The names in a folder that are those of configurations, in one order.
fn configurations(folder: &OwnedFd) -> Result<Vec<String>, Refused> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let name = String::from_utf8_lossy(entry?.file_name().to_bytes()).into_owned();
        if !name.starts_with('.') && ENDINGS.iter().any(|ending| name.ends_with(ending)) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The text of a plain file that only its owner can write; what is no UTF-8 in it names no server.
fn read(folder: &OwnedFd, name: &str, owner: u32) -> Result<String, Refused> {
    // Without waiting for whoever writes into a pipe.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = openat(folder, name, flags, Mode::empty()).map_err(|error| match error {
        Errno::LOOP => Refused::Odd("a symbolic link"),
        error => error.into(),
    })?;
    let stat = fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Refused::Odd("no plain file"));
    }
    believed(&file, owner)?;
    let mut bytes = Vec::new();
    File::from(file).take(LARGEST + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LARGEST) {
        return Err(Refused::TooLarge);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn believed(file: impl AsFd, owner: u32) -> Result<(), Refused> {
    let stat = fstat(file)?;
    let others = Mode::from_raw_mode(stat.st_mode).intersects(Mode::WGRP | Mode::WOTH);
    if stat.st_uid == owner && !others { Ok(()) } else { Err(Refused::Foreign) }
}

fn take(path: String, client: Client, look: &mut Look) {
    let Client { endpoints, names, user, mark, reports, management, mut skipped } = client;
    let user = user.and_then(|user| match User::from_name(user.as_str()) {
        Ok(Some(found)) => Some(found.uid.as_raw()),
        Ok(None) | Err(_) => {
            Skipped::note(&mut skipped, &format!("this system has no user {}", shown(user.as_str())));
            None
        }
    });
    if let Some(skipped) = skipped {
        look.faults.insert(path.clone(), format!("left out of it: {skipped}"));
    }
    if !(endpoints.is_empty() && names.is_empty()) {
        // Whoever is heard at its socket needs no hook.
        if !reports && management.is_none() {
            look.without_hooks.push(path.clone());
        }
        let management = management.map(|at| ManagementSocket {
            file: path.clone(),
            path: at.path,
            password: at.password,
            user,
        });
        look.files.push(OpenVpnFile { path, endpoints, names, user, mark, management });
    }
}
