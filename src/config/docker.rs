//! `[docker]`: what containers may reach, and who may reach them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ForwardedPort, Traffic};
use crate::net::IfPattern;

/// `[docker]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Docker {
    /// What containers may send through the tunnel.
    pub allow: Traffic,
    /// Who may connect to published ports.
    pub published_ports: PublishedPorts,
    /// Published ports that are reached through the tunnel.
    pub forwarded: Vec<ForwardedPort>,
    /// Bridges of containers and virtual machines. The default has the names that Docker, libvirt, podman,
    /// LXC, LXD and Incus use.
    pub bridges: Vec<IfPattern>,
    /// Docker networks, by name, whose access differs from the default.
    pub networks: BTreeMap<String, Access>,
}

impl Docker {
    /// What the containers on a network of this name may reach.
    pub fn access(&self, network: &str) -> Access {
        self.networks.get(network).copied().unwrap_or_default()
    }
}

impl Default for Docker {
    fn default() -> Self {
        let names = [
            "docker0",
            "docker_gwbridge",
            "br-+",
            "virbr+",
            "podman+",
            "cni-podman+",
            "lxcbr+",
            "lxdbr+",
            "incusbr+",
        ];
        let bridges = names.into_iter().filter_map(|name| name.parse().ok()).collect();
        let (forwarded, networks) = (Vec::new(), BTreeMap::new());
        Self { allow: Traffic::Any, published_ports: PublishedPorts::Lan, forwarded, bridges, networks }
    }
}

/// What the containers on one Docker network may reach outside this network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// The tunnel, as every container may by default.
    #[default]
    Tunnel,
    /// The LAN, and not the tunnel.
    Lan,
    /// Nothing, and nothing reaches them.
    None,
}

impl Access {
    /// The word for it in the configuration, on the bus and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tunnel => "tunnel",
            Self::Lan => "lan",
            Self::None => "none",
        }
    }
}

/// `docker.published_ports`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PublishedPorts {
    /// Machines on the LAN.
    #[default]
    Lan,
    /// No other machine.
    None,
}
