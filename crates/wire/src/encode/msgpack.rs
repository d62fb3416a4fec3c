//! Arc's envelope with `data` by columns. A column's length stands before its values, so values wait for the end of
//! the rows: in memory, and beyond a bound put aside.
//!
//! Integers, floats (NaN and infinities too), booleans, text and binary values are what they are; times are integers
//! in the unit that `types` names, dates days since 1970, decimals numbers, intervals and times of day text.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int64Type, SchemaRef, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt64Type,
};

use super::cell::{Cell, or_null, texts};
use super::csv::CsvStyle;
use super::{Aside, EncodeError, Encoder, Ending, Left, Profile, type_name};

/// Bytes of values that wait in memory.
const WAITING_BYTES: usize = 4 << 20;
/// Bytes after which the rest of an answer waits for the next call.
const PIECE_BYTES: usize = 256 << 10;

const NIL: u8 = 0xc0;

fn map(out: &mut Vec<u8>, len: usize) {
    head(out, len, (0x80, 16), None, 0xde, 0xdf);
}

fn array(out: &mut Vec<u8>, len: usize) {
    head(out, len, (0x90, 16), None, 0xdc, 0xdd);
}

fn text(out: &mut Vec<u8>, text: &str) {
    head(out, text.len(), (0xa0, 32), Some(0xd9), 0xda, 0xdb);
    out.extend_from_slice(text.as_bytes());
}

fn binary(out: &mut Vec<u8>, bytes: &[u8]) {
    head(out, bytes.len(), (0, 0), Some(0xc4), 0xc5, 0xc6);
    out.extend_from_slice(bytes);
}

/// The shortest form of a length: within one byte (below a bound), or behind a byte in 8, 16 or 32 bits. Lengths of
/// Arrow's arrays fit 32 bits.
fn head(out: &mut Vec<u8>, len: usize, (fixed, below): (u8, usize), in_8: Option<u8>, in_16: u8, in_32: u8) {
    if len < below {
        out.push(fixed | len as u8);
    } else if let (Some(byte), true) = (in_8, len <= usize::from(u8::MAX)) {
        out.extend([byte, len as u8]);
    } else if len <= usize::from(u16::MAX) {
        out.push(in_16);
        out.extend((len as u16).to_be_bytes());
    } else {
        out.push(in_32);
        out.extend((len as u32).to_be_bytes());
    }
}

fn unsigned(out: &mut Vec<u8>, value: u64) {
    match value {
        0..=0x7f => out.push(value as u8),
        0x80..=0xff => out.extend([0xcc, value as u8]),
        0x100..=0xffff => {
            out.push(0xcd);
            out.extend((value as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(0xce);
            out.extend((value as u32).to_be_bytes());
        }
        _ => {
            out.push(0xcf);
            out.extend(value.to_be_bytes());
        }
    }
}

fn signed(out: &mut Vec<u8>, value: i64) {
    match value {
        0.. => unsigned(out, value as u64),
        -0x20..0 => out.push(value as u8),
        -0x80..-0x20 => out.extend([0xd0, value as u8]),
        -0x8000..-0x80 => {
            out.push(0xd1);
            out.extend((value as i16).to_be_bytes());
        }
        -0x8000_0000..-0x8000 => {
            out.push(0xd2);
            out.extend((value as i32).to_be_bytes());
        }
        _ => {
            out.push(0xd3);
            out.extend(value.to_be_bytes());
        }
    }
}

fn float(out: &mut Vec<u8>, value: f64) {
    out.push(0xcb);
    out.extend(value.to_be_bytes());
}

fn cell(name: &str, array: &ArrayRef) -> Result<Cell, EncodeError> {
    Ok(or_null(array, &[NIL], value(name, array)?))
}

fn value(name: &str, array_of: &ArrayRef) -> Result<Cell, EncodeError> {
    macro_rules! primitive {
        ($ty:ty, $write:expr) => {{
            let values = array_of.as_primitive::<$ty>().clone();
            Box::new(move |out: &mut Vec<u8>, row| $write(out, values.value(row)))
        }};
    }
    let cast_to = |ty: &DataType| -> Result<Cell, EncodeError> { cell(name, &cast(array_of, ty)?) };
    Ok(match array_of.data_type() {
        DataType::Null => Box::new(|out, _| out.push(NIL)),
        DataType::Boolean => {
            let values = array_of.as_boolean().clone();
            Box::new(move |out, row| out.push(if values.value(row) { 0xc3 } else { 0xc2 }))
        }
        DataType::Int8 | DataType::Int16 | DataType::Int32 => cast_to(&DataType::Int64)?,
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => cast_to(&DataType::UInt64)?,
        DataType::Int64 => primitive!(Int64Type, signed),
        DataType::UInt64 => primitive!(UInt64Type, unsigned),
        DataType::Float16 => cast_to(&DataType::Float32)?,
        DataType::Float32 => primitive!(Float32Type, |out: &mut Vec<u8>, value: f32| {
            out.push(0xca);
            out.extend(value.to_be_bytes());
        }),
        DataType::Float64 => primitive!(Float64Type, float),
        DataType::Utf8View => {
            let values = array_of.as_string_view().clone();
            Box::new(move |out, row| text(out, values.value(row)))
        }
        DataType::Utf8 => {
            let values = array_of.as_string::<i32>().clone();
            Box::new(move |out, row| text(out, values.value(row)))
        }
        DataType::LargeUtf8 => cast_to(&DataType::Utf8View)?,
        DataType::Binary => {
            let values = array_of.as_binary::<i32>().clone();
            Box::new(move |out, row| binary(out, values.value(row)))
        }
        DataType::BinaryView | DataType::LargeBinary | DataType::FixedSizeBinary(_) => cast_to(&DataType::Binary)?,
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => cast_to(&DataType::Decimal128(*p, *s))?,
        DataType::Decimal128(_, 0) => primitive!(Decimal128Type, |out: &mut Vec<u8>, value: i128| {
            match (u64::try_from(value), i64::try_from(value)) {
                (Ok(value), _) => unsigned(out, value),
                (_, Ok(value)) => signed(out, value),
                _ => float(out, value as f64),
            }
        }),
        DataType::Decimal128(..) | DataType::Decimal256(..) => cast_to(&DataType::Float64)?,
        DataType::Timestamp(TimeUnit::Second, _) => primitive!(TimestampSecondType, signed),
        DataType::Timestamp(TimeUnit::Millisecond, _) => primitive!(TimestampMillisecondType, signed),
        DataType::Timestamp(TimeUnit::Microsecond, _) => primitive!(TimestampMicrosecondType, signed),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => primitive!(TimestampNanosecondType, signed),
        DataType::Date32 => primitive!(Date32Type, |out: &mut Vec<u8>, value: i32| signed(out, i64::from(value))),
        DataType::Date64 => cast_to(&DataType::Date32)?,
        DataType::Dictionary(_, values) => cast_to(values)?,
        DataType::List(_) => {
            let list = array_of.as_list::<i32>();
            let (offsets, item) = (list.offsets().clone(), cell(name, list.values())?);
            Box::new(move |out, row| {
                let (from, to) = (offsets[row] as usize, offsets[row + 1] as usize);
                array(out, to - from);
                (from..to).for_each(|i| item(out, i));
            })
        }
        DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => cast_to(&DataType::List(item.clone()))?,
        DataType::Struct(fields) => {
            let columns = array_of.as_struct().columns();
            let inner = columns.iter().zip(fields).map(|(c, f)| Ok((f.name().clone(), cell(name, c)?)));
            let inner = inner.collect::<Result<Vec<_>, EncodeError>>()?;
            Box::new(move |out, row| {
                map(out, inner.len());
                inner.iter().for_each(|(key, value)| {
                    text(out, key);
                    value(out, row);
                });
            })
        }
        DataType::Map(..) => {
            let entries = array_of.as_map();
            let offsets = entries.offsets().clone();
            let (keys, values) = (cell(name, entries.keys())?, cell(name, entries.values())?);
            Box::new(move |out, row| {
                let (from, to) = (offsets[row] as usize, offsets[row + 1] as usize);
                map(out, to - from);
                (from..to).for_each(|i| {
                    keys(out, i);
                    values(out, i);
                });
            })
        }
        DataType::Time32(_) | DataType::Time64(_) | DataType::Duration(_) | DataType::Interval(_) => {
            cell(name, &texts::<CsvStyle>(name, array_of)?)?
        }
        other @ (DataType::Union(..) | DataType::RunEndEncoded(..)) => {
            let (column, ty) = (name.to_owned(), other.to_string());
            return Err(EncodeError::Unsupported { column, ty, format: "MessagePack" });
        }
    })
}

/// Values of one column that wait.
#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// Where earlier ones were put, and how long they are.
    aside: Vec<(u64, usize)>,
}

/// How far the end of an answer is.
#[derive(Debug, Default)]
struct Sent {
    columns: usize,
    parts: usize,
}

pub(super) struct Columns {
    schema: SchemaRef,
    warning: Option<String>,
    with_profile: bool,
    aside: Box<dyn Aside>,
    columns: Vec<Waiting>,
    sent: Sent,
}

impl Columns {
    pub fn new(schema: &SchemaRef, warning: Option<String>, with_profile: bool, aside: Box<dyn Aside>) -> Self {
        let columns = schema.fields().iter().map(|_| Waiting::default()).collect();
        Self { schema: SchemaRef::clone(schema), warning, with_profile, aside, columns, sent: Sent::default() }
    }
}

impl Encoder for Columns {
    fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let warning = self.warning.take();
        map(out, 7 + usize::from(self.with_profile) + usize::from(warning.is_some()));
        text(out, "success");
        out.push(0xc3);
        if let Some(warning) = warning {
            text(out, "warning");
            text(out, &warning);
        }
        text(out, "columns");
        array(out, self.columns.len());
        self.schema.fields().iter().for_each(|f| text(out, f.name()));
        text(out, "types");
        array(out, self.columns.len());
        self.schema.fields().iter().for_each(|f| text(out, &type_name(f.data_type())));
        text(out, "data");
        array(out, self.columns.len());
        Ok(())
    }

    fn batch(&mut self, _: &mut Vec<u8>, batch: &RecordBatch) -> Result<(), EncodeError> {
        for ((waiting, column), field) in self.columns.iter_mut().zip(batch.columns()).zip(self.schema.fields()) {
            let write = cell(field.name(), column)?;
            (0..batch.num_rows()).for_each(|row| write(&mut waiting.bytes, row));
        }
        if self.columns.iter().map(|c| c.bytes.len()).sum::<usize>() > WAITING_BYTES {
            for waiting in self.columns.iter_mut().filter(|c| !c.bytes.is_empty()) {
                waiting.aside.push((self.aside.put(&waiting.bytes)?, waiting.bytes.len()));
                waiting.bytes.clear();
            }
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<u8>, ending: &Ending) -> Result<Left, EncodeError> {
        while let Some(waiting) = self.columns.get_mut(self.sent.columns) {
            if self.sent.parts == 0 {
                let rows = u32::try_from(ending.rows).map_err(|_| EncodeError::TooManyRows)?;
                array(out, rows as usize);
            }
            if let Some((at, len)) = waiting.aside.get(self.sent.parts).copied() {
                self.sent.parts += 1;
                let start = out.len();
                out.resize(start + len, 0);
                self.aside.get(at, &mut out[start..])?;
            } else {
                out.append(&mut waiting.bytes);
                self.sent = Sent { columns: self.sent.columns + 1, parts: 0 };
            }
            if out.len() >= PIECE_BYTES {
                return Ok(Left::More);
            }
        }
        text(out, "row_count");
        unsigned(out, ending.rows);
        text(out, "execution_time_ms");
        unsigned(out, u64::try_from(ending.elapsed.as_millis()).unwrap_or(u64::MAX));
        text(out, "timestamp");
        text(out, &ending.timestamp);
        if self.with_profile {
            let profile = ending.profile.unwrap_or_default();
            let Profile { total_ms, planner_ms, execution_ms, rows_scanned, latency_ms } = profile;
            text(out, "profile");
            map(out, 5);
            for (name, ms) in [
                ("total_ms", total_ms),
                ("planner_ms", planner_ms),
                ("execution_ms", execution_ms),
                ("latency_ms", latency_ms),
            ] {
                text(out, name);
                float(out, ms);
            }
            text(out, "rows_scanned");
            unsigned(out, rows_scanned);
        }
        Ok(Left::Nothing)
    }
}
