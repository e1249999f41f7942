//! Messages for nf_tables as bytes (`linux/netfilter/nfnetlink.h`, `nf_tables.h`). Pure.
//!
//! They are written by hand, because each has at most two attributes.

use crate::net::Family;
use crate::netlink::{self, REQUEST, attribute};

/// `NFNL_SUBSYS_NFTABLES`: the upper byte of the type of every message of nf_tables.
pub(super) const NFTABLES: u16 = 10;

/// `NFNL_MSG_BATCH_BEGIN` and `NFNL_MSG_BATCH_END`: the messages between them are one transaction.
pub(super) const BEGIN: u16 = 0x10;
pub(super) const END: u16 = 0x11;

/// `NFPROTO_IPV4` or `NFPROTO_IPV6`.
pub(super) fn protocol(family: Family) -> u8 {
    match family {
        Family::V4 => 2,
        Family::V6 => 10,
    }
}

/// An attribute of text, which ends with a zero byte.
pub(super) fn text(kind: u16, value: &str) -> Vec<u8> {
    attribute(kind, &[value.as_bytes(), &[0]].concat())
}

/// A message about tables of `protocol` (`struct nfgenmsg`) with its attributes.
pub(super) fn message(kind: u16, number: u32, flags: u16, protocol: u8, attributes: &[u8]) -> Vec<u8> {
    numbered(kind, number, flags, [protocol, 0, 0, 0], attributes)
}

/// Messages as one transaction.
pub(super) fn batch(messages: &mut dyn Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let [high, low] = NFTABLES.to_be_bytes();
    let mut bytes = question(messages);
    bytes.extend(numbered(END, 0, REQUEST, [0, 0, high, low], &[]));
    bytes
}

/// Messages as a transaction without an end: the kernel checks and answers each of them, and undoes them all.
pub(super) fn question(messages: &mut dyn Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let [high, low] = NFTABLES.to_be_bytes();
    let mut bytes = numbered(BEGIN, 0, REQUEST, [0, 0, high, low], &[]);
    bytes.extend(messages.flatten());
    bytes
}

/// A message about a group of NFLOG with its attributes.
pub(super) fn of_group(kind: u16, flags: u16, group: u16, attributes: &[u8]) -> Vec<u8> {
    let [high, low] = group.to_be_bytes();
    numbered(kind, 1, flags, [0, 0, high, low], attributes)
}

fn numbered(kind: u16, number: u32, flags: u16, nfgenmsg: [u8; 4], attributes: &[u8]) -> Vec<u8> {
    netlink::message(kind, flags, number, &[&nfgenmsg, attributes].concat())
}
