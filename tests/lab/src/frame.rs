//! A captured frame, parsed as far as the contract needs it.
//!
//! A frame that does not parse is kept as unreadable. It is evidence too, and counts as clear.

use std::fmt;
use std::net::IpAddr;
use std::time::SystemTime;

use etherparse::{NetSlice, SlicedPacket, TransportSlice};

/// The start of a probe's payload, before its tag.
pub const TAG_MARK: &str = "tunwarden-lab:";

/// One frame that arrived at the ISP's end of a link, with any source address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The time at which the ISP's kernel received it.
    pub at: SystemTime,
    /// The index of the ISP's interface that received it.
    pub link: usize,
    /// What it carries.
    pub packet: Packet,
    /// Its length on the wire in bytes.
    pub length: usize,
    /// The tag of the probe that sent it.
    pub tag: Option<String>,
}

/// The network layer of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// ARP.
    Arp,
    /// IPv4 or IPv6.
    Ip {
        /// The source address.
        source: IpAddr,
        /// The destination address.
        destination: IpAddr,
        /// TTL or hop limit.
        hop_limit: u8,
        /// What it carries.
        transport: Transport,
    },
    /// Neither of them, or a malformed packet.
    Unreadable,
}

/// The transport layer of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// UDP with its ports.
    Udp {
        /// The source port.
        from: u16,
        /// The destination port.
        to: u16,
    },
    /// TCP with its ports.
    Tcp {
        /// The source port.
        from: u16,
        /// The destination port.
        to: u16,
    },
    /// Another protocol that begins with ports: DCCP, SCTP, UDP-Lite.
    Ported {
        /// IANA's number of the protocol.
        protocol: u8,
        /// The destination port.
        to: u16,
    },
    /// ICMP with its type.
    Icmp(u8),
    /// ICMPv6 with its type.
    Icmpv6(u8),
    /// A later fragment: the protocol is known, the ports are not.
    Fragment(u8),
    /// Another protocol, by its number: 2 is IGMP.
    Other(u8),
}

impl Frame {
    /// Reads the bytes of an Ethernet frame.
    pub(crate) fn read(bytes: &[u8], link: usize, at: SystemTime) -> Self {
        let packet = SlicedPacket::from_ethernet(bytes).ok().and_then(|sliced| packet_of(&sliced));
        let packet = packet.unwrap_or(Packet::Unreadable);
        Self { at, link, packet, length: bytes.len(), tag: tag_of(bytes) }
    }

    /// The destination address, if it is an IP packet.
    #[must_use]
    pub fn destination(&self) -> Option<IpAddr> {
        if let Packet::Ip { destination, .. } = &self.packet { Some(*destination) } else { None }
    }

    /// The transport, if it is an IP packet.
    #[must_use]
    pub fn transport(&self) -> Option<Transport> {
        if let Packet::Ip { transport, .. } = &self.packet { Some(*transport) } else { None }
    }

    /// Whether the probe with this tag sent it.
    #[must_use]
    pub fn is_tagged(&self, tag: &str) -> bool {
        self.tag.as_deref() == Some(tag)
    }
}

fn packet_of(sliced: &SlicedPacket<'_>) -> Option<Packet> {
    let net = sliced.net.as_ref()?;
    let (source, destination, hop_limit) = match net {
        NetSlice::Arp(_) => return Some(Packet::Arp),
        NetSlice::Ipv4(ip) => {
            let header = ip.header();
            (header.source_addr().into(), header.destination_addr().into(), header.ttl())
        }
        NetSlice::Ipv6(ip) => {
            let header = ip.header();
            (header.source_addr().into(), header.destination_addr().into(), header.hop_limit())
        }
    };
    let number = net.ip_payload_ref()?.ip_number.0;
    let transport = match &sliced.transport {
        Some(TransportSlice::Udp(udp)) => {
            Transport::Udp { from: udp.source_port(), to: udp.destination_port() }
        }
        Some(TransportSlice::Tcp(tcp)) => {
            Transport::Tcp { from: tcp.source_port(), to: tcp.destination_port() }
        }
        Some(TransportSlice::Icmpv4(icmp)) => Transport::Icmp(icmp.type_u8()),
        Some(TransportSlice::Icmpv6(icmp)) => Transport::Icmpv6(icmp.type_u8()),
        Some(TransportSlice::Igmp(_)) => Transport::Other(number),
        None if net.ip_payload_ref()?.fragmented => Transport::Fragment(number),
        None => ported(number, net.ip_payload_ref()?.payload).unwrap_or(Transport::Other(number)),
    };
    Some(Packet::Ip { source, destination, hop_limit, transport })
}

/// DCCP (33), SCTP (132) and UDP-Lite (136) begin as UDP does.
fn ported(protocol: u8, payload: &[u8]) -> Option<Transport> {
    let port = payload.get(2..4)?.first_chunk()?;
    [33, 132, 136].contains(&protocol).then(|| Transport::Ported { protocol, to: u16::from_be_bytes(*port) })
}

/// A tag ends at the first byte that is not printable.
fn tag_of(bytes: &[u8]) -> Option<String> {
    let mark = TAG_MARK.as_bytes();
    let start = bytes.windows(mark.len()).position(|window| window == mark)? + mark.len();
    let tag = bytes.get(start..)?.iter().take_while(|byte| byte.is_ascii_graphic());
    Some(tag.map(|byte| char::from(*byte)).collect())
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.packet {
            Packet::Arp => write!(f, "ARP")?,
            Packet::Unreadable => write!(f, "unreadable")?,
            Packet::Ip { source, destination, hop_limit, transport } => {
                write!(f, "{source} > {destination} {transport:?} hop limit {hop_limit}")?;
            }
        }
        write!(f, ", {} bytes", self.length)?;
        self.tag.as_ref().map_or(Ok(()), |tag| write!(f, ", probe {tag}"))
    }
}
