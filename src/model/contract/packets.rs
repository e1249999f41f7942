//! The packets of the contract, as conditions.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Allowed;
use crate::config::TrafficRule;
use crate::model::frames;
use crate::model::layout::Field;
use crate::model::rule::Match;
use crate::net::{Endpoint, Family, PortRange, Transport};

pub(super) const UDP: u8 = 17;
const TCP: u8 = 6;
pub(super) const IGMP: u8 = 2;
/// Protocols whose packets begin with ports: TCP, UDP, DCCP, SCTP and UDP-Lite.
const PORTED: [u8; 5] = [TCP, UDP, 33, 132, 136];

/// Ports of DNS and of DNS over TLS.
const DNS: [u16; 2] = [53, 853];

/// EtherTypes.
const IPV4: u128 = 0x0800;
const IPV6: u128 = 0x86dd;

/// A packet of IPv4 or IPv6 in a frame with the same EtherType: without a link header, or on Ethernet, with or without
/// a VLAN tag.
pub(super) fn in_frame(family: Family, packet: Allowed) -> Vec<Allowed> {
    let ethertype = if family == Family::V4 { IPV4 } else { IPV6 };
    let whole = [packet, vec![Match::is(Field::Parsed, 1)]].concat();
    let with = |frame: Allowed| [frame, whole.clone()].concat();
    let bare = vec![Match::is(Field::FrameRead, 0)];
    let plain = frames::ethertype(ethertype);
    let tagged = frames::tagged(ethertype);
    [bare, plain].into_iter().chain(tagged).map(with).collect()
}

pub(super) fn number(transport: Transport) -> u8 {
    match transport {
        Transport::Udp => UDP,
        Transport::Tcp => TCP,
    }
}

pub(super) fn to_port(transport: Transport, port: u16) -> Allowed {
    [vec![Match::protocol(number(transport))], Match::port(Field::DestinationPort, [port; 2])].concat()
}

pub(super) fn to_endpoint(endpoint: &Endpoint) -> Allowed {
    let to = vec![Match::to(&IpNet::from(endpoint.address()))];
    [to, to_port(endpoint.transport(), endpoint.port().get())].concat()
}

/// The packet does not go to a DNS port, by any protocol with ports, and its port can be read. A later fragment has no
/// port.
pub(super) fn no_dns(family: Family) -> Match {
    let ported = Match::Any(PORTED.map(|protocol| vec![Match::protocol(protocol)]).to_vec());
    let to = |port: u16| vec![Match::is(Field::DestinationPort, port.into())];
    let other = Match::Any(DNS.map(to).to_vec()).not();
    Match::Any(vec![
        vec![Match::later_fragment(family)],
        vec![ported.not()],
        vec![Match::is(Field::PortRead, 1), other],
    ])
}

/// The packet has no source route (IPv4) and no routing header (IPv6). The model recognises a source route by the
/// length of the header. IGMP is an exception, because it always has an option.
pub(super) fn on_its_way(family: Family) -> Match {
    match family {
        Family::V4 => Match::Any(vec![
            vec![Match::protocol(IGMP)],
            vec![Match::part(Field::Network, [4, 4], 5, u128::MAX)],
        ]),
        Family::V6 => Match::is(Field::RoutingHeader, 0),
    }
}

pub(super) fn icmp(family: Family) -> u8 {
    match family {
        Family::V4 => 1,
        Family::V6 => 58,
    }
}

pub(super) fn answer_to(family: Family, traffic: &TrafficRule) -> Vec<Allowed> {
    match traffic {
        TrafficRule::Icmp => vec![vec![Match::protocol(icmp(family))]],
        TrafficRule::Ports(transport, ports) if ports.is_empty() => {
            vec![vec![Match::protocol(number(*transport))]]
        }
        TrafficRule::Ports(transport, ports) => {
            let from = |range: &PortRange| {
                let ports = [range.first().get(), range.last().get()];
                [vec![Match::protocol(number(*transport))], Match::port(Field::SourcePort, ports)].concat()
            };
            ports.iter().map(from).collect()
        }
        TrafficRule::To(..) => Vec::new(),
    }
}

/// From a DHCP client to a DHCP server, by their ports.
pub(super) fn dhcp(family: Family) -> Allowed {
    let (client, server) = if family == Family::V4 { (68, 67) } else { (546, 547) };
    [to_port(Transport::Udp, server), Match::port(Field::SourcePort, [client; 2])].concat()
}

/// Any sender may look for a server on the link.
pub(super) fn dhcp_search(family: Family) -> Vec<Allowed> {
    let group = if family == Family::V4 { "255.255.255.255/32" } else { "ff02::1:2/128" };
    vec![[vec![Match::to(&net(group))], dhcp(family)].concat()]
}

pub(super) fn dhcp_servers(family: Family) -> Vec<IpNet> {
    let places: &[&str] = match family {
        Family::V4 => {
            &["255.255.255.255/32", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"]
        }
        Family::V6 => &["ff02::1:2/128", "ff05::1:3/128", "fe80::/10", "fc00::/7"],
    };
    places.iter().map(|place| net(place)).collect()
}

/// Parses a network that is written in this file.
pub(super) fn net(text: &str) -> IpNet {
    // A test checks that every text in this file is a network. A wrong text would not widen the contract.
    text.parse().unwrap_or_else(|_| IpNet::from(IpAddr::from([0, 0, 0, 0])))
}
