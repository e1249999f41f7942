//! The LAN: the private networks on the links of uplinks, less every network that belongs to a tunnel.
//!
//! A DHCP server chooses the address of an uplink. Without the subtraction a lease inside the company's
//! network would lead the traffic of the VPN out on the LAN.

use ipnet::IpNet;

use super::{Link, LinkTable};
use crate::config::{Config, Routes};
use crate::net::{AddressSet, Family, LanPrefix, is_private};

/// The shortest prefix that counts as a network of a tunnel, unless it is wholly private. A shorter one
/// is a piece of a default route: `0.0.0.0/1`, four `/2`, `2000::/3`.
const NETWORK: u8 = 8;

impl LinkTable {
    /// The networks that belong to tunnels, so that nothing in them is the LAN:
    ///
    /// - the addresses of a tunnel, and their prefixes;
    /// - its routes, except a default route and the parts of one;
    /// - `tunnel.routes`, also without a tunnel.
    pub fn tunnel_networks(&self, config: &Config) -> Vec<IpNet> {
        let configured = match &config.tunnel.routes {
            Routes::Networks(networks) => networks.clone(),
            Routes::Default => Vec::new(),
        };
        let own = self.tunnels(config).flat_map(|link| {
            let addresses = link.addresses.iter().map(IpNet::addr).map(IpNet::from);
            let prefixes = link.addresses.iter().map(IpNet::trunc).filter(is_network);
            addresses.chain(prefixes).chain(networks_of(&link.routes))
        });
        let all: Vec<IpNet> = own.chain(networks_of(&configured)).filter(|net| !is_link_local(net)).collect();
        Family::ALL
            .into_iter()
            .flat_map(|family| AddressSet::of(family, all.iter().copied()).networks())
            .collect()
    }

    /// The private networks on an uplink, less those of tunnels.
    pub(super) fn lan_of(&self, uplink: &Link, tunnels: &[IpNet]) -> Vec<LanPrefix> {
        let prefixes = uplink.addresses.iter().copied().filter_map(LanPrefix::of_interface);
        let mut prefixes: Vec<_> = prefixes.flat_map(|prefix| prefix.without(tunnels)).collect();
        prefixes.sort();
        prefixes.dedup();
        prefixes
    }
}

/// The routes of a tunnel that are networks, and neither a default route nor a piece of one.
fn networks_of(routes: &[IpNet]) -> impl Iterator<Item = IpNet> {
    let whole = |family, length| {
        let pieces = routes.iter().copied().filter(|net| net.prefix_len() <= length);
        AddressSet::of(family, pieces) == AddressSet::whole(family)
    };
    // A default route may be cut into pieces as long as a network: 256 times `/8`.
    let [v4, v6] = Family::ALL.map(|family| (0..=NETWORK).find(|&length| whole(family, length)));
    routes.iter().copied().filter(move |net| {
        let pieces = if Family::of(net.addr()) == Family::V4 { v4 } else { v6 };
        is_network(net) && pieces.is_none_or(|length| net.prefix_len() > length)
    })
}

fn is_network(net: &IpNet) -> bool {
    net.prefix_len() >= NETWORK || is_private(net)
}

/// Every link has its own link-local addresses: they belong to no network.
fn is_link_local(net: &IpNet) -> bool {
    matches!(net, IpNet::V6(v6) if v6.addr().is_unicast_link_local())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vpn::LinkKind;

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn link(index: u32, name: &str, kind: LinkKind, addresses: &[&str], routes: &[&str]) -> Link {
        let (addresses, routes) = (nets(addresses), nets(routes));
        Link { addresses, routes, ..Link::plain(index, name, kind) }
    }

    /// The LAN of an uplink with this address, beside a tunnel with this address and these routes.
    fn lan(uplink: &str, tunnel: &str, routes: &[&str], configured: &[&str]) -> Vec<String> {
        let mut config = Config::default();
        if !configured.is_empty() {
            config.tunnel.routes = Routes::Networks(nets(configured));
        }
        let mut table = LinkTable::default();
        table.links.push(link(2, "eth0", LinkKind::Other, &[uplink, "fe80::2/64"], &[]));
        if !tunnel.is_empty() {
            table.links.push(link(3, "tun0", LinkKind::Tunnel, &[tunnel, "fe80::3/64"], routes));
        }
        let uplinks = table.uplinks(&config);
        let lan = uplinks.iter().flat_map(|uplink| &uplink.prefixes);
        lan.map(ToString::to_string).filter(|prefix| prefix != "fe80::/10").collect()
    }

    #[test]
    fn a_lease_inside_the_network_of_the_vpn_removes_no_address_from_it() {
        let company = ["10.20.0.0/16"];
        // Also while the tunnel is away.
        for (tunnel, routes) in [("", &[][..]), ("10.8.0.2/24", &company[..])] {
            assert_eq!(lan("10.20.0.5/17", tunnel, routes, &company), [""; 0]);
            assert_eq!(lan("10.20.0.5/16", tunnel, routes, &company), [""; 0]);
            assert_eq!(lan("10.20.0.5/15", tunnel, routes, &company), ["10.21.0.0/16"]);
            assert_eq!(lan("192.168.1.5/24", tunnel, routes, &company), ["192.168.1.0/24"]);
        }
        assert_eq!(lan("10.20.0.5/8", "", &[], &company).len(), 8);
        assert_eq!(lan("fd00:20::5/64", "", &[], &["fd00:20::/32"]), [""; 0]);
    }

    #[test]
    fn networks_of_a_tunnel_are_not_the_lan() {
        assert_eq!(lan("10.20.0.5/17", "10.8.0.2/24", &["10.20.0.0/16"], &[]), [""; 0]);
        assert_eq!(lan("10.8.0.5/24", "10.8.0.2/24", &[], &[]), [""; 0]);
        assert_eq!(lan("10.8.0.5/31", "10.8.0.4/32", &[], &[]), ["10.8.0.5/32"]);
        // A server that pushes the machine's own LAN takes it away: closed, and nothing leaves by it.
        assert_eq!(lan("192.168.1.5/24", "10.8.0.2/24", &["0.0.0.0/0", "192.168.1.0/24"], &[]), [""; 0]);
        assert_eq!(lan("fd00::5/64", "fd99::2/64", &["::/1", "8000::/1", "fc00::/7"], &[]), [""; 0]);
        // An address with a prefix that no network has.
        assert_eq!(lan("10.8.0.2/31", "10.8.0.2/1", &[], &[]), ["10.8.0.3/32"]);
    }

    #[test]
    fn default_routes_through_the_tunnel_do_not_shrink_the_lan() {
        let eighths = |length: u32| -> Vec<String> {
            (0..1_u32 << length).map(|n| format!("{}.0.0.0/{length}", n << (8 - length))).collect()
        };
        for length in 0..=8 {
            let routes = eighths(length);
            let routes: Vec<&str> = routes.iter().map(String::as_str).collect();
            assert_eq!(lan("10.0.0.5/24", "10.8.0.2/24", &routes, &[]), ["10.0.0.0/24"], "/{length}");
            let more = [&routes[..], &["10.0.0.0/16"]].concat();
            assert_eq!(lan("10.0.0.5/24", "10.8.0.2/24", &more, &[]), [""; 0], "/{length} and a network");
        }
        for routes in [&["::/0"][..], &["::/1", "8000::/1"], &["::/3", "2000::/4", "3000::/4"]] {
            assert_eq!(lan("fd00::5/64", "fd99::2/64", routes, &[]), ["fd00::/64"], "{routes:?}");
        }
        // Everything but private networks, as WireGuard's AllowedIPs are often written.
        let public = ["0.0.0.0/5", "8.0.0.0/7", "11.0.0.0/8", "172.0.0.0/12", "172.32.0.0/11", "192.0.0.0/9"];
        assert_eq!(lan("10.0.0.5/24", "10.8.0.2/24", &public, &[]), ["10.0.0.0/24"]);
        assert_eq!(lan("172.16.0.5/24", "10.8.0.2/24", &public, &[]), ["172.16.0.0/24"]);
    }

    #[test]
    fn only_what_is_a_tunnel_by_name_and_kind_has_networks() {
        let mut table = LinkTable::default();
        for (index, name, kind) in [(2, "tun0", LinkKind::Other), (3, "ppp0", LinkKind::Tunnel)] {
            table.links.push(link(index, name, kind, &["10.8.0.2/24"], &["10.20.0.0/16"]));
        }
        assert!(table.tunnel_networks(&Config::default()).is_empty());
    }
}
