//! Asks the kernel about a socket (`linux/inet_diag.h`). Pure.
//!
//! netlink-bindings has the structures. Its own requests are dumps, but this question is for one socket.

use std::net::IpAddr;

use netlink_bindings::inet_diag::{OpTcpDiagDump, ReqV2, TcpState};
use netlink_bindings::traits::NetlinkRequest;

use crate::net::{Transport, octets};
use crate::netlink::{ANSWER, Message, REQUEST, error_number, message, messages};

/// `SOCK_DIAG_BY_FAMILY`
const BY_FAMILY: u16 = 20;
/// IANA's number of TCP.
pub(super) const TCP: u8 = Transport::Tcp.number();
/// `INET_DIAG_NOCOOKIE`
const NO_COOKIE: [u8; 8] = [0xff; 8];

/// The two ends of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ends {
    /// The protocol: TCP or UDP.
    pub(super) protocol: u8,
    /// The end at this machine.
    pub(super) own: (IpAddr, u16),
    /// The other end.
    pub(super) other: (IpAddr, u16),
    /// The link that the packet was to go out on.
    pub(super) link: u32,
}

/// What the kernel says about a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Socket {
    /// The user id of its owner.
    pub(crate) uid: u32,
    /// The number of its control group.
    pub(crate) cgroup: u64,
}

/// The question for the socket that sent a packet.
pub(super) fn question(ends: &Ends) -> Vec<u8> {
    // The kernel takes the first end as this machine's. For UDP it takes the second end ("for historical reasons").
    let [first, second] = if ends.protocol == TCP { [ends.own, ends.other] } else { [ends.other, ends.own] };
    let mut request = ReqV2::new();
    // Both ends are in the header of one packet, so they are of one family.
    request.family = match ends.own.0 {
        IpAddr::V4(_) => 2,
        IpAddr::V6(_) => 10,
    };
    request.protocol = ends.protocol;
    request.states = u32::MAX;
    let id = &mut request.sockid;
    (id.src, id.dst) = (padded_address(first.0), padded_address(second.0));
    id.set_sport(first.1);
    id.set_dport(second.1);
    (id.r#if, id.cookie) = (ends.link, NO_COOKIE);
    message(BY_FAMILY, REQUEST, 1, request.as_slice())
}

/// An address in a field that has room for an address of either family.
fn padded_address(address: IpAddr) -> [u8; 16] {
    let mut padded_address = [0; 16];
    padded_address.iter_mut().zip(octets(address)).for_each(|(byte, octet)| *byte = octet);
    padded_address
}

/// Whether an answer says that the kernel has no such socket, or no `tcp_diag` or `udp_diag` that could look for it.
pub(crate) fn is_absent(datagram: &[u8]) -> bool {
    const ENOENT: i32 = 2;
    let message = messages(datagram).next().and_then(Result::ok);
    let is_error = |message: &Message<'_>| message.message_type() == ANSWER;
    message.filter(is_error).is_some_and(|error| error_number(error.payload()) == Some(-ENOENT))
}

/// The socket in an answer; `None` if that socket does not exist any more, or if the kernel does not report its group.
/// A TCP socket that listens at the same port is a different one.
pub(crate) fn socket(datagram: &[u8]) -> Option<Socket> {
    let message = messages(datagram).next()?.ok()?;
    if message.message_type() != BY_FAMILY {
        return None;
    }
    // An answer for UDP has the same form.
    let (found, attributes) = <OpTcpDiagDump<'_> as NetlinkRequest>::decode_reply(message.payload());
    if found.state == TcpState::Listen as u8 {
        return None;
    }
    Some(Socket { uid: found.uid, cgroup: attributes.get_cgroup_id().ok()? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::netlink::attribute;

    /// The length of `struct inet_diag_msg`, and where the state and the user id are in it.
    const SOCKET: usize = 72;
    const STATE: usize = 1;
    const UID: usize = 64;
    /// `TCP_LISTEN`
    const LISTEN: u8 = 10;
    /// `INET_DIAG_CGROUP_ID`
    const CGROUP: u16 = 21;

    #[test]
    fn the_question_has_both_ends_and_for_udp_in_the_other_order() {
        let (own, other) = (("10.0.0.2".parse().unwrap(), 40000), ("203.0.113.9".parse().unwrap(), 443));
        let body = |protocol| {
            let sent = question(&Ends { protocol, own, other, link: 7 });
            messages(&sent).next().unwrap().unwrap().payload().to_vec()
        };
        let [mine, theirs] = [[10, 0, 0, 2], [203, 0, 113, 9]].map(|octets| [&octets[..], &[0; 12]].concat());
        let ports = [40000_u16.to_be_bytes(), 443_u16.to_be_bytes()];
        let expected = |protocol, ports: Vec<u8>, addresses: Vec<u8>| {
            let fixed = [&[2, protocol, 0, 0][..], &[0xff; 4]].concat();
            [fixed, ports, addresses, 7_u32.to_ne_bytes().to_vec(), vec![0xff; 8]].concat()
        };
        let [own_port, other_port] = ports;
        let tcp = expected(TCP, [own_port, other_port].concat(), [&mine[..], &theirs].concat());
        assert_eq!(body(TCP), tcp);
        let udp = expected(17, [other_port, own_port].concat(), [&theirs[..], &mine].concat());
        assert_eq!(body(17), udp);
    }

    #[test]
    fn the_answer_names_the_user_and_the_group() {
        let mut body = vec![0; SOCKET];
        body[UID..UID + 4].copy_from_slice(&1000_u32.to_ne_bytes());
        let plain = message(BY_FAMILY, 0, 1, &body);
        assert_eq!(socket(&plain), None, "a kernel that does not send the group");
        body.extend(attribute(8, &[0, 0, 0, 0]));
        body.extend(attribute(CGROUP, &77_u64.to_ne_bytes()));
        let answer = message(BY_FAMILY, 0, 1, &body);
        assert_eq!(socket(&answer), Some(Socket { uid: 1000, cgroup: 77 }));
        body[STATE] = LISTEN;
        assert_eq!(socket(&message(BY_FAMILY, 0, 1, &body)), None, "a listener sends nothing");
        let absent = message(2, 0, 1, &(-2_i32).to_ne_bytes());
        assert_eq!((socket(&absent), is_absent(&absent)), (None, true), "no such socket");
        let refused = message(2, 0, 1, &(-1_i32).to_ne_bytes());
        assert!(!is_absent(&refused) && !is_absent(&answer) && !is_absent(&[]));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (is_absent(&bytes), socket(&bytes), socket(&message(BY_FAMILY, 0, 1, &bytes)));
        }
    }
}
