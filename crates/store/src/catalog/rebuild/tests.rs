use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use model::{Batch, BatchColumn, ColumnType, DatabaseName, ManualClock, Role, TableMode};

use crate::compact::Scope;
use crate::jobs::Handle;
use crate::{Store, StoreConfig, WriteRequest, repair_catalog};

const NOW: i64 = 1_700_006_400_000_000;
const HOUR_US: i64 = 3_600_000_000;

fn open(folder: &Path) -> crate::Result<Store> {
    let mut config = StoreConfig::new(folder, 64 << 20);
    config.min_free_bytes = 0;
    config.merge_min_files = 2;
    Store::open(config, Arc::new(ManualClock::at(NOW)))
}

/// Rows (time, host, value) of a table.
fn write(store: &Store, table: &str, mode: TableMode, rows: &[(i64, &str, i64)]) {
    let hosts: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.1)));
    let hosts = cast(&hosts, &DataType::Dictionary(DataType::UInt32.into(), DataType::Utf8.into())).unwrap();
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.2)));
    let column = |name: &str, role, array| BatchColumn { name: name.into(), role, array };
    let batch = Batch {
        table: table.into(),
        time: rows.iter().map(|r| r.0).collect::<Vec<_>>().into(),
        time_ns: None,
        columns: vec![column("Host", Role::Tag, hosts), column("v", Role::Field, values)],
        origin: Vec::new(),
    };
    let database = DatabaseName::new("db").unwrap();
    let batches = vec![batch];
    store.write(WriteRequest { database, mode, batches, partial: false, durability: None, key: None }).unwrap();
}

/// What a folder holds: of each table its mode, columns and number of rows in files and memory.
type Contents = BTreeMap<String, (TableMode, Vec<(String, ColumnType, Role)>, usize)>;

fn contents(store: &Store) -> Contents {
    let view = store.view();
    let table = |table: &Arc<crate::view::Table>| {
        let info = &table.info;
        let columns = info.schema.columns().iter().map(|c| (c.name.to_string(), c.ty, c.role)).collect();
        let name = format!("{}.{}", view.database_of(info).unwrap().name, info.name);
        (name, (info.mode, columns, table.file_rows as usize + table.hot.rows()))
    };
    view.tables.values().map(table).collect()
}

fn lose_catalog(folder: &Path) {
    for name in ["catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"] {
        let _ = std::fs::remove_file(folder.join(name));
    }
}

fn compact(store: &Store) {
    let running = store.start_compaction().unwrap();
    store.compact(running, &Scope::default(), &Handle::of_server("test")).unwrap();
}

/// Files, merged files, rows in the log alone.
fn fill(store: &Store) {
    for hour in 0..3 {
        write(store, "cpu", TableMode::Append, &[(NOW - hour * HOUR_US, "a", hour), (NOW, "b", hour)]);
        write(store, "point", TableMode::Last, &[(NOW, "a", hour)]);
        store.flush().unwrap();
    }
    compact(store);
    write(store, "cpu", TableMode::Append, &[(NOW, "c", 7)]);
    store.flush().unwrap();
    write(store, "cpu", TableMode::Append, &[(NOW, "d", 8)]);
}

#[test]
fn files_and_log_alone_tell_every_table_that_has_rows() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    fill(&store);
    store
        .retype(store.view().table("db", "cpu").unwrap().info.id, "v", ColumnType::Float64, &Handle::of_server("test"))
        .unwrap();
    write(&store, "cpu", TableMode::Append, &[(NOW, "e", 9)]);
    let before = contents(&store);
    assert_eq!(before["db.cpu"].2, 9);
    drop(store);
    lose_catalog(folder.path());
    let error = open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("catalog.sqlite") && error.contains("tidewater repair catalog"), "{error}");
    let report = repair_catalog(folder.path(), NOW).unwrap();
    assert!(report.copy_of.is_none() && report.missing.is_empty() && !report.unsure.is_empty(), "{report:?}");
    let store = open(folder.path()).unwrap();
    assert_eq!(contents(&store), before);
    // it goes on: rows, files, a merge, another start
    write(&store, "cpu", TableMode::Append, &[(NOW, "f", 10)]);
    write(&store, "new", TableMode::Append, &[(NOW, "f", 10)]);
    store.flush().unwrap();
    compact(&store);
    drop(store);
    let after = contents(&open(folder.path()).unwrap());
    assert_eq!((after["db.cpu"].2, after["db.new"].2), (10, 1));
    assert!(repair_catalog(folder.path(), NOW).unwrap().damage.is_none());
}

#[test]
fn files_that_came_after_the_copy_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    write(&store, "cpu", TableMode::Append, &[(NOW, "a", 1)]);
    store.flush().unwrap();
    store.copy_catalog().unwrap();
    fill(&store);
    let before = contents(&store);
    drop(store);
    // a letter changes on the disk
    let catalog = folder.path().join("catalog.sqlite");
    let mut bytes = std::fs::read(&catalog).unwrap();
    let at = bytes.windows(4).rposition(|w| w == b"main").unwrap();
    bytes[at] = b'n';
    crate::durable::write_file(&catalog, &bytes, 0o640).unwrap();
    let error = open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("digest") || error.contains("snapshot"), "{error}");
    let report = repair_catalog(folder.path(), NOW).unwrap();
    assert!(report.copy_of.is_some() && !report.found.is_empty() && report.unsure.is_empty(), "{report:?}");
    let store = open(folder.path()).unwrap();
    assert_eq!(contents(&store), before);
    // ids go on far ahead of those that the copy did not know
    write(&store, "new", TableMode::Append, &[(NOW, "f", 10)]);
    let view = store.view();
    assert!(view.table("db", "new").unwrap().info.id.0 > 1 << 24);
}

#[test]
fn a_table_that_only_the_log_knows_has_its_number_for_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    write(&store, "cpu", TableMode::Append, &[(NOW, "a", 1), (NOW, "b", 2)]);
    let id = store.view().table("db", "cpu").unwrap().info.id;
    drop(store);
    lose_catalog(folder.path());
    let report = repair_catalog(folder.path(), NOW).unwrap();
    assert!(report.unsure.iter().any(|text| text.contains("2 rows of the log")), "{report:?}");
    let after = contents(&open(folder.path()).unwrap());
    let (_, columns, rows) = &after[&format!("recovered.table_{id}")];
    assert_eq!((columns.len(), *rows), (3, 2));
}

#[test]
fn a_catalog_that_went_back_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    write(&store, "cpu", TableMode::Append, &[(NOW, "a", 1)]);
    store.flush().unwrap();
    store.copy_catalog().unwrap();
    write(&store, "cpu", TableMode::Append, &[(NOW, "a", 2)]);
    store.flush().unwrap();
    drop(store);
    lose_catalog(folder.path());
    std::fs::copy(folder.path().join("catalog.copy"), folder.path().join("catalog.sqlite")).unwrap();
    let error = open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("catalog.sqlite") && error.contains("was committed"), "{error}");
    repair_catalog(folder.path(), NOW).unwrap();
    assert_eq!(contents(&open(folder.path()).unwrap())["db.cpu"].2, 2);
}

/// Run by the next test in a process of its own, which ends at the second of three files.
#[test]
fn cut_flush() {
    let Ok(folder) = std::env::var("TW_CUT_FLUSH") else { return };
    let store = open(Path::new(&folder)).unwrap();
    write(&store, "cpu", TableMode::Append, &[0, 1, 2].map(|hour| (NOW - hour * HOUR_US, "a", hour)));
    let _ = store.flush();
}

#[test]
fn a_flush_that_was_cut_short_is_left_to_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    write(&store, "cpu", TableMode::Append, &[(NOW, "a", 1)]);
    store.flush().unwrap();
    drop(store);
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "catalog::rebuild::tests::cut_flush", "--nocapture"])
        .env("TW_CUT_FLUSH", folder.path())
        .env("TIDEWATER_FAILPOINT", "flush.file:2")
        .output()
        .unwrap();
    assert!(!child.status.success(), "it ends at the failpoint");
    lose_catalog(folder.path());
    let report = repair_catalog(folder.path(), NOW).unwrap();
    assert_eq!((report.found.len(), report.aside.len()), (1, 2), "{report:?}");
    assert_eq!(contents(&open(folder.path()).unwrap())["db.cpu"].2, 4);
}

#[test]
fn a_repair_that_was_cut_short_is_begun_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    fill(&store);
    let before = contents(&store);
    drop(store);
    lose_catalog(folder.path());
    // as it stands between an empty catalog and the files that it has to know
    crate::durable::write_file(&folder.path().join("catalog.repairing"), b"", 0o600).unwrap();
    let layout = crate::layout::Layout { root: folder.path().to_owned() };
    super::begin(&layout, NOW).unwrap();
    let error = open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("cut short"), "{error}");
    repair_catalog(folder.path(), NOW).unwrap();
    assert_eq!(contents(&open(folder.path()).unwrap()), before);
}

#[test]
fn what_is_left_of_a_dropped_table_stays_away() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    write(&store, "cpu", TableMode::Append, &[(NOW, "a", 1)]);
    write(&store, "kept", TableMode::Append, &[(NOW, "a", 1)]);
    store.flush().unwrap();
    let table = Arc::clone(store.view().table("db", "cpu").unwrap());
    let home = crate::flush::table_folder(store.shared(), &store.view(), &table.info).unwrap();
    store.drop_table(table.info.id).unwrap();
    store.copy_catalog().unwrap();
    drop(store);
    // as the output of a job that the drop cut short
    std::fs::copy(home.join(&*table.files[0].path), home.join("left.parquet")).unwrap();
    lose_catalog(folder.path());
    let report = repair_catalog(folder.path(), NOW).unwrap();
    assert!(report.copy_of.is_some() && report.aside.len() == 1, "{report:?}");
    assert_eq!(contents(&open(folder.path()).unwrap()).into_keys().collect::<Vec<_>>(), ["db.kept"]);
}
