//! What may pass through the host: containers and virtual machines.
//!
//! The same verdicts stand in filter, where the article puts them and people look, and in mangle,
//! which no container engine touches. A packet that passes here still meets the engine's own rules:
//! the verdict for it is RETURN and never ACCEPT, or an `--internal` network would get out.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::output::to_name_servers;
use super::{Chain, ChainName, Rule, Tracked, Verdict, View};
use crate::config::{Access, Networks, PublishedPorts};
use crate::net::{Family, IfName};
use crate::vpn::Uplink;

pub(super) fn chains(view: &View<'_>) -> Vec<Chain> {
    let mut chains = vec![
        Chain { name: ChainName::DockerVpnKillSwitch, rules: kill_switch(view) },
        Chain { name: ChainName::DockerBridges, rules: bridges(view) },
    ];
    // By the configuration alone: whether such a network is there moves rules, and never chains.
    if view.config.docker.networks.values().any(|&access| access == Access::Lan) {
        chains.push(Chain { name: ChainName::DockerLan, rules: lan_network(view) });
    }
    chains
}

/// By interface and never by a container's source address, which it can forge.
fn kill_switch(view: &View<'_>) -> Vec<Rule> {
    let pass = || view.rule(Verdict::Return);
    let mut rules: Vec<Rule> = view.pause(Verdict::Return).into_iter().collect();
    // What is cut off has neither published ports nor a tunnel, both of which follow.
    rules.extend(cut_off(view));
    rules.extend(name_servers(view));
    // A network card may be named so that a tunnel's pattern matches it; published ports on it are
    // the LAN's, so they are looked at first.
    rules.extend(published_ports(view));
    // Below the published ports, which are a key of their own also for these networks; above the
    // tunnel, which these networks do not have.
    rules.extend(lan_networks(view));
    rules.extend(shut_out(view));
    for tunnel in view.tunnels() {
        rules.extend(view.traffic(&view.config.docker.allow, &pass().output(tunnel)));
    }
    // Answers reach bridges alone: one for a container that is gone would follow the default route.
    let to_bridges = || view.rule(Verdict::Goto(ChainName::DockerBridges));
    rules.extend(view.tunnels().into_iter().map(|tunnel| to_bridges().input(tunnel).tracked(Tracked::Reply)));
    rules.extend(between_bridges(view));
    rules.push(view.rule(Verdict::Drop));
    rules
}

/// DNS is refused before published ports and the LAN are allowed: a router is on the LAN, and asks the ISP.
fn name_servers(view: &View<'_>) -> Vec<Rule> {
    let opens = !published_ports(view).is_empty() || with_access(view, Access::Lan).next().is_some();
    if !opens {
        return Vec::new();
    }
    let uplinks: BTreeSet<&IfName> = view.situation.uplinks.iter().map(|uplink| &uplink.interface).collect();
    let refuse = |uplink: &IfName| to_name_servers(&view.rule(Verdict::Drop).output(uplink.clone()));
    uplinks.into_iter().flat_map(refuse).collect()
}

fn shut_out(view: &View<'_>) -> Vec<Rule> {
    let shut_out = &view.situation.shut_out;
    let output = shut_out.iter().map(|pattern| view.rule(Verdict::Drop).output(pattern.clone()));
    output.chain(shut_out.iter().map(|pattern| view.rule(Verdict::Drop).input(pattern.clone()))).collect()
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

/// Networks that are cut off, but for what stays on their own bridge.
fn cut_off(view: &View<'_>) -> Vec<Rule> {
    let rules = |bridge: &IfName| {
        let drop = || view.rule(Verdict::Drop);
        let inside = view.rule(Verdict::Return).input(bridge.clone()).output(bridge.clone());
        [inside, drop().input(bridge.clone()), drop().output(bridge.clone())]
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
    let lans = view.lans();
    let mut rules = Vec::new();
    for (uplink, net) in lans {
        let pass = || view.rule(Verdict::Return);
        rules.push(pass().to(net).output(uplink.clone()));
        rules.push(pass().from(net).input(uplink.clone()).tracked(Tracked::Reply));
    }
    // An uplink may bear a bridge's name; it has been looked at by now.
    rules.extend(shut_out(view));
    rules.extend(between_bridges(view));
    rules.push(view.rule(Verdict::Drop));
    rules
}

impl<'a> View<'a> {
    /// The LAN's prefixes of this family, each with the uplink that it counts on.
    fn lans(&self) -> Vec<(&'a IfName, IpNet)> {
        let lan = &self.config.lan;
        if !lan.allow {
            return Vec::new();
        }
        let networks = |uplink: &'a Uplink| -> Vec<IpNet> {
            match &lan.networks {
                Networks::Connected => uplink.prefixes.iter().map(crate::net::LanPrefix::net).collect(),
                Networks::Listed(listed) => self.listed_lan(listed),
            }
        };
        let uplinks = self.situation.uplinks.iter();
        uplinks
            .flat_map(|uplink| networks(uplink).into_iter().map(move |net| (&uplink.interface, net)))
            .filter(|(_, net)| Family::of(net.addr()) == self.family)
            .collect()
    }
}

/// To a bridge; what comes from another one is the engine's business.
fn bridges(view: &View<'_>) -> Vec<Rule> {
    let mut rules: Vec<Rule> =
        view.shut_out_bridges().map(|pattern| view.rule(Verdict::Drop).output(pattern)).collect();
    rules.extend(view.bridges().map(|bridge| view.rule(Verdict::Return).output(bridge)));
    rules.push(view.rule(Verdict::Drop));
    rules
}

fn published_ports(view: &View<'_>) -> Vec<Rule> {
    match view.config.docker.published_ports {
        PublishedPorts::None => Vec::new(),
        PublishedPorts::Lan => view
            .situation
            .uplinks
            .iter()
            .flat_map(|uplink| uplink.prefixes.iter().map(move |lan| (&uplink.interface, lan.net())))
            .filter(|(_, net)| Family::of(net.addr()) == view.family)
            .flat_map(|(uplink, net)| {
                let pass = || view.rule(Verdict::Return);
                let to_bridges = || view.rule(Verdict::Goto(ChainName::DockerBridges));
                [
                    to_bridges().from(net).input(uplink.clone()).tracked(Tracked::DnatOriginal),
                    pass().to(net).output(uplink.clone()).tracked(Tracked::DnatReply),
                ]
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests;
