//! Continuous queries: each window exactly once, whatever happens.

use serde_json::{Value, json};

use crate::harness::{DEADLINE, Reply, Server, eventually, folder};

const ROUTE: &str = "/api/v1/continuous_queries";
const BY_HAND: [&str; 3] = ["continuous_queries.enabled=false", "compaction.enabled=false", "retention.enabled=false"];
/// 2023-11-14T22:00:00Z
const T: i64 = 1_699_999_200;
const SUMS: &str = "SELECT time_bucket(INTERVAL '1 minute', time) AS time, host, sum(v) AS total, count(*) AS n \
                    FROM cpu WHERE time >= {start_time} AND time < {end_time} GROUP BY 1, 2";

fn send(server: &Server, method: &str, path: &str, body: Value) -> Reply {
    server.send(method, &format!("{ROUTE}{path}"), &[], body.to_string().as_bytes())
}

fn definition(query: &str) -> Value {
    json!({"name": "sums", "database": "default", "source_measurement": "cpu", "destination_measurement": "cpu_1m",
        "query": query, "interval": "1m", "look_back": "36500d"})
}

/// Ten minutes, two hosts, a row each 10 seconds.
fn fill(server: &Server) {
    let lines: Vec<String> =
        (0..60).flat_map(|i| ["a", "b"].map(|h| format!("cpu,host={h} v={i}i {}000000000", T + i * 10))).collect();
    server.lines(&lines.join("\n"));
}

/// What the destination ought to hold, asked of the source itself.
fn wanted(server: &Server) -> Value {
    server.rows(
        "SELECT time_bucket(INTERVAL '1 minute', time) AS t, host, sum(v)::BIGINT, count(*) FROM cpu GROUP BY 1, 2 ORDER BY 1, 2",
    )
}

fn written(server: &Server) -> Value {
    server.rows("SELECT time, host, total, n FROM cpu_1m ORDER BY time, host")
}

fn backfill(server: &Server, from: i64, to: i64) -> Reply {
    let stamp = |s: i64| chrono(s);
    send(server, "POST", "/1/execute", json!({"start_time": stamp(from), "end_time": stamp(to)}))
}

/// Seconds as RFC 3339 on that evening.
fn chrono(seconds: i64) -> String {
    let of_day = seconds - 1_699_920_000;
    format!("2023-11-14T{:02}:{:02}:{:02}Z", of_day / 3600, of_day / 60 % 60, of_day % 60)
}

#[test]
fn t56_a_window_is_replaced_and_never_doubled() {
    let dir = folder();
    let server = Server::start(dir.path(), &BY_HAND);
    fill(&server);
    let made = send(&server, "POST", "", definition(SUMS));
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.json()["is_active"], true, "an absent is_active is true");
    let dry = send(
        &server,
        "POST",
        "/1/execute",
        json!({"start_time": chrono(T), "end_time": chrono(T + 120), "dry_run": true}),
    );
    let dry = dry.json();
    assert_eq!(
        (&dry["status"], &dry["records_written"], dry["rows"].as_array().map(Vec::len)),
        (&json!("dry_run"), &json!(4), Some(4))
    );
    assert_eq!(server.get("/api/v1/databases/default/measurements").json()["count"], 1, "a dry run writes nothing");
    for _ in 0..3 {
        let done = backfill(&server, T, T + 600);
        assert_eq!((done.status, &done.json()["records_written"]), (200, &json!(20)), "{done:?}");
        assert_eq!(written(&server), wanted(&server), "sums of integers stay integers, no row is doubled");
    }
    // part of what a file holds is replaced, the rest of it stays
    server.lines(&format!("cpu,host=a v=1000i {}000000000", T + 65));
    let done = backfill(&server, T + 60, T + 61);
    assert_eq!((done.status, &done.json()["records_written"]), (200, &json!(2)), "whole windows: {done:?}");
    assert_eq!(written(&server), wanted(&server));
    // files hold it as well, and so after a restart
    server.flush();
    let again = server.send("POST", "/api/v1/compaction/trigger?wait=true", &[], b"");
    assert_eq!(again.status, 200);
    assert_eq!(written(&server), wanted(&server));
    drop(server);
    let server = Server::start(dir.path(), &BY_HAND);
    assert_eq!(written(&server), wanted(&server));
    let runs = server.get(&format!("{ROUTE}/1/executions")).json();
    assert_eq!(runs["executions"].as_array().map(Vec::len), Some(4), "a dry run is no execution");
    assert!(runs["executions"][0]["execution_id"].as_str().is_some_and(|e| e.starts_with("cq-exec-")), "{runs}");
}

#[test]
fn t56_late_rows_and_deletes_compute_their_windows_again_and_no_more() {
    let dir = folder();
    let server = Server::start(dir.path(), &BY_HAND);
    fill(&server);
    assert_eq!(send(&server, "POST", "", definition(SUMS)).status, 201);
    assert_eq!(backfill(&server, T, T + 600).status, 200);
    let due = || send(&server, "POST", "/1/execute", json!({})).json()["records_written"].as_u64();
    due().expect("the mark moves to now");
    assert_eq!(due(), Some(0), "nothing has come since");
    server.lines(&format!("cpu,host=a v=500i {}000000000\ncpu,host=c v=7i {}000000000", T + 5, T + 6));
    assert_eq!(due(), Some(3), "one window of three hosts");
    assert_eq!(written(&server), wanted(&server));
    // the same by way of files
    server.lines(&format!("cpu,host=b v=9i {}000000000", T + 125));
    server.flush();
    assert!(due().is_some_and(|n| n >= 2), "the window of the late row, and at most those of its file");
    assert_eq!(written(&server), wanted(&server));
    let body = json!({"database": "default", "measurement": "cpu", "where": "host = 'b'", "confirm": true}).to_string();
    assert_eq!(server.send("POST", "/api/v1/delete", &[], body.as_bytes()).status, 200);
    due();
    assert_eq!(written(&server), wanted(&server), "what was deleted is gone from the sums, empty windows too");
    assert_eq!(due(), Some(0));
}

#[test]
fn t56_cut_at_any_point_a_window_is_there_once_or_not_yet() {
    for point in ["cq.rows_written", "cq.commit.before", "cq.commit.after"] {
        let dir = folder();
        let mut server = Server::try_start(dir.path(), &BY_HAND, &[("TIDEWATER_FAILPOINT", point)]).expect("it starts");
        fill(&server);
        assert_eq!(send(&server, "POST", "", definition(SUMS)).status, 201);
        let body = json!({"start_time": chrono(T), "end_time": chrono(T + 600)}).to_string();
        assert!(server.try_send("POST", &format!("{ROUTE}/1/execute"), &[], body.as_bytes()).is_err(), "{point}");
        assert!(server.wait_end(DEADLINE).is_some());
        let server = Server::start(dir.path(), &BY_HAND);
        let run = server.get(&format!("{ROUTE}/1/executions")).json()["executions"][0].clone();
        assert_eq!(run["status"], "failed", "{point}: {run}");
        if point == "cq.commit.after" {
            assert_eq!((&run["records_written"], written(&server)), (&json!(20), wanted(&server)), "{point}");
        }
        assert_eq!(backfill(&server, T, T + 600).status, 200, "{point}");
        assert_eq!(written(&server), wanted(&server), "{point}");
    }
}

#[test]
fn k1_k8_a_query_runs_by_itself_and_an_edit_takes_effect_at_once() {
    let dir = folder();
    let server = Server::start(dir.path(), &["continuous_queries.check_interval_ms=100"]);
    fill(&server);
    let mut wanted_now = definition(SUMS);
    wanted_now["retention_days"] = json!(3650);
    let made = send(&server, "POST", "", wanted_now);
    assert_eq!(made.status, 201, "{made:?}");
    eventually("it runs without a restart", || {
        !server.get(&format!("{ROUTE}/1")).json()["last_processed_time"].is_null()
    });
    let policies = server.get("/api/v1/retention").json();
    assert_eq!(
        (&policies[0]["name"], &policies[0]["measurement"]),
        (&json!("continuous query sums"), &json!("cpu_1m"))
    );
    let now = server.rows("SELECT epoch(now())::BIGINT")[0][0].as_i64().expect("seconds");
    server.lines(&format!("cpu,host=x v=5i {}000000000", (now / 60 - 5) * 60));
    let edited = send(&server, "PUT", "/1", json!({"description": "edited"}));
    assert_eq!((edited.status, &edited.json()["query"]), (200, &json!(SUMS)), "a partial PUT keeps the rest");
    eventually("the late row is summed", || {
        server.query_with("SELECT total FROM cpu_1m WHERE host = 'x'", &[]).body.windows(5).any(|w| w == b"[[5]]")
    });
    let paused = send(&server, "PUT", "/1", json!({"is_active": false}));
    assert_eq!((paused.status, &paused.json()["is_active"]), (200, &json!(false)));
    assert_eq!(send(&server, "POST", "/1/execute", json!({})).status, 400, "it is not active");
    assert_eq!(server.get(&format!("{ROUTE}?is_active=true")).json(), json!([]));
    assert_eq!(server.get(&format!("{ROUTE}?database=default")).json().as_array().map(Vec::len), Some(1));
    let seen = server.get("/api/v1/schedulers").json();
    assert_eq!(seen["cq_scheduler"]["job_count"], 0, "{seen}");
    assert_eq!(send(&server, "DELETE", "/1", json!({})).status, 200);
    assert_eq!((server.get(&format!("{ROUTE}/1")).status, server.get("/api/v1/retention").json()), (404, json!([])));
}

#[test]
fn k2_k9_what_cannot_run_is_refused_with_what_to_do() {
    let dir = folder();
    let server = Server::start(dir.path(), &BY_HAND);
    fill(&server);
    let mut kept = definition(SUMS);
    kept["name"] = json!("kept");
    assert_eq!(send(&server, "POST", "", kept).status, 201);
    let with = |field: &str, value: Value| {
        let mut d = definition(SUMS);
        d[field] = value;
        d
    };
    for (bad, says) in [
        (with("query", json!("SELECT time, v FROM cpu")), "{start_time}"),
        (
            with("query", json!("SELECT time, nothing FROM cpu WHERE time >= {start_time} AND time < {end_time}")),
            "nothing",
        ),
        (with("query", json!("SELECT time FROM absent WHERE time >= {start_time} AND time < {end_time}")), "absent"),
        (with("query", json!("SELECT v FROM cpu WHERE time >= {start_time} AND time < {end_time}")), "time"),
        (with("query", json!("DROP TABLE cpu")), "{start_time}"),
        (with("source_measurement", json!("absent")), "absent"),
        (with("destination_measurement", json!("CPU")), "sources"),
        (with("interval", json!("5s")), "10 seconds"),
        (with("interval", json!("often")), "interval"),
        (with("interval", json!("1mo")), "interval"),
        (with("tag_columns", json!(["rack"])), "rack"),
        (with("retention_days", json!(0)), "retention_days"),
        (with("name", json!("")), "name"),
    ] {
        let reply = send(&server, "POST", "", bad.clone());
        let text = reply.json()["error"].as_str().unwrap_or_default().to_owned();
        assert!(matches!(reply.status, 400 | 404) && text.contains(says), "{bad}: {} {text}", reply.status);
    }
    assert_eq!(send(&server, "POST", "", with("name", json!("kept"))).status, 409, "the name is taken");
    for good in ["1d", "90s", "1h30m", "PT5M", "5 minutes"] {
        let mut d = with("interval", json!(good));
        d["name"] = json!(good);
        // quoted placeholders, another database's spelling, a CTE and a join
        d["query"] = json!(
            "WITH x AS (SELECT time, host, v FROM default.cpu WHERE time >= '{start_time}' AND time < '{end_time}') \
            SELECT max(x.time) AS time, x.host, sum(x.v + y.v) AS total FROM x JOIN x AS y ON x.time = y.time AND x.host = y.host GROUP BY 2"
        );
        assert_eq!(send(&server, "POST", "", d).status, 201, "{good}");
    }
    // a row outside its window says what to set
    let wide = SUMS.replace("1 minute", "1 hour");
    assert_eq!(send(&server, "PUT", "/1", json!({"query": wide})).status, 200);
    let refused = backfill(&server, T + 60, T + 120);
    assert!(
        refused.status == 400 && refused.json()["error"].as_str().is_some_and(|e| e.contains("bucket")),
        "{refused:?}"
    );
    assert_eq!(send(&server, "PUT", "/1", json!({"bucket": "1h"})).status, 200);
    assert_eq!(backfill(&server, T + 60, T + 120).json()["records_written"], 2, "the whole hour of two hosts");
    assert_eq!(backfill(&server, T + 60, T + 60).status, 400, "the start is not before the end");
}
