//! The VPNs whose servers are known, as `tunwarden check` lists them.

use std::num::NonZeroU32;

use super::learned::{LearnedVpn, Origin};
use super::{Machine, Sender};

/// Maximum number of servers of one VPN in a line.
const SHOWN: usize = 3;

/// A VPN whose servers are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownVpn {
    /// Its name for people.
    pub name: String,
    /// Who named its servers.
    pub named_by: Origin,
    /// Its first servers, by address or by name.
    pub servers: Vec<String>,
    /// How many servers it has besides.
    pub more: usize,
    /// Who sends to them.
    pub sender: Sender,
    /// The mark on the packets to them.
    pub mark: Option<NonZeroU32>,
    /// Whether it counts.
    pub counts: bool,
}

impl KnownVpn {
    fn of(key: &str, vpn: &LearnedVpn, machine: &Machine) -> Self {
        let endpoints = vpn.endpoints.iter().map(ToString::to_string);
        let names = vpn.names.iter().map(|(name, transport, port)| format!("{name}:{port}/{transport}"));
        Self {
            name: vpn.name.clone(),
            named_by: vpn.origin,
            servers: endpoints.chain(names).take(SHOWN).collect(),
            more: vpn.size().saturating_sub(SHOWN),
            sender: vpn.sender,
            mark: vpn.mark,
            counts: vpn.counts(key, machine.config()),
        }
    }

    /// A line for people.
    pub fn line(&self) -> String {
        let place = match self.named_by {
            Origin::Hook => "a hook of OpenVPN",
            Origin::OpenVpn => "OpenVPN's files",
            Origin::WireGuard => "WireGuard's files",
            Origin::NetworkManager => "NetworkManager",
        };
        let servers = match (self.servers.join(", "), self.more) {
            (none, 0) if none.is_empty() => "no server is known".to_owned(),
            (servers, 0) => servers,
            (servers, more) => format!("{servers} and {more} more"),
        };
        let mark = match (self.sender, self.mark) {
            (_, Some(mark)) => format!("; mark {mark:#x}"),
            (Sender::Kernel, None) => "; no mark".to_owned(),
            (Sender::Client, None) => String::new(),
        };
        let counts = if self.counts { "counts" } else { "does not count: vpn.connections does not name it" };
        format!("{} ({place}): {servers}{mark}; {counts}", self.name)
    }
}

impl Machine {
    /// The VPNs whose servers are known, whether they count or not.
    pub fn known_vpns(&self) -> Vec<KnownVpn> {
        let all = self.facts.learning.all();
        all.iter().map(|(key, vpn)| KnownVpn::of(key, vpn, self)).collect()
    }
}
