//! Whether the rules in force may stay when the kernel refuses the wanted ones. Pure.

use super::{ChainName, Rule, Ruleset, Table, Verdict, WireChain, WireRule, WireRules};

/// Chains that change with the VPN. They pass only packets to its servers or into its tunnels.
const ALLOWANCE: [ChainName; 3] = [ChainName::VpnBootstrap, ChainName::VpnOwner, ChainName::VpnTunnel];

impl Ruleset {
    /// Whether an administrator's pause is among the rules. Only its rules have a deadline.
    pub fn is_paused(&self) -> bool {
        self.wire.open.is_some() || self.ipv4.iter().chain(&self.ipv6).any(Table::is_paused)
    }

    /// Whether these rules hold the contract in the place of `wanted`: outside the chains of the VPN's own allowance
    /// they pass nothing that `wanted` refuses. Rules of a pause never do.
    pub fn may_replace(&self, wanted: &Self) -> bool {
        !self.is_paused()
            && tables_may(&self.ipv4, &wanted.ipv4)
            && tables_may(&self.ipv6, &wanted.ipv6)
            && wires_may(&self.wire, &wanted.wire)
    }
}

impl Table {
    /// Whether a rule of an administrator's pause is among the rules.
    pub fn is_paused(&self) -> bool {
        self.chains.iter().flat_map(|chain| &chain.rules).any(|rule| rule.until.is_some())
    }
}

/// The chains of a table with their rules.
type Chains<'r, R> = Vec<(ChainName, &'r [R])>;

fn tables_may(held: &[Table], wanted: &[Table]) -> bool {
    held.len() == wanted.len()
        && held.iter().zip(wanted).all(|(held, wanted)| {
            let same = held.name == wanted.name && held.jumps == wanted.jumps && held.last == wanted.last;
            same && chains_may(&of_table(held), &of_table(wanted), |rule| &rule.verdict)
        })
}

fn of_table(table: &Table) -> Chains<'_, Rule> {
    table.chains.iter().map(|chain| (chain.name, &chain.rules[..])).collect()
}

fn wires_may(held: &WireRules, wanted: &WireRules) -> bool {
    wanted.wires.iter().all(|wire| held.wires.contains(wire))
        && held.frames.iter().all(|frame| wanted.frames.contains(frame))
        && held.pppoe.sessions.iter().all(|session| wanted.pppoe.sessions.contains(session))
        && (held.pppoe.sessions.is_empty() || held.pppoe.content <= wanted.pppoe.content)
        && chains_may(&of_wires(&held.ipv4), &of_wires(&wanted.ipv4), |rule| &rule.rule().verdict)
        && chains_may(&of_wires(&held.ipv6), &of_wires(&wanted.ipv6), |rule| &rule.rule().verdict)
}

fn of_wires(chains: &[WireChain]) -> Chains<'_, WireRule> {
    chains.iter().map(|chain| (chain.name, &chain.rules[..])).collect()
}

fn chains_may<R: PartialEq>(
    held: &Chains<'_, R>,
    wanted: &Chains<'_, R>,
    verdict: impl Fn(&R) -> &Verdict,
) -> bool {
    let names = held.iter().chain(wanted).map(|(name, _)| *name);
    names
        .filter(|name| !ALLOWANCE.contains(name))
        .all(|name| passes_no_more(rules(held, name), rules(wanted, name), &verdict))
}

fn rules<'r, R>(chains: &Chains<'r, R>, name: ChainName) -> &'r [R] {
    chains.iter().find(|(found, _)| *found == name).map_or(&[], |(_, rules)| rules)
}

/// Whether each held rule that passes packets is wanted too, and each wanted refusal is held.
fn passes_no_more<R: PartialEq>(held: &[R], wanted: &[R], verdict: impl Fn(&R) -> &Verdict) -> bool {
    // Containers of a network with the policy `lan` pass that chain, and no other.
    let refuses = |rule: &&R| {
        matches!(verdict(rule), Verdict::Drop | Verdict::Reject(_) | Verdict::Goto(ChainName::DockerLan))
    };
    // A line for the agent passes nothing, and neither does an answer: a rule that drops stands behind it.
    let only_tells =
        |rule: &&R| matches!(verdict(rule), Verdict::Log(_) | Verdict::Jump(ChainName::VpnRefused));
    held.iter().filter(|rule| !refuses(rule) && !only_tells(rule)).all(|rule| wanted.contains(rule))
        && wanted.iter().filter(refuses).all(|rule| held.contains(rule))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Access, Config};
    use crate::policy::{Owners, ruleset};
    use crate::vpn::{NetworkAccess, Situation, TunnelAddress, Wire};

    fn rules(change: impl FnOnce(&mut Situation)) -> Ruleset {
        let mut situation = Situation::default();
        change(&mut situation);
        ruleset(&Config::default(), &Owners::from([0]), &situation)
    }

    fn wire(name: &str) -> Wire {
        Wire { interface: name.parse().unwrap(), index: 2 }
    }

    #[test]
    fn a_pause_never_stands_for_anything() {
        let paused = rules(|situation| situation.paused_until = Some(jiff::Timestamp::UNIX_EPOCH));
        let locked = rules(|_| {});
        assert!(paused.is_paused() && !locked.is_paused());
        assert!(!paused.may_replace(&locked) && !paused.may_replace(&paused));
        assert!(locked.may_replace(&paused) && locked.may_replace(&locked));
    }

    #[test]
    fn a_new_wire_or_a_missing_bridge_rules_the_old_rules_out_and_another_server_does_not() {
        let locked = rules(|_| {});
        let any = rules(|situation| situation.bootstrap.any = true);
        assert!(locked != any && locked.may_replace(&any) && any.may_replace(&locked));
        let wired = rules(|situation| situation.wires = vec![wire("eth0")]);
        assert!(wired.may_replace(&locked) && !locked.may_replace(&wired));
        let bridged = rules(|situation| situation.bridges = vec!["mybr0".parse().unwrap()]);
        assert!(locked.may_replace(&bridged) && !bridged.may_replace(&locked));
    }

    #[test]
    fn rules_that_do_not_refuse_what_the_tunnel_s_own_address_needs_are_no_replacement() {
        let locked = rules(|_| {});
        let protected = rules(|situation| {
            let tunnel =
                TunnelAddress { interface: "tun0".parse().unwrap(), address: "10.8.0.2".parse().unwrap() };
            situation.tunnel_addresses = vec![tunnel];
        });
        assert!(locked != protected && !locked.may_replace(&protected));
        assert!(protected.may_replace(&locked));
    }

    #[test]
    fn rules_without_the_policy_of_a_container_network_are_no_replacement() {
        let config = Config::parse("docker = { networks = { l = \"lan\" } }\n", "config.toml").unwrap();
        let of = |networks: Vec<NetworkAccess>| {
            let situation = Situation { networks, ..Situation::default() };
            ruleset(&config, &Owners::from([0]), &situation)
        };
        let network = NetworkAccess { bridge: "br-lan".parse().unwrap(), access: Access::Lan };
        let (before, after) = (of(Vec::new()), of(vec![network]));
        assert!(before != after && !before.may_replace(&after));
    }
}
