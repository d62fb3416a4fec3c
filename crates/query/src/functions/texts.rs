//! Values as texts, as DuckDB writes them.

use std::fmt::Write as _;
use std::sync::Arc;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Timelike};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, ListArray, StringArray, StringViewBuilder};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Date32Type, DurationMicrosecondType, Float32Type, Float64Type, IntervalMonthDayNano,
    IntervalMonthDayNanoType, IntervalUnit, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::exec_err;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use super::bounded;
use super::time::{DAY, SECOND, naive};

/// A value as text.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Text {
    signature: Signature,
}

impl Text {
    pub fn new() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }

    /// Whether the engine would write a value of the type otherwise.
    pub fn matters(ty: &DataType) -> bool {
        use DataType::*;
        let is_time = matches!(ty, Timestamp(..) | Date32 | Time32(_) | Time64(_) | Interval(_) | Duration(_));
        let is_bytes = matches!(ty, Binary | LargeBinary | BinaryView | FixedSizeBinary(_));
        ty.is_floating() || is_time || is_bytes || Self::is_nested(ty)
    }

    pub fn is_nested(ty: &DataType) -> bool {
        use DataType::*;
        matches!(ty, List(_) | LargeList(_) | FixedSizeList(..) | Struct(_) | Map(..))
    }
}

impl ScalarUDFImpl for Text {
    fn name(&self) -> &str {
        "tw_text"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let values = args.args[0].to_array(args.number_rows)?;
        let write = writer(&values)?;
        let mut all = 0;
        let one = |row| {
            if is_null(&values, row) {
                return Ok(None);
            }
            let mut text = String::new();
            write(&mut text, row)?;
            all += text.len();
            bounded::check("a cast to text", all as u128)?;
            Ok(Some(text))
        };
        Ok(ColumnarValue::Array(Arc::new((0..values.len()).map(one).collect::<Result<StringArray>>()?)))
    }
}

/// `a || b` of texts: NULL where one of them is.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Concat {
    signature: Signature,
}

impl Concat {
    pub fn new() -> Self {
        Self { signature: Signature::exact(vec![DataType::Utf8View; 2], Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Concat {
    fn name(&self) -> &str {
        "tw_concat"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        bounded::check("||", bounded::sum(&args.args, args.number_rows)?)?;
        let [left, right] = [0, 1].map(|at| args.args[at].to_array(args.number_rows));
        let (left, right) = (left?, right?);
        let mut both = StringViewBuilder::with_capacity(left.len());
        let mut one = String::new();
        for pair in left.as_string_view().iter().zip(right.as_string_view()) {
            let (Some(left), Some(right)) = pair else {
                both.append_null();
                continue;
            };
            one.clear();
            one.extend([left, right]);
            both.append_value(&one);
        }
        Ok(ColumnarValue::Array(Arc::new(both.finish())))
    }
}

/// Writes the value of a row that is not NULL.
type Writer = Box<dyn Fn(&mut String, usize) -> Result<()>>;

fn is_null(values: &ArrayRef, row: usize) -> bool {
    values.is_null(row) || matches!(values.data_type(), DataType::Null)
}

fn writer(values: &ArrayRef) -> Result<Writer> {
    Ok(match values.data_type() {
        DataType::Float32 => {
            let values = values.as_primitive::<Float32Type>().clone();
            plain(move |row| {
                let value = values.value(row);
                float_text(&value.to_string(), f64::from(value))
            })
        }
        ty if ty.is_floating() => {
            let values = cast(values, &DataType::Float64)?.as_primitive::<Float64Type>().clone();
            plain(move |row| float_text(&values.value(row).to_string(), values.value(row)))
        }
        DataType::Timestamp(_, zone) => {
            let zone = if zone.is_some() { "+00" } else { "" };
            let values = cast(values, &naive())?.as_primitive::<TimestampMicrosecondType>().clone();
            named(move |row| {
                let us = values.value(row);
                let text = DateTime::from_timestamp_micros(us).map(|at| time_text(at.naive_utc()) + zone);
                text.ok_or_else(|| format!("{us} microseconds"))
            })
        }
        DataType::Date32 => {
            let values = values.as_primitive::<Date32Type>().clone();
            named(move |row| {
                let days = values.value(row);
                let date = NaiveDate::default().checked_add_signed(chrono::Duration::days(days.into()));
                date.map(date_text).ok_or_else(|| format!("{days} days"))
            })
        }
        DataType::Time32(_) | DataType::Time64(_) => {
            let values = cast(values, &DataType::Time64(TimeUnit::Microsecond))?;
            let values = values.as_primitive::<Time64MicrosecondType>().clone();
            plain(move |row| clock_text(values.value(row)))
        }
        DataType::Interval(_) | DataType::Duration(_) => {
            let values = spans(values)?.as_primitive::<IntervalMonthDayNanoType>().clone();
            plain(move |row| span_text(values.value(row)))
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            let values = cast(values, &DataType::Binary)?.as_binary::<i32>().clone();
            plain(move |row| bytes_text(values.value(row)))
        }
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            list(cast(values, &DataType::List(Arc::clone(item)))?.as_list::<i32>())?
        }
        DataType::Struct(fields) => {
            let columns = values.as_struct().columns();
            let names = fields.iter().map(|f| quoted(f.name()));
            let fields = names.zip(columns).map(|(name, c)| Ok((name, element(c)?))).collect::<Result<Vec<_>>>()?;
            Box::new(move |text, row| {
                *text += "{";
                for (at, (name, write)) in fields.iter().enumerate() {
                    let _ = write!(text, "{}{name}: ", if at > 0 { ", " } else { "" });
                    write(text, row)?;
                }
                *text += "}";
                Ok(())
            })
        }
        DataType::Map(..) => {
            let maps = values.as_map().clone();
            let (key, value) = (element(maps.keys())?, element(maps.values())?);
            Box::new(move |text, row| {
                *text += "{";
                let (from, to) = (maps.value_offsets()[row] as usize, maps.value_offsets()[row + 1] as usize);
                for at in from..to {
                    *text += if at > from { ", " } else { "" };
                    key(text, at)?;
                    *text += "=";
                    value(text, at)?;
                }
                *text += "}";
                Ok(())
            })
        }
        DataType::Null => plain(|_| String::new()),
        _ => {
            let values = cast(values, &DataType::Utf8View)?.as_string_view().clone();
            Box::new(move |text, row| {
                *text += values.value(row);
                Ok(())
            })
        }
    })
}

fn plain(value: impl Fn(usize) -> String + 'static) -> Writer {
    Box::new(move |text, row| {
        *text += &value(row);
        Ok(())
    })
}

/// What has a text only in years that have names; else how far it lies from 1970.
fn named(value: impl Fn(usize) -> std::result::Result<String, String> + 'static) -> Writer {
    Box::new(move |text, row| match value(row) {
        Ok(value) => {
            *text += &value;
            Ok(())
        }
        Err(far) => exec_err!("{far} since 1970 lie beyond the years that have names"),
    })
}

fn list(lists: &ListArray) -> Result<Writer> {
    let (offsets, item) = (lists.offsets().clone(), element(lists.values())?);
    Ok(Box::new(move |text, row| {
        *text += "[";
        let (from, to) = (offsets[row] as usize, offsets[row + 1] as usize);
        for at in from..to {
            *text += if at > from { ", " } else { "" };
            item(text, at)?;
        }
        *text += "]";
        Ok(())
    }))
}

/// Writes what stands in another value: in quotes where it could be taken for something else.
fn element(values: &ArrayRef) -> Result<Writer> {
    let (write, values, is_nested) = (writer(values)?, Arc::clone(values), Text::is_nested(values.data_type()));
    Ok(Box::new(move |text, row| {
        if is_null(&values, row) {
            *text += "NULL";
            return Ok(());
        }
        if is_nested {
            return write(text, row);
        }
        let mut one = String::new();
        write(&mut one, row)?;
        let is_plain = !one.is_empty()
            && one.trim_matches(' ').len() == one.len()
            && !one.eq_ignore_ascii_case("null")
            && !one.contains(['"', '\'', '(', ')', ',', ':', '=', '[', ']', '{', '}']);
        *text += &if is_plain { one } else { quoted(&one) };
        Ok(())
    }))
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn date_text(date: NaiveDate) -> String {
    let (year, is_before) = if date.year() > 0 { (date.year(), "") } else { (1 - date.year(), " (BC)") };
    format!("{year:04}-{:02}-{:02}{is_before}", date.month(), date.day())
}

fn time_text(at: NaiveDateTime) -> String {
    let us = i64::from(at.num_seconds_from_midnight()) * SECOND + i64::from(at.nanosecond() / 1_000);
    format!("{} {}", date_text(at.date()), clock_text(us))
}

/// `04:05:06.789` of microseconds.
fn clock_text(us: i64) -> String {
    let (seconds, us) = (us / SECOND, us % SECOND);
    let mut text = format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if us > 0 {
        text += format!(".{us:06}").trim_end_matches('0');
    }
    text
}

/// Printable bytes as they are, others as `\x0A`.
fn bytes_text(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        match byte {
            b'\\' | b'\'' | b'"' => drop(write!(text, "\\x{byte:02X}")),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => drop(write!(text, "\\x{byte:02X}")),
        }
    }
    text
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
        let sign = if span.nanoseconds < 0 { "-" } else { "" };
        parts.push(format!("{sign}{}", clock_text((span.nanoseconds / 1_000).abs())));
    }
    parts.join(" ")
}

/// Intervals of every kind as months, days and nanoseconds.
pub(super) fn spans(values: &ArrayRef) -> Result<ArrayRef> {
    match values.data_type() {
        DataType::Duration(_) => {
            let us = cast(values, &DataType::Duration(TimeUnit::Microsecond))?;
            let us = us.as_primitive::<DurationMicrosecondType>();
            // DuckDB's differences of times are days and a time of day
            let spans = us.unary::<_, IntervalMonthDayNanoType>(|us| {
                let (days, rest) = (us / DAY, us % DAY);
                IntervalMonthDayNano::new(0, days as i32, rest * 1_000)
            });
            Ok(Arc::new(spans))
        }
        _ => Ok(cast(values, &DataType::Interval(IntervalUnit::MonthDayNano))?),
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
