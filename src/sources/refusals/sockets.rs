//! The edge: which control group a socket belongs to, and the name of the group.
//!
//! The kernel tells the group of a socket that is still there. Nothing is read from the memory of other processes.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recvfrom, send, socket,
};
use tokio::time::Instant;

use super::diag::{self, Ends, Socket};
use crate::blocked::{Unit, unit};

/// Where the hierarchy of control groups is. The second place is that of systems with the old hierarchies too.
const ROOTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// A file that every group of the second version has.
const MARK: &str = "cgroup.procs";

/// Maximum number of groups that are looked at, and of levels. Users can make groups.
const MOST: usize = 4096;
const DEEPEST: usize = 12;

/// How long the groups are not read again because of a group that was not found.
const PAUSE: Duration = Duration::from_secs(1);

/// Size of an answer: a socket, and some attributes.
const LARGEST: usize = 4096;

/// Finds the units of sockets.
#[derive(Debug, Default)]
pub(super) struct Units {
    socket: Option<OwnedFd>,
    paths: BTreeMap<u64, String>,
    read: Option<Instant>,
}

impl Units {
    /// The unit of a socket of this user; `None` if it cannot be told: the socket is gone, or another user has its
    /// port by now.
    pub(super) fn of(&mut self, ends: &Ends, uid: u32) -> Option<Unit> {
        let found = self.ask(ends).ok()??;
        if found.uid != uid {
            return None;
        }
        unit(self.path(found.cgroup)?)
    }

    fn ask(&mut self, ends: &Ends) -> io::Result<Option<Socket>> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => open()?,
        };
        send(socket.as_raw_fd(), &diag::question(ends), MsgFlags::empty())?;
        let mut buffer = [0; LARGEST];
        // The kernel has answered when `send` returns.
        let (length, from) = recvfrom::<NetlinkAddr>(socket.as_raw_fd(), &mut buffer)?;
        // Port 0 is the kernel. After the message of another process the socket is made anew.
        if from.is_none_or(|from| from.pid() != 0) {
            return Ok(None);
        }
        self.socket = Some(socket);
        Ok(diag::socket(&buffer[..length]))
    }

    fn path(&mut self, group: u64) -> Option<&str> {
        let is_due = self.read.is_none_or(|read| read.elapsed() >= PAUSE);
        if !self.paths.contains_key(&group) && is_due {
            self.read = Some(Instant::now());
            self.paths = paths();
        }
        self.paths.get(&group).map(String::as_str)
    }
}

fn open() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkSockDiag)?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
    Ok(socket)
}

/// Every group by its number, which is the number of its folder.
fn paths() -> BTreeMap<u64, String> {
    let Some(root) = ROOTS.map(Path::new).into_iter().find(|root| root.join(MARK).exists()) else {
        return BTreeMap::new();
    };
    let mut found = BTreeMap::new();
    let mut rest: Vec<(usize, PathBuf)> = vec![(0, root.to_owned())];
    while let Some((depth, folder)) = rest.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if found.len() >= MOST {
                return found;
            }
            let path = entry.path();
            let below = path.strip_prefix(root).unwrap_or(&path);
            found.insert(entry.ino(), below.to_string_lossy().into_owned());
            if depth < DEEPEST {
                rest.push((depth + 1, path));
            }
        }
    }
    found
}
