//! What a script of every change writes into the catalog, row by row: `script.txt` is what readers of the format see.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, Int64Array, NullArray};
use arrow::datatypes::UInt32Type;
use model::{Batch, BatchColumn, Clock, ColumnType, DatabaseName, ItemName, ManualClock, Role, TableMode};
use rusqlite::Connection;
use rusqlite::types::Value;

use super::tests::{ValueIs, as_others_write, config};
use crate::compact::Scope;
use crate::continuous::{Definition, Window};
use crate::jobs::Handle;
use crate::view::{Table, View};
use crate::{Store, WriteRequest, adopt};

/// 2023-11-15 01:00 UTC.
const NOW: i64 = 1_700_010_000_000_000;
const HOUR_US: i64 = 3_600_000_000;
const WRITTEN: &str = include_str!("script.txt");

/// All that a View says, but for the rows in memory: what a start has to find again.
pub(crate) fn told(view: &View) -> String {
    let mut out = format!("snapshot {}\n", view.snapshot);
    for (key, database) in &view.databases {
        writeln!(out, "{key}: {database:?}").unwrap();
    }
    let tables: BTreeMap<_, _> = view.tables.iter().collect();
    for (id, table) in tables {
        let info = &table.info;
        let casts: BTreeSet<_> = info.casts.iter().map(|(from, to, _)| (from, to)).collect();
        writeln!(out, "{id}: {} {:?} {} {} {:?}", info.id, info.database, info.name, info.path, info.mode).unwrap();
        writeln!(out, "  {:?} {casts:?}", info.schema.columns()).unwrap();
        writeln!(out, "  {} rows in files, flushed to {}", table.file_rows, table.flushed).unwrap();
        let files: BTreeMap<u64, _> = table.files.iter().map(|f| (f.id, f)).collect();
        files.values().for_each(|file| writeln!(out, "  {file:?}").unwrap());
    }
    out
}

/// What stands in the catalog: rows of a table of SQLite, sorted, without what is another each time.
fn rows(catalog: &Connection, table: &str) -> Vec<String> {
    let by_chance = |column: &str| {
        let ends =
            ["uuid", "crc32c", "blocks", "bytes", "footer_size", "log_id", "source"].map(|end| column.ends_with(end));
        ends.contains(&true)
            || (column == "path" && ["ducklake_data_file", "ducklake_files_scheduled_for_deletion"].contains(&table))
    };
    let mut statement = catalog.prepare(&format!("SELECT * FROM {table}")).unwrap();
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let mut found = statement.query([]).unwrap();
    let mut out = Vec::new();
    while let Some(row) = found.next().unwrap() {
        let shown =
            names.iter().enumerate().filter(|(_, name)| !by_chance(name)).map(|(at, _)| match row.get(at).unwrap() {
                Value::Null => "-".to_owned(),
                Value::Integer(number) => number.to_string(),
                Value::Text(text) => text,
                other => format!("{other:?}"),
            });
        out.push(shown.collect::<Vec<_>>().join(" | "));
    }
    out.sort();
    out
}

type Catalog = BTreeMap<String, Vec<String>>;

struct Script {
    store: Store,
    clock: ManualClock,
    folder: tempfile::TempDir,
    known: Catalog,
    told: String,
}

impl Script {
    fn begin() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::at(NOW);
        let mut config = config(folder.path());
        config.merge_min_files = 2;
        let store = Store::open(config, Arc::new(clock.clone())).unwrap();
        let mut script = Self { folder, clock, store, known: Catalog::new(), told: String::new() };
        script.after("a new folder");
        script
    }

    fn catalog(&self) -> Connection {
        Connection::open(self.folder.path().join("catalog.sqlite")).unwrap()
    }

    /// Writes down which rows came and which went, and that a start would see what the View says.
    fn after(&mut self, step: &str) {
        let catalog = self.catalog();
        let mut names = catalog.prepare("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").unwrap();
        let names: Vec<String> = names.query_map([], |r| r.get(0)).unwrap().map(Result::unwrap).collect();
        let shown =
            |name: &&String| !["tw_meta", "tw_digest", "ducklake_metadata", "sqlite_sequence"].contains(&name.as_str());
        let schema = "SELECT sql FROM sqlite_master WHERE type IN ('table', 'index') AND sql IS NOT NULL";
        let mut schema = catalog.prepare(schema).unwrap();
        let schema = schema
            .query_map([], |r| r.get::<_, String>(0))
            .unwrap()
            .map(|sql| sql.unwrap().split_whitespace().collect::<Vec<_>>().join(" "));
        let mut now: Catalog = names.iter().filter(shown).map(|name| (name.clone(), rows(&catalog, name))).collect();
        now.insert("schema".into(), schema.collect());
        writeln!(self.told, "== {step}").unwrap();
        for (table, rows) in &now {
            let before = self.known.get(table).cloned().unwrap_or_default();
            for (sign, some, others) in [("-", &before, rows), ("+", rows, &before)] {
                let mut others = others.clone();
                for row in some {
                    match others.iter().position(|other| other == row) {
                        Some(at) => drop(others.remove(at)),
                        None => writeln!(self.told, "{sign} {table}: {row}").unwrap(),
                    }
                }
            }
        }
        self.known = now;
        let loaded = super::load::load(&catalog).unwrap();
        assert_eq!(told(&loaded.view), told(&self.store.view()), "after {step}");
        let files: u64 = self.store.view().tables.values().map(|t| t.files.iter().map(|f| f.bytes).sum::<u64>()).sum();
        let stated = "SELECT coalesce(sum(file_size_bytes), 0) FROM ducklake_data_file WHERE end_snapshot IS NULL";
        let stated: u64 = catalog.query_row(stated, [], |r| r.get(0)).unwrap();
        assert_eq!(stated, files, "after {step}");
    }

    fn table(&self, name: &str) -> Arc<Table> {
        Arc::clone(self.store.view().table("db", name).unwrap())
    }

    fn write(&self, table: &str, mode: TableMode, time: &[i64], columns: Vec<(&str, Role, ArrayRef)>) {
        let columns = columns.into_iter().map(|(name, role, array)| BatchColumn { name: name.into(), role, array });
        let columns = columns.collect();
        let time = time.to_vec().into();
        let batch = Batch { table: table.into(), time, time_ns: None, columns, origin: Vec::new() };
        let database = DatabaseName::new("db").unwrap();
        let batches = vec![batch];
        self.store
            .write(WriteRequest { database, mode, batches, partial: false, durability: None, key: None })
            .unwrap();
    }

    fn compact(&self) -> usize {
        let running = self.store.start_compaction().unwrap();
        self.store.compact(running, &Scope::default(), &Handle::of_server("test")).unwrap()
    }

    fn pass(&self, us: i64) {
        self.clock.advance_us(us);
        self.store.expire(self.clock.now_us()).unwrap();
    }
}

fn ints(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(values.iter().copied().collect::<DictionaryArray<UInt32Type>>())
}

#[test]
fn each_change_writes_these_rows_and_a_start_reads_what_the_view_says() {
    let mut script = Script::begin();
    let job = Handle::of_server("test");
    let (append, last) = (TableMode::Append, TableMode::Last);
    let host = |values: &[&str]| ("Host", Role::Tag, texts(values));
    let v = |values: &[i64]| ("v", Role::Field, ints(values));

    script.write("Cpu", append, &[NOW, NOW + 1], vec![host(&["b", "a"]), v(&[1, 2])]);
    script.after("a write makes database, table and columns");
    script.write("cpu", append, &[NOW], vec![host(&["a"]), v(&[3]), ("n", Role::Field, Arc::new(NullArray::new(1)))]);
    script.after("a column of null alone");
    script.store.flush().unwrap();
    script.after("a flush");
    script.write("cpu", append, &[NOW + 2], vec![("n", Role::Field, ints(&[4])), v(&[4])]);
    script.after("its first value");
    script.store.flush().unwrap();
    script.after("a second flush");
    script.write("point", last, &[NOW, NOW], vec![host(&["a", "a"]), v(&[5, 6])]);
    script.after("a table that keeps the last");
    script.store.flush().unwrap();
    script.after("its flush");
    assert_eq!(script.compact(), 1);
    script.after("a merge");
    let definition = Definition { name: "sums".into(), is_active: true, ..Definition::default() };
    let query = script.store.create_continuous_query(&definition, vec![script.table("cpu").info.id]).unwrap();
    script.after("a continuous query of it");
    let filter = ValueIs("3".into(), [script.table("cpu").info.schema.find("v").unwrap().id]);
    let deleted = script.store.delete_rows(script.table("cpu").info.id, &filter, false, &job, |_| Ok(())).unwrap();
    assert_eq!((deleted.rows, deleted.rewritten), (1, 1));
    script.after("a delete of one of four rows");
    script.store.retype(script.table("cpu").info.id, "v", ColumnType::Float64, &job).unwrap();
    script.after("a change of type");
    script.store.set_mode(script.table("point").info.id, append, &job).unwrap();
    script.after("a table that keeps everything from now on");
    script.store.rename_table(script.table("cpu").info.id, ItemName::new("table", "Load \"1\"").unwrap()).unwrap();
    script.after("a rename");
    let database = DatabaseName::new("db").unwrap();
    let mut import = script.store.import(database.clone(), append);
    let columns = vec![BatchColumn { name: "v".into(), role: Role::None, array: ints(&[7, 8]) }];
    let time = vec![NOW - HOUR_US, NOW - 2 * HOUR_US].into();
    import.add(vec![Batch { table: "came".into(), time, time_ns: None, columns, origin: Vec::new() }]).unwrap();
    import.commit(&job, Some("july")).unwrap();
    let sources = ["Load \"1\"", "came"].map(|name| script.table(name).info.id).to_vec();
    assert!(script.store.update_continuous_query(query, &definition, sources).unwrap());
    let mut import = script.store.import(database.clone(), append);
    let columns = vec![BatchColumn { name: "v".into(), role: Role::None, array: ints(&[9]) }];
    let time = vec![NOW - 3 * HOUR_US].into();
    import.add(vec![Batch { table: "came".into(), time, time_ns: None, columns, origin: Vec::new() }]).unwrap();
    import.commit(&job, None).unwrap();
    script.after("two imports, of which one has a name");
    script.write("came", append, &[NOW], vec![("v", Role::Tag, ints(&[9]))]);
    script.after("a column that is found to be a tag");
    let window = |rows: &[i64]| {
        let columns = vec![BatchColumn { name: "sum".into(), role: Role::Field, array: ints(rows) }];
        let time = vec![NOW - HOUR_US; rows.len()].into();
        let batch = Batch { table: "sums".into(), time, time_ns: None, columns, origin: Vec::new() };
        let window = Window {
            query: 99,
            database: &database,
            destination: "sums",
            range: (NOW - HOUR_US, NOW),
            published: script.store.view().published,
            rows: Some(batch),
            settled: None,
            run: "cq-1",
        };
        script.store.replace_window(window).unwrap();
    };
    window(&[1, 2, 3]);
    let sources = vec![script.table("sums").info.id];
    script.store.update_continuous_query(query, &definition, sources).unwrap();
    window(&[6]);
    script.after("a window of a continuous query, twice");
    script.store.flush().unwrap();
    script.after("a flush of what was left");
    let foreign = script.folder.path().join("foreign.parquet");
    let source = script.table("came").files[0].clone();
    let view = script.store.view();
    let home = crate::flush::table_folder(script.store.shared(), &view, &script.table("came").info).unwrap();
    as_others_write(&home.join(&*source.path), &foreign, |field| field.clone().with_metadata(Default::default()));
    let mut files = [adopt::inspect(&foreign, &[]).unwrap()];
    let columns = adopt::unify(None, &mut files);
    let table = script.store.prepare_table(&database, &ItemName::new("table", "adopted").unwrap(), &columns).unwrap();
    script.store.adopt(table, &files, adopt::Way::Copy, &job).unwrap();
    script.after("a file of somebody else");
    script.pass(200_000_000);
    script.store.create_database(DatabaseName::new("Other").unwrap()).unwrap();
    script.after("another database");
    script.pass(200_000_000);
    script.after("the snapshots of five minutes ago expire");
    script.store.drop_table(script.table("adopted").info.id).unwrap();
    script.after("a table is dropped");
    script.pass(1_000_000_000);
    script.store.drop_database(script.store.view().database("db").unwrap().id).unwrap();
    script.after("a database is dropped");
    script.pass(400_000_000);
    script.store.create_database(DatabaseName::new("db").unwrap()).unwrap();
    script.pass(400_000_000);
    script.after("all of it expires, and a new one has the name");
    script.pass(10_000_000_000);
    script.after("files that a View names still stay");
    drop((view, source));
    script.pass(0);
    script.after("its files are removed");
    let left = std::fs::read_dir(script.store.data_folder()).unwrap();
    assert_eq!(left.count(), 0, "no file, and no folder");
    // who changes what is written changes `script.txt`, after a look at each row
    let written = script.folder.path().join("script.txt");
    crate::durable::write_file(&written, script.told.as_bytes(), 0o644).unwrap();
    let is_other = script.told.lines().zip(WRITTEN.lines()).position(|(is, should)| is != should);
    let at = is_other.unwrap_or(WRITTEN.lines().count().min(script.told.lines().count()));
    let line = |text: &str| text.lines().nth(at).unwrap_or("the end").to_owned();
    if script.told != WRITTEN {
        let kept = script.folder.keep().join("script.txt");
        panic!("line {}: {} instead of {}; all of it: {}", at + 1, line(&script.told), line(WRITTEN), kept.display());
    }
}
