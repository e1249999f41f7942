//! Checks that a socket or a password file is root's own.
//!
//! A user who can write one of the folders above a file can replace the file. So only root may own and write each of
//! these folders, and also the targets of symbolic links among them.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::root_files::{LARGEST, text};

/// Write permission of the group and of others.
const OTHERS_WRITE: u32 = 0o022;

/// Maximum length of a password, in bytes (OpenVPN's `USER_PASS_LEN`).
const MAX_PASSWORD: u64 = 4096;

/// The folder below which files are read, and the user whose files are trusted.
#[derive(Debug, Clone)]
pub(super) struct TrustedRoot {
    /// Each folder from this one down to the file is checked. The folders above it are trusted.
    pub(super) root: PathBuf,
    pub(super) owner: u32,
}

/// Why a path is not trusted.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("others than root can write {0}; put it where root alone can, such as /run or /etc/openvpn")]
    Foreign(String),
    #[error("{0} is not what it should be")]
    Unexpected(String),
    #[error("{0} cannot be read: {1}")]
    Unreadable(String, io::Error),
}

impl Refused {
    /// Whether the path does not exist yet.
    pub(super) fn is_absence(&self) -> bool {
        match self {
            Self::Unreadable(_, error) => error.kind() == io::ErrorKind::NotFound,
            Self::Foreign(_) | Self::Unexpected(_) => false,
        }
    }
}

impl TrustedRoot {
    /// Checks that the owner made this socket, in a folder that nobody else can write to.
    pub(super) fn socket(&self, path: &Path) -> Result<(), Refused> {
        self.folders_of(path)?;
        let found = self.look(path)?;
        if found.file_type().is_socket() { Ok(()) } else { Err(Refused::Unexpected(shown(path))) }
    }

    /// Reads a password: the first line of a plain file, without its line end.
    pub(super) fn password(&self, path: &Path) -> Result<String, Refused> {
        let bytes = self.bytes(path, MAX_PASSWORD)?;
        let text = String::from_utf8(bytes)
            .map_err(|error| Refused::Unreadable(shown(path), io::Error::other(error)))?;
        text.lines().next().map(ToOwned::to_owned).ok_or_else(|| Refused::Unexpected(shown(path)))
    }

    /// Reads the text of a plain file.
    pub(super) fn text(&self, path: &Path) -> Result<String, Refused> {
        let bytes = self.bytes(path, LARGEST)?;
        text(&bytes).map_err(|error| Refused::Unreadable(shown(path), io::Error::other(error)))
    }

    /// Reads at most this many bytes of a plain file.
    #[expect(clippy::disallowed_methods, reason = "an edge file: it reads files that only root can change")]
    fn bytes(&self, path: &Path, most: u64) -> Result<Vec<u8>, Refused> {
        self.folders_of(path)?;
        let unreadable = |error| Refused::Unreadable(shown(path), error);
        let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY;
        let file = File::options().read(true).custom_flags(flags).open(path).map_err(unreadable)?;
        let found = file.metadata().map_err(unreadable)?;
        self.judge(path, &found)?;
        if !found.is_file() {
            return Err(Refused::Unexpected(shown(path)));
        }
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes).map_err(unreadable)?;
        Ok(bytes)
    }

    /// The nearest existing folder above a path. The path, or a missing folder on the way to it, will appear
    /// there.
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
        if real.starts_with(&self.root) { Ok(()) } else { Err(Refused::Unexpected(shown(folder))) }
    }

    fn look(&self, path: &Path) -> Result<Metadata, Refused> {
        let found = path.symlink_metadata().map_err(|error| Refused::Unreadable(shown(path), error))?;
        self.judge(path, &found)?;
        Ok(found)
    }

    /// For a symbolic link and for a socket only the owner counts: a user who may connect to a socket cannot
    /// replace it.
    fn judge(&self, path: &Path, found: &Metadata) -> Result<(), Refused> {
        let kind = found.file_type();
        let open = !(kind.is_symlink() || kind.is_socket()) && found.mode() & OTHERS_WRITE != 0;
        if found.uid() == self.owner && !open { Ok(()) } else { Err(Refused::Foreign(shown(path))) }
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string().replace(char::is_control, "?")
}
