//! Work that requests started: a row each in `server.sqlite`, from its begin to its end, over
//! restarts. What a process leaves running is settled by the next: the catalog knows what was committed.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use model::limits;
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::{Value, json};

use crate::catalog::Lake;
use crate::compact::Merged;
use crate::error::{Error, Result};
use crate::meta;

/// A job on its way: it tells how far it is, and hears that it shall end.
#[derive(Debug)]
pub struct Handle {
    pub id: i64,
    /// What commits of it are recorded under.
    pub name: String,
    is_cancelled: AtomicBool,
    done: AtomicU64,
    total: AtomicU64,
}

impl Handle {
    fn new(id: i64) -> Self {
        let (is_cancelled, done, total) = Default::default();
        Self { id, name: format!("job-{id}"), is_cancelled, done, total }
    }

    /// Work of nobody's request, which cannot be cancelled.
    pub fn of_server(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::new(0) }
    }

    /// Tells that `done` of `total` steps are done.
    ///
    /// # Errors
    /// [`Error::Cancelled`]: the work shall stop and leave nothing behind.
    pub fn step(&self, done: usize, total: usize) -> Result<()> {
        self.done.store(done as u64, Ordering::Relaxed);
        self.total.store(total as u64, Ordering::Relaxed);
        if self.is_cancelled.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }
}

/// What a request asks for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// `delete`, `retention`, `compaction` …
    pub kind: &'static str,
    pub database: Option<String>,
    pub measurement: Option<String>,
    /// The request, for whoever reads the history.
    pub detail: Value,
    pub owner: String,
}

/// A job as its row has it. Instants are UTC microseconds.
#[derive(Debug, Clone)]
pub struct Record {
    pub id: i64,
    pub kind: String,
    /// `running`, `completed`, `failed` or `cancelled`.
    pub state: String,
    pub database: Option<String>,
    pub measurement: Option<String>,
    pub detail: Value,
    pub owner: String,
    pub created_us: i64,
    pub finished_us: Option<i64>,
    pub result: Option<Value>,
    pub error: Option<String>,
    /// Steps done and steps in all, of a job on its way.
    pub progress: (u64, u64),
}

/// The jobs of one folder.
#[derive(Debug)]
pub struct Jobs {
    database: Mutex<Connection>,
    live: Mutex<HashMap<i64, Arc<Handle>>>,
}

impl Jobs {
    /// Opens `server.sqlite` and settles what an earlier process left running.
    pub fn open(path: &Path, catalog: &Lake, now_us: i64) -> Result<Self> {
        let database = meta::open(
            path,
            "CREATE TABLE IF NOT EXISTS jobs (id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL,
               state TEXT NOT NULL, database TEXT, measurement TEXT, detail TEXT NOT NULL, owner TEXT NOT NULL,
               created_us INTEGER NOT NULL, finished_us INTEGER, result TEXT, error TEXT);
             CREATE INDEX IF NOT EXISTS jobs_by_kind ON jobs (kind, id);
             CREATE TABLE IF NOT EXISTS merges (id INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL);",
        )?;
        let open: Vec<(i64, String)> = {
            let mut statement = database.prepare("SELECT id, kind FROM jobs WHERE state = 'running'")?;
            let found = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?;
            found.collect::<Result<_, _>>()?
        };
        for (id, kind) in open {
            let name = format!("job-{id}");
            let committed = catalog.job(&name)?;
            let (state, result, error) = match committed {
                // one commit is the whole of it
                Some((_, rows)) if kind == "delete" => ("completed", Some(json!({"deleted_count": rows})), None),
                Some((commits, rows)) => {
                    let text = "the server ended during the job; what it had committed stands";
                    ("failed", Some(json!({"commits": commits, "deleted_count": rows})), Some(text))
                }
                None => ("failed", None, Some("the server ended during the job; it has changed nothing")),
            };
            database.execute(
                "UPDATE jobs SET state = ?, result = ?, error = ?, finished_us = ? WHERE id = ?",
                params![state, result.map(|r| r.to_string()), error, now_us, id],
            )?;
            catalog.forget_job(&name)?;
        }
        Ok(Self { database: Mutex::new(database), live: Mutex::default() })
    }

    /// Writes the row of a job that begins now.
    ///
    /// # Errors
    /// [`limits::RUNNING_JOBS`] are on their way already.
    pub fn begin(&self, asked: &Asked, now_us: i64) -> Result<Arc<Handle>> {
        let mut live = self.live.lock();
        if live.len() >= limits::RUNNING_JOBS {
            return Err(Error::Busy(live.len()));
        }
        let database = self.database.lock();
        let Asked { kind, database: of, measurement, detail, owner } = asked;
        // both or neither: a row that nobody ends would say "running" until the next start
        let transaction = database.unchecked_transaction()?;
        transaction.execute(
            "INSERT INTO jobs (kind, state, database, measurement, detail, owner, created_us)
             VALUES (?, 'running', ?, ?, ?, ?, ?)",
            params![kind, of, measurement, detail.to_string(), owner, now_us],
        )?;
        let id = transaction.last_insert_rowid();
        let oldest = id - limits::JOB_RECORDS as i64;
        transaction.execute("DELETE FROM jobs WHERE id <= ? AND state <> 'running'", [oldest])?;
        transaction.commit()?;
        let handle = Arc::new(Handle::new(id));
        live.insert(id, Arc::clone(&handle));
        Ok(handle)
    }

    /// Writes how a job ended.
    pub fn end(&self, handle: &Handle, outcome: Result<Value, (bool, String)>, now_us: i64) -> Result<()> {
        let (state, result, error) = match outcome {
            Ok(result) => ("completed", Some(result.to_string()), None),
            Err((true, error)) => ("cancelled", None, Some(error)),
            Err((false, error)) => ("failed", None, Some(error)),
        };
        self.live.lock().remove(&handle.id);
        self.database.lock().execute(
            "UPDATE jobs SET state = ?, result = ?, error = ?, finished_us = ? WHERE id = ?",
            params![state, result, error, now_us, handle.id],
        )?;
        Ok(())
    }

    pub fn get(&self, id: i64) -> Result<Option<Record>> {
        let database = self.database.lock();
        let found = database.prepare_cached("SELECT * FROM jobs WHERE id = ?")?.query_row([id], record).optional()?;
        drop(database);
        Ok(found.map(|found| self.with_progress(found)))
    }

    /// The last jobs of a kind, or of all, newest first.
    pub fn list(&self, kind: Option<&str>, limit: usize) -> Result<Vec<Record>> {
        let database = self.database.lock();
        let mut statement =
            database.prepare_cached("SELECT * FROM jobs WHERE ?1 IS NULL OR kind = ?1 ORDER BY id DESC LIMIT ?2")?;
        let found: Vec<Record> = statement.query_map(params![kind, limit], record)?.collect::<Result<_, _>>()?;
        drop(statement);
        drop(database);
        Ok(found.into_iter().map(|found| self.with_progress(found)).collect())
    }

    /// Keeps what became of a merge; the oldest of [`limits::COMPACTION_HISTORY`] leaves.
    pub fn record_merge(&self, merged: &Merged) -> Result<()> {
        let body = serde_json::to_string(merged).map_err(|e| Error::Inconsistent(e.to_string()))?;
        let database = self.database.lock();
        database.prepare_cached("INSERT INTO merges (body) VALUES (?)")?.execute([body])?;
        let oldest = database.last_insert_rowid() - limits::COMPACTION_HISTORY as i64;
        database.prepare_cached("DELETE FROM merges WHERE id <= ?")?.execute([oldest])?;
        Ok(())
    }

    /// The last merges, newest first, and how many there were ever.
    pub fn merges(&self, limit: usize) -> Result<(u64, Vec<Merged>)> {
        let database = self.database.lock();
        let mut statement = database.prepare_cached("SELECT id, body FROM merges ORDER BY id DESC LIMIT ?")?;
        let found = statement.query_map([limit], |r| Ok((r.get(0)?, r.get(1)?)))?;
        let found: Vec<(u64, String)> = found.collect::<Result<_, _>>()?;
        let total = found.first().map_or(0, |(id, _)| *id);
        Ok((total, found.iter().filter_map(|(_, body)| serde_json::from_str(body).ok()).collect()))
    }

    /// How many of the jobs that are remembered are in which state.
    pub fn counts(&self) -> Result<Vec<(String, u64)>> {
        let database = self.database.lock();
        let mut statement =
            database.prepare_cached("SELECT state, count(*) FROM jobs GROUP BY state ORDER BY state")?;
        let found = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// Asks a job to end at its next step; false when it is not on its way.
    pub fn cancel(&self, id: i64) -> bool {
        let live = self.live.lock();
        live.get(&id).inspect(|handle| handle.is_cancelled.store(true, Ordering::Relaxed)).is_some()
    }

    fn with_progress(&self, mut record: Record) -> Record {
        if let Some(handle) = self.live.lock().get(&record.id) {
            record.progress = (handle.done.load(Ordering::Relaxed), handle.total.load(Ordering::Relaxed));
        }
        record
    }
}

fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    let value = |text: String| serde_json::from_str(&text).unwrap_or(Value::Null);
    Ok(Record {
        id: row.get(0)?,
        kind: row.get(1)?,
        state: row.get(2)?,
        database: row.get(3)?,
        measurement: row.get(4)?,
        detail: value(row.get(5)?),
        owner: row.get(6)?,
        created_us: row.get(7)?,
        finished_us: row.get(8)?,
        result: row.get::<_, Option<String>>(9)?.map(value),
        error: row.get(10)?,
        progress: (0, 0),
    })
}
