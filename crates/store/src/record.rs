//! The body of a log record: one request, normalised, by table and column ids.
//!
//! Little-endian, unaligned:
//! ```text
//! record  := parts u32, part*, key
//! part    := table u64, rows u32, columns u32, column*
//! column  := id u32, kind u8, form u8, [validity ⌈rows/8⌉ if form 1], [count u32, rows u32 × count if form 2], values
//! form    := 0 a value in each row | 1 a value where the validity bit is set | 2 values in the named rows only
//! values  := 1 timestamp | 2 int64 | 3 uint64 | 4 float64: rows × 8
//!          | 5 int16: rows × 2 | 6 bool: ⌈rows/8⌉
//!          | 7 string: distinct u32, bytes u32, ends u32 × distinct, text, width u8, keys rows × width
//! key     := 0 u8 | 1 u8, key [32], body [32], answer length u32, answer
//! ```
//! The group around it carries the checksum (see [`crate::log`]), so a body that fails to parse was
//! written by another version.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, DictionaryArray, PrimitiveArray, StringArray, TimestampMicrosecondArray,
    UInt32Array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float64Type, Int16Type, Int64Type, TimestampMicrosecondType, ToByteSlice, UInt32Type,
    UInt64Type,
};
use model::{ColumnId, TableId, limits};

use crate::error::{Error, Result};

/// Rows of one table in a record.
#[derive(Debug, Clone)]
pub struct Part {
    pub table: TableId,
    pub rows: usize,
    pub time_min: i64,
    pub time_max: i64,
    /// `time` first; strings as `Dictionary(UInt32, Utf8)`.
    pub columns: Vec<(ColumnId, PartColumn)>,
}

impl Part {
    /// What its rows take in memory: their buffers, and a chunk's and each column's own bytes.
    pub fn bytes(&self) -> usize {
        256 + self.columns.iter().map(|(_, c)| c.bytes() + 64).sum::<usize>()
    }
}

/// One column of a part. A table of a thousand columns of which each row has ten would else be
/// padded to a hundred times its size on every way it takes.
#[derive(Debug, Clone)]
pub struct PartColumn {
    /// The rows that have a value, rising; `None`: `values` has one place a row.
    pub at: Option<ScalarBuffer<u32>>,
    pub values: ArrayRef,
}

impl PartColumn {
    /// Keeps only the values where hardly any row has one.
    pub fn new(array: ArrayRef) -> Self {
        match mostly_null(array.nulls()) {
            None => Self { at: None, values: array },
            Some(at) => {
                let values = compute::take(&array, &at, None).expect("the rows are the array's own");
                Self { at: Some(at.values().clone()), values }
            }
        }
    }

    /// Bytes of its buffers.
    pub fn bytes(&self) -> usize {
        self.values.get_buffer_memory_size() + self.at.as_ref().map_or(0, |at| at.len() * 4)
    }
}

/// The rows with a value, where these are so few that naming them is smaller than room for all.
pub fn mostly_null(nulls: Option<&NullBuffer>) -> Option<UInt32Array> {
    let nulls = nulls?;
    let present = nulls.len() - nulls.null_count();
    (nulls.len() >= limits::SPARSE_ROWS && present * limits::SPARSE_SHARE < nulls.len())
        .then(|| nulls.valid_indices().map(|i| i as u32).collect::<Vec<_>>().into())
}

/// What makes a request recognisable when it comes again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Hash of token, route, database and the client's key.
    pub key: [u8; 32],
    /// Hash of the decoded request's bytes.
    pub body: [u8; 32],
    /// The answer's body unless it was a plain 204.
    pub answer: Vec<u8>,
}

/// Encodes a record body.
pub fn encode(parts: &[Part], key: Option<&IdempotencyKey>) -> Vec<u8> {
    let bytes: usize = parts.iter().flat_map(|p| &p.columns).map(|(_, c)| c.bytes() + 16).sum();
    let mut out = Vec::with_capacity(bytes + 256);
    put_u32(&mut out, parts.len());
    for part in parts {
        out.extend_from_slice(&part.table.0.to_le_bytes());
        put_u32(&mut out, part.rows);
        put_u32(&mut out, part.columns.len());
        for (id, column) in &part.columns {
            encode_column(&mut out, *id, column);
        }
    }
    match key {
        None => out.push(0),
        Some(key) => {
            out.push(1);
            out.extend_from_slice(&key.key);
            out.extend_from_slice(&key.body);
            put_u32(&mut out, key.answer.len());
            out.extend_from_slice(&key.answer);
        }
    }
    out
}

fn put_u32(out: &mut Vec<u8>, value: usize) {
    out.extend_from_slice(&u32::try_from(value).expect("requests are bounded far below 4 Gi").to_le_bytes());
}

fn encode_column(out: &mut Vec<u8>, id: ColumnId, column: &PartColumn) {
    let array = &column.values;
    put_u32(out, id.0 as usize);
    let kind = match array.data_type() {
        DataType::Timestamp(..) => 1,
        DataType::Int64 => 2,
        DataType::UInt64 => 3,
        DataType::Float64 => 4,
        DataType::Int16 => 5,
        DataType::Boolean => 6,
        DataType::Dictionary(..) => 7,
        other => unreachable!("{other} is no stored type"),
    };
    out.push(kind);
    match (&column.at, array.nulls().filter(|n| n.null_count() > 0)) {
        (Some(at), _) => {
            out.push(2);
            put_u32(out, at.len());
            out.extend_from_slice(at.to_byte_slice());
        }
        (None, None) => out.push(0),
        (None, Some(nulls)) => {
            out.push(1);
            put_bits(out, nulls.inner());
        }
    }
    match kind {
        1 => out.extend_from_slice(array.as_primitive::<TimestampMicrosecondType>().values().to_byte_slice()),
        2 => out.extend_from_slice(array.as_primitive::<Int64Type>().values().to_byte_slice()),
        3 => out.extend_from_slice(array.as_primitive::<UInt64Type>().values().to_byte_slice()),
        4 => out.extend_from_slice(array.as_primitive::<Float64Type>().values().to_byte_slice()),
        5 => out.extend_from_slice(array.as_primitive::<Int16Type>().values().to_byte_slice()),
        6 => put_bits(out, array.as_boolean().values()),
        _ => encode_strings(out, array),
    }
}

fn put_bits(out: &mut Vec<u8>, bits: &BooleanBuffer) {
    let sliced = bits.sliced();
    out.extend_from_slice(&sliced.as_slice()[..bits.len().div_ceil(8)]);
}

fn encode_strings(out: &mut Vec<u8>, array: &ArrayRef) {
    let dictionary = array.as_dictionary::<UInt32Type>();
    let values = dictionary.values().as_string::<i32>();
    let offsets = values.value_offsets();
    let first = offsets[0];
    put_u32(out, values.len());
    put_u32(out, (offsets[values.len()] - first) as usize);
    for end in &offsets[1..] {
        out.extend_from_slice(&((end - first) as u32).to_le_bytes());
    }
    out.extend_from_slice(&values.value_data()[first as usize..offsets[values.len()] as usize]);
    let keys = dictionary.keys().values();
    match values.len() {
        0..=0x100 => {
            out.push(1);
            out.extend(keys.iter().map(|k| *k as u8));
        }
        0x101..=0x1_0000 => {
            out.push(2);
            out.extend(keys.iter().flat_map(|k| (*k as u16).to_le_bytes()));
        }
        _ => {
            out.push(4);
            out.extend_from_slice(keys.to_byte_slice());
        }
    }
}

/// Decodes a record body.
pub fn decode(body: &[u8]) -> Result<(Vec<Part>, Option<IdempotencyKey>)> {
    let mut cursor = Cursor { body };
    let parts = (0..cursor.u32()?).map(|_| decode_part(&mut cursor)).collect::<Result<Vec<_>>>()?;
    let key = match cursor.u8()? {
        0 => None,
        _ => {
            let key = cursor.array::<32>()?;
            let body = cursor.array::<32>()?;
            let answer = cursor.u32()? as usize;
            Some(IdempotencyKey { key, body, answer: cursor.take(answer)?.to_vec() })
        }
    };
    Ok((parts, key))
}

fn decode_part(cursor: &mut Cursor<'_>) -> Result<Part> {
    let table = TableId(u64::from_le_bytes(cursor.array()?));
    let rows = cursor.u32()? as usize;
    let columns = (0..cursor.u32()?).map(|_| decode_column(cursor, rows)).collect::<Result<Vec<_>>>()?;
    let time = columns
        .first()
        .filter(|(_, c)| c.at.is_none())
        .and_then(|(_, c)| c.values.as_any().downcast_ref::<TimestampMicrosecondArray>())
        .ok_or_else(|| Error::Log("a record part does not begin with time".into()))?;
    let (time_min, time_max) = time.values().iter().fold((i64::MAX, i64::MIN), |(lo, hi), t| (lo.min(*t), hi.max(*t)));
    Ok(Part { table, rows, time_min, time_max, columns })
}

fn decode_column(cursor: &mut Cursor<'_>, part_rows: usize) -> Result<(ColumnId, PartColumn)> {
    let id = ColumnId(u64::from(cursor.u32()?));
    let kind = cursor.u8()?;
    let (nulls, at) = match cursor.u8()? {
        0 => (None, None),
        1 => (Some(NullBuffer::new(cursor.bits(part_rows)?)), None),
        2 => (None, Some(decode_rows(cursor, part_rows)?)),
        other => return Err(Error::Log(format!("column form {other} in a record is unknown"))),
    };
    let rows = at.as_ref().map_or(part_rows, |at| at.len());
    let array: ArrayRef = match kind {
        1 => {
            let values = primitive::<TimestampMicrosecondType>(cursor, rows, nulls)?;
            Arc::new(values.with_timezone("UTC"))
        }
        2 => Arc::new(primitive::<Int64Type>(cursor, rows, nulls)?),
        3 => Arc::new(primitive::<UInt64Type>(cursor, rows, nulls)?),
        4 => Arc::new(primitive::<Float64Type>(cursor, rows, nulls)?),
        5 => Arc::new(primitive::<Int16Type>(cursor, rows, nulls)?),
        6 => Arc::new(BooleanArray::new(cursor.bits(rows)?, nulls)),
        7 => decode_strings(cursor, rows, nulls)?,
        other => return Err(Error::Log(format!("column kind {other} in a record is unknown"))),
    };
    Ok((id, PartColumn { at, values: array }))
}

fn decode_rows(cursor: &mut Cursor<'_>, part_rows: usize) -> Result<ScalarBuffer<u32>> {
    let count = cursor.u32()? as usize;
    let raw = cursor.take(count.saturating_mul(4))?;
    let at: Vec<u32> = raw.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    if !at.is_sorted_by(|a, b| a < b) || at.last().is_some_and(|last| *last as usize >= part_rows) {
        return Err(Error::Log("a record names rows that its part does not have".into()));
    }
    Ok(at.into())
}

fn primitive<T: ArrowPrimitiveType>(
    cursor: &mut Cursor<'_>,
    rows: usize,
    nulls: Option<NullBuffer>,
) -> Result<PrimitiveArray<T>> {
    let bytes = cursor.take(rows * size_of::<T::Native>())?;
    // copied, so that the buffer is aligned and the segment it came from can go
    let mut buffer = arrow::buffer::MutableBuffer::new(bytes.len());
    buffer.extend_from_slice(bytes);
    Ok(PrimitiveArray::new(ScalarBuffer::new(buffer.into(), 0, rows), nulls))
}

fn decode_strings(cursor: &mut Cursor<'_>, rows: usize, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
    let distinct = cursor.u32()? as usize;
    let bytes = cursor.u32()? as usize;
    // what a number promises is there before it is made room for
    let ends = cursor.take(distinct.saturating_mul(4))?.chunks_exact(4);
    let ends = ends.map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let offsets: Vec<i32> = [0].into_iter().chain(ends).collect();
    if !offsets.is_sorted() {
        return Err(Error::Log("the texts of a record do not follow one another".into()));
    }
    let text = Buffer::from(cursor.take(bytes)?);
    let values = StringArray::try_new(OffsetBuffer::new(offsets.into()), text, None)?;
    let width = cursor.u8()? as usize;
    let raw = cursor.take(rows * width)?;
    let keys: Vec<u32> = match width {
        1 => raw.iter().map(|b| u32::from(*b)).collect(),
        2 => raw.chunks_exact(2).map(|b| u32::from(u16::from_le_bytes([b[0], b[1]]))).collect(),
        4 => raw.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        other => return Err(Error::Log(format!("key width {other} in a record is unknown"))),
    };
    Ok(Arc::new(DictionaryArray::try_new(UInt32Array::new(keys.into(), nulls), Arc::new(values))?))
}

struct Cursor<'a> {
    body: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        if n > self.body.len() {
            return Err(Error::Log("a record body ends in the middle of a column".into()));
        }
        let (head, rest) = self.body.split_at(n);
        self.body = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N)?.try_into().expect("the slice has N bytes"))
    }

    fn u8(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn bits(&mut self, rows: usize) -> Result<BooleanBuffer> {
        let bytes = self.take(rows.div_ceil(8))?;
        Ok(BooleanBuffer::new(Buffer::from(bytes), 0, rows))
    }
}

#[cfg(test)]
mod tests;
