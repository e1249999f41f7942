//! The users of `bootstrap.owners`, looked up again whenever this system's users may be others: a package
//! of a VPN client makes its user when it is installed.

use tokio::sync::mpsc;

use super::Agent;
use crate::config::{Config, UserName};
use crate::policy::Owners;
use crate::system;

/// What a lookup found; `None` when the user database did not answer.
#[derive(Debug)]
pub(super) struct Found {
    named: Vec<UserName>,
    owners: Option<Owners>,
}

/// Lookups that are under way, and what they found.
#[derive(Debug)]
pub(super) struct Lookups {
    pub(super) found: mpsc::Receiver<Found>,
    sender: mpsc::Sender<Found>,
    under_way: bool,
}

impl Default for Lookups {
    fn default() -> Self {
        let (sender, found) = mpsc::channel(1);
        Self { found, sender, under_way: false }
    }
}

pub(super) fn owners(config: &Config) -> Owners {
    let (owners, unknown) = system::owners(config);
    for name in unknown {
        tracing::debug!("bootstrap.owners: this system has no user `{}`; skipped", name.as_str());
    }
    owners
}

impl Agent {
    /// Looks the users up beside the loop: the user database may be asked over a network that is shut.
    pub(super) fn look_up_owners(&mut self) {
        if std::mem::replace(&mut self.lookups.under_way, true) {
            return;
        }
        let (named, sender) = (self.machine.config().bootstrap.owners.clone(), self.lookups.sender.clone());
        tokio::task::spawn_blocking(move || {
            let owners = system::owners_named(&named);
            let _ = sender.blocking_send(Found { named, owners });
        });
    }

    /// Puts in force what a lookup found. Without an answer the users stay who they were.
    pub(super) async fn owners_found(&mut self, found: Found) {
        self.lookups.under_way = false;
        if found.named != self.machine.config().bootstrap.owners {
            self.look_up_owners();
            return;
        }
        let Some(owners) = found.owners.filter(|owners| *owners != self.owners) else { return };
        tracing::info!("the users of bootstrap.owners are others now: {owners:?}");
        self.owners = owners;
        self.enforce().await;
    }
}
