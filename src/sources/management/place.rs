//! Which sockets and password files are believed to be root's own.
//!
//! Whoever can write one of the folders above it can put something else in its place: each of them has to
//! be root's, and writable by nobody else, and so what symbolic links among them lead to.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Write permission of the group and of others.
const OTHERS_WRITE: u32 = 0o022;

/// A password has fewer bytes (OpenVPN's `USER_PASS_LEN`).
const LONGEST_PASSWORD: u64 = 4096;

/// Where to look, and whose files are believed.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// What stands above this folder is believed.
    pub(super) root: PathBuf,
    pub(super) owner: u32,
}

/// Why a path is not believed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("others than root can write {0}; put it where root alone can, such as /run or /etc/openvpn")]
    Foreign(String),
    #[error("{0} is not what it should be")]
    Odd(String),
    #[error("{0} cannot be read: {1}")]
    Unreadable(String, io::Error),
}

impl Refused {
    /// Whether there is nothing there yet.
    pub(super) fn is_absence(&self) -> bool {
        match self {
            Self::Unreadable(_, error) => error.kind() == io::ErrorKind::NotFound,
            Self::Foreign(_) | Self::Odd(_) => false,
        }
    }
}

impl Place {
    /// A socket that the owner made where nobody else can write.
    pub(super) fn socket(&self, path: &Path) -> Result<(), Refused> {
        self.folders_of(path)?;
        let found = self.look(path)?;
        if found.file_type().is_socket() { Ok(()) } else { Err(Refused::Odd(shown(path))) }
    }

    /// The password: the first line of a plain file, without its end.
    pub(super) fn password(&self, path: &Path) -> Result<String, Refused> {
        self.folders_of(path)?;
        let unreadable = |error| Refused::Unreadable(shown(path), error);
        let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY;
        let file = File::options().read(true).custom_flags(flags).open(path).map_err(unreadable)?;
        let found = file.metadata().map_err(unreadable)?;
        self.judge(path, &found)?;
        if !found.is_file() {
            return Err(Refused::Odd(shown(path)));
        }
        let mut text = String::new();
        file.take(LONGEST_PASSWORD).read_to_string(&mut text).map_err(unreadable)?;
        text.lines().next().map(ToOwned::to_owned).ok_or_else(|| Refused::Odd(shown(path)))
    }

    /// The nearest folder above a path that is there: where it, or what is missing above it, will appear.
    pub(super) fn nearest_folder(&self, path: &Path) -> PathBuf {
        let mut above = path.ancestors().skip(1);
        above.find(|folder| folder.is_dir()).unwrap_or(&self.root).to_owned()
    }

    fn folders_of(&self, path: &Path) -> Result<(), Refused> {
        let folder = path.parent().unwrap_or(&self.root);
        let real = folder.canonicalize().map_err(|error| Refused::Unreadable(shown(folder), error))?;
        for folder in folder.ancestors().chain(real.ancestors()).filter(|at| at.starts_with(&self.root)) {
            self.look(folder)?;
        }
        if real.starts_with(&self.root) { Ok(()) } else { Err(Refused::Odd(shown(folder))) }
    }

    fn look(&self, path: &Path) -> Result<Metadata, Refused> {
        let found = path.symlink_metadata().map_err(|error| Refused::Unreadable(shown(path), error))?;
        self.judge(path, &found)?;
        Ok(found)
    }

    /// Of a symbolic link only the owner counts, and of a socket: whoever may speak to it makes nothing of
    /// it.
    fn judge(&self, path: &Path, found: &Metadata) -> Result<(), Refused> {
        let kind = found.file_type();
        let open = !(kind.is_symlink() || kind.is_socket()) && found.mode() & OTHERS_WRITE != 0;
        if found.uid() == self.owner && !open { Ok(()) } else { Err(Refused::Foreign(shown(path))) }
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string().replace(char::is_control, "?")
}
