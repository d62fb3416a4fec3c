//! Intervals: so many of one, the age between two times.

use std::sync::Arc;

use chrono::Datelike;
use datafusion::arrow::array::{AsArray, IntervalMonthDayNanoArray};
use datafusion::arrow::datatypes::{
    DataType, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, TimestampMicrosecondType,
};
use datafusion::common::{exec_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use super::time::{DAY, SECOND, civil, naive};

pub fn all() -> Vec<ScalarUDF> {
    vec![super::udf(Times::new()), super::udf(Age::new())]
}

pub(super) fn interval() -> DataType {
    DataType::Interval(IntervalUnit::MonthDayNano)
}

/// A part of an interval, as `date_part` has it.
pub(super) fn part(name: &str) -> Option<fn(IntervalMonthDayNano) -> i64> {
    const US: i64 = 1_000;
    Some(match name {
        "microsecond" | "microseconds" | "us" => |i| i.nanoseconds / US % (60 * SECOND),
        "millisecond" | "milliseconds" | "ms" => |i| i.nanoseconds / US % (60 * SECOND) / 1_000,
        "second" | "seconds" | "s" => |i| i.nanoseconds / US % (60 * SECOND) / SECOND,
        "minute" | "minutes" | "m" => |i| i.nanoseconds / US % (3_600 * SECOND) / (60 * SECOND),
        "hour" | "hours" | "h" => |i| i.nanoseconds / US / (3_600 * SECOND),
        "day" | "days" | "d" => |i| i.days.into(),
        "month" | "months" | "mon" => |i| (i.months % 12).into(),
        "quarter" | "quarters" => |i| (i.months % 12 / 3 + 1).into(),
        "year" | "years" | "y" => |i| (i.months / 12).into(),
        "decade" | "decades" => |i| (i.months / 120).into(),
        "century" | "centuries" => |i| (i.months / 1_200).into(),
        _ => return None,
    })
}

/// Seconds of an interval: a year has 365.25 days, a month 30.
pub(super) fn seconds(i: IntervalMonthDayNano) -> f64 {
    let days = f64::from(i.months / 12) * 365.25 + f64::from(i.months % 12) * 30.0 + f64::from(i.days);
    days * 86_400.0 + i.nanoseconds as f64 / 1e9
}

/// `tw_times(interval, n)`: `INTERVAL … * n`, `to_days(n)` and its kin.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Times {
    signature: Signature,
}

impl Times {
    fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Times {
    fn name(&self) -> &str {
        "tw_times"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [DataType::Interval(_) | DataType::Duration(_), n] if n.is_integer() || n.is_null() => {
                Ok(vec![interval(), DataType::Int64])
            }
            _ => plan_err!("an interval is taken a whole number of times"),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(interval())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let spans = arrays[0].as_primitive::<IntervalMonthDayNanoType>();
        let times = |(span, n): (Option<IntervalMonthDayNano>, Option<i64>)| {
            let Some((span, n)) = span.zip(n) else { return Ok(None) };
            let small = |part: i32| i32::try_from(i64::from(part).checked_mul(n)?).ok();
            match (small(span.months), small(span.days), span.nanoseconds.checked_mul(n)) {
                (Some(months), Some(days), Some(ns)) => Ok(Some(IntervalMonthDayNano::new(months, days, ns))),
                _ => exec_err!("an interval {n} times is longer than an interval can be"),
            }
        };
        let all = spans.iter().zip(arrays[1].as_primitive::<Int64Type>()).map(times);
        Ok(ColumnarValue::Array(Arc::new(all.collect::<Result<IntervalMonthDayNanoArray>>()?)))
    }
}

/// `age(later, earlier)` in months, days and a time of day, as PostgreSQL counts.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Age {
    signature: Signature,
}

impl Age {
    fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

fn age(later: i64, earlier: i64) -> IntervalMonthDayNano {
    if later < earlier {
        let age = age(earlier, later);
        return IntervalMonthDayNano::new(-age.months, -age.days, -age.nanoseconds);
    }
    let (to, from) = (civil(later), civil(earlier));
    let mut months = (to.year() - from.year()) * 12 + to.month() as i32 - from.month() as i32;
    let mut days = to.day() as i32 - from.day() as i32;
    let mut us = later.rem_euclid(DAY) - earlier.rem_euclid(DAY);
    if us < 0 {
        (us, days) = (us + DAY, days - 1);
    }
    if days < 0 {
        (months, days) = (months - 1, days + from.num_days_in_month() as i32);
    }
    IntervalMonthDayNano::new(months, days, us * 1_000)
}

impl ScalarUDFImpl for Age {
    fn name(&self) -> &str {
        "age"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let is_time = |ty: &DataType| matches!(ty, DataType::Timestamp(..) | DataType::Date32 | DataType::Null);
        match types {
            [to, from] if is_time(to) && is_time(from) => Ok(vec![naive(), naive()]),
            _ => plan_err!("age takes two times"),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(interval())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [to, from] = [0, 1].map(|at: usize| arrays[at].as_primitive::<TimestampMicrosecondType>());
        let ages = to.iter().zip(from).map(|(to, from)| to.zip(from).map(|(to, from)| age(to, from)));
        Ok(ColumnarValue::Array(Arc::new(ages.collect::<IntervalMonthDayNanoArray>())))
    }
}
