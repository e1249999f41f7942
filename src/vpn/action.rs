//! The results of a step of the machine, as data: what to do, and what to announce.

use std::collections::BTreeSet;
use std::net::IpAddr;

use jiff::Timestamp;

use super::{Change, LeftOut, Reason, ReconnectTarget, State};
use crate::net::{HostName, IfName};

/// What the agent does after a step, besides putting the situation's rules in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Watch this VPN client: its end, its user and its unit.
    Watch(u32),
    /// Write this to the disk for the next start.
    Remember(Change),
    /// Warn that something of this VPN, by its name for people, is not used.
    LeftOut(String, LeftOut),
    /// Ask these resolvers for the addresses of these servers, once the rules let the questions out. The
    /// answers come as [`Event::Resolved`](super::Event::Resolved).
    LookUp {
        /// The servers' names.
        names: Vec<HostName>,
        /// The resolvers.
        resolvers: BTreeSet<IpAddr>,
    },
    /// Check whether the kernel still holds the rules: a program that moves rules of others was active.
    CheckRules,
    /// Bring this VPN back, and change nothing else. The result comes as
    /// [`Event::Reconnected`](super::Event::Reconnected).
    Reconnect(ReconnectTarget),
    /// Send [`Event::Clock`](super::Event::Clock) at this moment. It replaces the moment of the step before.
    WakeAt(Timestamp),
    /// Announce this, once the rules are in force.
    Announce(Announcement),
}

/// What the agent announces to people and programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Announcement {
    /// The state has changed.
    State {
        /// The earlier state.
        old: State,
        /// The state now.
        new: State,
    },
    /// A VPN that protected went away, and nobody asked for that.
    Lost {
        /// Its name for people.
        name: String,
        /// The interface of its tunnel, if that is known.
        interface: Option<IfName>,
        /// The cause of the loss.
        reason: Reason,
    },
}
