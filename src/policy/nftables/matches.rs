//! What a rule of nf_tables asks about a packet, and the words of nft for it, as `nft list` prints them.

use std::fmt;

use ipnet::IpNet;

use super::number::L4;
use super::set::TUNNEL_KINDS;
use crate::net::{Family, IfPattern, Port, PortRange};
use crate::policy::well_known::ANSWER_SECONDS;
use crate::policy::{Asked, HopLimit, SetName, Tracked};

/// One question about a packet. A rule holds for a packet if the answer to every one is yes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// Is it of this family?
    Family(Family),
    /// Is this address of it in this network, which is not all addresses?
    Address(Side, IpNet),
    /// Does the link that it came in on, or goes out on, have such a name?
    Link(Way, IfPattern),
    /// Does that link have any other name?
    OtherLink(Way, IfPattern),
    /// Is that link a tunnel by the kernel's kind?
    TunnelKind(Way),
    /// Is that link a software bridge?
    BridgeKind(Way),
    /// Are its destination, its protocol and its destination port in this set?
    Member(Header, SetName),
    /// Is this port of it in this range?
    Ports(Header, Side, PortRange),
    /// Is its destination port one of these?
    EitherPort(Header, [Port; 2]),
    /// Is its destination port another one than these? One that cannot be read is not.
    OtherPorts(Header, [Port; 2]),
    /// Is it ICMP, or ICMPv6, of this type?
    IcmpType(Family, u8),
    /// Is it of this protocol?
    Protocol(L4),
    /// Is it of any other protocol than the one with this number?
    OtherProtocol(u8),
    /// Is it of a protocol whose packets begin with two ports?
    HasPorts,
    /// Does it have such a TTL, or IPv6 hop limit?
    Hops(Family, HopLimit),
    /// Is it a question of discovery that the kernel can remember, or an answer to one that it remembers?
    Asked(Family, Asked),
    /// Does it have this mark?
    Mark(u32),
    /// Is its source an address of this machine?
    FromHere,
    /// Does it come from a link of such a name, through which this machine also reaches its source?
    SourceBehind(IfPattern),
    /// Is it the first packet of a connection of TCP?
    Opens,
    /// Does its socket belong to this user id?
    User(u32),
    /// Does it come from a socket of this network namespace?
    OwnSocket,
    /// Is its connection in this state?
    Tracked(Tracked),
    /// Is it this moment, or later?
    Since(jiff::Timestamp),
    /// Is it still before this moment?
    Until(jiff::Timestamp),
    /// Is it a fragment, but not the first of its packet?
    LaterFragment(Family),
    /// Does it have options of IPv4?
    Options,
    /// Does it have a routing header of IPv6?
    RoutingHeader,
    /// Does it go out on a link with Ethernet's headers?
    Ethernet,
    /// Does its sender call it by this name?
    DeclaredType(DeclaredType),
    /// Does its own header give it such a length?
    Length(Family, [u16; 2]),
    /// Does the frame have such bits?
    Frame(Bits),
}

/// Source or destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Where it comes from.
    Source,
    /// Where it goes to.
    Destination,
}

/// In or out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The link that the packet came in on.
    In,
    /// The link that it goes out on.
    Out,
}

/// The header that a port is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// This protocol's. A packet of another protocol does not match.
    Of(L4),
    /// Whatever follows the header of IP.
    Any,
}

/// What a sender calls its frame. A raw sender can use any name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeclaredType {
    /// IPv4 or IPv6.
    Packet(Family),
    /// ARP.
    Arp,
}

/// Bits of a frame, counted from its first byte, and what they are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bits {
    /// Number of bits before them: a multiple of eight.
    pub start: u32,
    /// How many: a multiple of eight, at most 64.
    pub length: u32,
    /// Only these of them, if not all.
    pub mask: Option<u64>,
    /// How they are compared.
    pub comparison: Comparison,
    /// What they are compared with.
    pub value: u64,
}

/// How a value of a packet is compared with a value of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// It is the same.
    Equal,
    /// It is another.
    Other,
    /// It is below.
    Below,
    /// It is the same, or below.
    AtMost,
    /// It is the same, or above.
    AtLeast,
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Family(family) => write!(f, "meta nfproto {}", protocol(*family)),
            Self::Address(side, net) => write!(f, "{} {side}addr {}", ip(Family::of(net.addr())), Net(net)),
            Self::Link(way, names) => write!(f, "{way}ifname \"{}\"", Names(names)),
            Self::OtherLink(way, names) => write!(f, "{way}ifname != \"{}\"", Names(names)),
            Self::TunnelKind(way) => write!(f, "meta {way}ifkind @{TUNNEL_KINDS}"),
            Self::BridgeKind(way) => write!(f, "meta {way}ifkind \"bridge\""),
            Self::Member(header, set) => {
                write!(f, "{} daddr . meta l4proto . {header} dport @{set}", ip(set.family()))
            }
            Self::Ports(header, side, ports) => {
                write!(f, "{header} {side}port {}", ports.to_string().replace(':', "-"))
            }
            Self::EitherPort(header, [one, other]) => write!(f, "{header} dport {{ {one}, {other} }}"),
            Self::OtherPorts(header, [one, other]) => {
                write!(f, "{header} dport != {one} {header} dport != {other}")
            }
            Self::IcmpType(Family::V4, number) => write!(f, "icmp type {number}"),
            Self::IcmpType(Family::V6, number) => write!(f, "icmpv6 type {number}"),
            Self::Protocol(protocol) => write!(f, "meta l4proto {}", protocol.as_str()),
            Self::OtherProtocol(number) => write!(f, "meta l4proto != {number}"),
            Self::HasPorts => {
                let numbers = L4::WITH_PORTS.map(|protocol| (protocol as u8).to_string());
                write!(f, "meta l4proto {{ {} }}", numbers.join(", "))
            }
            Self::Hops(family, limit) => hops(f, *family, *limit),
            Self::Asked(family, asked) => asked_words(f, *family, *asked),
            Self::Mark(mark) => write!(f, "meta mark 0x{mark:08x}"),
            Self::FromHere => f.write_str("fib saddr type local"),
            Self::SourceBehind(names) => write!(f, "fib saddr . iif oifname \"{}\"", Names(names)),
            Self::Opens => f.write_str("tcp flags & (fin | syn | rst | ack) == syn"),
            Self::User(uid) => write!(f, "meta skuid {uid}"),
            Self::OwnSocket => f.write_str("meta skuid >= 0"),
            Self::Tracked(tracked) => tracked_words(f, *tracked),
            Self::Since(moment) => write!(f, "meta time >= \"{}\"", Moment(*moment)),
            Self::Until(moment) => write!(f, "meta time < \"{}\"", Moment(*moment)),
            Self::LaterFragment(Family::V4) => f.write_str("ip frag-off & 8191 != 0"),
            Self::LaterFragment(Family::V6) => f.write_str("frag frag-off != 0"),
            Self::Options => f.write_str("ip hdrlength != 5"),
            Self::RoutingHeader => f.write_str("exthdr rt exists"),
            Self::Ethernet => f.write_str("meta oiftype ether"),
            Self::DeclaredType(DeclaredType::Packet(family)) => write!(f, "meta protocol {}", ip(*family)),
            Self::DeclaredType(DeclaredType::Arp) => f.write_str("meta protocol arp"),
            Self::Length(family, [from, to]) if from == to => write!(f, "{} length {from}", ip(*family)),
            Self::Length(family, [from, to]) => write!(f, "{} length {from}-{to}", ip(*family)),
            Self::Frame(bits) => bits.fmt(f),
        }
    }
}

fn hops(f: &mut fmt::Formatter<'_>, family: Family, limit: HopLimit) -> fmt::Result {
    let name = match family {
        Family::V4 => "ip ttl",
        Family::V6 => "ip6 hoplimit",
    };
    match limit {
        HopLimit::Exactly(limit) => write!(f, "{name} {limit}"),
        HopLimit::Below(limit) => write!(f, "{name} < {limit}"),
    }
}

fn asked_words(f: &mut fmt::Formatter<'_>, family: Family, asked: Asked) -> fmt::Result {
    let (set, ip) = (Asked::list(family), ip(family));
    match asked {
        Asked::Question => {
            write!(f, "update @{set} {{ {ip} saddr . udp sport . udp dport timeout {ANSWER_SECONDS}s }}")
        }
        Asked::Answer => write!(f, "{ip} daddr . udp dport . udp sport @{set}"),
    }
}

fn tracked_words(f: &mut fmt::Formatter<'_>, tracked: Tracked) -> fmt::Result {
    match tracked {
        Tracked::Reply => f.write_str("ct state established,related"),
        Tracked::Known(direction) => {
            write!(f, "ct state established,related ct direction {}", direction.as_str())
        }
        Tracked::EstablishedReply => f.write_str("ct state established ct direction reply"),
        Tracked::New => f.write_str("ct state new"),
        Tracked::Rewritten(direction, address, port) => {
            write!(f, "ct status dnat ct direction {}", direction.as_str())?;
            write!(f, " ct original {} daddr {address}", ip(Family::of(address)))?;
            port.map_or(Ok(()), |port| write!(f, " ct original proto-dst {port}"))
        }
    }
}

/// The word of nft for the header of a family.
fn ip(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    }
}

/// The word of nft for a family.
fn protocol(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "s",
            Self::Destination => "d",
        })
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::In => "i",
            Self::Out => "o",
        })
    }
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Of(protocol) => protocol.as_str(),
            Self::Any => "th",
        })
    }
}

/// nft lists a single address without a length.
struct Net<'n>(&'n IpNet);

impl fmt::Display for Net<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.prefix_len() == self.0.max_prefix_len() {
            true => self.0.addr().fmt(f),
            false => self.0.fmt(f),
        }
    }
}

/// The wildcard of nft is `*`. A name that itself ends with `*` gets a backslash before it, so that nft does not read
/// it as a pattern.
struct Names<'n>(&'n IfPattern);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        match (text.strip_suffix('+'), text.strip_suffix('*')) {
            (Some(stem), _) => write!(f, "{stem}*"),
            (None, Some(stem)) => write!(f, "{stem}\\*"),
            (None, None) => f.write_str(&text),
        }
    }
}

/// A moment by the kernel's clock. nft runs with UTC as its time zone.
struct Moment(jiff::Timestamp);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.strftime("%Y-%m-%d %H:%M:%S").fmt(f)
    }
}

impl fmt::Display for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@ll,{},{} ", self.start, self.length)?;
        if let Some(mask) = self.mask {
            write!(f, "& {mask:#x} ")?;
        }
        f.write_str(match (self.comparison, self.mask) {
            (Comparison::Equal, None) => "",
            (Comparison::Equal, Some(_)) => "== ",
            (Comparison::Other, _) => "!= ",
            (Comparison::Below, _) => "< ",
            (Comparison::AtMost, _) => "<= ",
            (Comparison::AtLeast, _) => ">= ",
        })?;
        match (self.value, self.length.div_ceil(4) as usize + 2) {
            (0, _) => f.write_str("0x0"),
            (value, width) => write!(f, "{value:#0width$x}"),
        }
    }
}
