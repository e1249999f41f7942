//! Questions about a socket to the kernel (`linux/inet_diag.h`). Pure.

use std::net::IpAddr;

use netlink_bindings::utils::IterableChunks;

use crate::net::{Transport, octets};
use crate::netlink::{ANSWER, Message, REQUEST, error_number, message, messages};

/// `SOCK_DIAG_BY_FAMILY`
const BY_FAMILY: u16 = 20;
/// `INET_DIAG_CGROUP_ID`
const CGROUP: u16 = 21;
/// `TCP_LISTEN`, and where the state of a socket is in `struct inet_diag_msg`.
const LISTEN: u8 = 10;
const STATE: usize = 1;
/// IANA's number of TCP.
pub(super) const TCP: u8 = Transport::Tcp.number();
/// `INET_DIAG_NOCOOKIE`
const NO_COOKIE: [u8; 8] = [0xff; 8];
/// The length of `struct inet_diag_msg`, and where the user id is in it.
const SOCKET: usize = 72;
const UID: usize = 64;
/// The room for an address of either family.
const ADDRESS: usize = 16;

/// The two ends of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ends {
    /// The protocol: TCP or UDP.
    pub(super) protocol: u8,
    /// This machine.
    pub(super) own: (IpAddr, u16),
    /// The other one.
    pub(super) other: (IpAddr, u16),
    /// The link that the packet was to go out on.
    pub(super) link: u32,
}

/// What the kernel says about a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Socket {
    /// The user id of its owner.
    pub(super) uid: u32,
    /// The number of its control group.
    pub(super) cgroup: u64,
}

/// The question for the socket that sent a packet.
pub(super) fn question(ends: &Ends) -> Vec<u8> {
    // Both ends are in the header of one packet, so they are of one family.
    let family = match ends.own.0 {
        IpAddr::V4(_) => 2,
        IpAddr::V6(_) => 10,
    };
    let [own, other] = [ends.own.0, ends.other.0].map(|address| {
        let mut wide = octets(address);
        wide.resize(ADDRESS, 0);
        wide
    });
    // The kernel takes the first end for this machine's, and for UDP the second one ("for historical reasons").
    let (first, second) = ((own, ends.own.1), (other, ends.other.1));
    let [first, second] = if ends.protocol == TCP { [first, second] } else { [second, first] };
    let ports = [first.1.to_be_bytes(), second.1.to_be_bytes()].concat();
    let body = [
        &[family, ends.protocol, 0, 0][..],
        &u32::MAX.to_ne_bytes(),
        &ports,
        &first.0,
        &second.0,
        &ends.link.to_ne_bytes(),
        &NO_COOKIE,
    ];
    message(BY_FAMILY, REQUEST, 1, &body.concat())
}

/// Whether an answer says that the kernel has no such socket, or no `tcp_diag` or `udp_diag` that could look for it.
pub(super) fn is_absent(datagram: &[u8]) -> bool {
    const ENOENT: i32 = 2;
    let message = messages(datagram).next().and_then(Result::ok);
    let is_error = |message: &Message<'_>| message.message_type() == ANSWER;
    message.filter(is_error).is_some_and(|error| error_number(error.payload()) == Some(-ENOENT))
}

/// The socket in an answer; `None` if there is no such socket any more, or the kernel does not tell its group. A socket of
/// TCP that listens at the same port is another one.
pub(super) fn socket(datagram: &[u8]) -> Option<Socket> {
    let message = messages(datagram).next()?.ok()?;
    if message.message_type() != BY_FAMILY {
        return None;
    }
    let body = message.payload();
    if *body.get(STATE)? == LISTEN {
        return None;
    }
    let uid = u32::from_ne_bytes(body.get(UID..UID + 4)?.try_into().ok()?);
    let mut attributes = IterableChunks::new(body.get(SOCKET..)?);
    let (_, cgroup) = attributes.find(|(header, _)| header.r#type == CGROUP)?;
    Some(Socket { uid, cgroup: u64::from_ne_bytes(cgroup.try_into().ok()?) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::netlink::attribute;

    #[test]
    fn the_answer_names_the_user_and_the_group() {
        let mut body = vec![0; SOCKET];
        body[UID..UID + 4].copy_from_slice(&1000_u32.to_ne_bytes());
        let plain = message(BY_FAMILY, 0, 1, &body);
        assert_eq!(socket(&plain), None, "a kernel that does not tell the group");
        body.extend(attribute(8, &[0, 0, 0, 0]));
        body.extend(attribute(CGROUP, &77_u64.to_ne_bytes()));
        let told = message(BY_FAMILY, 0, 1, &body);
        assert_eq!(socket(&told), Some(Socket { uid: 1000, cgroup: 77 }));
        body[STATE] = LISTEN;
        assert_eq!(socket(&message(BY_FAMILY, 0, 1, &body)), None, "a listener sends nothing");
        let absent = message(2, 0, 1, &(-2_i32).to_ne_bytes());
        assert_eq!((socket(&absent), is_absent(&absent)), (None, true), "no such socket");
        let refused = message(2, 0, 1, &(-1_i32).to_ne_bytes());
        assert!(!is_absent(&refused) && !is_absent(&told) && !is_absent(&[]));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (is_absent(&bytes), socket(&bytes), socket(&message(BY_FAMILY, 0, 1, &bytes)));
        }
    }
}
