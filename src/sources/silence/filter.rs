//! The kernel's filter for packets from a server or to it, and who sent what passed it. Pure.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nix::libc;
use socket2::SockFilter;

use crate::net::{Endpoint, Port, Transport};

/// So much of a packet is kept: the longest IPv4 header and the ports, or an IPv6 header and the ports.
pub(super) const HEADERS: usize = 64;

/// Which way packets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// From a server.
    In,
    /// To a server.
    Out,
}

/// linux/filter.h: what is known of a packet besides its bytes is loaded from below -4096.
const ANCILLARY: u32 = 0xffff_f000;
const PROTOCOL: u32 = ANCILLARY;
const PACKET_TYPE: u32 = ANCILLARY + 4;
const IFINDEX: u32 = ANCILLARY + 8;

const UDP: u32 = 17;
const TCP: u32 = 6;

const WORD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const BYTE: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
const HALF: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_ABS;
const HALF_BEHIND_HEADER: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_IND;
const HEADER_LENGTH: u32 = libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH;
const EQUALS: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

/// Loads something into the accumulator and compares it.
struct Test {
    load: Vec<(u32, u32)>,
    equals: u32,
}

impl Test {
    fn new(load: u32, at: u32, equals: u32) -> Self {
        Self { load: vec![(load, at)], equals }
    }

    fn len(&self) -> usize {
        self.load.len() + 1
    }
}

/// Packets of these servers, of each its headers. What goes into the tunnel counts as sent to them,
/// since it would be: also what a client sends to its next server while a dead tunnel has the route.
/// What comes out of it does not count as coming from them.
pub(super) fn filter(servers: &BTreeSet<Endpoint>, tunnel: u32, direction: Direction) -> Vec<SockFilter> {
    let kept = u32::try_from(HEADERS).unwrap_or_default();
    let mut program = Vec::new();
    if direction == Direction::Out {
        let outgoing = u32::from(libc::PACKET_OUTGOING);
        program.extend([op(WORD, PACKET_TYPE), jump(outgoing, 1, 0), op(RETURN, 0)]);
    }
    let through_tunnel = match direction {
        Direction::In => 0,
        Direction::Out => kept,
    };
    program.extend([op(WORD, IFINDEX), jump(tunnel, 0, 1), op(RETURN, through_tunnel)]);
    for server in servers {
        let tests = tests(server, direction);
        // Past the tests that are left and the verdict.
        let mut left: usize = tests.iter().map(Test::len).sum();
        for test in &tests {
            left -= test.len();
            program.extend(test.load.iter().map(|&(code, at)| op(code, at)));
            program.push(jump(test.equals, 0, u8::try_from(left + 1).unwrap_or(u8::MAX)));
        }
        program.push(op(RETURN, kept));
    }
    program.push(op(RETURN, 0));
    program
}

fn tests(server: &Endpoint, direction: Direction) -> Vec<Test> {
    let transport = match server.transport() {
        Transport::Udp => UDP,
        Transport::Tcp => TCP,
    };
    let (address_v4, address_v6, port_at) = match direction {
        Direction::In => (12, 8, 0),
        Direction::Out => (16, 24, 2),
    };
    let port = u32::from(server.port().get());
    match server.address() {
        IpAddr::V4(address) => vec![
            Test::new(HALF, PROTOCOL, 0x0800),
            Test::new(BYTE, 9, transport),
            Test::new(WORD, address_v4, u32::from(address)),
            Test { load: vec![(HEADER_LENGTH, 0), (HALF_BEHIND_HEADER, port_at)], equals: port },
        ],
        IpAddr::V6(address) => {
            let mut tests = vec![Test::new(HALF, PROTOCOL, 0x86dd), Test::new(BYTE, 6, transport)];
            let words = address.octets();
            let words = words.chunks_exact(4).map(|w| u32::from_be_bytes([w[0], w[1], w[2], w[3]]));
            tests.extend((address_v6..).step_by(4).zip(words).map(|(at, word)| Test::new(WORD, at, word)));
            tests.push(Test::new(HALF, 40 + port_at, port));
            tests
        }
    }
}

fn op(code: u32, k: u32) -> SockFilter {
    SockFilter::new(u16::try_from(code).unwrap_or_default(), 0, 0, k)
}

fn jump(equals: u32, then: u8, otherwise: u8) -> SockFilter {
    SockFilter::new(u16::try_from(EQUALS).unwrap_or_default(), then, otherwise, equals)
}

/// Who sent a packet, from its first byte on.
pub(crate) fn sender(packet: &[u8]) -> Option<Endpoint> {
    let (address, protocol, header): (IpAddr, u8, usize) = match packet.first()? >> 4 {
        4 => {
            let address: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
            (Ipv4Addr::from(address).into(), *packet.get(9)?, usize::from(packet.first()? & 15) * 4)
        }
        6 => {
            let address: [u8; 16] = packet.get(8..24)?.try_into().ok()?;
            (Ipv6Addr::from(address).into(), *packet.get(6)?, 40)
        }
        _ => return None,
    };
    let transport = match u32::from(protocol) {
        UDP => Transport::Udp,
        TCP => Transport::Tcp,
        _ => return None,
    };
    let port = u16::from_be_bytes(packet.get(header..header + 2)?.try_into().ok()?);
    Endpoint::new(address, transport, Port::try_from(i64::from(port)).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_packet_of_a_server_has_no_sender() {
        for bad in [&[][..], &[0x45], &[0x45; 20], &[0x60; 41], &[0x15; 64], &[0xff; 64]] {
            assert_eq!(sender(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_sender_is_read_behind_a_header_of_any_length() {
        let mut packet = vec![0; 64];
        packet[0] = 0x46;
        packet[9] = 17;
        packet[12..16].copy_from_slice(&[198, 51, 100, 7]);
        packet[24..26].copy_from_slice(&1194_u16.to_be_bytes());
        assert_eq!(sender(&packet), "198.51.100.7:1194/udp".parse().ok());
        let server: Ipv6Addr = "2001:db8::7".parse().unwrap();
        packet = vec![0; 64];
        packet[0] = 0x60;
        packet[6] = 6;
        packet[8..24].copy_from_slice(&server.octets());
        packet[40..42].copy_from_slice(&443_u16.to_be_bytes());
        assert_eq!(sender(&packet), "[2001:db8::7]:443/tcp".parse().ok());
    }

    #[test]
    fn the_kernel_takes_a_filter_of_as_many_servers_as_there_can_be() {
        // BPF_MAXINSNS
        let servers = (0..64).map(|port| format!("[2001:db8::7]:{}/udp", 1194 + port).parse().unwrap());
        assert!(filter(&servers.collect(), 3, Direction::Out).len() < 4096);
    }
}
