//! Why a packet is refused, in words that do not change, each with the key of the configuration that governs it.

mod reason;

pub use reason::{FromProgram, RefusalFacts, RefusalReason};

use super::{PauseScope, State};

/// Why tunwarden refuses a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// There is no VPN.
    NoVpn,
    /// The VPN was lost.
    VpnLost,
    /// It would go through a tunnel, and `tunnel.allow` does not name it.
    NotThroughTunnel,
    /// A container sends it, it would go through a tunnel, and `docker.allow` does not name it.
    ContainerNotThroughTunnel,
    /// It is a question for a name outside the tunnel.
    DnsOutsideTunnel,
    /// It goes to a private address that is neither on the link of an uplink nor in `lan.networks`.
    NotOnLink,
    /// It goes to the LAN, which is not allowed.
    LanOff,
    /// It goes to a group that nothing allows.
    Multicast,
    /// It goes to a VPN server, and its sender is no VPN client.
    NotVpnClient,
    /// A VPN client sends it, and its destination is no known server.
    UnknownServer,
    /// A container sends it to a place that its network may not reach.
    ContainerPolicy,
    /// It is forwarded and belongs to no published port.
    PublishedPorts,
    /// It comes in, and `input.allow` does not name it.
    Inbound,
    /// It is a frame that a raw sender gives to the network card.
    RawFrame,
    /// A pause for a captive portal does not open it.
    PausedPortal,
}

impl Refusal {
    /// Every one.
    pub const ALL: [Self; 15] = [
        Self::NoVpn,
        Self::VpnLost,
        Self::NotThroughTunnel,
        Self::ContainerNotThroughTunnel,
        Self::DnsOutsideTunnel,
        Self::NotOnLink,
        Self::LanOff,
        Self::Multicast,
        Self::NotVpnClient,
        Self::UnknownServer,
        Self::ContainerPolicy,
        Self::PublishedPorts,
        Self::Inbound,
        Self::RawFrame,
        Self::PausedPortal,
    ];

    /// Why a packet is refused that is neither for the LAN nor for a VPN server.
    pub const fn of_state(state: State, pause: PauseScope) -> Self {
        match (state, pause) {
            (State::Lost, _) => Self::VpnLost,
            (State::Protected, _) => Self::NotThroughTunnel,
            (State::Paused, PauseScope::Portal) => Self::PausedPortal,
            (State::Locked | State::Connecting | State::Paused, _) => Self::NoVpn,
        }
    }

    /// The word for it, in the logs of the kernel and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoVpn => "no-vpn",
            Self::VpnLost => "vpn-lost",
            Self::NotThroughTunnel => "not-through-tunnel",
            Self::ContainerNotThroughTunnel => "container-not-through-tunnel",
            Self::DnsOutsideTunnel => "dns-outside-tunnel",
            Self::NotOnLink => "not-on-link",
            Self::LanOff => "lan-off",
            Self::Multicast => "multicast",
            Self::NotVpnClient => "not-vpn-client",
            Self::UnknownServer => "unknown-server",
            Self::ContainerPolicy => "container-policy",
            Self::PublishedPorts => "published-ports",
            Self::Inbound => "inbound",
            Self::RawFrame => "raw-frame",
            Self::PausedPortal => "paused-portal",
        }
    }

    /// The key of the configuration that governs it; `None` where none does. For one packet see [`RefusalReason`].
    pub const fn key(self) -> Option<&'static str> {
        match self {
            Self::NoVpn | Self::VpnLost | Self::DnsOutsideTunnel | Self::RawFrame | Self::PausedPortal => {
                None
            }
            Self::NotThroughTunnel => Some("tunnel.allow"),
            Self::ContainerNotThroughTunnel => Some("docker.allow"),
            Self::NotOnLink => Some("lan.networks"),
            Self::LanOff => Some("lan.allow"),
            Self::Multicast => Some("lan.services"),
            Self::NotVpnClient => Some("bootstrap.owners"),
            Self::UnknownServer => Some("bootstrap.servers"),
            Self::ContainerPolicy => Some("docker.networks"),
            Self::PublishedPorts => Some("docker.published_ports"),
            Self::Inbound => Some("input.allow"),
        }
    }

    /// What it means, for people.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::NoVpn => "no VPN is connected, and outside a tunnel nothing leaves",
            Self::VpnLost => "the VPN was lost, and outside a tunnel nothing leaves",
            Self::NotThroughTunnel => "it may not leave outside the tunnel, or tunnel.allow does not name it",
            Self::ContainerNotThroughTunnel => {
                "a container may not send it outside the tunnel, or docker.allow does not name it"
            }
            Self::DnsOutsideTunnel => "questions for names do not leave outside the tunnel",
            Self::NotOnLink => "the private address is not in the LAN",
            Self::LanOff => "the LAN is not allowed",
            Self::Multicast => "nothing allows this group",
            Self::NotVpnClient => "only the VPN client may reach the VPN's server",
            Self::UnknownServer => "this is no known VPN server",
            Self::ContainerPolicy => "the container's network may not reach it",
            Self::PublishedPorts => "the forwarded packet belongs to no published port",
            Self::Inbound => "nothing lets it in",
            Self::RawFrame => "a raw socket or a macvlan container sends it directly to the network card",
            Self::PausedPortal => "the pause opens only DNS and web pages of this machine",
        }
    }
}

impl std::str::FromStr for Refusal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut all = Self::ALL.into_iter();
        all.find(|refusal| refusal.as_str() == text)
            .ok_or_else(|| format!("`{text}` is no reason of a refusal"))
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_found_by_its_word() {
        for refusal in Refusal::ALL {
            assert_eq!(refusal.as_str().parse(), Ok(refusal));
        }
        assert!("".parse::<Refusal>().is_err() && "tunwarden-no-vpn".parse::<Refusal>().is_err());
    }
}
