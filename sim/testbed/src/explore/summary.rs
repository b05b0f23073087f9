//! An exploration in words.

use std::time::Duration;

use super::{Finding, Job, Tally};
use crate::{
    report::screen,
    system::{Numbers, System},
};

/// The last line of an exploration.
pub fn last_line<S: System>(tally: &Tally<S>, wall: Duration, interrupted: bool) -> String {
    let sums = &tally.sums;
    let verdict = match sums.failed {
        0 => "all well".to_string(),
        failed => format!("{failed} FAILED"),
    };
    let regressions = match sums.regressions {
        0 => String::new(),
        1 => " and 1 regression".into(),
        many => format!(" and {many} regressions"),
    };
    let excused = match sums.excused {
        0 => String::new(),
        runs => format!("; {runs} runs excused from progress"),
    };
    let seconds = wall.as_secs_f64();
    let own: String =
        sums.own.summary(sums.virtual_time).iter().map(|phrase| format!("{phrase}; ")).collect();
    format!(
        "{} seeds{regressions}{}, {verdict}: {:.1} h virtual time ({:.0} times real time), {} operations judged, {} of them \
         unknown{excused}; {}; {own}{} made twice; {:.1} seeds/s in {seconds:.1} s",
        sums.seeds,
        if interrupted { " (interrupted)" } else { "" },
        sums.virtual_time.as_secs_f64() / 3600.0,
        sums.virtual_time.as_secs_f64() / seconds,
        sums.operations,
        sums.unknown,
        screen::faults(sums.faults.iter().map(|(name, count)| (name.as_str(), *count))),
        sums.rechecked,
        sums.seeds as f64 / seconds,
    )
}

/// How an exploration is getting on.
pub fn status<S: System>(tally: &Tally<S>, wall: Duration, next: Option<u64>) -> String {
    let sums = &tally.sums;
    let found = match (tally.findings.len(), sums.failed) {
        (0, _) => "all well".to_string(),
        (1, runs) => format!("1 finding in {runs} runs"),
        (kinds, runs) => format!("{kinds} findings in {runs} runs"),
    };
    let next = next.map_or_else(|| "no seed left".into(), |seed| format!("next seed {seed}"));
    format!(
        "{} seeds, {:.1} seeds/s, {:.1} h virtual time, {found}, {next}",
        sums.seeds,
        sums.seeds as f64 / wall.as_secs_f64().max(0.001),
        sums.virtual_time.as_secs_f64() / 3600.0,
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
        Finding { kind, count, jobs: seeds.iter().copied().map(Job::Seed).collect(), detail: Vec::new() }
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
            "0 seeds, 0.0 seeds/s, 0.0 h virtual time, all well, next seed 17"
        );
        tally.hangs(&Job::Seed(3));
        assert_eq!(
            status(&tally, second, None),
            "0 seeds, 0.0 seeds/s, 0.0 h virtual time, 1 finding in 1 runs, no seed left"
        );
    }

    #[test]
    fn the_last_line_begins_with_the_verdict() {
        let mut tally = Tally::<Toy>::default();
        tally.sums.seeds = 500;
        tally.sums.regressions = 2;
        let line = last_line(&tally, Duration::from_secs(5), false);
        assert!(line.starts_with("500 seeds and 2 regressions, all well: "), "{line}");
        assert!(!line.contains("excused"), "{line}");
        (tally.sums.failed, tally.sums.excused) = (3, 4);
        let line = last_line(&tally, Duration::from_secs(5), true);
        assert!(line.starts_with("500 seeds and 2 regressions (interrupted), 3 FAILED: "), "{line}");
        assert!(line.contains("unknown; 4 runs excused from progress; "), "{line}");
    }
}
