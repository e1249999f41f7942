//! The machine's links, addresses and routes as one value, and what follows from them.
//!
//! What NetworkManager or a hook reports about a tunnel counts only if this table confirms it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::{ExactTunnel, LinkKind, PppoeSession, Routing, TunnelAddress, Uplink, Wire};
use crate::config::{Config, Routes};
use crate::net::{IfName, IfPattern};

/// Everything that the kernel reports about links at one moment. Order does not matter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinkTable {
    /// Every link of this network namespace.
    pub links: Vec<Link>,
    /// Which way packets go.
    pub routing: Routing,
    /// The link that each VLAN or macvlan sends through, by index.
    pub lower: BTreeMap<u32, u32>,
    /// The kernel's sessions of PPPoE.
    pub sessions: Vec<PppoeSession>,
    /// Links that have been uplinks before, by index, as far as they are there and no container's now.
    /// The machine remembers them; a source leaves this empty.
    pub known_uplinks: BTreeSet<u32>,
    /// Tunnels by their exact names, besides those that the configuration names. The machine knows them; a
    /// source leaves this empty.
    pub exact_tunnels: BTreeMap<IfName, BTreeSet<ExactTunnel>>,
    /// Tun devices, by index, that an ordinary user may have opened. What is routed into one may go to a
    /// program of that user's, so such a device alone is no evidence of a VPN.
    pub of_users: BTreeSet<u32>,
    /// Links, by index, that NetworkManager made for a connection that does not count. Any user can have it make
    /// one. The machine knows them; a source leaves this empty.
    pub of_connections: BTreeSet<u32>,
}

/// One network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The kernel's index, never used twice while the machine runs.
    pub index: u32,
    /// The name as the kernel gives it. Some names cannot be written in a rule.
    pub name: String,
    /// What sort of device it is.
    pub kind: LinkKind,
    /// `IFF_UP`: an administrator (or a program) has switched it on.
    pub up: bool,
    /// `IFF_LOWER_UP`: it has a carrier; for a tun device: a process holds it open.
    pub carrier: bool,
    /// The index of the bridge or bond it is a port of.
    pub master: Option<u32>,
    /// Its addresses with their prefix lengths.
    pub addresses: Vec<IpNet>,
    /// Destinations of the main table's unicast routes out of it (`0.0.0.0/0` for a default route), and of
    /// every table's for a tunnel.
    pub routes: Vec<IpNet>,
}

#[cfg(test)]
impl Link {
    /// A link that is up and has a carrier, without addresses and routes.
    pub(crate) fn plain(index: u32, name: &str, kind: LinkKind) -> Self {
        let (addresses, routes) = (Vec::new(), Vec::new());
        Self { index, name: name.to_owned(), kind, up: true, carrier: true, master: None, addresses, routes }
    }
}

/// The two halves of IPv4 that `redirect-gateway def1` routes (openvpn(8)), and those of IPv6.
const HALVES: [[&str; 2]; 2] = [["0.0.0.0/1", "128.0.0.0/1"], ["::/1", "8000::/1"]];

impl Link {
    /// Whether it is what a tunnel must be: switched on, held open and addressed. An IPv6 link-local
    /// address, which the kernel gives by itself, is no address here.
    pub fn is_addressed(&self) -> bool {
        self.up && self.carrier && !self.own_addresses().is_empty()
    }

    /// Its addresses, except those that the kernel itself assigns.
    pub fn own_addresses(&self) -> Vec<IpAddr> {
        let local = |address: &IpAddr| matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
        self.addresses.iter().map(IpNet::addr).filter(|address| !local(address)).collect()
    }

    /// The IPv6 prefixes of its addresses, except the link-local one that every link has.
    fn on_link(&self) -> Vec<IpNet> {
        let beyond = |net: &IpNet| matches!(net, IpNet::V6(v6) if !v6.addr().is_unicast_link_local());
        let mut nets: Vec<IpNet> =
            self.addresses.iter().filter(|net| beyond(net)).map(IpNet::trunc).collect();
        nets.sort();
        nets.dedup();
        nets
    }

    /// Whether it carries what a tunnel must, by its own routes.
    pub fn carries(&self, routes: &Routes) -> bool {
        let has = |net: &IpNet| self.routes.contains(net);
        match routes {
            Routes::Networks(nets) => {
                nets.iter().all(|net| self.routes.iter().any(|route| route.contains(net)))
            }
            Routes::Default => {
                let default = self.routes.iter().any(|route| route.prefix_len() == 0);
                let halves =
                    HALVES.iter().any(|half| half.iter().all(|net| net.parse().is_ok_and(|net| has(&net))));
                default || halves
            }
        }
    }
}

impl LinkTable {
    /// The link of a name.
    pub fn named(&self, name: &IfName) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name.as_str())
    }

    /// The link of a name, if it is a tunnel by the configuration and by its kind.
    pub fn tunnel(&self, name: &IfName, config: &Config) -> Option<&Link> {
        self.named(name).filter(|link| self.is_tunnel(link, config))
    }

    /// Every tunnel by name and kind.
    pub(super) fn tunnels(&self, config: &Config) -> impl Iterator<Item = &Link> {
        self.links.iter().filter(|link| self.is_tunnel(link, config))
    }

    /// Whether a link is a tunnel by the configuration and by its kind.
    pub(super) fn is_tunnel(&self, link: &Link, config: &Config) -> bool {
        named_tunnel(link, config) && link.kind.is_tunnel() || self.is_exact_tunnel(link)
    }

    /// The link of a name, if it is a bridge of containers: by the configuration, or by its ports.
    pub fn container_bridge(&self, name: &IfName, config: &Config) -> Option<&Link> {
        self.named(name).filter(|link| {
            named_bridge(link, config) && self.is_container_bridge(link) || self.is_other_bridge(link, config)
        })
    }

    /// Every bridge by its index.
    pub fn bridges(&self) -> BTreeSet<u32> {
        let bridges = self.links.iter().filter(|link| link.kind == LinkKind::Bridge);
        bridges.map(|link| link.index).collect()
    }

    /// The own addresses of every tunnel.
    pub fn tunnel_addresses(&self, config: &Config) -> Vec<TunnelAddress> {
        let mut addresses: Vec<_> = self
            .tunnels(config)
            .filter_map(|link| Some((link.name.parse::<IfName>().ok()?, link)))
            .flat_map(|(interface, link)| {
                let own = link.own_addresses().into_iter();
                own.map(move |address| TunnelAddress { interface: interface.clone(), address })
            })
            .collect();
        addresses.sort();
        addresses
    }

    /// The uplinks: neither loopback, nor tunnel, nor a bridge of containers, nor a port of one;
    /// with the LAN on each.
    pub fn uplinks(&self, config: &Config) -> Vec<Uplink> {
        let tunnels = self.tunnel_networks(config);
        self.links
            .iter()
            .filter(|link| self.is_uplink(link, config))
            .filter_map(|link| {
                let interface = link.name.parse().ok()?;
                let prefixes = self.lan_of(link, &tunnels);
                let mut addresses: Vec<_> = link.addresses.iter().map(IpNet::addr).collect();
                addresses.sort();
                let on_link = link.on_link();
                (!addresses.is_empty()).then_some(Uplink { interface, addresses, prefixes, on_link })
            })
            .collect()
    }

    /// Every link that leads out: the uplinks, the cards that are ports of one, and those that have no
    /// address yet. One that no rule can name is not among them.
    pub fn wires(&self, config: &Config) -> Vec<Wire> {
        let wire = |link: &Link| Some(Wire { interface: link.name.parse().ok()?, index: link.index });
        let mut wires: Vec<Wire> = self.leading_out(config).filter_map(wire).collect();
        wires.sort();
        wires
    }

    /// The names, as the kernel writes them, of links that lead out and that no rule can name.
    pub fn unnamed_wires(&self, config: &Config) -> Vec<String> {
        let names = self.leading_out(config).map(|link| &link.name);
        let mut names: Vec<String> = names.filter(|name| name.parse::<IfName>().is_err()).cloned().collect();
        names.sort();
        names
    }

    fn leading_out(&self, config: &Config) -> impl Iterator<Item = &Link> {
        self.links.iter().filter(|link| match link.kind {
            LinkKind::Loopback => false,
            LinkKind::Other => link.master.is_none_or(|master| !self.is_bridge_of_containers(master, config)),
            LinkKind::Veth if self.may_lead_out(link, config) => true,
            // Until it has had an address, nothing distinguishes it from a container's link.
            LinkKind::Veth
            | LinkKind::Tunnel
            | LinkKind::Ipsec
            | LinkKind::Ppp
            | LinkKind::WireGuard
            | LinkKind::OpenVpn => {
                self.known_uplinks.contains(&link.index)
                    || !link.addresses.is_empty() && self.is_uplink(link, config)
            }
            LinkKind::Bridge => self.is_uplink(link, config),
        })
    }

    /// Whether a port of a bridge may be the card of that bridge: the bridge leads out, and none of
    /// its ports is surely a card. In a virtual machine's or a container's own network the card is
    /// a veth, like the other ports.
    fn may_lead_out(&self, port: &Link, config: &Config) -> bool {
        let bridge = self.links.iter().find(|link| Some(link.index) == port.master);
        let leads_out =
            bridge.is_some_and(|bridge| bridge.kind == LinkKind::Bridge && self.is_uplink(bridge, config));
        let mut ports = self.links.iter().filter(|link| link.master == port.master);
        leads_out && ports.all(|port| port.kind != LinkKind::Other)
    }

    pub(super) fn is_bridge_of_containers(&self, index: u32, config: &Config) -> bool {
        let bridge = self.links.iter().find(|link| link.index == index);
        let name = bridge.and_then(|link| link.name.parse().ok());
        name.is_some_and(|name| self.container_bridge(&name, config).is_some())
    }

    /// The uplinks with a default route, by name.
    pub fn ways_out(&self, config: &Config) -> Vec<IfName> {
        let leads_out = |link: &&Link| link.routes.iter().any(|route| route.prefix_len() == 0);
        let uplinks = self.links.iter().filter(|link| self.is_uplink(link, config)).filter(leads_out);
        let mut names: Vec<IfName> = uplinks.filter_map(|link| link.name.parse().ok()).collect();
        names.sort();
        names
    }

    /// The broadcast addresses of the networks on every link.
    pub fn broadcasts(&self) -> BTreeSet<IpAddr> {
        let broadcast = |net: &IpNet| match net {
            IpNet::V4(v4) if v4.prefix_len() < 31 => Some(IpAddr::from(v4.broadcast())),
            IpNet::V4(_) | IpNet::V6(_) => None,
        };
        self.links.iter().flat_map(|link| &link.addresses).filter_map(broadcast).collect()
    }

    /// Addresses to which a host route leads out by an uplink.
    pub fn host_routes(&self, config: &Config) -> BTreeSet<IpAddr> {
        let routes =
            self.links.iter().filter(|link| self.is_uplink(link, config)).flat_map(|link| &link.routes);
        routes.filter(|net| net.prefix_len() == net.max_prefix_len()).map(IpNet::addr).collect()
    }

    /// Bridges of containers and virtual machines that the configuration does not name.
    pub fn other_bridges(&self, config: &Config) -> Vec<IfName> {
        let bridges = self.links.iter().filter(|link| self.is_other_bridge(link, config));
        let mut names: Vec<IfName> = bridges.filter_map(|link| link.name.parse().ok()).collect();
        names.sort();
        names
    }

    /// Links that have the name of a tunnel or of a container bridge and are none: each by its exact
    /// name, or by the narrowest pattern that covers it.
    pub fn shut_out(&self, config: &Config) -> Vec<IfPattern> {
        let posing = |link: &&Link| {
            (named_tunnel(link, config) && !link.kind.is_tunnel())
                || (named_bridge(link, config) && !self.is_container_bridge(link))
        };
        let mut patterns: Vec<_> =
            self.links.iter().filter(posing).filter_map(|link| IfPattern::covering(&link.name)).collect();
        patterns.sort();
        patterns.dedup();
        patterns
    }

    pub(super) fn is_uplink(&self, link: &Link, config: &Config) -> bool {
        let tunnel = self.is_tunnel(link, config);
        let bridge = named_bridge(link, config) && self.is_container_bridge(link);
        let bridge = bridge || self.is_other_bridge(link, config);
        link.kind != LinkKind::Loopback && link.master.is_none() && !tunnel && !bridge
    }

    /// Whether a bridge is a bridge of containers by its ports: it has some, and each is a container's.
    fn is_other_bridge(&self, link: &Link, config: &Config) -> bool {
        let named = named_bridge(link, config) || named_tunnel(link, config);
        let has_ports = self.links.iter().any(|port| port.master == Some(link.index));
        !named && has_ports && self.is_container_bridge(link)
    }

    /// A bridge without a network card among its ports and without a default route. A card in it
    /// makes it an uplink. So does a default route, because in a virtual machine's or a container's own
    /// network the card is a veth, like a container's link. A bridge that was an uplink stays one while its
    /// route is away.
    pub(super) fn is_container_bridge(&self, link: &Link) -> bool {
        let ports = self.links.iter().filter(|port| port.master == Some(link.index));
        let default_route = link.routes.iter().any(|route| route.prefix_len() == 0);
        link.kind == LinkKind::Bridge
            && !default_route
            && !self.known_uplinks.contains(&link.index)
            && ports.map(|port| port.kind).all(|kind| kind == LinkKind::Veth || kind.is_tunnel())
    }
}

pub(super) fn named_tunnel(link: &Link, config: &Config) -> bool {
    config.tunnel.interfaces.iter().any(|pattern| pattern.matches(&link.name))
}

fn named_bridge(link: &Link, config: &Config) -> bool {
    config.docker.bridges.iter().any(|pattern| pattern.matches(&link.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str, kind: LinkKind, master: Option<u32>) -> Link {
        let (up, carrier) = (true, true);
        Link { index, name: name.to_owned(), kind, up, carrier, master, addresses: vec![], routes: vec![] }
    }

    fn shut_out(port: LinkKind, route: Option<&str>) -> Vec<String> {
        let mut bridge = link(3, "br-lan", LinkKind::Bridge, None);
        bridge.routes.extend(route.map(|route| route.parse::<IpNet>().unwrap()));
        let links = vec![bridge, link(2, "port", port, Some(3))];
        let table = LinkTable { links, ..LinkTable::default() };
        table.shut_out(&Config::default()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_bridge_that_leads_out_is_no_bridge_of_containers() {
        for (port, route) in
            [(LinkKind::Other, None), (LinkKind::Veth, Some("0.0.0.0/0")), (LinkKind::Veth, Some("::/0"))]
        {
            assert_eq!(shut_out(port, route), ["br-lan"], "{port:?} {route:?}");
        }
        assert!(shut_out(LinkKind::Veth, Some("172.17.0.0/16")).is_empty());
    }
}
