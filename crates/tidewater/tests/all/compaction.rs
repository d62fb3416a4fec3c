//! Small files become large ones while the server answers, and a crash at any step changes nothing.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;

use super::harness::{Server, eventually, files, folder, python};

const HOUR_NS: i64 = 3_600_000_000_000;
const START_NS: i64 = 1_700_006_400_000_000_000;

fn file_count(server: &Server) -> u64 {
    let reply = server.get("/api/v1/databases/default/measurements").json();
    reply["measurements"][0]["file_count"].as_u64().expect("a count")
}

/// Files below the data folder.
fn on_disk(server: &Server) -> Vec<PathBuf> {
    files(&server.data().join("data"))
}

#[test]
fn t44_t45_t47_answers_stay_right_while_files_are_merged_and_removed() {
    let dir = folder();
    let settings = [
        "ingest.max_buffer_age_ms=20",
        "ingest.max_quiet_age_ms=20",
        "compaction.interval_ms=100",
        "compaction.min_files=3",
        "catalog.snapshot_age_ms=1000",
        "catalog.file_grace_ms=0",
    ];
    let mut server = Server::start(dir.path(), &settings);
    let (acknowledged, sent, over) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut round = 0i64;
            while !over.load(Ordering::Relaxed) {
                let line =
                    |i: i64| format!("m,host=h{} v={}i {}\n", i % 4, round, START_NS + (i % 3) * HOUR_NS + round);
                let lines: String = (0..12).map(line).collect();
                sent.fetch_add(12, Ordering::SeqCst);
                server.lines(&lines);
                acknowledged.fetch_add(12, Ordering::SeqCst);
                round += 1;
            }
        });
        let asked = || {
            let least = acknowledged.load(Ordering::SeqCst);
            let rows =
                server.rows("SELECT count(*), count(DISTINCT host), sum(v) - sum(v + 0) FROM m WHERE time < now()");
            let most = sent.load(Ordering::SeqCst);
            let count = rows[0][0].as_u64().expect("a count");
            assert!(least <= count && count <= most, "{least} <= {count} <= {most}");
        };
        eventually("a first row", || acknowledged.load(Ordering::SeqCst) > 0);
        eventually("merged files are removed from the disk", || {
            asked();
            server.metric("tidewater_files_removed_total") >= 30.0
        });
        assert!(server.metric("arc_compaction_jobs_success_total") >= 3.0);
        over.store(true, Ordering::Relaxed);
    });
    let total = acknowledged.load(Ordering::SeqCst);
    server.flush();
    eventually("what is left is few files", || file_count(&server) <= 9);
    assert_eq!(server.rows("SELECT count(*) FROM m"), json!([[total]]));
    assert!(server.stop().is_some_and(|s| s.success()));
    let data = server.data();
    println!("{}", python("catalog_check.py", &[data.to_str().expect("a plain path")]));
    let server = Server::start(dir.path(), &[]);
    assert_eq!(server.rows("SELECT count(*) FROM m"), json!([[total]]));
}

#[test]
fn t45_m2_a_crash_at_any_step_of_a_merge_leaves_all_rows_once() {
    // the sixth commit is the merge's: the writes defined and flushed in five
    for point in [
        "compact.run:1",
        "compact.output_written:1",
        "catalog.commit.before:6",
        "catalog.commit.after:6",
        "compact.swapped:1",
    ] {
        let dir = folder();
        let quiet =
            ["compaction.enabled=false", "ingest.max_quiet_age_ms=86400000", "ingest.max_buffer_age_ms=3600000"];
        let mut server = Server::try_start(dir.path(), &quiet, &[("TIDEWATER_FAILPOINT", point)]).expect("it starts");
        for i in 0..3 {
            server.lines(&format!("m,host=a v={i}i {}\nm,host=b v={i}i {}", START_NS + i, START_NS + i));
            server.flush();
        }
        server.lines(&format!("m,host=c v=9i {START_NS}"));
        let answer = server.try_send("POST", "/api/v1/compaction/trigger?wait=true", &[], b"");
        assert!(answer.is_err(), "{point}: {answer:?}");
        assert!(server.wait_end(Duration::from_secs(20)).is_some(), "{point} was not hit");
        let mut server = Server::start(dir.path(), &quiet);
        let all = "SELECT count(*), sum(v), count(DISTINCT host) FROM m";
        assert_eq!(server.rows(all), json!([[7, 15, 3]]), "{point}");
        let done = server.send("POST", "/api/v1/compaction/trigger?wait=true", &[], b"");
        assert_eq!(done.status, 200, "{point}: {:?}", done.json());
        assert_eq!((server.rows(all), file_count(&server)), (json!([[7, 15, 3]]), 1), "{point}");
        assert_eq!(on_disk(&server).len(), 4, "{point}: the merged file and its inputs, which wait for their grace");
        assert!(server.stop().is_some_and(|s| s.success()));
        python("catalog_check.py", &[server.data().to_str().expect("a plain path")]);
    }
}

#[test]
fn m6_m8_compaction_is_shown_triggered_and_paused_and_its_history_outlives_the_process() {
    let dir = folder();
    let mut server = Server::start(dir.path(), &["compaction.enabled=false"]);
    for i in 0..4 {
        server.lines(&format!("m v={i}i {}", START_NS + i));
        server.flush();
    }
    let found = server.get("/api/v1/compaction/candidates").json();
    assert_eq!((&found["count"], &found["candidates"][0]["file_count"]), (&json!(1), &json!(4)));
    assert_eq!(found["candidates"][0]["partition_path"], "2023/11/15/00/");
    let trigger = |query: &str| server.send("POST", &format!("/api/v1/compaction/trigger?wait=true{query}"), &[], b"");
    let bad = trigger("&tier=weekly");
    assert_eq!((bad.status, bad.json()["code"].as_str()), (400, Some("invalid_parameter")));
    let unknown = trigger("&database=nowhere");
    assert_eq!((unknown.status, unknown.json()["code"].as_str()), (404, Some("database_not_found")));
    assert_eq!(trigger("&tier=yearly&database=default&measurement=other").json()["merges"], 0);
    server.send("POST", "/api/v1/compaction/pause", &[], b"");
    assert_eq!((trigger("").json()["merges"].clone(), file_count(&server)), (json!(0), 4));
    server.send("POST", "/api/v1/compaction/resume", &[], b"");
    let done = trigger("&tier=hourly,daily").json();
    assert_eq!(
        (&done["status"], &done["merges"], &done["tiers"]),
        (&json!("completed"), &json!(1), &json!(["hourly", "daily"]))
    );
    assert_eq!((file_count(&server), server.rows("SELECT count(*), sum(v) FROM m")), (1, json!([[4, 6]])));
    let stats = server.get("/api/v1/compaction/stats").json();
    assert_eq!((&stats["total_jobs_completed"], &stats["total_files_compacted"]), (&json!(1), &json!(4)));
    let history = server.get("/api/v1/compaction/history?limit=5").json();
    let job = &history["recent_jobs"][0];
    assert_eq!((&job["measurement"], &job["rows"], &job["status"]), (&json!("m"), &json!(4), &json!("completed")));
    let status = server.get("/api/v1/compaction/status").json();
    assert_eq!(
        (&status["manager"]["total_completed"], &status["schedulers"]["hourly"]["enabled"]),
        (&json!(1), &json!(false))
    );
    server.kill();
    let server = Server::start(dir.path(), &["compaction.enabled=false"]);
    let again = server.get("/api/v1/compaction/history?limit=5").json();
    assert_eq!(again, history, "it is remembered over a restart");
}

#[test]
fn t50_a_crash_while_ended_files_are_removed_leaves_none_behind() {
    let dir = folder();
    let settings = [
        "ingest.max_quiet_age_ms=20",
        "compaction.enabled=false",
        "catalog.snapshot_age_ms=1000",
        "catalog.file_grace_ms=0",
    ];
    let mut server =
        Server::try_start(dir.path(), &settings, &[("TIDEWATER_FAILPOINT", "expire.removed")]).expect("it starts");
    for i in 0..3 {
        server.lines(&format!("cpu v={i}i {}", START_NS + i));
        server.flush();
    }
    // it may end before the answer
    let _ = server.try_send("POST", "/api/v1/compaction/trigger?wait=true", &[], b"");
    assert!(server.wait_end(super::harness::DEADLINE).is_some(), "it ends where it removes files");
    let server = Server::start(dir.path(), &settings);
    assert_eq!(server.rows("SELECT count(*), sum(v) FROM cpu"), json!([[3, 3]]));
    eventually("only the merged file is left", || on_disk(&server).len() == 1);
    python("catalog_check.py", &[server.data().to_str().expect("a plain path")]);
}

#[test]
fn t49_m7_a_file_that_rots_on_disk_is_found_named_and_left_alone() {
    let dir = folder();
    let server = Server::start(
        dir.path(),
        &["compaction.enabled=false", "scrub.mb_per_second=1000", "scrub.interval=1", "ingest.max_quiet_age_ms=20"],
    );
    server.lines(&format!("cpu v=1i {START_NS}\nmem v=2i {START_NS}"));
    server.flush();
    eventually("every file was read", || server.metric("tidewater_scrubbed_bytes_total") > 0.0);
    assert_eq!(server.metric("tidewater_quarantined_files"), 0.0);
    let found: Vec<_> = on_disk(&server).into_iter().filter(|p| p.to_string_lossy().contains("cpu")).collect();
    let byte = std::fs::read(&found[0]).expect("a file")[10];
    let file = std::fs::OpenOptions::new().write(true).open(&found[0]).expect("a file");
    file.write_all_at(&[byte ^ 1], 10).expect("it can be written");
    eventually("the damage is counted", || server.metric("tidewater_quarantined_files") == 1.0);
    let name = found[0].file_name().and_then(|n| n.to_str()).expect("a name").to_owned();
    eventually("the task names it", || {
        let jobs = server.get("/api/v1/jobs").json().to_string();
        jobs.contains(&name) && jobs.contains("checksum")
    });
    assert!(found[0].exists());
    assert_eq!(server.rows("SELECT v FROM mem"), json!([[2]]));
}

#[test]
fn m8_background_merges_keep_to_their_rate_and_a_trigger_does_not_wait() {
    let dir = folder();
    let settings = ["compaction.interval_ms=100", "compaction.max_mb_per_second=1", "ingest.max_quiet_age_ms=3600000"];
    let server = Server::start(dir.path(), &settings);
    // three hours of two files each, near a MB apiece: numbers that no codec makes small
    let mut random = 7u64;
    for file in 0..6i64 {
        let mut lines = String::new();
        for row in 0..40_000i64 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let time = START_NS + file % 3 * HOUR_NS + row * 1_000 + file;
            lines += &format!("cpu v={}i,w={}i {time}\n", random >> 1, random.rotate_left(32) >> 1);
        }
        server.lines(&lines);
        server.flush();
    }
    eventually("one merge is done", || server.metric("arc_compaction_jobs_success_total") >= 1.0);
    assert!(file_count(&server) > 3, "the others wait: {}", file_count(&server));
    let done = server.try_send("POST", "/api/v1/compaction/trigger?wait=true", &[], b"").expect("a reply");
    assert!([200, 409].contains(&done.status), "{done:?}");
    eventually("the hours are a day", || file_count(&server) == 1);
    assert_eq!(server.rows("SELECT count(*) FROM cpu"), json!([[240_000]]));
}
