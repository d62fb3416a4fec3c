//! The weak spots of the original's queries and tokens that no other file has by name.

use serde_json::{Value, json};

use crate::harness::{Server, TOKEN, folder};

#[test]
fn a7_a_token_in_the_query_string_stands_in_no_log() {
    let dir = folder();
    let server = Server::start(dir.path(), &["log.level=debug"]);
    let bare = [("authorization", "")];
    assert_eq!(server.send("GET", &format!("/api/v1/databases?p={TOKEN}"), &bare, b"").status, 200);
    for path in ["/api/v1/databases/none", "/no/such/path", "/api/v1/logs", "//api/v1/%2e/databases/none"] {
        server.send("GET", &format!("{path}?p={TOKEN}&limit=0"), &bare, b"");
    }
    server.send("DELETE", &format!("/api/v1/databases/none?p={TOKEN}"), &bare, b"");
    let log = std::fs::read_to_string(dir.path().join("server.log")).expect("the log");
    assert!(log.contains("/api/v1/databases/none") && !log.contains(TOKEN), "{log}");
    let remembered = server.get("/api/v1/logs?limit=1000").json().to_string();
    let audited = server.get("/api/v1/audit/logs?limit=1000").json().to_string();
    assert!(audited.contains("/api/v1/databases/none"), "{audited}");
    assert!(!remembered.contains(TOKEN) && !audited.contains(TOKEN));
}

#[test]
fn q4_a_row_is_seen_by_the_query_after_its_answer() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    for n in 1..=200 {
        server.lines(&format!("t v={n}i"));
        assert_eq!(server.rows("SELECT count(*), max(v) FROM t"), json!([[n, n]]));
    }
}

#[test]
fn q5_pruning_asks_the_plan_and_not_the_text() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    // a file each of two hours of 2019 and of 2030; a column whose name ends in time
    for (n, hour) in [438_000_i64, 438_001, 526_000, 526_001].into_iter().enumerate() {
        server.lines(&format!("t,host=h{n} uptime={n}i {}", hour * 3_600_000_000_000));
        server.flush();
    }
    for (condition, rows) in [
        ("uptime > 1", 2),
        ("time > '2025-01-01' OR host = 'h0'", 3),
        ("NOT (time > '2025-01-01')", 2),
        ("time < '2020-01-01'", 2),
        ("time >= '2030-01-01'", 2),
        ("time <= '2030-01-02T16:00:00Z'", 3),
        ("host = '2025-01-01' OR time > '2025-01-01'", 2),
        ("time IN (SELECT max(time) FROM t)", 1),
        ("time BETWEEN '2019-01-01' AND '2031-01-01' AND time > '2025-01-01'", 2),
    ] {
        let counted = server.rows(&format!("SELECT count(*) FROM t WHERE {condition}"));
        assert_eq!(counted, json!([[rows]]), "{condition}");
    }
    // a join prunes each side by its own range
    let both =
        "SELECT count(*) FROM t a JOIN t b ON a.host = b.host WHERE a.time > '2025-01-01' AND b.time < '2040-01-01'";
    assert_eq!(server.rows(both), json!([[2]]));
}

#[test]
fn q7_buckets_begin_before_their_rows_also_before_1970() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    // half a second before a boundary, the last microsecond, the boundary; on both sides of 1970
    for us in [59_500_000_i64, 59_999_999, 60_000_000, -500_000, -1, 0, -60_000_000, -60_000_001] {
        server.lines(&format!("t us={us}i {}", us * 1_000));
    }
    let answer = server.query(
        "SELECT us, epoch_us(time_bucket(INTERVAL '1 minute', time)), epoch_us(date_trunc('minute', time)) FROM t",
    );
    for row in answer["data"].as_array().expect("rows") {
        let us = row[0].as_i64().expect("a number");
        let floor = us.div_euclid(60_000_000) * 60_000_000;
        assert_eq!((row[1].as_i64(), row[2].as_i64()), (Some(floor), Some(floor)), "{us}");
    }
}

#[test]
fn q8_a_failure_after_the_first_rows_is_never_a_success() {
    let dir = folder();
    let lines: String = (0..50_000).map(|n| format!("t,host=h{n} v={n}i {n}\n")).collect();
    for path in ["/api/v1/query", "/api/v1/query/arrow"] {
        let server =
            Server::try_start(dir.path(), &["cache.percent=0"], &[("TIDEWATER_FAILPOINT", "pool.rows:1=error")]);
        let server = server.expect("it starts");
        server.lines(&lines);
        let sql = json!({"sql": "SELECT * FROM t"}).to_string();
        let cut = server.try_send("POST", path, &[], sql.as_bytes());
        let failed = match &cut {
            Err(_) => true,
            Ok(reply) => reply.status >= 400 || serde_json::from_slice::<Value>(&reply.body).is_err(),
        };
        assert!(failed, "{path}: {cut:?}");
        assert_eq!(server.rows("SELECT count(*) > 0 FROM t"), json!([[true]]), "the next one is whole");
    }
}

#[test]
fn q9_numbers_keep_their_value_and_tell_their_type() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    server.lines("t i=9223372036854775807i,u=18446744073709551615u,f=0.1 1\nt i=-9223372036854775808i,u=1u,f=1e300 2");
    let reply = server.query_with("SELECT i, u, f, time FROM t ORDER BY time", &[]);
    let text = String::from_utf8(reply.body.clone()).expect("text");
    for exact in ["9223372036854775807", "18446744073709551615", "-9223372036854775808", "0.1"] {
        assert!(text.contains(exact), "{exact}: {text}");
    }
    let types = reply.json()["types"].clone();
    assert_eq!(types.as_array().map(Vec::len), Some(4), "{text}");
    let sums = String::from_utf8(server.query_with("SELECT sum(i), sum(u) FROM t", &[]).body).expect("text");
    assert!(sums.contains("-1") && sums.contains("18446744073709551616"), "{sums}");
}

#[test]
fn q10_what_a_query_would_do_is_told_without_doing_it() {
    let dir = folder();
    let server = Server::start(dir.path(), &["query.timeout=5"]);
    server.lines("t v=1i");
    let endless = "SELECT sum(a.generate_series * b.generate_series) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b, t";
    let plan = server.query(&format!("EXPLAIN {endless}")).to_string();
    assert!(plan.contains("Aggregate") && plan.contains("generate_series"), "{plan}");
}

#[test]
fn q11_columns_come_in_one_order_wherever_the_rows_are() {
    let dir = folder();
    let mut server = Server::start(dir.path(), &[]);
    server.lines("t,zone=z,host=a zulu=1,alpha=2 1");
    let order = server.query("SELECT * FROM t")["columns"].clone();
    server.flush();
    server.lines("t,host=b,zone=y alpha=3,zulu=4,middle=5 2");
    let wider = server.query("SELECT * FROM t")["columns"].clone();
    let (old, new) = (order.as_array().expect("columns"), wider.as_array().expect("columns"));
    assert_eq!(new.len(), old.len() + 1);
    assert_eq!(new.iter().filter(|c| *c != "middle").collect::<Vec<_>>(), old.iter().collect::<Vec<_>>());
    server.flush();
    server.kill();
    let server = Server::start(dir.path(), &[]);
    assert_eq!(server.query("SELECT * FROM t")["columns"], wider);
}
