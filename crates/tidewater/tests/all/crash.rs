//! Ends of the process at any moment, and what they leave.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::harness::{Server, columnar, eventually, folder, python};
use super::oracle::Known;
use super::torture::{self, Random};

/// Places where the process ends itself, one for each phase of a row's way.
const PHASES: [(&str, &str); 8] = [
    ("log write", "log.write.before:40"),
    ("log write to sync", "log.write.after:40"),
    ("sync to visible", "log.sync.after:40"),
    ("seal", "flush.sealed:3"),
    ("Parquet to commit", "flush.file:5"),
    ("COMMIT", "catalog.commit.before:4"),
    ("COMMIT to swap", "catalog.commit.after:4"),
    ("replay", "replay.record:1"),
];

/// Every job as often as it can be.
pub const FAST: [&str; 10] = [
    "ingest.max_buffer_age_ms=50",
    "ingest.max_quiet_age_ms=50",
    "query.timeout=30",
    "compaction.interval_ms=200",
    "compaction.min_files=2",
    "retention.check_interval_ms=200",
    "retention.interval=1",
    "continuous_queries.check_interval_ms=200",
    "catalog.snapshot_age_ms=1000",
    "catalog.file_grace_ms=2000",
];
/// What waits until somebody asks, so that rows are still where the end of the process left them.
pub const CALM: [&str; 3] = ["compaction.enabled=false", "retention.enabled=false", "continuous_queries.enabled=false"];
/// After so many kills a new folder: what the oracle compares grows with each.
const KILLS_A_FOLDER: u64 = 100;

#[test]
fn t20_t22_kill_9_at_any_moment_loses_nothing_and_doubles_nothing() {
    let (cycles, seed) = (torture::amount(24), torture::seed());
    let mut random = Random(seed);
    let mut kills: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut acknowledged, mut unknown, mut read, mut starts_ms) = (0, 0, 0, Vec::new());
    let bar = torture::bar("kills", cycles);
    let mut cycle = 0;
    while cycle < cycles {
        let dir = folder();
        let mut known = Known::new();
        let mut first = Server::start(dir.path(), &FAST);
        first.lines("steady v=1i 1\nsteady v=2i 2");
        first.flush();
        known.prepare(&first);
        first.kill();
        let (data, stop) = (dir.path().join("data"), dir.path().join("stop"));
        let reader = std::thread::spawn({
            let stop = stop.clone();
            move || {
                let sql = "SELECT count(*), sum(v) FROM lake.\"default\".steady";
                python("duckdb_steady.py", &[data.to_str().expect("plain"), sql, stop.to_str().expect("plain")])
            }
        });
        for _ in 0..KILLS_A_FOLDER.min(cycles - cycle) {
            let what = format!("cycle {cycle} of seed {seed}");
            starts_ms.extend(kill_once(dir.path(), &mut known, cycle, &mut random, &mut kills, &what));
            // checked without jobs first, so that rows are still where the kill left them
            let mut server = Server::start(dir.path(), &CALM);
            known.check(&server).unwrap_or_else(|fault| panic!("{what}: {fault}"));
            server.kill();
            cycle += 1;
            bar.inc(1);
        }
        std::fs::create_dir(&stop).expect("the folder is ours");
        let answers = reader.join().expect("DuckDB read the same through every kill");
        read += answers.split(' ').next().and_then(|n| n.parse::<u64>().ok()).expect("how often it asked");
        acknowledged += known.acknowledged.len();
        unknown += known.unknown.len();
    }
    bar.finish_and_clear();
    starts_ms.sort_by(f64::total_cmp);
    let p99 = starts_ms.get(starts_ms.len().saturating_sub(1) * 99 / 100).copied().unwrap_or_default();
    torture::figure(
        "kill",
        &format!(
            "{cycles} cycles, {acknowledged} requests acknowledged, {unknown} without an answer: 0 lost, 0 doubled, 0 torn; \
             DuckDB asked {read} times; starts p99 {p99:.0} ms; kills by phase: {kills:?}"
        ),
    );
    assert!(acknowledged as u64 > cycles * 10, "the writers got through: {acknowledged}");
    if cycles >= 2 * PHASES.len() as u64 {
        for (phase, _) in PHASES {
            assert!(kills.contains_key(phase), "no kill in phase {phase:?}: {kills:?}");
        }
    }
}

/// One server's life under load and its end; how long it took to start, when it did.
fn kill_once(
    dir: &std::path::Path,
    known: &mut Known,
    cycle: u64,
    random: &mut Random,
    kills: &mut BTreeMap<&str, usize>,
    what: &str,
) -> Option<f64> {
    let phases = PHASES.len() as u64;
    let phase = cycle.is_multiple_of(2).then(|| PHASES[(cycle / 2 % phases) as usize]);
    let mut env: Vec<(&str, &str)> = phase.iter().map(|(_, point)| ("TIDEWATER_FAILPOINT", *point)).collect();
    // kill -9 keeps the page cache; behind this door it takes along whatever was not synced
    let loses_power = cycle / 2 / phases % 2 == 1 || cycle % 4 == 3;
    if loses_power {
        env.push(("TIDEWATER_FAULT_DOOR", "power"));
        *kills.entry("of these with power lost").or_default() += 1;
    }
    let began = Instant::now();
    match Server::try_start(dir, &FAST, &env) {
        Ok(mut server) => {
            let started_ms = began.elapsed().as_secs_f64() * 1e3;
            let patience = if phase.is_some() { 4_000 } else { 50 + random.below(400) };
            known.load(&server, Instant::now() + Duration::from_millis(patience));
            let own = phase.filter(|_| server.wait_end(Duration::from_millis(100)).is_some());
            *kills.entry(own.map_or("random moment", |(name, _)| name)).or_default() += 1;
            server.kill();
            Some(started_ms)
        }
        // killed while it replayed; killed there once more before the next start
        Err(_) if phase.is_some_and(|(name, _)| name == "replay") => {
            assert!(Server::try_start(dir, &FAST, &env).is_err(), "the second replay is killed as well");
            *kills.entry("replay").or_default() += 2;
            None
        }
        Err(log) => panic!("{what}: no start\n{log}"),
    }
}

#[test]
fn a_start_right_after_kill_9_waits_for_the_process_that_is_ending() {
    let dir = folder();
    let mut first = Server::start(dir.path(), &[]);
    first.lines("m v=1i 1");
    let lock = dir.path().join("data/LOCK").canonicalize().unwrap();
    let holder = first.pid();
    let is_asked_by_another = || {
        let processes = std::fs::read_dir("/proc").unwrap().filter_map(|p| p.ok()?.file_name().into_string().ok());
        let mut others = processes.filter(|p| p.parse::<u32>().is_ok_and(|pid| pid != holder));
        others.any(|p| {
            let open = std::fs::read_dir(format!("/proc/{p}/fd")).into_iter().flatten().flatten();
            open.filter_map(|fd| std::fs::read_link(fd.path()).ok()).any(|file| file == lock)
        })
    };
    let second = std::thread::scope(|scope| {
        let second = scope.spawn(|| Server::try_start(dir.path(), &[], &[]));
        eventually("the second server asks for the folder", is_asked_by_another);
        first.kill();
        second.join().unwrap().unwrap()
    });
    assert_eq!(second.rows("SELECT count(*) FROM m"), serde_json::json!([[1]]));
}

#[test]
fn t21_a_clean_stop_under_load_keeps_every_acknowledged_row() {
    let dir = folder();
    let mut known = Known::new();
    let mut server = Server::start(dir.path(), &FAST);
    known.prepare(&server);
    std::thread::scope(|scope| {
        let pid = server.pid();
        scope.spawn(move || {
            std::thread::sleep(Duration::from_millis(500)); // the moment of the signal, not a condition
            let sent = std::process::Command::new("kill").args(["-TERM", &pid.to_string()]).status();
            assert!(sent.is_ok_and(|s| s.success()));
        });
        known.load(&server, Instant::now() + Duration::from_secs(10));
    });
    let status = server.wait_end(Duration::from_secs(40)).expect("SIGTERM ends the server");
    assert!(status.success(), "{status}");
    let server = Server::start(dir.path(), &CALM);
    known.check(&server).unwrap();
    assert!(known.acknowledged.len() > 50, "{}", known.acknowledged.len());
}

#[test]
fn the_power_door_takes_what_was_not_synced() {
    for (door, stored) in [("", 1), ("power", 0)] {
        let dir = folder();
        // process durability answers before the sync; the process ends when the sync would begin
        let env = [("TIDEWATER_FAILPOINT", "log.sync.before:1"), ("TIDEWATER_FAULT_DOOR", door)];
        let mut server = Server::try_start(dir.path(), &["ingest.durability=process"], &env).expect("it starts");
        server.lines("t v=1i 1");
        assert!(server.wait_end(Duration::from_secs(10)).is_some());
        let server = Server::start(dir.path(), &[]);
        assert_eq!(server.rows("SELECT count(*) FROM t"), serde_json::json!([[stored]]), "door {door:?}");
    }
}

/// A start after kill -9 with a quarter of a gibibyte of log that no file holds yet.
#[test]
fn a_start_with_much_log_is_soon_over() {
    let (starts, wanted) = if torture::is_full() { (torture::amount(20), f64::from(256 << 20)) } else { (3, 32e6) };
    let dir = folder();
    let settings = ["memory.budget=3GiB", "ingest.max_buffer_age_ms=86400000", "ingest.max_quiet_age_ms=86400000"];
    let mut server = Server::start(dir.path(), &settings);
    let mut rows = 0i64;
    while server.metric("tidewater_log_written_bytes_total") < wanted {
        let times: Vec<i64> = (rows..rows + 10_000).map(|i| 1_700_000_000_000_000 + i * 1_000).collect();
        let values: Vec<i64> =
            (rows..rows + 10_000).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64)).collect();
        let body = columnar("busy", &[("time", &times), ("v", &values), ("w", &values)]);
        assert_eq!(server.send("POST", "/api/v1/write/msgpack", &[], &body).status, 204);
        rows += 10_000;
    }
    let log_mib = server.metric("tidewater_log_written_bytes_total") / f64::from(1 << 20);
    let mut ms = Vec::new();
    for _ in 0..starts {
        server.kill();
        let began = Instant::now();
        server = Server::start(dir.path(), &settings);
        ms.push(began.elapsed().as_secs_f64() * 1e3);
        assert_eq!(server.rows("SELECT count(*), max(time) IS NOT NULL FROM busy"), serde_json::json!([[rows, true]]));
    }
    ms.sort_by(f64::total_cmp);
    torture::figure(
        "start",
        &format!(
            "{starts} starts with {log_mib:.0} MiB of log, {rows} rows: median {:.0} ms, p99 {:.0} ms, worst {:.0} ms",
            ms[ms.len() / 2],
            ms[ms.len() * 99 / 100],
            ms[ms.len() - 1]
        ),
    );
}
