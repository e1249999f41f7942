//! What may leave, as rules. Pure: a [`Situation`] and the configuration in, a [`Ruleset`] out.
//!
//! One file a chain family; the order of rules inside a chain is the security property, and the
//! line above each says why. Nothing here asks the kernel, the clock or the disk.

mod bootstrap;
mod forward;
mod forward_ipv6;
mod input;
pub mod ipset;
pub mod iptables;
pub mod nft;
mod output;
mod protocol;
mod rule;
mod ruleset;
mod set;
mod stand_in;
mod wire;

use std::collections::BTreeSet;

pub use bootstrap::QUESTION_MARK;
pub use protocol::{HopLimit, Ported, Protocol, Tracked};
pub use rule::{Device, IfMatch, Rule, Verdict};
pub use ruleset::{Chain, ChainName, Hook, Ruleset, Table, TableName};
pub use set::{EndpointSet, FEW, SetName};
pub use wire::{FrameMatch, PppoeFrames, WireChain, WireRule, WireRules};

use crate::config::{Config, Traffic, TrafficRule};
use crate::net::{Family, IfPattern, LanPrefix};
use crate::vpn::{PauseScope, Situation};
use ipnet::IpNet;

/// User ids of `bootstrap.owners`, as this system knows them.
pub type Owners = BTreeSet<u32>;

/// The rules that make the contract true in `situation`.
pub fn ruleset(config: &Config, owners: &Owners, situation: &Situation) -> Ruleset {
    let tables = |family| {
        let view = View { config, owners, situation, family };
        (vec![filter(&view), mangle(&view)], bootstrap::sets(&view), wire::chains(&view))
    };
    // It says nothing of a family.
    let open = View { config, owners, situation, family: Family::V4 }.pause(Verdict::Accept);
    let ((ipv4, mut sets, wire4), (ipv6, sets6, wire6)) = (tables(Family::V4), tables(Family::V6));
    sets.extend(sets6);
    let wire = WireRules {
        wires: situation.wires.clone(),
        unnamed: situation.unnamed_wires.clone(),
        open,
        frames: wire::frames(situation),
        ipv4: wire4,
        ipv6: wire6,
    };
    Ruleset { ipv4, ipv6, sets, wire }
}

/// The strictest rules there are: loopback alone, and no match that a kernel could lack. What is
/// committed when the real rules cannot be.
pub fn last_resort() -> Ruleset {
    let tables = |family| {
        let only_lo = |name, rule: Rule| Chain { name, rules: vec![rule, Rule::new(family, Verdict::Drop)] };
        let accept = || Rule::new(family, Verdict::Accept);
        let output = only_lo(ChainName::OutputVpnKillSwitch, accept().output(loopback()));
        let input = only_lo(ChainName::RelatedAndEstablished, accept().input(loopback()));
        let forward =
            || Chain { name: ChainName::DockerVpnKillSwitch, rules: vec![Rule::new(family, Verdict::Drop)] };
        let mut filter = vec![output, input, forward()];
        if family == Family::V6 {
            filter.push(Chain { name: ChainName::DockerIpv6, rules: Vec::new() });
        }
        vec![filter_of(filter, family), mangle_of(vec![forward()])]
    };
    Ruleset {
        ipv4: tables(Family::V4),
        ipv6: tables(Family::V6),
        sets: Vec::new(),
        wire: wire::last_resort(),
    }
}

fn filter(view: &View<'_>) -> Table {
    let mut chains = output::chains(view);
    chains.extend(input::chains(view));
    chains.extend(forward::chains(view));
    chains.extend(forward_ipv6::chain(view));
    filter_of(chains, view.family)
}

fn mangle(view: &View<'_>) -> Table {
    mangle_of(forward::chains(view))
}

fn filter_of(chains: Vec<Chain>, family: Family) -> Table {
    let last = match family {
        Family::V4 => Vec::new(),
        Family::V6 => vec![(Hook::Forward, ChainName::DockerIpv6)],
    };
    Table {
        name: TableName::Filter,
        dropping: vec![Hook::Input, Hook::Forward, Hook::Output],
        chains,
        jumps: vec![
            (Hook::Output, ChainName::OutputVpnKillSwitch),
            (Hook::Input, ChainName::RelatedAndEstablished),
            (Hook::DockerUser, ChainName::DockerVpnKillSwitch),
            (Hook::Forward, ChainName::DockerVpnKillSwitch),
        ],
        last,
    }
}

fn mangle_of(chains: Vec<Chain>) -> Table {
    let jumps = vec![(Hook::Forward, ChainName::DockerVpnKillSwitch)];
    Table { name: TableName::Mangle, dropping: Vec::new(), chains, jumps, last: Vec::new() }
}

/// What the chain modules look at: one family of one situation.
struct View<'a> {
    config: &'a Config,
    owners: &'a Owners,
    situation: &'a Situation,
    family: Family,
}

impl View<'_> {
    fn rule(&self, verdict: Verdict) -> Rule {
        Rule::new(self.family, verdict)
    }

    /// The tunnels that may carry anything now.
    fn tunnels(&self) -> Vec<IfMatch> {
        let patterns = match &self.situation.named_tunnels {
            Some(names) => names.iter().cloned().map(IfPattern::from).collect(),
            None => self.config.tunnel.interfaces.clone(),
        };
        patterns.into_iter().map(|pattern| IfMatch::device(Device::Tunnel, pattern)).collect()
    }

    /// The bridges of containers and virtual machines.
    fn bridges(&self) -> impl Iterator<Item = IfMatch> {
        let named = self.config.docker.bridges.iter().cloned();
        let all = named.chain(self.situation.bridges.iter().cloned().map(IfPattern::from));
        all.map(|pattern| IfMatch::device(Device::Bridge, pattern))
    }

    /// Links that carry a container bridge's name and are none.
    fn shut_out_bridges(&self) -> impl Iterator<Item = IfPattern> {
        let bridges = &self.config.docker.bridges;
        let shut_out = self.situation.shut_out.iter();
        shut_out.filter(|shut| bridges.iter().any(|bridge| bridge.overlaps(shut))).cloned()
    }

    /// The pause, while there is one that opens everything: it passes until the kernel's own clock says
    /// stop.
    fn pause(&self, verdict: Verdict) -> Option<Rule> {
        match self.situation.pause_scope {
            PauseScope::Everything => self.paused(verdict),
            PauseScope::Portal => None,
        }
    }

    /// A rule that holds while the pause does.
    fn paused(&self, verdict: Verdict) -> Option<Rule> {
        let rule = self.rule(verdict).until(self.situation.paused_until?);
        Some(match self.situation.paused_from {
            Some(moment) => rule.since(moment),
            None => rule,
        })
    }

    /// The networks that the configuration calls the LAN, less those of tunnels.
    fn listed_lan(&self, listed: &[LanPrefix]) -> Vec<IpNet> {
        let tunnels = &self.situation.tunnel_networks;
        let rest = listed.iter().flat_map(|prefix| prefix.without(tunnels)).map(|prefix| prefix.net());
        rest.filter(|net| Family::of(net.addr()) == self.family).collect()
    }

    /// One rule for each kind of traffic, made from `base`.
    fn traffic(&self, traffic: &Traffic, base: &Rule) -> Vec<Rule> {
        match traffic {
            Traffic::Any => vec![base.clone()],
            Traffic::Listed(rules) => rules.iter().flat_map(|rule| traffic_rules(rule, base)).collect(),
        }
    }
}

fn traffic_rules(traffic: &TrafficRule, base: &Rule) -> Vec<Rule> {
    match traffic {
        TrafficRule::Icmp => vec![base.clone().protocol(Protocol::Icmp)],
        TrafficRule::Ports(transport, ports) if ports.is_empty() => vec![base.clone().transport(*transport)],
        TrafficRule::Ports(transport, ports) => {
            ports.iter().map(|&port| base.clone().transport(*transport).dport(port)).collect()
        }
    }
}

/// The loopback interface, which no pattern of the configuration can name.
fn loopback() -> crate::net::IfPattern {
    crate::net::IfName::loopback().into()
}
