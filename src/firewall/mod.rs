//! The edge to the kernel: rules are committed here and nowhere else, and read back every time.
//!
//! There may be more than one layer of them, made of the same rules. A packet has to pass each one,
//! so a change may go to all of them at once: what is in force meanwhile is no wider than the rules
//! before or the rules after.

mod arp;
mod family;
mod iptables;
mod plan;
mod saved;
mod saved_set;
mod sets;
mod tool;

pub use arp::{ArpError, hide_tunnel_addresses, restore_arp};
pub use saved::{Saved, SavedError, SavedTable, canonical};
pub use sets::{SetError, can_hold_sets};
pub use tool::ToolError;

use crate::config;
use crate::net::Family;
use crate::policy::Ruleset;
use iptables::Iptables;

/// Every layer that the configuration names.
#[derive(Debug)]
pub struct Firewall {
    iptables: Iptables,
}

/// How a commit found the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Commit {
    /// Holding what it was last given, or never given anything.
    AsPlanned,
    /// Somebody else's rules stood before our jumps in filter's FORWARD, as after most things that
    /// Docker does: every difference, a line each. Nothing was open, and they are back in their places.
    Moved(Vec<String>),
    /// Somebody else had moved something of ours: every difference, a line each. It is mended.
    Mended(Vec<String>),
}

/// Why the kernel does not hold what it should.
#[derive(Debug, thiserror::Error)]
pub enum FirewallError {
    /// A program failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// What the kernel holds cannot be read.
    #[error(transparent)]
    Saved(#[from] SavedError),
    /// A set could not be taken away, or read.
    #[error(transparent)]
    Set(#[from] SetError),
    /// The kernel took the commit and holds something else.
    #[error("the kernel does not hold what was committed: {}", .0.join("; "))]
    Differs(Vec<String>),
    /// The rules are not in force; those of last resort are.
    #[error("closed completely, because the rules could not be put in force")]
    ClosedCompletely(#[source] Box<FirewallError>),
    /// The same, but what the kernel holds cannot be read: the program's word is all there is.
    #[error("closed completely, as far as can be known without reading what the kernel holds")]
    ClosedUnread(#[source] Box<FirewallError>),
    /// Neither the rules nor those of last resort could be put in force.
    #[error("NOT closed: neither the rules nor a complete lock could be put in force ({last})")]
    Open {
        /// Why not the rules.
        source: Box<FirewallError>,
        /// Why not the lock.
        last: Box<FirewallError>,
    },
}

impl Firewall {
    /// The layers of a configuration, of which nothing is known yet.
    pub fn new(config: &config::Firewall) -> Self {
        Self { iptables: Iptables::new(config.backend) }
    }

    /// Puts `ruleset` in force in every layer and reads it back. Where nothing has to change, nothing is
    /// written.
    ///
    /// # Errors
    /// See [`FirewallError`]; [`FirewallError::Open`] is the only one that leaves anything open.
    pub async fn commit(&mut self, ruleset: &Ruleset) -> Result<Commit, FirewallError> {
        self.iptables.commit(ruleset).await
    }

    /// What of the rules is in force in another form than they ask for, if anything is; as narrow.
    pub fn complaint(&self) -> Option<&str> {
        self.iptables.complaint()
    }

    /// Takes it as known that the kernel holds `ruleset`: no differences were found.
    pub fn holds(&mut self, ruleset: Ruleset) {
        self.iptables.holds(ruleset);
    }

    /// Has the next commit look at everything first: somebody else may have moved something.
    pub fn distrust(&mut self) {
        self.iptables.distrust();
    }

    /// Every difference between `ruleset` and what the kernel holds, a line each.
    ///
    /// # Errors
    /// When the kernel cannot be read: that is no verdict.
    pub async fn differences(&self, ruleset: &Ruleset) -> Result<Vec<String>, FirewallError> {
        self.iptables.differences(ruleset).await
    }

    /// Takes every trace of us out of the kernel; policies go back to ACCEPT, but for FORWARD where it
    /// is Docker's: there it stays what it is. Says in which families that is so.
    ///
    /// # Errors
    /// When a family could not be released; the other one is all the same.
    pub async fn release(&mut self) -> Result<Vec<Family>, FirewallError> {
        self.iptables.release().await
    }
}

impl Commit {
    /// Both together.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::AsPlanned, other) | (other, Self::AsPlanned) => other,
            (Self::Moved(one), Self::Moved(other)) => Self::Moved([one, other].concat()),
            (Self::Moved(one) | Self::Mended(one), Self::Moved(other) | Self::Mended(other)) => {
                Self::Mended([one, other].concat())
            }
        }
    }
}
