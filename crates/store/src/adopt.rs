//! Parquet files that other programs wrote become files of a table as they lie: no row is read or copied.
//!
//! They have no field ids, so their columns are bound by name: here by [`file::column_id`], for readers of the catalog
//! by a mapping in it (`ducklake_name_mapping`). Compaction makes files of our own of them in time. What a table could
//! not read exactly as an import would store it is not for this: [`Foreign::unfit`] says why.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int64Array, StringArray, UInt64Array};
use arrow::datatypes::{DataType, TimeUnit, UInt32Type};
use model::column::{ColumnType, Role, TIME, TIME_NS};
use model::{Batch, BatchColumn, ColumnId, DatabaseName, ItemName, TableId, TableMode, TableSchema, fold};
use parquet::file::metadata::{KeyValue, ParquetMetaData};
use parquet::file::statistics::Statistics;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row, params};
use serde_json::Value;

use crate::blocks::Sums;
use crate::catalog::{Aside, Job, Lake, Replacement, ReplacementKind};
use crate::compact::interval_of;
use crate::durable;
use crate::error::{Error, Result};
use crate::file::{self, NewDataFile};
use crate::flush::table_folder;
use crate::jobs::Handle;
use crate::store::Store;
use crate::{WriteRequest, failpoint, random};

/// Uncompressed bytes of a file at most: what is not in a table's order is sorted in memory once, when it is merged.
const LARGEST_BYTES: u64 = 256 << 20;
/// Under this key Arc names the tags of a file, with commas between.
const ARC_TAGS: &str = "arc:tags";

/// How a file gets into the server's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// A second name for the same bytes, on one file system.
    Link,
    Copy,
    /// It stays where it is, behind a symbolic link, and is never removed.
    InPlace,
}

/// A Parquet file of another program.
#[derive(Debug, Clone)]
pub struct Foreign {
    pub path: PathBuf,
    pub rows: u64,
    pub bytes: u64,
    footer_bytes: u32,
    /// Least and greatest time, UTC microseconds.
    time: (i64, i64),
    /// All but the time.
    pub columns: Vec<ForeignColumn>,
    /// Why its rows have to be written anew.
    pub unfit: Option<String>,
}

/// A column of a [`Foreign`] file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignColumn {
    pub name: String,
    /// As an import would store it; `None`: it holds nothing, or nothing that has a place.
    pub ty: Option<ColumnType>,
    pub is_tag: bool,
    may_be_empty: bool,
}

/// Looks at a file's footer. `tags` are tags beside those that the file names itself.
///
/// # Errors
/// It cannot be read as Parquet.
pub fn inspect(path: &Path, tags: &[String]) -> Result<Foreign> {
    let bytes = fs::metadata(path).map_err(Error::io("cannot read", path))?.len();
    let reader = file::reader(path)?;
    let metadata = Arc::clone(reader.metadata());
    let told = metadata.file_metadata().key_value_metadata().map_or(&[][..], Vec::as_slice);
    let told = told.iter().filter(|KeyValue { key, .. }| key == ARC_TAGS).filter_map(|entry| entry.value.as_deref());
    let tags: HashSet<String> =
        told.flat_map(|t| t.split(',')).chain(tags.iter().map(String::as_str)).map(fold).collect();
    let mut found = Foreign {
        path: path.to_owned(),
        rows: metadata.file_metadata().num_rows().max(0) as u64,
        bytes,
        footer_bytes: footer_bytes(path, bytes)?,
        time: (0, 0),
        columns: Vec::new(),
        unfit: None,
    };
    let mut unfit: Option<String> = None;
    let mut not = |reason: String| {
        unfit.get_or_insert(reason);
    };
    let fields = reader.schema().fields();
    let is_flat = fields.len() == metadata.file_metadata().schema_descr().num_columns();
    if !is_flat {
        not("it holds lists or structs".into());
    }
    let mut names = HashSet::new();
    let mut time = None;
    for (at, field) in fields.iter().enumerate() {
        let name = field.name();
        if !names.insert(fold(name)) {
            not(format!("column {name:?} stands twice"));
        }
        if fold(name) == TIME {
            time = Some((at, field.data_type().clone()));
            continue;
        }
        if fold(name) == TIME_NS {
            not(format!("column {name:?} is reserved"));
        }
        let (ty, is_exact) = stored(field.data_type());
        if !is_exact {
            not(format!("column {name:?} is {}", field.data_type()));
        }
        found.columns.push(ForeignColumn {
            name: name.clone(),
            ty,
            is_tag: tags.contains(&fold(name)),
            may_be_empty: is_flat && ty == Some(ColumnType::Utf8) && may_be_empty(&metadata, at),
        });
    }
    match time {
        None => not("it has no column \"time\"".into()),
        Some(_) if !is_flat => {}
        Some((at, ty)) => match times(&metadata, at, &ty) {
            Ok(time) => found.time = time,
            Err(reason) => not(reason),
        },
    }
    let uncompressed: i64 = metadata.row_groups().iter().map(|group| group.total_byte_size()).sum();
    if uncompressed.max(0) as u64 > LARGEST_BYTES {
        not(format!(
            "it is {} MiB uncompressed; at most {} are sorted at once",
            uncompressed >> 20,
            LARGEST_BYTES >> 20
        ));
    }
    found.unfit = unfit;
    Ok(found)
}

/// Bytes of the footer, which the last eight of a file name.
pub(crate) fn footer_bytes(path: &Path, bytes: u64) -> Result<u32> {
    use std::os::unix::fs::FileExt;
    let mut tail = [0; 8];
    let file = File::open(path).map_err(Error::io("cannot open", path))?;
    file.read_exact_at(&mut tail, bytes.saturating_sub(8)).map_err(Error::io("cannot read", path))?;
    Ok(u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]))
}

/// What an import makes of a type, and whether every reader makes the same of it.
pub(crate) fn stored(ty: &DataType) -> (Option<ColumnType>, bool) {
    match ty {
        DataType::Boolean => (Some(ColumnType::Bool), true),
        DataType::UInt64 => (Some(ColumnType::UInt64), true),
        ty if ty.is_integer() => (Some(ColumnType::Int64), true),
        DataType::Float32 | DataType::Float64 => (Some(ColumnType::Float64), true),
        DataType::Utf8 | DataType::LargeUtf8 => (Some(ColumnType::Utf8), true),
        ty if ty.is_floating() || ty.is_decimal() => (Some(ColumnType::Float64), false),
        DataType::Timestamp(..) => (Some(ColumnType::Int64), false),
        DataType::Null => (None, false),
        DataType::Date32 | DataType::Date64 | DataType::Time32(_) | DataType::Time64(_) => {
            (Some(ColumnType::Utf8), false)
        }
        DataType::Binary | DataType::FixedSizeBinary(_) => (Some(ColumnType::Utf8), false),
        _ => (None, false),
    }
}

/// Whether a column of texts may hold an empty one, by its statistics.
fn may_be_empty(metadata: &ParquetMetaData, column: usize) -> bool {
    metadata.row_groups().iter().any(|group| match group.column(column).statistics() {
        Some(Statistics::ByteArray(texts)) => match texts.min_opt() {
            Some(least) => least.is_empty(),
            None => texts.null_count_opt() != Some(group.num_rows().max(0) as u64),
        },
        _ => group.num_rows() > 0,
    })
}

/// Least and greatest time by the statistics, or why they do not say.
pub(crate) fn times(metadata: &ParquetMetaData, column: usize, ty: &DataType) -> Result<(i64, i64), String> {
    let unit_us = match ty {
        DataType::Timestamp(TimeUnit::Microsecond, _) => 1,
        DataType::Timestamp(TimeUnit::Millisecond, _) => 1_000,
        other => return Err(format!("its times are {other}, not microseconds or milliseconds")),
    };
    let unknown = || "its statistics do not tell its times".to_owned();
    let (mut from, mut to) = (i64::MAX, i64::MIN);
    for group in metadata.row_groups().iter().filter(|group| group.num_rows() > 0) {
        let Some(Statistics::Int64(values)) = group.column(column).statistics() else { return Err(unknown()) };
        match values.null_count_opt() {
            Some(0) => {}
            Some(nulls) => return Err(format!("{nulls} of its times are NULL")),
            None => return Err(unknown()),
        }
        let (Some(least), Some(greatest)) = (values.min_opt(), values.max_opt()) else { return Err(unknown()) };
        (from, to) = (from.min(*least), to.max(*greatest));
    }
    if from > to {
        return Err("it has no rows".into());
    }
    let us = |value: i64| value.checked_mul(unit_us).ok_or_else(|| "its times are out of range".to_owned());
    let (from, to) = (us(from)?, us(to)?);
    for at in [from, to] {
        model::time::check(at).map_err(|e| format!("its times: {e}"))?;
    }
    Ok((from, to))
}

/// The columns that a table needs for `files`, with one type each; files that hold another become unfit. What the
/// table has already, `schema`, decides; else integers beside floats become floats, and of others the type of most
/// rows is taken.
pub fn unify(schema: Option<&TableSchema>, files: &mut [Foreign]) -> Vec<ForeignColumn> {
    let mut seen: BTreeMap<String, (ForeignColumn, HashMap<ColumnType, u64>)> = BTreeMap::new();
    for (file, column) in files.iter().flat_map(|f| f.columns.iter().map(move |c| (f, c))) {
        let (joined, rows) = seen.entry(fold(&column.name)).or_insert_with(|| (column.clone(), HashMap::new()));
        joined.is_tag |= column.is_tag;
        if let Some(ty) = column.ty {
            *rows.entry(ty).or_default() += file.rows.max(1);
        }
    }
    for (name, (column, rows)) in &mut seen {
        let known = schema.and_then(|s| s.find(name)).filter(|c| !c.provisional);
        let has = |ty: ColumnType| rows.contains_key(&ty);
        let most = || rows.iter().max_by_key(|(ty, rows)| (**rows, **ty == ColumnType::Float64)).map(|(ty, _)| *ty);
        let are_numbers =
            rows.keys().all(|ty| matches!(ty, ColumnType::Int64 | ColumnType::UInt64 | ColumnType::Float64));
        column.is_tag |= known.is_some_and(|c| c.role == Role::Tag);
        column.ty = match known.map(|c| c.ty) {
            _ if column.is_tag => Some(ColumnType::Utf8),
            Some(ColumnType::Int64) if has(ColumnType::Float64) => Some(ColumnType::Float64),
            Some(ty) => Some(ty),
            None if are_numbers && has(ColumnType::Float64) => Some(ColumnType::Float64),
            None => most(),
        };
    }
    for file in files.iter_mut().filter(|file| file.unfit.is_none()) {
        let word = |ty: Option<ColumnType>| ty.map_or("nothing", ColumnType::as_str);
        file.unfit = file.columns.iter().find_map(|column| {
            let wanted = &seen[&fold(&column.name)].0;
            if column.ty != wanted.ty {
                return Some(format!(
                    "column {:?} is {} here and {} in others",
                    column.name,
                    word(column.ty),
                    word(wanted.ty)
                ));
            }
            (wanted.is_tag && column.may_be_empty).then(|| format!("tag {:?} may hold empty texts", column.name))
        });
    }
    seen.into_values().map(|(column, _)| column).collect()
}

impl Store {
    /// Makes the table with these columns, or gives it those that it lacks.
    ///
    /// # Errors
    /// It has one of another type or role already, or a name is no name.
    pub fn prepare_table(
        &self,
        database: &DatabaseName,
        table: &ItemName,
        columns: &[ForeignColumn],
    ) -> Result<TableId> {
        // one row that is never stored says what is needed
        let column = |column: &ForeignColumn| BatchColumn {
            name: column.name.as_str().into(),
            role: if column.is_tag { Role::Tag } else { Role::None },
            array: sample(column.ty),
        };
        let batch = Batch {
            table: table.shared(),
            time: vec![0].into(),
            time_ns: None,
            columns: columns.iter().map(column).collect(),
            origin: Vec::new(),
        };
        let (mode, batches) = (TableMode::Append, vec![batch]);
        let request =
            WriteRequest { database: database.clone(), mode, batches, partial: false, durability: None, key: None };
        let resolved = self.resolve_fully(request)?;
        let table = resolved.epochs.first().map(|(table, _)| *table);
        table.ok_or_else(|| Error::Inconsistent("a table was made and is not there".into()))
    }

    /// What files were adopted by a table before, by [`source`].
    pub fn adopted(&self, table: TableId) -> Result<HashSet<String>> {
        self.committer.aside(move |lake| lake.adopted(table))
    }

    /// Makes fit files files of a table, in one commit; says how many rows they have.
    ///
    /// # Errors
    /// Nothing is adopted: the table keeps one row a point, lacks a column, changed meanwhile, or the disk failed.
    pub fn adopt(&self, table: TableId, files: &[Foreign], way: Way, job: &Handle) -> Result<u64> {
        self.shared().check_disk()?;
        let info = Arc::clone(&self.live(table)?.info);
        if info.mode == TableMode::Last {
            let name = &info.name;
            return Err(Error::Parameter(format!(
                "table {name:?} keeps one row a point: its rows have to be written anew"
            )));
        }
        let folder = table_folder(self.shared(), &self.view(), &info)?;
        let mut brought = Vec::new();
        let outcome = (|| {
            let mut new = Vec::with_capacity(files.len());
            for foreign in files {
                new.push(bring(foreign, &folder, &info.schema, way, &mut brought)?);
                failpoint::hit("adopt.file");
            }
            let folders: HashSet<&Path> = brought.iter().filter_map(|path| path.parent()).collect();
            folders.into_iter().try_for_each(durable::sync_folder)?;
            let Some(range) = files.iter().map(|f| f.time).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))) else {
                return Ok(0);
            };
            let held = self.hold(&info, range, &job.name)?;
            let columns: HashSet<ColumnId> =
                new.iter().filter_map(|f| f.names.as_ref()).flat_map(|n| n.iter()).map(|n| n.1).collect();
            let sources: Vec<String> = files.iter().map(source).collect();
            let rows = new.iter().map(|f| f.rows).sum();
            let replacement = Replacement {
                table,
                ended: Vec::new(),
                files: new,
                kind: ReplacementKind::Import { epoch: info.epoch, range },
                columns: columns.into_iter().collect(),
                also: Some(Aside::new(move |lake| lake.record_adopted(table, &sources))),
                token: held.token(),
                job: job.name.clone(),
            };
            failpoint::hit("adopt.commit.before");
            self.committer.wait(|reply| Job::Replace { replacements: vec![replacement], reply })?;
            failpoint::hit("adopt.commit.after");
            held.spend();
            Ok(rows)
        })();
        if outcome.is_err() {
            durable::discard(&brought);
        }
        outcome
    }
}

/// Rows of a table of Arc's `arc.db`, by column.
pub type ArcRows = Vec<serde_json::Map<String, Value>>;

/// What Arc keeps beside its files.
#[derive(Debug, Clone, Default)]
pub struct ArcMetadata {
    pub policies: ArcRows,
    pub queries: ArcRows,
    /// Its other tables that hold rows, and how many.
    pub others: Vec<(String, u64)>,
}

/// Reads Arc's `arc.db`.
///
/// # Errors
/// It is no such database.
pub fn arc_metadata(path: &Path) -> Result<ArcMetadata> {
    let database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut tables =
        database.prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")?;
    let names: Vec<String> = tables.query_map([], |r| r.get(0))?.collect::<Result<_, _>>()?;
    let mut found = ArcMetadata::default();
    for name in names {
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        match name.as_str() {
            "retention_policies" => found.policies = rows_of(&database, &quoted)?,
            "continuous_queries" => found.queries = rows_of(&database, &quoted)?,
            _ => {
                let count = database.query_row(&format!("SELECT count(*) FROM {quoted}"), [], |r| r.get(0))?;
                found.others.extend((count > 0).then_some((name, count)));
            }
        }
    }
    Ok(found)
}

fn rows_of(database: &Connection, table: &str) -> Result<ArcRows> {
    let mut statement = database.prepare(&format!("SELECT * FROM {table}"))?;
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let value = |value: ValueRef<'_>| match value {
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) => number.into(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into(),
        ValueRef::Null | ValueRef::Blob(_) => Value::Null,
    };
    let row =
        |r: &Row<'_>| names.iter().enumerate().map(|(at, name)| Ok((name.clone(), value(r.get_ref(at)?)))).collect();
    Ok(statement.query_map([], row)?.collect::<Result<_, _>>()?)
}

/// What a file is known by: its path, size and the time of its last change.
pub fn source(file: &Foreign) -> String {
    let changed = fs::metadata(&file.path).and_then(|m| m.modified()).ok();
    let changed = changed.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok()).map_or(0, |at| at.as_micros());
    let path = fs::canonicalize(&file.path).unwrap_or_else(|_| file.path.clone());
    format!("{} {} {changed}", path.display(), file.bytes)
}

/// One value of a type.
fn sample(ty: Option<ColumnType>) -> ArrayRef {
    match ty {
        Some(ColumnType::Bool) => Arc::new(BooleanArray::from(vec![false])),
        Some(ColumnType::Int64) => Arc::new(Int64Array::from(vec![0])),
        Some(ColumnType::UInt64) => Arc::new(UInt64Array::from(vec![0])),
        // no integer: an integer column has to give way
        Some(ColumnType::Float64) => Arc::new(Float64Array::from(vec![0.5])),
        Some(_) => {
            let one: DictionaryArray<UInt32Type> =
                DictionaryArray::new(vec![0].into(), Arc::new(StringArray::from(vec!["x"])));
            Arc::new(one)
        }
        None => arrow::array::new_null_array(&DataType::Null, 1),
    }
}

/// Puts a file, or the way to it, below the table's folder.
fn bring(
    foreign: &Foreign,
    folder: &Path,
    schema: &TableSchema,
    way: Way,
    brought: &mut Vec<PathBuf>,
) -> Result<NewDataFile> {
    let column = |name: &str| {
        let found = schema.find(name).map(|c| c.id);
        found.ok_or_else(|| Error::Inconsistent(format!("table has no column {name:?} of {}", foreign.path.display())))
    };
    let time_column = column(TIME)?;
    let others = foreign.columns.iter().map(|c| Ok((c.name.clone(), column(&c.name)?)));
    let names: Vec<(String, ColumnId)> =
        [Ok((TIME.to_owned(), time_column))].into_iter().chain(others).collect::<Result<_>>()?;
    // thousands of them may lie in one folder: a short name could come twice
    let path = format!("{}{}.parquet", interval_of(foreign.time).folder(), random::uuid());
    let target = folder.join(&path);
    let source = fs::canonicalize(&foreign.path).map_err(Error::io("cannot find", &foreign.path))?;
    match way {
        Way::Link => durable::in_folder_of(&target, || {
            fs::hard_link(&source, &target).map_err(Error::io("cannot link (copy it, or adopt it in place)", &source))
        })?,
        Way::InPlace => durable::in_folder_of(&target, || {
            std::os::unix::fs::symlink(&source, &target).map_err(Error::io("cannot link", &source))
        })?,
        Way::Copy => {}
    }
    brought.push(target.clone());
    let Sums { bytes, crc32c, blocks } = match way {
        Way::Copy => file::copy(&source, &target, |_| Ok(()))?,
        Way::Link | Way::InPlace => {
            // whoever wrote it may not have synced it
            durable::sync_data(&File::open(&source).map_err(Error::io("cannot open", &source))?, &source)?;
            file::checksum(&source)?
        }
    };
    if bytes != foreign.bytes {
        return Err(Error::Damaged(format!("{} changes while it is adopted", source.display())));
    }
    Ok(NewDataFile {
        path,
        rows: foreign.rows,
        bytes,
        footer_bytes: foreign.footer_bytes,
        crc32c,
        blocks,
        time_min: foreign.time.0,
        time_max: foreign.time.1,
        time_column,
        sort_key: Vec::new(),
        bounds: Vec::new(),
        lsn_min: model::Lsn(0),
        lsn_max: model::Lsn(0),
        producer: 0,
        names: Some(names.into()),
    })
}

impl Lake {
    fn record_adopted(&self, table: TableId, sources: &[String]) -> Result<()> {
        let mut insert = self.connection.prepare_cached("INSERT OR IGNORE INTO tw_adopted VALUES (?, ?)")?;
        sources.iter().try_for_each(|source| Ok(insert.execute(params![table.0, source]).map(drop)?))
    }

    fn adopted(&self, table: TableId) -> Result<HashSet<String>> {
        let mut statement = self.connection.prepare_cached("SELECT source FROM tw_adopted WHERE table_id = ?")?;
        let found = statement.query_map([table.0], |r| r.get(0))?;
        Ok(found.collect::<Result<_, _>>()?)
    }
}
