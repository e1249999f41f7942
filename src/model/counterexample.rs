//! Describes in words a packet that leaves although the contract does not list it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::contract::Sender;
use super::layout::{Field, Stage};
use super::walk::Decision;
use super::whose;
use crate::net::Family;

/// A packet that leaves although the contract does not list it. A part that does not matter is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counterexample {
    /// Who sends it.
    pub sender: Sender,
    /// IPv4 or IPv6.
    pub family: Family,
    /// The link that it leaves on.
    pub interface: String,
    /// The source address in its header.
    pub source: Option<IpAddr>,
    /// The destination address in its header.
    pub destination: Option<IpAddr>,
    /// The number of its protocol.
    pub protocol: Option<u8>,
    /// Its source port.
    pub source_port: Option<u16>,
    /// Its destination port.
    pub destination_port: Option<u16>,
    /// The user id of its socket.
    pub user: Option<u32>,
    /// The packet mark (`SO_MARK`, or a rule's `MARK`).
    pub mark: Option<u32>,
    /// The link that it came in on.
    pub input: Option<String>,
    /// The EtherType that its sender gives.
    pub called: Option<u16>,
    /// The rule that lets it out. If several do, this is the one that matters most.
    pub decided_by: Option<Decision>,
}

/// The bits of a packet that decide whether it is in a set.
pub(super) struct Bits<'a> {
    pub(super) bits: &'a [(u16, bool)],
    pub(super) stage: Stage,
    pub(super) family: Family,
}

impl Bits<'_> {
    /// A part of a field, if any bit of it matters.
    fn part(&self, field: Field, [start, length]: [u16; 2]) -> Option<u128> {
        let bit = |at| {
            let place = field.bit(start + at, self.stage, self.family);
            self.bits.iter().find(|(bit, _)| *bit == place).map(|(_, value)| *value)
        };
        let all: Vec<Option<bool>> = (0..length).map(bit).collect();
        let matters = all.iter().any(Option::is_some);
        matters.then(|| all.iter().fold(0, |number, bit| number << 1 | u128::from(bit.unwrap_or_default())))
    }

    pub(super) fn number(&self, field: Field) -> Option<u128> {
        self.part(field, [0, field.width()])
    }

    fn address(&self, [v4, v6]: [u16; 2]) -> Option<IpAddr> {
        match self.family {
            Family::V4 => {
                let bits = self.part(Field::Network, [v4, 32])?;
                Some(Ipv4Addr::from_bits(u32::try_from(bits).ok()?).into())
            }
            Family::V6 => Some(Ipv6Addr::from_bits(self.part(Field::Network, [v6, 128])?).into()),
        }
    }

    /// The packet in words. `input` is the link that it came in on.
    pub(super) fn describe(&self, sender: Sender, interface: &str, input: Option<String>) -> Counterexample {
        let short = |field| self.number(field).and_then(|number| u16::try_from(number).ok());
        let word = |field| self.number(field).and_then(|number| u32::try_from(number).ok());
        let has_socket = self.number(Field::Socket) == Some(1);
        let is_packet = sender != Sender::Frame;
        Counterexample {
            sender,
            family: self.family,
            interface: interface.to_owned(),
            source: self.address([96, 64]).filter(|_| is_packet),
            destination: self.address([128, 192]).filter(|_| is_packet),
            protocol: self
                .number(Field::Protocol)
                .and_then(|number| u8::try_from(number).ok())
                .filter(|_| is_packet),
            source_port: short(Field::SourcePort).filter(|_| is_packet),
            destination_port: short(Field::DestinationPort).filter(|_| is_packet),
            user: word(Field::User).filter(|_| has_socket),
            mark: word(Field::Mark),
            input,
            called: short(Field::DeclaredType).filter(|_| !is_packet),
            decided_by: None,
        }
    }
}

impl Counterexample {
    /// The program whose rule lets it out.
    pub fn whose(&self) -> Option<&'static str> {
        self.decided_by.as_ref().map(whose::program)
    }

    /// What to do about it.
    pub fn remedy(&self) -> String {
        whose::remedy(self.decided_by.as_ref())
    }
}

impl Sender {
    /// The word for it in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "program",
            Self::Forwarded => "forwarded",
            Self::Raw | Self::Frame => "raw",
        }
    }
}

fn protocol(number: u8) -> String {
    match number {
        1 => "ICMP".to_owned(),
        6 => "TCP".to_owned(),
        17 => "UDP".to_owned(),
        58 => "ICMPv6".to_owned(),
        other => format!("protocol {other}"),
    }
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = match self.family {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        };
        match self.sender {
            Sender::Frame => write!(f, "a frame of a raw socket or of a container that shares the card")?,
            Sender::Local => write!(f, "an {family} packet of a program")?,
            Sender::Forwarded => write!(f, "an {family} packet of a container or a virtual machine")?,
            Sender::Raw => {
                write!(f, "an {family} packet of a raw socket or of a container that shares the card")?
            }
        }
        match (&self.called, self.protocol) {
            (Some(called), _) => write!(f, ", EtherType {called:#06x}")?,
            (None, Some(number)) => write!(f, ", {}", protocol(number))?,
            (None, None) => {}
        }
        if let Some(user) = self.user {
            write!(f, ", user id {user}")?;
        }
        if let Some(mark) = self.mark {
            write!(f, ", mark {mark:#x}")?;
        }
        if let Some(input) = &self.input {
            write!(f, ", from {input}")?;
        }
        if let Some(source) = self.source {
            write!(f, ", source {source}")?;
        }
        if let Some(port) = self.source_port {
            write!(f, ", source port {port}")?;
        }
        match self.destination {
            Some(destination) => write!(f, ", to {destination}")?,
            None if self.sender != Sender::Frame => write!(f, ", to any address")?,
            None => {}
        }
        if let Some(port) = self.destination_port {
            write!(f, ", port {port}")?;
        }
        write!(f, ", leaves on {}", self.interface)
    }
}
