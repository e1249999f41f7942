//! The addresses in the laboratory. None of them exists outside of it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The router on the first link. It is also the ISP.
pub const ROUTER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
/// The host on the first link.
pub const HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
/// Another machine on the first link, for example a printer.
pub const PRINTER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 5));
/// The router's unique local address on the first link.
pub const ROUTER_V6: IpAddr = v6(0xfd00, 0, 1, 1);
/// The host's global address on the first link.
pub const HOST_V6: IpAddr = v6(0x2001, 0xdb8, 1, 2);

/// A VPN server.
pub const VPN: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));
/// A second VPN server.
pub const OTHER_VPN: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 8));
/// A VPN server reached over IPv6.
pub const VPN_V6: IpAddr = v6(0x2001, 0xdb8, 7, 7);
/// Any host of the internet, over IPv4.
pub const INTERNET: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));
/// Any host of the internet, over IPv6.
pub const INTERNET_V6: IpAddr = v6(0x2001, 0xdb8, 9, 9);
/// A private address beyond the link, which the ISP routes.
pub const ROUTED_PRIVATE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 1));

/// Networks in which the ISP answers for every address.
pub(crate) const INTERNET_NETWORKS: [&str; 5] =
    ["198.51.100.0/24", "203.0.113.0/24", "10.77.0.1/32", "2001:db8:7::/48", "2001:db8:9::/48"];

/// `aaaa:bbbb:cccc::dddd`, or `fd00:0:0:cccc::dddd`, as the links have them.
const fn v6(a: u16, b: u16, c: u16, last: u16) -> IpAddr {
    if a == 0xfd00 {
        IpAddr::V6(Ipv6Addr::new(a, b, 0, c, 0, 0, 0, last))
    } else {
        IpAddr::V6(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, last))
    }
}
