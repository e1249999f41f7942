//! What may pass through the host: containers and virtual machines.
//!
//! The same verdicts stand in filter, where the article puts them and people look, and in mangle,
//! which no container engine touches. A packet that passes here still meets the engine's own rules:
//! the verdict for it is RETURN and never ACCEPT, or an `--internal` network would get out.

use super::{Chain, ChainName, Rule, Tracked, Verdict, View};
use crate::config::PublishedPorts;
use crate::net::Family;

pub(super) fn chains(view: &View<'_>) -> Vec<Chain> {
    vec![
        Chain { name: ChainName::DockerVpnKillSwitch, rules: kill_switch(view) },
        Chain { name: ChainName::DockerBridges, rules: bridges(view) },
    ]
}

/// By interface and never by a container's source address, which it can forge.
fn kill_switch(view: &View<'_>) -> Vec<Rule> {
    let pass = || view.rule(Verdict::Return);
    let mut rules: Vec<Rule> = view.pause(Verdict::Return).into_iter().collect();
    // A network card may be named so that a tunnel's pattern matches it; published ports on it are
    // the LAN's, so they are looked at first.
    rules.extend(published_ports(view));
    let shut_out = &view.situation.shut_out;
    rules.extend(shut_out.iter().map(|pattern| view.rule(Verdict::Drop).output(pattern.clone())));
    rules.extend(shut_out.iter().map(|pattern| view.rule(Verdict::Drop).input(pattern.clone())));
    for tunnel in view.tunnels() {
        rules.extend(view.traffic(&view.config.docker.allow, &pass().output(tunnel)));
    }
    // Answers reach bridges alone: one for a container that is gone would follow the default route.
    let to_bridges = || view.rule(Verdict::Goto(ChainName::DockerBridges));
    rules.extend(view.tunnels().into_iter().map(|tunnel| to_bridges().input(tunnel).tracked(Tracked::Reply)));
    rules.extend(view.bridges().map(|bridge| to_bridges().input(bridge)));
    rules.push(view.rule(Verdict::Drop));
    rules
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
