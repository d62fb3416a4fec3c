//! Retention: after a run no row of a policy's tables is older than its cut, here or in an attached
//! DuckDB. Policies and their executions live in `server.sqlite`; the rows go by the same delete that
//! a user's go by ([`crate::rewrite`]), so that a dry run counts what a real run takes.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use model::column::TIME;
use model::pattern::matches;
use model::{ColumnId, TableId, fold, limits};
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::catalog::Lake;
use crate::error::{Error, Result};
use crate::jobs::Handle;
use crate::rewrite::{Judged, RowFilter};
use crate::schedule::Schedule;
use crate::store::Store;
use crate::view::Table;
use crate::{failpoint, meta};

const DAY_US: i64 = 86_400_000_000;
/// By how much the wall clock may be set between two runs.
const MOST_JUMP_US: i64 = 7_200_000_000;
/// A policy may keep rows for at most so many days: a thousand years.
const MOST_DAYS: i64 = 365_250;

/// What a policy says; `measurement` `None` is every table of the database, `*` in it any text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub name: String,
    pub database: String,
    pub measurement: Option<String>,
    pub retention_days: i64,
    pub buffer_days: i64,
    pub is_active: bool,
    /// An interval or a cron expression; `None`: the server's `retention.interval`.
    pub schedule: Option<String>,
    /// Whose clocks a cron expression goes by.
    pub timezone: String,
    pub jitter_seconds: i64,
}

/// A policy with what its last run did. Instants are UTC microseconds.
#[derive(Debug, Clone)]
pub struct Policy {
    pub id: i64,
    pub settings: Settings,
    pub created_us: i64,
    pub updated_us: i64,
    pub last: Option<Execution>,
}

/// One run of a policy.
#[derive(Debug, Clone)]
pub struct Execution {
    pub id: i64,
    pub policy: i64,
    pub started_us: i64,
    /// `running`, `completed` or `failed`.
    pub status: String,
    pub deleted_rows: u64,
    pub cutoff_us: i64,
    pub duration_ms: f64,
    pub error: Option<String>,
}

/// What a run did, or would do.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    pub cutoff_us: i64,
    pub rows: u64,
    pub files: usize,
    /// Tables that lost rows.
    pub tables: Vec<String>,
}

/// The policies of one folder.
#[derive(Debug)]
pub struct Policies {
    database: Mutex<Connection>,
}

/// What a client leaves out, as in Arc's Python edition: seven days of buffer, active, when the server says.
impl Default for Settings {
    fn default() -> Self {
        Self {
            name: String::new(),
            database: String::new(),
            measurement: None,
            retention_days: 0,
            buffer_days: 7,
            is_active: true,
            schedule: None,
            timezone: "UTC".into(),
            jitter_seconds: 0,
        }
    }
}

impl Settings {
    /// # Errors
    /// What is wrong, and what would be right.
    pub fn check(&self) -> Result<()> {
        let refuse = |text: String| Err(Error::Parameter(text));
        if self.name.trim().is_empty() || self.name.len() > limits::ITEM_NAME_BYTES {
            return refuse(format!("name must have 1 to {} bytes", limits::ITEM_NAME_BYTES));
        }
        model::DatabaseName::new(&self.database)?;
        if !(1..=MOST_DAYS).contains(&self.retention_days) {
            return refuse(format!("retention_days is {}; it must be 1 to {MOST_DAYS}", self.retention_days));
        }
        if !(0..=MOST_DAYS).contains(&self.buffer_days) {
            return refuse(format!("buffer_days is {}; it must be 0 to {MOST_DAYS}", self.buffer_days));
        }
        self.schedule(0).map(drop)
    }

    /// When it runs; `every_us` is for policies that do not say.
    fn schedule(&self, every_us: i64) -> Result<Schedule> {
        let Some(text) = &self.schedule else {
            // the zone and the jitter are checked all the same
            Schedule::parse("1d", &self.timezone, self.jitter_seconds)?;
            return Ok(Schedule::every(every_us));
        };
        Schedule::parse(text, &self.timezone, self.jitter_seconds)
    }

    /// Rows before it go.
    fn cutoff_us(&self, now_us: i64) -> i64 {
        now_us - (self.retention_days + self.buffer_days) * DAY_US
    }

    /// Whether it is about this table.
    pub fn covers_table(&self, database: &str, table: &str) -> bool {
        fold(database) == fold(&self.database) && self.covers(table)
    }

    fn covers(&self, table: &str) -> bool {
        self.measurement.as_deref().is_none_or(|pattern| matches(&fold(pattern), &fold(table)))
    }
}

impl Policy {
    /// When it runs next (UTC microseconds); `None`: only when asked for. A policy that has never run is due at
    /// once, or at the first instant of its cron expression; an edit counts from then on.
    ///
    /// # Errors
    /// The schedule cannot be read.
    pub fn next_us(&self, every_us: i64, now_us: i64) -> Result<Option<i64>> {
        if !self.settings.is_active {
            return Ok(None);
        }
        let schedule = self.settings.schedule(every_us)?;
        let edited = (self.updated_us > self.created_us && self.settings.schedule.is_some()).then_some(self.updated_us);
        let since = self.last.as_ref().map(|e| e.started_us).max(edited);
        let since = match (since, &self.settings.schedule) {
            (Some(us), _) => us,
            (None, Some(_)) => self.created_us,
            (None, None) => return Ok(Some(now_us)),
        };
        // a clock that was set back must not put the policy to sleep
        Ok(schedule.next_us(since.min(now_us), self.id as u64))
    }
}

impl Policies {
    /// Opens `server.sqlite`; runs that an earlier process began and did not end have failed, but what
    /// they had committed counts.
    pub fn open(path: &Path, catalog: &Lake) -> Result<Self> {
        let database = meta::open(
            path,
            "CREATE TABLE IF NOT EXISTS retention_policies (id INTEGER PRIMARY KEY AUTOINCREMENT,
               name TEXT NOT NULL UNIQUE, database TEXT NOT NULL, measurement TEXT, retention_days INTEGER NOT NULL,
               buffer_days INTEGER NOT NULL, is_active INTEGER NOT NULL, created_us INTEGER NOT NULL,
               updated_us INTEGER NOT NULL);
             CREATE TABLE IF NOT EXISTS retention_executions (id INTEGER PRIMARY KEY AUTOINCREMENT,
               policy_id INTEGER NOT NULL, started_us INTEGER NOT NULL, status TEXT NOT NULL,
               deleted_rows INTEGER NOT NULL, cutoff_us INTEGER NOT NULL, duration_ms REAL NOT NULL, error TEXT);
             CREATE INDEX IF NOT EXISTS retention_executions_by_policy ON retention_executions (policy_id, id);",
        )?;
        for column in ["schedule TEXT", "timezone TEXT NOT NULL DEFAULT 'UTC'", "jitter_s INTEGER NOT NULL DEFAULT 0"] {
            meta::add_column(&database, "retention_policies", column)?;
        }
        let open: Vec<i64> = {
            let mut statement = database.prepare("SELECT id FROM retention_executions WHERE status = 'running'")?;
            let found = statement.query_map([], |r| r.get(0))?;
            found.collect::<Result<_, _>>()?
        };
        for id in open {
            let name = commits_of(id);
            let rows = catalog.job(&name)?.map_or(0, |(_, rows)| rows);
            database.execute(
                "UPDATE retention_executions SET status = 'failed', deleted_rows = ?,
                 error = 'the server ended during the run' WHERE id = ?",
                params![rows, id],
            )?;
            catalog.forget_job(&name)?;
        }
        Ok(Self { database: Mutex::new(database) })
    }

    pub fn list(&self) -> Result<Vec<Policy>> {
        let database = self.database.lock();
        let mut statement = database.prepare_cached(&format!("{POLICIES} ORDER BY p.id"))?;
        let found = statement.query_map([], policy)?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    pub fn get(&self, id: i64) -> Result<Option<Policy>> {
        let database = self.database.lock();
        let mut statement = database.prepare_cached(&format!("{POLICIES} WHERE p.id = ?"))?;
        Ok(statement.query_row([id], policy).optional()?)
    }

    /// # Errors
    /// The settings are wrong, the name is taken, or there are [`limits::RETENTION_POLICIES`] already.
    pub fn create(&self, settings: &Settings, now_us: i64) -> Result<i64> {
        settings.check()?;
        let database = self.database.lock();
        let count: usize = database.query_row("SELECT count(*) FROM retention_policies", [], |r| r.get(0))?;
        if count >= limits::RETENTION_POLICIES {
            return Err(Error::Parameter(format!("there are {count} policies already; delete one first")));
        }
        let Settings { name, database: db, measurement, retention_days, buffer_days, is_active, .. } = settings;
        let Settings { schedule, timezone, jitter_seconds, .. } = settings;
        let mut insert = database.prepare_cached(
            "INSERT INTO retention_policies (name, database, measurement, retention_days, buffer_days, is_active,
             created_us, updated_us, schedule, timezone, jitter_s) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?9, ?10)",
        )?;
        insert
            .execute(params![
                name,
                db,
                measurement,
                retention_days,
                buffer_days,
                is_active,
                now_us,
                schedule,
                timezone,
                jitter_seconds
            ])
            .map_err(|e| meta::taken(e, name))?;
        Ok(database.last_insert_rowid())
    }

    /// Puts new settings in place; false when there is no such policy.
    pub fn update(&self, id: i64, settings: &Settings, now_us: i64) -> Result<bool> {
        settings.check()?;
        let Settings { name, database, measurement, retention_days, buffer_days, is_active, .. } = settings;
        let Settings { schedule, timezone, jitter_seconds, .. } = settings;
        let changed = self
            .database
            .lock()
            .prepare_cached(
                "UPDATE retention_policies SET name = ?, database = ?, measurement = ?, retention_days = ?,
                 buffer_days = ?, is_active = ?, updated_us = ?, schedule = ?, timezone = ?, jitter_s = ? WHERE id = ?",
            )?
            .execute(params![
                name,
                database,
                measurement,
                retention_days,
                buffer_days,
                is_active,
                now_us,
                schedule,
                timezone,
                jitter_seconds,
                id
            ])
            .map_err(|e| meta::taken(e, name))?;
        Ok(changed > 0)
    }

    /// Forgets a policy and its executions; false when there is no such policy.
    pub fn delete(&self, id: i64) -> Result<bool> {
        let mut database = self.database.lock();
        let transaction = database.transaction()?;
        transaction.execute("DELETE FROM retention_executions WHERE policy_id = ?", [id])?;
        let gone = transaction.execute("DELETE FROM retention_policies WHERE id = ?", [id])?;
        transaction.commit()?;
        Ok(gone > 0)
    }

    /// The last runs of a policy, newest first.
    pub fn executions(&self, id: i64, limit: usize) -> Result<Vec<Execution>> {
        let database = self.database.lock();
        let mut statement = database
            .prepare_cached("SELECT * FROM retention_executions WHERE policy_id = ? ORDER BY id DESC LIMIT ?")?;
        let found = statement.query_map(params![id, limit], execution)?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    fn begin(&self, policy: i64, cutoff_us: i64, now_us: i64) -> Result<i64> {
        let database = self.database.lock();
        // both or neither: a row that nobody ends would say "running" until the next start
        let transaction = database.unchecked_transaction()?;
        transaction.execute(
            "INSERT INTO retention_executions (policy_id, started_us, status, deleted_rows, cutoff_us, duration_ms)
             VALUES (?, ?, 'running', 0, ?, 0)",
            params![policy, now_us, cutoff_us],
        )?;
        let id = transaction.last_insert_rowid();
        transaction.execute(
            "DELETE FROM retention_executions WHERE policy_id = ?1 AND id <= ?2",
            params![policy, id - limits::RETENTION_EXECUTIONS as i64],
        )?;
        transaction.commit()?;
        Ok(id)
    }

    fn end(&self, execution: i64, outcome: &Result<Outcome>, duration_ms: f64) -> Result<()> {
        let (status, rows, error) = match outcome {
            Ok(outcome) => ("completed", outcome.rows, None),
            Err(error) => ("failed", 0, Some(error.to_string())),
        };
        self.database.lock().execute(
            "UPDATE retention_executions SET status = ?, deleted_rows = ?, duration_ms = ?, error = ? WHERE id = ?",
            params![status, rows, duration_ms, error, execution],
        )?;
        Ok(())
    }
}

/// The name under which the catalog knows what a run has committed.
fn commits_of(execution: i64) -> String {
    format!("retention-{execution}")
}

/// Each policy with its last execution.
const POLICIES: &str = "SELECT p.*, e.* FROM retention_policies p LEFT JOIN retention_executions e
    ON e.id = (SELECT max(id) FROM retention_executions WHERE policy_id = p.id)";

fn policy(row: &Row<'_>) -> rusqlite::Result<Policy> {
    let last = match row.get::<_, Option<i64>>(12)? {
        Some(_) => Some(execution_at(row, 12)?),
        None => None,
    };
    Ok(Policy {
        id: row.get(0)?,
        settings: Settings {
            name: row.get(1)?,
            database: row.get(2)?,
            measurement: row.get(3)?,
            retention_days: row.get(4)?,
            buffer_days: row.get(5)?,
            is_active: row.get(6)?,
            schedule: row.get(9)?,
            timezone: row.get(10)?,
            jitter_seconds: row.get(11)?,
        },
        created_us: row.get(7)?,
        updated_us: row.get(8)?,
        last,
    })
}

fn execution(row: &Row<'_>) -> rusqlite::Result<Execution> {
    execution_at(row, 0)
}

fn execution_at(row: &Row<'_>, first: usize) -> rusqlite::Result<Execution> {
    Ok(Execution {
        id: row.get(first)?,
        policy: row.get(first + 1)?,
        started_us: row.get(first + 2)?,
        status: row.get(first + 3)?,
        deleted_rows: row.get(first + 4)?,
        cutoff_us: row.get(first + 5)?,
        duration_ms: row.get(first + 6)?,
        error: row.get(first + 7)?,
    })
}

/// Rows before an instant.
struct Before {
    from_us: i64,
    cutoff_us: i64,
    time: [ColumnId; 1],
}

impl RowFilter for Before {
    fn judge(&self, table: &Arc<Table>) -> Result<Vec<Judged>> {
        let judge = |(min, max): (i64, i64)| {
            if min >= self.cutoff_us || max < self.from_us {
                Judged::Kept
            } else if min >= self.from_us && max < self.cutoff_us {
                Judged::Whole
            } else {
                Judged::Read
            }
        };
        Ok(table.files.iter().map(|f| judge((f.time_min, f.time_max))).collect())
    }

    fn columns(&self) -> &[ColumnId] {
        &self.time
    }

    /// What was made of rows outlives them.
    fn touches(&self) -> bool {
        false
    }

    fn mask(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        let times = batch.column(0).as_primitive::<TimestampMicrosecondType>();
        debug_assert_eq!(times.null_count(), 0, "time is never null");
        Ok(times.values().iter().map(|t| Some((self.from_us..self.cutoff_us).contains(t))).collect())
    }
}

impl Store {
    /// Runs a policy now. A real run is recorded from its start to its end; a dry run changes nothing.
    /// `trusted` says that somebody has looked at the clock.
    ///
    /// # Errors
    /// The wall clock was set by more than two hours since the last run and nobody has confirmed it;
    /// or some table could not be cut; the others are.
    pub fn run_retention(&self, policy: &Policy, dry_run: bool, trusted: bool) -> Result<Outcome> {
        let now_us = self.shared().clock.now_us();
        let cutoff_us = policy.settings.cutoff_us(now_us);
        if dry_run {
            return self.cut(&policy.settings, cutoff_us, true, &Handle::of_server("dry run"));
        }
        self.check_clock(trusted)?;
        let execution = self.policies().begin(policy.id, cutoff_us, now_us)?;
        failpoint::hit("retention.started");
        let name = commits_of(execution);
        let outcome = self.cut(&policy.settings, cutoff_us, false, &Handle::of_server(&name));
        let duration_ms = (self.shared().clock.now_us() - now_us) as f64 / 1e3;
        self.policies().end(execution, &outcome, duration_ms)?;
        self.committer.aside(move |lake| lake.forget_job(&name))?;
        outcome
    }

    /// A clock that somebody set must not delete what is young.
    fn check_clock(&self, trusted: bool) -> Result<()> {
        let clock = &self.shared().clock;
        let offset_us = clock.now_us() - clock.boot_us();
        let mut known_us = self.clock_offset_us.lock();
        let jumped_us = offset_us - *known_us;
        if jumped_us.abs() > MOST_JUMP_US && !trusted {
            return Err(Error::Refused(format!(
                "the wall clock was set by {} s since the last run: check it, then run a policy by hand to confirm it",
                jumped_us / 1_000_000
            )));
        }
        *known_us = offset_us;
        Ok(())
    }

    fn cut(&self, settings: &Settings, cutoff_us: i64, dry_run: bool, job: &Handle) -> Result<Outcome> {
        let view = self.view();
        let mut outcome = Outcome { cutoff_us, ..Outcome::default() };
        let Some(database) = view.database(&settings.database) else { return Ok(outcome) };
        let mut failed = None;
        for (name, id) in &database.tables {
            let Some(table) = view.tables.get(id).filter(|t| settings.covers(name) && has_older(t, cutoff_us)) else {
                continue;
            };
            match self.cut_table(*id, table, (i64::MIN, cutoff_us), dry_run, job) {
                Ok(deleted) if deleted.rows > 0 => {
                    outcome.rows += deleted.rows;
                    outcome.files += deleted.files.len();
                    outcome.tables.push(table.info.name.to_string());
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(table = %table.info.name, %error, "retention of a table failed; the others go on");
                    failed = Some(error);
                }
            }
        }
        failed.map_or(Ok(outcome), Err)
    }

    pub(crate) fn cut_table(
        &self,
        id: TableId,
        table: &Table,
        (from_us, cutoff_us): (i64, i64),
        dry_run: bool,
        job: &Handle,
    ) -> Result<crate::rewrite::Deleted> {
        let time = table.info.schema.find(TIME).ok_or_else(|| Error::Inconsistent("a table has no time".into()))?.id;
        self.delete_rows(id, &Before { from_us, cutoff_us, time: [time] }, dry_run, job, |_| Ok(()))
    }

    /// Runs every active policy that is due by its own schedule, or `every_us` after its last run began.
    /// Returns how many ran.
    ///
    /// # Errors
    /// The last failure; a policy that fails stops no other.
    pub fn run_due_retention(&self, every_us: i64) -> Result<usize> {
        let now_us = self.shared().clock.now_us();
        let mut outcome = Ok(0);
        for policy in self.policies().list()? {
            let run = match policy.next_us(every_us, now_us) {
                Ok(Some(next_us)) if next_us <= now_us => self.run_retention(&policy, false, false),
                Ok(_) => continue,
                Err(error) => Err(error),
            };
            match run {
                Ok(_) => outcome = outcome.map(|n| n + 1),
                Err(error) => outcome = Err(error),
            }
        }
        outcome
    }
}

/// Whether any row, in files or memory, is older.
fn has_older(table: &Table, cutoff_us: i64) -> bool {
    table.files.iter().any(|f| f.time_min < cutoff_us) || table.hot.chunks().any(|c| c.time_min < cutoff_us)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn each_method_of_the_policies_fails_without_a_trace_and_then_works() {
        let (_dir, path, lake) = crate::meta::trial::server_db();
        let policies = Policies::open(&path, &lake).unwrap();
        let named = Cell::new(0);
        let settings = || {
            named.set(named.get() + 1);
            let name = format!("p{}", named.get());
            Settings { name, database: "db".into(), retention_days: 30, ..Settings::default() }
        };
        let first = policies.create(&settings(), 0).unwrap();
        let run = policies.begin(first, 0, 0).unwrap();
        let tried = |table, writes, call: &dyn Fn() -> Result<()>| {
            crate::meta::trial::in_vain(&|with| with(&policies.database.lock()), &path, table, writes, call);
        };
        tried("retention_policies", true, &|| policies.create(&settings(), 0).map(drop));
        tried("retention_policies", false, &|| policies.list().map(drop));
        tried("retention_policies", false, &|| policies.get(first).map(drop));
        tried("retention_policies", true, &|| policies.update(first, &settings(), 1).map(drop));
        tried("retention_policies", true, &|| policies.delete(first + 1).map(drop));
        tried("retention_executions", false, &|| policies.executions(first, 10).map(drop));
        tried("retention_executions", true, &|| policies.begin(first, 0, 0).map(drop));
        tried("retention_executions", true, &|| policies.end(run, &Ok(Outcome::default()), 1.0));
        // a delete that fails half way has deleted nothing
        assert!(policies.get(first).unwrap().is_some());
        let ended = policies.executions(first, 10).unwrap();
        assert_eq!(ended.iter().filter(|e| e.status == "completed").count(), 1, "{ended:?}");
        crate::meta::trial::opened_in_vain(|path| Policies::open(path, &lake).map(drop));
    }

    #[test]
    fn w1_settings_that_would_delete_too_much_are_refused() {
        let good = Settings { name: "p".into(), database: "db".into(), retention_days: 30, ..Settings::default() };
        good.check().unwrap();
        for bad in [
            Settings { retention_days: 0, ..good.clone() },
            Settings { retention_days: -1, ..good.clone() },
            Settings { retention_days: i64::MAX, ..good.clone() },
            Settings { buffer_days: -1, ..good.clone() },
            Settings { buffer_days: i64::MIN, ..good.clone() },
            Settings { name: " ".into(), ..good.clone() },
            Settings { database: "../x".into(), ..good.clone() },
            Settings { schedule: Some("now and then".into()), ..good.clone() },
            Settings { timezone: "Nowhere".into(), ..good.clone() },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
