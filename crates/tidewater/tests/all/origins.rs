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
    let (kinds, mut said) = (kinds(), Vec::new());
    // what is made once, such as caches and threads, is made here
    kinds.iter().for_each(|kind| fail(kind, calls.div_ceil(5)));
    let threads = || std::fs::read_dir(format!("/proc/{}/task", server.pid())).expect("a process").count();
    let temporary = || std::fs::read_dir(server.data().join("tmp")).map_or(0, Iterator::count);
    for kind in &kinds {
        let (descriptors, rss, before, files) =
            (server.metric("process_open_fds"), server.metric("process_resident_memory_bytes"), threads(), temporary());
        fail(kind, calls);
        let grown = server.metric("process_resident_memory_bytes") - rss;
        said.push(format!("{} {:+.1} %", kind.name, grown / rss * 100.0));
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
    torture::figure("leak", &format!("{calls} failing calls of each kind, RSS: {}", said.join(", ")));
}

/// What a caller does again and again, undone by itself or by its next turn.
type Deed = (&'static str, fn(&Server, u64));

const DEEDS: [Deed; 9] = [
    ("a point is written anew", |server, turn| {
        let line = format!("point,host=h{} v={turn}i 1700000000000000000", turn % 50);
        assert_eq!(server.send("POST", "/write?db=default", &[], line.as_bytes()).status, 204);
    }),
    ("a request with a key is repeated", |server, turn| {
        let key = format!("key-{}", turn % 50);
        let line = format!("keyed v={}i {}", turn % 50, turn % 50 + 1);
        let headers = [("idempotency-key", &*key)];
        let reply = server.send("POST", "/api/v1/write/line-protocol", &headers, line.as_bytes());
        assert_eq!(reply.status, 204, "{reply:?}");
    }),
    ("a query", |server, turn| {
        let sql = format!("SELECT host, count(*), avg(v) FROM m WHERE v >= {} GROUP BY host", turn % 90);
        let reply = server.query_with(&sql, &[("cache-control", "no-cache")]);
        assert_eq!(reply.status, 200, "{reply:?}");
    }),
    ("a query whose answer is kept", |server, turn| {
        server.rows(&format!("SELECT count(*) FROM m WHERE v < {}", turn % 90));
    }),
    ("a delete that finds nothing", |server, _| {
        let body = json!({"database": "default", "measurement": "m", "where": "v < 0", "confirm": true}).to_string();
        let reply = server.send("POST", "/api/v1/delete", &[], body.as_bytes());
        assert_eq!((reply.status, &reply.json()["deleted_count"]), (200, &json!(0)));
    }),
    ("a policy is made and deleted", |server, _| {
        let body = json!({"name": "brief", "database": "default", "measurement": "x", "retention_days": 1}).to_string();
        let made = server.send("POST", "/api/v1/retention", &[], body.as_bytes());
        assert_eq!(made.status, 201, "{made:?}");
        let path = format!("/api/v1/retention/{}", made.json()["id"]);
        assert_eq!(server.send("DELETE", &path, &[], b"").status, 200);
    }),
    ("a continuous query is made and deleted", |server, _| {
        let body = json!({"name": "brief", "database": "default", "source_measurement": "m",
            "destination_measurement": "brief", "interval": "1h", "query": "SELECT time_bucket(INTERVAL '1 hour', time) \
            AS time, count(*) AS n FROM m WHERE time >= {start_time} AND time < {end_time} GROUP BY 1"});
        let made = server.send("POST", "/api/v1/continuous_queries", &[], body.to_string().as_bytes());
        assert_eq!(made.status, 201, "{made:?}");
        let path = format!("/api/v1/continuous_queries/{}", made.json()["id"]);
        assert_eq!(server.send("DELETE", &path, &[], b"").status, 200);
    }),
    ("a flush with nothing to flush", |server, _| server.flush()),
    ("the lists that dashboards ask for", |server, turn| {
        let paths = ["/api/v1/databases", "/api/v1/jobs", "/metrics", "/api/v1/queries/active", "/health"];
        assert_eq!(server.get(paths[turn as usize % paths.len()]).status, 200);
    }),
];

#[test]
fn calls_that_succeed_leave_nothing_behind_either() {
    let calls = if torture::is_full() { torture::amount(CALLS) } else { 200 };
    let dir = folder();
    let server = Server::start(dir.path(), &["ingest.max_quiet_age_ms=200", "compaction.interval_ms=200"]);
    let line = |i: i64| format!("m,host=h{} v={i}i {}\n", i % 5, 1_700_000_000_000_000_000 + i);
    server.lines(&(0..100).map(line).collect::<String>());
    server.flush();
    let threads = || std::fs::read_dir(format!("/proc/{}/task", server.pid())).expect("a process").count();
    let temporary = || std::fs::read_dir(server.data().join("tmp")).map_or(0, Iterator::count);
    DEEDS.iter().for_each(|(_, deed)| (0..calls.div_ceil(5)).for_each(|turn| deed(&server, turn)));
    let mut said = Vec::new();
    for (name, deed) in DEEDS {
        let (descriptors, rss, before, files) =
            (server.metric("process_open_fds"), server.metric("process_resident_memory_bytes"), threads(), temporary());
        (0..calls).for_each(|turn| deed(&server, turn));
        let grown = server.metric("process_resident_memory_bytes") - rss;
        said.push(format!("{name} {:+.1} %", grown / rss * 100.0));
        assert!(grown < 16.0 * 1_048_576.0, "{name}: {grown} bytes more");
        // files that a job has open meanwhile are closed with it
        crate::harness::eventually(&format!("{name}: as many descriptors as before"), || {
            server.metric("process_open_fds") <= descriptors
        });
        assert!(threads() <= before + 2, "{name}: {} threads, {before} before", threads());
        assert!(temporary() <= files, "{name}: {} temporary files", temporary());
    }
    assert_eq!(server.rows("SELECT count(*) FROM m"), json!([[100]]));
    assert_eq!(server.rows("SELECT count(*), count(DISTINCT host) FROM point"), json!([[50, 50]]));
    torture::figure("leak", &format!("{calls} good calls of each kind, RSS: {}", said.join(", ")));
}
