//! Frames that may leave in addition to those of IPv4 and IPv6, as conditions on their bytes.

use super::layout::Field;
use super::rule::Match;
use crate::net::IfName;
use crate::vpn::Situation;

/// EtherTypes.
const ARP: u128 = 0x0806;
/// The key exchange of Wi-Fi and of 802.1X.
const KEYS: [u128; 2] = [0x888e, 0x88c7];
/// The tags of VLANs.
const TAGS: [u128; 2] = [0x8100, 0x88a8];
const PPPOE_DISCOVERY: u128 = 0x8863;
const PPPOE_SESSION: u128 = 0x8864;

/// Bonding and LLDP: the last byte of a multicast group that no bridge forwards, and an EtherType.
const GROUPS: [(u128, u128); 4] = [(2, 0x8809), (0, 0x88cc), (3, 0x88cc), (0x0e, 0x88cc)];

/// `ARPHRD_ETHER`
const ETHERNET: u128 = 1;

/// The bit at which the EtherType begins: without a VLAN tag, and after one.
const PLAIN: u16 = 96;
const BEHIND_TAG: u16 = 128;

/// A frame on Ethernet with this EtherType.
pub(super) fn ethertype(number: u128) -> Vec<Match> {
    vec![Match::is(Field::OutType, ETHERNET), Match::is(Field::FrameRead, 1), bytes(PLAIN, 16, number)]
}

/// The same frame with a VLAN tag.
pub(super) fn tagged(number: u128) -> Vec<Vec<Match>> {
    TAGS.map(|tag| [ethertype(tag), vec![bytes(BEHIND_TAG, 16, number)]].concat()).to_vec()
}

fn bytes(start: u16, length: u16, value: u128) -> Match {
    Match::part(Field::Frame, [start, length], value, u128::MAX)
}

/// Every frame that may leave on the link of this name.
pub(super) fn allowed(situation: &Situation, link: &str) -> Vec<Vec<Match>> {
    let mut allowed = vec![ethertype(ARP)];
    allowed.extend(tagged(ARP));
    allowed.extend(KEYS.map(ethertype));
    let group = |last: u128| bytes(0, 48, 0x0180_c200_0000 | last);
    allowed.extend(GROUPS.map(|(last, number)| [ethertype(number), vec![group(last)]].concat()));
    // Spanning tree: it has a length below 0x0600 in the place of the EtherType.
    let lengths = [(0xfc00, 0), (0xfe00, 0x0400)];
    allowed.extend(lengths.map(|(mask, value)| {
        vec![
            Match::is(Field::OutType, ETHERNET),
            Match::is(Field::FrameRead, 1),
            group(0),
            Match::part(Field::Frame, [PLAIN, 16], value, mask),
            bytes(PLAIN + 16, 16, 0x4242),
        ]
    }));
    for (place, searches, carriers) in [
        (PLAIN, vec![ethertype(PPPOE_DISCOVERY)], vec![ethertype(PPPOE_SESSION)]),
        (BEHIND_TAG, tagged(PPPOE_DISCOVERY), tagged(PPPOE_SESSION)),
    ] {
        allowed.extend(searches.iter().flat_map(|frame| discovery(frame, place)));
        allowed.extend(carriers.iter().flat_map(|frame| sessions(situation, link, frame, place)));
    }
    allowed
}

/// The search for a PPPoE server: the code and the number of the session, which is 0. The end of a session may have any
/// number.
fn discovery(frame: &[Match], ethertype: u16) -> Vec<Vec<Match>> {
    let with = |more| [frame, &[more]].concat();
    let mut allowed =
        [0x1109_0000, 0x1119_0000].map(|number| with(bytes(ethertype + 16, 32, number))).to_vec();
    allowed.push(with(bytes(ethertype + 16, 16, 0x11a7)));
    allowed
}

/// The frames of the kernel's sessions on this link, to their servers: the set-up of a PPP link, and IP packets while a
/// PPP link leads out.
fn sessions(situation: &Situation, link: &str, frame: &[Match], ethertype: u16) -> Vec<Vec<Match>> {
    let protocol = |value, mask| Match::part(Field::Frame, [ethertype + 64, 16], value, mask);
    let mut contents = vec![protocol(0x8000, 0x8000)];
    let leads_out = |link: &IfName| situation.wires.iter().any(|wire| wire.interface == *link);
    if situation.ppp_links.iter().any(leads_out) {
        contents.extend([0x0021, 0x0057].map(|number| protocol(number, 0xffff)));
    }
    let here = situation.pppoe.iter().filter(|session| session.interface.as_str() == link);
    here.flat_map(|session| {
        let [a, b, c, d, e, f] = session.peer;
        let peer = u128::from(u64::from_be_bytes([0, 0, a, b, c, d, e, f]));
        let begin = [
            bytes(0, 48, peer),
            bytes(ethertype + 16, 16, 0x1100),
            bytes(ethertype + 32, 16, session.id.into()),
        ];
        contents
            .iter()
            .map(move |content| [frame, &begin[..], std::slice::from_ref(content)].concat())
            .collect::<Vec<_>>()
    })
    .collect()
}
