//! The sender of the packet of `why`.

use std::net::IpAddr;

use anyhow::{Context, ensure};
use ipnet::IpNet;
use nix::unistd::{Uid, User, getuid};

use super::super::caller;
use crate::model;
use crate::net::Family;
use crate::sources::{docker, links};
use crate::vpn::{Link, LinkKind, LinkTable};

/// A program of a user, or a container behind a bridge.
#[derive(Debug)]
pub(super) enum Sender {
    Program(User),
    Container { name: String, bridge: String, index: u32, addresses: Vec<IpAddr> },
}

impl Sender {
    /// A program of this user, or of the user who calls sudo.
    pub(super) fn program(user: Option<&str>) -> anyhow::Result<Self> {
        let own = || caller()?.into_string().ok();
        let text = user.map(ToOwned::to_owned).or_else(own).unwrap_or_else(|| getuid().to_string());
        let user = match text.parse() {
            Ok(uid) => User::from_uid(Uid::from_raw(uid))?,
            Err(_) => User::from_name(&text)?,
        };
        Ok(Self::Program(user.with_context(|| format!("there is no user {text}"))?))
    }

    /// The container with this name, or any container behind the bridge with this name.
    pub(super) async fn container(name: &str, table: &LinkTable) -> anyhow::Result<Self> {
        let bridges = || table.links.iter().filter(|link| link.kind == LinkKind::Bridge);
        if let Some(bridge) = bridges().find(|link| link.name == name) {
            return Ok(Self::behind(bridge, name, bridge.addresses.iter().filter_map(neighbour).collect()));
        }
        let addresses = docker::addresses(name).await;
        let addresses = addresses.with_context(|| {
            format!("Docker knows no running container {name}, and no bridge of this machine has that name")
        })?;
        ensure!(
            !addresses.is_empty(),
            "{name} has no address of its own; if it is on the host's network: --as root"
        );
        let has = |bridge: &Link, address: &IpAddr| bridge.addresses.iter().any(|net| net.contains(address));
        let bridge = bridges().find(|bridge| addresses.iter().any(|address| has(bridge, address)));
        let bridge = bridge.with_context(|| {
            format!(
                "{name} is behind no bridge of this machine; sudo tunwarden prove judges all that it may send"
            )
        })?;
        Ok(Self::behind(bridge, name, addresses.into_iter().filter(|address| has(bridge, address)).collect()))
    }

    fn behind(bridge: &Link, name: &str, addresses: Vec<IpAddr>) -> Self {
        Self::Container { name: name.to_owned(), bridge: bridge.name.clone(), index: bridge.index, addresses }
    }

    /// The families of the packets that it can send.
    pub(super) fn families(&self) -> Vec<Family> {
        match self {
            Self::Program(_) => Family::ALL.to_vec(),
            Self::Container { addresses, .. } => {
                addresses.iter().map(|address| Family::of(*address)).collect()
            }
        }
    }

    /// The sender for the kernel's route lookup. `chosen` is the source that a program's packet already has.
    pub(super) fn for_route(&self, family: Family, chosen: Option<IpAddr>) -> Option<links::Sender> {
        match self {
            Self::Program(user) => Some(links::Sender::User(user.uid.as_raw(), chosen)),
            Self::Container { index, .. } => Some(links::Sender::Bridge(self.address(family)?, *index)),
        }
    }

    /// Its own address; `None` for a program, whose source the kernel chooses.
    pub(super) fn address(&self, family: Family) -> Option<IpAddr> {
        match self {
            Self::Program(_) => None,
            Self::Container { addresses, .. } => {
                addresses.iter().copied().find(|address| Family::of(*address) == family)
            }
        }
    }

    /// The sender for the model.
    pub(super) fn for_model(&self) -> model::SentBy {
        match self {
            Self::Program(user) => model::SentBy::Program(user.uid.as_raw()),
            Self::Container { bridge, .. } => model::SentBy::Bridge(bridge.clone()),
        }
    }

    /// For people.
    pub(super) fn in_words(&self) -> String {
        match self {
            Self::Program(user) => format!("a program of {}", user.name),
            Self::Container { name, bridge, .. } if name == bridge => format!("a container behind {bridge}"),
            Self::Container { name, bridge, .. } => format!("the container {name} behind {bridge}"),
        }
    }
}

/// Another address in the network of a bridge.
fn neighbour(net: &IpNet) -> Option<IpAddr> {
    let is_own = |address: &IpAddr| *address == net.addr();
    let is_link_local = |address: &IpAddr| matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    net.hosts()
        .take(3)
        .find(|address| !is_own(address) && *address != net.network() && !is_link_local(address))
}
