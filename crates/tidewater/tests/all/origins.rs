//! Calls that fail, by the thousand: what they took, they give back.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::crash::CALM;
use super::harness::{DEADLINE, LOOK_EVERY, Server, TOKEN, eventually, files, folder};
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
    let calls = torture::amount(CALLS);
    let dir = folder();
    let server = Server::start(dir.path(), &[&CALM[..], &["delete.max_rows_per_delete=10", NO_COPY]].concat());
    let line = |i: i64| format!("m,host=a v={i}i,s=\"x\" {}\n", 1_700_000_000_000_000_000 + i);
    server.lines(&(0..100).map(line).collect::<String>());
    server.flush();
    let post = |path: &str, body: Value| server.send("POST", path, &[], body.to_string().as_bytes()).status;
    assert_eq!(post("/api/v1/retention", json!({"name": "p", "database": "default", "retention_days": 3650})), 201);
    let wide = json!({"name": "wide", "database": "default", "source_measurement": "m", "destination_measurement": "d",
        "interval": "1m", "query": "SELECT time_bucket(INTERVAL '1 day', time) AS time, count(*) AS n FROM m \
            WHERE time >= {start_time} AND time < {end_time} GROUP BY 1"});
    assert_eq!(post("/api/v1/continuous_queries", wide), 201);
    let fail = |kind: &Kind, times: u64| {
        let body = kind.body.to_string();
        for _ in 0..times {
            let reply = server.send(kind.method, kind.path, &[], body.as_bytes());
            assert_eq!(reply.status, kind.status, "{}: {reply:?}", kind.name);
        }
    };
    let (kinds, mut said) = (kinds(), Vec::new());
    // what is made once, such as caches and threads, is made here
    kinds.iter().for_each(|kind| fail(kind, warming(calls)));
    for kind in &kinds {
        let (before, left) = leaves_nothing(&server, kind.name, || fail(kind, calls));
        said.push(left);
        // nothing else goes on here: not one more, and not one less
        let now = Holding::of(&server);
        assert_eq!((now.descriptors, now.spilled), (before.descriptors, before.spilled), "{}", kind.name);
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
    tell(calls, "failing calls of each kind", &said);
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
    let server = Server::start(dir.path(), &["ingest.max_quiet_age_ms=200", "compaction.interval_ms=200", NO_COPY]);
    let line = |i: i64| format!("m,host=h{} v={i}i {}\n", i % 5, 1_700_000_000_000_000_000 + i);
    server.lines(&(0..100).map(line).collect::<String>());
    server.flush();
    DEEDS.iter().for_each(|(_, deed)| (0..warming(calls)).for_each(|turn| deed(&server, turn)));
    let mut said = Vec::new();
    for (name, deed) in DEEDS {
        said.push(leaves_nothing(&server, name, || (0..calls).for_each(|turn| deed(&server, turn))).1);
    }
    assert_eq!(server.rows("SELECT count(*) FROM m"), json!([[100]]));
    assert_eq!(server.rows("SELECT count(*), count(DISTINCT host) FROM point"), json!([[50, 50]]));
    tell(calls, "good calls of each kind", &said);
}

/// A fault that many calls meet half way, and the call; whether it worked.
struct Fault {
    name: &'static str,
    /// The failpoint, and what happens there.
    point: &'static str,
    how: &'static str,
    call: fn(&Server) -> bool,
}

fn deletes(server: &Server) -> bool {
    let body = json!({"database": "default", "measurement": "m", "where": "v < 5", "confirm": true}).to_string();
    server.send("POST", "/api/v1/delete", &[], body.as_bytes()).status == 200
}

fn merges(server: &Server) -> bool {
    let reply = server.send("POST", "/api/v1/compaction/trigger?wait=true", &[], b"");
    reply.status == 200 && reply.json()["merges"].as_u64().is_some_and(|n| n > 0)
}

fn computes(server: &Server) -> bool {
    let day = json!({"start_time": "2023-11-14T00:00:00Z", "end_time": "2023-11-15T00:00:00Z"}).to_string();
    server.send("POST", "/api/v1/continuous_queries/1/execute", &[], day.as_bytes()).status == 200
}

fn asks(server: &Server) -> bool {
    let body = json!({"sql": "SELECT * FROM m"}).to_string();
    let headers = [("cache-control", "no-cache")];
    server.try_send("POST", "/api/v1/query", &headers, body.as_bytes()).is_ok_and(|reply| reply.status == 200)
}

const FAULTS: [Fault; 7] = [
    Fault { name: "2 delete: the rewrite cannot be written", point: "file.commit", how: "error", call: deletes },
    Fault { name: "2 delete: a panic in the rewrite", point: "file.commit", how: "panic", call: deletes },
    Fault { name: "3 query: an error among its rows", point: "pool.rows", how: "error", call: asks },
    Fault { name: "3 query: a panic among its rows", point: "pool.rows", how: "panic", call: asks },
    Fault {
        name: "6 continuous query: its rows cannot be written",
        point: "file.commit",
        how: "error",
        call: computes,
    },
    Fault { name: "6 continuous query: a panic while it writes", point: "file.commit", how: "panic", call: computes },
    Fault { name: "7 compaction: the merge cannot be written", point: "file.commit", how: "error", call: merges },
];

/// SQLite keeps the descriptor of the first copy's connection for that of the next.
const NO_COPY: &str = "catalog.copy_interval=86400";

/// A server of which so many things fail, as its failpoints say; none with nothing.
fn failing(dir: &Path, failpoint: &str) -> Server {
    // the probe of the pool would take one of the failures
    let rare = "database.health_check_interval=86400";
    let settings = [&CALM[..], &["compaction.min_files=2", "memory.budget=512MiB", NO_COPY, rare]].concat();
    Server::try_start(dir, &settings, &[("TIDEWATER_FAILPOINT", failpoint)]).expect("it starts")
}

/// A stopped server's folder: two files of fifty rows and a continuous query.
fn prepared() -> TempDir {
    let dir = folder();
    let mut server = failing(dir.path(), "");
    for part in 0..2 {
        let line = |i: i64| format!("m,host=a v={i}i {}\n", 1_700_000_000_000_000_000 + part * 100 + i);
        server.lines(&(0..50).map(line).collect::<String>());
        server.flush();
    }
    let query = json!({"name": "days", "database": "default", "source_measurement": "m", "destination_measurement": "d",
        "interval": "1d", "query": "SELECT time_bucket(INTERVAL '1 day', time) AS time, count(*) AS n FROM m \
        WHERE time >= {start_time} AND time < {end_time} GROUP BY 1"});
    let made = server.send("POST", "/api/v1/continuous_queries", &[], query.to_string().as_bytes());
    assert_eq!(made.status, 201, "{made:?}");
    assert!(server.stop().is_some_and(|status| status.success()));
    dir
}

/// The figure of a test: what each kind of its calls left.
fn tell(calls: u64, what: &str, said: &[String]) {
    torture::figure("leak", &format!("{calls} {what}, MiB of memory more, of all it has: {}", said.join(", ")));
}

/// What a few calls may leave: caches, histories and the allocator's pages fill up to their bounds.
const MOST_MIB: f64 = 16.0;
/// What many may, of all that a process has, once these are full.
const MOST_PERCENT: f64 = 2.0;

/// Times that calls are made until they have left nothing: what leaks does so each time, while the pages of the allocator
/// and the threads that wait for work vary.
const ROUNDS: u64 = 3;

/// Calls before those that are measured. So many messages of the log are remembered, in four mebibytes, which as many
/// calls fill.
fn warming(calls: u64) -> u64 {
    if torture::is_full() { calls.max(model::limits::LOG_MESSAGES as u64) } else { calls.div_ceil(5) }
}

/// What a server holds that a call could have left behind.
#[derive(Debug)]
struct Holding {
    descriptors: f64,
    threads: usize,
    /// Files that queries spill to.
    spilled: usize,
    /// Of its own; parts of its program come and go.
    memory_kib: u64,
    /// With its program.
    resident_kib: u64,
}

/// Makes calls, and again where that is needed; what was held before the last, and how much memory came to it.
fn leaves_nothing(server: &Server, name: &str, mut calls: impl FnMut()) -> (Holding, String) {
    let mut round = || {
        let before = Holding::of(server);
        calls();
        before.compare(server, name).map(|left| (before, left))
    };
    let mut outcome = round();
    for _ in 1..ROUNDS {
        let Err(more) = &outcome else { break };
        println!("{more}; once more");
        outcome = round();
    }
    outcome.unwrap_or_else(|more| panic!("{more}, the last of {ROUNDS} times"))
}

fn threads(server: &Server) -> usize {
    std::fs::read_dir(format!("/proc/{}/task", server.pid())).expect("a process").count()
}

impl Holding {
    fn of(server: &Server) -> Self {
        let threads = threads(server);
        let descriptors = server.metric("process_open_fds");
        let spilled = std::fs::read_dir(server.data().join("tmp")).map_or(0, Iterator::count);
        let (memory_kib, resident_kib) = (server.memory_kib("RssAnon:"), server.memory_kib("VmRSS:"));
        Self { descriptors, threads, spilled, memory_kib, resident_kib }
    }

    /// Nothing more is held than before; how much memory came to it, or what is too much.
    fn compare(&self, server: &Server, name: &str) -> Result<String, String> {
        eventually(&format!("{name}: as many descriptors as before"), || {
            server.metric("process_open_fds") <= self.descriptors
        });
        eventually(&format!("{name}: no query is left"), || server.get("/api/v1/queries/active").json()["count"] == 0);
        // those that block for others are kept for ten seconds, and a question would keep them
        let began = Instant::now();
        while threads(server) > self.threads + 2 {
            if began.elapsed() > DEADLINE {
                return Err(format!("{name}: {} threads, before {}", threads(server), self.threads));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        let now = Self::of(server);
        let grown_kib = now.memory_kib as f64 - self.memory_kib as f64;
        let (grown_mib, grown_share) = (grown_kib / 1024.0, grown_kib / self.resident_kib as f64 * 100.0);
        let is_little = if torture::is_full() { grown_share < MOST_PERCENT } else { grown_mib < MOST_MIB };
        if !is_little {
            return Err(format!("{name}: {grown_mib} MiB more, {grown_share} % of all it has"));
        }
        assert!(now.spilled <= self.spilled, "{name}: {now:?}, before {self:?}");
        // background merges of a server that works end some time
        eventually(&format!("{name}: no temporary file, no lock and no job is left"), || {
            let is_new = |file: &PathBuf| file.extension().is_some_and(|e| e == "tmp");
            let jobs = server.get("/api/v1/jobs?limit=1000").json();
            !files(&server.data()).iter().any(is_new)
                && server.get("/api/v1/compaction/locks").json()["count"] == 0
                && jobs["jobs"].as_array().expect("jobs").iter().all(|job| job["state"] != "running")
        });
        Ok(format!("{name} {grown_mib:+.1} ({grown_share:+.1} %)"))
    }
}

#[test]
fn calls_that_meet_a_fault_half_way_leave_nothing_behind() {
    let calls = if torture::is_full() { torture::amount(CALLS) } else { 100 };
    let mut said = Vec::new();
    for Fault { name, point, how, call } in FAULTS {
        let dir = prepared();
        let server = failing(dir.path(), &format!("{point}:{}={how}", warming(calls) + ROUNDS * calls));
        let before_files = files(&server.data().join("data"));
        let fail = |times: u64| (0..times).for_each(|_| assert!(!call(&server), "{name}: it works"));
        fail(warming(calls));
        let mut left = ROUNDS;
        let nothing = leaves_nothing(&server, name, || {
            fail(calls);
            left -= 1;
        });
        said.push(nothing.1);
        fail(left * calls);
        assert_eq!(files(&server.data().join("data")), before_files, "{name}: files are left");
        assert_eq!(server.rows("SELECT count(*) FROM m"), json!([[100]]), "{name}: no row went");
        assert!(call(&server), "{name}: the next one works");
    }
    tell(calls, "calls that meet a fault", &said);
}

/// Sends so much of a request, reads so much of its answer, and is gone.
fn leave(server: &Server, request: &str, answer_bytes: usize) {
    let mut stream = TcpStream::connect(server.address()).expect("a connection");
    stream.write_all(request.as_bytes()).expect("it is taken");
    let mut answer = vec![0; answer_bytes];
    stream.read_exact(&mut answer).expect("an answer begins");
}

#[test]
fn calls_whose_clients_leave_half_way_leave_nothing_behind() {
    let calls = if torture::is_full() { torture::amount(CALLS) } else { 200 };
    let dir = prepared();
    let server = failing(dir.path(), "");
    let head = format!("Host: a\r\nAuthorization: Bearer {TOKEN}\r\n");
    let half = format!("POST /write?db=default HTTP/1.1\r\n{head}Content-Length: 1000\r\n\r\nm,host=b v=1i");
    // more than fits between the two: the rest waits for a reader that is gone
    let sql = json!({"sql": "SELECT a.v, b.v, c.v FROM m a, m b, m c"}).to_string();
    let query = format!("POST /api/v1/query HTTP/1.1\r\n{head}Content-Length: {}\r\n\r\n{sql}", sql.len());
    let mut said = Vec::new();
    for (name, request, answer_bytes) in [("half a write", &half, 0), ("half an answer", &query, 1_000)] {
        (0..warming(calls)).for_each(|_| leave(&server, request, answer_bytes));
        eventually("the first are over", || server.get("/api/v1/queries/active").json()["count"] == 0);
        let all_leave = || (0..calls).for_each(|_| leave(&server, request, answer_bytes));
        said.push(leaves_nothing(&server, name, all_leave).1);
    }
    assert_eq!(server.rows("SELECT count(*) FROM m"), json!([[100]]), "half a write wrote nothing");
    tell(calls, "clients that leave", &said);
}
