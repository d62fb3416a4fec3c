//! Random sequences of everything that changes rows, with crashes, against an in-memory reference.
//! `TW_AMOUNT` says how many sequences, `TW_SEED` the seed of the first; each has the seed after the last one's and runs on a
//! folder of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, UInt32Type};
use model::{Batch, BatchColumn, Clock, ColumnType, DatabaseName, ItemName, ManualClock, Role, TableMode};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use crate::catalog::script_tests::told;
use crate::catalog::tests::{ValueIs, config};
use crate::compact::Scope;
use crate::continuous::Window;
use crate::flush::table_folder;
use crate::jobs::Handle;
use crate::retention::{Policy, Settings};
use crate::{Store, WriteRequest, file};

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;
const NOW: i64 = 1_700_006_400_000_000;
/// Sequences in `.ci/run`.
const CASES: u64 = 500;
const QUERY: i64 = 7;

/// Time, host and value.
type Row = (i64, Option<u8>, i64);

#[derive(Debug, Clone)]
enum Op {
    /// Rows so many hours ago, of a table by its name.
    Write(bool, Vec<(i64, Option<u8>, i64)>),
    Flush,
    Compact,
    DeleteHost(u8),
    /// Rows older than so many days go.
    Retention(i64),
    /// An hour of the first table, summed a host, is written by a continuous query.
    Query(i64),
    Retype(bool),
    Drop(bool),
    Rename,
    Restart,
    Pass,
}

fn op() -> impl Strategy<Value = Op> {
    let rows = proptest::collection::vec((0i64..200, proptest::option::of(0u8..3), -50i64..50), 1..12);
    prop_oneof![
        8 => (any::<bool>(), rows).prop_map(|(second, rows)| Op::Write(second, rows)),
        3 => Just(Op::Flush),
        3 => Just(Op::Compact),
        2 => (0u8..3).prop_map(Op::DeleteHost),
        1 => (1i64..8).prop_map(Op::Retention),
        3 => (0i64..200).prop_map(Op::Query),
        1 => any::<bool>().prop_map(Op::Retype),
        1 => any::<bool>().prop_map(Op::Drop),
        1 => Just(Op::Rename),
        3 => Just(Op::Restart),
        1 => Just(Op::Pass),
    ]
}

fn name(second: bool) -> &'static str {
    if second { "second" } else { "first" }
}

/// Tables of which a point is one row.
fn is_last(table: &str) -> bool {
    table != "first" && table != "sums"
}

/// The last row of each time and host.
fn newest(rows: &[Row]) -> Vec<Row> {
    let points: BTreeMap<(i64, Option<u8>), i64> = rows.iter().map(|(time, host, v)| ((*time, *host), *v)).collect();
    points.into_iter().map(|((time, host), v)| (time, host, v)).collect()
}

struct Tried {
    store: Option<Store>,
    clock: ManualClock,
    folder: tempfile::TempDir,
    wanted: BTreeMap<String, Vec<Row>>,
}

impl Tried {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut tried = Self { folder, clock: ManualClock::at(NOW), store: None, wanted: BTreeMap::new() };
        tried.start();
        tried
    }

    fn start(&mut self) {
        // no clean stop: a crash, but for the page cache
        let before = self.store.take().map(|store| told(&store.view()));
        let mut config = config(self.folder.path());
        config.durability = crate::Durability::Process;
        config.merge_min_files = 2;
        let store = Store::open(config, Arc::new(self.clock.clone())).unwrap();
        if let Some(before) = before {
            assert_eq!(told(&store.view()), before, "a start reads what the View said");
        }
        self.store = Some(store);
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn batch(table: &str, rows: &[Row]) -> Batch {
        let hosts: Vec<Option<String>> = rows.iter().map(|r| r.1.map(|h| h.to_string())).collect();
        let hosts: DictionaryArray<UInt32Type> = hosts.iter().map(|h| h.as_deref()).collect();
        let values = Int64Array::from_iter_values(rows.iter().map(|r| r.2));
        let column = |name: &str, role, array: ArrayRef| BatchColumn { name: name.into(), role, array };
        Batch {
            table: table.into(),
            time: rows.iter().map(|r| r.0).collect::<Vec<_>>().into(),
            time_ns: None,
            columns: vec![column("host", Role::Tag, Arc::new(hosts)), column("v", Role::Field, Arc::new(values))],
            origin: Vec::new(),
        }
    }

    fn write(&mut self, table: &str, rows: &[Row]) {
        let request = WriteRequest {
            database: DatabaseName::new("db").unwrap(),
            mode: if is_last(table) { TableMode::Last } else { TableMode::Append },
            batches: vec![Self::batch(table, rows)],
            partial: false,
            durability: None,
            key: None,
        };
        match self.store().write(request) {
            Ok(_) => {
                let wanted = self.wanted.entry(table.to_owned()).or_default();
                wanted.extend(rows);
                if is_last(table) {
                    *wanted = newest(wanted);
                }
            }
            // a column that was made a string takes no integers any more: all of it is refused
            Err(crate::Error::Fit { .. }) => {
                assert_eq!(self.type_of(table), Some(ColumnType::Utf8));
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn type_of(&self, table: &str) -> Option<ColumnType> {
        Some(self.store().view().table("db", table)?.info.schema.find("v")?.ty)
    }

    /// Every row of a table, of files and of memory.
    fn rows(&self, table: &str) -> Vec<Row> {
        let store = self.store();
        let view = store.view();
        let name = table;
        let Some(table) = view.table("db", table) else { return Vec::new() };
        let id = |name: &str| table.info.schema.find(name).map(|c| c.id);
        let mut rows = Vec::new();
        let mut add = |time: ArrayRef, host: Option<ArrayRef>, v: ArrayRef| {
            let time = cast(&time, &DataType::Int64).unwrap();
            let host = host.map(|h| cast(&h, &DataType::Utf8).unwrap());
            // an integer that became a float and then a string is "38.0"
            let v = cast(&cast(&v, &DataType::Float64).unwrap(), &DataType::Int64).unwrap();
            let (time, v) = (time.as_primitive::<Int64Type>(), v.as_primitive::<Int64Type>());
            let host_of = |i: usize| {
                let hosts = host.as_ref()?.as_string::<i32>();
                hosts.is_valid(i).then(|| hosts.value(i).parse().unwrap())
            };
            rows.extend((0..time.len()).map(|i| (time.value(i), host_of(i), v.value(i))));
        };
        let folder = table_folder(store.shared(), &view, &table.info).unwrap();
        let mut files: Vec<_> = table.files.iter().cloned().collect();
        files.sort_by_key(|f| f.lsn_max);
        for live in &files {
            let mut seen = 0;
            for batch in file::reader(&folder.join(&*live.path)).unwrap().build().unwrap() {
                let batch = batch.unwrap();
                let column = |name: &str| {
                    let schema = batch.schema();
                    let at = schema.fields().iter().position(|f| file::column_id(f, &table.info.schema) == id(name))?;
                    Some(Arc::clone(batch.column(at)))
                };
                seen += batch.num_rows() as u64;
                add(column("time").unwrap(), column("host"), column("v").unwrap());
            }
            assert_eq!(seen, live.rows, "the catalog counts what the file holds");
        }
        for generation in table.hot.sealed.iter().chain([&table.hot.active]).filter(|g| !g.is_empty()) {
            let column = |name: &str| Some(generation.whole_column(id(name)?).unwrap()?.to_array().unwrap());
            add(column("time").unwrap(), column("host"), column("v").unwrap());
        }
        if is_last(name) {
            rows = newest(&rows);
        }
        rows.sort_unstable();
        rows
    }

    fn run(&mut self, op: &Op) {
        let job = Handle::of_server("model");
        match op {
            Op::Write(second, rows) => {
                let now = self.clock.now_us();
                let rows: Vec<Row> = rows.iter().map(|(ago, host, v)| (now - ago * HOUR_US, *host, *v)).collect();
                self.write(name(*second), &rows);
            }
            Op::Flush => self.store().flush().unwrap(),
            Op::Compact => {
                let running = self.store().start_compaction().unwrap();
                self.store().compact(running, &Scope::default(), &job).unwrap();
            }
            Op::DeleteHost(host) => {
                let Some(table) = self.store().view().table("db", "first").cloned() else { return };
                let Some(column) = table.info.schema.find("host") else { return };
                let filter = ValueIs(host.to_string(), [column.id]);
                let deleted = self.store().delete_rows(table.info.id, &filter, false, &job, |_| Ok(())).unwrap().rows;
                let rows = self.wanted.entry("first".into()).or_default();
                let before = rows.len();
                rows.retain(|r| r.1 != Some(*host));
                assert_eq!(deleted as usize, before - rows.len());
            }
            Op::Retention(days) => {
                let settings = Settings {
                    name: "p".into(),
                    database: "db".into(),
                    measurement: Some("*i*s*".into()),
                    retention_days: *days,
                    buffer_days: 0,
                    ..Settings::default()
                };
                let policy = Policy { id: 1, settings, created_us: 0, updated_us: 0, last: None };
                let dry = self.store().run_retention(&policy, true, true).unwrap();
                let done = self.store().run_retention(&policy, false, true).unwrap();
                let cut = self.clock.now_us() - days * DAY_US;
                let rows = self.wanted.entry("first".into()).or_default();
                let before = rows.len();
                rows.retain(|r| r.0 >= cut);
                assert_eq!((dry.rows, done.rows), (done.rows, (before - rows.len()) as u64));
            }
            Op::Query(ago) => self.query(*ago),
            Op::Retype(text) => {
                let Some(table) = self.store().view().table("db", "second").cloned() else { return };
                let ty = if *text { ColumnType::Utf8 } else { ColumnType::Float64 };
                match self.store().retype(table.info.id, "v", ty, &job) {
                    Ok(_) => assert_eq!(self.type_of("second"), Some(ty)),
                    Err(crate::Error::Parameter(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            Op::Drop(second) => {
                if let Some(table) = self.store().view().table("db", name(*second)).cloned() {
                    self.store().drop_table(table.info.id).unwrap();
                    self.wanted.remove(name(*second));
                }
            }
            Op::Rename => {
                let found = self.store().view().table("db", "second").cloned();
                if let Some(table) = found
                    && self.store().view().table("db", "moved").is_none()
                {
                    self.store().rename_table(table.info.id, ItemName::new("table", "moved").unwrap()).unwrap();
                    let rows = self.wanted.remove("second").unwrap_or_default();
                    self.wanted.insert("moved".into(), rows);
                }
            }
            Op::Restart => self.start(),
            Op::Pass => {
                self.clock.advance_us(400_000_000);
                self.store().expire(self.clock.now_us()).unwrap();
            }
        }
    }

    /// What a continuous query does: sums an hour, replaces what it wrote for that hour.
    fn query(&mut self, ago: i64) {
        let from = (self.clock.now_us() - ago * HOUR_US).div_euclid(HOUR_US) * HOUR_US;
        let range = (from, from + HOUR_US);
        let within = |r: &&Row| r.0 >= range.0 && r.0 < range.1;
        let mut sums: BTreeMap<Option<u8>, i64> = BTreeMap::new();
        for row in self.wanted.get("first").into_iter().flatten().filter(within) {
            *sums.entry(row.1).or_default() += row.2;
        }
        let rows: Vec<Row> = sums.into_iter().map(|(host, v)| (from, host, v)).collect();
        let window = Window {
            query: QUERY,
            database: &DatabaseName::new("db").unwrap(),
            destination: "sums",
            range,
            published: self.store().view().published,
            rows: (!rows.is_empty()).then(|| Self::batch("sums", &rows)),
            settled: None,
            run: "cq-model",
        };
        assert_eq!(self.store().replace_window(window).unwrap(), rows.len() as u64);
        let sums = self.wanted.entry("sums".into()).or_default();
        sums.retain(|r| !(r.0 >= range.0 && r.0 < range.1));
        sums.extend(rows);
    }

    fn check(&mut self, after: &str) {
        let names = ["first", "second", "moved", "sums"];
        for name in names {
            let mut wanted = self.wanted.get(name).cloned().unwrap_or_default();
            wanted.sort_unstable();
            assert_eq!(self.rows(name), wanted, "table {name} after {after}");
        }
        assert!(self.store().locks().unwrap().is_empty(), "no lock is left after {after}");
    }
}

fn hold(ops: &[Op]) {
    let mut tried = Tried::new();
    for op in ops {
        tried.run(op);
        tried.check(&format!("{op:?}"));
    }
    tried.start();
    tried.check("the last restart");
}

/// A sequence that once failed.
#[test]
fn a_type_that_changes_there_and_back_keeps_the_rows() {
    hold(&[Op::Write(true, vec![(0, None, 1)]), Op::Retype(false), Op::Retype(true)]);
}

#[test]
fn everything_that_changes_rows_equals_the_reference_after_each_step_and_restart() {
    let first = crate::asked("TW_SEED").unwrap_or_else(|| (u128::from_le_bytes(crate::random::bytes16()) >> 96) as u64);
    let config = ProptestConfig { cases: 1, failure_persistence: None, max_shrink_iters: 200, ..Default::default() };
    let cases = crate::asked("TW_AMOUNT").unwrap_or(CASES);
    let begun = AtomicU64::new(0);
    let next = || Some(begun.fetch_add(1, Ordering::Relaxed)).filter(|case| *case < cases);
    let some = || {
        let ops = proptest::collection::vec(op(), 1..14);
        while let Some(case) = next() {
            crate::say_progress(case, cases);
            let (seed, mut bytes) = (first + case, [0; 32]);
            bytes[..8].copy_from_slice(&seed.to_le_bytes());
            let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
            let found = TestRunner::new_with_rng(config.clone(), random).run(&ops, |ops| {
                hold(&ops);
                Ok(())
            });
            if let Err(fault) = found {
                begun.store(cases, Ordering::Relaxed); // the others have no need to go on
                panic!("again with TW_SEED={seed} TW_AMOUNT=1: {fault}");
            }
        }
    };
    std::thread::scope(|scope| {
        (0..std::thread::available_parallelism().map_or(1, usize::from)).for_each(|_| drop(scope.spawn(some)));
    });
}
