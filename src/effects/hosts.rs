//! Pins the names of VPN servers in `/etc/hosts`, so that the VPN client finds its server while the firewall
//! refuses every DNS query. The agent owns one marked block in the file and changes no other byte.
//!
//! No library is used: libraries for this file write the whole file again, and lose lines that they do not understand.

#![expect(clippy::disallowed_methods, reason = "an edge file: it reads and replaces /etc/hosts")]

pub mod helper;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::{Errno, retry_on_intr};

use super::replace::replace;
use crate::net::HostName;

/// hosts(5)
pub const HOSTS: &str = "/etc/hosts";

/// The names of servers, each with its addresses.
pub type Pins = BTreeMap<HostName, BTreeSet<IpAddr>>;

const BEGIN: &str =
    "# BEGIN tunwarden: where VPN servers are; kept by the agent, gone after `tunwarden release`\n";
const END: &str = "# END tunwarden\n";

/// Maximum size of the file, in bytes. Lists of a million blocked hosts are smaller.
const LARGEST: u64 = 64 << 20;

/// How long to wait while another process of tunwarden writes, which takes milliseconds. There is a limit because every
/// user can lock the folder.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// Why servers could not be pinned. The file is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum HostsError {
    /// Reading or writing failed.
    #[error(
        "cannot write {path}, so the VPN client may not find its server by name; make the file writable, or write addresses instead of names"
    )]
    Io {
        /// Which file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The path is a symbolic link, a folder or a device, or the file is too large.
    #[error(
        "{path} is {what} and was left alone, so the VPN client may not find its server by name; write addresses instead of names"
    )]
    Unexpected {
        /// Which file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
}

impl HostsError {
    /// Whether the file system is read-only for this process, as it is in the agent's unit.
    pub fn is_read_only(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::ReadOnlyFilesystem)
    }
}

/// Writes `pins` as our block into the file at `path`. If there are no pins, it removes the block. If the text would
/// not change, it does not write the file.
///
/// # Errors
/// [`HostsError`]: then the file is unchanged.
pub fn pin(path: &Path, pins: &Pins) -> Result<(), HostsError> {
    let io_error = |source| HostsError::Io { path: path.to_owned(), source };
    let odd = |what| HostsError::Unexpected { path: path.to_owned(), what };
    let _lock = lock(path).map_err(io_error)?;
    // Without O_NONBLOCK, opening a pipe would wait for a writer.
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    let mut file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound && pins.is_empty() => return Ok(()),
        Err(error) if error.raw_os_error() == Some(nix::libc::ELOOP) => return Err(odd("a symbolic link")),
        Err(error) => return Err(io_error(error)),
    };
    let meta = file.metadata().map_err(io_error)?;
    if !meta.is_file() {
        return Err(odd("no plain file"));
    }
    if meta.len() > LARGEST {
        return Err(odd("larger than 64 MiB"));
    }
    let mut old = Vec::new();
    (&mut file).take(LARGEST).read_to_end(&mut old).map_err(io_error)?;
    let new = with_block(&old, &without_named(&old, pins));
    if new == old { Ok(()) } else { replace(path, &meta, &new).map_err(io_error) }
}

/// Locks the folder of the file, because `tunwarden release` and the helper's unit may write at the same time. `None`
/// if the folder does not exist or cannot be locked, or if another process does not unlock it in time.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let Some(folder) = path.parent() else { return Ok(None) };
    let folder = match File::open(folder) {
        Ok(folder) => folder,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let (sender, receiver) = mpsc::channel();
    // The kernel has no lock with a timeout, so a thread waits for it.
    std::thread::Builder::new().spawn(move || {
        let locked = retry_on_intr(|| flock(&folder, FlockOperation::LockExclusive));
        // After the timeout there is no receiver, and the lock is dropped here.
        let _ = sender.send(locked.map(|()| folder));
    })?;
    match receiver.recv_timeout(LOCK_TIMEOUT) {
        Ok(Ok(folder)) => Ok(Some(folder)),
        // NFS can only lock a file that is open for writing.
        Ok(Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::BADF)) | Err(_) => Ok(None),
        Ok(Err(error)) => Err(error.into()),
    }
}

/// The addresses that the file at `path` gives a name outside our block. `None` if the file does not have the name or
/// cannot be read. A line whose first word is not an address is ignored.
pub fn named(path: &Path, name: &HostName) -> Option<Vec<IpAddr>> {
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    file.metadata().ok().filter(|meta| meta.is_file() && meta.len() <= LARGEST)?;
    let mut text = Vec::new();
    (&mut file).take(LARGEST).read_to_end(&mut text).ok()?;
    let text = with_block(&text, &Pins::new());
    let lines: Vec<&str> = lines_of(&text).filter(|line| names(line).any(|one| is(one, name))).collect();
    let address = |line: &&str| line.split_whitespace().next()?.parse().ok();
    (!lines.is_empty()).then(|| lines.iter().filter_map(address).collect())
}

/// Whether this is the machine's own host name.
pub fn is_own(name: &HostName) -> bool {
    rustix::system::uname().nodename().to_str().is_ok_and(|own| is(own, name))
}

/// The pins without this machine's own name, and without names that the file has outside our block. The agent must not
/// change the addresses of those names.
fn without_named(old: &[u8], pins: &Pins) -> Pins {
    if pins.is_empty() {
        return Pins::new();
    }
    let rest = with_block(old, &Pins::new());
    let mut pins = pins.clone();
    pins.retain(|name, _| !is_own(name));
    for one in lines_of(&rest).flat_map(names) {
        pins.retain(|name, _| !is(one, name));
    }
    pins
}

/// The lines that are UTF-8, without their comments (hosts(5)).
fn lines_of(text: &[u8]) -> impl Iterator<Item = &str> {
    let lines = text.split(|&byte| byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    lines.map(|line| line.split('#').next().unwrap_or_default())
}

/// The names in a line.
fn names(line: &str) -> impl Iterator<Item = &str> {
    line.split_whitespace().skip(1)
}

fn is(text: &str, name: &HostName) -> bool {
    text.trim_end_matches('.').eq_ignore_ascii_case(name.as_str())
}

/// The file's text with our block: at its old place, or else at the end.
pub(crate) fn with_block(old: &[u8], pins: &Pins) -> Vec<u8> {
    // The file was cut off directly after our first line. A newline at its end would make a block of that line.
    let cut = old.strip_suffix(BEGIN.trim_end().as_bytes());
    if let Some(before) = cut.filter(|before| before.is_empty() || before.ends_with(b"\n")) {
        return with_block(before.strip_suffix(b"\n").unwrap_or(before), pins);
    }
    let block = block(pins);
    let Some(around) = OutsideBlock::block(old) else {
        // The newline before our block is ours too: without the block, the file ends as it did before.
        let newline: &[u8] = if block.is_empty() { b"" } else { b"\n" };
        return [old, newline, block.as_bytes()].concat();
    };
    // A file that was appended to itself contains our block twice.
    let after = with_block(around.after, &Pins::new());
    let newline = if block.is_empty() { around.newline_between(&after) } else { around.newline };
    [around.before, newline, block.as_bytes(), &after].concat()
}

/// The text before and after our first block.
struct OutsideBlock<'a> {
    before: &'a [u8],
    /// The newline that ends the text before the block.
    newline: &'a [u8],
    after: &'a [u8],
}

impl<'a> OutsideBlock<'a> {
    fn block(text: &'a [u8]) -> Option<Self> {
        let starts_line = |&at: &usize| at == 0 || text.get(at - 1) == Some(&b'\n');
        let start = all(text, BEGIN.as_bytes()).find(starts_line)?;
        let (before, rest) = text.split_at(start);
        let (before, newline) = before.split_at(start.saturating_sub(1));
        let inside = rest.get(BEGIN.len()..).unwrap_or_default();
        let next = all(inside, BEGIN.as_bytes()).next().unwrap_or(inside.len());
        let after = match all(inside, END.as_bytes()).next() {
            Some(end) if end < next => inside.get(end + END.len()..).unwrap_or_default(),
            // The end mark is missing. The text after the lines that may be ours belongs to another program.
            Some(_) | None => inside,
        };
        Some(Self { before, newline, after })
    }

    /// What must be between the two parts when the block is removed, so that two lines never become one.
    fn newline_between(&self, after: &[u8]) -> &'a [u8] {
        let joins = !(self.before.is_empty() || self.before.ends_with(b"\n") || after.is_empty());
        if joins { self.newline } else { b"" }
    }
}

fn block(pins: &Pins) -> String {
    let lines = pins
        .iter()
        .flat_map(|(name, addresses)| addresses.iter().map(move |address| format!("{address} {name}\n")));
    let lines: String = lines.collect();
    if lines.is_empty() { lines } else { format!("{BEGIN}{lines}{END}") }
}

/// Every offset at which `what` occurs.
fn all<'a>(text: &'a [u8], what: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    text.windows(what.len()).enumerate().filter_map(move |(at, window)| (window == what).then_some(at))
}

#[cfg(test)]
mod tests;
