use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type,
    DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, IntervalDayTimeType, IntervalMonthDayNanoType,
    IntervalUnit, IntervalYearMonthType, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;

use super::EncodeError;
use super::json::Json;

const DAY_NS: i128 = 86_400_000_000_000;

/// What formats of text do differently.
pub(super) trait Style: 'static {
    const NAME: &'static str;
    const NULL: &'static [u8];

    /// Somebody's text.
    fn text(out: &mut Vec<u8>, text: &str);

    /// Text of ours, in which nothing needs an escape.
    fn plain(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>));

    /// NaN or an infinity.
    fn non_finite(out: &mut Vec<u8>, value: f64);

    /// A date, as days since 1970.
    fn date(out: &mut Vec<u8>, days: i64);

    /// A list, struct or map, which `write` writes as JSON.
    fn nested(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>));
}

/// Writes the value of a row.
pub(super) type Cell = Box<dyn Fn(&mut Vec<u8>, usize) + Send>;

/// The writer of a column's values.
pub(super) fn cell<S: Style>(name: &str, array: &ArrayRef) -> Result<Cell, EncodeError> {
    Ok(or_null(array, S::NULL, value::<S>(name, array)?))
}

/// The writer of values, with bytes for those that are not there.
pub(super) fn or_null(array: &ArrayRef, null: &'static [u8], value: Cell) -> Cell {
    let Some(nulls) = array.logical_nulls().filter(|n| n.null_count() > 0) else { return value };
    Box::new(move |out, row| {
        if nulls.is_null(row) {
            out.extend_from_slice(null);
        } else {
            value(out, row);
        }
    })
}

/// The writers of all columns of a batch.
pub(super) fn cells<S: Style>(batch: &arrow::array::RecordBatch) -> Result<Vec<Cell>, EncodeError> {
    batch.columns().iter().zip(batch.schema().fields()).map(|(c, f)| cell::<S>(f.name(), c)).collect()
}

fn value<S: Style>(name: &str, array: &ArrayRef) -> Result<Cell, EncodeError> {
    macro_rules! primitive {
        ($ty:ty, |$out:ident, $value:ident| $write:expr) => {{
            let values = array.as_primitive::<$ty>().clone();
            Box::new(move |$out: &mut Vec<u8>, row| {
                let $value = values.value(row);
                $write
            })
        }};
    }
    macro_rules! integer {
        ($ty:ty) => {
            primitive!($ty, |out, value| out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes()))
        };
    }
    macro_rules! float {
        ($ty:ty) => {
            primitive!($ty, |out, value| if value.is_finite() {
                out.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes());
            } else {
                S::non_finite(out, f64::from(value));
            })
        };
    }
    macro_rules! decimal {
        ($ty:ty) => {{
            let values = array.as_primitive::<$ty>().clone();
            Box::new(move |out: &mut Vec<u8>, row| out.extend_from_slice(values.value_as_string(row).as_bytes()))
        }};
    }
    macro_rules! string {
        ($values:expr) => {{
            let values = $values.clone();
            Box::new(move |out: &mut Vec<u8>, row| S::text(out, values.value(row)))
        }};
    }
    macro_rules! bytes {
        ($values:expr) => {{
            let values = $values.clone();
            Box::new(move |out: &mut Vec<u8>, row| S::plain(out, |out| hexadecimal(out, values.value(row))))
        }};
    }
    macro_rules! span {
        ($ty:ty, $ns:expr) => {
            primitive!($ty, |out, value| S::plain(out, |out| interval(out, 0, 0, i128::from(value) * $ns)))
        };
    }
    let cast_to = |ty: &DataType| -> Result<Cell, EncodeError> { value::<S>(name, &cast(array, ty)?) };
    Ok(match array.data_type() {
        DataType::Null => Box::new(|out, _| out.extend_from_slice(S::NULL)),
        DataType::Boolean => {
            let values = array.as_boolean().clone();
            Box::new(move |out, row| out.extend_from_slice(if values.value(row) { b"true" } else { b"false" }))
        }
        DataType::Int8 => integer!(Int8Type),
        DataType::Int16 => integer!(Int16Type),
        DataType::Int32 => integer!(Int32Type),
        DataType::Int64 => integer!(Int64Type),
        DataType::UInt8 => integer!(UInt8Type),
        DataType::UInt16 => integer!(UInt16Type),
        DataType::UInt32 => integer!(UInt32Type),
        DataType::UInt64 => integer!(UInt64Type),
        DataType::Float16 => cast_to(&DataType::Float32)?,
        DataType::Float32 => float!(Float32Type),
        DataType::Float64 => float!(Float64Type),
        DataType::Utf8 => string!(array.as_string::<i32>()),
        DataType::LargeUtf8 => string!(array.as_string::<i64>()),
        DataType::Utf8View => string!(array.as_string_view()),
        DataType::Binary => bytes!(array.as_binary::<i32>()),
        DataType::LargeBinary => bytes!(array.as_binary::<i64>()),
        DataType::BinaryView => bytes!(array.as_binary_view()),
        DataType::FixedSizeBinary(_) => bytes!(array.as_fixed_size_binary()),
        DataType::Decimal32(..) => decimal!(Decimal32Type),
        DataType::Decimal64(..) => decimal!(Decimal64Type),
        DataType::Decimal128(..) => decimal!(Decimal128Type),
        DataType::Decimal256(..) => decimal!(Decimal256Type),
        DataType::Timestamp(unit, _) => {
            macro_rules! stamp {
                ($ty:ty, $ns:expr) => {
                    primitive!($ty, |out, value| S::plain(out, |out| instant(out, i128::from(value) * $ns)))
                };
            }
            match unit {
                TimeUnit::Second => stamp!(TimestampSecondType, 1_000_000_000),
                TimeUnit::Millisecond => stamp!(TimestampMillisecondType, 1_000_000),
                TimeUnit::Microsecond => stamp!(TimestampMicrosecondType, 1_000),
                TimeUnit::Nanosecond => stamp!(TimestampNanosecondType, 1),
            }
        }
        DataType::Date32 => primitive!(Date32Type, |out, value| S::date(out, i64::from(value))),
        DataType::Date64 => primitive!(Date64Type, |out, value| S::date(out, value.div_euclid(86_400_000))),
        DataType::Time32(TimeUnit::Second) => {
            primitive!(Time32SecondType, |out, value| S::plain(out, |out| clock(
                out,
                i128::from(value) * 1_000_000_000
            )))
        }
        DataType::Time32(_) => {
            primitive!(Time32MillisecondType, |out, value| S::plain(out, |out| clock(
                out,
                i128::from(value) * 1_000_000
            )))
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            primitive!(Time64MicrosecondType, |out, value| S::plain(out, |out| clock(out, i128::from(value) * 1_000)))
        }
        DataType::Time64(_) => {
            primitive!(Time64NanosecondType, |out, value| S::plain(out, |out| clock(out, i128::from(value))))
        }
        DataType::Duration(TimeUnit::Second) => span!(DurationSecondType, 1_000_000_000),
        DataType::Duration(TimeUnit::Millisecond) => span!(DurationMillisecondType, 1_000_000),
        DataType::Duration(TimeUnit::Microsecond) => span!(DurationMicrosecondType, 1_000),
        DataType::Duration(TimeUnit::Nanosecond) => span!(DurationNanosecondType, 1),
        DataType::Interval(IntervalUnit::YearMonth) => {
            primitive!(IntervalYearMonthType, |out, value| S::plain(out, |out| interval(out, value, 0, 0)))
        }
        DataType::Interval(IntervalUnit::DayTime) => primitive!(IntervalDayTimeType, |out, value| {
            S::plain(out, |out| interval(out, 0, value.days, i128::from(value.milliseconds) * 1_000_000));
        }),
        DataType::Interval(IntervalUnit::MonthDayNano) => primitive!(IntervalMonthDayNanoType, |out, value| {
            S::plain(out, |out| interval(out, value.months, value.days, i128::from(value.nanoseconds)));
        }),
        DataType::Dictionary(_, values) => cell::<S>(name, &cast(array, values)?)?,
        DataType::List(_) => list::<S>(name, array.as_list::<i32>().values(), {
            let offsets = array.as_list::<i32>().offsets().clone();
            move |row| offsets[row] as usize..offsets[row + 1] as usize
        })?,
        DataType::LargeList(_) => list::<S>(name, array.as_list::<i64>().values(), {
            let offsets = array.as_list::<i64>().offsets().clone();
            move |row| offsets[row] as usize..offsets[row + 1] as usize
        })?,
        DataType::FixedSizeList(_, size) => {
            let size = *size as usize;
            list::<S>(name, array.as_fixed_size_list().values(), move |row| row * size..(row + 1) * size)?
        }
        DataType::ListView(item) => cast_to(&DataType::List(item.clone()))?,
        DataType::LargeListView(item) => cast_to(&DataType::LargeList(item.clone()))?,
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            let inner = columns.iter().zip(fields).map(|(c, f)| Ok((json_key(f.name()), cell::<Json>(name, c)?)));
            let inner = inner.collect::<Result<Vec<_>, EncodeError>>()?;
            Box::new(move |out, row| {
                S::nested(out, |out| {
                    between(out, b"{}", inner.iter(), |out, (key, cell)| {
                        out.extend_from_slice(key);
                        cell(out, row);
                    });
                });
            })
        }
        DataType::Map(..) => {
            let map = array.as_map();
            let offsets = map.offsets().clone();
            // keys of JSON objects are strings
            let keys = cast(map.keys(), &DataType::Utf8)?;
            let keys = keys.as_string::<i32>().clone();
            let values = cell::<Json>(name, map.values())?;
            Box::new(move |out, row| {
                S::nested(out, |out| {
                    between(out, b"{}", offsets[row] as usize..offsets[row + 1] as usize, |out, entry| {
                        out.extend_from_slice(&json_key(keys.value(entry)));
                        values(out, entry);
                    });
                });
            })
        }
        other @ (DataType::Union(..) | DataType::RunEndEncoded(..)) => {
            let (column, ty) = (name.to_owned(), other.to_string());
            return Err(EncodeError::Unsupported { column, ty, format: S::NAME });
        }
    })
}

fn list<S: Style>(
    name: &str,
    values: &ArrayRef,
    range: impl Fn(usize) -> Range<usize> + Send + 'static,
) -> Result<Cell, EncodeError> {
    let item = cell::<Json>(name, values)?;
    Ok(Box::new(move |out, row| S::nested(out, |out| between(out, b"[]", range(row), |out, i| item(out, i)))))
}

/// Items with commas between them, in brackets.
pub(super) fn between<T>(
    out: &mut Vec<u8>,
    brackets: &[u8; 2],
    items: impl Iterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(brackets[0]);
    for (i, item) in items.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(brackets[1]);
}

pub(super) fn json_key(name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + 3);
    super::json::string(&mut key, name);
    key.push(b':');
    key
}

fn hexadecimal(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend(bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]));
}

fn digits(out: &mut Vec<u8>, value: u64, width: usize) {
    let start = out.len();
    out.resize(start + width, b'0');
    let mut rest = value;
    for digit in out[start..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

/// Nanoseconds of a second as 0, 3, 6 or 9 digits.
fn fraction(out: &mut Vec<u8>, ns: u64) {
    let (value, width) = match ns {
        0 => return,
        ns if ns % 1_000_000 == 0 => (ns / 1_000_000, 3),
        ns if ns % 1_000 == 0 => (ns / 1_000, 6),
        ns => (ns, 9),
    };
    out.push(b'.');
    digits(out, value, width);
}

/// `YYYY-MM-DD` of days since 1970; years beyond four digits carry a sign, as ISO 8601 has it.
pub(super) fn civil(out: &mut Vec<u8>, days: i64) {
    // days to year, month and day: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms"
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let of_era = z.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) =
        (day_of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    match year {
        0..=9_999 => digits(out, year as u64, 4),
        year => out.extend_from_slice(format!("{year:+05}").as_bytes()),
    }
    out.push(b'-');
    digits(out, month as u64, 2);
    out.push(b'-');
    digits(out, day as u64, 2);
}

/// `HH:MM:SS[.fraction]` of nanoseconds of a day.
fn clock(out: &mut Vec<u8>, ns: i128) {
    let ns = ns as u64;
    let seconds = ns / 1_000_000_000;
    digits(out, seconds / 3_600, 2);
    out.push(b':');
    digits(out, seconds / 60 % 60, 2);
    out.push(b':');
    digits(out, seconds % 60, 2);
    fraction(out, ns % 1_000_000_000);
}

/// RFC 3339 in UTC of nanoseconds since 1970.
pub(super) fn instant(out: &mut Vec<u8>, ns: i128) {
    civil(out, ns.div_euclid(DAY_NS) as i64);
    out.push(b'T');
    clock(out, ns.rem_euclid(DAY_NS));
    out.push(b'Z');
}

/// An interval as DuckDB writes it: `1 year 2 months 3 days 04:05:06.007`.
pub(super) fn interval(out: &mut Vec<u8>, months: i32, days: i32, ns: i128) {
    let start = out.len();
    for (value, unit) in [(months / 12, "year"), (months % 12, "month"), (days, "day")] {
        if value != 0 {
            let (space, plural) =
                (if out.len() > start { " " } else { "" }, if value.unsigned_abs() == 1 { "" } else { "s" });
            out.extend_from_slice(format!("{space}{value} {unit}{plural}").as_bytes());
        }
    }
    if ns == 0 && out.len() > start {
        return;
    }
    if out.len() > start {
        out.push(b' ');
    }
    if ns < 0 {
        out.push(b'-');
    }
    let ns = ns.unsigned_abs();
    let hours = ns / 3_600_000_000_000;
    if hours < 100 {
        digits(out, hours as u64, 2);
    } else {
        out.extend_from_slice(hours.to_string().as_bytes());
    }
    let start = out.len();
    clock(out, (ns % 3_600_000_000_000) as i128);
    // the hours of the clock, which are none
    out.drain(start..start + 2);
}

/// The values of a column as text, for formats without a type of their own for it.
pub(super) fn texts<S: Style>(name: &str, array: &ArrayRef) -> Result<ArrayRef, EncodeError> {
    let (write, nulls) = (value::<S>(name, array)?, array.logical_nulls());
    let mut text = Vec::new();
    let mut value = |row: usize| -> Result<Option<String>, ArrowError> {
        if nulls.as_ref().is_some_and(|n| n.is_null(row)) {
            return Ok(None);
        }
        text.clear();
        write(&mut text, row);
        let text = std::str::from_utf8(&text).map_err(|e| ArrowError::ComputeError(e.to_string()))?;
        Ok(Some(text.to_owned()))
    };
    let values = (0..array.len()).map(&mut value).collect::<Result<Vec<_>, _>>()?;
    Ok(std::sync::Arc::new(arrow::array::StringArray::from(values)))
}
