//! `date_diff` counts the borders of a unit between two times, `date_sub` the whole units; `strftime` and `strptime`
//! write and read times; `make_timestamp` puts one together.

use std::fmt::Write;
use std::sync::Arc;

use chrono::format::{Item, StrftimeItems};
use chrono::{Months, NaiveDate, NaiveDateTime};
use datafusion::arrow::array::{Array, AsArray, Int64Array, StringArray, TimestampMicrosecondArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType};
use datafusion::common::{ScalarValue, exec_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use super::time::{DAY, SECOND, civil, month_number, naive, text_argument, timestamp};

pub fn all() -> Vec<ScalarUDF> {
    let mut all = vec![super::udf(Between::new("date_diff")), super::udf(Between::new("date_sub"))];
    all.extend([super::udf(Strftime::new()), super::udf(MakeTimestamp::new())]);
    all.extend([super::udf(Strptime::new("strptime")), super::udf(Strptime::new("try_strptime"))]);
    all
}

/// How long a unit is: microseconds, or months.
#[derive(Debug, Clone, Copy)]
enum Unit {
    Micros(i64),
    /// Of which DuckDB counts not the Mondays between two days, but the days.
    Week,
    Months(i64),
}

fn unit(name: &str) -> Option<Unit> {
    Some(match name {
        "microsecond" | "microseconds" | "us" => Unit::Micros(1),
        "millisecond" | "milliseconds" | "ms" => Unit::Micros(1_000),
        "second" | "seconds" | "s" => Unit::Micros(SECOND),
        "minute" | "minutes" | "m" => Unit::Micros(60 * SECOND),
        "hour" | "hours" | "h" => Unit::Micros(3_600 * SECOND),
        "day" | "days" | "d" => Unit::Micros(DAY),
        "week" | "weeks" | "w" => Unit::Week,
        "month" | "months" | "mon" => Unit::Months(1),
        "quarter" | "quarters" => Unit::Months(3),
        "year" | "years" | "y" => Unit::Months(12),
        "decade" | "decades" => Unit::Months(120),
        "century" | "centuries" => Unit::Months(1_200),
        _ => return None,
    })
}

fn borders(unit: Unit, from: i64, to: i64) -> i64 {
    match unit {
        Unit::Micros(width) => {
            let [from, to] = [from, to].map(|us| i128::from(us.div_euclid(width)));
            (to - from).clamp(i64::MIN.into(), i64::MAX.into()) as i64
        }
        Unit::Week => borders(Unit::Micros(DAY), from, to) / 7,
        Unit::Months(width) => month_number(to).div_euclid(width) - month_number(from).div_euclid(width),
    }
}

fn wholes(unit: Unit, from: i64, to: i64) -> i64 {
    match unit {
        Unit::Week => wholes(Unit::Micros(DAY), from, to) / 7,
        Unit::Micros(width) => {
            let whole = (i128::from(to) - i128::from(from)) / i128::from(width);
            whole.clamp(i64::MIN.into(), i64::MAX.into()) as i64
        }
        Unit::Months(width) => {
            let (earlier, later, sign) = if from <= to { (from, to, 1) } else { (to, from, -1) };
            let months = month_number(later) - month_number(earlier);
            let reached = civil(earlier).checked_add_months(Months::new(months as u32));
            let whole = if reached.is_some_and(|at| at.timestamp_micros() > later) { months - 1 } else { months };
            sign * (whole / width)
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Between {
    name: &'static str,
    signature: Signature,
}

impl Between {
    fn new(name: &'static str) -> Self {
        let signature = Signature::exact(vec![DataType::Utf8, timestamp(), timestamp()], Volatility::Immutable);
        Self { name, signature }
    }
}

impl ScalarUDFImpl for Between {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let name = text_argument(&args.args[0], self.name)?;
        let Some(unit) = unit(&name) else {
            return exec_err!("{} does not know the unit {name:?}", self.name);
        };
        let count = if self.name == "date_diff" { borders } else { wholes };
        let [from, to] = [&args.args[1], &args.args[2]].map(|a| a.to_array(args.number_rows));
        let (from, to) = (from?, to?);
        let (from, to) =
            (from.as_primitive::<TimestampMicrosecondType>(), to.as_primitive::<TimestampMicrosecondType>());
        let pairs = from.iter().zip(to.iter());
        let counts: Int64Array = pairs.map(|pair| Some(count(unit, pair.0?, pair.1?))).collect();
        debug_assert_eq!(counts.len(), args.number_rows);
        Ok(ColumnarValue::Array(Arc::new(counts)))
    }
}

/// DuckDB's format as chrono's, which differs in fractions of a second.
///
/// # Errors
/// It holds what neither knows.
fn format_of(value: &ColumnarValue, function: &str) -> Result<String> {
    let ColumnarValue::Scalar(ScalarValue::Utf8(Some(text))) = value else {
        return exec_err!("the format of {function} is a text constant, like '%Y-%m-%d'");
    };
    let (mut format, mut characters) = (String::new(), text.chars());
    while let Some(c) = characters.next() {
        format.push(c);
        if c != '%' {
            continue;
        }
        match characters.next() {
            Some('f') => format.push_str("6f"),
            Some('g') => format.push_str("3f"),
            Some('n') => format.push_str("9f"),
            Some(other) => format.push(other),
            None => {}
        }
    }
    match StrftimeItems::new(&format).any(|item| item == Item::Error) {
        true => exec_err!("{function} does not know the format {text:?}"),
        false => Ok(format),
    }
}

/// `strftime(time, format)`, or the other way around.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Strftime {
    signature: Signature,
}

impl Strftime {
    fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Strftime {
    fn name(&self) -> &str {
        "strftime"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let is_time = |ty: &DataType| matches!(ty, DataType::Timestamp(..) | DataType::Date32 | DataType::Null);
        match types {
            [time, _] if is_time(time) => Ok(vec![naive(), DataType::Utf8]),
            [_, time] if is_time(time) => Ok(vec![DataType::Utf8, naive()]),
            _ => plan_err!("strftime takes a time and a format"),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_first = matches!(args.args[0].data_type(), DataType::Timestamp(..));
        let (time, format) = if is_first { (0, 1) } else { (1, 0) };
        let format = format_of(&args.args[format], self.name())?;
        let items: Vec<Item> = StrftimeItems::new(&format).collect();
        let times = args.args[time].to_array(args.number_rows)?;
        let write = |us: i64| {
            let mut text = String::new();
            match write!(text, "{}", civil(us).format_with_items(items.iter())) {
                Ok(()) => Ok(text),
                Err(_) => exec_err!("strftime cannot write a time by the format {format:?}"),
            }
        };
        let times = times.as_primitive::<TimestampMicrosecondType>();
        let texts = times.iter().map(|t| t.map(write).transpose()).collect::<Result<StringArray>>()?;
        Ok(ColumnarValue::Array(Arc::new(texts)))
    }
}

/// `strptime(text, format)`; `try_strptime` is NULL where it fails.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Strptime {
    name: &'static str,
    signature: Signature,
}

impl Strptime {
    fn new(name: &'static str) -> Self {
        Self { name, signature: Signature::exact(vec![DataType::Utf8, DataType::Utf8], Volatility::Immutable) }
    }
}

fn read_time(text: &str, format: &str) -> Option<i64> {
    let at = NaiveDateTime::parse_from_str(text, format).ok();
    let at = at.or_else(|| NaiveDate::parse_from_str(text, format).ok()?.and_hms_opt(0, 0, 0));
    at.map(|at| at.and_utc().timestamp_micros())
}

impl ScalarUDFImpl for Strptime {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(naive())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let format = format_of(&args.args[1], self.name)?;
        let texts = args.args[0].to_array(args.number_rows)?;
        let is_try = self.name == "try_strptime";
        let read = |text: Option<&str>| match text.map(|t| (t, read_time(t, &format))) {
            Some((text, None)) if !is_try => exec_err!("strptime cannot read {text:?} by this format"),
            read => Ok(read.and_then(|(_, at)| at)),
        };
        let times = texts.as_string::<i32>().iter().map(read).collect::<Result<TimestampMicrosecondArray>>()?;
        Ok(ColumnarValue::Array(Arc::new(times)))
    }
}

/// `make_timestamp(year, month, day, hour, minute, seconds)`, or of microseconds since 1970.
#[derive(Debug, PartialEq, Eq, Hash)]
struct MakeTimestamp {
    signature: Signature,
}

impl MakeTimestamp {
    fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for MakeTimestamp {
    fn name(&self) -> &str {
        "make_timestamp"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types.len() {
            1 => Ok(vec![DataType::Int64]),
            6 => Ok([vec![DataType::Int64; 5], vec![DataType::Float64]].concat()),
            _ => plan_err!("make_timestamp takes year, month, day, hour, minute and seconds, or microseconds"),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(naive())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        if let [us] = arrays.as_slice() {
            return Ok(ColumnarValue::Array(cast(us, &naive())?));
        }
        let seconds = arrays[5].as_primitive::<Float64Type>();
        let made = (0..seconds.len()).map(|row| {
            let mut parts = [0i64; 5];
            for (part, array) in parts.iter_mut().zip(&arrays) {
                let values = array.as_primitive::<Int64Type>();
                if values.is_null(row) || seconds.is_null(row) {
                    return Ok(None);
                }
                *part = values.value(row);
            }
            let [year, month, day, hour, minute] = parts;
            let small = |n: i64| u32::try_from(n).ok();
            let whole = || {
                let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, small(month)?, small(day)?)?;
                let at = date.and_hms_opt(small(hour)?, small(minute)?, 0)?.and_utc().timestamp_micros();
                let us = (seconds.value(row) * 1e6).round();
                (0.0..=60e6).contains(&us).then_some(at + us as i64)
            };
            match whole() {
                Some(at) => Ok(Some(at)),
                None => {
                    exec_err!("make_timestamp: there is no {year}-{month}-{day} {hour}:{minute}:{}", seconds.value(row))
                }
            }
        });
        Ok(ColumnarValue::Array(Arc::new(made.collect::<Result<TimestampMicrosecondArray>>()?)))
    }
}
