//! Everything that nf_tables holds, of every program: the messages by which the kernel describes it. Pure.

use super::held::{Progress, ended};
use super::message::{NFTABLES, message, text};
use super::{Malformed, NFGENMSG};
use crate::model::Message;
use crate::netlink::{ANSWER, DONE, DUMP, INTERRUPTED, REQUEST, messages};

const GET_TABLE: u16 = NFTABLES << 8 | 1;
const GET_CHAIN: u16 = NFTABLES << 8 | 4;
const GET_RULE: u16 = NFTABLES << 8 | 7;
const NEW_SET: u8 = 9;
const GET_SET: u16 = NFTABLES << 8 | 10;
const GET_ELEMENTS: u16 = NFTABLES << 8 | 13;

/// `NFPROTO_UNSPEC`: tables of every family.
const EVERY: u8 = 0;

/// The requests for tables, chains, sets and rules. The elements of each set follow.
pub(super) fn questions() -> [Vec<u8>; 4] {
    [GET_TABLE, GET_CHAIN, GET_SET, GET_RULE].map(|kind| message(kind, 1, REQUEST | DUMP, EVERY, &[]))
}

/// The requests for the elements of every set in `found`.
///
/// # Errors
/// [`Malformed`]
pub(super) fn element_questions(found: &[Message]) -> Result<Vec<Vec<u8>>, Malformed> {
    let sets = found.iter().filter(|message| message.kind == NEW_SET);
    sets.map(|set| {
        let [table, name] = set.names().ok_or(Malformed)?;
        let names = [text(1, &table), text(2, &name)].concat();
        Ok(message(GET_ELEMENTS, 1, REQUEST | DUMP, set.family, &names))
    })
    .collect()
}

/// Reads one datagram of a dump.
///
/// # Errors
/// [`Malformed`]
pub(crate) fn take(found: &mut Vec<Message>, datagram: &[u8]) -> Result<Progress, Malformed> {
    for message in messages(datagram) {
        let message = message?;
        if message.flags() & INTERRUPTED != 0 {
            return Ok(Progress::Again);
        }
        let payload = message.payload();
        match message.message_type() {
            DONE => return ended(payload),
            ANSWER => {
                let error = payload.first_chunk().ok_or(Malformed)?;
                return Ok(Progress::Refused(-i32::from_ne_bytes(*error)));
            }
            kind if kind >> 8 == NFTABLES => {
                let kind = u8::try_from(kind & 0xff).map_err(|_| Malformed)?;
                let (family, body) = (*payload.first().ok_or(Malformed)?, payload.get(NFGENMSG..));
                found.push(Message { kind, family, body: body.ok_or(Malformed)?.to_vec() });
            }
            _ => {}
        }
    }
    Ok(Progress::More)
}

#[cfg(test)]
mod tests {
    use super::super::held;
    use super::*;
    use crate::netlink;
    use std::collections::BTreeMap;

    /// `ENOMEM`
    const ERROR: i32 = 12;

    #[test]
    fn a_dump_that_ends_with_an_error_is_refused() {
        for (number, wanted) in [(0, Progress::Done), (-ERROR, Progress::Refused(ERROR))] {
            let end = netlink::message(DONE, 2, 1, &i32::to_ne_bytes(number));
            assert_eq!(take(&mut Vec::new(), &end), Ok(wanted));
            assert_eq!(held::take(&mut BTreeMap::new(), &end), Ok(wanted));
        }
        assert_eq!(take(&mut Vec::new(), &netlink::message(DONE, 2, 1, &[])), Err(Malformed), "no number");
    }
}
