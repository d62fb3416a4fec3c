//! Continuous queries: each window exactly once, whatever happens.

use serde_json::{Value, json};

use crate::harness::{DEADLINE, Reply, Server, eventually, folder};

const ROUTE: &str = "/api/v1/continuous_queries";
const BY_HAND: [&str; 4] = [
    "continuous_queries.enabled=false",
    "compaction.enabled=false",
    "retention.enabled=false",
    "server.sync_wait_ms=300000",
];
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
fn t56_k2_k5_a_window_is_replaced_and_never_doubled() {
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
fn t56_k1_late_rows_and_deletes_compute_their_windows_again_and_no_more() {
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
fn t56_k10_cut_at_any_point_a_window_is_there_once_or_not_yet() {
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
fn t57_k7_k9_a_query_runs_by_itself_and_an_edit_takes_effect_at_once() {
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
fn k6_k9_what_cannot_run_is_refused_with_what_to_do() {
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

#[test]
fn k3_k4_k8_a_month_is_filled_in_chunks_the_mark_never_moves_back_and_old_rows_of_the_source_go() {
    let dir = folder();
    let server = Server::start(dir.path(), &BY_HAND);
    // a row each ten minutes over the thirty days before the last whole hour
    let now = server.rows("SELECT epoch(now())::BIGINT")[0][0].as_i64().expect("seconds") / 3_600 * 3_600;
    let lines: Vec<String> = (1..=4_320).map(|i| format!("cpu,host=a v=1i {}000000000", now - i * 600)).collect();
    server.lines(&lines.join("\n"));
    let mut wanted_now = definition(&SUMS.replace("1 minute", "1 hour"));
    for (field, value) in [("interval", "1h"), ("look_back", "1d")] {
        wanted_now[field] = json!(value);
    }
    wanted_now["delete_source_after_days"] = json!(10);
    let made = send(&server, "POST", "", wanted_now);
    assert_eq!(made.status, 201, "{made:?}");
    let mark = || server.get(&format!("{ROUTE}/1")).json()["last_processed_time"].clone();
    assert_eq!(send(&server, "POST", "/1/execute", json!({})).status, 200);
    let before = mark();
    assert!(before.is_string(), "the first run sets the mark");
    assert_eq!(server.rows("SELECT count(*) FROM cpu"), json!([[4_320]]), "what was never summed stays");
    let span = |from: i64, to: i64| json!({"start_time": iso(&server, from), "end_time": iso(&server, to)});
    let body = span(now - 30 * 86_400, now).to_string();
    let begun = server.send("POST", &format!("{ROUTE}/1/execute?async=true"), &[], body.as_bytes());
    assert_eq!(begun.status, 202, "{begun:?}");
    let path = begun.json()["location"].as_str().expect("a location").to_owned();
    eventually("the month is filled", || server.get(&path).json()["state"] == "completed");
    let job = server.get(&path).json();
    assert_eq!(job["result"]["records_written"], 720, "{job}");
    assert_eq!(mark(), before, "a backfill moves no mark back");
    assert_eq!(server.rows("SELECT count(*), sum(total), max(n) FROM cpu_1m"), json!([[720, 4_320, 6]]));
    // windows that are final have given what they had: their rows go, and the sums stay
    assert_eq!(send(&server, "POST", "/1/execute", json!({})).status, 200);
    eventually("rows of final windows older than ten days are gone", || {
        server.rows("SELECT count(*) FROM cpu WHERE time < now() - INTERVAL '11 days'") == json!([[0]])
    });
    assert!(server.rows("SELECT count(*) FROM cpu")[0][0].as_i64() >= Some(9 * 144), "younger ones stay");
    assert_eq!(server.rows("SELECT sum(total) FROM cpu_1m"), json!([[4_320]]));
    // a row that comes later than that is of a final window: a sum of what is left would be wrong
    server.lines(&format!("cpu,host=a v=1000i {}000000000", now - 12 * 86_400 + 5));
    assert_eq!(send(&server, "POST", "/1/execute", json!({})).status, 200);
    assert_eq!(server.rows("SELECT sum(total) FROM cpu_1m"), json!([[4_320]]));
}

/// Seconds as RFC 3339, by the server itself.
fn iso(server: &Server, seconds: i64) -> String {
    server.rows(&format!("SELECT to_timestamp({seconds})"))[0][0].as_str().expect("a time").to_owned()
}
