//! The files of root that `vpn.connections` can name.

/// A program whose configurations root writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RootFile {
    /// `/etc/wireguard/NAME.conf`, or a `.netdev` file of systemd-networkd whose device is called NAME.
    WireGuard,
    /// `NAME.conf` or `NAME.ovpn` in `/etc/openvpn` or in a folder below it.
    OpenVpn,
}

impl RootFile {
    /// What comes before the file's name in `vpn.connections`.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::WireGuard => "wireguard:",
            Self::OpenVpn => "openvpn:",
        }
    }

    /// The kind of file that an entry of `vpn.connections` names; `None` for a profile of NetworkManager's.
    pub fn of(entry: &str) -> Option<Self> {
        [Self::WireGuard, Self::OpenVpn].into_iter().find(|kind| entry.starts_with(kind.prefix()))
    }
}

/// Whether a text has the form of the UUIDs that `nmcli connection` shows.
pub fn looks_like_a_uuid(text: &str) -> bool {
    text.len() == 36 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}
