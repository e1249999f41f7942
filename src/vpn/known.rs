//! Which endpoints are known, and which of them may be reached in a state: the contract's middle
//! column.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::claim::{Claim, Standing};
use super::{ActiveVpn, Allowance, NmView, Profile, State};
use crate::config::{Config, Scope};
use crate::net::Endpoint;

/// What is known of each VPN, by its profile's UUID or [`hook_key`]: kept, so that the lock at the next
/// boot knows it too.
pub type Learned = BTreeMap<String, LearnedVpn>;

/// The endpoints of one VPN.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LearnedVpn {
    /// The VPN's name for people.
    pub name: String,
    /// Whether a hook told of it, as root; else it is a profile of NetworkManager's.
    pub hook: bool,
    /// Its servers.
    pub endpoints: BTreeSet<Endpoint>,
}

/// Under which key the endpoints of a hook's tunnel are kept; no UUID looks like it.
pub(super) fn hook_key(interface: &str) -> String {
    format!("hook:{interface}")
}

/// The rows of the contract, from everything that is known.
pub(super) struct Known<'a> {
    pub(super) config: &'a Config,
    pub(super) nm: Option<&'a NmView>,
    pub(super) learned: &'a Learned,
    pub(super) claims: &'a [Claim],
}

impl Known<'_> {
    /// The bootstrap allowance of a state. While paused it is that of the state beneath.
    pub(super) fn allowance(&self, state: State) -> Allowance {
        match state {
            State::Locked | State::Lost | State::Paused => self.everything_known(),
            State::Connecting => self.of_claims(|claim| claim.standing == Standing::Coming),
            State::Protected => self.of_claims(|claim| claim.standing == Standing::Carrying),
        }
    }

    fn everything_known(&self) -> Allowance {
        let bootstrap = &self.config.bootstrap;
        let configured = bootstrap.servers.iter().flat_map(|server| server.endpoints(&bootstrap.ports));
        let counting =
            self.learned.iter().filter(|(key, vpn)| vpn.hook || self.config.vpn.counts(key, &vpn.name));
        let learned = counting.flat_map(|(_, vpn)| vpn.endpoints.iter().copied());
        let mut endpoints: BTreeMap<Endpoint, BTreeSet<u32>> =
            configured.chain(learned).map(|endpoint| (endpoint, BTreeSet::new())).collect();
        for claim in self.claims {
            add(&mut endpoints, claim);
        }
        let any = match bootstrap.scope {
            Scope::Known => false,
            Scope::Any => true,
            Scope::Auto => endpoints.is_empty(),
        };
        Allowance { endpoints, any }
    }

    /// The endpoints of some claims; everything known when one of them does not know its own.
    fn of_claims(&self, wanted: impl Fn(&Claim) -> bool) -> Allowance {
        let mut endpoints = BTreeMap::new();
        for claim in self.claims.iter().filter(|claim| wanted(claim)) {
            if claim.endpoints.is_empty() {
                return self.everything_known();
            }
            add(&mut endpoints, claim);
        }
        Allowance { endpoints, any: false }
    }

    /// The endpoints that an active connection uses or will use.
    pub(super) fn endpoints_of(&self, active: &ActiveVpn) -> BTreeSet<Endpoint> {
        let Some(profile) = self.profiles().find(|profile| profile.uuid == active.uuid) else {
            return BTreeSet::new();
        };
        let saved = profile.endpoints.iter().copied();
        let Some(gateway) = active.gateway else { return saved.collect() };
        let exact: BTreeSet<Endpoint> =
            saved.filter(|endpoint| endpoint.address() == gateway.to_canonical()).collect();
        if !exact.is_empty() {
            return exact;
        }
        // The profile has only a name for it.
        let named = profile.names.iter();
        named.filter_map(|(_, transport, port)| Endpoint::new(gateway, *transport, *port).ok()).collect()
    }

    fn profiles(&self) -> impl Iterator<Item = &Profile> {
        let profiles = self.nm.map_or(&[][..], |view| &view.profiles);
        profiles.iter().filter(|profile| self.config.vpn.counts(&profile.uuid, &profile.id))
    }
}

fn add(endpoints: &mut BTreeMap<Endpoint, BTreeSet<u32>>, claim: &Claim) {
    for endpoint in &claim.endpoints {
        endpoints.entry(*endpoint).or_default().extend(&claim.users);
    }
}
