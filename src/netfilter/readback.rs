//! What the kernel holds under the name of our tables, and how it differs from what was sent. Pure.
//!
//! The kernel describes a table in the messages that make one. So the same code reads what we send and what the
//! kernel answers, and both are compared attribute by attribute: an attribute that we do not send makes a
//! difference. Only what the kernel adds to every answer is left out.

mod difference;

pub use difference::{differences, differs};

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use netlink_bindings::utils::IterableChunks;

use super::dump::{self, Progress};
use super::encode::{NEW_CHAIN, NEW_ELEMENTS, NEW_RULE, NEW_SET, NEW_TABLE, Transaction, protocol};
use super::message::{NFTABLES, message, text};
use super::{Malformed, NFGENMSG};
use crate::netlink::{DUMP, REQUEST};
use crate::policy::nftables::{Found, NftTable, TableId};

const GET_TABLE: u16 = NFTABLES << 8 | 1;
const GET_CHAIN: u16 = NFTABLES << 8 | 4;
const GET_RULE: u16 = NFTABLES << 8 | 7;
const GET_SET: u16 = NFTABLES << 8 | 10;
const GET_ELEMENTS: u16 = NFTABLES << 8 | 13;

/// `NFT_TABLE_F_DORMANT` and `NFT_TABLE_F_OWNER`.
const DORMANT: u32 = 1;
const OWNER: u32 = 2;
/// `NFT_SET_ANONYMOUS`: a rule's own set.
const OWN: u32 = 1;
/// `NFT_SET_EVAL`: packets put elements into it.
const BY_PACKETS: u32 = 0x20;

/// One table in the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Held {
    /// `NFT_TABLE_F_…`, if the table is there.
    flags: Option<u32>,
    chains: BTreeMap<String, Chain>,
    sets: BTreeMap<String, Set>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Chain {
    base: Option<Base>,
    rules: Vec<Rule>,
}

/// Where packets enter a chain: its hook, its place there, its policy and its type.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Base {
    numbers: [u32; 3],
    kind: String,
    devices: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Set {
    /// `NFT_SET_…`, the type of its keys, and their length.
    numbers: [u32; 3],
    /// The timeout of its elements, and how many there may be; of a set that packets fill.
    bounds: Option<[Vec<u8>; 2]>,
    /// Of a set that packets fill, only the elements whose timeout is not the set's: packets do not add such elements.
    elements: BTreeSet<Attributes>,
}

/// The instructions of a rule.
type Rule = Vec<Instruction>;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Instruction {
    name: String,
    attributes: Attributes,
    /// The rule's own set in which this looks up a value.
    own: Option<Set>,
}

/// Attributes in the order of their numbers, one after the other: number, length, value. Attributes that hold the
/// same are the same bytes, and to compare two tables costs one pass over their bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Attributes(Vec<u8>);

impl Attributes {
    /// `list` in the order of the numbers; `value` makes what is written of each.
    fn of<'a>(
        mut list: Vec<(u16, &'a [u8])>,
        value: impl Fn(u16, &'a [u8]) -> Result<Cow<'a, [u8]>, Malformed>,
    ) -> Result<Self, Malformed> {
        list.sort_by_key(|(kind, _)| *kind);
        let mut bytes = Vec::new();
        for (kind, of_kind) in list {
            let value = value(kind, of_kind)?;
            let length = u32::try_from(value.len()).map_err(|_| Malformed)?;
            bytes.extend_from_slice(&kind.to_ne_bytes());
            bytes.extend_from_slice(&length.to_ne_bytes());
            bytes.extend_from_slice(&value);
        }
        Ok(Self(bytes))
    }

    /// The value of the attribute of this number; of one that holds others, these attributes.
    fn get(&self, wanted: u16) -> Option<&[u8]> {
        value_in(&self.0, wanted)
    }
}

/// The value of the attribute `wanted` in the bytes of [`Attributes`].
fn value_in(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let (kind, rest) = bytes.split_first_chunk::<2>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (value, rest) = rest.split_at_checked(u32::from_ne_bytes(*length).try_into().ok()?)?;
        if u16::from_ne_bytes(*kind) == wanted {
            return Some(value);
        }
        bytes = rest;
    }
}

impl Held {
    /// Whether there is such a table.
    pub fn is_there(&self) -> bool {
        self.flags.is_some()
    }

    /// Whether a socket owns it.
    pub fn is_owned(&self) -> bool {
        self.flags.is_some_and(|flags| flags & OWNER != 0)
    }

    /// Whether packets enter one of its chains at a hook of the kernel.
    pub fn has_hooks(&self) -> bool {
        self.chains.values().any(|chain| chain.base.is_some())
    }

    /// Whether one of its chains is on this link.
    pub fn is_on(&self, link: &str) -> bool {
        self.chains.values().filter_map(|chain| chain.base.as_ref()).any(|base| base.devices.contains(link))
    }

    /// What the kernel is to hold of a table.
    fn of(table: &NftTable) -> Self {
        let mut transaction = Transaction::default();
        transaction.replace(table, Found::Absent);
        let mut held = Self::default();
        // Every message is our own, so each can be read.
        let _ = held.take(table.id(), &transaction.into_bytes());
        held
    }

    /// The set of this name, unless it is a rule's own.
    fn named_set(&self, name: &str) -> Option<&Set> {
        self.sets.get(name).filter(|set| set.numbers[0] & OWN == 0)
    }

    /// The sets that it has, rules' own ones too.
    pub(super) fn set_names(&self) -> Vec<String> {
        self.sets.keys().cloned().collect()
    }

    /// Reads one datagram about this table and others.
    ///
    /// # Errors
    /// [`Malformed`]
    pub(crate) fn take(&mut self, table: TableId, datagram: &[u8]) -> Result<Progress, Malformed> {
        dump::read(datagram, |kind, payload| {
            if !matches!(kind, NEW_TABLE | NEW_CHAIN | NEW_SET | NEW_ELEMENTS | NEW_RULE) {
                return Ok(());
            }
            let body = attributes(payload.get(NFGENMSG..).ok_or(Malformed)?)?;
            // Attribute 1 of every one of them is the table's name.
            if payload.first() == Some(&protocol(table.family)) && name(&body, 1)? == table.name {
                self.add(kind, &body)?;
            }
            Ok(())
        })
    }

    fn add(&mut self, kind: u16, body: &[(u16, &[u8])]) -> Result<(), Malformed> {
        match kind {
            NEW_TABLE => self.flags = Some(number(body, 2)?),
            NEW_CHAIN => {
                let base = find(body, 4).map(|hook| base(body, hook)).transpose()?;
                self.chains.entry(name(body, 3)?).or_default().base = base;
            }
            NEW_SET => {
                // The kernel leaves out flags of which none is set.
                let flags = if find(body, 3).is_some() { number(body, 3)? } else { 0 };
                let numbers = [flags, number(body, 4)?, number(body, 5)?];
                let bounds = (flags & BY_PACKETS != 0).then(|| bounds(body)).transpose()?;
                let set = Set { numbers, bounds, elements: BTreeSet::new() };
                self.sets.insert(set_key(body, [2, 10])?, set);
            }
            NEW_ELEMENTS => {
                let key = set_key(body, [2, 4])?;
                let list = find(body, 3).map(attributes).transpose()?.unwrap_or_default();
                let elements: Result<Vec<Attributes>, Malformed> =
                    list.into_iter().map(|(_, element)| tree(attributes(element)?, &is_key)).collect();
                let set = self.sets.entry(key).or_default();
                // Some kernels send the timeout of every element that a packet made.
                let usual = set.bounds.as_ref().map(|[timeout, _]| timeout);
                let counts = |element: &Attributes| match (usual, element.get(OWN_TIMEOUT)) {
                    (None, _) => true,
                    (Some(_), None) => false,
                    (Some(usual), Some(own)) => own != usual,
                };
                set.elements.extend(elements?.into_iter().filter(counts));
            }
            _ => {
                let list = find(body, 4).map(attributes).transpose()?.unwrap_or_default();
                let rule: Result<Rule, Malformed> =
                    list.into_iter().map(|(_, instruction)| self.instruction(instruction)).collect();
                self.chains.entry(name(body, 2)?).or_default().rules.push(rule?);
            }
        }
        Ok(())
    }

    fn instruction(&self, bytes: &[u8]) -> Result<Instruction, Malformed> {
        let parts = attributes(bytes)?;
        let name = name(&parts, 1)?;
        let mut body = attributes(find(&parts, 2).unwrap_or_default())?;
        let mut own = None;
        if name == "lookup" {
            let set = self.sets.get(&set_key(&body, [1, 4])?);
            own = set.filter(|set| set.numbers[0] & OWN != 0).cloned();
            body.retain(|(kind, _)| *kind != 4 && (*kind != 1 || own.is_none()));
        }
        // The kernel sends these also where they have their usual value.
        let is_usual = |kind: u16, value: &[u8]| {
            let may_be_left_out = matches!(
                (name.as_str(), kind),
                ("bitwise" | "exthdr", 6) | ("lookup" | "exthdr", 5) | ("dynset", 8 | 9)
            );
            may_be_left_out && !is_data(&name, kind) && value.iter().all(|byte| *byte == 0)
        };
        body.retain(|(kind, value)| !is_usual(*kind, value));
        let all = tree(body, &|kind| is_data(&name, kind))?;
        Ok(Instruction { name, attributes: all, own })
    }
}

/// The questions for a table: the table, its chains and its sets. After their answers come those for the elements of
/// each set, and for the rules.
pub(super) fn questions(table: TableId) -> [Vec<u8>; 3] {
    [GET_TABLE, GET_CHAIN, GET_SET].map(|kind| {
        let filter = if kind == GET_SET { text(1, table.name) } else { Vec::new() };
        message(kind, 1, REQUEST | DUMP, protocol(table.family), &filter)
    })
}

/// The question for the elements of a set.
pub(super) fn elements_question(table: TableId, set: &str) -> Vec<u8> {
    let names = [text(1, table.name), text(2, set)].concat();
    message(GET_ELEMENTS, 1, REQUEST | DUMP, protocol(table.family), &names)
}

/// The question for the rules.
pub(super) fn rules_question(table: TableId) -> Vec<u8> {
    message(GET_RULE, 1, REQUEST | DUMP, protocol(table.family), &text(1, table.name))
}

/// Attributes of an element that hold a value: its key, what it maps to, and the end of its range.
fn is_key(kind: u16) -> bool {
    matches!(kind, 1 | 2 | 10)
}

/// `NFTA_SET_ELEM_TIMEOUT`.
const OWN_TIMEOUT: u16 = 4;

/// `NFTA_SET_TIMEOUT`, and `NFTA_SET_DESC_SIZE` in `NFTA_SET_DESC`.
fn bounds(set: &[(u16, &[u8])]) -> Result<[Vec<u8>; 2], Malformed> {
    let described = find(set, 9).map(attributes).transpose()?.unwrap_or_default();
    Ok([find(set, 11), find(&described, 1)].map(|value| value.unwrap_or_default().to_vec()))
}

/// Attributes of instructions that hold a value or a verdict.
fn is_data(instruction: &str, kind: u16) -> bool {
    matches!((instruction, kind), ("cmp", 3) | ("bitwise", 4 | 5) | ("immediate", 2))
}

/// The name of a set. What we send has a number in place of the name of a rule's own set.
fn set_key(body: &[(u16, &[u8])], [of_name, of_number]: [u16; 2]) -> Result<String, Malformed> {
    let name = name(body, of_name)?;
    match name.contains('%') {
        true => Ok(format!("{name}{}", number(body, of_number)?)),
        false => Ok(name),
    }
}

fn attributes(bytes: &[u8]) -> Result<Vec<(u16, &[u8])>, Malformed> {
    let mut chunks = IterableChunks::new(bytes);
    let all = chunks.by_ref().map(|(header, value)| (header.r#type, value)).collect();
    // An attribute that is cut off ends the list.
    if chunks.is_empty() { Ok(all) } else { Err(Malformed) }
}

/// All attributes. Those that `is_data` names hold a value or a verdict (`NFTA_DATA_…`).
fn tree(list: Vec<(u16, &[u8])>, is_data: &dyn Fn(u16) -> bool) -> Result<Attributes, Malformed> {
    Attributes::of(list, |kind, value| match is_data(kind) {
        true => Ok(Cow::Owned(data(value)?.0)),
        false => Ok(Cow::Borrowed(value)),
    })
}

fn data(bytes: &[u8]) -> Result<Attributes, Malformed> {
    Attributes::of(attributes(bytes)?, |kind, value| match kind {
        // A verdict: its code, and the chain that it leads to.
        2 => Ok(Cow::Owned(tree(attributes(value)?, &|_| false)?.0)),
        _ => Ok(Cow::Borrowed(value)),
    })
}

fn find<'a>(attributes: &[(u16, &'a [u8])], kind: u16) -> Option<&'a [u8]> {
    attributes.iter().find(|(one, _)| *one == kind).map(|(_, value)| *value)
}

fn number(attributes: &[(u16, &[u8])], kind: u16) -> Result<u32, Malformed> {
    let bytes = find(attributes, kind).and_then(|value| value.try_into().ok());
    bytes.map(u32::from_be_bytes).ok_or(Malformed)
}

/// A name without the zero byte at its end. What is not UTF-8 in a name of another program is replaced.
fn name(attributes: &[(u16, &[u8])], kind: u16) -> Result<String, Malformed> {
    let bytes = find(attributes, kind).ok_or(Malformed)?;
    Ok(String::from_utf8_lossy(bytes.strip_suffix(&[0]).unwrap_or(bytes)).into_owned())
}

fn base(chain: &[(u16, &[u8])], hook: &[u8]) -> Result<Base, Malformed> {
    let hook = attributes(hook)?;
    let devices = find(&hook, 4).map(attributes).transpose()?.unwrap_or_default();
    let devices = devices.iter().map(|device| name(&[*device], device.0)).collect::<Result<_, _>>()?;
    Ok(Base {
        numbers: [number(&hook, 1)?, number(&hook, 2)?, number(chain, 5)?],
        kind: name(chain, 7)?,
        devices,
    })
}

#[cfg(test)]
mod tests;
