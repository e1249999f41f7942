//! Private address prefixes: what may be a LAN.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use super::{AddressSet, Family};

/// The prefixes that are never routed on the internet: RFC 1918, RFC 3927, RFC 4193, RFC 4291 2.5.6.
pub const PRIVATE: [IpNet; 6] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8)),
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12)),
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16)),
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10)),
];

/// Whether every address of `prefix` is private.
pub fn is_private(prefix: &IpNet) -> bool {
    PRIVATE.iter().any(|private| private.contains(prefix))
}

/// A prefix of private addresses, such as `192.168.1.0/24` or `fd00:1::/64`, without host bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LanPrefix(IpNet);

/// Why something is no prefix, or no LAN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// Not of the form ADDRESS/LENGTH.
    #[error("`{0}` is no network; write it as 192.168.0.0/16 or fd00::/8")]
    Form(String),
    /// Bits are set behind the prefix length.
    #[error("`{0}` has host bits set; the network is `{1}`")]
    HostBits(IpNet, IpNet),
    /// A prefix of the internet.
    #[error(
        "`{0}` is not private; a LAN is within 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 169.254.0.0/16, fc00::/7 or fe80::/10"
    )]
    Public(IpNet),
}

/// Reads a network without host bits; an address alone is a network of one.
///
/// # Errors
/// A text that is no network, or one with host bits set: then with the corrected form.
pub fn network(text: &str) -> Result<IpNet, PrefixError> {
    let form = || PrefixError::Form(text.chars().take(60).collect());
    let net: IpNet = match text.parse::<IpAddr>() {
        Ok(address) => address.into(),
        Err(_) => text.parse().map_err(|_| form())?,
    };
    if net.addr() != net.network() {
        return Err(PrefixError::HostBits(net, net.trunc()));
    }
    Ok(net)
}

impl LanPrefix {
    /// The prefix.
    pub fn net(&self) -> IpNet {
        self.0
    }

    /// The LAN that an address of an interface makes: `10.0.0.2/24` gives `10.0.0.0/24`; every IPv6
    /// link-local address gives `fe80::/10`. `None` for a prefix that is not wholly private.
    pub fn of_interface(address: IpNet) -> Option<Self> {
        let net = address.trunc();
        match net {
            IpNet::V6(v6) if v6.addr().is_unicast_link_local() => Some(Self(PRIVATE[5])),
            IpNet::V4(_) | IpNet::V6(_) => is_private(&net).then_some(Self(net)),
        }
    }
}

/// Maximum number of pieces into which the networks of tunnels may cut one prefix. Each piece is a rule
/// in several chains.
const PIECES: usize = 64;

impl LanPrefix {
    /// What is left of the prefix outside `taken`, at most [`PIECES`] networks: the largest ones. An IPv6
    /// link-local prefix stays whole, since each link has its own.
    pub fn without(self, taken: &[IpNet]) -> Vec<Self> {
        let link_local = |net: &IpNet| matches!(net, IpNet::V6(v6) if v6.addr().is_unicast_link_local());
        let overlaps = |other: &&IpNet| self.0.contains(&other.addr()) || other.contains(&self.0.addr());
        let taken: Vec<IpNet> = taken.iter().filter(overlaps).copied().collect();
        if taken.is_empty() || link_local(&self.0) {
            return vec![self];
        }
        let family = Family::of(self.0.addr());
        let rest = AddressSet::of(family, [self.0]).without(&AddressSet::of(family, taken));
        let mut pieces = rest.networks();
        pieces.sort_by_key(IpNet::prefix_len);
        pieces.truncate(PIECES);
        pieces.sort();
        pieces.into_iter().map(Self).collect()
    }
}

impl FromStr for LanPrefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let net = network(text)?;
        if is_private(&net) { Ok(Self(net)) } else { Err(PrefixError::Public(net)) }
    }
}

impl TryFrom<String> for LanPrefix {
    type Error = PrefixError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<LanPrefix> for String {
    fn from(prefix: LanPrefix) -> Self {
        prefix.0.to_string()
    }
}

impl std::fmt::Display for LanPrefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_prefix_is_no_lan() {
        for bad in [
            "0.0.0.0/0",
            "8.8.8.0/24",
            "100.64.0.0/10",
            "10.0.0.0/7",
            "192.168.0.0/15",
            "2001:db8::/32",
            "::/0",
            "224.0.0.0/4",
        ] {
            assert!(matches!(bad.parse::<LanPrefix>(), Err(PrefixError::Public(_))), "{bad}");
        }
    }

    #[test]
    fn host_bits_are_refused_with_the_corrected_form() {
        let error = "192.168.1.7/24".parse::<LanPrefix>().unwrap_err();
        assert!(error.to_string().contains("`192.168.1.0/24`"), "{error}");
    }

    #[test]
    fn a_lease_for_a_public_prefix_opens_nothing() {
        let of = |text: &str| LanPrefix::of_interface(text.parse().unwrap()).map(|lan| lan.to_string());
        assert_eq!(of("10.0.0.2/24").as_deref(), Some("10.0.0.0/24"));
        assert_eq!(of("fe80::1/64").as_deref(), Some("fe80::/10"));
        assert_eq!(of("fd00::5/64").as_deref(), Some("fd00::/64"));
        for public in ["198.51.100.9/24", "10.0.0.2/4", "0.0.0.0/0", "2001:db8:1::2/64"] {
            assert_eq!(of(public), None, "{public}");
        }
    }

    fn without(prefix: &str, taken: &[&str]) -> Vec<String> {
        let taken: Vec<IpNet> = taken.iter().map(|net| net.parse().unwrap()).collect();
        let rest = prefix.parse::<LanPrefix>().unwrap().without(&taken);
        rest.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn networks_of_a_tunnel_are_removed_from_a_prefix() {
        assert_eq!(without("10.20.0.0/17", &["10.20.0.0/16"]), [""; 0]);
        assert_eq!(without("192.168.0.0/16", &["192.168.0.0/16"]), [""; 0]);
        assert_eq!(without("10.20.0.0/15", &["10.20.0.0/16", "172.16.0.0/12"]), ["10.21.0.0/16"]);
        assert_eq!(without("10.0.0.0/24", &["192.168.0.0/16", "fd00::/8"]), ["10.0.0.0/24"]);
        assert_eq!(without("fd00::/63", &["fd00::/64"]), ["fd00:0:0:1::/64"]);
        assert_eq!(without("10.0.0.0/8", &["10.20.0.0/16"]).len(), 8);
    }

    #[test]
    fn every_link_keeps_its_own_link_local_addresses() {
        assert_eq!(without("fe80::/10", &["fe80::/64", "::/0"]), ["fe80::/10"]);
    }

    #[test]
    fn a_prefix_with_many_gaps_has_few_rules_and_none_for_a_gap() {
        let holes: Vec<IpNet> = (0..=255).map(|n| format!("10.0.{n}.7/32").parse().unwrap()).collect();
        let rest = "10.0.0.0/16".parse::<LanPrefix>().unwrap().without(&holes);
        assert_eq!(rest.len(), PIECES);
        assert!(rest.iter().all(|piece| !holes.iter().any(|hole| piece.net().contains(hole))));
    }
}
