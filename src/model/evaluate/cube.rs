//! Conjunctions of single bits, and the packets for which any of them holds.

use std::collections::{BTreeMap, HashMap};

use rustc_hash::FxBuildHasher;

use super::View;
use crate::model::diagram::Logic;
use crate::model::rule::{Comparison, Match};

/// Bits that must have these values, in the order of a diagram.
pub(super) type Cube = Vec<(u16, bool)>;

impl View<'_> {
    /// These conditions as a conjunction of bits; `None` if they are something else.
    pub(super) fn cube(&self, matches: &[Match]) -> Option<Cube> {
        let mut cube = BTreeMap::new();
        for one in matches {
            let Match::Bits(bits, test) = one else { return None };
            if test.comparison != Comparison::Equal || self.is_unknown(bits) {
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

/// The packets for which any of these cubes holds. It makes no nodes except those of the result.
pub(super) fn union<L: Logic>(logic: &mut L, mut cubes: Vec<Cube>) -> L::Set {
    cubes.sort();
    cubes.dedup();
    let all = (0..cubes.len()).map(|cube| (cube, 0)).collect();
    Union { cubes, known: HashMap::default() }.of(logic, all)
}

/// The rests of cubes: the number of each cube, and the place of its first bit that is not tested yet.
type Rests = Vec<(usize, usize)>;

struct Union<S> {
    cubes: Vec<Cube>,
    /// The results for rests of cubes. Without this memory the same result would be computed again for each value of a
    /// bit that these rests do not test, and the time would double with each such bit.
    known: HashMap<Rests, S, FxBuildHasher>,
}

impl<S: Copy + PartialEq> Union<S> {
    fn of<L: Logic<Set = S>>(&mut self, logic: &mut L, rests: Rests) -> S {
        let bit = |&(cube, at): &(usize, usize)| self.cubes.get(cube).and_then(|cube| cube.get(at)).copied();
        let bits: Option<Vec<(u16, bool)>> = rests.iter().map(bit).collect();
        // One of them has no bit left to test, so every packet fits.
        let Some(bits) = bits else { return logic.all() };
        let Some(first) = bits.iter().map(|(bit, _)| *bit).min() else { return logic.none() };
        if let Some(&known) = self.known.get(&rests) {
            return known;
        }
        let side = |value: bool| -> Rests {
            let kept = rests.iter().zip(&bits).filter_map(|(&(cube, at), &(bit, held))| match bit == first {
                true => (held == value).then_some((cube, at + 1)),
                false => Some((cube, at)),
            });
            kept.collect()
        };
        let (zero, one) = (side(false), side(true));
        let (zero, one) = (self.of(logic, zero), self.of(logic, one));
        let result = logic.choose_by(first, one, zero);
        self.known.insert(rests, result);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::diagram::Diagram;

    #[test]
    fn cubes_that_ask_for_different_bits_take_no_exponential_time() {
        let cubes: Vec<Cube> =
            (0..60).map(|cube| (0..5).map(|bit| (cube * 5 + bit, true)).collect()).collect();
        let mut diagram = Diagram::default();
        let found = union(&mut diagram, cubes.clone());
        let mut one_by_one = diagram.none();
        for cube in cubes {
            let one = union(&mut diagram, vec![cube]);
            one_by_one = diagram.or(one_by_one, one);
        }
        assert!(found == one_by_one && found != diagram.none());
    }
}
