//! IPv6 of containers where their engine makes no rules for it: Docker up to 26, by default.
//!
//! There what `DOCKER_VPN_KILL_SWITCH` returns meets nobody but our own policy, which is DROP. So this
//! chain stands last of all in filter `FORWARD`: where the engine has rules for IPv6, what it drops
//! and what it accepts never comes here. It names what it accepts by both interfaces, a container
//! bridge and a tunnel, or the same bridge twice; never an uplink. What it accepts has passed the kill
//! switch twice before, in mangle and in filter.
//!
//! Only bridges stand here that Docker itself gives IPv6, and to the tunnel only those that are not
//! `--internal`: of those nobody would speak where there are no rules, and the absence of a route is
//! no lock to a container that may make one. What is not known stays closed.

use super::{Chain, ChainName, Rule, Tracked, Verdict, View};
use crate::net::Family;
use crate::vpn::{Ipv6Bridge, Ipv6Reach};

pub(super) fn chain(view: &View<'_>) -> Option<Chain> {
    let bridges = &view.situation.ipv6_bridges;
    let rules = || bridges.iter().flat_map(|bridge| rules(view, bridge)).collect();
    (view.family == Family::V6).then(|| Chain { name: ChainName::DockerIpv6, rules: rules() })
}

fn rules(view: &View<'_>, Ipv6Bridge { bridge, reach }: &Ipv6Bridge) -> Vec<Rule> {
    let accept = || view.rule(Verdict::Accept);
    // By the exact name on both sides: a pattern would let one network reach another.
    let mut rules = vec![accept().input(bridge.clone()).output(bridge.clone())];
    if *reach == Ipv6Reach::Tunnel {
        for tunnel in view.tunnels() {
            rules.push(accept().input(bridge.clone()).output(tunnel.clone()));
            rules.push(accept().input(tunnel).output(bridge.clone()).tracked(Tracked::Reply));
        }
    }
    rules
}
