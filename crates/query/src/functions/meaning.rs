//! What DuckDB means by casts, comparisons of intervals and zones of time, where the engine means something else.

use std::sync::Arc;

use chrono::{Offset, TimeZone};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray, TimestampMicrosecondArray};
use datafusion::arrow::compute::cast as cast_array;
use datafusion::arrow::datatypes::{
    DataType, DurationMicrosecondType, Float32Type, Float64Type, IntervalMonthDayNano, IntervalMonthDayNanoType,
    IntervalUnit, TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::{ScalarValue, exec_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::time::{naive, timestamp};

pub fn all() -> Vec<ScalarUDF> {
    vec![
        super::udf(Meant::new(Meaning::Rounded)),
        super::udf(Meant::new(Meaning::Text)),
        super::udf(Meant::new(Meaning::Size)),
        super::udf(AtTimeZone::new()),
        super::udf(Len::new()),
    ]
}

/// What some types mean in DuckDB otherwise than in the engine; other types stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Meaning {
    /// A float that is cast to an integer: the nearest whole number, of two the even one.
    Rounded,
    /// A float or an interval as text.
    Text,
    /// The size of an interval in microseconds, for comparisons: a month has 30 days, a day 24 hours.
    Size,
}

impl Meaning {
    fn matters(self, ty: &DataType) -> bool {
        let is_span = matches!(ty, DataType::Interval(_) | DataType::Duration(_));
        match self {
            Meaning::Rounded => ty.is_floating(),
            Meaning::Text => ty.is_floating() || is_span,
            Meaning::Size => is_span,
        }
    }

    /// The type of what it makes.
    fn ty(self) -> DataType {
        match self {
            Meaning::Rounded => DataType::Float64,
            Meaning::Text => DataType::Utf8,
            Meaning::Size => DataType::Int64,
        }
    }

    /// Of values of a type that matters.
    fn of(self, values: &ArrayRef) -> Result<ArrayRef> {
        Ok(match self {
            Meaning::Rounded => {
                let values = cast_array(values, &DataType::Float64)?;
                let round = f64::round_ties_even;
                Arc::new(values.as_primitive::<Float64Type>().unary::<_, Float64Type>(round))
            }
            Meaning::Text => Arc::new(texts(values)?),
            Meaning::Size => {
                let spans = spans(values)?;
                let sizes: Int64Array = spans.as_primitive::<IntervalMonthDayNanoType>().unary(|span| {
                    let days = i64::from(span.months) * 30 + i64::from(span.days);
                    days.saturating_mul(86_400_000_000).saturating_add(span.nanoseconds / 1_000)
                });
                Arc::new(sizes)
            }
        })
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Meant {
    meaning: Meaning,
    signature: Signature,
}

impl Meant {
    fn new(meaning: Meaning) -> Self {
        Self { meaning, signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Meant {
    fn name(&self) -> &str {
        match self.meaning {
            Meaning::Rounded => "tw_rounded",
            Meaning::Text => "tw_text",
            Meaning::Size => "tw_interval_size",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(if self.meaning.matters(&types[0]) { self.meaning.ty() } else { types[0].clone() })
    }

    /// The argument itself where its type does not matter.
    fn simplify(&self, mut args: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        match self.meaning.matters(&context.get_data_type(&args[0])?) {
            true => Ok(ExprSimplifyResult::Original(args)),
            false => Ok(ExprSimplifyResult::Simplified(args.remove(0))),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let values = args.args[0].to_array(args.number_rows)?;
        Ok(ColumnarValue::Array(match self.meaning.matters(values.data_type()) {
            true => self.meaning.of(&values)?,
            false => values,
        }))
    }
}

/// Floats or intervals as DuckDB writes them.
fn texts(values: &ArrayRef) -> Result<StringArray> {
    Ok(match values.data_type() {
        DataType::Float32 => {
            let values = values.as_primitive::<Float32Type>();
            values.iter().map(|v| v.map(|v| float_text(&v.to_string(), f64::from(v)))).collect()
        }
        ty if ty.is_floating() => {
            let values = cast_array(values, &DataType::Float64)?;
            values.as_primitive::<Float64Type>().iter().map(|v| v.map(|v| float_text(&v.to_string(), v))).collect()
        }
        _ => spans(values)?.as_primitive::<IntervalMonthDayNanoType>().iter().map(|v| v.map(span_text)).collect(),
    })
}

/// The shortest digits that read back as the value, with an exponent below 1e-4 and from 1e16 on.
fn float_text(plain: &str, value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let size = value.abs();
    if size == 0.0 || (1e-4..1e16).contains(&size) {
        return if plain.contains('.') { plain.to_owned() } else { format!("{plain}.0") };
    }
    let (sign, digits) = plain.strip_prefix('-').map_or(("", plain), |d| ("-", d));
    let point = digits.find('.').unwrap_or(digits.len());
    let all: String = digits.chars().filter(char::is_ascii_digit).collect();
    let leading = all.find(|c| c != '0').unwrap_or(0);
    let exponent = point as i64 - leading as i64 - 1;
    let significant = all[leading..].trim_end_matches('0');
    let (first, rest) = significant.split_at(1);
    let fraction = if rest.is_empty() { String::new() } else { format!(".{rest}") };
    format!("{sign}{first}{fraction}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

/// `1 year 2 months 3 days 04:05:06.789`.
fn span_text(span: IntervalMonthDayNano) -> String {
    let mut parts = Vec::new();
    for (value, unit) in [(span.months / 12, "year"), (span.months % 12, "month"), (span.days, "day")] {
        if value != 0 {
            parts.push(format!("{value} {unit}{}", if value.unsigned_abs() == 1 { "" } else { "s" }));
        }
    }
    if span.nanoseconds != 0 || parts.is_empty() {
        let us = span.nanoseconds.unsigned_abs() / 1_000;
        let (seconds, us) = (us / 1_000_000, us % 1_000_000);
        let sign = if span.nanoseconds < 0 { "-" } else { "" };
        let mut text = format!("{sign}{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
        if us > 0 {
            text += format!(".{us:06}").trim_end_matches('0');
        }
        parts.push(text);
    }
    parts.join(" ")
}

/// Intervals of every kind as months, days and nanoseconds.
fn spans(values: &ArrayRef) -> Result<ArrayRef> {
    match values.data_type() {
        DataType::Duration(_) => {
            let us = cast_array(values, &DataType::Duration(TimeUnit::Microsecond))?;
            let us = us.as_primitive::<DurationMicrosecondType>();
            // DuckDB's differences of times are days and a time of day
            const DAY_US: i64 = 86_400_000_000;
            let spans = us.unary::<_, IntervalMonthDayNanoType>(|us| {
                let (days, rest) = (us / DAY_US, us % DAY_US);
                IntervalMonthDayNano::new(0, days as i32, rest * 1_000)
            });
            Ok(Arc::new(spans))
        }
        _ => Ok(cast_array(values, &DataType::Interval(IntervalUnit::MonthDayNano))?),
    }
}

/// `time AT TIME ZONE zone`: of an instant the clock on the wall there, of a clock on the wall the instant.
#[derive(Debug, PartialEq, Eq, Hash)]
struct AtTimeZone {
    signature: Signature,
}

impl AtTimeZone {
    fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for AtTimeZone {
    fn name(&self) -> &str {
        "tw_at_time_zone"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let time = match types.first() {
            Some(DataType::Timestamp(_, Some(_))) => timestamp(),
            Some(DataType::Timestamp(_, None) | DataType::Date32 | DataType::Utf8 | DataType::Utf8View) => naive(),
            _ => return plan_err!("AT TIME ZONE takes a time and the name of a zone"),
        };
        Ok(vec![time, DataType::Utf8])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(match &types[0] {
            DataType::Timestamp(_, Some(_)) => naive(),
            _ => timestamp(),
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let ColumnarValue::Scalar(ScalarValue::Utf8(Some(zone))) = &args.args[1] else {
            return exec_err!("the zone of AT TIME ZONE is a constant, like 'Europe/Berlin'");
        };
        let Ok(zone) = zone.parse::<chrono_tz::Tz>() else {
            return exec_err!("there is no time zone {zone:?}; use names like 'Europe/Berlin' or 'UTC'");
        };
        let times = args.args[0].to_array(args.number_rows)?;
        let us = times.as_primitive::<TimestampMicrosecondType>();
        let offset = |at: chrono::DateTime<chrono::Utc>| {
            i64::from(zone.from_utc_datetime(&at.naive_utc()).offset().fix().local_minus_utc())
        };
        let converted: TimestampMicrosecondArray = match times.data_type() {
            DataType::Timestamp(_, Some(_)) => us.unary_opt(|us| {
                let at = chrono::DateTime::from_timestamp_micros(us)?;
                us.checked_add(offset(at) * 1_000_000)
            }),
            _ => us.unary_opt(|us| {
                let wall = chrono::DateTime::from_timestamp_micros(us)?.naive_utc();
                match zone.from_local_datetime(&wall) {
                    // of an hour that comes twice the first
                    chrono::LocalResult::Single(at) | chrono::LocalResult::Ambiguous(at, _) => {
                        Some(at.timestamp_micros())
                    }
                    // an hour that is left out: as if clocks had not gone forward yet
                    chrono::LocalResult::None => {
                        let before = chrono::DateTime::from_timestamp_micros(us - 86_400_000_000)?;
                        us.checked_sub(offset(before) * 1_000_000)
                    }
                }
            }),
        };
        let converted = match times.data_type() {
            DataType::Timestamp(_, Some(_)) => converted,
            _ => converted.with_timezone("UTC"),
        };
        Ok(ColumnarValue::Array(Arc::new(converted)))
    }
}

/// `len`, `length`: characters of a text, values of a list.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Len {
    signature: Signature,
}

impl Len {
    fn new() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Len {
    fn name(&self) -> &str {
        "tw_length"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let values = args.args[0].to_array(args.number_rows)?;
        let lengths: ArrayRef = match values.data_type() {
            DataType::List(_) => {
                let lists = values.as_list::<i32>();
                Arc::new(
                    (0..lists.len())
                        .map(|i| lists.is_valid(i).then(|| i64::from(lists.value_length(i))))
                        .collect::<Int64Array>(),
                )
            }
            DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Null | DataType::Dictionary(..) => {
                let texts = cast_array(&values, &DataType::Utf8View)?;
                let characters = |t: Option<&str>| t.map(|t| t.chars().count() as i64);
                Arc::new(texts.as_string_view().iter().map(characters).collect::<Int64Array>())
            }
            other => return plan_err!("length of {other} is not defined"),
        };
        Ok(ColumnarValue::Array(cast_array(&lengths, &DataType::Int64)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_duckdb_writes_them() {
        for (value, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1e308, "1e+308"),
            (5e-324, "5e-324"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (-1.5e-7, "-1.5e-07"),
            (123_456_789_012_345_680.0, "1.2345678901234568e+17"),
            (f64::NAN, "nan"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(float_text(&value.to_string(), value), text);
        }
    }
}
