//! An exploration in words.

use std::time::Duration;

use super::{Finding, Tally};
use crate::screen;

/// Other seeds of the same finding that are named.
const ALSO_MAX: usize = 12;

/// The last line of an exploration.
pub fn last_line(tally: &Tally, wall: Duration, interrupted: bool) -> String {
    let verdict = match tally.failed {
        0 => "all well".to_string(),
        failed => format!("{failed} FAILED"),
    };
    let (stats, seconds) = (&tally.stats, wall.as_secs_f64());
    format!(
        "{} seeds{}, {verdict}: {:.1} h virtual time ({:.0} times real time), {} operations judged, {} of them unknown; \
         {}; {} view changes; {:.1} seeds/s in {seconds:.1} s",
        tally.runs,
        if interrupted { " (interrupted)" } else { "" },
        stats.virtual_time.as_secs_f64() / 3600.0,
        stats.virtual_time.as_secs_f64() / seconds,
        stats.operations(),
        stats.unknown,
        screen::faults(stats),
        stats.view_changes,
        tally.runs as f64 / seconds,
    )
}

/// Which other seeds show a finding, if any do.
pub fn also(finding: &Finding) -> Option<String> {
    if finding.also.is_empty() {
        return None;
    }
    let named: Vec<String> = finding.also.iter().take(ALSO_MAX).map(u64::to_string).collect();
    let rest = finding.also.len().saturating_sub(ALSO_MAX);
    let rest = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    Some(format!("{:>10}  seeds {}{rest}\n", "also", named.join(" ")))
}
