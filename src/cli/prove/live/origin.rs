//! The sender of probes: a program of a user, or a temporary container.

use std::fs::File;
use std::net::IpAddr;

use nix::unistd::User;

use crate::net::{Family, IfName};

/// The sender of a probe. Facts that need a look at the system are stored here once, for all its probes.
#[derive(Debug)]
pub(in crate::cli::prove) struct Origin {
    /// The user id of its socket, and the group id.
    pub(super) user: u32,
    pub(super) group: u32,
    /// For people, for example `a program of ann`.
    pub(super) text: String,
    /// The container that sends it; `None` for a program.
    pub(super) container: Option<Container>,
}

/// The link that Docker gives a container on one network.
pub(super) const CONTAINER_LINK: &str = "eth0";

/// How the packets of a container come to this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli::prove) enum Attachment {
    /// Through this bridge, and then by the routes of this machine.
    Bridge(IfName),
    /// On this card, which the container shares: past the filters of IP.
    Card(IfName),
}

impl Attachment {
    /// The bridge or the card.
    pub(super) fn link(&self) -> &IfName {
        let (Self::Bridge(link) | Self::Card(link)) = self;
        link
    }
}

/// A temporary container.
#[derive(Debug)]
pub(in crate::cli::prove) struct Container {
    /// The name of its network.
    pub(super) network: String,
    /// How it is attached to this machine.
    pub(super) attachment: Attachment,
    /// Its network namespace.
    pub(super) namespace: File,
    /// Its own addresses there.
    pub(super) addresses: Vec<IpAddr>,
}

impl Origin {
    /// A program of the user with this id. The user database may not know the id.
    pub(super) fn program(user: u32, known: Option<User>) -> Self {
        let (name, group) = match known {
            Some(known) => (known.name, known.gid.as_raw()),
            None => (user.to_string(), user),
        };
        Self { user, group, text: format!("a program of {name}"), container: None }
    }

    pub(super) fn container(container: Container) -> Self {
        let text = format!("a container on Docker's network {}", container.network);
        Self { user: 0, group: 0, text, container: Some(container) }
    }

    /// The card that it shares, if it is a container that does.
    pub(super) fn card(&self) -> Option<&IfName> {
        match &self.container.as_ref()?.attachment {
            Attachment::Card(card) => Some(card),
            Attachment::Bridge(_) => None,
        }
    }

    /// Whether it can send packets of this family.
    pub(super) fn has(&self, family: Family) -> bool {
        let is_of_family = |address: &IpAddr| Family::of(*address) == family;
        self.container.as_ref().is_none_or(|container| container.addresses.iter().any(is_of_family))
    }
}

#[cfg(test)]
impl Origin {
    /// A container whose namespace no test enters.
    pub(super) fn of_test_container() -> Self {
        Self::container(Container {
            network: "bridge".to_owned(),
            attachment: Attachment::Bridge("docker0".parse().unwrap()),
            namespace: tempfile::tempfile().unwrap(),
            addresses: vec!["172.17.0.2".parse().unwrap()],
        })
    }
}
