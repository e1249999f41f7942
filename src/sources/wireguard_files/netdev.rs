//! Reads from a systemd.netdev(5) where a WireGuard device of systemd-networkd connects to. Pure.
//!
//! No INI library is used, because systemd's rules differ from the libraries' rules and from wg-quick's. The lines are
//! read as systemd reads them: names of keys and sections are case-sensitive, `#` and `;` begin a comment only at the
//! start of a line, a `\` at the end of a line joins it with the next line, and the last line of a key counts. From
//! WireGuard's keys, only the public keys of peers and a hash of the private key are kept.

use std::num::NonZeroU32;

use super::config::Device;
use crate::net::{OwnKey, PeerKey};

/// A device as far as its file could be read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct NetDev {
    /// `Name`
    pub(super) name: String,
    pub(crate) device: Device,
}

#[derive(Debug, Default)]
struct Reader {
    section: String,
    kind: String,
    /// Number of peers so far.
    peers: usize,
    /// The endpoint of the peer that is being read, with its line.
    endpoint: Option<(usize, String)>,
    /// The public key of that peer.
    key: Option<PeerKey>,
    /// `PrivateKey`
    own: Option<OwnKey>,
    /// Whether the private key is in a file of its own, which has priority over `PrivateKey`.
    is_own_elsewhere: bool,
    netdev: NetDev,
}

/// Reads a file, followed by its drop-ins; `None` if it makes another kind of device.
pub(crate) fn read(text: &str) -> Option<NetDev> {
    let mut reader = Reader::default();
    // The number and the text of a line that continues on the next one.
    let mut begun: Option<(usize, String)> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start_matches('\u{feff}');
        if line.trim_start().starts_with(['#', ';']) {
            continue;
        }
        let (first, mut whole) = begun.take().unwrap_or((number, String::new()));
        match line.strip_suffix('\\') {
            Some(part) => {
                whole.push_str(part);
                whole.push(' ');
                begun = Some((first, whole));
            }
            None => {
                whole.push_str(line);
                reader.take(first, whole.trim());
            }
        }
    }
    if let Some((first, whole)) = begun {
        reader.take(first, whole.trim());
    }
    reader.end_peer();
    reader.netdev.device.own = reader.own.filter(|_| !reader.is_own_elsewhere);
    (reader.kind == "wireguard").then_some(reader.netdev)
}

impl Reader {
    fn take(&mut self, number: usize, line: &str) {
        if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            self.end_peer();
            self.section = section.to_owned();
            self.peers += usize::from(section == "WireGuardPeer");
            return;
        }
        let Some((key, value)) = line.split_once('=') else { return };
        let value = value.trim();
        match (self.section.as_str(), key.trim_end()) {
            ("NetDev", "Name") => self.netdev.name = value.to_owned(),
            ("NetDev", "Kind") => self.kind = value.to_owned(),
            ("WireGuard", "FirewallMark") => match mark(value) {
                Some(mark) => self.netdev.device.mark = NonZeroU32::new(mark),
                None => self.netdev.device.skip(number, "FirewallMark is a number"),
            },
            ("WireGuard", "PrivateKey") => self.own = value.parse().ok(),
            ("WireGuard", "PrivateKeyFile") => self.is_own_elsewhere = !value.is_empty(),
            ("WireGuardPeer", "Endpoint") => {
                self.endpoint = Some((number, value.to_owned())).filter(|_| !value.is_empty());
            }
            ("WireGuardPeer", "PublicKey") => self.take_key(number, value),
            _ => {}
        }
    }

    /// A key that systemd reads from a credential (`@NAME`) is not known to the agent.
    fn take_key(&mut self, number: usize, value: &str) {
        match value.parse() {
            Ok(key) => self.key = Some(key),
            Err(_) if value.starts_with('@') || value.is_empty() => self.key = None,
            Err(error) => {
                let fault = format!("PublicKey: {error}; the address of this peer is not followed");
                self.netdev.device.skip(number, &fault);
            }
        }
    }

    fn end_peer(&mut self) {
        if let Some((line, endpoint)) = self.endpoint.take() {
            self.netdev.device.add_peer(self.peers, line, &endpoint);
        }
        self.netdev.device.add_key(self.key.take());
    }
}

/// A number as systemd reads it: `0x7766`, `030` for 24, or `51820`. An empty text means no mark.
fn mark(value: &str) -> Option<u32> {
    let hexadecimal = value.strip_prefix("0x").or_else(|| value.strip_prefix("0X"));
    match (hexadecimal, value.strip_prefix('0')) {
        _ if value.contains('+') => None,
        (Some(digits), _) => u32::from_str_radix(digits, 16).ok(),
        (None, Some(digits)) if !digits.is_empty() => u32::from_str_radix(digits, 8).ok(),
        _ if value.is_empty() => Some(0),
        _ => value.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(wireguard: &str, peer: &str) -> Device {
        let text = format!(
            "[NetDev]\nName=wg0\nKind=wireguard\n[WireGuard]\n{wireguard}\n[WireGuardPeer]\nPublicKey={KEY}\n{peer}\n"
        );
        let netdev = read(&text).unwrap();
        assert_eq!(netdev.name, "wg0");
        netdev.device
    }

    /// 32 bytes that are 0.
    const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

    #[test]
    fn the_last_key_of_each_peer_counts_and_one_that_is_none_identifies_nobody() {
        let server = "Endpoint=198.51.100.9:51820";
        let other = KEY.replace('A', "B").replace("BB=", "BA=");
        let keys = |peer: &str| device("", peer).keys.len();
        assert_eq!(keys(server), 1);
        assert_eq!(keys(&format!("PublicKey={other}\n{server}")), 1, "the last line counts");
        assert_eq!(keys(&format!("{server}\n[WireGuardPeer]\nPublicKey={other}")), 2);
        assert_eq!(keys(&format!("PublicKey=@wireguard.key\n{server}")), 0);
        assert_eq!(keys(&format!("{server}\n[WireGuard]\nPublicKey={other}")), 1);
        let bad = device("", &format!("[WireGuardPeer]\nPublicKey=$(reboot)\n{server}"));
        assert_eq!((endpoints(&bad).len(), bad.keys.len()), (1, 1), "it stays a server of root's file");
        let said = bad.skipped.map(|skipped| skipped.to_string()).unwrap_or_default();
        assert!(said.starts_with("line 9: PublicKey: it is no key"), "{said}");
    }

    #[test]
    fn the_private_key_is_known_unless_it_is_in_a_file_of_its_own() {
        let key = KEY.replace('A', "B").replace("BB=", "BA=");
        let own = |lines: &str| device(lines, "Endpoint=198.51.100.9:1").own;
        assert_eq!(own(&format!("PrivateKey=@credential\nPrivateKey={key}")), key.parse().ok());
        assert!(own(&format!("PrivateKey={key}")).is_some());
        for none in ["", "PrivateKey=@credential", &format!("PrivateKey={key}\nPrivateKeyFile=/etc/key")] {
            assert_eq!(own(none), None, "{none:?}");
        }
    }

    fn endpoints(device: &Device) -> Vec<String> {
        device.endpoints.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_no_server_is_left_out_and_named_with_its_line() {
        for bad in [
            "198.51.100.9",
            "198.51.100.9:0",
            "2001:db8::1:51820",
            "[2001:db8::1]",
            "127.0.0.1:51820",
            "255.255.255.255:51820",
            "[ff02::1]:51820",
            "$(id):51820",
            "198.51.100.9:51820 # home",
            ":51820",
        ] {
            let device = device("", &format!("Endpoint = {bad}"));
            assert_eq!((endpoints(&device), device.names.len()), (vec![], 0), "{bad:?}");
            let said = device.skipped.map(|skipped| skipped.to_string());
            assert!(said.is_some_and(|said| said.starts_with("line 8: ")), "{bad:?}");
        }
    }

    #[test]
    fn a_file_is_read_as_systemd_reads_it() {
        let text = "\u{feff}[NetDev]\nKind=bridge\nKind = wireguard\nName=office\n; [WireGuardPeer]\n\
                    [WireGuard]\nPrivateKey=Endpoint=203.0.113.9:1\nFirewallMark=0x77\\\n# a comment\n\
                    [wireguardpeer]\nEndpoint=203.0.113.9:2\n[WireGuardPeer]\nendpoint=203.0.113.9:3\n\
                    Endpoint=203.0.113.9:4\n  Endpoint = \\\n  wg.example.net:443\n#Endpoint=203.0.113.9:5\n\
                    [WireGuardPeer]\nEndpoint=203.0.113.9:6\nEndpoint=\n[WireGuardPeer]\nEndpoint=[2001:db8::1]:1";
        let NetDev { name, device } = read(text).unwrap();
        assert_eq!(name, "office");
        assert_eq!(endpoints(&device), ["[2001:db8::1]:1/udp"]);
        let names: Vec<String> =
            device.names.iter().map(|(name, _, port)| format!("{name}:{port}")).collect();
        assert_eq!(names, ["wg.example.net:443"]);
        // The line with the mark continues on the next line that is not a comment, so its value is not a number.
        assert_eq!(device.mark, None);
        assert!(
            device.skipped.is_some_and(|skipped| skipped.to_string().starts_with("line 8: FirewallMark"))
        );
        for other in
            ["", "[NetDev]\nName=br0\nKind=bridge\n", "[NetDev]\nName=wg0\nKind=wireguard\nKind=dummy\n"]
        {
            assert_eq!(read(other), None, "{other:?}");
        }
    }

    #[test]
    fn only_the_file_sets_a_mark() {
        for (line, mark) in [
            ("", None),
            ("FirewallMark=0", None),
            ("FirewallMark=", None),
            ("FirewallMark=51820", Some(51_820)),
            ("FirewallMark=0x7766", Some(0x7766)),
            ("FirewallMark=030", Some(24)),
            ("FirewallMark=7\nFirewallMark=-1", Some(7)),
            ("FirewallMark=7\nFirewallMark=+8", Some(7)),
            ("FirewallMark=7\nFirewallMark=4294967296", Some(7)),
        ] {
            let device = device(line, "Endpoint=198.51.100.9:1\nAllowedIPs=0.0.0.0/0");
            assert_eq!(device.mark.map(NonZeroU32::get), mark, "{line:?}");
        }
    }
}
