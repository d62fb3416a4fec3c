//! Which tables are flushed when, and what a failure leaves.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::{Clock, ManualClock};

use super::*;
use crate::catalog::tests::{NOW, block, config, large, request};
use crate::{Store, StoreConfig};

const SECOND_US: i64 = 1_000_000;

/// A store in which nothing is due by itself.
struct Quiet {
    store: Store,
    clock: ManualClock,
    _folder: tempfile::TempDir,
}

impl Quiet {
    fn new(change: impl FnOnce(&mut StoreConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::at(NOW);
        let mut config = config(folder.path());
        (config.busy_bytes, config.flush_bytes) = (usize::MAX, usize::MAX);
        change(&mut config);
        let store = Store::open(config, Arc::new(clock.clone())).unwrap();
        Self { store, clock, _folder: folder }
    }

    fn write(&self, table: &str, time: i64) {
        self.store.write(request(table, &[time])).unwrap();
    }

    fn files(&self, table: &str) -> usize {
        self.store.view().table("db", table).unwrap().files.len()
    }

    /// Bytes that a table has in memory.
    fn bytes(&self, table: &str) -> usize {
        self.store.view().table("db", table).unwrap().hot.bytes()
    }

    fn id(&self, table: &str) -> TableId {
        self.store.view().table("db", table).unwrap().info.id
    }

    fn failures(&self) -> u64 {
        self.store.counters().flush_failures.load(Ordering::Relaxed)
    }

    fn flusher(&self) -> Flusher {
        Flusher::new(Arc::clone(self.store.shared()))
    }
}

#[test]
fn a_table_that_cannot_be_flushed_is_tried_after_1_2_4_8_and_then_each_10_seconds() {
    let quiet = Quiet::new(|config| config.max_quiet_age_ms = 1);
    quiet.write("t", 1);
    let in_its_way = block(&quiet.store, "t");
    quiet.clock.advance_us(SECOND_US);
    let mut tries = Vec::new();
    for half_second in 0.. {
        quiet.store.flush_due();
        if quiet.failures() as usize > tries.len() {
            tries.push(half_second);
            assert!(quiet.store.shared().failing.lock().contains(&quiet.id("t")));
        }
        if tries.len() == 7 {
            break;
        }
        assert!(half_second < 100, "tried at {tries:?}");
        quiet.clock.advance_us(SECOND_US / 2);
    }
    let pauses: Vec<i32> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(pauses, [2, 4, 8, 16, 20, 20], "half seconds");
    std::fs::remove_file(&in_its_way).unwrap();
    quiet.clock.advance_us(10 * SECOND_US);
    quiet.store.flush_due();
    assert_eq!((quiet.failures(), quiet.files("t")), (7, 1));
    assert!(quiet.store.shared().failing.lock().is_empty());
    // what is over is forgotten: the next failure is the first
    quiet.write("u", 2);
    let in_its_way = block(&quiet.store, "u");
    quiet.clock.advance_us(SECOND_US);
    quiet.store.flush_due();
    assert_eq!(quiet.failures(), 8);
    std::fs::remove_file(&in_its_way).unwrap();
    quiet.clock.advance_us(SECOND_US);
    quiet.store.flush_due();
    assert_eq!((quiet.failures(), quiet.files("u")), (8, 1));
}

#[test]
fn a_table_is_due_with_so_many_bytes_and_busy_with_so_many() {
    let probe = Quiet::new(|_| {});
    probe.write("t", 1);
    let bytes = probe.bytes("t");
    for (limit, files) in [(bytes, 1), (bytes + 1, 0)] {
        let quiet = Quiet::new(|config| config.flush_bytes = limit);
        quiet.write("t", 1);
        quiet.store.flush_due();
        assert_eq!(quiet.files("t"), files, "{limit} of {bytes} bytes");
        // a busy table may wait less long
        let quiet = Quiet::new(|config| config.busy_bytes = limit);
        quiet.write("t", 1);
        quiet.clock.advance_us(10 * SECOND_US - 1);
        quiet.store.flush_due();
        assert_eq!(quiet.files("t"), 0);
        quiet.clock.advance_us(1);
        quiet.store.flush_due();
        assert_eq!(quiet.files("t"), files, "{limit} of {bytes} bytes");
    }
}

#[test]
fn past_six_tenths_of_the_budget_the_busy_tables_go_or_else_all() {
    let quiet = Quiet::new(|config| (config.hot_budget_bytes, config.busy_bytes) = (20 << 20, 4 << 20));
    quiet.write("small", 1);
    for i in 0..11 {
        quiet.store.write(large("large", i)).unwrap();
    }
    let share = || quiet.store.shared().hot_bytes() as f64 / f64::from(20 << 20);
    assert!((0.5..0.6).contains(&share()), "{}", share());
    quiet.store.flush_due();
    assert_eq!((quiet.files("large"), quiet.files("small")), (0, 0), "there is room");
    quiet.store.write(large("large", 11)).unwrap();
    quiet.store.write(large("large", 12)).unwrap();
    assert!(share() > 0.6, "{}", share());
    quiet.store.flush_due();
    assert_eq!((quiet.files("large"), quiet.files("small")), (1, 0), "the busy one is enough");
    assert_eq!(quiet.store.shared().hot_bytes(), quiet.bytes("small"));
    for i in 0..13 {
        quiet.store.write(large(&format!("one{i}"), i)).unwrap();
    }
    assert!(share() > 0.6, "{}", share());
    quiet.store.flush_due();
    assert_eq!((quiet.files("one0"), quiet.files("one12"), quiet.files("small")), (1, 1, 1), "none is busy: all");
    assert_eq!(quiet.store.shared().hot_bytes(), 0);
}

#[test]
fn a_flush_counts_what_it_wrote_and_gives_its_memory_back() {
    let quiet = Quiet::new(|_| {});
    // of two days: two files
    quiet.store.write(request("t", &[NOW, NOW + 1, NOW + 86_400_000_000])).unwrap();
    quiet.write("u", NOW);
    assert!(quiet.store.shared().hot_bytes() > 0);
    quiet.store.flush().unwrap();
    let counters = quiet.store.counters();
    let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    assert_eq!((read(&counters.flushes), read(&counters.flushed_rows), read(&counters.flushed_files)), (2, 4, 3));
    assert_eq!((quiet.failures(), read(&counters.last_flush_us)), (0, NOW as u64));
    let view = quiet.store.view();
    let bytes: u64 = view.tables.values().flat_map(|t| &t.files).map(|f| f.bytes).sum();
    assert_eq!((read(&counters.flushed_bytes), quiet.store.shared().hot_bytes()), (bytes, 0));
    quiet.store.flush().unwrap();
    assert_eq!(read(&counters.flushes), 2, "nothing was hot");
}

#[test]
fn the_log_is_needed_from_the_oldest_hot_row_on() {
    let quiet = Quiet::new(|_| {});
    let needed = || quiet.flusher().needed().0;
    assert_eq!(needed(), quiet.store.view().published.0 + 1);
    quiet.write("t", 1);
    let first = quiet.store.view().published.0;
    quiet.write("u", 2);
    quiet.write("t", 3);
    assert_eq!(needed(), first);
    let mut flusher = quiet.flusher();
    flusher.flush(&[quiet.id("t")], 0, &quiet.store.committer);
    assert_eq!((quiet.files("t"), needed(), flusher.needed().0), (1, first + 1, first + 1));
    flusher.flush(&[quiet.id("u")], 0, &quiet.store.committer);
    assert_eq!((needed(), flusher.needed().0), (first + 3, first + 3));
    assert!(quiet.store.shared().hot_tables.lock().is_empty());
}

#[test]
fn nothing_is_done_while_nothing_is_due_and_the_log_is_short() {
    for (less, is_long) in [(0, false), (1, true)] {
        let quiet = Quiet::new(|config| config.log_max_bytes = config.log_segment_bytes - less);
        quiet.write("t", 1);
        let mut flusher = quiet.flusher();
        assert_eq!(flusher.has_long_log(), is_long);
        let needed = flusher.run_once(0, &quiet.store.committer);
        assert_eq!(needed, is_long.then(|| quiet.store.view().published), "the only segment is in use");
        let aged = flusher.run_once(600 * SECOND_US + quiet.clock.boot_us(), &quiet.store.committer);
        assert_eq!((aged, quiet.files("t")), (Some(Lsn(quiet.store.view().published.0 + 1)), 1));
    }
}

#[test]
fn one_cut_goes_through_all_tables_but_waits_for_those_that_cannot_be_flushed() {
    let quiet = Quiet::new(|_| {});
    ["t", "u", "v"].iter().for_each(|table| quiet.write(table, 1));
    let in_its_way = block(&quiet.store, "u");
    let mut flusher = quiet.flusher();
    let stuck = quiet.id("u");
    assert_eq!(flusher.flush_at_one_cut(0, &quiet.store.committer).1, [stuck]);
    ["t", "u", "v"].iter().for_each(|table| quiet.write(table, 2));
    // of these one is sealed since the failure, and v has nothing new after its own flush
    flusher.flush(&[quiet.id("v")], 0, &quiet.store.committer);
    assert_eq!(flusher.seal_all(5), [quiet.id("t")]);
    let view = quiet.store.view();
    let hot = |table: &str| &view.table("db", table).unwrap().hot;
    let sealed = |table: &str| (hot(table).sealed.as_ref().map(|g| g.rows), hot(table).active.rows);
    assert_eq!((sealed("t"), sealed("u"), sealed("v")), ((Some(1), 0), (Some(1), 1), (None, 0)));
    assert!(view.table("db", "t").unwrap().info.schema.columns().iter().all(|column| column.persisted));
    let hot_tables = quiet.store.shared().hot_tables.lock().clone();
    assert!(hot_tables.contains_key(&quiet.id("t")) && hot_tables.contains_key(&stuck), "{hot_tables:?}");
    quiet.write("t", 3);
    std::fs::remove_file(&in_its_way).unwrap();
    let (needed, failed) = flusher.flush_at_one_cut(20 * SECOND_US, &quiet.store.committer);
    assert_eq!((needed.0, failed), (quiet.store.view().published.0 + 1, vec![]));
    assert_eq!((quiet.files("t"), quiet.files("u"), quiet.files("v")), (3, 2, 2));
}
