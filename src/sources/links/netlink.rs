//! The edge: one question to the kernel over rtnetlink, and the messages of its answer.
//!
//! The messages are read as bytes, for a reason: `rtnetlink`'s codec drops a whole message when it cannot read
//! one attribute (a name that is not UTF-8, an attribute of a newer kernel). The table would then lack a link,
//! and nobody would know. `table` says what the messages mean.

use std::ops::ControlFlow;

use netlink_packet_core::NetlinkBuffer;
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};

use super::LinksError;

/// The length of `struct nlmsghdr`.
const HEADER: usize = 16;

/// Maximum size of a datagram: the kernel cuts a dump into pieces of 32 KiB (16 KiB before Linux 4.9).
const PIECE: usize = 64 * 1024;

/// One message (`struct nlmsghdr` and what follows).
pub(crate) type Message<'a> = NetlinkBuffer<&'a [u8]>;

/// The messages in a datagram, one after the other. The last item is an error where the datagram ends in the
/// middle of a message.
pub(crate) fn messages(datagram: &[u8]) -> impl Iterator<Item = Result<Message<'_>, LinksError>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Ok(message) = NetlinkBuffer::new_checked(rest) else {
            rest = &[];
            return Some(Err(LinksError::Truncated));
        };
        let length = usize::try_from(message.length()).unwrap_or(usize::MAX);
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Ok(message))
    })
}

/// One message, padded so that another may follow.
pub(super) fn message(kind: u16, flags: i32, sequence: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    bytes.extend(body);
    let length = u32::try_from(bytes.len()).unwrap_or_default();
    let mut header = NetlinkBuffer::new(&mut bytes);
    header.set_length(length);
    header.set_message_type(kind);
    header.set_flags(u16::try_from(flags).unwrap_or_default());
    header.set_sequence_number(sequence);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

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
                if take(&message?)?.is_break() {
                    return Ok(());
                }
            }
        }
    }
}
