//! Frames of a raw packet socket. No IP table sees them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

use anyhow::{Context, Result};
use etherparse::PacketBuilder;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{AddressFamily, LinkAddr, SockFlag, SockType, bind, socket};
use socket2::Socket;

/// A packet socket on a link.
pub(super) fn packet_socket(device: &str) -> Result<Socket> {
    let packets = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
    bind(packets.as_raw_fd(), &link_address(device)?)?;
    Ok(packets.into())
}

/// The address that binds a packet socket to a link.
pub(super) fn link_address(device: &str) -> Result<LinkAddr> {
    getifaddrs()?
        .filter(|link| link.interface_name == device)
        .find_map(|link| link.address.as_ref().and_then(|address| address.as_link_addr().copied()))
        .with_context(|| format!("no link {device}"))
}

/// A datagram to `target`, in a frame to a router, with the host's own address.
pub(super) fn frame(target: SocketAddr, payload: &[u8]) -> io::Result<Vec<u8>> {
    let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1]);
    let builder = match target.ip() {
        IpAddr::V4(to) => builder.ipv4([10, 0, 0, 2], to.octets(), 64),
        IpAddr::V6(to) => {
            let own = "fd00:0:0:1::2".parse::<std::net::Ipv6Addr>().map_err(io::Error::other)?;
            builder.ipv6(own.octets(), to.octets(), 64)
        }
    };
    let mut bytes = Vec::new();
    builder.udp(4444, target.port()).write(&mut bytes, payload).map_err(io::Error::other)?;
    Ok(bytes)
}
