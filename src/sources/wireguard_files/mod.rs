//! Watches the files of wg-quick(8) in `/etc/wireguard` and of systemd-networkd, in which root names WireGuard
//! servers.
//!
//! A file of root's counts as much as a hook of root's, so a file counts only if root alone can write it. The
//! files are read again only when one changes.

pub(crate) mod config;
pub(crate) mod netdev;
mod networkd;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::inotify::WatchFlags;
use rustix::fs::{CWD, Dir};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use self::config::Device;
use super::changes::Changes;
use super::faults::Faults;
use super::root_files::{Refused, folder, is_configuration, read};
use super::trusted::TrustedRoot;
use crate::config::RootFile;
use crate::net::IfName;
use crate::vpn::{Event, FileFault, WireGuardFile};

/// The folder of wg-quick(8), and the folder in which it appears.
const FOLDER: &str = "etc/wireguard";
const PARENT: &str = "etc";
const ENDING: &str = ".conf";

/// Maximum number of files that count.
const MAX_FILES: usize = 1_024;

/// How long after a change before the files are read: a file is written in several steps.
const SETTLED: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
struct Findings {
    files: Vec<WireGuardFile>,
    faults: Faults,
}

/// Sends [`Event::WireGuardFiles`] at once and after each change, until the receiver is dropped.
pub async fn watch(events: mpsc::Sender<Event>) {
    let closed = events.clone();
    tokio::select! {
        () = closed.closed() => {}
        () = tell_changes(TrustedRoot { root: PathBuf::from("/"), owner: 0 }, &events) => {}
    }
}

/// What is left out of the files below `root` that belong to `owner`, and why; empty for a user who cannot read
/// them.
pub fn left_out(root: &Path, owner: u32) -> Vec<String> {
    if nix::unistd::geteuid().as_raw() != owner {
        return Vec::new();
    }
    let findings = read_all(&TrustedRoot { root: root.to_owned(), owner });
    let own = |path: &str| match Path::new(path).strip_prefix(root) {
        Ok(below) => format!("/{}", below.display()),
        Err(_) => path.to_owned(),
    };
    let faults = findings.faults.summed_up(own).into_iter();
    faults.map(|fault| format!("{}: {}; {}", fault.path, fault.reason, fault.remedy)).collect()
}

/// The devices of the files below `root` that belong to `owner`; none for a user who cannot read them.
pub fn devices(root: &Path, owner: u32) -> Vec<WireGuardFile> {
    if nix::unistd::geteuid().as_raw() != owner {
        return Vec::new();
    }
    read_all(&TrustedRoot { root: root.to_owned(), owner }).files
}

async fn tell_changes(trusted: TrustedRoot, events: &mpsc::Sender<Event>) {
    let (mut sent, mut said) = (None, Vec::<FileFault>::new());
    loop {
        // The watch begins before the files are read, so that no change is missed.
        let changes = changes(&trusted.root).inspect_err(|error| {
            tracing::warn!("a change of WireGuard's configurations will not be noticed: {error}");
        });
        let here = trusted.clone();
        let Ok(Findings { files, faults }) = spawn_blocking(move || read_all(&here)).await else { return };
        let faults = faults.summed_up(ToOwned::to_owned);
        if faults != said {
            said.clone_from(&faults);
            if events.send(Event::FilesLeftOut(RootFile::WireGuard, faults)).await.is_err() {
                return;
            }
        }
        if sent.as_ref() != Some(&files) {
            sent = Some(files.clone());
            if events.send(Event::WireGuardFiles(files)).await.is_err() {
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
    let of_networkd = networkd::FOLDERS.iter().map(|folder| root.join(folder));
    let above: Vec<PathBuf> =
        of_networkd.clone().filter_map(|path| Some(path.parent()?.to_owned())).collect();
    let folders = of_networkd.chain(networkd::folders_of_drop_ins(root)).chain([root.join(FOLDER)]);
    let above = above.into_iter().chain([root.join(PARENT)]);
    Changes::of(folders.map(|path| (path, texts)).chain(above.map(|path| (path, names))))
}

fn read_all(trusted: &TrustedRoot) -> Findings {
    let mut findings = Findings::default();
    let path = trusted.root.join(FOLDER);
    let names = folder(CWD, &path, trusted.owner).and_then(|folder| match folder {
        Some(folder) => Ok(Some((configurations(&folder, ENDING)?, folder))),
        None => Ok(None),
    });
    match names {
        Ok(Some((names, folder))) => {
            for name in names {
                let path = path.join(&name).display().to_string();
                if findings.files.len() >= MAX_FILES {
                    findings.faults.note(path, format!("left out: at most {MAX_FILES} files count"));
                    continue;
                }
                match read(&folder, &name, trusted.owner) {
                    Ok(text) => take(path, &name, config::read(&text), &mut findings),
                    Err(refused) => findings.faults.note(path, format!("left out: {refused}")),
                }
            }
        }
        Ok(None) => {}
        Err(refused) => {
            findings.faults.note(path.display().to_string(), format!("left out: {refused}"));
        }
    }
    networkd::read_all(trusted, &mut findings);
    findings
}

/// The names of the files with this ending in the folder, sorted.
fn configurations(folder: &OwnedFd, ending: &str) -> Result<Vec<String>, Refused> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let name = String::from_utf8_lossy(entry?.file_name().to_bytes()).into_owned();
        if !name.starts_with('.') && is_configuration(&name, &[ending]) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The name of the file is that of the device.
fn take(path: String, name: &str, device: Device, findings: &mut Findings) {
    let interface: IfName = match name.strip_suffix(ENDING).unwrap_or(name).parse() {
        Ok(interface) => interface,
        Err(error) => {
            let fault = format!("left out: wg-quick names the device after the file, and {error}");
            findings.faults.note(path, fault);
            return;
        }
    };
    keep(path, interface, device, findings);
}

/// Adds a device that connects to a server.
fn keep(path: String, interface: IfName, device: Device, findings: &mut Findings) {
    let Device { endpoints, names, mark, keys, own, skipped } = device;
    if let Some(skipped) = skipped {
        findings.faults.note(path.clone(), format!("left out of it: {skipped}"));
    }
    // A file without an endpoint is the configuration of a server.
    if !(endpoints.is_empty() && names.is_empty()) {
        findings.files.push(WireGuardFile { path, interface, endpoints, names, mark, keys, own });
    }
}
