//! Every job at once, while the same is asked of the server and of a DuckDB attached to its catalog.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use super::harness::{Server, folder, python};

/// 2023-11-15T00:00:00Z
const START: i64 = 1_700_006_400;
const ROUNDS: i64 = 12;

#[test]
fn t44_t47_t50_answers_hold_through_every_job_here_and_in_duckdb() {
    let dir = folder();
    let settings = [
        "ingest.max_buffer_age_ms=50",
        "ingest.max_quiet_age_ms=50",
        "compaction.interval_ms=100",
        "compaction.min_files=2",
        "catalog.snapshot_age_ms=2000",
        "retention.enabled=false",
        "continuous_queries.enabled=false",
        "scrub.mb_per_second=1000",
        "scrub.interval=1",
    ];
    let mut server = Server::start(dir.path(), &settings);
    let post = |path: &str, body: Value| {
        let reply = server.send("POST", path, &[], body.to_string().as_bytes());
        assert!(reply.status < 300, "{path}: {reply:?}");
        reply.json()
    };
    let steady = |i: i64| format!("m,host=steady v={i}i,w={i}i {}000000000\n", START + i * 60);
    server.lines(&(0..600).map(steady).collect::<String>());
    server.flush();
    post(
        "/api/v1/retention",
        json!({"name": "old", "database": "default", "measurement": "m*", "retention_days": 18_000, "buffer_days": 0}),
    );
    post(
        "/api/v1/continuous_queries",
        json!({"name": "hours", "database": "default", "source_measurement": "m", "destination_measurement": "hours",
            "interval": "1h", "look_back": "3650d", "query": "SELECT time_bucket(INTERVAL '1 hour', time) AS time, sum(v) AS total \
            FROM m WHERE host = 'steady' AND time >= {start_time} AND time < {end_time} GROUP BY 1"}),
    );
    let question = "SELECT count(*), sum(v), min(v), max(v) FROM m WHERE host = 'steady'";
    let answer = json!([[600, 179_700, 0, 599]]);
    let stop = dir.path().join("stop");
    let (asked, over) = (AtomicU64::new(0), std::sync::atomic::AtomicBool::new(false));
    std::thread::scope(|scope| {
        let here = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                assert_eq!(server.rows(question), answer);
                asked.fetch_add(1, Ordering::Relaxed);
            }
        });
        let there = scope.spawn(|| {
            let sql = question.replace("FROM m", "FROM lake.\"default\".m");
            let data = server.data();
            python("duckdb_steady.py", &[data.to_str().expect("plain"), &sql, stop.to_str().expect("plain")])
        });
        for round in 0..ROUNDS {
            let gone = |i: i64| format!("m,host=gone v={i}i {}000000000\n", START + i * 300 + round);
            server.lines(&(0..100).map(gone).collect::<String>());
            server.lines(&(0..50).map(|i| format!("m,host=old v={i}i {}\n", i + 1)).collect::<String>());
            server.lines(&format!("side_{round},host=a x={round}i {START}000000000\n"));
            server.flush();
            let deleted = post(
                "/api/v1/delete",
                json!({"database": "default", "measurement": "m", "where": "host = 'gone'", "confirm": true}),
            );
            assert_eq!(deleted["deleted_count"], 100);
            let run = post("/api/v1/retention/1/execute", json!({"confirm": true}));
            assert_eq!(run["deleted_count"], 50, "{run}");
            post(
                "/api/v1/continuous_queries/1/execute",
                json!({"start_time": "2023-11-15T00:00:00Z", "end_time": "2023-11-15T10:00:00Z"}),
            );
            if round == 4 {
                post("/api/v1/databases/default/measurements/m/retype", json!({"column": "w", "type": "float64"}));
            }
            if round == 8 {
                post("/api/v1/databases/default/measurements/m/retype", json!({"column": "w", "type": "string"}));
            }
            let side = format!("/api/v1/databases/default/measurements/side_{round}");
            post(&format!("{side}/rename"), json!({"name": format!("renamed_{round}")}));
            let renamed = format!("/api/v1/databases/default/measurements/renamed_{round}");
            let mode = server.send("PUT", &renamed, &[], br#"{"mode": "last"}"#);
            assert_eq!(mode.status, 200, "{mode:?}");
            assert_eq!(server.send("DELETE", &format!("{renamed}?confirm=true"), &[], b"").status, 200);
        }
        over.store(true, Ordering::Relaxed);
        std::fs::create_dir(&stop).expect("the folder is ours");
        here.join().expect("every answer was the same here");
        println!("DuckDB: {}", there.join().expect("every answer was the same in DuckDB"));
    });
    assert!(asked.load(Ordering::Relaxed) >= 20, "{asked:?}");
    assert!(server.metric("arc_compaction_jobs_success_total") >= 3.0);
    assert_eq!(server.rows("SELECT count(*), sum(total) FROM hours"), json!([[10, 179_700]]));
    assert_eq!(server.rows("SELECT count(*) FROM m"), json!([[600]]));
    let described = server.rows("DESCRIBE m");
    assert!(described.as_array().is_some_and(|c| c.iter().any(|c| c[0] == "w" && c[1] == "VARCHAR")), "{described}");
    assert!(server.stop().is_some_and(|s| s.success()));
    python("catalog_check.py", &[server.data().to_str().expect("a plain path")]);
}
