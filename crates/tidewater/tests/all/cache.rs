//! The cache of answers.

use std::sync::atomic::{AtomicI64, Ordering};

use serde_json::{Value, json};

use crate::harness::{Reply, Server, TOKEN, folder};

fn ask(server: &Server, sql: &str) -> (String, Value) {
    ask_with(server, sql, &[])
}

fn ask_with(server: &Server, sql: &str, headers: &[(&str, &str)]) -> (String, Value) {
    let reply = server.query_with(sql, headers);
    assert_eq!(reply.status, 200, "{sql}: {}", String::from_utf8_lossy(&reply.body));
    assert_eq!(reply.header("x-arc-cache"), reply.header("x-tidewater-cache"));
    (reply.header("x-tidewater-cache").to_owned(), reply.json()["data"].clone())
}

fn stats(server: &Server) -> Value {
    server.get("/api/v1/cache/stats").json()
}

#[test]
fn t43_a_cached_answer_is_never_stale() {
    let folder = folder();
    let server = Server::start(
        folder.path(),
        &[
            "ingest.max_buffer_age_ms=100",
            "ingest.max_quiet_age_ms=100",
            "compaction.interval_ms=100",
            "compaction.min_files=2",
        ],
    );
    server.lines("t,host=a v=0i 1000000000");
    let acknowledged = AtomicI64::new(1);
    let sql = "SELECT count(*), max(v) FROM t WHERE host = 'a'";
    std::thread::scope(|scope| {
        let dashboards: Vec<_> = (0..5)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let before = acknowledged.load(Ordering::SeqCst);
                        let (_, data) = ask(&server, sql);
                        let count = data[0][0].as_i64().expect("a count");
                        assert!(count >= before, "{count} rows seen after {before} were acknowledged");
                        assert_eq!(data[0][1], count - 1);
                    }
                })
            })
            .collect();
        while dashboards.iter().any(|d| !d.is_finished()) {
            let n = acknowledged.load(Ordering::SeqCst);
            server.lines(&format!("t,host=a v={n}i {}", (n + 1) * 1_000_000_000));
            acknowledged.store(n + 1, Ordering::SeqCst);
        }
    });
    let rows = acknowledged.load(Ordering::SeqCst);
    ask(&server, sql);
    // what changes rows changes answers, at once
    let delete = json!({"database": "default", "measurement": "t", "where": "v = 0", "confirm": true}).to_string();
    assert_eq!(server.send("POST", "/api/v1/delete", &[], delete.as_bytes()).status, 200);
    assert_eq!(ask(&server, sql).1, json!([[rows - 1, rows - 1]]));
    let drop = server.send("DELETE", "/api/v1/databases/default/measurements/t?confirm=true", &[], b"");
    assert_eq!(drop.status, 200);
    assert_eq!(server.refusal(sql).0, 404);
    server.lines("t,host=a v=7i 1");
    assert_eq!(ask(&server, sql).1, json!([[1, 7]]));
}

#[test]
fn c5_a_repeated_query_is_found_and_only_the_same_one() {
    let folder = folder();
    let server = Server::start(folder.path(), &[]);
    server.lines("t,host=a v=1i 1000000000\nt,host=A v=2i 2000000000");
    let met = |sql: &str| ask(&server, sql);
    assert_eq!(met("SELECT v FROM t WHERE host = 'a'"), ("miss".into(), json!([[1]])));
    assert_eq!(met("SELECT v FROM t WHERE host = 'a'"), ("hit".into(), json!([[1]])));
    // space, comments and the case of names are not the statement
    assert_eq!(met("select  V from T -- again\n where HOST = 'a'").1, json!([[1]]));
    // the case and the spaces of values are
    assert_eq!(met("SELECT v FROM t WHERE host = 'A'"), ("miss".into(), json!([[2]])));
    assert_eq!(met("SELECT v FROM t WHERE host = ' a'"), ("miss".into(), json!([])));
    assert_eq!(met("SELECT v AS x FROM t WHERE host = 'a'").0, "miss");
    // another database is another statement
    let lines = server.send("POST", "/api/v1/write/line-protocol", &[("x-arc-database", "other")], b"t,host=a v=9i 1");
    assert_eq!(lines.status, 204);
    let other = |headers: &[(&str, &str)]| ask_with(&server, "SELECT v FROM t WHERE host = 'a'", headers);
    assert_eq!(other(&[("x-arc-database", "other")]), ("miss".into(), json!([[9]])));
    assert_eq!(other(&[("x-tidewater-read", "committed")]), ("miss".into(), json!([])));
    assert_eq!(other(&[("cache-control", "no-cache")]), ("bypass".into(), json!([[1]])));
    assert_eq!(other(&[]), ("hit".into(), json!([[1]])));
    // what answers anew by itself is never kept
    for sql in [
        "SELECT now() > TIMESTAMP '2020-01-01' FROM t",
        "SELECT count(*) FROM t WHERE time < now()",
        "SELECT random() FROM t LIMIT 1",
        "SELECT count(*) FROM generate_series(1, 3)",
    ] {
        assert_eq!((met(sql).0, met(sql).0), ("bypass".into(), "bypass".into()), "{sql}");
    }
    // a failure is not kept either
    assert_eq!(server.refusal("SELECT CAST(host AS BIGINT) FROM t").0, 400);
    assert_eq!(server.refusal("SELECT CAST(host AS BIGINT) FROM t").0, 400);
    // a new column is in the next answer
    assert_eq!(met("SELECT * FROM t WHERE v = 1").0, "miss");
    server.lines("t,host=b v=3i,w=1i 3000000000");
    assert_eq!(met("SELECT * FROM t WHERE v = 1").1[0].as_array().unwrap().len(), 4);
    // both formats are made of one answer
    let arrow = |server: &Server| -> Reply {
        server.send("POST", "/api/v1/query/arrow", &[], br#"{"sql": "SELECT v FROM t WHERE host = 'a'"}"#)
    };
    let first = arrow(&server);
    let second = arrow(&server);
    assert_eq!((first.status, second.header("x-tidewater-cache"), &first.body), (200, "hit", &second.body));
    let seen = stats(&server);
    assert!(seen["metrics"]["hits"].as_u64() >= Some(4) && seen["current_size_bytes"].as_u64() > Some(0), "{seen}");
    assert_eq!(server.get("/api/v1/cache/health").json()["healthy"], true);
    let cleared = server.send("POST", "/api/v1/cache/clear", &[], b"").json();
    assert_eq!(cleared["cleared"], seen["current_size"]);
    assert_eq!(stats(&server)["current_size_bytes"], 0);
    assert_eq!(met("SELECT v FROM t WHERE host = 'a'").0, "miss");
}

#[test]
fn c5_a_query_over_closed_hours_stays_cached_while_others_are_written() {
    let folder = folder();
    let server = Server::start(folder.path(), &["compaction.enabled=false"]);
    const HOUR: i64 = 3_600_000_000_000;
    for hour in 0..3 {
        server.lines(&format!("t,host=a v={hour}i {}", hour * HOUR + 1));
    }
    server.flush();
    let closed = "SELECT sum(v) FROM t WHERE time < TIMESTAMP '1970-01-01 02:00:00'";
    assert_eq!(ask(&server, closed), ("miss".into(), json!([[1]])));
    for n in 0..5 {
        server.lines(&format!("t,host=a v=10i {}", 5 * HOUR + n));
        assert_eq!(ask(&server, closed), ("hit".into(), json!([[1]])));
        assert_eq!(ask(&server, "SELECT count(*) FROM t").1, json!([[4 + n]]));
    }
    server.flush();
    assert_eq!(ask(&server, closed), ("hit".into(), json!([[1]])));
    // a late row is in the next answer
    server.lines(&format!("t,host=a v=100i {}", HOUR + 2));
    assert_eq!(ask(&server, closed), ("miss".into(), json!([[101]])));
    // the newest row of each series, too
    let newest = "SELECT host, max(time), last(v ORDER BY time) FROM t GROUP BY host";
    let before = ask(&server, newest).1;
    server.lines(&format!("t,host=a v=77i {}", 9 * HOUR));
    assert_ne!(ask(&server, newest).1, before);
}

#[test]
fn t40_one_tenants_answer_is_not_anothers() {
    let folder = folder();
    let server = Server::start(folder.path(), &[]);
    server.lines("t v=1i 1");
    let make = |scope: &str| {
        let body = json!({"name": scope, "permissions": ["read"], "scopes": [scope]}).to_string();
        server.send("POST", "/api/v1/auth/tokens", &[], body.as_bytes()).json()["token"].as_str().unwrap().to_owned()
    };
    let (here, elsewhere) = (make("default"), make("elsewhere"));
    let sql = "SELECT v FROM t";
    let by = |token: &str| server.query_with(sql, &[("authorization", &format!("Bearer {token}"))]);
    assert_eq!((by(TOKEN).status, by(TOKEN).header("x-tidewater-cache")), (200, "hit"));
    assert_eq!(by(&elsewhere).status, 403);
    assert_eq!((by(&here).status, by(&here).header("x-tidewater-cache")), (200, "hit"));
    assert_eq!(by(&elsewhere).status, 403);
}

#[test]
fn a_cache_that_is_off_keeps_nothing() {
    let folder = folder();
    let server = Server::start(folder.path(), &["cache.percent=0"]);
    server.lines("t v=1i 1");
    for _ in 0..2 {
        assert_eq!(ask(&server, "SELECT v FROM t"), ("bypass".into(), json!([[1]])));
    }
    assert_eq!((&stats(&server)["enabled"], &stats(&server)["current_size"]), (&json!(false), &json!(0)));
}
