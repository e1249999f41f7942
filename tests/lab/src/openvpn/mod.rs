//! Real OpenVPN: servers in the ISP, plain clients in the host.

mod client;
mod pki;
mod server;

use std::fmt;

pub use self::client::ClientOptions;
pub(crate) use self::pki::{FOLDER as PKI, install as install_pki};
pub use self::server::{Server, ServerOptions};

/// The line in the log of a client or server when it is ready, once for every connect.
pub const READY: &str = "Initialization Sequence Completed";

/// The transport protocol of the tunnel.
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
