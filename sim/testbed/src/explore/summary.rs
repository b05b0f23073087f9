//! An exploration in words.

use std::time::Duration;

use super::{Finding, Job, Tally};
use crate::{
    report::screen::{self, counted},
    system::{Numbers, System},
};

/// What became of an exploration: rows with their labels. The first one has the verdict.
pub fn rows<S: System>(tally: &Tally<S>, wall: Duration, interrupted: bool) -> Vec<(&'static str, String)> {
    let sums = &tally.sums;
    let verdict = match (sums.failed, interrupted) {
        (0, false) => "all well".to_string(),
        (0, true) => "nothing failed so far".to_string(),
        (failed, _) => format!("{failed} FAILED"),
    };
    let regressions = match sums.regressions {
        0 => String::new(),
        some => format!(" and {}", counted(some, "regression", "regressions")),
    };
    let excused = match sums.excused {
        0 => String::new(),
        some => format!("; {} excused from progress", counted(some, "run", "runs")),
    };
    let twice = match sums.rechecked {
        0 => String::new(),
        some => format!("; {} repeated, as a check", counted(some, "run", "runs")),
    };
    let seconds = wall.as_secs_f64().max(0.001);
    let mut rows = vec![
        (
            "",
            format!(
                "{}{regressions}{}, {verdict}: {} judged, {} of unknown outcome{excused}",
                counted(sums.seeds, "seed", "seeds"),
                if interrupted { " (interrupted)" } else { "" },
                counted(sums.operations, "operation", "operations"),
                percent(sums.unknown as f64, sums.operations as f64),
            ),
        ),
        (
            "time",
            format!(
                "{} of virtual time in {seconds:.1} s, {:.0} times as fast; {:.1} seeds/s{twice}",
                length(sums.virtual_time),
                sums.virtual_time.as_secs_f64() / seconds,
                sums.seeds as f64 / seconds,
            ),
        ),
        ("faults", screen::faults(sums.faults.iter().map(|(name, count)| (name.as_str(), *count)))),
    ];
    rows.extend(sums.own.summary(sums.virtual_time).into_iter().map(|phrase| ("system", phrase)));
    rows
}

/// A share in percent: `2.7 %`. Of nothing, none.
pub fn percent(part: f64, whole: f64) -> String {
    let share = if whole > 0.0 { 100.0 * part / whole } else { 0.0 };
    if share > 0.0 && share < 0.1 { "less than 0.1 %".into() } else { format!("{share:.1} %") }
}

/// A length of time in the unit in which people would say it.
pub fn length(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 120.0 => format!("{seconds:.1} s"),
        seconds if seconds < 7_200.0 => format!("{:.1} min", seconds / 60.0),
        seconds => format!("{:.1} h", seconds / 3_600.0),
    }
}

/// How an exploration is getting on.
pub fn status<S: System>(tally: &Tally<S>, wall: Duration, next: Option<u64>) -> String {
    let sums = &tally.sums;
    let found = match (tally.findings.len(), sums.failed) {
        (0, _) => "all well".to_string(),
        (kinds, runs) => {
            let findings = counted(kinds as u64, "finding", "findings");
            format!("{findings} in {}", counted(runs, "run", "runs"))
        }
    };
    let next = next.map_or_else(|| "no seed left".into(), |seed| format!("next seed {seed}"));
    format!(
        "{}, {:.1} seeds/s, {} of virtual time, {found}, {next}",
        counted(sums.seeds, "seed", "seeds"),
        sums.seeds as f64 / wall.as_secs_f64().max(0.001),
        length(sums.virtual_time),
    )
}

/// Which other runs show a finding, if any do.
pub fn also(finding: &Finding) -> Option<String> {
    if finding.count < 2 {
        return None;
    }
    let others = &finding.jobs[1..];
    let seeds: Vec<String> = others.iter().map(Job::again).collect();
    let rest = finding.count.saturating_sub(finding.jobs.len() as u64);
    let rest = match (rest, seeds.is_empty()) {
        (0, _) => String::new(),
        (rest, true) => format!("{rest} more"),
        (rest, false) => format!(" and {rest} more"),
    };
    Some(format!("{:>10}  seeds {}{rest}\n", "also", seeds.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        explore::{Gravity, Kind},
        system::toy::Toy,
    };

    fn finding(count: u64, seeds: &[u64]) -> Finding {
        let kind = Kind { gravity: Gravity::Panic, reason: "no".into(), step: None };
        Finding { kind, count, jobs: seeds.iter().copied().map(Job::seed).collect(), detail: Vec::new() }
    }

    #[test]
    fn other_seeds_of_a_finding_are_named_and_the_rest_is_counted() {
        assert_eq!(also(&finding(1, &[4])), None);
        assert_eq!(also(&finding(3, &[4, 5, 9])).as_deref(), Some("      also  seeds 5 9\n"));
        assert_eq!(also(&finding(1000, &[4, 5])).as_deref(), Some("      also  seeds 5 and 998 more\n"));
    }

    #[test]
    fn the_status_says_what_was_found_and_what_is_next() {
        let mut tally = Tally::<Toy>::default();
        let second = Duration::from_secs(1);
        assert_eq!(
            status(&tally, second, Some(17)),
            "0 seeds, 0.0 seeds/s, 0.0 s of virtual time, all well, next seed 17"
        );
        tally.hangs(&Job::seed(3));
        assert_eq!(
            status(&tally, second, None),
            "0 seeds, 0.0 seeds/s, 0.0 s of virtual time, 1 finding in 1 run, no seed left"
        );
    }

    #[test]
    fn the_first_row_begins_with_the_verdict() {
        let mut tally = Tally::<Toy>::default();
        tally.sums.seeds = 500;
        tally.sums.regressions = 2;
        let first = |tally: &Tally<Toy>, interrupted| {
            rows(tally, Duration::from_secs(5), interrupted).swap_remove(0).1
        };
        let line = first(&tally, false);
        assert!(
            line.starts_with("500 seeds and 2 regressions, all well: 0 operations judged, 0.0 %"),
            "{line}"
        );
        assert!(!line.contains("excused"), "{line}");
        let line = first(&tally, true);
        assert!(line.contains("(interrupted), nothing failed so far: "), "{line}");
        (tally.sums.failed, tally.sums.excused) = (3, 4);
        let line = first(&tally, true);
        assert!(line.starts_with("500 seeds and 2 regressions (interrupted), 3 FAILED: "), "{line}");
        assert!(line.ends_with("; 4 runs excused from progress"), "{line}");
    }

    #[test]
    fn one_is_singular_and_shares_are_percentages() {
        let mut tally = Tally::<Toy>::default();
        let sums = &mut tally.sums;
        (sums.seeds, sums.regressions, sums.rechecked, sums.operations, sums.unknown) = (1, 1, 1, 200, 3);
        sums.virtual_time = Duration::from_secs(90);
        let text: String =
            rows(&tally, Duration::from_secs(2), false).into_iter().map(|(_, row)| row).collect();
        for part in
            ["1 seed and 1 regression, ", "1.5 % of unknown", "90.0 s of virtual time", "1 run repeated"]
        {
            assert!(text.contains(part), "no {part:?} in {text}");
        }
        assert_eq!((percent(0.0, 0.0), percent(1.0, 9999.0)), ("0.0 %".into(), "less than 0.1 %".into()));
        assert_eq!(
            (length(Duration::from_secs(47_160)), length(Duration::from_secs(240))),
            ("13.1 h".into(), "4.0 min".into())
        );
    }
}
