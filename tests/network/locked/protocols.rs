//! Packets with protocols and hop limits that programs seldom use. Raw IP sockets send them, so that every
//! table sees them.

use std::net::IpAddr;

use anyhow::{Result, ensure};
use tunwarden_lab::forged::{RawIp, neighbour_message, ports};
use tunwarden_lab::{Lab, TAG_MARK, with_lab};

use super::KNOWN;
use crate::support::kernel::Backend;

/// The destination, the protocol, the TTL or hop limit, and the port or the ICMPv6 type.
type Packet = (&'static str, u8, u8, u16);

const UDP: u8 = 17;
const IGMP: u8 = 2;
const ICMPV6: u8 = 58;

const CLEAR: [Packet; 34] = [
    ("10.0.0.1", 33, 64, 53),
    ("10.0.0.1", 33, 64, 853),
    ("10.0.0.1", 132, 64, 53),
    ("10.0.0.1", 132, 64, 853),
    ("10.0.0.1", 136, 64, 53),
    ("10.0.0.1", 136, 64, 853),
    ("fd00:0:0:1::1", 33, 64, 53),
    ("fd00:0:0:1::1", 132, 64, 853),
    ("fd00:0:0:1::1", 136, 64, 53),
    ("203.0.113.9", 136, 64, 53),
    ("203.0.113.9", 132, 64, 4000),
    ("198.51.100.7", 136, 64, 1194),
    ("2001:db8:9::9", ICMPV6, 255, 135),
    ("2001:db8:9::9", ICMPV6, 255, 136),
    ("2001:db8:7::7", ICMPV6, 255, 135),
    ("ff05::1", ICMPV6, 255, 135),
    ("ff0e::1", ICMPV6, 255, 136),
    ("2001:db8:1::1", ICMPV6, 254, 135),
    ("ff02::1", ICMPV6, 64, 136),
    ("224.0.0.251", UDP, 2, 5353),
    ("224.0.0.251", UDP, 64, 5353),
    ("224.0.0.251", UDP, 254, 5353),
    ("ff02::fb", UDP, 64, 5353),
    ("ff05::fb", UDP, 255, 5353),
    ("239.255.255.250", UDP, 5, 1900),
    ("239.255.255.250", UDP, 64, 1900),
    ("239.255.255.250", UDP, 255, 1900),
    ("ff02::c", UDP, 64, 1900),
    ("ff05::c", UDP, 5, 1900),
    ("ff05::c", UDP, 255, 1900),
    ("224.0.0.251", IGMP, 64, 0),
    ("239.1.2.3", IGMP, 2, 0),
    ("239.1.2.3", UDP, 1, 5353),
    ("224.0.0.251", UDP, 255, 1900),
];

const ALLOWED: [Packet; 20] = [
    ("10.0.0.5", 33, 64, 4000),
    ("10.0.0.5", 132, 64, 4000),
    ("10.0.0.5", 136, 64, 4000),
    ("fd00:0:0:1::1", 136, 64, 4000),
    ("2001:db8:1::1", ICMPV6, 255, 135),
    ("2001:db8:1::1", ICMPV6, 255, 136),
    ("fd00:0:0:1::1", ICMPV6, 255, 135),
    ("fe80::1", ICMPV6, 255, 136),
    ("ff02::1:ff00:1", ICMPV6, 255, 135),
    ("ff02::1", ICMPV6, 255, 136),
    ("ff02::2", ICMPV6, 255, 133),
    ("224.0.0.251", UDP, 255, 5353),
    ("224.0.0.251", UDP, 1, 5353),
    ("ff02::fb", UDP, 255, 5353),
    ("239.255.255.250", UDP, 1, 1900),
    ("239.255.255.250", UDP, 2, 1900),
    ("239.255.255.250", UDP, 4, 1900),
    ("ff02::c", UDP, 2, 1900),
    ("ff05::c", UDP, 4, 1900),
    ("224.0.0.251", IGMP, 1, 0),
];

fn leave(lab: &Lab, packets: &[Packet]) -> Result<Vec<bool>> {
    let capture = lab.capture()?;
    for (n, &(to, protocol, hop_limit, number)) in packets.iter().enumerate() {
        let (to, text) = (to.parse::<IpAddr>()?, format!("{TAG_MARK}{n}"));
        let payload = match (to, protocol) {
            (IpAddr::V6(to), ICMPV6) => neighbour_message(to, u8::try_from(number)?, text.as_bytes()),
            _ => ports(number, text.as_bytes()),
        };
        lab.host().raw_ip("eth0", RawIp { to, protocol, hop_limit }, &payload)?;
    }
    let seen = capture.stop()?;
    Ok((0..packets.len()).map(|n| seen.iter().any(|frame| frame.is_tagged(&n.to_string()))).collect())
}

fn only<'a>(packets: &'a [Packet], left: &[bool], which: bool) -> Vec<&'a Packet> {
    packets.iter().zip(left).filter(|(_, left)| **left == which).map(|(packet, _)| packet).collect()
}

fn seldom_used_protocols(backend: Backend) -> Result<()> {
    with_lab(|lab| {
        // A packet that waits for its neighbour would appear late in the capture.
        let card = lab.isp().read("/sys/class/net/isp0/address")?;
        for to in ["10.0.0.1", "10.0.0.5", "fd00:0:0:1::1", "2001:db8:1::1", "fe80::1"] {
            lab.host().succeed(["ip", "neigh", "replace", to, "lladdr", card.trim(), "dev", "eth0"])?;
        }
        let control = leave(lab, &CLEAR)?;
        ensure!(!control.contains(&false), "the control: {:?} do not leave", only(&CLEAR, &control, false));
        backend.lock(lab, KNOWN)?;
        let clear = leave(lab, &CLEAR)?;
        ensure!(!clear.contains(&true), "these left: {:?}", only(&CLEAR, &clear, true));
        let allowed = leave(lab, &ALLOWED)?;
        ensure!(!allowed.contains(&false), "these do not leave: {:?}", only(&ALLOWED, &allowed, false));
        Ok(())
    })
}

#[test]
fn no_protocol_and_no_hop_limit_leaves_with_nft() {
    seldom_used_protocols(Backend::Nft).unwrap();
}

#[test]
fn no_protocol_and_no_hop_limit_leaves_with_legacy() {
    seldom_used_protocols(Backend::Legacy).unwrap();
}

#[test]
fn no_protocol_and_no_hop_limit_leaves_with_iptables_alone() {
    seldom_used_protocols(Backend::IptablesAlone).unwrap();
}

#[test]
fn no_protocol_and_no_hop_limit_leaves_with_nftables_alone() {
    seldom_used_protocols(Backend::NftablesAlone).unwrap();
}
