//! What filter's built-in chains were before our rules came: seen before a commit, and kept on the disk.

use super::{Before, HOOKS, ufws_policy};
use crate::config::Backend;
use crate::describe::describe;
use crate::firewall::saved::{Saved, SavedTable, rules_of};
use crate::firewall::tool;
use crate::net::Family;
use crate::policy::{ChainName, ForeignChain, TableName};
use crate::store::{ChainBefore, EverClosed, FamilyBefore, PoliciesBefore, Store};

fn key(legacy: bool, family: Family) -> String {
    let world = if legacy { "legacy" } else { "nft" };
    let family = match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    };
    format!("{world} {family}")
}

/// Keeps what a family holds, if our rules are about to come into it. A later attempt to keep them sees
/// policies that may be ours, so a chain becomes open by it and never closed.
pub(in crate::firewall) fn note(backend: Backend, family: Family, found: &Saved) {
    if is_ours(found) {
        return;
    }
    let store = Store::default();
    let key = key(tool::is_legacy(backend), family);
    let result = store.policies_before().and_then(|mut policies| {
        let ever = store.ever_closed();
        let now = observed(found, policies.get(&key));
        if policies.get(&key) != Some(&now) {
            policies.insert(key.clone(), now);
            store.keep_policies_before(&policies)?;
        }
        let mut closed = ever?;
        if remember(&mut closed, &key, &policies) {
            store.keep_ever_closed(&closed)?;
        }
        Ok(())
    });
    if let Err(error) = result {
        tracing::warn!("{}: release may not know which policies were DROP before", describe(&error));
    }
}

/// The same where the tables cannot be read: each chain that can be is asked for its policy.
pub(in crate::firewall) async fn note_unread(backend: Backend, family: Family) {
    let list =
        async |table: TableName, chain: &str| tool::list_chain(backend, family, table.as_str(), chain).await;
    for (table, chain) in
        [(TableName::Filter, ChainName::VpnBootstrap), (TableName::Mangle, ChainName::DockerVpnKillSwitch)]
    {
        match list(table, chain.as_str()).await {
            // There is no such chain.
            Err(error) if error.is_answer() => {}
            Ok(_) | Err(_) => return,
        }
    }
    let mut chains = Vec::new();
    for hook in HOOKS.map(ForeignChain::as_str) {
        let text = list(TableName::Filter, hook).await.unwrap_or_default();
        let Some(policy) = text.lines().find_map(|line| line.strip_prefix(&format!("-P {hook} "))) else {
            continue;
        };
        let policy = if policy == "DROP" { "DROP" } else { "ACCEPT" };
        chains.push((hook.to_owned(), Some(policy), rules_of(hook, &text)));
    }
    let mut found = Saved::default();
    found.insert(TableName::Filter.as_str(), SavedTable::of(chains));
    found.insert(TableName::Mangle.as_str(), SavedTable::default());
    note(backend, family, &found);
}

/// Adds the chains that are closed; says whether any is new.
fn remember(closed: &mut EverClosed, key: &str, policies: &PoliciesBefore) -> bool {
    let chains = policies.get(key).into_iter().flat_map(|before| &before.chains);
    let names = chains.filter(|(_, before)| matches!(before, ChainBefore::Closed | ChainBefore::ClosedByUfw));
    let names: Vec<String> = names.map(|(name, _)| name.clone()).collect();
    let known = closed.entry(key.to_owned()).or_default();
    let count = known.len();
    known.extend(names);
    known.len() > count
}

/// Whether rules of ours are in force in a family. The article's scripts have chains of the same names in
/// filter, but not these.
fn is_ours(saved: &Saved) -> bool {
    let has = |table: TableName, chain: ChainName| {
        saved.table(table.as_str()).is_some_and(|table| table.rules(chain.as_str()).is_some())
    };
    has(TableName::Filter, ChainName::VpnBootstrap) || has(TableName::Mangle, ChainName::DockerVpnKillSwitch)
}

/// What a family holds without our rules.
pub(super) fn observed(found: &Saved, before: Option<&FamilyBefore>) -> FamilyBefore {
    let filter = found.table(TableName::Filter.as_str());
    let chain = |hook: ForeignChain| {
        let has_rules =
            filter.and_then(|table| table.rules(hook.as_str())).is_some_and(|rules| !rules.is_empty());
        let policy = filter.and_then(|table| table.policy(hook.as_str()));
        if filter.is_some() && policy.is_none() {
            // It cannot be read.
            return None;
        }
        let open = if has_rules { ChainBefore::Open } else { ChainBefore::Bare };
        let known = before.and_then(|before| before.chains.get(hook.as_str())).copied();
        let now = match (policy, known) {
            (Some("DROP"), Some(known)) => known,
            // The article's scripts close a machine as we do: that is no firewall's doing.
            (Some("DROP"), None) if is_articles(filter) => ChainBefore::Bare,
            (Some("DROP"), None) => match filter.and_then(|table| ufws_policy(hook, table)) {
                Some(_) => ChainBefore::ClosedByUfw,
                None => ChainBefore::Closed,
            },
            (_, _) => open,
        };
        Some((hook.as_str().to_owned(), now))
    };
    let absent = TableName::ALL.into_iter().map(TableName::as_str);
    let absent = absent.filter(|name| found.table(name).is_none()).map(ToOwned::to_owned);
    FamilyBefore {
        chains: HOOKS.into_iter().filter_map(chain).collect(),
        absent: before.map_or_else(|| absent.collect(), |before| before.absent.clone()),
    }
}

fn is_articles(filter: Option<&SavedTable>) -> bool {
    let chains = [ChainName::OutputVpnKillSwitch, ChainName::DockerVpnKillSwitch];
    filter.is_some_and(|table| chains.iter().any(|chain| table.rules(chain.as_str()).is_some()))
}

impl Before {
    /// What is known of a family.
    pub(in crate::firewall) fn of(backend: Backend, family: Family) -> Self {
        let store = Store::default();
        let key = key(tool::is_legacy(backend), family);
        let complain = |error: &crate::store::StoreError| {
            tracing::warn!("{}: nobody knows which policies were DROP before", describe(error));
        };
        let seen = store.policies_before().inspect_err(complain).ok().and_then(|mut all| all.remove(&key));
        let closed = store.ever_closed().inspect_err(complain).ok().and_then(|mut all| all.remove(&key));
        Self { seen, ever_closed: closed.into_iter().flatten().collect() }
    }
}
