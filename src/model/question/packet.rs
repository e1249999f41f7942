//! The bits of the packet that a question is about.

use std::net::IpAddr;

use super::{Question, SentBy, Way};
use crate::model::diagram::Packet;
use crate::model::layout::{Field, Stage};
use crate::model::proof::{Machine, NO_LINK};
use crate::net::Family;

/// The source port of a program that asks for no port: one of `ip_local_port_range`.
const EPHEMERAL: u16 = 40_000;

/// `net.ipv4.ip_default_ttl`, and the same of IPv6.
const HOPS: u8 = 64;

/// `NF_CT_STATE_INVALID_BIT`, and the bit of a new connection.
const INVALID: u8 = 1;
const NEW: u8 = 8;

/// The types of echo requests of ICMP and ICMPv6.
const ECHO: u16 = 8;
const ECHO_V6: u16 = 128;

/// The bits of a packet while they are set, field by field.
struct Draft {
    family: Family,
    bits: Vec<(u16, bool)>,
}

impl Draft {
    /// Sets a part of a field, before and after NAT.
    fn put(&mut self, field: Field, [start, length]: [u16; 2], value: u128) {
        for stage in [Stage::Filter, Stage::Wire] {
            self.put_at(stage, field, [start, length], value);
        }
    }

    fn put_at(&mut self, stage: Stage, field: Field, [start, length]: [u16; 2], value: u128) {
        let family = self.family;
        self.bits.extend(
            (0..length).map(|at| (field.bit(start + at, stage, family), value >> (length - 1 - at) & 1 == 1)),
        );
    }

    fn set(&mut self, field: Field, value: impl Into<u128>) {
        self.put(field, [0, field.width()], value.into());
    }
}

impl Question {
    /// The packet. `is_rewritten` says that its source is the address of the link on which it leaves.
    pub(super) fn packet(&self, machine: &Machine, is_rewritten: bool) -> Packet {
        let mut draft = Draft { family: self.family(), bits: Vec::new() };
        self.known(&mut draft, machine);
        self.header(&mut draft);
        // `IPS_DST_NAT`
        let mut status: u32 = if self.first.is_some() { 32 } else { 0 };
        if let (true, Way::Out(_, Some(own))) = (is_rewritten, &self.way) {
            let (place, value) = address(*own, [96, 64]);
            draft.put_at(Stage::Wire, Field::Network, place, value);
            // `IPS_SRC_NAT`
            status |= 16;
        }
        draft.set(Field::Status, status);
        Packet::new(Field::all(), &draft.bits)
    }

    /// Sets what the kernel knows about the packet.
    fn known(&self, draft: &mut Draft, machine: &Machine) {
        let ethertype = draft.family.ethertype();
        let number = |name: &str| machine.links.iter().position(|link| link.name == name);
        let input = match (&self.from, &self.way) {
            (SentBy::Bridge(name), _) => number(name),
            (SentBy::Program(_), Way::Here) => number("lo"),
            (SentBy::Program(_), Way::Out(..) | Way::Nowhere | Way::NotKnown(_)) | (SentBy::Raw(..), _) => {
                None
            }
        };
        let input = input.and_then(|number| u32::try_from(number).ok());
        draft.set(Field::In, input.unwrap_or(NO_LINK));
        let (user, called, state) = match self.from {
            SentBy::Program(uid) => (Some(uid), ethertype, NEW),
            SentBy::Bridge(_) => (None, ethertype, NEW),
            // A frame has no connection.
            SentBy::Raw(uid, called) => (Some(uid), called, INVALID),
        };
        draft.set(Field::FrameRead, 1_u8);
        // The kernel looks for no header in a frame with another EtherType.
        for field in [Field::Parsed, Field::PortRead] {
            draft.set(field, u8::from(called == ethertype));
        }
        if let Some(uid) = user {
            draft.set(Field::Socket, 1_u8);
            draft.set(Field::User, uid);
        }
        draft.set(Field::LocalDestination, u8::from(self.way == Way::Here));
        draft.set(Field::DeclaredType, called);
        draft.set(Field::State, state);
        // `ARPHRD_ETHER`
        draft.set(Field::OutType, 1_u8);
        draft.put(Field::Frame, [96, 16], ethertype.into());
        let (address, port) = self.first.unwrap_or((self.destination, self.port));
        let first: u128 = match address {
            IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
            IpAddr::V6(v6) => v6.to_bits(),
        };
        draft.set(Field::FirstDestination, first);
        draft.set(Field::FirstPort, port);
    }

    fn header(&self, draft: &mut Draft) {
        let hops = if self.destination.is_multicast() { 1 } else { HOPS };
        match draft.family {
            Family::V4 => {
                draft.put(Field::Network, [0, 8], 0x45);
                draft.put(Field::Network, [64, 8], hops.into());
            }
            Family::V6 => {
                draft.put(Field::Network, [0, 4], 6);
                draft.put(Field::Network, [48, 8], self.protocol.into());
                draft.put(Field::Network, [56, 8], hops.into());
            }
        }
        for (which, places) in [(self.source, [96, 64]), (self.destination, [128, 192])] {
            let (place, value) = address(which, places);
            draft.put(Field::Network, place, value);
        }
        draft.set(Field::Protocol, self.protocol);
        // An echo request has no ports. In their place it has its type, the code 0 and a checksum.
        let first = match self.protocol {
            1 => ECHO << 8,
            58 => ECHO_V6 << 8,
            _ => EPHEMERAL,
        };
        draft.set(Field::SourcePort, first);
        draft.set(Field::DestinationPort, self.port);
    }
}

/// Where an address is in the header of its family, and its bits.
fn address(address: IpAddr, [v4, v6]: [u16; 2]) -> ([u16; 2], u128) {
    match address {
        IpAddr::V4(address) => ([v4, 32], address.to_bits().into()),
        IpAddr::V6(address) => ([v6, 128], address.to_bits()),
    }
}
