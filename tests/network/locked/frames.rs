//! The content of a frame decides whether it may leave, and not the protocol that its sender declares.

#![allow(clippy::unwrap_used, reason = "a frame that cannot be built is a fault of the test")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Result, ensure};
use tunwarden_lab::forged::{ethernet, ethernet_to, ipv4, ipv6, neighbour, packet, ports, tagged};
use tunwarden_lab::{Lab, TAG_MARK, with_lab};

use super::KNOWN;
use crate::support::kernel::Backend;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const ARP: u16 = 0x0806;
const EAPOL: u16 = 0x888e;
const PRE_AUTHENTICATION: u16 = 0x88c7;
const VLAN: u16 = 0x8100;
const PROVIDER_VLAN: u16 = 0x88a8;
const PPPOE_DISCOVERY: u16 = 0x8863;
const PPPOE_SESSION: u16 = 0x8864;
const SLOW: u16 = 0x8809;
const LLDP: u16 = 0x88cc;
const UDP: u8 = 17;

/// A frame and the protocol that its sender declares.
struct Forged {
    what: String,
    declared: u16,
    frame: Vec<u8>,
}

fn forged(what: &str, declared: u16, frame: Vec<u8>) -> Forged {
    Forged { what: format!("{what}, said to be {declared:#06x}"), declared, frame }
}

fn text(what: &str) -> Vec<u8> {
    format!("{TAG_MARK}{what}").into_bytes()
}

fn udp(to: &str, port: u16) -> Vec<u8> {
    packet(to.parse().unwrap(), UDP, 64, &ports(port, &text("tag")))
}

/// Frames with a packet that must not leave.
fn frames() -> Vec<Forged> {
    let (out, router) = (udp("203.0.113.9", 4000), udp("10.0.0.1", 53));
    let out6 = udp("2001:db8:9::9", 4000);
    let mut frames = Vec::new();
    for declared in [ARP, EAPOL, PRE_AUTHENTICATION, PPPOE_DISCOVERY, PPPOE_SESSION, IPV6, VLAN, SLOW, LLDP] {
        frames.push(forged("IPv4 to the internet", declared, ethernet(IPV4, &out)));
        frames.push(forged("DNS to the router", declared, ethernet(IPV4, &router)));
    }
    for declared in [ARP, EAPOL, PPPOE_SESSION, VLAN, IPV4] {
        frames.push(forged("IPv6 to the internet", declared, ethernet(IPV6, &out6)));
    }
    frames.push(forged("IPv6 that reads as IPv4 to the LAN", IPV4, ethernet(IPV6, &ipv6_like_ipv4())));
    frames.push(forged("IPv4 that reads as IPv6 to the link", IPV6, ethernet(IPV4, &ipv4_like_ipv6())));
    for (tag, of) in [(0, VLAN), (0, PROVIDER_VLAN), (5, VLAN), (0x4500, VLAN), (0x6000, VLAN)] {
        for declared in [0, IPV4, IPV6, VLAN, PROVIDER_VLAN, ARP, EAPOL] {
            let what = format!("tag {tag:#x} of {of:#06x}");
            let inside = |ethertype, payload: &[u8]| ethernet(of, &tagged(tag, ethertype, payload));
            frames.push(forged(&format!("{what}, DNS to the router"), declared, inside(IPV4, &router)));
            frames.push(forged(&format!("{what}, IPv6 to the internet"), declared, inside(IPV6, &out6)));
            let twice = tagged(0, IPV4, &router);
            frames.push(forged(&format!("{what}, another tag"), declared, inside(VLAN, &twice)));
        }
    }
    for last in [0, 2, 3, 14] {
        let group = [1, 0x80, 0xc2, 0, 0, last];
        for (ethertype, inside) in [(IPV4, &out), (IPV6, &out6), (0x1234, &out)] {
            for declared in [ethertype, EAPOL, SLOW, LLDP] {
                let what = format!("{ethertype:#06x} to the group {last}");
                frames.push(forged(&what, declared, ethernet_to(group, ethertype, inside)));
            }
        }
        let tag = tagged(0, IPV4, &router);
        frames.push(forged(&format!("a tag to the group {last}"), VLAN, ethernet_to(group, VLAN, &tag)));
    }
    let pppoe = [&[0x11, 0, 0, 1, 0, 200, 0, 0x21][..], &out].concat();
    for ethertype in [PPPOE_DISCOVERY, PPPOE_SESSION] {
        frames.push(forged(
            &format!("IPv4 in PPPoE {ethertype:#06x}"),
            ethertype,
            ethernet(ethertype, &pppoe),
        ));
        frames.push(forged(&format!("IPv4 as PPPoE {ethertype:#06x}"), ethertype, ethernet(ethertype, &out)));
    }
    frames.push(forged("an unknown EtherType", 0x1234, ethernet(0x1234, &out)));
    frames
}

/// An IPv6 packet whose source address has a LAN address at the position of the destination in IPv4.
fn ipv6_like_ipv4() -> Vec<u8> {
    let from = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0x0a00, 0x0005, 0, 2);
    let payload = ports(4000, &text("tag"));
    ipv6(from, Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 9), UDP, 64, &payload)
}

/// An IPv4 packet whose payload has a link-local address at the position of the destination in IPv6.
fn ipv4_like_ipv6() -> Vec<u8> {
    let near = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1).octets();
    let payload = [&[0; 4][..], &near, &text("tag")].concat();
    ipv4(Ipv4Addr::new(203, 0, 113, 9), 253, 64, &[], &payload)
}

/// Sends each frame with its own tag. Returns the frames that leave.
fn leave(lab: &Lab, frames: &[Forged]) -> Result<Vec<String>> {
    let capture = lab.capture()?;
    for (n, frame) in frames.iter().enumerate() {
        lab.host().forge("eth0", frame.declared, &renamed(&frame.frame, n), 1)?;
    }
    let seen = capture.stop()?;
    let left = |n: &usize| seen.iter().any(|frame| frame.is_tagged(&name(*n)));
    Ok((0..frames.len()).filter(left).map(|n| frames[n].what.clone()).collect())
}

/// A tag for frame `n` that is as long as `tag`.
fn name(n: usize) -> String {
    format!("{n:03x}")
}

fn renamed(frame: &[u8], n: usize) -> Vec<u8> {
    let mark = text("tag");
    let place = frame.windows(mark.len()).position(|window| window == mark).unwrap();
    let mut frame = frame.to_vec();
    frame.splice(place..place + mark.len(), text(&name(n)));
    frame
}

/// Checks that all frames leave with the iptables layer alone, and none with the rules on the wire.
fn only_beneath_iptables(frames: &[Forged]) -> Result<()> {
    with_lab(|lab| {
        Backend::IptablesAlone.lock(lab, KNOWN)?;
        let control = leave(lab, frames)?;
        let missing: Vec<&str> = frames
            .iter()
            .map(|frame| frame.what.as_str())
            .filter(|what| !control.contains(&(*what).to_owned()))
            .collect();
        ensure!(missing.is_empty(), "the control: these do not pass beneath iptables: {missing:#?}");
        for backend in [Backend::Nft, Backend::NftablesAlone] {
            backend.lock(lab, KNOWN)?;
            let left = leave(lab, frames)?;
            ensure!(left.is_empty(), "{} left with {backend:?}: {left:#?}", left.len());
        }
        Ok(())
    })
}

#[test]
fn the_content_of_a_frame_counts_and_not_its_declared_protocol() {
    only_beneath_iptables(&frames()).unwrap();
}

/// Packets that hide their destination or their type.
fn hidden() -> Vec<Forged> {
    let router = Ipv4Addr::new(10, 0, 0, 1);
    let router6 = Ipv6Addr::new(0xfd00, 0, 0, 1, 0, 0, 0, 1);
    let own6 = Ipv6Addr::new(0xfd00, 0, 0, 1, 0, 0, 0, 2);
    let names = || ports(53, &text("tag"));
    let v4 = |what: &str, bytes: Vec<u8>| forged(what, IPV4, ethernet(IPV4, &bytes));
    let v6 = |what: &str, next: u8, payload: &[u8]| {
        forged(what, IPV6, ethernet(IPV6, &ipv6(own6, router6, next, 64, payload)))
    };
    let with = |bytes: Vec<u8>, place: usize, value: u8| {
        let mut bytes = bytes;
        bytes[place] = value;
        bytes
    };
    let plain = || ipv4(router, UDP, 64, &[], &names());
    let mut hidden = vec![
        v4("a header of four words", with(plain(), 0, 0x44)),
        v4("a header longer than the packet", with(plain(), 0, 0x4f)),
        v4("another version", with(plain(), 0, 0x55)),
        v4("a total length of more than there is", with(plain(), 2, 9)),
        v4("a total length of less than a header", with(with(plain(), 2, 0), 3, 12)),
        v4("a total length that ends before the ports", with(with(plain(), 2, 0), 3, 21)),
    ];
    // Loose and strict source routing through the router.
    for kind in [131, 137] {
        let options = [kind, 7, 4, 203, 0, 113, 9, 0];
        let bytes = ipv4(router, UDP, 64, &options, &ports(4000, &text("tag")));
        hidden.push(v4(&format!("source route {kind}"), bytes));
    }
    for protocol in [6, 17, 33, 132, 136] {
        for port in [53, 853] {
            let payload = ports(port, &text("tag"));
            let what = format!("port {port} of protocol {protocol}");
            hidden.push(v4(&what, ipv4(router, protocol, 64, &[], &payload)));
            hidden.push(v6(&what, protocol, &payload));
        }
    }
    let options = |next: u8| [next, 0, 1, 4, 0, 0, 0, 0];
    let first = |next: u8| [next, 0, 0, 1, 0, 0, 0, 7];
    hidden.push(v6("hop-by-hop options", 0, &[&options(17)[..], &names()].concat()));
    hidden.push(v6("two sorts of options", 0, &[&options(60)[..], &options(17), &names()].concat()));
    hidden.push(v6("a first fragment", 44, &[&first(17)[..], &names()].concat()));
    let cut = [&first(60)[..], &[17, 7, 1, 38], &text("tag")].concat();
    hidden.push(v6("a first fragment that ends before the ports", 44, &cut));
    let far = Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 9).octets();
    for kind in [0, 2, 4] {
        let route = [&[17, 2, kind, 1, 0, 0, 0, 0][..], &far, &ports(4000, &text("tag"))].concat();
        hidden.push(v6(&format!("a routing header of type {kind}"), 43, &route));
    }
    hidden
}

#[test]
fn no_header_hides_a_port_or_a_destination() {
    only_beneath_iptables(&hidden()).unwrap();
}

/// Neighbour discovery to addresses beyond the link. Routers forward it.
fn neighbours_elsewhere() -> Vec<Forged> {
    let mut frames = Vec::new();
    for to in ["2001:db8:9::9", "2001:db8:7::7", "fd77::1", "ff05::1", "ff0e::1"] {
        for kind in [135, 136] {
            let bytes = neighbour(to.parse().unwrap(), kind, &text("tag"));
            frames.push(forged(&format!("{kind} to {to}"), IPV6, ethernet(IPV6, &bytes)));
        }
    }
    frames
}

#[test]
fn neighbour_discovery_stays_on_the_link() {
    only_beneath_iptables(&neighbours_elsewhere()).unwrap();
    with_lab(|lab| {
        let near =
            ["2001:db8:1::1", "2001:db8:1::77", "fd00:0:0:1::1", "fe80::1", "ff02::1:ff00:1", "ff02::1"];
        let asked = |to: &str, kind: u8| {
            let bytes = neighbour(to.parse().unwrap(), kind, &text("tag"));
            forged(&format!("{kind} to {to}"), IPV6, ethernet(IPV6, &bytes))
        };
        let frames: Vec<Forged> = near.iter().flat_map(|to| [135, 136].map(|kind| asked(to, kind))).collect();
        for backend in [Backend::Nft, Backend::NftablesAlone] {
            backend.lock(lab, KNOWN)?;
            let left = leave(lab, &frames)?;
            ensure!(left.len() == frames.len(), "only these left with {backend:?}: {left:#?}");
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_link_with_a_ppp_name_and_another_kind_opens_nothing() {
    with_lab(|lab| {
        let batch = "link add ppp0 type veth peer name far\naddr add 10.9.9.1/24 dev ppp0\n\
             link set ppp0 up\nlink set far up\n";
        lab.host().command(["ip", "-batch", "-"]).stdin(batch).succeed()?;
        let session =
            |protocol: [u8; 2], inside: &[u8]| [&[0x11, 0, 0, 1, 0, 200][..], &protocol, inside].concat();
        let frames = [
            forged("IPv4 in a session", PPPOE_SESSION, {
                ethernet(PPPOE_SESSION, &session([0, 0x21], &udp("203.0.113.9", 4000)))
            }),
            forged("a session's own", PPPOE_SESSION, {
                ethernet(PPPOE_SESSION, &session([0xc0, 0x21], &text("tag")))
            }),
            forged("IPv4 called a search", PPPOE_DISCOVERY, {
                ethernet(PPPOE_DISCOVERY, &udp("203.0.113.9", 4000))
            }),
        ];
        Backend::Nft.lock(lab, KNOWN)?;
        ensure!(leave(lab, &frames)?.is_empty(), "{:?}", leave(lab, &frames)?);
        Ok(())
    })
    .unwrap();
}

#[test]
fn what_a_link_needs_leaves_by_its_own_name() {
    with_lab(|lab| {
        let arp = [&[0, 1, 8, 0, 6, 4, 0, 1][..], &[0; 20], &text("tag")].concat();
        let padded = |bytes: &[u8]| [bytes, &text("tag")].concat();
        let group = |last| [1, 0x80, 0xc2, 0, 0, last];
        let needed = [
            forged("ARP", ARP, ethernet(ARP, &arp)),
            forged("ARP that the kernel reads", 0, ethernet(ARP, &arp)),
            forged("the key exchange of Wi-Fi", EAPOL, ethernet(EAPOL, &padded(&[2, 3, 0, 0]))),
            forged("802.1X", EAPOL, ethernet_to(group(3), EAPOL, &padded(&[2, 1, 0, 0]))),
            forged("bonding", SLOW, ethernet_to(group(2), SLOW, &padded(&[1, 1]))),
            forged("LLDP", LLDP, ethernet_to(group(14), LLDP, &padded(&[2, 7]))),
            forged("spanning tree", 4, ethernet_to(group(0), 38, &padded(&[0x42, 0x42, 3, 0, 0]))),
            forged("PPPoE's search", PPPOE_DISCOVERY, {
                ethernet_to([255; 6], PPPOE_DISCOVERY, &padded(&[0x11, 9, 0, 0, 0, 17]))
            }),
            forged("the LAN", IPV4, ethernet(IPV4, &udp("10.0.0.5", 4000))),
            forged("the LAN, read by the kernel", 0, ethernet(IPV4, &udp("10.0.0.5", 4000))),
            forged("the LAN by IPv6", IPV6, ethernet(IPV6, &udp("fd00:0:0:1::1", 4000))),
            forged("UDP-Lite on the LAN", IPV4, {
                let to: IpAddr = "10.0.0.5".parse()?;
                ethernet(IPV4, &packet(to, 136, 64, &ports(4000, &text("tag"))))
            }),
            forged("a later fragment on the LAN", IPV4, {
                let mut bytes = udp("10.0.0.5", 53);
                bytes[7] = 4;
                ethernet(IPV4, &bytes)
            }),
        ];
        for backend in [Backend::Nft, Backend::NftablesAlone] {
            backend.lock(lab, KNOWN)?;
            let left = leave(lab, &needed)?;
            ensure!(left.len() == needed.len(), "only these left with {backend:?}: {left:#?}");
        }
        Ok(())
    })
    .unwrap();
}
