//! Work that requests start: rows that outlive the process.

use serde_json::{Value, json};

use crate::harness::{DEADLINE, Server, eventually, folder};

const QUIET: [&str; 2] = ["compaction.enabled=false", "retention.enabled=false"];

fn delete(server: &Server, query: &str, condition: &str) -> crate::harness::Reply {
    let body = json!({"database": "default", "measurement": "cpu", "where": condition, "confirm": true});
    server.send("POST", &format!("/api/v1/delete{query}"), &[], body.to_string().as_bytes())
}

fn fill(server: &Server) {
    let lines: Vec<String> = (0..100).map(|i| format!("cpu,host=h{} v={i}i {}", i % 4, 1_700_000_000 + i)).collect();
    server.lines(&lines.join("\n"));
}

#[test]
fn d6_d8_a_delete_is_a_job_that_may_be_awaited_and_is_remembered_over_a_restart() {
    let dir = folder();
    let mut server = Server::start(dir.path(), &QUIET);
    fill(&server);
    let waited = delete(&server, "", "v < 10");
    assert_eq!((waited.status, &waited.json()["deleted_count"]), (200, &json!(10)), "{waited:?}");
    let begun = delete(&server, "?async=true", "v >= 10 AND v < 30");
    assert_eq!((begun.status, &begun.json()["status"]), (202, &json!("running")), "{begun:?}");
    let path = begun.json()["location"].as_str().expect("a location").to_owned();
    eventually("the job ends", || server.get(&path).json()["state"] == "completed");
    let job = server.get(&path).json();
    assert_eq!(
        (&job["result"]["deleted_count"], &job["owner"], &job["kind"]),
        (&json!(20), &json!("admin"), &json!("delete"))
    );
    assert_eq!(server.rows("SELECT count(*) FROM cpu"), json!([[70]]));
    let refused = delete(&server, "", "nothing = 1");
    assert_eq!(refused.status, 400, "{refused:?}");
    server.kill();
    let server = Server::start(dir.path(), &QUIET);
    let history = server.get("/api/v1/delete/history").json();
    let seen: Vec<(&Value, &Value)> =
        history["deletes"].as_array().expect("deletes").iter().map(|d| (&d["state"], &d["request"]["where"])).collect();
    assert_eq!(
        seen,
        [
            (&json!("failed"), &json!("nothing = 1")),
            (&json!("completed"), &json!("v >= 10 AND v < 30")),
            (&json!("completed"), &json!("v < 10")),
        ]
    );
    assert_eq!(server.get("/api/v1/jobs/999").status, 404);
    let ended = server.send("POST", "/api/v1/jobs/1/cancel", &[], b"");
    assert_eq!((ended.status, ended.json()["code"].as_str()), (400, Some("invalid_parameter")));
    assert_eq!(server.get("/api/v1/compaction/locks").json(), json!({"count": 0, "locks": []}));
}

#[test]
fn a_restart_settles_what_was_running_by_what_the_catalog_says() {
    for (point, state, left) in [("delete.commit.before", "failed", 100), ("delete.commit.after", "completed", 90)] {
        let dir = folder();
        let mut server = Server::try_start(dir.path(), &QUIET, &[("TIDEWATER_FAILPOINT", point)]).expect("it starts");
        fill(&server);
        let body = json!({"database": "default", "measurement": "cpu", "where": "v < 10", "confirm": true}).to_string();
        assert!(server.try_send("POST", "/api/v1/delete", &[], body.as_bytes()).is_err(), "{point}: it answered");
        assert!(server.wait_end(DEADLINE).is_some());
        let server = Server::start(dir.path(), &QUIET);
        let job = server.get("/api/v1/jobs/1").json();
        assert_eq!(job["state"], state, "{point}: {job}");
        if state == "completed" {
            assert_eq!(job["result"]["deleted_count"], 10);
        }
        assert_eq!(server.rows("SELECT count(*) FROM cpu"), json!([[left]]), "{point}");
        // the lock of the process that died is not in the way
        assert_eq!(delete(&server, "", "v >= 50").status, 200, "{point}");
        assert_eq!(server.rows("SELECT count(*) FROM cpu"), json!([[left - 50]]), "{point}");
    }
}
