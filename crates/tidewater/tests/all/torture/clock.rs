//! A clock that jumps and stands still.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Random, amount, bar, figure, seed};
use crate::crash::FAST;
use crate::harness::{Server, eventually, folder};
use crate::oracle::Known;

/// Where Debian's package lays it.
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
/// What libfaketime is told: an offset in seconds, or a time that stands still.
const JUMPS: [(&str, &str); 7] = [
    ("an hour on", "+3600"),
    ("an hour back", "-3600"),
    ("a day on", "+86400"),
    ("a day back", "-86400"),
    ("ten years back", "-315576000"),
    ("frozen", "2026-06-01 12:00:00"),
    ("right again", "+0"),
];
/// How long the load goes on after each jump.
const LOAD: Duration = Duration::from_millis(300);

/// Jobs whose work shows in a counter: files written, merges, continuous queries' runs.
fn done(server: &Server) -> [f64; 2] {
    ["arc_buffer_flushes_total", "arc_compaction_jobs_success_total"].map(|name| server.metric(name))
}

fn set(clock: &Path, to: &str) {
    // in one step: it is read at every look at the clock
    let aside = clock.with_extension("aside");
    std::fs::write(&aside, to).and_then(|()| std::fs::rename(&aside, clock)).expect("the clock can be set");
}

/// What libfaketime shares with children of these processes: kill -9 leaves it in memory.
struct Shared(Vec<u32>);

impl Drop for Shared {
    fn drop(&mut self) {
        for process in &self.0 {
            let names = ["faketime_shm", "sem.faketime_sem"].map(|kind| format!("/dev/shm/{kind}_{process}"));
            names.iter().for_each(|name| drop(std::fs::remove_file(name)));
        }
    }
}

#[test]
fn a_clock_that_jumps_loses_nothing_and_stops_no_job() {
    if !Path::new(LIBRARY).exists() {
        println!("skipped: libfaketime is not installed");
        return;
    }
    let jumps = amount(14);
    let mut random = Random(seed());
    let dir = folder();
    let clock = dir.path().join("clock");
    set(&clock, "+0");
    let env = [
        ("LD_PRELOAD", LIBRARY),
        ("FAKETIME_TIMESTAMP_FILE", clock.to_str().expect("plain")),
        ("FAKETIME_NO_CACHE", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
    ];
    let mut shared = Shared(Vec::new()); // goes after the server
    let mut server = Server::try_start(dir.path(), &FAST, &env).expect("it starts");
    shared.0.push(server.pid());
    let mut known = Known::new();
    known.prepare(&server);
    // nothing of this is a year old on any of the clocks
    let day = chrono::Utc::now().timestamp() / 86_400 - 300;
    let fresh = |i: i64| format!("fresh i={i}i {}\n", (day + i) * 86_400_000_000_000);
    server.lines(&(0..200).map(fresh).collect::<String>());
    let policy = json!({"name": "fresh", "database": "default", "measurement": "fresh", "retention_days": 365});
    assert_eq!(server.send("POST", "/api/v1/retention", &[], policy.to_string().as_bytes()).status, 201);
    let none_expired = |server: &Server, what: &str| {
        assert_eq!(server.rows("SELECT count(*), sum(i) FROM fresh"), json!([[200, 19_900]]), "{what}");
    };
    let bar = bar("jumps of the clock", jumps);
    let (mut met, mut restarts) = ([0u64; JUMPS.len()], 0);
    for jump in 0..jumps {
        let at = if jump < JUMPS.len() as u64 { jump as usize } else { random.below(JUMPS.len() as u64) as usize };
        met[at] += 1;
        set(&clock, JUMPS[at].1);
        let what = format!("jump {jump} of seed {}, {}", seed(), JUMPS[at].0);
        let before = done(&server);
        known.load(&server, Instant::now() + LOAD);
        eventually(&format!("files are written and merged after {what}"), || {
            known.load(&server, Instant::now() + Duration::from_millis(20));
            done(&server).iter().zip(before).all(|(now, before)| *now > before)
        });
        known.check_rows(&server).unwrap_or_else(|fault| panic!("{what}: {fault}"));
        none_expired(&server, &what);
        if random.below(8) == 0 {
            server.kill();
            server = Server::try_start(dir.path(), &FAST, &env).unwrap_or_else(|log| panic!("{what}: no start\n{log}"));
            shared.0.push(server.pid());
            known.check_rows(&server).unwrap_or_else(|fault| panic!("{what}, after kill -9: {fault}"));
            restarts += 1;
        }
        bar.inc(1);
    }
    set(&clock, "+0");
    eventually("no lock is left", || server.get("/api/v1/compaction/locks").json()["count"] == 0);
    known.check_rows(&server).unwrap();
    none_expired(&server, "at the end");
    bar.finish_and_clear();
    let met: Vec<String> = JUMPS.iter().zip(met).map(|((name, _), n)| format!("{name} {n}")).collect();
    figure(
        "clock",
        &format!(
            "{jumps} jumps ({}), {restarts} kills between them: {} requests acknowledged, 0 lost, 0 expired early, files written and \
             merged after each",
            met.join(", "),
            known.acknowledged.len()
        ),
    );
}
