//! Delta debugging: a list of things that is needed, found by asking about parts of it.
//!
//! This is `ddmin` of Zeller and Hildebrandt (*Simplifying and Isolating Failure-Inducing Input*, 2002) with
//! two usual changes that keep its result 1-minimal: parts alone are asked about only while there are few of
//! them, because a small part of many hardly ever suffices; and after a part was found superfluous the next
//! question is about the part behind it instead of the first one again.

/// Parts alone are asked about while there are at most this many of them.
const PARTS_ALONE_MAX: usize = 4;

/// Reduces `0..count` to a subset that `ask` accepts and from which no single element can be left out.
///
/// `ask` is handed several subsets and answers with the place of the first one that suffices, if any does.
/// The whole is taken to suffice.
pub fn ddmin(count: usize, mut ask: impl FnMut(&[Vec<usize>]) -> Option<usize>) -> Vec<usize> {
    let mut kept: Vec<usize> = (0..count).collect();
    if kept.is_empty() {
        return kept;
    }
    if ask(&[Vec::new()]).is_some() {
        return Vec::new();
    }
    let mut parts = 2.min(kept.len());
    let mut first = 0;
    while kept.len() > 1 {
        let bounds: Vec<(usize, usize)> =
            (0..parts).map(|part| (part * kept.len() / parts, (part + 1) * kept.len() / parts)).collect();
        if parts <= PARTS_ALONE_MAX {
            let alone: Vec<Vec<usize>> = bounds.iter().map(|(from, to)| kept[*from..*to].to_vec()).collect();
            if let Some(part) = ask(&alone) {
                kept.clone_from(&alone[part]);
                parts = 2.min(kept.len());
                first = 0;
                continue;
            }
        }
        let order: Vec<usize> = (0..parts).map(|offset| (first + offset) % parts).collect();
        let rest: Vec<Vec<usize>> =
            order.iter().map(|part| [&kept[..bounds[*part].0], &kept[bounds[*part].1..]].concat()).collect();
        if let Some(place) = ask(&rest) {
            kept.clone_from(&rest[place]);
            parts = (parts - 1).max(2).min(kept.len());
            first = order[place] % parts;
        } else if parts == kept.len() {
            break;
        } else {
            parts = (2 * parts).min(kept.len());
            first = 0;
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Reduces `0..count` where exactly the supersets of `needed` suffice; also returns the questions asked.
    fn reduce(count: usize, needed: &[usize]) -> (Vec<usize>, usize) {
        let needed: BTreeSet<usize> = needed.iter().copied().collect();
        let mut asked = 0;
        let kept = ddmin(count, |subsets| {
            let place = subsets.iter().position(|subset| needed.iter().all(|item| subset.contains(item)));
            asked += place.map_or(subsets.len(), |place| place + 1);
            place
        });
        (kept, asked)
    }

    #[test]
    fn what_is_needed_is_left_and_nothing_else() {
        for count in [1, 2, 3, 7, 64, 300] {
            for needed in [vec![0], vec![count - 1], vec![0, count - 1], vec![0, count / 2, count - 1]] {
                let mut expected = needed.clone();
                expected.dedup();
                assert_eq!(reduce(count, &needed).0, expected, "of {count}");
            }
        }
        assert_eq!(reduce(5, &[]).0, Vec::<usize>::new());
        assert_eq!(reduce(0, &[]).0, Vec::<usize>::new());
    }

    #[test]
    fn everything_is_left_if_everything_is_needed() {
        let all: Vec<usize> = (0..20).collect();
        assert_eq!(reduce(20, &all).0, all);
    }

    #[test]
    fn few_of_many_are_found_with_few_questions() {
        assert!(reduce(300, &[17, 180]).1 < 150, "{}", reduce(300, &[17, 180]).1);
    }

    #[test]
    fn the_result_is_one_minimal_even_if_sufficiency_is_not_monotone() {
        // An odd number of even elements, at least three.
        let suffices = |subset: &[usize]| {
            let even = subset.iter().filter(|item| *item % 2 == 0).count();
            even >= 3 && even % 2 == 1
        };
        let kept = ddmin(30, |subsets| subsets.iter().position(|subset| suffices(subset)));
        assert!(suffices(&kept));
        for left_out in 0..kept.len() {
            let mut fewer = kept.clone();
            fewer.remove(left_out);
            assert!(!suffices(&fewer), "{kept:?}");
        }
    }
}
