//! Record batches to JSON text: times as RFC 3339 in UTC, 64-bit integers and decimals exact as
//! numbers, NaN and infinities null.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Schema,
    TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::{DateTime, SecondsFormat, Utc};

/// Appends a JSON string.
pub fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut start = 0;
    for (i, byte) in text.bytes().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0x00..=0x1f => b"",
            _ => continue,
        };
        out.extend_from_slice(&text.as_bytes()[start..i]);
        if escape.is_empty() {
            out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
        } else {
            out.extend_from_slice(escape);
        }
        start = i + 1;
    }
    out.extend_from_slice(&text.as_bytes()[start..]);
    out.push(b'"');
}

/// Appends `"columns":[…],"types":[…]`.
pub fn header(out: &mut Vec<u8>, schema: &Schema) {
    out.extend_from_slice(b"\"columns\":[");
    for (i, field) in schema.fields().iter().enumerate() {
        separate(out, i);
        string(out, field.name());
    }
    out.extend_from_slice(b"],\"types\":[");
    for (i, field) in schema.fields().iter().enumerate() {
        separate(out, i);
        string(out, &crate::plain::type_name(field.data_type()));
    }
    out.push(b']');
}

/// Appends the rows as arrays, each behind a comma unless it is the first of the answer.
pub fn rows(out: &mut Vec<u8>, batch: &RecordBatch, is_first: &mut bool) -> Result<(), ArrowError> {
    let cells = cells(batch)?;
    for row in 0..batch.num_rows() {
        if !std::mem::replace(is_first, false) {
            out.push(b',');
        }
        out.push(b'[');
        for (i, cell) in cells.iter().enumerate() {
            separate(out, i);
            cell(out, row)?;
        }
        out.push(b']');
    }
    Ok(())
}

/// Appends the rows as objects, `separator` between them.
pub fn objects(out: &mut Vec<u8>, batch: &RecordBatch, separator: u8, is_first: &mut bool) -> Result<(), ArrowError> {
    let cells = cells(batch)?;
    let schema = batch.schema();
    for row in 0..batch.num_rows() {
        if !std::mem::replace(is_first, false) {
            out.push(separator);
        }
        out.push(b'{');
        for (i, (cell, field)) in cells.iter().zip(schema.fields()).enumerate() {
            separate(out, i);
            string(out, field.name());
            out.push(b':');
            cell(out, row)?;
        }
        out.push(b'}');
    }
    Ok(())
}

fn separate(out: &mut Vec<u8>, position: usize) {
    if position > 0 {
        out.push(b',');
    }
}

type Cell<'a> = Box<dyn Fn(&mut Vec<u8>, usize) -> Result<(), ArrowError> + 'a>;

fn cells(batch: &RecordBatch) -> Result<Vec<Cell<'_>>, ArrowError> {
    batch.columns().iter().map(|c| cell(c.as_ref())).collect()
}

fn cell(array: &dyn Array) -> Result<Cell<'_>, ArrowError> {
    let value = value(array)?;
    if array.logical_null_count() == 0 {
        return Ok(value);
    }
    let nulls = array.logical_nulls();
    Ok(Box::new(move |out, row| {
        if nulls.as_ref().is_some_and(|n| n.is_null(row)) {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        value(out, row)
    }))
}

fn value(array: &dyn Array) -> Result<Cell<'_>, ArrowError> {
    macro_rules! integer {
        ($ty:ty) => {{
            let values = array.as_primitive::<$ty>();
            Box::new(move |out: &mut Vec<u8>, row| {
                out.extend_from_slice(itoa::Buffer::new().format(values.value(row)).as_bytes());
                Ok(())
            })
        }};
    }
    macro_rules! float {
        ($ty:ty) => {{
            let values = array.as_primitive::<$ty>();
            Box::new(move |out: &mut Vec<u8>, row| {
                number(out, f64::from(values.value(row)), &mut |out| {
                    out.extend_from_slice(ryu::Buffer::new().format_finite(values.value(row)).as_bytes())
                });
                Ok(())
            })
        }};
    }
    Ok(match array.data_type() {
        DataType::Null => Box::new(|out, _| {
            out.extend_from_slice(b"null");
            Ok(())
        }),
        DataType::Boolean => {
            let values = array.as_boolean();
            Box::new(move |out, row| {
                out.extend_from_slice(if values.value(row) { b"true" } else { b"false" });
                Ok(())
            })
        }
        DataType::Int8 => integer!(Int8Type),
        DataType::Int16 => integer!(Int16Type),
        DataType::Int32 => integer!(Int32Type),
        DataType::Int64 => integer!(Int64Type),
        DataType::UInt8 => integer!(UInt8Type),
        DataType::UInt16 => integer!(UInt16Type),
        DataType::UInt32 => integer!(UInt32Type),
        DataType::UInt64 => integer!(UInt64Type),
        DataType::Float32 => float!(Float32Type),
        DataType::Float64 => float!(Float64Type),
        DataType::Utf8 => {
            let values = array.as_string::<i32>();
            Box::new(move |out, row| {
                string(out, values.value(row));
                Ok(())
            })
        }
        DataType::Utf8View => {
            let values = array.as_string_view();
            Box::new(move |out, row| {
                string(out, values.value(row));
                Ok(())
            })
        }
        DataType::Decimal128(_, scale) => {
            let (values, scale) = (array.as_primitive::<Decimal128Type>(), *scale);
            Box::new(move |out, row| {
                if scale == 0 {
                    out.extend_from_slice(values.value(row).to_string().as_bytes());
                } else {
                    out.extend_from_slice(values.value_as_string(row).as_bytes());
                }
                Ok(())
            })
        }
        DataType::Timestamp(unit, _) => timestamp(array, *unit),
        DataType::Date32 => {
            let values = array.as_primitive::<Date32Type>();
            Box::new(move |out, row| {
                instant(out, i64::from(values.value(row)).checked_mul(86_400_000_000_000));
                Ok(())
            })
        }
        _ => {
            let options = FormatOptions::default();
            let formatter = ArrayFormatter::try_new(array, &options)?.to_string_fn();
            Box::new(move |out, row| {
                string(out, &formatter(row)?);
                Ok(())
            })
        }
    })
}

/// The text form of types that JSON has no shape for.
trait ToStringFn<'a> {
    fn to_string_fn(self) -> Box<dyn Fn(usize) -> Result<String, ArrowError> + 'a>;
}

impl<'a> ToStringFn<'a> for ArrayFormatter<'a> {
    fn to_string_fn(self) -> Box<dyn Fn(usize) -> Result<String, ArrowError> + 'a> {
        Box::new(move |row| self.value(row).try_to_string())
    }
}

fn number(out: &mut Vec<u8>, value: f64, finite: &mut dyn FnMut(&mut Vec<u8>)) {
    if value.is_finite() { finite(out) } else { out.extend_from_slice(b"null") }
}

fn timestamp(array: &dyn Array, unit: TimeUnit) -> Cell<'_> {
    macro_rules! stamped {
        ($ty:ty, $scale:expr) => {{
            let values = array.as_primitive::<$ty>();
            Box::new(move |out: &mut Vec<u8>, row| {
                let value: i64 = values.value(row);
                match value.checked_mul($scale) {
                    Some(ns) => instant(out, Some(ns)),
                    // beyond 1677 to 2262 nanoseconds do not fit; microseconds do
                    None => wide(out, value, $scale),
                }
                Ok(())
            })
        }};
    }
    match unit {
        TimeUnit::Second => stamped!(TimestampSecondType, 1_000_000_000),
        TimeUnit::Millisecond => stamped!(TimestampMillisecondType, 1_000_000),
        TimeUnit::Microsecond => stamped!(TimestampMicrosecondType, 1_000),
        TimeUnit::Nanosecond => stamped!(TimestampNanosecondType, 1),
    }
}

fn instant(out: &mut Vec<u8>, ns: Option<i64>) {
    let Some(ns) = ns else {
        out.extend_from_slice(b"null");
        return;
    };
    write_time(out, DateTime::<Utc>::from_timestamp_nanos(ns));
}

fn wide(out: &mut Vec<u8>, value: i64, scale: i64) {
    let per_second = 1_000_000_000 / scale;
    let ns = (value.rem_euclid(per_second) * scale) as u32;
    match DateTime::<Utc>::from_timestamp(value.div_euclid(per_second), ns) {
        Some(time) => write_time(out, time),
        None => out.extend_from_slice(b"null"),
    }
}

fn write_time(out: &mut Vec<u8>, time: DateTime<Utc>) {
    let format = match time.timestamp_subsec_nanos() {
        0 => SecondsFormat::Secs,
        ns if ns % 1_000_000 == 0 => SecondsFormat::Millis,
        ns if ns % 1_000 == 0 => SecondsFormat::Micros,
        _ => SecondsFormat::Nanos,
    };
    out.push(b'"');
    out.extend_from_slice(time.to_rfc3339_opts(format, true).as_bytes());
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Decimal128Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};

    use super::*;

    #[test]
    fn every_value_keeps_its_meaning() {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("i", Arc::new(Int64Array::from(vec![Some(i64::MAX), None]))),
            ("f", Arc::new(Float64Array::from(vec![0.1, f64::NAN]))),
            ("s", Arc::new(StringArray::from(vec!["a\"\\\n\u{1}é", ""]))),
            ("t", Arc::new(TimestampMicrosecondArray::from(vec![-1, 253_402_300_799_999_999]).with_timezone("UTC"))),
            (
                "d",
                Arc::new(
                    Decimal128Array::from(vec![i128::from(i64::MAX) * 10, -5]).with_precision_and_scale(30, 0).unwrap(),
                ),
            ),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let (mut out, mut first) = (Vec::new(), true);
        rows(&mut out, &batch, &mut first).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                r#"[9223372036854775807,0.1,"a\"\\\n\u0001é","1969-12-31T23:59:59.999999Z",92233720368547758070],"#,
                r#"[null,null,"","9999-12-31T23:59:59.999999Z",-5]"#
            )
        );
    }
}
