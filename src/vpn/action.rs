//! What comes out of a step of the machine: what is to be done and what is to be told, as data.

use std::collections::BTreeSet;
use std::net::IpAddr;

use jiff::Timestamp;

use super::{Change, Comeback, LeftOut, Reason, State};
use crate::net::{HostName, IfName};

/// What the outside has to do after a step, besides putting the situation's rules in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Watch this VPN client for its end and its user.
    Watch(u32),
    /// Write this to the disk for the next start.
    Remember(Change),
    /// Say that something of a VPN, by its name for people, was left out.
    LeftOut(String, LeftOut),
    /// Ask these resolvers for the addresses of these servers, once the rules let the questions out,
    /// and say what they answer with [`Event::Resolved`](super::Event::Resolved).
    LookUp {
        /// The servers' names.
        names: Vec<HostName>,
        /// Whom to ask.
        resolvers: BTreeSet<IpAddr>,
    },
    /// Look whether the kernel still holds the rules: somebody who moves others' rules was at work.
    Look,
    /// Bring this VPN back, touching nothing else, and say how that ended with
    /// [`Event::Reconnected`](super::Event::Reconnected).
    Reconnect(Comeback),
    /// Wake the machine at this moment with [`Event::Clock`](super::Event::Clock); said anew by every
    /// step that still wants it.
    WakeAt(Timestamp),
    /// Tell, once the rules are in force.
    Announce(Announcement),
}

/// What people and programs are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Announcement {
    /// The state is another.
    State {
        /// Before.
        old: State,
        /// Now.
        new: State,
    },
    /// A VPN that protected went away unasked.
    Lost {
        /// Its name for people.
        name: String,
        /// Its interface.
        interface: Option<IfName>,
        /// Why.
        reason: Reason,
    },
}
