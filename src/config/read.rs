//! The configuration file, from disk to text. The one place of this module that touches the disk.
//!
//! A path is taken for what it may be, not for what it should be: a device, a pipe that nobody
//! writes to or a file without end is refused and never waited for.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;

use super::Config;
use super::document::MAX_BYTES;
use super::fault::Faults;

impl Config {
    /// Reads the configuration at `path`, which must be a regular file of at most 1 MiB.
    ///
    /// # Errors
    /// [`Faults::NotFound`] if nothing is there, so that the caller decides what that means; else why
    /// the file cannot be read, or every fault that is in it.
    pub fn read(path: &Path) -> Result<Self, Faults> {
        let bytes = bytes(path)?;
        let file = path.to_string_lossy();
        match std::str::from_utf8(&bytes) {
            Ok(text) => Self::parse(text, &file),
            Err(error) => Err(Faults::not_utf8(&file, &bytes, error.valid_up_to())),
        }
    }
}

/// The file's content, or why it has none for us.
fn bytes(path: &Path) -> Result<Vec<u8>, Faults> {
    let refuse = |error: io::Error| refusal(path, error);
    // Looked at before it is opened: opening alone already does something to some devices.
    regular(path, &fs::metadata(path).map_err(refuse)?)?;
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path).map_err(refuse)?;
    regular(path, &file.metadata().map_err(refuse)?)?;
    at_most(file).map_err(refuse)?.ok_or_else(|| Faults::too_large(path.into()))
}

/// All bytes, or none if there are more than [`MAX_BYTES`].
fn at_most(file: File) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() <= MAX_BYTES).then_some(bytes))
}

fn regular(path: &Path, metadata: &fs::Metadata) -> Result<(), Faults> {
    let (what, hint) = match metadata.file_type() {
        kind if kind.is_file() => return Ok(()),
        kind if kind.is_dir() => ("this is a directory", "name the file in it: config.toml"),
        _ => ("this is no regular file", "write the configuration into a file and name that"),
    };
    Err(Faults::Unreadable { path: path.into(), what, hint, source: None })
}

fn refusal(path: &Path, error: io::Error) -> Faults {
    let (what, hint) = match error.kind() {
        io::ErrorKind::NotFound if fs::symlink_metadata(path).is_err() => {
            return Faults::NotFound(path.into());
        }
        io::ErrorKind::NotFound => {
            ("this link leads nowhere", "restore the file it names, or remove the link")
        }
        io::ErrorKind::PermissionDenied => ("you may not read this file", "run this as root, with sudo"),
        io::ErrorKind::NotADirectory => ("a part of this path is no directory", "check the path's spelling"),
        _ => ("this file cannot be read", "check the path, and the disk that it is on"),
    };
    Faults::Unreadable { path: path.into(), what, hint, source: Some(error) }
}
