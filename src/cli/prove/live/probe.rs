//! The probes as data: the sender, the kind of packet, the destination and the link.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net};

use super::origin::{CONTAINER_LINK, Origin};
use crate::config::plain;
use crate::net::{Family, Transport};
use crate::netfilter::probe_tables::Pattern;
use crate::system;

/// Documentation networks (RFC 5737, RFC 3849). No machine has such an address.
const DOCUMENTATION: [[u8; 3]; 3] = [[192, 0, 2], [198, 51, 100], [203, 0, 113]];
const DOCUMENTATION_V6: u128 = 0x2001_0db8 << 96;

/// The ports of DNS and HTTPS, and the port `discard`, which no rule opens.
const DNS: u16 = 53;
const HTTPS: u16 = 443;
const DISCARD: u16 = 9;

/// The distance between two attempts to find an address: an odd number with well-mixed bits (2^64 divided by the golden
/// ratio).
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The lengths of an Ethernet header, of a UDP header, and of the IP headers.
const ETHERNET: u32 = 14;
const UDP_HEADER: u32 = 8;
const IP_HEADERS: [u32; 2] = [20, 40];

/// How a probe is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cli::prove) enum How {
    /// A datagram.
    Udp,
    /// A TCP SYN.
    Tcp,
    /// A datagram through a raw IP socket.
    RawIp,
    /// An echo request through a raw IP socket.
    Echo,
    /// A datagram in a frame, through a packet socket.
    Frame,
    /// A datagram in a frame to which its sender gives the EtherType of ARP.
    FrameAsArp,
}

impl How {
    /// For JSON.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::RawIp => "raw-ip",
            Self::Echo => "echo",
            Self::Frame => "frame",
            Self::FrameAsArp => "frame-as-arp",
        }
    }

    /// For people.
    pub(super) const fn in_words(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::RawIp => "UDP of a raw socket",
            Self::Echo => "an echo request",
            Self::Frame => "a frame",
            Self::FrameAsArp => "a frame that its sender calls ARP",
        }
    }

    /// Whether it passes the IP filters.
    pub(super) const fn is_routed(self) -> bool {
        !matches!(self, Self::Frame | Self::FrameAsArp)
    }
}

/// One packet to send.
#[derive(Debug, Clone)]
pub(in crate::cli::prove) struct Probe {
    pub(super) how: How,
    pub(super) origin: Arc<Origin>,
    /// The destination. Its port is 0 if the protocol has no ports.
    pub(super) to: SocketAddr,
    /// The link that its socket is bound to; for a frame of a container, the container's own.
    pub(super) on: Option<String>,
    /// The payload. No other packet has the same.
    pub(super) tag: [u8; 16],
}

impl Probe {
    pub(super) fn family(&self) -> Family {
        Family::of(self.to.ip())
    }

    /// The number of its protocol.
    pub(super) fn protocol(&self) -> u8 {
        match (self.how, self.family()) {
            (How::Tcp, _) => Transport::Tcp.number(),
            (How::Echo, Family::V4) => 1,
            (How::Echo, Family::V6) => 58,
            (How::Udp | How::RawIp | How::Frame | How::FrameAsArp, _) => Transport::Udp.number(),
        }
    }

    /// The patterns by which the net finds this probe: the tag, or the destination. So a rule that changes the
    /// destination does not hide the probe. A SYN has no payload. Its two ports replace the tag, and its connection
    /// keeps the first destination even if a rule changes the address and the ports.
    pub(super) fn patterns(&self, from: Option<u16>) -> Vec<Pattern> {
        let (protocol, to) = (self.protocol(), self.to);
        // No other packet goes to the address of a SYN, so the port is not needed.
        let port = Some(to.port()).filter(|port| *port != 0 && self.how != How::Tcp);
        let mut patterns = vec![Pattern::Destination(to.ip(), protocol, port)];
        match self.how {
            How::Tcp => {
                patterns.push(Pattern::First(to.ip(), protocol, to.port()));
                let ports = from.map(|from| [from.to_be_bytes(), to.port().to_be_bytes()].concat());
                patterns.extend(ports.map(|ports| Pattern::Transport(protocol, 0, ports)));
            }
            How::Udp | How::RawIp | How::Echo | How::Frame | How::FrameAsArp => {
                patterns.push(Pattern::Transport(protocol, UDP_HEADER, self.tag.to_vec()));
            }
        }
        if !self.how.is_routed() {
            let [v4, v6] = IP_HEADERS;
            let header = if to.is_ipv4() { v4 } else { v6 };
            patterns.push(Pattern::Frame(ETHERNET + header + UDP_HEADER, self.tag.to_vec()));
        }
        patterns
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.how.in_words(), self.to.ip())?;
        if self.to.port() != 0 {
            write!(f, " port {}", self.to.port())?;
        }
        write!(f, " from {}", plain(&self.origin.text))?;
        match &self.on {
            Some(link) => write!(f, " bound to {}", plain(link)),
            None => Ok(()),
        }
    }
}

/// What the probes are made for.
#[derive(Debug, Clone)]
pub(super) struct ProbeContext {
    pub(super) families: Vec<Family>,
    /// Links that lead out.
    pub(super) wires: Vec<String>,
    /// An ordinary user and root.
    pub(super) users: [Arc<Origin>; 2],
    pub(super) containers: Vec<Arc<Origin>>,
    /// The protocol and the port of the VPN's server.
    pub(super) vpn: (Transport, u16),
    /// Networks to which packets may go. No probe has a destination in them.
    pub(super) taken: Vec<IpNet>,
}

impl ProbeContext {
    /// The probes; `None` if the documentation networks do not have a free address for each of them.
    pub(super) fn probes(&self) -> Option<Vec<Probe>> {
        let mut used = BTreeSet::new();
        let mut probes = Vec::new();
        for &family in &self.families {
            for (how, origin, port, on) in self.kinds().into_iter().filter(|(_, from, ..)| from.has(family)) {
                let to = self.destination(family, &used)?;
                used.insert(to);
                let tag = [system::random(), system::random()].map(u64::to_be_bytes).concat();
                let tag = tag.try_into().unwrap_or_default();
                probes.push(Probe { how, origin, to: SocketAddr::new(to, port), on, tag });
            }
        }
        Some(probes)
    }

    fn kinds(&self) -> Vec<(How, Arc<Origin>, u16, Option<String>)> {
        let (transport, port) = self.vpn;
        let vpn = if transport == Transport::Tcp { How::Tcp } else { How::Udp };
        let plain = [(How::Udp, DNS), (How::Tcp, DNS), (How::Udp, HTTPS), (How::Tcp, HTTPS), (vpn, port)];
        let raw = [(How::RawIp, DISCARD), (How::Echo, 0)];
        let frames = [(How::Frame, DISCARD), (How::FrameAsArp, DISCARD)];
        let mut kinds = Vec::new();
        for on in std::iter::once(None).chain(self.wires.iter().cloned().map(Some)) {
            let [user, root] = &self.users;
            let of = |origin: &Arc<Origin>, (how, port)| (how, Arc::clone(origin), port, on.clone());
            kinds.extend(plain.map(|kind| of(user, kind)));
            kinds.extend(plain.map(|kind| of(root, kind)));
            kinds.extend(raw.map(|kind| of(root, kind)));
            if on.is_some() {
                kinds.extend(frames.map(|kind| of(root, kind)));
            }
        }
        for container in &self.containers {
            let of = |(how, port)| (how, Arc::clone(container), port, None);
            kinds.extend(plain.into_iter().chain(raw).map(of));
            // Behind a bridge, only a router takes a frame to a card.
            if container.card().is_some() {
                let on = Some(CONTAINER_LINK.to_owned());
                kinds.extend(frames.map(|(how, port)| (how, Arc::clone(container), port, on.clone())));
            }
        }
        kinds
    }

    fn destination(&self, family: Family, used: &BTreeSet<IpAddr>) -> Option<IpAddr> {
        let is_free = |address: &IpAddr| {
            !used.contains(address) && !self.taken.iter().any(|network| network.contains(address))
        };
        let random = system::random();
        match family {
            Family::V4 => {
                let networks =
                    DOCUMENTATION.map(|[a, b, c]| Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, 0), 24));
                let hosts: Vec<Ipv4Addr> = networks.iter().flat_map(Ipv4Net::hosts).collect();
                let start = usize::try_from(random % hosts.len() as u64).unwrap_or_default();
                let from_start = hosts.iter().cycle().skip(start).take(hosts.len());
                from_start.map(|host| IpAddr::V4(*host)).find(is_free)
            }
            // The random part has 2^64 addresses, so a few attempts are enough.
            Family::V6 => (0..64_u64).find_map(|n| {
                let host = u128::from(random.wrapping_add(n.wrapping_mul(STEP)));
                let address = Ipv6Addr::from_bits(DOCUMENTATION_V6 | host << 32 | u128::from(n) << 8 | 1);
                Some(IpAddr::V6(address)).filter(is_free)
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe_context(taken: &[&str]) -> ProbeContext {
        ProbeContext {
            families: Family::ALL.to_vec(),
            wires: vec!["eth0".to_owned(), "wlan0".to_owned()],
            users: [1000, 0].map(|user| Arc::new(Origin::program(user, None))),
            containers: Vec::new(),
            vpn: (Transport::Udp, 1194),
            taken: taken.iter().map(|network| network.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn each_probe_has_a_free_destination_of_its_own_in_a_documentation_network() {
        let taken = ["192.0.2.0/24", "203.0.113.0/25", "2001:db8::/33"];
        let probes = probe_context(&taken).probes().unwrap();
        let destinations: BTreeSet<IpAddr> = probes.iter().map(|probe| probe.to.ip()).collect();
        let tags: BTreeSet<[u8; 16]> = probes.iter().map(|probe| probe.tag).collect();
        assert_eq!((destinations.len(), tags.len()), (probes.len(), probes.len()));
        let networks = ["198.51.100.0/24", "203.0.113.128/25", "2001:db8:8000::/33"];
        let networks = networks.map(|network| network.parse::<IpNet>().unwrap());
        for address in destinations {
            assert!(networks.iter().any(|network| network.contains(&address)), "{address}");
        }
        let all = ["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"];
        assert!(probe_context(&all).probes().is_none());
    }

    #[test]
    fn every_sender_is_tried_on_every_link() {
        let probes = probe_context(&[]).probes().unwrap();
        // In each family: 12 without a link, and 14 on each of two links.
        assert_eq!(probes.len(), 2 * (12 + 2 * 14));
        for user in [0, 1000] {
            for on in [None, Some("eth0"), Some("wlan0")] {
                let of = |how| {
                    let mut found =
                        probes.iter().filter(|probe| probe.origin.user == user && probe.how == how);
                    found.any(|probe| probe.on.as_deref() == on)
                };
                assert!(of(How::Udp) && of(How::Tcp), "{user} {on:?}");
                assert_eq!(of(How::RawIp) && of(How::Echo), user == 0);
                assert_eq!(of(How::Frame) && of(How::FrameAsArp), user == 0 && on.is_some());
            }
        }
    }
}
