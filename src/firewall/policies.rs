//! The policies of filter's own chains after our rules are removed. [`record`] has the policies from before our
//! rules. Pure, except that file.
//!
//! - A chain that another program had closed stays closed. Otherwise a port that was closed would answer.
//! - The machine gets its network back. A policy of DROP without a rule that accepts replies cuts a machine off,
//!   and no firewall but ours does that. So if the earlier policies of INPUT and OUTPUT are not known, their rules
//!   decide: a chain stays closed if its rules accept replies, and is opened otherwise.
//! - FORWARD stays closed if its earlier policy is not known. That does not cut off the machine itself.
//! - The policy that another program gives to FORWARD while our rules are there counts: the kernel reports it to
//!   the agent, and the [mark](super::mark) of our own policy is gone.
//! - A chain that was open before, and now has other rules that accept replies, belongs to a firewall that was
//!   started after our rules. It stays closed.

mod record;

use super::saved::SavedTable;
use crate::policy::{ChainName, ForeignChain, TableName};
use crate::store::{ChainBefore, FamilyBefore};

pub use record::note_forward;
pub(super) use record::{BackendRole, forget, forget_all, note, note_unread};

/// The built-in chains whose policy we set.
const HOOKS: [ForeignChain; 3] = [ForeignChain::Input, ForeignChain::Forward, ForeignChain::Output];

/// Why a chain stays closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Docker's rules stand in it.
    Docker,
    /// ufw closes it.
    Ufw,
    /// It was closed before our rules came.
    Before,
    /// Another program closed it after our rules had come.
    Since,
    /// Its rules accept replies, as those of a closed firewall do.
    Rules,
    /// Its earlier policy is not known.
    Unknown,
}

/// What is known of one family before our rules came.
#[derive(Debug, Clone, Default)]
pub(super) struct Before {
    seen: Option<FamilyBefore>,
    ever_closed: Vec<String>,
    arrival: Arrival,
}

/// Whether our rules came into a family in this boot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Arrival {
    /// They did, so a policy of DROP may be ours.
    Came,
    /// There is no sign of it.
    #[default]
    Unseen,
}

impl Before {
    /// Nothing was closed.
    pub(super) fn open() -> Self {
        let chains = HOOKS.into_iter().map(|hook| (hook.as_str().to_owned(), ChainBefore::Open));
        Self {
            seen: Some(FamilyBefore { chains: chains.collect(), ..FamilyBefore::default() }),
            ever_closed: Vec::new(),
            arrival: Arrival::Came,
        }
    }

    /// Whether our rules came into this family in this boot.
    pub(super) fn is_after_our_rules(&self) -> bool {
        self.arrival == Arrival::Came
    }

    /// Whether a table was there before our rules came, as far as is known.
    pub(super) fn had(&self, table: TableName) -> bool {
        self.seen.as_ref().is_none_or(|seen| !seen.absent.contains(table.as_str()))
    }

    /// Why a chain of filter that drops stays as it is when our rules go; `None` if it is opened.
    pub(super) fn keeps_closed(&self, hook: ForeignChain, filter: &SavedTable) -> Option<Kept> {
        if hook == ForeignChain::Forward && is_dockers(filter) {
            return Some(Kept::Docker);
        }
        let seen =
            self.seen.as_ref().and_then(|seen| record::now(seen, filter).chains.get(hook.as_str()).copied());
        match ufws_policy(hook, filter) {
            Some(UfwPolicy::Printed("ACCEPT")) => return None,
            Some(UfwPolicy::Printed(_)) => return Some(Kept::Ufw),
            // A policy that cannot be read counts as unchanged. By default ufw closes INPUT and FORWARD.
            Some(UfwPolicy::Unprintable) => {
                let is_closed = match seen {
                    Some(ChainBefore::Closed | ChainBefore::ClosedByUfw | ChainBefore::ClosedSince) => true,
                    Some(ChainBefore::Open) => false,
                    Some(ChainBefore::Bare) | None => hook != ForeignChain::Output,
                };
                return is_closed.then_some(Kept::Ufw);
            }
            None => {}
        }
        match seen {
            Some(ChainBefore::Closed) => Some(Kept::Before),
            Some(ChainBefore::ClosedSince) => Some(Kept::Since),
            Some(ChainBefore::Open) if self.has_the_rules_of_before(hook, filter) => None,
            _ if accepts_replies(hook, filter) => Some(Kept::Rules),
            // ufw is switched off now: then it sets ACCEPT itself.
            Some(ChainBefore::ClosedByUfw | ChainBefore::Open) => None,
            Some(ChainBefore::Bare) => {
                let was_closed = self.ever_closed.iter().any(|chain| chain == hook.as_str());
                let is_alike = hook == ForeignChain::Forward || leads_to(hook, filter, accepts_established);
                (was_closed && is_alike).then_some(Kept::Before)
            }
            None => (hook == ForeignChain::Forward).then_some(Kept::Unknown),
        }
    }

    /// Whether an open chain accepted replies before our rules came, by the rules that it still has. OUTPUT may
    /// have more rules now: if it stayed closed, the machine would have no network.
    fn has_the_rules_of_before(&self, hook: ForeignChain, filter: &SavedTable) -> bool {
        let Some(before) = self.seen.as_ref().and_then(|seen| seen.replying.get(hook.as_str())) else {
            return false;
        };
        let now = rules_of_others(hook, filter);
        let mut rest = now.iter();
        match hook {
            ForeignChain::Output => before.iter().all(|rule| rest.any(|other| other == rule)),
            ForeignChain::Input | ForeignChain::Forward | ForeignChain::DockerUser => *before == now,
        }
    }
}

/// Maximum number of rules of a chain that are kept and compared.
const MAX_RULES: usize = 64;

/// The rules of a built-in chain without our jumps.
fn rules_of_others(hook: ForeignChain, filter: &SavedTable) -> Vec<String> {
    let is_ours =
        |rule: &str| rule.strip_prefix("-j ").is_some_and(|chain| ChainName::named(chain).is_some());
    let rules = filter.rules(hook.as_str()).unwrap_or_default();
    rules.iter().filter(|rule| !is_ours(rule)).take(MAX_RULES).cloned().collect()
}

/// Whether filter `FORWARD` is Docker's now: its chain is jumped to. Docker itself sets the policy DROP
/// where it switched forwarding on, and accepts what its containers need. With the policy ACCEPT, a
/// machine whose forwarding stays on would route for every machine on its links. It is not known whose
/// DROP it was.
fn is_dockers(filter: &SavedTable) -> bool {
    let jumps = ["-j DOCKER-USER", "-j DOCKER-FORWARD"];
    let rules = filter.rules(ForeignChain::Forward.as_str()).unwrap_or_default();
    rules.iter().any(|rule| jumps.contains(&rule.as_str()))
}

/// The policy that ufw gives a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UfwPolicy<'s> {
    Printed(&'s str),
    /// No tool prints the rule that says it.
    Unprintable,
}

/// The policy that ufw gives a chain, while its rules stand there. ufw writes it into a chain of its own.
fn ufws_policy(hook: ForeignChain, filter: &SavedTable) -> Option<UfwPolicy<'_>> {
    let name = hook.as_str().to_lowercase();
    let rules = filter.rules(hook.as_str())?;
    ["ufw", "ufw6"].into_iter().find_map(|ufw| {
        let jumps = rules.iter().any(|rule| *rule == format!("-j {ufw}-before-{name}"));
        let policy = filter.rules(&format!("{ufw}-skip-to-policy-{name}"))?.first()?;
        let policy = policy.strip_prefix("-j ").and_then(|policy| policy.split(' ').next());
        jumps.then(|| policy.map_or(UfwPolicy::Unprintable, UfwPolicy::Printed))
    })
}

/// Whether the rules of others that a chain leads to accept replies from every address.
fn accepts_replies(hook: ForeignChain, filter: &SavedTable) -> bool {
    leads_to(hook, filter, is_for_replies)
}

/// Whether one of the rules of others that a chain leads to is such a rule.
fn leads_to(hook: ForeignChain, filter: &SavedTable, is_wanted: fn(&str) -> bool) -> bool {
    let reached = filter.reached_from(&[hook.as_str()]);
    reached.into_iter().flat_map(|(_, rules)| rules).any(|rule| is_wanted(rule))
}

/// Whether a rule accepts replies, of some packets at least.
fn accepts_established(rule: &str) -> bool {
    let mut words = rule.split(' ').skip_while(|word| !matches!(*word, "--ctstate" | "--state"));
    names_established(words.nth(1).unwrap_or_default()) && rule.ends_with("-j ACCEPT")
}

/// Whether a rule accepts replies from every address.
fn is_for_replies(rule: &str) -> bool {
    let states = ["-m conntrack --ctstate ", "-m state --state "];
    let states = states.iter().find_map(|head| rule.strip_prefix(head)?.strip_suffix(" -j ACCEPT"));
    states.is_some_and(|states| !states.contains(' ') && names_established(states))
}

/// Whether a list of connection states has the state of replies.
fn names_established(states: &str) -> bool {
    states.split(',').any(|state| state == "ESTABLISHED")
}

#[cfg(test)]
mod tests {
    use super::record::{Earlier, observed};
    use super::*;
    use crate::firewall::saved::Saved;

    const UFW: &str = "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n\
        :ufw-before-input - [0:0]\n:ufw-skip-to-policy-input - [0:0]\n:ufw-skip-to-policy-output - [0:0]\n\
        -A INPUT -j ufw-before-input\n-A OUTPUT -j ufw-before-output\n\
        -A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
        -A ufw-skip-to-policy-input -j DROP\n-A ufw-skip-to-policy-output -j ACCEPT\nCOMMIT\n";

    fn saved(text: &str) -> Saved {
        Saved::parse(text).unwrap()
    }

    fn filter(rules: &str) -> Saved {
        let policies = ":INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT DROP [0:0]\n";
        saved(&format!("*filter\n{policies}{rules}COMMIT\n"))
    }

    /// What stays closed: by what was seen when our rules came, and by what stands there now.
    fn kept(before: Option<&str>, ever: &[&str], now: &Saved) -> Vec<(&'static str, Kept)> {
        let seen = before.map(|before| observed(&saved(before), Earlier::Nothing));
        let ever_closed = ever.iter().map(|&name| name.to_owned()).collect();
        let before = Before { seen, ever_closed, arrival: Arrival::Came };
        let table = now.table("filter").unwrap();
        let kept = |hook: ForeignChain| Some((hook.as_str(), before.keeps_closed(hook, table)?));
        HOOKS.into_iter().filter_map(kept).collect()
    }

    #[test]
    fn a_machine_without_a_firewall_is_opened() {
        assert_eq!(kept(Some(""), &[], &filter("")), []);
    }

    #[test]
    fn an_own_firewall_that_came_after_our_rules_stays_closed_if_it_was_closed_in_an_earlier_boot() {
        let narrow = [
            "-A INPUT -i eth0 -m state --state RELATED,ESTABLISHED -j ACCEPT\n",
            "-A INPUT -p tcp -m conntrack --ctstate ESTABLISHED -m comment --comment web -j ACCEPT\n",
        ];
        for rules in narrow {
            assert_eq!(kept(Some(""), &["INPUT"], &filter(rules)), [("INPUT", Kept::Before)], "{rules}");
            assert_eq!(kept(Some(""), &[], &filter(rules)), [], "{rules}");
        }
        assert_eq!(kept(Some(""), &["INPUT"], &filter("-A INPUT -p tcp --dport 22 -j ACCEPT\n")), []);
    }

    #[test]
    fn a_policy_of_ufw_that_cannot_be_printed_stays_as_it_was() {
        let unprintable = UFW
            .replace("-A ufw-skip-to-policy-input -j DROP", "-A ufw-skip-to-policy-input (cannot be printed)")
            .replace(
                "-A ufw-skip-to-policy-output -j ACCEPT",
                "-A ufw-skip-to-policy-output (cannot be printed)",
            )
            .replace(":OUTPUT ACCEPT", ":OUTPUT DROP");
        for before in [Some(UFW), Some(""), None] {
            let kept = kept(before, &[], &saved(&unprintable));
            assert!(kept.contains(&("INPUT", Kept::Ufw)), "{before:?}: {kept:?}");
            assert!(!kept.iter().any(|(chain, _)| *chain == "OUTPUT"), "{before:?}: {kept:?}");
        }
    }

    #[test]
    fn closed_chains_stay_closed() {
        let before = "*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT DROP [0:0]\nCOMMIT\n";
        let kept = kept(Some(before), &[], &filter("-A INPUT -j RELATED_AND_ESTABLISHED\n"));
        assert_eq!(kept, [("INPUT", Kept::Before), ("OUTPUT", Kept::Before)]);
    }

    #[test]
    fn the_chains_of_ufw_show_what_it_closes_at_any_time() {
        let ufw = saved(&UFW.replace("ACCEPT [", "DROP ["));
        let closed = [("INPUT", Kept::Ufw), ("FORWARD", Kept::Before)];
        assert_eq!(kept(Some(UFW), &[], &ufw), closed);
        // At boot ufw starts after tunwarden.
        assert_eq!(kept(Some(""), &["INPUT", "FORWARD"], &ufw), closed);
        assert_eq!(kept(Some(UFW), &[], &filter("")), [("FORWARD", Kept::Before)], "it is off now");
    }

    #[test]
    fn a_later_firewall_is_recognised_because_it_accepts_replies() {
        for rule in ["-m conntrack --ctstate RELATED,ESTABLISHED", "-m state --state NEW,ESTABLISHED"] {
            let now = filter(&format!(":fw - [0:0]\n-A INPUT -j fw\n-A fw {rule} -j ACCEPT\n"));
            assert_eq!(kept(Some(""), &[], &now), [("INPUT", Kept::Rules)], "{rule}");
        }
        let jail = filter(":f2b - [0:0]\n-A INPUT -p tcp -j f2b\n-A f2b -s 192.0.2.1/32 -j DROP\n");
        assert_eq!(kept(Some(""), &["INPUT"], &jail), []);
        let machines =
            "-A FORWARD -d 192.168.122.0/24 -o virbr0 -m conntrack --ctstate ESTABLISHED -j ACCEPT\n";
        assert_eq!(kept(Some(""), &[], &filter(machines)), []);
    }

    #[test]
    fn without_a_record_only_forwarding_stays_closed() {
        assert_eq!(kept(None, &[], &filter("")), [("FORWARD", Kept::Unknown)]);
        assert_eq!(kept(None, &[], &filter("-A FORWARD -j DOCKER-USER\n")), [("FORWARD", Kept::Docker)]);
    }

    #[test]
    fn chains_that_the_articles_script_closed_are_opened() {
        let article = "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT DROP [0:0]\n\
            :OUTPUT_VPN_KILL_SWITCH - [0:0]\nCOMMIT\n";
        assert_eq!(kept(Some(article), &[], &filter("")), []);
    }

    /// An open machine, by these rules of INPUT.
    fn open(rules: &str) -> String {
        format!(
            "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:fw - [0:0]\n{rules}COMMIT\n"
        )
    }

    const REPLIES: &str = "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n";

    #[test]
    fn a_firewall_that_came_after_our_rules_onto_an_open_machine_with_rules_stays_closed() {
        let jail = "-A INPUT -p tcp -j fw\n";
        let closed = filter(&format!("{jail}{REPLIES}"));
        assert_eq!(kept(Some(&open(jail)), &[], &closed), [("INPUT", Kept::Rules)]);
        assert_eq!(
            kept(Some(UFW), &[], &closed),
            [("INPUT", Kept::Rules), ("FORWARD", Kept::Before)],
            "in the place of ufw"
        );
        assert_eq!(kept(Some(&open(jail)), &[], &filter(jail)), [], "nothing came");
    }

    #[test]
    fn an_open_chain_that_accepted_replies_is_opened_with_the_same_rules_only() {
        let before = open(REPLIES);
        let ours = format!("-A INPUT -j RELATED_AND_ESTABLISHED\n{REPLIES}");
        assert_eq!(kept(Some(&before), &[], &filter(&ours)), []);
        let other = format!("{REPLIES}-A INPUT -p tcp --dport 22 -j ACCEPT\n");
        assert_eq!(kept(Some(&before), &[], &filter(&other)), [("INPUT", Kept::Rules)]);
        // Another program flushed our rules, and the policies stayed.
        let first = observed(&saved(&before), Earlier::Nothing);
        assert_eq!(observed(&filter(REPLIES), Earlier::Record(&first)), first);
    }

    #[test]
    fn policies_that_may_be_ours_close_nothing_where_the_record_is_lost() {
        let lost = |now: &Saved| observed(now, Earlier::Lost).chains;
        assert!(lost(&filter("")).is_empty(), "nobody knows");
        let own = lost(&filter(REPLIES));
        assert_eq!(own.into_iter().collect::<Vec<_>>(), [("INPUT".to_owned(), ChainBefore::Closed)]);
        assert_eq!(lost(&saved(UFW))["INPUT"], ChainBefore::ClosedByUfw);
        assert_eq!(lost(&saved(&open("")))["INPUT"], ChainBefore::Bare);
    }

    #[test]
    fn a_chain_that_a_release_left_behind_is_neither_ours_nor_the_articles() {
        let left = ":VPN_BOOTSTRAP - [0:0]\n:DOCKER_VPN_KILL_SWITCH - [0:0]\n-A INPUT -p udp -j VPN_BOOTSTRAP\n\
            -A INPUT -p tcp -j DOCKER_VPN_KILL_SWITCH\n";
        let found = filter(left);
        assert!(!found.has_our_rules());
        assert_eq!(observed(&found, Earlier::Nothing).chains["INPUT"], ChainBefore::Closed);
        assert!(filter(&format!("{left}-A VPN_BOOTSTRAP -j DROP\n")).has_our_rules());
    }

    #[test]
    fn the_last_resort_is_found_to_be_ours() {
        use crate::net::Family;
        for family in Family::ALL {
            let ruleset = crate::policy::last_resort();
            let text = crate::firewall::plan::restore(ruleset.family(family), &Saved::default());
            // A restore text lists chains and rules as a save does.
            let lines = text.lines().filter(|line| !line.starts_with("-I ") && !line.starts_with("-F "));
            let printed = lines.collect::<Vec<_>>().join("\n");
            assert!(saved(&printed).has_our_rules(), "{printed}");
        }
    }

    #[test]
    fn policies_that_may_be_ours_are_not_recorded_as_closed() {
        let first = observed(&saved(""), Earlier::Nothing);
        // Somebody has flushed everything, and our policies stay.
        assert_eq!(observed(&filter(""), Earlier::Record(&first)), first);
        let closed = observed(&filter("-A INPUT -j fw\n"), Earlier::Nothing);
        assert_eq!(closed.chains["INPUT"], ChainBefore::Closed);
        let opened = observed(
            &saved("*filter\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"),
            Earlier::Record(&closed),
        );
        assert_eq!((opened.chains["INPUT"], opened.chains["OUTPUT"]), (ChainBefore::Bare, ChainBefore::Bare));
        assert!(!opened.chains.contains_key("FORWARD"), "it could not be read");
    }
}
