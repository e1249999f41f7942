//! Takes a table away that holds nothing. Pure: the messages, and what the kernel answers.

use netlink_packet_core::NetlinkBuffer;

use super::Malformed;
use crate::net::Family;

/// `NFNL_SUBSYS_NFTABLES`, and what it makes of a kind of its messages.
const NFTABLES: u16 = 10;
const DELETE_TABLE: u16 = NFTABLES << 8 | 2;
const DELETE_CHAIN: u16 = NFTABLES << 8 | 5;
/// `NFNL_MSG_BATCH_BEGIN` and `NFNL_MSG_BATCH_END`: what stands between them happens whole or not at all.
const BEGIN: u16 = 0x10;
const END: u16 = 0x11;
/// `NLMSG_ERROR`, which is also how something is acknowledged.
const ANSWER: u16 = 2;

/// `NLM_F_REQUEST`, `NLM_F_ACK`.
const REQUEST: u16 = 1;
const ACKNOWLEDGE: u16 = 4;
/// `NLM_F_NONREC`: a chain that has a rule, and a table that has anything, is not deleted.
const ONLY_EMPTY: u16 = 0x100;

/// `NFTA_TABLE_NAME`, `NFTA_CHAIN_TABLE`, `NFTA_CHAIN_NAME`.
const TABLE_NAME: u16 = 1;
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;

/// The transaction that takes a table away and these chains, which are all of its own. The kernel refuses
/// it whole if one of them has a rule or is not there, or the table has anything else. The first chain's
/// message has the number 1, and so on; every other has 0.
pub(super) fn removal(family: Family, table: &str, chains: &[&str]) -> Vec<u8> {
    let number = match family {
        Family::V4 => 2,
        Family::V6 => 10,
    };
    let flags = REQUEST | ACKNOWLEDGE | ONLY_EMPTY;
    let mut bytes = message(BEGIN, 0, REQUEST, [0, 0], NFTABLES, &[]);
    for (place, chain) in (1..).zip(chains) {
        let names = [(CHAIN_TABLE, table), (CHAIN_NAME, *chain)];
        bytes.extend(message(DELETE_CHAIN, place, flags, [number, 0], 0, &names));
    }
    bytes.extend(message(DELETE_TABLE, 0, flags, [number, 0], 0, &[(TABLE_NAME, table)]));
    bytes.extend(message(END, 0, REQUEST, [0, 0], NFTABLES, &[]));
    bytes
}

/// What a datagram answers: the number of a message, and an error as the kernel numbers them; 0 is an
/// acknowledgement.
///
/// # Errors
/// [`Malformed`]
pub(crate) fn answers(mut datagram: &[u8]) -> Result<Vec<(u32, i32)>, Malformed> {
    let mut errors = Vec::new();
    while !datagram.is_empty() {
        let message = NetlinkBuffer::new_checked(datagram).map_err(|_| Malformed)?;
        if message.message_type() == ANSWER {
            let error = message.payload().first_chunk().ok_or(Malformed)?;
            errors.push((message.sequence_number(), i32::from_ne_bytes(*error)));
        }
        let length = usize::try_from(message.length()).map_err(|_| Malformed)?;
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(errors)
}

/// A message with `struct nfgenmsg` (a family and a version, a subsystem) and attributes of text.
fn message(
    kind: u16,
    number: u32,
    flags: u16,
    family: [u8; 2],
    subsystem: u16,
    attributes: &[(u16, &str)],
) -> Vec<u8> {
    let mut body = family.to_vec();
    body.extend(subsystem.to_be_bytes());
    for (kind, text) in attributes {
        // Names of tables and chains that iptables has: far below what 16 bits count.
        let length = u16::try_from(4 + text.len() + 1).unwrap_or(u16::MAX);
        body.extend(length.to_ne_bytes());
        body.extend(kind.to_ne_bytes());
        body.extend(text.bytes());
        body.push(0);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    let mut bytes = vec![0; 16];
    bytes.extend(body);
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let mut header = NetlinkBuffer::new(&mut bytes);
    header.set_length(length);
    header.set_message_type(kind);
    header.set_flags(flags);
    header.set_sequence_number(number);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_answer_is_said_and_each_error_is_read() {
        assert_eq!(answers(b"x"), Err(Malformed));
        let answer = |kind, number, error: i32| {
            let mut bytes = message(kind, number, 0, [0, 0], 0, &[]);
            bytes[16..20].copy_from_slice(&error.to_ne_bytes());
            bytes
        };
        let datagram = [answer(ANSWER, 0, 0), answer(3, 0, -1), answer(ANSWER, 2, -16)].concat();
        assert_eq!(answers(&datagram), Ok(vec![(0, 0), (2, -16)]));
        assert_eq!(answers(&answer(ANSWER, 0, 0)[..16]), Err(Malformed));
    }

    #[test]
    fn every_deletion_is_only_of_what_is_empty_and_all_are_one_transaction() {
        let bytes = removal(Family::V6, "mangle", &["INPUT", "POSTROUTING"]);
        let mut rest = &bytes[..];
        let mut seen = Vec::new();
        while !rest.is_empty() {
            let message = NetlinkBuffer::new_checked(rest).unwrap();
            seen.push((message.message_type(), message.sequence_number(), message.flags() & ONLY_EMPTY != 0));
            assert_eq!(message.length() % 4, 0);
            rest = &rest[usize::try_from(message.length()).unwrap()..];
        }
        assert_eq!(
            seen,
            [
                (BEGIN, 0, false),
                (DELETE_CHAIN, 1, true),
                (DELETE_CHAIN, 2, true),
                (DELETE_TABLE, 0, true),
                (END, 0, false)
            ]
        );
    }
}
