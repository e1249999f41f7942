//! Reads from a file of wg-quick(8) where a WireGuard device connects to. Pure.
//!
//! No INI library is used: if it read a line differently from wg-quick, the rules would allow another address. The
//! lines are read as wg(8) and wg-quick(8) read them: white space has no meaning, `#` begins a comment, names of keys
//! and sections are not case-sensitive, and the last line of a key counts. Addresses and the commands of `PreUp`,
//! `PostUp`, `PreDown` and `PostDown` are skipped: nothing here runs or keeps them. Only a hash of the private key is
//! kept.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;

use super::super::skipped::{Skipped, shown};
use crate::config::MAX_SERVERS;
use crate::net::{Endpoint, EndpointError, HostName, OwnKey, PeerKey, Port, Transport};

/// The mark that wg-quick gives a device with the default route whose file names no mark. It is the number of the first
/// free routing table, counted from this number up (`add_default` of wg-quick).
const WG_QUICK_MARK: Option<NonZeroU32> = NonZeroU32::new(51_820);

/// A device as far as its file could be read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) endpoints: BTreeSet<Endpoint>,
    pub(crate) names: BTreeSet<(HostName, Transport, Port)>,
    /// The mark on its packets.
    pub(super) mark: Option<NonZeroU32>,
    /// The keys of its peers.
    pub(super) keys: BTreeSet<PeerKey>,
    /// Its private key.
    pub(super) own: Option<OwnKey>,
    /// What was left out, for the log.
    pub(crate) skipped: Option<Skipped>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    Outside,
    Interface,
    Peer,
}

/// `FwMark`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// The file does not set a mark: wg-quick may set one.
    Unset,
    Off,
    Set(NonZeroU32),
}

struct Reader {
    section: Section,
    mark: Mark,
    /// Whether wg-quick sets the routes (`Table` is neither `off` nor a table).
    automatic: bool,
    /// Whether a peer has a default route (`AllowedIPs`).
    default_route: bool,
    peers: usize,
    /// The endpoint of the peer that is being read, with its line.
    endpoint: Option<(usize, String)>,
    device: Device,
}

/// Reads a file.
pub(crate) fn read(text: &str) -> Device {
    let mut reader = Reader {
        section: Section::Outside,
        mark: Mark::Unset,
        automatic: true,
        default_route: false,
        peers: 0,
        endpoint: None,
        device: Device::default(),
    };
    for (line, text) in (1..).zip(text.strip_prefix('\u{feff}').unwrap_or(text).lines()) {
        let before_comment = text.split('#').next().unwrap_or_default();
        let bare: String = before_comment.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        if !bare.is_empty() {
            reader.take(line, &bare);
        }
    }
    reader.finish()
}

impl Device {
    /// Notes what is left out.
    pub(super) fn skip(&mut self, line: usize, fault: &str) {
        Skipped::note(&mut self.skipped, &format!("line {line}: {fault}"));
    }

    /// Adds the server of the peer with this number. The server is named in this line.
    pub(super) fn add_peer(&mut self, peer: usize, line: usize, endpoint: &str) {
        let added = match peer {
            0..=MAX_SERVERS => self.add(endpoint),
            _ => Err(format!("at most {MAX_SERVERS} servers are kept")),
        };
        if let Err(fault) = added {
            self.skip(line, &fault);
        }
    }

    /// Adds the public key of a peer.
    pub(super) fn add_key(&mut self, key: Option<PeerKey>) {
        self.keys.extend(key.filter(|_| self.keys.len() < MAX_SERVERS));
    }

    fn add(&mut self, endpoint: &str) -> Result<(), String> {
        let fault = |error: EndpointError| format!("{}: {error}", shown(endpoint));
        let (host, port) = match endpoint.strip_prefix('[') {
            Some(rest) => rest.split_once("]:"),
            None => endpoint.split_once(':'),
        }
        .ok_or_else(|| format!("{}: it is no ADDRESS:PORT", shown(endpoint)))?;
        let port: Port = port.parse().map_err(EndpointError::from).map_err(fault)?;
        let address: Option<IpAddr> = match endpoint.starts_with('[') {
            true => Some(
                host.parse::<Ipv6Addr>().map_err(|error| format!("{}: {error}", shown(endpoint)))?.into(),
            ),
            false => host.parse().ok(),
        };
        match address {
            Some(address) => {
                let endpoint = Endpoint::new(address, Transport::Udp, port).map_err(EndpointError::from);
                self.endpoints.insert(endpoint.map_err(fault)?);
            }
            None => {
                let name = HostName::try_from(host.to_owned()).map_err(fault)?;
                self.names.insert((name, Transport::Udp, port));
            }
        }
        Ok(())
    }
}

impl Reader {
    fn skip(&mut self, line: usize, fault: &str) {
        self.device.skip(line, fault);
    }

    fn take(&mut self, line: usize, bare: &str) {
        if bare.starts_with('[') {
            self.end_peer();
            self.section = match bare {
                _ if bare.eq_ignore_ascii_case("[Interface]") => Section::Interface,
                _ if bare.eq_ignore_ascii_case("[Peer]") => Section::Peer,
                _ => {
                    self.skip(line, "WireGuard has only the sections [Interface] and [Peer]");
                    Section::Outside
                }
            };
            self.peers += usize::from(self.section == Section::Peer);
            return;
        }
        let Some((key, value)) = bare.split_once('=') else {
            return self.skip(line, "it is no KEY = VALUE");
        };
        match (self.section, key.to_ascii_lowercase().as_str()) {
            (Section::Interface, "fwmark") => match mark(value) {
                Some(mark) => self.mark = mark,
                None => self.skip(line, "FwMark is a number or off"),
            },
            (Section::Interface, "privatekey") => self.device.own = value.parse().ok(),
            (Section::Interface, "table") => self.automatic = value.is_empty() || value == "auto",
            (Section::Peer, "allowedips") => self.default_route |= value.split(',').any(is_default),
            (Section::Peer, "publickey") => match value.parse() {
                Ok(key) => self.device.add_key(Some(key)),
                Err(error) => {
                    self.skip(line, &format!("PublicKey: {error}; the address of this peer is not followed"))
                }
            },
            (Section::Peer, "endpoint") => self.endpoint = Some((line, value.to_owned())),
            (Section::Interface | Section::Peer | Section::Outside, _) => {}
        }
    }

    /// A peer without an endpoint is no server: it connects to this machine.
    fn end_peer(&mut self) {
        if let Some((line, endpoint)) = self.endpoint.take() {
            self.device.add_peer(self.peers, line, &endpoint);
        }
    }

    fn finish(mut self) -> Device {
        self.end_peer();
        self.device.mark = match self.mark {
            Mark::Set(mark) => Some(mark),
            // wg-quick treats `off` as if no mark were set.
            Mark::Unset | Mark::Off => WG_QUICK_MARK.filter(|_| self.automatic && self.default_route),
        };
        self.device
    }
}

/// `0x7766`, `30566`, or `off`, which is 0.
fn mark(value: &str) -> Option<Mark> {
    if value.eq_ignore_ascii_case("off") {
        return Some(Mark::Off);
    }
    let number = match value.strip_prefix("0x").or_else(|| value.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16).ok()?,
        None => value.parse().ok()?,
    };
    Some(NonZeroU32::new(number).map_or(Mark::Off, Mark::Set))
}

fn is_default(network: &str) -> bool {
    network.ends_with("/0")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

    const OTHER: &str = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";

    /// A file with these lines in its two sections.
    fn device(interface: &str, peer: &str) -> Device {
        read(&format!("[Interface]\nPrivateKey = {KEY}\n{interface}\n[Peer]\nPublicKey = {KEY}\n{peer}\n"))
    }

    fn endpoints(device: &Device) -> Vec<String> {
        device.endpoints.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_no_server_is_left_out_and_named_with_its_line() {
        for bad in [
            "198.51.100.9",
            "198.51.100.9:0",
            "198.51.100.9:65536",
            "2001:db8::1:51820",
            "[2001:db8::1]",
            "[198.51.100.9]:51820",
            "[fe80::1%eth0]:51820",
            "127.0.0.1:51820",
            "255.255.255.255:51820",
            "224.0.0.1:51820",
            "[ff02::1]:51820",
            "0.0.0.0:51820",
            "$(id):51820",
            ":51820",
            "",
        ] {
            let device = device("", &format!("Endpoint = {bad}"));
            assert_eq!((endpoints(&device), device.names.len()), (vec![], 0), "{bad:?}");
            let said = device.skipped.map(|skipped| skipped.to_string());
            assert!(said.is_some_and(|said| said.starts_with("line 6: ")), "{bad:?}");
        }
    }

    #[test]
    fn commands_and_keys_are_only_text_and_give_no_server() {
        let hostile = "PostUp = Endpoint = 203.0.113.9:1 #\nPreUp=[Peer]\nPostDown = iptables -F; $(reboot)\n\
                       DNS = 203.0.113.53\nAddress = 10.0.0.2/32\nEndpoint = 203.0.113.9:2\nPrivateKey = no key\n\
                       # Endpoint = 203.0.113.9:3";
        let device = device(hostile, "PublicKey = no key either\nEndpoint = 198.51.100.9:51820");
        assert_eq!(endpoints(&device), ["198.51.100.9:51820/udp"]);
        assert_eq!((device.mark, device.keys.len()), (None, 1));
        // A malformed key identifies no peer.
        let said = device.skipped.map(|skipped| skipped.to_string()).unwrap_or_default();
        assert!(said.starts_with("line 13: PublicKey: it is no key"), "{said}");
    }

    #[test]
    fn a_file_is_read_as_wg_and_wg_quick_read_it() {
        let text = "\u{feff}[interface]\nFWMARK = 0x77 66 # hex\n[ peer ]\nend point = 198.51.100.9 : 51820\r\n\
                    [Peer]\nEndpoint=[2001:db8::1]:1\nEndpoint = wg.example.net:443\n[Peer]\nPersistentKeepalive = x\n";
        let device = read(text);
        assert_eq!(endpoints(&device), ["198.51.100.9:51820/udp"]);
        let names: Vec<String> =
            device.names.iter().map(|(name, _, port)| format!("{name}:{port}")).collect();
        assert_eq!(names, ["wg.example.net:443"], "the last endpoint of a peer counts");
        assert_eq!((device.mark, device.skipped), (NonZeroU32::new(0x7766), None));
        // wg(8) refuses a file with a malformed private key, and the last line counts.
        let own = |text: &str| read(&format!("[Interface]\n{text}\n[Peer]\nPrivateKey = {OTHER}\n")).own;
        assert_eq!(own(&format!("PrivateKey = {KEY}\nprivate key = {OTHER} # mine")), OTHER.parse().ok());
        assert_eq!((own(&format!("PrivateKey = {OTHER}\nPrivateKey = $(cat key)")), own("")), (None, None));
    }

    #[test]
    fn the_mark_is_the_file_s_or_that_of_wg_quick_for_a_default_route() {
        let default = "AllowedIPs = 10.0.0.0/8, ::/0";
        for (interface, peer, mark) in [
            ("", default, Some(51_820)),
            ("Table = auto", "AllowedIPs = 0.0.0.0/0", Some(51_820)),
            ("FwMark = off", default, Some(51_820)),
            ("FwMark = 0", default, Some(51_820)),
            ("FwMark = 7", default, Some(7)),
            ("Table = off\nFwMark = 7", default, Some(7)),
            ("Table = off", default, None),
            ("Table = 100", default, None),
            ("", "AllowedIPs = 10.0.0.0/8", None),
            ("", "", None),
            ("FwMark = 7", "AllowedIPs = 10.0.0.0/8", Some(7)),
        ] {
            assert_eq!(device(interface, peer).mark.map(NonZeroU32::get), mark, "{interface:?} {peer:?}");
        }
        let wrong = device("FwMark = seven", default);
        assert!(wrong.skipped.is_some_and(|skipped| skipped.to_string().contains("line 3: FwMark")));
    }

    #[test]
    fn thousands_of_peers_are_read_and_more_than_can_be_kept_are_left_out() {
        let peers = |count: u32| -> String {
            let peer = |n: u32| {
                let [.., b, c, d] = n.to_be_bytes();
                format!("[Peer]\nPublicKey = {KEY}\nEndpoint = 198.{}.{c}.{d}:51820\n", 18 + b)
            };
            (0..count).map(peer).collect()
        };
        assert_eq!(read(&peers(5_000)).endpoints.len(), 5_000);
        let most = u32::try_from(MAX_SERVERS).unwrap();
        let device = read(&peers(most + 2));
        assert_eq!(device.endpoints.len(), MAX_SERVERS);
        assert!(device.skipped.is_some_and(|skipped| skipped.to_string().contains("(and 1 more)")));
    }
}
