//! The gateways of a container that shares a card. They get a hardware address that nobody has, so that no request for
//! one leaves, and a probe comes to the card at once.

use std::io;
use std::net::IpAddr;

use futures_util::TryStreamExt;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};
use rtnetlink::{Handle, RouteMessageBuilder, new_connection};

use super::packet::CARD;

/// Gives each gateway of the namespace of this thread the address of [`CARD`].
///
/// # Errors
/// The kernel does not list its routes, or does not take the address.
pub(super) fn answer() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (connection, handle, _) = new_connection()?;
        let task = tokio::spawn(connection);
        let result = set(&handle).await.map_err(io::Error::other);
        task.abort();
        result
    })
}

async fn set(handle: &Handle) -> Result<(), rtnetlink::Error> {
    let v4 = RouteMessageBuilder::<std::net::Ipv4Addr>::new().build();
    let v6 = RouteMessageBuilder::<std::net::Ipv6Addr>::new().build();
    for family in [v4, v6] {
        let mut routes = handle.route().get(family).execute();
        while let Some(route) = routes.try_next().await? {
            if let Some((gateway, link)) = gateway(&route) {
                let entry = handle.neighbours().add(link, gateway).link_layer_address(&CARD);
                entry.replace().execute().await?;
            }
        }
    }
    Ok(())
}

/// The gateway of a route, and its link.
fn gateway(route: &RouteMessage) -> Option<(IpAddr, u32)> {
    let (mut gateway, mut link) = (None, None);
    for attribute in &route.attributes {
        if let RouteAttribute::Gateway(RouteAddress::Inet(v4)) = attribute {
            gateway = Some(IpAddr::V4(*v4));
        } else if let RouteAttribute::Gateway(RouteAddress::Inet6(v6)) = attribute {
            gateway = Some(IpAddr::V6(*v6));
        } else if let RouteAttribute::Oif(index) = attribute {
            link = Some(*index);
        }
    }
    Some((gateway?, link?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_route_with_a_gateway_and_a_link_has_one() {
        let of = |attributes| {
            let mut route = RouteMessage::default();
            route.attributes = attributes;
            gateway(&route)
        };
        let v4 = RouteAttribute::Gateway(RouteAddress::Inet("10.0.0.1".parse().unwrap()));
        let v6 = RouteAttribute::Gateway(RouteAddress::Inet6("fe80::1".parse().unwrap()));
        assert_eq!(of(vec![v4.clone(), RouteAttribute::Oif(3)]), Some(("10.0.0.1".parse().unwrap(), 3)));
        assert_eq!(of(vec![v6, RouteAttribute::Oif(4)]), Some(("fe80::1".parse().unwrap(), 4)));
        assert_eq!(of(vec![v4]), None);
        assert_eq!(of(vec![RouteAttribute::Oif(3)]), None);
    }
}
