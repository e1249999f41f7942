//! The policies of filter's built-in chains before our rules: read before a commit, and kept on the disk.

use super::{Arrival, Before, HOOKS, accepts_replies, rules_of_others, ufws_policy};
use crate::config::Backend;
use crate::describe::describe;
use crate::firewall::mark::{self, Origin};
use crate::firewall::saved::{Saved, SavedTable, rules_of};
use crate::firewall::tool;
use crate::net::Family;
use crate::netfilter::{ForwardPolicy, Policy};
use crate::policy::{ChainName, ForeignChain, TableName};
use crate::store::{ChainBefore, EverClosed, FamilyBefore, PoliciesBefore, Store, StoreError};

fn key(legacy: bool, family: Family) -> String {
    let world = if legacy { "legacy" } else { "nft" };
    let family = match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    };
    format!("{world} {family}")
}

/// What is known of a family when its tables are read without our rules in them.
#[derive(Debug, Clone, Copy)]
pub(super) enum Earlier<'a> {
    /// Our rules come for the first time in this boot.
    Nothing,
    /// Our rules were there in this boot, and what was before them is not known: the record is damaged, or
    /// an older version made none. So a policy of DROP may be ours.
    Lost,
    /// The record.
    Record(&'a FamilyBefore),
}

/// The record of this boot. A damaged one shows that there was a record.
struct Memory {
    policies: PoliciesBefore,
    is_lost: bool,
}

impl Memory {
    fn read(store: &Store) -> Self {
        match store.policies_before() {
            Ok(Some(policies)) => Self { policies, is_lost: false },
            Ok(None) => Self { policies: PoliciesBefore::new(), is_lost: store.has_applied() },
            Err(error) => {
                tracing::warn!("{}: it is not known which policies were DROP before", describe(&error));
                Self { policies: PoliciesBefore::new(), is_lost: true }
            }
        }
    }

    fn of(&self, key: &str) -> Earlier<'_> {
        match self.policies.get(key) {
            Some(before) => Earlier::Record(before),
            None if self.is_lost => Earlier::Lost,
            None => Earlier::Nothing,
        }
    }
}

/// The chains that were ever closed. A damaged file is written again.
fn ever_closed(store: &Store) -> EverClosed {
    store.ever_closed().unwrap_or_else(|error| {
        tracing::warn!("{}: it is not known which chains were ever closed", describe(&error));
        EverClosed::new()
    })
}

/// Records what a family holds before our rules are put into it. A later attempt reads policies that may be ours, so it
/// may record a chain as open, and never as closed.
pub(in crate::firewall) fn note(backend: Backend, family: Family, found: &Saved) {
    let (store, legacy) = (Store::default(), tool::is_legacy(backend));
    let own = key(legacy, family);
    if found.has_our_rules() {
        return note_origin(&store, own, found);
    }
    let mut memory = Memory::read(&store);
    let now = observed(found, memory.of(&own));
    if memory.is_lost {
        // The earlier policies of the other family are not known either.
        for family in Family::ALL {
            memory.policies.entry(key(legacy, family)).or_default();
        }
    }
    log_fault(keep(&store, memory, own, now));
}

/// Records which program has set the policy of FORWARD while our rules are there.
fn note_origin(store: &Store, own: String, found: &Saved) {
    let Some(filter) = found.table(TableName::Filter.as_str()) else { return };
    if mark::forward(filter) == Origin::Unknown {
        return;
    }
    let mut memory = Memory::read(store);
    let Earlier::Record(before) = memory.of(&own) else { return };
    let now = now(before, filter);
    if now == *before {
        return;
    }
    let name = ForeignChain::Forward.as_str();
    if now.chains.get(name) != before.chains.get(name) {
        tracing::info!("another program has set the policy of FORWARD ({own})");
    }
    memory.policies.insert(own, now);
    log_fault(store.keep_policies_before(&memory.policies));
}

/// What is known of a family, with what the mark in its table filter says.
pub(super) fn now(before: &FamilyBefore, filter: &SavedTable) -> FamilyBefore {
    match mark::forward(filter) {
        Origin::Unknown => before.clone(),
        Origin::Ours => FamilyBefore { marked: true, ..before.clone() },
        // The next DROP without a mark would say nothing.
        Origin::Zeroed => FamilyBefore { marked: false, ..before.clone() },
        Origin::Another if before.marked => with_forward(before, Policy::Drop),
        Origin::Another => before.clone(),
        Origin::Opened => with_forward(before, Policy::Accept),
    }
}

/// Keeps the policy that another program gives to FORWARD while our rules are there. A program that sets DROP sees no
/// difference, because the policy is DROP by our rules already. nf_tables reports it all the same, also where the mark
/// of our policy stays; the tables of iptables-legacy report nothing.
pub fn note_forward(set: &ForwardPolicy) {
    let (store, own) = (Store::default(), key(false, set.family));
    let mut memory = Memory::read(&store);
    let Earlier::Record(before) = memory.of(&own) else { return };
    let now = with_forward(before, set.policy);
    if now == *before {
        return;
    }
    tracing::info!(
        "{} sets the policy of FORWARD ({}): {:?}",
        set.by.name,
        set.family.iptables(),
        set.policy
    );
    memory.policies.insert(own, now);
    log_fault(store.keep_policies_before(&memory.policies));
}

/// A chain that was closed before stays closed.
fn with_forward(before: &FamilyBefore, policy: Policy) -> FamilyBefore {
    let name = ForeignChain::Forward.as_str();
    let now = match (before.chains.get(name).copied(), policy) {
        (Some(ChainBefore::Closed), _) | (None, Policy::Accept) => return before.clone(),
        (_, Policy::Drop) => ChainBefore::ClosedSince,
        (Some(ChainBefore::ClosedSince), Policy::Accept) => ChainBefore::Open,
        (Some(known), Policy::Accept) => known,
    };
    let mut all = before.clone();
    all.chains.insert(name.to_owned(), now);
    all
}

fn keep(store: &Store, mut memory: Memory, key: String, now: FamilyBefore) -> Result<(), StoreError> {
    let mut closed = ever_closed(store);
    let closes_another = remember(&mut closed, &key, &now);
    if memory.is_lost || memory.policies.get(&key) != Some(&now) {
        memory.policies.insert(key, now);
        store.keep_policies_before(&memory.policies)?;
    }
    if closes_another { store.keep_ever_closed(&closed) } else { Ok(()) }
}

fn log_fault(kept: Result<(), StoreError>) {
    if let Err(error) = kept {
        tracing::warn!("{}: release may not know which policies were DROP before", describe(&error));
    }
}

/// Forgets what a family held before: our rules are out of it.
pub(in crate::firewall) fn forget(backend: Backend, family: Family) {
    let store = Store::default();
    let mut memory = Memory::read(&store);
    if memory.policies.remove(&key(tool::is_legacy(backend), family)).is_some() {
        log_fault(store.keep_policies_before(&memory.policies));
    }
}

/// Forgets what every family held before: our rules are out of iptables.
pub(in crate::firewall) fn forget_all() {
    let store = Store::default();
    let memory = Memory::read(&store);
    if memory.is_lost || !memory.policies.is_empty() {
        log_fault(store.keep_policies_before(&PoliciesBefore::new()));
    }
}

/// The same where the tables cannot be read: reads the policy of each chain that can be listed by itself.
pub(in crate::firewall) async fn note_unread(backend: Backend, family: Family) {
    let list =
        async |table: TableName, chain: &str| tool::list_chain(backend, family, table.as_str(), chain).await;
    for (table, chain) in
        [(TableName::Filter, ChainName::VpnBootstrap), (TableName::Mangle, ChainName::DockerVpnKillSwitch)]
    {
        match list(table, chain.as_str()).await {
            // There is no such chain, or a release left it behind.
            Err(error) if error.is_answer() => {}
            Ok(text) if rules_of(chain.as_str(), &text).is_empty() => {}
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

/// Adds the chains that are closed. Returns whether one of them is new.
fn remember(closed: &mut EverClosed, key: &str, now: &FamilyBefore) -> bool {
    let is_closed = |before: &ChainBefore| matches!(before, ChainBefore::Closed | ChainBefore::ClosedByUfw);
    let names = now.chains.iter().filter(|(_, before)| is_closed(before));
    let names: Vec<String> = names.map(|(name, _)| name.clone()).collect();
    let known = closed.entry(key.to_owned()).or_default();
    let count = known.len();
    known.extend(names);
    known.len() > count
}

/// What a family holds without our rules.
pub(super) fn observed(found: &Saved, earlier: Earlier<'_>) -> FamilyBefore {
    let filter = found.table(TableName::Filter.as_str());
    let absent = TableName::ALL.into_iter().map(TableName::as_str);
    let absent = absent.filter(|name| found.table(name).is_none()).map(ToOwned::to_owned);
    let mut now = FamilyBefore {
        absent: match earlier {
            Earlier::Record(before) => before.absent.clone(),
            Earlier::Nothing | Earlier::Lost => absent.collect(),
        },
        ..FamilyBefore::default()
    };
    for hook in HOOKS {
        let name = hook.as_str();
        let Some(chain) = chain_observed(hook, filter, earlier) else { continue };
        now.chains.insert(name.to_owned(), chain);
        let is_open = filter.and_then(|table| table.policy(name)) != Some("DROP");
        let replying = match (filter, earlier) {
            (Some(filter), _) if is_open && accepts_replies(hook, filter) => {
                Some(rules_of_others(hook, filter))
            }
            (Some(_), Earlier::Record(before)) if !is_open => before.replying.get(name).cloned(),
            _ => None,
        };
        now.replying.extend(replying.map(|rules| (name.to_owned(), rules)));
    }
    match (filter, earlier) {
        (Some(filter), Earlier::Record(before)) => {
            self::now(&FamilyBefore { marked: before.marked, ..now }, filter)
        }
        _ => now,
    }
}

/// The state of one chain of filter; `None` if it cannot be read, or its policy may be ours or another program's.
fn chain_observed(
    hook: ForeignChain,
    filter: Option<&SavedTable>,
    earlier: Earlier<'_>,
) -> Option<ChainBefore> {
    let has_rules =
        filter.and_then(|table| table.rules(hook.as_str())).is_some_and(|rules| !rules.is_empty());
    let open = if has_rules { ChainBefore::Open } else { ChainBefore::Bare };
    let Some(filter) = filter else { return Some(open) };
    if filter.policy(hook.as_str())? != "DROP" {
        return Some(open);
    }
    let closed = match ufws_policy(hook, filter) {
        Some(_) => ChainBefore::ClosedByUfw,
        None => ChainBefore::Closed,
    };
    let lost = || (closed == ChainBefore::ClosedByUfw || accepts_replies(hook, filter)).then_some(closed);
    match earlier {
        Earlier::Record(before) => before.chains.get(hook.as_str()).copied().or_else(lost),
        Earlier::Lost => lost(),
        // The article's scripts close a machine as we do, so the policy is not that of another firewall.
        Earlier::Nothing if is_articles(filter) => Some(ChainBefore::Bare),
        Earlier::Nothing => Some(closed),
    }
}

/// Whether the article's scripts made these chains. One of the same name that a release left behind is empty,
/// and a rule of others leads to it.
fn is_articles(filter: &SavedTable) -> bool {
    let is_articles = |chain: ChainName| {
        let rules = filter.rules(chain.as_str());
        rules.is_some_and(|rules| !rules.is_empty() || !filter.leads_to(chain.as_str()))
    };
    [ChainName::OutputVpnKillSwitch, ChainName::DockerVpnKillSwitch].into_iter().any(is_articles)
}

/// Whether the configuration names a backend of iptables. Our rules are surely in a backend that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::firewall) enum BackendRole {
    /// It is the backend of the configuration.
    Configured,
    /// It is the other backend.
    Other,
}

impl Before {
    /// What is known of a family.
    pub(in crate::firewall) fn of(backend: Backend, family: Family, role: BackendRole) -> Self {
        let store = Store::default();
        let key = key(tool::is_legacy(backend), family);
        let memory = Memory::read(&store);
        let (arrival, seen) = match memory.of(&key) {
            Earlier::Record(before) => (Arrival::Came, Some(before.clone())),
            Earlier::Lost if role == BackendRole::Configured => (Arrival::Came, None),
            Earlier::Lost | Earlier::Nothing => (Arrival::Unseen, None),
        };
        let closed = ever_closed(&store).remove(&key);
        Self { seen, ever_closed: closed.into_iter().flatten().collect(), arrival }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Kept;
    use super::*;

    #[test]
    fn the_policy_that_another_program_gives_to_forward_replaces_the_recorded_one() {
        let drops =
            Saved::parse("*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT DROP [0:0]\nCOMMIT\n")
                .unwrap();
        let filter = drops.table("filter").unwrap();
        let kept = |seen: &FamilyBefore, hook| {
            let before = Before { seen: Some(seen.clone()), ever_closed: Vec::new(), arrival: Arrival::Came };
            before.keeps_closed(hook, filter)
        };
        let bare = observed(&Saved::parse("").unwrap(), Earlier::Nothing);
        assert_eq!(kept(&bare, ForeignChain::Forward), None, "the control");
        let closed = with_forward(&bare, Policy::Drop);
        assert_eq!(kept(&closed, ForeignChain::Forward), Some(Kept::Since));
        assert_eq!(kept(&closed, ForeignChain::Input), None, "the machine would be cut off");
        let opened = with_forward(&closed, Policy::Accept);
        assert_eq!(kept(&opened, ForeignChain::Forward), None);
        let before = observed(&drops, Earlier::Nothing);
        assert_eq!(with_forward(&before, Policy::Accept), before);
    }

    #[test]
    fn the_mark_tells_whose_policy_forward_has() {
        let read = |forward: &str, rules: &str| {
            let policies = ":INPUT DROP [0:1000000000000000]\n:OUTPUT DROP [0:1000000000000000]\n";
            Saved::parse(&format!("*filter\n{policies}:FORWARD {forward}\n{rules}COMMIT\n")).unwrap()
        };
        let jump = "-A FORWARD -j DOCKER_VPN_KILL_SWITCH\n";
        let (ours, bare) = ("DROP [0:1000000000000000]", "DROP [0:0]");
        let after =
            |before: &FamilyBefore, text: &str| now(before, read(text, jump).table("filter").unwrap());
        let first = observed(&Saved::parse("").unwrap(), Earlier::Nothing);
        assert_eq!(after(&first, bare), first, "the rules of an older version have no mark");
        let marked = after(&first, ours);
        assert_eq!(after(&marked, bare).chains["FORWARD"], ChainBefore::ClosedSince);
        assert_eq!(
            after(&after(&marked, bare), ours).chains["FORWARD"],
            ChainBefore::ClosedSince,
            "a repair"
        );
        assert_eq!(after(&after(&marked, bare), "ACCEPT [0:0]").chains["FORWARD"], ChainBefore::Open);
        // iptables-restore has replaced all rules.
        let replaced = observed(&read(bare, ""), Earlier::Record(&marked));
        assert_eq!(replaced.chains["FORWARD"], ChainBefore::ClosedSince);
        let flushed = observed(&read(ours, ""), Earlier::Record(&marked));
        assert_eq!(flushed.chains["FORWARD"], ChainBefore::Bare);
        let opened = observed(&read("ACCEPT [0:0]", ""), Earlier::Record(&replaced));
        assert_eq!(opened.chains["FORWARD"], ChainBefore::Bare);
    }
}
