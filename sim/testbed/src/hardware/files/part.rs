//! Which of some changes become durable: all, none, the first few, or any.

use std::collections::BTreeSet;

use crate::data::hash::{below, stable_hash};

/// There are so many equally likely ways to draw a part: all, none, a prefix, and any part with the others.
const WAYS: u64 = 6;

/// What a drive makes durable of what it was to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Everything.
    All,
    /// Nothing.
    None,
    /// The changes at these places.
    Places(BTreeSet<usize>),
}

impl Part {
    /// A part of `count` changes that a hash chooses.
    pub fn drawn(hash: u64, count: usize) -> Self {
        let choice = |what: &str, bound: usize| below(stable_hash(&(hash, what)), bound as u64) as usize;
        match below(hash, WAYS) {
            0 => Self::All,
            1 => Self::None,
            2 => Self::Places((0..choice("first", count + 1)).collect()),
            _ => {
                let is_kept = |place: &usize| stable_hash(&(hash, "place", *place)).is_multiple_of(2);
                Self::Places((0..count).filter(is_kept).collect())
            }
        }
    }

    /// Whether the change at this place becomes durable.
    pub fn holds(&self, place: usize) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Places(places) => places.contains(&place),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sort_of_part_is_drawn() {
        let kept = |hash| -> Vec<bool> {
            let part = Part::drawn(stable_hash(&hash), 4);
            (0..4).map(|place| part.holds(place)).collect()
        };
        let drawn: Vec<_> = (0..400_u64).map(kept).collect();
        for mask in 0..16 {
            let wanted: Vec<bool> = (0..4).map(|place| mask & (1 << place) != 0).collect();
            let times = drawn.iter().filter(|part| **part == wanted).count();
            let is_whole = mask == 0 || mask == 15;
            assert!(times >= if is_whole { 60 } else { 4 }, "{wanted:?}: {times} of {}", drawn.len());
        }
        let is_prefix = |hash: &u64| {
            let part = Part::drawn(stable_hash(hash), 20);
            let kept = (0..20).take_while(|place| part.holds(*place)).count();
            kept > 0 && kept < 20 && !(kept..20).any(|place| part.holds(place))
        };
        let prefixes = (0..400_u64).filter(is_prefix).count();
        assert!(prefixes >= 40, "{prefixes} prefixes");
    }
}
