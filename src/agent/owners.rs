//! The users of `bootstrap.owners`. They are looked up again whenever the users of this system may have
//! changed: the package of a VPN client creates its user when it is installed.

use tokio::sync::mpsc;

use super::Agent;
use crate::config::{Config, UserName};
use crate::policy::Owners;
use crate::system;

/// The result of a look-up; no owners if the user database did not answer.
#[derive(Debug)]
pub(super) struct Found {
    named: Vec<UserName>,
    owners: Option<Owners>,
}

/// The users in force, and the look-up that runs.
#[derive(Debug)]
pub(super) struct BootstrapOwners {
    pub(super) current: Owners,
    /// Results of look-ups.
    pub(super) found: mpsc::Receiver<Found>,
    sender: mpsc::Sender<Found>,
    /// Whether a look-up runs.
    under_way: bool,
}

impl BootstrapOwners {
    pub(super) fn new(config: &Config) -> Self {
        let (sender, found) = mpsc::channel(1);
        Self { current: owners(config), found, sender, under_way: false }
    }
}

/// The users that a configuration names, as far as this system has them.
pub(super) fn owners(config: &Config) -> Owners {
    let (owners, unknown) = system::owners(config);
    for name in unknown {
        tracing::debug!("bootstrap.owners: this system has no user `{}`; skipped", name.as_str());
    }
    owners
}

impl Agent {
    /// Starts a look-up beside the loop: the user database may be on a network that is closed.
    pub(super) fn look_up_owners(&mut self) {
        if std::mem::replace(&mut self.owners.under_way, true) {
            return;
        }
        let (named, sender) = (self.machine.config().bootstrap.owners.clone(), self.owners.sender.clone());
        tokio::task::spawn_blocking(move || {
            let owners = system::owners_named(&named);
            let _ = sender.blocking_send(Found { named, owners });
        });
    }

    /// Enforces the rules for the users that a look-up found. Without an answer nothing changes.
    pub(super) async fn owners_found(&mut self, found: Found) {
        self.owners.under_way = false;
        if found.named != self.machine.config().bootstrap.owners {
            self.look_up_owners();
            return;
        }
        let Some(owners) = found.owners.filter(|owners| *owners != self.owners.current) else { return };
        tracing::info!("the users of bootstrap.owners or of DHCP clients have changed: {owners:?}");
        self.owners.current = owners;
        self.enforce().await;
    }
}
