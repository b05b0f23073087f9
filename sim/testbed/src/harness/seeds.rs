//! Which seeds are tests.

use std::ops::Range;

/// Seeds unless the environment says otherwise.
const SEEDS_DEFAULT: u64 = 200;
/// Seeds of one test.
const BATCH: u64 = 50;

/// The seeds that the environment asks for. `variable` is the full name and the value of one, if it is set.
pub fn asked_for(variable: impl Fn(&str) -> Option<(String, String)>) -> Result<Range<u64>, String> {
    if let Some((name, seed)) = variable("SEED") {
        let seed: u64 = seed.parse().map_err(|_| format!("{name} must be a number, not {seed:?}"))?;
        let end = seed.checked_add(1).ok_or_else(|| format!("{name} is too large"))?;
        return Ok(seed..end);
    }
    let Some((name, seeds)) = variable("SEEDS") else { return Ok(0..SEEDS_DEFAULT) };
    let wrong = || format!("{name} must be a number or A..B, not {seeds:?}");
    let (start, end) = seeds.split_once("..").unwrap_or(("0", &seeds));
    let range = start.parse().map_err(|_| wrong())?..end.parse().map_err(|_| wrong())?;
    if range.is_empty() { Err(wrong()) } else { Ok(range) }
}

/// The same in parts, a test each.
pub fn batches(seeds: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let end = seeds.end;
    seeds.step_by(BATCH as usize).map(move |start| start..end.min(start.saturating_add(BATCH)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(variables: &[(&str, &str)]) -> Result<Range<u64>, String> {
        asked_for(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(name, value)| (format!("SIM_{name}"), (*value).to_owned()))
        })
    }

    #[test]
    fn the_environment_says_which_seeds() {
        assert_eq!(asked(&[]), Ok(0..SEEDS_DEFAULT));
        assert_eq!(asked(&[("SEED", "7"), ("SEEDS", "9")]), Ok(7..8));
        assert_eq!(asked(&[("SEEDS", "9")]), Ok(0..9));
        assert_eq!(asked(&[("SEEDS", "5..9")]), Ok(5..9));
    }

    #[test]
    fn what_is_no_seed_is_named() {
        assert_eq!(asked(&[("SEED", "x")]), Err("SIM_SEED must be a number, not \"x\"".into()));
        assert_eq!(asked(&[("SEED", &u64::MAX.to_string())]), Err("SIM_SEED is too large".into()));
        for seeds in ["x", "0", "9..5", "1..x"] {
            let expected = format!("SIM_SEEDS must be a number or A..B, not {seeds:?}");
            assert_eq!(asked(&[("SEEDS", seeds)]), Err(expected));
        }
    }

    #[test]
    fn batches_hold_every_seed_once() {
        let parts: Vec<Range<u64>> = batches(7..120).collect();
        assert_eq!(parts, [7..57, 57..107, 107..120]);
    }
}
