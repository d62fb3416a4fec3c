//! Sorted rows to Parquet: temporary name, sync, rename, sync of the folder.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, RecordBatch, UInt32Array};
use arrow::compute;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimestampMicrosecondType, UInt32Type};
use model::column::{ColumnType, Role, TIME};
use model::{ColumnId, Lsn, TableMode, TableSchema, limits};
use parquet::arrow::ArrowWriter;
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;
use serde::{Deserialize, Serialize};

use crate::blocks::{Blocks, Summing, Sums};
use crate::durable::NewFile;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::hot::HotColumn;
use crate::random;
use crate::seal::{FileRows, Sorted};
use crate::view::{DataFile, StringBounds};

/// Longest string kept as a bound: longer ones prune no better and bloat the catalog.
const BOUND_BYTES: usize = 200;

/// A durable file that the catalog does not know yet.
#[derive(Debug, Clone)]
pub struct NewDataFile {
    /// Below the table's folder.
    pub path: String,
    pub rows: u64,
    pub bytes: u64,
    pub footer_bytes: u32,
    pub crc32c: u32,
    pub blocks: Blocks,
    pub time_min: i64,
    pub time_max: i64,
    pub time_column: ColumnId,
    pub sort_key: Vec<ColumnId>,
    pub bounds: Vec<StringBounds>,
    pub lsn_min: Lsn,
    pub lsn_max: Lsn,
    /// 0: clients; else the continuous query that wrote it.
    pub producer: u64,
    /// Of a file without field ids, which another program wrote: the column of each of its names.
    pub names: Option<Arc<[(String, ColumnId)]>>,
}

/// The key of [`Provenance`] in a footer.
const PROVENANCE: &str = "tidewater";

/// What a file says of itself in its footer, as JSON, for the day when the catalog is lost.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Provenance {
    pub by: Maker,
    pub mode: TableMode,
    pub lsn_min: Lsn,
    pub lsn_max: Lsn,
    /// 0: clients; else the continuous query that wrote it.
    pub producer: u64,
    /// Columns that it holds, under their spelling.
    pub columns: Vec<(ColumnId, String, ColumnType, Role)>,
    pub sort_key: Vec<ColumnId>,
    /// How many files the same flush has written.
    pub parts: usize,
    /// Files whose rows it holds, by their [`stem`].
    pub replaces: Vec<String>,
}

/// Whose rows a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Maker {
    /// Those of log records up to its greatest LSN that no earlier file holds.
    Flush,
    Import,
    /// A continuous query's.
    Query,
    /// Those of other files.
    Rewrite,
}

impl Provenance {
    /// The columns of a table that a file holds.
    pub fn columns(schema: &TableSchema, held: &Schema) -> Vec<(ColumnId, String, ColumnType, Role)> {
        let ids: Vec<ColumnId> = held.fields().iter().filter_map(|field| column_id(field, schema)).collect();
        let columns = schema.columns().iter().filter(|c| ids.contains(&c.id));
        columns.map(|c| (c.id, c.name.to_string(), c.ty, c.role)).collect()
    }

    /// What a footer says; `None`: another program wrote the file, or an earlier version.
    pub fn read(metadata: &parquet::file::metadata::ParquetMetaData) -> Option<Self> {
        let said = metadata.file_metadata().key_value_metadata()?.iter().find(|entry| entry.key == PROVENANCE)?;
        serde_json::from_str(said.value.as_deref()?).ok()
    }
}

/// A file's name without folders and `.parquet`: no other file of its table has it.
pub(crate) fn stem(path: &str) -> &str {
    let leaf = path.rsplit('/').next().unwrap_or(path);
    leaf.strip_suffix(".parquet").unwrap_or(leaf)
}

/// Where the rows of a file come from.
#[derive(Debug, Clone, Copy)]
pub struct Made {
    pub by: Maker,
    pub mode: TableMode,
    /// Least and greatest.
    pub lsn: (Lsn, Lsn),
    /// 0: clients; else the continuous query that wrote it.
    pub producer: u64,
}

/// Writes the rows of one file below `table_folder`. Field ids equal column ids.
pub fn write(
    table_folder: &Path,
    name: &str,
    sorted: &Sorted,
    rows: &FileRows,
    schema: &TableSchema,
    made: Made,
) -> Result<NewDataFile> {
    let path = format!("{}{name}.parquet", rows.interval.folder());
    let target = table_folder.join(&path);
    let columns = Columns::new(sorted, rows, schema)?;
    let mut output = Output::create(target.clone(), Arc::clone(&columns.schema), Effort::Quick)?;
    let slice_rows = (limits::FLUSH_SLICE_CELLS / columns.sources.len().max(1)).max(1);
    let mut from = 0;
    for slice in rows.rows.chunks(slice_rows) {
        output.write(&columns.take(from, slice)?)?;
        from += slice.len();
    }
    let Made { by, mode, lsn: (lsn_min, lsn_max), producer } = made;
    let provenance = Provenance {
        by,
        mode,
        lsn_min,
        lsn_max,
        producer,
        columns: Provenance::columns(schema, &columns.schema),
        sort_key: sorted.sort_key.clone(),
        parts: sorted.files.len(),
        replaces: Vec::new(),
    };
    let Durable { sums: Sums { bytes, crc32c, blocks }, footer_bytes } = output.finish(&provenance)?;
    let times = sorted.time.as_primitive::<TimestampMicrosecondType>().values();
    let times = rows.rows.iter().map(|row| times[*row as usize]);
    let (time_min, time_max) = times.fold((i64::MAX, i64::MIN), |(lo, hi), t| (lo.min(t), hi.max(t)));
    let time_column = schema.find(TIME).map_or(ColumnId(1), |c| c.id);
    Ok(NewDataFile {
        path,
        rows: rows.rows.len() as u64,
        bytes,
        footer_bytes,
        crc32c,
        blocks,
        time_min,
        time_max,
        time_column,
        sort_key: sorted.sort_key.clone(),
        bounds: sorted.keys.iter().map(|k| bounds(k, &rows.rows)).collect(),
        lsn_min,
        lsn_max,
        producer,
        names: None,
    })
}

fn bounds(key: &crate::seal::Ranked, rows: &[u32]) -> StringBounds {
    let (nulls, min_max) = key.bounds(rows);
    string_bounds(key.column, nulls, min_max.map(|(min, max)| (min.to_owned(), max.to_owned())))
}

/// Bytes that are read in one go.
const BLOCK_BYTES: usize = 1 << 20;

/// Hands a file over a block at a time.
pub(crate) fn each_block(path: &Path, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut file = File::open(path).map_err(Error::io("cannot open", path))?;
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        match file.read(&mut block).map_err(Error::io("cannot read", path))? {
            0 => return Ok(()),
            read => each(&block[..read])?,
        }
    }
}

/// What a file comes to as it lies on the disk.
pub(crate) fn checksum(path: &Path) -> Result<Sums> {
    let mut summing = Summing::default();
    each_block(path, |block| {
        summing.add(block);
        Ok(())
    })?;
    Ok(summing.finish())
}

/// Copies a file; what it comes to, which `check` hears before the copy gets its name.
///
/// # Errors
/// It cannot be read or written, or `check` refuses it: no copy is left.
pub(crate) fn copy(source: &Path, target: &Path, check: impl Fn(&Sums) -> Result<()>) -> Result<Sums> {
    let mut output = NewFile::create(target.to_owned(), 0o640)?;
    let mut summing = Summing::default();
    each_block(source, |block| {
        summing.add(block);
        output.write_all(block).map_err(Error::io("cannot write", target))
    })?;
    let sums = summing.finish();
    check(&sums)?;
    output.commit()?;
    Ok(sums)
}

/// A name, without `.parquet`, that no file has, below `folder`, which is empty or ends in `/`.
pub(crate) fn fresh_name(folder: &str, last: Lsn) -> String {
    format!("{folder}{:016x}-{}", last.0, &random::uuid()[..8])
}

/// The name of a file that takes the place of others: below the widest of their folders.
pub(crate) fn name_after(inputs: &[Arc<DataFile>]) -> String {
    let folders = inputs.iter().map(|f| f.path.rfind('/').map_or("", |slash| &f.path[..=slash]));
    let last = inputs.iter().map(|f| f.lsn_max).max().unwrap_or_default();
    fresh_name(folders.min_by_key(|folder| folder.len()).unwrap_or_default(), last)
}

/// The bounds as the catalog keeps them.
pub(crate) fn string_bounds(column: ColumnId, nulls: u64, min_max: Option<(String, String)>) -> StringBounds {
    let min_max = min_max.filter(|(min, max)| min.len() <= BOUND_BYTES && max.len() <= BOUND_BYTES);
    StringBounds { column, nulls, min_max }
}

/// The Parquet field of a column.
pub(crate) fn field(column: &model::Column, ty: DataType) -> Field {
    let id = HashMap::from([(PARQUET_FIELD_ID_META_KEY.to_owned(), column.id.to_string())]);
    let nullable = column.role != Role::Time || column.ty != ColumnType::Timestamp;
    // folded: readers bind by field id, and the engine's own schema is folded too
    Field::new(model::fold(&column.name), ty, nullable).with_metadata(id)
}

/// Reads one of our files; types come from Parquet alone.
pub fn reader(path: &Path) -> Result<ParquetRecordBatchReaderBuilder<File>> {
    let file = File::open(path).map_err(Error::io("cannot open", path))?;
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    Ok(ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)?)
}

/// The column that a field of a data file holds. Files of our making say so by an id; of an adopted file it is the
/// live column of that name: a change of a column's type writes its files anew, so no older one can be meant.
pub(crate) fn column_id(field: &Field, schema: &TableSchema) -> Option<ColumnId> {
    match field.metadata().contains_key(PARQUET_FIELD_ID_META_KEY) {
        true => field_id(field),
        false => schema.find(field.name()).map(|column| column.id),
    }
}

/// The id of the column in a field of a file of our making.
pub(crate) fn field_id(field: &Field) -> Option<ColumnId> {
    field.metadata().get(PARQUET_FIELD_ID_META_KEY)?.parse().ok().map(ColumnId)
}

/// A data file in the making; dropped unfinished, it leaves nothing.
pub(crate) struct Output {
    writer: ArrowWriter<Summed>,
}

/// What is known of a file once it is durable.
pub(crate) struct Durable {
    pub sums: Sums,
    pub footer_bytes: u32,
}

impl Output {
    pub fn create(target: PathBuf, schema: SchemaRef, effort: Effort) -> Result<Self> {
        let output = Summed { inner: NewFile::create(target, 0o640)?, summing: Summing::default(), tail: [0; 8] };
        let properties = properties(&schema, effort)?;
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        Ok(Self { writer: ArrowWriter::try_new_with_options(output, schema, options)? })
    }

    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        Ok(self.writer.write(batch)?)
    }

    /// Writes the footer, syncs, gives the file its name.
    pub fn finish(mut self, provenance: &Provenance) -> Result<Durable> {
        let said = serde_json::to_string(provenance).map_err(|e| Error::Inconsistent(e.to_string()))?;
        self.writer.append_key_value_metadata(KeyValue::new(PROVENANCE.to_owned(), said));
        let Summed { inner, summing, tail } = self.writer.into_inner()?;
        failpoint::check("file", "commit")?;
        inner.commit()?;
        let footer_bytes = u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]);
        Ok(Durable { sums: summing.finish(), footer_bytes })
    }
}

/// The columns of one file, of which any slice of its rows can be laid out.
struct Columns {
    schema: SchemaRef,
    sources: Vec<Source>,
}

enum Source {
    Rows(ArrayRef),
    Keys(UInt32Array, ArrayRef),
    /// Positions in the file that have a value, rising, each with the value's place in the source.
    Sparse(Vec<(u32, u32)>, Box<Source>),
}

impl Columns {
    fn new(sorted: &Sorted, rows: &FileRows, schema: &TableSchema) -> Result<Self> {
        let is_sparse = sorted.columns.values().any(|c| matches!(c, HotColumn::Sparse(_)));
        let positions = if is_sparse { positions(&rows.rows) } else { Vec::new() };
        let mut fields = Vec::with_capacity(sorted.columns.len());
        let mut sources = Vec::with_capacity(sorted.columns.len());
        for (id, column) in &sorted.columns {
            let Some(info) = schema.by_id(*id) else {
                return Err(Error::Inconsistent(format!("hot rows hold column {id}, which has ended")));
            };
            let source = Source::new(column, &positions);
            fields.push(field(info, source.data_type()));
            sources.push(source);
        }
        Ok(Self { schema: Arc::new(Schema::new(fields)), sources })
    }

    /// The rows of `slice`, which begins at position `from` of the file.
    fn take(&self, from: usize, slice: &[u32]) -> Result<RecordBatch> {
        let order = UInt32Array::from(slice.to_vec());
        let arrays = self.sources.iter().map(|s| s.take(from, &order)).collect::<Result<Vec<_>>>()?;
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), arrays)?)
    }
}

impl Source {
    fn new(column: &HotColumn, positions: &[u32]) -> Self {
        match column {
            HotColumn::Plain(array) => Source::Rows(Arc::clone(array)),
            HotColumn::Keys(keys, dictionary) => Source::Keys(keys.clone(), Arc::new(dictionary.values())),
            HotColumn::Sparse(sparse) => {
                let placed = sparse.at.iter().map(|row| positions.get(*row as usize).copied().unwrap_or(ELSEWHERE));
                let mut placed: Vec<(u32, u32)> = placed.zip(0u32..).filter(|(at, _)| *at != ELSEWHERE).collect();
                placed.sort_unstable();
                Source::Sparse(placed, Box::new(Source::new(&sparse.values, positions)))
            }
        }
    }

    fn data_type(&self) -> DataType {
        match self {
            Source::Rows(array) => array.data_type().clone(),
            Source::Keys(..) => DataType::Dictionary(DataType::UInt32.into(), DataType::Utf8.into()),
            Source::Sparse(_, values) => values.data_type(),
        }
    }

    fn take(&self, from: usize, order: &UInt32Array) -> Result<ArrayRef> {
        Ok(match self {
            Source::Rows(array) => compute::take(array, order, None)?,
            Source::Keys(keys, values) => {
                let keys = compute::take(keys, order, None)?;
                Arc::new(DictionaryArray::<UInt32Type>::try_new(keys.as_primitive().clone(), Arc::clone(values))?)
            }
            Source::Sparse(placed, values) => {
                let begin = placed.partition_point(|(at, _)| (*at as usize) < from);
                let here = placed[begin..].iter().take_while(|(at, _)| (*at as usize) < from + order.len());
                let mut places: Vec<Option<u32>> = vec![None; order.len()];
                here.for_each(|(at, place)| places[*at as usize - from] = Some(*place));
                values.take(0, &UInt32Array::from(places))?
            }
        })
    }
}

/// What a row that is in another file has for a position.
const ELSEWHERE: u32 = u32::MAX;

/// Row → its position in the file.
fn positions(rows: &[u32]) -> Vec<u32> {
    let mut positions = vec![ELSEWHERE; rows.iter().max().map_or(0, |r| *r as usize + 1)];
    for (position, row) in (0u32..).zip(rows) {
        positions[*row as usize] = position;
    }
    positions
}

/// How much is done to make a file small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// For a flush, which memory waits for.
    Quick,
    /// For a merge: numbers of few values get dictionaries, too.
    Thorough,
}

/// Of a column of numbers in a row group; one of more values (8 192 of eight bytes) is written as it is.
const NUMBERS_DICTIONARY_BYTES: usize = 64 << 10;

fn properties(schema: &Schema, effort: Effort) -> Result<WriterProperties> {
    let compression = match effort {
        Effort::Quick => Compression::LZ4_RAW,
        Effort::Thorough => Compression::ZSTD(ZstdLevel::try_new(3)?),
    };
    let mut builder = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(compression)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_max_row_group_row_count(Some(limits::ROW_GROUP_ROWS))
        .set_created_by("tidewater".to_owned());
    // times of a series are evenly spaced as a rule: their differences take next to nothing, and no time to unpack
    builder = builder.set_column_encoding(ColumnPath::new(vec![TIME.to_owned()]), Encoding::DELTA_BINARY_PACKED);
    for field in schema.fields() {
        let column = || ColumnPath::new(vec![field.name().clone()]);
        let is_string = matches!(field.data_type(), DataType::Utf8 | DataType::Dictionary(..));
        if is_string {
            builder = builder.set_column_dictionary_enabled(column(), true);
        } else if effort == Effort::Thorough && field.name() != TIME {
            builder = builder
                .set_column_dictionary_enabled(column(), true)
                .set_column_dictionary_page_size_limit(column(), NUMBERS_DICTIONARY_BYTES);
        }
    }
    Ok(builder.build())
}

/// Sums up what passes.
struct Summed {
    inner: NewFile,
    summing: Summing,
    /// The last eight bytes: footer length and magic.
    tail: [u8; 8],
}

impl Write for Summed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        let written = &bytes[..n];
        self.summing.add(written);
        let kept = n.min(8);
        self.tail.rotate_left(kept);
        self.tail[8 - kept..].copy_from_slice(&written[n - kept..]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
