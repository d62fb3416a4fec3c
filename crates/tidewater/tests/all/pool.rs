//! The query pool: slots, queue, priorities, deadlines, cancels, memory, health.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Reply, Server, TOKEN, eventually, folder};

/// Runs until somebody ends it.
const ENDLESS: &str = "SELECT sum(a.generate_series * b.generate_series) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b";

fn pool(server: &Server) -> Value {
    server.get("/api/v1/metrics/query-pool").json()
}

fn active(server: &Server) -> Vec<Value> {
    server.get("/api/v1/queries/active").json()["queries"].as_array().expect("a list").clone()
}

fn history(server: &Server) -> Vec<Value> {
    server.get("/api/v1/queries/history?limit=1000").json()["queries"].as_array().expect("a list").clone()
}

fn running(server: &Server) -> i64 {
    pool(server)["pool"]["active_connections"].as_i64().expect("a number")
}

fn waiting(server: &Server) -> i64 {
    pool(server)["pool"]["queue_depth"].as_i64().expect("a number")
}

fn cancel(server: &Server, query: &Value) -> Reply {
    server.send("DELETE", &format!("/api/v1/queries/{}", query["id"].as_str().expect("an id")), &[], b"")
}

/// Seconds of CPU time that the server has had.
fn cpu(server: &Server) -> f64 {
    server.metric("process_cpu_seconds_total")
}

/// Nothing of a query is left: no slot, no thread at work, no memory.
fn all_is_quiet(server: &Server) {
    eventually("the slot is free", || running(server) == 0 && active(server).is_empty());
    eventually("no thread is at work", || {
        let before = cpu(server);
        std::thread::sleep(Duration::from_millis(100)); // the span that is measured
        cpu(server) - before < 0.05
    });
    eventually("no memory is held", || pool(server)["pool"]["memory_common_bytes"] == 0);
}

#[test]
fn t36_a_cancel_a_deadline_and_a_client_that_leaves_end_the_work() {
    let folder = folder();
    let server = Server::start(folder.path(), &["query.timeout=3"]);
    // the number of a row needs the sort, which a count alone would not
    let sort = "SELECT max(n) FROM (SELECT row_number() OVER (ORDER BY b.generate_series % 7, a.generate_series) n \
                FROM generate_series(1, 30000) a, generate_series(1, 30000) b) t";
    for sql in [ENDLESS, sort] {
        // somebody cancels it
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| server.query_with(sql, &[]));
            eventually("it runs", || running(&server) == 1);
            let query = active(&server).remove(0);
            assert_eq!((&query["status"], &query["token_name"]), (&json!("running"), &json!("admin")));
            assert_eq!((&query["remote_addr"], &query["sql"]), (&json!("127.0.0.1"), &json!(sql)));
            assert_eq!(cancel(&server, &query).status, 200);
            let reply = asked.join().expect("the thread ends");
            assert_eq!((reply.status, &reply.json()["code"]), (409, &json!("cancelled")));
            let again = cancel(&server, &query);
            assert_eq!((again.status, &again.json()["code"]), (409, &json!("already_ended")));
        });
        all_is_quiet(&server);
        // its client goes
        let body = json!({"sql": sql}).to_string();
        let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).expect("the server listens");
        let length = body.len();
        let head = format!("POST /api/v1/query HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n");
        write!(stream, "{head}Content-Length: {length}\r\n\r\n{body}").expect("the request is sent");
        eventually("it runs", || running(&server) == 1);
        drop(stream);
        all_is_quiet(&server);
        // its time is over
        assert_eq!(server.refusal(ENDLESS).0, 504);
        all_is_quiet(&server);
    }
    let statuses: Vec<String> = history(&server).iter().map(|q| q["status"].as_str().unwrap().to_owned()).collect();
    assert_eq!(statuses, ["timeout", "cancelled", "cancelled", "timeout", "cancelled", "cancelled"]);
    assert_eq!(pool(&server)["pool"]["total_queries_timeout"], 2);
    assert_eq!(server.rows("SELECT 1"), json!([[1]]));
    // spilled runs are gone with their query
    let files =
        std::fs::read_dir(server.data().join("tmp")).unwrap().flatten().flat_map(|f| std::fs::read_dir(f.path()));
    assert_eq!(files.flatten().count(), 0);
}

#[test]
fn q1_q3_a_full_queue_refuses_at_once_and_who_waits_too_long_never_runs() {
    let folder = folder();
    let server = Server::start(folder.path(), &["database.max_connections=1", "query.queue=3", "query.timeout=4"]);
    std::thread::scope(|scope| {
        // one deadline over waiting and running
        let asked: Vec<_> = (0..4)
            .map(|n| {
                let task = scope.spawn(|| server.query_with(ENDLESS, &[]));
                eventually("it is in", || running(&server) + waiting(&server) == n + 1);
                task
            })
            .collect();
        let began = Instant::now();
        let reply = server.query_with("SELECT 1", &[]);
        assert_eq!(
            (reply.status, &reply.json()["code"], reply.header("retry-after")),
            (503, &json!("queue_full"), "1")
        );
        assert!(began.elapsed() < Duration::from_secs(2), "the refusal waited");
        asked.into_iter().for_each(|a| assert_eq!(a.join().expect("the thread ends").status, 504));
    });
    eventually("slot and queue are empty", || running(&server) + waiting(&server) == 0);
    let stats = pool(&server)["pool"].clone();
    assert_eq!((&stats["total_queries_queued"], &stats["total_queries_turned_away"]), (&json!(3), &json!(1)));
    assert_eq!(stats["total_queries_timeout"], 4);
    // the first held the slot nearly to the end of the others: not one of them ran for its own four seconds
    let timed_out: Vec<Value> = history(&server).into_iter().filter(|q| q["status"] == "timeout").collect();
    assert_eq!(timed_out.len(), 4);
    timed_out.iter().for_each(|q| assert!(q["duration_ms"].as_f64().unwrap() < 6_000.0, "{q}"));
    assert_eq!(server.rows("SELECT 1"), json!([[1]]), "the queue takes queries again");
}

#[test]
fn q2_interactive_queries_start_before_background_ones() {
    let folder = folder();
    let server = Server::start(folder.path(), &["database.max_connections=1", "query.queue=50"]);
    std::thread::scope(|scope| {
        let held = scope.spawn(|| server.query_with(ENDLESS, &[]));
        eventually("it runs", || running(&server) == 1);
        let ask = |sql: &'static str, priority: &'static str| {
            let before = waiting(&server);
            let server = &server;
            scope.spawn(move || server.query_with(sql, &[("x-tidewater-priority", priority)]));
            eventually("it waits", || waiting(server) == before + 1);
        };
        (0..10).for_each(|_| ask("SELECT 'background'", "background"));
        ask("SELECT 'interactive'", "interactive");
        assert_eq!(cancel(&server, &active(&server)[0]).status, 200);
        assert_eq!(held.join().expect("the thread ends").status, 409);
        eventually("all have run", || history(&server).len() == 12);
    });
    // it came last and had the slot first
    let waits = |word: &str| -> Vec<f64> {
        let of = history(&server).into_iter().filter(|q| q["sql"] == format!("SELECT '{word}'"));
        of.map(|q| q["wait_ms"].as_f64().expect("a number")).collect()
    };
    let (interactive, background) = (waits("interactive"), waits("background"));
    assert_eq!((interactive.len(), background.len()), (1, 10));
    assert!(background.iter().all(|wait| *wait > interactive[0]), "{interactive:?} {background:?}");
    let bad = server.query_with("SELECT 1", &[("x-tidewater-priority", "now")]);
    assert_eq!((bad.status, &bad.json()["code"]), (400, &json!("invalid_parameter")));
}

#[test]
fn queries_are_listed_shown_and_cancelled_by_who_may() {
    let folder = folder();
    let server = Server::start(folder.path(), &["query.slow_query_threshold_ms=1"]);
    server.lines("t,host=a v=1 1");
    let made = server.send("POST", "/api/v1/auth/tokens", &[], br#"{"name": "reader", "permissions": ["read"]}"#);
    let bearer = format!("Bearer {}", made.json()["token"].as_str().expect("a token"));
    let own = ("authorization", bearer.as_str());
    let reply =
        server.query_with("SELECT count(*) FROM generate_series(1, 5000000) WHERE generate_series % 3 = 1", &[]);
    let id = reply.header("x-tidewater-query-id").to_owned();
    assert_eq!(reply.header("x-arc-query-id"), id);
    let shown = server.get(&format!("/api/v1/queries/{id}")).json()["query"].clone();
    assert_eq!((&shown["status"], &shown["row_count"]), (&json!("completed"), &json!(1)));
    assert!(shown["plan"].as_str().is_some_and(|p| p.contains("AggregateExec") && p.contains("metrics=")), "{shown}");
    for part in ["wait_ms", "plan_ms", "first_rows_ms"] {
        assert!(shown[part].as_f64() <= shown["duration_ms"].as_f64(), "{part}: {shown}");
    }
    let log = || std::fs::read_to_string(folder.path().join("server.log")).unwrap();
    eventually("the slow query is logged", || log().contains("slow query") && log().contains(&id));
    // a reader sees and cancels its own alone
    let mine = server.query_with("SELECT 'mine'", &[own]).header("x-tidewater-query-id").to_owned();
    let list = server.send("GET", "/api/v1/queries/history", &[own], b"").json();
    assert_eq!((&list["count"], &list["queries"][0]["id"]), (&json!(1), &json!(mine)));
    for (method, path) in [("GET", &id), ("DELETE", &id)] {
        assert_eq!(server.send(method, &format!("/api/v1/queries/{path}"), &[own], b"").status, 404);
    }
    // a failure is listed with its reason
    assert_eq!(server.refusal("SELECT nothing FROM t").0, 400);
    let failed = &history(&server)[0];
    assert!(
        failed["status"] == "failed" && failed["error"].as_str().is_some_and(|e| e.contains("nothing")),
        "{failed}"
    );
    assert_eq!(server.get("/api/v1/queries/no-such-query").status, 404);
}

#[test]
fn t42_heavy_queries_share_fairly_while_writes_go_on() {
    let folder = folder();
    let settings = ["memory.budget=512MiB", "database.max_connections=4", "query.queue=30", "query.temp_bytes=256MiB"];
    let server = Server::start(folder.path(), &settings);
    let done = AtomicBool::new(false);
    let (outcomes, written) = std::thread::scope(|scope| {
        let heavy = "SELECT count(*) FROM (SELECT generate_series % 2500000 k, max(repeat('x', 20)) s, count(*) n \
                     FROM generate_series(1, 2500000) GROUP BY 1) t";
        let asked: Vec<_> = (0..20).map(|_| scope.spawn(|| server.query_with(heavy, &[]))).collect();
        let writer = scope.spawn(|| {
            let mut written = 0i64;
            while !done.load(Ordering::SeqCst) {
                server.lines(&format!("t v={written} {}", 1_000_000_000 * (written + 1)));
                written += 1;
            }
            written
        });
        let outcomes: Vec<Reply> = asked.into_iter().map(|a| a.join().expect("the thread ends")).collect();
        done.store(true, Ordering::SeqCst);
        (outcomes, writer.join().expect("the writer ends"))
    });
    for reply in &outcomes {
        let body = reply.json();
        assert!(reply.status == 200 || body["code"] == "memory_limit", "{} {body}", reply.status);
    }
    assert!(written > 0);
    assert_eq!(server.rows("SELECT count(*) FROM t"), json!([[written]]));
    all_is_quiet(&server);
    let peak_mib = server.memory_kib("VmHWM:") >> 10;
    assert!(peak_mib < 900, "{peak_mib} MiB resident with a budget of 512 MiB");
}

#[test]
fn q5_rows_that_end_because_the_work_broke_are_no_answer() {
    let folder = folder();
    let env = [("TIDEWATER_FAILPOINT", "pool.rows:1=panic")];
    let server = Server::try_start(folder.path(), &["database.max_connections=1"], &env).expect("it starts");
    let body = json!({"sql": "SELECT generate_series FROM generate_series(1, 100000)"}).to_string();
    let broken = server.send("POST", "/api/v1/query", &[], body.as_bytes());
    assert_eq!((broken.status, broken.json()["code"].as_str()), (500, Some("internal")), "{broken:?}");
    // the slot was replaced and serves
    assert_eq!(server.rows("SELECT 1"), json!([[1]]));
    let stats = pool(&server);
    assert_eq!(stats["pool"]["connections_replaced"], 1);
    assert_eq!(
        (&stats["connections"][0]["connection_id"], &stats["connections"][0]["failed_queries"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(history(&server).last().unwrap()["status"], "failed");
}

#[test]
fn q6_a_probe_that_fails_panics_or_hangs_is_seen_and_tried_again() {
    for point in ["pool.probe:2=error", "pool.probe:2=panic", "pool.query:1=hang"] {
        let folder = folder();
        let env = [("TIDEWATER_FAILPOINT", point)];
        let server = Server::try_start(folder.path(), &["database.health_check_interval=1"], &env).expect("it starts");
        let health = || pool(&server)["health"].clone();
        eventually("the failure shows", || health()["healthy"] == false);
        let failed = health();
        assert!(
            failed["consecutive_errors"].as_u64() >= Some(1) && failed["backoff_s"].as_u64() >= Some(1),
            "{failed}"
        );
        assert_eq!(server.metric("tidewater_query_pool_healthy"), 0.0);
        assert_eq!(server.rows("SELECT 1"), json!([[1]]), "{point}: queries go on");
        eventually("the pool is well again", || health()["healthy"] == true && health()["last_run"].is_string());
        assert_eq!(server.get("/ready").json()["query_pool"]["healthy"], true);
    }
}

#[test]
fn limits_of_a_token_hold_and_outlive_a_restart() {
    let folder = folder();
    let mut server = Server::start(folder.path(), &[]);
    let lines: String = (0..2_000).map(|i| format!("t,host=h v={i}i {}\n", i * 1_000_000_000i64)).collect();
    server.lines(&lines);
    server.flush();
    let made =
        server.send("POST", "/api/v1/auth/tokens", &[], br#"{"name": "limited", "permissions": ["read"]}"#).json();
    let (id, bearer) = (made["id"].clone(), format!("Bearer {}", made["token"].as_str().expect("a token")));
    let own = [("authorization", bearer.as_str())];
    let path = format!("/api/v1/governance/policies/{id}");
    let send = |server: &Server, method: &str, path: &str, body: Value| {
        let reply = server.send(method, path, &[], body.to_string().as_bytes());
        (reply.status, reply.json())
    };
    let all = "/api/v1/governance/policies";
    assert_eq!(send(&server, "POST", all, json!({"token_id": 999, "max_rows_per_query": 1})).0, 404);
    assert_eq!(send(&server, "POST", all, json!({"token_id": id, "max_rows_per_query": -1})).0, 400);
    assert_eq!(send(&server, "POST", all, json!({"token_id": id, "no_such_limit": 1})).0, 400);
    let (status, body) =
        send(&server, "POST", all, json!({"token_id": id, "max_rows_per_query": 100, "max_scan_duration_sec": 1}));
    assert_eq!((status, &body["policy"]["token_name"]), (201, &json!("limited")));
    assert_eq!(send(&server, "POST", all, json!({"token_id": id})).0, 409);
    let refused = |server: &Server, sql: &str| {
        let reply = server.query_with(sql, &own);
        (reply.status, reply.json()["code"].as_str().unwrap_or_default().to_owned())
    };
    // rows, time and bytes of one query
    assert_eq!(server.query_with("SELECT v FROM t LIMIT 100", &own).json()["row_count"], 100);
    assert_eq!(refused(&server, "SELECT v FROM t LIMIT 101"), (400, "row_limit".into()));
    assert_eq!(send(&server, "PUT", &path, json!({"max_rows_per_query": 10_000})).0, 200);
    for encoding in ["identity", "gzip", "zstd"] {
        let headers = [own[0], ("accept-encoding", encoding)];
        let long = br#"{"sql": "SELECT generate_series FROM generate_series(1, 20000)"}"#;
        let cut = server.try_send("POST", "/api/v1/query", &headers, long);
        assert!(cut.is_err(), "an answer beyond the limit looks whole in {encoding}");
    }
    assert_eq!(send(&server, "PUT", &path, json!({"max_rows_per_query": 100})).0, 200);
    assert_eq!(refused(&server, ENDLESS), (504, "query_timeout".into()));
    assert_eq!(send(&server, "PUT", &path, json!({"max_scan_bytes_per_query": 10})).0, 200);
    assert_eq!(refused(&server, "SELECT sum(v) FROM t"), (400, "scan_limit".into()));
    assert_eq!(server.query_with("SELECT sum(v) FROM t WHERE time > TIMESTAMP '2100-01-01'", &own).status, 200);
    let policy = server.get(&path).json()["policy"].clone();
    assert_eq!((&policy["max_rows_per_query"], &policy["max_scan_bytes_per_query"]), (&json!(100), &json!(10)));
    // how often
    let used = server.send("GET", &format!("/api/v1/governance/usage/{id}"), &own, b"").json()["usage"].clone();
    let queries = used["queries_this_hour"].as_u64().expect("a number");
    assert!(queries >= 5 && used["rows_this_hour"].as_u64() >= Some(100), "{used}");
    assert_eq!(send(&server, "PUT", &path, json!({"max_queries_per_hour": queries + 2})).0, 200);
    (0..2).for_each(|_| assert_eq!(server.query_with("SELECT 1", &own).status, 200));
    let reply = server.query_with("SELECT 1", &own);
    assert_eq!((reply.status, &reply.json()["code"]), (429, &json!("rate_limited")));
    assert!(reply.header("retry-after").parse::<u64>().is_ok_and(|s| s > 60), "{reply:?}");
    assert_eq!(server.query_with("SELECT 1", &[]).status, 200, "others go on");
    assert!(server.stop().is_some());
    let server = Server::start(folder.path(), &[]);
    assert_eq!(refused(&server, "SELECT 1"), (429, "rate_limited".into()));
    assert_eq!(server.get(all).json()["count"], 1);
    assert_eq!(server.send("DELETE", &path, &[], b"").status, 200);
    assert_eq!(server.query_with("SELECT 1", &own).status, 200);
    assert_eq!(server.get(&path).status, 404);
}
