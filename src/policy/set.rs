//! Many endpoints as one set, in which the kernel finds an endpoint in one step.
//!
//! A set's name is made from its members. Rules for other endpoints name another set, so rules and set change in
//! one transaction. A set that rules name is never changed, only repaired.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use super::{Chain, Rule, Ruleset, Table};
use crate::net::{Endpoint, Family};

/// Maximum number of endpoints of a family, for one kind of sender, that are rules of their own, which people and
/// programs can read.
pub const MAX_RULES_WITHOUT_SET: usize = 64;

/// The name of a set, made from its members: `VPN_ENDPOINTS_V4_89abcdef`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetName {
    family: Family,
    digest: u32,
}

/// Endpoints of one family, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointSet {
    name: SetName,
    members: BTreeSet<Endpoint>,
}

impl SetName {
    /// What the names of all sets of ours begin with.
    pub const PREFIX: &str = "VPN_ENDPOINTS_";

    /// IPv4 or IPv6.
    pub fn family(self) -> Family {
        self.family
    }
}

impl fmt::Display for SetName {
    /// 25 bytes; ipset allows 31.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = match self.family {
            Family::V4 => "V4",
            Family::V6 => "V6",
        };
        write!(f, "{}{family}_{:08x}", Self::PREFIX, self.digest)
    }
}

impl EndpointSet {
    /// The endpoints of `family` among these.
    pub fn new(family: Family, endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        let members: BTreeSet<Endpoint> =
            endpoints.into_iter().filter(|endpoint| endpoint.family() == family).collect();
        Self { name: SetName { family, digest: digest(&members) }, members }
    }

    /// The name by which rules look it up.
    pub fn name(&self) -> SetName {
        self.name
    }

    /// The endpoints in it.
    pub fn members(&self) -> &BTreeSet<Endpoint> {
        &self.members
    }
}

/// FNV-1a: the same in every release, so that a name outlives an update. If two sets have the same name, the
/// comparison of their members shows that they differ.
fn digest(members: &BTreeSet<Endpoint>) -> u32 {
    members.iter().fold(0x811c_9dc5, |hash, member| {
        let address = match member.address() {
            IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
            IpAddr::V6(address) => address.octets(),
        };
        let transport = member.transport().number();
        let bytes = address.into_iter().chain([transport]).chain(member.port().get().to_be_bytes());
        bytes.fold(hash, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
    })
}

impl Ruleset {
    /// The same rules without sets: a rule for each member, for a system that cannot hold sets.
    pub fn without_sets(&self) -> Self {
        let tables = |tables: &[Table]| {
            let table = |table: &Table| Table { chains: self.expand_sets(&table.chains), ..table.clone() };
            tables.iter().map(table).collect()
        };
        Self { ipv4: tables(&self.ipv4), ipv6: tables(&self.ipv6), sets: Vec::new(), ..self.clone() }
    }

    fn expand_sets(&self, chains: &[Chain]) -> Vec<Chain> {
        let members =
            |name| self.sets.iter().filter(move |set| set.name == name).flat_map(|set| &set.members);
        let rules = |rule: &Rule| match rule.set() {
            None => vec![rule.clone()],
            Some(name) => members(name).filter_map(|&member| rule.for_member(member)).collect(),
        };
        let chain = |chain: &Chain| Chain { rules: chain.rules.iter().flat_map(rules).collect(), ..*chain };
        chains.iter().map(chain).collect()
    }
}
