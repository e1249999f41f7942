//! The bootstrap allowance in the status, and how an endpoint is written.

use std::fmt;

use serde::Serialize;
use serde::ser::SerializeStruct;

use crate::net::Endpoint;
use crate::vpn::KernelPacket;

/// An endpoint in the status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EndpointStatus {
    /// The address.
    pub address: String,
    /// The port.
    pub port: u16,
    /// `udp` or `tcp`.
    pub protocol: String,
}

/// One part of the bootstrap allowance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BootstrapStatus {
    /// One endpoint, for the VPN client's users.
    Endpoint(EndpointStatus),
    /// One endpoint, for packets that the kernel itself sends.
    Kernel {
        /// The endpoint.
        endpoint: EndpointStatus,
        /// How such a packet is recognised: `mark 0x7766`, or `anybody` where only its destination counts.
        by: String,
    },
    /// Any address on the bootstrap ports.
    Any,
}

impl Serialize for BootstrapStatus {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Endpoint(endpoint) => endpoint.serialize(serializer),
            Self::Kernel { endpoint, by } => {
                let mut fields = serializer.serialize_struct("Kernel", 4)?;
                fields.serialize_field("address", &endpoint.address)?;
                fields.serialize_field("port", &endpoint.port)?;
                fields.serialize_field("protocol", &endpoint.protocol)?;
                fields.serialize_field("by", by)?;
                fields.end()
            }
            Self::Any => serializer.serialize_str("any"),
        }
    }
}

impl fmt::Display for BootstrapStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(endpoint) => endpoint.fmt(f),
            Self::Kernel { endpoint, by } => write!(f, "{endpoint} (the kernel itself: {by})"),
            Self::Any => f.write_str("any server on the bootstrap ports"),
        }
    }
}

impl fmt::Display for EndpointStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, port, protocol } = self;
        if address.contains(':') {
            write!(f, "[{address}]:{port}/{protocol}")
        } else {
            write!(f, "{address}:{port}/{protocol}")
        }
    }
}

impl From<&Endpoint> for EndpointStatus {
    fn from(endpoint: &Endpoint) -> Self {
        let (address, port) = (endpoint.address().to_string(), endpoint.port().get());
        Self { address, port, protocol: endpoint.transport().as_str().to_owned() }
    }
}

impl From<&(Endpoint, KernelPacket)> for BootstrapStatus {
    fn from((endpoint, packet): &(Endpoint, KernelPacket)) -> Self {
        let by = match packet {
            KernelPacket::Marked(mark) => format!("mark {mark:#x}"),
            KernelPacket::Any => "anybody".to_owned(),
        };
        Self::Kernel { endpoint: endpoint.into(), by }
    }
}
