//! The edge: which control group a socket belongs to, and the name of the group.
//!
//! The kernel tells the group of a socket that is still there. Nothing is read from the memory of other processes.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::{MsgFlags, NetlinkAddr, SockProtocol, recvfrom, send};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::diag::{self, Ends, Socket};
use super::groups::paths;
use crate::blocked::{Unit, unit};
use crate::netlink::socket::open;

/// How long the groups are not read again after a reading. The time doubles with each group that a reading did not find.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(60);

/// How long the kernel is not asked again if it cannot look for sockets of UDP. Each question may start modprobe.
const ABSENT: Duration = Duration::from_secs(60);

/// IANA's number of UDP, and the port of the service "discard".
const UDP: u8 = 17;
const DISCARD: u16 = 9;

/// Size of an answer: a socket, and some attributes.
const LARGEST: usize = 4096;

/// Finds the units of sockets.
#[derive(Debug, Default)]
pub(super) struct Units {
    socket: Option<OwnedFd>,
    paths: BTreeMap<u64, String>,
    read: Option<Reading>,
    kernel: Kernel,
}

/// The last reading of the groups, and the time until the next one.
#[derive(Debug)]
struct Reading {
    at: Instant,
    pause: Duration,
}

/// Whether the kernel can look for sockets of UDP.
#[derive(Debug, Default)]
enum Kernel {
    #[default]
    Unknown,
    Looks,
    /// It could not at this moment: `udp_diag` is missing.
    Cannot(Instant),
}

impl Units {
    /// The unit of a socket of this user; `None` if it cannot be told: the socket is gone, or another user has its
    /// port by now.
    pub(super) async fn of(&mut self, ends: &Ends, uid: u32) -> Option<Unit> {
        let found = self.ask(ends).ok()??;
        if found.uid != uid {
            return None;
        }
        unit(self.path(found.cgroup).await?)
    }

    fn ask(&mut self, ends: &Ends) -> io::Result<Option<Socket>> {
        if matches!(self.kernel, Kernel::Cannot(since) if since.elapsed() < ABSENT) {
            return Ok(None);
        }
        let answer = self.exchange(ends)?;
        let found = diag::socket(&answer);
        if found.is_some() {
            self.kernel = Kernel::Looks;
        } else if diag::is_absent(&answer) && !matches!(self.kernel, Kernel::Looks) {
            self.probe()?;
        }
        Ok(found)
    }

    /// Asks for a socket that exists: the kernel has one answer for a socket that is gone and for a missing `udp_diag`.
    fn probe(&mut self) -> io::Result<()> {
        self.kernel = Kernel::Cannot(Instant::now());
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = IpAddr::from(Ipv4Addr::LOCALHOST);
        let (own, other) = ((address, socket.local_addr()?.port()), (address, DISCARD));
        let answer = self.exchange(&Ends { protocol: UDP, own, other, link: 0 })?;
        if !diag::is_absent(&answer) {
            self.kernel = Kernel::Looks;
        }
        Ok(())
    }

    /// The kernel's answer; empty if it did not come from the kernel.
    fn exchange(&mut self, ends: &Ends) -> io::Result<Vec<u8>> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => open(SockProtocol::NetlinkSockDiag, 0)?,
        };
        send(socket.as_raw_fd(), &diag::question(ends), MsgFlags::empty())?;
        let mut buffer = [0; LARGEST];
        // The kernel has answered when `send` returns.
        let (length, from) = recvfrom::<NetlinkAddr>(socket.as_raw_fd(), &mut buffer)?;
        // Port 0 is the kernel. After the message of another process the socket is made anew.
        if from.is_none_or(|from| from.pid() != 0) {
            return Ok(Vec::new());
        }
        self.socket = Some(socket);
        Ok(buffer[..length].to_vec())
    }

    async fn path(&mut self, group: u64) -> Option<&str> {
        let is_due = self.read.as_ref().is_none_or(|read| read.at.elapsed() >= read.pause);
        if !self.paths.contains_key(&group) && is_due {
            // In a thread of its own: there may be thousands of groups.
            self.paths = spawn_blocking(paths).await.unwrap_or_default();
            let last = self.read.as_ref().map_or(FIRST_PAUSE, |read| read.pause);
            let is_found = self.paths.contains_key(&group);
            let pause = if is_found { FIRST_PAUSE } else { (last * 2).min(LAST_PAUSE) };
            self.read = Some(Reading { at: Instant::now(), pause });
        }
        self.paths.get(&group).map(String::as_str)
    }
}
