use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, TimeZone, Utc};
use model::Code;

use crate::error::ApiError;

/// An instant in UTC microseconds as answers show it, in milliseconds.
pub fn rfc3339(us: i64) -> String {
    Utc.timestamp_micros(us).single().unwrap_or_default().to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// UTC microseconds of an RFC 3339 text; without a zone it is UTC, a date alone its midnight.
///
/// # Errors
/// The text is no time; the error names `field`.
pub fn parse(field: &str, text: &str) -> Result<i64, ApiError> {
    let trimmed = text.trim();
    let zoned = DateTime::parse_from_rfc3339(trimmed).map(|t| t.timestamp_micros());
    let local = || {
        ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"]
            .iter()
            .find_map(|format| NaiveDateTime::parse_from_str(trimmed, format).ok())
            .or_else(|| NaiveDate::parse_from_str(trimmed, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0))
            .map(|t| t.and_utc().timestamp_micros())
    };
    zoned.or_else(|error| local().ok_or(error)).map_err(|error| {
        let message = format!("{field} = {text:?} is no RFC 3339 time such as 2026-01-31T12:00:00Z: {error}");
        ApiError::new(Code::InvalidParameter, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_without_a_zone_is_utc() {
        for text in ["2026-01-31T12:00:00Z", "2026-01-31T13:00:00+01:00", "2026-01-31T12:00:00", "2026-01-31 12:00"] {
            assert_eq!(rfc3339(parse("t", text).unwrap()), "2026-01-31T12:00:00.000Z", "{text}");
        }
        assert_eq!(rfc3339(parse("t", "2026-01-31").unwrap()), "2026-01-31T00:00:00.000Z");
        for text in ["", "yesterday", "2026-13-01T00:00:00Z", "12:00"] {
            assert!(parse("t", text).unwrap_err().message.contains("t = "), "{text}");
        }
    }
}
