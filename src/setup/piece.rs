//! The meanings that a rule of a script can have for our configuration.

use super::rule::Rule;
use crate::config::{Inbound, TrafficRule};
use crate::net::{IfPattern, LanPrefix, Port, Server, Transport};

/// A part of a configuration that is made from a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// What the host may send through a tunnel; `None` for everything.
    Tunnel(IfPattern, Option<TrafficRule>),
    /// What containers may send through a tunnel; `None` for everything.
    Docker(IfPattern, Option<TrafficRule>),
    Port(Transport, Port),
    Server(Server),
    /// A whole private network, or a part of one.
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

/// What one rule becomes.
pub(super) enum Meaning {
    Pieces(Vec<Piece>),
    Covered(String),
    LeftOut(String),
    /// The rule is left out, unless the user confirms that this interface belongs to the VPN.
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
