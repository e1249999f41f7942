//! What the policies of iptables were before our rules came, so that `release` gives them back.
//!
//! Two files: `/run/tunwarden/policies.json` is of this boot, when our rules came into the kernel.
//! `/var/lib/tunwarden/policies.json` names the chains that were ever closed by somebody else: at boot our
//! rules come before those of most firewalls, so what was seen then says little.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Store, StoreError, read, remove, write};

const POLICIES: &str = "policies.json";

/// A built-in chain of filter, before our rules came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChainBefore {
    /// It accepted, and had no rule.
    Bare,
    /// It accepted what its rules did not refuse.
    Open,
    /// It dropped what its rules did not accept.
    Closed,
    /// The same, and ufw had closed it.
    ClosedByUfw,
}

/// One family in one world of iptables, before our rules came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FamilyBefore {
    /// The built-in chains of filter, by name.
    pub chains: BTreeMap<String, ChainBefore>,
    /// Tables that were not there.
    pub absent: BTreeSet<String>,
}

/// Every family in every world of iptables that our rules came into, by a name for both.
pub type PoliciesBefore = BTreeMap<String, FamilyBefore>;

/// The chains that somebody else had closed, in this boot or an earlier one, by the same names.
pub type EverClosed = BTreeMap<String, BTreeSet<String>>;

impl Store {
    /// The policies before our rules came in this boot; nothing when they did not.
    ///
    /// # Errors
    /// [`StoreError`]: then nobody can tell what they were.
    pub fn policies_before(&self) -> Result<PoliciesBefore, StoreError> {
        read(&self.run.join(POLICIES)).map(Option::unwrap_or_default)
    }

    /// Keeps them.
    ///
    /// # Errors
    /// [`StoreError::Io`]: then what was kept before still is.
    pub fn keep_policies_before(&self, policies: &PoliciesBefore) -> Result<(), StoreError> {
        write(&self.run.join(POLICIES), policies)
    }

    /// The chains that were ever closed by somebody else.
    ///
    /// # Errors
    /// [`StoreError`]: then nobody can tell which.
    pub fn ever_closed(&self) -> Result<EverClosed, StoreError> {
        read(&self.state.join(POLICIES)).map(Option::unwrap_or_default)
    }

    /// Keeps them.
    ///
    /// # Errors
    /// [`StoreError::Io`]: then what was kept before still is.
    pub fn keep_ever_closed(&self, closed: &EverClosed) -> Result<(), StoreError> {
        write(&self.state.join(POLICIES), closed)
    }

    /// Forgets both: our rules are out of the kernel.
    ///
    /// # Errors
    /// [`StoreError::Io`]
    pub fn forget_policies(&self) -> Result<(), StoreError> {
        remove(&self.run.join(POLICIES)).and(remove(&self.state.join(POLICIES)))
    }
}
