//! The edge: finds the control group of a socket, and the name of the group.
//!
//! The kernel reports the group only while the socket exists. Nothing is read from the memory of other processes.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::{MsgFlags, NetlinkAddr, SockProtocol, recvfrom, send};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::diag::{self, Ends, Socket, TCP};
use super::groups::paths;
use crate::blocked::{Unit, unit};
use crate::netlink::socket::open;

/// How long the groups are not read again. This time doubles with each reading that did not find the group.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(60);

/// How long the kernel is not asked again after it could not look for sockets of a protocol. Each question may start
/// modprobe.
const ABSENT: Duration = Duration::from_secs(60);

/// The port of the service "discard".
const DISCARD: u16 = 9;

/// Size of an answer: a socket, and some attributes.
const LARGEST: usize = 4096;

/// Finds the units of sockets.
#[derive(Debug, Default)]
pub(super) struct Units {
    socket: Option<OwnedFd>,
    paths: BTreeMap<u64, String>,
    read: Option<Reading>,
    /// By the number of the protocol: TCP or UDP.
    kernels: BTreeMap<u8, SocketLookup>,
}

/// The last reading of the groups, and the time until the next one.
#[derive(Debug)]
struct Reading {
    at: Instant,
    pause: Duration,
}

/// Whether the kernel can look for sockets of a protocol.
#[derive(Debug)]
enum SocketLookup {
    Works,
    /// It could not at this moment: `tcp_diag` or `udp_diag` is missing.
    Unavailable(Instant),
}

impl Units {
    /// The unit of a socket of this user; `None` if it is not known: the socket is closed, or another user has its
    /// port now.
    pub(super) async fn of(&mut self, ends: &Ends, uid: u32) -> Option<Unit> {
        let found = self.ask(ends).ok()??;
        if found.uid != uid {
            return None;
        }
        self.of_group(found.cgroup).await
    }

    /// The unit that this group is for.
    pub(super) async fn of_group(&mut self, group: u64) -> Option<Unit> {
        unit(self.path(group).await?)
    }

    fn ask(&mut self, ends: &Ends) -> io::Result<Option<Socket>> {
        let protocol = ends.protocol;
        if matches!(self.kernels.get(&protocol), Some(SocketLookup::Unavailable(since)) if since.elapsed() < ABSENT)
        {
            return Ok(None);
        }
        let answer = self.exchange(ends)?;
        let found = diag::socket(&answer);
        if found.is_some() {
            self.kernels.insert(protocol, SocketLookup::Works);
        } else if diag::is_absent(&answer)
            && !matches!(self.kernels.get(&protocol), Some(SocketLookup::Works))
        {
            self.probe(protocol)?;
        }
        Ok(found)
    }

    /// Asks for a socket that certainly exists. The kernel gives the same answer for a socket that is gone and for a
    /// missing `tcp_diag` or `udp_diag`.
    fn probe(&mut self, protocol: u8) -> io::Result<()> {
        self.kernels.insert(protocol, SocketLookup::Unavailable(Instant::now()));
        let any = (Ipv4Addr::LOCALHOST, 0);
        let ask = |units: &mut Self, own: SocketAddr| {
            let (own, other) = ((own.ip(), own.port()), (IpAddr::from(Ipv4Addr::LOCALHOST), DISCARD));
            units.exchange(&Ends { protocol, own, other, link: 0 })
        };
        let answer = if protocol == TCP {
            let socket = TcpListener::bind(any)?;
            ask(self, socket.local_addr()?)?
        } else {
            let socket = UdpSocket::bind(any)?;
            ask(self, socket.local_addr()?)?
        };
        if !diag::is_absent(&answer) {
            self.kernels.insert(protocol, SocketLookup::Works);
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
        // Port 0 is the kernel. After the message of another process a new socket is opened.
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

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use socket2::SockRef;

    use super::*;
    use crate::net::Transport;

    const UDP: u8 = Transport::Udp.number();

    fn ends(protocol: u8, own: SocketAddr, other: SocketAddr) -> Ends {
        Ends { protocol, own: (own.ip(), own.port()), other: (other.ip(), other.port()), link: 0 }
    }

    #[tokio::test]
    async fn a_socket_that_another_user_has_by_now_does_not_give_its_unit() {
        let mut units = Units::default();
        let datagrams = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        datagrams.connect((Ipv4Addr::LOCALHOST, DISCARD)).unwrap();
        let ends = ends(UDP, datagrams.local_addr().unwrap(), datagrams.peer_addr().unwrap());
        let Some(found) = units.ask(&ends).unwrap() else {
            assert!(matches!(units.kernels.get(&UDP), Some(SocketLookup::Unavailable(_))));
            return;
        };
        units.paths.insert(found.cgroup, "system.slice/own.service".to_owned());
        let unit = |unit: Option<Unit>| unit.map(|unit| unit.name);
        assert_eq!(unit(units.of(&ends, found.uid).await).as_deref(), Some("own.service"));
        assert_eq!(unit(units.of(&ends, found.uid + 1).await), None);
    }

    #[test]
    fn the_kernel_finds_the_sending_socket_until_it_is_closed() {
        let mut units = Units::default();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let to = listener.local_addr().unwrap();
        let stream = TcpStream::connect(to).unwrap();
        // So the socket is gone as soon as it is closed.
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        let datagrams = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        datagrams.connect(to).unwrap();
        let both =
            [ends(TCP, stream.local_addr().unwrap(), to), ends(UDP, datagrams.local_addr().unwrap(), to)];
        let own = nix::unistd::getuid().as_raw();
        for ends in &both {
            let found = units.ask(ends).unwrap();
            // Where the kernel has no module for it, nothing is found, and the agent knows why.
            let cannot = matches!(units.kernels.get(&ends.protocol), Some(SocketLookup::Unavailable(_)));
            assert_eq!(found.map(|socket| socket.uid), (!cannot).then_some(own), "{ends:?}");
        }
        drop((stream, datagrams));
        for ends in &both {
            assert_eq!(units.ask(ends).unwrap(), None, "{ends:?}");
        }
        let listening = ends(TCP, to, (Ipv4Addr::LOCALHOST, DISCARD).into());
        assert_eq!(units.ask(&listening).unwrap(), None, "a listener at the port of the sender");
    }
}
