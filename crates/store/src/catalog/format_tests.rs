#![expect(clippy::disallowed_methods, reason = "tests change files on purpose")]
//! A catalog's file: who may read it, what of an earlier format becomes of it, what is wrong with one that was changed.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;

use super::mark::Mark;
use super::tests::{NOW, open, request, rows};
use super::*;
use crate::Store;

fn layout(folder: &Path) -> Layout {
    Layout { root: folder.to_owned() }
}

fn catalog_of(folder: &Path) -> Connection {
    Connection::open(folder.join("catalog.sqlite")).unwrap()
}

/// A closed folder in which a table has a row in a file, and another one that keeps the last.
fn filled() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.write(request("t", &[NOW])).unwrap();
    let mut last = request("last", &[NOW]);
    last.mode = model::TableMode::Last;
    store.write(last).unwrap();
    store.flush().unwrap();
    store.close(Duration::from_secs(5));
    folder
}

fn text(catalog: &Connection, sql: &str) -> String {
    catalog.query_row(sql, [], |r| r.get(0)).unwrap()
}

#[test]
fn the_group_may_read_the_catalog_and_others_may_not() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.write(request("t", &[NOW])).unwrap();
    for name in ["catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"] {
        let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640, "{name}");
    }
}

#[test]
fn a_folder_that_is_closed_has_no_journal_and_one_that_moved_says_where_it_is() {
    let folder = filled();
    let files = |folder: &Path| ["-wal", "-shm"].map(|end| folder.join(format!("catalog.sqlite{end}")).exists());
    assert_eq!(files(folder.path()), [false, false]);
    assert_eq!(text(&catalog_of(folder.path()), "PRAGMA journal_mode"), "delete");
    let moved = folder.path().with_extension("moved");
    std::fs::rename(folder.path(), &moved).unwrap();
    let store = open(&moved);
    assert_eq!(rows(&store, "t"), Some(1));
    let said = text(&catalog_of(&moved), "SELECT value FROM ducklake_metadata WHERE key = 'data_path'");
    assert_eq!(said, format!("{}/data/", moved.display()));
    drop(store);
    std::fs::remove_dir_all(&moved).unwrap();
}

#[test]
fn two_folders_have_two_logs_and_one_keeps_its_own() {
    let (one, other) = (filled(), filled());
    let id = |folder: &Path| log_id(&catalog_of(folder)).unwrap();
    assert_ne!(id(one.path()), id(other.path()));
    assert_eq!(crate::log::id_of(&one.path().join("log")).unwrap(), Some(id(one.path())));
    let before = id(one.path());
    open(one.path()).close(Duration::from_secs(5));
    assert_eq!(id(one.path()), before);
    assert_eq!(hex(&[0, 1, 0xab, 0xff]), "0001abff");
    catalog_of(one.path()).execute_batch("DROP TRIGGER tw_digest_tw_meta_UPDATE").unwrap();
    for (text, is_right) in [("00ff", false), ("0g", false), ("ABCDEF00112233445566778899aabbcc", true)] {
        let catalog = catalog_of(one.path());
        catalog.execute("UPDATE tw_meta SET value = ? WHERE key = 'log_id'", [text]).unwrap();
        let found = log_id(&catalog);
        assert_eq!(found.is_ok(), is_right, "{found:?}");
        if is_right {
            assert_eq!(hex(&found.unwrap()), text.to_lowercase());
        }
    }
}

#[test]
fn a_catalog_of_each_earlier_format_is_brought_to_this_one() {
    for from in 1..=FORMAT_VERSION {
        let folder = filled();
        let mut empty = request("empty", &[NOW]);
        empty.mode = model::TableMode::Last;
        open(folder.path()).write(empty).unwrap();
        let catalog = catalog_of(folder.path());
        if from < FORMAT_VERSION {
            let triggers =
                "SELECT group_concat('DROP TRIGGER ' || name, ';') FROM sqlite_master WHERE type = 'trigger'";
            catalog.execute_batch(&text(&catalog, triggers)).unwrap();
            catalog.execute_batch("DROP TABLE tw_digest; DROP TABLE tw_import; DROP TABLE tw_adopted;").unwrap();
            catalog.execute("UPDATE tw_meta SET value = ? WHERE key = 'format_version'", [from.to_string()]).unwrap();
            // as earlier formats kept others from writing
            let guard = "CREATE TRIGGER tw_guard_snapshot_INSERT BEFORE INSERT ON ducklake_snapshot
                         BEGIN SELECT RAISE(ABORT, 'guarded'); END";
            catalog.execute_batch(guard).unwrap();
        }
        if from < 4 {
            catalog.execute_batch("ALTER TABLE tw_file DROP COLUMN blocks").unwrap();
        }
        if from < 2 {
            let tables = ["lock", "job", "mark", "source", "touched"].map(|name| format!("DROP TABLE tw_{name};"));
            catalog.execute_batch(&tables.concat()).unwrap();
        }
        drop(catalog);
        let store = open(folder.path());
        let mode = |table: &str| store.view().table("db", table).unwrap().info.mode;
        let last = if from < 3 { model::TableMode::Append } else { model::TableMode::Last };
        assert_eq!((mode("t"), mode("last")), (model::TableMode::Append, last), "from {from}");
        assert_eq!(mode("empty"), model::TableMode::Last, "from {from}: what has no files is not touched");
        let view = store.view();
        let files = view.tables.values().flat_map(|t| &t.files).map(|f| f.blocks.is_some()).collect::<Vec<_>>();
        assert_eq!(files, [from >= 4; 2], "from {from}");
        store.write(request("t", &[NOW + 1])).unwrap();
        store.flush().unwrap();
        assert!(store.locks().unwrap().is_empty() && store.imported("x").unwrap().is_none());
        drop(view);
        store.close(Duration::from_secs(5));
        let catalog = catalog_of(folder.path());
        assert_eq!(format_version(&catalog).unwrap(), FORMAT_VERSION);
        digest::verify(&catalog).unwrap();
        assert_eq!(rows(&open(folder.path()), "t"), Some(2), "from {from}");
    }
}

#[test]
fn a_row_that_changed_is_damage_and_so_is_a_row_too_many() {
    for change in [
        "UPDATE tw_table SET mode = 'last'",
        "UPDATE tw_meta SET value = '1' WHERE key = 'format_version'",
        "DELETE FROM tw_flushed",
        "INSERT INTO tw_import VALUES (1, 'x', 1)",
    ] {
        let folder = filled();
        let catalog = catalog_of(folder.path());
        // as if the bytes had changed on the disk: the digest hears nothing
        let deaf = |context: &rusqlite::functions::Context<'_>| context.get::<i64>(0);
        let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
        catalog.create_scalar_function("tidewater_server_only", -1, flags, deaf).unwrap();
        catalog.execute_batch(change).unwrap();
        drop(catalog);
        let layout = layout(folder.path());
        let checked = check(&layout.catalog());
        let opened = super::open(&layout, NOW).unwrap_err().to_string();
        if change.contains("format_version") {
            // earlier formats had no digest
            assert!(checked.is_ok() && opened.contains("catalog"), "{change}: {opened}");
            continue;
        }
        assert!(matches!(checked, Err(Error::Damaged(said)) if said.contains("its rows have the digest")), "{change}");
        assert!(opened.contains("its rows") && opened.contains("repair catalog"), "{change}: {opened}");
    }
}

#[test]
fn each_kind_of_value_counts_in_the_digest() {
    let catalog = Connection::open_in_memory().unwrap();
    digest::register(&catalog).unwrap();
    catalog.execute_batch("CREATE TABLE t (a, b); INSERT INTO t VALUES (1, NULL);").unwrap();
    digest::install(&catalog).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    let mut next = |change: &str| {
        catalog.execute_batch(change).unwrap();
        digest::verify(&catalog).unwrap_or_else(|error| panic!("{change}: {error}"));
        let digest: i64 = catalog.query_row("SELECT rows FROM tw_digest", [], |r| r.get(0)).unwrap();
        seen.insert(digest)
    };
    for value in ["1", "-1", "1.0", "'1'", "x'31'", "''", "x''", "0", "0.0", "-0.0", "'11'"] {
        assert!(next(&format!("UPDATE t SET a = {value}")), "{value}");
    }
    assert!(next("UPDATE t SET a = NULL"));
    assert!(next("UPDATE t SET b = 1"), "the same values in other columns");
    assert!(next("INSERT INTO t VALUES (1, NULL)"));
    assert!(!next("DELETE FROM t WHERE a IS NULL"), "the rows of the beginning");
    assert!(next("DELETE FROM t"));
    let rows: i64 = catalog.query_row("SELECT rows FROM tw_digest", [], |r| r.get(0)).unwrap();
    assert_eq!(rows, 0, "the sum over no rows");
    catalog.execute_batch("CREATE TABLE another (a)").unwrap();
    let error = digest::verify(&catalog).unwrap_err().to_string();
    assert!(error.contains("its schema"), "{error}");
}

#[test]
fn the_mark_of_another_folder_or_with_a_wrong_byte_says_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (layout, ours) = (layout(folder.path()), [3; 16]);
    let path = layout.catalog_mark();
    assert_eq!(mark::read(&path, &ours).unwrap(), 0, "there is none");
    let written = Mark::open(&layout, ours).unwrap();
    assert_eq!(mark::read(&path, &ours).unwrap(), 0, "nothing was noted");
    written.set(300);
    assert_eq!(mark::read(&path, &ours).unwrap(), 300);
    written.set(299);
    assert_eq!(mark::read(&path, &ours).unwrap(), 299);
    assert_eq!(mark::read(&path, &[4; 16]).unwrap(), 0);
    drop(written);
    assert_eq!(mark::read(&path, &ours).unwrap(), 299);
    Mark::open(&layout, ours).unwrap();
    assert_eq!(mark::read(&path, &ours).unwrap(), 299, "to open it changes nothing");
    let bytes = std::fs::read(&path).unwrap();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        std::fs::write(&path, flipped).unwrap();
        assert_eq!(mark::read(&path, &ours).unwrap(), 0, "byte {at}");
    }
    std::fs::write(&path, &bytes[..27]).unwrap();
    assert_eq!(mark::read(&path, &ours).unwrap(), 0);
    assert!(mark::read(folder.path(), &ours).is_err(), "what cannot be read is no new folder");
}

#[test]
fn a_catalog_behind_its_mark_is_refused_and_one_at_it_is_not() {
    let folder = filled();
    let newest: u64 = catalog_of(folder.path())
        .query_row("SELECT max(snapshot_id) FROM ducklake_snapshot", [], |r| r.get(0))
        .unwrap();
    let layout = layout(folder.path());
    let mark = Mark::open(&layout, instance(&catalog_of(folder.path())).unwrap()).unwrap();
    let opened = |snapshot| {
        mark.set(snapshot);
        super::open(&layout, NOW).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(opened(newest), Ok(()));
    assert_eq!(opened(newest - 1), Ok(()), "a mark that was not written in time");
    let error = opened(newest + 1).unwrap_err();
    assert!(error.contains(&format!("ends with snapshot {newest}, but snapshot {} was", newest + 1)), "{error}");
    // the mark of another folder says nothing of this one, however far it has come
    mark.set(newest + 1_000);
    let other = filled();
    std::fs::copy(layout.catalog_mark(), self::layout(other.path()).catalog_mark()).unwrap();
    super::open(&self::layout(other.path()), NOW).unwrap();
}

#[test]
fn what_is_no_catalog_is_refused_where_data_lie_and_made_where_none_do() {
    let error = |prepare: &dyn Fn(&Path)| {
        let folder = filled();
        prepare(folder.path());
        let error = super::open(&layout(folder.path()), NOW).unwrap_err().to_string();
        assert!(error.contains("catalog.sqlite") && error.contains("`tidewater repair catalog`"), "{error}");
        error
    };
    let of = |folder: &Path| folder.join("catalog.sqlite");
    assert!(error(&|folder| std::fs::remove_file(of(folder)).unwrap()).contains("missing or empty"));
    assert!(error(&|folder| std::fs::write(of(folder), b"").unwrap()).contains("missing or empty"));
    assert!(error(&|folder| std::fs::write(of(folder), [7; 8_192]).unwrap()).contains("not a database"));
    let emptied = |folder: &Path| {
        std::fs::remove_file(of(folder)).unwrap();
        without_tables(folder);
    };
    assert!(error(&emptied).contains("has no tables"));
    let unfinished = |folder: &Path| std::fs::write(layout(folder).catalog_repairing(), b"").unwrap();
    assert!(error(&unfinished).contains("cut short"));
    // one that was begun and never came to its first commit
    let folder = tempfile::tempdir().unwrap();
    layout(folder.path()).prepare().unwrap();
    without_tables(folder.path());
    assert!(super::open(&layout(folder.path()), NOW).is_ok());
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(rows(&open(folder.path()), "t"), None);
    // a folder is none of ours
    let folder = filled();
    std::fs::remove_file(of(folder.path())).unwrap();
    std::fs::create_dir(of(folder.path())).unwrap();
    let store = Store::open(super::tests::config(folder.path()), std::sync::Arc::new(model::ManualClock::at(NOW)));
    assert!(store.is_err());
}

/// A catalog of which only the file was made.
fn without_tables(folder: &Path) {
    catalog_of(folder).execute_batch("CREATE TABLE t (a); DROP TABLE t").unwrap();
}
