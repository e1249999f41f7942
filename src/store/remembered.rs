//! Reads and writes everything that outlives the agent's state machine.

use super::{Applied, Store, StoreError};
use crate::describe::describe;
use crate::vpn::{Change, Remembered};

impl Store {
    /// What the last agent knew, and one line for each file that cannot be read.
    pub fn remembered(&self, applied: &Applied) -> (Remembered, Vec<String>) {
        let mut faults = Vec::new();
        let mut warn = |consequence: &str, error: &StoreError| {
            faults.push(format!("{}: {consequence}", describe(error)));
        };
        let (learned, names, networks) = (self.endpoints(), self.names(), self.networks());
        if let Err(error) = &learned {
            warn("only the servers that the configuration names are known", error);
        }
        if let Err(error) = &names {
            warn("server names have to be looked up again", error);
        }
        if let Err(error) = &networks {
            warn("the bridges of Docker's networks are unknown until Docker answers", error);
        }
        let remembered = Remembered {
            state: applied.announced_state(),
            learned: learned.ok(),
            names: names.unwrap_or_default(),
            networks: networks.unwrap_or_default(),
            uplinks: applied.situation.known_uplinks.clone(),
            connection_links: applied.situation.connection_links.clone(),
            last: applied.last.clone(),
            silent: applied.silent.clone(),
        };
        (remembered, faults)
    }

    /// Writes the parts that have changed.
    ///
    /// # Errors
    /// [`StoreError::Io`]: then the old files are unchanged.
    pub fn remember(&self, change: &Change) -> Result<(), StoreError> {
        match change {
            Change::Learned(learned) => self.keep_endpoints(learned),
            Change::Names(names) => self.keep_names(names),
            Change::Networks(networks) => self.keep_networks(networks),
        }
    }
}
