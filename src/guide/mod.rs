//! What works with which kind of VPN, and what the user must do. `init`, `check`, `doctor`, `status` and the table in
//! `docs/getting-started.md` all use this table.

/// A kind of VPN: the program that runs it, and who starts that program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum VpnKind {
    /// OpenVPN, by NetworkManager's plugin.
    ManagedOpenVpn,
    /// OpenVPN without NetworkManager.
    OpenVpn,
    /// WireGuard, by NetworkManager.
    ManagedWireGuard,
    /// WireGuard, by wg-quick.
    WgQuick,
    /// WireGuard, by systemd-networkd.
    Networkd,
    /// openconnect, by NetworkManager's plugin.
    ManagedOpenConnect,
    /// openconnect without NetworkManager.
    OpenConnect,
    /// vpnc.
    Vpnc,
    /// openfortivpn.
    Fortinet,
    /// sstp-client.
    Sstp,
    /// L2TP over IPsec.
    L2tp,
    /// PPTP.
    Pptp,
    /// strongSwan or Libreswan.
    Ipsec,
    /// A VPN of NetworkManager with another plugin.
    OtherPlugin,
    /// The program of a VPN provider.
    Provider,
    /// Tailscale.
    Tailscale,
    /// ZeroTier, NetBird and similar programs.
    Mesh,
}

/// How far a kind of VPN works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// It works, after the steps that the guide names.
    Works,
    /// It does not work.
    Refused,
}

/// The advice for one kind of VPN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guide {
    /// The kind's name.
    pub name: &'static str,
    /// How far it works.
    pub support: Support,
    /// What works, or why it does not.
    pub works: &'static str,
    /// What to do.
    pub todo: &'static str,
}

/// The services of NetworkManager's plugins, without the prefix that all of them have.
const SERVICES: [(&str, VpnKind); 9] = [
    ("openvpn", VpnKind::ManagedOpenVpn),
    ("openconnect", VpnKind::ManagedOpenConnect),
    ("vpnc", VpnKind::Vpnc),
    ("fortisslvpn", VpnKind::Fortinet),
    ("sstp", VpnKind::Sstp),
    ("l2tp", VpnKind::L2tp),
    ("pptp", VpnKind::Pptp),
    ("strongswan", VpnKind::Ipsec),
    ("libreswan", VpnKind::Ipsec),
];

/// The prefix of the names of these services.
const PLUGIN: &str = "org.freedesktop.NetworkManager.";

impl VpnKind {
    /// Every kind, in the order of the table.
    pub const ALL: [Self; 17] = [
        Self::ManagedOpenVpn,
        Self::OpenVpn,
        Self::ManagedWireGuard,
        Self::WgQuick,
        Self::Networkd,
        Self::ManagedOpenConnect,
        Self::OpenConnect,
        Self::Vpnc,
        Self::Fortinet,
        Self::Sstp,
        Self::L2tp,
        Self::Pptp,
        Self::Ipsec,
        Self::OtherPlugin,
        Self::Provider,
        Self::Tailscale,
        Self::Mesh,
    ];

    /// The kind of NetworkManager's profiles with this `vpn.service-type`.
    pub fn of_service(service: &str) -> Self {
        let plugin = service.strip_prefix(PLUGIN).unwrap_or(service);
        let known = SERVICES.iter().find(|(name, _)| *name == plugin);
        known.map_or(Self::OtherPlugin, |(_, kind)| *kind)
    }

    /// The advice for this kind.
    #[expect(clippy::too_many_lines, reason = "a table, and the compiler checks that it has every kind")]
    pub const fn guide(self) -> Guide {
        let (name, works, todo) = match self {
            Self::ManagedOpenVpn => ("NetworkManager, OpenVPN", "everything, also the reconnect", "nothing"),
            Self::OpenVpn => (
                "plain OpenVPN",
                "servers, state, loss; the client reconnects by itself",
                "hooks or a management socket",
            ),
            Self::ManagedWireGuard => (
                "NetworkManager, WireGuard",
                "everything, also the reconnect",
                "a mark, if the profile does not take all traffic",
            ),
            Self::WgQuick => (
                "wg-quick",
                "everything, also the reconnect of the unit wg-quick@NAME",
                "a mark, if the file has no default route",
            ),
            Self::Networkd => (
                "systemd-networkd, WireGuard",
                "servers, state, loss; systemd-networkd brings it back",
                "a mark: FirewallMark in the .netdev file",
            ),
            Self::ManagedOpenConnect => (
                "NetworkManager, openconnect",
                "servers, state, loss; the login only for users in bootstrap.owners",
                "\"vpn+\" in tunnel.interfaces, and the user who logs in in bootstrap.owners",
            ),
            Self::OpenConnect => (
                "plain openconnect",
                "the state and the loss",
                "the server in bootstrap.servers, with TCP and UDP: \"vpn.example.net:443/tcp\" and \"…:443/udp\"",
            ),
            Self::Vpnc => (
                "vpnc",
                "the state and the loss; NAT traversal alone (UDP 500 and 4500)",
                "without NetworkManager: the server in bootstrap.servers, with 500/udp and 4500/udp",
            ),
            Self::Fortinet => (
                "openfortivpn",
                "the state and the loss",
                "\"ppp0\" in tunnel.interfaces if PPP is not your own line; without NetworkManager also the server in \
                 bootstrap.servers, with its port and tcp",
            ),
            Self::Sstp => (
                "SSTP",
                "the state and the loss",
                "\"ppp0\" in tunnel.interfaces if PPP is not your own line; without NetworkManager also the server in \
                 bootstrap.servers, with its port and tcp",
            ),
            Self::L2tp => (
                "L2TP over IPsec",
                "nothing: it needs ESP of the kernel, and tunwarden lets only UDP and TCP reach a VPN server",
                "use another VPN of this server, such as OpenVPN or WireGuard",
            ),
            Self::Pptp => (
                "PPTP",
                "nothing: it uses GRE, which has no ports, and its encryption is broken",
                "use another VPN of this server",
            ),
            Self::Ipsec => (
                "IPsec (strongSwan, Libreswan)",
                "nothing: it has no tunnel device, and tunwarden lets programs send only into tunnel devices",
                "use another VPN of this server, such as OpenVPN or WireGuard",
            ),
            Self::OtherPlugin => (
                "another plugin of NetworkManager",
                "its server is not known",
                "its server in bootstrap.servers, its user in bootstrap.owners, its device in tunnel.interfaces",
            ),
            Self::Provider => (
                "a provider's app",
                "little: it has a firewall of its own, and its servers are not known",
                "use the provider's files for OpenVPN or WireGuard instead, and switch the app off",
            ),
            Self::Tailscale => (
                "Tailscale",
                "inside a VPN that has its routes in the main table (OpenVPN, openconnect); never past it, because its \
                 peers can have any address",
                "\"tailscale0\" in tunnel.interfaces; no exit node",
            ),
            Self::Mesh => (
                "ZeroTier, NetBird",
                "not beside a VPN: its peers can have any address, and to let it reach them would open every address",
                "pause tunwarden while you need it: tunwarden pause 15m",
            ),
        };
        Guide { name, support: self.support(), works, todo }
    }

    const fn support(self) -> Support {
        match self {
            Self::ManagedOpenVpn
            | Self::OpenVpn
            | Self::ManagedWireGuard
            | Self::WgQuick
            | Self::Networkd
            | Self::ManagedOpenConnect
            | Self::OpenConnect
            | Self::Vpnc
            | Self::Fortinet
            | Self::Sstp
            | Self::OtherPlugin
            | Self::Tailscale => Support::Works,
            Self::L2tp | Self::Pptp | Self::Ipsec | Self::Provider | Self::Mesh => Support::Refused,
        }
    }

    /// The advice as one line.
    pub fn line(self) -> String {
        let guide = self.guide();
        match guide.support {
            Support::Works => format!("{}: works: {}; to do: {}", guide.name, guide.works, guide.todo),
            Support::Refused => format!("{}: {}; to do: {}", guide.name, guide.works, guide.todo),
        }
    }
}

/// The table of `docs/getting-started.md`, with one row for each kind.
pub fn table() -> Vec<String> {
    let row = |kind: VpnKind| {
        let guide = kind.guide();
        format!("| {} | {} | {} |", guide.name, guide.works, guide.todo)
    };
    VpnKind::ALL.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_of_networkmanager_has_a_kind_and_an_unknown_one_is_not_taken_for_another() {
        let kind = |name: &str| VpnKind::of_service(&format!("{PLUGIN}{name}"));
        assert_eq!(kind("openvpn"), VpnKind::ManagedOpenVpn);
        assert_eq!(kind("strongswan"), VpnKind::Ipsec);
        for odd in ["", "iodine", "openvpn2", "openvpn\n", "OPENVPN"] {
            assert_eq!(kind(odd), VpnKind::OtherPlugin, "{odd:?}");
        }
    }

    #[test]
    fn every_kind_is_in_the_table_once_and_says_what_to_do() {
        let names: std::collections::BTreeSet<&str> =
            VpnKind::ALL.iter().map(|kind| kind.guide().name).collect();
        assert_eq!(names.len(), VpnKind::ALL.len());
        for kind in VpnKind::ALL {
            let guide = kind.guide();
            assert!(!guide.works.is_empty() && !guide.todo.is_empty(), "{kind:?}");
            assert!(!kind.line().contains(['|', '\n']), "{kind:?}");
        }
    }
}
