//! Frames that may leave besides those of IPv4 and IPv6, as conditions on their bytes.

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
const PPPOE: [u128; 2] = [0x8863, 0x8864];

/// Bonding and LLDP: the last byte of a group that no bridge forwards, and an EtherType.
const GROUPS: [(u128, u128); 4] = [(2, 0x8809), (0, 0x88cc), (3, 0x88cc), (0x0e, 0x88cc)];

/// `ARPHRD_ETHER`
const ETHERNET: u128 = 1;

/// The bit at which an EtherType begins, without a tag and behind one.
const PLAIN: u16 = 96;
const BEHIND_TAG: u16 = 128;

/// A frame on Ethernet with this EtherType.
pub(super) fn ethertype(number: u128) -> Vec<Match> {
    vec![Match::is(Field::OutType, ETHERNET), Match::is(Field::FrameRead, 1), bytes(PLAIN, 16, number)]
}

/// The same behind the tag of a VLAN.
pub(super) fn tagged(number: u128) -> Vec<Vec<Match>> {
    TAGS.map(|tag| [ethertype(tag), vec![bytes(BEHIND_TAG, 16, number)]].concat()).to_vec()
}

fn bytes(start: u16, length: u16, value: u128) -> Match {
    Match::part(Field::Frame, [start, length], value, u128::MAX)
}

/// Every frame that may leave.
pub(super) fn allowed(situation: &Situation) -> Vec<Vec<Match>> {
    let mut allowed = vec![ethertype(ARP)];
    allowed.extend(tagged(ARP));
    allowed.extend(KEYS.map(ethertype));
    let group = |last: u128| bytes(0, 48, 0x0180_c200_0000 | last);
    allowed.extend(GROUPS.map(|(last, number)| [ethertype(number), vec![group(last)]].concat()));
    // Spanning tree: a length in the place of the EtherType, which is below 0x0600.
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
    for number in PPPOE {
        allowed.extend(pppoe(situation, &ethertype(number), PLAIN));
        allowed.extend(tagged(number).iter().flat_map(|frame| pppoe(situation, frame, BEHIND_TAG)));
    }
    allowed
}

/// What PPPoE sends: the search for a server always, the set-up of a link while there is a link of PPP, and packets
/// while such a link leads out.
fn pppoe(situation: &Situation, frame: &[Match], ethertype: u16) -> Vec<Vec<Match>> {
    let with = |more: Vec<Match>| [frame, &more].concat();
    let mut allowed: Vec<Vec<Match>> =
        [0x1109, 0x1119, 0x11a7].map(|code| with(vec![bytes(ethertype + 16, 16, code)])).to_vec();
    let session = bytes(ethertype + 16, 16, 0x1100);
    let protocol = |value, mask| Match::part(Field::Frame, [ethertype + 64, 16], value, mask);
    if !situation.ppp_links.is_empty() {
        allowed.push(with(vec![session.clone(), protocol(0x8000, 0x8000)]));
    }
    let leads_out = |link: &IfName| situation.wires.iter().any(|wire| wire.interface == *link);
    if situation.ppp_links.iter().any(leads_out) {
        allowed.extend([0x0021, 0x0057].map(|number| with(vec![session.clone(), protocol(number, 0xffff)])));
    }
    allowed
}
