//! What the kernel's registers hold while it runs a rule.

use std::collections::BTreeMap;

use super::attributes::Malformed;
use crate::model::layout::Field;
use crate::model::rule::{Bit, Comparison, Match, Test, Way};

/// A value in a register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Load {
    /// Bits, in their order in memory.
    Bits(Vec<Bit>),
    /// The name of a link.
    Name(Way),
    /// The kind of a link.
    Kind(Way),
    /// The time in nanoseconds, in the byte order of the machine or of the network.
    Time(Order),
    /// Something that the model does not know, with its name.
    Unknown(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Machine,
    Network,
}

/// `NFT_CMP_…`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compare {
    Equal,
    Other,
    Below,
    AtMost,
    Above,
    AtLeast,
}

impl Compare {
    pub(super) fn of(number: u32) -> Result<Self, Malformed> {
        Ok(match number {
            0 => Self::Equal,
            1 => Self::Other,
            2 => Self::Below,
            3 => Self::AtMost,
            4 => Self::Above,
            5 => Self::AtLeast,
            _ => return Err(Malformed),
        })
    }
}

/// Bytes of a register: names and kinds of links have 16.
const NAME: usize = 16;

impl Load {
    /// A field in the byte order that it has in a packet.
    pub(super) fn field(field: Field) -> Self {
        Self::Bits((0..field.width()).map(|at| Bit::Of(field, at)).collect())
    }

    /// A field that the kernel stores as a number of the machine.
    pub(super) fn number(field: Field) -> Self {
        let Self::Bits(bits) = Self::field(field) else { return Self::Unknown(String::new()) };
        Self::Bits(in_machine_order(bits))
    }

    /// Number of its bytes.
    pub(super) fn length(&self) -> usize {
        match self {
            Self::Bits(bits) => bits.len() / 8,
            Self::Name(_) | Self::Kind(_) => NAME,
            Self::Time(_) => 8,
            Self::Unknown(_) => 0,
        }
    }

    /// The match that this value compares in this way with these bytes.
    pub(super) fn compare(&self, how: Compare, bytes: &[u8]) -> Match {
        let (comparison, negated) = match how {
            Compare::Equal => (Comparison::Equal, false),
            Compare::Other => (Comparison::Equal, true),
            Compare::Below => (Comparison::Below, false),
            Compare::AtLeast => (Comparison::Below, true),
            Compare::Above => (Comparison::Above, false),
            Compare::AtMost => (Comparison::Above, true),
        };
        let found = match self {
            Self::Bits(bits) if bits.len() >= bytes.len() * 8 => {
                let bits = bits[..bytes.len() * 8].to_vec();
                Match::Bits(bits, Test { comparison, value: bits_of(bytes) })
            }
            Self::Bits(_) => Match::Unknown("a comparison over several values".to_owned()),
            Self::Name(way) if comparison == Comparison::Equal => {
                let end = bytes.iter().position(|byte| *byte == 0).map_or(bytes.len(), |end| end + 1);
                Match::Name(*way, bytes[..end].to_vec())
            }
            Self::Kind(way) if comparison == Comparison::Equal => {
                let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
                Match::Kind(*way, String::from_utf8_lossy(name).into_owned())
            }
            Self::Time(order) => return time(*order, how, bytes),
            Self::Name(_) | Self::Kind(_) => Match::Unknown("an order of names".to_owned()),
            Self::Unknown(name) => Match::Unknown(name.clone()),
        };
        if negated { found.not() } else { found }
    }

    /// The match that this value is between these bytes, both included.
    pub(super) fn between(&self, [first, last]: [&[u8]; 2]) -> Vec<Match> {
        match first == last {
            true => vec![self.compare(Compare::Equal, first)],
            false => vec![self.compare(Compare::AtLeast, first), self.compare(Compare::AtMost, last)],
        }
    }

    /// Keeps the bits that are one in the mask, and then inverts those that are one in `change`.
    pub(super) fn masked(&self, mask: &[u8], change: &[u8]) -> Self {
        let Self::Bits(bits) = self else { return Self::Unknown("a part of a name".to_owned()) };
        let (mask, change) = (bits_of(mask), bits_of(change));
        let at = |bits: &[bool], place: usize| bits.get(place).copied().unwrap_or_default();
        let bit = |(place, bit): (usize, &Bit)| match (at(&mask, place), at(&change, place), bit) {
            (false, changed, _) => Bit::Known(changed),
            (true, false, bit) => *bit,
            (true, true, Bit::Known(value)) => Bit::Known(!value),
            (true, true, Bit::Of(..) | Bit::Unknown) => Bit::Unknown,
        };
        Self::Bits(bits.iter().enumerate().map(bit).collect())
    }

    /// Reverses the bytes of each number of this size.
    pub(super) fn swapped(&self, size: usize) -> Self {
        match self {
            Self::Bits(bits) if size > 0 => {
                let swap = |number: &[Bit]| match cfg!(target_endian = "little") {
                    true => number.chunks(8).rev().flatten().copied().collect::<Vec<Bit>>(),
                    false => number.to_vec(),
                };
                Self::Bits(bits.chunks(size * 8).flat_map(swap).collect())
            }
            Self::Time(_) => Self::Time(Order::Network),
            Self::Bits(_) | Self::Name(_) | Self::Kind(_) | Self::Unknown(_) => {
                Self::Unknown("a name in another order".to_owned())
            }
        }
    }
}

/// The bits of a number in their order in memory.
fn in_machine_order(bits: Vec<Bit>) -> Vec<Bit> {
    match cfg!(target_endian = "little") {
        true => bits.chunks(8).rev().flatten().copied().collect(),
        false => bits,
    }
}

fn bits_of(bytes: &[u8]) -> Vec<bool> {
    bytes.iter().flat_map(|byte| (0..8).map(move |at| byte >> (7 - at) & 1 == 1)).collect()
}

fn time(order: Order, how: Compare, bytes: &[u8]) -> Match {
    let unknown = || Match::Unknown("a time".to_owned());
    let Ok(bytes) = <[u8; 8]>::try_from(bytes) else { return unknown() };
    let nanoseconds = match order {
        Order::Machine => u64::from_ne_bytes(bytes),
        Order::Network => u64::from_be_bytes(bytes),
    };
    let seconds = i64::try_from(nanoseconds.div_ceil(1_000_000_000));
    match how {
        // A rule that refuses after a time counts from the next whole second.
        Compare::AtLeast | Compare::Above => seconds.map_or_else(|_| unknown(), Match::Since),
        // A rule that opens until a time counts until the end of that second.
        Compare::Below | Compare::AtMost => seconds.map_or_else(|_| unknown(), Match::Until),
        Compare::Equal | Compare::Other => unknown(),
    }
}

/// Registers by the byte at which they begin.
#[derive(Debug, Default)]
pub(super) struct Registers(BTreeMap<u32, Load>);

impl Registers {
    /// The first byte of a register (`NFT_REG_…`): four of 16 bytes, or sixteen of 4.
    fn start(register: u32) -> u32 {
        match register {
            0..=4 => register.saturating_sub(1) * 16,
            _ => register.saturating_sub(8).saturating_mul(4),
        }
    }

    pub(super) fn put(&mut self, register: u32, load: Load) {
        self.0.insert(Self::start(register), load);
    }

    pub(super) fn get(&self, register: u32) -> Load {
        let load = self.0.get(&Self::start(register)).cloned();
        load.unwrap_or_else(|| Load::Unknown("a register".to_owned()))
    }

    /// The values from a register on, up to this length in bytes. Each value takes whole words of 4 bytes.
    pub(super) fn from(&self, register: u32, length: usize) -> Vec<Load> {
        let (mut at, mut left, mut loads) = (Self::start(register), length, Vec::new());
        while left > 0 {
            let Some(load) = self.0.get(&at) else {
                loads.push(Load::Unknown("a register".to_owned()));
                return loads;
            };
            let words = load.length().next_multiple_of(4);
            loads.push(load.clone());
            if words == 0 {
                return loads;
            }
            at = at.saturating_add(u32::try_from(words).unwrap_or(u32::MAX));
            left = left.saturating_sub(words);
        }
        loads
    }

    /// Forgets all values: an unknown instruction has written to a register.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}
