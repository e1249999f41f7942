//! What would happen to one packet now, and which rule decides: `why`.
//!
//! The packet is the first packet of its connection, as a program or a container would send it, or a frame. It passes
//! the chains of every program in the order in which the kernel runs them.

mod packet;
mod path;
mod reason;

use std::net::IpAddr;

use super::contract::{Contract, Sender};
use super::proof::Machine;
use super::rule::Rules;
use super::walk::Decision;
use crate::net::Family;
use path::PacketPath;

/// A packet to ask about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Who sends it.
    pub from: SentBy,
    /// The source address: the kernel's choice for a program, or the container's own address.
    pub source: IpAddr,
    /// The destination address.
    pub destination: IpAddr,
    /// The number of its protocol: 6 (TCP), 17 (UDP), or 1 and 58 for an echo request.
    pub protocol: u8,
    /// The destination port; 0 for an echo request.
    pub port: u16,
    /// Where the kernel's route lookup sends the packet.
    pub way: Way,
    /// The original destination address and port, if NAT has changed them.
    pub first: Option<(IpAddr, u16)>,
    /// The same packet after NAT has sent it to [`Answer::elsewhere`].
    pub then: Option<Box<Question>>,
}

/// Who sends a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SentBy {
    /// A program of this user id.
    Program(u32),
    /// A container or a virtual machine behind this bridge.
    Bridge(String),
    /// A packet socket of this user id, with a frame to which it gives this EtherType.
    Raw(u32, u16),
}

/// Where a packet goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// To this machine itself.
    Here,
    /// Out on a link. The second value is the link's address, if the source is rewritten to it.
    Out(String, Option<IpAddr>),
    /// The kernel has no route.
    Nowhere,
    /// It is not known where the packet goes, for this reason.
    NotKnown(String),
}

/// What would happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes through a tunnel.
    Tunnel,
    /// It goes to the LAN, or the link itself needs it.
    Lan,
    /// It goes to a VPN server, outside the tunnel.
    Server,
    /// It stays on this machine: one of its programs or containers gets the packet.
    Local,
    /// It is refused.
    Refused,
    /// It leaves in clear.
    Clear,
    /// The deciding rule is not known.
    Unknown,
}

impl Verdict {
    /// The word for it in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tunnel => "tunnel",
            Self::Lan => "lan",
            Self::Server => "server",
            Self::Local => "local",
            Self::Refused => "refused",
            Self::Clear => "clear",
            Self::Unknown => "unknown",
        }
    }
}

/// The answer to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What would happen.
    pub verdict: Verdict,
    /// The rule that decides; `None` where no rule does.
    pub decided_by: Option<Decision>,
    /// What the model does not know.
    pub unknown: Vec<String>,
    /// The new destination that NAT certainly gives the packet: an address and a port. What happens to the packet after
    /// that is only known when the caller asks again with its new route.
    pub elsewhere: Option<(IpAddr, u16)>,
}

impl Answer {
    /// An answer without doubts.
    fn new(verdict: Verdict, decided_by: Option<Decision>) -> Self {
        Self { verdict, decided_by, unknown: Vec::new(), elsewhere: None }
    }

    /// Whether the packet is refused by a rule of tunwarden, or by a policy that applies to every packet.
    pub fn is_ours(&self) -> bool {
        let is_ours = |decision: &Decision| decision.by_policy || decision.whose() == "tunwarden";
        self.verdict == Verdict::Refused && self.decided_by.as_ref().is_some_and(is_ours)
    }
}

impl Question {
    /// The family of the packet.
    pub fn family(&self) -> Family {
        Family::of(self.destination)
    }

    /// The packet after the last change of its destination.
    pub fn last(&self) -> &Self {
        self.then.as_deref().map_or(self, Self::last)
    }

    fn sender(&self) -> Sender {
        match self.from {
            SentBy::Program(_) => Sender::Local,
            SentBy::Bridge(_) => Sender::Forwarded,
            SentBy::Raw(_, called) if called == self.family().ethertype() => Sender::Raw,
            SentBy::Raw(..) => Sender::Frame,
        }
    }

    /// The name of the link that it goes out on.
    pub fn interface(&self) -> Option<&str> {
        match &self.way {
            Way::Out(link, _) => Some(link),
            Way::Here | Way::Nowhere | Way::NotKnown(_) => None,
        }
    }

    /// What would happen to the packet.
    pub fn answer(&self, rules: &Rules, machine: &Machine, contract: &Contract<'_>) -> Answer {
        match &self.way {
            Way::Nowhere => Answer::new(Verdict::Refused, None),
            Way::NotKnown(why) => {
                Answer { unknown: vec![why.clone()], ..Answer::new(Verdict::Unknown, None) }
            }
            Way::Here | Way::Out(..) => PacketPath::new(self, rules, machine).run(rules, contract),
        }
    }
}

#[cfg(test)]
mod tests;
