//! Sorted files to one sorted file: a k-way merge that holds one batch of each input.
//!
//! Equal keys keep the order of their inputs, which is the log's.

use std::cmp::Ordering;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray, UInt32Array, new_null_array};
use arrow::compute::{self, interleave_record_batch};
use arrow::datatypes::{DataType, Schema, SchemaRef, TimestampMicrosecondType};
use arrow::row::{RowConverter, Rows, SortField};
use model::column::{ColumnType, Role, TIME, TIME_NS};
use model::{Column, ColumnId, TableMode, TableSchema};
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use crate::blocks::Sums;
use crate::error::{Error, Result};
use crate::file::{self, Durable, Effort, Maker, NewDataFile, Output, Provenance};
use crate::points::{Points, whole_ns};
use crate::view::DataFile;

/// Rows that are read of an input, and written, at a time; fewer where inputs and columns are many.
const BATCH_ROWS: usize = 8_192;
/// Cells that all inputs together have in memory.
const HELD_CELLS: usize = 8 << 20;

/// An input that cannot be read, or something that is nobody's fault.
#[derive(Debug)]
pub enum MergeError {
    /// The file is damaged or gone: its id.
    Input(u64, Error),
    Other(Error),
}

impl<E: Into<Error>> From<E> for MergeError {
    fn from(error: E) -> Self {
        MergeError::Other(error.into())
    }
}

/// Which rows of a batch stay; its columns carry their ids.
pub type Keep<'a> = &'a dyn Fn(&RecordBatch) -> Result<BooleanArray>;

/// Merges `inputs`, which stand in the order of their rows' LSNs, into one file `name` (without
/// `.parquet`) below `folder`; with `keep` only the rows that it lets stay, with mode `last` one row a
/// point. Columns that `moved` names (old, new) are written under their new ids, with their new types.
///
/// # Errors
/// An input cannot be read, or the output not written; no output is left then.
pub fn merge(
    folder: &Path,
    name: &str,
    schema: &TableSchema,
    inputs: &[Arc<DataFile>],
    moved: &[(ColumnId, ColumnId)],
    keep: Option<Keep<'_>>,
    mode: TableMode,
) -> Result<NewDataFile, MergeError> {
    let merging = Merging::open(folder, schema, inputs, moved, mode)?;
    let layout = Arc::clone(&merging.layout);
    let path = format!("{name}.parquet");
    let target = folder.join(&path);
    let mut output = Output::create(target, Arc::clone(&layout.schema), Effort::Thorough)?;
    let mut facts = Facts::new(&layout);
    merging.each(|batch| {
        let batch = match keep {
            Some(keep) => &compute::filter_record_batch(batch, &keep(batch)?)?,
            None => batch,
        };
        facts.add(&layout, batch)?;
        output.write(batch)
    })?;
    let provenance = Provenance {
        by: Maker::Rewrite,
        mode,
        lsn_min: inputs.iter().map(|f| f.lsn_min).min().unwrap_or_default(),
        lsn_max: inputs.iter().map(|f| f.lsn_max).max().unwrap_or_default(),
        producer: inputs.first().map_or(0, |f| f.producer),
        columns: Provenance::columns(schema, &layout.schema),
        sort_key: layout.sort_key(),
        parts: 1,
        replaces: inputs.iter().map(|f| file::stem(&f.path).to_owned()).collect(),
    };
    let Durable { sums: Sums { bytes, crc32c, blocks }, footer_bytes } = output.finish(&provenance)?;
    debug_assert!(
        keep.is_some() || mode == TableMode::Last || facts.rows == inputs.iter().map(|f| f.rows).sum::<u64>(),
        "INV-1: a merge keeps every row"
    );
    Ok(NewDataFile {
        path,
        rows: facts.rows,
        bytes,
        footer_bytes,
        crc32c,
        blocks,
        time_min: facts.time.0,
        time_max: facts.time.1,
        time_column: layout.columns[layout.time].id,
        sort_key: provenance.sort_key,
        bounds: facts.bounds(&layout),
        lsn_min: provenance.lsn_min,
        lsn_max: provenance.lsn_max,
        producer: provenance.producer,
        names: None,
    })
}

/// A merge that is about to run.
pub(crate) struct Merging {
    runs: Vec<Run>,
    layout: Arc<Layout>,
    batch_rows: usize,
    points: Option<Points>,
}

impl Merging {
    /// As [`merge`].
    pub(crate) fn open(
        folder: &Path,
        schema: &TableSchema,
        inputs: &[Arc<DataFile>],
        moved: &[(ColumnId, ColumnId)],
        mode: TableMode,
    ) -> Result<Self, MergeError> {
        let cells_a_row = inputs.len() * schema.columns().len();
        let batch_rows = (HELD_CELLS / cells_a_row.max(1)).clamp(16, BATCH_ROWS);
        let opened: Vec<(&Arc<DataFile>, ParquetRecordBatchReader)> = inputs
            .iter()
            .map(|input| Ok((input, open(folder, input, batch_rows)?)))
            .collect::<Result<_, MergeError>>()?;
        let layout = Arc::new(Layout::new(schema, &opened, moved, mode)?);
        let runs = opened
            .into_iter()
            .map(|(input, reader)| Run::new(input, reader, schema, Arc::clone(&layout), moved))
            .collect::<Result<Vec<_>, _>>()?;
        let points = (mode == TableMode::Last).then(|| {
            let keys = layout.keys.iter().copied().chain([layout.time]).collect();
            Points::new(keys, layout.time_ns)
        });
        Ok(Self { runs, layout, batch_rows, points })
    }

    /// Hands all rows to `take`, a batch at a time.
    pub(crate) fn each(mut self, mut take: impl FnMut(&RecordBatch) -> Result<()>) -> Result<(), MergeError> {
        let points = &mut self.points;
        merge_runs(&mut self.runs, self.batch_rows, |batch| match points {
            None => take(batch),
            Some(points) => points.push(batch)?.iter().try_for_each(&mut take),
        })?;
        match points.as_mut().and_then(Points::finish) {
            Some(last) => Ok(take(&last)?),
            None => Ok(()),
        }
    }
}

fn open(folder: &Path, input: &DataFile, batch_rows: usize) -> Result<ParquetRecordBatchReader, MergeError> {
    let path = folder.join(&*input.path);
    let damaged = |error: Error| MergeError::Input(input.id, error);
    let builder = file::reader(&path).map_err(damaged)?;
    builder.with_batch_size(batch_rows).build().map_err(|e| damaged(e.into()))
}

/// The columns of the output.
struct Layout {
    schema: SchemaRef,
    columns: Vec<Column>,
    /// Positions of the string columns that lead the order.
    keys: Vec<usize>,
    time: usize,
    time_ns: Option<usize>,
    converter: RowConverter,
}

impl Layout {
    fn new(
        schema: &TableSchema,
        inputs: &[(&Arc<DataFile>, ParquetRecordBatchReader)],
        moved: &[(ColumnId, ColumnId)],
        mode: TableMode,
    ) -> Result<Self> {
        let held: Vec<Vec<ColumnId>> =
            inputs.iter().map(|(_, r)| column_ids(r, schema, moved)).collect::<Result<_>>()?;
        let is_held = |id: ColumnId| held.iter().any(|ids| ids.contains(&id));
        // a column that ended held only nulls
        let columns: Vec<Column> = schema.columns().iter().filter(|c| is_held(c.id)).cloned().collect();
        let position = |name: &str| columns.iter().position(|c| &*c.name == name);
        let time = position(TIME).ok_or_else(|| Error::Inconsistent("a file has no time column".into()))?;
        let time_ns = position(TIME_NS);
        let tags = |c: &Column| c.role == Role::Tag && c.ty == ColumnType::Utf8;
        let mut keys: Vec<usize> = (0..columns.len()).filter(|i| tags(&columns[*i])).collect();
        if keys.is_empty() && mode == TableMode::Append {
            let leads = |id: ColumnId| inputs.iter().all(|(input, _)| input.sort_key.contains(&id));
            let strings = |c: &Column| c.role == Role::None && c.ty == ColumnType::Utf8 && leads(c.id);
            keys = (0..columns.len()).filter(|i| strings(&columns[*i])).collect();
        }
        let fields: Vec<_> = columns.iter().map(|c| file::field(c, c.ty.arrow())).collect();
        let mut sort: Vec<SortField> = keys.iter().map(|_| SortField::new(DataType::Utf8)).collect();
        sort.push(SortField::new(ColumnType::Timestamp.arrow()));
        sort.extend(time_ns.map(|_| SortField::new(DataType::Int16)));
        let converter = RowConverter::new(sort)?;
        Ok(Self { schema: Arc::new(Schema::new(fields)), columns, keys, time, time_ns, converter })
    }

    fn sort_key(&self) -> Vec<ColumnId> {
        let positions = self.keys.iter().copied().chain([self.time]).chain(self.time_ns);
        positions.map(|at| self.columns[at].id).collect()
    }

    /// Whether a file of these columns sorted by `sort_key` is in this order: what it lacks is NULL
    /// in all its rows and decides nothing.
    fn is_sorted(&self, held: &[ColumnId], sort_key: &[ColumnId]) -> bool {
        self.sort_key().into_iter().filter(|id| held.contains(id)).eq(sort_key.iter().copied())
    }

    fn rows(&self, batch: &RecordBatch) -> Result<Rows> {
        let mut keys: Vec<ArrayRef> = self.keys.iter().map(|at| Arc::clone(batch.column(*at))).collect();
        keys.push(Arc::clone(batch.column(self.time)));
        if let Some(at) = self.time_ns {
            keys.push(whole_ns(batch.column(at)));
        }
        Ok(self.converter.convert_columns(&keys)?)
    }

    /// A batch of an input under the output's columns.
    fn arrange(&self, held: &[ColumnId], batch: &RecordBatch) -> Result<RecordBatch> {
        let arrays = self.columns.iter().map(|c| match held.iter().position(|id| *id == c.id) {
            None => Ok(new_null_array(&c.ty.arrow(), batch.num_rows())),
            Some(at) if *batch.column(at).data_type() == c.ty.arrow() => Ok(Arc::clone(batch.column(at))),
            Some(at) => retyped(batch.column(at), c),
        });
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), arrays.collect::<Result<_>>()?)?)
    }
}

/// A column under its table's type; no digit of an integer is lost.
pub(crate) fn retyped(array: &ArrayRef, column: &Column) -> Result<ArrayRef> {
    if column.ty != ColumnType::Float64 || *array.data_type() == DataType::Float32 {
        return Ok(compute::cast(array, &column.ty.arrow())?);
    }
    model::schema::convert(array, column.ty).map_err(|_| {
        Error::Parameter(format!(
            "column {:?} holds integers that no float64 equals: it can become a string",
            &*column.name
        ))
    })
}

/// The column of each field of an input, under its new id.
fn column_ids(
    reader: &ParquetRecordBatchReader,
    schema: &TableSchema,
    moved: &[(ColumnId, ColumnId)],
) -> Result<Vec<ColumnId>> {
    use arrow::array::RecordBatchReader;
    let renamed = |id: ColumnId| moved.iter().find(|(old, _)| *old == id).map_or(id, |(_, new)| *new);
    let columns = reader.schema();
    let ids = columns.fields().iter().map(|f| file::column_id(f, schema).map(renamed));
    ids.collect::<Option<Vec<ColumnId>>>()
        .ok_or_else(|| Error::Inconsistent("a data file has a column without a field id".into()))
}

/// One input, read a batch at a time.
struct Run {
    file: u64,
    reader: ParquetRecordBatchReader,
    layout: Arc<Layout>,
    held: Vec<ColumnId>,
    is_sorted: bool,
}

impl Run {
    fn new(
        input: &DataFile,
        reader: ParquetRecordBatchReader,
        schema: &TableSchema,
        layout: Arc<Layout>,
        moved: &[(ColumnId, ColumnId)],
    ) -> Result<Self, MergeError> {
        let held = column_ids(&reader, schema, moved)?;
        let is_sorted = layout.is_sorted(&held, &input.sort_key);
        Ok(Self { file: input.id, reader, layout, held, is_sorted })
    }

    /// The next rows in order; `None` at the end.
    fn next(&mut self) -> Result<Option<(RecordBatch, Rows)>, MergeError> {
        if !self.is_sorted {
            return self.whole();
        }
        while let Some(batch) = self.read()? {
            if batch.num_rows() > 0 {
                let batch = self.layout.arrange(&self.held, &batch)?;
                let rows = self.layout.rows(&batch)?;
                return Ok(Some((batch, rows)));
            }
        }
        Ok(None)
    }

    fn read(&mut self) -> Result<Option<RecordBatch>, MergeError> {
        let Some(batch) = self.reader.next() else { return Ok(None) };
        batch.map(Some).map_err(|e| MergeError::Input(self.file, e.into()))
    }

    /// All rows of an input that was sorted by another key, for instance before a column was a tag.
    fn whole(&mut self) -> Result<Option<(RecordBatch, Rows)>, MergeError> {
        let mut batches = Vec::new();
        while let Some(batch) = self.read()? {
            batches.push(batch);
        }
        batches.retain(|batch| batch.num_rows() > 0);
        let Some(first) = batches.first() else { return Ok(None) };
        let batch = self.layout.arrange(&self.held, &compute::concat_batches(&first.schema(), &batches)?)?;
        let rows = self.layout.rows(&batch)?;
        let mut order: Vec<u32> = (0..batch.num_rows() as u32).collect();
        order.sort_by(|a, b| rows.row(*a as usize).cmp(&rows.row(*b as usize)));
        let batch = compute::take_record_batch(&batch, &UInt32Array::from(order))?;
        let rows = self.layout.rows(&batch)?;
        Ok(Some((batch, rows)))
    }
}

/// Where the merge stands in one run.
struct Head {
    run: usize,
    /// Its batch among those that wait to be written.
    batch: usize,
    rows: Rows,
    at: usize,
}

impl Head {
    fn cmp(&self, other: &Head) -> Ordering {
        self.rows.row(self.at).cmp(&other.rows.row(other.at)).then(self.run.cmp(&other.run))
    }
}

fn merge_runs(
    runs: &mut [Run],
    batch_rows: usize,
    mut write: impl FnMut(&RecordBatch) -> Result<()>,
) -> Result<(), MergeError> {
    let mut batches: Vec<RecordBatch> = Vec::new();
    let mut heap: Vec<Head> = Vec::with_capacity(runs.len());
    for (run, source) in runs.iter_mut().enumerate() {
        if let Some((batch, rows)) = source.next()? {
            heap.push(Head { run, batch: batches.len(), rows, at: 0 });
            batches.push(batch);
        }
    }
    for at in (0..heap.len() / 2).rev() {
        sift_down(&mut heap, at);
    }
    let mut chosen: Vec<(usize, usize)> = Vec::with_capacity(batch_rows);
    while let Some(head) = heap.first_mut() {
        chosen.push((head.batch, head.at));
        head.at += 1;
        if head.at == head.rows.num_rows() {
            match runs[head.run].next()? {
                Some((batch, rows)) => {
                    (head.batch, head.rows, head.at) = (batches.len(), rows, 0);
                    batches.push(batch);
                }
                None => drop(heap.swap_remove(0)),
            }
        }
        sift_down(&mut heap, 0);
        if chosen.len() == batch_rows {
            write(&gather(&batches, &chosen)?)?;
            chosen.clear();
            // only the batches that heads stand in are still needed
            let mut kept = Vec::with_capacity(heap.len());
            for head in &mut heap {
                kept.push(batches[head.batch].clone());
                head.batch = kept.len() - 1;
            }
            batches = kept;
        }
    }
    if !chosen.is_empty() {
        write(&gather(&batches, &chosen)?)?;
    }
    Ok(())
}

fn gather(batches: &[RecordBatch], chosen: &[(usize, usize)]) -> Result<RecordBatch> {
    Ok(interleave_record_batch(&batches.iter().collect::<Vec<_>>(), chosen)?)
}

fn sift_down(heap: &mut [Head], mut at: usize) {
    loop {
        let mut least = at;
        for child in [2 * at + 1, 2 * at + 2] {
            if child < heap.len() && heap[child].cmp(&heap[least]) == Ordering::Less {
                least = child;
            }
        }
        if least == at {
            return;
        }
        heap.swap(at, least);
        at = least;
    }
}

/// What the catalog keeps of a file, gathered while it is written.
struct Facts {
    rows: u64,
    time: (i64, i64),
    strings: Vec<(u64, Option<(String, String)>)>,
}

impl Facts {
    fn new(layout: &Layout) -> Self {
        Self { rows: 0, time: (i64::MAX, i64::MIN), strings: vec![(0, None); layout.keys.len()] }
    }

    fn add(&mut self, layout: &Layout, batch: &RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        for time in batch.column(layout.time).as_primitive::<TimestampMicrosecondType>().values() {
            self.time = (self.time.0.min(*time), self.time.1.max(*time));
        }
        for (at, (nulls, bounds)) in layout.keys.iter().zip(&mut self.strings) {
            let strings: &StringArray = batch.column(*at).as_string();
            *nulls += strings.null_count() as u64;
            let Some((min, max)) = compute::min_string(strings).zip(compute::max_string(strings)) else { continue };
            let (low, high) = bounds.get_or_insert_with(|| (min.to_owned(), max.to_owned()));
            if min < low.as_str() {
                *low = min.to_owned();
            }
            if max > high.as_str() {
                *high = max.to_owned();
            }
        }
        Ok(())
    }

    fn bounds(self, layout: &Layout) -> Vec<crate::view::StringBounds> {
        let named = layout.keys.iter().map(|at| layout.columns[*at].id).zip(self.strings);
        named.map(|(column, (nulls, min_max))| file::string_bounds(column, nulls, min_max)).collect()
    }
}
