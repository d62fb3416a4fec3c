use std::sync::Arc;

use model::{Batch, BatchColumn, DatabaseName, ManualClock, Role, TableMode};

use crate::{Store, StoreConfig, WriteRequest};

const NOW: i64 = 1_700_000_000_000_000;

fn config(folder: &std::path::Path) -> StoreConfig {
    let mut config = StoreConfig::new(folder, 64 << 20);
    config.min_free_bytes = 0;
    config
}

fn open(folder: &std::path::Path) -> Store {
    Store::open(config(folder), Arc::new(ManualClock::at(NOW))).unwrap()
}

fn request(table: &str, times: &[i64]) -> WriteRequest {
    let ints = arrow::array::Int64Array::from_iter_values(0..times.len() as i64);
    WriteRequest {
        database: DatabaseName::new("db").unwrap(),
        mode: TableMode::Append,
        batches: vec![Batch {
            table: table.into(),
            time: times.to_vec().into(),
            time_ns: None,
            columns: vec![BatchColumn { name: "v".into(), role: Role::Field, array: Arc::new(ints) }],
            origin: Vec::new(),
        }],
        partial: false,
        durability: None,
        key: None,
    }
}

fn rows(store: &Store, table: &str) -> Option<usize> {
    let view = store.view();
    let table = view.table("db", table)?;
    Some(table.file_rows as usize + table.hot.rows())
}

#[test]
fn drop_a_database_write_again_crash_old_rows_must_not_enter_the_new_table() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.write(request("t", &[1, 2, 3])).unwrap();
    let old = store.view().table("db", "t").unwrap().info.id;
    store.drop_table(old).unwrap();
    assert_eq!(rows(&store, "t"), None);
    store.write(request("T", &[4])).unwrap();
    let new = store.view().table("db", "t").unwrap().info.id;
    assert_ne!(old, new);
    drop(store); // no clean stop: everything but the catalog is in the log
    assert_eq!(rows(&open(folder.path()), "t"), Some(1));
}

#[test]
fn a_and_b_in_one_request_a_flushed_crash() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut both = request("a", &[1, 2]);
    both.batches.extend(request("b", &[3, 4, 5]).batches);
    store.write(both).unwrap();
    store.flush().unwrap();
    let mut again = request("a", &[6]);
    again.batches.extend(request("b", &[7]).batches);
    store.write(again).unwrap();
    drop(store);
    let store = open(folder.path());
    assert_eq!((rows(&store, "a"), rows(&store, "b")), (Some(3), Some(4)));
}

#[test]
fn two_requests_create_column_x_with_different_types() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.write(request("t", &[1])).unwrap();
    let text = || {
        let mut r = request("t", &[2]);
        r.batches[0].columns[0] = BatchColumn {
            name: "x".into(),
            role: Role::Field,
            array: Arc::new(arrow::array::DictionaryArray::<arrow::datatypes::UInt32Type>::from_iter(["a"])),
        };
        r
    };
    let number = || {
        let mut r = request("t", &[3]);
        r.batches[0].columns[0].name = "X".into();
        r
    };
    let outcomes: Vec<bool> = std::thread::scope(|scope| {
        let one = scope.spawn(|| store.write(text()).is_ok());
        let two = scope.spawn(|| store.write(number()).is_ok());
        vec![one.join().unwrap(), two.join().unwrap()]
    });
    assert_eq!(outcomes.iter().filter(|ok| **ok).count(), 1, "one is refused, the other stored: {outcomes:?}");
    assert_eq!(rows(&store, "t"), Some(2));
}

#[test]
fn an_hour_of_quiet_tables_makes_few_files() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(NOW);
    let store = Store::open(config(folder.path()), Arc::new(clock.clone())).unwrap();
    // in process: the flush thread of the store looks every 100 ms of real time at the manual clock
    let quiet = 50;
    for minute in 0..60 {
        for table in 0..quiet {
            store.write(request(&format!("quiet{table}"), &[NOW + minute * 60_000_000])).unwrap();
        }
        clock.advance_us(60_000_000);
    }
    let began = std::time::Instant::now();
    while store.shared().hot_bytes() > 0 && began.elapsed().as_secs() < 20 {
        clock.advance_us(60_000_000);
        std::thread::yield_now();
    }
    let view = store.view();
    let files: usize = view.tables.values().map(|t| t.files.len()).sum();
    let total: usize = (0..quiet).map(|t| rows(&store, &format!("quiet{t}")).unwrap()).sum();
    assert_eq!(total, 60 * quiet as usize);
    // at most one flush a table each ten minutes, each of at most two hours
    assert!(files <= 2 * 7 * quiet as usize + quiet as usize, "{files} files");
}

#[test]
fn a_snapshot_time_rises_although_the_clock_stands_still() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for i in 0..5 {
        store.write(request(&format!("t{i}"), &[1])).unwrap();
    }
    assert!(store.view().snapshot >= 5);
    store.close(std::time::Duration::from_secs(5));
    let catalog = rusqlite::Connection::open(folder.path().join("catalog.sqlite")).unwrap();
    let unordered: i64 = catalog
        .query_row(
            "SELECT count(*) FROM ducklake_snapshot a JOIN ducklake_snapshot b ON b.snapshot_id = a.snapshot_id + 1
             WHERE a.snapshot_time >= b.snapshot_time",
            [],
            |r| r.get(0),
        )
        .unwrap();
    assert_eq!(unordered, 0);
    assert!(catalog.execute("DELETE FROM ducklake_snapshot", []).is_err(), "a foreign writer is stopped");
}

#[test]
fn a_newer_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).close(std::time::Duration::from_secs(5));
    let catalog = rusqlite::Connection::open(folder.path().join("catalog.sqlite")).unwrap();
    catalog.execute("UPDATE tw_meta SET value = '99' WHERE key = 'format_version'", []).unwrap();
    drop(catalog);
    let error = Store::open(config(folder.path()), Arc::new(ManualClock::at(NOW))).unwrap_err();
    assert!(error.to_string().contains("format version 99"), "{error}");
}
