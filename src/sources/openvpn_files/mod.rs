//! Watches the configurations of plain OpenVPN clients, in which root names their servers.
//!
//! A file of root's counts as much as a hook of root's. So only a plain file counts that belongs to root and that only
//! root can write, in a folder of the same kind. The files are read again only when one changes.

pub(crate) mod client;
mod management;
mod options;
mod outer;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::User;
use rustix::fs::inotify::WatchFlags;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use self::client::{Client, Surroundings};
use self::walk::Walk;
use super::changes::Changes;
use super::faults::Faults;
use super::root_files::read;
use super::skipped::{Skipped, shown};
use super::trusted::TrustedRoot;
use crate::config::RootFile;
use crate::net::Services;
use crate::vpn::{Event, FileFault, ManagementSocket, OpenVpnFile};

/// Where OpenVPN's own units look for clients (openvpn@.service), and where providers' archives are unpacked.
const FOLDER: &str = "etc/openvpn";
/// The folder in which [`FOLDER`] appears.
const PARENT: &str = "etc";
/// Where the names of ports are.
const SERVICES: &str = "etc/services";
const ENDINGS: [&str; 2] = [".conf", ".ovpn"];

/// Maximum number of files that are read. The largest provider ships about 14,000.
const MAX_FILES: usize = 16_384;

/// How long after a change before the files are read: a file is written in several steps.
const SETTLED: Duration = Duration::from_millis(50);

/// Sends [`Event::OpenVpnFiles`] at once and after each change, until the receiver is dropped.
pub async fn watch(events: mpsc::Sender<Event>) {
    watch_in(TrustedRoot { root: PathBuf::from("/"), owner: 0 }, events).await;
}

/// What `doctor` shows about the same files.
#[derive(Debug, Default)]
pub struct Summary {
    /// Clients that do not report to the agent, by their paths.
    pub without_hooks: Vec<String>,
    /// What is left out, and why; empty for a user who cannot read all files.
    pub left_out: Vec<String>,
}

/// The configurations of a system whose files are below `root` and belong to `owner`.
pub fn summary(root: &Path, owner: u32) -> Summary {
    let findings = read_all(&TrustedRoot { root: root.to_owned(), owner });
    let own = |path: &str| match Path::new(path).strip_prefix(root) {
        Ok(below) => format!("/{}", below.display()),
        Err(_) => path.to_owned(),
    };
    let faults = findings.faults.summed_up(own).into_iter();
    let faults = faults.filter(|_| nix::unistd::geteuid().as_raw() == owner);
    Summary {
        without_hooks: findings.without_hooks.iter().map(|path| own(path)).collect(),
        left_out: faults.map(|fault| format!("{}: {}; {}", fault.path, fault.reason, fault.remedy)).collect(),
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
    let (mut sent, mut said) = (None, Vec::<FileFault>::new());
    let mut folders = BTreeSet::from([trusted.root.join(FOLDER)]);
    loop {
        // The watch begins before the files are read, so that no change is missed.
        let changes = changes(&trusted.root, &folders).inspect_err(|error| {
            tracing::warn!("a change of OpenVPN's configurations will not be noticed: {error}");
        });
        let here = trusted.clone();
        // It runs in a thread of its own, because the user database may be on a network that the rules close.
        let Ok(Findings { files, faults, folders: found, .. }) =
            spawn_blocking(move || read_all(&here)).await
        else {
            return;
        };
        // A folder that was not watched may have changed since it was read.
        if changes.is_ok() && !found.is_subset(&folders) {
            folders.extend(found);
            continue;
        }
        folders = found;
        folders.insert(trusted.root.join(FOLDER));
        let faults = faults.summed_up(ToOwned::to_owned);
        if faults != said {
            said.clone_from(&faults);
            if events.send(Event::FilesLeftOut(RootFile::OpenVpn, faults)).await.is_err() {
                return;
            }
        }
        if sent.as_ref() != Some(&files) {
            sent = Some(files.clone());
            if events.send(Event::OpenVpnFiles(files)).await.is_err() {
                return;
            }
        }
        let Ok(changes) = changes else { return std::future::pending().await };
        changes.next().await;
        sleep(SETTLED).await;
    }
}

fn changes(root: &Path, folders: &BTreeSet<PathBuf>) -> io::Result<Changes> {
    let names = WatchFlags::CREATE | WatchFlags::MOVE | WatchFlags::DELETE;
    // A change of the owner or the mode counts too.
    let texts = names | WatchFlags::CLOSE_WRITE | WatchFlags::ATTRIB | WatchFlags::DONT_FOLLOW;
    let folders = folders.iter().map(|folder| (folder.clone(), texts));
    Changes::of(folders.chain([(root.join(PARENT), names | WatchFlags::CLOSE_WRITE)]))
}

#[derive(Debug, Default)]
struct Findings {
    files: Vec<OpenVpnFile>,
    faults: Faults,
    /// Files of clients that do not report their tunnel.
    without_hooks: Vec<String>,
    /// The folders whose changes may change this.
    folders: BTreeSet<PathBuf>,
}

fn read_all(trusted: &TrustedRoot) -> Findings {
    let outer = trusted.root.join(FOLDER);
    let walk = Walk::through(&outer, trusted.owner, &ENDINGS);
    let mut findings = Findings::default();
    for (path, refused) in walk.refused {
        findings.faults.note(path.display().to_string(), format!("left out: {refused}"));
    }
    let services = Services::parse(&trusted.text(&trusted.root.join(SERVICES)).unwrap_or_default());
    let (mut room, mut beyond) = (MAX_FILES, 0);
    for folder in walk.folders {
        let kept = folder.names.len().min(room);
        room -= kept;
        beyond += folder.names.len() - kept;
        for name in &folder.names[..kept] {
            let surroundings = Surroundings::of(trusted, &services, &folder.path);
            read_file(&folder.at, name, &surroundings, &mut findings);
        }
        findings.folders.insert(folder.path);
    }
    if beyond + walk.beyond > 0 {
        let fault = format!(
            "left out: {beyond} of its files and {} of its folders, because at most {MAX_FILES} files are read; move \
             what you do not use elsewhere",
            walk.beyond
        );
        findings.faults.note(outer.display().to_string(), fault);
    }
    findings
}

fn read_file(folder: &OwnedFd, name: &str, surroundings: &Surroundings<'_>, findings: &mut Findings) {
    let path = surroundings.folder().join(name).display().to_string();
    match read(folder, name, surroundings.owner()) {
        Ok(text) => take(path, client::read_in(&text, surroundings), findings),
        Err(refused) => findings.faults.note(path, format!("left out: {refused}")),
    }
}

fn take(path: String, client: Client, findings: &mut Findings) {
    let Client { endpoints, names, user, mark, device, reports, management, included, mut skipped } = client;
    findings.folders.extend(included);
    let user = user.and_then(|user| match User::from_name(user.as_str()) {
        Ok(Some(found)) => Some(found.uid.as_raw()),
        Ok(None) | Err(_) => {
            Skipped::note(&mut skipped, &format!("this system has no user {}", shown(user.as_str())));
            None
        }
    });
    if let Some(skipped) = skipped {
        findings.faults.note(path.clone(), format!("left out of it: {skipped}"));
    }
    // With a local proxy the file names no server, but it still names its device.
    if !(endpoints.is_empty() && names.is_empty() && device.is_none()) {
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
        findings.files.push(OpenVpnFile { path, endpoints, names, user, mark, device, management });
    }
}
