//! Sets host routes outside a dead tunnel, to the servers that its client may try next.
//!
//! A tunnel whose server has died still has the default route, so the client's packets to the next server would go into
//! the tunnel. A route opens nothing, because only the firewall decides what may leave. tunwarden's routes have their
//! own protocol number, and such a high metric that every other route has priority.

use std::collections::BTreeSet;
use std::net::IpAddr;

use futures_util::TryStreamExt;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteProtocol};
use rtnetlink::{Handle, RouteMessageBuilder};

use crate::vpn::Detours;

/// `rtm_protocol` of our routes. iproute2 lists no other program with this number.
const OURS: RouteProtocol = RouteProtocol::Other(177);

/// The metric of our routes. It is higher than the metrics that others use, so every other route has priority.
const METRIC: u32 = 1_194_000;

/// The main table.
const MAIN: u8 = 254;

/// Why a route could not be set.
#[derive(Debug, thiserror::Error)]
pub enum DetourError {
    /// No netlink socket.
    #[error("no netlink socket")]
    Socket(#[from] std::io::Error),
    /// The kernel refused.
    #[error("the kernel refused a route")]
    Refused(#[from] rtnetlink::Error),
}

/// Makes tunwarden's routes exactly these. First it removes routes that are not wanted any more.
///
/// # Errors
/// [`DetourError`]: then a client may not reach its next server.
pub async fn set(wanted: &Detours) -> Result<(), DetourError> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    let task = tokio::spawn(connection);
    let result = change(&handle, wanted).await;
    task.abort();
    result
}

async fn change(handle: &Handle, wanted: &Detours) -> Result<(), DetourError> {
    let mut ways = Vec::new();
    let mut there = BTreeSet::new();
    for version in [v4(), v6()] {
        let mut routes = handle.route().get(version).execute();
        while let Some(route) = routes.try_next().await? {
            if route.header.protocol == OURS {
                match destination(&route).filter(|server| wanted.servers.contains(server)) {
                    Some(server) => drop(there.insert(server)),
                    None => handle.route().del(route).execute().await?,
                }
            } else {
                ways.extend(DefaultRoute::of(&route).filter(|way| wanted.uplinks.contains(&way.link)));
            }
        }
    }
    ways.sort_by_key(|way| way.metric);
    for server in wanted.servers.difference(&there) {
        let Some(way) = ways.iter().find(|way| way.gateway.is_ipv4() == server.is_ipv4()) else { continue };
        let length = if server.is_ipv4() { 32 } else { 128 };
        let route = RouteMessageBuilder::<IpAddr>::new()
            .protocol(OURS)
            .priority(METRIC)
            .output_interface(way.link)
            .destination_prefix(*server, length)
            .and_then(|route| route.gateway(way.gateway));
        if let Ok(route) = route {
            handle.route().add(route.build()).execute().await?;
        }
    }
    Ok(())
}

fn v4() -> RouteMessage {
    RouteMessageBuilder::<std::net::Ipv4Addr>::new().build()
}

fn v6() -> RouteMessage {
    RouteMessageBuilder::<std::net::Ipv6Addr>::new().build()
}

/// A default route with a gateway.
struct DefaultRoute {
    gateway: IpAddr,
    link: u32,
    metric: u32,
}

impl DefaultRoute {
    fn of(route: &RouteMessage) -> Option<Self> {
        if route.header.destination_prefix_length != 0 || route.header.table != MAIN {
            return None;
        }
        let (mut gateway, mut link, mut metric) = (None, None, 0);
        for attribute in &route.attributes {
            if let RouteAttribute::Gateway(address) = attribute {
                gateway = ip(address);
            } else if let RouteAttribute::Oif(index) = attribute {
                link = Some(*index);
            } else if let RouteAttribute::Priority(priority) = attribute {
                metric = *priority;
            }
        }
        Some(Self { gateway: gateway?, link: link?, metric })
    }
}

fn destination(route: &RouteMessage) -> Option<IpAddr> {
    route.attributes.iter().find_map(|attribute| {
        if let RouteAttribute::Destination(address) = attribute { ip(address) } else { None }
    })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    if let RouteAddress::Inet(v4) = address {
        Some(IpAddr::V4(*v4))
    } else if let RouteAddress::Inet6(v6) = address {
        Some(IpAddr::V6(*v6))
    } else {
        None
    }
}
