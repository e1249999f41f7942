//! IPv6 of containers where their engine makes no rules for it: Docker up to 26, by default.
//!
//! There a packet that `DOCKER_VPN_KILL_SWITCH` returns meets only our own policy, which is DROP. So this chain
//! is the last one in filter `FORWARD`. Where the engine has rules for IPv6, the packets that they accept or
//! drop never come here. Each rule that accepts names both interfaces: a container bridge and a tunnel, or the
//! same bridge twice. It never names an uplink, except during a pause. A packet that it accepts has passed the
//! kill switch twice before, in mangle and in filter.
//!
//! It names only bridges that Docker itself gives IPv6, and lets only those reach the tunnel that are not
//! `--internal`. Docker closes an `--internal` network by rules, which are missing here; that it has no route
//! does not close it, because a container may add one. A bridge that is not known stays closed.

use super::view::View;
use super::{Chain, ChainName, Direction, Rule, Tracked, Verdict};
use crate::net::Family;
use crate::vpn::{Ipv6Bridge, Ipv6Reach};

pub(super) fn chain(view: &View<'_>) -> Option<Chain> {
    let bridges = &view.situation.ipv6_bridges;
    let rules = || bridges.iter().flat_map(|bridge| rules(view, bridge)).chain(in_a_pause(view)).collect();
    (view.family == Family::V6).then(|| Chain { name: ChainName::DockerIpv6, rules: rules() })
}

fn rules(view: &View<'_>, Ipv6Bridge { bridge, reach }: &Ipv6Bridge) -> Vec<Rule> {
    let accept = || view.rule(Verdict::Accept);
    // Both sides by the exact name: a pattern would let one network reach another.
    let mut rules = vec![accept().input(bridge.clone()).output(bridge.clone())];
    if *reach == Ipv6Reach::Tunnel {
        for tunnel in view.tunnels() {
            rules.push(accept().input(bridge.clone()).output(tunnel.clone()));
            rules.push(
                accept().input(tunnel).output(bridge.clone()).tracked(Tracked::Known(Direction::Reply)),
            );
        }
    }
    rules
}

/// To anywhere except another network, and the answers. The kernel's own clock ends the pause.
fn in_a_pause(view: &View<'_>) -> Vec<Rule> {
    let reaching = view.situation.ipv6_bridges.iter().filter(|bridge| bridge.reach == Ipv6Reach::Tunnel);
    let reaching: Vec<_> = reaching.map(|bridge| bridge.bridge.clone()).collect();
    let Some(open) = view.pause(Verdict::Accept).filter(|_| !reaching.is_empty()) else { return Vec::new() };
    let answers = reaching.iter().map(|bridge| open.clone().output(bridge.clone()).tracked(Tracked::Reply));
    let between = view.bridges().map(|bridge| view.rule(Verdict::Return).output(bridge));
    let out = reaching.iter().map(|bridge| open.clone().input(bridge.clone()));
    answers.chain(between).chain(out).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::policy::ruleset;
    use crate::vpn::{PauseScope, Situation};

    fn lines(situation: &Situation) -> Vec<String> {
        let ruleset = ruleset(&Config::default(), &Default::default(), situation);
        let chains = ruleset.family(Family::V6).iter().flat_map(|table| &table.chains);
        let own = chains.filter(|chain| chain.name == ChainName::DockerIpv6);
        own.flat_map(|chain| &chain.rules).map(ToString::to_string).collect()
    }

    #[test]
    fn only_a_pause_opens_the_way_out_and_never_that_of_an_internal_network() {
        let bridge = |name: &str, reach| Ipv6Bridge { bridge: name.parse().unwrap(), reach };
        let mut situation = Situation {
            ipv6_bridges: vec![bridge("docker0", Ipv6Reach::Tunnel), bridge("br-1", Ipv6Reach::Itself)],
            ..Situation::default()
        };
        let named = |rule: &String| ["-o docker0", "-o br-1", "tun+"].iter().any(|name| rule.contains(name));
        assert!(lines(&situation).iter().all(named), "{:?}", lines(&situation));

        situation.paused_until = Some(jiff::Timestamp::UNIX_EPOCH);
        let paused = lines(&situation);
        let open: Vec<&String> = paused.iter().filter(|rule| rule.contains("datestop")).collect();
        assert_eq!(open.len(), 2, "{paused:?}");
        assert!(open.iter().all(|rule| rule.contains("docker0")), "{open:?}");
        // After the rules that keep the networks apart.
        let place = |what: &str| paused.iter().position(|rule| rule.contains(what)).unwrap();
        assert!(place("-o br-+ -j RETURN") < paused.len() - 1 && paused.last() == open.last().copied());

        situation.pause_scope = PauseScope::Portal;
        assert!(!lines(&situation).iter().any(|rule| rule.contains("datestop")), "no container");
    }
}
