//! What sort of device a link is, by the kernel's name of its kind.

/// What sort of device a link is, from `IFLA_INFO_KIND`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkKind {
    /// `lo`.
    Loopback,
    /// A device whose packets a program carries: tun, tap.
    Tunnel,
    /// One whose packets the kernel sends by IPsec: xfrm, vti.
    Ipsec,
    /// A link of PPP: a modem's or PPPoE's, or one whose packets a VPN carries.
    Ppp,
    /// One whose packets the kernel itself wraps up and sends in UDP: wireguard, amneziawg.
    WireGuard,
    /// The same for OpenVPN's packets (DCO), in UDP or TCP: ovpn, ovpn-dco.
    OpenVpn,
    /// A software bridge.
    Bridge,
    /// One end of a veth pair.
    Veth,
    /// Anything else: network cards, Wi-Fi, VLANs, bonds.
    Other,
}

/// The kernel's names of the kinds that can be tunnels.
const TUNNELS: [(&str, LinkKind); 10] = [
    ("tun", LinkKind::Tunnel),
    ("xfrm", LinkKind::Ipsec),
    ("vti", LinkKind::Ipsec),
    ("vti6", LinkKind::Ipsec),
    ("ppp", LinkKind::Ppp),
    ("wireguard", LinkKind::WireGuard),
    ("amneziawg", LinkKind::WireGuard),
    ("ovpn", LinkKind::OpenVpn),
    ("ovpn-dco", LinkKind::OpenVpn),
    ("ovpn-dco-v2", LinkKind::OpenVpn),
];

impl LinkKind {
    /// From the kernel's name of the kind; a card has none.
    pub fn of(info_kind: Option<&str>) -> Self {
        let tunnel = TUNNELS.iter().find(|(name, _)| Some(*name) == info_kind);
        match (tunnel, info_kind) {
            (Some(&(_, kind)), _) => kind,
            (None, Some("bridge")) => Self::Bridge,
            (None, Some("veth")) => Self::Veth,
            (None, _) => Self::Other,
        }
    }

    /// The kernel's names of every kind that can be a tunnel.
    pub fn tunnels() -> impl Iterator<Item = &'static str> {
        TUNNELS.into_iter().map(|(name, _)| name)
    }

    /// Whether a link of this kind can be a VPN's tunnel.
    pub fn is_tunnel(self) -> bool {
        match self {
            Self::Tunnel | Self::Ipsec | Self::Ppp | Self::WireGuard | Self::OpenVpn => true,
            Self::Loopback | Self::Bridge | Self::Veth | Self::Other => false,
        }
    }

    /// Whether the kernel itself sends its packets to the VPN server.
    pub fn is_sent_by_kernel(self) -> bool {
        matches!(self, Self::WireGuard | Self::OpenVpn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tunnel_is_known_by_the_kernel_s_name_of_its_kind_alone() {
        for (name, kind) in [
            ("wireguard", LinkKind::WireGuard),
            ("amneziawg", LinkKind::WireGuard),
            ("ovpn", LinkKind::OpenVpn),
            ("ovpn-dco", LinkKind::OpenVpn),
            ("ovpn-dco-v2", LinkKind::OpenVpn),
            ("vti6", LinkKind::Ipsec),
        ] {
            assert_eq!(LinkKind::of(Some(name)), kind, "{name}");
            assert!(kind.is_tunnel());
        }
        for other in [None, Some(""), Some("ovpn-dco-v3"), Some("Wireguard"), Some("vxlan"), Some("gre")] {
            assert_eq!(LinkKind::of(other), LinkKind::Other, "{other:?}");
        }
    }
}
