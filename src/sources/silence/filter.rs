//! The kernel's filters for packets to a VPN server and from it, and the flow of a packet. Pure.
//!
//! The instructions are written by hand. libpcap compiles a text, but here the addresses and ports are values.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use nix::libc;
use socket2::SockFilter;

use crate::net::{Endpoint, Port, Transport};

/// Number of bytes of a packet that are kept: the longest IPv4 header, or an IPv6 header, and the ports.
pub(super) const HEADERS: usize = 64;

/// The flow between a VPN client and its server, as the client's own packets show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flow {
    pub(super) server: Endpoint,
    /// The address and port from which the client sends.
    pub(super) own: SocketAddr,
}

/// linux/filter.h: where the metadata of a packet begins.
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
const AND: u32 = libc::BPF_ALU | libc::BPF_AND | libc::BPF_K;
const HEADER_LENGTH: u32 = libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH;
const EQUALS: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

/// One test of a filter: loads a value and compares it.
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

/// Passes packets that come out of the tunnel, and packets from a server in one of these flows.
pub(super) fn received(tunnel: u32, flows: &[Flow]) -> Vec<SockFilter> {
    let mut program = on_link(tunnel);
    program.extend(flows.iter().flat_map(|flow| passing(&from_server(flow))));
    program.push(op(RETURN, 0));
    program
}

/// Passes packets that go into the tunnel, and packets to these servers. Packets into the tunnel count
/// because the client would send them to its server. Among them are the packets that a client sends to its
/// next server while a dead tunnel has the route.
pub(super) fn sent(tunnel: u32, servers: &BTreeSet<Endpoint>) -> Vec<SockFilter> {
    let mut program = outgoing();
    program.extend(on_link(tunnel));
    program.extend(servers.iter().flat_map(|server| passing(&to_server(server))));
    program.push(op(RETURN, 0));
    program
}

/// Passes packets that go into the tunnel of a WireGuard device and that its server answers. No server answers a
/// multicast packet, such as a question of mDNS. The client sends such a packet only to a peer that has its network.
pub(super) fn sent_to_peers(tunnel: u32) -> Vec<SockFilter> {
    let mut program = outgoing();
    program.extend([op(WORD, IFINDEX), jump(tunnel, 1, 0), op(RETURN, 0)]);
    // From 224.0.0.0 on, all addresses are multicast, reserved or broadcast.
    let multicast = [
        [Test::new(HALF, PROTOCOL, 0x0800), Test { load: vec![(BYTE, 16), (AND, 0xe0)], equals: 0xe0 }],
        [Test::new(HALF, PROTOCOL, 0x86dd), Test::new(BYTE, 24, 0xff)],
    ];
    program.extend(multicast.iter().flat_map(|tests| returning(tests, 0)));
    program.push(op(RETURN, kept()));
    program
}

/// Passes packets to these servers outside the tunnel.
pub(super) fn sent_outside(tunnel: u32, servers: &BTreeSet<Endpoint>) -> Vec<SockFilter> {
    let mut program = outgoing();
    program.extend([op(WORD, IFINDEX), jump(tunnel, 0, 1), op(RETURN, 0)]);
    program.extend(servers.iter().flat_map(|server| passing(&to_server(server))));
    program.push(op(RETURN, 0));
    program
}

/// Drops incoming packets, and continues with the next test for others.
fn outgoing() -> Vec<SockFilter> {
    vec![op(WORD, PACKET_TYPE), jump(u32::from(libc::PACKET_OUTGOING), 1, 0), op(RETURN, 0)]
}

/// Passes packets on this link, and continues with the next test for others.
fn on_link(index: u32) -> Vec<SockFilter> {
    vec![op(WORD, IFINDEX), jump(index, 0, 1), op(RETURN, kept())]
}

/// Passes packets for which all of these tests are true, and continues with the next test for others.
fn passing(tests: &[Test]) -> Vec<SockFilter> {
    returning(tests, kept())
}

/// Keeps this number of bytes of packets for which all of these tests are true.
fn returning(tests: &[Test], bytes: u32) -> Vec<SockFilter> {
    let mut program = Vec::new();
    // A test that fails jumps over the other tests and over the verdict.
    let mut left: usize = tests.iter().map(Test::len).sum();
    for test in tests {
        left -= test.len();
        program.extend(test.load.iter().map(|&(code, at)| op(code, at)));
        program.push(jump(test.equals, 0, u8::try_from(left + 1).unwrap_or(u8::MAX)));
    }
    program.push(op(RETURN, bytes));
    program
}

fn kept() -> u32 {
    u32::try_from(HEADERS).unwrap_or_default()
}

/// Which address and port of a packet a test reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Source,
    Destination,
}

fn to_server(server: &Endpoint) -> Vec<Test> {
    let mut tests = protocol(server);
    tests.extend(end(End::Destination, server.address(), server.port().get()));
    tests
}

fn from_server(flow: &Flow) -> Vec<Test> {
    let mut tests = protocol(&flow.server);
    tests.extend(end(End::Source, flow.server.address(), flow.server.port().get()));
    tests.extend(end(End::Destination, flow.own.ip(), flow.own.port()));
    tests
}

fn protocol(server: &Endpoint) -> Vec<Test> {
    let transport = match server.transport() {
        Transport::Udp => UDP,
        Transport::Tcp => TCP,
    };
    match server.address() {
        IpAddr::V4(_) => vec![Test::new(HALF, PROTOCOL, 0x0800), Test::new(BYTE, 9, transport)],
        IpAddr::V6(_) => vec![Test::new(HALF, PROTOCOL, 0x86dd), Test::new(BYTE, 6, transport)],
    }
}

fn end(end: End, address: IpAddr, port: u16) -> Vec<Test> {
    let (address_v4, address_v6, port_at) = match end {
        End::Source => (12, 8, 0),
        End::Destination => (16, 24, 2),
    };
    let port = u32::from(port);
    match address {
        IpAddr::V4(address) => vec![
            Test::new(WORD, address_v4, u32::from(address)),
            Test { load: vec![(HEADER_LENGTH, 0), (HALF_BEHIND_HEADER, port_at)], equals: port },
        ],
        IpAddr::V6(address) => {
            let words = address.octets();
            let words = words.chunks_exact(4).map(|w| u32::from_be_bytes([w[0], w[1], w[2], w[3]]));
            let words = (address_v6..).step_by(4).zip(words).map(|(at, word)| Test::new(WORD, at, word));
            words.chain([Test::new(HALF, 40 + port_at, port)]).collect()
        }
    }
}

fn op(code: u32, k: u32) -> SockFilter {
    SockFilter::new(u16::try_from(code).unwrap_or_default(), 0, 0, k)
}

fn jump(equals: u32, then: u8, otherwise: u8) -> SockFilter {
    SockFilter::new(u16::try_from(EQUALS).unwrap_or_default(), then, otherwise, equals)
}

/// The flow of a packet that this machine sends to a server.
pub(crate) fn flow(packet: &[u8]) -> Option<Flow> {
    let (own, server, protocol, header): (IpAddr, IpAddr, u8, usize) = match packet.first()? >> 4 {
        4 => {
            let [own, server]: [[u8; 4]; 2] =
                [packet.get(12..16)?.try_into().ok()?, packet.get(16..20)?.try_into().ok()?];
            (own.into(), server.into(), *packet.get(9)?, usize::from(packet.first()? & 15) * 4)
        }
        6 => {
            let [own, server]: [[u8; 16]; 2] =
                [packet.get(8..24)?.try_into().ok()?, packet.get(24..40)?.try_into().ok()?];
            (own.into(), server.into(), *packet.get(6)?, 40)
        }
        _ => return None,
    };
    let transport = match u32::from(protocol) {
        UDP => Transport::Udp,
        TCP => Transport::Tcp,
        _ => return None,
    };
    let port = |at: usize| Some(u16::from_be_bytes(packet.get(at..at + 2)?.try_into().ok()?));
    let (from, to) = (port(header)?, port(header + 2)?);
    let server = Endpoint::new(server, transport, Port::try_from(i64::from(to)).ok()?).ok()?;
    Some(Flow { server, own: SocketAddr::new(own, from) })
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    #[test]
    fn only_packets_to_a_server_have_a_flow() {
        for bad in [&[][..], &[0x45], &[0x45; 20], &[0x60; 41], &[0x15; 64], &[0xff; 64]] {
            assert_eq!(flow(bad), None, "{bad:?}");
        }
    }

    fn found(own: &str, server: &str) -> Option<Flow> {
        Some(Flow { server: server.parse().unwrap(), own: own.parse().unwrap() })
    }

    #[test]
    fn the_flow_is_read_behind_a_header_of_any_length() {
        let mut packet = vec![0; 64];
        packet[0] = 0x46;
        packet[9] = 17;
        packet[12..20].copy_from_slice(&[10, 0, 0, 2, 198, 51, 100, 7]);
        packet[24..28].copy_from_slice(&[0xab, 0xcd, 0x04, 0xaa]);
        assert_eq!(flow(&packet), found("10.0.0.2:43981", "198.51.100.7:1194/udp"));
        let [own, server]: [Ipv6Addr; 2] = ["fd00::2", "2001:db8::7"].map(|text| text.parse().unwrap());
        packet = vec![0; 64];
        packet[0] = 0x60;
        packet[6] = 6;
        packet[8..24].copy_from_slice(&own.octets());
        packet[24..40].copy_from_slice(&server.octets());
        packet[40..44].copy_from_slice(&[0xab, 0xcd, 0x01, 0xbb]);
        assert_eq!(flow(&packet), found("[fd00::2]:43981", "[2001:db8::7]:443/tcp"));
    }

    #[test]
    fn the_kernel_accepts_a_filter_for_the_maximum_number_of_servers() {
        // BPF_MAXINSNS
        let servers: BTreeSet<Endpoint> =
            (0..64).map(|port| format!("[2001:db8::7]:{}/udp", 1194 + port).parse().unwrap()).collect();
        for filter in [sent(3, &servers), sent_outside(3, &servers), sent_to_peers(3)] {
            assert!(filter.len() < 4096);
        }
        let flow = Flow { server: *servers.first().unwrap(), own: "[fd00::2]:43981".parse().unwrap() };
        assert!(received(3, &[flow; super::super::MAX_FLOWS]).len() < 4096);
    }
}
