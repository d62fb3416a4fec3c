use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::{DictionaryArray, Float64Array, RecordBatch, StringArray, UInt32Array};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::physical_plan::collect;
use model::{Batch, BatchColumn, DatabaseName, Role, SystemClock, TableMode};
use store::{Store, StoreConfig, WriteRequest};

use super::{decode, encode};
use crate::{Engine, EngineConfig, ReadMode};

const HOSTS: usize = 20;
const START_US: i64 = 1_767_225_600_000_000;
const FIELDS: [&str; 10] =
    ["user", "system", "idle", "nice", "iowait", "irq", "softirq", "steal", "guest", "guest_nice"];

/// Two hours of a row a minute from each host; `from` counts minutes.
fn batch(from: i64, minutes: i64) -> Batch {
    let rows = minutes as usize * HOSTS;
    let keys: UInt32Array = (0..rows).map(|r| (r % HOSTS) as u32).collect();
    let hosts: StringArray = (0..HOSTS).map(|h| Some(format!("host_{}", h * 7))).collect();
    let regions: StringArray = (0..HOSTS).map(|h| Some(format!("region-{}", h % 3))).collect();
    let tag = |name: &str, values: StringArray| BatchColumn {
        name: name.into(),
        role: Role::Tag,
        array: Arc::new(DictionaryArray::new(keys.clone(), Arc::new(values))),
    };
    let mut columns = vec![tag("hostname", hosts), tag("region", regions)];
    for (k, field) in FIELDS.iter().enumerate() {
        let values: Float64Array = (0..rows).map(|r| Some(((r * 31 + k * 17 + from as usize) % 101) as f64)).collect();
        columns.push(BatchColumn { name: format!("usage_{field}").into(), role: Role::Field, array: Arc::new(values) });
    }
    let time = (0..rows).map(|r| START_US + (from + (r / HOSTS) as i64) * 60_000_000).collect::<Vec<_>>();
    Batch { table: "cpu".into(), time: time.into(), time_ns: None, columns, origin: Vec::new() }
}

fn queries() -> Vec<(&'static str, String)> {
    let list = |f: &str, n: usize| FIELDS[..n].iter().map(|c| format!("{f}(usage_{c})")).collect::<Vec<_>>().join(", ");
    let hours = "time >= '2026-01-01T00:30:00Z' and time < '2026-01-01T03:00:00Z'";
    let eight = "hostname in ('host_7','host_14','host_21','host_28','host_35','host_42','host_49','host_56')";
    let by = |unit: &str| format!("select date_trunc('{unit}', time) m");
    let double =
        |n| format!("{}, hostname, {} from cpu where {hours} group by 1, 2 order by 1, 2", by("hour"), list("avg", n));
    let single = |what: String, unit: &str, who: &str| {
        format!("{}, {what} from cpu where {who} and {hours} group by 1 order by 1", by(unit))
    };
    let one = "hostname = 'host_77'";
    vec![
        ("single-1-1-1", single(list("max", 1), "minute", one)),
        ("single-1-1-12", single(list("max", 1), "minute", "hostname = 'host_14'")),
        ("single-5-8-1", single(list("max", 5), "minute", eight)),
        ("cpu-max-all-8", single(list("max", 5), "hour", eight)),
        ("double-1", double(1)),
        ("double-5", double(5)),
        ("double-all", double(10)),
        ("high-cpu-1", format!("select * from cpu where usage_user > 90 and {one} and {hours}")),
        ("high-cpu-all", format!("select * from cpu where usage_user > 90 and {hours}")),
        (
            "groupby-orderby-limit",
            format!("{}, max(usage_user) from cpu where time < '2026-01-01T02:00:00Z' group by 1 order by 1 desc limit 5", by("minute")),
        ),
        ("count", "select count(*) from cpu".into()),
        ("region-aggregate", "select region, avg(usage_user), min(usage_system), max(usage_idle) from cpu group by 1".into()),
        ("distinct", "select count(distinct hostname) from cpu".into()),
        (
            "lastpoint",
            "select * from (select *, row_number() over (partition by hostname order by time desc) rn from cpu) t where rn = 1".into(),
        ),
    ]
}

fn sorted(batches: &[RecordBatch]) -> Vec<String> {
    let text = pretty_format_batches(batches).expect("batches of one schema").to_string();
    let mut lines: Vec<String> = text.lines().filter(|l| !l.starts_with('+')).map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn the_plans_of_the_bench_queries_survive_protobuf() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut config = StoreConfig::new(folder.path(), 256 << 20);
    config.min_free_bytes = 1 << 20;
    let store = Arc::new(Store::open(config, Arc::new(SystemClock)).expect("a new folder opens"));
    let write = |from, minutes| {
        let database = DatabaseName::new("default").expect("a valid name");
        let batches = vec![batch(from, minutes)];
        let mode = TableMode::Append;
        let request = WriteRequest { database, mode, batches, partial: false, durability: None, key: None };
        store.write(request).expect("the rows fit");
    };
    write(0, 120);
    store.flush().expect("a flush");
    write(120, 60); // hot rows travel with the plan
    let engine = Engine::new(
        Arc::clone(&store),
        EngineConfig {
            memory_bytes: 256 << 20,
            temp_folder: folder.path().join("tmp"),
            temp_bytes: 1 << 20,
            slots: 1,
            queue: 1,
            threads: 2,
            bounds: crate::Bounds { timeout: Duration::from_secs(30), slow: None },
            cache_bytes: 0,
            cache_result_bytes: 0,
        },
    )
    .expect("an engine");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    for (name, sql) in queries() {
        let (plan, context) = runtime
            .block_on(engine.planned(&sql, "default", ReadMode::Newest))
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let bytes = encode(Arc::clone(&plan)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let again = decode(&bytes, &context).unwrap_or_else(|e| panic!("{name}: {e}"));
        let here = runtime.block_on(collect(plan, Arc::clone(&context))).unwrap_or_else(|e| panic!("{name}: {e}"));
        let there = runtime.block_on(collect(again, context)).unwrap_or_else(|e| panic!("{name} decoded: {e}"));
        assert_eq!(sorted(&here), sorted(&there), "{name}");
        let rows: usize = here.iter().map(RecordBatch::num_rows).sum();
        assert!(rows > 0, "{name} answers nothing: the data are wrong");
    }
}
