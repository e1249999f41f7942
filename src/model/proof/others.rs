//! Which packets the rules of other programs alone would let out.

use std::collections::BTreeSet;

use super::{Compared, Machine, Prover};
use crate::model::contract::{Contract, Sender};
use crate::model::counterexample::Counterexample;
use crate::model::rule::{Base, Chain, Hook, Rules, Table, Tool};
use crate::model::whose;
use crate::net::Family;

impl Prover {
    /// Packets that rules of other programs would let out if tunwarden's rules did not exist: one for each rule that is
    /// found. A policy that accepts does not count as a rule here, because without any firewall everything leaves.
    pub fn others(
        &mut self,
        rules: &[(Family, Rules)],
        machine: &Machine,
        contract: &Contract<'_>,
    ) -> Vec<Counterexample> {
        let (mut found, mut known) = (Vec::new(), BTreeSet::new());
        for (family, rules) in rules {
            let rules = without_ours(rules);
            let protocols = |sender| matches!(sender, Sender::Local | Sender::Forwarded);
            for case in machine.cases(*family).filter(|case| protocols(case.sender)) {
                let Ok(Compared::Leaves(packet)) = self.compare(&case, &rules, machine, contract) else {
                    continue;
                };
                let Some(decision) = packet.decided_by.as_ref().filter(|decision| !decision.by_policy) else {
                    continue;
                };
                if known.insert((decision.chain.clone(), decision.rule.clone())) {
                    found.push(packet);
                }
            }
        }
        found
    }
}

/// The rules of other programs. In these, only a rule can accept a packet, and no policy.
fn without_ours(rules: &Rules) -> Rules {
    let chain = |name: &String, chain: &Chain| Chain {
        base: chain.base.clone(),
        rules: if whose::is_ours(name) { Vec::new() } else { chain.rules.clone() },
    };
    let table = |table: &Table| {
        let is_filter = table.tool != Tool::Nft && table.name == "filter";
        let closed =
            |base: Base| Base { accepts: base.accepts && !(is_filter && leads_out(base.hook)), ..base };
        let chains = table.chains.iter().map(|(name, one)| {
            let Chain { base, rules } = chain(name, one);
            (name.clone(), Chain { base: base.map(closed), rules })
        });
        Table { chains: chains.collect(), ..table.clone() }
    };
    let others = rules.tables.iter().filter(|table| !whose::TABLES.contains(&&*table.name));
    Rules { tables: others.map(table).collect(), writers: rules.writers.clone() }
}

fn leads_out(hook: Hook) -> bool {
    matches!(hook, Hook::Output | Hook::Forward)
}
