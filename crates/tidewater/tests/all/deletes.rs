//! Rows deleted over HTTP: exactly those for which the condition is true, all at once, for good.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::harness::{Reply, Server, folder, python};

const START: i64 = 1_700_006_400;

fn delete(server: &Server, body: Value) -> Reply {
    server.send("POST", "/api/v1/delete", &[], body.to_string().as_bytes())
}

fn request(condition: &str, more: Value) -> Value {
    let mut body = json!({"database": "default", "measurement": "m", "where": condition});
    more.as_object().expect("an object").iter().for_each(|(k, v)| body[k] = v.clone());
    body
}

/// A hundred rows over four hours, half of them in files; `b` comes late and is null before.
fn filled(server: &Server) {
    let line = |i: i64| {
        let late = if i >= 60 { format!(",b={i}i") } else { String::new() };
        format!("m,host=h{} a={i}i{late} {}000000000\n", i % 5, START + i * 144)
    };
    server.lines(&(0..50).map(line).collect::<String>());
    server.flush();
    server.lines(&(50..100).map(line).collect::<String>());
}

#[test]
fn t52_d1_d2_d7_only_rows_for_which_the_condition_is_true_go_hot_and_in_files() {
    for (condition, left) in [
        ("a < 10", 90),
        ("b > 79", 80),
        ("NOT (b > 79)", 80),
        ("b IS NULL", 40),
        ("host = 'h1' AND a >= 50", 90),
        ("time < '2023-11-15T01:00:00Z'", 75),
        ("time >= TIMESTAMP '2023-11-15 01:00:00' AND host IN ('h0', 'h1')", 70),
        ("a % 2 = 1 OR host = 'h0'", 40),
        ("time < now()", 0),
        ("a = 1000", 100),
    ] {
        let dir = folder();
        let mut server = Server::start(dir.path(), &["compaction.interval_ms=100", "compaction.min_files=2"]);
        filled(&server);
        let kept = "SELECT count(*), sum(a), count(b) FROM m";
        let expected = server.rows(&format!("{kept} WHERE ({condition}) IS NOT TRUE"));
        let dry = delete(&server, request(condition, json!({"dry_run": true}))).json();
        assert_eq!(
            (&dry["deleted_count"], server.rows("SELECT count(*) FROM m")),
            (&json!(100 - left), json!([[100]]))
        );
        let done = delete(&server, request(condition, json!({"confirm": true}))).json();
        assert_eq!(
            (&done["deleted_count"], &done["dry_run"]),
            (&dry["deleted_count"], &json!(false)),
            "{condition}: {done}"
        );
        assert_eq!((server.rows(kept), &expected[0][0]), (expected.clone(), &json!(left)), "{condition}");
        // neither replay nor a merge brings them back
        server.lines(&format!("m,host=new a=7i {START}000000000"));
        server.kill();
        let mut server = Server::start(dir.path(), &["compaction.enabled=false"]);
        assert_eq!(server.rows("SELECT count(*) FROM m"), json!([[left + 1]]), "{condition}");
        server.send("POST", "/api/v1/compaction/trigger?wait=true", &[], b"");
        assert_eq!(server.rows("SELECT count(*) FROM m WHERE host <> 'new'"), json!([[left]]), "{condition}");
        assert!(server.stop().is_some_and(|s| s.success()));
    }
}

#[test]
fn t35_a_table_emptied_by_a_delete_still_answers_in_every_format() {
    let dir = folder();
    let mut server = Server::start(dir.path(), &[]);
    filled(&server);
    assert_eq!(delete(&server, request("true", json!({"confirm": true}))).json()["deleted_count"], 100);
    assert_eq!(server.rows("SELECT * FROM m"), json!([]));
    assert_eq!(server.rows("SELECT count(*), max(a) FROM m"), json!([[0, null]]));
    let arrow = server.send("POST", "/api/v1/query/arrow", &[], br#"{"sql":"SELECT * FROM m"}"#);
    assert_eq!(arrow.status, 200);
    assert!(server.stop().is_some_and(|s| s.success()));
    let checked = python("catalog_check.py", &[server.data().to_str().expect("a plain path")]);
    println!("{checked}");
    let server = Server::start(dir.path(), &[]);
    assert_eq!(server.rows("SELECT count(*) FROM m"), json!([[0]]));
    server.lines("m,host=h a=1i 1");
    assert_eq!(server.rows("SELECT count(*) FROM m"), json!([[1]]));
}

#[test]
fn d5_limits_hold_for_deletes_and_never_for_dry_runs() {
    let dir = folder();
    let server = Server::start(dir.path(), &["delete.max_rows_per_delete=60", "delete.confirmation_threshold=20"]);
    filled(&server);
    let code = |reply: &Reply| (reply.status, reply.json()["code"].as_str().unwrap_or_default().to_owned());
    let dry = delete(&server, request("a >= 0", json!({"dry_run": true})));
    assert_eq!((dry.status, dry.json()["deleted_count"].clone()), (200, json!(100)));
    let many = delete(&server, request("a >= 0", json!({"confirm": true})));
    assert!(
        code(&many) == (400, "invalid_query".into())
            && many.json()["error"].as_str().unwrap().contains("max_rows_per_delete")
    );
    let silent = delete(&server, request("a < 30", json!({})));
    assert!(
        silent.status == 400 && silent.json()["error"].as_str().unwrap().contains("confirm"),
        "{:?}",
        silent.json()
    );
    assert_eq!(delete(&server, request("a < 20", json!({}))).json()["deleted_count"], 20);
    assert_eq!(delete(&server, request("a < 30", json!({"confirm": true}))).json()["deleted_count"], 10);
    assert_eq!(server.rows("SELECT count(*) FROM m"), json!([[70]]));
    for (condition, wanted) in [
        ("a < (SELECT 1)", "unsupported"),
        ("a IN (SELECT a FROM m)", "unsupported"),
        ("random() < 0.5", "unsupported"),
        ("a; DROP TABLE m", "unsupported"),
        ("a < 1) OR (1 = 1", "syntax_error"),
        ("nosuch = 1", "invalid_query"),
        ("sum(a) > 1", "unsupported"),
        ("a", "unsupported"),
        ("a <", "syntax_error"),
    ] {
        let reply = delete(&server, request(condition, json!({"confirm": true})));
        assert_eq!(code(&reply), (400, wanted.into()), "{condition}: {:?}", reply.json());
    }
    let missing = delete(&server, json!({"database": "default", "measurement": "m"}));
    assert_eq!(code(&missing), (400, "invalid_parameter".into()));
    let unknown = delete(&server, json!({"database": "default", "measurement": "other", "where": "a = 1"}));
    assert_eq!(code(&unknown), (404, "table_not_found".into()));
    assert_eq!(server.rows("SELECT count(*) FROM m"), json!([[70]]));
}

#[test]
fn d6_a_crash_at_any_step_leaves_all_rows_or_none() {
    // the two writes defined, and flushed, in four commits at most: the delete's own points are named
    for (point, left) in [("delete.rewritten:1", 100), ("delete.commit.before:1", 100), ("delete.commit.after:1", 90)] {
        let dir = folder();
        let quiet = ["compaction.enabled=false"];
        let mut server = Server::try_start(dir.path(), &quiet, &[("TIDEWATER_FAILPOINT", point)]).expect("it starts");
        filled(&server);
        let answer =
            server.try_send("POST", "/api/v1/delete", &[], request("a % 10 = 3", json!({})).to_string().as_bytes());
        assert!(answer.is_err(), "{point}: {answer:?}");
        assert!(server.wait_end(Duration::from_secs(20)).is_some(), "{point} was not hit");
        let mut server = Server::start(dir.path(), &quiet);
        assert_eq!(server.rows("SELECT count(*) FROM m"), json!([[left]]), "{point}");
        assert!(server.stop().is_some_and(|s| s.success()));
        python("catalog_check.py", &[server.data().to_str().expect("a plain path")]);
    }
}

#[test]
fn t44_a_query_sees_all_of_a_delete_or_nothing() {
    let dir = folder();
    let server = Server::start(dir.path(), &["catalog.snapshot_age_ms=1000", "catalog.file_grace_ms=0"]);
    server.lines(&format!("m,host=stays a=0i {START}000000000"));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut asked = 0;
            while !over.load(Ordering::Relaxed) || asked < 5 {
                let rows = server.rows("SELECT count(*) FROM m WHERE host = 'gone'");
                assert!(rows == json!([[0]]) || rows == json!([[40]]), "{rows}");
                asked += 1;
            }
        });
        for round in 0..10i64 {
            let line = |i: i64| format!("m,host=gone a={i}i {}000000000\n", START + i * 360 + round);
            server.lines(&(0..40).map(line).collect::<String>());
            if round % 2 == 0 {
                server.flush();
            }
            assert_eq!(delete(&server, request("host = 'gone'", json!({}))).json()["deleted_count"], 40);
        }
        over.store(true, Ordering::Relaxed);
        asking.join().expect("every answer was right");
    });
    assert_eq!(server.rows("SELECT count(*) FROM m"), json!([[1]]));
}

#[test]
fn influxdb_clients_delete_by_time_and_predicate() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    filled(&server);
    server.lines(&format!("other,host=h1 v=1i {START}000000000"));
    let send =
        |body: Value| server.send("POST", "/api/v2/delete?org=o&bucket=default", &[], body.to_string().as_bytes());
    let range = |predicate: &str| json!({"start": "2023-11-15T00:00:00Z", "stop": "2023-11-15T01:00:00Z", "predicate": predicate});
    assert_eq!(send(range(r#"_measurement="m" AND host="h1""#)).status, 204);
    // rows 0 to 25 lie in the range, both ends included; those of h1 are 1, 6, 11, 16 and 21
    assert_eq!(server.rows("SELECT count(*) FROM m"), json!([[95]]));
    assert_eq!(send(range("")).status, 204);
    assert_eq!(server.rows("SELECT (SELECT count(*) FROM m), (SELECT count(*) FROM other)"), json!([[74, 0]]));
    let bad = send(range("host != 'a'"));
    assert_eq!((bad.status, bad.json()["code"].as_str()), (400, Some("invalid_parameter")));
}

#[test]
fn d3_merges_beside_deletes_bring_no_row_back() {
    let dir = folder();
    let settings = ["compaction.min_files=2", "ingest.max_quiet_age_ms=50"];
    let mut server = Server::start(dir.path(), &settings);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let merging = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                server.send("POST", "/api/v1/compaction/trigger?wait=true", &[], b"");
            }
        });
        for round in 0..25i64 {
            let line = |i: i64| {
                let host = if i % 2 == 0 { "gone" } else { "stays" };
                format!("m,host={host} a={i}i {}000000000\n", START + i * 60 + round)
            };
            server.lines(&(0..40).map(line).collect::<String>());
            server.flush();
            let reply = delete(&server, request("host = 'gone'", json!({})));
            assert_eq!(reply.json()["deleted_count"], 20, "round {round}");
            let seen = server.rows("SELECT count(*) FILTER (WHERE host = 'gone'), count(*) FROM m");
            assert_eq!(seen, json!([[0, (round + 1) * 20]]), "round {round}");
        }
        over.store(true, Ordering::Relaxed);
        merging.join().expect("it was answered");
    });
    assert!(server.metric("arc_compaction_jobs_success_total") >= 5.0, "merges ran meanwhile");
    server.kill();
    let server = Server::start(dir.path(), &settings);
    server.send("POST", "/api/v1/compaction/trigger?wait=true", &[], b"");
    assert_eq!(server.rows("SELECT count(*) FILTER (WHERE host = 'gone'), count(*) FROM m"), json!([[0, 500]]));
}

#[test]
fn d4_a_table_of_points_keeps_one_row_a_point_after_a_delete_rewrote_its_files() {
    let dir = folder();
    let server = Server::start(dir.path(), &["compaction.enabled=false"]);
    let write = |version: i64| {
        let lines: String = ["a", "b", "c"].map(|h| format!("m,host={h} v={version}i {START}000000000\n")).concat();
        assert_eq!(server.send("POST", "/write?db=default", &[], lines.as_bytes()).status, 204);
        server.flush();
    };
    write(1);
    write(2);
    let reply = delete(&server, request("host = 'a'", json!({})));
    assert_eq!(reply.json()["deleted_count"], 1, "{reply:?}");
    write(3);
    let all = "SELECT host, v FROM m ORDER BY host";
    assert_eq!(server.rows(all), json!([["a", 3], ["b", 3], ["c", 3]]));
    server.send("POST", "/api/v1/compaction/trigger?wait=true", &[], b"");
    assert_eq!(server.rows(all), json!([["a", 3], ["b", 3], ["c", 3]]));
    assert_eq!(server.get("/api/v1/databases/default/measurements").json()["measurements"][0]["row_count"], 3);
}

#[test]
fn d9_a_delete_touches_no_other_table_of_a_like_name() {
    let dir = folder();
    let server = Server::start(dir.path(), &["compaction.enabled=false"]);
    let tables = ["cpu", "my_cpu", "cpu_", "cpu.cpu", "a/cpu"];
    server.lines(&tables.map(|t| format!("{t} a=1i {START}000000000\n")).concat());
    server.flush();
    let other = [("x-arc-database", "cpu")];
    let line = format!("cpu a=1i {START}000000000");
    assert_eq!(server.send("POST", "/api/v1/write/line-protocol", &other, line.as_bytes()).status, 204);
    let body = json!({"database": "default", "measurement": "cpu", "where": "true", "confirm": true});
    assert_eq!(delete(&server, body).json()["deleted_count"], 1);
    assert_eq!(server.rows("SELECT count(*) FROM cpu"), json!([[0]]));
    for table in ["\"my_cpu\"", "\"cpu_\"", "\"cpu.cpu\"", "\"a/cpu\"", "cpu.cpu"] {
        assert_eq!(server.rows(&format!("SELECT count(*) FROM {table}")), json!([[1]]), "{table}");
    }
}
