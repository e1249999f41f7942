//! The chains for frames, which stand before the chains for packets.
//!
//! `meta protocol`, and the place where nft takes the network header to be, come from the sender of the frame: a
//! raw socket can set both to any value. `@ll` reads the frame as it goes out. It shows the tag of a VLAN as if
//! it stood in the frame already, where a driver keeps the tag beside the frame. So a packet counts as IPv4 or
//! IPv6 only where three things agree: the EtherType in the frame, what the sender says, and the packet's own
//! version and lengths (only then does the kernel know `meta l4proto`). `@ll` alone judges every other frame.
//!
//! A frame that its sender has tagged passes nowhere, because nft takes the network header to be at the tag. A
//! frame from a link of a VLAN was judged on that link, without the tag, and is judged here again.

use super::NftChain;
use super::matches::{Bits, Comparison, DeclaredType, Match, Way};
use super::rule::{self, NftRule, NftVerdict, name};
use crate::net::Family;
use crate::policy::{FrameMatch, PppContent, Pppoe, WireChain, WireRules};
use crate::vpn::PppoeSession;

/// The chain that all base chains lead to.
pub(super) const FIRST: &str = "VPN_EGRESS";
/// Frames on Ethernet.
const ETHERNET: &str = "VPN_ETHERNET";
/// Frames on Ethernet with a tag of a VLAN.
const TAGGED: &str = "VPN_TAGGED";
/// Where frames of PPPoE go: without a tag of a VLAN, and with one.
const PPPOE: PppoeChains = PppoeChains {
    ethertype: TYPE,
    discovery: "VPN_PPPOE",
    sessions: "VPN_PPPOE_SESSIONS",
    content: "VPN_PPP",
};
const PPPOE_TAGGED: PppoeChains = PppoeChains {
    ethertype: TYPE_BEHIND_TAG,
    discovery: "VPN_PPPOE_TAGGED",
    sessions: "VPN_PPPOE_SESSIONS_TAGGED",
    content: "VPN_PPP_TAGGED",
};

/// EtherTypes.
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const ARP: u16 = 0x0806;
const TAGS: [u16; 2] = [0x8100, 0x88a8];
const PPPOE_DISCOVERY: u16 = 0x8863;
const PPPOE_SESSION: u16 = 0x8864;

/// Version, type and code of PPPoE's frames (RFC 2516, 5). PADI and PADR have no session yet.
const SEARCH: [u64; 2] = [0x1109_0000, 0x1119_0000];
/// PADT ends a session, which may be one that the kernel no longer has.
const END: u16 = 0x11a7;
/// The same for a frame of a session.
const SESSION: u64 = 0x1100_0000;
/// The numbers of IPv4 and IPv6 in PPP.
const PACKETS: [u16; 2] = [0x0021, 0x0057];

/// Number of bits before an EtherType: two addresses.
const TYPE: u32 = 96;
/// The same with a tag of four bytes.
const TYPE_BEHIND_TAG: u32 = 128;

/// The chains. A chain stands before those whose rules lead to it.
pub(super) fn chains(wire: &WireRules) -> Vec<NftChain> {
    let chain = |name: &str, rules| NftChain { name: name.to_owned(), base: None, rules };
    let mut chains = Vec::new();
    if wire.frames.contains(&FrameMatch::PppoeDiscovery) {
        for way in [PPPOE, PPPOE_TAGGED] {
            chains.push(chain(way.content, way.content(wire.pppoe.content)));
            chains.push(chain(way.sessions, way.sessions(&wire.pppoe)));
            chains.push(chain(way.discovery, way.discovery()));
        }
    }
    chains.push(chain(TAGGED, tagged(wire)));
    chains.push(chain(ETHERNET, ethernet(wire)));
    chains.push(chain(FIRST, first(wire)));
    chains
}

fn first(wire: &WireRules) -> Vec<NftRule> {
    let mut rules: Vec<NftRule> = wire.open.iter().map(rule::of).collect();
    rules.push(goto([Match::Ethernet], ETHERNET));
    // A link without Ethernet (PPP, mobile broadband) has no link header. Only a raw sender's frame has bytes
    // before the packet, and there nft and the driver would read different places.
    rules.push(NftRule::new([bits(0, 8, Comparison::AtLeast, 0)], NftVerdict::Drop));
    rules.extend(packets(wire, None));
    rules.push(NftRule::always(NftVerdict::Drop));
    rules
}

fn ethernet(wire: &WireRules) -> Vec<NftRule> {
    let mut rules = packets(wire, Some(TYPE));
    rules.extend(wire.frames.iter().flat_map(frame));
    rules.extend(TAGS.map(|tag| goto([is(TYPE, tag)], TAGGED)));
    rules.push(NftRule::always(NftVerdict::Drop));
    rules
}

/// Frames with a tag: the same as without one, except those that no bridge forwards.
fn tagged(wire: &WireRules) -> Vec<NftRule> {
    // The kernel would read a frame that its sender has tagged and calls IP from the tag on. It reads as IP only
    // with these values in the tag, and with these lengths, which are then the bytes of the EtherType.
    let tag = |version| masked(112, 8, 0xf0, Comparison::Equal, version);
    let lengths = [(Family::V4, 0x40, [IPV4; 2]), (Family::V6, 0x60, [0x6000, 0x6fff])];
    let mut rules = lengths
        .map(|(family, version, length)| {
            NftRule::new([tag(version), Match::Length(family, length)], NftVerdict::Drop)
        })
        .to_vec();
    rules.extend(packets(wire, Some(TYPE_BEHIND_TAG)));
    for frame in &wire.frames {
        match frame {
            FrameMatch::Arp => {
                rules.push(accept([is(TYPE_BEHIND_TAG, ARP), Match::DeclaredType(DeclaredType::Arp)]))
            }
            FrameMatch::PppoeDiscovery => rules.extend(PPPOE_TAGGED.entry_rules()),
            FrameMatch::Type(_) | FrameMatch::Group(..) | FrameMatch::SpanningTree => {}
        }
    }
    rules.push(NftRule::always(NftVerdict::Drop));
    rules
}

/// Packets of IPv4 and IPv6. `ethertype` is the bit where their EtherType begins, if the link has one.
fn packets(wire: &WireRules, ethertype: Option<u32>) -> Vec<NftRule> {
    let families = [(Family::V4, IPV4, &wire.ipv4), (Family::V6, IPV6, &wire.ipv6)];
    let rule = |(family, number, chains): (Family, u16, &Vec<WireChain>)| {
        let first = chains.first()?;
        let read = ethertype.map(|start| is(start, number));
        let packet = [Match::DeclaredType(DeclaredType::Packet(family)), Match::OtherProtocol(255)];
        let matches: Vec<Match> = read.into_iter().chain(packet).collect();
        Some(goto(matches, &name(first.name, family)))
    };
    families.into_iter().filter_map(rule).collect()
}

fn frame(frame: &FrameMatch) -> Vec<NftRule> {
    match *frame {
        // With the kinds and lengths of the addresses of Ethernet and IPv4.
        FrameMatch::Arp => {
            let header = bits(TYPE, 64, Comparison::Equal, 0x0806_0001_0800_0604);
            vec![accept([header, Match::DeclaredType(DeclaredType::Arp)])]
        }
        FrameMatch::Type(number) => vec![accept([is(TYPE, number)])],
        FrameMatch::Group(last, number) => vec![accept([group(last), is(TYPE, number)])],
        // A length in the place of the EtherType, and the protocol after it (IEEE 802.2).
        FrameMatch::SpanningTree => {
            vec![accept([group(0), bits(TYPE, 16, Comparison::Below, 0x0600), is(112, 0x4242)])]
        }
        FrameMatch::PppoeDiscovery => PPPOE.entry_rules().to_vec(),
    }
}

/// The chains for frames of PPPoE with their EtherType at one place.
struct PppoeChains {
    ethertype: u32,
    discovery: &'static str,
    sessions: &'static str,
    content: &'static str,
}

impl PppoeChains {
    fn entry_rules(&self) -> [NftRule; 2] {
        let way = |number, chain| goto([is(self.ethertype, number)], chain);
        [way(PPPOE_DISCOVERY, self.discovery), way(PPPOE_SESSION, self.sessions)]
    }

    fn discovery(&self) -> Vec<NftRule> {
        let search = SEARCH.map(|number| accept([self.code_and_session(number)]));
        let end = accept([is(self.ethertype + 16, END)]);
        search.into_iter().chain([end, NftRule::always(NftVerdict::Drop)]).collect()
    }

    /// Only the kernel's own sessions, each on its wire and to its server.
    fn sessions(&self, pppoe: &Pppoe) -> Vec<NftRule> {
        let rule = |PppoeSession { interface, id, peer }: &PppoeSession| {
            let peer = peer.iter().fold(0, |number, &byte| number << 8 | u64::from(byte));
            let wire = Match::Link(Way::Out, interface.clone().into());
            let session = self.code_and_session(SESSION | u64::from(*id));
            goto([wire, bits(0, 48, Comparison::Equal, peer), session], self.content)
        };
        pppoe.sessions.iter().map(rule).chain([NftRule::always(NftVerdict::Drop)]).collect()
    }

    fn content(&self, content: PppContent) -> Vec<NftRule> {
        let protocol = self.ethertype + 64;
        // The protocols of PPP itself: for the link, and for the set-up of a network protocol.
        let mut rules = vec![accept([masked(protocol, 16, 0x8000, Comparison::Other, 0)])];
        if content == PppContent::Packets {
            rules.extend(PACKETS.map(|number| accept([is(protocol, number)])));
        }
        rules.push(NftRule::always(NftVerdict::Drop));
        rules
    }

    /// Version, type and code, and then the session's number.
    fn code_and_session(&self, number: u64) -> Match {
        bits(self.ethertype + 16, 32, Comparison::Equal, number)
    }
}

fn accept(matches: impl Into<Vec<Match>>) -> NftRule {
    NftRule::new(matches, NftVerdict::Accept)
}

fn goto(matches: impl Into<Vec<Match>>, chain: &str) -> NftRule {
    NftRule::new(matches, NftVerdict::Goto(chain.to_owned()))
}

/// These two bytes of the frame are this number.
fn is(start: u32, number: u16) -> Match {
    bits(start, 16, Comparison::Equal, number.into())
}

/// It goes to one of the addresses that no bridge forwards.
fn group(last: u8) -> Match {
    bits(0, 48, Comparison::Equal, 0x0180_c200_0000 | u64::from(last))
}

fn bits(start: u32, length: u32, comparison: Comparison, value: u64) -> Match {
    Match::Frame(Bits { start, length, mask: None, comparison, value })
}

fn masked(start: u32, length: u32, mask: u64, comparison: Comparison, value: u64) -> Match {
    Match::Frame(Bits { start, length, mask: Some(mask), comparison, value })
}
