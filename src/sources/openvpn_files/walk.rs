//! Finds the configurations in `/etc/openvpn` and in the folders below it: providers' archives are unpacked there.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, DirEntry, FileType, statat};

use super::super::root_files::{Refused, folder, is_configuration};

/// Maximum number of folders that are read, and maximum depth below the first one.
const MAX_FOLDERS: usize = 256;
const MAX_DEPTH: usize = 6;

/// A folder that only its owner can write, with the names of its configurations, sorted.
pub(super) struct Folder {
    pub(super) at: OwnedFd,
    pub(super) path: PathBuf,
    pub(super) names: Vec<String>,
}

/// What a walk found.
#[derive(Default)]
pub(super) struct Walk {
    pub(super) folders: Vec<Folder>,
    /// Folders that are not read, and why.
    pub(super) refused: Vec<(PathBuf, Refused)>,
    /// Number of folders beyond [`MAX_FOLDERS`] or [`MAX_DEPTH`].
    pub(super) beyond: usize,
}

impl Walk {
    /// Reads the names in a folder and in the folders below it. Each folder is opened through the one above it, so a
    /// folder inside a folder that is not trusted is never read.
    pub(super) fn through(outer: &Path, owner: u32, endings: &[&str]) -> Self {
        let mut walk = Self::default();
        walk.enter(folder(CWD, outer, owner), outer.to_owned(), 0, (owner, endings));
        walk
    }

    fn enter(
        &mut self,
        opened: Result<Option<OwnedFd>, Refused>,
        path: PathBuf,
        depth: usize,
        (owner, endings): (u32, &[&str]),
    ) {
        let at = match opened {
            Ok(Some(at)) => at,
            Ok(None) => return,
            Err(refused) => return self.refused.push((path, refused)),
        };
        let (names, below) = match entries(&at, endings) {
            Ok(found) => found,
            Err(refused) => return self.refused.push((path, refused)),
        };
        let here = self.folders.len();
        self.folders.push(Folder { at, path: path.clone(), names });
        for name in below {
            if depth >= MAX_DEPTH || self.folders.len() >= MAX_FOLDERS {
                self.beyond += 1;
                continue;
            }
            let name = OsStr::from_bytes(&name);
            let opened = folder(&self.folders[here].at, Path::new(name), owner);
            self.enter(opened, path.join(name), depth + 1, (owner, endings));
        }
    }
}

/// The names of the configurations and of the folders in a folder, sorted.
fn entries(folder: &OwnedFd, endings: &[&str]) -> Result<(Vec<String>, Vec<Vec<u8>>), Refused> {
    let (mut names, mut folders) = (Vec::new(), Vec::new());
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let bytes = entry.file_name().to_bytes();
        let name = String::from_utf8_lossy(bytes).into_owned();
        if name.starts_with('.') {
            continue;
        }
        if is_configuration(&name, endings) {
            names.push(name);
        } else if is_folder(folder, &entry) {
            folders.push(bytes.to_vec());
        }
    }
    names.sort();
    // The configurations of systemd's units come first.
    folders.sort_by_key(|name| (name != b"client", name.clone()));
    Ok((names, folders))
}

/// Whether an entry is a folder or a link to one. The walk then refuses the link and names it. Some file systems do not
/// report what an entry is.
fn is_folder(folder: &OwnedFd, entry: &DirEntry) -> bool {
    let kind = entry.file_type();
    if !matches!(kind, FileType::Unknown | FileType::Symlink) {
        return kind == FileType::Directory;
    }
    statat(folder, entry.file_name(), AtFlags::empty())
        .is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Directory)
}
