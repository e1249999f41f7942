//! The VPNs that are known, whether they count or not.

use serde::Serialize;

use crate::config::plain;
use crate::vpn::{KnownVpn, Origin};

/// Maximum number of servers in a line for people.
const SHOWN: usize = 3;

/// A VPN that is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VpnStatus {
    /// The name of the profile or file.
    pub name: String,
    /// The UUID, if it is a profile of NetworkManager.
    pub uuid: Option<String>,
    /// Who named its servers: `networkmanager`, `openvpn` or `wireguard` (files of root's), or `hook`.
    pub origin: String,
    /// Its first servers, each by address or by name: `198.51.100.9:51820/udp`.
    pub servers: Vec<String>,
    /// Number of its other servers.
    pub more: u32,
    /// The mark on the packets to them: `0xca6c`.
    pub mark: Option<String>,
    /// Whether it counts.
    pub counts: bool,
    /// Why it does not count, or why it cannot be used.
    pub fault: Option<String>,
}

impl VpnStatus {
    /// The first VPNs that are known, and the number of the others.
    pub fn listed((vpns, more): (&[KnownVpn], usize)) -> (Vec<Self>, u32) {
        (vpns.iter().map(Self::from).collect(), u32::try_from(more).unwrap_or(u32::MAX))
    }

    /// A line for people.
    pub fn line(&self) -> String {
        let place = match self.origin.as_str() {
            "hook" => "a hook of OpenVPN",
            "openvpn" => "OpenVPN's files",
            "wireguard" => "WireGuard's files",
            _ => "NetworkManager",
        };
        let mut shown: Vec<String> = self.servers.iter().take(SHOWN).cloned().collect();
        let more = self.servers.len() - shown.len() + usize::try_from(self.more).unwrap_or(usize::MAX);
        if more > 0 {
            shown.push(format!("{more} more"));
        }
        let servers = if shown.is_empty() { "no server is known".to_owned() } else { shown.join(", ") };
        let mark = self.mark.as_ref().map_or_else(String::new, |mark| format!("; mark {mark}"));
        let counts = match (self.counts, &self.fault) {
            (true, None) => "counts".to_owned(),
            (true, Some(fault)) => format!("counts, but {fault}"),
            (false, None) => "does not count".to_owned(),
            (false, Some(fault)) => format!("does not count: {fault}"),
        };
        plain(&format!("{} ({place}): {servers}{mark}; {counts}", self.name))
    }
}

impl From<&KnownVpn> for VpnStatus {
    fn from(vpn: &KnownVpn) -> Self {
        let origin = match vpn.named_by {
            Origin::Hook => "hook",
            Origin::OpenVpn => "openvpn",
            Origin::WireGuard => "wireguard",
            Origin::NetworkManager => "networkmanager",
        };
        Self {
            name: vpn.name.clone(),
            uuid: vpn.uuid.clone(),
            origin: origin.to_owned(),
            servers: vpn.servers.clone(),
            more: u32::try_from(vpn.more).unwrap_or(u32::MAX),
            mark: vpn.mark.map(|mark| format!("{mark:#x}")),
            counts: vpn.counts,
            fault: vpn.fault.clone(),
        }
    }
}
