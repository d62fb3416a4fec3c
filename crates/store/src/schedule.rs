//! When recurring work is due: each so often, or at the instants of a cron expression in a time zone.

use std::str::FromStr;

use chrono::{Datelike, NaiveDate, TimeZone, Utc};
use chrono_tz::Tz;
use croner::{Cron, Weekday};
use model::time::parse_duration;

use crate::error::{Error, Result};

/// Work is not repeated more often (microseconds).
const LEAST_US: i64 = 10_000_000;
/// The most that a start is put off by chance: a day, in seconds.
const MOST_JITTER_S: i64 = 86_400;

/// When work is due.
#[derive(Debug, Clone)]
pub struct Schedule {
    when: When,
    jitter_us: i64,
}

#[derive(Debug, Clone)]
enum When {
    /// Microseconds from one start to the next.
    Every(i64),
    Cron(Box<Cron>, Tz),
}

/// Years in which cron expressions are due.
const YEARS: &str = "1970-2199";
/// The last 28 of those years: every kind of year, by leap day and first weekday.
const EVERY_KIND_OF_YEAR: std::ops::RangeInclusive<i32> = 2172..=2199;

impl Schedule {
    /// So many microseconds from one start to the next.
    pub fn every(us: i64) -> Self {
        Self { when: When::Every(us), jitter_us: 0 }
    }

    /// Reads an interval (`6h`, `1d`, `PT30M`) or a cron expression of five or six fields (`0 3 * * *`,
    /// seconds first where there are six) or a nickname (`@daily`). A cron expression goes by the clocks of
    /// `zone`, a name of the IANA database.
    ///
    /// # Errors
    /// What is wrong, and what would be right.
    pub fn parse(text: &str, zone: &str, jitter_s: i64) -> Result<Self> {
        let refuse = |text: String| Err(Error::Parameter(text));
        if !(0..=MOST_JITTER_S).contains(&jitter_s) {
            return refuse(format!("jitter_seconds is {jitter_s}; it must be 0 to {MOST_JITTER_S}"));
        }
        let Ok(zone) = Tz::from_str(zone) else {
            return refuse(format!("timezone {zone:?} is unknown; use a name such as UTC or Europe/Berlin"));
        };
        let text = text.trim();
        let fields = text.split_whitespace().count();
        let when = match text.starts_with('@') || (5..=6).contains(&fields) {
            true => match Cron::from_str(&within_years(text)) {
                Ok(cron) => When::Cron(Box::new(cron), zone),
                Err(error) => return refuse(format!("schedule {text:?} is no cron expression: {error}")),
            },
            false => match parse_duration(text) {
                Some(us) if us >= LEAST_US => When::Every(us),
                Some(_) => return refuse(format!("schedule {text:?} is shorter than 10 seconds")),
                None => {
                    return refuse(format!(
                        "schedule {text:?} is neither an interval such as 6h nor a cron expression such as 0 3 * * *"
                    ));
                }
            },
        };
        match &when {
            When::Cron(cron, _) if !is_ever_due(cron) => refuse(format!("schedule {text:?} is never due")),
            _ => Ok(Self { when, jitter_us: jitter_s * 1_000_000 }),
        }
    }

    /// The first due instant after `after_us`, both UTC microseconds; `None` when there is none. `seed` says
    /// whose jitter it is: the same work is put off by the same time whenever it is asked.
    pub fn next_us(&self, after_us: i64, seed: u64) -> Option<i64> {
        let due_us = match &self.when {
            When::Every(us) => after_us.saturating_add(*us),
            When::Cron(cron, zone) => {
                let after = Utc.timestamp_micros(after_us).single()?.with_timezone(zone);
                cron.find_next_occurrence(&after, false).ok()?.timestamp_micros()
            }
        };
        let jitter_us = match self.jitter_us {
            0 => 0,
            most => (scattered(seed ^ due_us as u64) % most as u64) as i64,
        };
        Some(due_us.saturating_add(jitter_us))
    }
}

/// A cron expression of five or six fields with seconds and years: a day that never comes, such as 31 February, is looked
/// for in these years and not in the next three thousand. Anything else is left for the parser to refuse or know.
fn within_years(text: &str) -> String {
    match text.split_whitespace().count() {
        5 => format!("0 {text} {YEARS}"),
        6 => format!("{text} {YEARS}"),
        _ => text.to_owned(),
    }
}

/// Whether there is a day for it, and a time on that day: asked of the pattern, since a search for the next one that never
/// comes walks all years second by second.
fn is_ever_due(cron: &Cron) -> bool {
    let pattern = &cron.pattern;
    let is_day = |day: NaiveDate| {
        let weekday = Weekday::from_days_from_sunday(day.weekday().num_days_from_sunday());
        pattern.month_match(day.month()).is_ok_and(|is| is)
            && pattern.day_match(day.year(), day.month(), day.day(), weekday).is_ok_and(|is| is)
    };
    let mut days = EVERY_KIND_OF_YEAR
        .filter_map(|year| NaiveDate::from_ymd_opt(year, 1, 1))
        .flat_map(|first| first.iter_days().take_while(move |day| day.year() == first.year()));
    (0..24).any(|hour| pattern.hour_match(hour).is_ok_and(|is| is))
        && (0..60).any(|minute| pattern.minute_match(minute).is_ok_and(|is| is))
        && (0..60).any(|second| pattern.second_match(second).is_ok_and(|is| is))
        && days.any(is_day)
}

/// A number that looks like chance: the finaliser of SplitMix64 (Steele, Lea, Flood 2014).
fn scattered(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<chrono::DateTime<Utc>>().unwrap().timestamp_micros()
    }

    #[test]
    fn w8_a_schedule_is_an_interval_or_a_cron_expression_in_its_zone() {
        for (text, zone, after, wanted) in [
            ("6h", "UTC", "2026-01-01T01:00:00Z", "2026-01-01T07:00:00Z"),
            ("1d", "UTC", "2026-01-01T01:00:00Z", "2026-01-02T01:00:00Z"),
            ("0 3 * * *", "UTC", "2026-01-01T01:00:00Z", "2026-01-01T03:00:00Z"),
            ("0 3 * * *", "UTC", "2026-01-01T03:00:00Z", "2026-01-02T03:00:00Z"),
            ("*/15 * * * * *", "UTC", "2026-01-01T00:00:01Z", "2026-01-01T00:00:15Z"),
            ("@daily", "UTC", "2026-01-01T01:00:00Z", "2026-01-02T00:00:00Z"),
            ("0 0 1 * *", "UTC", "2026-01-31T01:00:00Z", "2026-02-01T00:00:00Z"),
            ("0 3 * * *", "Europe/Berlin", "2026-01-01T12:00:00Z", "2026-01-02T02:00:00Z"),
            ("0 3 * * *", "Europe/Berlin", "2026-07-01T12:00:00Z", "2026-07-02T01:00:00Z"),
            // the night on which clocks go forward has its three o'clock
            ("0 3 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"),
        ] {
            let schedule = Schedule::parse(text, zone, 0).unwrap();
            assert_eq!(schedule.next_us(at(after), 1), Some(at(wanted)), "{text} {zone} after {after}");
        }
    }

    #[test]
    fn days_that_never_come_are_refused() {
        for text in [
            "0 0 31 2 *",
            "0 0 30 2 *",
            "0 0 31 2,4,6,9,11 *",
            ",0 3 * 0 0-6",
            "0 0 31 2 * *",
            "0 0 0 1 1 * 2030",
            // a day that is no weekday
            "0 0 03 2 +",
        ] {
            assert!(Schedule::parse(text, "UTC", 0).is_err(), "{text}");
        }
        for weekday in 0..7 {
            assert!(
                Schedule::parse(&format!("0 0 29 2 +{weekday}"), "UTC", 0).is_ok(),
                "29 February, weekday {weekday}"
            );
            for new_year in ["0 0 1 1", "0 0 31 12"] {
                assert!(Schedule::parse(&format!("{new_year} +{weekday}"), "UTC", 0).is_ok(), "{new_year} {weekday}");
            }
        }
        let leap = Schedule::parse("0 0 29 2 *", "UTC", 0).unwrap();
        assert_eq!(leap.next_us(at("2096-03-01T00:00:00Z"), 1), Some(at("2104-02-29T00:00:00Z")));
    }

    #[test]
    fn jitter_spreads_what_is_due_at_once_and_is_the_same_whenever_asked() {
        let schedule = Schedule::parse("0 3 * * *", "UTC", 600).unwrap();
        let (after, due) = (at("2026-01-01T01:00:00Z"), at("2026-01-01T03:00:00Z"));
        let starts: std::collections::BTreeSet<i64> =
            (0..50).filter_map(|seed| schedule.next_us(after, seed)).collect();
        assert!(starts.len() > 40 && starts.iter().all(|t| (due..due + 600_000_000).contains(t)), "{starts:?}");
        assert_eq!(schedule.next_us(after, 7), schedule.next_us(after + 1, 7));
    }

    #[test]
    fn what_is_no_schedule_says_what_would_be_one() {
        for (text, zone, jitter, says) in [
            ("often", "UTC", 0, "6h"),
            ("5s", "UTC", 0, "10 seconds"),
            ("0 25 * * *", "UTC", 0, "cron"),
            ("0 0 31 2 *", "UTC", 0, "never"),
            ("1h", "Mars/Olympus", 0, "Europe/Berlin"),
            ("1h", "UTC", -1, "jitter_seconds"),
            ("1h", "UTC", 86_401, "jitter_seconds"),
        ] {
            let error = Schedule::parse(text, zone, jitter).unwrap_err().to_string();
            assert!(error.contains(says), "{text} {zone} {jitter}: {error}");
        }
    }
}
