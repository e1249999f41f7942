//! Which addresses a VPN server can have at all.

use std::net::IpAddr;

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
/// Unspecified, loopback, multicast, broadcast and "this network" (0.0.0.0/8) addresses. A private
/// address is legitimate: the server may stand on the LAN.
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
