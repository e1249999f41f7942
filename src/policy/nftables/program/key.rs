//! Values of several parts, which stand in registers one after the other: they are looked up in a set, or put into one.

use super::{Program, address_at, port_at};
use crate::net::Family;
use crate::policy::nftables::instruction::{Base, Instruction, Keys, Meta};
use crate::policy::nftables::matches::{Header, Side};
use crate::policy::nftables::number::L4;
use crate::policy::{Asked, SetName};

/// The four bytes after the first four and after the first eight of the first register.
const SECOND_WORD: u32 = 9;
const THIRD_WORD: u32 = 10;
/// The second register, and the four bytes after its first four.
const SECOND: u32 = 2;
const SIXTH_WORD: u32 = 13;

impl Program {
    /// Looks up destination, protocol and port, which stand in registers one after the other.
    pub(super) fn member(&mut self, header: Header, set: SetName) {
        self.family(set.family());
        if let Header::Of(protocol) = header {
            self.protocol(protocol);
        }
        let [protocol, port] = self.key_begins(set.family(), Side::Destination);
        self.steps.push(Instruction::Meta(Meta::L4Proto, protocol));
        self.key_port(Side::Destination, port);
        self.lookup(Keys::Named(set.to_string()));
    }

    /// Remembers the own address, the asking port and the asked port, or looks them up.
    pub(super) fn asked(&mut self, family: Family, asked: Asked) {
        self.family(family);
        self.protocol(L4::Udp);
        let (own, other) = match asked {
            Asked::Question => (Side::Source, Side::Destination),
            Asked::Answer => (Side::Destination, Side::Source),
        };
        let [asking, port] = self.key_begins(family, own);
        self.key_port(own, asking);
        self.key_port(other, port);
        let set = Asked::list(family).to_owned();
        match asked {
            Asked::Question => self.steps.push(Instruction::Update(set)),
            Asked::Answer => self.lookup(Keys::Named(set)),
        }
    }

    /// Loads the address that a key begins with. Returns the registers of the two parts that follow.
    fn key_begins(&mut self, family: Family, side: Side) -> [u32; 2] {
        let (length, rest) = match family {
            Family::V4 => (4, [SECOND_WORD, THIRD_WORD]),
            Family::V6 => (16, [SECOND, SIXTH_WORD]),
        };
        self.payload(Base::Network, address_at(family, side), length);
        rest
    }

    /// Loads a port as a part of a key.
    fn key_port(&mut self, side: Side, register: u32) {
        let offset = port_at(side);
        self.steps.push(Instruction::Payload { base: Base::Transport, offset, length: 2, register });
    }
}
