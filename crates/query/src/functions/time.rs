//! Time functions on UTC microseconds by integer arithmetic: the engine's own go through a calendar
//! and a time zone for every row, which is most of a dashboard's query.

use std::sync::Arc;

use chrono::{DateTime, Datelike, NaiveDate, TimeZone, Utc};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, TimestampMicrosecondArray};
use datafusion::arrow::datatypes::{
    DataType, Float64Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::{ScalarValue, exec_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use crate::syntax::GAPFILL;

pub(super) const SECOND: i64 = 1_000_000;
pub(super) const DAY: i64 = 86_400 * SECOND;
/// 2000-01-03, a Monday: DuckDB's origin for buckets narrower than a month.
pub(super) const BUCKET_ORIGIN: i64 = 946_857_600 * SECOND;

pub fn all() -> Vec<ScalarUDF> {
    let mut all = vec![super::udf(DateTrunc::new()), super::udf(DatePart::new()), super::udf(TimeBucket::new())];
    all.push(super::udf(TimeBucket::gapfill()));
    all.push(super::udf(ToTimestamp::new()));
    all.extend(["epoch", "epoch_ms", "epoch_us", "epoch_ns"].map(|n| super::udf(Epoch::new(n))));
    all
}

/// An instant.
pub fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// A clock on a wall.
pub fn naive() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

fn micros(array: &ArrayRef) -> &TimestampMicrosecondArray {
    array.as_primitive::<TimestampMicrosecondType>()
}

fn stamped(values: TimestampMicrosecondArray) -> ColumnarValue {
    ColumnarValue::Array(Arc::new(values.with_timezone("UTC")))
}

pub(super) fn civil(us: i64) -> DateTime<Utc> {
    Utc.timestamp_micros(us).single().unwrap_or_default()
}

fn midnight(year: i32, month: u32, day: u32) -> i64 {
    let date = NaiveDate::from_ymd_opt(year, month, day).unwrap_or_default();
    date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_micros()
}

pub(super) fn text_argument(value: &ColumnarValue, function: &str) -> Result<String> {
    match value {
        ColumnarValue::Scalar(
            ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)),
        ) => Ok(text.to_ascii_lowercase()),
        _ => exec_err!("the first argument of {function} is a text constant, like 'hour'"),
    }
}

/// `date_trunc(unit, time)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct DateTrunc {
    signature: Signature,
}

impl DateTrunc {
    fn new() -> Self {
        Self { signature: Signature::exact(vec![DataType::Utf8, timestamp()], Volatility::Immutable) }
    }
}

/// How a unit cuts an instant.
fn truncation(unit: &str) -> Option<Box<dyn Fn(i64) -> i64>> {
    let fixed = |width: i64, origin: i64| -> Option<Box<dyn Fn(i64) -> i64>> {
        Some(Box::new(move |us| us - (us - origin).rem_euclid(width)))
    };
    match unit {
        "microsecond" | "microseconds" | "us" => fixed(1, 0),
        "millisecond" | "milliseconds" | "ms" => fixed(1_000, 0),
        "second" | "seconds" | "s" => fixed(SECOND, 0),
        "minute" | "minutes" | "m" => fixed(60 * SECOND, 0),
        "hour" | "hours" | "h" => fixed(3_600 * SECOND, 0),
        "day" | "days" | "d" => fixed(DAY, 0),
        "week" | "weeks" | "w" => fixed(7 * DAY, BUCKET_ORIGIN),
        "month" | "months" | "mon" => Some(Box::new(|us| {
            let d = civil(us);
            midnight(d.year(), d.month(), 1)
        })),
        "quarter" | "quarters" => Some(Box::new(|us| {
            let d = civil(us);
            midnight(d.year(), d.month0() / 3 * 3 + 1, 1)
        })),
        "year" | "years" | "y" => Some(Box::new(|us| midnight(civil(us).year(), 1, 1))),
        "decade" | "decades" => Some(Box::new(|us| midnight(civil(us).year().div_euclid(10) * 10, 1, 1))),
        "century" | "centuries" => Some(Box::new(|us| midnight(civil(us).year().div_euclid(100) * 100, 1, 1))),
        _ => None,
    }
}

impl ScalarUDFImpl for DateTrunc {
    fn name(&self) -> &str {
        "date_trunc"
    }

    fn aliases(&self) -> &[String] {
        static ALIASES: std::sync::LazyLock<Vec<String>> = std::sync::LazyLock::new(|| vec!["datetrunc".into()]);
        &ALIASES
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(timestamp())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let unit = text_argument(&args.args[0], "date_trunc")?;
        let Some(cut) = truncation(&unit) else {
            return exec_err!("date_trunc does not know the unit {unit:?}");
        };
        let times = args.args[1].to_array(args.number_rows)?;
        Ok(stamped(micros(&times).unary(cut)))
    }

    fn output_ordering(
        &self,
        input: &[datafusion::logical_expr::sort_properties::ExprProperties],
    ) -> Result<datafusion::logical_expr::sort_properties::SortProperties> {
        Ok(input[1].sort_properties)
    }
}

/// `date_part(part, time)` and `EXTRACT(part FROM time)`: BIGINT, `epoch` DOUBLE.
#[derive(Debug, PartialEq, Eq, Hash)]
struct DatePart {
    signature: Signature,
}

impl DatePart {
    fn new() -> Self {
        let of = |ty| TypeSignature::Exact(vec![DataType::Utf8, ty]);
        let forms = vec![of(timestamp()), of(super::spans::interval())];
        Self { signature: Signature::one_of(forms, Volatility::Immutable) }
    }
}

fn part(name: &str) -> Option<fn(i64) -> i64> {
    Some(match name {
        "microsecond" | "microseconds" | "us" => |us| us.rem_euclid(60 * SECOND),
        "millisecond" | "milliseconds" | "ms" => |us| us.rem_euclid(60 * SECOND) / 1_000,
        "second" | "seconds" | "s" => |us| us.rem_euclid(60 * SECOND) / SECOND,
        "minute" | "minutes" | "m" => |us| us.rem_euclid(3_600 * SECOND) / (60 * SECOND),
        "hour" | "hours" | "h" => |us| us.rem_euclid(DAY) / (3_600 * SECOND),
        "day" | "days" | "d" | "dayofmonth" => |us| i64::from(civil(us).day()),
        "dow" | "dayofweek" | "weekday" => |us| i64::from(civil(us).weekday().num_days_from_sunday()),
        "isodow" => |us| i64::from(civil(us).weekday().number_from_monday()),
        "doy" | "dayofyear" => |us| i64::from(civil(us).ordinal()),
        "week" | "weeks" | "w" | "weekofyear" => |us| i64::from(civil(us).iso_week().week()),
        "isoyear" => |us| i64::from(civil(us).iso_week().year()),
        "month" | "months" | "mon" => |us| i64::from(civil(us).month()),
        "quarter" | "quarters" => |us| i64::from(civil(us).month0() / 3 + 1),
        "year" | "years" | "y" => |us| i64::from(civil(us).year()),
        "decade" | "decades" => |us| i64::from(civil(us).year().div_euclid(10)),
        "century" | "centuries" => |us| i64::from((civil(us).year() - 1).div_euclid(100) + 1),
        "timezone" | "timezone_hour" | "timezone_minute" => |_| 0,
        _ => return None,
    })
}

impl ScalarUDFImpl for DatePart {
    fn name(&self) -> &str {
        "date_part"
    }

    fn aliases(&self) -> &[String] {
        static ALIASES: std::sync::LazyLock<Vec<String>> = std::sync::LazyLock::new(|| vec!["datepart".into()]);
        &ALIASES
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn return_field_from_args(
        &self,
        args: datafusion::logical_expr::ReturnFieldArgs,
    ) -> Result<datafusion::arrow::datatypes::FieldRef> {
        let is_epoch = matches!(args.scalar_arguments.first(), Some(Some(ScalarValue::Utf8(Some(p)))) if p.eq_ignore_ascii_case("epoch"));
        let ty = if is_epoch { DataType::Float64 } else { DataType::Int64 };
        Ok(Arc::new(datafusion::arrow::datatypes::Field::new(self.name(), ty, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let name = text_argument(&args.args[0], "date_part")?;
        let times = args.args[1].to_array(args.number_rows)?;
        if let Some(spans) = times.as_primitive_opt::<IntervalMonthDayNanoType>() {
            if name == "epoch" {
                let seconds: Float64Array = spans.unary(super::spans::seconds);
                return Ok(ColumnarValue::Array(Arc::new(seconds)));
            }
            let Some(part) = super::spans::part(&name) else {
                return exec_err!("date_part of an interval does not know the part {name:?}");
            };
            let values: Int64Array = spans.unary(part);
            return Ok(ColumnarValue::Array(Arc::new(values)));
        }
        if name == "epoch" {
            let seconds: Float64Array = micros(&times).unary(|us| us as f64 / SECOND as f64);
            return Ok(ColumnarValue::Array(Arc::new(seconds)));
        }
        let Some(part) = part(&name) else {
            return exec_err!("date_part does not know the part {name:?}");
        };
        let values: Int64Array = micros(&times).unary(part);
        Ok(ColumnarValue::Array(Arc::new(values)))
    }
}

/// Buckets of one width, from a common origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd)]
pub enum Steps {
    /// Microseconds from an origin.
    Micros { width: i64, origin: i64 },
    /// Months from a month (counted from year 0), each begun so much later (microseconds).
    Months { width: i64, base: i64, shift: i64 },
}

impl Steps {
    /// Of a width alone, an interval.
    ///
    /// # Errors
    /// As [`Steps::from`].
    pub fn of(width: &ScalarValue) -> Result<Self> {
        let (months, us) = interval_argument(&ColumnarValue::Scalar(width.clone()))?;
        Self::from(months, us, None, 0)
    }

    /// # Errors
    /// The width is not positive, or has months and something else.
    fn from(months: i64, width: i64, origin: Option<i64>, shift: i64) -> Result<Self> {
        if months > 0 && width == 0 {
            return Ok(Steps::Months { width: months, base: origin.map_or(2000 * 12, month_number), shift });
        }
        if months != 0 || width <= 0 {
            return exec_err!("the width of time_bucket is positive, and either months or days and time");
        }
        Ok(Steps::Micros { width, origin: origin.unwrap_or(BUCKET_ORIGIN) + shift })
    }

    fn month(number: i64) -> i64 {
        midnight(number.div_euclid(12) as i32, number.rem_euclid(12) as u32 + 1, 1)
    }

    /// The begin of the bucket that holds an instant (UTC microseconds).
    pub fn bucket(self, us: i64) -> i64 {
        match self {
            Steps::Micros { width, origin } => us - (us - origin).rem_euclid(width),
            Steps::Months { width, base, shift } => {
                let number = month_number(us - shift);
                Self::month(number - (number - base).rem_euclid(width)) + shift
            }
        }
    }

    /// The begin of the bucket after this one; none: it lies beyond all instants.
    pub fn after(self, bucket: i64) -> Option<i64> {
        let after = match self {
            Steps::Micros { width, .. } => bucket.checked_add(width)?,
            Steps::Months { width, shift, .. } => Self::month(month_number(bucket - shift) + width) + shift,
        };
        (after > bucket).then_some(after)
    }

    /// About how many buckets begin from `start` on and before `finish`; months have 28 days at least.
    pub fn between(self, start: i64, finish: i64) -> u64 {
        let width = match self {
            Steps::Micros { width, .. } => width,
            Steps::Months { width, .. } => width.saturating_mul(28 * DAY),
        };
        let wide = (i128::from(finish) - i128::from(start)).max(0) / i128::from(width) + 1;
        u64::try_from(wide).unwrap_or(u64::MAX)
    }
}

/// `time_bucket(width, time [, offset interval | origin time])`, and `time_bucket_gapfill(width, time [, start,
/// finish])`, which is the same of each row: a [`crate::gapfill`] adds the rows.
#[derive(Debug, PartialEq, Eq, Hash)]
struct TimeBucket {
    name: &'static str,
    signature: Signature,
}

impl TimeBucket {
    fn new() -> Self {
        let interval = || DataType::Interval(IntervalUnit::MonthDayNano);
        let forms = vec![
            TypeSignature::Exact(vec![interval(), timestamp()]),
            TypeSignature::Exact(vec![interval(), timestamp(), interval()]),
            TypeSignature::Exact(vec![interval(), timestamp(), timestamp()]),
        ];
        Self { name: "time_bucket", signature: Signature::one_of(forms, Volatility::Immutable) }
    }

    fn gapfill() -> Self {
        let interval = || DataType::Interval(IntervalUnit::MonthDayNano);
        let forms = vec![
            TypeSignature::Exact(vec![interval(), timestamp()]),
            TypeSignature::Exact(vec![interval(), timestamp(), timestamp(), timestamp()]),
        ];
        Self { name: GAPFILL, signature: Signature::one_of(forms, Volatility::Immutable) }
    }
}

/// Months and microseconds of an interval constant.
fn interval_argument(value: &ColumnarValue) -> Result<(i64, i64)> {
    match value {
        ColumnarValue::Scalar(ScalarValue::IntervalMonthDayNano(Some(i))) => {
            Ok((i64::from(i.months), i64::from(i.days) * DAY + i.nanoseconds / 1_000))
        }
        _ => exec_err!("the width of time_bucket is a constant, like INTERVAL '5 minutes'"),
    }
}

pub(super) fn month_number(us: i64) -> i64 {
    let d = civil(us);
    i64::from(d.year()) * 12 + i64::from(d.month0())
}

impl ScalarUDFImpl for TimeBucket {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(timestamp())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (months, width) = interval_argument(&args.args[0])?;
        let times = args.args[1].to_array(args.number_rows)?;
        let (mut origin, mut shift) = (None, 0);
        match args.args.get(2).filter(|_| args.args.len() == 3) {
            None => {}
            Some(ColumnarValue::Scalar(ScalarValue::TimestampMicrosecond(Some(at), _))) => origin = Some(*at),
            Some(offset) => {
                let (m, us) = interval_argument(offset)?;
                if m != 0 {
                    return exec_err!("the offset of time_bucket has no months");
                }
                shift = us;
            }
        }
        let steps = Steps::from(months, width, origin, shift)?;
        Ok(stamped(match steps {
            // without a match for each row
            Steps::Micros { width, origin } => micros(&times).unary(|us| us - (us - origin).rem_euclid(width)),
            Steps::Months { .. } => micros(&times).unary(|us| steps.bucket(us)),
        }))
    }

    fn output_ordering(
        &self,
        input: &[datafusion::logical_expr::sort_properties::ExprProperties],
    ) -> Result<datafusion::logical_expr::sort_properties::SortProperties> {
        Ok(input[1].sort_properties)
    }
}

/// `epoch`, `epoch_ms`, `epoch_us`, `epoch_ns` of a time.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Epoch {
    name: &'static str,
    signature: Signature,
}

impl Epoch {
    fn new(name: &'static str) -> Self {
        let mut forms = vec![TypeSignature::Exact(vec![timestamp()])];
        match name {
            "epoch" => forms.push(TypeSignature::Exact(vec![super::spans::interval()])),
            "epoch_ms" => forms.push(TypeSignature::Exact(vec![DataType::Int64])),
            _ => {}
        }
        Self { name, signature: Signature::one_of(forms, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Epoch {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(match self.name {
            "epoch" => DataType::Float64,
            // of milliseconds it is the time
            _ if types[0] == DataType::Int64 => naive(),
            _ => DataType::Int64,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let times = args.args[0].to_array(args.number_rows)?;
        if let Some(spans) = times.as_primitive_opt::<IntervalMonthDayNanoType>() {
            let seconds: Float64Array = spans.unary(super::spans::seconds);
            return Ok(ColumnarValue::Array(Arc::new(seconds)));
        }
        if let Some(ms) = times.as_primitive_opt::<Int64Type>() {
            let times: TimestampMicrosecondArray = ms.unary_opt(|ms| ms.checked_mul(1_000));
            return Ok(ColumnarValue::Array(Arc::new(times)));
        }
        let times = micros(&times);
        let array: ArrayRef = match self.name {
            "epoch" => Arc::new(times.unary::<_, Float64Type>(|us| us as f64 / SECOND as f64)),
            "epoch_ms" => Arc::new(times.unary::<_, Int64Type>(|us| us.div_euclid(1_000))),
            "epoch_us" => Arc::new(times.unary::<_, Int64Type>(|us| us)),
            _ => Arc::new(times.unary_opt::<_, Int64Type>(|us| us.checked_mul(1_000))),
        };
        Ok(ColumnarValue::Array(array))
    }
}

/// `to_timestamp(seconds)`, as DuckDB has it; a text is read as a timestamp.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ToTimestamp {
    signature: Signature,
}

impl ToTimestamp {
    fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for ToTimestamp {
    fn name(&self) -> &str {
        "to_timestamp"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [ty] if ty.is_integer() => Ok(vec![DataType::Int64]),
            [ty] if ty.is_floating() || ty.is_null() || ty.is_decimal() => Ok(vec![DataType::Float64]),
            [DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Timestamp(..)] => {
                Ok(vec![timestamp()])
            }
            _ => plan_err!("to_timestamp takes one number of seconds"),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(timestamp())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let values = args.args[0].to_array(args.number_rows)?;
        let times: TimestampMicrosecondArray = match values.data_type() {
            DataType::Int64 => values.as_primitive::<Int64Type>().unary_opt(|s| s.checked_mul(SECOND)),
            DataType::Float64 => {
                values.as_primitive::<Float64Type>().unary_opt(|s| s.is_finite().then_some((s * 1e6).round() as i64))
            }
            _ => return Ok(ColumnarValue::Array(values)),
        };
        Ok(stamped(times))
    }
}
