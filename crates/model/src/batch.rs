use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array};
use arrow::buffer::ScalarBuffer;
use arrow::compute;

use crate::column::Role;

/// One column of a [`Batch`]: `array` is `Null`, `Boolean`, `Int64`, `UInt64`, `Float64` or
/// `Dictionary(UInt32, Utf8)`, as long as the batch.
#[derive(Debug, Clone)]
pub struct BatchColumn {
    /// As the client spelled it.
    pub name: Arc<str>,
    pub role: Role,
    pub array: ArrayRef,
}

/// The rows of one table as a decoder leaves them: columns by name, before they meet the schema.
#[derive(Debug, Clone)]
pub struct Batch {
    /// As the client spelled it.
    pub table: Arc<str>,
    /// UTC microseconds of each row.
    pub time: ScalarBuffer<i64>,
    /// Nanoseconds (0–999) below the microsecond; absent when all are zero.
    pub time_ns: Option<ScalarBuffer<i16>>,
    pub columns: Vec<BatchColumn>,
    /// The client's number of each row (line or item, from 1); empty when nobody would report it.
    pub origin: Vec<u32>,
}

impl Batch {
    pub fn rows(&self) -> usize {
        self.time.len()
    }

    /// Rows × columns, the unit of `limits::REQUEST_CELLS`.
    pub fn cells(&self) -> usize {
        self.rows() * (self.columns.len() + 1)
    }

    /// Bytes of all arrays.
    pub fn memory_bytes(&self) -> usize {
        self.time.len() * 8 + self.columns.iter().map(|c| c.array.get_buffer_memory_size()).sum::<usize>()
    }

    /// The batch without the rows for which `drop` is true; columns that lose every value stay.
    pub fn without_rows(&self, drop: &[bool]) -> Batch {
        let keep: BooleanArray = drop.iter().map(|d| Some(!d)).collect();
        let filter = |a: &dyn Array| compute::filter(a, &keep).expect("mask and column have one length");
        let time = Int64Array::new(self.time.clone(), None);
        let time = filter(&time);
        let kept = |i: &usize| !drop[*i];
        Batch {
            table: Arc::clone(&self.table),
            time: arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(&time).values().clone(),
            time_ns: self
                .time_ns
                .as_ref()
                .map(|ns| ScalarBuffer::from((0..ns.len()).filter(kept).map(|i| ns[i]).collect::<Vec<_>>())),
            columns: self
                .columns
                .iter()
                .map(|c| BatchColumn { name: Arc::clone(&c.name), role: c.role, array: filter(&c.array) })
                .collect(),
            origin: (0..self.origin.len()).filter(kept).map(|i| self.origin[i]).collect(),
        }
    }
}
