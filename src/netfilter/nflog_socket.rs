//! The edge: the socket on which the kernel reports refused packets.

use std::io;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::sys::socket::sockopt::RcvBufForce;
use nix::sys::socket::{NetlinkAddr, recvfrom, setsockopt};
use tokio::io::unix::AsyncFd;

use super::nflog::{Line, bind, parse};
use super::socket::{open, raw, request};

/// Room for lines that wait, in bytes. A line has some 300, and a rule makes at most 20 in a second.
const ROOM: usize = 1 << 20;

/// Maximum size of a datagram (`NFULNL_NLBUFSIZ_MAX`).
const LARGEST: usize = 1 << 17;

/// Lines of one group.
#[derive(Debug)]
pub struct Lines {
    socket: AsyncFd<OwnedFd>,
    buffer: Vec<u8>,
}

/// What the kernel has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// These lines.
    Lines(Vec<Line>),
    /// More than the socket could keep, or something that cannot be read.
    Overrun,
}

impl Lines {
    /// Asks for the lines of a group.
    ///
    /// # Errors
    /// The kernel has no NFLOG, or another program has the group.
    #[expect(
        deprecated,
        reason = "the successor is unsafe, for types that may close early; an OwnedFd cannot"
    )]
    pub fn listen(group: u16) -> io::Result<Self> {
        let socket = open(0)?;
        setsockopt(&socket, RcvBufForce, &ROOM)?;
        request(&socket, &bind(group))?;
        Ok(Self { socket: AsyncFd::new(socket)?, buffer: vec![0; LARGEST] })
    }

    /// Waits for the next lines.
    ///
    /// # Errors
    /// The socket cannot be read any more.
    pub async fn next(&mut self) -> io::Result<Received> {
        loop {
            let mut ready = self.socket.readable().await?;
            let received = ready.try_io(|socket| receive(socket.get_ref(), &mut self.buffer));
            if let Ok(received) = received {
                return received;
            }
        }
    }
}

fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<Received> {
    match recvfrom::<NetlinkAddr>(raw(socket), buffer) {
        // Port 0 is the kernel. Other processes may send to a netlink socket too.
        Ok((length, Some(from))) if from.pid() == 0 => {
            Ok(parse(&buffer[..length]).map_or(Received::Overrun, Received::Lines))
        }
        Ok(_) => Ok(Received::Lines(Vec::new())),
        Err(Errno::ENOBUFS) => Ok(Received::Overrun),
        Err(error) => Err(error.into()),
    }
}
