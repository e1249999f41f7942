//! Host routes past a dead tunnel, to the servers that its client may go on to.
//!
//! A tunnel whose server has died still holds the default route, and its client's packets to the next
//! server would go into the tunnel. The firewall alone says who may send what there: a route opens
//! nothing. Ours are told from all others by their protocol number, and yield to any other.

use std::collections::BTreeSet;
use std::net::IpAddr;

use futures_util::TryStreamExt;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteProtocol};
use rtnetlink::{Handle, RouteMessageBuilder};

use crate::vpn::Detours;

/// `rtm_protocol` of our routes; iproute2 knows no other program by it.
const OURS: RouteProtocol = RouteProtocol::Other(177);

/// Behind everybody else's.
const METRIC: u32 = 1_194_000;

/// The main table.
const MAIN: u8 = 254;

/// Why a route could not be set.
#[derive(Debug, thiserror::Error)]
pub enum DetourError {
    /// No netlink socket.
    #[error("no netlink socket")]
    Socket(#[from] std::io::Error),
    /// The kernel said no.
    #[error("the kernel refused a route")]
    Refused(#[from] rtnetlink::Error),
}

/// Has exactly these routes of ours: what is not wanted any more goes first.
///
/// # Errors
/// [`DetourError`]: then a client that goes on to its next server may not find the way.
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
                ways.extend(Way::of(&route).filter(|way| wanted.uplinks.contains(&way.link)));
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
struct Way {
    gateway: IpAddr,
    link: u32,
    metric: u32,
}

impl Way {
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
