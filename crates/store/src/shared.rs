use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use model::{Clock, Stages, TableId, limits};
use parking_lot::{Condvar, Mutex, RwLock};

use crate::ballast::Ballast;
use crate::compact::Compaction;
use crate::config::StoreConfig;
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::log::LogId;
use crate::view::{DataFile, View};

/// What the log, apply, flush and catalog threads share.
#[derive(Debug)]
pub struct Shared {
    view: ArcSwap<View>,
    /// Held while a new View is made from the last one.
    publish: Mutex<()>,
    /// Held while column types may change, and by a seal, which fixes them.
    pub schema: Mutex<()>,
    pub clock: Arc<dyn Clock>,
    pub config: StoreConfig,
    pub layout: Layout,
    pub log_id: LogId,
    /// Bytes reserved for hot rows, requests on their way included.
    hot_bytes: AtomicUsize,
    /// Tables with hot rows and when the oldest of them arrived, on the clock that nobody sets (microseconds).
    pub hot_tables: Mutex<HashMap<TableId, i64>>,
    durable: Mutex<u64>,
    durable_moved: Condvar,
    pub counters: Counters,
    /// How long each step takes; queries and the wire note theirs here, too.
    pub stages: Stages,
    free_bytes: Mutex<(i64, u64)>,
    pub log_bytes: AtomicU64,
    pub side_bytes: AtomicU64,
    /// The last group found no room for its segment.
    pub log_full: AtomicBool,
    /// Tables whose last flush failed.
    pub failing: Mutex<HashSet<TableId>>,
    pub ballast: Ballast,
    /// Held while a window of a continuous query is computed and committed, and alone by a backup at its cut: the
    /// rows that a window was computed from are in the copy, or the window is not.
    pub windows: RwLock<()>,
    /// Held by a backup: no file leaves the disk meanwhile.
    pub removal: RwLock<()>,
    /// Files that left the newest View; an older one may still pin them.
    retired: Mutex<HashMap<u64, Weak<DataFile>>>,
    pub compaction: Mutex<Compaction>,
    /// Told when a lock of the catalog is given back.
    pub lock_freed: (Mutex<()>, Condvar),
    /// This process, as the owner of locks.
    pub instance: String,
    /// Log records below it are not needed by any hot row.
    pub needed_lsn: AtomicU64,
    /// Log records below it may go.
    pub freeable_lsn: AtomicU64,
}

/// What `/metrics` shows of the store; all only rise.
#[derive(Debug, Default)]
pub struct Counters {
    pub rows: AtomicU64,
    pub records: AtomicU64,
    pub groups: AtomicU64,
    pub syncs: AtomicU64,
    pub log_bytes: AtomicU64,
    pub flushes: AtomicU64,
    pub flush_failures: AtomicU64,
    pub flushed_rows: AtomicU64,
    pub flushed_files: AtomicU64,
    pub flushed_bytes: AtomicU64,
    pub last_flush_us: AtomicU64,
    pub scrubbed_bytes: AtomicU64,
    pub replayed_records: AtomicU64,
    pub torn_tails: AtomicU64,
    pub orphans_removed: AtomicU64,
    pub snapshots_expired: AtomicU64,
    pub files_removed: AtomicU64,
    pub side_records: AtomicU64,
    pub ballast_given_up: AtomicU64,
}

impl Counters {
    pub fn add(counter: &AtomicU64, by: u64) {
        counter.fetch_add(by, Ordering::Relaxed);
    }
}

impl Shared {
    pub fn new(view: View, clock: Arc<dyn Clock>, config: StoreConfig, layout: Layout, log_id: LogId) -> Self {
        let ballast = Ballast::new(layout.root.join("ballast"), config.ballast_bytes);
        Self {
            view: ArcSwap::from_pointee(view),
            publish: Mutex::new(()),
            schema: Mutex::new(()),
            clock,
            config,
            layout,
            log_id,
            hot_bytes: AtomicUsize::new(0),
            hot_tables: Mutex::new(HashMap::new()),
            durable: Mutex::new(0),
            durable_moved: Condvar::new(),
            counters: Counters::default(),
            stages: Stages::default(),
            free_bytes: Mutex::new((i64::MIN, u64::MAX)),
            log_bytes: AtomicU64::new(0),
            side_bytes: AtomicU64::new(0),
            log_full: AtomicBool::new(false),
            failing: Mutex::new(HashSet::new()),
            ballast,
            windows: RwLock::new(()),
            removal: RwLock::new(()),
            retired: Mutex::default(),
            compaction: Mutex::default(),
            lock_freed: Default::default(),
            instance: crate::random::uuid(),
            needed_lsn: AtomicU64::new(0),
            freeable_lsn: AtomicU64::new(0),
        }
    }

    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Makes and swaps in the next View. INV-2: the only place where a View is replaced.
    pub fn publish(&self, change: impl FnOnce(&mut View)) {
        let _publishing = self.publish.lock();
        let mut next = View::clone(&self.view.load());
        change(&mut next);
        self.view.store(Arc::new(next));
    }

    pub fn hot_bytes(&self) -> usize {
        self.hot_bytes.load(Ordering::Relaxed)
    }

    /// Reserves memory for rows on their way.
    ///
    /// # Errors
    /// [`Error::HotFull`] when the budget is spent: the writer waits or is told to come again.
    pub fn reserve(&self, bytes: usize) -> Result<()> {
        let budget = self.config.hot_budget_bytes;
        if bytes > budget / 4 {
            return Err(Error::RequestTooLarge { bytes, max: budget / 4 });
        }
        let taken = self.hot_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
            (held + bytes <= budget).then_some(held + bytes)
        });
        taken.map(|_| ()).map_err(|_| Error::HotFull { budget })
    }

    /// Counts rows that are hot already (replay), whatever the budget.
    pub fn hold(&self, bytes: usize) {
        self.hot_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// # Errors
    /// [`Error::TableStuck`] when a table cannot be flushed and has its share of memory: it must
    /// not take the memory of the others.
    pub fn check_tables(&self, mut tables: impl Iterator<Item = TableId>) -> Result<()> {
        let failing = self.failing.lock();
        if failing.is_empty() {
            return Ok(());
        }
        let view = self.view();
        let share = self.config.flush_bytes;
        let stuck = tables.find_map(|id| {
            let table = view.tables.get(&id).filter(|_| failing.contains(&id))?;
            (table.hot.bytes() >= share).then(|| table.info.name.to_string())
        });
        stuck.map_or(Ok(()), |name| Err(Error::TableStuck(name)))
    }

    /// Gives the reserve on disk up when the disk is full. Whether it is: trying once more may help then, whoever gave
    /// the reserve up.
    pub fn give_up_ballast(&self, error: &Error) -> bool {
        let is_full = error.code() == model::Code::DiskFull;
        if is_full {
            self.use_ballast();
        }
        is_full
    }

    fn use_ballast(&self) {
        if self.ballast.give_up() {
            Counters::add(&self.counters.ballast_given_up, 1);
            tracing::warn!("the disk is full: the reserve is given up");
        }
    }

    /// Sees to it that a commit of the catalog has room, with the reserve if need be.
    pub fn make_room_to_commit(&self) {
        if crate::durable::has_room(&self.layout.root, limits::COMMIT_BYTES, 0).is_ok_and(|has| !has) {
            self.use_ballast();
        }
    }

    /// Remembers files that leave the newest View.
    pub fn retire(&self, files: impl IntoIterator<Item = Arc<DataFile>>) {
        self.retired.lock().extend(files.into_iter().map(|f| (f.id, Arc::downgrade(&f))));
    }

    /// Whether some View that a query holds still names the file.
    pub fn is_pinned(&self, file: u64) -> bool {
        let mut retired = self.retired.lock();
        let pinned = retired.get(&file).is_some_and(|f| f.strong_count() > 0);
        if !pinned {
            retired.remove(&file);
        }
        pinned
    }

    pub fn release(&self, bytes: usize) {
        self.hot_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub fn set_durable(&self, lsn: u64) {
        *self.durable.lock() = lsn;
        self.durable_moved.notify_all();
    }

    /// Waits until the log is durable up to `lsn`; a process-mode log syncs every 100 ms.
    pub fn wait_durable(&self, lsn: u64) {
        let mut durable = self.durable.lock();
        while *durable < lsn {
            self.durable_moved.wait(&mut durable);
        }
    }

    /// # Errors
    /// [`Error::DiskFull`] when less is free than `storage.min_free_bytes`; asked at most once a
    /// quarter of a second.
    pub fn check_disk(&self) -> Result<()> {
        let now = self.clock.boot_us();
        let mut cached = self.free_bytes.lock();
        if now.abs_diff(cached.0) > 250_000 {
            *cached = (now, crate::durable::free_bytes(&self.layout.root)?);
            // the reserve is whole again before writes are accepted again
            if let Err(error) = self.ballast.rebuild(cached.1, self.config.min_free_bytes) {
                tracing::warn!(%error, "the reserve on disk could not be taken; tried again");
            }
        }
        let min = self.config.min_free_bytes;
        if cached.1 < min { Err(Error::DiskFull { free: cached.1, min }) } else { Ok(()) }
    }
}
