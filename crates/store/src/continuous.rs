//! Continuous queries as the store knows them: definitions and executions in `server.sqlite`, marks
//! and touched ranges in the catalog, and the commit that replaces a window's output together with
//! the mark. Whoever runs the queries stands above ([`Store::replace_window`] is what it calls).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use model::column::TIME;
use model::{Batch, DatabaseName, Lsn, TableId, TableMode, limits};
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use crate::catalog::{Aside, Job, Lake, Replacement, ReplacementKind};
use crate::error::{Error, Result};
use crate::file::{Made, Maker};
use crate::flush::table_folder;
use crate::hot::Generation;
use crate::jobs::Handle;
use crate::merge::merge;
use crate::store::Store;
use crate::view::{DataFile, Table};
use crate::{WriteRequest, durable, failpoint, file, meta, seal};

/// What a continuous query is. Durations are in microseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    pub name: String,
    pub description: Option<String>,
    pub database: String,
    pub source_measurement: String,
    pub destination_measurement: String,
    /// With `{start_time}` and `{end_time}`.
    pub query: String,
    /// As the client wrote it.
    pub interval: String,
    pub interval_us: i64,
    /// Width of a window; the rows that a query gives for one lie within it.
    pub bucket_us: i64,
    /// A window is processed so long after its end.
    pub lag_us: i64,
    /// A window is processed again for late rows until it is so old; then it is final.
    pub look_back_us: i64,
    pub tag_columns: Vec<String>,
    pub retention_days: Option<i64>,
    pub delete_source_after_days: Option<i64>,
    pub is_active: bool,
}

/// How far a query is: every window before `processed_us` was computed, from every row up to
/// `processed_lsn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    pub processed_us: i64,
    pub processed_lsn: Lsn,
}

/// A continuous query with what its last run did. Instants are UTC microseconds.
#[derive(Debug, Clone)]
pub struct Continuous {
    pub id: i64,
    pub definition: Definition,
    pub created_us: i64,
    pub updated_us: i64,
    pub mark: Option<Mark>,
    pub last: Option<Execution>,
}

/// One run of a query.
#[derive(Debug, Clone)]
pub struct Execution {
    pub id: i64,
    pub query: i64,
    pub name: String,
    pub started_us: i64,
    /// `running`, `completed`, `failed` or `cancelled`.
    pub status: String,
    pub from_us: i64,
    pub to_us: i64,
    pub rows: u64,
    pub duration_ms: f64,
    pub error: Option<String>,
}

/// What a run starts from.
#[derive(Debug, Clone)]
pub struct Begun {
    pub mark: Option<Mark>,
    /// Ranges that commits have changed since, both ends included.
    pub touched: Vec<(i64, i64)>,
    /// The newest of them.
    touched_up_to: i64,
}

/// What the commit of a window says beside its rows.
#[derive(Debug, Clone)]
pub struct Settled {
    pub mark: Mark,
    /// What was touched before this run began is done with.
    pub done: Option<Begun>,
}

/// The rows of one window, to replace what the query wrote there before.
#[derive(Debug)]
pub struct Window<'a> {
    pub query: i64,
    pub database: &'a DatabaseName,
    pub destination: &'a str,
    /// First instant, and the first one after it.
    pub range: (i64, i64),
    /// Every row of these was read.
    pub published: Lsn,
    /// `None`: the window is empty.
    pub rows: Option<Batch>,
    pub settled: Option<Settled>,
    /// The run, in the catalog's words.
    pub run: &'a str,
}

/// The continuous queries of one folder.
#[derive(Debug)]
pub struct Queries {
    database: Mutex<Connection>,
}

impl Queries {
    /// Opens `server.sqlite` and settles runs that an earlier process did not end.
    pub fn open(path: &Path, catalog: &Lake) -> Result<Self> {
        let database = meta::open(
            path,
            "CREATE TABLE IF NOT EXISTS continuous_queries (id INTEGER PRIMARY KEY AUTOINCREMENT,
               name TEXT NOT NULL UNIQUE, definition TEXT NOT NULL, created_us INTEGER NOT NULL,
               updated_us INTEGER NOT NULL);
             CREATE TABLE IF NOT EXISTS continuous_executions (id INTEGER PRIMARY KEY AUTOINCREMENT,
               query_id INTEGER NOT NULL, name TEXT NOT NULL, started_us INTEGER NOT NULL, status TEXT NOT NULL,
               from_us INTEGER NOT NULL, to_us INTEGER NOT NULL, rows INTEGER NOT NULL, duration_ms REAL NOT NULL,
               error TEXT);
             CREATE INDEX IF NOT EXISTS continuous_executions_by_query ON continuous_executions (query_id, id);",
        )?;
        meta::add_column(&database, "continuous_queries", "computed_from_us INTEGER")?;
        let open: Vec<(i64, String)> = {
            let mut statement =
                database.prepare("SELECT id, name FROM continuous_executions WHERE status = 'running'")?;
            let found = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?;
            found.collect::<Result<_, _>>()?
        };
        for (id, name) in open {
            let rows = catalog.job(&name)?.map_or(0, |(_, rows)| rows);
            database.execute(
                "UPDATE continuous_executions SET status = 'failed', rows = ?,
                 error = 'the server ended during the run; the windows it had committed stand' WHERE id = ?",
                params![rows, id],
            )?;
            catalog.forget_job(&name)?;
        }
        Ok(Self { database: Mutex::new(database) })
    }

    fn select(&self, condition: &str, values: impl rusqlite::Params) -> Result<Vec<Continuous>> {
        let sql = format!(
            "SELECT q.id, q.definition, q.created_us, q.updated_us, e.* FROM continuous_queries q
             LEFT JOIN continuous_executions e
             ON e.id = (SELECT max(id) FROM continuous_executions WHERE query_id = q.id) {condition} ORDER BY q.id"
        );
        let database = self.database.lock();
        let mut statement = database.prepare_cached(&sql)?;
        let mut rows = statement.query(values)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let text: String = row.get(1)?;
            let definition = serde_json::from_str(&text)
                .map_err(|e| Error::Inconsistent(format!("continuous query {text:?} cannot be read: {e}")))?;
            let last = match row.get::<_, Option<i64>>(4)? {
                Some(_) => Some(execution_at(row, 4)?),
                None => None,
            };
            let (id, created_us, updated_us) = (row.get(0)?, row.get(2)?, row.get(3)?);
            found.push(Continuous { id, definition, created_us, updated_us, mark: None, last });
        }
        Ok(found)
    }

    fn create(&self, definition: &Definition, now_us: i64) -> Result<i64> {
        let database = self.database.lock();
        let count: usize = database.query_row("SELECT count(*) FROM continuous_queries", [], |r| r.get(0))?;
        if count >= limits::CONTINUOUS_QUERIES {
            return Err(Error::Parameter(format!("there are {count} continuous queries already; delete one first")));
        }
        database
            .prepare_cached(
                "INSERT INTO continuous_queries (name, definition, created_us, updated_us) VALUES (?1, ?2, ?3, ?3)",
            )?
            .execute(params![definition.name, text(definition)?, now_us])
            .map_err(|e| meta::taken(e, &definition.name))?;
        Ok(database.last_insert_rowid())
    }

    fn update(&self, id: i64, definition: &Definition, now_us: i64) -> Result<bool> {
        let changed = self
            .database
            .lock()
            .prepare_cached("UPDATE continuous_queries SET name = ?, definition = ?, updated_us = ? WHERE id = ?")?
            .execute(params![definition.name, text(definition)?, now_us, id])
            .map_err(|e| meta::taken(e, &definition.name))?;
        Ok(changed > 0)
    }

    fn delete(&self, id: i64) -> Result<bool> {
        let mut database = self.database.lock();
        let transaction = database.transaction()?;
        transaction.execute("DELETE FROM continuous_executions WHERE query_id = ?", [id])?;
        let gone = transaction.execute("DELETE FROM continuous_queries WHERE id = ?", [id])?;
        transaction.commit()?;
        Ok(gone > 0)
    }

    /// The last runs of a query, newest first.
    pub fn executions(&self, id: i64, limit: usize) -> Result<Vec<Execution>> {
        let database = self.database.lock();
        let mut statement = database
            .prepare_cached("SELECT * FROM continuous_executions WHERE query_id = ? ORDER BY id DESC LIMIT ?")?;
        let found = statement.query_map(params![id, limit], |row| execution_at(row, 0))?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// Writes the row of a run that begins; returns its id.
    pub fn begin(&self, query: i64, name: &str, (from_us, to_us): (i64, i64), now_us: i64) -> Result<i64> {
        let database = self.database.lock();
        // both or neither: a row that nobody ends would say "running" until the next start
        let transaction = database.unchecked_transaction()?;
        transaction
            .prepare_cached(
                "INSERT INTO continuous_executions (query_id, name, started_us, status, from_us, to_us, rows, duration_ms)
                 VALUES (?, ?, ?, 'running', ?, ?, 0, 0)",
            )?
            .execute(params![query, name, now_us, from_us, to_us])?;
        let id = transaction.last_insert_rowid();
        transaction.execute(
            "DELETE FROM continuous_executions WHERE query_id = ? AND id <= ?",
            params![query, id - limits::CONTINUOUS_EXECUTIONS as i64],
        )?;
        transaction.commit()?;
        Ok(id)
    }

    /// Notes that every window of a range has been computed. What is kept is where the unbroken range that
    /// ends at the mark begins: another range counts when it reaches that.
    pub fn computed(&self, query: i64, (from_us, to_us): (i64, i64)) -> Result<()> {
        self.database.lock().execute(
            "UPDATE continuous_queries SET computed_from_us = ?1 WHERE id = ?3 AND (computed_from_us IS NULL
             OR (?1 < computed_from_us AND ?2 >= computed_from_us))",
            params![from_us, to_us, query],
        )?;
        Ok(())
    }

    /// Where the unbroken range of computed windows begins, UTC microseconds.
    pub fn computed_from(&self, query: i64) -> Result<Option<i64>> {
        let sql = "SELECT computed_from_us FROM continuous_queries WHERE id = ?";
        Ok(self.database.lock().query_row(sql, [query], |r| r.get(0)).optional()?.flatten())
    }

    /// Writes how a run ended.
    pub fn end(&self, execution: i64, outcome: Result<u64, (bool, String)>, duration_ms: f64) -> Result<()> {
        let (status, rows, error) = match outcome {
            Ok(rows) => ("completed", rows, None),
            Err((true, error)) => ("cancelled", 0, Some(error)),
            Err((false, error)) => ("failed", 0, Some(error)),
        };
        self.database.lock().execute(
            "UPDATE continuous_executions SET status = ?, rows = ?, duration_ms = ?, error = ? WHERE id = ?",
            params![status, rows, duration_ms, error, execution],
        )?;
        Ok(())
    }
}

fn text(definition: &Definition) -> Result<String> {
    serde_json::to_string(definition).map_err(|e| Error::Inconsistent(e.to_string()))
}

fn execution_at(row: &Row<'_>, first: usize) -> rusqlite::Result<Execution> {
    Ok(Execution {
        id: row.get(first)?,
        query: row.get(first + 1)?,
        name: row.get(first + 2)?,
        started_us: row.get(first + 3)?,
        status: row.get(first + 4)?,
        from_us: row.get(first + 5)?,
        to_us: row.get(first + 6)?,
        rows: row.get(first + 7)?,
        duration_ms: row.get(first + 8)?,
        error: row.get(first + 9)?,
    })
}

impl Lake {
    fn mark(&self, query: i64) -> Result<Option<Mark>> {
        let mut statement =
            self.connection.prepare_cached("SELECT processed_us, processed_lsn FROM tw_mark WHERE query_id = ?")?;
        let mark = |r: &Row<'_>| Ok(Mark { processed_us: r.get(0)?, processed_lsn: Lsn(r.get(1)?) });
        Ok(statement.query_row([query], mark).optional()?)
    }

    fn set_mark(&self, query: i64, mark: Mark) -> Result<()> {
        self.connection.prepare_cached("INSERT INTO tw_mark VALUES (?1, ?2, ?3) ON CONFLICT (query_id) DO UPDATE SET processed_us = ?2, processed_lsn = ?3")?.execute(params![
            query,
            mark.processed_us,
            mark.processed_lsn.0
        ])?;
        Ok(())
    }

    fn set_sources(&self, query: i64, sources: &[TableId]) -> Result<()> {
        self.connection.execute("DELETE FROM tw_source WHERE query_id = ?", [query])?;
        for table in sources {
            self.connection.execute("INSERT OR IGNORE INTO tw_source VALUES (?, ?)", params![query, table.0])?;
        }
        Ok(())
    }

    fn begin_run(&self, query: i64, sources: &[TableId]) -> Result<Begun> {
        self.set_sources(query, sources)?;
        let mut statement = self
            .connection
            .prepare_cached("SELECT rowid, from_us, to_us FROM tw_touched WHERE query_id = ? ORDER BY rowid")?;
        let found: Vec<(i64, i64, i64)> =
            statement.query_map([query], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?.collect::<Result<_, _>>()?;
        let touched_up_to = found.last().map_or(0, |(row, ..)| *row);
        let touched = found.into_iter().map(|(_, from, to)| (from, to)).collect();
        Ok(Begun { mark: self.mark(query)?, touched, touched_up_to })
    }

    fn settle(&self, query: i64, settled: &Settled) -> Result<()> {
        self.set_mark(query, settled.mark)?;
        if let Some(begun) = &settled.done {
            self.connection.execute(
                "DELETE FROM tw_touched WHERE query_id = ? AND rowid <= ?",
                params![query, begun.touched_up_to],
            )?;
        }
        Ok(())
    }

    fn forget_query(&self, query: i64) -> Result<()> {
        for table in ["tw_mark", "tw_source", "tw_touched"] {
            self.connection.execute(&format!("DELETE FROM {table} WHERE query_id = ?"), [query])?;
        }
        Ok(())
    }

    /// Tells every query that reads `table` that rows of a time range (both ends included) have
    /// changed; past a bound its ranges become one: recomputing more is exact, only dearer.
    pub(crate) fn touch(&self, table: TableId, (from_us, to_us): (i64, i64)) -> Result<()> {
        let mut statement = self.connection.prepare_cached("SELECT query_id FROM tw_source WHERE table_id = ?")?;
        let queries: Vec<i64> = statement.query_map([table.0], |r| r.get(0))?.collect::<Result<_, _>>()?;
        for query in queries {
            self.connection
                .prepare_cached("INSERT INTO tw_touched VALUES (?, ?, ?)")?
                .execute(params![query, from_us, to_us])?;
            let count: usize = self
                .connection
                .prepare_cached("SELECT count(*) FROM tw_touched WHERE query_id = ?")?
                .query_row([query], |r| r.get(0))?;
            if count > limits::TOUCHED_RANGES {
                let (from_us, to_us): (i64, i64) = self.connection.query_row(
                    "SELECT min(from_us), max(to_us) FROM tw_touched WHERE query_id = ?",
                    [query],
                    |r| Ok((r.get(0)?, r.get(1)?)),
                )?;
                // in place of the newest row, so that a run under way does not take it for its own
                self.connection.execute(
                    "DELETE FROM tw_touched WHERE query_id = ?1
                     AND rowid < (SELECT max(rowid) FROM tw_touched WHERE query_id = ?1)",
                    [query],
                )?;
                self.connection.execute(
                    "UPDATE tw_touched SET from_us = ?, to_us = ? WHERE query_id = ?",
                    params![from_us, to_us, query],
                )?;
            }
        }
        Ok(())
    }
}

impl Store {
    /// Every continuous query.
    pub fn continuous_queries(&self) -> Result<Vec<Continuous>> {
        self.with_marks(self.queries().select("", [])?)
    }

    pub fn continuous_query(&self, id: i64) -> Result<Option<Continuous>> {
        Ok(self.with_marks(self.queries().select("WHERE q.id = ?", [id])?)?.pop())
    }

    fn with_marks(&self, mut found: Vec<Continuous>) -> Result<Vec<Continuous>> {
        let ids: Vec<i64> = found.iter().map(|q| q.id).collect();
        let marks: Vec<Option<Mark>> =
            self.committer.aside(move |lake| ids.into_iter().map(|id| lake.mark(id)).collect())?;
        found.iter_mut().zip(marks).for_each(|(query, mark)| query.mark = mark);
        Ok(found)
    }

    /// # Errors
    /// The name is taken, or there are [`limits::CONTINUOUS_QUERIES`] already.
    pub fn create_continuous_query(&self, definition: &Definition, sources: Vec<TableId>) -> Result<i64> {
        let id = self.queries().create(definition, self.shared().clock.now_us())?;
        self.committer.aside(move |lake| lake.set_sources(id, &sources))?;
        Ok(id)
    }

    /// Puts a new definition in place; false when there is no such query.
    pub fn update_continuous_query(&self, id: i64, definition: &Definition, sources: Vec<TableId>) -> Result<bool> {
        let changed = self.queries().update(id, definition, self.shared().clock.now_us())?;
        self.committer.aside(move |lake| lake.set_sources(id, &sources))?;
        Ok(changed)
    }

    /// Forgets a query; what it wrote stays. False when there is no such query.
    pub fn delete_continuous_query(&self, id: i64) -> Result<bool> {
        let gone = self.queries().delete(id)?;
        self.committer.aside(move |lake| lake.forget_query(id))?;
        Ok(gone)
    }

    /// What a run of a query that reads `sources` starts from.
    pub fn begin_window_run(&self, query: i64, sources: Vec<TableId>) -> Result<Begun> {
        self.committer.aside(move |lake| lake.begin_run(query, &sources))
    }

    /// Moves the mark when there is no window to write.
    pub fn settle_windows(&self, query: i64, settled: Settled) -> Result<()> {
        self.committer.aside(move |lake| lake.settle(query, &settled))
    }

    /// Forgets what the catalog remembers of a run, once its record tells.
    pub fn forget_run(&self, run: &str) -> Result<()> {
        let run = run.to_owned();
        self.committer.aside(move |lake| lake.forget_job(&run))
    }

    /// Replaces what a query has written in a window, in the commit that moves its mark. Returns the
    /// number of rows written.
    ///
    /// # Errors
    /// The rows do not fit the destination, or nothing can be written; the window stays as it was.
    pub fn replace_window(&self, window: Window<'_>) -> Result<u64> {
        let shared = self.shared();
        // what the rows were computed from must not vanish with the log's end
        shared.wait_durable(window.published.0);
        let rows = window.rows.as_ref().map_or(0, |b| b.rows() as u64);
        let mut parts = Vec::new();
        let mut epoch = 0;
        if let Some(batch) = window.rows {
            let request = WriteRequest {
                database: window.database.clone(),
                mode: TableMode::Append,
                batches: vec![batch],
                partial: false,
                durability: None,
                key: None,
            };
            let resolved = self.resolve_fully(request)?;
            epoch = resolved.epochs.first().map_or(0, |(_, epoch)| *epoch);
            parts = resolved.parts;
        }
        let settled = window.settled;
        let Some(table) = self.view().table(window.database.as_str(), window.destination).cloned() else {
            if let Some(settled) = settled {
                self.settle_windows(window.query, settled)?;
            }
            return Ok(0);
        };
        if table.info.mode == TableMode::Last {
            return Err(Error::Parameter(format!(
                "measurement {:?} keeps one row a point: a continuous query needs a destination of its own",
                window.destination
            )));
        }
        let range = window.range;
        let own = |table: &Table| -> Vec<Arc<DataFile>> {
            let is_own =
                |f: &&Arc<DataFile>| f.producer == window.query as u64 && f.time_min < range.1 && f.time_max >= range.0;
            table.files.iter().filter(is_own).cloned().collect()
        };
        let before = crate::compact::hull(&own(&table));
        let held = self.hold(&table.info, (range.0.min(before.0), (range.1 - 1).max(before.1)), window.run)?;
        let table = self.live(table.info.id)?;
        let ended = own(&table);
        let mut written: Vec<PathBuf> = Vec::new();
        let outcome = (|| {
            let folder = table_folder(shared, &self.view(), &table.info)?;
            let mut generation = Generation::default();
            for part in &parts {
                generation.insert(window.published, part, 0)?;
            }
            let mut files = Vec::new();
            if generation.rows > 0 {
                let sorted = seal::sort(&generation, &table.info.schema, table.info.mode)?;
                for rows in &sorted.files {
                    let name = file::fresh_name("", window.published);
                    let lsn = (window.published, window.published);
                    let made = Made { by: Maker::Query, mode: table.info.mode, lsn, producer: window.query as u64 };
                    let new = file::write(&folder, &name, &sorted, rows, &table.info.schema, made)?;
                    written.push(folder.join(&new.path));
                    files.push(new);
                }
            }
            failpoint::hit("cq.rows_written");
            let fresh = files.len();
            for across in ended.iter().filter(|f| f.time_min < range.0 || f.time_max >= range.1) {
                let outside = |batch: &RecordBatch| outside(batch, range);
                let inputs = [Arc::clone(across)];
                let name = file::name_after(&inputs);
                let new = merge(&folder, &name, &table.info.schema, &inputs, &[], Some(&outside), table.info.mode)
                    .map_err(|e| crate::rewrite::damaged(&inputs, e))?;
                written.push(folder.join(&new.path));
                if new.rows > 0 {
                    files.push(new);
                }
            }
            if files.is_empty() && ended.is_empty() {
                return Ok(false);
            }
            let query = window.query;
            let settled = settled.clone();
            let replacement = Replacement {
                table: table.info.id,
                ended: ended.iter().map(|f| f.id).collect(),
                files,
                kind: ReplacementKind::Output { rows, fresh, epoch, range },
                columns: generation.columns(),
                also: settled.map(|settled| Aside::new(move |lake| lake.settle(query, &settled))),
                token: held.token(),
                job: window.run.to_owned(),
            };
            failpoint::hit("cq.commit.before");
            self.committer.wait(|reply| Job::Replace { replacements: vec![replacement], reply })?;
            failpoint::hit("cq.commit.after");
            Ok(true)
        })();
        match outcome {
            Ok(true) => held.spend(),
            Ok(false) => {
                drop(held);
                if let Some(settled) = settled {
                    self.settle_windows(window.query, settled)?;
                }
            }
            Err(error) => {
                durable::discard(&written);
                return Err(error);
            }
        }
        Ok(rows)
    }

    /// Deletes rows of a table within a range of time (to the first instant after it); what continuous
    /// queries made of them stays.
    pub fn delete_between(&self, table: &Table, range: (i64, i64), job: &Handle) -> Result<u64> {
        Ok(self.cut_table(table.info.id, table, range, false, job)?.rows)
    }
}

/// Rows that lie outside a range of time.
fn outside(batch: &RecordBatch, range: (i64, i64)) -> Result<BooleanArray> {
    let times = batch.column_by_name(TIME).ok_or_else(|| Error::Inconsistent("merged rows have no time".into()))?;
    let times = times.as_primitive::<TimestampMicrosecondType>();
    debug_assert_eq!(times.null_count(), 0, "time is never null");
    Ok(times.values().iter().map(|t| Some(*t < range.0 || *t >= range.1)).collect())
}

/// Ranges (both ends included) of rows older than `before_us` that came after `lsn` by writes, in
/// files or memory. Files of other queries are not among them: their commits tell by themselves.
pub fn late_rows(table: &Table, lsn: Lsn, before_us: i64) -> Vec<(i64, i64)> {
    let files = table.files.iter().filter(|f| f.producer == 0).map(|f| (f.lsn_max, f.time_min, f.time_max));
    let hot = table.hot.chunks().map(|c| (c.lsn_max, c.time_min, c.time_max));
    let is_late = |(last, from, _): &(Lsn, i64, i64)| *last > lsn && *from < before_us;
    files.chain(hot).filter(is_late).map(|(_, from, to)| (from, to.min(before_us - 1))).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn each_method_of_the_queries_fails_without_a_trace_and_then_works() {
        let (_dir, path, lake) = crate::meta::trial::server_db();
        let queries = Queries::open(&path, &lake).unwrap();
        let named = Cell::new(0);
        let definition = || {
            named.set(named.get() + 1);
            Definition { name: format!("q{}", named.get()), ..Definition::default() }
        };
        let first = queries.create(&definition(), 0).unwrap();
        let run = queries.begin(first, "run", (0, 1), 0).unwrap();
        let tried = |table, writes, call: &dyn Fn() -> Result<()>| {
            crate::meta::trial::in_vain(&|with| with(&queries.database.lock()), &path, table, writes, call);
        };
        tried("continuous_queries", true, &|| queries.create(&definition(), 0).map(drop));
        tried("continuous_queries", false, &|| queries.select("", []).map(drop));
        tried("continuous_queries", false, &|| queries.select("WHERE q.id = ?", [first]).map(drop));
        tried("continuous_queries", true, &|| queries.update(first, &definition(), 1).map(drop));
        tried("continuous_queries", true, &|| queries.delete(first + 1).map(drop));
        tried("continuous_queries", true, &|| queries.computed(first, (0, 1)));
        tried("continuous_executions", false, &|| queries.executions(first, 10).map(drop));
        tried("continuous_executions", true, &|| queries.begin(first, "run", (0, 1), 0).map(drop));
        tried("continuous_executions", true, &|| queries.end(run, Ok(7), 1.0));
        assert_eq!(queries.select("WHERE q.id = ?", [first]).unwrap().len(), 1);
        crate::meta::trial::opened_in_vain(|path| Queries::open(path, &lake).map(drop));
    }
}
