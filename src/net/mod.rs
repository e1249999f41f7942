//! Names, addresses and ports as types that cannot hold a wrong value.
//!
//! Everything from outside (configuration, bus, environment, the output of a tool) becomes one of these types
//! through its parser, or the parser refuses it. The fields are private, and serde uses the same `TryFrom` as
//! everything else. Nothing here reads a file, waits or asks the kernel.

mod address;
mod endpoint;
mod ifname;
mod length;
mod own_key;
mod peer_key;
mod port;
mod prefix;
mod services;
mod space;
mod text;

pub use address::{AddressError, inet_aton, is_group, octets, server_address};
pub use endpoint::{Endpoint, EndpointError, Host, HostName, Server};
pub use ifname::{IfName, IfNameError, IfPattern, IfPatternError};
pub use length::{LengthError, length};
pub use own_key::OwnKey;
pub use peer_key::{PeerKey, PeerKeyError};
pub use port::{Port, PortError, PortRange, Transport, TransportError};
pub use prefix::{LanPrefix, PRIVATE, PrefixError, is_private, network};
pub use services::Services;
pub use space::{AddressSet, pieces};
pub(crate) use text::printable;

/// The two Internet protocols, each with its own set of tables in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4, `iptables`.
    V4,
    /// IPv6, `ip6tables`.
    V6,
}

impl Family {
    /// Both, in the order in which they are printed.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The program that administers the family's tables.
    pub const fn iptables(self) -> &'static str {
        match self {
            Self::V4 => "iptables",
            Self::V6 => "ip6tables",
        }
    }

    /// The type of an Ethernet frame that has such a packet.
    pub const fn ethertype(self) -> u16 {
        match self {
            Self::V4 => 0x0800,
            Self::V6 => 0x86dd,
        }
    }

    /// The family of an address.
    pub fn of(address: std::net::IpAddr) -> Self {
        match address {
            std::net::IpAddr::V4(_) => Self::V4,
            std::net::IpAddr::V6(_) => Self::V6,
        }
    }
}
