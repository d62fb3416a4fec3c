//! One row a point: in a `last` table rows of equal tags, `time` and `time_ns` are versions of one
//! point, and field by field the last value that is not null is the point's.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int16Array, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, partition, take};
use arrow::datatypes::Int16Type;

use crate::error::Result;
use crate::view::DataFile;

/// Batches sorted by point, versions in the order of the log, to batches of one row a point. The last
/// point of a batch waits for the next.
#[derive(Debug)]
pub struct Points {
    /// Positions of the tags and of `time`.
    keys: Vec<usize>,
    /// Position of `time_ns`, of which null is zero.
    ns: Option<usize>,
    held: Option<RecordBatch>,
}

impl Points {
    pub fn new(keys: Vec<usize>, ns: Option<usize>) -> Self {
        Self { keys, ns, held: None }
    }

    /// Takes rows in; gives those that no later row can change.
    ///
    /// # Errors
    /// The key columns cannot be compared.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<Vec<RecordBatch>> {
        let runs = self.runs(batch)?;
        let (Some(first), Some(last)) = (runs.first(), runs.last()) else { return Ok(Vec::new()) };
        let mut out = Vec::new();
        let mut head = collapse(batch, std::slice::from_ref(first))?;
        if let Some(held) = self.held.take() {
            let both = concat_batches(&batch.schema(), [&held, &head])?;
            match self.runs(&both)?.as_slice() {
                [one] => head = collapse(&both, std::slice::from_ref(one))?,
                _ => out.push(held),
            }
        }
        if runs.len() == 1 {
            self.held = Some(head);
            return Ok(out);
        }
        out.push(head);
        if runs.len() > 2 {
            out.push(collapse(batch, &runs[1..runs.len() - 1])?);
        }
        self.held = Some(collapse(batch, std::slice::from_ref(last))?);
        Ok(out)
    }

    /// The last point.
    pub fn finish(&mut self) -> Option<RecordBatch> {
        self.held.take()
    }

    /// Rows of equal keys; null equals null.
    fn runs(&self, batch: &RecordBatch) -> Result<Vec<Range<usize>>> {
        if batch.num_rows() == 0 {
            return Ok(Vec::new());
        }
        let mut keys: Vec<ArrayRef> = self.keys.iter().map(|at| Arc::clone(batch.column(*at))).collect();
        if let Some(at) = self.ns {
            keys.push(whole_ns(batch.column(at)));
        }
        Ok(partition(&keys)?.ranges())
    }
}

/// `time_ns` as a key: absent nanoseconds are zero.
pub(crate) fn whole_ns(column: &ArrayRef) -> ArrayRef {
    let ns = column.as_primitive::<Int16Type>();
    Arc::new(ns.iter().map(|v| Some(v.unwrap_or(0))).collect::<Int16Array>())
}

/// One row of each of `runs`, which follow one another without a gap.
fn collapse(batch: &RecordBatch, runs: &[Range<usize>]) -> Result<RecordBatch> {
    let (from, to) = (runs[0].start, runs[runs.len() - 1].end);
    if to - from == runs.len() {
        return Ok(batch.slice(from, to - from));
    }
    let last = UInt32Array::from_iter_values(runs.iter().map(|run| run.end as u32 - 1));
    let column = |array: &ArrayRef| {
        if array.null_count() == 0 {
            return take(array, &last, None);
        }
        let newest =
            |run: &Range<usize>| run.clone().rev().find(|row| array.is_valid(*row)).unwrap_or(run.end - 1) as u32;
        take(array, &UInt32Array::from_iter_values(runs.iter().map(newest)), None)
    };
    let arrays = batch.columns().iter().map(column).collect::<Result<Vec<_>, _>>()?;
    Ok(RecordBatch::try_new(batch.schema(), arrays)?)
}

/// Files that overlap in time, directly or by others between them: only within such a group may a
/// point have several versions. Files of a group stand in the order of the log.
pub fn groups<'a>(files: impl IntoIterator<Item = &'a Arc<DataFile>>) -> Vec<Vec<Arc<DataFile>>> {
    let mut files: Vec<Arc<DataFile>> = files.into_iter().cloned().collect();
    files.sort_by_key(|f| (f.time_min, f.id));
    let mut groups: Vec<Vec<Arc<DataFile>>> = Vec::new();
    let mut end = i64::MIN;
    for file in files {
        let time_max = file.time_max;
        match groups.last_mut().filter(|_| file.time_min <= end) {
            Some(group) => group.push(file),
            None => groups.push(vec![file]),
        }
        end = end.max(time_max);
    }
    groups.iter_mut().for_each(|group| group.sort_by_key(|f| (f.lsn_max, f.id)));
    groups
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::array::{Int64Array, StringArray};
    use proptest::prelude::*;

    use super::*;

    type Key = (Option<u8>, i64, i16);
    type Fields = (Option<i64>, Option<i64>);
    type Version = (Option<u8>, i64, Option<i16>, Option<i64>, Option<i64>);

    fn batch(rows: &[Version]) -> RecordBatch {
        let tags: StringArray = rows.iter().map(|r| r.0.map(|t| t.to_string())).collect();
        let times: Int64Array = rows.iter().map(|r| Some(r.1)).collect();
        let ns: Int16Array = rows.iter().map(|r| r.2).collect();
        let a: Int64Array = rows.iter().map(|r| r.3).collect();
        let b: Int64Array = rows.iter().map(|r| r.4).collect();
        RecordBatch::try_from_iter_with_nullable([
            ("tag", Arc::new(tags) as ArrayRef, true),
            ("time", Arc::new(times), true),
            ("time_ns", Arc::new(ns), true),
            ("a", Arc::new(a), true),
            ("b", Arc::new(b), true),
        ])
        .unwrap()
    }

    proptest! {
        #[test]
        fn m5_the_last_value_of_each_field_is_the_points(
            mut rows in proptest::collection::vec(
                (proptest::option::of(0u8..3), 0i64..4, proptest::option::of(0i16..2), any::<Option<i64>>(),
                 any::<Option<i64>>()), 0..60),
            size in 1usize..9,
        ) {
            let mut wanted: BTreeMap<Key, Fields> = BTreeMap::new();
            for (tag, time, ns, a, b) in &rows {
                let point = wanted.entry((*tag, *time, ns.unwrap_or(0))).or_default();
                *point = (a.or(point.0), b.or(point.1));
            }
            rows.sort_by_key(|r| (r.0, r.1, r.2.unwrap_or(0)));
            let mut points = Points::new(vec![0, 1], Some(2));
            let mut found = Vec::new();
            for rows in rows.chunks(size) {
                found.extend(points.push(&batch(rows)).unwrap());
            }
            found.extend(points.finish());
            let mut seen = BTreeMap::new();
            for batch in &found {
                let ints = |at: usize| batch.column(at).as_primitive::<arrow::datatypes::Int64Type>();
                let ns = batch.column(2).as_primitive::<Int16Type>();
                for row in 0..batch.num_rows() {
                    let tag = batch.column(0).as_string::<i32>();
                    let tag = tag.is_valid(row).then(|| tag.value(row).parse().unwrap());
                    let value = |at: usize| ints(at).is_valid(row).then(|| ints(at).value(row));
                    let ns = if ns.is_valid(row) { ns.value(row) } else { 0 };
                    let before = seen.insert((tag, ints(1).value(row), ns), (value(3), value(4)));
                    prop_assert!(before.is_none(), "a point is there once");
                }
            }
            prop_assert_eq!(seen, wanted);
        }
    }
}
