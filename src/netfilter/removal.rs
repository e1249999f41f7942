//! Removes a table that holds nothing, or single rules. Pure: the messages, and the answers of the kernel.

use super::Malformed;
use super::message::{NFTABLES, batch, message, protocol, text};
use crate::net::Family;
use crate::netlink::{ACKNOWLEDGE, ANSWER, REQUEST, attribute, error_number, messages};

const DELETE_TABLE: u16 = NFTABLES << 8 | 2;
const DELETE_CHAIN: u16 = NFTABLES << 8 | 5;
const DELETE_RULE: u16 = NFTABLES << 8 | 8;
/// `NLM_F_NONREC`: a chain that has a rule, and a table that has anything, is not deleted.
const ONLY_EMPTY: u16 = 0x100;

/// `NFTA_TABLE_NAME`, `NFTA_CHAIN_TABLE`, `NFTA_CHAIN_NAME`.
const TABLE_NAME: u16 = 1;
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
/// `NFTA_RULE_TABLE`, `NFTA_RULE_CHAIN`, `NFTA_RULE_HANDLE`.
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_HANDLE: u16 = 3;

/// The transaction that removes a table and these chains, which are all of its chains. The kernel refuses all of
/// it if one of the chains has a rule or is not there, or if the table has anything else. The message of the first
/// chain has the number 1, and so on; every other message has 0.
pub(super) fn removal(family: Family, table: &str, chains: &[&str]) -> Vec<u8> {
    let flags = REQUEST | ACKNOWLEDGE | ONLY_EMPTY;
    let chains = (1..).zip(chains).map(|(place, chain)| {
        let names = [text(CHAIN_TABLE, table), text(CHAIN_NAME, chain)].concat();
        message(DELETE_CHAIN, place, flags, protocol(family), &names)
    });
    let table = message(DELETE_TABLE, 0, flags, protocol(family), &text(TABLE_NAME, table));
    batch(&mut chains.chain([table]))
}

/// The transaction that removes the rules with these handles from a chain.
pub(super) fn rule_removal(family: Family, table: &str, chain: &str, handles: &[u64]) -> Vec<u8> {
    let mut rules = (1..).zip(handles).map(|(number, handle)| {
        let place = [text(RULE_TABLE, table), text(RULE_CHAIN, chain)].concat();
        let rule = [place, attribute(RULE_HANDLE, &handle.to_be_bytes())].concat();
        message(DELETE_RULE, number, REQUEST | ACKNOWLEDGE, protocol(family), &rule)
    });
    batch(&mut rules)
}

/// The answers in a datagram: each has the number of a message and an error number of the kernel; 0 is an
/// acknowledgement.
///
/// # Errors
/// [`Malformed`]
pub(crate) fn answers(datagram: &[u8]) -> Result<Vec<(u32, i32)>, Malformed> {
    let mut errors = Vec::new();
    for message in messages(datagram) {
        let message = message?;
        if message.message_type() == ANSWER {
            let error = error_number(message.payload()).ok_or(Malformed)?;
            errors.push((message.sequence_number(), error));
        }
    }
    Ok(errors)
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::NetlinkBuffer;

    use super::*;
    use crate::netfilter::message::{BEGIN, END};

    #[test]
    fn a_malformed_answer_is_an_error_and_each_error_is_read() {
        assert_eq!(answers(b"x"), Err(Malformed));
        let answer = |kind, number, error: i32| {
            let mut bytes = message(kind, number, 0, 0, &[]);
            bytes[16..20].copy_from_slice(&error.to_ne_bytes());
            bytes
        };
        let datagram = [answer(ANSWER, 0, 0), answer(3, 0, -1), answer(ANSWER, 2, -16)].concat();
        assert_eq!(answers(&datagram), Ok(vec![(0, 0), (2, -16)]));
        assert_eq!(answers(&answer(ANSWER, 0, 0)[..16]), Err(Malformed));
    }

    #[test]
    fn every_deletion_needs_an_empty_object_and_all_are_one_transaction() {
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
