//! Reads files that only root can have written: plain files that belong to root and that only root can write, in a
//! folder of the same kind.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;

/// Maximum size of a file, in bytes. A configuration with keys and ten thousand servers is smaller.
pub(super) const LARGEST: u64 = 1 << 20;

/// Why a file or folder is not trusted.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] Errno),
    #[error("it cannot be read: {0}")]
    Broken(#[from] io::Error),
    #[error("it is {0}; put the file itself there")]
    Unexpected(&'static str),
    #[error("others than root can write it; make it root's alone: chown root, chmod go-w")]
    Foreign,
    #[error("it is larger than {LARGEST} bytes")]
    TooLarge,
    #[error("it is UTF-16, which no VPN client reads; convert it: iconv -f UTF-16 -t UTF-8")]
    Utf16,
}

/// The byte order marks of UTF-16.
const UTF16: [[u8; 2]; 2] = [[0xff, 0xfe], [0xfe, 0xff]];

/// Opens a folder that only `owner` can write. A folder that does not exist is not a fault.
pub(super) fn folder(at: impl AsFd, name: &Path, owner: u32) -> Result<Option<OwnedFd>, Refused> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = match openat(at, name, flags, Mode::empty()) {
        Ok(folder) => folder,
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP | Errno::NOTDIR) => return Err(Refused::Unexpected("no folder")),
        Err(error) => return Err(error.into()),
    };
    check_owner(&folder, owner)?;
    Ok(Some(folder))
}

/// Whether a file of this name is a configuration, by its ending.
pub(super) fn is_configuration(name: &str, endings: &[&str]) -> bool {
    let name = name.to_ascii_lowercase();
    endings.iter().any(|ending| name.ends_with(ending))
}

/// The text of a plain file that only its owner can write. Bytes that are not UTF-8 cannot name a server.
pub(super) fn read(folder: &OwnedFd, name: &str, owner: u32) -> Result<String, Refused> {
    // Opening a pipe must not wait for a writer.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = openat(folder, name, flags, Mode::empty()).map_err(|error| match error {
        Errno::LOOP => Refused::Unexpected("a symbolic link"),
        error => error.into(),
    })?;
    let stat = fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Refused::Unexpected("no plain file"));
    }
    check_owner(&file, owner)?;
    let mut bytes = Vec::new();
    File::from(file).take(LARGEST + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LARGEST) {
        return Err(Refused::TooLarge);
    }
    text(&bytes)
}

/// The text of a file. Bytes that are not UTF-8 are replaced.
pub(super) fn text(bytes: &[u8]) -> Result<String, Refused> {
    if UTF16.iter().any(|mark| bytes.starts_with(mark)) {
        return Err(Refused::Utf16);
    }
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

fn check_owner(file: impl AsFd, owner: u32) -> Result<(), Refused> {
    let stat = fstat(file)?;
    let others = Mode::from_raw_mode(stat.st_mode).intersects(Mode::WGRP | Mode::WOTH);
    if stat.st_uid == owner && !others { Ok(()) } else { Err(Refused::Foreign) }
}
