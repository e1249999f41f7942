//! What may pass through the host: containers and virtual machines.
//!
//! The same rules stand in filter, where the article puts them and people look for them, and in mangle, which
//! no container engine changes. A packet that passes here must still meet the engine's own rules: its verdict
//! is RETURN and never ACCEPT, or an `--internal` network would reach the internet.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::refusal::reported_alone;
use super::view::{View, to_name_servers};
use super::well_known::LINK_LOCAL;
use super::{Chain, ChainName, Direction, IfMatch, Protocol, Rule, Tracked, Verdict};
use crate::config::{Access, PublishedPorts};
use crate::net::{Family, IfName};
use crate::vpn::{Forwarded, ForwardedTo, Refusal, TunnelAddress};

pub(super) fn chains(view: &View<'_>) -> Vec<Chain> {
    let mut chains = vec![
        Chain { name: ChainName::DockerVpnKillSwitch, rules: kill_switch(view) },
        Chain { name: ChainName::DockerBridges, rules: bridges(view) },
    ];
    // The configuration alone decides which chains there are. A network that comes or goes changes only rules.
    if view.config.docker.networks.values().any(|&access| access == Access::Lan) {
        chains.push(Chain { name: ChainName::DockerLan, rules: lan_network(view) });
    }
    chains
}

/// Everything that is forwarded, by interface: a container can forge its source address.
fn kill_switch(view: &View<'_>) -> Vec<Rule> {
    let pass = || view.rule(Verdict::Return);
    let mut rules = elsewhere(view);
    rules.extend(view.pause(Verdict::Return));
    // Before published ports and tunnels: a network that is cut off has neither.
    rules.extend(cut_off(view));
    rules.extend(name_servers(view));
    // Before the links that are shut out: a network card may have a name that a tunnel's pattern matches, and
    // the LAN reaches published ports by it.
    rules.extend(published_ports(view));
    // After the published ports, which these networks have too (`docker.published_ports`); before the tunnel,
    // which they do not have.
    rules.extend(lan_networks(view));
    rules.extend(shut_out(view, view.reason(), Refusal::PublishedPorts));
    rules.extend(forwarded_ports(view));
    for tunnel in view.tunnels() {
        rules.extend(view.traffic(&view.config.docker.allow, &pass().output(tunnel)));
    }
    // Answers go to bridges alone: the answer to a container that is gone would follow the default route. Only
    // answers: a port that is not forwarded any more is closed to connections from before, too.
    let to_bridges = || view.rule(Verdict::Goto(ChainName::DockerBridges));
    rules.extend(
        view.tunnels()
            .into_iter()
            .map(|tunnel| to_bridges().input(tunnel).tracked(Tracked::Known(Direction::Reply))),
    );
    rules.extend(between_bridges(view));
    rules.extend([view.line(Refusal::PublishedPorts), view.rule(Verdict::Drop)]);
    rules
}

/// Packets for a tunnel's own address that come in elsewhere, and that the container engine has sent on to a
/// container. In `INPUT` the same is dropped. A container could forge its source: the answer would go through the
/// tunnel as that of a forwarded port.
fn elsewhere(view: &View<'_>) -> Vec<Rule> {
    let drop = |own: &TunnelAddress| {
        let to_it = Tracked::Rewritten(Direction::Original, own.address, None);
        reported_alone(
            view.rule(Verdict::Drop).input_not(own.interface.clone()).tracked(to_it),
            Refusal::PublishedPorts,
        )
    };
    view.tunnel_addresses().filter(|own| !LINK_LOCAL.contains(&own.address)).flat_map(drop).collect()
}

/// DNS is refused before published ports and the LAN are allowed: a router is on the LAN, and asks the ISP.
fn name_servers(view: &View<'_>) -> Vec<Rule> {
    let opens = !published_ports(view).is_empty() || with_access(view, Access::Lan).next().is_some();
    if !opens {
        return Vec::new();
    }
    let uplinks: BTreeSet<&IfName> = view.situation.uplinks.iter().map(|uplink| &uplink.interface).collect();
    let refuse = |uplink: &IfName| to_name_servers(&view.rule(Verdict::Drop).output(uplink.clone()));
    // Only UDP and TCP have a line. Resolvers use no other protocol, and each line is one more rule.
    let tell = |drop: Rule| match drop.protocol {
        Some(Protocol::Transport(_)) => reported_alone(drop, Refusal::DnsOutsideTunnel).to_vec(),
        Some(_) | None => vec![drop],
    };
    uplinks.into_iter().flat_map(refuse).flat_map(tell).collect()
}

/// Links that carry nothing: packets out on them, and packets in from them, each with the reason.
fn shut_out(view: &View<'_>, out: Refusal, inside: Refusal) -> Vec<Rule> {
    let drop = || view.rule(Verdict::Drop);
    let links = view.situation.shut_out.iter();
    let output = links.clone().flat_map(|link| reported_alone(drop().output(link.clone()), out));
    output.chain(links.flat_map(|link| reported_alone(drop().input(link.clone()), inside))).collect()
}

/// From a bridge to a bridge.
fn between_bridges(view: &View<'_>) -> impl Iterator<Item = Rule> {
    let to_bridges = || view.rule(Verdict::Goto(ChainName::DockerBridges));
    view.bridges().map(move |bridge| to_bridges().input(bridge))
}

fn with_access<'a>(view: &View<'a>, access: Access) -> impl Iterator<Item = &'a IfName> + use<'a> {
    let networks = view.situation.networks.iter();
    networks.filter(move |network| network.access == access).map(|network| &network.bridge)
}

/// Networks that are cut off: their containers reach each other, on their own bridge, and nothing else.
fn cut_off(view: &View<'_>) -> Vec<Rule> {
    let rules = |bridge: &IfName| {
        let drop = || view.rule(Verdict::Drop);
        let inside = view.rule(Verdict::Return).input(bridge.clone()).output(bridge.clone());
        let both = [drop().input(bridge.clone()), drop().output(bridge.clone())];
        [inside]
            .into_iter()
            .chain(both.into_iter().flat_map(|drop| reported_alone(drop, Refusal::ContainerPolicy)))
    };
    with_access(view, Access::None).flat_map(rules).collect()
}

/// Networks that have the LAN in place of the tunnel.
fn lan_networks(view: &View<'_>) -> Vec<Rule> {
    let lan = || view.rule(Verdict::Goto(ChainName::DockerLan));
    let rules = |bridge: &IfName| [lan().input(bridge.clone()), lan().output(bridge.clone())];
    with_access(view, Access::Lan).flat_map(rules).collect()
}

/// What comes from or goes to a network that may reach the LAN.
fn lan_network(view: &View<'_>) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (uplink, net) in view.lans() {
        let pass = || view.rule(Verdict::Return);
        rules.push(pass().to(net).output(uplink.clone()));
        rules.push(pass().from(net).input(uplink.clone()).tracked(Tracked::Reply));
    }
    // After the uplinks: one of them may have the name of a bridge.
    rules.extend(shut_out(view, Refusal::ContainerPolicy, Refusal::ContainerPolicy));
    rules.extend(between_bridges(view));
    rules.extend([view.line(Refusal::ContainerPolicy), view.rule(Verdict::Drop)]);
    rules
}

/// Packets to a bridge pass. The container engine decides which of its networks reach each other.
fn bridges(view: &View<'_>) -> Vec<Rule> {
    let refuse = |link| reported_alone(view.rule(Verdict::Drop).output(link), view.reason());
    let mut rules: Vec<Rule> = view.misnamed_bridges().flat_map(refuse).collect();
    rules.extend(view.bridges().map(|bridge| view.rule(Verdict::Return).output(bridge)));
    rules.extend([view.line(view.reason()), view.rule(Verdict::Drop)]);
    rules
}

/// Connections from the LAN to published ports, and their answers. They begin with a packet for an address of this
/// machine on an uplink. Without that match the answer to a connection that came out of a tunnel would go to the LAN
/// too, if its source is forged, or if the tunnel is gone.
fn published_ports(view: &View<'_>) -> Vec<Rule> {
    if view.config.docker.published_ports == PublishedPorts::None {
        return Vec::new();
    }
    // Of any uplink: a machine may reach an address of the other network card on the same LAN.
    let own: BTreeSet<IpAddr> = view.own_addresses().map(|(_, address)| address).collect();
    let both_ways = |(uplink, net): (&IfName, _)| {
        let to_bridges = view.rule(Verdict::Goto(ChainName::DockerBridges)).from(net).input(uplink.clone());
        let answer = view.rule(Verdict::Return).to(net).output(uplink.clone());
        let rules = move |&own: &IpAddr| {
            let of = |direction| Tracked::Rewritten(direction, own, None);
            [
                to_bridges.clone().tracked(of(Direction::Original)),
                answer.clone().tracked(of(Direction::Reply)),
            ]
        };
        // Nobody outside a link has an address of that link as destination (RFC 4291, 2.5.6).
        let is_link_local = LINK_LOCAL.contains(&net);
        own.iter().filter(move |own| LINK_LOCAL.contains(*own) == is_link_local).flat_map(rules)
    };
    view.connected_lans().flat_map(both_ways).collect()
}

/// Connections from a tunnel to the ports that the VPN forwards to containers, and their answers. The container
/// engine has rewritten the destination, which was the tunnel's own address. A container may publish the same port
/// of its own as several ports, so the port before that counts too. The answer goes back into that tunnel alone.
fn forwarded_ports(view: &View<'_>) -> Vec<Rule> {
    let tunnels: Vec<(IfMatch, IpAddr)> =
        view.open_tunnel_addresses().filter(|(_, own)| !LINK_LOCAL.contains(own)).collect();
    let rules = |forwarded: &Forwarded| {
        let ForwardedTo::Container(address, inner) = forwarded.to else { return Vec::new() };
        if Family::of(address) != view.family {
            return Vec::new();
        }
        let transport = forwarded.transport;
        let to_bridges = view.rule(Verdict::Goto(ChainName::DockerBridges)).to(address.into());
        let to_bridges = to_bridges.transport(transport).dport(inner);
        let answer = view.rule(Verdict::Return).from(address.into()).transport(transport).sport(inner);
        let by = |(tunnel, own): &(IfMatch, IpAddr)| {
            let of = |direction| Tracked::Rewritten(direction, *own, Some(forwarded.port));
            [
                to_bridges.clone().input(tunnel.clone()).tracked(of(Direction::Original)),
                answer.clone().output(tunnel.clone()).tracked(of(Direction::Reply)),
            ]
        };
        tunnels.iter().flat_map(by).collect()
    };
    view.situation.forwarded.iter().flat_map(rules).collect()
}

#[cfg(test)]
mod tests;
