//! What is concluded from the kernel's route lookup. A longest-prefix match takes its place here.

use super::*;
use crate::net::pieces;
use crate::vpn::LinkKind;

const ETH: u32 = 2;
const TUN: u32 = 3;
const DOCKER: u32 = 4;

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn link(index: u32, name: &str, kind: LinkKind, address: &str) -> Link {
    let (addresses, routes) = (vec![net(address)], vec![]);
    Link { addresses, routes, ..Link::plain(index, name, kind) }
}

/// Routes of the main table: a network and the links that lead there.
type Routes<'a> = &'a [(&'a str, &'a [u32])];

fn table(routes: Routes<'_>) -> LinkTable {
    let mut links = vec![
        link(ETH, "eth0", LinkKind::Other, "192.168.1.5/24"),
        link(TUN, "tun0", LinkKind::Tunnel, "10.8.0.2/24"),
        link(DOCKER, "docker0", LinkKind::Bridge, "172.17.0.1/16"),
    ];
    for link in &mut links {
        let own = routes.iter().filter(|(_, links)| links.contains(&link.index));
        link.routes = own.map(|(text, _)| net(text)).collect();
    }
    let routes: Vec<(IpNet, &[u32])> = routes.iter().map(|(text, links)| (net(text), *links)).collect();
    let way = |address: &IpAddr| {
        let there = routes.iter().filter(|(net, _)| net.contains(address));
        // Of two with the same length the later one has the better metric.
        there.max_by_key(|(net, _)| net.prefix_len()).map(|(_, links)| links.iter().copied().collect())
    };
    let all = Family::ALL.into_iter().flat_map(|family| pieces(family, routes.iter().map(|(net, _)| *net)));
    let ranges = all.map(|(first, last)| RouteRange { first, last, links: way(&first).unwrap_or_default() });
    LinkTable {
        links,
        routing: Routing { ranges: ranges.collect(), on_link: vec![] },
        ..LinkTable::default()
    }
}

/// Why tun0 does not carry what it must, with these routes and those of the LAN, of Docker's network and of the server.
fn against(routes: Routes<'_>) -> Option<Reason> {
    against_with(&Config::default(), routes)
}

fn against_with(config: &Config, routes: Routes<'_>) -> Option<Reason> {
    let usual: Routes<'_> = &[
        ("192.168.1.0/24", &[ETH]),
        ("172.17.0.0/16", &[DOCKER]),
        ("10.8.0.0/24", &[TUN]),
        ("198.51.100.7/32", &[ETH]),
    ];
    let table = table(&[usual, routes].concat());
    let servers = ["198.51.100.7".parse().unwrap()].into();
    said(&table, 1, config, HostRoutes::To(&|| &servers))
}

/// What is said against a link of the table.
fn said(table: &LinkTable, place: usize, config: &Config, own_routes: HostRoutes<'_>) -> Option<Reason> {
    let link = &table.links[place];
    table.misrouting(link, &table.required_ranges(link, config), config, own_routes)
}

fn no_server() -> &'static BTreeSet<IpAddr> {
    static NONE: BTreeSet<IpAddr> = BTreeSet::new();
    &NONE
}

fn networks(texts: &[&str]) -> Config {
    let mut config = Config::default();
    config.tunnel.routes = crate::config::Routes::Networks(texts.iter().map(|text| net(text)).collect());
    config
}

const DEFAULT: (&str, &[u32]) = ("0.0.0.0/0", &[ETH]);
const HALVES: [(&str, &[u32]); 2] = [("0.0.0.0/1", &[TUN]), ("128.0.0.0/1", &[TUN])];
const WHOLE: [(&str, &[u32]); 3] = [DEFAULT, HALVES[0], HALVES[1]];

#[test]
fn a_tunnel_that_has_the_internet_carries() {
    assert_eq!(against(&WHOLE), None);
    assert_eq!(against(&[DEFAULT, ("0.0.0.0/0", &[TUN])]), None, "by its metric");
    assert_eq!(against(&[("0.0.0.0/0", &[TUN])]), None, "and no other route at all");
    // Private networks behind the router are not the internet, nor is a neighbour.
    assert_eq!(against(&[&WHOLE[..], &[("10.0.0.0/8", &[ETH]), ("172.16.0.0/12", &[ETH])]].concat()), None);
    let public = [
        "0.0.0.0/5",
        "8.0.0.0/7",
        "11.0.0.0/8",
        "12.0.0.0/6",
        "16.0.0.0/4",
        "32.0.0.0/3",
        "64.0.0.0/2",
        "128.0.0.0/3",
        "160.0.0.0/5",
        "168.0.0.0/6",
        "172.0.0.0/12",
        "172.32.0.0/11",
        "172.64.0.0/10",
        "172.128.0.0/9",
        "173.0.0.0/8",
        "174.0.0.0/7",
        "176.0.0.0/4",
        "192.0.0.0/9",
        "192.128.0.0/11",
        "192.160.0.0/13",
        "192.169.0.0/16",
        "192.170.0.0/15",
        "192.172.0.0/14",
        "192.176.0.0/12",
        "192.192.0.0/10",
        "193.0.0.0/8",
        "194.0.0.0/7",
        "196.0.0.0/6",
        "200.0.0.0/5",
        "208.0.0.0/4",
        "169.0.0.0/9",
    ];
    let mut routes: Vec<(&str, &[u32])> = vec![DEFAULT];
    routes.extend(public.iter().map(|net| (*net, &[TUN][..])));
    assert_eq!(against(&routes), None, "WireGuard's AllowedIPs without private networks");
}

#[test]
fn a_large_part_of_the_internet_past_the_tunnel_is_seen() {
    for past in ["0.0.0.0/2", "193.0.0.0/8", "8.0.0.0/7"] {
        assert_eq!(against(&[&WHOLE[..], &[(past, &[ETH])]].concat()), Some(Reason::RoutedPast), "{past}");
    }
    let quarters: [(&str, &[u32]); 4] =
        [("0.0.0.0/2", &[ETH]), ("64.0.0.0/2", &[ETH]), ("128.0.0.0/2", &[ETH]), ("192.0.0.0/2", &[ETH])];
    assert_eq!(against(&[&WHOLE[..], &quarters].concat()), Some(Reason::NoRoute));
    assert_eq!(against(&[("0.0.0.0/0", &[TUN]), DEFAULT]), Some(Reason::NoRoute), "a better metric");
    assert_eq!(against(&[("0.0.0.0/0", &[ETH, TUN])]), Some(Reason::RoutedPast), "two next hops");
    assert_eq!(against(&[DEFAULT]), Some(Reason::NoRoute));
    assert_eq!(against(&[]), Some(Reason::NoRoute));
    assert_eq!(against(&[&WHOLE[..2], &[]].concat()), Some(Reason::NoRoute), "one half");
    // The link may be gone by now.
    assert_eq!(against(&[&WHOLE[..], &[("193.0.0.0/8", &[99])]].concat()), Some(Reason::RoutedPast));
}

#[test]
fn small_routes_past_the_tunnel_are_no_loss_until_they_add_up() {
    for past in ["203.0.113.0/24", "203.0.113.9/32", "193.0.0.0/9"] {
        assert_eq!(against(&[&WHOLE[..], &[(past, &[ETH])]].concat()), None, "{past}");
    }
    let halves: Routes<'_> = &[("193.0.0.0/9", &[ETH]), ("194.0.0.0/9", &[ETH])];
    assert_eq!(against(&[&WHOLE[..], halves].concat()), Some(Reason::RoutedPast));
}

#[test]
fn a_route_to_a_single_address_is_the_vpn_s_own_while_its_server_is_not_known() {
    let table = table(&[&WHOLE[..], &[("198.51.100.9/32", &[ETH])]].concat());
    let company = networks(&["198.51.100.0/24"]);
    assert_eq!(said(&table, 1, &company, HostRoutes::All), None);
    let none = HostRoutes::To(&no_server);
    assert_eq!(said(&table, 1, &company, none), Some(Reason::RoutedPast));
}

#[test]
fn a_public_network_on_the_link_is_no_loss_and_half_the_internet_is() {
    let on_link = |address: &str, connected: &str| {
        let mut table = table(&[&WHOLE[..], &[(connected, &[ETH])]].concat());
        table.links[0].addresses.push(net(address));
        said(&table, 1, &Config::default(), HostRoutes::To(&no_server))
    };
    assert_eq!(on_link("203.0.113.66/24", "203.0.113.0/24"), None);
    assert_eq!(on_link("203.0.113.66/20", "203.0.112.0/20"), None);
    assert_eq!(on_link("203.0.113.66/3", "192.0.0.0/3"), Some(Reason::RoutedPast), "TunnelCrack's LocalNet");
    let mut table = table(&[&WHOLE[..], &[("198.51.100.1/32", &[ETH])]].concat());
    table.routing.on_link.push((ETH, net("198.51.100.1/32")));
    let routes = HostRoutes::To(&no_server);
    assert_eq!(said(&table, 1, &Config::default(), routes), None, "the peer of a PPP link");
}

#[test]
fn a_family_that_the_tunnel_does_not_carry_is_not_asked_for() {
    let v6: (&str, &[u32]) = ("::/0", &[ETH]);
    assert_eq!(against(&[&WHOLE[..], &[v6]].concat()), None, "it is refused, and goes nowhere");
    let both = |more: Routes<'_>| against(&[&WHOLE[..], &[v6], more].concat());
    assert_eq!(both(&[("2000::/3", &[TUN])]), None);
    assert_eq!(both(&[("2000::/3", &[TUN]), ("2001:db8::/32", &[ETH])]), None);
    assert_eq!(both(&[("2000::/3", &[TUN]), ("2a00::/11", &[ETH])]), Some(Reason::RoutedPast));
    assert_eq!(against(&[&WHOLE[..], &[("::/0", &[TUN]), v6]].concat()), Some(Reason::RoutedPast));
    assert_eq!(against(&[DEFAULT, ("::/0", &[TUN])]), None, "a tunnel of IPv6 alone");
}

#[test]
fn the_networks_of_the_configuration_are_asked_for_whole() {
    let company = networks(&["10.20.0.0/16", "fd00:20::/32"]);
    let own: Routes<'_> = &[DEFAULT, ("10.20.0.0/16", &[TUN]), ("fd00:20::/32", &[TUN])];
    assert_eq!(against_with(&company, own), None);
    let lease: Routes<'_> = &[("10.20.0.0/17", &[ETH])];
    assert_eq!(against_with(&company, &[own, lease].concat()), Some(Reason::RoutedPast));
    assert_eq!(
        against_with(&company, &[own, &[("fd00:20:1::/48", &[ETH])]].concat()),
        Some(Reason::RoutedPast)
    );
    assert_eq!(against_with(&company, &own[..2]), Some(Reason::NoRoute), "one of two");
    assert_eq!(against_with(&company, &[DEFAULT]), Some(Reason::NoRoute));
    // Docker's network inside a wider network of the tunnel leads nothing past the tunnel.
    let wide = networks(&["172.16.0.0/12"]);
    assert_eq!(against_with(&wide, &[DEFAULT, ("172.16.0.0/12", &[TUN])]), None);
}

#[test]
fn one_of_two_tunnels_with_the_traffic_is_enough() {
    let mut table = table(&WHOLE);
    let mut other = link(5, "tun1", LinkKind::Tunnel, "10.9.0.2/24");
    other.routes = vec![net("0.0.0.0/0")];
    table.links.push(other);
    let routes = || HostRoutes::To(&no_server);
    assert_eq!(said(&table, 3, &Config::default(), routes()), None);
    table.links[3].routes.clear();
    assert_eq!(said(&table, 3, &Config::default(), routes()), Some(Reason::NoRoute));
}
