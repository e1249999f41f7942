//! A set of nf_tables, or a map to verdicts.

use super::attributes::{Attributes, Malformed};
use super::register::Load;
use crate::model::rule::Match;

/// `NFT_SET_…`
const INTERVAL: u32 = 4;
const CONCATENATED: u32 = 128;
/// Packets put elements into the set (`NFT_SET_EVAL`), so it may have any elements when the next packet comes.
const BY_PACKETS: u32 = 0x20;
/// `NFT_DATA_VERDICT`
const VERDICTS: u32 = 0xffff_ff00;
/// `NFT_SET_ELEM_…`
const INTERVAL_END: u32 = 1;
const CATCH_ALL: u32 = 2;

/// A set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Set {
    flags: u32,
    /// Whether it maps to verdicts.
    maps_to_verdicts: bool,
    /// Number of bytes of a key.
    pub(super) key_length: usize,
    elements: Vec<Element>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Element {
    key: Vec<u8>,
    /// The last key of a range.
    end: Option<Vec<u8>>,
    flags: u32,
    /// Whether it has a timeout.
    passes: bool,
    /// What it maps to: the bytes of `NFTA_DATA_…`.
    data: Option<Vec<u8>>,
}

impl Set {
    pub(super) fn of(body: &Attributes<'_>) -> Result<Self, Malformed> {
        let length = body.number(5)?.unwrap_or_default();
        let key_length = usize::try_from(length).map_err(|_| Malformed)?;
        Ok(Self {
            flags: body.number(3)?.unwrap_or_default(),
            maps_to_verdicts: body.number(6)? == Some(VERDICTS),
            key_length,
            elements: Vec::new(),
        })
    }

    pub(super) fn take(&mut self, list: &Attributes<'_>) -> Result<(), Malformed> {
        for element in list.values() {
            let element = Attributes::of(element)?;
            let value = |kind| -> Result<Option<Vec<u8>>, Malformed> {
                Ok(element.nested(kind)?.find(1).map(<[u8]>::to_vec))
            };
            self.elements.push(Element {
                key: value(1)?.unwrap_or_default(),
                end: value(10)?,
                flags: element.number(3)?.unwrap_or_default(),
                passes: element.find(4).is_some() || element.find(7).is_some() || element.find(11).is_some(),
                data: element.find(2).map(<[u8]>::to_vec),
            });
        }
        Ok(())
    }

    /// The conditions on these values for each element, with the data to which the element maps.
    pub(super) fn alternatives(&self, loads: &[Load]) -> Vec<(Vec<Match>, Option<Vec<u8>>)> {
        // Packets cannot put a verdict into a map.
        if self.flags & BY_PACKETS != 0 && !self.maps_to_verdicts {
            return vec![(vec![Match::Unknown("a set that packets fill".to_owned())], None)];
        }
        let mut elements: Vec<&Element> = self.elements.iter().collect();
        elements.sort();
        let mut found = Vec::new();
        for (place, element) in elements.iter().enumerate() {
            if element.flags & (INTERVAL_END | CATCH_ALL) != 0 {
                continue;
            }
            let mut matches = match &element.end {
                Some(end) => conditions(loads, [&element.key, end]),
                // A range ends before the next element.
                None if self.flags & (INTERVAL | CONCATENATED) == INTERVAL => {
                    let next = elements[place + 1..].iter().find(|next| next.key > element.key);
                    let end = next.map_or(vec![u8::MAX; element.key.len()], |next| before(&next.key));
                    conditions(loads, [&element.key, &end])
                }
                None => conditions(loads, [&element.key, &element.key]),
            };
            if element.passes {
                matches.push(Match::Unknown("an element with a time or a condition".to_owned()));
            }
            found.push((matches, element.data.clone()));
        }
        // A catch-all element applies to every value that no other element has.
        if let Some(rest) = elements.iter().find(|element| element.flags & CATCH_ALL != 0) {
            let others = found.iter().map(|(matches, _)| matches.clone()).collect();
            found.push((vec![Match::Any(others).not()], rest.data.clone()));
        }
        found
    }
}

/// The number that is one smaller.
fn before(key: &[u8]) -> Vec<u8> {
    let mut key = key.to_vec();
    for byte in key.iter_mut().rev() {
        let (less, borrows) = byte.overflowing_sub(1);
        *byte = less;
        if !borrows {
            break;
        }
    }
    key
}

/// Compares each part of a key with its value. Each part takes whole words of 4 bytes.
fn conditions(loads: &[Load], [first, last]: [&[u8]; 2]) -> Vec<Match> {
    let (mut first, mut last) = (first, last);
    let mut matches = Vec::new();
    for load in loads {
        let length = match load {
            Load::Unknown(name) => {
                matches.push(Match::Unknown(name.clone()));
                return matches;
            }
            Load::Bits(_) | Load::Name(_) | Load::Kind(_) | Load::Time(_) => load.length(),
        };
        let (Some(one), Some(other)) = (first.get(..length), last.get(..length)) else {
            // A key with one part may be only the beginning of a value.
            matches.extend(load.between([first, last]));
            return matches;
        };
        matches.extend(load.between([one, other]));
        let words = length.next_multiple_of(4);
        first = first.get(words..).unwrap_or_default();
        last = last.get(words..).unwrap_or_default();
        if first.is_empty() {
            break;
        }
    }
    matches
}
