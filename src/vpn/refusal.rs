//! Why a packet is refused, in words that do not change, each with the key of the configuration that governs it.

/// Why tunwarden refuses a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// There is no VPN.
    NoVpn,
    /// The VPN went away unasked.
    VpnLost,
    /// It would go through a tunnel, and `tunnel.allow` does not name it.
    NotThroughTunnel,
    /// It is a question for a name outside the tunnel.
    DnsOutsideTunnel,
    /// It goes to a private address that is not on the link of an uplink.
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
    /// It belongs to a published port, and those are off.
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
    pub const ALL: [Self; 14] = [
        Self::NoVpn,
        Self::VpnLost,
        Self::NotThroughTunnel,
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

    /// The word for it, in the logs of the kernel and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoVpn => "no-vpn",
            Self::VpnLost => "vpn-lost",
            Self::NotThroughTunnel => "not-through-tunnel",
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

    /// The key of the configuration that governs it; `None` where none does.
    pub const fn key(self) -> Option<&'static str> {
        match self {
            Self::NoVpn | Self::VpnLost | Self::DnsOutsideTunnel | Self::RawFrame | Self::PausedPortal => {
                None
            }
            Self::NotThroughTunnel => Some("tunnel.allow"),
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
            Self::NotThroughTunnel => {
                "nothing lets it leave outside the tunnel, and tunnel.allow says what goes through it"
            }
            Self::DnsOutsideTunnel => "questions for names do not leave outside the tunnel",
            Self::NotOnLink => "the private address is not on the link of an uplink",
            Self::LanOff => "the LAN is not allowed",
            Self::Multicast => "nothing allows this group",
            Self::NotVpnClient => "only the VPN client may reach the VPN's server",
            Self::UnknownServer => "this is no known VPN server",
            Self::ContainerPolicy => "the container's network may not reach it",
            Self::PublishedPorts => "published ports are off",
            Self::Inbound => "nothing lets it in",
            Self::RawFrame => "a raw sender gives it to the network card",
            Self::PausedPortal => "the pause opens only DNS and web pages of this machine",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_reasons_have_the_same_word() {
        let words: std::collections::BTreeSet<&str> = Refusal::ALL.map(Refusal::as_str).into();
        assert_eq!(words.len(), Refusal::ALL.len());
    }
}
