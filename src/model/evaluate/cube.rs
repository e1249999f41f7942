//! Conjunctions of single bits, and the packets of any of them.

use std::collections::BTreeMap;

use super::View;
use crate::model::diagram::Logic;
use crate::model::rule::{Bit, Comparison, Match};

/// Bits that must have a value, in the order of a diagram.
pub(super) type Cube = Vec<(u16, bool)>;

impl View<'_> {
    /// A conjunction as bits, if it is one.
    pub(super) fn cube(&self, matches: &[Match]) -> Option<Cube> {
        let mut cube = BTreeMap::new();
        for one in matches {
            let Match::Bits(bits, test) = one else { return None };
            if test.comparison != Comparison::Equal || bits.contains(&Bit::Unknown) {
                return None;
            }
            for (&bit, &value) in bits.iter().zip(&test.value) {
                match self.place(bit) {
                    Ok(held) if held == value => {}
                    Err(place) if cube.insert(place, value).is_none_or(|before| before == value) => {}
                    Ok(_) | Err(_) => return None,
                }
            }
        }
        Some(cube.into_iter().collect())
    }
}

/// The packets of any of these cubes. It makes no node but those of the result.
pub(super) fn union<L: Logic>(logic: &mut L, mut cubes: Vec<Cube>) -> L::Set {
    cubes.sort();
    cubes.dedup();
    let cubes: Vec<&[(u16, bool)]> = cubes.iter().map(Vec::as_slice).collect();
    union_of(logic, cubes)
}

fn union_of<L: Logic>(logic: &mut L, cubes: Vec<&[(u16, bool)]>) -> L::Set {
    if cubes.iter().any(|cube| cube.is_empty()) {
        return logic.all();
    }
    let Some(first) = cubes.iter().filter_map(|cube| cube.first()).map(|(bit, _)| *bit).min() else {
        return logic.none();
    };
    let side = |value: bool| -> Vec<&[(u16, bool)]> {
        let kept = cubes.iter().filter_map(|cube| match cube.split_first() {
            Some(((bit, held), rest)) if *bit == first => (*held == value).then_some(rest),
            Some(_) | None => Some(*cube),
        });
        kept.collect()
    };
    let (zero, one) = (side(false), side(true));
    let (zero, one) = (union_of(logic, zero), union_of(logic, one));
    logic.choose_by(first, one, zero)
}
