//! Targets for data that a local user can influence: refused packets and their sockets, PPPoE sessions, and messages on
//! the bus.

use super::assert_plain;
use crate::blocked::Packet;
use crate::bus::bounded::filter;
use crate::effects::hosts::helper;
use crate::netfilter::{nflog, senders};
use crate::sources::links::pppoe;
use crate::sources::refusals::diag;

/// Maximum number of bytes of a refused packet that the kernel copies.
const COPIED: usize = 128;

/// The kernel's lines about refused packets, the packets themselves, the kernel's answers about their senders and their
/// sockets, its list of PPPoE sessions, and the agent's request for lines in `/etc/hosts`.
pub(super) fn refusals(data: &[u8]) {
    for line in nflog::parse(data).unwrap_or_default() {
        packet(&line.packet);
    }
    packet(data);
    let _ = senders::answer(1, data);
    assert!(!diag::is_absent(data) || diag::socket(data).is_none(), "a socket is there and absent");
    let sessions = pppoe::bounded(pppoe::parse(data), &[]);
    assert!(sessions.is_sorted() && sessions.len() <= 256);
    sessions.iter().for_each(|session| assert_plain(session.interface.as_str()));
    if let Some(pins) = helper::parse(data) {
        assert_eq!(helper::parse(helper::request(&pins).as_bytes()), Some(pins), "one spelling");
    }
}

fn packet(bytes: &[u8]) {
    let _ = Packet::of_frame(bytes);
    let Some(whole) = Packet::parse(bytes) else { return };
    let cut = Packet::parse(&bytes[..bytes.len().min(COPIED)]);
    let ends = |packet: Packet| [packet.source, packet.destination];
    assert_eq!(cut.map(ends), Some(ends(whole)), "the beginning has both addresses");
    assert!(whole.source_port.is_some() || whole.port.is_none(), "the source port comes first");
}

/// Messages that any process may send on the bus. The first byte is the size of the steps in which they are read.
pub(super) fn bus(data: &[u8]) {
    let Some((&step, stream)) = data.split_first() else { return };
    let (passed, kept) = filter::passed_on(stream, usize::from(step).max(1));
    assert_eq!(passed, filter::passed_on(stream, stream.len().max(1)).0, "the size of the steps matters");
    assert!(passed.len() <= stream.len() && kept <= 64 << 10, "{kept} bytes were kept");
}
