//! Ports, networks and message types that a standard fixes, each with its standard. They depend on no
//! configuration and no situation.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::HopLimit;
use crate::net::{Family, Port, PortRange};

/// The ports that names are looked up on.
pub(super) const NAME_SERVERS: [Port; 2] = [Port::DNS, Port::DNS_OVER_TLS];
/// Web pages, and so the sign-in page of a captive portal.
pub(super) const HTTP: Port = Port::fixed(80);
/// The same, encrypted.
pub(super) const HTTPS: Port = Port::fixed(443);
/// mDNS (RFC 6762).
pub(super) const MDNS: Port = Port::fixed(5353);
/// SSDP (UPnP Device Architecture).
pub(super) const SSDP: Port = Port::fixed(1900);

/// mDNS is sent with 255 (RFC 6762, 11), or by a program that asks once with the default of a socket. No
/// router forwards its groups.
pub(super) const MDNS_HOPS: [HopLimit; 2] = [HopLimit::Exactly(255), HopLimit::Exactly(1)];
/// SSDP is sent with 4 (UPnP Device Architecture 1.0), 2 (1.1 and later) or less.
pub(super) const SSDP_HOPS: [HopLimit; 1] = [HopLimit::Below(5)];
/// How long answers to a question to a group may come, in seconds. A device may wait for up to 5 seconds (UPnP Device
/// Architecture 1.1, 1.3.3).
pub(super) const ANSWER_SECONDS: u8 = 6;
/// The ports that the kernel chooses for a program that asks once (`net.ipv4.ip_local_port_range`, its default).
pub(super) const ASKING_PORTS: PortRange = PortRange::from_to(Port::fixed(32768), Port::fixed(60999));

/// WS-Discovery (OASIS WS-Discovery 1.1, 2.4).
pub(super) const WS_DISCOVERY: Port = Port::fixed(3702);
/// LocalSend, for its announcements and for its transfers.
pub(super) const LOCALSEND: Port = Port::fixed(53317);
/// KDE Connect, for its announcements.
pub(super) const KDE_CONNECT: Port = Port::fixed(1716);
/// KDE Connect, for its connections.
pub(super) const KDE_CONNECT_LINKS: PortRange = PortRange::from_to(Port::fixed(1714), Port::fixed(1764));
/// Echo and discard, on which a magic packet is sent.
pub(super) const WAKE_ON_LAN: [Port; 2] = [Port::fixed(7), Port::fixed(9)];

/// Neighbour discovery is sent with 255, which no router leaves as it is (RFC 4861, 3.1).
pub(super) const FROM_THIS_LINK: u8 = 255;
/// IGMP (RFC 3376, 4) and MLD (RFC 3810, 5) go one hop.
pub(super) const ONE_HOP: u8 = 1;

/// Types of ICMPv6 messages (IANA, ICMPv6 Parameters).
pub(super) mod icmpv6 {
    pub(in crate::policy) const ECHO_REPLY: u8 = 129;
    pub(in crate::policy) const LISTENER_QUERY: u8 = 130;
    pub(in crate::policy) const LISTENER_REPORT: u8 = 131;
    pub(in crate::policy) const LISTENER_DONE: u8 = 132;
    pub(in crate::policy) const ROUTER_SOLICITATION: u8 = 133;
    pub(in crate::policy) const ROUTER_ADVERTISEMENT: u8 = 134;
    pub(in crate::policy) const NEIGHBOUR_SOLICITATION: u8 = 135;
    pub(in crate::policy) const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
    pub(in crate::policy) const LISTENER_REPORT_V2: u8 = 143;
}

/// The type of an answer to a ping (RFC 792, RFC 4443).
pub(super) const fn echo_reply(family: Family) -> u8 {
    match family {
        Family::V4 => 0,
        Family::V6 => icmpv6::ECHO_REPLY,
    }
}

/// The port of a DHCP client (RFC 2131, RFC 8415).
pub(super) const fn dhcp_client(family: Family) -> Port {
    match family {
        Family::V4 => Port::fixed(68),
        Family::V6 => Port::fixed(546),
    }
}

/// The port of a DHCP server or relay.
pub(super) const fn dhcp_server(family: Family) -> Port {
    match family {
        Family::V4 => Port::fixed(67),
        Family::V6 => Port::fixed(547),
    }
}

/// Where a client looks for a DHCP server on its link: broadcast, or the group of servers and relays.
pub(super) const fn dhcp_group(family: Family) -> IpNet {
    match family {
        Family::V4 => v4([255, 255, 255, 255], 32),
        Family::V6 => v6([0xff02, 0, 0, 0, 0, 0, 1, 2], 128),
    }
}

/// Where a DHCP server can be: in the group, or at a private address. At a public address anybody could
/// listen on its port.
pub(super) fn dhcp_servers(family: Family) -> Vec<IpNet> {
    let group = dhcp_group(family);
    match family {
        Family::V4 => [group].into_iter().chain(PRIVATE_V4).collect(),
        Family::V6 => vec![group, v6([0xff05, 0, 0, 0, 0, 0, 1, 3], 128), LINK_LOCAL, UNIQUE_LOCAL],
    }
}

/// RFC 1918 and RFC 3927.
const PRIVATE_V4: [IpNet; 4] =
    [v4([10, 0, 0, 0], 8), v4([172, 16, 0, 0], 12), v4([192, 168, 0, 0], 16), v4([169, 254, 0, 0], 16)];
/// RFC 4193.
const UNIQUE_LOCAL: IpNet = v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7);
/// RFC 4291, 2.5.6.
pub(super) const LINK_LOCAL: IpNet = v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10);
/// Groups that stay on their link (RFC 4291, 2.7).
pub(super) const LINK_GROUPS: IpNet = v6([0xff02, 0, 0, 0, 0, 0, 0, 0], 16);
/// Every group of IPv6.
pub(super) const GROUPS_V6: IpNet = v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8);
/// Every group of IPv4.
pub(super) const GROUPS_V4: IpNet = v4([224, 0, 0, 0], 4);
/// The routers on a link.
pub(super) const ALL_ROUTERS: IpNet = v6([0xff02, 0, 0, 0, 0, 0, 0, 2], 128);

/// Addresses that are not routed on the internet, where the host's own containers and virtual machines are.
pub(super) fn private(family: Family) -> Vec<IpNet> {
    match family {
        Family::V4 => PRIVATE_V4.to_vec(),
        Family::V6 => vec![UNIQUE_LOCAL, LINK_LOCAL, LINK_GROUPS],
    }
}

/// The group of mDNS.
pub(super) const fn mdns_group(family: Family) -> IpNet {
    match family {
        Family::V4 => v4([224, 0, 0, 251], 32),
        Family::V6 => v6([0xff02, 0, 0, 0, 0, 0, 0, 0xfb], 128),
    }
}

/// The groups of SSDP: of the link, and in IPv6 of the site.
pub(super) fn ssdp_groups(family: Family) -> Vec<IpNet> {
    match family {
        Family::V4 => vec![v4([239, 255, 255, 250], 32)],
        Family::V6 => {
            vec![v6([0xff02, 0, 0, 0, 0, 0, 0, 0xc], 128), v6([0xff05, 0, 0, 0, 0, 0, 0, 0xc], 128)]
        }
    }
}

/// The groups of WS-Discovery. That of IPv4 is the group of SSDP.
pub(super) const fn ws_discovery_group(family: Family) -> IpNet {
    match family {
        Family::V4 => v4([239, 255, 255, 250], 32),
        Family::V6 => v6([0xff02, 0, 0, 0, 0, 0, 0, 0xc], 128),
    }
}

/// The group of LocalSend, which has none in IPv6.
pub(super) const LOCALSEND_GROUP: IpNet = v4([224, 0, 0, 167], 32);

/// Every machine on the link. No router forwards it.
pub(super) const BROADCAST: IpNet = v4([255, 255, 255, 255], 32);

const fn v4([a, b, c, d]: [u8; 4], length: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length))
}

const fn v6([a, b, c, d, e, f, g, h]: [u16; 8], length: u8) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), length))
}
