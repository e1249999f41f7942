//! Which endpoints are known, and which of them may be reached in a state: the contract's middle
//! column.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::claim::{Claim, Claimant, Standing};
use super::names::Names;
use super::{ActiveVpn, Allowance, NmView, Profile, State};
use crate::config::{Config, Dns, Scope};
use crate::net::{Endpoint, Host, HostName, Port, Server, Transport};

/// So many names of profiles are looked up: whoever may make a profile could tell the resolver much with
/// more of them.
const MOST_NAMES: usize = 256;

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
    /// Its servers that have only a name.
    #[serde(default)]
    pub names: BTreeSet<(HostName, Transport, Port)>,
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
    pub(super) names: &'a Names,
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
        let configured = bootstrap.servers.iter().flat_map(|server| self.configured(server));
        let learned = self
            .counting()
            .flat_map(|vpn| vpn.endpoints.iter().copied().chain(self.resolved(vpn.names.iter())));
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

    /// The VPNs learned that count.
    fn counting(&self) -> impl Iterator<Item = &LearnedVpn> {
        let counts = |key: &str, vpn: &LearnedVpn| vpn.hook || self.config.vpn.counts(key, &vpn.name);
        self.learned.iter().filter(move |(key, vpn)| counts(key, vpn)).map(|(_, vpn)| vpn)
    }

    /// The endpoints that a server of the configuration stands for.
    fn configured(&self, server: &Server) -> Vec<Endpoint> {
        let ports = &self.config.bootstrap.ports;
        match &server.host {
            Host::Address(_) => server.endpoints(ports),
            Host::Name(name) => {
                self.addresses(name).flat_map(|address| server.endpoints_at(address, ports)).collect()
            }
        }
    }

    /// The addresses that a name stands for; none while no name is looked up.
    fn addresses(&self, name: &HostName) -> impl Iterator<Item = IpAddr> {
        let pinned = self.config.bootstrap.dns == Dns::Pin;
        let resolved = self.names.get(name).filter(|_| pinned);
        resolved.into_iter().flat_map(|resolved| resolved.addresses())
    }

    /// The endpoints that servers with names stand for.
    fn resolved<'n>(
        &self,
        servers: impl Iterator<Item = &'n (HostName, Transport, Port)>,
    ) -> BTreeSet<Endpoint> {
        let of = |(name, transport, port): &(HostName, Transport, Port)| {
            let endpoint = |address| Endpoint::new(address, *transport, *port).ok();
            self.addresses(name).filter_map(endpoint).collect::<Vec<_>>()
        };
        servers.flat_map(of).collect()
    }

    /// Every server name that has to be looked up.
    pub(super) fn wanted_names(&self) -> BTreeSet<HostName> {
        if self.config.bootstrap.dns == Dns::Off {
            return BTreeSet::new();
        }
        let learned = self.counting().flat_map(|vpn| vpn.names.iter().map(|(name, ..)| name.clone()));
        self.configured_names().chain(learned.take(MOST_NAMES)).collect()
    }

    /// Those of the configuration, and of the profiles whose tunnels carry.
    pub(super) fn names_in_use(&self) -> BTreeSet<HostName> {
        let carrying = self.claims.iter().filter(|claim| claim.standing == Standing::Carrying);
        let profiles = carrying.filter_map(|claim| match &claim.claimant {
            Claimant::NetworkManager { uuid, .. } => self.learned.get(uuid),
            Claimant::Hook => None,
        });
        let of_profiles = profiles.flat_map(|vpn| vpn.names.iter().map(|(name, ..)| name.clone()));
        let wanted = self.wanted_names();
        self.configured_names().chain(of_profiles).filter(|name| wanted.contains(name)).collect()
    }

    fn configured_names(&self) -> impl Iterator<Item = HostName> {
        self.config.bootstrap.servers.iter().filter_map(|server| match &server.host {
            Host::Name(name) => Some(name.clone()),
            Host::Address(_) => None,
        })
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
        let Some(gateway) = active.gateway else {
            return saved.chain(self.resolved(profile.names.iter())).collect();
        };
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
