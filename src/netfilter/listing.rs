//! Everything that nf_tables holds, of every program: the messages by which the kernel describes it. Pure.

use super::dump::{self, Progress};
use super::message::{NFTABLES, message, text};
use super::{Malformed, NFGENMSG};
use crate::model::Message;
use crate::netlink::{DUMP, REQUEST};

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
    dump::read(datagram, |kind, payload| {
        if kind >> 8 == NFTABLES {
            let kind = u8::try_from(kind & 0xff).map_err(|_| Malformed)?;
            let (family, body) = (*payload.first().ok_or(Malformed)?, payload.get(NFGENMSG..));
            found.push(Message { kind, family, body: body.ok_or(Malformed)?.to_vec() });
        }
        Ok(())
    })
}
