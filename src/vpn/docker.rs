//! What Docker reports about its networks, and which rules the networks in the configuration get.
//!
//! Docker can be wrong, and every user who may use Docker can make networks. What Docker reports about a
//! bridge counts only if the kernel's link table shows a bridge of containers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

mod forwarded;

use forwarded::Surroundings;

pub use forwarded::{Forwarded, ForwardedFault, ForwardedReport, ForwardedTo, PublishedPort};

use super::LinkTable;
use crate::config::{Access, Config};
use crate::net::{IfName, Port, Transport};

/// Maximum number of ports of docker-proxy that rules are made for.
const MAX_PROXIED: usize = 2048;

/// Everything that Docker reports at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerView {
    /// Its version, as it writes it.
    pub version: String,
    /// What it makes its rules with.
    pub backend: DockerBackend,
    /// Its networks. Names need not be unique.
    pub networks: Vec<DockerNetwork>,
}

/// What Docker makes its rules with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DockerBackend {
    /// iptables. Docker says this even when it is configured to make no rules.
    Iptables,
    /// nftables, tables of its own (from Docker 29 on): there is no `DOCKER-USER`.
    Nftables,
    /// It does not say, or says something that is not known here.
    Unknown,
}

impl DockerBackend {
    /// The word for it on the bus and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Iptables => "iptables",
            Self::Nftables => "nftables",
            Self::Unknown => "unknown",
        }
    }
}

/// One network of Docker's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerNetwork {
    /// Its name, which any user of Docker can choose: to be escaped where it is shown.
    pub name: String,
    /// Its driver's name, to be escaped too.
    pub driver: String,
    /// Its bridge; only of the driver `bridge`, and only if it is an interface's name.
    pub bridge: Option<IfName>,
    /// Whether Docker gives it no way out.
    pub internal: bool,
    /// Whether Docker gives it IPv6.
    pub ipv6: bool,
}

/// A bridge of Docker's whose packets no rule of iptables accepts, unless tunwarden does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenBridge {
    /// The bridge; the link table knows it as one of containers.
    pub bridge: IfName,
    /// What its containers may reach.
    pub reach: Reach,
}

/// What a bridge's containers may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reach {
    /// One another, and nothing else.
    Itself,
    /// The tunnel, too.
    Tunnel,
}

/// A network and its bridge: what the agent still knows while Docker does not answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkBridge {
    /// The network's name.
    pub name: String,
    /// The interface that is its bridge.
    pub bridge: IfName,
}

/// What the containers on one bridge may reach, where that is not what every container may.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NetworkAccess {
    /// The bridge; the link table knows it as one of containers.
    pub bridge: IfName,
    /// Never [`Access::Tunnel`].
    pub access: Access,
}

/// What the agent knows of Docker now, for the status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerReport {
    /// Docker's version, such as `28.5.1`.
    pub version: String,
    /// What it makes its rules with.
    pub backend: DockerBackend,
    /// Its networks, by name.
    pub networks: Vec<NetworkReport>,
    /// Names in the configuration that no network has.
    pub missing: Vec<String>,
    /// The ports of `docker.forwarded`.
    pub forwarded: Vec<ForwardedReport>,
}

/// One network, and its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkReport {
    /// The network.
    pub network: DockerNetwork,
    /// What its containers may reach, by the rules that follow from this moment.
    pub access: Access,
    /// Why that is not what it should be.
    pub fault: Option<NetworkFault>,
}

impl NetworkReport {
    /// Whether the rules hold its containers at all.
    pub fn is_covered(&self) -> bool {
        match self.fault {
            Some(NetworkFault::BypassesIptables | NetworkFault::Driver | NetworkFault::LeadsOut) => false,
            Some(NetworkFault::Absent | NetworkFault::Unlisted | NetworkFault::AccessConflict) | None => true,
        }
    }
}

/// Why a network is not held, or not as the configuration has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkFault {
    /// macvlan, ipvlan: its packets never meet the rules of iptables.
    BypassesIptables,
    /// A driver of which nothing is known here.
    Driver,
    /// Its bridge is an uplink.
    LeadsOut,
    /// It has no bridge that the kernel knows.
    Absent,
    /// Its bridge is not among `docker.bridges`, and no port of it shows yet that it is one of containers.
    Unlisted,
    /// Another network has the same bridge and another access.
    AccessConflict,
}

impl fmt::Display for NetworkFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BypassesIptables => "iptables does not see the packets of its containers",
            Self::Driver => "tunwarden does not know its driver",
            Self::LeadsOut => "its bridge leads out: it has a network card or a default route",
            Self::Absent => "it has no bridge that a rule can name",
            Self::Unlisted => "its bridge is not among docker.bridges, and holds no container yet",
            Self::AccessConflict => {
                "another network with another access has the same bridge: tunwarden cuts its containers off"
            }
        })
    }
}

/// What is known of Docker.
#[derive(Debug, Clone, Default)]
pub(super) struct Docker {
    /// What it says now; `None` while it does not answer.
    view: Option<DockerView>,
    /// The bridges it had when it answered last: its containers outlive it.
    bridges: Vec<NetworkBridge>,
    /// Those of them whose rules were in nf_tables. The next agent gets neither these nor those with IPv6: it closes
    /// them until Docker answers.
    ipv4: BTreeMap<IfName, Reach>,
    /// Those of them that had IPv6.
    ipv6: BTreeMap<IfName, Reach>,
    /// The ports that its containers publish. Docker ends its proxy when it ends.
    pub(super) published: BTreeSet<PublishedPort>,
}

impl Docker {
    /// Begins with the bridges that the last agent knew: no others are known until Docker answers.
    pub(super) fn new(bridges: Vec<NetworkBridge>) -> Self {
        Self { bridges, ..Self::default() }
    }

    pub(super) fn take(&mut self, view: Option<DockerView>) {
        if let Some(view) = &view {
            let bridge = |network: &DockerNetwork| {
                Some(NetworkBridge { name: network.name.clone(), bridge: network.bridge.clone()? })
            };
            self.bridges = view.networks.iter().filter_map(bridge).collect();
            self.ipv4 = match view.backend {
                DockerBackend::Nftables => open(view, |_| true),
                DockerBackend::Iptables | DockerBackend::Unknown => BTreeMap::new(),
            };
            self.ipv6 = open(view, |network| network.ipv6);
        }
        if view.is_none() {
            self.published.clear();
        }
        self.view = view;
    }

    /// The ports that containers publish; none while it is not known which networks they are on.
    fn published(&self) -> &BTreeSet<PublishedPort> {
        static NONE: BTreeSet<PublishedPort> = BTreeSet::new();
        if self.view.is_some() { &self.published } else { &NONE }
    }

    /// The ports that docker-proxy serves over IPv6, except those of containers that are cut off: what a proxy sends
    /// to its container meets no rule for the network.
    pub(super) fn proxied(&self, config: &Config) -> BTreeSet<(Transport, Port)> {
        let is_cut_off = |port: &&PublishedPort| {
            port.networks.iter().any(|network| self.access(network, config) == Access::None)
        };
        let over_ipv6 = self.published().iter().filter(|port| port.host.is_ipv6() && !is_cut_off(port));
        over_ipv6.map(|port| (port.transport, port.port)).take(MAX_PROXIED).collect()
    }

    /// The ports that the VPN forwards to containers. `tunnels` are the own addresses of tunnels that may carry
    /// packets.
    pub(super) fn forwarded(&self, config: &Config, tunnels: &BTreeSet<IpAddr>) -> Vec<Forwarded> {
        let has_the_tunnel = |networks: &BTreeSet<String>| self.has_the_tunnel(networks, config);
        let around = Surroundings { config, tunnels, has_the_tunnel: &has_the_tunnel };
        around.forwarded(self.published())
    }

    /// What the containers of a network may reach. Networks with different accesses on one bridge are cut off.
    fn access(&self, name: &str, config: &Config) -> Access {
        let access = config.docker.access(name);
        let own: BTreeSet<&IfName> =
            self.bridges.iter().filter(|known| known.name == name).map(|known| &known.bridge).collect();
        let mut beside = self.bridges.iter().filter(|known| own.contains(&known.bridge));
        if beside.any(|known| config.docker.access(&known.name) != access) { Access::None } else { access }
    }

    /// Whether all of these networks are known, and have the tunnel.
    fn has_the_tunnel(&self, networks: &BTreeSet<String>, config: &Config) -> bool {
        let view = self.view.iter().flat_map(|view| &view.networks);
        let known: BTreeSet<&str> = view.map(|network| network.name.as_str()).collect();
        let has_it =
            |name: &String| known.contains(name.as_str()) && self.access(name, config) == Access::Tunnel;
        !networks.is_empty() && networks.iter().all(has_it)
    }

    /// The bridges of its networks.
    pub(super) fn bridges(&self) -> impl Iterator<Item = &IfName> {
        self.bridges.iter().map(|known| &known.bridge)
    }

    /// The bridges of a Docker that makes its rules in nf_tables, if the link table shows them as bridges of containers.
    pub(super) fn ipv4_bridges(&self, links: &LinkTable, config: &Config) -> Vec<OpenBridge> {
        self.shown(&self.ipv4, links, config)
    }

    /// The bridges that Docker gives IPv6, if the link table shows them as bridges of containers.
    pub(super) fn ipv6_bridges(&self, links: &LinkTable, config: &Config) -> Vec<OpenBridge> {
        self.shown(&self.ipv6, links, config)
    }

    fn shown(&self, open: &BTreeMap<IfName, Reach>, links: &LinkTable, config: &Config) -> Vec<OpenBridge> {
        let accesses = self.accesses(links, config);
        let ours = open.iter().filter(|(bridge, _)| links.container_bridge(bridge, config).is_some());
        ours.map(|(bridge, &reach)| {
            let like_others = accesses.iter().all(|held| held.bridge != *bridge);
            let reach = if like_others { reach } else { Reach::Itself };
            OpenBridge { bridge: bridge.clone(), reach }
        })
        .collect()
    }

    /// The bridges whose containers may reach something else than every container may. A bridge of
    /// networks with different accesses is cut off.
    pub(super) fn accesses(&self, links: &LinkTable, config: &Config) -> Vec<NetworkAccess> {
        let mut claims: BTreeMap<&IfName, BTreeSet<Access>> = BTreeMap::new();
        for NetworkBridge { name, bridge } in &self.bridges {
            claims.entry(bridge).or_default().insert(config.docker.access(name));
        }
        let ours = claims.into_iter().filter(|(bridge, _)| links.container_bridge(bridge, config).is_some());
        let access = |claims: BTreeSet<Access>| match claims.len() {
            1 => claims.first().copied().filter(|&access| access != Access::Tunnel),
            _ => Some(Access::None),
        };
        ours.filter_map(|(bridge, claims)| {
            Some(NetworkAccess { bridge: bridge.clone(), access: access(claims)? })
        })
        .collect()
    }
}

/// The bridges with a network that counts. The strictest network on a bridge decides: one that is internal, or does
/// not count, is enough.
fn open(view: &DockerView, counts: fn(&DockerNetwork) -> bool) -> BTreeMap<IfName, Reach> {
    let with = view.networks.iter().filter(|network| counts(network));
    let bridges: BTreeSet<&IfName> = with.filter_map(|network| network.bridge.as_ref()).collect();
    let reach = |bridge: &&IfName| {
        let mut on_it = view.networks.iter().filter(|network| network.bridge.as_ref() == Some(bridge));
        let way_out = on_it.all(|network| counts(network) && !network.internal);
        if way_out { Reach::Tunnel } else { Reach::Itself }
    };
    bridges.into_iter().map(|bridge| (bridge.clone(), reach(&bridge))).collect()
}

impl Docker {
    /// The bridges of the networks that the configuration names, for the next agent.
    pub(super) fn named_networks(&self, config: &Config) -> Vec<NetworkBridge> {
        let named = |known: &&NetworkBridge| config.docker.networks.contains_key(&known.name);
        let mut named: Vec<NetworkBridge> = self.bridges.iter().filter(named).cloned().collect();
        named.sort();
        named.dedup();
        named
    }

    /// What the status shows of Docker; `None` while it does not answer. `tunnels` are the own addresses of tunnels that
    /// protect.
    pub(super) fn report(
        &self,
        links: &LinkTable,
        config: &Config,
        tunnels: &BTreeSet<IpAddr>,
    ) -> Option<DockerReport> {
        let view = self.view.as_ref()?;
        let accesses = self.accesses(links, config);
        let report = |network| report_network(network, &accesses, links, config);
        let mut networks: Vec<NetworkReport> = view.networks.iter().map(report).collect();
        networks.sort_by(|one, other| one.network.name.cmp(&other.network.name));
        let known = |name: &&String| view.networks.iter().any(|network| network.name == **name);
        let missing = config.docker.networks.keys().filter(|name| !known(name)).cloned().collect();
        let has_the_tunnel = |networks: &BTreeSet<String>| self.has_the_tunnel(networks, config);
        let around = Surroundings { config, tunnels, has_the_tunnel: &has_the_tunnel };
        let forwarded = around.report(self.published());
        Some(DockerReport {
            version: view.version.clone(),
            backend: view.backend,
            networks,
            missing,
            forwarded,
        })
    }
}

fn report_network(
    network: &DockerNetwork,
    accesses: &[NetworkAccess],
    links: &LinkTable,
    config: &Config,
) -> NetworkReport {
    let held = |bridge: &IfName| accesses.iter().find(|held| held.bridge == *bridge).map(|held| held.access);
    let access = network.bridge.as_ref().and_then(held).unwrap_or_default();
    let link = network.bridge.as_ref().and_then(|bridge| links.named(bridge));
    let fault = match (network.driver.as_str(), link) {
        ("macvlan" | "ipvlan", _) => Some(NetworkFault::BypassesIptables),
        ("bridge", Some(link)) if !links.is_container_bridge(link) => Some(NetworkFault::LeadsOut),
        // Swarm's networks reach the world over `docker_gwbridge`; `host` is this machine.
        ("bridge" | "overlay" | "host" | "null", link) => (access != config.docker.access(&network.name))
            .then_some(match (access, link) {
                (Access::None | Access::Lan, _) => NetworkFault::AccessConflict,
                (Access::Tunnel, Some(_)) => NetworkFault::Unlisted,
                (Access::Tunnel, None) => NetworkFault::Absent,
            }),
        _ => Some(NetworkFault::Driver),
    };
    NetworkReport { network: network.clone(), access, fault }
}

#[cfg(test)]
mod tests;
