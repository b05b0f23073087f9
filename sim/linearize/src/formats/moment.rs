//! Times as clients write them: whole numbers, numbers with a fraction, and dates of ISO 8601.
//!
//! A history with whole numbers only keeps them. Otherwise all of its times become whole numbers of a
//! thousand millionth of what they were counted in (of seconds: nanoseconds), or as small a part as 64 bits
//! can hold. Digits beyond are cut off, which keeps the order and can only make two times equal, and equal
//! times order nothing.

use crate::history::TIME_MAX;

/// The smallest part of a time that is kept: 10 to the power of minus this.
const DIGITS: u32 = 9;

/// A time, exactly as far as [`DIGITS`] go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// In units of 10 to the power of minus [`DIGITS`].
    units: i128,
    pub(super) is_date: bool,
}

impl Moment {
    pub(super) fn whole(number: u64) -> Self {
        Moment { units: i128::from(number) * 10i128.pow(DIGITS), is_date: false }
    }

    /// The time as a whole number, if it is one.
    pub(super) fn as_whole(&self) -> Option<u64> {
        let unit = 10i128.pow(DIGITS);
        let is_whole = !self.is_date && self.units % unit == 0;
        is_whole.then(|| u64::try_from(self.units / unit).ok()).flatten()
    }

    /// From a number as JSON writes it, or a date of ISO 8601. `None` if it is neither, or out of all
    /// proportion.
    pub(super) fn parse(text: &str) -> Option<Self> {
        number(text)
            .map(|units| Moment { units, is_date: false })
            .or_else(|| date(text).map(|units| Moment { units, is_date: true }))
    }
}

/// How the times of a history are to be read: what its whole numbers stood for in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// What was taken off, in units of 10 to the power of minus [`DIGITS`].
    least: i128,
    /// How many of these units a whole number stands for.
    divisor: i128,
    /// Whether the text has dates.
    is_date: bool,
    /// By how much times became later for the sake of what keys begin with.
    later: u64,
}

impl Default for Times {
    /// As they are.
    fn default() -> Self {
        Times { least: 0, divisor: 10i128.pow(DIGITS), is_date: false, later: 0 }
    }
}

impl Times {
    /// The times of a history that became later by some number.
    pub(super) fn later(self, later: u64) -> Self {
        Times { later, ..self }
    }

    /// A time of an event by its number.
    pub fn number(&self, time: u64) -> u64 {
        time.saturating_sub(self.later)
    }

    /// A time as the text has it: a date, or a number, which counts for 10 to the power of minus `digits`.
    /// The number is shown with so many digits behind the point at least.
    pub fn show(&self, time: u64, digits: usize) -> String {
        let units = i128::from(self.number(time)) * self.divisor + self.least;
        if self.is_date {
            return shown_date(units);
        }
        let places = DIGITS as usize + digits;
        let text = format!("{:0width$}", units.unsigned_abs(), width = places + 1);
        let (whole, fraction) = text.split_at(text.len() - places);
        let kept = fraction.trim_end_matches('0').len().max(digits);
        let (sign, point) = (if units < 0 { "-" } else { "" }, if kept == 0 { "" } else { "." });
        format!("{sign}{whole}{point}{}", &fraction[..kept])
    }

    /// Whether times are dates.
    pub fn are_dates(&self) -> bool {
        self.is_date
    }
}

/// All times of a history as whole numbers, in their order. `None` if they are too far apart.
pub(super) fn scaled(moments: &[Moment]) -> Option<(Vec<u64>, Times)> {
    let least = moments.iter().map(|moment| moment.units).min().unwrap_or(0);
    // Dates count from the first: from 1970 on, 64 bits hold no nanoseconds behind the year 2554.
    let is_date = moments.iter().any(|moment| moment.is_date);
    let least = if is_date { least } else { least.min(0) };
    let most = moments.iter().map(|moment| moment.units - least).max().unwrap_or(0);
    let mut divisor = 1;
    while most / divisor > i128::from(TIME_MAX) {
        divisor *= 10;
    }
    if divisor > 10i128.pow(DIGITS) {
        return None;
    }
    let times: Option<_> =
        moments.iter().map(|moment| u64::try_from((moment.units - least) / divisor).ok()).collect();
    Some((times?, Times { least, divisor, is_date, later: 0 }))
}

/// Digits with a sign, a fraction and an exponent.
fn number(text: &str) -> Option<i128> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() || !(whole.bytes().chain(fraction.bytes())).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = format!("{whole}{fraction}");
    // Where the digits after which the units end are.
    let kept = i64::try_from(whole.len()).ok()? + i64::from(exponent) + i64::from(DIGITS);
    let units: i128 = match usize::try_from(kept) {
        Err(_) | Ok(0) => 0,
        Ok(kept) if kept <= digits.len() => digits[..kept].parse().ok()?,
        Ok(kept) if kept - digits.len() <= 38 => {
            digits.parse::<i128>().ok()?.checked_mul(10i128.checked_pow((kept - digits.len()) as u32)?)?
        }
        Ok(_) => return None,
    };
    Some(if negative { -units } else { units })
}

/// `2024-01-31T12:00:00.5Z`, with `+01:00` or nothing for Z; a space may stand for T. Without a zone it is
/// UTC.
fn date(text: &str) -> Option<i128> {
    let (day, time) = text.split_once(['T', 't', ' '])?;
    let mut parts = day.splitn(3, '-');
    let mut part = |length: usize| digits(parts.next()?, length);
    let (year, month, day) = (part(4)?, part(2)?, part(2)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let time = time.strip_suffix(['Z', 'z']).unwrap_or(time);
    let (time, offset) = match time.rfind(['+', '-']) {
        None => (time, 0),
        Some(at) => {
            let (hours, minutes) = match time[at + 1..].split_once(':') {
                Some((hours, minutes)) => (digits(hours, 2)?, digits(minutes, 2)?),
                None if time.len() == at + 5 => {
                    (digits(&time[at + 1..at + 3], 2)?, digits(&time[at + 3..], 2)?)
                }
                None => (digits(&time[at + 1..], 2)?, 0),
            };
            let seconds = hours * 3600 + minutes * 60;
            (&time[..at], if time.as_bytes()[at] == b'-' { -seconds } else { seconds })
        }
    };
    let mut parts = time.splitn(3, ':');
    let (hours, minutes) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let seconds = number(parts.next().unwrap_or("0")).filter(|&seconds| seconds >= 0)?;
    if hours > 24 || minutes > 59 || seconds >= 61 * 10i128.pow(DIGITS) {
        return None;
    }
    let whole = days(year, month, day) * 86_400 + hours * 3600 + minutes * 60 - offset;
    Some(i128::from(whole) * 10i128.pow(DIGITS) + seconds)
}

fn digits(text: &str, length: usize) -> Option<i64> {
    let right = text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    right.then(|| text.parse().ok()).flatten()
}

/// Days from the beginning of 1970 in the Gregorian calendar. Years begin in March, so that the leap day is
/// the last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468
}

/// Units since 1970 as a date in UTC.
fn shown_date(units: i128) -> String {
    let unit = 10i128.pow(DIGITS);
    let (seconds, rest) = (units.div_euclid(unit), units.rem_euclid(unit));
    let (day, second) = (seconds.div_euclid(86_400) as i64, seconds.rem_euclid(86_400));
    let (year, month, day) = civil(day);
    let fraction = format!("{rest:09}");
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{point}{fraction}Z")
}

/// The year, the month and the day of a number of [`days`].
fn civil(number: i64) -> (i64, i64, i64) {
    let number = number + 719_468;
    // 400 years have 146,097 days.
    let (era, day) = (number.div_euclid(146_097), number.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = year + era * 400;
    if month < 10 { (year, month + 3, day) } else { (year + 1, month - 9, day) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_count_from_1970_whatever_their_zone() {
        let second = 10i128.pow(DIGITS);
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T00:00:00Z", 951_782_400),
            ("2024-01-01T00:00:00.000Z", 1_704_067_200),
            ("2024-01-01T01:00:00+01:00", 1_704_067_200),
            ("2023-12-31 19:30:00-0430", 1_704_067_200),
            ("2024-03-01T00:00:00", 1_709_251_200),
            ("1969-12-31T23:59:59Z", -1),
        ] {
            assert_eq!(date(text), Some(expected * second), "{text}");
        }
        assert_eq!(date("2024-01-01T00:00:01.5Z"), Some(1_704_067_201 * second + second / 2));
        for text in
            ["2024-13-01T00:00:00Z", "2024-01-01", "T", "2024-01-01T25:00:00Z", "24-01-01T00:00:00Z", "é-ü"]
        {
            assert_eq!(date(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_keep_nine_digits_of_their_fraction() {
        for (text, expected) in [
            ("1", 1_000_000_000),
            ("1.5", 1_500_000_000),
            ("-1.5", -1_500_000_000),
            ("1.7e3", 1_700_000_000_000),
            ("12e-1", 1_200_000_000),
            ("0.0000000019", 1),
            ("1e-20", 0),
        ] {
            assert_eq!(number(text), Some(expected), "{text}");
        }
        for text in ["", "-", ".5", "1e99", "x", "1_0", "NaN"] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn scaling_keeps_the_order_and_loses_digits_rather_than_times() {
        let moments = |texts: &[&str]| -> Vec<Moment> {
            texts.iter().map(|text| Moment::parse(text).expect("a time")).collect()
        };
        let times = |texts| scaled(&moments(texts)).map(|(times, _)| times);
        assert_eq!(times(&["-1", "0.5"]), Some(vec![0, 1_500_000_000]));
        assert_eq!(times(&["1700000000123.25"]), Some(vec![17_000_000_001_232_500_000]));
        assert_eq!(times(&["1e25"]), None);
    }

    #[test]
    fn times_are_shown_as_they_were_written() {
        for (text, digits, shown) in [
            ("-1.5", 0, "-1.5"),
            ("2", 0, "2"),
            ("1700000000123.25", 3, "1700000000.12325"),
            ("-0.25", 3, "-0.00025"),
            ("2024-02-29T23:59:59.25Z", 9, "2024-02-29T23:59:59.25Z"),
            ("1969-12-31T23:59:59Z", 0, "1969-12-31T23:59:59Z"),
            ("2100-03-01 01:00:00+01:00", 0, "2100-03-01T00:00:00Z"),
            ("0004-02-29T00:00:00Z", 0, "0004-02-29T00:00:00Z"),
        ] {
            let (times, scale) = scaled(&[Moment::parse(text).expect("a time")]).expect("one time");
            assert_eq!(scale.show(times[0], digits), shown, "{text}");
        }
        for day in -800_000..800_000 {
            let (year, month, of_month) = civil(day);
            assert_eq!(days(year, month, of_month), day);
        }
        assert_eq!(Times::default().show(5, 9), "0.000000005");
        assert_eq!(Times::default().later(1).show(6, 0), "5");
    }
}
