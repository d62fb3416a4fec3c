use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use model::{Batch, BatchColumn, ColumnType, DatabaseName, ManualClock, Role, TableMode};

use crate::catalog::tests::{ValueIs, as_others_write, config};
use crate::compact::Scope;
use crate::jobs::Handle;
use crate::{Store, WriteRequest, repair_catalog};

const NOW: i64 = 1_700_006_400_000_000;
const HOUR_US: i64 = 3_600_000_000;

fn open(folder: &Path) -> crate::Result<Store> {
    let mut config = config(folder);
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

/// Has a test of this file end, in a process of its own, where a change of type would write its second new file.
#[test]
fn cut_retype() {
    let Ok(folder) = std::env::var("TW_CUT_RETYPE") else { return };
    let store = open(Path::new(&folder)).unwrap();
    let table = store.view().table("db", "cpu").unwrap().info.id;
    let _ = store.retype(table, "v", ColumnType::Float64, &Handle::of_server("test"));
}

#[test]
fn a_change_of_type_that_was_cut_short_has_not_been_and_one_that_was_done_has() {
    for (point, ty) in [("retype.rewritten", ColumnType::Int64), ("retype.commit.after", ColumnType::Float64)] {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).unwrap();
        for hour in 0..2 {
            write(&store, "cpu", TableMode::Append, &[(NOW - hour * HOUR_US, "a", hour)]);
            store.flush().unwrap();
        }
        drop(store);
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "catalog::rebuild::tests::cut_retype", "--nocapture"])
            .env("TW_CUT_RETYPE", folder.path())
            .env("TIDEWATER_FAILPOINT", point)
            .output()
            .unwrap();
        assert!(!child.status.success(), "it ends at the failpoint");
        lose_catalog(folder.path());
        let report = repair_catalog(folder.path(), NOW).unwrap();
        assert!(report.found.len() == 2 && !report.aside.is_empty(), "{point}: {report:?}");
        let store = open(folder.path()).unwrap();
        let (_, columns, rows) = contents(&store)["db.cpu"].clone();
        assert_eq!((&columns[2], rows), (&("v".to_owned(), ty, Role::Field), 2), "{point}");
        write(&store, "cpu", TableMode::Append, &[(NOW, "b", 5)]);
        store.flush().unwrap();
    }
}

#[test]
fn a_change_of_type_that_the_copy_does_not_know_is_in_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    write(&store, "cpu", TableMode::Append, &[(NOW, "a", 1)]);
    store.flush().unwrap();
    store.copy_catalog().unwrap();
    let table = store.view().table("db", "cpu").unwrap().info.id;
    store.retype(table, "v", ColumnType::Float64, &Handle::of_server("test")).unwrap();
    drop(store);
    lose_catalog(folder.path());
    let report = repair_catalog(folder.path(), NOW).unwrap();
    assert!(report.copy_of.is_some(), "{report:?}");
    let (_, columns, rows) = contents(&open(folder.path()).unwrap())["db.cpu"].clone();
    assert_eq!((&columns[2..], rows), (&[("v".to_owned(), ColumnType::Float64, Role::Field)][..], 1));
}

#[test]
fn names_come_back_as_they_were_and_two_of_one_name_get_a_number() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    for table in ["Größe %/1", ".hidden", "a-7", "cpu"] {
        write(&store, table, TableMode::Append, &[(NOW, "a", 1)]);
    }
    store.flush().unwrap();
    let first = store.view().table("db", "cpu").unwrap().info.id;
    store.drop_table(first).unwrap();
    write(&store, "CPU", TableMode::Append, &[(NOW, "a", 2), (NOW, "b", 3)]);
    store.flush().unwrap();
    let second = store.view().table("db", "cpu").unwrap().info.id;
    store.drop_database(store.view().database("db").unwrap().id).unwrap();
    write(&store, "cpu", TableMode::Append, &[(NOW, "a", 2), (NOW, "b", 3), (NOW, "c", 4)]);
    store.flush().unwrap();
    let third = store.view().database("db").unwrap().id;
    drop(store);
    lose_catalog(folder.path());
    let report = repair_catalog(folder.path(), NOW).unwrap();
    assert!(report.aside.is_empty() && report.found.len() == 6, "{report:?}");
    let store = open(folder.path()).unwrap();
    let rows: BTreeMap<String, usize> = contents(&store).into_iter().map(|(name, (_, _, rows))| (name, rows)).collect();
    let number = |name: &str, rows| (name.to_owned(), rows);
    let wanted = [
        number("db..hidden", 1),
        number("db.Größe %/1", 1),
        number("db.a-7", 1),
        number("db.cpu", 1),
        (format!("db.CPU_{second}"), 2),
        (format!("db_{third}.cpu"), 3),
    ];
    assert_eq!(rows, wanted.into());
    assert_eq!(store.view().table("db", "cpu").unwrap().info.id, first, "each has its own number again");
}

#[test]
fn what_was_deleted_and_what_was_rewritten_beside_it_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    // one flush of two files
    write(&store, "cpu", TableMode::Append, &[(NOW, "a", 1), (NOW, "b", 2), (NOW - HOUR_US, "a", 3)]);
    store.flush().unwrap();
    let table = Arc::clone(store.view().table("db", "cpu").unwrap());
    assert_eq!(table.files.len(), 2);
    let host = table.info.schema.find("host").unwrap().id;
    let filter = ValueIs("b".into(), [host]);
    let deleted = store.delete_rows(table.info.id, &filter, false, &Handle::of_server("test"), |_| Ok(())).unwrap();
    assert_eq!((deleted.rows, deleted.rewritten), (1, 1));
    let home = crate::flush::table_folder(store.shared(), &store.view(), &table.info).unwrap();
    let now = store.view().table("db", "cpu").unwrap().files.clone();
    let ended: Vec<_> = table.files.iter().filter(|f| now.iter().all(|n| n.id != f.id)).collect();
    assert_eq!(ended.len(), 1);
    let lsn = store.view().table("db", "cpu").unwrap().flushed;
    drop(store);
    // with the old file, and after its removal: what is left of the flush is whole all the same
    for is_removed in [false, true] {
        if is_removed {
            std::fs::remove_file(folder.path().join("data").join(&home).join(&*ended[0].path))
                .or_else(|_| {
                    let aside = std::fs::read_dir(folder.path()).unwrap().flatten().map(|e| e.path());
                    aside.filter(|p| p.to_string_lossy().contains("aside")).try_for_each(std::fs::remove_dir_all)
                })
                .unwrap();
        }
        lose_catalog(folder.path());
        let report = repair_catalog(folder.path(), NOW).unwrap();
        assert_eq!((report.found.len(), report.aside.len()), (2, usize::from(!is_removed)), "{report:?}");
        let store = open(folder.path()).unwrap();
        let view = store.view();
        let table = view.table("db", "cpu").unwrap();
        assert_eq!((table.file_rows, table.hot.rows(), table.flushed), (2, 0, lsn));
    }
    let sum = "SELECT record_count, (SELECT sum(record_count) FROM ducklake_data_file) FROM ducklake_table_stats";
    let catalog = rusqlite::Connection::open(folder.path().join("catalog.sqlite")).unwrap();
    let counted: (u64, u64) = catalog.query_row(sum, [], |r| Ok((r.get(0)?, r.get(1)?))).unwrap();
    assert_eq!(counted, (2, 2));
}

#[test]
fn what_cannot_be_read_or_has_no_place_is_named_and_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    write(&store, "cpu", TableMode::Append, &[(NOW, "a", 1)]);
    store.flush().unwrap();
    let table = Arc::clone(store.view().table("db", "cpu").unwrap());
    let home = crate::flush::table_folder(store.shared(), &store.view(), &table.info).unwrap();
    drop(store);
    let data = folder.path().join("data");
    let whole = std::fs::read(home.join(&*table.files[0].path)).unwrap();
    let bad = [home.join("bad.parquet"), data.join("lost.parquet"), data.join("db-1").join("x.parquet")];
    crate::durable::write_file(&bad[0], b"no parquet", 0o600).unwrap();
    crate::durable::write_file(&bad[1], &whole, 0o600).unwrap();
    crate::durable::write_file(&bad[2], &whole, 0o600).unwrap();
    let notes = home.join("notes.txt");
    crate::durable::write_file(&notes, b"mine", 0o600).unwrap();
    lose_catalog(folder.path());
    let report = repair_catalog(folder.path(), NOW).unwrap();
    for path in &bad {
        let name = path.file_name().unwrap();
        assert!(report.unsure.iter().any(|text| text.starts_with(&format!("{}: ", path.display()))), "{report:?}");
        assert!(report.aside.iter().any(|aside| aside.file_name() == Some(name) && aside.exists()), "{report:?}");
        assert!(!path.exists());
    }
    assert_eq!((report.found.len(), report.aside.len(), notes.exists()), (1, 3, true));
    assert_eq!(contents(&open(folder.path()).unwrap())["db.cpu"].2, 1);
}

#[test]
fn files_that_are_gone_or_short_are_listed_also_when_the_catalog_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    for hour in 0..3 {
        write(&store, "cpu", TableMode::Append, &[(NOW - hour * HOUR_US, "a", hour)]);
        store.flush().unwrap();
    }
    let table = Arc::clone(store.view().table("db", "cpu").unwrap());
    let home = crate::flush::table_folder(store.shared(), &store.view(), &table.info).unwrap();
    store.close(std::time::Duration::from_secs(5));
    assert!(repair_catalog(folder.path(), NOW).unwrap().missing.is_empty());
    let [gone, short] = [0, 2].map(|at: usize| home.join(&*table.files[at].path));
    std::fs::remove_file(&gone).unwrap();
    std::fs::OpenOptions::new().write(true).open(&short).unwrap().set_len(table.files[2].bytes - 1).unwrap();
    let report = repair_catalog(folder.path(), NOW).unwrap();
    let below = |path: &Path| path.strip_prefix(folder.path().join("data")).unwrap().to_str().unwrap().to_owned();
    let mut wanted = [below(&gone), below(&short)];
    let mut missing = report.missing.clone();
    wanted.sort();
    missing.sort();
    assert_eq!((report.damage.as_deref(), &missing[..]), (None, &wanted[..]), "{report:?}");
}

#[test]
fn a_column_and_rows_that_only_the_log_knows_are_kept_and_those_of_dropped_tables_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    write(&store, "cpu", TableMode::Append, &[(NOW, "a", 1)]);
    store.flush().unwrap();
    // a change of type that the copy knows
    write(&store, "cpu", TableMode::Append, &[(NOW, "b", 2)]);
    let cpu = store.view().table("db", "cpu").unwrap().info.id;
    store.retype(cpu, "v", ColumnType::Float64, &Handle::of_server("test")).unwrap();
    write(&store, "gone", TableMode::Append, &[(NOW, "a", 1)]);
    let gone = store.view().table("db", "gone").unwrap().info.id;
    store.drop_table(gone).unwrap();
    store.copy_catalog().unwrap();
    let mut more = vec![(NOW + 1, 2.5)];
    let column = |array: ArrayRef| BatchColumn { name: "w".into(), role: Role::Field, array };
    let values: ArrayRef = Arc::new(arrow::array::Float64Array::from_iter_values(more.iter().map(|r| r.1)));
    let batch = Batch {
        table: "cpu".into(),
        time: more.drain(..).map(|r| r.0).collect::<Vec<_>>().into(),
        time_ns: None,
        columns: vec![column(values)],
        origin: Vec::new(),
    };
    let database = DatabaseName::new("db").unwrap();
    let (mode, batches) = (TableMode::Append, vec![batch]);
    store.write(WriteRequest { database, mode, batches, partial: false, durability: None, key: None }).unwrap();
    write(&store, "new", TableMode::Append, &[(NOW, "a", 1)]);
    let ids = ["cpu", "new"].map(|name| store.view().table("db", name).unwrap().info.id);
    let column = store.view().table("db", "cpu").unwrap().info.schema.find("w").unwrap().id;
    drop(store);
    lose_catalog(folder.path());
    let report = repair_catalog(folder.path(), NOW).unwrap();
    let says = |text: String| assert!(report.unsure.contains(&text), "no {text:?}: {report:?}");
    says(format!("table {}: the log has a column that no file names: it is column_{column}", ids[0]));
    let new = format!("recovered.table_{}", ids[1]);
    says(format!("1 rows of the log belong to a table that no file names: they are {new}"));
    let after = contents(&open(folder.path()).unwrap());
    let known: Vec<&String> = after.keys().collect();
    assert_eq!(known, [&"db.cpu".to_owned(), &new]);
    assert_eq!((after["db.cpu"].2, after[&new].2), (3, 1));
    let fields = [
        ("v".to_owned(), ColumnType::Float64, Role::Field),
        (format!("column_{column}"), ColumnType::Float64, Role::None),
    ];
    assert_eq!(after["db.cpu"].1[2..], fields);
    let roles: Vec<Role> = after[&new].1.iter().map(|c| c.2).collect();
    assert_eq!((roles[0], &after[&new].1[0].0[..]), (Role::Time, "time"));
}

#[test]
fn files_of_earlier_versions_and_of_others_are_brought_in_by_what_they_have() {
    for (has_ids, has_copy) in [(true, false), (false, false), (false, true)] {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).unwrap();
        write(&store, "cpu", TableMode::Append, &[(NOW, "a", 1)]);
        if has_copy {
            store.copy_catalog().unwrap();
        }
        write(&store, "cpu", TableMode::Append, &[(NOW + 5, "b", 2)]);
        store.flush().unwrap();
        let table = Arc::clone(store.view().table("db", "cpu").unwrap());
        let path = crate::flush::table_folder(store.shared(), &store.view(), &table.info).unwrap();
        let path = path.join(&*table.files[0].path);
        let before = contents(&store);
        drop(store);
        as_others_write(&path, &path, |field| match has_ids {
            true => field.clone(),
            false => field.clone().with_metadata(Default::default()),
        });
        lose_catalog(folder.path());
        let report = repair_catalog(folder.path(), NOW).unwrap();
        assert_eq!((&report.found[..], report.aside.len()), (&[path][..], 0), "{report:?}");
        let store = open(folder.path()).unwrap();
        let view = store.view();
        let found = view.table("db", "cpu").unwrap();
        let file = &found.files[0];
        assert_eq!((file.rows, file.time_min, file.time_max), (2, NOW, NOW + 5));
        assert_eq!((file.lsn_min, file.lsn_max), (table.flushed, table.flushed), "its name says so");
        assert_eq!((found.flushed, found.hot.rows()), (table.flushed, 0), "the log's records are in it");
        let names = |contents: &Contents| -> Vec<(String, ColumnType)> {
            contents["db.cpu"].1.iter().map(|(name, ty, _)| (name.to_lowercase(), *ty)).collect()
        };
        assert_eq!(names(&contents(&store)), names(&before), "ids {has_ids}, copy {has_copy}");
        let ids: Vec<u64> = found.info.schema.columns().iter().map(|c| c.id.0).collect();
        assert_eq!(ids, [1, 2, 3], "ids {has_ids}, copy {has_copy}");
        write(&store, "cpu", TableMode::Append, &[(NOW, "b", 2)]);
        store.flush().unwrap();
    }
}
