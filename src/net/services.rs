//! Names of ports, as in `/etc/services`.

use std::collections::HashMap;

/// Ports that firewall rules often name, for a system without that file.
const COMMON: [(&str, u16); 26] = [
    ("ftp", 21),
    ("ssh", 22),
    ("telnet", 23),
    ("smtp", 25),
    ("domain", 53),
    ("bootps", 67),
    ("bootpc", 68),
    ("http", 80),
    ("www", 80),
    ("pop3", 110),
    ("ntp", 123),
    ("imap2", 143),
    ("imap", 143),
    ("snmp", 161),
    ("https", 443),
    ("submissions", 465),
    ("isakmp", 500),
    ("ipp", 631),
    ("domain-s", 853),
    ("imaps", 993),
    ("pop3s", 995),
    ("openvpn", 1194),
    ("ipsec-nat-t", 4500),
    ("xmpp-client", 5222),
    ("mdns", 5353),
    ("http-alt", 8080),
];

/// The ports of service names.
#[derive(Debug, Clone)]
pub struct Services(HashMap<String, u16>);

impl Default for Services {
    fn default() -> Self {
        Self(COMMON.into_iter().map(|(name, port)| (name.to_owned(), port)).collect())
    }
}

impl Services {
    /// Parses the text of `/etc/services`. Missing names get their common port.
    pub fn parse(text: &str) -> Self {
        let mut services = Self::default();
        for line in text.lines().take(4096) {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let (Some(name), Some(port)) = (words.next(), words.next()) else { continue };
            let Some(port) = port.split('/').next().and_then(|port| port.parse().ok()) else { continue };
            for name in std::iter::once(name).chain(words) {
                services.0.insert(name.to_owned(), port);
            }
        }
        services
    }

    /// The port of a number or a name.
    pub fn port(&self, text: &str) -> Option<u16> {
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            text.parse().ok()
        } else {
            self.0.get(text).copied()
        }
    }
}
