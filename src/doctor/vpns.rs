//! Finds the VPNs that a machine has outside NetworkManager, by their files and units. It writes nothing.

use super::Files;
use crate::guide::{Support, VpnKind};

/// A VPN that was found by a file, a unit or a device.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FoundVpn {
    /// What kind it is.
    pub kind: VpnKind,
    /// The file, the unit or the device by which it was found.
    pub shown_by: String,
}

/// Maximum number of VPNs of one kind that are listed.
const MAX_LISTED: usize = 8;

/// Folders with configurations: the kind, the folder, the ending, and the beginning of a line that shows that the file
/// is a client's.
const FOLDERS: [(VpnKind, &str, &str, &str); 13] = [
    (VpnKind::OpenVpn, "etc/openvpn", ".conf", "remote "),
    (VpnKind::OpenVpn, "etc/openvpn", ".ovpn", "remote "),
    (VpnKind::OpenVpn, "etc/openvpn/client", ".conf", "remote "),
    (VpnKind::OpenVpn, "etc/openvpn/client", ".ovpn", "remote "),
    (VpnKind::WgQuick, "etc/wireguard", ".conf", "endpoint"),
    (VpnKind::Networkd, "etc/systemd/network", ".netdev", "kind=wireguard"),
    (VpnKind::Networkd, "run/systemd/network", ".netdev", "kind=wireguard"),
    (VpnKind::Networkd, "usr/lib/systemd/network", ".netdev", "kind=wireguard"),
    (VpnKind::Vpnc, "etc/vpnc", ".conf", "ipsec gateway"),
    (VpnKind::Ipsec, "etc/ipsec.d", ".conf", "conn "),
    (VpnKind::Ipsec, "etc/swanctl/conf.d", ".conf", "connections"),
    (VpnKind::Sstp, "etc/ppp/peers", "", "pty \"sstpc"),
    (VpnKind::Pptp, "etc/ppp/peers", "", "pty \"pptp"),
];

/// The same for single files.
const FILES: [(VpnKind, &str, &str); 4] = [
    (VpnKind::Ipsec, "etc/ipsec.conf", "conn "),
    (VpnKind::Ipsec, "etc/swanctl/swanctl.conf", "connections"),
    (VpnKind::L2tp, "etc/xl2tpd/xl2tpd.conf", "[lac"),
    (VpnKind::Fortinet, "etc/openfortivpn/config", "host"),
];

/// The units of VPN apps and mesh VPNs. A unit counts only if the next boot starts it.
const UNITS: [(VpnKind, &str); 14] = [
    (VpnKind::Provider, "mullvad-daemon.service"),
    (VpnKind::Provider, "nordvpnd.service"),
    (VpnKind::Provider, "expressvpn.service"),
    (VpnKind::Provider, "expressvpn-service.service"),
    (VpnKind::Provider, "surfsharkd2.service"),
    (VpnKind::Provider, "piavpn.service"),
    (VpnKind::Provider, "ivpn-service.service"),
    (VpnKind::Provider, "windscribe-helper.service"),
    (VpnKind::Provider, "me.proton.vpn.split_tunneling.service"),
    (VpnKind::Provider, "warp-svc.service"),
    (VpnKind::Provider, "adguardvpn.service"),
    (VpnKind::Tailscale, "tailscaled.service"),
    (VpnKind::Mesh, "netbird.service"),
    (VpnKind::Mesh, "zerotier-one.service"),
];

/// The names of the devices that these programs make. `+` at the end stands for any characters.
const DEVICES: [(VpnKind, &str); 11] = [
    (VpnKind::Provider, "wg0-mullvad"),
    (VpnKind::Provider, "nordlynx"),
    (VpnKind::Provider, "nordtun"),
    (VpnKind::Provider, "proton0"),
    (VpnKind::Provider, "pvpnksintrf+"),
    (VpnKind::Provider, "wgpia+"),
    (VpnKind::Provider, "wgivpn"),
    (VpnKind::Provider, "CloudflareWARP"),
    (VpnKind::Tailscale, "tailscale+"),
    (VpnKind::Mesh, "wt0"),
    (VpnKind::Mesh, "zt+"),
];

impl FoundVpn {
    /// A line for people.
    pub fn line(&self) -> String {
        format!("{}: {}", self.shown_by, self.kind.line())
    }

    /// Whether VPNs of its kind do not work.
    pub fn is_refused(&self) -> bool {
        self.kind.guide().support == Support::Refused
    }
}

impl Files {
    /// The VPNs that were found by files, units and devices, in the order of the guide.
    pub fn vpns(&self) -> Vec<FoundVpn> {
        let of_folders = FOLDERS.into_iter().flat_map(|(kind, folder, ending, start)| {
            let clients = self.listed(folder, ending).into_iter().filter(|path| self.has_line(path, start));
            clients
                .take(MAX_LISTED)
                .map(|path| FoundVpn { kind, shown_by: format!("/{path}") })
                .collect::<Vec<_>>()
        });
        let of_files = FILES.into_iter().filter(|(_, path, start)| self.has_line(path, start));
        let of_files = of_files.map(|(kind, path, _)| FoundVpn { kind, shown_by: format!("/{path}") });
        let units = UNITS.into_iter().filter(|(_, unit)| self.is_enabled(unit));
        let units = units.map(|(kind, unit)| FoundVpn { kind, shown_by: unit.to_owned() });
        let mut found: Vec<FoundVpn> = of_folders.chain(of_files).chain(units).collect();
        let unseen = |device: &FoundVpn| !found.iter().any(|other| other.kind == device.kind);
        let devices: Vec<FoundVpn> = self.devices().into_iter().filter(unseen).collect();
        found.extend(devices);
        found.sort();
        found.dedup();
        found
    }

    /// The devices of apps and mesh VPNs that exist now.
    fn devices(&self) -> Vec<FoundVpn> {
        let is = |name: &str, device: &str| match device.strip_suffix('+') {
            Some(start) => name.starts_with(start),
            None => name == device,
        };
        let paths = self.listed("sys/class/net", "");
        let names = paths.iter().filter_map(|path| path.rsplit('/').next());
        let found = names.filter_map(|name| {
            let (kind, _) = DEVICES.into_iter().find(|(_, device)| is(name, device))?;
            Some(FoundVpn { kind, shown_by: format!("the device {name}") })
        });
        found.collect()
    }

    /// Whether a line of a file begins with this text, in upper or lower case, after any white space. Comments and the
    /// template `conn %default` do not count.
    fn has_line(&self, path: &str, start: &str) -> bool {
        self.read(path).lines().any(|line| {
            let line = line.trim_start().to_ascii_lowercase();
            let line = if start.contains('=') { line.replace(' ', "") } else { line };
            line.starts_with(start) && !line.contains('%')
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::files;
    use super::*;

    fn found(list: &[(&str, &str)]) -> Vec<(VpnKind, String)> {
        let (_root, files) = files(list);
        files.vpns().into_iter().map(|vpn| (vpn.kind, vpn.shown_by)).collect()
    }

    #[test]
    fn files_that_packages_bring_without_a_vpn_show_none() {
        let none = found(&[
            ("etc/ipsec.conf", "# basic configuration\nconfig setup\nconn %default\n# conn office\n"),
            ("etc/xl2tpd/xl2tpd.conf", ";[lac office]\n"),
            ("etc/openfortivpn/config", "# host = vpn.example.net\n"),
            ("etc/swanctl/conf.d/README", "connections {\n"),
            ("etc/openvpn/server.conf", "port 1194\nserver 10.8.0.0 255.255.255.0\n"),
            ("etc/wireguard/server.conf", "[Interface]\nListenPort = 51820\n"),
            ("etc/ppp/peers/provider", "user \"me\"\n"),
            ("etc/systemd/network/br0.netdev", "[NetDev]\nKind=bridge\n"),
            ("usr/lib/systemd/system/tailscaled.service", "[Unit]\n"),
            ("sys/class/net/eth0", ""),
        ]);
        assert_eq!(none, []);
    }

    #[test]
    fn each_vpn_is_found_with_what_shows_it() {
        let wants = "etc/systemd/system/multi-user.target.wants";
        let (tailscale, mullvad) =
            (format!("{wants}/tailscaled.service"), format!("{wants}/mullvad-daemon.service"));
        for (path, text, kind, shown_by) in [
            ("etc/openvpn/client/office.conf", "client\nremote 198.51.100.7\n", VpnKind::OpenVpn, None),
            ("etc/wireguard/home.conf", "[Peer]\n  EndPoint = 198.51.100.9:1\n", VpnKind::WgQuick, None),
            ("etc/systemd/network/wg0.netdev", "[NetDev]\nKind = wireguard\n", VpnKind::Networkd, None),
            ("etc/vpnc/office.conf", "IPSec gateway 198.51.100.9\n", VpnKind::Vpnc, None),
            ("etc/ipsec.conf", "conn office\n  left=%any\n", VpnKind::Ipsec, None),
            ("etc/swanctl/conf.d/office.conf", "connections {\n", VpnKind::Ipsec, None),
            ("etc/xl2tpd/xl2tpd.conf", "[lac office]\n", VpnKind::L2tp, None),
            ("etc/ppp/peers/office", "pty \"pptp 198.51.100.9 --nolaunchpppd\"\n", VpnKind::Pptp, None),
            ("etc/openfortivpn/config", "host = vpn.example.net\n", VpnKind::Fortinet, None),
            (&tailscale, "", VpnKind::Tailscale, Some("tailscaled.service")),
            (&mullvad, "", VpnKind::Provider, Some("mullvad-daemon.service")),
            ("sys/class/net/ztabcdef", "", VpnKind::Mesh, Some("the device ztabcdef")),
        ] {
            let shown_by = shown_by.map_or_else(|| format!("/{path}"), str::to_owned);
            assert_eq!(found(&[(path, text)]), [(kind, shown_by)]);
        }
    }
}
