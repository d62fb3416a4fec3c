use std::sync::Arc;

use model::{Batch, BatchColumn, Clock, DatabaseName, ManualClock, Role, TableMode};

use crate::{Store, StoreConfig, WriteRequest};

pub(crate) const NOW: i64 = 1_700_000_000_000_000;

pub(crate) fn config(folder: &std::path::Path) -> StoreConfig {
    let mut config = StoreConfig::new(folder, 64 << 20);
    config.log_segment_bytes = 1 << 20;
    config.min_free_bytes = 0;
    config
}

pub(crate) fn open(folder: &std::path::Path) -> Store {
    Store::open(config(folder), Arc::new(ManualClock::at(NOW))).unwrap()
}

pub(crate) fn request(table: &str, times: &[i64]) -> WriteRequest {
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

/// A row of a mebibyte: much log for little work.
pub(crate) fn large(table: &str, number: usize) -> WriteRequest {
    let mut large = request(table, &[NOW + number as i64]);
    let text = format!("{number}{}", "x".repeat(1 << 20));
    let texts = arrow::array::DictionaryArray::<arrow::datatypes::UInt32Type>::from_iter([text.as_str()]);
    large.batches[0].columns = vec![BatchColumn { name: "text".into(), role: Role::Field, array: Arc::new(texts) }];
    large
}

pub(crate) fn rows(store: &Store, table: &str) -> Option<usize> {
    let view = store.view();
    let table = view.table("db", table)?;
    Some(table.file_rows as usize + table.hot.rows())
}

/// Puts a file where the folder of a table should be: its flushes fail until that file is gone.
pub(crate) fn block(store: &Store, table: &str) -> std::path::PathBuf {
    let view = store.view();
    let folder = crate::flush::table_folder(store.shared(), &view, &view.table("db", table).unwrap().info).unwrap();
    std::fs::create_dir_all(folder.parent().unwrap()).unwrap();
    let file = std::path::PathBuf::from(folder.to_string_lossy().trim_end_matches('/'));
    crate::durable::write_file(&file, b"", 0o600).unwrap();
    file
}

/// Rows of which a column, read as text, has a value.
pub(crate) struct ValueIs(pub String, pub [model::ColumnId; 1]);

impl crate::rewrite::RowFilter for ValueIs {
    fn judge(&self, table: &Arc<crate::view::Table>) -> crate::Result<Vec<crate::rewrite::Judged>> {
        Ok(vec![crate::rewrite::Judged::Read; table.files.len()])
    }

    fn columns(&self) -> &[model::ColumnId] {
        &self.1
    }

    fn mask(&self, batch: &arrow::array::RecordBatch) -> crate::Result<arrow::array::BooleanArray> {
        let texts = arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Utf8)?;
        let texts = arrow::array::AsArray::as_string::<i32>(&texts);
        // null stays null: such a row is not meant
        Ok(texts.iter().map(|text| text.map(|text| text == self.0)).collect())
    }
}

/// Writes a data file as another program, or an earlier version, would: its fields are changed, and it says nothing of
/// itself.
pub(crate) fn as_others_write(
    from: &std::path::Path,
    to: &std::path::Path,
    change: impl Fn(&arrow::datatypes::Field) -> arrow::datatypes::Field,
) {
    let reader = crate::file::reader(from).unwrap().build().unwrap();
    let batches: Vec<arrow::array::RecordBatch> = reader.map(Result::unwrap).collect();
    let fields: Vec<_> = batches[0].schema().fields().iter().map(|field| change(field)).collect();
    let schema = Arc::new(arrow::datatypes::Schema::new(fields));
    let mut bytes = Vec::new();
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut bytes, Arc::clone(&schema), None).unwrap();
    for batch in batches {
        let batch = arrow::array::RecordBatch::try_new(Arc::clone(&schema), batch.columns().to_vec()).unwrap();
        writer.write(&batch).unwrap();
    }
    writer.close().unwrap();
    crate::durable::write_file(to, &bytes, 0o600).unwrap();
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

/// An hour of a thousand quiet tables and a busy one on the manual clock, by hand: the thread that
/// would flush is never asked, so every step happens at a known minute.
#[test]
fn a_thousand_quiet_tables_flushed_each_ten_seconds_would_be_100_files_a_second() {
    const QUIET: usize = 1_000;
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(NOW);
    let mut config = config(folder.path());
    config.durability = crate::Durability::Process; // what is counted does not depend on it
    config.busy_bytes = 64 << 10;
    let store = Store::open(config, Arc::new(clock.clone())).unwrap();
    let all: Vec<_> = (0..QUIET).flat_map(|t| request(&format!("quiet{t}"), &[NOW]).batches).collect();
    let busy: Vec<i64> = (0..10_000).collect();
    for minute in 0..60 {
        let now = NOW + minute * 60_000_000;
        let mut quiet = request("quiet", &[]);
        quiet.batches = all.clone();
        quiet.batches.iter_mut().for_each(|b| b.time = vec![now].into());
        store.write(quiet).unwrap();
        store.write(request("busy", &busy.iter().map(|i| now + i).collect::<Vec<_>>())).unwrap();
        clock.advance_us(60_000_000);
        store.flush_due();
        assert!(!due(&store, clock.boot_us()), "nothing is due after the flush of minute {minute}");
    }
    let view = store.view();
    let files = |name: &str| view.table("db", name).unwrap().files.len();
    let quiet: usize = (0..QUIET).map(|t| files(&format!("quiet{t}"))).sum();
    let total: usize = (0..QUIET).map(|t| rows(&store, &format!("quiet{t}")).unwrap()).sum();
    assert_eq!((total, rows(&store, "busy")), (60 * QUIET, Some(600_000)));
    // a flush every ten minutes, over at most two hours of the day each; 360 000 by the busy rule
    assert!((5 * QUIET..=12 * QUIET).contains(&quiet), "{quiet} files of quiet tables");
    assert!((59..=120).contains(&files("busy")), "{} files of the busy table", files("busy"));
    // whoever is due at one moment shares commits: far fewer snapshots than files
    let snapshots = view.snapshot as usize;
    assert!(snapshots <= 1_200, "{snapshots} snapshots for {quiet} files");
}

/// Whether some table has waited longer than it may.
fn due(store: &Store, now: i64) -> bool {
    let view = store.view();
    let config = &store.shared().config;
    let hot = store.shared().hot_tables.lock().clone();
    let aged = |(id, since): (&model::TableId, &i64)| {
        let bytes = view.tables.get(id).map_or(0, |t| t.hot.bytes());
        let limit = if bytes >= config.busy_bytes { config.max_buffer_age_ms } else { config.max_quiet_age_ms };
        now - since >= limit as i64 * 1_000
    };
    hot.iter().any(aged) || view.tables.values().any(|t| t.hot.sealed.is_some())
}

#[test]
fn a_memory_check_fails_before_the_log_and_never_after_the_sync() {
    let folder = tempfile::tempdir().unwrap();
    let mut small = config(folder.path());
    small.hot_budget_bytes = 1 << 20;
    let store = Store::open(small.clone(), Arc::new(ManualClock::at(NOW))).unwrap();
    store.write(request("t", &[1])).unwrap();
    let before = store.view().published;
    let large: Vec<i64> = (0..100_000).collect();
    let error = store.write(request("t", &large)).unwrap_err();
    assert_eq!(error.code(), model::Code::PayloadTooLarge, "{error}");
    let medium: Vec<i64> = (0..10_000).collect();
    let (mut stored, mut refused) = (1, None);
    for _ in 0..100 {
        match store.write(request("t", &medium)) {
            Ok(_) => stored += medium.len(),
            Err(error) => refused = Some(error),
        }
        if refused.is_some() {
            break;
        }
    }
    assert!(matches!(refused, Some(crate::Error::HotFull { .. })), "{refused:?}");
    assert!(store.view().published > before);
    drop(store);
    let store = Store::open(small, Arc::new(ManualClock::at(NOW))).unwrap();
    assert_eq!(rows(&store, "t"), Some(stored), "nothing that was refused is in the log");
}

#[test]
fn a_request_resolved_before_a_drop_and_numbered_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.write(request("t", &[1])).unwrap();
    let mut late = request("t", &[2]);
    let crate::Resolution::Ready(resolved) = store.resolve(&mut late, &mut Vec::new()).unwrap() else {
        panic!("the table exists");
    };
    let published = store.view().published;
    store.drop_table(store.view().table("db", "t").unwrap().info.id).unwrap();
    let (send, outcome) = std::sync::mpsc::sync_channel(1);
    store.submit(resolved, None, None, move |o| send.send(o).unwrap()).unwrap();
    assert!(matches!(outcome.recv().unwrap(), crate::Outcome::Stale), "it is resolved again and holds no number");
    assert_eq!(store.view().published, published);
    store.write(request("t", &[3])).unwrap();
    assert_eq!(rows(&store, "t"), Some(1), "the new table has the new row alone");
}

#[test]
fn lsn_100_inserted_before_99_sealed_at_100() {
    const WRITERS: i64 = 8;
    const WRITES: i64 = 250;
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.durability = crate::Durability::Process; // what is counted does not depend on it
    let store = Store::open(config, Arc::new(ManualClock::at(NOW))).unwrap();
    std::thread::scope(|scope| {
        let store = &store;
        let write =
            |writer: i64| (0..WRITES).for_each(|i| drop(store.write(request("t", &[writer * 1_000 + i])).unwrap()));
        let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(move || write(writer))).collect();
        while writers.iter().any(|w| !w.is_finished()) {
            store.flush().unwrap();
        }
    });
    let view = store.view();
    let table = view.table("db", "t").unwrap();
    assert!(table.flushed <= view.published && table.hot.lsn_min().is_none_or(|l| l > table.flushed));
    drop(store);
    assert_eq!(rows(&open(folder.path()), "t"), Some((WRITERS * WRITES) as usize));
}

#[test]
fn in_process_mode_a_flushed_row_is_younger_than_the_log_that_survives() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for i in 0..10 {
        store.write(request("t", &[i])).unwrap();
    }
    store.flush().unwrap();
    drop(store);
    // power is lost: the files are durable, of the log nothing survived
    for entry in std::fs::read_dir(folder.path().join("log")).unwrap().flatten() {
        std::fs::remove_file(entry.path()).unwrap();
    }
    let store = open(folder.path());
    let accepted = store.write(request("t", &[100])).unwrap();
    assert!(accepted.lsn > store.view().table("db", "t").unwrap().flushed, "{:?}", accepted.lsn);
    drop(store);
    assert_eq!(rows(&open(folder.path()), "t"), Some(11), "the new row is above the watermark");
}

#[test]
fn interned_ids_are_arrival_order_and_files_are_sorted_by_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for hosts in [["z", "é", "a"], ["a", "b", "z"]] {
        let mut tagged = request("t", &[1, 2, 3]);
        tagged.batches[0].columns.push(BatchColumn {
            name: "host".into(),
            role: Role::Tag,
            array: Arc::new(arrow::array::DictionaryArray::<arrow::datatypes::UInt32Type>::from_iter(hosts)),
        });
        store.write(tagged).unwrap();
        store.flush().unwrap();
    }
    let view = store.view();
    let table = view.table("db", "t").unwrap();
    let root = store.data_folder().join(&*view.database("db").unwrap().path).join(&*table.info.path);
    let mut found = Vec::new();
    for file in &table.files {
        let reader = std::fs::File::open(root.join(&*file.path)).unwrap();
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(reader, 1_024).unwrap();
        for batch in reader {
            let column =
                arrow::compute::cast(batch.unwrap().column_by_name("host").unwrap(), &arrow::datatypes::DataType::Utf8);
            let column = column.unwrap();
            let column = arrow::array::AsArray::as_string::<i32>(&column);
            found.push(column.iter().map(|h| h.unwrap().to_owned()).collect::<Vec<_>>());
        }
    }
    assert_eq!(found, [["a", "z", "é"], ["a", "b", "z"]]);
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

/// What a start says of a catalog that somebody changed by hand.
fn refusal_after(changes: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).close(std::time::Duration::from_secs(5));
    let catalog = rusqlite::Connection::open(folder.path().join("catalog.sqlite")).unwrap();
    catalog.execute_batch(changes).unwrap();
    drop(catalog);
    Store::open(config(folder.path()), Arc::new(ManualClock::at(NOW))).unwrap_err().to_string()
}

#[test]
fn a_schema_that_somebody_changed_is_damage() {
    let error = refusal_after("DROP TRIGGER tw_digest_tw_meta_UPDATE");
    assert!(error.contains("catalog.sqlite: its schema"), "{error}");
}

#[test]
fn a_conversion_that_has_not_seen_every_file_begins_again() {
    use crate::catalog::{Conversion, Job, Target};
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.write(request("t", &[NOW])).unwrap();
    store.flush().unwrap();
    let table = Arc::clone(store.view().table("db", "t").unwrap());
    let held = store.hold(&table.info, (NOW, NOW), "convert").unwrap();
    let convert = |seen| {
        let (ended, files, token) = (Vec::new(), Vec::new(), held.token());
        let target = Target::Mode(TableMode::Last);
        let conversion = Conversion { table: table.info.id, target, ended, files, seen, token };
        store.committer.wait(|reply| Job::Convert { conversion, reply })
    };
    let mode = || store.view().table("db", "t").unwrap().info.mode;
    assert!(matches!(convert([].into()), Err(crate::Error::Churn(_))));
    assert_eq!(mode(), TableMode::Append);
    convert(table.files.iter().map(|f| f.id).collect()).unwrap();
    assert_eq!(mode(), TableMode::Last);
}

#[test]
fn a_newer_format_is_refused() {
    let error = refusal_after(
        "DROP TRIGGER tw_digest_tw_meta_UPDATE; UPDATE tw_meta SET value = '99' WHERE key = 'format_version'",
    );
    assert!(error.contains("format version 99"), "{error}");
}

#[test]
fn a_flush_that_cannot_commit_keeps_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.durability = crate::Durability::Process;
    let store = Store::open(config.clone(), Arc::new(ManualClock::at(NOW))).unwrap();
    let requests = 8;
    (0..requests).for_each(|i| drop(store.write(large("t", i)).unwrap()));
    // somebody holds the catalog
    let held = rusqlite::Connection::open(folder.path().join("catalog.sqlite")).unwrap();
    held.execute_batch("BEGIN IMMEDIATE").unwrap();
    std::thread::scope(|scope| {
        let (done, outcome) = std::sync::mpsc::channel();
        let store = &store;
        scope.spawn(move || done.send(store.flush()).unwrap());
        let flushed = loop {
            store.tend().unwrap();
            if let Ok(flushed) = outcome.recv_timeout(std::time::Duration::from_millis(10)) {
                break flushed;
            }
        };
        assert!(flushed.is_err(), "it cannot commit");
    });
    drop((store, held));
    let store = Store::open(config, Arc::new(ManualClock::at(NOW))).unwrap();
    assert_eq!(rows(&store, "t"), Some(requests));
}

#[test]
fn a_flush_also_takes_what_came_after_one_that_failed() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.write(request("t", &[NOW])).unwrap();
    let in_its_way = block(&store, "t");
    assert!(store.flush().is_err());
    store.write(request("t", &[NOW + 1])).unwrap();
    std::fs::remove_file(&in_its_way).unwrap();
    store.flush().unwrap();
    let view = store.view();
    let table = view.table("db", "t").unwrap();
    assert!(table.hot.lsn_min().is_none(), "a row is hot still");
    assert_eq!(table.files.iter().map(|f| f.rows).sum::<u64>(), 2);
}

#[test]
fn a_quiet_row_and_a_table_that_cannot_flush_do_not_keep_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.log_segment_bytes = 8 << 20;
    config.hot_budget_bytes = 32 << 20;
    config.flush_bytes = 2 << 20;
    config.log_max_bytes = 16 << 20;
    config.durability = crate::Durability::Process;
    let store = Store::open(config.clone(), Arc::new(ManualClock::at(NOW))).unwrap();
    store.write(request("quiet", &[NOW])).unwrap();
    store.write(request("stuck", &[NOW])).unwrap();
    let file = block(&store, "stuck");
    let mut busy = 0;
    let (mut more, mut refused) = (0, 0);
    let began = std::time::Instant::now();
    while busy < 40 || refused == 0 {
        assert!(began.elapsed().as_secs() < 60, "{busy} rows, {refused} refusals");
        store.flush_due();
        match store.write(large("busy", busy)) {
            Ok(_) => busy += 1,
            Err(crate::Error::HotFull { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        match store.write(large("stuck", more)) {
            Ok(_) => more += 1,
            Err(crate::Error::TableStuck(name)) => {
                assert_eq!(name, "stuck", "the table that cannot flush is refused, and it alone");
                refused += 1;
            }
            Err(crate::Error::HotFull { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    let stuck = rows(&store, "stuck").unwrap();
    let log = || {
        let segments = std::fs::read_dir(folder.path().join("log")).unwrap().flatten();
        segments.filter(|e| e.path().extension().is_some_and(|x| x == "seg")).count()
    };
    let began = std::time::Instant::now();
    while log() > 3 {
        assert!(
            began.elapsed().as_secs() < 10,
            "{} segments stay, {} bytes of log, {:?}, needed {:?}, published {:?}",
            log(),
            store.shared().log_bytes.load(std::sync::atomic::Ordering::Relaxed),
            store.counters(),
            store.shared().needed_lsn,
            store.view().published
        );
        store.flush_due();
        store.tend().unwrap();
        std::thread::yield_now();
    }
    let counters = store.counters();
    assert!(counters.side_records.load(std::sync::atomic::Ordering::Relaxed) >= 2);
    assert_eq!(store.view().table("db", "quiet").unwrap().files.len(), 0, "no file for one row");
    drop(store);
    for _ in 0..2 {
        let store = Store::open(config.clone(), Arc::new(ManualClock::at(NOW))).unwrap();
        let found = (rows(&store, "quiet"), rows(&store, "stuck"), rows(&store, "busy"));
        assert_eq!(found, (Some(1), Some(stuck), Some(busy)));
    }
    std::fs::remove_file(&file).unwrap();
    let store = Store::open(config, Arc::new(ManualClock::at(NOW))).unwrap();
    store.flush().unwrap();
    store.write(request("stuck", &[NOW])).unwrap();
    assert_eq!((rows(&store, "quiet"), rows(&store, "stuck")), (Some(1), Some(stuck + 1)));
}

#[test]
fn a_table_is_due_when_its_rows_are_as_old_as_they_may_be_and_not_before() {
    for (busy_bytes, age_ms) in [(usize::MAX, 60_000), (1, 5_000)] {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(folder.path());
        (config.busy_bytes, config.max_quiet_age_ms, config.max_buffer_age_ms) = (busy_bytes, 60_000, 5_000);
        let clock = ManualClock::at(NOW);
        let store = Store::open(config, Arc::new(clock.clone())).unwrap();
        store.write(request("t", &[NOW])).unwrap();
        let hot = || store.view().table("db", "t").unwrap().hot.rows();
        clock.advance_us(age_ms * 1_000 - 1);
        store.flush_due();
        assert_eq!(hot(), 1, "of {busy_bytes} bytes, a microsecond before {age_ms} ms");
        clock.advance_us(1);
        store.flush_due();
        assert_eq!(hot(), 0, "of {busy_bytes} bytes, after {age_ms} ms");
    }
}

#[test]
fn a_column_of_null_alone_takes_the_type_of_its_first_value_also_when_files_have_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut nulls = request("t", &[NOW]);
    nulls.batches[0].columns[0].array = Arc::new(arrow::array::NullArray::new(1));
    store.write(nulls).unwrap();
    store.flush().unwrap();
    let epoch = || store.view().table("db", "t").unwrap().info.epoch;
    let before = epoch();
    store.write(request("t", &[NOW + 1])).unwrap();
    assert_eq!(epoch(), before + 1, "who meant the old column is asked again");
    let view = store.view();
    let column = view.table("db", "t").unwrap().info.schema.columns().iter().find(|c| &*c.name == "v").unwrap().clone();
    assert_eq!((column.ty, column.provisional, column.persisted), (model::ColumnType::Int64, false, false));
    assert_eq!(rows(&store, "t"), Some(2));
}

#[test]
fn the_reserve_on_disk_is_held_given_up_and_taken_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.ballast_bytes = 8 << 20;
    let clock = ManualClock::at(NOW);
    let store = Store::open(config, Arc::new(clock.clone())).unwrap();
    let ballast = folder.path().join("ballast");
    store.write(request("t", &[1])).unwrap();
    assert_eq!(std::fs::metadata(&ballast).unwrap().len(), 8 << 20, "held from the first write on");
    assert!(store.shared().ballast.give_up() && !ballast.exists());
    clock.advance_us(1_000_000);
    store.write(request("t", &[2])).unwrap();
    assert!(ballast.exists(), "taken again as there is room");
}

#[test]
fn while_writes_wait_to_start_nobody_hears_that_all_is_well() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    // no disk leaves so much free: each try to open the log fails
    config.min_free_bytes = u64::MAX / 2;
    config.commits_per_second = 10_000; // each try also asks the catalog for what has ended
    let store = Store::open(config, Arc::new(ManualClock::at(NOW))).unwrap();
    std::thread::scope(|scope| {
        let tries = scope.spawn(|| (0..500).all(|_| store.tend().is_err()));
        while !tries.is_finished() {
            assert!(store.trouble().is_some(), "it has not started, and nobody knows why");
        }
        assert!(tries.join().unwrap());
    });
}

#[test]
fn a_start_on_a_full_disk_finds_room_for_its_log_in_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    let store = Store::open(config.clone(), Arc::new(ManualClock::at(NOW))).unwrap();
    store.write(request("t", &[NOW, NOW + 1])).unwrap();
    drop(store); // as a kill leaves it
    // no disk leaves so much free: a new segment cannot be allocated
    config.min_free_bytes = u64::MAX / 2;
    for _ in 0..3 {
        let store = Store::open(config.clone(), Arc::new(ManualClock::at(NOW))).unwrap();
        assert_eq!(store.trouble(), None);
        assert_eq!(rows(&store, "t"), Some(2));
        assert!(matches!(store.write(request("t", &[NOW + 2])), Err(crate::Error::DiskFull { .. })));
        drop(store);
    }
    config.min_free_bytes = 0;
    let store = Store::open(config, Arc::new(ManualClock::at(NOW))).unwrap();
    store.write(request("t", &[NOW + 2])).unwrap();
    assert_eq!(rows(&store, "t"), Some(3));
}

#[test]
fn process_mode_is_synced_every_100_ms_also_under_load() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.durability = crate::Durability::Process;
    let store = Store::open(config, Arc::new(ManualClock::at(NOW))).unwrap();
    let began = std::time::Instant::now();
    let syncs = || store.counters().syncs.load(std::sync::atomic::Ordering::Relaxed);
    while syncs() < 3 {
        store.write(request("t", &[1])).unwrap(); // the queue is never silent for 100 ms
        assert!(began.elapsed().as_secs() < 10, "{} syncs", syncs());
    }
}

#[test]
fn a_commit_whose_lock_was_lost_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(NOW);
    let store = Store::open(config(folder.path()), Arc::new(clock.clone())).unwrap();
    store.write(request("t", &[NOW, NOW + 1])).unwrap();
    store.flush().unwrap();
    let table = Arc::clone(store.view().table("db", "t").unwrap());
    let held = store.hold(&table.info, (NOW, NOW + 5), "slow").unwrap();
    let other = crate::hold::Held::take(
        store.shared(),
        &store.committer,
        &table.info,
        (NOW + 5, NOW + 9),
        "other",
        std::time::Duration::ZERO,
    );
    assert!(matches!(other, Err(crate::Error::Locked { job, .. }) if job == "slow"));
    clock.advance_us(crate::catalog::locks::TTL_US + 1);
    assert_eq!(store.clean_up_locks().unwrap(), 1, "nobody renewed it");
    let replacement = crate::catalog::Replacement {
        table: table.info.id,
        ended: table.files.iter().map(|f| f.id).collect(),
        files: Vec::new(),
        kind: crate::catalog::ReplacementKind::Delete { rows: 2, touches: true },
        columns: Vec::new(),
        also: None,
        token: held.token(),
        job: "slow".into(),
    };
    let done = store.committer.wait(|reply| crate::catalog::Job::Replace { replacements: vec![replacement], reply });
    assert!(matches!(done, Err(crate::Error::LockLost(_))), "{done:?}");
    assert_eq!(rows(&store, "t"), Some(2), "nothing was changed");
}

#[test]
fn t53_retention_waits_for_a_word_when_the_clock_was_set() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(NOW);
    let store = Store::open(config(folder.path()), Arc::new(clock.clone())).unwrap();
    store.write(request("t", &[NOW])).unwrap();
    let settings = crate::retention::Settings {
        name: "p".into(),
        database: "db".into(),
        measurement: None,
        retention_days: 30,
        buffer_days: 0,
        ..crate::retention::Settings::default()
    };
    let id = store.policies().create(&settings, NOW).unwrap();
    let policy = store.policies().get(id).unwrap().unwrap();
    clock.jump_us(400 * 86_400_000_000);
    let error = store.run_due_retention(1).unwrap_err();
    assert!(error.to_string().contains("the wall clock was set"), "{error}");
    assert_eq!(rows(&store, "t"), Some(1));
    assert_eq!(store.run_retention(&policy, true, false).unwrap().rows, 1, "a dry run changes nothing");
    assert_eq!(store.run_retention(&policy, false, true).unwrap().rows, 1, "somebody has looked at the clock");
    // time that passed, asleep or not, is no jump
    clock.advance_us(40 * 86_400_000_000);
    assert_eq!(store.run_due_retention(1).unwrap(), 1);
}
