//! Acknowledged rows that no file holds yet.
//!
//! Each table has one *active* generation that grows and at most one *sealed* one that is being
//! written to files. A generation is a list of immutable chunks, merged geometrically so that many
//! one-row requests stay cheap to read, and one dictionary per string column, so that a string is
//! stored once however often it comes.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, StringViewArray, UInt32Array, new_null_array};
use arrow::compute;
use arrow::datatypes::{DataType, UInt32Type};
use model::intern::Interner;
use model::{ColumnId, ColumnType, Lsn, limits};
use parking_lot::RwLock;

use crate::error::Result;
use crate::record::Part;

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
        })
    }

    fn to_plain(&self) -> Result<ArrayRef> {
        Ok(match self {
            HotColumn::Plain(array) => Arc::clone(array),
            HotColumn::Keys(keys, dictionary) => compute::take(&dictionary.values(), keys, None)?,
        })
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
        for (id, array) in &part.columns {
            columns.insert(*id, self.column(*id, array)?);
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
            columns.insert(id, column);
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
    let Some(sample) = chunks.iter().find_map(|c| c.columns.get(&id)) else {
        return Ok(None);
    };
    let all_keys = chunks.iter().all(|c| !matches!(c.columns.get(&id), Some(HotColumn::Plain(_))));
    if let (HotColumn::Keys(_, dictionary), true) = (sample, all_keys) {
        let parts: Vec<ArrayRef> = chunks
            .iter()
            .map(|c| match c.columns.get(&id) {
                Some(HotColumn::Keys(keys, _)) => Arc::new(keys.clone()) as ArrayRef,
                _ => new_null_array(&DataType::UInt32, c.rows),
            })
            .collect();
        let keys = concat(&parts)?;
        return Ok(Some(HotColumn::Keys(keys.as_primitive().clone(), Arc::clone(dictionary))));
    }
    let ty = match sample {
        HotColumn::Keys(..) => DataType::Utf8,
        HotColumn::Plain(array) => array.data_type().clone(),
    };
    let parts = chunks
        .iter()
        .map(|c| match c.columns.get(&id) {
            Some(column) => column.to_plain(),
            None => Ok(new_null_array(&ty, c.rows)),
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Some(HotColumn::Plain(concat(&parts)?)))
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
                    if let Some(HotColumn::Plain(array)) = chunk.columns.remove(from) {
                        chunk.columns.insert(*to, HotColumn::Plain(cast(&array, *ty)));
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
