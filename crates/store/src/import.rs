//! Rows that become files without passing through the log, all of them in one commit.
//!
//! An import is later than everything acknowledged before its commit, and earlier than whatever is acknowledged
//! after it: its files take the LSN up to which their table was flushed at that instant.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use model::{Batch, DatabaseName, Lsn, TableId, TableMode};
use parking_lot::Mutex;
use rusqlite::{OptionalExtension, params};

use crate::catalog::{Aside, Job, Lake, Replacement, ReplacementKind};
use crate::error::{Error, Result};
use crate::file::{Made, Maker, NewDataFile};
use crate::flush::table_folder;
use crate::hold::Held;
use crate::hot::Generation;
use crate::jobs::Handle;
use crate::record::Part;
use crate::store::Store;
use crate::view::TableInfo;
use crate::{Resolution, WriteRequest, durable, failpoint, file, seal};

/// Bytes of rows that are sorted and written in one go; less where there is little memory.
const CHUNK_BYTES: usize = 32 << 20;
/// Chunks that are sorted and written while the next one fills; fewer where there is little memory.
const CHUNKS_ON_THEIR_WAY: usize = 2;
/// An import has one part in so many of the budget of hot rows at most.
const SHARE: usize = 4;

/// What an import wrote to one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedTable {
    pub name: String,
    pub rows: u64,
    pub files: usize,
    /// Least and greatest time, UTC microseconds.
    pub time: (i64, i64),
}

/// An import on its way. Dropped before [`Import::commit`] it leaves nothing.
#[derive(Debug)]
pub struct Import<'a> {
    store: &'a Store,
    database: DatabaseName,
    /// Of tables that do not exist yet.
    mode: TableMode,
    chunk_bytes: usize,
    tables: BTreeMap<TableId, Loading>,
    on_their_way: VecDeque<Chunk>,
    /// Every file that has its name, also of a chunk that fails.
    written: Arc<Mutex<Vec<PathBuf>>>,
}

type Files = Vec<(TableId, Vec<NewDataFile>)>;

/// Rows that a thread sorts and writes.
#[derive(Debug)]
struct Chunk {
    thread: JoinHandle<Result<Files>>,
    /// Reserved for them.
    bytes: usize,
}

/// Rows of a chunk that are one table's.
struct Rows {
    generation: Generation,
    info: Arc<TableInfo>,
    folder: PathBuf,
    flushed: Lsn,
}

/// Rows for one table: the last of them in memory, the others in files.
#[derive(Debug)]
struct Loading {
    epoch: u64,
    generation: Generation,
    /// Reserved for the rows in memory.
    bytes: usize,
    files: Vec<NewDataFile>,
    columns: Vec<model::ColumnId>,
    rows: u64,
    time: (i64, i64),
}

impl Store {
    /// Begins an import into tables of one database.
    pub fn import(&self, database: DatabaseName, mode: TableMode) -> Import<'_> {
        let chunk_bytes = CHUNK_BYTES.min(self.shared().config.hot_budget_bytes / (2 * SHARE)).max(1);
        Import {
            store: self,
            database,
            mode,
            chunk_bytes,
            tables: BTreeMap::new(),
            on_their_way: VecDeque::new(),
            written: Arc::default(),
        }
    }

    /// How many rows an import of a name had, if there was one.
    pub fn imported(&self, name: &str) -> Result<Option<u64>> {
        let name = name.to_owned();
        self.committer.aside(move |lake| lake.import(&name))
    }
}

impl Lake {
    /// Remembers an import, and forgets the oldest past a bound.
    fn record_import(&self, name: &str, rows: u64) -> Result<()> {
        self.connection.execute("DELETE FROM tw_import WHERE name = ?", [name])?;
        self.connection.execute("INSERT INTO tw_import (name, rows) VALUES (?, ?)", params![name, rows])?;
        let kept = model::limits::KNOWN_IMPORTS as i64;
        self.connection.execute("DELETE FROM tw_import WHERE id <= (SELECT max(id) FROM tw_import) - ?", [kept])?;
        Ok(())
    }

    fn import(&self, name: &str) -> Result<Option<u64>> {
        let mut statement = self.connection.prepare_cached("SELECT rows FROM tw_import WHERE name = ?")?;
        Ok(statement.query_row([name], |r| r.get(0)).optional()?)
    }
}

impl Import<'_> {
    /// Adds rows; the tables and columns that they need are made.
    ///
    /// # Errors
    /// [`Error::Row`]: a row does not fit, by its number in the batch's `origin`. [`Error::Churn`]: a table changed
    /// under the import, which can begin again.
    pub fn add(&mut self, batches: Vec<Batch>) -> Result<()> {
        let store = self.store;
        store.shared().check_disk()?;
        let mut request = WriteRequest {
            database: self.database.clone(),
            mode: self.mode,
            batches,
            partial: true,
            durability: None,
            key: None,
        };
        let mut refused = Vec::new();
        for _ in 0..model::limits::RESOLVE_ATTEMPTS {
            let resolution = store.resolve(&mut request, &mut refused)?;
            if let Some(row) = refused.into_iter().min_by_key(|r| r.number) {
                return Err(Error::Row { number: row.number, reason: row.reason, code: row.code });
            }
            refused = Vec::new();
            match resolution {
                Resolution::Ready(resolved) => {
                    let epochs: BTreeMap<TableId, u64> = resolved.epochs.into_iter().collect();
                    return resolved.parts.iter().try_for_each(|part| self.insert(part, epochs[&part.table]));
                }
                Resolution::Needs(wants) => store.define(&request.database, wants)?,
                Resolution::Widens { table, column } => {
                    store.widen(table, &column)?;
                    // what is in files already has the old type
                    let is_begun = self.tables.contains_key(&table);
                    if is_begun {
                        return Err(Error::Churn(column));
                    }
                }
            }
        }
        Err(Error::Churn(request.batches.first().map(|b| b.table.to_string()).unwrap_or_default()))
    }

    fn insert(&mut self, part: &Part, epoch: u64) -> Result<()> {
        let bytes = part.bytes();
        if self.filled() + bytes > self.chunk_bytes {
            self.spill()?;
        }
        let share = self.store.shared().config.hot_budget_bytes / SHARE;
        while (self.on_their_way.len() > CHUNKS_ON_THEIR_WAY || self.filled() + self.sent() + bytes > share)
            && self.collect()?
        {}
        self.store.shared().reserve(bytes)?;
        let loading = self.tables.entry(part.table).or_insert_with(|| Loading {
            epoch,
            generation: Generation::default(),
            bytes: 0,
            files: Vec::new(),
            columns: Vec::new(),
            rows: 0,
            time: (i64::MAX, i64::MIN),
        });
        loading.bytes += bytes;
        if loading.epoch != epoch {
            return Err(Error::Churn(self.store.live(part.table)?.info.name.to_string()));
        }
        loading.generation.insert(Lsn(0), part, bytes)?;
        loading.rows += part.rows as u64;
        loading.time = (loading.time.0.min(part.time_min), loading.time.1.max(part.time_max));
        Ok(())
    }

    /// Bytes that are reserved for the rows in memory.
    fn filled(&self) -> usize {
        self.tables.values().map(|t| t.bytes).sum()
    }

    /// Bytes that are reserved for the chunks on their way.
    fn sent(&self) -> usize {
        self.on_their_way.iter().map(|c| c.bytes).sum()
    }

    /// Has the rows in memory put into files.
    fn spill(&mut self) -> Result<()> {
        let (shared, mut chunk) = (self.store.shared(), Vec::new());
        for (id, loading) in self.tables.iter_mut().filter(|(_, loading)| loading.generation.rows > 0) {
            let table = self.store.live(*id)?;
            let folder = table_folder(shared, &self.store.view(), &table.info)?;
            for column in loading.generation.columns() {
                if !loading.columns.contains(&column) {
                    loading.columns.push(column);
                }
            }
            let generation = std::mem::take(&mut loading.generation);
            chunk.push((*id, Rows { generation, info: Arc::clone(&table.info), folder, flushed: table.flushed }));
        }
        if chunk.is_empty() {
            return Ok(());
        }
        let written = Arc::clone(&self.written);
        let write = move || chunk.into_iter().map(|(id, rows)| Ok((id, rows.write(&written)?))).collect();
        let thread = thread::Builder::new().name("import".into()).spawn(write);
        let thread = thread.map_err(Error::io("cannot start a thread that writes to", &shared.layout.root))?;
        let bytes = self.tables.values_mut().map(|loading| std::mem::take(&mut loading.bytes)).sum();
        self.on_their_way.push_back(Chunk { thread, bytes });
        Ok(())
    }

    /// Waits for the oldest chunk on its way; false when there is none.
    fn collect(&mut self) -> Result<bool> {
        let Some(Chunk { thread, bytes }) = self.on_their_way.pop_front() else { return Ok(false) };
        let outcome = thread.join();
        self.store.shared().release(bytes);
        let files = outcome.map_err(|_| Error::Inconsistent("a thread that wrote imported rows panicked".into()))?;
        for (id, new) in files? {
            self.tables.entry(id).and_modify(|loading| loading.files.extend(new));
        }
        Ok(true)
    }

    /// Makes every row visible at once, and durable. With a name the store knows it from now on, by
    /// [`Store::imported`].
    ///
    /// # Errors
    /// Nothing is imported: [`Error::Churn`] when a table changed meanwhile, [`Error::Locked`], the disk's errors.
    pub fn commit(mut self, job: &Handle, name: Option<&str>) -> Result<Vec<ImportedTable>> {
        self.spill()?;
        while self.collect()? {}
        self.tables.retain(|_, loading| !loading.files.is_empty());
        if self.tables.is_empty() {
            return Ok(Vec::new());
        }
        // the rows that were acknowledged before must be the earlier versions of points
        let is_points = |id: &TableId| self.store.live(*id).is_ok_and(|t| t.info.mode == TableMode::Last);
        if self.tables.keys().any(is_points) {
            self.store.flush()?;
        }
        let mut held: Vec<Held> = Vec::new();
        let mut imported = Vec::new();
        let mut replacements = Vec::new();
        let mut also = name.map(|name| {
            let (name, rows) = (name.to_owned(), self.tables.values().map(|t| t.rows).sum());
            Aside::new(move |lake| lake.record_import(&name, rows))
        });
        for (id, loading) in &mut self.tables {
            let info = Arc::clone(&self.store.live(*id)?.info);
            let lock = self.store.hold(&info, loading.time, &job.name)?;
            imported.push(ImportedTable {
                name: info.name.to_string(),
                rows: loading.files.iter().map(|f| f.rows).sum(),
                files: loading.files.len(),
                time: loading.time,
            });
            replacements.push(Replacement {
                table: *id,
                ended: Vec::new(),
                files: loading.files.clone(),
                kind: ReplacementKind::Import { epoch: loading.epoch, range: loading.time },
                columns: std::mem::take(&mut loading.columns),
                also: also.take(),
                token: lock.token(),
                job: job.name.clone(),
            });
            held.push(lock);
        }
        failpoint::hit("import.commit.before");
        self.store.committer.wait(|reply| Job::Replace { replacements, reply })?;
        failpoint::hit("import.commit.after");
        held.into_iter().for_each(Held::spend);
        self.written.lock().clear();
        Ok(imported)
    }
}

impl Rows {
    fn write(self, written: &Mutex<Vec<PathBuf>>) -> Result<Vec<NewDataFile>> {
        let Self { generation, info, folder, flushed } = self;
        let sorted = seal::sort(&generation, &info.schema, info.mode)?;
        let mut files = Vec::with_capacity(sorted.files.len());
        for rows in &sorted.files {
            let name = file::fresh_name("", flushed);
            let made = Made { by: Maker::Import, mode: info.mode, lsn: (flushed, flushed), producer: 0 };
            let new = file::write(&folder, &name, &sorted, rows, &info.schema, made)?;
            written.lock().push(folder.join(&new.path));
            files.push(new);
            failpoint::hit("import.file");
        }
        Ok(files)
    }
}

impl Drop for Import<'_> {
    fn drop(&mut self) {
        while self.collect().unwrap_or(true) {}
        durable::discard(&self.written.lock());
        self.tables.values().for_each(|loading| self.store.shared().release(loading.bytes));
    }
}
