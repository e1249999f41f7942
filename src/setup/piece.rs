//! The meanings that a rule of a script can have for our configuration.

use super::rule::Rule;
use crate::config::{Inbound, TrafficRule};
use crate::net::{IfPattern, LanPrefix, Port, Server, Transport};

/// A part of a configuration that a rule becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// What the host may send through a tunnel; `None` for everything.
    Tunnel(IfPattern, Option<TrafficRule>),
    /// The same for containers.
    Docker(IfPattern, Option<TrafficRule>),
    Port(Transport, Port),
    Server(Server),
    /// A private network as a whole, or a part of one.
    Lan(LanPrefix, Part),
    Input(Inbound),
}

/// How much of a private network a rule opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    /// One machine, or one port.
    Some,
}

impl Piece {
    pub(super) fn key(&self) -> &'static str {
        match self {
            Self::Tunnel(..) => "tunnel.allow",
            Self::Docker(..) => "docker.allow",
            Self::Port(..) => "bootstrap.ports",
            Self::Server(_) => "bootstrap.servers",
            Self::Lan(_, Part::Whole) => "lan.networks",
            Self::Lan(_, Part::Some) => Self::part_of_the_lan(),
            Self::Input(_) => "input.allow",
        }
    }

    pub(super) const fn part_of_the_lan() -> &'static str {
        "lan (the LAN is open as a whole)"
    }
}

/// The result for one rule.
pub(super) enum Meaning {
    Pieces(Vec<Piece>),
    Covered(String),
    LeftOut(String),
    /// Left out, unless the user confirms that this interface is the VPN's.
    Ask(String),
}

pub(super) fn covered(why: impl Into<String>) -> Meaning {
    Meaning::Covered(why.into())
}

pub(super) fn left(why: impl Into<String>) -> Meaning {
    Meaning::LeftOut(why.into())
}

/// Why no key can express a rule.
pub(super) fn too_narrow(rule: &Rule) -> Option<String> {
    if let Some(first) = rule.narrower.first() {
        return Some(format!("it has a condition that no key can express ({first})"));
    }
    rule.source_ports.is_some().then(|| "it names source ports, and no key can do that".to_owned())
}
