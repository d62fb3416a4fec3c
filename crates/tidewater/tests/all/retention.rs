//! Retention: after a run no row is older than its cut, for Tidewater and for readers outside.

use model::{Clock, SystemClock};
use serde_json::{Value, json};

use super::harness::{Reply, Server, eventually, folder, python};

fn send(server: &Server, method: &str, path: &str, body: Value) -> Reply {
    server.send(method, &format!("/api/v1/retention{path}"), &[], body.to_string().as_bytes())
}

/// Rows of the last hundred days, one each six hours, half of them in files that span weeks.
fn filled(server: &Server) -> i64 {
    let now = SystemClock.now_us() * 1_000;
    let line = |table: &str, i: i64| {
        format!("{table},host=h{} v={i}i {}\n", i % 3, now - i * 21_600_000_000_000 - 60_000_000_000)
    };
    for table in ["cpu", "cpu_load", "disk"] {
        server.lines(&(0..400).step_by(2).map(|i| line(table, i)).collect::<String>());
        server.flush();
        server.lines(&(1..400).step_by(2).map(|i| line(table, i)).collect::<String>());
    }
    now
}

#[test]
fn t53_t54_w4_a_run_is_exact_to_the_row_and_a_dry_run_counts_the_same() {
    let dir = folder();
    let mut server = Server::start(dir.path(), &["compaction.enabled=false"]);
    filled(&server);
    server.send("POST", "/api/v1/compaction/trigger?wait=true", &[], b"");
    let policy =
        json!({"name": "thirty", "database": "default", "measurement": "cpu*", "retention_days": 28, "buffer_days": 2});
    let created = send(&server, "POST", "", policy);
    let id = created.json()["id"].as_i64().expect("an id");
    assert_eq!((created.status, &created.json()["is_active"]), (201, &json!(true)));
    let run = |body: Value| send(&server, "POST", &format!("/{id}/execute"), body);
    assert_eq!(run(json!({})).status, 400, "a run must be confirmed");
    let dry = run(json!({"dry_run": true})).json();
    assert_eq!(server.rows("SELECT count(*) FROM cpu"), json!([[400]]));
    let done = run(json!({"confirm": true})).json();
    // thirty days of four rows are left of four hundred
    assert_eq!((&dry["deleted_count"], &done["deleted_count"]), (&json!(560), &json!(560)), "{dry} {done}");
    assert_eq!(done["affected_measurements"], json!(["cpu", "cpu_load"]));
    let cut = done["cutoff_date"].as_str().expect("a time").to_owned();
    for table in ["cpu", "cpu_load"] {
        let sql = format!("SELECT count(*), count(*) FILTER (WHERE time < '{cut}') AS older FROM {table}");
        assert_eq!(server.rows(&sql), json!([[120, 0]]));
    }
    assert_eq!(server.rows("SELECT count(*) FROM disk"), json!([[400]]));
    let runs = server.get(&format!("/api/v1/retention/{id}/executions")).json();
    assert_eq!(
        (&runs["executions"][0]["status"], &runs["executions"][0]["deleted_count"]),
        (&json!("completed"), &json!(560))
    );
    // a late row is visible until the next run
    server.lines("cpu,host=late v=1i 1600000000000000000");
    assert_eq!(server.rows("SELECT count(*) FROM cpu"), json!([[121]]));
    assert_eq!(run(json!({"confirm": true})).json()["deleted_count"], 1);
    server.kill();
    let mut server = Server::start(dir.path(), &["compaction.enabled=false"]);
    assert_eq!(server.rows("SELECT count(*) FROM cpu"), json!([[120]]));
    assert!(server.stop().is_some_and(|s| s.success()));
    python("catalog_check.py", &[server.data().to_str().expect("a plain path")]);
}

#[test]
fn w2_w7_policies_are_made_listed_changed_in_part_and_deleted() {
    let dir = folder();
    let mut server = Server::start(dir.path(), &[]);
    assert_eq!(server.get("/api/v1/retention").json(), json!([]));
    let made = send(&server, "POST", "", json!({"policy": {"name": "p", "database": "later", "retention_days": 5}}));
    let made = made.json();
    assert_eq!(
        (&made["buffer_days"], &made["is_active"], &made["measurement"]),
        (&json!(7), &json!(true), &Value::Null)
    );
    assert!(made["warning"].as_str().is_some_and(|w| w.contains("later")), "{made}");
    let path = format!("/{}", made["id"]);
    let changed = send(&server, "PUT", &path, json!({"is_active": false})).json();
    assert_eq!(
        (&changed["is_active"], &changed["retention_days"], &changed["name"]),
        (&json!(false), &json!(5), &json!("p"))
    );
    let idle = send(&server, "POST", &format!("{path}/execute"), json!({"confirm": true}));
    assert_eq!((idle.status, idle.json()["code"].as_str()), (400, Some("invalid_parameter")));
    let twice = send(&server, "POST", "/", json!({"name": "p", "database": "d", "retention_days": 1}));
    assert_eq!((twice.status, twice.json()["code"].as_str()), (409, Some("name_taken")));
    for bad in [
        json!({"name": "q", "database": "d"}),
        json!({"name": "q", "database": "d", "retention_days": 0}),
        json!({"name": "q", "database": "d", "retention_days": -3}),
        json!({"name": "q", "database": "d", "retention_days": 1.5}),
        json!({"name": "q", "database": "d", "retention_days": 1, "buffer_days": -1}),
        json!({"name": "q", "database": "d", "retention_days": 9_000_000_000_000_i64}),
        json!({"name": "q", "retention_days": 3}),
        json!([]),
    ] {
        assert_eq!(send(&server, "POST", "", bad.clone()).status, 400, "{bad}");
    }
    server.kill();
    let server = Server::start(dir.path(), &[]);
    assert_eq!(server.get("/api/v1/retention").json().as_array().map(Vec::len), Some(1), "kept over a restart");
    assert_eq!(send(&server, "DELETE", &path, json!({})).status, 200);
    assert_eq!(
        (server.get(&format!("/api/v1/retention{path}")).status, server.get("/api/v1/retention").json()),
        (404, json!([]))
    );
}

#[test]
fn w6_w8_active_policies_run_by_themselves_and_a_run_cut_short_is_settled() {
    let dir = folder();
    let settings = ["retention.check_interval_ms=100", "retention.interval=1"];
    let armed = [("TIDEWATER_FAILPOINT", "retention.started:1")];
    let mut server = Server::try_start(dir.path(), &settings, &armed).expect("it starts");
    filled(&server);
    let policy =
        json!({"name": "p", "database": "default", "retention_days": 20, "buffer_days": 0, "is_active": false});
    assert_eq!(send(&server, "POST", "", policy).status, 201);
    // the scheduler may begin, and the process end, before this has an answer
    let _ = server.try_send("PUT", "/api/v1/retention/1", &[], br#"{"is_active": true}"#);
    assert!(server.wait_end(super::harness::DEADLINE).is_some(), "the scheduler begins a run");
    let server = Server::start(dir.path(), &settings);
    eventually("the rows are gone", || server.rows("SELECT count(*) FROM cpu") == json!([[80]]));
    let runs = server.get("/api/v1/retention/1/executions?limit=500").json();
    let first = runs["executions"].as_array().and_then(|r| r.last()).cloned().expect("a run");
    assert_eq!(
        (&first["status"], &first["error_message"]),
        (&json!("failed"), &json!("the server ended during the run"))
    );
}

#[test]
fn w8_a_policy_runs_by_its_own_schedule() {
    let dir = folder();
    // the server's own interval would come in a year
    let server = Server::start(dir.path(), &["retention.check_interval_ms=100", "retention.interval=31536000"]);
    filled(&server);
    let policy = |schedule: &str| {
        json!({"name": schedule, "database": "default", "measurement": "cpu", "retention_days": 20, "buffer_days": 0,
            "schedule": schedule, "timezone": "Europe/Berlin"})
    };
    for (field, bad) in [("schedule", "whenever"), ("schedule", "61 * * * *"), ("timezone", "Nowhere/Town")] {
        let mut refused = policy("@daily");
        refused[field] = json!(bad);
        let reply = send(&server, "POST", "", refused);
        assert!(reply.status == 400 && reply.json()["error"].as_str().is_some_and(|e| e.contains(bad)), "{reply:?}");
    }
    let yearly = send(&server, "POST", "", policy("0 0 1 1 *")).json();
    let next = yearly["next_execution_time"].as_str().expect("a time");
    assert!(next.ends_with("-12-31T23:00:00.000Z"), "midnight in Berlin: {next}");
    let often = send(&server, "POST", "", policy("* * * * * *"));
    assert_eq!((often.status, &often.json()["jitter_seconds"]), (201, &json!(0)));
    eventually("the rows are gone", || server.rows("SELECT count(*) FROM cpu") == json!([[80]]));
    eventually("it runs again", || {
        let runs = server.get("/api/v1/retention/2/executions").json();
        runs["executions"].as_array().is_some_and(|r| r.len() >= 2)
    });
    assert_eq!(server.get("/api/v1/retention/1/executions").json()["executions"], json!([]));
    let slower = send(&server, "PUT", "/2", json!({"schedule": "1d", "jitter_seconds": 60})).json();
    assert_eq!((&slower["schedule"], &slower["timezone"]), (&json!("1d"), &json!("Europe/Berlin")));
}
