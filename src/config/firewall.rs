//! `[firewall]`: how the rules are put into the kernel.

use std::collections::BTreeSet;

/// `[firewall]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirewallSettings {
    /// Which program of iptables is used.
    pub backend: Backend,
    /// The layers that hold the rules. A packet must pass all of them.
    pub layers: BTreeSet<Layer>,
}

impl Default for FirewallSettings {
    fn default() -> Self {
        Self { backend: Backend::default(), layers: [Layer::Iptables, Layer::Nftables].into() }
    }
}

/// One of `firewall.layers`
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// The tables of iptables and ip6tables.
    Iptables,
    /// Two tables of tunwarden in nftables.
    Nftables,
}

impl Layer {
    /// The word for it in the configuration, on the bus and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Iptables => "iptables",
            Self::Nftables => "nftables",
        }
    }
}

impl std::fmt::Display for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `firewall.backend`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backend {
    /// The system's default `iptables-restore`.
    #[default]
    Auto,
    /// `iptables-nft-restore`.
    Nft,
    /// `iptables-legacy-restore`.
    Legacy,
}
