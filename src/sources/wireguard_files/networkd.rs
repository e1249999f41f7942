//! Reads the WireGuard devices of systemd-networkd: its files `*.netdev` with their drop-ins, in the order of
//! systemd.netdev(5).

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, readlinkat};

use super::super::root_files::{Refused, folder, read};
use super::super::trusted::TrustedRoot;
use super::{Findings, MAX_FILES, configurations, keep, netdev};
use crate::net::IfName;

/// The folders of systemd-networkd. A file hides files of the same name in later folders.
pub(super) const FOLDERS: [&str; 4] = [
    "etc/systemd/network",
    "run/systemd/network",
    "usr/local/lib/systemd/network",
    "usr/lib/systemd/network",
];

const ENDING: &str = ".netdev";
/// The ending of the folder with a file's drop-ins, and that of the drop-ins.
const DROP_INS: &str = ".netdev.d";
const DROP_IN: &str = ".conf";
/// A link to this file masks files of the same name in later folders.
const MASK: &[u8] = b"/dev/null";

/// A folder that root alone can write.
type Open = (PathBuf, OwnedFd);

/// The existing folders with drop-ins, for the watch on changes.
#[expect(clippy::disallowed_methods, reason = "an edge file: it looks for folders of drop-ins")]
pub(super) fn folders_of_drop_ins(root: &Path) -> Vec<PathBuf> {
    let folders = FOLDERS.iter().filter_map(|folder| std::fs::read_dir(root.join(folder)).ok());
    let paths = folders.flatten().filter_map(|entry| Some(entry.ok()?.path()));
    paths.filter(|path| path.to_string_lossy().ends_with(DROP_INS)).take(MAX_FILES).collect()
}

/// Adds the devices to the findings.
pub(super) fn read_all(trusted: &TrustedRoot, findings: &mut Findings) {
    let folders = open(FOLDERS.map(|folder| trusted.root.join(folder)), trusted.owner, findings);
    for (name, (path, folder)) in named(&folders, ENDING, findings) {
        let shown = path.join(&name).display().to_string();
        if findings.files.len() >= MAX_FILES {
            findings.faults.note(shown, format!("left out: at most {MAX_FILES} files count"));
            continue;
        }
        let text = match one(folder, &name, trusted.owner) {
            Ok(Some(text)) => text,
            Ok(None) => continue,
            Err(refused) => {
                findings.faults.note(shown, format!("left out: {refused}"));
                continue;
            }
        };
        match with_drop_ins(text, &name, trusted, findings) {
            Ok(text) => take(shown, &text, findings),
            Err(fault) => findings.faults.note(shown, fault),
        }
    }
}

/// The text of a file, followed by that of its drop-ins. If a drop-in cannot be read, the result is an error: the
/// device may differ from what the file says.
fn with_drop_ins(
    mut text: String,
    name: &str,
    trusted: &TrustedRoot,
    findings: &mut Findings,
) -> Result<String, String> {
    let folders = FOLDERS.map(|folder| trusted.root.join(folder).join(format!("{name}.d")));
    let folders = open(folders, trusted.owner, findings);
    for (drop_in, (path, folder)) in named(&folders, DROP_IN, findings) {
        let fault =
            |refused| format!("left out with its drop-in {}: {refused}", path.join(&drop_in).display());
        if let Some(part) = one(folder, &drop_in, trusted.owner).map_err(fault)? {
            text.push('\n');
            text.push_str(&part);
        }
    }
    Ok(text)
}

fn take(path: String, text: &str, findings: &mut Findings) {
    let Some(netdev) = netdev::read(text) else { return };
    match netdev.name.parse::<IfName>() {
        Ok(interface) => keep(path, interface, netdev.device, findings),
        Err(error) => findings.faults.note(path, format!("left out: the device's Name: {error}")),
    }
}

/// Opens the folders that exist, in their order.
fn open<const N: usize>(paths: [PathBuf; N], owner: u32, findings: &mut Findings) -> Vec<Open> {
    let mut opened = Vec::new();
    for path in paths {
        match folder(CWD, &path, owner) {
            Ok(Some(at)) => opened.push((path, at)),
            Ok(None) => {}
            Err(refused) => {
                findings.faults.note(path.display().to_string(), format!("left out: {refused}"));
            }
        }
    }
    opened
}

/// The files with this ending, by name, each in the first folder that has it.
fn named<'a>(folders: &'a [Open], ending: &str, findings: &mut Findings) -> BTreeMap<String, &'a Open> {
    let mut named = BTreeMap::new();
    for open @ (path, folder) in folders {
        match configurations(folder, ending) {
            Ok(names) => {
                // systemd's endings are case-sensitive.
                for name in names.into_iter().filter(|name| name.ends_with(ending)) {
                    named.entry(name).or_insert(open);
                }
            }
            Err(refused) => {
                findings.faults.note(path.display().to_string(), format!("left out: {refused}"));
            }
        }
    }
    named
}

/// The text of a file; `None` if it masks others.
fn one(folder: &OwnedFd, name: &str, owner: u32) -> Result<Option<String>, Refused> {
    match readlinkat(folder, name, Vec::new()) {
        Ok(target) if target.as_bytes() == MASK => Ok(None),
        Ok(_) | Err(_) => read(folder, name, owner).map(Some),
    }
}
