//! Services that survive the failure of one another.

use crate::harness::{Server, eventually, folder};

const QUICK: [&str; 6] = [
    "catalog.copy_interval=1",
    "compaction.interval_ms=100",
    "retention.check_interval_ms=100",
    "catalog.snapshot_age_ms=1000",
    "database.health_check_interval=1",
    "metrics.timeseries_interval_seconds=1",
];

fn tasks(server: &Server) -> Vec<serde_json::Value> {
    server.get("/api/v1/jobs").json()["tasks"].as_array().expect("tasks").clone()
}

#[test]
fn the_start_of_each_task_may_fail_or_panic_and_nothing_else_notices() {
    let dir = folder();
    let server = Server::start(dir.path(), &QUICK);
    let names: Vec<String> = tasks(&server).iter().map(|t| t["name"].as_str().expect("a name").to_owned()).collect();
    for needed in [
        "write-service",
        "flush",
        "expiry",
        "compaction",
        "retention",
        "continuous-queries",
        "scrub",
        "health-probe",
        "metrics",
    ] {
        assert!(names.iter().any(|n| n == needed), "{needed} is not supervised: {names:?}");
    }
    drop(server);
    for (name, mode) in names.iter().flat_map(|n| [(n, "error"), (n, "panic")]) {
        let dir = folder();
        let point = format!("task.start.{name}:1={mode}");
        let server = Server::try_start(dir.path(), &QUICK, &[("TIDEWATER_FAILPOINT", &point)]).expect("it starts");
        let mut named = false;
        eventually("the failed task is named", || {
            let ready = server.get("/ready");
            named |= ready.status == 503 && ready.json()["service"] == name.as_str();
            named || tasks(&server).iter().any(|t| t["name"] == name.as_str() && t["runs"].as_u64() > Some(1))
        });
        assert!(named, "{name}: /ready did not name the task that failed");
        server.lines("cpu v=1i 1700000000");
        assert_eq!(server.rows("SELECT count(*) FROM cpu"), serde_json::json!([[1]]));
        let triggered = server.send("POST", "/api/v1/compaction/trigger?wait=true", &[], b"");
        assert!(triggered.status == 200 || triggered.status == 409, "{name}: {triggered:?}");
        eventually("the task is tried again", || server.get("/ready").status == 200);
        let task = tasks(&server).into_iter().find(|t| t["name"] == name.as_str()).expect("the task");
        assert_eq!((&task["failures"], &task["consecutive_errors"]), (&1.into(), &0.into()), "{task}");
    }
}

#[test]
fn with_the_write_service_down_files_are_still_read() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    server.lines("cpu v=1i 1700000000");
    server.flush();
    drop(server);
    let armed = [("TIDEWATER_FAILPOINT", "start.log:3=error")];
    let server = Server::try_start(dir.path(), &[], &armed).expect("it starts");
    let ready = server.get("/ready");
    assert_eq!(ready.status, 503);
    assert!(ready.json()["reason"].as_str().expect("a reason").contains("failpoint start.log"), "{ready:?}");
    let refused = server.send("POST", "/api/v1/write/line-protocol", &[], b"cpu v=2i 1700000001");
    assert_eq!((refused.status, refused.json()["code"].as_str()), (503, Some("write_service_unavailable")));
    assert_eq!(server.rows("SELECT count(*) FROM cpu"), serde_json::json!([[1]]));
    let compacted = server.send("POST", "/api/v1/compaction/trigger?wait=true", &[], b"");
    assert_eq!(compacted.status, 200, "{compacted:?}");
    eventually("the write service starts", || server.get("/ready").status == 200);
    server.lines("cpu v=2i 1700000001");
    assert_eq!(server.rows("SELECT count(*) FROM cpu"), serde_json::json!([[2]]));
}

#[test]
fn a_start_on_a_full_disk_first_gives_up_the_reserve_and_flushes_only_if_that_is_not_enough() {
    let dir = folder();
    let quiet = ["ingest.max_buffer_age_ms=60000"];
    let mut server = Server::start(dir.path(), &quiet);
    server.lines("cpu v=1i 1700000000");
    for (rows, (point, flushes)) in (1..).zip([("start.log:1=full", 0.0), ("start.log:2=full", 1.0)]) {
        server.kill();
        server = Server::try_start(dir.path(), &quiet, &[("TIDEWATER_FAILPOINT", point)]).expect("it starts");
        let read = |name: &str| server.metric(name);
        let seen = (read("tidewater_ballast_given_up_total"), read("arc_buffer_flushes_total"));
        assert_eq!(seen, (1.0, flushes), "{point}");
        assert_eq!(server.rows("SELECT count(*) FROM cpu"), serde_json::json!([[rows]]), "{point}");
        // with the next write the reserve is held again
        server.lines("cpu v=1i 1700000000");
    }
}
