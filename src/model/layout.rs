//! Which bits a packet has in the model, and the place of each bit in a diagram.
//!
//! The source address and the source port have two places each: NAT may change both after the filter and before the
//! wire. A rule sees those of its own stage. The two are independent of each other, so every possible change by NAT is
//! covered.

use std::ops::Range;

use crate::net::Family;

/// A part of a packet, or a fact that the kernel knows about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// The number of the link that it came in on.
    In,
    /// Whether the kernel can find a header after the IP header.
    Parsed,
    /// Whether that header has readable ports, or a readable type.
    PortRead,
    /// Whether the bytes before the packet can be read.
    FrameRead,
    /// Whether a socket of this network namespace sends it.
    Socket,
    /// Whether its destination is an address of this machine.
    LocalDestination,
    /// Whether it has a header of IPv6 for fragments.
    FragmentHeader,
    /// Whether it has a routing header of IPv6.
    RoutingHeader,
    /// The number of its protocol.
    Protocol,
    /// The EtherType that its sender gives.
    DeclaredType,
    /// The state of its connection, as a bit of `NF_CT_STATE_BIT`.
    State,
    /// The direction in its connection.
    Direction,
    /// `IPS_…` of its connection.
    Status,
    /// The type of the link that it goes out on (`ARPHRD_…`).
    OutType,
    /// Bytes 2 and 3 of the header for fragments.
    FragmentOffset,
    /// The header of IPv4 or IPv6.
    Network,
    /// The source address before NAT; a part of `Network` on the wire.
    SourceBefore,
    /// The first bytes after the IP header.
    Transport,
    /// The source port before NAT; a part of `Transport` on the wire.
    SourcePortBefore,
    /// The mark.
    Mark,
    /// The user id of its socket.
    User,
    /// The first bytes of its frame.
    Frame,
    /// The address that the first packet of its connection went to, before DNAT.
    FirstDestination,
    /// The port that the first packet of its connection went to.
    FirstPort,
    /// The first two bytes of `Transport`.
    SourcePort,
    /// The next two bytes of `Transport`.
    DestinationPort,
    /// A part of the IPv4 header.
    Ttl,
    /// A part of the IPv6 header.
    HopLimit,
}

/// The fields that have their own bits, in the order of their bits.
const OWN: [Field; 24] = [
    Field::In,
    Field::Parsed,
    Field::PortRead,
    Field::FrameRead,
    Field::Socket,
    Field::LocalDestination,
    Field::FragmentHeader,
    Field::RoutingHeader,
    Field::Protocol,
    Field::DeclaredType,
    Field::State,
    Field::Direction,
    Field::Status,
    Field::OutType,
    Field::FragmentOffset,
    Field::Network,
    Field::SourceBefore,
    Field::Transport,
    Field::SourcePortBefore,
    Field::Mark,
    Field::User,
    Field::Frame,
    Field::FirstDestination,
    Field::FirstPort,
];

/// The place of the first bit of each of them. They are declared in the same order.
const STARTS: [u16; OWN.len()] = {
    let (mut starts, mut at, mut place) = ([0; OWN.len()], 0, 0);
    while place < OWN.len() {
        starts[place] = at;
        at += OWN[place].width();
        place += 1;
    }
    starts
};

/// Where in a packet's path a rule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Before NAT changes the source.
    Filter,
    /// On the wire.
    Wire,
}

impl Field {
    /// Number of its bits.
    pub const fn width(self) -> u16 {
        match self {
            Self::In => 12,
            Self::Parsed
            | Self::PortRead
            | Self::FrameRead
            | Self::Socket
            | Self::LocalDestination
            | Self::FragmentHeader
            | Self::RoutingHeader => 1,
            Self::Protocol | Self::Direction | Self::Ttl | Self::HopLimit => 8,
            Self::DeclaredType
            | Self::OutType
            | Self::FragmentOffset
            | Self::FirstPort
            | Self::SourcePortBefore
            | Self::SourcePort
            | Self::DestinationPort => 16,
            Self::State | Self::Status | Self::Mark | Self::User => 32,
            Self::SourceBefore | Self::FirstDestination => 128,
            Self::Transport => 160,
            Self::Frame => 208,
            Self::Network => 320,
        }
    }

    /// The bits of `Network` that are the source address.
    pub const fn source(family: Family) -> Range<u16> {
        match family {
            Family::V4 => 96..128,
            Family::V6 => 64..192,
        }
    }

    /// The TTL, or the hop limit of IPv6.
    pub const fn hops(family: Family) -> Self {
        match family {
            Family::V4 => Self::Ttl,
            Family::V6 => Self::HopLimit,
        }
    }

    /// The place of its first bit.
    fn start(self) -> u16 {
        STARTS.get(self as usize).copied().unwrap_or_default()
    }

    /// The place of one of its bits in a diagram.
    pub fn bit(self, at: u16, stage: Stage, family: Family) -> u16 {
        let source = Self::source(family);
        match (self, stage) {
            (Self::SourcePort, _) => Self::Transport.bit(at, stage, family),
            (Self::DestinationPort, _) => Self::Transport.bit(16 + at, stage, family),
            (Self::Ttl, _) => Self::Network.bit(64 + at, stage, family),
            (Self::HopLimit, _) => Self::Network.bit(56 + at, stage, family),
            (Self::Network, _) if family == Family::V4 && (72..80).contains(&at) => {
                Self::Protocol.start() + at - 72
            }
            (Self::Network, Stage::Filter) if source.contains(&at) => {
                Self::SourceBefore.start() + at - source.start
            }
            (Self::Transport, Stage::Filter) if at < 16 => Self::SourcePortBefore.start() + at,
            _ => self.start() + at,
        }
    }

    /// Number of bits of a packet.
    pub fn all() -> u16 {
        OWN.iter().map(|field| field.width()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_fields_share_a_bit() {
        let starts: Vec<u16> = OWN.iter().map(|field| field.start()).collect();
        let ends: Vec<u16> = OWN.iter().map(|field| field.start() + field.width()).collect();
        assert_eq!(starts[1..], ends[..OWN.len() - 1]);
        assert_eq!(ends.last(), Some(&Field::all()));
    }
}
