use crate::limits;

/// Microseconds in one hour.
pub const HOUR_US: i64 = 3_600_000_000;

/// Why a number is no instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    #[error("time {0} is outside the years 0001 to 9999")]
    Range(i64),
    #[error("time is not a finite number")]
    NotFinite,
}

/// First and last instant that every reader can print: the years 0001 to 9999.
pub const MIN_US: i64 = -62_135_596_800_000_000;
pub const MAX_US: i64 = 253_402_300_799_999_999;

/// An instant: microseconds since 1970 in UTC, and the nanoseconds (0–999) below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant {
    pub us: i64,
    pub ns: i16,
}

/// Reads a client's epoch number, its unit judged by magnitude: below 1e10 seconds, below 1e13
/// milliseconds, below 1e16 microseconds, else nanoseconds, by absolute value. Nanoseconds below
/// the microsecond are cut towards the past, as every MessagePack client expects.
#[inline]
pub fn by_magnitude(value: i64) -> Result<i64, TimeError> {
    let us = match value.unsigned_abs() {
        0..10_000_000_000 => value * 1_000_000,
        10_000_000_000..10_000_000_000_000 => value * 1_000,
        10_000_000_000_000..10_000_000_000_000_000 => value,
        _ => value.div_euclid(1_000),
    };
    check(us)
}

/// As [`by_magnitude`] for a float; fractions of the unit are kept to the microsecond.
pub fn float_by_magnitude(value: f64) -> Result<i64, TimeError> {
    if !value.is_finite() {
        return Err(TimeError::NotFinite);
    }
    let us = match value.abs() {
        a if a < 1e10 => value * 1e6,
        a if a < 1e13 => value * 1e3,
        a if a < 1e16 => value,
        _ => value / 1e3,
    };
    check(us.round() as i64)
}

/// `us`, if it lies in the years 0001 to 9999.
#[inline]
pub fn check(us: i64) -> Result<i64, TimeError> {
    if (MIN_US..=MAX_US).contains(&us) { Ok(us) } else { Err(TimeError::Range(us)) }
}

/// Microseconds of a duration: `90s`, Go's `1h30m`, `1d`, ISO 8601's `PT5M` and `P1DT12H`, words like
/// `5 minutes`. Months and years have no fixed length and are none.
pub fn parse_duration(text: &str) -> Option<i64> {
    let lower = text.trim().to_ascii_lowercase();
    let mut rest = lower.as_str();
    if let Some(iso) = rest.strip_prefix('p') {
        let (days, time) = iso.split_once('t').unwrap_or((iso, ""));
        if days.contains('m') || days.is_empty() && time.is_empty() {
            return None; // months
        }
        let date = if days.is_empty() { 0 } else { parse_duration(days)? };
        let clock = if time.is_empty() { 0 } else { parse_duration(time)? };
        return date.checked_add(clock).filter(|us| *us > 0);
    }
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|n| *n > 0)?;
        let (number, after) = rest.split_at(digits);
        let after = after.trim_start();
        let letters = after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let unit_us: i64 = match unit {
            "us" | "µs" => 1,
            "ms" | "millisecond" | "milliseconds" => 1_000,
            "s" | "sec" | "secs" | "second" | "seconds" => 1_000_000,
            "m" | "min" | "mins" | "minute" | "minutes" => 60_000_000,
            "h" | "hr" | "hrs" | "hour" | "hours" => HOUR_US,
            "d" | "day" | "days" => 24 * HOUR_US,
            "w" | "week" | "weeks" => 168 * HOUR_US,
            _ => return None,
        };
        let us = match number.parse::<i64>() {
            Ok(whole) => whole.checked_mul(unit_us)?,
            Err(_) => {
                let us = (number.parse::<f64>().ok()? * unit_us as f64).round();
                (us < i64::MAX as f64).then_some(us as i64)?
            }
        };
        total = total.checked_add(us)?;
        rest = after.trim_start();
    }
    Some(total).filter(|us| *us > 0)
}

/// The unit of line-protocol timestamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// By the magnitude of each value, as [`by_magnitude`].
    Auto,
    Nanosecond,
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
}

impl Precision {
    /// Parses every spelling that the v1, v2 and v3 clients send.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "auto" => Precision::Auto,
            "n" | "ns" | "nanosecond" => Precision::Nanosecond,
            "u" | "us" | "µ" | "µs" | "microsecond" => Precision::Microsecond,
            "ms" | "millisecond" => Precision::Millisecond,
            "s" | "second" => Precision::Second,
            "m" | "minute" => Precision::Minute,
            "h" | "hour" => Precision::Hour,
            _ => return None,
        })
    }

    /// Microseconds of the unit; one where it is shorter, or not known.
    pub const fn unit_us(self) -> i64 {
        match self {
            Precision::Auto | Precision::Nanosecond | Precision::Microsecond => 1,
            Precision::Millisecond => 1_000,
            Precision::Second => 1_000_000,
            Precision::Minute => 60_000_000,
            Precision::Hour => HOUR_US,
        }
    }

    /// The last instant of this unit at or before one; both in UTC microseconds.
    pub fn floor(self, us: i64) -> i64 {
        us - us.rem_euclid(self.unit_us())
    }

    /// The instant that `value` names in this unit.
    #[inline]
    pub fn instant(self, value: i64) -> Result<Instant, TimeError> {
        let (us, ns) = match self {
            Precision::Auto if value.unsigned_abs() < 10_000_000_000_000_000 => (by_magnitude(value)?, 0),
            Precision::Auto | Precision::Nanosecond => (value.div_euclid(1_000), value.rem_euclid(1_000) as i16),
            _ => (value.checked_mul(self.unit_us()).ok_or(TimeError::Range(value))?, 0),
        };
        Ok(Instant { us: check(us)?, ns })
    }
}

const _: () = assert!(limits::ITEM_NAME_BYTES < u16::MAX as usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_judged_by_the_magnitude_of_the_absolute_value() {
        let cases = [
            (0, 0),
            (1_700_000_000, 1_700_000_000_000_000),
            (9_999_999_999, 9_999_999_999_000_000),
            (10_000_000_000, 10_000_000_000_000),
            (1_700_000_000_123, 1_700_000_000_123_000),
            (9_999_999_999_999, 9_999_999_999_999_000),
            (10_000_000_000_000, 10_000_000_000_000),
            (1_700_000_000_123_456, 1_700_000_000_123_456),
            (1_700_000_000_123_456_789, 1_700_000_000_123_456),
            (-1_700_000_000_123, -1_700_000_000_123_000),
            (-86_400, -86_400_000_000),
            (-1_700_000_000_123_456_789, -1_700_000_000_123_457),
        ];
        for (given, us) in cases {
            assert_eq!(by_magnitude(given), Ok(us), "{given}");
        }
        assert_eq!(by_magnitude(i64::MIN), Ok(i64::MIN.div_euclid(1000)));
    }

    #[test]
    fn k5_every_spelling_of_a_duration_is_read() {
        const S: i64 = 1_000_000;
        for (text, us) in [
            ("10s", 10 * S),
            ("1h30m", 5_400 * S),
            ("1d", 86_400 * S),
            ("1.5h", 5_400 * S),
            ("500ms", S / 2),
            ("5 minutes", 300 * S),
            ("1 hour 5 min", 3_900 * S),
            ("PT5M", 300 * S),
            ("P1DT12H", 129_600 * S),
            ("2 weeks", 1_209_600 * S),
        ] {
            assert_eq!(parse_duration(text), Some(us), "{text}");
        }
        for text in ["", "5", "m5", "1mo", "-5m", "0s", "5 parsecs", "P1M", "P", "PT", "9999999999999999999d", "1..5h"]
        {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn a_float_keeps_its_fraction_to_the_microsecond() {
        assert_eq!(float_by_magnitude(1_700_000_000.25), Ok(1_700_000_000_250_000));
        assert_eq!(float_by_magnitude(1_700_000_000_000.5), Ok(1_700_000_000_000_500));
        assert_eq!(float_by_magnitude(f64::NAN), Err(TimeError::NotFinite));
    }

    #[test]
    fn nanoseconds_below_zero_are_split_towards_the_past() {
        let instant = Precision::Nanosecond.instant(-1).unwrap();
        assert_eq!(instant, Instant { us: -1, ns: 999 });
        assert!(Precision::Hour.instant(i64::MAX).is_err());
    }
}
