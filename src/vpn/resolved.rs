//! The addresses of a server name, and how long each of them is believed. Pure.
//!
//! Somebody on the network can forge the answer of a resolver. So an address is forgotten a day after the
//! last answer that named it, unless a tunnel carried packets through a server there. Such an address stays
//! for a month: a server whose name cannot be looked up now is still reached.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::net::server_address;

/// Maximum number of addresses of one name.
pub(super) const MAX_ADDRESSES: usize = 32;

/// Maximum number of them that are kept because a tunnel had its server there.
const MAX_USED: usize = 8;

/// How long an address is kept after the last answer that named it, in seconds.
pub(super) const KEPT_UNUSED: u64 = 24 * HOUR;

/// How long an address is kept after a tunnel last had its server there, in seconds.
const KEPT_USED: u64 = 30 * 24 * HOUR;

/// How often it is noted that an address is in use, in seconds. Each note is a write to the disk.
const NOTED_EVERY: u64 = HOUR;

const HOUR: u64 = 3600;

/// The addresses of a name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolved {
    /// Each with the time of the last answer that named it, in seconds since the epoch.
    addresses: BTreeMap<IpAddr, u64>,
    /// The time of the last answer.
    answered: u64,
    /// Addresses at which a tunnel had its server, each with the time when that was noted last.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    used: BTreeMap<IpAddr, u64>,
}

/// The addresses of the servers of tunnels that are claimed now.
#[derive(Debug, Default)]
pub(super) struct InUse {
    /// The tunnel carries packets, and its client has authenticated the server at this address.
    pub(super) proven: BTreeSet<IpAddr>,
    /// The client uses a server at one of these addresses, or may return to it after a loss.
    pub(super) possible: BTreeSet<IpAddr>,
}

impl Resolved {
    /// The addresses through which the server may be reached.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses.keys().copied()
    }

    /// The addresses of the last answer: where the server is now.
    pub fn current(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses.iter().filter(|(_, at)| **at == self.answered).map(|(address, _)| *address)
    }

    /// The time of the last answer.
    pub(super) fn answered(&self) -> u64 {
        self.answered
    }

    /// Takes in an answer, without the addresses that no server can have. Returns whether any is left.
    pub(super) fn take(&mut self, answer: &[IpAddr], now: u64) -> bool {
        let fit: Vec<IpAddr> = answer.iter().filter_map(|&address| server_address(address).ok()).collect();
        if fit.is_empty() {
            return false;
        }
        self.answered = now;
        // Only the first of an answer of thousands: the order is the server's own.
        self.addresses.extend(fit.into_iter().take(MAX_ADDRESSES).map(|address| (address, now)));
        while self.addresses.len() > MAX_ADDRESSES {
            let order = |(address, at): &(&IpAddr, &u64)| (self.used.contains_key(*address), **at);
            let first = self.addresses.iter().min_by_key(order).map(|(address, _)| *address);
            first.and_then(|address| self.addresses.remove(&address));
        }
        true
    }

    /// Notes which addresses are in use, and forgets those that nothing has confirmed for too long. Returns
    /// whether that changes anything.
    pub(super) fn age(&mut self, in_use: &InUse, now: u64) -> bool {
        let before = (self.addresses.len(), self.used.len());
        let mut has_changed = self.follow_a_clock_that_was_set_back(now);
        for address in in_use.proven.iter().filter(|address| self.addresses.contains_key(address)) {
            let noted = self.used.entry(*address).or_insert(now);
            if now - *noted >= NOTED_EVERY {
                *noted = now;
                has_changed = true;
            }
        }
        self.used.retain(|address, at| now - *at < KEPT_USED && self.addresses.contains_key(address));
        while self.used.len() > MAX_USED {
            let oldest = self.used.iter().min_by_key(|(_, at)| **at).map(|(address, _)| *address);
            oldest.and_then(|address| self.used.remove(&address));
        }
        let is_kept = |address: &IpAddr| self.used.contains_key(address) || in_use.possible.contains(address);
        self.addresses.retain(|address, at| is_kept(address) || now - *at < KEPT_UNUSED);
        has_changed || (self.addresses.len(), self.used.len()) != before
    }

    /// When the next address expires; `None` if every address is in use, or there is none.
    pub(super) fn next_expiry(&self, now: u64) -> Option<u64> {
        let moments = self.addresses.iter().map(|(address, at)| match self.used.get(address) {
            Some(used) => used.saturating_add(KEPT_USED),
            None => at.saturating_add(KEPT_UNUSED),
        });
        moments.filter(|moment| *moment > now).min()
    }

    /// Times ahead of the clock would keep addresses for too long. Answers count as an hour old then, so that
    /// the name is looked up again at once, and keep their order. Returns whether the clock was set back.
    fn follow_a_clock_that_was_set_back(&mut self, now: u64) -> bool {
        let newest = self.addresses.values().chain(self.used.values()).max().copied().unwrap_or_default();
        if newest.max(self.answered) <= now {
            return false;
        }
        let shift = match self.answered.saturating_sub(now) {
            0 => 0,
            ahead => ahead.saturating_add(HOUR),
        };
        self.answered = self.answered.saturating_sub(shift);
        for at in self.addresses.values_mut() {
            *at = at.saturating_sub(shift).min(now);
        }
        for at in self.used.values_mut() {
            *at = (*at).min(now);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRUE: &str = "198.51.100.7";
    const FORGED: &str = "203.0.113.66";

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn proven(texts: &[&str]) -> InUse {
        InUse { proven: ips(texts).into_iter().collect(), ..InUse::default() }
    }

    fn possible(texts: &[&str]) -> InUse {
        InUse { possible: ips(texts).into_iter().collect(), ..InUse::default() }
    }

    fn kept(resolved: &Resolved) -> Vec<IpAddr> {
        resolved.addresses().collect()
    }

    /// The true address, and later a forged answer.
    fn forged() -> Resolved {
        let mut resolved = Resolved::default();
        resolved.take(&ips(&[TRUE]), 1000);
        resolved.take(&ips(&[FORGED]), 2000);
        resolved
    }

    #[test]
    fn a_forged_address_is_forgotten_a_day_after_the_last_answer_that_named_it() {
        let mut resolved = forged();
        resolved.take(&ips(&[TRUE]), 3000);
        resolved.age(&InUse::default(), 2000 + KEPT_UNUSED - 1);
        assert_eq!(kept(&resolved), ips(&[TRUE, FORGED]));
        assert_eq!(resolved.next_expiry(3000), Some(2000 + KEPT_UNUSED));
        resolved.age(&InUse::default(), 2000 + KEPT_UNUSED);
        assert_eq!(kept(&resolved), ips(&[TRUE]));
        assert_eq!(resolved.current().collect::<Vec<_>>(), ips(&[TRUE]));
    }

    #[test]
    fn the_last_answer_is_forgotten_as_well_when_no_other_comes() {
        let mut resolved = forged();
        resolved.age(&InUse::default(), 2000 + KEPT_UNUSED);
        assert_eq!((kept(&resolved), resolved.next_expiry(100_000)), (ips(&[]), None));
    }

    #[test]
    fn the_address_of_a_tunnel_is_kept_and_is_forgotten_in_the_end() {
        let mut resolved = forged();
        resolved.age(&proven(&[TRUE]), 2000);
        resolved.age(&InUse::default(), 2000 + KEPT_UNUSED);
        assert_eq!(kept(&resolved), ips(&[TRUE]), "a server that does not answer now is still reached");
        assert_eq!(resolved.next_expiry(2000 + KEPT_UNUSED), Some(2000 + KEPT_USED));
        // While it is in use, the time is noted once an hour.
        resolved.age(&proven(&[TRUE]), 2000 + KEPT_USED - 1);
        let noted = resolved.clone();
        resolved.age(&proven(&[TRUE]), 2000 + KEPT_USED - 2 + NOTED_EVERY);
        assert_eq!(resolved, noted);
        resolved.age(&InUse::default(), 1999 + 2 * KEPT_USED);
        assert_eq!(kept(&resolved), ips(&[]));
    }

    #[test]
    fn an_address_that_may_be_in_use_is_kept_while_its_tunnel_carries_and_no_longer() {
        let mut resolved = forged();
        let late = 2000 + 2 * KEPT_UNUSED;
        resolved.age(&possible(&[TRUE, FORGED]), late);
        assert_eq!(kept(&resolved), ips(&[TRUE, FORGED]));
        assert_eq!(resolved.next_expiry(late), None, "nobody is woken again and again");
        resolved.age(&InUse::default(), late);
        assert_eq!(kept(&resolved), ips(&[]));
    }

    #[test]
    fn forged_answers_do_not_push_out_the_address_of_a_tunnel() {
        let mut resolved = forged();
        resolved.age(&proven(&[TRUE]), 2000);
        for net in 1..=3 {
            let flood: Vec<IpAddr> = (0..250).map(|host| IpAddr::from([203, 0, net, host])).collect();
            resolved.take(&flood, 2000 + u64::from(net));
        }
        assert_eq!(resolved.addresses.len(), MAX_ADDRESSES);
        assert!(kept(&resolved).contains(&ips(&[TRUE])[0]));
    }

    #[test]
    fn an_address_that_no_answer_has_named_is_not_taken_from_a_tunnel() {
        let mut resolved = Resolved::default();
        resolved.age(&proven(&[TRUE]), 1000);
        assert_eq!(resolved, Resolved::default());
    }

    #[test]
    fn a_clock_that_was_set_back_keeps_nothing_longer() {
        let mut resolved = forged();
        resolved.age(&proven(&[TRUE]), 2000);
        resolved.take(&ips(&[FORGED]), 10_000_000_000);
        resolved.age(&InUse::default(), 50_000);
        assert_eq!(resolved.answered(), 50_000 - HOUR, "it is looked up again at once");
        assert_eq!(resolved.current().collect::<Vec<_>>(), ips(&[FORGED]));
        resolved.age(&InUse::default(), 50_000 - HOUR + KEPT_UNUSED);
        assert_eq!(kept(&resolved), ips(&[TRUE]));
        resolved.age(&InUse::default(), 50_000 + KEPT_USED);
        assert_eq!(kept(&resolved), ips(&[]));
    }

    #[test]
    fn files_of_an_older_agent_can_be_read() {
        let kept = r#"{"addresses":{"198.51.100.7":1000},"answered":1000}"#;
        let resolved: Resolved = serde_json::from_str(kept).unwrap();
        assert_eq!(resolved.current().collect::<Vec<_>>(), ips(&[TRUE]));
        assert_eq!(serde_json::to_string(&resolved).unwrap(), kept);
    }
}
