//! The messages in a netlink datagram. Pure.
//!
//! netlink-packet-core reads and writes the header. The body stays bytes, because the codecs for that library
//! drop a whole message when they cannot read one attribute.

pub(crate) mod socket;

use netlink_packet_core::NetlinkBuffer;

/// The length of `struct nlmsghdr`.
const HEADER: usize = 16;

/// `NLM_F_REQUEST`, `NLM_F_ACK`, `NLM_F_DUMP_INTR` and `NLM_F_DUMP`.
pub(crate) const REQUEST: u16 = 1;
pub(crate) const ACKNOWLEDGE: u16 = 4;
pub(crate) const INTERRUPTED: u16 = 0x10;
pub(crate) const DUMP: u16 = 0x300;

/// `NLMSG_ERROR`, which is also the acknowledgement, and `NLMSG_DONE`, which ends a dump.
pub(crate) const ANSWER: u16 = 2;
pub(crate) const DONE: u16 = 3;

/// One message (`struct nlmsghdr` and what follows).
pub(crate) type Message<'a> = NetlinkBuffer<&'a [u8]>;

/// A datagram that ends in the middle of a message, or is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the datagram ends in the middle of a message")]
pub(crate) struct Truncated;

/// The messages in a datagram, one after the other. The last item is an error where the datagram ends in the
/// middle of a message.
pub(crate) fn messages(datagram: &[u8]) -> impl Iterator<Item = Result<Message<'_>, Truncated>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Ok(message) = NetlinkBuffer::new_checked(rest) else {
            rest = &[];
            return Some(Err(Truncated));
        };
        let length = usize::try_from(message.length()).unwrap_or(usize::MAX);
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Ok(message))
    })
}

/// One message, padded so that another may follow.
pub(crate) fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    bytes.extend(body);
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let mut header = NetlinkBuffer::new(&mut bytes);
    header.set_length(length);
    header.set_message_type(kind);
    header.set_flags(flags);
    header.set_sequence_number(sequence);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// One attribute, padded so that another may follow.
pub(crate) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    // Names, addresses and numbers: far below the 65,535 bytes that an attribute may have.
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// The error number in the payload of [`ANSWER`] or [`DONE`]: negative, or 0 for no error; `None` if it is too short.
pub(crate) fn error_number(payload: &[u8]) -> Option<i32> {
    payload.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(datagram: &[u8]) -> Vec<Result<u16, Truncated>> {
        messages(datagram).map(|message| message.map(|message| message.message_type())).collect()
    }

    #[test]
    fn a_truncated_message_is_an_error_after_the_complete_ones() {
        let mut long_length = message(7, 0, 1, b"");
        long_length[..4].copy_from_slice(&u32::MAX.to_ne_bytes());
        for cut in [&b"x"[..], &[0; 16], &long_length] {
            assert_eq!(kinds(cut), [Err(Truncated)], "{cut:?}");
            assert_eq!(kinds(&[message(7, 0, 1, b"abcde"), cut.to_vec()].concat()), [Ok(7), Err(Truncated)]);
        }
    }

    #[test]
    fn messages_follow_each_other_at_multiples_of_four() {
        assert_eq!(kinds(b""), []);
        let datagram = [message(7, 0, 1, b"a"), message(8, 0, 2, b"")].concat();
        assert_eq!(kinds(&datagram), [Ok(7), Ok(8)]);
        assert_eq!(messages(&datagram).next().unwrap().unwrap().payload(), b"a");
    }
}
