//! Which frames may go out on a wire besides packets of IPv4 and IPv6.

use crate::net::IfName;
use crate::vpn::Situation;

/// A frame that is neither IPv4 nor IPv6, known by its own bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameMatch {
    /// ARP for IPv4 on Ethernet (RFC 826).
    Arp,
    /// By its EtherType.
    Type(u16),
    /// To one of the addresses that no bridge forwards (IEEE 802.1Q, table 8-1), 01:80:c2:00:00:XX, by its
    /// last byte, with this EtherType.
    Group(u8, u16),
    /// Spanning tree, to the first of those addresses (IEEE 802.1D).
    SpanningTree,
    /// PPPoE (RFC 2516).
    Pppoe(PppoeFrames),
}

/// Which frames of PPPoE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PppoeFrames {
    /// Those that look for a server, and begin or end a session. They carry no packet.
    Discovery,
    /// Also those by which PPP sets up a link.
    Negotiation,
    /// Also those with packets. The rules have judged these packets on the link of PPP. A frame that a raw
    /// sender makes for a session looks the same.
    Packets,
}

/// The key exchange of Wi-Fi and of 802.1X (IEEE 802.1X, 802.11 pre-authentication): no link without it.
const EAPOL: [u16; 2] = [0x888e, 0x88c7];
/// Bonding (LACP, IEEE 802.1AX): the last byte of its group, and its EtherType.
const SLOW: (u8, u16) = (0x02, 0x8809);
/// LLDP (IEEE 802.1AB), to each of its three groups.
const LLDP: [(u8, u16); 3] = [(0x00, 0x88cc), (0x03, 0x88cc), (0x0e, 0x88cc)];

pub(super) fn frames(situation: &Situation) -> Vec<FrameMatch> {
    let leads_out = |link: &IfName| situation.wires.iter().any(|wire| wire.interface == *link);
    // Discovery comes before there is a link. The kernel's kind decides: a link's name proves nothing.
    let pppoe = match situation.ppp_links[..] {
        [] => PppoeFrames::Discovery,
        [..] if situation.ppp_links.iter().any(leads_out) => PppoeFrames::Packets,
        [..] => PppoeFrames::Negotiation,
    };
    let groups = [SLOW].into_iter().chain(LLDP).map(|(last, ethertype)| FrameMatch::Group(last, ethertype));
    let frames = [FrameMatch::Arp].into_iter().chain(EAPOL.map(FrameMatch::Type)).chain(groups);
    frames.chain([FrameMatch::SpanningTree, FrameMatch::Pppoe(pppoe)]).collect()
}
