//! Many walks in words.

use std::time::Duration;

use testbed::{
    explore::{
        Tally,
        summary::{length, percent},
    },
    report::screen::{self, counted},
};

use crate::store::Pbkv;

/// What became of a session of walks, made by so many jobs: rows with their labels. The first one has the
/// verdict.
pub fn rows(
    tally: &Tally<Pbkv>,
    wall: Duration,
    jobs: usize,
    interrupted: bool,
) -> Vec<(&'static str, String)> {
    let sums = &tally.sums;
    let verdict = match (sums.failed, interrupted) {
        (0, false) => "all well".to_string(),
        (0, true) => "nothing failed so far".to_string(),
        (failed, _) => format!("{failed} FAILED"),
    };
    let seconds = wall.as_secs_f64();
    let per_second = |count: u64| count as f64 / seconds.max(0.001) / jobs as f64;
    vec![
        (
            "",
            format!(
                "{}{}, {verdict}: {} judged, {} of unknown outcome",
                counted(sums.seeds, "walk", "walks"),
                if interrupted { " (interrupted)" } else { "" },
                counted(sums.operations, "operation", "operations"),
                percent(sums.unknown as f64, sums.operations as f64),
            ),
        ),
        (
            "steps",
            format!(
                "{} and {} of machines; per second and job {:.0} and {:.0}",
                counted(sums.actions, "action", "actions"),
                counted(sums.steps, "step", "steps"),
                per_second(sums.actions),
                per_second(sums.steps),
            ),
        ),
        ("time", format!("{} of virtual time in {seconds:.1} s", length(sums.virtual_time))),
        ("faults", screen::faults(sums.faults.iter().map(|(name, count)| (name.as_str(), *count)))),
        ("system", counted(sums.own.view_changes, "view change", "view changes")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_row_has_the_verdict_and_another_the_pace_of_one_job() {
        let mut tally = Tally::default();
        (tally.sums.seeds, tally.sums.actions, tally.sums.steps) = (10, 30_000, 60_000);
        let told = rows(&tally, Duration::from_secs(3), 2, false);
        assert!(told[0].1.starts_with("10 walks, all well: 0 operations judged"), "{told:?}");
        assert_eq!(told[1].1, "30000 actions and 60000 steps of machines; per second and job 5000 and 10000");
        tally.sums.failed = 1;
        let told = rows(&tally, Duration::ZERO, 1, true);
        assert!(told[0].1.starts_with("10 walks (interrupted), 1 FAILED: "), "{told:?}");
    }
}
