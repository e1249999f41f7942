//! The bytes of a probe.

use std::net::IpAddr;

use super::probe::{How, Probe};
use crate::net::{Transport, octets};

/// The source port of a probe from a raw socket.
const FROM: u16 = 40_000;

/// The destination and the source of a frame: locally administered addresses, which no maker of cards uses.
pub(super) const CARD: [u8; 6] = [2, 0, 0, 0, 0, 2];
const OWN_CARD: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// The bytes that the kernel gets for a probe. A packet socket on Ethernet needs the frame's header too.
pub(super) fn bytes(probe: &Probe, is_ethernet: bool) -> Vec<u8> {
    match probe.how {
        How::Udp => probe.tag.to_vec(),
        How::Tcp => Vec::new(),
        How::RawIp => udp(probe),
        How::Echo => echo(probe),
        How::Frame | How::FrameAsArp => {
            let packet = packet(probe);
            match is_ethernet {
                true => [&CARD[..], &OWN_CARD, &probe.family().ethertype().to_be_bytes(), &packet].concat(),
                false => packet,
            }
        }
    }
}

fn udp(probe: &Probe) -> Vec<u8> {
    let length = u16::try_from(8 + probe.tag.len()).unwrap_or(u16::MAX);
    let mut header = [FROM, probe.to.port(), length, 0].map(u16::to_be_bytes).concat();
    header.extend(probe.tag);
    header
}

fn echo(probe: &Probe) -> Vec<u8> {
    let (kind, mut header) = (if probe.to.is_ipv4() { 8 } else { 128 }, vec![0; 8]);
    header[0] = kind;
    header.extend(probe.tag);
    if probe.to.is_ipv4() {
        // The kernel computes the checksum only for ICMPv6.
        let sum = checksum(&header).to_be_bytes();
        header[2..4].copy_from_slice(&sum);
    }
    header
}

/// An IP packet with a datagram. Its source is the unspecified address: no rule of tunwarden opens anything by the
/// source.
fn packet(probe: &Probe) -> Vec<u8> {
    let datagram = udp(probe);
    let to = octets(probe.to.ip());
    let protocol = Transport::Udp.number();
    let length = |more: usize| u16::try_from(datagram.len() + more).unwrap_or(u16::MAX).to_be_bytes();
    let mut header = match probe.to.ip() {
        IpAddr::V4(_) => {
            let mut header = vec![0x45, 0];
            header.extend(length(20));
            header.extend([0, 0, 0, 0, 64, protocol, 0, 0, 0, 0, 0, 0]);
            header
        }
        IpAddr::V6(_) => {
            let mut header = vec![0x60, 0, 0, 0];
            header.extend(length(0));
            header.extend([protocol, 64]);
            header.extend([0; 16]);
            header
        }
    };
    header.extend(to);
    if probe.to.is_ipv4() {
        let sum = checksum(&header).to_be_bytes();
        header[10..12].copy_from_slice(&sum);
    }
    header.extend(datagram);
    header
}

/// The internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or_default());
    let sum: u32 = bytes.chunks(2).map(word).sum();
    let folded = (sum >> 16) + (sum & 0xffff);
    !u16::try_from((folded >> 16) + (folded & 0xffff)).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::origin::Origin;
    use super::*;

    fn probe(how: How, to: &str) -> Probe {
        let origin = Arc::new(Origin::program(0, None));
        Probe { how, origin, to: to.parse().unwrap(), on: None, tag: *b"0123456789abcdef" }
    }

    #[test]
    fn checksums_are_right_and_the_tag_is_where_the_tables_look_for_it() {
        let v4 = bytes(&probe(How::Frame, "203.0.113.9:9"), true);
        assert_eq!(checksum(&v4[14..34]), 0);
        assert_eq!(&v4[42..58], b"0123456789abcdef");
        let v6 = bytes(&probe(How::Frame, "[2001:db8::9]:9"), true);
        assert_eq!(&v6[62..78], b"0123456789abcdef");
        let echo = bytes(&probe(How::Echo, "203.0.113.9:0"), true);
        assert_eq!(checksum(&echo), 0);
        for probe in [probe(How::Echo, "[2001:db8::9]:0"), probe(How::RawIp, "203.0.113.9:9")] {
            assert_eq!(&bytes(&probe, true)[8..24], b"0123456789abcdef");
        }
    }
}
