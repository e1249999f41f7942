//! The instructions of nf_tables (`linux/netfilter/nf_tables.h`), as far as our rules use them.

use super::matches::Comparison;
use super::rule::NftVerdict;
use crate::policy::Answer;
use crate::vpn::Refusal;

/// One instruction (`linux/netfilter/nf_tables.h`). What loads a value writes it to a register. Every other
/// instruction uses the first register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instruction {
    /// Loads what the kernel knows about the packet (`meta`).
    Meta(Meta, u32),
    /// Loads bytes of the packet: after this header's start, this many.
    Payload {
        /// The header.
        base: Base,
        /// Number of bytes between the header's start and these.
        offset: u32,
        /// Number of bytes.
        length: u32,
        /// The register.
        register: u32,
    },
    /// Loads bytes of an extension header of IPv6 (`exthdr`), or whether there is one.
    Extension {
        /// The header's number.
        header: u8,
        /// Number of bytes between the header's start and these.
        offset: u32,
        /// What is loaded.
        loads: Loads,
    },
    /// Loads what the kernel knows about the packet's connection (`ct`).
    Ct(Ct),
    /// Loads what the kernel knows about the first direction of that connection.
    CtOriginal(Ct),
    /// Loads what the routes say about the packet's source (`fib`).
    Fib(Fib),
    /// Clears every bit that is not in this mask (`bitwise`).
    Mask(Vec<u8>),
    /// Turns a number of this many bytes into the order of the network (`byteorder`).
    NetworkOrder(u32),
    /// Ends the rule unless the comparison with this value holds (`cmp`).
    Compare(Comparison, Vec<u8>),
    /// Ends the rule unless this set holds the value (`lookup`).
    Lookup(Keys),
    /// Puts the value into this set, for [`ASKED_MILLISECONDS`](super::ASKED_MILLISECONDS) (`dynset`). Ends the rule if
    /// the set is full.
    Update(String),
    /// Ends the rule with a verdict (`immediate`).
    Verdict(NftVerdict),
    /// Drops the packet and answers its sender (`reject`).
    Reject(Answer),
    /// Ends the rule for packets that are more in a second, or more at once (`limit`).
    Limit(u32, u32),
    /// Sends a copy of the packet to a group of NFLOG (`log`).
    Log(Refusal),
}

/// `NFT_FIB_RESULT_…`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Fib {
    /// The name of the link that the packet came from, if it also leads back there.
    LinkName = 2,
    /// The type of the address (`RTN_…`).
    AddressType = 3,
}

/// `NFT_META_…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the kernel's")]
#[repr(u32)]
pub enum Meta {
    Protocol = 1,
    Mark = 3,
    IifName = 6,
    OifName = 7,
    OifType = 9,
    SkUid = 10,
    NfProto = 15,
    L4Proto = 16,
    IifKind = 26,
    OifKind = 27,
    TimeNs = 30,
}

/// `NFT_PAYLOAD_…_HEADER`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the kernel's")]
#[repr(u32)]
pub enum Base {
    Link = 0,
    Network = 1,
    Transport = 2,
}

/// `NFT_CT_…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the kernel's")]
#[repr(u32)]
pub enum Ct {
    State = 0,
    Direction = 1,
    Status = 2,
    ProtoDst = 12,
    DstIp = 20,
    DstIp6 = 22,
}

/// What is loaded of an extension header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loads {
    /// This many of its bytes.
    Bytes(u32),
    /// Whether it is there: one byte, 1 or 0.
    Presence,
}

/// A set in which a value is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keys {
    /// The set of this name.
    Named(String),
    /// A set of the rule's own, with these values.
    Own(KeyType, Vec<Vec<u8>>),
}

/// The type of the values in a set of a rule's own. nft needs it to list them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    /// Protocols, of one byte.
    Protocol,
    /// Ports, of two bytes.
    Port,
}
