//! The edge: sends probes while the net is in force, and reports how far each has come.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::libc::{ARPHRD_ETHER, ARPHRD_LOOPBACK};
use nix::sys::socket::{LinkAddr, bind};
use nix::unistd::{Gid, Uid, setfsgid, setfsuid};
use socket2::{Domain, Protocol, Socket, Type};

use super::containers::within;
use super::packet;
use super::probe::{How, Probe};
use super::rule::ARP;
use crate::net::Family;
use crate::netfilter::probe_tables::{ProbeRules, ProbeTables, Progress};

/// How long a packet may wait for the hardware address of its neighbour before the kernel drops it: three requests, one
/// a second (`mcast_solicit`, `retrans_time`), and a reserve. The second value is how often the progress is read.
const NEIGHBOUR: (Duration, Duration) = (Duration::from_secs(5), Duration::from_millis(50));

/// A probe that the kernel has received.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) probe: Probe,
    /// The error that the kernel returned.
    pub(super) error: Option<Errno>,
    pub(super) progress: Progress,
}

/// A probe whose socket is open.
struct Ready {
    socket: Socket,
    bytes: Vec<u8>,
    /// The source port.
    from: Option<u16>,
}

/// Sends every probe once. None of them leaves on a link of `groups`. If `groups` has all links, none leaves at all.
///
/// # Errors
/// The net could not be made or read. Then nothing was sent, or the net had dropped what was sent.
pub(super) fn send(probes: Vec<Probe>, groups: Vec<Vec<String>>) -> io::Result<Vec<Sent>> {
    let ready: Vec<io::Result<Ready>> = probes.iter().map(opened).collect();
    let patterns = probes
        .iter()
        .zip(&ready)
        .map(|(probe, ready)| probe.patterns(ready.as_ref().ok().and_then(|ready| ready.from)));
    let net = ProbeTables::make(ProbeRules { probes: patterns.collect(), groups })?;
    let errors: Vec<Option<Errno>> = probes
        .iter()
        .zip(ready)
        .map(|(probe, ready)| {
            // The socket is closed here, so the kernel does not send the SYN again.
            ready.and_then(|ready| sent(probe, &ready)).err().map(|error| errno(&error))
        })
        .collect();
    let mut progress = net.progress()?;
    let mut waited = Duration::ZERO;
    loop {
        thread::sleep(NEIGHBOUR.1);
        waited += NEIGHBOUR.1;
        let before = std::mem::replace(&mut progress, net.progress()?);
        let waiting = probes.iter().zip(&errors).zip(&progress).any(|((probe, error), progress)| {
            let has_come = progress.entered || progress.seen;
            waits(progress) || probe.origin.container.is_some() && error.is_none() && !has_come
        });
        // A container's packet may be between two chains during the first reading.
        if before == progress && (!waiting || waited >= NEIGHBOUR.0) {
            break;
        }
    }
    let all = probes.into_iter().zip(errors).zip(progress);
    Ok(all.map(|((probe, error), progress)| Sent { probe, error, progress }).collect())
}

/// Whether a packet has passed every IP filter and has not reached a link yet.
fn waits(progress: &Progress) -> bool {
    progress.passed && !progress.seen && progress.turned.is_none()
}

fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// Opens the socket of a probe as its user.
fn opened(probe: &Probe) -> io::Result<Ready> {
    let probe = probe.clone();
    if let Some(container) = &probe.origin.container {
        return within(container.namespace.try_clone()?, move || any_socket(&probe));
    }
    let (user, group) = (Uid::from_raw(probe.origin.user), Gid::from_raw(probe.origin.group));
    // The kernel's rules see the file-access user id of the thread that opens a socket. These ids end with the thread.
    // The thread keeps root's permission to bind a socket to a link.
    let thread = thread::spawn(move || {
        setfsgid(group);
        setfsuid(user);
        // The call returns the previous id. It reports no error.
        if setfsuid(user) != user {
            return Err(io::Error::from(Errno::EPERM));
        }
        any_socket(&probe)
    });
    thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that opens a socket has failed")))
}

fn any_socket(probe: &Probe) -> io::Result<Ready> {
    if probe.how.is_routed() { socket(probe) } else { packet_socket(probe) }
}

fn socket(probe: &Probe) -> io::Result<Ready> {
    let (kind, protocol) = match probe.how {
        How::Udp => (Type::DGRAM, None),
        How::Tcp => (Type::STREAM, None),
        How::RawIp | How::Echo | How::Frame | How::FrameAsArp => {
            (Type::RAW, Some(Protocol::from(i32::from(probe.protocol()))))
        }
    };
    let socket = Socket::new(Domain::for_address(probe.to), kind, protocol)?;
    socket.set_nonblocking(true)?;
    if let Some(link) = &probe.on {
        socket.bind_device(Some(link.as_bytes()))?;
    }
    let mut from = None;
    if probe.how == How::Tcp {
        // The net recognises a SYN by its ports.
        let any = match probe.family() {
            Family::V4 => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            Family::V6 => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        socket.bind(&any.into())?;
        from = socket.local_addr()?.as_socket().map(|own| own.port());
    }
    Ok(Ready { socket, bytes: packet::bytes(probe, false), from })
}

fn packet_socket(probe: &Probe) -> io::Result<Ready> {
    let link = link_address(probe.on.as_deref().unwrap_or_default())?;
    let is_ethernet = [ARPHRD_ETHER, ARPHRD_LOOPBACK].contains(&link.hatype());
    let said = match probe.how {
        How::FrameAsArp => ARP,
        How::Frame | How::Udp | How::Tcp | How::RawIp | How::Echo => probe.family().ethertype(),
    };
    let protocol = Protocol::from(i32::from(said.to_be()));
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))?;
    socket.set_nonblocking(true)?;
    bind(socket.as_raw_fd(), &link)?;
    Ok(Ready { socket, bytes: packet::bytes(probe, is_ethernet), from: None })
}

/// The address that binds a packet socket to a link.
fn link_address(name: &str) -> io::Result<LinkAddr> {
    let mut links = getifaddrs()?.filter(|link| link.interface_name == name);
    let address = links.find_map(|link| link.address.as_ref().and_then(|own| own.as_link_addr().copied()));
    address.ok_or_else(|| io::Error::from(Errno::ENODEV))
}

fn sent(probe: &Probe, ready: &Ready) -> io::Result<()> {
    let Ready { socket, bytes, .. } = ready;
    match probe.how {
        How::Tcp => match socket.connect(&probe.to.into()) {
            // There is no need to wait for the answer.
            Err(error) if errno(&error) == Errno::EINPROGRESS => Ok(()),
            answer => answer,
        },
        How::Frame | How::FrameAsArp => socket.send(bytes).map(drop),
        How::RawIp | How::Echo => {
            // For a raw IPv6 socket, a port would mean a protocol.
            let to = SocketAddr::new(probe.to.ip(), 0);
            socket.send_to(bytes, &to.into()).map(drop)
        }
        How::Udp => socket.send_to(bytes, &probe.to.into()).map(drop),
    }
}
