//! Calls that fail, by the thousand: what they took, they give back.

use serde_json::{Value, json};

use super::harness::{Server, folder};
use super::torture;

/// Calls of each kind in `.ci/run`; the last figures of 10 000 stand in `docs/origins.md`.
const CALLS: u64 = 1_000;

struct Kind {
    name: &'static str,
    method: &'static str,
    path: &'static str,
    body: Value,
    status: u16,
}

fn kinds() -> Vec<Kind> {
    let delete =
        |condition: &str| json!({"database": "default", "measurement": "m", "where": condition, "confirm": true});
    let kind = |name, method, path, body, status| Kind { name, method, path, body, status };
    let query = json!({"name": "broken", "database": "default", "source_measurement": "m", "destination_measurement": "d",
        "interval": "1m", "query": "SELECT nothing FROM m WHERE time >= {start_time} AND time < {end_time}"});
    vec![
        kind(
            "1 retention: name taken",
            "POST",
            "/api/v1/retention",
            json!({"name": "p", "database": "default", "retention_days": 1}),
            409,
        ),
        kind("1 retention: bad days", "PUT", "/api/v1/retention/1", json!({"retention_days": -1}), 400),
        kind("1 retention: no such policy", "POST", "/api/v1/retention/99/execute", json!({"confirm": true}), 404),
        kind("2 delete: unknown column", "POST", "/api/v1/delete", delete("nothing = 1"), 400),
        kind("2 delete: too many rows", "POST", "/api/v1/delete", delete("v >= 0"), 400),
        kind("6 continuous query: broken query", "POST", "/api/v1/continuous_queries", query, 400),
        kind(
            "6 continuous query: start after end",
            "POST",
            "/api/v1/continuous_queries/1/execute",
            json!({"start_time": "2024-01-02T00:00:00Z", "end_time": "2024-01-01T00:00:00Z"}),
            400,
        ),
        kind(
            "6 continuous query: a row outside its window",
            "POST",
            "/api/v1/continuous_queries/1/execute",
            json!({"start_time": "2023-11-14T22:13:00Z", "end_time": "2023-11-14T22:14:00Z"}),
            400,
        ),
        kind("7 compaction: unknown tier", "POST", "/api/v1/compaction/trigger?tier=weekly", json!({}), 400),
        kind(
            "7 change of type under a lock: not allowed",
            "POST",
            "/api/v1/databases/default/measurements/m/retype",
            json!({"column": "s", "type": "float64"}),
            400,
        ),
    ]
}

#[test]
fn calls_that_fail_leave_no_descriptor_lock_job_or_memory_behind() {
    let calls = torture::amount(CALLS) as usize;
    let dir = folder();
    let quiet = ["compaction.enabled=false", "retention.enabled=false", "continuous_queries.enabled=false"];
    let server = Server::start(dir.path(), &[&quiet[..], &["delete.max_rows_per_delete=10"]].concat());
    let line = |i: i64| format!("m,host=a v={i}i,s=\"x\" {}\n", 1_700_000_000_000_000_000 + i);
    server.lines(&(0..100).map(line).collect::<String>());
    server.flush();
    let post = |path: &str, body: Value| server.send("POST", path, &[], body.to_string().as_bytes()).status;
    assert_eq!(post("/api/v1/retention", json!({"name": "p", "database": "default", "retention_days": 3650})), 201);
    let wide = json!({"name": "wide", "database": "default", "source_measurement": "m", "destination_measurement": "d",
        "interval": "1m", "query": "SELECT time_bucket(INTERVAL '1 day', time) AS time, count(*) AS n FROM m \
            WHERE time >= {start_time} AND time < {end_time} GROUP BY 1"});
    assert_eq!(post("/api/v1/continuous_queries", wide), 201);
    let fail = |kind: &Kind, times: usize| {
        let body = kind.body.to_string();
        for _ in 0..times {
            let reply = server.send(kind.method, kind.path, &[], body.as_bytes());
            assert_eq!(reply.status, kind.status, "{}: {reply:?}", kind.name);
        }
    };
    let kinds = kinds();
    // what is made once, such as caches and threads, is made here
    kinds.iter().for_each(|kind| fail(kind, calls.div_ceil(5)));
    let threads = || std::fs::read_dir(format!("/proc/{}/task", server.pid())).expect("a process").count();
    let temporary = || std::fs::read_dir(server.data().join("tmp")).map_or(0, Iterator::count);
    for kind in &kinds {
        let (descriptors, rss, before, files) =
            (server.metric("process_open_fds"), server.metric("process_resident_memory_bytes"), threads(), temporary());
        fail(kind, calls);
        let grown = server.metric("process_resident_memory_bytes") - rss;
        println!(
            "{}: {calls} failing calls, RSS {:+.1} % ({:+.1} MiB)",
            kind.name,
            grown / rss * 100.0,
            grown / 1048576.0
        );
        assert!(grown < 16.0 * 1_048_576.0, "{}: {grown} bytes more", kind.name);
        assert_eq!(server.metric("process_open_fds"), descriptors, "{}", kind.name);
        assert!(threads() <= before + 2, "{}: {} threads, {before} before", kind.name, threads());
        assert_eq!((temporary(), &server.get("/api/v1/compaction/locks").json()["count"]), (files, &json!(0)));
        let jobs = server.get("/api/v1/jobs?limit=1000").json();
        let running = jobs["jobs"].as_array().expect("jobs").iter().filter(|j| j["state"] == "running").count();
        assert_eq!(running, 0, "{}", kind.name);
    }
    // the next good call of each works
    let done = json!({"database": "default", "measurement": "m", "where": "v < 5", "confirm": true});
    assert_eq!(post("/api/v1/delete", done), 200);
    assert_eq!(post("/api/v1/retention/1/execute", json!({"confirm": true})), 200);
    let day = json!({"start_time": "2023-11-14T00:00:00Z", "end_time": "2023-11-15T00:00:00Z", "dry_run": true});
    assert_eq!(server.send("PUT", "/api/v1/continuous_queries/1", &[], br#"{"bucket": "1d"}"#).status, 200);
    assert_eq!(post("/api/v1/continuous_queries/1/execute", day), 200);
    assert_eq!(post("/api/v1/compaction/trigger?wait=true", json!({})), 200);
    assert_eq!(server.rows("SELECT count(*) FROM m"), json!([[95]]));
}
