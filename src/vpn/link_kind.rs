//! What sort of device a link is, by the kernel's name of its kind.

/// What sort of device a link is, from `IFLA_INFO_KIND`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkKind {
    /// `lo`.
    Loopback,
    /// A device whose packets a VPN carries: tun, tap, xfrm, vti.
    Tunnel,
    /// A link of PPP: a modem's or PPPoE's, or one whose packets a VPN carries.
    Ppp,
    /// One whose packets the kernel itself wraps up and sends in UDP or TCP: wireguard, amneziawg, ovpn.
    KernelTunnel,
    /// A software bridge.
    Bridge,
    /// One end of a veth pair.
    Veth,
    /// Anything else: network cards, Wi-Fi, VLANs, bonds.
    Other,
}

/// The kernel's names for the kinds of [`LinkKind::Tunnel`].
const TUNNELS: [&str; 4] = ["tun", "xfrm", "vti", "vti6"];

/// The one of [`LinkKind::Ppp`].
const PPP: &str = "ppp";

/// Those of [`LinkKind::KernelTunnel`].
const KERNEL_TUNNELS: [&str; 5] = ["wireguard", "amneziawg", "ovpn", "ovpn-dco", "ovpn-dco-v2"];

impl LinkKind {
    /// From the kernel's name of the kind; a card has none.
    pub fn of(info_kind: Option<&str>) -> Self {
        match info_kind {
            Some(kind) if TUNNELS.contains(&kind) => Self::Tunnel,
            Some(PPP) => Self::Ppp,
            Some(kind) if KERNEL_TUNNELS.contains(&kind) => Self::KernelTunnel,
            Some("bridge") => Self::Bridge,
            Some("veth") => Self::Veth,
            _ => Self::Other,
        }
    }

    /// The kernel's names of every kind that is a tunnel.
    pub fn tunnels() -> impl Iterator<Item = &'static str> {
        TUNNELS.into_iter().chain([PPP]).chain(KERNEL_TUNNELS)
    }

    /// Whether a VPN carries its packets.
    pub fn is_tunnel(self) -> bool {
        match self {
            Self::Tunnel | Self::Ppp | Self::KernelTunnel => true,
            Self::Loopback | Self::Bridge | Self::Veth | Self::Other => false,
        }
    }
}
