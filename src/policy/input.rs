//! What may come in to the host itself.

use super::output::MDNS;
use super::{Chain, ChainName, Rule, Tracked, Verdict, View, loopback, traffic_rules};
use crate::config::{Inbound, PublishedPorts};
use crate::net::{Family, IfName, Port, Transport};
use ipnet::IpNet;

pub(super) fn chains(view: &View<'_>) -> Vec<Chain> {
    vec![
        Chain { name: ChainName::RelatedAndEstablished, rules: input(view) },
        Chain { name: ChainName::VpnTunnelAddress, rules: tunnel_addresses(view) },
    ]
}

fn input(view: &View<'_>) -> Vec<Rule> {
    let accept = || view.rule(Verdict::Accept);
    let mut rules = vec![accept().input(loopback())];
    // Before replies are let in: a packet for a tunnel's address that comes in elsewhere is somebody
    // probing which connections run through the tunnel (CVE-2019-14899).
    rules.push(view.rule(Verdict::Jump(ChainName::VpnTunnelAddress)));
    rules.push(accept().tracked(Tracked::Reply));
    rules.extend(link(view));
    if view.config.lan.allow && view.config.lan.multicast {
        // Answers to discovery come to the group, not to us: connection tracking cannot know them.
        let group = match view.family {
            Family::V4 => crate::net::network("224.0.0.251"),
            Family::V6 => crate::net::network("ff02::fb"),
        };
        rules.extend(group.map(|net| accept().to(net).transport(Transport::Udp).dport(MDNS)));
    }
    rules.extend(view.inbound().flat_map(|inbound| {
        let base = match inbound.from {
            Some(net) => accept().from(net),
            None => accept(),
        };
        traffic_rules(&inbound.traffic, &base)
    }));
    rules.extend(view.proxied().into_iter().map(|(uplink, net, transport, port)| {
        accept().from(net).input(uplink.clone()).transport(transport).dport(port)
    }));
    // Containers reach the host where their engine lets them; a bridge is no uplink.
    rules.extend(view.shut_out_bridges().map(|pattern| view.rule(Verdict::Drop).input(pattern)));
    rules.extend(view.bridges().map(|bridge| accept().input(bridge)));
    rules.push(view.rule(Verdict::Drop));
    rules
}

fn tunnel_addresses(view: &View<'_>) -> Vec<Rule> {
    let own = view.situation.tunnel_addresses.iter();
    own.filter(|own| Family::of(own.address) == view.family)
        .map(|own| view.rule(Verdict::Drop).to(own.address.into()).input_not(own.interface.clone()))
        .collect()
}

/// What a link needs to be told: leases that come by broadcast, and neighbour discovery.
fn link(view: &View<'_>) -> Vec<Rule> {
    let accept = || view.rule(Verdict::Accept);
    match view.family {
        Family::V4 => vec![accept().udp(Port::fixed(67), Port::fixed(68))],
        Family::V6 => {
            let local = crate::net::network("fe80::/10").ok();
            let mut rules: Vec<Rule> =
                local.iter().map(|&net| accept().to(net).udp(Port::fixed(547), Port::fixed(546))).collect();
            // Router and neighbour solicitation and advertisement: from this link only (RFC 4861).
            rules.extend([133, 134, 135, 136].map(|number| accept().icmp_type(number).hop_limit(255)));
            // MLD queries, reports and done come from a neighbour's link-local address (RFC 3810).
            rules.extend(
                [130, 131, 132, 143]
                    .into_iter()
                    .flat_map(|number| local.iter().map(move |&net| (number, net)))
                    .map(|(number, net)| accept().from(net).icmp_type(number).hop_limit(1)),
            );
            rules
        }
    }
}

impl<'a> View<'a> {
    /// Published ports that docker-proxy serves on the host itself, because the container has no IPv6:
    /// from the LAN's prefixes, each on its uplink.
    pub(super) fn proxied(&self) -> Vec<(&'a IfName, IpNet, Transport, Port)> {
        if self.config.docker.published_ports == PublishedPorts::None || self.family == Family::V4 {
            return Vec::new();
        }
        let situation = self.situation;
        let lans = situation
            .uplinks
            .iter()
            .flat_map(|uplink| uplink.prefixes.iter().map(move |lan| (&uplink.interface, lan.net())));
        lans.filter(|(_, net)| Family::of(net.addr()) == Family::V6)
            .flat_map(|(uplink, net)| {
                situation.published.iter().map(move |&(transport, port)| (uplink, net, transport, port))
            })
            .collect()
    }

    /// What `input.allow` names in this family.
    pub(super) fn inbound(&self) -> impl Iterator<Item = &'a Inbound> + use<'a> {
        let family = self.family;
        let allow = &self.config.input.allow;
        allow.iter().filter(move |inbound| inbound.from.is_none_or(|net| Family::of(net.addr()) == family))
    }
}
