//! What outlives the agent. The store reads it once, when an agent starts.

use std::collections::BTreeSet;

use super::{LastVpn, Learned, Names, NetworkBridge, State, TunnelId, Wire};

/// What the last agent knew, for the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// The state that was reported last. If a VPN protected then and does not now, it was lost while no agent
    /// ran.
    pub state: State,
    /// The servers of VPNs. `None` when the file is damaged: servers were known, so `scope = "auto"` does not
    /// allow every address.
    pub learned: Option<Learned>,
    /// The addresses of server names.
    pub names: Names,
    /// The bridges of the Docker networks that the configuration names. They count until Docker answers.
    pub networks: Vec<NetworkBridge>,
    /// Links that were uplinks.
    pub uplinks: Vec<Wire>,
    /// Links that NetworkManager made for connections that do not count.
    pub connection_links: Vec<Wire>,
    /// The VPN that was there last.
    pub last: Option<LastVpn>,
    /// Tunnels whose servers were silent.
    pub silent: BTreeSet<TunnelId>,
}

impl Default for Remembered {
    fn default() -> Self {
        Self {
            state: State::default(),
            learned: Some(Learned::new()),
            names: Names::new(),
            networks: Vec::new(),
            uplinks: Vec::new(),
            connection_links: Vec::new(),
            last: None,
            silent: BTreeSet::new(),
        }
    }
}

/// A changed part of [`Remembered`], which the store must write to the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// [`Remembered::learned`].
    Learned(Learned),
    /// [`Remembered::names`].
    Names(Names),
    /// [`Remembered::networks`].
    Networks(Vec<NetworkBridge>),
}
