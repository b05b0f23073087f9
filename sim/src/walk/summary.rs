//! Many walks in words.

use std::time::Duration;

use testbed::{explore::Tally, report::screen};

use crate::store::Pbkv;

/// The last line of a session of walks, made by so many jobs.
pub fn last_line(tally: &Tally<Pbkv>, wall: Duration, jobs: usize, interrupted: bool) -> String {
    let sums = &tally.sums;
    let verdict = match sums.failed {
        0 => "all well".to_string(),
        failed => format!("{failed} FAILED"),
    };
    let seconds = wall.as_secs_f64();
    let a_second = |count: u64| count as f64 / seconds.max(0.001) / jobs as f64;
    format!(
        "{} walks{}, {verdict}: {} actions and {} steps of machines, a second and job {:.0} and {:.0}; {:.1} h virtual time, {} \
         operations judged, {} of them unknown; {}; {} view changes; {seconds:.1} s",
        sums.seeds,
        if interrupted { " (interrupted)" } else { "" },
        sums.actions,
        sums.steps,
        a_second(sums.actions),
        a_second(sums.steps),
        sums.virtual_time.as_secs_f64() / 3600.0,
        sums.operations,
        sums.unknown,
        screen::faults(sums.faults.iter().map(|(name, count)| (name.as_str(), *count))),
        sums.own.view_changes,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_begins_with_the_verdict_and_tells_the_pace_of_one_job() {
        let mut tally = Tally::default();
        (tally.sums.seeds, tally.sums.actions, tally.sums.steps) = (10, 30_000, 60_000);
        let line = last_line(&tally, Duration::from_secs(3), 2, false);
        assert!(line.starts_with("10 walks, all well: 30000 actions and 60000 steps"), "{line}");
        assert!(line.contains("a second and job 5000 and 10000;"), "{line}");
        tally.sums.failed = 1;
        assert!(last_line(&tally, Duration::ZERO, 1, true).starts_with("10 walks (interrupted), 1 FAILED: "));
    }
}
