//! Seal → flush → commit → release: hot rows become files and free their log.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;
use std::time::Instant;

use model::{Lsn, Stage, TableId, TableMode, TableSchema};

use crate::catalog::{Committer, FlushedTable, Job};
use crate::error::{Error, Result};
use crate::file::{Made, Maker};
use crate::hot::Generation;
use crate::shared::{Counters, Shared};
use crate::side::SideLog;
use crate::view::{TableInfo, View};
use crate::{durable, failpoint, file, seal};

/// Share of the budget past which the largest tables are flushed whatever their age.
const PRESSURE: f64 = 0.6;

/// Seconds between two tries of a table whose flush fails: its writers wait for it.
const MAX_BACKOFF_S: i64 = 10;

/// Decides which tables are due and flushes them. Plain calls; the thread and its timer are outside.
#[derive(Debug)]
pub struct Flusher {
    shared: Arc<Shared>,
    /// Tables whose last flush failed: when to try again (microseconds since boot) and how often it failed.
    failed: HashMap<TableId, (i64, u32)>,
    side: SideLog,
}

/// A sealed generation whose files are durable, waiting for its commit.
struct Written {
    flushed: FlushedTable,
    bytes: usize,
    rows: u64,
    paths: Vec<PathBuf>,
}

impl Flusher {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, failed: HashMap::new(), side: SideLog::default() }
    }

    /// Goes on with the side log that was recovered.
    pub fn resume_side(&mut self, side: SideLog) {
        self.side = side;
    }

    /// Flushes what is due at `boot_us`, on the clock that nobody sets, and says below which LSN the log is no longer needed.
    pub fn run_once(&mut self, boot_us: i64, committer: &Committer) -> Option<Lsn> {
        let due = self.due(boot_us);
        let long_log = self.has_long_log();
        if due.is_empty() && !long_log {
            return None;
        }
        self.flush(&due, boot_us, committer);
        if long_log && let Err(error) = self.side.copy_oldest(&self.shared) {
            tracing::warn!(%error, "an old segment of the log could not be copied aside; tried again");
        }
        let needed = self.needed();
        self.side.free_below(self.oldest_hot(), &self.shared);
        Some(needed)
    }

    fn has_long_log(&self) -> bool {
        self.shared.log_bytes.load(Ordering::Relaxed) > self.shared.config.log_max_bytes
    }

    /// Flushes every table with hot rows, due or not. Returns the tables that failed.
    pub fn flush_all(&mut self, boot_us: i64, committer: &Committer) -> (Lsn, Vec<TableId>) {
        let all: Vec<TableId> = self.hot_tables().into_keys().collect();
        let left: Vec<TableId> = self.failed.keys().copied().collect();
        self.flush(&all, boot_us, committer);
        // of these the generation went that an earlier failure had left sealed: what came since is another one
        let again: Vec<TableId> = left.into_iter().filter(|t| !self.failed.contains_key(t)).collect();
        self.flush(&again, boot_us, committer);
        let failed = all.into_iter().filter(|t| self.failed.contains_key(t)).collect();
        (self.needed(), failed)
    }

    /// As [`Flusher::flush_all`], but in the end the files of all tables hold the rows of the same records: whatever
    /// came meanwhile is in none of them, as long as the caller keeps the flusher.
    pub fn flush_at_one_cut(&mut self, boot_us: i64, committer: &Committer) -> (Lsn, Vec<TableId>) {
        // most rows go before the cut, so that it is short
        let (needed, failed) = self.flush_all(boot_us, committer);
        if !failed.is_empty() {
            return (needed, failed);
        }
        let sealed = self.seal_all(boot_us);
        self.flush(&sealed, boot_us, committer);
        let failed = sealed.into_iter().filter(|t| self.failed.contains_key(t)).collect();
        (self.needed(), failed)
    }

    fn due(&self, boot_us: i64) -> Vec<TableId> {
        let config = &self.shared.config;
        let view = self.shared.view();
        let hot = self.hot_tables();
        let pressed = self.shared.hot_bytes() as f64 > config.hot_budget_bytes as f64 * PRESSURE;
        let oldest =
            if self.has_long_log() { hot.keys().filter_map(|t| view.tables.get(t)?.hot.lsn_min()).min() } else { None };
        let (mut due, mut others) = (Vec::new(), Vec::new());
        for (id, since) in hot {
            if self.failed.get(&id).is_some_and(|(retry, _)| boot_us < *retry) {
                continue;
            }
            let bytes = view.tables.get(&id).map_or(0, |t| t.hot.bytes());
            let limit = if bytes >= config.busy_bytes { config.max_buffer_age_ms } else { config.max_quiet_age_ms };
            let aged = boot_us.saturating_sub(since) >= limit as i64 * 1_000;
            let pins = || oldest.is_some_and(|o| view.tables.get(&id).and_then(|t| t.hot.lsn_min()) == Some(o));
            let retrying = self.failed.contains_key(&id);
            // smaller tables that hold an old segment are copied aside instead
            let is_busy = bytes >= config.busy_bytes;
            let wanted = aged || bytes >= config.flush_bytes || (is_busy && (pressed || pins())) || retrying;
            if wanted { due.push(id) } else { others.push(id) }
        }
        if pressed && due.is_empty() {
            due = others; // many small tables fill it together
        }
        due
    }

    /// Tables with rows that no file holds, and since when; a generation that a failed flush left
    /// sealed counts, although nothing was written since.
    fn hot_tables(&self) -> HashMap<TableId, i64> {
        let mut hot = self.shared.hot_tables.lock().clone();
        for (id, (retry_us, _)) in &self.failed {
            hot.entry(*id).or_insert(*retry_us);
        }
        hot
    }

    /// One flush of a table at a time; a table whose flush fails is left out of the round.
    fn flush(&mut self, tables: &[TableId], boot_us: i64, committer: &Committer) {
        let mut waiting = Vec::new();
        for id in tables {
            let began = Instant::now();
            let mut outcome = self.write(*id, boot_us);
            // with the reserve there may be room
            if outcome.as_ref().is_err_and(|error| self.shared.give_up_ballast(error)) {
                outcome = self.write(*id, boot_us);
            }
            match outcome {
                Ok(None) => self.succeed(*id),
                Ok(Some(written)) => {
                    let (reply, answer) = sync_channel(1);
                    let Written { flushed, bytes, rows, paths } = written;
                    self.shared.wait_durable(flushed.to.0);
                    if let Err(error) = committer.submit(Job::Flush { table: flushed, reply }) {
                        self.fail(*id, boot_us, &error, &paths);
                        continue;
                    }
                    waiting.push((*id, bytes, rows, paths, answer, began));
                }
                Err(error) => self.fail(*id, boot_us, &error, &[]),
            }
        }
        for (id, bytes, rows, paths, answer, began) in waiting {
            match answer.recv() {
                Ok(Ok(())) => {
                    self.succeed(id);
                    self.shared.release(bytes);
                    self.shared.stages.of(Stage::Flush).since(began);
                    let counters = &self.shared.counters;
                    Counters::add(&counters.flushes, 1);
                    Counters::add(&counters.flushed_rows, rows);
                    Counters::add(&counters.flushed_files, paths.len() as u64);
                    counters.last_flush_us.store(self.shared.clock.now_us() as u64, Ordering::Relaxed);
                }
                Ok(Err(error)) => self.fail(id, boot_us, &error, &paths),
                Err(_) => self.fail(id, boot_us, &Error::Inconsistent("the catalog's thread has ended".into()), &paths),
            }
        }
    }

    fn succeed(&mut self, table: TableId) {
        if self.failed.remove(&table).is_some() {
            self.shared.failing.lock().remove(&table);
        }
    }

    /// The job failed before COMMIT or was rolled back: its outputs go, the rows stay hot and logged.
    fn fail(&mut self, table: TableId, boot_us: i64, error: &Error, paths: &[PathBuf]) {
        durable::discard(paths);
        let times = self.failed.get(&table).map_or(1, |(_, n)| n + 1);
        let backoff_s = (1i64 << times.min(6).saturating_sub(1)).min(MAX_BACKOFF_S);
        self.failed.insert(table, (boot_us + backoff_s * 1_000_000, times));
        self.shared.failing.lock().insert(table);
        self.shared.give_up_ballast(error);
        Counters::add(&self.shared.counters.flush_failures, 1);
        tracing::error!(%table, %error, times, backoff_s, "flush failed; its rows stay in the log and in memory");
    }

    fn write(&self, id: TableId, boot_us: i64) -> Result<Option<Written>> {
        let Some((generation, info, expected)) = self.seal(id, boot_us) else {
            return Ok(None);
        };
        failpoint::hit("flush.sealed");
        let (Some(lsn_min), Some(lsn_max)) = (generation.lsn_min(), generation.lsn_max()) else {
            return Ok(None);
        };
        let view = self.shared.view();
        let folder = table_folder(&self.shared, &view, &info)?;
        let schema: &TableSchema = &info.schema;
        let sorted = seal::sort(&generation, schema, info.mode)?;
        let mut files = Vec::with_capacity(sorted.files.len());
        let mut paths = Vec::with_capacity(sorted.files.len());
        for rows in &sorted.files {
            let name = file::fresh_name("", lsn_max);
            let made = Made { by: Maker::Flush, mode: info.mode, lsn: (lsn_min, lsn_max), producer: 0 };
            match file::write(&folder, &name, &sorted, rows, schema, made) {
                Ok(file) => {
                    paths.push(folder.join(&file.path));
                    Counters::add(&self.shared.counters.flushed_bytes, file.bytes);
                    files.push(file);
                }
                Err(error) => {
                    durable::discard(&paths);
                    return Err(error);
                }
            }
            failpoint::hit("flush.file");
        }
        debug_assert!(
            info.mode == TableMode::Last || files.iter().map(|f| f.rows).sum::<u64>() == generation.rows as u64,
            "INV-1: every sealed row is in exactly one file"
        );
        let columns = generation.columns();
        Ok(Some(Written {
            flushed: FlushedTable { table: id, expected, to: lsn_max, files, columns },
            bytes: generation.bytes,
            rows: generation.rows as u64,
            paths,
        }))
    }

    /// Moves the active generations of all tables aside in one step: between two records.
    fn seal_all(&self, boot_us: i64) -> Vec<TableId> {
        let _schema = self.shared.schema.lock();
        let mut sealed = Vec::new();
        self.shared.publish(|view| {
            let mut hot = self.shared.hot_tables.lock();
            // a table that got its first rows since is among them
            let with_rows = view.tables.iter().filter(|(_, t)| !t.hot.active.is_empty() && t.hot.sealed.is_none());
            sealed = with_rows.map(|(id, _)| *id).collect();
            for id in &sealed {
                let Some(table) = view.edit(*id) else { continue };
                let generation = std::mem::take(&mut table.hot.active);
                table.info = Arc::new(table.info.with_persisted(&generation.columns()));
                table.hot.sealed = Some(generation);
                // until its flush, which takes it out again
                hot.entry(*id).or_insert(boot_us);
            }
        });
        sealed
    }

    /// Moves the active generation aside, or takes up the one that an earlier failure left sealed.
    pub(crate) fn seal(&self, id: TableId, boot_us: i64) -> Option<(Arc<Generation>, Arc<TableInfo>, Lsn)> {
        let _schema = self.shared.schema.lock();
        let mut sealed = None;
        self.shared.publish(|view| {
            let published = view.published;
            let mut hot = self.shared.hot_tables.lock();
            let Some(table) = view.edit(id) else {
                hot.remove(&id);
                return;
            };
            if table.hot.sealed.is_none() {
                if table.hot.active.is_empty() {
                    hot.remove(&id);
                    return;
                }
                debug_assert!(table.hot.active.lsn_max() <= Some(published), "INV-3: a seal cuts at published_lsn");
                table.hot.sealed = Some(std::mem::take(&mut table.hot.active));
                hot.remove(&id);
            } else if table.hot.active.is_empty() {
                hot.remove(&id);
            }
            let Some(generation) = table.hot.sealed.clone() else { return };
            table.info = Arc::new(table.info.with_persisted(&generation.columns()));
            sealed = Some((generation, Arc::clone(&table.info), table.flushed));
            if !table.hot.active.is_empty() {
                hot.entry(id).or_insert(boot_us);
            }
        });
        sealed
    }

    /// The oldest LSN that the main log still has to hold.
    pub fn needed(&self) -> Lsn {
        self.oldest_hot().max(Lsn(self.side.covered().0 + 1))
    }

    /// The oldest LSN that some hot row or some request on its way still needs.
    fn oldest_hot(&self) -> Lsn {
        let hot = self.hot_tables();
        let view = self.shared.view();
        let oldest = hot.into_keys().filter_map(|t| view.tables.get(&t)?.hot.lsn_min()).min();
        oldest.unwrap_or(Lsn(view.published.0 + 1))
    }
}

/// Where a table's files lie.
pub fn table_folder(shared: &Shared, view: &View, info: &TableInfo) -> Result<PathBuf> {
    let database =
        view.database_of(info).ok_or_else(|| Error::Inconsistent(format!("table {} has no database", info.name)))?;
    Ok(shared.layout.data().join(&*database.path).join(&*info.path))
}

#[cfg(test)]
mod tests;
