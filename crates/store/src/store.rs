use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use model::{Clock, ColumnId, DatabaseName, Lsn, TableId};
use parking_lot::{Mutex, RwLock};

use crate::catalog::{self, Committer, Job, Lake};
use crate::compact::{self, Candidate, Merged, Running, Scope};
use crate::config::StoreConfig;
use crate::continuous::Queries;
use crate::error::{Error, Result};
use crate::flush::Flusher;
use crate::idempotency::Keys;
use crate::jobs::{Handle, Jobs};
use crate::layout::{self, FolderLock, Layout};
use crate::log::{self, LogWriter, Recovered};
use crate::retention::Policies;
use crate::sequencer::{Sequencer, apply_part};
use crate::shared::{Counters, Shared};
use crate::side::SideLog;
use crate::view::View;
use crate::{durable, failpoint, record};

/// Later than any snapshot that was made until now (microseconds).
const SOON_US: i64 = 60_000_000;
/// How long a clean stop tries to leave the catalog in a form that needs no `-wal` file.
const JOURNAL_PATIENCE: Duration = Duration::from_secs(5);

/// The whole storage engine of one folder.
#[derive(Debug)]
pub struct Store {
    shared: Arc<Shared>,
    pub(crate) committer: Arc<Committer>,
    /// Absent while writes have not started: reads go on.
    pub(crate) sequencer: Mutex<Option<Sequencer>>,
    /// Absent while writes have not started.
    flusher: Mutex<Option<Flusher>>,
    keys: Keys,
    policies: Policies,
    jobs: Jobs,
    queries: Queries,
    /// Wall clock less the clock since boot, when retention last trusted them (microseconds).
    pub(crate) clock_offset_us: Mutex<i64>,
    /// Integer columns that writes cannot make floats, and why; one write at a time tries.
    pub(crate) unwidened: Mutex<HashMap<(TableId, ColumnId), String>>,
    /// What the write service starts from, until it has started.
    start: Mutex<Option<Start>>,
    stopped: RwLock<Option<Stopped>>,
    /// Held by the backup that is on its way.
    pub(crate) backing_up: Mutex<()>,
    /// The snapshot that the rolling copy of the catalog holds.
    copied: Mutex<u64>,
    _lock: FolderLock,
}

/// Why writes have not started.
#[derive(Debug)]
enum Stopped {
    /// Only `tidewater repair log` helps.
    Damaged(String),
    /// Tried again by [`Store::tend`].
    NotYet(String),
}

/// What the write service starts from.
#[derive(Debug)]
struct Start {
    recovered: Recovered,
    /// The greatest LSN of side log and catalog.
    last_lsn: u64,
    flusher: Flusher,
}

impl Store {
    /// Opens a folder: catalog, log, replay. Ready for writes when it returns, unless
    /// [`Store::trouble`] says why not.
    ///
    /// # Errors
    /// The folder is in use, of a newer format, or cannot be read.
    pub fn open(config: StoreConfig, clock: Arc<dyn Clock>) -> Result<Self> {
        let layout = Layout { root: config.root.clone() };
        durable::create_folders(&layout.root)?;
        if layout.root.join(layout::RESTORING).exists() {
            return Err(Error::HalfRestored(layout.root));
        }
        let lock = FolderLock::acquire(&layout.root)?;
        layout.prepare()?;
        let (lake, loaded) = catalog::open(&layout, clock.now_us())?;
        let shared = Arc::new(Shared::new(loaded.view, clock, config, layout, loaded.log_id));
        remove_orphans(&shared, &loaded.files);
        let keys = Keys::open(&shared.layout.server_db(), shared.clock.now_us())?;
        let policies = Policies::open(&shared.layout.server_db(), &lake)?;
        let jobs = Jobs::open(&shared.layout.server_db(), &lake, shared.clock.now_us())?;
        let queries = Queries::open(&shared.layout.server_db(), &lake)?;
        let clock_offset_us = Mutex::new(shared.clock.now_us() - shared.clock.boot_us());
        let committer = Arc::new(Committer::start(lake, Arc::clone(&shared))?);
        let mut flusher = Flusher::new(Arc::clone(&shared));
        let (recovered, side) = replay(&shared, &mut flusher, &committer, &keys)?;
        let store = Self {
            shared,
            committer,
            sequencer: Mutex::new(None),
            flusher: Mutex::default(),
            keys,
            policies,
            jobs,
            queries,
            clock_offset_us,
            unwidened: Mutex::default(),
            start: Mutex::default(),
            stopped: RwLock::new(None),
            backing_up: Mutex::default(),
            copied: Mutex::new(u64::MAX),
            _lock: lock,
        };
        if let Some(damage) = recovered.damage.as_ref().or(side.damage.as_ref()) {
            *store.stopped.write() = Some(Stopped::Damaged(damage.to_string()));
            return Ok(store);
        }
        let last_lsn = loaded.last_lsn.max(side.last_lsn);
        flusher.resume_side(SideLog::resume(side));
        *store.start.lock() = Some(Start { recovered, last_lsn, flusher });
        if let Err(error) = store.start_writing() {
            tracing::error!(%error, "the write service has not started; tried again every second, reads go on");
        }
        Ok(store)
    }

    /// Starts the write service where it has not started. Until it has, [`Store::trouble`] says why not: the last
    /// failure stands while the next try is on its way.
    fn start_writing(&self) -> Result<()> {
        let mut start = self.start.lock();
        let Some(from) = start.as_mut() else { return Ok(()) };
        let sequencer = self.start_log(from).inspect_err(|error| {
            *self.stopped.write() = Some(Stopped::NotYet(error.to_string()));
        })?;
        *self.sequencer.lock() = Some(sequencer);
        *self.flusher.lock() = start.take().map(|start| start.flusher);
        *self.stopped.write() = None;
        Ok(())
    }

    /// Opens the log behind what was recovered, and starts its threads.
    fn start_log(&self, from: &mut Start) -> Result<Sequencer> {
        let shared = &self.shared;
        let open = |recovered: &Recovered| {
            failpoint::check("start", "log")?;
            let (segment, reserve) = (shared.config.log_segment_bytes, shared.config.min_free_bytes);
            LogWriter::open(shared.layout.log(), shared.log_id, recovered, segment, reserve)
        };
        let mut log = open(&from.recovered);
        if log.as_ref().is_err_and(|error| shared.give_up_ballast(error)) {
            log = open(&from.recovered);
        }
        if log.as_ref().is_err_and(|error| error.code() == model::Code::DiskFull) {
            // no room for a new segment: one that nobody needs any more will do
            self.recycle_log(from)?;
            log = open(&from.recovered);
        }
        let log = log?;
        // INV-6: an LSN is never given twice, even if the log that survived is older than the files
        let last = from.recovered.last_lsn.max(from.last_lsn);
        shared.publish(|view| view.published = view.published.max(Lsn(last)));
        shared.set_durable(last);
        shared.log_bytes.store(log.bytes(), Ordering::Relaxed);
        shared.needed_lsn.store(from.flusher.needed().0, Ordering::Relaxed);
        Sequencer::start(log, Lsn(last + 1), shared)
    }

    /// Puts what was replayed into files, and makes spares of the segments that held it.
    fn recycle_log(&self, from: &mut Start) -> Result<()> {
        let shared = &self.shared;
        shared.set_durable(shared.view().published.0); // they were synced before a new segment was tried
        let (needed, _) = from.flusher.flush_all(shared.clock.boot_us(), &self.committer);
        self.keys.save(shared.clock.now_us())?;
        log::free_below(
            &shared.layout.log(),
            &mut from.recovered.segments,
            needed,
            Some(shared.config.log_segment_bytes),
        )
    }

    /// The newest View.
    pub fn view(&self) -> Arc<View> {
        self.shared.view()
    }

    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Requests that must not be stored twice.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Which rows go by their age.
    pub fn policies(&self) -> &Policies {
        &self.policies
    }

    /// Work that requests started.
    pub fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// Definitions and executions of continuous queries.
    pub fn queries(&self) -> &Queries {
        &self.queries
    }

    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// Why writes have not started, when they have not: reads go on.
    pub fn trouble(&self) -> Option<String> {
        self.stopped.read().as_ref().map(|stopped| match stopped {
            Stopped::Damaged(damage) => format!("the log is damaged, rows not yet in files are missing: {damage}"),
            Stopped::NotYet(reason) => format!("the write service has not started: {reason}"),
        })
    }

    /// Root of the data files; a file's path is this, its database's, its table's and its own.
    pub fn data_folder(&self) -> std::path::PathBuf {
        self.shared.layout.data()
    }

    /// Creates a database; returns when (UTC microseconds).
    pub fn create_database(&self, database: DatabaseName) -> Result<i64> {
        self.committer.wait(|reply| Job::CreateDatabase { database, reply })
    }

    /// Ends a table: its rows leave every new View at once, its id is never used again.
    pub fn drop_table(&self, table: TableId) -> Result<()> {
        self.committer.wait(|reply| Job::DropTable { table, reply })
    }

    /// Writes every hot row into files and commits them; blocks. Outside readers then see them.
    ///
    /// # Errors
    /// Writes are not running, or some table could not be flushed (its rows stay hot and logged).
    pub fn flush(&self) -> Result<()> {
        self.free_log();
        let failed = {
            let mut flusher = self.flusher.lock();
            let flusher = flusher.as_mut().ok_or_else(|| self.unavailable())?;
            let (needed, failed) = flusher.flush_all(self.shared.clock.boot_us(), &self.committer);
            self.shared.needed_lsn.store(needed.0, Ordering::Relaxed);
            failed
        };
        self.free_log();
        if failed.is_empty() {
            return Ok(());
        }
        Err(not_flushed(failed.len()))
    }

    /// Flushes every hot row and does `work` while the files of all tables hold the rows of the same records: each
    /// request is in them whole or not at all.
    ///
    /// # Errors
    /// As [`Store::flush`], or the work's own.
    pub(crate) fn at_one_cut<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let _alone = self.shared.windows.write();
        let mut flusher = self.flusher.lock();
        let flusher = flusher.as_mut().ok_or_else(|| self.unavailable())?;
        let (needed, failed) = flusher.flush_at_one_cut(self.shared.clock.boot_us(), &self.committer);
        self.shared.needed_lsn.store(needed.0, Ordering::Relaxed);
        if !failed.is_empty() {
            return Err(not_flushed(failed.len()));
        }
        work()
    }

    /// Flushes the tables that are due; what fails stays hot and logged and is tried again.
    pub fn flush_due(&self) {
        if let Some(flusher) = self.flusher.lock().as_mut()
            && let Some(needed) = flusher.run_once(self.shared.clock.boot_us(), &self.committer)
        {
            self.shared.needed_lsn.store(needed.0, Ordering::Relaxed);
        }
    }

    /// Expires snapshots that are old enough, and removes files that nobody needs.
    ///
    /// # Errors
    /// The catalog or the folder cannot be changed; tried again by the next call.
    pub fn expire(&self, now_us: i64) -> Result<()> {
        let config = &self.shared.config;
        let before = |ms: u64| now_us - ms as i64 * 1_000;
        self.expire_before(before(config.snapshot_age_ms), before(config.file_grace_ms))
    }

    /// Expires snapshots of before an instant, and removes files that left the catalog before another.
    fn expire_before(&self, oldest_us: i64, removed_us: i64) -> Result<()> {
        let gone = self.committer.wait(|reply| Job::Expire { oldest_us, reply })?;
        Counters::add(&self.shared.counters.snapshots_expired, gone as u64);
        remove_files(&self.shared, &self.committer, removed_us)
    }

    /// Writes the rolling copy of the catalog anew when it has changed.
    ///
    /// # Errors
    /// The catalog cannot be read, or the copy not be written; the last copy stays.
    pub fn copy_catalog(&self) -> Result<()> {
        let mut copied = self.copied.lock();
        let snapshot = self.view().snapshot;
        if *copied != snapshot {
            catalog::keep_copy(&self.shared.layout)?;
            *copied = snapshot;
        }
        Ok(())
    }

    /// Takes the right to merge files; `None` while somebody has it.
    pub fn start_compaction(&self) -> Option<Running> {
        Running::start(&self.shared)
    }

    /// Merges what ought to be merged; returns the number of merges.
    ///
    /// # Errors
    /// The last failure that was not a damaged input; a failure of one table stops no other.
    pub fn compact(&self, running: Running, scope: &Scope, job: &Handle) -> Result<usize> {
        let note = |merged: &Merged| {
            if let Err(error) = self.jobs.record_merge(merged) {
                tracing::warn!(%error, "a merge is missing in the history");
            }
        };
        let done = compact::run_once(&self.shared, &self.committer, scope, job, &note);
        drop(running);
        done
    }

    /// What compaction would merge now.
    pub fn compaction_candidates(&self, scope: &Scope) -> Vec<Candidate> {
        compact::candidates(&self.shared, &self.view(), scope, self.shared.clock.now_us())
    }

    /// Writes how a job ended; what the catalog knew of it is forgotten.
    pub fn end_job(&self, job: &Handle, outcome: Result<serde_json::Value, (bool, String)>) -> Result<()> {
        self.jobs.end(job, outcome, self.shared.clock.now_us())?;
        let name = job.name.clone();
        self.committer.aside(move |lake| lake.forget_job(&name))
    }

    fn unavailable(&self) -> Error {
        Error::WritesUnavailable(self.trouble().unwrap_or_else(|| "the server is stopping".into()))
    }

    /// Frees log segments that no hot row needs.
    fn free_log(&self) {
        let needed = self.shared.needed_lsn.load(Ordering::Relaxed);
        // a key must not go with the segment that is its only place
        if let Err(error) = self.keys.save(self.shared.clock.now_us()) {
            tracing::warn!(%error, "idempotency keys could not be saved: no log segment is freed until they are");
            return;
        }
        self.shared.freeable_lsn.store(needed, Ordering::Relaxed);
    }

    /// Frees log segments that no hot row needs, and starts the write service when that failed before. While
    /// the disk is full, ended files go without their grace: only queries of this process keep theirs.
    ///
    /// # Errors
    /// The write service still cannot start, or files that ended cannot be removed.
    pub fn tend(&self) -> Result<()> {
        let is_waiting = self.start.lock().is_some();
        let started = self.start_writing();
        if is_waiting && started.is_ok() {
            tracing::info!("the write service has started");
        }
        self.free_log();
        let has_no_room = started.as_ref().is_err_and(|error| error.code() == model::Code::DiskFull);
        if has_no_room || self.shared.log_full.load(Ordering::Relaxed) || self.shared.check_disk().is_err() {
            // files that ended go at once: a delete alone must bring writes back
            let soon_us = self.shared.clock.now_us() + SOON_US;
            self.expire_before(soon_us, soon_us)?;
        }
        started
    }

    /// Whether log, catalog and data folder can be written; the failing part in words.
    pub fn check_ready(&self) -> Result<()> {
        self.check_writable()?;
        if self.shared.log_full.load(Ordering::Relaxed) {
            let min = self.shared.config.min_free_bytes;
            return Err(Error::DiskFull { free: durable::free_bytes(&self.shared.layout.root)?, min });
        }
        Ok(())
    }

    /// Whether a write may be tried.
    pub(crate) fn check_writable(&self) -> Result<()> {
        self.shared.check_disk()?;
        match &*self.stopped.read() {
            None => Ok(()),
            Some(Stopped::Damaged(damage)) => Err(Error::WritesUnavailable(format!(
                "the log is damaged: {damage}; stop the server and run `tidewater repair log`"
            ))),
            Some(Stopped::NotYet(reason)) => {
                Err(Error::WritesUnavailable(format!("{reason}; tried again every second")))
            }
        }
    }

    /// A clean stop: answers what is queued, flushes for at most `patience`, leaves the catalog
    /// readable without its `-wal` file where no reader prevents it.
    pub fn close(self, patience: Duration) {
        if let Some(mut sequencer) = self.sequencer.lock().take() {
            sequencer.stop();
        }
        self.flush_within(patience);
        let lake = Arc::into_inner(self.committer).and_then(Committer::stop);
        if let Some(lake) = lake {
            leave_catalog(lake);
        }
    }
}

impl Store {
    /// Flushes for at most so long; the rest stays in the log.
    fn flush_within(&self, patience: Duration) {
        let Some(mut flusher) = self.flusher.lock().take() else { return };
        let (shared, committer) = (Arc::clone(&self.shared), Arc::clone(&self.committer));
        let (reply, answer) = sync_channel(1);
        std::thread::spawn(move || {
            flusher.flush_all(shared.clock.boot_us(), &committer);
            drop((flusher, committer));
            let _ = reply.send(());
        });
        if answer.recv_timeout(patience).is_err() {
            tracing::warn!("not every row was flushed in time; the rest stays in the log");
        }
    }
}

fn not_flushed(tables: usize) -> Error {
    Error::WritesUnavailable(format!("{tables} tables could not be flushed; see the server's log"))
}

fn leave_catalog(lake: Lake) {
    match lake.leave(JOURNAL_PATIENCE) {
        Ok(()) => {}
        Err(error) => tracing::warn!(%error, "a reader holds the catalog: its -wal file stays"),
    }
}

/// Removes files whose grace is over and which no View names, then forgets them: a crash between the
/// two only repeats the removal.
fn remove_files(shared: &Shared, committer: &Committer, before_us: i64) -> Result<()> {
    let Some(_removing) = shared.removal.try_write() else { return Ok(()) };
    let mut files: Vec<(u64, String)> = committer.aside(move |lake| lake.removable_files(before_us))?;
    files.retain(|(id, path)| {
        let path = shared.layout.data().join(path);
        !shared.is_pinned(*id) && (durable::remove(&path).is_ok() || !path.exists())
    });
    if files.is_empty() {
        return Ok(());
    }
    let data = shared.layout.data();
    let folders: BTreeSet<PathBuf> =
        files.iter().filter_map(|(_, path)| Some(data.join(path).parent()?.into())).collect();
    folders.iter().for_each(|folder| durable::remove_empty(&data, folder));
    failpoint::hit("expire.removed");
    Counters::add(&shared.counters.files_removed, files.len() as u64);
    let files: Vec<u64> = files.into_iter().map(|(id, _)| id).collect();
    committer.aside(move |lake| lake.forget_files(&files))
}

/// Reads the log into hot rows, flushing as it goes when memory runs short.
fn replay(
    shared: &Arc<Shared>,
    flusher: &mut Flusher,
    committer: &Committer,
    keys: &Keys,
) -> Result<(Recovered, Recovered)> {
    let folder = shared.layout.log();
    let log_id = shared.log_id;
    let (now_us, boot_us) = (shared.clock.now_us(), shared.clock.boot_us());
    // a record copied aside may stand in the main log as well
    let mut replayed: HashMap<TableId, Lsn> = HashMap::new();
    let mut each = |lsn: Lsn, body: &[u8]| {
        failpoint::hit("replay.record");
        let (mut parts, key) = record::decode(body)?;
        parts.retain(|p| replayed.get(&p.table).is_none_or(|last| *last < lsn));
        replayed.extend(parts.iter().map(|p| (p.table, lsn)));
        if let Some(key) = key {
            keys.remember(key, now_us);
        }
        Counters::add(&shared.counters.replayed_records, 1);
        shared.publish(|view| {
            for part in parts {
                let bytes = part.bytes();
                let table = part.table;
                if apply_part(view, lsn, part, bytes).is_some() {
                    shared.hold(bytes);
                    shared.hot_tables.lock().entry(table).or_insert(boot_us);
                }
            }
            view.published = view.published.max(lsn);
        });
        if shared.hot_bytes() > shared.config.hot_budget_bytes / 2 {
            shared.set_durable(lsn.0);
            flusher.flush_all(boot_us, committer);
        }
        Ok(())
    };
    let side = SideLog::recover(shared, &mut each)?;
    let recovered = log::recover(&folder, &log_id, &mut each)?;
    if let Some(torn) = &recovered.torn {
        Counters::add(&shared.counters.torn_tails, 1);
        keep_torn(&folder, torn)?;
        tracing::warn!(file = %torn.file.display(), offset = torn.at.offset, bytes = torn.bytes,
            "an interrupted write at the end of the log was cut; it was never acknowledged");
    }
    if let Some(damage) = &recovered.damage {
        tracing::error!(%damage, "the log is damaged: writes are refused until `tidewater repair log`");
    }
    Ok((recovered, side))
}

/// Keeps the bytes of a torn tail aside.
fn keep_torn(folder: &Path, torn: &log::Torn) -> Result<()> {
    let bytes = std::fs::read(&torn.file).map_err(Error::io("cannot read", &torn.file))?;
    let from = (torn.at.offset as usize).min(bytes.len());
    let to = (from + (torn.bytes as usize).max(512)).min(bytes.len());
    let name = format!("torn-{:016x}-{}", torn.at.segment, torn.at.offset);
    durable::write_file(&folder.join(name), &bytes[from..to], 0o600)
}

/// Removes files of ours that no row of the catalog names: outputs of interrupted jobs.
fn remove_orphans(shared: &Shared, known: &[String]) {
    for path in shared.layout.unknown_files(known) {
        if std::fs::remove_file(&path).is_ok() {
            Counters::add(&shared.counters.orphans_removed, 1);
        }
    }
}

/// `tidewater repair catalog`: makes a damaged catalog of a stopped server's folder anew, from its rolling copy, from
/// data files and from the log.
///
/// # Errors
/// The folder is in use, of a newer version, or cannot be read or written.
pub fn repair_catalog(root: &Path, now_us: i64) -> Result<catalog::CatalogRepair> {
    let _lock = FolderLock::acquire(root)?;
    catalog::repair(&Layout { root: root.to_owned() }, now_us)
}

/// `tidewater repair log`: cuts the log of a stopped server's folder at its first damage.
///
/// # Errors
/// The folder is in use or cannot be read.
pub fn repair_log(root: &Path) -> Result<log::RepairReport> {
    let layout = Layout { root: root.to_owned() };
    let _lock = FolderLock::acquire(root)?;
    let (_, loaded) = catalog::open(&layout, 0)?;
    let mut report = log::repair(&layout.log(), &loaded.log_id)?;
    let side = layout.side();
    if side.exists() {
        let copied = log::repair(&side, &loaded.log_id)?;
        report.damage = report.damage.or(copied.damage);
        report.kept.extend(copied.kept);
        report.records_kept += copied.records_kept;
        report.bytes_cut += copied.bytes_cut;
    }
    Ok(report)
}
