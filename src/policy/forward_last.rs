//! The last chain of filter `FORWARD`: containers and virtual machines whose engine makes no rules in iptables.
//!
//! Their packets, which `DOCKER_VPN_KILL_SWITCH` returns, would meet only our own policy, which is DROP: an accept in
//! another table of nf_tables does not help. These engines have no rules in iptables: libvirt from 10.4 on, Incus, LXD
//! and LXC, whose rules are in nf_tables; Docker with its nftables backend; and Docker up to 26, by default, for IPv6.
//! Where an engine has rules in iptables, the packets that they accept or drop never come here. What an engine drops in
//! nf_tables stays dropped, before or after this chain.
//!
//! Each rule that accepts names both interfaces: a bridge and a tunnel, or the same bridge twice. It never names an
//! uplink, except during a pause. A packet that it accepts has passed the kill switch twice before, in mangle and in
//! filter.
//!
//! Of Docker's bridges it names only those that Docker itself reports, and lets only those reach the tunnel that are
//! not `--internal`. Docker up to 26 closes an `--internal` network by rules, which are missing for IPv6; that it has
//! no route does not close it, because a container may add one. A bridge of Docker's that is not known stays closed.

use super::view::View;
use super::{Chain, ChainName, Device, Direction, IfMatch, Rule, Tracked, Verdict};
use crate::net::{Family, IfPattern};
use crate::vpn::{OpenBridge, Reach};

/// Names that only other engines give to theirs, of those whose rules may be in nf_tables.
const OTHERS: [&str; 4] = ["virbr+", "lxcbr+", "lxdbr+", "incusbr+"];

pub(super) const fn name(family: Family) -> ChainName {
    match family {
        Family::V4 => ChainName::DockerIpv4,
        Family::V6 => ChainName::DockerIpv6,
    }
}

pub(super) fn chain(view: &View<'_>) -> Chain {
    let reported = reported(view).iter().map(|open| (bridge(open.bridge.clone()), open.reach));
    let (reported, others): (Vec<_>, Vec<_>) = (reported.collect(), others(view).collect());
    let mut rules: Vec<Rule> = reported
        .iter()
        .flat_map(|(bridge, reach)| rules(view, std::slice::from_ref(bridge), *reach))
        .collect();
    rules.extend(self::rules(view, &others, Reach::Tunnel));
    let reaching =
        reported.into_iter().filter(|(_, reach)| *reach == Reach::Tunnel).map(|(bridge, _)| bridge);
    rules.extend(in_a_pause(view, &reaching.chain(others).collect::<Vec<_>>()));
    Chain { name: name(view.family), rules }
}

/// The bridges of Docker's that have no rules in iptables.
fn reported<'a>(view: &View<'a>) -> &'a [OpenBridge] {
    match view.family {
        Family::V4 => &view.situation.ipv4_bridges,
        Family::V6 => &view.situation.ipv6_bridges,
    }
}

fn bridge(name: impl Into<IfPattern>) -> IfMatch {
    IfMatch::device(Device::Bridge, name)
}

/// Bridges of other engines, by names that Docker and podman never give: only a rule that is missing closes some of
/// their `--internal` networks.
fn others(view: &View<'_>) -> impl Iterator<Item = IfMatch> {
    let others: Vec<IfPattern> = OTHERS.iter().filter_map(|name| name.parse().ok()).collect();
    let named = view.config.docker.bridges.iter().cloned();
    let all = named.chain(view.situation.bridges.iter().cloned().map(IfPattern::from));
    all.filter(move |pattern| others.iter().any(|other| other.matches(&pattern.to_string()))).map(bridge)
}

/// Both sides by the same name: another one would let one engine's network reach another's.
fn rules(view: &View<'_>, bridges: &[IfMatch], reach: Reach) -> Vec<Rule> {
    let accept = || view.rule(Verdict::Accept);
    let inside = bridges.iter().map(|bridge| accept().input(bridge.clone()).output(bridge.clone()));
    let mut rules: Vec<Rule> = inside.collect();
    if reach == Reach::Tunnel {
        for tunnel in view.tunnels() {
            let reply = Tracked::Known(Direction::Reply);
            let (into, from) = (accept().output(tunnel.clone()), accept().input(tunnel).tracked(reply));
            rules.extend(bridges.iter().map(|bridge| into.clone().input(bridge.clone())));
            rules.extend(bridges.iter().map(|bridge| from.clone().output(bridge.clone())));
        }
    }
    rules
}

/// To anywhere except another network, and the answers. The kernel's own clock ends the pause.
fn in_a_pause(view: &View<'_>, reaching: &[IfMatch]) -> Vec<Rule> {
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

    /// Names that Docker and podman give to their bridges.
    const DOCKERS: [&str; 5] = ["docker0", "docker_gwbridge", "br-+", "podman+", "cni-podman+"];

    fn held(family: Family, config: &Config, situation: &Situation) -> Vec<String> {
        let ruleset = ruleset(config, &Default::default(), situation);
        let chains = ruleset.family(family).iter().flat_map(|table| &table.chains);
        let own = chains.filter(|chain| chain.name == name(family));
        own.flat_map(|chain| &chain.rules).map(ToString::to_string).collect()
    }

    /// Those for Docker's bridges alone.
    fn lines(situation: &Situation) -> Vec<String> {
        let config =
            Config::parse("docker.bridges = [\"docker0\", \"docker_gwbridge\", \"br-+\"]", "config.toml")
                .unwrap();
        held(Family::V6, &config, situation)
    }

    #[test]
    fn of_dockers_bridges_only_reported_ones_are_open_and_of_others_both_families() {
        let situation = Situation { bridges: vec!["work".parse().unwrap()], ..Situation::default() };
        let [ipv4, ipv6] = Family::ALL.map(|family| held(family, &Config::default(), &situation));
        for lines in [&ipv4, &ipv6] {
            let named = |line: &String| DOCKERS.iter().any(|name| line.contains(name));
            assert!(!lines.iter().any(named), "{lines:?}");
            for other in OTHERS {
                let to = format!("-i {other} -o tun+ -j ACCEPT");
                assert!(lines.iter().any(|line| line.contains(&to)), "{other}: {lines:?}");
            }
            // One side is a bridge, and the other the same bridge or a tunnel.
            let sides = |line: &String| {
                let side = |option| line.split(option).nth(1).and_then(|rest| rest.split(' ').next());
                (side("-i ").map(ToOwned::to_owned), side("-o ").map(ToOwned::to_owned))
            };
            let tunnel = Some("tun+".to_owned());
            for line in lines {
                let (input, output) = sides(line);
                assert!(input.is_some() && output.is_some(), "{line}");
                assert!(input == output || input == tunnel || output == tunnel, "{line}");
            }
        }
        // A bridge of this name may be an `--internal` network of Docker's or podman's.
        let work = |line: &String| line.contains("work");
        assert!(!ipv4.iter().any(work) && !ipv6.iter().any(work), "{ipv4:?} {ipv6:?}");
    }

    #[test]
    fn a_docker_with_rules_in_nf_tables_has_its_bridges_open_for_ipv4() {
        let bridge = |name: &str, reach| OpenBridge { bridge: name.parse().unwrap(), reach };
        let ipv4_bridges = vec![bridge("docker0", Reach::Tunnel), bridge("br-1", Reach::Itself)];
        let situation = Situation { ipv4_bridges, ..Situation::default() };
        let lines = held(Family::V4, &Config::default(), &situation);
        let has = |what: &str| lines.iter().any(|line| line.contains(what));
        assert!(has("-i docker0 -o tun+ -j ACCEPT") && has("-i br-1 -o br-1 -j ACCEPT"), "{lines:?}");
        assert!(!has("-i br-1 -o tun+") && !has("-o tun+ -j ACCEPT -i br-1"), "{lines:?}");
    }

    #[test]
    fn only_a_pause_opens_the_way_out_and_never_that_of_an_internal_network() {
        let bridge = |name: &str, reach| OpenBridge { bridge: name.parse().unwrap(), reach };
        let mut situation = Situation {
            ipv6_bridges: vec![bridge("docker0", Reach::Tunnel), bridge("br-1", Reach::Itself)],
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
