//! Time functions on UTC microseconds by integer arithmetic: the engine's own go through a calendar
//! and a time zone for every row, which is most of a dashboard's query.

use std::sync::Arc;

use chrono::{DateTime, Datelike, NaiveDate, TimeZone, Utc};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, TimestampMicrosecondArray};
use datafusion::arrow::datatypes::{DataType, Float64Type, IntervalUnit, TimeUnit, TimestampMicrosecondType};
use datafusion::common::{ScalarValue, exec_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

pub(super) const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
/// 2000-01-03, a Monday: DuckDB's origin for buckets narrower than a month.
pub(super) const BUCKET_ORIGIN: i64 = 946_857_600 * SECOND;

pub fn all() -> Vec<ScalarUDF> {
    let mut all = vec![super::udf(DateTrunc::new()), super::udf(DatePart::new()), super::udf(TimeBucket::new())];
    all.push(super::udf(ToTimestamp::new()));
    all.extend(["epoch", "epoch_ms", "epoch_us", "epoch_ns"].map(|n| super::udf(Epoch::new(n))));
    all
}

/// An instant.
pub(super) fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// A clock on a wall.
pub(super) fn naive() -> DataType {
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
        "century" | "centuries" => {
            Some(Box::new(|us| midnight((civil(us).year() - 1).div_euclid(100) * 100 + 1, 1, 1)))
        }
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
        Self { signature: Signature::exact(vec![DataType::Utf8, timestamp()], Volatility::Immutable) }
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

/// `time_bucket(width, time [, offset interval | origin time])`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct TimeBucket {
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
        Self { signature: Signature::one_of(forms, Volatility::Immutable) }
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
        "time_bucket"
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
        let (mut origin, mut shift) = (BUCKET_ORIGIN, 0);
        match args.args.get(2) {
            None => {}
            Some(ColumnarValue::Scalar(ScalarValue::TimestampMicrosecond(Some(at), _))) => origin = *at,
            Some(offset) => {
                let (m, us) = interval_argument(offset)?;
                if m != 0 {
                    return exec_err!("the offset of time_bucket has no months");
                }
                shift = us;
            }
        }
        if months > 0 && width == 0 {
            let base = if args.args.len() == 3 { month_number(origin) } else { 2000 * 12 };
            return Ok(stamped(micros(&times).unary(|us| {
                let number = month_number(us - shift);
                let start = number - (number - base).rem_euclid(months);
                midnight(start.div_euclid(12) as i32, start.rem_euclid(12) as u32 + 1, 1) + shift
            })));
        }
        if months != 0 || width <= 0 {
            return exec_err!("the width of time_bucket is positive, and either months or days and time");
        }
        let origin = origin + shift;
        Ok(stamped(micros(&times).unary(|us| us - (us - origin).rem_euclid(width))))
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
        Self { name, signature: Signature::exact(vec![timestamp()], Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Epoch {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(if self.name == "epoch" { DataType::Float64 } else { DataType::Int64 })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let times = args.args[0].to_array(args.number_rows)?;
        let times = micros(&times);
        let array: ArrayRef = match self.name {
            "epoch" => Arc::new(times.unary::<_, Float64Type>(|us| us as f64 / SECOND as f64)),
            "epoch_ms" => {
                Arc::new(times.unary::<_, datafusion::arrow::datatypes::Int64Type>(|us| us.div_euclid(1_000)))
            }
            "epoch_us" => Arc::new(times.unary::<_, datafusion::arrow::datatypes::Int64Type>(|us| us)),
            _ => Arc::new(times.unary_opt::<_, datafusion::arrow::datatypes::Int64Type>(|us| us.checked_mul(1_000))),
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
            DataType::Int64 => {
                values.as_primitive::<datafusion::arrow::datatypes::Int64Type>().unary_opt(|s| s.checked_mul(SECOND))
            }
            DataType::Float64 => {
                values.as_primitive::<Float64Type>().unary_opt(|s| s.is_finite().then_some((s * 1e6).round() as i64))
            }
            _ => return Ok(ColumnarValue::Array(values)),
        };
        Ok(stamped(times))
    }
}
