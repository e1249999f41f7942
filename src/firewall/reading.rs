//! Reads what the iptables tables of one family hold.
//!
//! If a table holds a rule of another program that iptables cannot print, `iptables-save` leaves the table
//! out or stops in the middle of it. Then the kernel says over netlink which chains there are and where they
//! jump to, and `iptables -S` prints each of our chains. What cannot be read is an error, and never counts as
//! absent.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;

use super::FirewallError;
use super::saved::{Saved, SavedTable, rules_of};
use super::tool::{self, ToolError};
use crate::config::Backend;
use crate::net::Family;
use crate::netfilter::socket::tables;
use crate::netfilter::{HeldChain, HeldRule, HeldTable, Policy};
use crate::policy::{ChainName, ForeignChain, TableName};

/// Stands for a rule whose text is not known. None of our rules has this text.
pub(super) const UNPRINTABLE: &str = "(a rule that iptables cannot print)";

type Kernel = BTreeMap<String, HeldTable>;

/// Everything in the tables of one family that concerns our chains.
pub(super) async fn read(backend: Backend, family: Family) -> Result<Saved, FirewallError> {
    if tool::is_legacy(backend) {
        return Ok(Saved::parse(&tool::save(backend, family).await?)?);
    }
    let kernel = tables(family);
    let printed = match tool::save(backend, family).await {
        Ok(text) => Saved::parse(&text).map_err(FirewallError::from),
        Err(error @ ToolError::Failed { .. }) => Err(error.into()),
        Err(error) => return Err(error.into()),
    };
    let kernel = match (kernel, &printed) {
        (Ok(kernel), _) => kernel,
        (Err(error), Ok(_)) => return Err(FirewallError::Netfilter(error)),
        (Err(_), Err(_)) => return printed,
    };
    let mut saved = match printed {
        Ok(saved) if is_whole(&saved, &kernel) => saved,
        Ok(_) | Err(_) => one_by_one(backend, family, &kernel).await?,
    };
    for (name, _) in kernel.iter().filter(|(_, table)| table.is_dormant()) {
        saved.set_dormant(name);
    }
    Ok(saved)
}

/// Whether `saved` has every rule of every chain that we use.
fn is_whole(saved: &Saved, kernel: &Kernel) -> bool {
    TableName::ALL.iter().filter_map(|name| Some((name.as_str(), kernel.get(name.as_str())?))).all(
        |(name, table)| {
            let printed = |(chain, held): (&String, &HeldChain)| {
                let rules = saved.table(name).and_then(|table| table.rules(chain));
                rules.is_some_and(|rules| rules.len() == held.rules.len())
            };
            saved.table(name).is_some()
                && table
                    .chains
                    .iter()
                    .filter(|(chain, _)| ChainName::named(chain).is_some() || is_hook(chain))
                    .all(printed)
        },
    )
}

fn is_hook(chain: &str) -> bool {
    ForeignChain::ALL.iter().any(|foreign| foreign.as_str() == chain)
}

/// The tables as the kernel describes them, with the text of our chains.
async fn one_by_one(backend: Backend, family: Family, kernel: &Kernel) -> Result<Saved, FirewallError> {
    let mut saved = Saved::default();
    for name in TableName::ALL.map(TableName::as_str) {
        let Some(table) = kernel.get(name) else { continue };
        let chains = table.chains.iter().map(async |(chain, held)| {
            let rules = match ChainName::named(chain) {
                Some(_) => printed_chain(backend, family, name, chain).await?,
                None => None,
            };
            let policy = held.policy.map(|policy| match policy {
                Policy::Accept => "ACCEPT",
                Policy::Drop => "DROP",
            });
            Ok::<_, FirewallError>((chain.clone(), policy, rules.unwrap_or_else(|| as_described(held))))
        });
        saved.insert(name, SavedTable::of(try_join_all(chains).await?));
    }
    Ok(saved)
}

/// The rules of one of our chains; `None` if it holds a rule that iptables cannot print.
async fn printed_chain(
    backend: Backend,
    family: Family,
    table: &str,
    chain: &str,
) -> Result<Option<Vec<String>>, FirewallError> {
    match tool::list_chain(backend, family, table, chain).await {
        Ok(text) => Ok(Some(rules_of(chain, &text))),
        // A program that was killed gives no answer.
        Err(error) if error.is_answer() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn as_described(chain: &HeldChain) -> Vec<String> {
    let text = |rule: &HeldRule| match rule {
        HeldRule::Jump(chain) => format!("-j {chain}"),
        HeldRule::Other(Some(chain)) => format!("{UNPRINTABLE} -j {chain}"),
        HeldRule::Other(None) => UNPRINTABLE.to_owned(),
    };
    chain.rules.iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(rules: Vec<HeldRule>) -> Kernel {
        let input = HeldChain { policy: Some(Policy::Drop), rules, ..HeldChain::default() };
        let chains =
            BTreeMap::from([("INPUT".to_owned(), input), ("foreign".to_owned(), HeldChain::default())]);
        BTreeMap::from([("filter".to_owned(), HeldTable { flags: 0, chains })])
    }

    #[test]
    fn a_table_that_is_printed_in_part_or_not_at_all_is_not_whole() {
        let one = || kernel(vec![HeldRule::Jump("X".to_owned())]);
        let printed = |text: &str| Saved::parse(text).unwrap();
        assert!(!is_whole(&Saved::default(), &one()), "the table is left out");
        assert!(
            !is_whole(&printed("*filter\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"), &one()),
            "the chain is left out"
        );
        assert!(!is_whole(&printed("*filter\n:INPUT DROP [0:0]\nCOMMIT\n"), &one()), "the rule is left out");
        let whole = printed("*filter\n:INPUT DROP [0:0]\n-A INPUT -j X\nCOMMIT\n");
        assert!(is_whole(&whole, &one()), "somebody else's chain is not needed");
        assert!(is_whole(&Saved::default(), &Kernel::new()), "there is nothing to print");
    }

    #[test]
    fn a_rule_that_cannot_be_printed_is_not_our_jump() {
        let other = |chain: Option<&str>| HeldRule::Other(chain.map(ToOwned::to_owned));
        let rules = vec![other(None), other(Some("X")), HeldRule::Jump("X".to_owned())];
        let told = as_described(&HeldChain { rules, ..HeldChain::default() });
        assert_eq!(told.iter().filter(|rule| *rule == "-j X").count(), 1);
        assert_eq!(told[2], "-j X");
    }
}
