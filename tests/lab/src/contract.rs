//! The contract: it decides which captured frames may leave on an uplink.
//!
//! It follows the design and not the firewall's code, so that it can find faults in that code. It has no
//! state: a test sets the allowances that hold during its capture.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context, Result, bail, ensure};
use ipnet::IpNet;

use crate::frame::{Frame, Packet, Transport};

/// Ports that no allowance for the LAN covers: DNS, and DNS over TLS or QUIC.
const NAME_PORTS: [u16; 2] = [53, 853];
/// IP protocol numbers.
const TCP: u8 = 6;
const UDP: u8 = 17;
const IGMP: u8 = 2;

/// What may leave.
#[derive(Debug, Clone, Default)]
pub struct Contract {
    lans: Vec<IpNet>,
    endpoints: Vec<(SocketAddr, u8)>,
    discovery: bool,
}

impl Contract {
    /// The locked state with nothing learned: ARP, DHCP and neighbour discovery only.
    #[must_use]
    pub fn locked() -> Self {
        Self::default()
    }

    /// Allows a private prefix of the LAN, without names.
    ///
    /// # Errors
    /// When the text is not a private prefix.
    pub fn lan(mut self, prefix: &str) -> Result<Self> {
        let prefix: IpNet = prefix.parse().with_context(|| format!("{prefix:?}"))?;
        ensure!(is_private(prefix.network()), "{prefix} is not private");
        self.lans.push(prefix);
        Ok(self)
    }

    /// Allows an endpoint: `198.51.100.7:1194/udp`, `[2001:db8:7::7]:443/tcp`.
    ///
    /// # Errors
    /// When the text does not parse.
    pub fn endpoint(mut self, endpoint: &str) -> Result<Self> {
        let (address, protocol) = endpoint.split_once('/').context("ADDRESS:PORT/PROTOCOL")?;
        let protocol = match protocol {
            "udp" => UDP,
            "tcp" => TCP,
            _ => bail!("{protocol} is neither udp nor tcp"),
        };
        self.endpoints.push((address.parse().with_context(|| endpoint.to_owned())?, protocol));
        Ok(self)
    }

    /// Allows discovery by multicast: mDNS, SSDP and IGMP.
    #[must_use]
    pub fn discovery(mut self) -> Self {
        self.discovery = true;
        self
    }

    /// The clear packets among `frames`.
    #[must_use]
    pub fn clear_packets<'a>(&self, frames: &'a [Frame]) -> Vec<&'a Frame> {
        frames.iter().filter(|frame| !self.allows(&frame.packet)).collect()
    }

    /// Checks that there are no clear packets. The error lists the first of them.
    ///
    /// # Errors
    /// When there is a clear packet.
    pub fn check(&self, frames: &[Frame]) -> Result<()> {
        let clear = self.clear_packets(frames);
        if clear.is_empty() {
            return Ok(());
        }
        let listed: String = clear.iter().take(20).map(|frame| format!("\n  {frame}")).collect();
        bail!("{} clear packets of {}:{listed}", clear.len(), frames.len())
    }

    fn allows(&self, packet: &Packet) -> bool {
        match packet {
            Packet::Arp => true,
            Packet::Unreadable => false,
            Packet::Ip { destination, hop_limit, transport, .. } => {
                is_dhcp(*destination, *transport)
                    || is_neighbour_discovery(*destination, *hop_limit, *transport)
                    || self.is_endpoint(*destination, *transport)
                    || self.is_lan(*destination, *transport)
                    || self.discovery && is_discovery(*destination, *hop_limit, *transport)
            }
        }
    }

    fn is_endpoint(&self, destination: IpAddr, transport: Transport) -> bool {
        let (protocol, port) = match transport {
            Transport::Udp { to, .. } => (UDP, Some(to)),
            Transport::Tcp { to, .. } => (TCP, Some(to)),
            // A later fragment of a large tunnel packet. The port of the first fragment was checked.
            Transport::Fragment(protocol) => (protocol, None),
            Transport::Ported { .. } | Transport::Icmp(_) | Transport::Icmpv6(_) | Transport::Other(_) => {
                return false;
            }
        };
        self.endpoints.iter().any(|(address, allowed)| {
            address.ip() == destination
                && *allowed == protocol
                && port.is_none_or(|port| port == address.port())
        })
    }

    fn is_lan(&self, destination: IpAddr, transport: Transport) -> bool {
        let names = match transport {
            Transport::Udp { to, .. } | Transport::Tcp { to, .. } | Transport::Ported { to, .. } => {
                NAME_PORTS.contains(&to)
            }
            Transport::Icmp(_) | Transport::Icmpv6(_) | Transport::Fragment(_) | Transport::Other(_) => false,
        };
        !names && self.lans.iter().any(|lan| lan.contains(&destination))
    }
}

/// Whether an address is private or link-local.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

fn is_dhcp(destination: IpAddr, transport: Transport) -> bool {
    let near = is_private(destination)
        || destination.is_multicast()
        || destination == IpAddr::V4(Ipv4Addr::BROADCAST);
    let ports = if destination.is_ipv4() {
        Transport::Udp { from: 68, to: 67 }
    } else {
        Transport::Udp { from: 546, to: 547 }
    };
    near && transport == ports
}

/// The ICMPv6 messages of a host: solicitations (133, 135), advertisements (136), and reports to multicast
/// routers. A router drops them if they come from beyond the link.
fn is_neighbour_discovery(destination: IpAddr, hop_limit: u8, transport: Transport) -> bool {
    let (IpAddr::V6(_), Transport::Icmpv6(kind)) = (destination, transport) else { return false };
    match kind {
        133 => hop_limit == 255 && (destination.is_multicast() || is_private(destination)),
        135 | 136 => hop_limit == 255 && is_on_link(destination),
        131 | 132 | 143 => hop_limit == 1 && destination.is_multicast(),
        _ => false,
    }
}

/// Whether an address is on an uplink of the laboratory. Global addresses count too. A whole machine has the
/// tenth link.
fn is_on_link(destination: IpAddr) -> bool {
    let IpAddr::V6(to) = destination else { return false };
    match to.segments() {
        [0x2001, 0xdb8, 1..=5 | 0xa, 0, ..] | [0xfd00, 0, 0, 1..=5 | 0xa, ..] => true,
        [first, ..] => to.is_unicast_link_local() || first == 0xff02,
    }
}

fn is_discovery(destination: IpAddr, hop_limit: u8, transport: Transport) -> bool {
    let port = match transport {
        Transport::Udp { to, .. } => to,
        Transport::Other(IGMP) => return destination.is_multicast() && hop_limit == 1,
        Transport::Tcp { .. }
        | Transport::Ported { .. }
        | Transport::Icmp(_)
        | Transport::Icmpv6(_)
        | Transport::Fragment(_)
        | Transport::Other(_) => return false,
    };
    let name = destination.to_string();
    match port {
        5353 => ["224.0.0.251", "ff02::fb"].contains(&name.as_str()) && [1, 255].contains(&hop_limit),
        1900 => ["239.255.255.250", "ff02::c", "ff05::c"].contains(&name.as_str()) && hop_limit <= 4,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{Contract, IGMP, Packet, Result, Transport, UDP};

    fn packet(destination: &str, hop_limit: u8, transport: Transport) -> Packet {
        let destination = destination.parse().unwrap();
        Packet::Ip { source: "10.0.0.2".parse().unwrap(), destination, hop_limit, transport }
    }

    fn udp(from: u16, to: u16) -> Transport {
        Transport::Udp { from, to }
    }

    #[test]
    fn packets_that_only_look_allowed_are_clear() -> Result<()> {
        let contract = Contract::locked().lan("10.0.0.0/24")?.endpoint("198.51.100.7:1194/udp")?;
        let clear = [
            packet("198.51.100.8", 64, udp(1, 1194)),
            packet("198.51.100.7", 64, udp(1194, 53)),
            packet("198.51.100.7", 64, Transport::Tcp { from: 1, to: 1194 }),
            packet("198.51.100.7", 64, Transport::Icmp(8)),
            packet("10.0.0.1", 64, udp(1, 53)),
            packet("10.0.0.1", 64, Transport::Tcp { from: 1, to: 853 }),
            packet("10.77.0.1", 64, Transport::Icmp(8)),
            packet("203.0.113.9", 64, udp(68, 67)),
            packet("255.255.255.255", 64, udp(67, 68)),
            packet("ff02::1:2", 64, udp(546, 53)),
            packet("fe80::1", 254, Transport::Icmpv6(135)),
            packet("2001:db8:9::9", 255, Transport::Icmpv6(133)),
            packet("fe80::1", 255, Transport::Icmpv6(128)),
            packet("ff02::16", 64, Transport::Icmpv6(143)),
            packet("203.0.113.9", 255, Transport::Icmpv6(135)),
            packet("2001:db8:9::9", 255, Transport::Icmpv6(135)),
            packet("2001:db8:7::7", 255, Transport::Icmpv6(136)),
            packet("10.0.0.1", 64, Transport::Ported { protocol: 136, to: 53 }),
            packet("224.0.0.251", 1, udp(5353, 5353)),
            packet("224.0.0.22", 1, Transport::Other(IGMP)),
            Packet::Unreadable,
        ];
        for packet in clear {
            assert!(!contract.allows(&packet), "{packet:?}");
        }
        assert!(Contract::locked().lan("192.0.2.0/24").is_err());
        Ok(())
    }

    #[test]
    fn packets_that_the_contract_lists_are_not_clear() -> Result<()> {
        let contract = Contract::locked().lan("10.0.0.0/24")?.endpoint("198.51.100.7:1194/udp")?;
        let allowed = [
            Packet::Arp,
            packet("198.51.100.7", 64, udp(40_000, 1194)),
            packet("198.51.100.7", 64, Transport::Fragment(UDP)),
            packet("10.0.0.5", 64, Transport::Icmp(8)),
            packet("255.255.255.255", 64, udp(68, 67)),
            packet("ff02::1:2", 1, udp(546, 547)),
            packet("ff02::2", 255, Transport::Icmpv6(133)),
            packet("ff02::16", 1, Transport::Icmpv6(143)),
            packet("224.0.0.251", 1, udp(5353, 5353)),
            packet("224.0.0.22", 1, Transport::Other(IGMP)),
        ];
        for packet in allowed {
            assert!(contract.clone().discovery().allows(&packet), "{packet:?}");
        }
        Ok(())
    }
}
