//! The chains for frames, which stand before the chains for packets.
//!
//! `meta protocol`, and the place where nft takes the network header to be, come from the sender of the frame: a
//! raw socket can say what it likes. `@ll` reads the frame as it goes out. It shows the tag of a VLAN as if it
//! stood in the frame already, where a driver keeps the tag beside the frame. So a packet counts as IPv4 or IPv6
//! only where three things agree: the EtherType in the frame, what the sender says, and the packet's own version
//! and lengths (only then does the kernel know `meta l4proto`). `@ll` alone judges every other frame.
//!
//! A frame that its sender has tagged passes nowhere, because nft takes the network header to be at the tag. A
//! frame from a link of a VLAN was judged on that link, without the tag, and is judged here again.

use super::NftChain;
use super::rule::{self, name};
use crate::net::Family;
use crate::policy::{FrameMatch, PppoeFrames, WireRules};

/// The chain that all base chains lead to.
pub(super) const FIRST: &str = "VPN_EGRESS";
/// Frames on Ethernet.
const ETHERNET: &str = "VPN_ETHERNET";
/// Frames on Ethernet with a tag of a VLAN.
const TAGGED: &str = "VPN_TAGGED";
/// Frames of PPPoE.
const PPPOE: &str = "VPN_PPPOE";
/// Frames of PPPoE with a tag of a VLAN.
const PPPOE_TAGGED: &str = "VPN_PPPOE_TAGGED";

/// EtherTypes.
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const ARP: u16 = 0x0806;
const TAGS: [u16; 2] = [0x8100, 0x88a8];
const PPPOE_TYPES: [u16; 2] = [0x8863, 0x8864];

/// Version, type and code of PPPoE's frames (RFC 2516, 5): PADI, PADR and PADT.
const DISCOVERY: [u16; 3] = [0x1109, 0x1119, 0x11a7];
/// The same for a frame of a session.
const SESSION: u16 = 0x1100;
/// The numbers of IPv4 and IPv6 in PPP.
const PACKETS: [u16; 2] = [0x0021, 0x0057];

/// Number of bits before an EtherType: two addresses.
const TYPE: u32 = 96;
/// The same with a tag of four bytes.
const TYPE_BEHIND_TAG: u32 = 128;

/// The chains. A chain stands before those whose rules lead to it.
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
    // A link without Ethernet (PPP, mobile broadband) has no link header. Only a raw sender's frame has bytes
    // before the packet, and there nft and the driver would read different places.
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

/// Frames with a tag: the same as without one, except those that no bridge forwards.
fn tagged(wire: &WireRules) -> Vec<String> {
    // The kernel would read a frame that its sender has tagged and calls IP from the tag on. It reads as IP only
    // with these values in the tag, and with these lengths, which are then the bytes of the EtherType.
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

/// Packets of IPv4 and IPv6. `ethertype` is the bit where their EtherType begins, if the link has one.
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
        // With the kinds and lengths of the addresses of Ethernet and IPv4.
        FrameMatch::Arp => vec![format!("@ll,{TYPE},64 0x0806000108000604 meta protocol arp accept")],
        FrameMatch::Type(number) => vec![format!("@ll,{TYPE},16 {number:#06x} accept")],
        FrameMatch::Group(last, number) => {
            vec![format!("{} @ll,{TYPE},16 {number:#06x} accept", group(last))]
        }
        // A length in the place of the EtherType, and the protocol after it (IEEE 802.2).
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
        // The protocols of PPP itself: for the link, and for the set-up of a network protocol.
        rules.push(format!("{session} @ll,{protocol},16 & 0x8000 != 0x0 accept"));
    }
    if frames == PppoeFrames::Packets {
        rules.extend(PACKETS.map(|number| format!("{session} @ll,{protocol},16 {number:#06x} accept")));
    }
    rules.push("drop".to_owned());
    rules
}
