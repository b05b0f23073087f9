//! A line of a client's script: `<seconds> <what to do>`. What is to be done is the system's affair.

use std::time::Duration;

/// The time of a line.
///
/// # Errors
///
/// What is wrong with it.
pub fn time(line: &str) -> Result<Duration, String> {
    let wrong = |what: &str| format!("'{line}' is not a step ({what}): write '<seconds> <operation>'");
    let word = line.split_whitespace().next().ok_or_else(|| wrong("it is empty"))?;
    let seconds: f64 = word.parse().map_err(|_| wrong("the first word is not a number"))?;
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong("its time is below zero, or too large"))
}

/// The time of a line, in milliseconds; zero if it has none.
pub fn at_ms(line: &str) -> u64 {
    u64::try_from(time(line).unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

/// What is to be done.
pub fn words(line: &str) -> &str {
    line.trim_start().split_once(char::is_whitespace).map_or("", |(_, rest)| rest.trim())
}

/// The same line at another time.
pub fn at(line: &str, at_ms: u64) -> String {
    format!("{}.{:03} {}", at_ms / 1000, at_ms % 1000, words(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_time_and_what_to_do() {
        assert_eq!(
            (time("1.250 append k3"), at_ms("1.250 append k3")),
            (Ok(Duration::from_millis(1250)), 1250)
        );
        assert_eq!((words("1.250  append k3 "), words("9")), ("append k3", ""));
        assert_eq!(at("1.250 append k3", 70), "0.070 append k3");
        for wrong in ["", "x get", "-1 get", "nan get"] {
            assert!(time(wrong).is_err_and(|why| why.contains("<seconds>")), "{wrong}");
            assert_eq!(at_ms(wrong), 0);
        }
    }
}
