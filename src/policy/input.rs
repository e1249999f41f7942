//! What may come in to the host itself.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::refusal::reported_alone;
use super::view::{Proxied, View, loopback, traffic_rules};
use super::well_known::{
    FROM_THIS_LINK, LINK_LOCAL, MDNS, ONE_HOP, dhcp_client, dhcp_server, icmpv6, mdns_group,
};
use super::{Chain, ChainName, Direction, IfMatch, Rule, Tracked, Verdict, lan_services};
use crate::config::{Inbound, InboundOn};
use crate::net::{Family, IfName, Transport};
use crate::vpn::Refusal;

pub(super) fn chains(view: &View<'_>) -> Vec<Chain> {
    vec![
        Chain { name: ChainName::RelatedAndEstablished, rules: input(view) },
        Chain { name: ChainName::VpnTunnelAddress, rules: tunnel_addresses(view) },
    ]
}

fn input(view: &View<'_>) -> Vec<Rule> {
    let accept = || view.rule(Verdict::Accept);
    let mut rules = vec![accept().input(loopback())];
    // Before replies are let in: with a packet for a tunnel's address on another link somebody could find out
    // which connections run through the tunnel (CVE-2019-14899).
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
    rules.extend(anywhere(view, &accept()));
    rules.extend(view.proxied().into_iter().map(|Proxied { uplink, network, transport, port }| {
        accept().from(network).input(uplink.clone()).transport(transport).dport(port)
    }));
    // The container engine decides which containers reach the host. A bridge is no uplink.
    rules
        .extend(view.misnamed_bridges().flat_map(|pattern| refused(view.rule(Verdict::Drop).input(pattern))));
    rules.extend(view.bridges().map(|bridge| accept().input(bridge)));
    rules.extend(refused(view.rule(Verdict::Drop)));
    rules
}

/// Packets for a tunnel's own address, and packets out of a tunnel. Other packets return to the chain for all that
/// comes in.
fn tunnel_addresses(view: &View<'_>) -> Vec<Rule> {
    let elsewhere = view.tunnel_addresses().flat_map(|own| {
        refused(view.rule(Verdict::Drop).to(own.address.into()).input_not(own.interface.clone()))
    });
    let mut rules: Vec<Rule> = elsewhere.collect();
    // The answer to a forged source on the LAN would leave on the LAN. The answer to a link-local address stays on its
    // own link.
    let lans: BTreeSet<IpNet> = view.connected_lans().map(|(_, net)| net).collect();
    let lans: Vec<IpNet> = lans.into_iter().filter(|net| !LINK_LOCAL.contains(net)).collect();
    let tunnels: BTreeSet<&IfName> = view.tunnel_addresses().map(|own| &own.interface).collect();
    let from_lan = |tunnel: &&IfName| {
        let drop = view.rule(Verdict::Drop).input((*tunnel).clone());
        lans.iter().flat_map(move |&net| refused(drop.clone().from(net))).collect::<Vec<_>>()
    };
    rules.extend(tunnels.iter().flat_map(from_lan));
    rules.extend(through_the_tunnel(view));
    // What is not let in any more is closed to connections from before, too. The next rule of the chain that jumps here
    // accepts them. Answers to connections of this machine go the other way.
    for tunnel in tunnels {
        rules.extend(anywhere(view, &view.rule(Verdict::Accept).input(tunnel.clone())));
        let known = view.rule(Verdict::Drop).input(tunnel.clone());
        rules.extend(refused(known.tracked(Tracked::Known(Direction::Original))));
    }
    rules
}

/// What refuses a packet that comes in: the kernel reports it to the agent, and drops it.
fn refused(drop: Rule) -> [Rule; 2] {
    reported_alone(drop, Refusal::Inbound)
}

/// What `input.allow` lets in anywhere.
fn anywhere(view: &View<'_>, accept: &Rule) -> Vec<Rule> {
    let rules = |inbound: &Inbound| match inbound.from {
        Some(net) => traffic_rules(&inbound.traffic, &accept.clone().from(net)),
        None => traffic_rules(&inbound.traffic, accept),
    };
    view.inbound(InboundOn::Any).flat_map(rules).collect()
}

/// What comes in through the tunnel alone, for its own address. An answer from an address of a network card might leave
/// on that card.
fn through_the_tunnel(view: &View<'_>) -> Vec<Rule> {
    let through = view.through_the_tunnel();
    let rules = |(tunnel, own): (IfMatch, IpAddr)| {
        let accept = view.rule(Verdict::Accept).input(tunnel).to(own.into());
        let inbound = |inbound: &Inbound| match inbound.from {
            Some(net) => traffic_rules(&inbound.traffic, &accept.clone().from(net)),
            None => traffic_rules(&inbound.traffic, &accept),
        };
        through.iter().flat_map(inbound).collect::<Vec<_>>()
    };
    view.open_tunnel_addresses().flat_map(rules).collect()
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
