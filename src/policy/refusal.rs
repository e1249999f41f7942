//! How the sender of a refused packet learns about it at once.
//!
//! Without an answer a program waits for minutes for its connection. An answer goes back to the source of the packet,
//! and a sender can forge the source. So only packets get an answer whose source is an address of this machine, or is
//! behind the bridge that the packet came from: the answer leaves on no wire.
//!
//! A connection from before the refusal gets no answer, which would end it. So it is still there if the VPN is back
//! soon.
//!
//! The rules here only refuse. After them always stands a rule that drops: without them the same packets are refused.

use super::view::View;
use super::{Chain, ChainName, IfMatch, Rule, Ruleset, Table, Tracked, Verdict};
use crate::net::{Family, IfPattern, Transport};
use crate::vpn::Refusal;

/// What tells a sender that its packet is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// A reset of TCP: the program gets ECONNREFUSED.
    Reset,
    /// ICMP "communication administratively prohibited" (RFC 1812, 5.2.7.1; RFC 4443, 3.1): EHOSTUNREACH or EACCES.
    Prohibited,
}

/// Bridges whose containers get an answer. nf_tables alone can answer them: in iptables the first refusal is in the
/// table `mangle`, where no rule can answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnsweredBridges {
    /// The bridges of containers.
    pub bridges: Vec<IfMatch>,
    /// Links that have the name of such a bridge and lead out. No packet from there gets an answer, and no answer goes
    /// there.
    pub leading_out: Vec<IfPattern>,
}

/// The chain for programs of this machine.
pub(super) fn chain(view: &View<'_>) -> Chain {
    let rules = vec![
        view.rule(Verdict::Reject(Answer::Reset)).opening().from_here(),
        // A packet of an old connection.
        view.rule(Verdict::Return).transport(Transport::Tcp),
        view.rule(Verdict::Reject(Answer::Prohibited)).from_here().tracked(Tracked::New),
    ];
    Chain { name: ChainName::VpnRefused, rules }
}

/// What refuses a program's packet: the kernel reports it to the agent, the program gets an answer, and the packet is
/// dropped.
pub(super) fn reported(drop: Rule, why: Refusal) -> [Rule; 3] {
    let with = |verdict| Rule { verdict, ..drop.clone() };
    [with(Verdict::Log(why)), with(Verdict::Jump(ChainName::VpnRefused)), drop]
}

/// What refuses a packet whose sender gets no answer: the kernel reports it to the agent, and drops it.
pub(super) fn reported_alone(drop: Rule, why: Refusal) -> [Rule; 2] {
    [Rule { verdict: Verdict::Log(why), ..drop.clone() }, drop]
}

/// The bridges of both families.
pub(super) fn bridges(view: &View<'_>) -> AnsweredBridges {
    AnsweredBridges { bridges: view.bridges().collect(), leading_out: view.misnamed_bridges().collect() }
}

impl Ruleset {
    /// Whether senders of refused packets get answers.
    pub fn has_rejects(&self) -> bool {
        self.has_rule(|rule| matches!(rule.verdict, Verdict::Reject(_)))
    }

    /// Whether the kernel reports refused packets to the agent.
    pub fn has_lines(&self) -> bool {
        self.has_rule(|rule| matches!(rule.verdict, Verdict::Log(_)))
    }

    fn has_rule(&self, is_wanted: impl Fn(&Rule) -> bool) -> bool {
        let mut tables = Family::ALL.into_iter().flat_map(|family| self.family(family));
        tables.any(|table| table.chains.iter().flat_map(|chain| &chain.rules).any(&is_wanted))
    }

    /// The same rules for a kernel that cannot answer containers: what they send is dropped without an answer.
    pub fn without_answers_to_containers(&self) -> Self {
        Self { answered: None, ..self.clone() }
    }

    /// The same rules for a kernel that cannot answer: every refused packet is dropped.
    pub fn without_rejects(&self) -> Self {
        let rules = self.with_rules(|rule| !matches!(rule.verdict, Verdict::Reject(_)));
        Self { answered: None, ..rules }
    }

    /// The same rules for a kernel that cannot report to the agent what it refuses.
    pub fn without_lines(&self) -> Self {
        let keeps = |rule: &Rule| !matches!(rule.verdict, Verdict::Log(_));
        let mut rules = self.with_rules(keeps);
        for chain in rules.wire.ipv4.iter_mut().chain(&mut rules.wire.ipv6) {
            chain.rules.retain(|rule| keeps(rule.rule()));
        }
        rules
    }

    fn with_rules(&self, keeps: impl Fn(&Rule) -> bool) -> Self {
        let chain = |chain: &Chain| Chain {
            rules: chain.rules.iter().filter(|rule| keeps(rule)).cloned().collect(),
            ..*chain
        };
        let table =
            |table: &Table| Table { chains: table.chains.iter().map(chain).collect(), ..table.clone() };
        let tables = |tables: &[Table]| tables.iter().map(table).collect();
        Self { ipv4: tables(&self.ipv4), ipv6: tables(&self.ipv6), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::policy::{iptables, nftables, ruleset};
    use crate::vpn::Situation;

    fn text(ruleset: &Ruleset) -> String {
        Family::ALL.map(|family| iptables::render_fresh(ruleset, family)).concat()
            + &nftables::render_fresh(ruleset)
    }

    #[test]
    fn without_answers_the_same_rules_stand_and_every_chain_that_answers_is_followed_by_a_drop() {
        let full = ruleset(&Config::default(), &[0].into(), &Situation::default());
        let silent = full.without_rejects();
        assert!(full.has_rejects() && !silent.has_rejects());
        let without: String = text(&full)
            .lines()
            .filter(|line| !line.contains("REJECT") && !line.contains("reject with"))
            .filter(|line| !line.contains("DOCKER_VPN_REFUSED"))
            .map(|line| format!("{line}\n"))
            .collect();
        let lines = |text: &str| text.lines().map(str::trim).map(ToOwned::to_owned).collect::<Vec<_>>();
        let kept = lines(&text(&silent));
        // The chain of the containers is gone, with its frame.
        let rest: Vec<String> = lines(&without);
        assert!(kept.iter().all(|line| rest.contains(line)), "{kept:#?}");
        for chain in ["OUTPUT_VPN_KILL_SWITCH", "VPN_DNS"] {
            let all = text(&full);
            let rules: Vec<&str> =
                all.lines().filter(|line| line.starts_with(&format!("-A {chain} "))).collect();
            let last = rules.last().unwrap();
            assert_eq!(*last, format!("-A {chain} -j DROP"));
            assert!(rules.contains(&format!("-A {chain} -j VPN_REFUSED").as_str()), "{rules:#?}");
        }
    }

    #[test]
    fn no_answer_goes_to_a_bridge_that_leads_out() {
        let situation = Situation { shut_out: vec!["br-lan".parse().unwrap()], ..Situation::default() };
        let text = text(&ruleset(&Config::default(), &[0].into(), &situation));
        let chain = text.split("chain DOCKER_VPN_REFUSED_V4 {").nth(1).unwrap();
        let rules: Vec<&str> = chain.split('}').next().unwrap().lines().map(str::trim).collect();
        let place = |what: &str| rules.iter().position(|rule| rule.contains(what)).unwrap();
        let first = place("reject with");
        assert!(place("iifname \"br-lan\" return") < first, "{rules:#?}");
        assert!(rules[first].contains("fib saddr . iif oifname"), "{rules:#?}");
    }
}
