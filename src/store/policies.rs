//! The policies of iptables before tunwarden's rules came, so that `release` can restore them.
//!
//! There are two files. `/run/tunwarden/policies.json` holds the policies of this boot, read when tunwarden's
//! rules came into the kernel. `/var/lib/tunwarden/policies.json` names the chains that another program has
//! closed in any boot. The second file is needed because tunwarden's rules come before those of most
//! firewalls at boot: the policies that it finds then say little.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Store, StoreError, read, remove, write};

const POLICIES: &str = "policies.json";

/// A built-in chain of the table `filter`, before tunwarden's rules came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChainBefore {
    /// It accepted every packet and had no rule.
    Bare,
    /// It accepted the packets that its rules did not refuse.
    Open,
    /// It dropped the packets that its rules did not accept.
    Closed,
    /// As `Closed`, and ufw had closed it.
    ClosedByUfw,
    /// Another program gave it the policy DROP after tunwarden's rules had come.
    ClosedSince,
}

/// One family in one backend of iptables (nft or legacy), before tunwarden's rules came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FamilyBefore {
    /// The built-in chains of the table `filter`, by name.
    pub chains: BTreeMap<String, ChainBefore>,
    /// Tables that did not exist.
    pub absent: BTreeSet<String>,
    /// The rules of each open chain whose rules accepted replies, as the rules of a closed chain do. With other
    /// rules the chain is another program's firewall, set up later.
    #[serde(default)]
    pub replying: BTreeMap<String, Vec<String>>,
    /// Whether the policy DROP of `FORWARD` was seen with the counter by which tunwarden marks it. A DROP without it
    /// is another program's then.
    #[serde(default)]
    pub marked: bool,
}

/// Every family in every backend that has tunwarden's rules, by a name for both.
pub type PoliciesBefore = BTreeMap<String, FamilyBefore>;

/// The chains that another program had closed, in this boot or an earlier one, by the same names.
pub type EverClosed = BTreeMap<String, BTreeSet<String>>;

impl Store {
    /// The policies before tunwarden's rules came in this boot; `None` without a record. There is none before
    /// the first commit of a boot, and after an upgrade from a version that kept none.
    ///
    /// # Errors
    /// [`StoreError`]: then the policies are unknown.
    pub fn policies_before(&self) -> Result<Option<PoliciesBefore>, StoreError> {
        read(&self.run.join(POLICIES))
    }

    /// Whether any tunwarden process put rules in force in this boot, and none has released them.
    pub fn has_applied(&self) -> bool {
        self.run.join(super::APPLIED).exists()
    }

    /// Writes these policies.
    ///
    /// # Errors
    /// [`StoreError::Io`]: then the old file is unchanged.
    pub fn keep_policies_before(&self, policies: &PoliciesBefore) -> Result<(), StoreError> {
        write(&self.run.join(POLICIES), policies)
    }

    /// The chains that another program has closed in any boot.
    ///
    /// # Errors
    /// [`StoreError`]: then these chains are unknown.
    pub fn ever_closed(&self) -> Result<EverClosed, StoreError> {
        read(&self.state.join(POLICIES)).map(Option::unwrap_or_default)
    }

    /// Writes these chains.
    ///
    /// # Errors
    /// [`StoreError::Io`]: then the old file is unchanged.
    pub fn keep_ever_closed(&self, closed: &EverClosed) -> Result<(), StoreError> {
        write(&self.state.join(POLICIES), closed)
    }

    /// Removes both files: tunwarden's rules are out of the kernel.
    ///
    /// # Errors
    /// [`StoreError::Io`]
    pub fn forget_policies(&self) -> Result<(), StoreError> {
        remove(&self.run.join(POLICIES)).and(remove(&self.state.join(POLICIES)))
    }
}
