//! The header of a refused packet.
//!
//! No protocol library (such as etherparse) is used: any local user can choose these bytes, the agent reads them as
//! root, and it needs only five fields.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::net::Transport;

/// Maximum number of extension headers of IPv6 that are skipped.
const EXTENSIONS: usize = 8;

/// IANA's numbers of protocols.
const TCP: u8 = Transport::Tcp.number();
const UDP: u8 = Transport::Udp.number();
const DCCP: u8 = 33;
const SCTP: u8 = 132;
const UDP_LITE: u8 = 136;
/// IPv6 extension headers after which another header follows: hop-by-hop options, routing, destination options.
const SKIPPED: [u8; 3] = [0, 43, 60];

/// The fields of a packet that the agent keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Its source, which its sender can forge.
    pub source: IpAddr,
    /// The destination in its header.
    pub destination: IpAddr,
    /// The number of its protocol.
    pub protocol: u8,
    /// Its source port, if its protocol has ports and it is not a later fragment.
    pub source_port: Option<u16>,
    /// Its destination port.
    pub port: Option<u16>,
    /// The sequence number in its header, if it opens a connection of TCP.
    pub opening: Option<u32>,
}

impl Packet {
    /// Reads the beginning of a packet; `None` if it is neither IPv4 nor IPv6.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        match bytes.first()? >> 4 {
            4 => ipv4(bytes),
            6 => ipv6(bytes),
            _ => None,
        }
    }

    /// Whether the kernel can find its socket.
    pub fn has_socket(&self) -> bool {
        matches!(self.protocol, TCP | UDP)
    }

    /// Reads a frame of Ethernet, or a packet without such a header.
    pub fn of_frame(bytes: &[u8]) -> Option<Self> {
        let behind_header = matches!(bytes.get(12..14)?, [0x08, 0x00] | [0x86, 0xdd]);
        let packet = bytes.get(14..).filter(|_| behind_header).and_then(Self::parse);
        packet.or_else(|| Self::parse(bytes))
    }
}

fn ipv4(bytes: &[u8]) -> Option<Packet> {
    let header = usize::from(bytes.first()? & 0x0f) * 4;
    let address = |at: usize| {
        let octets: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(IpAddr::from(Ipv4Addr::from(octets)))
    };
    let protocol = *bytes.get(9)?;
    let is_first = (u16::from_be_bytes(bytes.get(6..8)?.try_into().ok()?) & 0x1fff) == 0;
    let behind = bytes.get(header..).filter(|_| is_first).unwrap_or_default();
    Some(with_ports([address(12)?, address(16)?], protocol, behind))
}

fn ipv6(bytes: &[u8]) -> Option<Packet> {
    let address = |at: usize| {
        let octets: [u8; 16] = bytes.get(at..at + 16)?.try_into().ok()?;
        Some(IpAddr::from(Ipv6Addr::from(octets)))
    };
    let (source, destination) = (address(8)?, address(24)?);
    let (mut protocol, mut at) = (*bytes.get(6)?, 40);
    for _ in 0..EXTENSIONS {
        let Some(&[next, length]) = bytes.get(at..at + 2) else { break };
        if !SKIPPED.contains(&protocol) {
            break;
        }
        (protocol, at) = (next, at + 8 + usize::from(length) * 8);
    }
    Some(with_ports([source, destination], protocol, bytes.get(at..).unwrap_or_default()))
}

fn with_ports([source, destination]: [IpAddr; 2], protocol: u8, header: &[u8]) -> Packet {
    let has_ports = matches!(protocol, TCP | UDP | DCCP | SCTP | UDP_LITE);
    let port = |at: usize| {
        let bytes: [u8; 2] = header.get(at..at + 2).filter(|_| has_ports)?.try_into().ok()?;
        Some(u16::from_be_bytes(bytes))
    };
    let opening = if protocol == TCP { opening(header) } else { None };
    Packet { source, destination, protocol, source_port: port(0), port: port(2), opening }
}

/// The sequence number of a packet of TCP that has SYN alone of the flags FIN, SYN, RST and ACK.
fn opening(header: &[u8]) -> Option<u32> {
    let is_opening = header.get(13)? & 0x17 == 0x02;
    let number: [u8; 4] = header.get(4..8).filter(|_| is_opening)?.try_into().ok()?;
    Some(u32::from_be_bytes(number))
}
