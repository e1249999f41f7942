//! Addresses as bytes and in every spelling, and those that a VPN server can have at all.

use std::net::{IpAddr, Ipv4Addr};

/// The bytes of an address, in the order of the network.
pub fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// Why an address cannot be a server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{address} is {kind} address, no VPN server can have it")]
pub struct AddressError {
    address: IpAddr,
    kind: &'static str,
}

/// The canonical form of a server's address: IPv4-mapped IPv6 becomes IPv4.
///
/// # Errors
/// Unspecified, loopback, multicast, broadcast and "this network" (0.0.0.0/8) addresses. A private address is
/// allowed: the server may be on the LAN.
pub fn server_address(address: IpAddr) -> Result<IpAddr, AddressError> {
    let address = address.to_canonical();
    let kind = match address {
        _ if address.is_unspecified() => "an unspecified",
        _ if address.is_loopback() => "a loopback",
        _ if address.is_multicast() => "a multicast",
        IpAddr::V4(v4) if v4.is_broadcast() => "a broadcast",
        IpAddr::V4(v4) if v4.octets()[0] == 0 => "a \"this network\"",
        IpAddr::V4(_) | IpAddr::V6(_) => return Ok(address),
    };
    Err(AddressError { address, kind })
}

/// An IPv4 address in one of the spellings of `inet_aton(3)`, which the C library accepts in place of a host name:
/// `127.1`, `0x7f000001`, `2130706433`, `198.51.100.007`.
pub fn inet_aton(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<u32> = text.split('.').map(number).collect::<Option<_>>()?;
    let (&last, first) = parts.split_last().filter(|(_, first)| first.len() <= 3)?;
    // The last part has all the bytes that are left.
    let left = 32 - 8 * first.len();
    if u64::from(last) >> left != 0 || first.iter().any(|part| *part > 255) {
        return None;
    }
    let bits = first.iter().fold(0_u32, |bits, part| bits << 8 | part);
    Some(Ipv4Addr::from_bits(u32::try_from(u64::from(bits) << left).ok()? | last))
}

/// A number of C: hexadecimal after `0x`, octal after `0`.
fn number(text: &str) -> Option<u32> {
    let (digits, base) = match (text.strip_prefix("0x").or(text.strip_prefix("0X")), text.strip_prefix('0')) {
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) if !digits.is_empty() => (digits, 8),
        (None, _) => (text, 10),
    };
    // The parser of a number would accept a sign too.
    let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    plain.then(|| u32::from_str_radix(digits, base).ok()).flatten()
}

/// Whether packets to this address go to more than one machine.
pub fn is_group(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_multicast() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_multicast(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_that_the_c_library_takes_is_an_address() {
        for (text, address) in [
            ("127.1", "127.0.0.1"),
            ("0x7f000001", "127.0.0.1"),
            ("0177.1", "127.0.0.1"),
            ("2130706433", "127.0.0.1"),
            ("198.51.25607", "198.51.100.7"),
            ("0XC6336407", "198.51.100.7"),
            ("198.51.100.007", "198.51.100.7"),
            ("198.51.100.010", "198.51.100.8"),
            ("256", "0.0.1.0"),
            ("00.0.0.0x0", "0.0.0.0"),
            ("4294967295", "255.255.255.255"),
        ] {
            assert_eq!(inet_aton(text), address.parse().ok(), "{text}");
        }
        for no_address in [
            "",
            "1.2.3.4.5",
            "1.2.3.256",
            "1.2.65536",
            "08.1.1.1",
            "127.0.0.1 ",
            "0x",
            "1.",
            ".1",
            "+1",
            "0x+1",
            "4294967296",
            "256.1",
            "1..2",
            "vpn.example.net",
            "a.b",
            "0xvpn.de",
        ] {
            assert_eq!(inet_aton(no_address), None, "{no_address:?}");
        }
    }
}
