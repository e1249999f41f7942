//! A journal that stores what programs send with the native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL).

use std::collections::BTreeMap;
use std::os::unix::net::UnixDatagram;

use anyhow::{Context, Result};
use tunwarden_lab::{Cmd, Lab};

use super::{SOON, TUNWARDEN};

/// The fields of one entry.
pub type Entry = BTreeMap<String, String>;

/// The socket of journald in the laboratory.
pub struct Journal {
    socket: UnixDatagram,
}

impl Journal {
    #[expect(clippy::disallowed_methods, reason = "a test makes the folder of a socket")]
    pub fn new(lab: &Lab) -> Result<Self> {
        let path = lab.host().outside("/run/systemd/journal/socket");
        std::fs::create_dir_all(path.parent().context("a folder")?)?;
        let socket = UnixDatagram::bind(path)?;
        socket.set_read_timeout(Some(SOON))?;
        Ok(Self { socket })
    }

    /// Waits for an entry whose field has this value.
    pub fn wait_for(&self, field: &str, value: &str) -> Result<Entry> {
        let mut seen = Vec::new();
        loop {
            let mut buffer = vec![0; 1 << 16];
            let length =
                self.socket.recv(&mut buffer).with_context(|| format!("{field}={value}: {seen:#?}"))?;
            let entry = entry(&buffer[..length]).context("not the native protocol")?;
            if entry.get(field).is_some_and(|held| held == value) {
                return Ok(entry);
            }
            seen.push(entry);
        }
    }
}

/// A command whose standard error is connected to the journal. `JOURNAL_STREAM` says so, as under systemd.
pub fn in_journal(lab: &Lab, words: &str) -> Cmd {
    let script = format!("JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec {TUNWARDEN} {words}");
    lab.host().command(["sh", "-ec", &script])
}

/// Fields are `NAME=value`, or `NAME`, a newline, the length in eight bytes, and the value.
fn entry(mut bytes: &[u8]) -> Option<Entry> {
    let mut entry = Entry::new();
    while !bytes.is_empty() {
        let end = bytes.iter().position(|&byte| byte == b'\n')?;
        let (line, rest) = (String::from_utf8_lossy(&bytes[..end]).into_owned(), &bytes[end + 1..]);
        let (name, value, rest) = match line.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned(), rest),
            None => {
                let (length, rest) = rest.split_first_chunk::<8>()?;
                let (value, rest) =
                    rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
                (line, String::from_utf8_lossy(value).into_owned(), rest.strip_prefix(b"\n")?)
            }
        };
        entry.insert(name, value);
        bytes = rest;
    }
    Some(entry)
}
