//! Echo requests as bytes, and their answers.

use std::net::IpAddr;

use etherparse::{IcmpEchoHeader, Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type};

/// An echo request. The kernel fills in the checksum of ICMPv6 only.
pub(super) fn request(target: IpAddr, id: u16, seq: u16, payload: &[u8]) -> Vec<u8> {
    let echo = IcmpEchoHeader { id, seq };
    let mut bytes = match target {
        IpAddr::V4(_) => {
            Icmpv4Header::with_checksum(Icmpv4Type::EchoRequest(echo), payload).to_bytes().to_vec()
        }
        IpAddr::V6(_) => Icmpv6Header::new(Icmpv6Type::EchoRequest(echo)).to_bytes().to_vec(),
    };
    bytes.extend_from_slice(payload);
    bytes
}

/// Whether what a raw socket received answers the request with this id. IPv4 sockets get
/// the IP header too.
pub(super) fn is_answer(target: IpAddr, id: u16, received: &[u8]) -> bool {
    let echo = match target {
        IpAddr::V4(_) => {
            let header = received.first().map_or(0, |first| usize::from(first & 0x0f) * 4);
            let Some(Ok((icmp, _))) = received.get(header..).map(Icmpv4Header::from_slice) else {
                return false;
            };
            if let Icmpv4Type::EchoReply(echo) = icmp.icmp_type { Some(echo) } else { None }
        }
        IpAddr::V6(_) => {
            let Ok((icmp, _)) = Icmpv6Header::from_slice(received) else { return false };
            if let Icmpv6Type::EchoReply(echo) = icmp.icmp_type { Some(echo) } else { None }
        }
    };
    echo.is_some_and(|echo| echo.id == id)
}
