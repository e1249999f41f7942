//! The edge: one question to the kernel over rtnetlink, and the messages of its answer.
//!
//! The messages are written and read as bytes, and `rtnetlink` only opens the socket. The library's codec
//! drops a whole message when it cannot read one attribute (a name that is not UTF-8, an attribute of a newer
//! kernel). The table would then lack a link without any error. A request is a header and a few fixed bytes.
//! `table` says what the messages mean.

use std::ops::ControlFlow;

use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};

use super::LinksError;
use crate::netlink::{Message, Truncated, messages};

/// Maximum size of a datagram: the kernel cuts a dump into pieces of 32 KiB (16 KiB before Linux 4.9).
const PIECE: usize = 64 * 1024;

/// A socket to the kernel.
pub(super) struct Kernel {
    socket: TokioSocket,
    piece: Vec<u8>,
}

impl Kernel {
    pub(super) fn connect() -> Result<Self, LinksError> {
        let mut socket = TokioSocket::new(NETLINK_ROUTE).map_err(LinksError::Socket)?;
        socket.socket_mut().bind(&SocketAddr::new(0, 0)).map_err(LinksError::Socket)?;
        Ok(Self { socket, piece: Vec::with_capacity(PIECE) })
    }

    /// Sends a request, and hands each message of the answer to `take` until it breaks.
    pub(super) async fn ask(
        &mut self,
        request: &[u8],
        mut take: impl FnMut(&Message<'_>) -> Result<ControlFlow<()>, LinksError>,
    ) -> Result<(), LinksError> {
        self.socket.send_to(request, &SocketAddr::new(0, 0)).await.map_err(LinksError::Socket)?;
        loop {
            self.piece.clear();
            let sender = self.socket.recv_from(&mut self.piece).await.map_err(LinksError::Socket)?;
            // Port 0 is the kernel. Other processes may send to a netlink socket too.
            if sender.port_number() != 0 {
                continue;
            }
            for message in messages(&self.piece) {
                let message = message.map_err(|Truncated| LinksError::Truncated)?;
                if take(&message)?.is_break() {
                    return Ok(());
                }
            }
        }
    }
}
