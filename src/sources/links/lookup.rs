//! Asks the kernel which way packets go: one route lookup for each range of addresses.
//!
//! The ranges lie between the bounds of all networks in all routes and rules. Every address of a range has
//! the same routes, so one answer holds for the whole range. The answers hold for packets of an ordinary user
//! without a mark. A rule that chooses by another user, a port, a protocol or a mark has no part in them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::ControlFlow;

use ipnet::IpNet;
use nix::libc;

use super::LinksError;
use super::netlink::Kernel;
use super::route::{self, RTA_UID, RTMSG};
use super::table::{attributes, next_hops, u32_at};
use crate::net::{Family, PRIVATE, octets, pieces};
use crate::netlink::{ANSWER, Message};
use crate::vpn::{RouteRange, public};

/// Maximum number of lookups for one table. If there are more ranges, only the largest are looked up. A lookup takes
/// about 3 µs.
const MAX_LOOKUPS: usize = 4096;

/// Number of requests in one datagram. Their answers have to fit into the socket's buffer.
const BATCH: usize = 64;

/// The user whose packets the lookups are for: the first user id that Debian gives to a person.
const USER: u32 = 1000;

/// linux/rtnetlink.h
const RTM_F_FIB_MATCH: u32 = 0x2000;

/// The place of the flags in `struct rtmsg`.
const FLAGS: usize = 8;

/// The first sequence number, above those of the dumps on the same socket.
const FIRST_SEQUENCE: u32 = 16;

/// Which way packets go. `bounds` are the networks of every route and rule.
pub(super) async fn ranges(
    kernel: &mut Kernel,
    bounds: &BTreeSet<IpNet>,
) -> Result<Vec<RouteRange>, LinksError> {
    let asked = asked(bounds);
    let mut answers: Vec<BTreeSet<u32>> = Vec::with_capacity(asked.len());
    for batch in asked.chunks(BATCH) {
        answers.extend(ask(kernel, batch).await?);
    }
    let mut ranges: Vec<RouteRange> = Vec::new();
    for (&(first, last), links) in asked.iter().zip(answers) {
        match ranges.last_mut() {
            Some(before) if before.links == links && follows(before.last, first) => before.last = last,
            Some(_) | None => ranges.push(RouteRange { first, last, links }),
        }
    }
    Ok(ranges)
}

/// The ranges to look up, in order: those of the internet and of private networks.
fn asked(bounds: &BTreeSet<IpNet>) -> Vec<(IpAddr, IpAddr)> {
    let of_family = |family: Family| {
        let wanted: Vec<IpNet> = public(family).networks().into_iter().chain(PRIVATE).collect();
        let all = pieces(family, bounds.iter().copied().chain(wanted.iter().copied()));
        let link_local = |address: &IpAddr| matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
        all.into_iter()
            .filter(move |(first, _)| !link_local(first) && wanted.iter().any(|net| net.contains(first)))
    };
    let mut asked: Vec<_> = Family::ALL.into_iter().flat_map(of_family).collect();
    if asked.len() > MAX_LOOKUPS {
        asked.sort_by_key(|&(first, last)| std::cmp::Reverse(size(first, last)));
        asked.truncate(MAX_LOOKUPS);
        asked.sort_unstable();
    }
    asked
}

/// The number of addresses from the first to the last. One IPv4 address counts as 2^96 IPv6 addresses, so that ranges
/// of both families can be compared.
fn size(first: IpAddr, last: IpAddr) -> u128 {
    match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => u128::from(last.to_bits() - first.to_bits()) << 96,
        (IpAddr::V6(first), IpAddr::V6(last)) => last.to_bits() - first.to_bits(),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => 0,
    }
}

fn follows(last: IpAddr, first: IpAddr) -> bool {
    match (last, first) {
        (IpAddr::V4(last), IpAddr::V4(first)) => last.to_bits().checked_add(1) == Some(first.to_bits()),
        (IpAddr::V6(last), IpAddr::V6(first)) => last.to_bits().checked_add(1) == Some(first.to_bits()),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

/// The links by which packets to each of these ranges may leave.
async fn ask(kernel: &mut Kernel, batch: &[(IpAddr, IpAddr)]) -> Result<Vec<BTreeSet<u32>>, LinksError> {
    let numbered = || batch.iter().zip(FIRST_SEQUENCE..);
    let requests: Vec<u8> = numbered().flat_map(|(&(first, _), sequence)| request(first, sequence)).collect();
    let mut answers: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    let take = |message: &Message<'_>| {
        answers.insert(message.sequence_number(), links(message));
        let done = answers.len() >= batch.len();
        Ok(if done { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    };
    kernel.ask(&requests, take).await?;
    Ok(numbered().map(|(_, sequence)| answers.remove(&sequence).unwrap_or_default()).collect())
}

/// Asks for the whole route, not only for the next hop that the kernel would choose (`RTM_F_FIB_MATCH`).
fn request(address: IpAddr, sequence: u32) -> Vec<u8> {
    let mut head = route::head(address, 0);
    head[FLAGS..RTMSG].copy_from_slice(&RTM_F_FIB_MATCH.to_ne_bytes());
    let attributes = [(libc::RTA_DST, octets(address)), (RTA_UID, USER.to_ne_bytes().to_vec())];
    route::request(head, &attributes, sequence)
}

/// The links of a route. The list is empty where the kernel has no route, or drops the packets.
fn links(message: &Message<'_>) -> BTreeSet<u32> {
    let mut links = BTreeSet::new();
    if message.message_type() == ANSWER {
        return links;
    }
    for attribute in message.payload().get(RTMSG..).into_iter().flat_map(attributes) {
        match attribute.kind() {
            libc::RTA_OIF => links.extend(u32_at(attribute.value(), 0)),
            libc::RTA_MULTIPATH => links.extend(next_hops(attribute.value())),
            _ => {}
        }
    }
    links
}
