//! Acknowledged rows that no file holds yet.
//!
//! Each table has one *active* generation that grows and at most one *sealed* one that is being
//! written to files. A generation is a list of immutable chunks, merged geometrically so that many
//! one-row requests stay cheap to read, and one dictionary per string column, so that a string is
//! stored once however often it comes.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanBufferBuilder, StringArray, StringViewArray, UInt32Array, new_null_array,
};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::compute;
use arrow::datatypes::{DataType, UInt32Type};
use model::intern::Interner;
use model::{ColumnId, ColumnType, Lsn, limits};
use parking_lot::RwLock;

use crate::error::{Error, Result};
use crate::record::{Part, mostly_null};

/// The strings of one column of one generation; grows while the generation is active.
#[derive(Debug, Default)]
pub struct Dictionary {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    interner: Interner,
    /// All values as a view array, made for the count of values it was asked at.
    view: Option<Arc<StringViewArray>>,
}

impl Dictionary {
    /// The numbers of `values` in this dictionary, in their order.
    fn map(&self, values: &StringArray) -> Vec<u32> {
        let mut inner = self.inner.write();
        (0..values.len()).map(|i| inner.interner.intern(values.value(i))).collect()
    }

    pub fn len(&self) -> usize {
        self.inner.read().interner.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All values so far, by number.
    pub fn values(&self) -> StringArray {
        self.inner.read().interner.values()
    }

    /// All values so far as views; one array serves every reader until the dictionary grows.
    pub fn views(&self) -> Arc<StringViewArray> {
        {
            let inner = self.inner.read();
            if let Some(view) = inner.view.as_ref().filter(|v| v.len() == inner.interner.len()) {
                return Arc::clone(view);
            }
        }
        let mut inner = self.inner.write();
        let view = Arc::new(StringViewArray::from(&inner.interner.values()));
        inner.view = Some(Arc::clone(&view));
        view
    }
}

/// One column of a chunk.
#[derive(Debug, Clone)]
pub enum HotColumn {
    /// Numbers, times, booleans, and strings whose values hardly repeat (`Utf8`).
    Plain(ArrayRef),
    /// Keys into the generation's dictionary.
    Keys(UInt32Array, Arc<Dictionary>),
    /// Mostly null.
    Sparse(Sparse),
}

/// The rows that have a value, rising, and their values in one of the other two forms.
#[derive(Debug, Clone)]
pub struct Sparse {
    pub at: ScalarBuffer<u32>,
    pub values: Box<HotColumn>,
    /// Rows of the chunk.
    pub rows: usize,
}

impl Sparse {
    /// For each row the place of its value, or null.
    fn places(&self) -> UInt32Array {
        let mut places = vec![0u32; self.rows];
        let mut present = BooleanBufferBuilder::new(self.rows);
        present.append_n(self.rows, false);
        for (place, row) in (0u32..).zip(self.at.iter()) {
            places[*row as usize] = place;
            present.set_bit(*row as usize, true);
        }
        UInt32Array::new(places.into(), Some(NullBuffer::new(present.finish())))
    }
}

impl HotColumn {
    /// The column as the engine reads it: strings as views.
    pub fn to_array(&self) -> Result<ArrayRef> {
        Ok(match self {
            HotColumn::Plain(array) if *array.data_type() == DataType::Utf8 => {
                compute::cast(array, &DataType::Utf8View)?
            }
            HotColumn::Plain(array) => Arc::clone(array),
            HotColumn::Keys(keys, dictionary) => compute::take(&*dictionary.views(), keys, None)?,
            HotColumn::Sparse(sparse) => compute::take(&sparse.values.to_array()?, &sparse.places(), None)?,
        })
    }

    fn to_plain(&self) -> Result<ArrayRef> {
        Ok(match self {
            HotColumn::Plain(array) => Arc::clone(array),
            HotColumn::Keys(keys, dictionary) => compute::take(&dictionary.values(), keys, None)?,
            HotColumn::Sparse(sparse) => compute::take(&sparse.values.to_plain()?, &sparse.places(), None)?,
        })
    }

    /// The same column with a place for each row.
    pub fn dense(&self) -> Result<HotColumn> {
        let HotColumn::Sparse(sparse) = self else { return Ok(self.clone()) };
        Ok(match &*sparse.values {
            HotColumn::Keys(keys, dictionary) => {
                let keys = compute::take(keys, &sparse.places(), None)?;
                HotColumn::Keys(keys.as_primitive().clone(), Arc::clone(dictionary))
            }
            values => HotColumn::Plain(compute::take(&values.to_plain()?, &sparse.places(), None)?),
        })
    }

    pub(crate) fn is_valid(&self, row: usize) -> bool {
        match self {
            HotColumn::Plain(array) => array.is_valid(row),
            HotColumn::Keys(keys, _) => keys.is_valid(row),
            HotColumn::Sparse(sparse) => {
                sparse.at.binary_search(&(row as u32)).is_ok_and(|place| sparse.values.is_valid(place))
            }
        }
    }

    /// The same column, where each first row of `taken` has the value of the second.
    pub(crate) fn with_taken(&self, taken: &[(u32, u32)], rows: usize) -> Result<HotColumn> {
        let mut from: Vec<u32> = (0..rows as u32).collect();
        taken.iter().for_each(|(row, other)| from[*row as usize] = *other);
        let from = UInt32Array::from(from);
        match self.dense()? {
            HotColumn::Keys(keys, dictionary) => {
                let keys = compute::take(&keys, &from, None)?;
                HotColumn::Keys(keys.as_primitive().clone(), dictionary).thinned()
            }
            column => HotColumn::Plain(compute::take(&column.to_plain()?, &from, None)?).thinned(),
        }
    }

    /// The same column with its values alone where hardly any row has one.
    fn thinned(self) -> Result<HotColumn> {
        let (at, values) = match &self {
            HotColumn::Sparse(_) => return Ok(self),
            HotColumn::Plain(array) => match mostly_null(array.nulls()) {
                None => return Ok(self),
                Some(at) => (at.values().clone(), HotColumn::Plain(compute::take(array, &at, None)?)),
            },
            HotColumn::Keys(keys, dictionary) => match mostly_null(keys.nulls()) {
                None => return Ok(self),
                Some(at) => {
                    let kept = compute::take(keys, &at, None)?;
                    (at.values().clone(), HotColumn::Keys(kept.as_primitive().clone(), Arc::clone(dictionary)))
                }
            },
        };
        Ok(HotColumn::Sparse(Sparse { at, values: Box::new(values), rows: self.len() }))
    }

    /// The column under the type that took over.
    fn cast(self, ty: ColumnType) -> HotColumn {
        match self {
            HotColumn::Plain(array) => HotColumn::Plain(cast(&array, ty)),
            HotColumn::Sparse(sparse) => {
                HotColumn::Sparse(Sparse { values: Box::new(sparse.values.cast(ty)), ..sparse })
            }
            // strings give way to nothing
            keys @ HotColumn::Keys(..) => keys,
        }
    }

    fn len(&self) -> usize {
        match self {
            HotColumn::Plain(array) => array.len(),
            HotColumn::Keys(keys, _) => keys.len(),
            HotColumn::Sparse(sparse) => sparse.rows,
        }
    }
}

/// Some rows of a table, immutable. Holds only the columns that its rows have.
#[derive(Debug, Clone)]
pub struct Chunk {
    pub rows: usize,
    pub time_min: i64,
    pub time_max: i64,
    pub lsn_min: Lsn,
    pub lsn_max: Lsn,
    pub columns: BTreeMap<ColumnId, HotColumn>,
}

/// Rows of one table between two seals.
#[derive(Debug, Clone, Default)]
pub struct Generation {
    pub chunks: Vec<Arc<Chunk>>,
    pub rows: usize,
    /// Bytes reserved for it in the budget of hot rows.
    pub bytes: usize,
    dictionaries: BTreeMap<ColumnId, Arc<Dictionary>>,
    /// Columns that stopped using their dictionary.
    plain: Vec<ColumnId>,
}

impl Generation {
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// LSN of its oldest row.
    pub fn lsn_min(&self) -> Option<Lsn> {
        self.chunks.first().map(|c| c.lsn_min)
    }

    pub fn lsn_max(&self) -> Option<Lsn> {
        self.chunks.last().map(|c| c.lsn_max)
    }

    pub fn time_bounds(&self) -> Option<(i64, i64)> {
        let min = self.chunks.iter().map(|c| c.time_min).min()?;
        Some((min, self.chunks.iter().map(|c| c.time_max).max()?))
    }

    /// Ids of all columns that any chunk has, rising.
    pub fn columns(&self) -> Vec<ColumnId> {
        let mut ids: Vec<ColumnId> = self.chunks.iter().flat_map(|c| c.columns.keys().copied()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Adds the rows of one record. INV-3: in LSN order, once.
    pub fn insert(&mut self, lsn: Lsn, part: &Part, bytes: usize) -> Result<()> {
        debug_assert!(self.lsn_max().is_none_or(|last| last <= lsn), "INV-3: records are applied in LSN order");
        let mut columns = BTreeMap::new();
        for (id, column) in &part.columns {
            let values = self.column(*id, &column.values)?;
            let column = match &column.at {
                None => values,
                Some(at) => HotColumn::Sparse(Sparse { at: at.clone(), values: Box::new(values), rows: part.rows }),
            };
            columns.insert(*id, column);
        }
        self.chunks.push(Arc::new(Chunk {
            rows: part.rows,
            time_min: part.time_min,
            time_max: part.time_max,
            lsn_min: lsn,
            lsn_max: lsn,
            columns,
        }));
        self.rows += part.rows;
        self.bytes += bytes;
        self.coalesce()
    }

    fn column(&mut self, id: ColumnId, array: &ArrayRef) -> Result<HotColumn> {
        let Some(strings) = array.as_dictionary_opt::<UInt32Type>() else {
            return Ok(HotColumn::Plain(Arc::clone(array)));
        };
        let dictionary = self.dictionaries.entry(id).or_default();
        let distinct = dictionary.len();
        let hardly_repeats = self.rows >= limits::DICTIONARY_JUDGED_ROWS && distinct > self.rows / 2;
        if distinct > limits::DICTIONARY_VALUES || hardly_repeats {
            if !self.plain.contains(&id) {
                self.plain.push(id);
            }
            return Ok(HotColumn::Plain(compute::cast(array, &DataType::Utf8)?));
        }
        let numbers = dictionary.map(strings.values().as_string());
        let keys = strings.keys();
        let mapped: Vec<u32> = if numbers.is_empty() {
            vec![0; keys.len()]
        } else {
            keys.values().iter().map(|k| numbers.get(*k as usize).copied().unwrap_or(0)).collect()
        };
        let keys = UInt32Array::new(mapped.into(), keys.nulls().cloned());
        if dictionary.is_empty() {
            return Ok(HotColumn::Plain(new_null_array(&DataType::Utf8, keys.len())));
        }
        Ok(HotColumn::Keys(keys, Arc::clone(dictionary)))
    }

    /// Merges the last [`limits::HOT_CHUNK_FANOUT`] chunks of one size class into one of the next.
    fn coalesce(&mut self) -> Result<()> {
        loop {
            let n = self.chunks.len();
            let fanout = limits::HOT_CHUNK_FANOUT;
            if n < fanout {
                return Ok(());
            }
            let class = |c: &Chunk| size_class(c.rows);
            let last = class(&self.chunks[n - 1]);
            let tail = &self.chunks[n - fanout..];
            if last == size_class(limits::HOT_CHUNK_ROWS) || tail.iter().any(|c| class(c) != last) {
                return Ok(());
            }
            let merged = merge(tail)?;
            self.chunks.truncate(n - fanout);
            self.chunks.push(Arc::new(merged));
        }
    }

    /// The whole column over all chunks: dictionary keys where every chunk has them, else plain.
    /// `None` where no chunk has it.
    pub fn whole_column(&self, id: ColumnId) -> Result<Option<HotColumn>> {
        whole(&self.chunks, id)
    }
}

/// 0: below 1 k rows and so on, each class eight times the one before.
fn size_class(rows: usize) -> u32 {
    let mut class = 0;
    let mut bound = 16;
    while rows >= bound && bound < limits::HOT_CHUNK_ROWS {
        bound *= limits::HOT_CHUNK_FANOUT;
        class += 1;
    }
    class
}

fn merge(chunks: &[Arc<Chunk>]) -> Result<Chunk> {
    let mut ids: Vec<ColumnId> = chunks.iter().flat_map(|c| c.columns.keys().copied()).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut columns = BTreeMap::new();
    for id in ids {
        if let Some(column) = whole(chunks, id)? {
            columns.insert(id, column.thinned()?);
        }
    }
    let first = &chunks[0];
    Ok(Chunk {
        rows: chunks.iter().map(|c| c.rows).sum(),
        time_min: chunks.iter().map(|c| c.time_min).min().unwrap_or(first.time_min),
        time_max: chunks.iter().map(|c| c.time_max).max().unwrap_or(first.time_max),
        lsn_min: first.lsn_min,
        lsn_max: chunks[chunks.len() - 1].lsn_max,
        columns,
    })
}

fn whole(chunks: &[Arc<Chunk>], id: ColumnId) -> Result<Option<HotColumn>> {
    let columns: Vec<(usize, Option<&HotColumn>)> = chunks.iter().map(|c| (c.rows, c.columns.get(&id))).collect();
    join(&columns)
}

/// Columns one behind the other; an absent one is so many nulls. `None` where all are absent.
fn join(columns: &[(usize, Option<&HotColumn>)]) -> Result<Option<HotColumn>> {
    let present = || columns.iter().filter_map(|(_, c)| *c);
    if present().next().is_some() && present().all(|c| matches!(c, HotColumn::Sparse(_))) {
        return join_sparse(columns).map(Some);
    }
    let dense: Vec<(usize, Option<HotColumn>)> =
        columns.iter().map(|(rows, c)| Ok((*rows, c.map(HotColumn::dense).transpose()?))).collect::<Result<_>>()?;
    let Some(sample) = dense.iter().find_map(|(_, c)| c.as_ref()) else {
        return Ok(None);
    };
    let all_keys = dense.iter().all(|(_, c)| !matches!(c, Some(HotColumn::Plain(_))));
    if let (HotColumn::Keys(_, dictionary), true) = (sample, all_keys) {
        let parts: Vec<ArrayRef> = dense
            .iter()
            .map(|(rows, c)| match c {
                Some(HotColumn::Keys(keys, _)) => Arc::new(keys.clone()) as ArrayRef,
                _ => new_null_array(&DataType::UInt32, *rows),
            })
            .collect();
        let keys = concat(&parts)?;
        return Ok(Some(HotColumn::Keys(keys.as_primitive().clone(), Arc::clone(dictionary))));
    }
    let ty = match sample {
        HotColumn::Plain(array) => array.data_type().clone(),
        _ => DataType::Utf8,
    };
    let parts = dense
        .iter()
        .map(|(rows, c)| match c {
            Some(column) => column.to_plain(),
            None => Ok(new_null_array(&ty, *rows)),
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Some(HotColumn::Plain(concat(&parts)?)))
}

fn join_sparse(columns: &[(usize, Option<&HotColumn>)]) -> Result<HotColumn> {
    let (mut at, mut values, mut rows) = (Vec::new(), Vec::new(), 0);
    for (count, column) in columns {
        if let Some(HotColumn::Sparse(sparse)) = column {
            at.extend(sparse.at.iter().map(|row| row + rows as u32));
            values.push((sparse.at.len(), Some(&*sparse.values)));
        }
        rows += count;
    }
    let values = join(&values)?.ok_or_else(|| Error::Inconsistent("a sparse column has no values".into()))?;
    Ok(HotColumn::Sparse(Sparse { at: at.into(), values: Box::new(values), rows }))
}

/// A column's values under the type that took over; a value that has no place there becomes null.
pub(crate) fn cast(array: &ArrayRef, ty: ColumnType) -> ArrayRef {
    compute::cast(array, &ty.arrow()).unwrap_or_else(|_| new_null_array(&ty.arrow(), array.len()))
}

fn concat(parts: &[ArrayRef]) -> Result<ArrayRef> {
    let refs: Vec<&dyn Array> = parts.iter().map(|p| &**p).collect();
    Ok(compute::concat(&refs)?)
}

/// The hot rows of one table as a View sees them.
#[derive(Debug, Clone, Default)]
pub struct Hot {
    /// Being written to files.
    pub sealed: Option<Arc<Generation>>,
    pub active: Arc<Generation>,
}

impl Hot {
    /// Chunks in LSN order.
    pub fn chunks(&self) -> impl Iterator<Item = &Arc<Chunk>> {
        self.sealed.iter().flat_map(|g| &g.chunks).chain(&self.active.chunks)
    }

    pub fn rows(&self) -> usize {
        self.sealed.as_ref().map_or(0, |g| g.rows) + self.active.rows
    }

    pub fn bytes(&self) -> usize {
        self.sealed.as_ref().map_or(0, |g| g.bytes) + self.active.bytes
    }

    /// The same rows with columns under the ids that took them over. Only the active generation can
    /// hold such a column: a sealed one fixes its types.
    pub(crate) fn with_columns_moved(&self, moved: &[(ColumnId, ColumnId, ColumnType)]) -> Hot {
        let mut active = Generation::clone(&self.active);
        for chunk in &mut active.chunks {
            if moved.iter().any(|(from, ..)| chunk.columns.contains_key(from)) {
                let chunk = Arc::make_mut(chunk);
                for (from, to, ty) in moved {
                    if let Some(column) = chunk.columns.remove(from) {
                        chunk.columns.insert(*to, column.cast(*ty));
                    }
                }
            }
        }
        Hot { sealed: self.sealed.clone(), active: Arc::new(active) }
    }

    /// LSN of the oldest row that no file holds.
    pub fn lsn_min(&self) -> Option<Lsn> {
        self.sealed.as_ref().and_then(|g| g.lsn_min()).or_else(|| self.active.lsn_min())
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{DictionaryArray, Float64Array};
    use model::TableId;
    use proptest::prelude::*;

    use super::*;
    use crate::record::PartColumn;

    /// A number and a string of each row.
    type Rows = Vec<(Option<f64>, Option<String>)>;

    fn generation(parts: &[Rows], column: impl Fn(ArrayRef) -> PartColumn) -> Generation {
        let mut generation = Generation::default();
        for (lsn, rows) in (1u64..).zip(parts) {
            let numbers: Float64Array = rows.iter().map(|r| r.0).collect();
            let strings: DictionaryArray<UInt32Type> = rows.iter().map(|r| r.1.as_deref()).collect();
            let arrays: [(u64, ArrayRef); 2] = [(2, Arc::new(numbers)), (3, Arc::new(strings))];
            let columns = arrays.map(|(id, array)| (ColumnId(id), column(array))).into();
            let part = Part { table: TableId(1), rows: rows.len(), time_min: 0, time_max: 0, columns };
            generation.insert(Lsn(lsn), &part, 0).unwrap();
        }
        generation
    }

    proptest! {
        #[test]
        fn a_sparse_column_reads_as_the_padded_one_through_every_merge(
            parts in proptest::collection::vec((1usize..300, 1usize..60, any::<u8>()), 1..40),
        ) {
            let parts: Vec<Rows> = parts
                .iter()
                .map(|(rows, every, seed)| {
                    let filled = |i: usize| (i + *seed as usize).is_multiple_of(*every);
                    (0..*rows)
                        .map(|i| (filled(i).then_some(i as f64), filled(i + 1).then(|| format!("s{}", i % 7))))
                        .collect()
                })
                .collect();
            let sparse = generation(&parts, PartColumn::new);
            let padded = generation(&parts, |values| PartColumn { at: None, values });
            for id in [ColumnId(2), ColumnId(3)] {
                let read = |g: &Generation| {
                    let column = g.whole_column(id).unwrap().unwrap();
                    let strings = compute::cast(&column.to_array().unwrap(), &DataType::Utf8).unwrap();
                    assert_eq!(&strings, &compute::cast(&column.dense().unwrap().to_plain().unwrap(), &DataType::Utf8).unwrap());
                    strings
                };
                prop_assert_eq!(&read(&sparse), &read(&padded));
            }
        }
    }
}
