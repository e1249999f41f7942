//! What the kernel runs for a rule: the instructions that nft makes of the same words.
//!
//! nft lists a rule by its instructions, so they have nft's order and registers. A match on a header comes
//! after the instructions that make sure that the packet has such a header. nft does not list those instructions.

mod key;

use ipnet::IpNet;

use super::bytes::{name_bytes, nanoseconds, padded};
use super::instruction::{Base, Ct, Fib, Instruction, KeyType, Keys, Loads, Meta};
use super::matches::{Bits, Comparison, DeclaredType, Header, Match, Side, Way};
use super::number::L4;
use super::rule::{NftRule, NftVerdict};
use super::set::TUNNEL_KINDS;
use super::table::NftFamily;
use crate::net::{Family, IfPattern, Port, octets};
use crate::policy::{Direction, HopLimit, LOG_LIMIT, Tracked};

/// The first register, of 16 bytes.
const FIRST: u32 = 1;

/// `ARPHRD_ETHER`
const ETHERNET: u16 = 1;

/// `RTN_LOCAL`
const LOCAL: u32 = 2;

/// Flags of TCP (RFC 9293, 3.1).
const FIN_SYN_RST_ACK: u8 = 0x17;
const SYN: u8 = 0x02;

/// Extension headers of IPv6 (IANA's protocol numbers).
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;

/// `NF_CT_STATE_BIT` of established, related and new, and `IPS_DST_NAT`.
const ESTABLISHED: u32 = 2;
const RELATED: u32 = 4;
const NEW: u32 = 8;
const DNAT: u32 = 32;

/// What the kernel runs for a rule in a table of this family.
pub fn instructions(table: NftFamily, rule: &NftRule) -> Vec<Instruction> {
    let mut program = Program { table, steps: Vec::new(), family: None, protocol: None };
    rule.matches.iter().for_each(|question| program.ask(question));
    match &rule.verdict {
        NftVerdict::Reject(answer) => program.steps.push(Instruction::Reject(*answer)),
        NftVerdict::Log(reason) => {
            let (rate, burst) = LOG_LIMIT;
            program.steps.extend([Instruction::Limit(rate, burst), Instruction::Log(*reason)]);
        }
        NftVerdict::Accept
        | NftVerdict::Drop
        | NftVerdict::Return
        | NftVerdict::Jump(_)
        | NftVerdict::Goto(_) => program.steps.push(Instruction::Verdict(rule.verdict.clone())),
    }
    program.steps
}

/// A rule that is being translated.
struct Program {
    table: NftFamily,
    steps: Vec<Instruction>,
    /// The family and the protocol that the packet has, if an instruction has made sure of it.
    family: Option<Family>,
    protocol: Option<L4>,
}

impl Program {
    fn ask(&mut self, question: &Match) {
        match question {
            Match::Family(family) => self.family(*family),
            Match::DeclaredType(called) => self.called(*called),
            Match::Frame(bits) => self.frame(*bits),
            Match::Address(side, net) => self.address(*side, net),
            Match::Length(family, range) => self.length(*family, *range),
            Match::Hops(family, limit) => self.hops(*family, *limit),
            Match::LaterFragment(family) => self.later_fragment(*family),
            Match::Options => self.options(),
            Match::RoutingHeader => self.extension(ROUTING, 0, Loads::Presence),
            Match::Protocol(protocol) => self.protocol(*protocol),
            Match::OtherProtocol(number) => self.meta_compare(Meta::L4Proto, Comparison::Other, [*number]),
            Match::HasPorts => self.has_ports(),
            Match::Member(header, set) => self.member(*header, *set),
            Match::Ports(header, side, ports) => {
                self.port(*header, *side);
                self.range([ports.first().get(), ports.last().get()]);
            }
            Match::EitherPort(header, ports) => self.either_port(*header, *ports),
            Match::OtherPorts(header, ports) => self.other_ports(*header, *ports),
            Match::IcmpType(family, number) => self.icmp_type(*family, *number),
            Match::Link(way, names) => self.link(*way, Comparison::Equal, names),
            Match::OtherLink(way, names) => self.link(*way, Comparison::Other, names),
            Match::TunnelKind(way) => {
                self.meta(kind_of(*way));
                self.lookup(Keys::Named(TUNNEL_KINDS.to_owned()));
            }
            Match::BridgeKind(way) => self.meta_compare(kind_of(*way), Comparison::Equal, padded("bridge")),
            Match::Ethernet => self.meta_compare(Meta::OifType, Comparison::Equal, ETHERNET.to_ne_bytes()),
            Match::Asked(family, asked) => self.asked(*family, *asked),
            Match::Mark(mark) => self.meta_compare(Meta::Mark, Comparison::Equal, mark.to_ne_bytes()),
            Match::FromHere => {
                self.steps.push(Instruction::Fib(Fib::AddressType));
                self.compare(Comparison::Equal, LOCAL.to_ne_bytes());
            }
            Match::SourceBehind(names) => {
                self.steps.push(Instruction::Fib(Fib::LinkName));
                self.compare(Comparison::Equal, name_bytes(names));
            }
            Match::Opens => self.opens(),
            Match::User(uid) => self.meta_compare(Meta::SkUid, Comparison::Equal, uid.to_ne_bytes()),
            Match::OwnSocket => self.ordered(Meta::SkUid, Comparison::AtLeast, 0_u32.to_be_bytes()),
            Match::Since(moment) => self.ordered(Meta::TimeNs, Comparison::AtLeast, nanoseconds(*moment)),
            Match::Until(moment) => self.ordered(Meta::TimeNs, Comparison::Below, nanoseconds(*moment)),
            Match::Tracked(tracked) => self.tracked(*tracked),
        }
    }

    fn meta(&mut self, meta: Meta) {
        self.steps.push(Instruction::Meta(meta, FIRST));
    }

    fn meta_compare(&mut self, meta: Meta, comparison: Comparison, value: impl Into<Vec<u8>>) {
        self.meta(meta);
        self.compare(comparison, value);
    }

    /// The same for a comparison by order, such as "at least". The kernel compares bytes, first to last, so the number
    /// is turned into the order of the network.
    fn ordered<const N: usize>(&mut self, meta: Meta, comparison: Comparison, value: [u8; N]) {
        self.meta(meta);
        self.steps.push(Instruction::NetworkOrder(u32::try_from(N).unwrap_or(u32::MAX)));
        self.compare(comparison, value);
    }

    fn payload(&mut self, base: Base, offset: u32, length: u32) {
        self.steps.push(Instruction::Payload { base, offset, length, register: FIRST });
    }

    fn compare(&mut self, comparison: Comparison, value: impl Into<Vec<u8>>) {
        self.steps.push(Instruction::Compare(comparison, value.into()));
    }

    fn masked(&mut self, mask: Vec<u8>, comparison: Comparison, value: impl Into<Vec<u8>>) {
        self.steps.push(Instruction::Mask(mask));
        self.compare(comparison, value);
    }

    fn lookup(&mut self, keys: Keys) {
        self.steps.push(Instruction::Lookup(keys));
    }

    fn range(&mut self, [from, to]: [u16; 2]) {
        if from == to {
            return self.compare(Comparison::Equal, from.to_be_bytes());
        }
        self.compare(Comparison::AtLeast, from.to_be_bytes());
        self.compare(Comparison::AtMost, to.to_be_bytes());
    }

    /// Makes sure that the packet is of this family. In the table of the links the family is the one that the frame's
    /// sender gives.
    fn family(&mut self, family: Family) {
        if self.family.replace(family) == Some(family) {
            return;
        }
        match (self.table, family) {
            (NftFamily::Inet, Family::V4) => self.meta_compare(Meta::NfProto, Comparison::Equal, [2]),
            (NftFamily::Inet, Family::V6) => self.meta_compare(Meta::NfProto, Comparison::Equal, [10]),
            (NftFamily::Netdev, Family::V4) => {
                self.meta_compare(Meta::Protocol, Comparison::Equal, 0x0800_u16.to_be_bytes())
            }
            (NftFamily::Netdev, Family::V6) => {
                self.meta_compare(Meta::Protocol, Comparison::Equal, 0x86dd_u16.to_be_bytes())
            }
        }
    }

    /// Makes sure that the packet is of this protocol.
    fn protocol(&mut self, protocol: L4) {
        if self.protocol.replace(protocol) != Some(protocol) {
            self.meta_compare(Meta::L4Proto, Comparison::Equal, [protocol as u8]);
        }
    }

    fn network(&mut self, family: Family, offset: u32, length: u32) {
        self.family(family);
        self.payload(Base::Network, offset, length);
    }

    fn called(&mut self, called: DeclaredType) {
        match (called, self.table) {
            (DeclaredType::Packet(family), NftFamily::Netdev) => self.family(family),
            (DeclaredType::Packet(Family::V4), NftFamily::Inet) => {
                self.meta_compare(Meta::Protocol, Comparison::Equal, 0x0800_u16.to_be_bytes());
            }
            (DeclaredType::Packet(Family::V6), NftFamily::Inet) => {
                self.meta_compare(Meta::Protocol, Comparison::Equal, 0x86dd_u16.to_be_bytes());
            }
            (DeclaredType::Arp, _) => {
                self.meta_compare(Meta::Protocol, Comparison::Equal, 0x0806_u16.to_be_bytes())
            }
        }
    }

    fn address(&mut self, side: Side, net: &IpNet) {
        let bytes = octets(net.network());
        let family = Family::of(net.addr());
        let offset = address_at(family, side);
        let (whole, rest) = (u32::from(net.prefix_len() / 8), net.prefix_len() % 8);
        // If the prefix ends with a whole byte, nft loads only the bytes of the prefix.
        if rest == 0 {
            self.network(family, offset, whole);
            let kept = bytes.into_iter().take(whole as usize).collect::<Vec<u8>>();
            return self.compare(Comparison::Equal, kept);
        }
        self.network(family, offset, u32::from(net.max_prefix_len() / 8));
        self.masked(octets(net.netmask()), Comparison::Equal, bytes);
    }

    fn link(&mut self, way: Way, comparison: Comparison, names: &IfPattern) {
        self.meta(match way {
            Way::In => Meta::IifName,
            Way::Out => Meta::OifName,
        });
        self.compare(comparison, name_bytes(names));
    }

    /// The flags of TCP are in its 14th byte.
    fn opens(&mut self) {
        self.protocol(L4::Tcp);
        self.payload(Base::Transport, 13, 1);
        self.masked(vec![FIN_SYN_RST_ACK], Comparison::Equal, [SYN]);
    }

    /// Loads a port, after the instruction that makes sure of the protocol.
    fn port(&mut self, header: Header, side: Side) {
        if let Header::Of(protocol) = header {
            self.protocol(protocol);
        }
        self.payload(Base::Transport, port_at(side), 2);
    }

    fn length(&mut self, family: Family, range: [u16; 2]) {
        self.network(family, if family == Family::V4 { 2 } else { 4 }, 2);
        self.range(range);
    }

    /// The header of IPv4 is five words long, if it has no options.
    fn options(&mut self) {
        self.network(Family::V4, 0, 1);
        self.masked(vec![0x0f], Comparison::Other, [5]);
    }

    fn has_ports(&mut self) {
        self.meta(Meta::L4Proto);
        let numbers = L4::WITH_PORTS.map(|protocol| vec![protocol as u8]);
        self.lookup(Keys::Own(KeyType::Protocol, numbers.to_vec()));
    }

    fn either_port(&mut self, header: Header, ports: [Port; 2]) {
        self.port(header, Side::Destination);
        let ports = ports.map(|port| port.get().to_be_bytes().to_vec());
        self.lookup(Keys::Own(KeyType::Port, ports.to_vec()));
    }

    fn other_ports(&mut self, header: Header, ports: [Port; 2]) {
        for port in ports {
            self.port(header, Side::Destination);
            self.compare(Comparison::Other, port.get().to_be_bytes());
        }
    }

    fn icmp_type(&mut self, family: Family, number: u8) {
        self.family(family);
        self.protocol(match family {
            Family::V4 => L4::Icmp,
            Family::V6 => L4::Icmpv6,
        });
        self.payload(Base::Transport, 0, 1);
        self.compare(Comparison::Equal, [number]);
    }

    fn hops(&mut self, family: Family, limit: HopLimit) {
        self.network(family, if family == Family::V4 { 8 } else { 7 }, 1);
        match limit {
            HopLimit::Exactly(limit) => self.compare(Comparison::Equal, [limit]),
            HopLimit::Below(limit) => self.compare(Comparison::Below, [limit]),
        }
    }

    fn tracked(&mut self, tracked: Tracked) {
        let (ct, bits, direction) = match tracked {
            Tracked::Reply => (Ct::State, ESTABLISHED | RELATED, None),
            Tracked::Known(direction) => (Ct::State, ESTABLISHED | RELATED, Some(direction)),
            Tracked::EstablishedReply => (Ct::State, ESTABLISHED, Some(Direction::Reply)),
            Tracked::New => (Ct::State, NEW, None),
            Tracked::Rewritten(direction, ..) => (Ct::Status, DNAT, Some(direction)),
        };
        self.steps.push(Instruction::Ct(ct));
        self.masked(bits.to_ne_bytes().to_vec(), Comparison::Other, 0_u32.to_ne_bytes());
        if let Some(direction) = direction {
            self.steps.push(Instruction::Ct(Ct::Direction));
            self.compare(Comparison::Equal, [direction as u8]);
        }
        if let Tracked::Rewritten(_, address, port) = tracked {
            self.ct_original(if address.is_ipv4() { Ct::DstIp } else { Ct::DstIp6 }, octets(address));
            if let Some(port) = port {
                self.ct_original(Ct::ProtoDst, port.get().to_be_bytes());
            }
        }
    }

    fn ct_original(&mut self, ct: Ct, value: impl Into<Vec<u8>>) {
        self.steps.push(Instruction::CtOriginal(ct));
        self.compare(Comparison::Equal, value);
    }

    fn later_fragment(&mut self, family: Family) {
        match family {
            Family::V4 => {
                self.network(family, 6, 2);
                self.masked(vec![0x1f, 0xff], Comparison::Other, [0, 0]);
            }
            Family::V6 => {
                self.extension(FRAGMENT, 2, Loads::Bytes(2));
                self.masked(vec![0xff, 0xf8], Comparison::Other, [0, 0]);
            }
        }
    }

    fn extension(&mut self, header: u8, offset: u32, loads: Loads) {
        self.family(Family::V6);
        self.steps.push(Instruction::Extension { header, offset, loads });
        if loads == Loads::Presence {
            self.compare(Comparison::Equal, [1]);
        }
    }

    fn frame(&mut self, bits: Bits) {
        let length = bits.length / 8;
        let bytes =
            |number: u64| number.to_be_bytes().into_iter().skip(8 - length as usize).collect::<Vec<u8>>();
        self.payload(Base::Link, bits.start / 8, length);
        match bits.mask {
            Some(mask) => self.masked(bytes(mask), bits.comparison, bytes(bits.value)),
            None => self.compare(bits.comparison, bytes(bits.value)),
        }
    }
}

fn kind_of(way: Way) -> Meta {
    match way {
        Way::In => Meta::IifKind,
        Way::Out => Meta::OifKind,
    }
}

/// The place of an address in its header.
fn address_at(family: Family, side: Side) -> u32 {
    match (family, side) {
        (Family::V4, Side::Source) => 12,
        (Family::V4, Side::Destination) => 16,
        (Family::V6, Side::Source) => 8,
        (Family::V6, Side::Destination) => 24,
    }
}

/// The place of a port in its header.
fn port_at(side: Side) -> u32 {
    match side {
        Side::Source => 0,
        Side::Destination => 2,
    }
}
