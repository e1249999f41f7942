//! OpenVPN as it is: servers in the ISP, plain clients in the host.

mod client;
mod pki;
mod server;

use std::fmt;

pub use self::client::ClientOptions;
pub(crate) use self::pki::{FOLDER as PKI, install as install_pki};
pub use self::server::{Server, ServerOptions};

/// The line with which a client or server says that it is ready, once for every connect.
pub const READY: &str = "Initialization Sequence Completed";

/// What carries the tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        })
    }
}
