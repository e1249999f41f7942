//! Rules of others that send forwarded or incoming packets into a chain of ours that asks who owns a
//! socket. Such packets have no socket, so the kernel refuses the whole commit while the rule stands. Pure.

use std::collections::BTreeSet;

use super::reading::UNPRINTABLE;
use super::saved::{SavedTable, leads_to};
use crate::policy::{Chain, ChainName, ForeignChain, Table};

/// A rule of another program that must be removed before ours can be in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Misplaced {
    /// The chain it stands in.
    chain: String,
    /// The rule as `iptables-save` prints it.
    rule: String,
}

impl Misplaced {
    /// Whether its text is not known, so that no restore text can remove it.
    pub(super) fn is_unprintable(&self) -> bool {
        self.rule.starts_with(UNPRINTABLE)
    }

    /// The chain that it stands in.
    pub(super) fn chain(&self) -> &str {
        &self.chain
    }

    /// The chain that it leads to.
    pub(super) fn target(&self) -> Option<&str> {
        self.rule.split(' ').next_back()
    }

    /// The line of a restore text that removes it.
    pub(super) fn removal(&self) -> String {
        format!("-D {} {}", self.chain, self.rule)
    }

    /// The line about it for people.
    pub(super) fn line(&self) -> String {
        format!(
            "the rule -A {} {} is removed: that chain is only for packets that this machine itself sends; {} is for \
             forwarded packets",
            self.chain,
            self.rule,
            ChainName::DockerVpnKillSwitch
        )
    }
}

/// Every such rule in a table.
pub(super) fn misplaced(table: &Table, saved: &SavedTable) -> Vec<Misplaced> {
    let asking = asking_for_owners(&table.chains);
    // Docker jumps to its chain as soon as it comes.
    let from =
        [ForeignChain::Input, ForeignChain::Forward, ForeignChain::DockerUser].map(ForeignChain::as_str);
    let rules = saved.reached_from(&from).into_iter();
    let rules = rules.flat_map(|(chain, rules)| rules.iter().map(move |rule| (chain, rule)));
    let misplaced = rules.filter(|(_, rule)| asking.iter().any(|name| leads_to(rule, name.as_str())));
    misplaced.map(|(chain, rule)| Misplaced { chain: chain.to_owned(), rule: rule.clone() }).collect()
}

/// Chains with a rule that asks for the owner of a socket, and chains that jump to one.
fn asking_for_owners(chains: &[Chain]) -> BTreeSet<ChainName> {
    let mut asking = BTreeSet::new();
    loop {
        let more = chains.iter().filter(|chain| {
            chain.rules.iter().map(ToString::to_string).any(|rule| {
                rule.contains("-m owner ")
                    || asking.iter().any(|name: &ChainName| leads_to(&rule, name.as_str()))
            })
        });
        let more: BTreeSet<ChainName> = more.map(|chain| chain.name).collect();
        if more == asking {
            return asking;
        }
        asking = more;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::firewall::Saved;
    use crate::net::Family;
    use crate::policy::ruleset;
    use crate::vpn::Situation;

    fn found(rules: &str) -> Vec<String> {
        let ruleset = ruleset(&Config::default(), &[0].into(), &Situation::default());
        let chains = [
            ":OUTPUT - [0:0]",
            ":DOCKER-USER - [0:0]",
            ":OUTPUT_VPN_KILL_SWITCH - [0:0]",
            ":VPN_LAN - [0:0]",
        ];
        let saved = Saved::parse(&format!("*filter\n{}\n{rules}COMMIT\n", chains.join("\n"))).unwrap();
        let table = &ruleset.family(Family::V4)[0];
        misplaced(table, saved.table("filter").unwrap()).iter().map(Misplaced::removal).collect()
    }

    #[test]
    fn forwarded_packets_do_not_go_through_the_chain_of_the_host() {
        for rule in ["DOCKER-USER -j OUTPUT_VPN_KILL_SWITCH", "FORWARD -i docker0 -g OUTPUT_VPN_KILL_SWITCH"]
        {
            assert_eq!(found(&format!("-A {rule}\n")), [format!("-D {rule}")]);
        }
        let behind = ":MINE - [0:0]\n-A INPUT -i eth0 -j MINE\n-A MINE -j OUTPUT_VPN_KILL_SWITCH\n";
        assert_eq!(found(behind), ["-D MINE -j OUTPUT_VPN_KILL_SWITCH"]);
    }

    #[test]
    fn rules_that_the_kernel_accepts_stay() {
        let rules = "-A OUTPUT -o eth0 -j OUTPUT_VPN_KILL_SWITCH\n-A DOCKER-USER -j VPN_LAN\n-A DOCKER-USER -j RETURN\n";
        assert_eq!(found(rules), [""; 0]);
    }
}
