//! Ends, names and column types of tables, under running writes.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::harness::{DEADLINE, Server, folder, python};

const TABLE: &str = "/api/v1/databases/default/measurements/cpu";

fn post(server: &Server, path: &str, body: Value) -> crate::harness::Reply {
    server.send("POST", path, &[], body.to_string().as_bytes())
}

#[test]
fn t55_a_dropped_table_and_database_stay_away_and_later_rows_are_new_ones() {
    let dir = folder();
    let mut server = Server::start(dir.path(), &[]);
    server.lines("cpu v=1i 1\ncpu v=2i 2\nmem v=1i 1");
    server.flush();
    server.lines("cpu v=3i 3");
    assert_eq!(server.send("DELETE", TABLE, &[], b"").status, 400, "it must be confirmed");
    assert_eq!(server.rows("SELECT count(*) FROM cpu"), json!([[3]]));
    let hot = |server: &Server| server.metric("tidewater_hot_bytes");
    assert!(hot(&server) > 0.0);
    assert_eq!(server.send("DELETE", &format!("{TABLE}?confirm=true"), &[], b"").status, 200);
    assert_eq!(hot(&server), 0.0, "its memory is given back");
    assert_eq!(server.refusal("SELECT * FROM cpu").1, "table_not_found");
    server.lines("cpu w=9i 9");
    server.kill();
    let mut server = Server::start(dir.path(), &[]);
    assert_eq!(server.rows("SELECT w FROM cpu"), json!([[9]]), "no old row enters the new table");
    assert_eq!(server.send("DELETE", "/api/v1/databases/default?confirm=true", &[], b"").status, 200);
    assert_eq!(server.get("/api/v1/databases").json()["count"], 0);
    server.lines("mem v=7i 7");
    server.kill();
    let server = Server::start(dir.path(), &[]);
    assert_eq!(server.rows("SELECT v FROM mem"), json!([[7]]));
    assert_eq!(server.send("DELETE", "/api/v1/databases/absent?confirm=true", &[], b"").status, 404);
    assert_eq!(server.send("DELETE", &format!("{TABLE}?confirm=true"), &[], b"").status, 404);
}

#[test]
fn a_renamed_table_keeps_its_rows_hot_and_in_files() {
    let dir = folder();
    let mut server = Server::start(dir.path(), &[]);
    server.lines("cpu v=1i 1\nmem v=1i 1");
    server.flush();
    server.lines("cpu v=2i 2");
    assert_eq!(post(&server, &format!("{TABLE}/rename"), json!({"name": "mem"})).status, 409);
    assert_eq!(post(&server, &format!("{TABLE}/rename"), json!({"name": "processor"})).status, 200);
    assert_eq!(server.rows("SELECT v FROM processor ORDER BY v"), json!([[1], [2]]));
    assert_eq!(server.refusal("SELECT * FROM cpu").1, "table_not_found");
    server.lines("cpu v=3i 3\nprocessor v=4i 4");
    server.kill();
    let server = Server::start(dir.path(), &[]);
    assert_eq!(server.rows("SELECT v FROM processor ORDER BY v"), json!([[1], [2], [4]]));
    assert_eq!(server.rows("SELECT v FROM cpu"), json!([[3]]));
    server.flush();
    python("catalog_check.py", &[server.data().to_str().expect("a plain path")]);
}

#[test]
fn a_column_changes_its_type_under_running_writes() {
    let dir = folder();
    let mut server = Server::start(dir.path(), &["compaction.enabled=false", "ingest.max_buffer_age_ms=100"]);
    server.lines("cpu,host=a v=1i,w=true 1");
    server.flush();
    server.lines("cpu,host=b v=2i,w=false 2");
    let (stop, written) = (AtomicBool::new(false), AtomicUsize::new(2));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let n = written.load(Ordering::Relaxed) + 1;
                server.lines(&format!("cpu,host=c v={n}i {n}"));
                written.store(n, Ordering::Relaxed);
                if n.is_multiple_of(20) {
                    server.flush();
                }
            }
        });
        let done = post(&server, &format!("{TABLE}/retype"), json!({"column": "v", "type": "float64"}));
        stop.store(true, Ordering::Relaxed);
        assert_eq!(done.status, 200, "{done:?}");
    });
    let n = written.load(Ordering::Relaxed);
    let check = |server: &Server| {
        let seen = server.query("SELECT count(*), count(v), sum(v), max(v) FROM cpu");
        assert_eq!(seen["data"], json!([[n, n, (n * (n + 1) / 2) as f64, n as f64]]));
        assert_eq!(seen["types"], json!(["int64", "int64", "float64", "float64"]));
    };
    check(&server);
    let said = post(&server, &format!("{TABLE}/retype"), json!({"column": "w", "type": "string"}));
    assert_eq!(said.status, 200, "{said:?}");
    server.lines(&format!("cpu,host=a v=0.5 {}", n + 1));
    server.kill();
    let server = Server::start(dir.path(), &[]);
    assert_eq!(server.rows("SELECT w FROM cpu WHERE w IS NOT NULL ORDER BY w DESC"), json!([["true"], ["false"]]));
    assert_eq!(server.rows("SELECT sum(v) FROM cpu"), json!([[(n * (n + 1) / 2) as f64 + 0.5]]));
    server.flush();
    python("catalog_check.py", &[server.data().to_str().expect("a plain path")]);
    for (column, ty) in [("v", "int64"), ("host", "string"), ("time", "string"), ("absent", "string"), ("w", "float64")]
    {
        let refused = post(&server, &format!("{TABLE}/retype"), json!({"column": column, "type": ty}));
        assert_eq!(refused.status, 400, "{column} {ty}: {refused:?}");
    }
}

#[test]
fn a_change_of_type_cut_anywhere_is_whole_or_absent() {
    for (point, kind) in
        [("retype.rewritten", "int64"), ("retype.commit.before", "int64"), ("retype.commit.after", "float64")]
    {
        let dir = folder();
        let mut server = Server::try_start(dir.path(), &[], &[("TIDEWATER_FAILPOINT", point)]).expect("it starts");
        server.lines("cpu v=1i 1");
        server.flush();
        server.lines("cpu v=2i 2");
        let body = json!({"column": "v", "type": "float64"}).to_string();
        assert!(server.try_send("POST", &format!("{TABLE}/retype"), &[], body.as_bytes()).is_err(), "{point}");
        assert!(server.wait_end(DEADLINE).is_some());
        let server = Server::start(dir.path(), &[]);
        let seen = server.query("SELECT sum(v)::BIGINT, max(v) FROM cpu");
        assert_eq!((&seen["data"][0][0], &seen["types"][1]), (&json!(3), &json!(kind)), "{point}");
        assert_eq!(
            post(&server, &format!("{TABLE}/retype"), json!({"column": "v", "type": "string"})).status,
            200,
            "{point}"
        );
    }
}

#[test]
fn a_fraction_makes_an_integer_column_of_a_small_table_a_float_in_files_as_well() {
    let dir = folder();
    let mut server = Server::start(dir.path(), &["compaction.enabled=false"]);
    server.lines("m,host=a v=20i,n=1i 1\nbig v=9007199254740993i 1");
    server.flush();
    server.lines("m,host=a v=21i 2");
    // both dialects, and many at once
    std::thread::scope(|scope| {
        for i in 0..6i64 {
            let server = &server;
            scope.spawn(move || server.lines(&format!("m,host=b v={i}.5 {}", i + 10)));
        }
    });
    assert_eq!(server.rows("SELECT count(*), sum(v), max(n) FROM m"), json!([[8, 59.0, 1]]));
    let jobs = server.get("/api/v1/jobs?kind=retype").json();
    let jobs = jobs["jobs"].as_array().expect("jobs").clone();
    assert!(jobs.iter().filter(|j| j["state"] == "completed").count() == 1, "one job for all of them: {jobs:?}");
    assert_eq!((&jobs[0]["owner"], &jobs[0]["request"]["column"]), (&json!("server"), &json!("v")));
    let refused = server.send("POST", "/api/v1/write/line-protocol", &[], b"big v=0.5 2");
    assert!(
        refused.status == 400 && refused.json()["error"].as_str().is_some_and(|e| e.contains("string")),
        "{refused:?}"
    );
    assert_eq!(server.rows("SELECT v FROM big"), json!([[9_007_199_254_740_993i64]]), "no digit is lost");
    server.kill();
    let server = Server::start(dir.path(), &["compaction.enabled=false"]);
    assert_eq!(server.rows("SELECT count(*), sum(v), max(n) FROM m"), json!([[8, 59.0, 1]]));
    assert_eq!(
        server.rows("DESCRIBE m"),
        json!([
            ["time", "TIMESTAMP WITH TIME ZONE", "YES", null, null, null, "time", "append"],
            ["time_ns", "SMALLINT", "YES", null, null, null, "time", "append"],
            ["host", "VARCHAR", "YES", null, null, null, "tag", "append"],
            ["n", "BIGINT", "YES", null, null, null, "field", "append"],
            ["v", "DOUBLE", "YES", null, null, null, "field", "append"],
        ])
    );
    assert_eq!(
        server.rows("DESCRIBE SELECT host AS h, avg(v) AS mean FROM m GROUP BY 1"),
        json!([["h", "VARCHAR", "YES", null, null, null], ["mean", "DOUBLE", "YES", null, null, null]])
    );
}
