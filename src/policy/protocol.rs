//! What a rule can ask about a packet's protocol, hop limit and connection.

use std::net::IpAddr;

use crate::net::{Family, Port, Transport};

/// A protocol above IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// UDP or TCP.
    Transport(Transport),
    /// ICMP, or ICMPv6 in the other family.
    Icmp,
    /// IGMP.
    Igmp,
    /// Another protocol whose packets begin with a source and a destination port.
    Ported(Ported),
}

/// Protocols besides UDP and TCP whose packets begin with a source and a destination port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ported {
    /// UDP-Lite (RFC 3828).
    UdpLite,
    /// DCCP (RFC 4340).
    Dccp,
    /// SCTP (RFC 9260).
    Sctp,
}

impl Protocol {
    /// Every protocol whose packets begin with a source and a destination port.
    pub const WITH_PORTS: [Self; 5] = [
        Self::Transport(Transport::Udp),
        Self::Transport(Transport::Tcp),
        Self::Ported(Ported::UdpLite),
        Self::Ported(Ported::Dccp),
        Self::Ported(Ported::Sctp),
    ];
}

impl Ported {
    /// The word of nft and iptables for it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::UdpLite => "udplite",
            Self::Dccp => "dccp",
            Self::Sctp => "sctp",
        }
    }
}

/// Values of a TTL or of an IPv6 hop limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HopLimit {
    /// This one.
    Exactly(u8),
    /// Every one below this.
    Below(u8),
}

/// States of a tracked connection (`xt_conntrack`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracked {
    /// RELATED or ESTABLISHED.
    Reply,
    /// RELATED or ESTABLISHED, and this packet goes in this direction.
    Known(Direction),
    /// Its destination was rewritten: the first packet went to this address of this machine, and to this port. This
    /// packet goes in that direction.
    Rewritten(Direction, IpAddr, Option<Port>),
    /// It was opened from the other side, and this packet is an answer.
    EstablishedReply,
    /// NEW: this is its first packet.
    New,
}

/// The direction of a packet in its connection (`IP_CT_DIR_…`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Direction {
    /// That of the first packet.
    Original = 0,
    /// That of the answers.
    Reply = 1,
}

/// The part of a packet in discovery. An answer comes from one machine to the port that asked, and connection
/// tracking does not know it: the question went to a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// It asks a group.
    Question,
    /// It comes to an address of this machine that asked a few seconds ago.
    Answer,
}

impl Asked {
    /// The name of the kernel's list of the questions of the last seconds.
    pub(super) const fn list(family: Family) -> &'static str {
        match family {
            Family::V4 => "VPN_ASKED_V4",
            Family::V6 => "VPN_ASKED_V6",
        }
    }
}

impl Direction {
    /// The word of nft and, in capitals, of iptables for it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Original => "original",
            Self::Reply => "reply",
        }
    }
}
