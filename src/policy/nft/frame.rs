//! Which frames may go out on a wire: the chains in front of those for packets.
//!
//! `meta protocol` and where nft takes the network header to be are what the sender of the frame says: a raw
//! socket says what it likes. `@ll` reads the frame as it goes out, and shows a tag that a driver of VLANs
//! keeps beside the frame as if it stood there already. So a packet is looked at as IPv4 or IPv6 only where
//! the EtherType in the frame, what the sender says and the packet's own version and lengths agree
//! (`meta l4proto` is known only then); every other frame is told by `@ll` alone.
//!
//! A frame that its sender has tagged himself passes nowhere: the network header is taken to be where the tag
//! is. One that comes from a link of VLANs has been judged there already, without the tag, and is judged
//! again here.

use super::NftChain;
use super::rule::{self, name};
use crate::net::Family;
use crate::policy::{FrameMatch, PppoeFrames, WireRules};

/// The chain into which all base chains lead.
pub(super) const FIRST: &str = "VPN_EGRESS";
/// Frames on Ethernet.
const ETHERNET: &str = "VPN_ETHERNET";
/// Those with a tag.
const TAGGED: &str = "VPN_TAGGED";
/// Those of PPPoE.
const PPPOE: &str = "VPN_PPPOE";
/// Those with a tag.
const PPPOE_TAGGED: &str = "VPN_PPPOE_TAGGED";

/// EtherTypes.
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const ARP: u16 = 0x0806;
const TAGS: [u16; 2] = [0x8100, 0x88a8];
const PPPOE_TYPES: [u16; 2] = [0x8863, 0x8864];

/// Codes of PPPoE behind its version and type (RFC 2516, 5): PADI, PADR and PADT, and a session's.
const DISCOVERY: [u16; 3] = [0x1109, 0x1119, 0x11a7];
const SESSION: u16 = 0x1100;
/// PPP's numbers of IPv4 and IPv6.
const PACKETS: [u16; 2] = [0x0021, 0x0057];

/// Bits in front of an EtherType: two addresses. A tag is four bytes longer.
const TYPE: u32 = 96;
const TYPE_BEHIND_TAG: u32 = 128;

/// The chains, each behind those that it leads to.
pub(super) fn chains(wire: &WireRules) -> Vec<NftChain> {
    let chain = |name: &str, rules| NftChain { name: name.to_owned(), base: None, rules };
    let pppoe = wire.frames.iter().find_map(|frame| match frame {
        FrameMatch::Pppoe(frames) => Some(*frames),
        FrameMatch::Arp | FrameMatch::Type(_) | FrameMatch::Group(..) | FrameMatch::SpanningTree => None,
    });
    let mut chains = Vec::new();
    for (name, start) in [(PPPOE, TYPE), (PPPOE_TAGGED, TYPE_BEHIND_TAG)] {
        chains.extend(pppoe.map(|frames| chain(name, pppoe_frames(frames, start))));
    }
    chains.push(chain(TAGGED, tagged(wire)));
    chains.push(chain(ETHERNET, ethernet(wire)));
    chains.push(chain(FIRST, first(wire)));
    chains
}

fn first(wire: &WireRules) -> Vec<String> {
    let mut rules: Vec<String> = wire.open.iter().map(rule::text).collect();
    rules.push(format!("meta oiftype ether goto {ETHERNET}"));
    // Without a header of Ethernet (PPP, mobile broadband) a packet begins where its link header would. Only a
    // raw sender's has something in front: nft and the driver would read it at two places.
    rules.push("@ll,0,8 >= 0x0 drop".to_owned());
    rules.extend(packets(wire, None));
    rules.push("drop".to_owned());
    rules
}

fn ethernet(wire: &WireRules) -> Vec<String> {
    let mut rules = packets(wire, Some(TYPE));
    rules.extend(wire.frames.iter().flat_map(frame));
    rules.extend(TAGS.map(|tag| format!("@ll,{TYPE},16 {tag:#06x} goto {TAGGED}")));
    rules.push("drop".to_owned());
    rules
}

/// Behind a tag: as without one, but for what a bridge keeps to itself.
fn tagged(wire: &WireRules) -> Vec<String> {
    // What the sender has tagged himself and calls IP would be read from the tag on. It reads as IP only with
    // such a tag, and such a length: that is what stands in those places then.
    let mut rules = vec![
        format!("@ll,112,8 & 0xf0 == 0x40 ip length {IPV4} drop"),
        "@ll,112,8 & 0xf0 == 0x60 ip6 length 24576-28671 drop".to_owned(),
    ];
    rules.extend(packets(wire, Some(TYPE_BEHIND_TAG)));
    for frame in &wire.frames {
        match frame {
            FrameMatch::Arp => {
                rules.push(format!("@ll,{TYPE_BEHIND_TAG},16 {ARP:#06x} meta protocol arp accept"));
            }
            FrameMatch::Pppoe(_) => rules.extend(to_pppoe(TYPE_BEHIND_TAG, PPPOE_TAGGED)),
            FrameMatch::Type(_) | FrameMatch::Group(..) | FrameMatch::SpanningTree => {}
        }
    }
    rules.push("drop".to_owned());
    rules
}

/// Packets of IPv4 and IPv6, known by the EtherType that begins at this bit, if there is one.
fn packets(wire: &WireRules, ethertype: Option<u32>) -> Vec<String> {
    let families = [(Family::V4, "ip", IPV4, &wire.ipv4), (Family::V6, "ip6", IPV6, &wire.ipv6)];
    let rule = |(family, said, number, chains): (Family, &str, u16, &Vec<crate::policy::WireChain>)| {
        let first = chains.first()?;
        let read = ethertype.map(|start| format!("@ll,{start},16 {number:#06x} ")).unwrap_or_default();
        Some(format!("{read}meta protocol {said} meta l4proto != 255 goto {}", name(first.name, family)))
    };
    families.into_iter().filter_map(rule).collect()
}

fn frame(frame: &FrameMatch) -> Vec<String> {
    match *frame {
        // With the kinds and lengths of addresses that Ethernet and IPv4 have.
        FrameMatch::Arp => vec![format!("@ll,{TYPE},64 0x0806000108000604 meta protocol arp accept")],
        FrameMatch::Type(number) => vec![format!("@ll,{TYPE},16 {number:#06x} accept")],
        FrameMatch::Group(last, number) => {
            vec![format!("{} @ll,{TYPE},16 {number:#06x} accept", group(last))]
        }
        // A length in the place of the EtherType, and the protocol behind it (IEEE 802.2).
        FrameMatch::SpanningTree => {
            vec![format!("{} @ll,{TYPE},16 < 0x0600 @ll,112,16 0x4242 accept", group(0))]
        }
        FrameMatch::Pppoe(_) => to_pppoe(TYPE, PPPOE).to_vec(),
    }
}

fn group(last: u8) -> String {
    format!("@ll,0,48 0x0180c20000{last:02x}")
}

fn to_pppoe(start: u32, chain: &str) -> [String; 2] {
    PPPOE_TYPES.map(|number| format!("@ll,{start},16 {number:#06x} goto {chain}"))
}

fn pppoe_frames(frames: PppoeFrames, ethertype: u32) -> Vec<String> {
    let (code, protocol) = (ethertype + 16, ethertype + 64);
    let mut rules: Vec<String> =
        DISCOVERY.iter().map(|number| format!("@ll,{code},16 {number:#06x} accept")).collect();
    let session = format!("@ll,{code},16 {SESSION:#06x}");
    if frames != PppoeFrames::Discovery {
        // PPP's own protocols: the link's and those that set up a network's.
        rules.push(format!("{session} @ll,{protocol},16 & 0x8000 != 0x0 accept"));
    }
    if frames == PppoeFrames::Packets {
        rules.extend(PACKETS.map(|number| format!("{session} @ll,{protocol},16 {number:#06x} accept")));
    }
    rules.push("drop".to_owned());
    rules
}
