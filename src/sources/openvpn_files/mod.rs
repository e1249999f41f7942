//! Watches the configurations of plain OpenVPN clients, in which root names their servers.
//!
//! A file of root's counts as much as a hook of root's. So a file counts only if it is a plain file that
//! belongs to root and that root alone can write, in a folder of the same kind. The files are read again only
//! when one changes.

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
use super::trusted::TrustedRoot;
use crate::vpn::{Event, ManagementSocket, OpenVpnFile};

/// Where OpenVPN's own units look for clients (openvpn@.service, openvpn-client@.service).
const FOLDERS: [&str; 2] = ["etc/openvpn", "etc/openvpn/client"];
/// The second folder, relative to the first.
const BELOW: &str = "client";
/// The folder in which the first one appears.
const PARENT: &str = "etc";
const ENDINGS: [&str; 2] = [".conf", ".ovpn"];

/// Maximum size of a file, in bytes, and maximum number of files. A configuration with keys and ten thousand
/// servers is smaller.
const LARGEST: u64 = 1 << 20;
const MOST_FILES: usize = 1_024;

/// How long after a change before the files are read: a file is written in several steps.
const SETTLED: Duration = Duration::from_millis(50);

/// Sends [`Event::OpenVpnFiles`] at once and after each change, until the receiver is dropped.
pub async fn watch(events: mpsc::Sender<Event>) {
    watch_in(TrustedRoot { root: PathBuf::from("/"), owner: 0 }, events).await;
}

/// What `doctor` shows about the same files.
#[derive(Debug, Default)]
pub struct Told {
    /// Clients that do not report to the agent, by their paths.
    pub without_hooks: Vec<String>,
    /// What is left out, and why; empty for a user who cannot read all files.
    pub left_out: Vec<String>,
}

/// The configurations of a system whose files are below `root` and belong to `owner`.
pub fn told(root: &Path, owner: u32) -> Told {
    let findings = read_all(&TrustedRoot { root: root.to_owned(), owner });
    let own = |path: &str| match Path::new(path).strip_prefix(root) {
        Ok(below) => format!("/{}", below.display()),
        Err(_) => path.to_owned(),
    };
    let faults = findings.faults.iter().filter(|_| nix::unistd::geteuid().as_raw() == owner);
    Told {
        without_hooks: findings.without_hooks.iter().map(|path| own(path)).collect(),
        left_out: faults.map(|(path, fault)| format!("{}: {fault}", own(path))).collect(),
    }
}

async fn watch_in(trusted: TrustedRoot, events: mpsc::Sender<Event>) {
    let closed = events.clone();
    tokio::select! {
        () = closed.closed() => {}
        () = tell_changes(trusted, &events) => {}
    }
}

async fn tell_changes(trusted: TrustedRoot, events: &mpsc::Sender<Event>) {
    let (mut told, mut said) = (None, Faults::new());
    loop {
        // The watch begins before the files are read, so that no change is missed.
        let changes = changes(&trusted.root).inspect_err(|error| {
            tracing::warn!("a change of OpenVPN's configurations will not be noticed: {error}");
        });
        let here = trusted.clone();
        // In a thread of its own: the user database may be on a network that is closed.
        let Ok(Findings { files, faults, .. }) = spawn_blocking(move || read_all(&here)).await else {
            return;
        };
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
    // A change of the owner or the mode counts too.
    let texts = names | WatchFlags::CLOSE_WRITE | WatchFlags::ATTRIB | WatchFlags::DONT_FOLLOW;
    let folders = FOLDERS.iter().map(|folder| (root.join(folder), texts));
    Changes::of(folders.chain([(root.join(PARENT), names | WatchFlags::CLOSE_WRITE)]))
}

/// What is wrong with each path.
type Faults = BTreeMap<String, String>;

#[derive(Debug, Default)]
struct Findings {
    files: Vec<OpenVpnFile>,
    faults: Faults,
    /// Files of clients that do not report their tunnel.
    without_hooks: Vec<String>,
}

/// Why a file or folder is not trusted.
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

fn read_all(trusted: &TrustedRoot) -> Findings {
    let mut findings = Findings::default();
    let outer = trusted.root.join(FOLDERS[0]);
    if let Some(folder) = read_folder(CWD, &outer, &outer, trusted.owner, &mut findings) {
        // Opened from the outer folder: a folder inside one that is not trusted is not trusted either.
        read_folder(folder, Path::new(BELOW), &outer.join(BELOW), trusted.owner, &mut findings);
    }
    findings
}

/// The folder, if it exists and is trusted.
fn read_folder(
    at: impl AsFd,
    name: &Path,
    path: &Path,
    owner: u32,
    findings: &mut Findings,
) -> Option<OwnedFd> {
    let names = folder(at, name, owner).and_then(|folder| match folder {
        Some(folder) => Ok(Some((configurations(&folder)?, folder))),
        None => Ok(None),
    });
    match names {
        Ok(Some((names, folder))) => {
            for name in names {
                read_file(&folder, &name, path.join(&name).display().to_string(), owner, findings);
            }
            Some(folder)
        }
        Ok(None) => None,
        Err(refused) => {
            findings.faults.insert(path.display().to_string(), format!("left out: {refused}"));
            None
        }
    }
}

/// A folder that does not exist is not a fault.
fn folder(at: impl AsFd, name: &Path, owner: u32) -> Result<Option<OwnedFd>, Refused> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = match openat(at, name, flags, Mode::empty()) {
        Ok(folder) => folder,
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP | Errno::NOTDIR) => return Err(Refused::Odd("no folder")),
        Err(error) => return Err(error.into()),
    };
    check_owner(&folder, owner)?;
    Ok(Some(folder))
}

fn read_file(folder: &OwnedFd, name: &str, path: String, owner: u32, findings: &mut Findings) {
    let text =
        if findings.files.len() < MOST_FILES { read(folder, name, owner) } else { Err(Refused::TooMany) };
    match text {
        Ok(text) => take(path, client::read(&text), findings),
        Err(refused) => {
            findings.faults.insert(path, format!("left out: {refused}"));
        }
    }
}

/// The names of the configurations in a folder, sorted.
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

/// The text of a plain file that only its owner can write. Bytes that are not UTF-8 cannot name a server.
fn read(folder: &OwnedFd, name: &str, owner: u32) -> Result<String, Refused> {
    // Opening a pipe must not wait for a writer.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = openat(folder, name, flags, Mode::empty()).map_err(|error| match error {
        Errno::LOOP => Refused::Odd("a symbolic link"),
        error => error.into(),
    })?;
    let stat = fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Refused::Odd("no plain file"));
    }
    check_owner(&file, owner)?;
    let mut bytes = Vec::new();
    File::from(file).take(LARGEST + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LARGEST) {
        return Err(Refused::TooLarge);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn check_owner(file: impl AsFd, owner: u32) -> Result<(), Refused> {
    let stat = fstat(file)?;
    let others = Mode::from_raw_mode(stat.st_mode).intersects(Mode::WGRP | Mode::WOTH);
    if stat.st_uid == owner && !others { Ok(()) } else { Err(Refused::Foreign) }
}

fn take(path: String, client: Client, findings: &mut Findings) {
    let Client { endpoints, names, user, mark, reports, management, mut skipped } = client;
    let user = user.and_then(|user| match User::from_name(user.as_str()) {
        Ok(Some(found)) => Some(found.uid.as_raw()),
        Ok(None) | Err(_) => {
            Skipped::note(&mut skipped, &format!("this system has no user {}", shown(user.as_str())));
            None
        }
    });
    if let Some(skipped) = skipped {
        findings.faults.insert(path.clone(), format!("left out of it: {skipped}"));
    }
    if !(endpoints.is_empty() && names.is_empty()) {
        // A client that reports at its socket needs no hook.
        if !reports && management.is_none() {
            findings.without_hooks.push(path.clone());
        }
        let management = management.map(|at| ManagementSocket {
            file: path.clone(),
            path: at.path,
            password: at.password,
            user,
        });
        findings.files.push(OpenVpnFile { path, endpoints, names, user, mark, management });
    }
}
