//! Which frames may go out on a wire besides packets of IPv4 and IPv6.

use crate::net::IfName;
use crate::vpn::{PppoeSession, Situation};

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
    /// The search for a PPPoE server, and what begins and ends a session (RFC 2516). It carries no packet.
    PppoeDiscovery,
}

/// The frames of PPPoE's sessions that may leave.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pppoe {
    /// The sessions, once for each wire.
    pub sessions: Vec<PppoeSession>,
    /// What is in their frames.
    pub content: PppContent,
}

/// What is in the frames of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum PppContent {
    /// The protocols by which PPP sets up a link.
    #[default]
    SetUp,
    /// Also packets. The rules have judged these packets on the link of PPP. A frame that a raw sender makes for the
    /// session looks the same.
    Packets,
}

/// The key exchange of Wi-Fi and of 802.1X (IEEE 802.1X, 802.11 pre-authentication): no link without it.
const EAPOL: [u16; 2] = [0x888e, 0x88c7];
/// Bonding (LACP, IEEE 802.1AX): the last byte of its group, and its EtherType.
const SLOW: (u8, u16) = (0x02, 0x8809);
/// LLDP (IEEE 802.1AB), to each of its three groups.
const LLDP: [(u8, u16); 3] = [(0x00, 0x88cc), (0x03, 0x88cc), (0x0e, 0x88cc)];

/// Frames that may leave on every wire.
pub(super) fn frames() -> Vec<FrameMatch> {
    let groups = [SLOW].into_iter().chain(LLDP).map(|(last, ethertype)| FrameMatch::Group(last, ethertype));
    let frames = [FrameMatch::Arp].into_iter().chain(EAPOL.map(FrameMatch::Type)).chain(groups);
    // Discovery comes before there is a session or a link.
    frames.chain([FrameMatch::SpanningTree, FrameMatch::PppoeDiscovery]).collect()
}

/// The sessions of PPPoE. A session is set up before its link has an address and leads out.
pub(super) fn pppoe(situation: &Situation) -> Pppoe {
    let leads_out = |link: &IfName| situation.wires.iter().any(|wire| wire.interface == *link);
    let leads_out = situation.ppp_links.iter().any(leads_out);
    let content = if leads_out { PppContent::Packets } else { PppContent::SetUp };
    Pppoe { sessions: situation.pppoe.clone(), content }
}
