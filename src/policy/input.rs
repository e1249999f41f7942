//! What may come in to the host itself.

use super::view::{Proxied, View, loopback, traffic_rules};
use super::well_known::{
    FROM_THIS_LINK, LINK_LOCAL, MDNS, ONE_HOP, dhcp_client, dhcp_server, icmpv6, mdns_group,
};
use super::{Chain, ChainName, Rule, Tracked, Verdict, lan_services};
use crate::config::{Inbound, InboundOn};
use crate::net::{Family, Transport};

pub(super) fn chains(view: &View<'_>) -> Vec<Chain> {
    vec![
        Chain { name: ChainName::RelatedAndEstablished, rules: input(view) },
        Chain { name: ChainName::VpnTunnelAddress, rules: tunnel_addresses(view) },
    ]
}

fn input(view: &View<'_>) -> Vec<Rule> {
    let accept = || view.rule(Verdict::Accept);
    let mut rules = vec![accept().input(loopback())];
    // Before replies are let in: with a packet for a tunnel's address on another link somebody finds out which
    // connections run through the tunnel (CVE-2019-14899).
    rules.push(view.rule(Verdict::Jump(ChainName::VpnTunnelAddress)));
    rules.push(accept().tracked(Tracked::Reply));
    rules.extend(link(view));
    if view.config.lan.allow && view.config.lan.multicast {
        // Answers to mDNS come to the group, if the question came from the port of mDNS. Connection tracking cannot
        // know them.
        rules.push(accept().to(mdns_group(view.family)).transport(Transport::Udp).dport(MDNS));
    }
    rules.extend(lan_services::answers(view));
    rules.extend(lan_services::inbound(view));
    rules.extend(view.inbound(InboundOn::Any).flat_map(|inbound| {
        let base = match inbound.from {
            Some(net) => accept().from(net),
            None => accept(),
        };
        traffic_rules(&inbound.traffic, &base)
    }));
    rules.extend(view.proxied().into_iter().map(|Proxied { uplink, network, transport, port }| {
        accept().from(network).input(uplink.clone()).transport(transport).dport(port)
    }));
    rules.extend(through_the_tunnel(view));
    // The container engine decides which containers reach the host. A bridge is no uplink.
    rules.extend(view.misnamed_bridges().map(|pattern| view.rule(Verdict::Drop).input(pattern)));
    rules.extend(view.bridges().map(|bridge| accept().input(bridge)));
    rules.push(view.rule(Verdict::Drop));
    rules
}

/// What comes in through the tunnel alone. A network card may have a name that a tunnel's pattern matches.
fn through_the_tunnel(view: &View<'_>) -> Vec<Rule> {
    let from = |inbound: &Inbound, base: Rule| match inbound.from {
        Some(net) => traffic_rules(&inbound.traffic, &base.from(net)),
        None => traffic_rules(&inbound.traffic, &base),
    };
    let mut rules = Vec::new();
    for inbound in &view.through_the_tunnel() {
        let shut = view.situation.shut_out.iter();
        rules.extend(shut.flat_map(|link| from(inbound, view.rule(Verdict::Drop).input(link.clone()))));
        let tunnels = view.tunnels().into_iter();
        rules.extend(tunnels.flat_map(|tunnel| from(inbound, view.rule(Verdict::Accept).input(tunnel))));
    }
    rules
}

fn tunnel_addresses(view: &View<'_>) -> Vec<Rule> {
    let own = view.situation.tunnel_addresses.iter();
    own.filter(|own| Family::of(own.address) == view.family)
        .map(|own| view.rule(Verdict::Drop).to(own.address.into()).input_not(own.interface.clone()))
        .collect()
}

/// What the link itself sends: leases that come by broadcast, neighbour discovery and MLD.
fn link(view: &View<'_>) -> Vec<Rule> {
    let accept = || view.rule(Verdict::Accept);
    let lease = accept().udp(dhcp_server(view.family), dhcp_client(view.family));
    if view.family == Family::V4 {
        return vec![lease];
    }
    let neighbours = [
        icmpv6::ROUTER_SOLICITATION,
        icmpv6::ROUTER_ADVERTISEMENT,
        icmpv6::NEIGHBOUR_SOLICITATION,
        icmpv6::NEIGHBOUR_ADVERTISEMENT,
    ];
    // A neighbour sends MLD from its link-local address (RFC 3810, 5).
    let listeners =
        [icmpv6::LISTENER_QUERY, icmpv6::LISTENER_REPORT, icmpv6::LISTENER_DONE, icmpv6::LISTENER_REPORT_V2];
    let mut rules = vec![lease.to(LINK_LOCAL)];
    rules.extend(neighbours.map(|number| accept().icmp_type(number).hop_limit(FROM_THIS_LINK)));
    rules.extend(listeners.map(|number| accept().from(LINK_LOCAL).icmp_type(number).hop_limit(ONE_HOP)));
    rules
}
