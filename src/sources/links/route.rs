//! Which way the kernel sends one packet.

use std::io;
use std::net::IpAddr;
use std::ops::ControlFlow;

use nix::libc;

use super::LinksError;
use super::netlink::Kernel;
use super::table::{attributes, u32_at};
use crate::net::octets;
use crate::netlink::{ANSWER, Message, REQUEST, attribute, error_number, message};

/// linux/rtnetlink.h
pub(super) const RTA_UID: u16 = 25;
const RTA_IP_PROTO: u16 = 27;
const RTA_DPORT: u16 = 29;

/// The length of `struct rtmsg`, and the position of the route's type in it.
pub(super) const RTMSG: usize = 12;
const TYPE: usize = 7;

/// The first packet of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// Where to.
    pub destination: IpAddr,
    /// The number of its protocol.
    pub protocol: u8,
    /// The port there.
    pub port: u16,
    /// Who sends it.
    pub sender: Sender,
}

/// Who sends a packet.
#[derive(Debug, Clone, Copy)]
pub enum Sender {
    /// A program of this user id, with this source if it has one already.
    User(u32, Option<IpAddr>),
    /// A container of this address behind the bridge of this index.
    Bridge(IpAddr, u32),
}

/// The kernel's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// To this machine itself, with this source if a program sends it.
    Here(Option<IpAddr>),
    /// Out on the link of this index, with this source if a program sends it.
    Out(u32, Option<IpAddr>),
    /// The kernel has no route, or one that refuses.
    Nowhere,
}

/// Asks the kernel's own route lookup.
///
/// # Errors
/// The kernel does not answer, or its lookup fails for another reason than that there is no route.
pub async fn route(asked: Asked) -> Result<Route, LinksError> {
    let mut kernel = Kernel::connect()?;
    let mut found = Err(LinksError::Truncated);
    let take = |message: &Message<'_>| {
        found = read(message).map_err(LinksError::Route);
        Ok(ControlFlow::Break(()))
    };
    kernel.ask(&asks(&asked), take).await?;
    found
}

fn asks(asked: &Asked) -> Vec<u8> {
    let source = match asked.sender {
        Sender::User(_, source) => source.map_or(0, bits),
        Sender::Bridge(source, _) => bits(source),
    };
    let mut attributes = vec![
        (libc::RTA_DST, octets(asked.destination)),
        (RTA_IP_PROTO, vec![asked.protocol]),
        (RTA_DPORT, asked.port.to_be_bytes().to_vec()),
    ];
    match asked.sender {
        Sender::User(uid, source) => {
            attributes.push((RTA_UID, uid.to_ne_bytes().to_vec()));
            attributes.extend(source.map(|source| (libc::RTA_SRC, octets(source))));
        }
        Sender::Bridge(source, index) => {
            attributes.push((libc::RTA_SRC, octets(source)));
            attributes.push((libc::RTA_IIF, index.to_ne_bytes().to_vec()));
        }
    }
    request(head(asked.destination, source), &attributes, 1)
}

/// `struct rtmsg` of a question: family at 0, the lengths of the destination and of the source at 1 and 2.
pub(super) fn head(destination: IpAddr, source: u8) -> [u8; RTMSG] {
    let family = match destination {
        IpAddr::V4(_) => libc::AF_INET,
        IpAddr::V6(_) => libc::AF_INET6,
    };
    let mut head = [0; RTMSG];
    head[..3].copy_from_slice(&[u8::try_from(family).unwrap_or_default(), bits(destination), source]);
    head
}

/// A question for one route, with these attributes.
pub(super) fn request(head: [u8; RTMSG], attributes: &[(u16, Vec<u8>)], sequence: u32) -> Vec<u8> {
    let attributes = attributes.iter().flat_map(|(kind, value)| attribute(*kind, value));
    let body: Vec<u8> = head.into_iter().chain(attributes).collect();
    message(libc::RTM_GETROUTE, REQUEST, sequence, &body)
}

/// Number of bits of an address.
fn bits(address: IpAddr) -> u8 {
    u8::try_from(octets(address).len() * 8).unwrap_or_default()
}

/// The errors of a lookup without a route, or with one that refuses: `unreachable`, `prohibit`, `blackhole`.
const NO_ROUTE: [i32; 4] = [libc::ENETUNREACH, libc::EHOSTUNREACH, libc::EACCES, libc::EINVAL];

fn read(message: &Message<'_>) -> io::Result<Route> {
    let payload = message.payload();
    if message.message_type() == ANSWER {
        let code = error_number(payload).unwrap_or_default().saturating_neg();
        return match NO_ROUTE.contains(&code) {
            true => Ok(Route::Nowhere),
            false => Err(io::Error::from_raw_os_error(code)),
        };
    }
    let (mut link, mut source) = (None, None);
    for attribute in payload.get(RTMSG..).into_iter().flat_map(attributes) {
        match attribute.kind() {
            libc::RTA_OIF => link = u32_at(attribute.value(), 0),
            libc::RTA_PREFSRC => source = address(attribute.value()),
            _ => {}
        }
    }
    match (payload.get(TYPE).copied(), link) {
        (Some(libc::RTN_LOCAL | libc::RTN_ANYCAST), _) => Ok(Route::Here(source)),
        (Some(libc::RTN_UNICAST | libc::RTN_BROADCAST | libc::RTN_MULTICAST), Some(link)) => {
            Ok(Route::Out(link, source))
        }
        (Some(libc::RTN_BLACKHOLE | libc::RTN_UNREACHABLE | libc::RTN_PROHIBIT | libc::RTN_THROW), _) => {
            Ok(Route::Nowhere)
        }
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::messages;

    fn answered(kind: u16, body: &[u8]) -> io::Result<Route> {
        let bytes = message(kind, 0, 1, body);
        let one = messages(&bytes).next().unwrap().unwrap();
        read(&one)
    }

    #[test]
    fn only_a_lookup_without_a_route_is_none() {
        for code in [libc::ENETUNREACH, libc::EHOSTUNREACH, libc::EACCES, libc::EINVAL] {
            assert_eq!(answered(ANSWER, &(-code).to_ne_bytes()).unwrap(), Route::Nowhere);
        }
        for code in [libc::ENODEV, libc::EPERM, libc::ENOBUFS, libc::EXDEV, libc::EOPNOTSUPP, 0] {
            let error = answered(ANSWER, &(-code).to_ne_bytes()).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(code));
        }
        assert!(answered(ANSWER, &[]).is_err());
        let of_type = |kind: u8| {
            let mut head = [0; RTMSG];
            head[TYPE] = kind;
            answered(libc::RTM_NEWROUTE, &head)
        };
        assert_eq!(of_type(libc::RTN_BLACKHOLE).unwrap(), Route::Nowhere);
        assert_eq!(of_type(libc::RTN_LOCAL).unwrap(), Route::Here(None));
        assert!(of_type(libc::RTN_UNICAST).is_err(), "no link");
    }
}
