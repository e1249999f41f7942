//! Asks the kernel for all links, addresses, routes and rules over a socket of its own.
//!
//! Raw messages, for a reason: `rtnetlink`'s codec drops a message of which it cannot read one
//! attribute (a name that is no UTF-8, an attribute of a newer kernel), and the table would lack
//! a link without a word. What the messages mean is `table`'s to say.

use std::io;

use nix::libc;
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};

use super::table::{Draft, u16_at, u32_at};
use super::{LinksError, lookup};
use crate::vpn::LinkTable;

/// A dump of the kernel's comes in pieces of 32 KiB at most (16 KiB before Linux 4.9).
const PIECE: usize = 64 * 1024;

/// How often a table is read again that changed while it was read. A watcher is told of the change
/// anyway; for a single look this is as good as it gets.
const ATTEMPTS: usize = 4;

const NLMSG_DONE: u16 = 3;
pub(super) const NLMSG_ERROR: u16 = 2;
const HEADER: usize = 16;

/// Whether the kernel's lists stood still while they were read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Consistency {
    Whole,
    /// `NLM_F_DUMP_INTR`.
    Interrupted,
}

/// The links as they are now.
pub(super) async fn table() -> Result<LinkTable, LinksError> {
    let mut attempt = 1;
    loop {
        let (draft, consistency) = read().await?;
        if consistency == Consistency::Whole || attempt == ATTEMPTS {
            return Ok(draft.finish());
        }
        attempt += 1;
    }
}

async fn read() -> Result<(Draft, Consistency), LinksError> {
    let mut socket = TokioSocket::new(NETLINK_ROUTE).map_err(LinksError::Socket)?;
    socket.socket_mut().bind(&SocketAddr::new(0, 0)).map_err(LinksError::Socket)?;
    let mut draft = Draft::default();
    let mut consistency = Consistency::Whole;
    for (sequence, request) in [links(), addresses(), routes(), rules()].into_iter().enumerate() {
        let rules = request.kind == libc::RTM_GETRULE;
        let request = request.message(u32::try_from(sequence).unwrap_or_default());
        socket.send_to(&request, &SocketAddr::new(0, 0)).await.map_err(LinksError::Socket)?;
        match answer(&socket, &mut draft).await {
            Ok(Consistency::Interrupted) => consistency = Consistency::Interrupted,
            Ok(Consistency::Whole) => {}
            // A kernel without policy routing has no rules to list.
            Err(LinksError::Refused(_)) if rules => {}
            Err(error) => return Err(error),
        }
    }
    if draft.has_tunnel() {
        let ranges = lookup::ranges(&socket, draft.bounds()).await?;
        draft.route(ranges);
    }
    Ok((draft, consistency))
}

/// Reads one dump to its end.
async fn answer(socket: &TokioSocket, draft: &mut Draft) -> Result<Consistency, LinksError> {
    let mut consistency = Consistency::Whole;
    let mut piece = Vec::with_capacity(PIECE);
    loop {
        piece.clear();
        let sender = socket.recv_from(&mut piece).await.map_err(LinksError::Socket)?;
        // Port 0 is the kernel; another process may write to a netlink socket too.
        if sender.port_number() != 0 {
            continue;
        }
        let mut rest = piece.as_slice();
        while !rest.is_empty() {
            let message = Message::first(rest).ok_or(LinksError::Truncated)?;
            if i32::from(message.flags) & libc::NLM_F_DUMP_INTR != 0 {
                consistency = Consistency::Interrupted;
            }
            match message.kind {
                NLMSG_DONE => return refusal(message.payload).map(|()| consistency),
                NLMSG_ERROR => refusal(message.payload)?,
                kind => draft.add(kind, message.payload),
            }
            rest = rest.get(message.length.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

/// Both the end of a dump and an error begin with a negated `errno`, or 0.
fn refusal(payload: &[u8]) -> Result<(), LinksError> {
    match u32_at(payload, 0).map(u32::cast_signed) {
        None | Some(0..) => Ok(()),
        Some(code) => Err(LinksError::Refused(io::Error::from_raw_os_error(code.saturating_neg()))),
    }
}

/// One netlink message (`struct nlmsghdr` and what follows).
pub(crate) struct Message<'a> {
    pub(crate) length: usize,
    pub(crate) kind: u16,
    flags: u16,
    pub(crate) sequence: u32,
    pub(crate) payload: &'a [u8],
}

impl<'a> Message<'a> {
    pub(crate) fn first(bytes: &'a [u8]) -> Option<Self> {
        let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
        let payload = bytes.get(HEADER..length)?;
        let (kind, flags, sequence) = (u16_at(bytes, 4)?, u16_at(bytes, 6)?, u32_at(bytes, 8)?);
        Some(Self { length, kind, flags, sequence, payload })
    }
}

/// What a dump is asked for with: an empty body of the kind's size, for every address family.
struct Request {
    kind: u16,
    body: Vec<u8>,
}

fn links() -> Request {
    // `struct ifinfomsg`, then IFLA_EXT_MASK: nobody looks at the counters, the largest part.
    let mut body = vec![0; 16];
    body.extend(8_u16.to_ne_bytes());
    body.extend(libc::IFLA_EXT_MASK.to_ne_bytes());
    body.extend(libc::RTEXT_FILTER_SKIP_STATS.to_ne_bytes());
    Request { kind: libc::RTM_GETLINK, body }
}

fn addresses() -> Request {
    Request { kind: libc::RTM_GETADDR, body: vec![0; 8] }
}

fn routes() -> Request {
    Request { kind: libc::RTM_GETROUTE, body: vec![0; 12] }
}

fn rules() -> Request {
    Request { kind: libc::RTM_GETRULE, body: vec![0; 12] }
}

impl Request {
    fn message(&self, sequence: u32) -> Vec<u8> {
        message(self.kind, libc::NLM_F_REQUEST | libc::NLM_F_DUMP, sequence, &self.body)
    }
}

/// One message (`struct nlmsghdr`, then the body), padded so that another may follow.
pub(super) fn message(kind: u16, flags: i32, sequence: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER + body.len()).unwrap_or_default();
    let mut message = Vec::with_capacity(HEADER + body.len());
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(u16::try_from(flags).unwrap_or_default().to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    message.extend(0_u32.to_ne_bytes());
    message.extend(body);
    message.resize(message.len().next_multiple_of(4), 0);
    message
}
