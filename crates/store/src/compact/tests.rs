#![expect(clippy::disallowed_methods, reason = "tests damage files on purpose")]

use std::fs::File;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, Int64Array};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType, UInt32Type};
use model::{Batch, BatchColumn, Clock, DatabaseName, ManualClock, Role};
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::basic::Encoding;
use proptest::prelude::*;

use super::*;
use crate::catalog::tests::config;
use crate::{Store, WriteRequest};

const HOUR_US: i64 = 3_600_000_000;
const DAY: i64 = 1_700_006_400_000_000;

/// Time, two tags and a value.
type Row = (i64, Option<String>, Option<String>, i64);

fn open(folder: &std::path::Path, clock: &Arc<ManualClock>) -> Store {
    open_with_free(folder, clock, 0)
}

/// Writes and merges leave so many bytes on the disk.
fn open_with_free(folder: &std::path::Path, clock: &Arc<ManualClock>, min_free_bytes: u64) -> Store {
    let mut config = config(folder);
    config.min_free_bytes = min_free_bytes;
    config.commits_per_second = 1_000; // a week goes by in seconds
    Store::open(config, Arc::clone(clock) as Arc<dyn Clock>).unwrap()
}

fn write(store: &Store, mode: TableMode, rows: &[Row]) {
    let tag = |pick: fn(&Row) -> Option<&str>| {
        let array: DictionaryArray<UInt32Type> = rows.iter().map(pick).collect();
        Arc::new(array) as ArrayRef
    };
    let mut columns = vec![
        ("a", Role::Tag, tag(|r| r.1.as_deref())),
        ("b", Role::Tag, tag(|r| r.2.as_deref())),
        ("v", Role::Field, Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.3))) as ArrayRef),
    ];
    // a tag that none of the rows has is not sent: files of several schemas come about
    columns.retain(|(_, _, array)| array.null_count() < array.len());
    let columns =
        columns.into_iter().map(|(name, role, array)| BatchColumn { name: name.into(), role, array }).collect();
    let batch = Batch {
        table: "t".into(),
        time: rows.iter().map(|r| r.0).collect::<Vec<_>>().into(),
        time_ns: None,
        columns,
        origin: Vec::new(),
    };
    let request = WriteRequest {
        database: DatabaseName::new("db").unwrap(),
        mode,
        batches: vec![batch],
        partial: false,
        durability: None,
        key: None,
    };
    store.write(request).unwrap();
    store.flush().unwrap();
}

/// The rows of each live file in the order they stand in.
fn files(store: &Store) -> Vec<Vec<Row>> {
    let view = store.view();
    let table = view.table("db", "t").unwrap();
    let folder = table_folder(store.shared(), &view, &table.info).unwrap();
    table
        .files
        .iter()
        .map(|file| {
            let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
            let opened = File::open(folder.join(&*file.path)).unwrap();
            let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(opened, options).unwrap();
            let mut rows = Vec::new();
            for batch in reader.build().unwrap() {
                let batch = batch.unwrap();
                let text = |name: &str, i: usize| {
                    let strings = batch.column_by_name(name)?.as_string::<i32>();
                    strings.is_valid(i).then(|| strings.value(i).to_owned())
                };
                let times = batch.column_by_name("time").unwrap().as_primitive::<TimestampMicrosecondType>();
                let values = batch.column_by_name("v").unwrap().as_primitive::<Int64Type>();
                rows.extend(
                    (0..batch.num_rows()).map(|i| (times.value(i), text("a", i), text("b", i), values.value(i))),
                );
            }
            assert_eq!((rows.len() as u64, file.rows), (file.rows, rows.len() as u64));
            assert_eq!(rows.iter().map(|r| r.0).min(), Some(file.time_min));
            assert_eq!(rows.iter().map(|r| r.0).max(), Some(file.time_max));
            rows
        })
        .collect()
}

fn multiset(files: &[Vec<Row>]) -> Vec<Row> {
    let mut all = files.concat();
    all.sort();
    all
}

fn compact(store: &Store) -> usize {
    store
        .compact(store.start_compaction().expect("nothing else runs"), &Scope::default(), &Handle::of_server("test"))
        .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_merge_keeps_every_row_once_and_in_order(flushes in proptest::collection::vec(
        proptest::collection::vec((0i64..HOUR_US, "[ab]?", "[xy]?", any::<i64>()), 1..60), 2..9,
    )) {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(DAY + 3 * HOUR_US));
        let store = open(folder.path(), &clock);
        // both tags exist from the start, in this order
        write(&store, TableMode::Append, &[(DAY, Some("a".into()), Some("x".into()), 0)]);
        let tag = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        for rows in &flushes {
            let rows: Vec<Row> = rows.iter().map(|(t, a, b, v)| (DAY + t, tag(a), tag(b), *v)).collect();
            write(&store, TableMode::Append, &rows);
        }
        let before = files(&store);
        prop_assert_eq!(before.len(), flushes.len() + 1);
        while compact(&store) > 0 {}
        let after = files(&store);
        prop_assert!(after.len() <= 2, "the largest may stand aside: {} files", after.len());
        prop_assert_eq!(multiset(&after), multiset(&before));
        for file in &after {
            let key = |r: &Row| (r.1.clone(), r.2.clone(), r.0);
            prop_assert!(file.is_sorted_by_key(key), "sorted by a, b, time with NULL lowest");
        }
        drop(store);
        prop_assert_eq!(multiset(&files(&open(folder.path(), &clock))), multiset(&before), "and after a restart");
    }
}

#[test]
fn merged_numbers_of_few_values_have_a_dictionary_and_others_are_plain() {
    for (values, is_dictionary) in [(100, true), (i64::MAX, false)] {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path(), &Arc::new(ManualClock::at(DAY + 3 * HOUR_US)));
        for part in 0..2 {
            let row = |i| (DAY + i, Some("a".to_owned()), None, (part * 20_000 + i) * 1_000_003 % values);
            write(&store, TableMode::Append, &(0..20_000).map(row).collect::<Vec<_>>());
        }
        let before = files(&store);
        assert_eq!(compact(&store), 1);
        assert_eq!(multiset(&files(&store)), multiset(&before));
        let view = store.view();
        let table = view.table("db", "t").unwrap();
        let path = table_folder(store.shared(), &view, &table.info).unwrap().join(&*table.files[0].path);
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
        let columns = reader.metadata().row_group(0).columns();
        let column = columns.iter().find(|c| c.column_path().string() == "v").unwrap();
        let pages = column.page_encoding_stats_mask().unwrap();
        assert_eq!(pages.is_only(Encoding::RLE_DICTIONARY), is_dictionary, "{pages:?}");
        assert_eq!(pages.is_set(Encoding::PLAIN), !is_dictionary, "{pages:?}");
    }
}

#[test]
fn t51_of_the_versions_of_a_point_the_newest_stays() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(DAY + 3 * HOUR_US));
    let store = open(folder.path(), &clock);
    for version in 0..12 {
        write(&store, TableMode::Last, &[(DAY, Some("h".into()), None, version)]);
    }
    assert_eq!(compact(&store), 1);
    let values: Vec<i64> = files(&store)[0].iter().map(|r| r.3).collect();
    assert_eq!(values, [11]);
}

#[test]
fn t27_m7_a_damaged_input_is_quarantined_and_the_rest_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(DAY + 40 * HOUR_US));
    let store = open(folder.path(), &clock);
    for i in 0..4 {
        write(&store, TableMode::Append, &[(DAY + i, None, None, i), (DAY + HOUR_US + i, None, None, i)]);
    }
    let view = store.view();
    let table = view.table("db", "t").unwrap();
    let bad = table.files.iter().find(|f| f.time_min < DAY + HOUR_US).unwrap().clone();
    let path = table_folder(store.shared(), &view, &table.info).unwrap().join(&*bad.path);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    compact(&store);
    let state = store.shared().compaction.lock().clone();
    assert_eq!(state.quarantined.iter().copied().collect::<Vec<_>>(), [bad.id]);
    let (_, history) = store.jobs().merges(100).unwrap();
    assert!(history.iter().any(|m| m.error.as_ref().is_some_and(|e| e.contains(&*bad.path))), "{history:?}");
    while compact(&store) > 0 {}
    let view = store.view();
    let left = &view.table("db", "t").unwrap().files;
    assert!(left.iter().any(|f| f.id == bad.id) && path.exists(), "it is never deleted");
    assert!(left.len() <= 3, "the others were merged: {}", left.len());
    assert_eq!(left.iter().map(|f| f.rows).sum::<u64>(), 8);
}

#[test]
fn t50_a_merged_file_is_removed_after_its_grace_and_never_under_a_view() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(DAY + 3 * HOUR_US));
    let store = open(folder.path(), &clock);
    for i in 0..3 {
        write(&store, TableMode::Append, &[(DAY + i, None, None, i)]);
    }
    let pinned = store.view();
    let table = pinned.table("db", "t").unwrap();
    let root = table_folder(store.shared(), &pinned, &table.info).unwrap();
    let old: Vec<_> = table.files.iter().map(|f| root.join(&*f.path)).collect();
    assert_eq!(compact(&store), 1);
    let removed = |store: &Store| store.counters().files_removed.load(std::sync::atomic::Ordering::Relaxed);
    // snapshots expire, then the grace passes
    let scheduled = |store: &Store| store.committer.aside(|lake| lake.removable_files(2 * DAY)).unwrap().len();
    // a newer snapshot than the merge's, so that the one before it can expire
    write(&store, TableMode::Append, &[(DAY + 10, None, None, 10)]);
    clock.advance_us(400_000_000);
    write(&store, TableMode::Append, &[(DAY + 11, None, None, 11)]);
    clock.advance_us(400_000_000);
    store.expire(clock.now_us()).unwrap();
    assert_eq!(scheduled(&store), 3);
    assert!(old.iter().all(|p| p.exists()), "within the grace");
    clock.advance_us(1_000_000_000);
    write(&store, TableMode::Append, &[(DAY + 12, None, None, 12)]);
    clock.advance_us(400_000_000);
    store.expire(clock.now_us()).unwrap();
    assert!(removed(&store) == 0 && old.iter().all(|p| p.exists()), "a View still names them");
    drop(pinned);
    store.expire(clock.now_us()).unwrap();
    assert_eq!((removed(&store), scheduled(&store)), (3, 0));
    assert!(old.iter().all(|p| !p.exists()));
}

#[test]
fn m6_a_day_of_small_flushes_leaves_few_files_and_writes_each_row_a_few_times() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(DAY));
    let store = open(folder.path(), &clock);
    let (mut most, mut rows) = (0, 0u64);
    // five minutes apart
    for flush in 0..288i64 {
        let at = DAY + flush * 300_000_000;
        clock.advance_us(300_000_000);
        let batch: Vec<Row> = (0..50).map(|i| (at + i, Some(format!("h{i}")), None, flush)).collect();
        rows += batch.len() as u64;
        write(&store, TableMode::Append, &batch);
        compact(&store);
        most = most.max(store.view().table("db", "t").unwrap().files.len());
    }
    clock.advance_us(3 * HOUR_US);
    while compact(&store) > 0 {}
    let state = store.shared().compaction.lock().clone();
    let left = store.view().table("db", "t").unwrap().files.len();
    assert!(most <= 80 && left <= 3, "at most {most} files, {left} at the end");
    assert!(state.rows <= rows * 8, "{} rows rewritten for {rows} written", state.rows);
    assert_eq!(multiset(&files(&store)).len() as u64, rows);
}

#[test]
fn t46_no_file_is_stranded_whatever_their_number() {
    for count in [31i64, 61, 65, 91, 130] {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(DAY + 40 * HOUR_US));
        let store = open(folder.path(), &clock);
        for i in 0..count {
            write(&store, TableMode::Append, &[(DAY + i, Some(format!("h{}", i % 7)), None, i)]);
        }
        while compact(&store) > 0 {}
        let left = files(&store);
        assert_eq!(left.len(), 1, "of {count} files");
        assert_eq!(multiset(&left).iter().map(|r| r.0 - DAY).collect::<Vec<_>>(), (0..count).collect::<Vec<_>>());
    }
}

#[test]
fn t48_rows_of_a_year_ago_are_merged_as_they_come() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(DAY + 365 * 24 * HOUR_US));
    let store = open(folder.path(), &clock);
    for i in 0..48i64 {
        write(&store, TableMode::Append, &[(DAY + (i % 24) * HOUR_US + i, None, None, i)]);
        compact(&store);
        let now = store.view().table("db", "t").unwrap().files.len();
        assert!(now <= 3, "{now} files after {i} late writes");
    }
    assert_eq!(multiset(&files(&store)).len(), 48);
}

#[test]
fn m3_w5_a_job_waits_for_the_range_that_another_holds() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(DAY + 40 * HOUR_US));
    let store = open(folder.path(), &clock);
    for i in 0..4 {
        write(&store, TableMode::Append, &[(DAY + i, None, None, i)]);
    }
    let table = store.view().table("db", "t").unwrap().clone();
    let everything = (i64::MIN, i64::MAX);
    for kind in ["retention", "retype", "mode"] {
        let held = store.hold(&table.info, everything, "another").unwrap();
        assert_eq!(compact(&store), 0, "a merge leaves the table alone");
        let is_free = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let (store, is_free, table) = (&store, &is_free, &table);
            let working = scope.spawn(move || {
                let job = Handle::of_server(kind);
                match kind {
                    "retention" => {
                        drop(store.cut_table(table.info.id, table, (i64::MIN, DAY + 1), false, &job).unwrap())
                    }
                    "retype" => drop(store.retype(table.info.id, "v", model::ColumnType::Float64, &job).unwrap()),
                    _ => drop(store.set_mode(table.info.id, TableMode::Last, &job).unwrap()),
                }
                assert!(is_free.load(Ordering::SeqCst), "{kind} went on while another job held the table");
            });
            let (locks, view) = (store.locks().unwrap(), store.view());
            assert_eq!(locks.iter().map(|l| &*l.wanted.job).collect::<Vec<_>>(), ["another"]);
            assert_eq!(view.table("db", "t").unwrap().info.mode, TableMode::Append);
            is_free.store(true, Ordering::SeqCst);
            drop(held);
            working.join().unwrap();
        });
        assert_eq!(store.locks().unwrap(), [], "{kind} gave its lock back");
    }
    let view = store.view();
    let now = view.table("db", "t").unwrap();
    assert_eq!((now.file_rows, now.info.mode), (3, TableMode::Last));
}

#[test]
fn m4_versions_become_the_point_also_when_merged_files_are_merged() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(DAY + 3 * HOUR_US));
    let store = open(folder.path(), &clock);
    let point = |hour: i64, version: i64| (DAY + hour * HOUR_US, Some("h".to_owned()), None, version);
    for round in 0..3 {
        for version in 0..6 {
            write(&store, TableMode::Last, &[point(0, round * 10 + version), point(1, round * 10 + version)]);
        }
        assert!(compact(&store) > 0, "round {round}");
    }
    clock.advance_us(40 * HOUR_US);
    while compact(&store) > 0 {}
    assert_eq!(files(&store), [[point(0, 25), point(1, 25)]]);
}

#[test]
fn the_live_files_of_many_tables_stay_within_their_bound() {
    // 1 000 tables over a week take most of an hour: see docs/benchmarks.md for the last figures
    let number = |name: &str, usual: i64| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(usual);
    let (tables, hours) = (number("TW_WEEK_TABLES", 12), number("TW_WEEK_HOURS", 30));
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(DAY));
    let store = open(folder.path(), &clock);
    let (mut most, mut rows) = (0, 0u64);
    for round in 0..hours * 6 {
        let at = DAY + round * 600_000_000;
        for first in (0..tables).step_by(50) {
            let batches = (first..(first + 50).min(tables)).map(|table| Batch {
                table: format!("quiet_{table}").into(),
                time: (0..10).map(|i| at + i * 60_000_000 + table).collect::<Vec<_>>().into(),
                time_ns: None,
                columns: vec![BatchColumn {
                    name: "v".into(),
                    role: Role::Field,
                    array: Arc::new(Int64Array::from_iter_values((0..10).map(|i| round * 10 + i))),
                }],
                origin: Vec::new(),
            });
            let request = WriteRequest {
                database: DatabaseName::new("db").unwrap(),
                mode: TableMode::Append,
                batches: batches.collect(),
                partial: false,
                durability: None,
                key: None,
            };
            rows += store.write(request).unwrap().rows as u64;
        }
        clock.advance_us(600_000_000);
        store.flush().unwrap();
        while compact(&store) > 0 {}
        store.expire(clock.now_us()).unwrap();
        most = most.max(store.view().tables.values().map(|t| t.files.len()).sum::<usize>());
    }
    let view = store.view();
    let left: usize = view.tables.values().map(|t| t.files.len()).sum();
    let rewritten = store.shared().compaction.lock().rows;
    println!(
        "{tables} tables, {hours} hours: at most {most} live files, {left} at the end, each row rewritten {:.1} times",
        rewritten as f64 / rows as f64
    );
    assert!(most <= limits::LIVE_FILES && most <= tables as usize * 45, "{most} files");
    assert_eq!(view.tables.values().map(|t| t.file_rows + t.hot.rows() as u64).sum::<u64>(), rows);
}

#[test]
fn a_merge_leaves_the_last_room_to_those_who_make_some() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(DAY + 30 * 24 * HOUR_US));
    let store = open(folder.path(), &clock);
    (0..4).for_each(|n| write(&store, TableMode::Append, &[(DAY + n, None, None, n)]));
    drop(store);
    // no disk leaves so much
    let store = open_with_free(folder.path(), &clock, u64::MAX / 2);
    let running = store.start_compaction().unwrap();
    let error = store.compact(running, &Scope::default(), &Handle::of_server("test")).unwrap_err();
    assert_eq!(error.code(), model::Code::DiskFull, "{error}");
    assert_eq!(store.view().tables.values().map(|t| t.files.len()).sum::<usize>(), 4, "as they were");
    drop(store);
    let store = open(folder.path(), &clock);
    assert_eq!(compact(&store), 1);
}
