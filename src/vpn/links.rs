//! The machine's links, addresses and routes as one value, and what follows from them.
//!
//! The kernel is the witness here: what NetworkManager or a hook says of a tunnel counts only as far
//! as this table bears it out.

use ipnet::IpNet;

/// Everything the kernel says of links at one moment. Order does not matter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinkTable {
    /// Every link of this network namespace.
    pub links: Vec<Link>,
}

/// One network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The kernel's index, never used twice while the machine runs.
    pub index: u32,
    /// The name as the kernel gives it; may be one that no rule can spell.
    pub name: String,
    /// What sort of device it is.
    pub kind: LinkKind,
    /// `IFF_UP`: an administrator (or a program) has switched it on.
    pub up: bool,
    /// `IFF_LOWER_UP`: it has a carrier; for a tun device: a process holds it open.
    pub carrier: bool,
    /// The index of the bridge or bond it is a port of.
    pub master: Option<u32>,
    /// Its addresses with their prefix lengths.
    pub addresses: Vec<IpNet>,
    /// Destinations of the main table's unicast routes out of it (`0.0.0.0/0` for a default route).
    pub routes: Vec<IpNet>,
}

/// What sort of device a link is, from `IFLA_INFO_KIND`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkKind {
    /// `lo`.
    Loopback,
    /// A device whose packets a VPN carries: tun, tap, wireguard, ovpn, ppp, xfrm, vti.
    Tunnel,
    /// A software bridge.
    Bridge,
    /// One end of a veth pair.
    Veth,
    /// Anything else: network cards, Wi-Fi, VLANs, bonds.
    Other,
}

impl LinkKind {
    /// From the kernel's name of the kind; a card has none.
    pub fn of(info_kind: Option<&str>) -> Self {
        match info_kind {
            Some(
                "tun" | "wireguard" | "ovpn" | "ovpn-dco" | "ovpn-dco-v2" | "ppp" | "xfrm" | "vti" | "vti6",
            ) => Self::Tunnel,
            Some("bridge") => Self::Bridge,
            Some("veth") => Self::Veth,
            _ => Self::Other,
        }
    }
}
