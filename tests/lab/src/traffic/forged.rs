//! Frames byte by byte. A raw packet socket sends them unchanged, with a protocol that the test declares.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;

use anyhow::{Context, Result, bail};
use etherparse::{IpHeaders, PacketBuilder, PacketBuilderStep};
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::bind;
use socket2::{Domain, Protocol, Socket, Type};

use super::probe::Sent;
use super::raw::link_address;
use crate::guard;
use crate::machine::Machine;

/// The Ethernet address that the frames go to.
const TO: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// The Ethernet address that they claim to come from.
const FROM: [u8; 6] = [2, 0, 0, 0, 0, 1];

impl Machine {
    /// Sends a frame `count` times on a link, from a socket of the protocol `said`. The kernel treats the
    /// frame as this protocol. With 0 the kernel reads the protocol from the frame.
    ///
    /// # Errors
    /// When no socket can be opened; a refusal is in [`Sent`].
    pub fn forge(&self, device: &str, said: u16, frame: &[u8], count: u64) -> Result<Sent> {
        self.enter(|| send(device, said, frame, count))
    }

    /// The same from a namespace of the machine that `ip netns` has made.
    ///
    /// # Errors
    /// As [`Machine::forge`].
    pub fn forge_in(&self, name: &str, device: &str, said: u16, frame: &[u8]) -> Result<Sent> {
        let namespace = File::open(self.outside(format!("/run/netns/{name}")))?;
        guard::refuse_own_namespace(&namespace)?;
        self.enter(|| {
            setns(&namespace, CloneFlags::CLONE_NEWNET).with_context(|| name.to_owned())?;
            send(device, said, frame, 1)
        })
    }
}

/// An IP packet whose header the kernel writes.
#[derive(Debug, Clone, Copy)]
pub struct RawIp {
    /// The destination.
    pub to: IpAddr,
    /// The number of the protocol of the payload.
    pub protocol: u8,
    /// The TTL or hop limit.
    pub hop_limit: u8,
}

impl Machine {
    /// Sends one IP packet through a raw IP socket on a link. It passes every table of the kernel. The payload
    /// begins behind the IP header.
    ///
    /// # Errors
    /// When no socket can be opened; a refusal is in [`Sent`].
    pub fn raw_ip(&self, device: &str, header: RawIp, payload: &[u8]) -> Result<Sent> {
        let RawIp { to, protocol, hop_limit } = header;
        self.enter(|| {
            let (domain, hops) = (Domain::for_address((to, 0).into()), u32::from(hop_limit));
            let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(i32::from(protocol))))?;
            socket.bind_device(Some(device.as_bytes()))?;
            match to {
                IpAddr::V4(_) => {
                    socket.set_ttl_v4(hops)?;
                    socket.set_multicast_ttl_v4(hops)?;
                }
                IpAddr::V6(_) => {
                    socket.set_unicast_hops_v6(hops)?;
                    socket.set_multicast_hops_v6(hops)?;
                }
            }
            let mut sent = Sent::default();
            sent.note(socket.send_to(payload, &SocketAddr::new(to, 0).into()).map(drop));
            Ok(sent)
        })
    }
}

fn send(device: &str, said: u16, frame: &[u8], count: u64) -> Result<Sent> {
    let protocol = Protocol::from(i32::from(said.to_be()));
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))?;
    bind(socket.as_raw_fd(), &link_address(device)?)?;
    let mut sent = Sent::default();
    for _ in 0..count {
        sent.note(socket.send(frame).map(drop));
    }
    Ok(sent)
}

/// A frame of this EtherType.
#[must_use]
pub fn ethernet(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    ethernet_to(TO, ethertype, payload)
}

/// A frame of this EtherType to a given address.
#[must_use]
pub fn ethernet_to(to: [u8; 6], ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &FROM, &ethertype.to_be_bytes(), payload].concat()
}

/// What follows the EtherType of a VLAN tag: the tag, the EtherType within, and its payload.
#[must_use]
pub fn tagged(tag: u16, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&tag.to_be_bytes()[..], &ethertype.to_be_bytes(), payload].concat()
}

/// An IP packet from an address of the host's to `to`; `next` is the protocol of the payload.
#[must_use]
pub fn packet(to: IpAddr, next: u8, hop_limit: u8, payload: &[u8]) -> Vec<u8> {
    match to {
        IpAddr::V4(to) => ipv4(to, next, hop_limit, &[], payload),
        IpAddr::V6(to) => ipv6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 2), to, next, hop_limit, payload),
    }
}

/// An IPv4 packet; the options are a multiple of four bytes.
#[must_use]
pub fn ipv4(to: Ipv4Addr, next: u8, ttl: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let words = u8::try_from(5 + options.len() / 4).unwrap_or(15);
    let length = u16::try_from(20 + options.len() + payload.len()).unwrap_or(u16::MAX);
    let mut header = vec![0x40 | words, 0];
    header.extend(length.to_be_bytes());
    header.extend([0, 1, 0, 0, ttl, next, 0, 0, 10, 0, 0, 2]);
    header.extend(to.octets());
    header.extend(options);
    let sum = !ones_complement_sum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    [header, payload.to_vec()].concat()
}

/// An IP packet with a UDP datagram from one address and port to another.
///
/// # Errors
/// When the payload is too long, or the addresses are of two families.
pub fn datagram(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    header(from, to)?.udp(from.port(), to.port()).write(&mut bytes, payload)?;
    Ok(bytes)
}

/// An IP packet that opens a TCP connection from one address and port to another.
///
/// # Errors
/// When the addresses are of two families.
pub fn opening(from: SocketAddr, to: SocketAddr) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    header(from, to)?.tcp(from.port(), to.port(), 1000, 64240).syn().write(&mut bytes, &[])?;
    Ok(bytes)
}

fn header(from: SocketAddr, to: SocketAddr) -> Result<PacketBuilderStep<IpHeaders>> {
    match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => Ok(PacketBuilder::ipv4(from.octets(), to.octets(), 64)),
        (IpAddr::V6(from), IpAddr::V6(to)) => Ok(PacketBuilder::ipv6(from.octets(), to.octets(), 64)),
        (from, to) => bail!("{from} and {to} are of two families"),
    }
}

/// An IPv6 packet.
#[must_use]
pub fn ipv6(from: Ipv6Addr, to: Ipv6Addr, next: u8, hop_limit: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap_or(u16::MAX);
    let mut bytes = vec![0x60, 0, 0, 0];
    bytes.extend(length.to_be_bytes());
    bytes.extend([next, hop_limit]);
    bytes.extend(from.octets());
    bytes.extend(to.octets());
    [bytes, payload.to_vec()].concat()
}

/// The header of UDP, which also fits other protocols with ports: the ports, a length, no checksum.
#[must_use]
pub fn ports(to: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap_or(u16::MAX);
    [&4444_u16.to_be_bytes()[..], &to.to_be_bytes(), &length.to_be_bytes(), &[0, 0], payload].concat()
}

/// The message of a neighbour solicitation (135) or advertisement (136), without a checksum.
#[must_use]
pub fn neighbour_message(to: Ipv6Addr, kind: u8, payload: &[u8]) -> Vec<u8> {
    [&[kind, 0, 0, 0, 0, 0, 0, 0][..], &to.octets(), payload].concat()
}

/// A neighbour solicitation (135) or advertisement (136) with a payload behind it.
#[must_use]
pub fn neighbour(to: Ipv6Addr, kind: u8, payload: &[u8]) -> Vec<u8> {
    let from = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 2);
    let mut message = neighbour_message(to, kind, payload);
    if message.len() % 2 == 1 {
        message.push(0);
    }
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    let pseudo = [&from.octets()[..], &to.octets(), &[0, 0], &length.to_be_bytes(), &[0, 0, 0, 58], &message];
    let sum = !ones_complement_sum(&pseudo.concat());
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    ipv6(from, to, 58, 255, &message)
}

/// The one's complement sum of the Internet checksum (RFC 1071).
fn ones_complement_sum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or_default()])));
    let sum = words.sum::<u32>();
    let folded = (sum >> 16) + (sum & 0xffff);
    u16::try_from((folded >> 16) + (folded & 0xffff)).unwrap_or(u16::MAX)
}
