//! Files to batches, a piece at a time: what a file holds is never in memory as a whole.
//!
//! Each format is an iterator of pieces. The first row that cannot be read ends it: an import is all or nothing.

use std::borrow::Cow;

use chrono::{NaiveDate, NaiveDateTime};
use model::time::{self, Precision, TimeError};

/// Comma-separated values.
pub mod csv;
/// Line protocol.
pub mod lines;
/// Apache Parquet.
pub mod parquet;

/// Rows of one piece at most.
const PIECE_ROWS: usize = 65_536;
/// Bytes of a file that one piece is made of, about; one row may be longer.
const PIECE_BYTES: usize = 8 << 20;

/// Why a file cannot be imported: where, and what is wrong there.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("line {line}, column {column:?}: {value:?} {reason}")]
    Cell { line: u64, column: String, value: String, reason: Cow<'static, str> },
    #[error("line {line}: {reason}")]
    Line { line: u64, reason: String },
    #[error("{0}")]
    File(String),
    #[error("the file cannot be read: {0}")]
    Io(#[from] std::io::Error),
}

fn cell(line: u64, column: &str, value: &str, reason: impl Into<Cow<'static, str>>) -> ImportError {
    let value = value.chars().take(100).collect();
    ImportError::Cell { line, column: column.to_owned(), value, reason: reason.into() }
}

/// How a column of times is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeFormat {
    /// A number by its magnitude, else as RFC 3339, `YYYY-MM-DD HH:MM:SS[.f]` or `YYYY-MM-DD`, in UTC.
    Auto,
    /// A number of this unit since 1970.
    Epoch(Precision),
}

impl TimeFormat {
    /// Arc's names: empty, `epoch_s`, `epoch_ms`, `epoch_us`, `epoch_ns`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "" | "auto" => Some(TimeFormat::Auto),
            _ => Precision::parse(text.strip_prefix("epoch_")?).map(TimeFormat::Epoch),
        }
    }

    /// UTC microseconds of a number; what lies below is cut.
    fn of_number(self, value: i64) -> Result<i64, TimeError> {
        match self {
            TimeFormat::Auto => time::by_magnitude(value),
            TimeFormat::Epoch(unit) => unit.instant(value).map(|at| at.us),
        }
    }

    /// UTC microseconds of a text.
    fn of_text(self, text: &str) -> Result<i64, Cow<'static, str>> {
        let out_of_range = |e: TimeError| Cow::from(e.to_string());
        if let Ok(number) = text.parse::<i64>() {
            return self.of_number(number).map_err(out_of_range);
        }
        if let TimeFormat::Epoch(unit) = self {
            let number: f64 = text.parse().map_err(|_| Cow::from("is no number; leave time_format out for texts"))?;
            let us = match unit {
                Precision::Nanosecond => number * 1e-3,
                other => number * other.unit_us() as f64,
            };
            return if us.is_finite() { time::check(us.round() as i64) } else { Err(TimeError::NotFinite) }
                .map_err(out_of_range);
        }
        if let Ok(number) = text.parse::<f64>() {
            return time::float_by_magnitude(number).map_err(out_of_range);
        }
        let at = written(text).ok_or("is no time; write RFC 3339, YYYY-MM-DD HH:MM:SS, or a number since 1970")?;
        time::check(at).map_err(out_of_range)
    }
}

/// UTC microseconds of a date or a time of day on one.
fn written(text: &str) -> Option<i64> {
    if let Ok(at) = chrono::DateTime::parse_from_rfc3339(text) {
        return Some(at.timestamp_micros());
    }
    let plain = text.strip_suffix('Z').unwrap_or(text);
    for format in ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"] {
        if let Ok(at) = NaiveDateTime::parse_from_str(plain, format) {
            return Some(at.and_utc().timestamp_micros());
        }
    }
    let day = NaiveDate::parse_from_str(plain, "%Y-%m-%d").ok()?;
    Some(day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_micros())
}
