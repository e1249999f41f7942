//! What a rule that allows traffic outside the tunnel means: a VPN's server, the LAN, or a leak.

use ipnet::IpNet;

use super::machine::Machine;
use super::piece::{Meaning, Part, Piece, covered, left, too_narrow};
use super::rule::{AddressMatch, Protocol, Rule};
use crate::net::{Port, Transport};

/// UDP ports of services that are not VPNs. Packets to them would leave in clear.
const UDP_SERVICES: [u16; 16] =
    [19, 53, 67, 68, 69, 111, 123, 137, 138, 161, 162, 514, 853, 1900, 5353, 5355];
/// Ports on which VPN servers listen.
const VPN_PORTS: [(u16, u16); 5] = [(500, 500), (1194, 1210), (1701, 1701), (4500, 4500), (51820, 51899)];

/// The meaning of a rule for traffic outside the tunnel.
pub(super) fn outside(rule: &Rule, machine: &Machine) -> Meaning {
    if let Some(why) = too_narrow(rule) {
        return left(why);
    }
    if rule.from.is_some() {
        return left("it names a source address, and no key can do that");
    }
    if let Some(owner) = &rule.owner
        && !["root", "0", "nm-openvpn", "openvpn"].contains(&owner.as_str())
    {
        return left(format!(
            "it allows the user {owner} to send in clear; only the user of a VPN client may do that"
        ));
    }
    if names_dns(rule) {
        return left("DNS never leaves outside the tunnel");
    }
    match &rule.to {
        Some(to) if is_this_machine(to) => covered("loopback is always open"),
        Some(AddressMatch::Networks(nets)) if nets.iter().all(crate::net::is_private) => lan(rule, nets),
        Some(AddressMatch::Networks(nets)) if nets.iter().all(is_multicast) => {
            left("it allows multicast; lan.multicast allows only discovery (mDNS, SSDP)")
        }
        Some(AddressMatch::Networks(nets)) => {
            let hosts: Vec<String> =
                nets.iter()
                    .filter(|net| net.prefix_len() == net.max_prefix_len())
                    .map(|net| {
                        if net.addr().is_ipv6() {
                            format!("[{}]", net.addr())
                        } else {
                            net.addr().to_string()
                        }
                    })
                    .collect();
            if hosts.len() < nets.len() {
                return left("it allows packets to a public network in clear");
            }
            if nets.iter().all(|net| machine.servers.contains(&net.addr())) {
                return covered("a saved VPN profile names this server");
            }
            servers(rule, &hosts)
        }
        Some(AddressMatch::Name(name)) => servers(rule, std::slice::from_ref(name)),
        Some(AddressMatch::But(_)) => left("it allows packets in clear to everything except one network"),
        None => anywhere(rule),
    }
}

fn is_this_machine(to: &AddressMatch) -> bool {
    match to {
        AddressMatch::Networks(nets) => nets.iter().all(|net| net.addr().is_loopback()),
        AddressMatch::Name(name) => {
            let name = name.to_ascii_lowercase();
            ["localhost", "ip6-localhost", "ip6-loopback"].contains(&name.as_str())
                || name.ends_with(".localhost")
        }
        AddressMatch::But(_) => false,
    }
}

fn is_multicast(net: &IpNet) -> bool {
    net.addr().is_multicast()
}

fn names_dns(rule: &Rule) -> bool {
    rule.ports.as_ref().is_some_and(|ports| ports.iter().all(|port| [(53, 53), (853, 853)].contains(port)))
}

fn lan(rule: &Rule, nets: &[IpNet]) -> Meaning {
    let whole = rule.protocol.is_none() && rule.ports.is_none() && rule.owner.is_none();
    let piece = |net: &IpNet| {
        let network = whole && net.prefix_len() < net.max_prefix_len();
        Some(Piece::Lan(net.to_string().parse().ok()?, if network { Part::Whole } else { Part::Some }))
    };
    Meaning::Pieces(nets.iter().filter_map(piece).collect())
}

/// The single ports of a rule, if they are few and of one transport.
fn single_ports(rule: &Rule) -> Option<Vec<(Transport, Port)>> {
    let transport = match rule.protocol {
        Some(Protocol::Udp) => Transport::Udp,
        Some(Protocol::Tcp) => Transport::Tcp,
        Some(Protocol::Icmp | Protocol::Other(_)) | None => return None,
    };
    let ports = rule.ports.as_ref()?.iter().map(|&(first, last)| {
        let port = Port::try_from(i64::from(first)).ok().filter(|_| first == last)?;
        Some((transport, port))
    });
    ports.collect()
}

/// Whether a VPN's server can listen on this port. For TCP, only ports count that no other service uses.
fn is_vpn(transport: Transport, port: Port) -> bool {
    match transport {
        Transport::Udp => !UDP_SERVICES.contains(&port.get()),
        Transport::Tcp => VPN_PORTS.iter().any(|&(first, last)| (first..=last).contains(&port.get())),
    }
}

fn servers(rule: &Rule, hosts: &[String]) -> Meaning {
    let Some(ports) = single_ports(rule) else {
        return left("it allows more than the port of a VPN server in clear");
    };
    if ports.iter().any(|(_, port)| port.is_dns()) {
        return left("it allows DNS in clear beside other ports, and DNS never leaves outside the tunnel");
    }
    if let Some((transport, port)) = ports.iter().find(|(transport, port)| !is_vpn(*transport, *port)) {
        let host = hosts.first().map(String::as_str).unwrap_or_default();
        return left(format!(
            "it allows packets in clear; if this is your VPN's server, add \"{host}:{port}/{transport}\" to bootstrap.servers"
        ));
    }
    let mut pieces = Vec::new();
    for host in hosts {
        for (transport, port) in &ports {
            match format!("{host}:{port}/{transport}").parse() {
                Ok(server) => pieces.push(Piece::Server(server)),
                Err(_) => return left(format!("{host} is not the address of a server")),
            }
        }
    }
    Meaning::Pieces(pieces)
}

/// The meaning of a rule for any address: only the port of a VPN server is carried over.
fn anywhere(rule: &Rule) -> Meaning {
    let Some(ports) = single_ports(rule) else { return left("it allows packets in clear to any address") };
    if ports.is_empty() || !ports.iter().all(|&(transport, port)| is_vpn(transport, port)) {
        return left(
            "it allows packets in clear to any address; if this is your VPN's port, add the server to bootstrap.servers",
        );
    }
    Meaning::Pieces(ports.into_iter().map(|(transport, port)| Piece::Port(transport, port)).collect())
}
