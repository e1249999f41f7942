//! Which way packets go, as the kernel's own route lookup answers, and whether a tunnel has them all.
//!
//! No single table says it: wg-quick's default route is in a table of its own, and four `/2` routes, a
//! better metric or a policy rule lead everything past a tunnel whose default route is still there.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::Reason;
use super::{Link, LinkTable};
use crate::config::{Config, Routes};
use crate::net::{AddressSet, Family};

/// What the kernel's route lookup answers for packets of an ordinary user, without a mark.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Routing {
    /// Every range of addresses, with the links that lead to it. Empty while no tunnel is there: the
    /// kernel is not asked then.
    pub ranges: Vec<RouteRange>,
    /// Public networks on the link of an interface, by the kernel's routes without a gateway.
    pub on_link: Vec<(u32, IpNet)>,
}

/// Addresses to which packets go the same way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteRange {
    /// The first address.
    pub first: IpAddr,
    /// The last one.
    pub last: IpAddr,
    /// The links by which packets may leave, by index: several where the route has several next hops,
    /// none where there is no route.
    pub links: BTreeSet<u32>,
}

/// Which routes to a single address, past every tunnel, are a VPN's own.
#[derive(Clone, Copy)]
pub(super) enum HostRoutes<'a> {
    /// Those to its servers.
    To(&'a dyn Fn() -> &'a BTreeSet<IpAddr>),
    /// Any: its server is not known.
    All,
}

/// An address in every sixteenth of IPv4 that has unicast addresses, and in every part of IPv6 that a
/// regional registry gives out. None is in a network that is usual in a route of its own.
const SPREAD: [&str; 21] = [
    "5.99.99.99",
    "21.99.99.99",
    "37.99.99.99",
    "53.99.99.99",
    "69.99.99.99",
    "85.99.99.99",
    "101.99.99.99",
    "117.99.99.99",
    "133.99.99.99",
    "149.99.99.99",
    "165.99.99.99",
    "181.99.99.99",
    "197.99.99.99",
    "213.99.99.99",
    "2001:4860:99::99",
    "2400:99::99",
    "2600:99::99",
    "2800:99::99",
    "2a00:99::99",
    "2c00:99::99",
    "3000:99::99",
];

/// What is not of the internet: this network, private ones, loopback, multicast and what is reserved.
const NOT_PUBLIC_V4: [&str; 8] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "224.0.0.0/4",
    "240.0.0.0/4",
];

/// What is of the internet: the global unicast addresses.
const PUBLIC_V6: &str = "2000::/3";

/// How much of the internet may be routed past a tunnel that has the rest, in addresses: less than a `/8` of
/// IPv4, less than a `/11` of IPv6. The firewall refuses those packets. To call a VPN lost for one host's
/// route would let every DHCP server, and every server that pushes `net_gateway` routes, raise that alarm.
const TOLERATED: [u128; 2] = [(1 << 24) - 1, (1 << 117) - 1];

/// The shortest prefix of an uplink's own address that counts as on its link, in either family. A DHCP
/// server that gives out a shorter one claims that a large part of the internet is on the link.
const OWN_PREFIX: [u8; 2] = [16, 64];

/// The same for a route without a gateway.
pub const ON_LINK: [u8; 2] = [24, 64];

/// The number for the family of `net`, out of those for IPv4 and IPv6.
pub fn of_family(numbers: [u8; 2], net: &IpNet) -> u8 {
    if net.addr().is_ipv4() { numbers[0] } else { numbers[1] }
}

/// The addresses of the internet.
pub fn public(family: Family) -> AddressSet {
    let parsed = |text: &str| text.parse().ok();
    match family {
        Family::V4 => {
            let others = NOT_PUBLIC_V4.into_iter().filter_map(parsed);
            AddressSet::whole(family).without(&AddressSet::of(family, others))
        }
        Family::V6 => AddressSet::of(family, parsed(PUBLIC_V6)),
    }
}

impl HostRoutes<'_> {
    /// The addresses without those of the VPN's own servers.
    fn left_out_of(&self, addresses: AddressSet) -> AddressSet {
        match self {
            Self::All => addresses,
            Self::To(servers) => {
                let servers = servers().iter().copied().map(IpNet::from);
                addresses.without(&AddressSet::of(addresses.family(), servers))
            }
        }
    }
}

impl Link {
    /// Whether its routes lead everything of a family into it: a default route, or the pieces of one.
    fn has_default(&self, family: Family) -> bool {
        public(family).without(&AddressSet::of(family, self.routes.iter().copied())).is_empty()
    }
}

impl LinkTable {
    /// What a tunnel must carry, by its own routes and the kernel's answers.
    pub(super) fn required_ranges(&self, tunnel: &Link, config: &Config) -> Vec<AddressSet> {
        match &config.tunnel.routes {
            Routes::Default => self.internet_by(tunnel, config),
            Routes::Networks(networks) => {
                let into = self.into(tunnel);
                let has = |net: &IpNet| {
                    let own = tunnel.routes.iter().any(|route| route.contains(net));
                    own || !into.iter().all(|set| set.and(&of(*net)).is_empty())
                };
                if networks.iter().all(has) { networks.iter().copied().map(of).collect() } else { Vec::new() }
            }
        }
    }

    /// Why a tunnel does not carry what it must, by the kernel's routes; `None` when it does.
    pub(super) fn misrouting(
        &self,
        tunnel: &Link,
        wanted: &[AddressSet],
        config: &Config,
        own_routes: HostRoutes<'_>,
    ) -> Option<Reason> {
        if self.routing.ranges.is_empty() {
            return (!tunnel.carries(&config.tunnel.routes)).then_some(Reason::NoRoute);
        }
        // Another tunnel may have the better metric; what matters is that one carries.
        let tunnels: Vec<&Link> = self.tunnels(config).collect();
        let carried = |set: &AddressSet| {
            tunnels.iter().any(|link| self.into(link).iter().any(|into| !into.and(set).is_empty()))
        };
        if !wanted.iter().any(carried) {
            return Some(Reason::NoRoute);
        }
        let past = self.past_tunnels(config, own_routes);
        let tolerated = |family: Family| match (&config.tunnel.routes, family) {
            // A company's network has to be in the tunnel as a whole.
            (Routes::Networks(_), _) => 0,
            (Routes::Default, Family::V4) => TOLERATED[0],
            (Routes::Default, Family::V6) => TOLERATED[1],
        };
        let is_too_much = |set: &AddressSet| set.size() > tolerated(set.family());
        let too_much = |set: &AddressSet| {
            let past = past.iter().map(|past| past.and(set));
            // There may be thousands of servers: they are left out only where that can change the answer.
            past.filter(is_too_much).any(|past| is_too_much(&own_routes.left_out_of(past)))
        };
        wanted.iter().any(too_much).then_some(Reason::RoutedPast)
    }

    /// Whether the internet of a family is routed into a link, which need not be a tunnel by the configuration.
    pub(super) fn has_the_internet(&self, link: &Link, config: &Config) -> bool {
        match self.routing.ranges[..] {
            [] => link.carries(&Routes::Default),
            [..] => self
                .internet_by(link, config)
                .iter()
                .any(|net| self.into(link).iter().any(|into| !into.and(net).is_empty())),
        }
    }

    /// The internet of the families that a tunnel carries: by its own routes, or by more than three
    /// quarters of the kernel's answers. That a tunnel has no IPv6 at all is no fault: then IPv6 goes
    /// nowhere.
    fn internet_by(&self, tunnel: &Link, config: &Config) -> Vec<AddressSet> {
        let into = self.into(tunnel);
        let carries = |family: &Family| {
            let spread = SPREAD.iter().filter_map(|text| text.parse::<IpAddr>().ok());
            let spread: Vec<AddressSet> = spread
                .filter(|address| Family::of(*address) == *family)
                .map(|address| of(address.into()))
                .collect();
            let arrive = |one: &&AddressSet| into.iter().any(|set| !set.and(one).is_empty());
            tunnel.has_default(*family) || spread.iter().filter(arrive).count() * 4 > spread.len() * 3
        };
        let on_link = self.on_link(config);
        let families = Family::ALL.into_iter().filter(carries);
        families
            .map(|family| public(family).without(&AddressSet::of(family, on_link.iter().copied())))
            .collect()
    }

    /// The addresses, by family, whose packets may go into this link.
    fn into(&self, link: &Link) -> Vec<AddressSet> {
        self.ranges_by(|range| range.links.contains(&link.index))
    }

    /// Those whose packets may leave by an uplink. Where the server is not known, no route to a single
    /// address counts.
    fn past_tunnels(&self, config: &Config, own_routes: HostRoutes<'_>) -> Vec<AddressSet> {
        let inside: BTreeSet<u32> =
            self.links.iter().filter(|link| !self.is_uplink(link, config)).map(|link| link.index).collect();
        let past = |range: &RouteRange| !range.links.is_subset(&inside);
        match own_routes {
            HostRoutes::All => self.ranges_by(|range| past(range) && range.first != range.last),
            HostRoutes::To(_) => self.ranges_by(past),
        }
    }

    fn ranges_by(&self, wanted: impl Fn(&RouteRange) -> bool) -> Vec<AddressSet> {
        let ranges: Vec<&RouteRange> = self.routing.ranges.iter().filter(|range| wanted(range)).collect();
        let of_family =
            |family| AddressSet::of_ranges(family, ranges.iter().map(|range| (range.first, range.last)));
        Family::ALL.map(of_family).into()
    }

    /// Public networks that are on the link of an uplink. Nothing of them leaves, and they are no way
    /// past the tunnel for the rest.
    fn on_link(&self, config: &Config) -> Vec<IpNet> {
        let uplinks: Vec<&Link> = self.links.iter().filter(|link| self.is_uplink(link, config)).collect();
        let own = uplinks.iter().flat_map(|link| &link.addresses).map(IpNet::trunc);
        let own = own.filter(|net| net.prefix_len() >= of_family(OWN_PREFIX, net));
        let is_uplink = |index: u32| uplinks.iter().any(|link| link.index == index);
        let routes = self.routing.on_link.iter().filter(|(index, _)| is_uplink(*index));
        own.chain(routes.map(|&(_, net)| net)).collect()
    }
}

fn of(net: IpNet) -> AddressSet {
    AddressSet::of(Family::of(net.addr()), [net])
}

#[cfg(test)]
mod tests;
