//! The log thread numbers, writes and syncs records; the apply thread makes them visible, in order.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use model::{ColumnId, Lsn, Stage, TableId, limits};

use crate::config::Durability;
use crate::error::{Error, Result};
use crate::fatal;
use crate::hot::cast;
use crate::log::LogWriter;
use crate::record::Part;
use crate::shared::{Counters, Shared};
use crate::view::View;

/// How long the log stays without its durable mark, and a process-mode record without a sync.
const QUIET: Duration = Duration::from_millis(100);
/// Groups that may wait for the apply thread.
const APPLY_QUEUE: usize = 16;

/// What became of a submitted request.
#[derive(Debug)]
pub enum Outcome {
    /// Durable as asked and visible.
    Accepted {
        lsn: Lsn,
        durability: Durability,
    },
    /// A table changed since the request was resolved: resolve again. Holds no LSN.
    Stale,
    Failed(Error),
}

/// A resolved request on its way to the log.
pub struct Pending {
    /// Tables with the epoch that the request was resolved at.
    pub epochs: Vec<(TableId, u64)>,
    pub parts: Vec<Part>,
    pub body: Vec<u8>,
    /// Bytes reserved for its rows.
    pub bytes: usize,
    pub durability: Durability,
    pub submitted: Instant,
    pub done: Box<dyn FnOnce(Outcome) + Send>,
}

pub(crate) struct Applied {
    pub lsn: Lsn,
    pub pending: Box<Pending>,
}

/// Hands requests to the log thread.
#[derive(Debug)]
pub struct Sequencer {
    queue: Option<SyncSender<Box<Pending>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Sequencer {
    pub fn start(log: LogWriter, next: Lsn, shared: &Arc<Shared>) -> Result<Self> {
        let (queue, messages) = sync_channel(limits::LOG_QUEUE_RECORDS);
        let (groups, applied) = sync_channel(APPLY_QUEUE);
        let writer = LogThread { log, next, freed: 0, shared: Arc::clone(shared), groups };
        let applier = Arc::clone(shared);
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new()
                .name(name.into())
                .spawn(move || fatal::or_abort("running a storage thread", run))
                .map_err(Error::io("cannot start thread", name.as_ref()))
        };
        let threads = vec![
            spawn("log", Box::new(move || writer.run(&messages)))?,
            spawn("apply", Box::new(move || apply_groups(&applier, &applied)))?,
        ];
        Ok(Self { queue: Some(queue), threads })
    }

    /// Queues a request; `done` hears its outcome on a storage thread.
    pub fn submit(&self, pending: Pending) {
        let refused = match &self.queue {
            None => Some((Box::new(pending), Error::WritesUnavailable("the server is stopping".into()))),
            Some(queue) => match queue.try_send(Box::new(pending)) {
                Ok(()) => None,
                Err(TrySendError::Full(p)) => Some((p, Error::QueueFull)),
                Err(TrySendError::Disconnected(p)) => {
                    Some((p, Error::WritesUnavailable("the log thread has ended".into())))
                }
            },
        };
        if let Some((pending, error)) = refused {
            (pending.done)(Outcome::Failed(error));
        }
    }

    /// Answers what is queued, writes the durable mark and ends both threads.
    pub fn stop(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Sequencer {
    fn drop(&mut self) {
        self.stop();
    }
}

pub(crate) struct LogThread {
    log: LogWriter,
    next: Lsn,
    /// Below it segments were freed.
    freed: u64,
    shared: Arc<Shared>,
    groups: SyncSender<Vec<Applied>>,
}

#[cfg(interleave)]
impl Sequencer {
    /// Of which no thread runs by itself.
    pub(crate) fn by_hand(queue: SyncSender<Box<Pending>>) -> Self {
        Self { queue: Some(queue), threads: Vec::new() }
    }
}

#[cfg(interleave)]
impl LogThread {
    pub(crate) fn by_hand(log: LogWriter, next: Lsn, shared: Arc<Shared>, groups: SyncSender<Vec<Applied>>) -> Self {
        Self { log, next, freed: 0, shared, groups }
    }
}

impl LogThread {
    fn run(mut self, messages: &Receiver<Box<Pending>>) {
        let mut dirty_since = None;
        loop {
            match messages.recv_timeout(QUIET) {
                Ok(message) => {
                    let group = self.gather(message, messages);
                    self.write(group);
                    // a queue that never empties must not put off the sync of process-mode records
                    dirty_since = self.log.is_dirty().then(|| dirty_since.unwrap_or_else(Instant::now));
                    if dirty_since.is_some_and(|since| since.elapsed() >= QUIET) {
                        self.sync();
                        dirty_since = None;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.settle();
                    dirty_since = None;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.free();
            self.shared.log_bytes.store(self.log.bytes(), Ordering::Relaxed);
        }
        self.settle();
    }

    /// Frees the segments that nobody needs any more.
    fn free(&mut self) {
        let freeable = self.shared.freeable_lsn.load(Ordering::Relaxed);
        if freeable > self.freed {
            self.freed = freeable;
            if let Err(error) = self.log.free_below(Lsn(freeable)) {
                tracing::warn!(%error, "a log segment could not be freed; tried again after the next flush");
            }
        }
    }

    /// Syncs what only process-mode records left, and writes the durable mark.
    fn settle(&mut self) {
        if self.log.is_dirty() {
            self.sync();
        }
        if let Err(error) = self.log.mark() {
            fail_unless_full(&error);
        }
    }

    fn sync(&mut self) {
        crate::failpoint::hit("log.sync.before");
        let began = Instant::now();
        if let Err(error) = self.log.sync() {
            fatal::exit_io("log sync", &error);
        }
        self.shared.stages.of(Stage::Sync).since(began);
        Counters::add(&self.shared.counters.syncs, 1);
        self.shared.set_durable(self.next.0 - 1);
    }

    #[expect(clippy::vec_box, reason = "requests move between threads and lists by pointer")]
    pub fn gather(&self, first: Box<Pending>, messages: &Receiver<Box<Pending>>) -> Vec<Box<Pending>> {
        let mut group = Vec::new();
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(pending) = next {
            bytes += pending.body.len();
            group.push(pending);
            if bytes >= limits::LOG_GROUP_BYTES || group.len() >= limits::LOG_GROUP_RECORDS {
                break;
            }
            next = messages.try_recv().ok();
        }
        group
    }

    /// INV-5: after the LSN is given nothing can refuse.
    #[expect(clippy::vec_box, reason = "requests move between threads and lists by pointer")]
    pub fn write(&mut self, group: Vec<Box<Pending>>) {
        let view = self.shared.view();
        let is_current = |p: &Pending| {
            p.epochs.iter().all(|(table, epoch)| view.tables.get(table).is_some_and(|t| t.info.epoch == *epoch))
        };
        let (current, stale): (Vec<_>, Vec<_>) = group.into_iter().partition(|p| is_current(p));
        drop(view);
        for pending in stale {
            (pending.done)(Outcome::Stale);
        }
        if current.is_empty() {
            return;
        }
        let first = self.next;
        let numbered: Vec<Applied> = current
            .into_iter()
            .enumerate()
            .map(|(i, pending)| Applied { lsn: Lsn(first.0 + i as u64), pending })
            .collect();
        let records: Vec<(Lsn, &[u8])> = numbered.iter().map(|a| (a.lsn, &a.pending.body[..])).collect();
        crate::failpoint::hit("log.write.before");
        numbered.iter().for_each(|a| self.shared.stages.of(Stage::LogWait).since(a.pending.submitted));
        if let Err(error) = self.log.append(&records) {
            fail_unless_full(&error);
            self.shared.log_full.store(true, Ordering::Relaxed);
            let free = crate::durable::free_bytes(&self.shared.layout.root).unwrap_or(0);
            for applied in numbered {
                let min = self.shared.config.min_free_bytes;
                (applied.pending.done)(Outcome::Failed(Error::DiskFull { free, min }));
            }
            return;
        }
        self.shared.log_full.store(false, Ordering::Relaxed);
        crate::failpoint::hit("log.write.after");
        self.next = Lsn(first.0 + numbered.len() as u64);
        let counters = &self.shared.counters;
        Counters::add(&counters.groups, 1);
        Counters::add(&counters.records, numbered.len() as u64);
        Counters::add(&counters.log_bytes, records.iter().map(|(_, b)| b.len() as u64).sum());
        if numbered.iter().any(|a| a.pending.durability == Durability::Power) {
            self.sync();
        }
        crate::failpoint::hit("log.sync.after");
        if self.groups.send(numbered).is_err() {
            fatal::exit_io("handing a group to the apply thread", &"the thread has ended");
        }
    }
}

/// A full disk can only come where a segment is allocated, before anything of the group is written.
fn fail_unless_full(error: &Error) {
    let is_full = matches!(error, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull);
    if !is_full {
        fatal::exit_io("log write", error);
    }
}

fn apply_groups(shared: &Shared, groups: &Receiver<Vec<Applied>>) {
    while let Ok(mut group) = groups.recv() {
        while let Ok(more) = groups.try_recv() {
            group.extend(more);
        }
        apply(shared, group);
    }
}

/// Makes records visible, then tells their writers.
pub(crate) fn apply(shared: &Shared, mut group: Vec<Applied>) {
    let boot_us = shared.clock.boot_us();
    let began = Instant::now();
    let mut touched = Vec::new();
    shared.publish(|view| {
        for applied in &mut group {
            let rows: usize = applied.pending.parts.iter().map(|p| p.rows).sum();
            for part in std::mem::take(&mut applied.pending.parts) {
                let share = part.bytes(); // their sum was reserved
                touched.push(part.table);
                if apply_part(view, applied.lsn, part, share).is_none() {
                    shared.release(share); // the table ended after the record was numbered
                }
            }
            view.published = applied.lsn;
            Counters::add(&shared.counters.rows, rows as u64);
        }
    });
    shared.stages.of(Stage::Insert).since(began);
    {
        let mut hot = shared.hot_tables.lock();
        for table in touched {
            hot.entry(table).or_insert(boot_us);
        }
    }
    for Applied { lsn, pending } in group {
        let durability = pending.durability;
        (pending.done)(Outcome::Accepted { lsn, durability });
    }
}

/// Puts a record's rows of one table into its active generation. `None` when the table has ended.
pub fn apply_part(view: &mut View, lsn: Lsn, mut part: Part, bytes: usize) -> Option<()> {
    let table = view.edit(part.table)?;
    if lsn <= table.flushed {
        return None; // INV-4: a file holds it
    }
    follow_casts(&mut part, &table.info.casts);
    let generation = Arc::make_mut(&mut table.hot.active);
    if let Err(error) = generation.insert(lsn, &part, bytes) {
        fatal::exit_io("applying an acknowledged record", &error);
    }
    Some(())
}

/// A record may name a column that gave way between its resolution and now.
fn follow_casts(part: &mut Part, casts: &[(ColumnId, ColumnId, model::ColumnType)]) {
    for (from, to, ty) in casts {
        for (id, column) in &mut part.columns {
            if id == from {
                column.values = cast(&column.values, *ty);
                *id = *to;
            }
        }
    }
}
