//! Scenarios of a few steps each, run in every order by `interleave/store`, where the locks are shuttle's: between two of
//! its locks a thread may always be overtaken.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};

use arrow::array::{Int64Array, TimestampMicrosecondArray};
use model::{Column, ColumnId, ColumnType, DatabaseId, Lsn, ManualClock, Role, TableId, TableMode, TableSchema};
use shuttle::sync::{Condvar, Mutex};
use shuttle::thread;

use crate::catalog::locks;
use crate::config::Durability;
use crate::flush::Flusher;
use crate::layout::Layout;
use crate::log::{self, LogWriter, Recovered};
use crate::record::{Part, PartColumn};
use crate::sequencer::{Applied, LogThread, Outcome, Pending, Sequencer, apply};
use crate::shared::Shared;
use crate::view::{DataFile, Table, TableInfo, View};
use crate::{StoreConfig, record};

const TABLE: TableId = TableId(7);
const LOG: log::LogId = [7; 16];

/// A store of one table without rows, of which nothing runs by itself.
fn shared(folder: &std::path::Path) -> Arc<Shared> {
    let column = |id: u32, name: &str, ty: ColumnType, role: Role| Column {
        id: ColumnId(id.into()),
        name: name.into(),
        ty,
        role,
        provisional: false,
        persisted: false,
    };
    let columns =
        vec![column(1, "time", ColumnType::Timestamp, Role::Time), column(2, "v", ColumnType::Int64, Role::Field)];
    let info = TableInfo {
        id: TABLE,
        database: DatabaseId(1),
        name: "t".into(),
        path: "t-7/".into(),
        mode: TableMode::Append,
        schema: Arc::new(TableSchema::new(columns)),
        casts: Arc::default(),
        epoch: 0,
    };
    let table = Table {
        info: Arc::new(info),
        files: imbl::Vector::new(),
        file_rows: 0,
        hot: Default::default(),
        flushed: Lsn(0),
    };
    let mut view = View::default();
    view.tables.insert(TABLE, Arc::new(table));
    let mut config = StoreConfig::new(folder, 64 << 20);
    config.log_segment_bytes = 1 << 20;
    config.min_free_bytes = 0;
    Arc::new(Shared::new(view, Arc::new(ManualClock::at(0)), config, Layout { root: folder.to_owned() }, LOG))
}

fn part(value: i64) -> Part {
    let time = TimestampMicrosecondArray::from(vec![value]).with_timezone("UTC");
    let columns = vec![
        (ColumnId(1), PartColumn::new(Arc::new(time))),
        (ColumnId(2), PartColumn::new(Arc::new(Int64Array::from(vec![value])))),
    ];
    Part { table: TABLE, rows: 1, time_min: value, time_max: value, columns }
}

fn pending(value: i64, epoch: u64, done: impl FnOnce(Outcome) + Send + 'static) -> Pending {
    let parts = vec![part(value)];
    Pending {
        epochs: vec![(TABLE, epoch)],
        body: record::encode(&parts, None),
        bytes: parts[0].bytes(),
        parts,
        durability: Durability::Power,
        submitted: std::time::Instant::now(),
        done: Box::new(done),
    }
}

/// Rows of the table in a View: in memory, and in files.
fn rows(view: &View) -> u64 {
    let table = &view.tables[&TABLE];
    table.hot.rows() as u64 + table.file_rows
}

/// View swap: while records become visible, a table is sealed and its flush published; every View has each row up to
/// its own end once (INV-1), and ends never go back.
pub fn view_swap(records: i64) {
    let shared = shared(std::path::Path::new("/nowhere"));
    let writer = {
        let shared = Arc::clone(&shared);
        thread::spawn(move || {
            for value in 1..=records {
                let pending = Box::new(pending(value, 0, |_| {}));
                shared.hold(pending.bytes);
                apply(&shared, vec![Applied { lsn: Lsn(value as u64), pending }]);
            }
        })
    };
    let reader = {
        let shared = Arc::clone(&shared);
        thread::spawn(move || {
            let mut before = 0;
            for _ in 0..2 {
                thread::yield_now();
                let view = shared.view();
                assert_eq!(rows(&view), view.published.0, "each row up to the View's end, once");
                assert!(view.published.0 >= before, "a View never goes back");
                before = view.published.0;
            }
        })
    };
    let flusher = Flusher::new(Arc::clone(&shared));
    if let Some((generation, info, expected)) = flusher.seal(TABLE, 0) {
        let to = generation.lsn_max().expect("a sealed generation has rows");
        assert!(expected < to && info.id == TABLE);
        let file = Arc::new(DataFile {
            id: 1,
            path: "f".into(),
            rows: generation.rows as u64,
            bytes: 0,
            crc32c: 0,
            blocks: None,
            lsn_min: Lsn(1),
            lsn_max: to,
            run: 1,
            producer: 0,
            time_min: 0,
            time_max: 0,
            sort_key: Vec::new(),
            bounds: Vec::new(),
        });
        shared.publish(|view| crate::catalog::put_flushed(view, TABLE, to, std::slice::from_ref(&file)));
    }
    writer.join().expect("the writer");
    reader.join().expect("the reader");
    let view = shared.view();
    assert_eq!((rows(&view), view.published), (records as u64, Lsn(records as u64)));
}

/// Wakes whoever waits for work.
#[derive(Default)]
struct Bell(Mutex<u64>, Condvar);

impl Bell {
    fn ring(&self) {
        *self.0.lock().expect("not poisoned") += 1;
        self.1.notify_all();
    }

    /// The next message; none when all senders are gone.
    fn wait<T>(&self, messages: &Receiver<T>) -> Option<T> {
        let mut rung = self.0.lock().expect("not poisoned");
        loop {
            match messages.try_recv() {
                Ok(message) => return Some(message),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => rung = self.1.wait(rung).expect("not poisoned"),
            }
        }
    }
}

/// Group commit: writers, the log thread, the apply thread and a change of the table's type. What is acknowledged is
/// durable and visible then, in the order of its number; what was resolved before the change has no number, or one
/// from before it; every writer hears once.
pub fn group_commit(writers: i64) {
    let folder = tempfile::tempdir().expect("a folder");
    let shared = shared(folder.path());
    let segment = shared.config.log_segment_bytes;
    let writer = LogWriter::open(folder.path().to_owned(), LOG, &Recovered::default(), segment, 0).expect("a log");
    let (queue, messages) = sync_channel(16);
    let (groups, applied) = sync_channel(16);
    let (for_log, for_apply) = (Arc::new(Bell::default()), Arc::new(Bell::default()));
    let heard: Arc<Mutex<Vec<(i64, Option<u64>)>>> = Arc::default();
    let mut threads = Vec::new();
    let sequencer = Arc::new(Sequencer::by_hand(queue));
    for value in 1..=writers {
        let (shared, sequencer, bell, heard) =
            (Arc::clone(&shared), Arc::clone(&sequencer), Arc::clone(&for_log), Arc::clone(&heard));
        threads.push(thread::spawn(move || {
            let epoch = shared.view().tables[&TABLE].info.epoch;
            thread::yield_now();
            let seen = Arc::clone(&shared);
            sequencer.submit(pending(value, epoch, move |outcome| {
                let lsn = match outcome {
                    Outcome::Accepted { lsn, .. } => {
                        assert!(seen.view().published >= lsn, "what is acknowledged is visible");
                        seen.wait_durable(lsn.0);
                        Some(lsn.0)
                    }
                    Outcome::Stale => None,
                    Outcome::Failed(error) => panic!("{error}"),
                };
                heard.lock().expect("not poisoned").push((value, lsn));
            }));
            drop(sequencer);
            bell.ring();
        }));
    }
    drop(sequencer);
    threads.push({
        let (shared, bell, next) = (Arc::clone(&shared), Arc::clone(&for_log), Arc::clone(&for_apply));
        let mut log = LogThread::by_hand(writer, Lsn(1), shared, groups);
        thread::spawn(move || {
            while let Some(message) = bell.wait(&messages) {
                let group = log.gather(message, &messages);
                log.write(group);
                next.ring();
            }
            drop(log);
            next.ring();
        })
    });
    threads.push({
        let (shared, bell) = (Arc::clone(&shared), Arc::clone(&for_apply));
        thread::spawn(move || {
            while let Some(group) = bell.wait(&applied) {
                apply(&shared, group);
            }
        })
    });
    // as a commit does that changes a column's type
    shared.publish(|view| {
        let table = view.edit(TABLE).expect("it is there");
        table.info = Arc::new(TableInfo { epoch: 1, ..TableInfo::clone(&table.info) });
    });
    threads.into_iter().for_each(|t| t.join().expect("it ends"));
    let heard = heard.lock().expect("not poisoned").clone();
    assert_eq!(heard.len() as i64, writers, "every writer hears once");
    let accepted: Vec<u64> = heard.iter().filter_map(|(_, lsn)| *lsn).collect();
    assert_eq!(
        accepted,
        (1..=accepted.len() as u64).collect::<Vec<_>>(),
        "in the order of their numbers, without a gap"
    );
    let mut logged = Vec::new();
    let recovered = log::recover(folder.path(), &LOG, |lsn, _| {
        logged.push(lsn.0);
        Ok(())
    });
    assert!(recovered.expect("the log").damage.is_none());
    assert_eq!(logged, accepted, "the log holds what was acknowledged");
    let view = shared.view();
    assert_eq!((rows(&view), view.published.0), (accepted.len() as u64, accepted.len() as u64));
}

/// Lock table: jobs that want one range take it, do their work, and commit under their fencing token, while time
/// passes that may expire a lock; of two jobs that held the range one after the other only those commit whose lock
/// still stands.
pub fn lock_table(jobs: usize) {
    let database = rusqlite::Connection::open_in_memory().expect("a database");
    database
        .execute_batch(
            "CREATE TABLE tw_lock (token INTEGER PRIMARY KEY AUTOINCREMENT, table_id INTEGER NOT NULL, from_us INTEGER NOT
             NULL, to_us INTEGER NOT NULL, owner TEXT NOT NULL, job TEXT NOT NULL, acquired_us INTEGER NOT NULL,
             heartbeat_us INTEGER NOT NULL, expires_us INTEGER NOT NULL)",
        )
        .expect("a table");
    // one thread commits at a time, as in the product
    let catalog = Arc::new(Mutex::new(database));
    // what the range holds: who has changed it, from what they read
    let range: Arc<Mutex<Vec<u64>>> = Arc::default();
    let now_us = Arc::new(Mutex::new(0i64));
    let threads: Vec<_> = (0..jobs)
        .map(|job| {
            let (catalog, range, now_us) = (Arc::clone(&catalog), Arc::clone(&range), Arc::clone(&now_us));
            thread::spawn(move || {
                let wanted = locks::Wanted {
                    table: TABLE,
                    from_us: 0,
                    to_us: 9,
                    owner: format!("process {job}"),
                    job: "job".into(),
                };
                let held = {
                    let database = catalog.lock().expect("not poisoned");
                    locks::acquire(&database, &wanted, *now_us.lock().expect("not poisoned")).expect("it can be asked")
                };
                let Ok(held) = held else { return 0 };
                let read = range.lock().expect("not poisoned").len();
                let database = catalog.lock().expect("not poisoned");
                if locks::fence(&database, held.token).is_err() {
                    return 0;
                }
                let mut range = range.lock().expect("not poisoned");
                assert_eq!(range.len(), read, "nobody has changed the range since this job read it");
                assert!(range.last().is_none_or(|last| *last < held.token), "later commits have later tokens");
                range.push(held.token);
                1
            })
        })
        .collect();
    *now_us.lock().expect("not poisoned") += locks::TTL_US;
    let commits: usize = threads.into_iter().map(|t| t.join().expect("it ends")).sum();
    let left = locks::list(&catalog.lock().expect("not poisoned")).expect("a list").len();
    assert_eq!(range.lock().expect("not poisoned").len(), commits);
    assert!(commits >= 1 && left == 0, "somebody got through, and no lock is left: {commits}, {left}");
}
