//! Which packets were refused: whose they were, where they went, how often and why. The kernel reports each refusal,
//! and this folder makes groups of them. Pure: time is an argument.
//!
//! Destinations are private. They are kept only in memory, for an hour, and disappear when the agent ends.

mod memory;
mod packet;
mod refine;
mod unit;

use std::collections::BTreeMap;
use std::net::IpAddr;

pub use memory::{Group, HOUR, Key, MAX_ANSWERED, Memory};
pub use packet::Packet;
pub use refine::Facts;
pub use unit::{SHORT_ID, Unit, unit};

use refine::refine;

use crate::net::is_group;
use crate::vpn::Refusal;

/// Who sent a refused packet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Who {
    /// A program of this machine, by the user id of its socket and its unit. A packet of the kernel itself has no user
    /// id, and not every unit is known.
    Program(Option<u32>, Option<Unit>),
    /// A container or virtual machine behind this bridge, or another machine behind this link, by its address.
    Forwarded(String, IpAddr),
    /// A raw sender, or a container that uses this network card itself, by the source address that it wrote into the
    /// packet.
    Raw(String, IpAddr),
    /// Another machine that opens a connection to this one.
    Remote(IpAddr),
}

/// The beginning of the names of the containers that `tunwarden prove --live` makes, sends from and removes.
pub const PROVE_CONTAINER: &str = "tunwarden-prove-";

/// A container, for people. Every user of Docker can choose these texts, but only root can choose podman's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NamedContainer {
    /// The name that Docker shows: `web`.
    pub name: String,
    /// The name of its image: `nginx:1`.
    pub image: String,
    /// Its compose project, if it has one.
    pub project: Option<String>,
}

/// The containers that Docker lists.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Containers {
    /// By their bridges and addresses. Two bridges can have the same addresses.
    pub addresses: BTreeMap<(String, IpAddr), NamedContainer>,
    /// By the beginning of their ids.
    pub ids: BTreeMap<String, NamedContainer>,
}

impl Containers {
    /// The container that sent the packets. The source address of a raw sender proves nothing, because the sender
    /// writes it.
    fn of(&self, who: &Who) -> Option<&NamedContainer> {
        match who {
            Who::Forwarded(link, source) => self.addresses.get(&(link.clone(), *source)),
            Who::Program(_, unit) => self.ids.get(unit.as_ref()?.container.as_ref()?),
            Who::Raw(..) | Who::Remote(_) => None,
        }
    }
}

/// One refused packet, as the kernel reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The reason that the rule names.
    pub reason: Refusal,
    /// The hook of the rule.
    pub at: RefusedAt,
    /// The link that the packet came in on.
    pub input: Option<String>,
    /// The link that it was to go out on.
    pub output: Option<String>,
    /// The user id of its socket.
    pub uid: Option<u32>,
    /// The unit of its socket, if it is known.
    pub unit: Option<Unit>,
    /// The container of the unit, if an engine other than Docker has its name.
    pub container: Option<NamedContainer>,
    /// The packet.
    pub packet: Packet,
}

/// The kernel's hook at which the packet was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedAt {
    /// To this machine.
    Input,
    /// Through this machine.
    Forward,
    /// From this machine.
    Output,
    /// Out on a link.
    Wire,
}

impl Refused {
    /// The sender, the destination and the reason; `None` for a packet that is not worth a line: a broadcast from the
    /// LAN.
    pub fn key(&self, facts: &Facts, containers: &Containers) -> Option<Key> {
        let Packet { source, destination, protocol, port, .. } = self.packet;
        let link = |link: &Option<String>| link.clone().unwrap_or_else(|| "?".to_owned());
        let who = match self.at {
            RefusedAt::Input if is_group(destination) => return None,
            RefusedAt::Input => Who::Remote(source),
            RefusedAt::Forward => Who::Forwarded(link(&self.input), source),
            RefusedAt::Output => Who::Program(self.uid, self.unit.clone()),
            RefusedAt::Wire => Who::Raw(link(&self.output), source),
        };
        let reason = refine(self, facts);
        let container = containers.of(&who).or(self.container.as_ref()).cloned();
        Some(Key { who, container, destination, port, protocol, reason })
    }
}

#[cfg(test)]
mod tests;
