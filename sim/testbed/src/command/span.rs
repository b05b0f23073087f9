//! Lengths of time and moments as people write them.

use std::time::Duration;

/// Units, with their nanoseconds.
const UNITS: [(&str, f64); 6] =
    [("us", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3_600e9), ("d", 86_400e9)];

/// The longest span, in nanoseconds: a hundred years.
const LONGEST: f64 = 100.0 * 365.0 * 86_400e9;

/// A length of time that is not zero, for clap: `500ms`, `90s`, `1.5h`.
///
/// # Errors
///
/// What is wrong with it, and what to write.
pub fn span(text: &str) -> Result<Duration, String> {
    let wrong = || "write a time with its unit (us, ms, s, m, h or d), such as 500ms, 90s or 1.5h".to_owned();
    let (_, nanos) = UNITS
        .iter()
        .filter_map(|(unit, nanos)| {
            let number = text.strip_suffix(unit)?;
            let plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            Some((unit, number.parse::<f64>().ok().filter(|_| plain)? * nanos))
        })
        .next()
        .ok_or_else(wrong)?;
    if !(1.0..LONGEST).contains(&nanos) {
        return Err("a time is more than nothing and less than a hundred years".into());
    }
    Ok(Duration::from_nanos(nanos as u64))
}

/// A moment of virtual time, for clap: as a timeline prints it, in seconds, or with a unit.
///
/// # Errors
///
/// What is wrong with it, and what to write.
pub fn moment(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|_| "there is no such time".into()),
        Err(_) => span(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit() {
        let read = |text: &str, ms| assert_eq!(span(text), Ok(Duration::from_millis(ms)), "{text}");
        for (text, ms) in [
            ("1000us", 1),
            ("500ms", 500),
            ("90s", 90_000),
            ("1.5h", 5_400_000),
            ("2m", 120_000),
            ("1d", 86_400_000),
        ] {
            read(text, ms);
        }
        for text in ["", "8", "s", "1w", "-1s", "nans", "infs", "1e3s", "1 s"] {
            assert!(span(text).is_err_and(|why| why.contains("with its unit")), "{text}");
        }
        for text in ["0s", "9999999d"] {
            assert!(span(text).is_err_and(|why| why.contains("more than nothing")), "{text}");
        }
    }

    #[test]
    fn a_moment_may_be_copied_from_a_timeline() {
        assert_eq!(moment("5.025009"), Ok(Duration::from_micros(5_025_009)));
        assert_eq!(moment("800ms"), Ok(Duration::from_millis(800)));
        assert!(moment("-1").is_err() && moment("soon").is_err());
    }
}
