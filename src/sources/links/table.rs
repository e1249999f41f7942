//! Makes a [`LinkTable`] of the kernel's messages, one at a time. Pure.
//!
//! An attribute that is unknown or malformed is skipped, because the kernel may be newer than this program. The rest of
//! the link is still read.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::{NlaBuffer, NlasIterator};
use nix::libc;

use crate::net::{Family, is_private};
use crate::vpn::{Link, LinkKind, LinkTable, ON_LINK, RouteRange, Routing, of_family, public};

/// linux/if_link.h: the user and the group that may open a tun device, and whether it stays when nobody has it open.
const IFLA_TUN_OWNER: u16 = 1;
const IFLA_TUN_GROUP: u16 = 2;
const IFLA_TUN_PERSIST: u16 = 6;
/// linux/fib_rules.h
const FRA_DST: u16 = 1;
/// linux/if_link.h: how often a link has lost its carrier.
const IFLA_CARRIER_DOWN_COUNT: u16 = 48;
/// linux/rtnetlink.h: a gateway of the other family.
const RTA_VIA: u16 = 18;

/// The kernel's names of the kinds of links that send through another link.
const ABOVE: [&str; 2] = ["vlan", "macvlan"];

/// A table that is being built: links first, then their addresses and routes.
#[derive(Default)]
pub(crate) struct Draft {
    links: BTreeMap<u32, Link>,
    /// The networks of every route and rule, in all tables.
    bounds: BTreeSet<IpNet>,
    routing: Routing,
    of_users: BTreeSet<u32>,
    lower: BTreeMap<u32, u32>,
}

impl Draft {
    /// Takes the payload of one message. It ignores messages of other kinds.
    pub(crate) fn add(&mut self, kind: u16, payload: &[u8]) {
        match kind {
            libc::RTM_NEWLINK => self.add_link(payload),
            libc::RTM_NEWADDR => self.add_address(payload),
            libc::RTM_NEWROUTE => self.add_route(payload),
            libc::RTM_NEWRULE => self.add_rule(payload),
            _ => Some(()),
        };
    }

    /// The table, sorted, so that equal tables compare equal.
    pub(crate) fn finish(self) -> LinkTable {
        let mut links: Vec<Link> = self.links.into_values().collect();
        for link in &mut links {
            link.addresses.sort();
            link.addresses.dedup();
            link.routes.sort();
            link.routes.dedup();
        }
        let mut routing = self.routing;
        if routing.ranges.is_empty() {
            // No lookup was made.
            routing.on_link.clear();
        }
        routing.on_link.sort();
        routing.on_link.dedup();
        let (of_users, lower) = (self.of_users, self.lower);
        LinkTable { links, routing, lower, of_users, ..LinkTable::default() }
    }

    /// Whether the kind of any link is that of a tunnel.
    pub(super) fn has_tunnel(&self) -> bool {
        self.links.values().any(|link| link.kind.is_tunnel())
    }

    /// The networks of every route and rule.
    pub(super) fn bounds(&self) -> &BTreeSet<IpNet> {
        &self.bounds
    }

    /// Takes the kernel's answers about which way packets go.
    pub(super) fn route(&mut self, ranges: Vec<RouteRange>) {
        self.routing.ranges = ranges;
    }

    /// `struct ifinfomsg`: index at 4, flags at 8, attributes from 16.
    fn add_link(&mut self, payload: &[u8]) -> Option<()> {
        let index = u32_at(payload, 4)?;
        let flags = u32_at(payload, 8)?;
        let has = |flag: i32| flags & flag.cast_unsigned() != 0;
        let (mut name, mut info, mut master) = (String::new(), None, None);
        let (mut of_user, mut is_released) = (false, false);
        let (mut lower, mut is_elsewhere) = (None, false);
        for attribute in attributes(payload.get(16..)?) {
            let value = attribute.value();
            match attribute.kind() {
                libc::IFLA_IFNAME => name = text(value),
                libc::IFLA_MASTER => master = u32_at(value, 0),
                libc::IFLA_LINK => lower = u32_at(value, 0),
                // The index belongs to another network namespace.
                libc::IFLA_LINK_NETNSID => is_elsewhere = true,
                // The device has lost its carrier: a program that had it open has closed it. So the device was
                // persistent.
                IFLA_CARRIER_DOWN_COUNT => is_released = u32_at(value, 0) != Some(0),
                libc::IFLA_LINKINFO => {
                    let part = |kind| attributes(value).find(move |attribute| attribute.kind() == kind);
                    info = part(libc::IFLA_INFO_KIND).map(|attribute| text(attribute.value()));
                    let data = part(libc::IFLA_INFO_DATA).filter(|_| info.as_deref() == Some("tun"));
                    of_user = data.is_some_and(|data| is_of_user(data.value()));
                }
                _ => {}
            }
        }
        let link = Link {
            index,
            name,
            kind: if has(libc::IFF_LOOPBACK) { LinkKind::Loopback } else { LinkKind::of(info.as_deref()) },
            up: has(libc::IFF_UP),
            carrier: has(libc::IFF_LOWER_UP),
            master,
            addresses: Vec::new(),
            routes: Vec::new(),
        };
        self.links.insert(index, link);
        if of_user || is_released && info.as_deref() == Some("tun") {
            self.of_users.insert(index);
        }
        // For a veth, this is the other end.
        let is_above = info.as_deref().is_some_and(|kind| ABOVE.contains(&kind)) && !is_elsewhere;
        self.lower.extend(lower.filter(|_| is_above).map(|lower| (index, lower)));
        Some(())
    }

    /// `struct ifaddrmsg`: prefix length at 1, index at 4, attributes from 8.
    fn add_address(&mut self, payload: &[u8]) -> Option<()> {
        let length = *payload.get(1)?;
        let link = self.links.get_mut(&u32_at(payload, 4)?)?;
        let (mut local, mut address) = (None, None);
        for attribute in attributes(payload.get(8..)?) {
            let value = attribute.value();
            match attribute.kind() {
                libc::IFA_LOCAL => local = ip(value),
                libc::IFA_ADDRESS => address = ip(value),
                _ => {}
            }
        }
        let net = match (local, address) {
            // Point to point: the other address and the prefix are the peer's.
            (Some(own), Some(peer)) if own != peer => own.into(),
            (Some(own), _) | (None, Some(own)) => IpNet::new(own, length).ok()?,
            (None, None) => return None,
        };
        link.addresses.push(net);
        Some(())
    }

    /// `struct rtmsg`: family at 0, destination length at 1, table, protocol and type at 4, 5 and 7,
    /// flags at 8, attributes from 12.
    fn add_route(&mut self, payload: &[u8]) -> Option<()> {
        let [family, length, _, _, table, protocol, _, route_type] = *payload.first_chunk::<8>()?;
        let flags = u32_at(payload, 8)?;
        let any: IpAddr = match i32::from(family) {
            libc::AF_INET => [0; 4].into(),
            libc::AF_INET6 => [0_u16; 8].into(),
            _ => return None,
        };
        let (mut table, mut destination, mut out) = (u32::from(table), any, Vec::new());
        let mut by_gateway = false;
        for attribute in attributes(payload.get(12..)?) {
            let value = attribute.value();
            match attribute.kind() {
                libc::RTA_TABLE => table = u32_at(value, 0)?,
                libc::RTA_DST => destination = ip(value)?,
                libc::RTA_OIF => out.push(u32_at(value, 0)?),
                libc::RTA_MULTIPATH => {
                    out.extend(next_hops(value));
                    by_gateway = true;
                }
                libc::RTA_GATEWAY | RTA_VIA => by_gateway = true,
                _ => {}
            }
        }
        let net = IpNet::new(destination, length).ok()?.trunc();
        let cached = flags & libc::RTM_F_CLONED != 0;
        if cached {
            return None;
        }
        self.bounds.insert(net);
        if route_type != libc::RTN_UNICAST || is_noise(protocol, &net) {
            return None;
        }
        if !by_gateway && is_public(&net) && net.prefix_len() >= of_family(ON_LINK, &net) {
            self.routing.on_link.extend(out.iter().map(|&index| (index, net)));
        }
        let main = table == u32::from(libc::RT_TABLE_MAIN);
        for index in out {
            // WireGuard's default route stands in a table of its own, for every packet without its mark
            // (wg-quick(8), NetworkManager's ip4-auto-default-route).
            if let Some(link) = self.links.get_mut(&index).filter(|link| main || link.kind.is_tunnel()) {
                link.routes.push(net);
            }
        }
        Some(())
    }

    /// `struct fib_rule_hdr`: family at 0, destination length at 1, attributes from 12.
    fn add_rule(&mut self, payload: &[u8]) -> Option<()> {
        let length = *payload.get(1)?;
        let destination = attributes(payload.get(12..)?).find(|attribute| attribute.kind() == FRA_DST);
        self.bounds.insert(IpNet::new(ip(destination?.value())?, length).ok()?.trunc());
        Some(())
    }
}

/// Whether an ordinary user may have a tun device open. The kernel reports an owner and a group only where they are
/// set. Without them every user may open a persistent device. A user who has the device open can change its owner, its
/// group and whether it is persistent, but cannot change how often it has lost its carrier. It loses its carrier when
/// the program that has it open closes it. A device that is not persistent ends at that moment, and only root can make
/// a new one.
fn is_of_user(data: &[u8]) -> bool {
    attributes(data).any(|attribute| match attribute.kind() {
        IFLA_TUN_OWNER | IFLA_TUN_GROUP => u32_at(attribute.value(), 0) != Some(0),
        IFLA_TUN_PERSIST => attribute.value() != [0],
        _ => false,
    })
}

/// Whether a network is part of the internet.
fn is_public(net: &IpNet) -> bool {
    !is_private(net) && public(Family::of(net.addr())).networks().iter().any(|public| public.contains(net))
}

/// Whether it is one of the routes that the kernel gives to every IPv6 link by itself.
fn is_noise(protocol: u8, net: &IpNet) -> bool {
    match net {
        IpNet::V6(v6) => {
            let address = v6.addr();
            protocol == libc::RTPROT_KERNEL && (address.is_unicast_link_local() || address.is_multicast())
        }
        IpNet::V4(_) => false,
    }
}

/// The interface indices of RTA_MULTIPATH (`struct rtnexthop`: length at 0, index at 4).
pub(super) fn next_hops(mut rest: &[u8]) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(rest, 0)?);
        let index = u32_at(rest.get(..length)?, 4)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(index)
    })
}

/// Each attribute, until the first one that is malformed.
pub(super) fn attributes(bytes: &[u8]) -> impl Iterator<Item = NlaBuffer<&[u8]>> {
    NlasIterator::new(bytes).map_while(Result::ok)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

/// A name from the kernel, which need not be UTF-8. A byte that is not becomes U+FFFD, so that no such name
/// can be taken for a plain one.
fn text(value: &[u8]) -> String {
    let end = value.iter().position(|&byte| byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(value.get(..end).unwrap_or_default()).into_owned()
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => <[u8; 4]>::try_from(value).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(value).ok().map(IpAddr::from),
        _ => None,
    }
}
