//! What DuckDB means by casts, comparisons of intervals and zones of time, where the engine means something else.

use std::sync::Arc;

use chrono::{DateTime, LocalResult, Offset, TimeZone, Utc};
use chrono_tz::Tz;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, TimestampMicrosecondArray};
use datafusion::arrow::compute::cast as cast_array;
use datafusion::arrow::datatypes::{DataType, Float64Type, IntervalMonthDayNanoType, TimestampMicrosecondType};
use datafusion::common::{ScalarValue, exec_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::texts::spans;
use super::time::{DAY, SECOND, naive, timestamp};

pub fn all() -> Vec<ScalarUDF> {
    vec![rounded(), super::udf(Meant::new(Meaning::Size)), super::udf(AtTimeZone::new()), super::udf(Len::new())]
}

/// Whether the engine would cut values of the type off.
pub fn is_rounded(ty: &DataType) -> bool {
    Meaning::Rounded.matters(ty)
}

pub const ROUNDED: &str = "tw_rounded";

/// Rounds floats that are cast to integers.
pub fn rounded() -> ScalarUDF {
    super::udf(Meant::new(Meaning::Rounded))
}

/// What some types mean in DuckDB otherwise than in the engine; other types stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Meaning {
    /// A float that is cast to an integer: the nearest whole number, of two the even one. A decimal: of two the one that is
    /// farther from zero.
    Rounded,
    /// The size of an interval in microseconds, for comparisons: a month has 30 days, a day 24 hours.
    Size,
}

impl Meaning {
    fn matters(self, ty: &DataType) -> bool {
        let is_span = matches!(ty, DataType::Interval(_) | DataType::Duration(_));
        match self {
            Meaning::Rounded => ty.is_floating() || is_decimal(ty),
            Meaning::Size => is_span,
        }
    }

    /// The type of what it makes.
    fn ty(self, of: &DataType) -> DataType {
        match self {
            Meaning::Rounded if is_decimal(of) => DataType::Decimal128(38, 0),
            Meaning::Rounded => DataType::Float64,
            Meaning::Size => DataType::Int64,
        }
    }

    /// Of values of a type that matters.
    fn of(self, values: &ArrayRef) -> Result<ArrayRef> {
        Ok(match self {
            Meaning::Rounded if is_decimal(values.data_type()) => cast_array(values, &DataType::Decimal128(38, 0))?,
            Meaning::Rounded => {
                let values = cast_array(values, &DataType::Float64)?;
                let round = f64::round_ties_even;
                Arc::new(values.as_primitive::<Float64Type>().unary::<_, Float64Type>(round))
            }
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

fn is_decimal(ty: &DataType) -> bool {
    matches!(ty, DataType::Decimal128(..) | DataType::Decimal256(..))
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
            Meaning::Rounded => ROUNDED,
            Meaning::Size => "tw_interval_size",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(if self.meaning.matters(&types[0]) { self.meaning.ty(&types[0]) } else { types[0].clone() })
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
        let Ok(zone) = zone.parse::<Tz>() else {
            return exec_err!("there is no time zone {zone:?}; use names like 'Europe/Berlin' or 'UTC'");
        };
        let times = args.args[0].to_array(args.number_rows)?;
        let us = times.as_primitive::<TimestampMicrosecondType>();
        let converted: TimestampMicrosecondArray = match times.data_type() {
            DataType::Timestamp(_, Some(_)) => us.unary_opt(|us| {
                let at = DateTime::from_timestamp_micros(us)?;
                us.checked_add(offset_us(at, zone))
            }),
            _ => us.unary_opt(|us| instant_of(us, zone)),
        };
        let converted = match times.data_type() {
            DataType::Timestamp(_, Some(_)) => converted,
            _ => converted.with_timezone("UTC"),
        };
        Ok(ColumnarValue::Array(Arc::new(converted)))
    }
}

fn offset_us(at: DateTime<Utc>, zone: Tz) -> i64 {
    i64::from(zone.from_utc_datetime(&at.naive_utc()).offset().fix().local_minus_utc()) * SECOND
}

/// The instant of a clock on the wall in a zone; none beyond the years that have names.
pub(super) fn instant_of(wall_us: i64, zone: Tz) -> Option<i64> {
    match zone.from_local_datetime(&DateTime::from_timestamp_micros(wall_us)?.naive_utc()) {
        // of an hour that comes twice the first
        LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => Some(at.timestamp_micros()),
        // an hour that is left out: as if clocks had not gone forward yet
        LocalResult::None => {
            let before = DateTime::from_timestamp_micros(wall_us.checked_sub(DAY)?)?;
            wall_us.checked_sub(offset_us(before, zone))
        }
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
