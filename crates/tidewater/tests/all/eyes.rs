//! What operators see: metrics, messages, endpoints, the OpenAPI document, status and doctor.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::harness::{Server, TOKEN, folder, python, tidewater};

fn metrics(server: &Server, token: &str) -> String {
    let bearer = format!("Bearer {token}");
    let own = if token.is_empty() { "" } else { bearer.as_str() };
    String::from_utf8(server.send("GET", "/metrics", &[("authorization", own)], b"").body).expect("text")
}

#[test]
fn metrics_tell_of_every_stage_route_and_task_and_of_databases_only_who_may_know() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    server.lines("cpu,host=a v=1\ncpu,host=b v=2");
    server.query("SELECT count(*) FROM cpu WHERE v > 0");
    assert_eq!(server.metric("arc_buffer_records_buffered"), 2.0);
    server.flush();
    assert_eq!(server.send("GET", "/api/v1/databases/none", &[], b"").status, 404);
    let text = metrics(&server, TOKEN);
    for stage in model::Stage::ALL.map(model::Stage::as_str) {
        let line = format!("tidewater_stage_seconds_count{{stage=\"{stage}\"}} ");
        let count = text.lines().find_map(|l| l.strip_prefix(&line)).unwrap_or_else(|| panic!("no {stage}"));
        assert!(count.parse::<u64>().is_ok_and(|n| n > 0), "{stage}: {count}");
    }
    for line in [
        "tidewater_http_requests_total{method=\"GET\",path=\"/api/v1/databases/{name}\",status=\"4xx\"} 1",
        "tidewater_http_requests_total{method=\"POST\",path=\"/api/v1/query\",status=\"2xx\"} 1",
        "tidewater_database_rows{database=\"default\"} 2",
        "tidewater_database_files{database=\"default\"} 1",
        "arc_buffer_records_buffered 0",
        "tidewater_unflushed_age_seconds 0",
        "tidewater_ready 1",
    ] {
        assert!(text.lines().any(|l| l == line), "no {line}");
    }
    for name in [
        "tidewater_task_failures_total{task=\"flush\"}",
        "process_start_time_seconds",
        "process_threads",
        "tidewater_disk_free_bytes",
        "tidewater_locks",
    ] {
        assert!(text.lines().any(|l| l.starts_with(name)), "no {name}");
    }
    // the page is public, names are not
    let scoped = json!({"name": "scoped", "permissions": ["read"], "scopes": ["other"]});
    let scoped = server.send("POST", "/api/v1/auth/tokens", &[], scoped.to_string().as_bytes()).json();
    for token in ["", scoped["token"].as_str().expect("a token"), "wrong but long enough to be a token"] {
        let text = metrics(&server, token);
        assert!(text.contains("arc_ingest_records_total 2") && !text.contains("database="), "{token}");
    }
    // each histogram's buckets rise to its count
    let mut last = (String::new(), 0.0);
    for line in text.lines().filter(|l| l.contains("_bucket{")) {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let series = series.split("le=").next().unwrap_or_default().to_owned();
        let value: f64 = value.parse().expect("a number");
        assert!(series != last.0 || value >= last.1, "{line}");
        last = (series, value);
    }
    python("exposition.py", &[&server.url, TOKEN]);
}

#[test]
fn a_hundred_databases_are_a_bounded_number_of_series() {
    let dir = folder();
    let server = Server::start(dir.path(), &["catalog.commits_per_second=1000"]);
    for n in 0..60 {
        let database = format!("db{n}");
        let reply = server.send("POST", "/api/v1/write/line-protocol", &[("x-arc-database", &database)], b"t v=1");
        assert_eq!(reply.status, 204);
    }
    let text = metrics(&server, TOKEN);
    let rows: Vec<&str> = text.lines().filter(|l| l.starts_with("tidewater_database_rows{")).collect();
    assert_eq!(rows.len(), 51);
    assert!(rows.contains(&"tidewater_database_rows{database=\"(others)\"} 10"), "{rows:?}");
}

#[test]
fn arcs_pages_of_numbers_and_messages_have_their_fields() {
    let dir = folder();
    let server = Server::start(dir.path(), &["metrics.timeseries_interval_seconds=1"]);
    server.lines("cpu v=1");
    server.query("SELECT 1");
    let all = server.get("/api/v1/metrics").json();
    assert!(all["timestamp"].is_string() && all["arc_ingest_records_total"] == 1.0, "{all}");
    let as_json = server.send("GET", "/metrics", &[("accept", "application/json")], b"");
    assert_eq!(as_json.json()["arc_ingest_records_total"], 1.0);
    let memory = server.get("/api/v1/metrics/memory").json();
    assert!(
        memory["memory"]["resident_bytes"].as_f64() > Some(1e6) && memory["runtime"]["threads"].as_f64() > Some(1.0),
        "{memory}"
    );
    let endpoints = server.get("/api/v1/metrics/endpoints").json();
    let asked = |group: &str, path: &str| -> Value {
        let list = endpoints[group].as_array().cloned().unwrap_or_default();
        list.into_iter().find(|e| e["path"] == path).unwrap_or_else(|| panic!("{group} has no {path}: {endpoints}"))
    };
    assert_eq!(asked("ingestion", "/api/v1/write/line-protocol")["success"], 1);
    assert_eq!(asked("query", "/api/v1/query")["requests"], 1);
    for (query, fine) in [
        ("", true),
        ("?limit=1&level=warn&since_minutes=5", true),
        ("?limit=0", false),
        ("?limit=x", false),
        ("?level=loud", false),
        ("?since_minutes=2000", false),
    ] {
        let reply = server.get(&format!("/api/v1/logs{query}"));
        assert_eq!(reply.status, if fine { 200 } else { 400 }, "{query}");
        assert!(fine || reply.json()["code"] == "invalid_parameter");
    }
    let logs = server.get("/api/v1/logs?limit=1000").json();
    let messages = logs["logs"].as_array().expect("messages");
    assert!(messages.iter().any(|m| m["message"].as_str().is_some_and(|t| t.starts_with("ready url="))), "{logs}");
    assert!(
        messages.iter().all(|m| m["timestamp"].is_string() && m["level"].is_string() && m["component"].is_string())
    );
    assert!(!logs.to_string().contains(TOKEN), "no secret is in the log");
}

#[test]
fn the_document_describes_every_route_and_needs_no_token() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    let reply = server.send("GET", "/openapi.json", &[("authorization", "")], b"");
    let document = reply.json();
    assert_eq!((reply.status, document["openapi"].as_str()), (200, Some("3.1.0")));
    let (_, table) = tidewater(&["routes"], &[]);
    let mut count = 0;
    for line in table.lines().filter(|l| l.contains("| `/")) {
        let cells: Vec<&str> = line.split('|').map(|c| c.trim().trim_matches('`')).collect();
        let operation = &document["paths"][cells[2]][cells[1].to_ascii_lowercase()];
        assert_eq!(operation["summary"], cells[4], "{line}");
        let open = operation["security"][0] == json!({});
        assert_eq!(open, cells[3] == "public", "{line}: {}", operation["security"]);
        count += 1;
    }
    assert!(count > 100, "{count}");
    let (_, printed) = tidewater(&["routes", "--openapi"], &[]);
    assert_eq!(printed.as_bytes(), reply.body);
}

#[test]
fn requests_made_of_the_document_meet_no_fault_and_no_answer_that_it_does_not_name() {
    let dir = folder();
    let server = Server::start(dir.path(), &["auth.max_failures_per_minute=0", "server.sync_wait_ms=5000"]);
    server.lines("cpu,host=a v=1 1700000000000000000");
    let examples = std::env::var("TW_API_EXAMPLES").unwrap_or_else(|_| "5".into());
    println!("{}", python("api_walk.py", &[&server.url, TOKEN, &examples]));
    assert_eq!(server.get("/health").status, 200);
}

#[test]
fn status_and_doctor_say_what_is_wrong_and_what_to_do() {
    let dir = folder();
    let mut server = Server::start(dir.path(), &[]);
    server.lines("cpu v=1");
    server.flush();
    let url = server.url.clone();
    let env = [("TIDEWATER_URL", url.as_str()), ("TIDEWATER_TOKEN", TOKEN)];
    let (fine, said) = tidewater(&["status"], &env);
    assert!(fine && said.contains("1 in 1 databases, 1 files"), "{said}");
    let (fine, said) = tidewater(&["status", "--json"], &env);
    let all: Value = serde_json::from_str(&said).expect("JSON");
    assert!(fine && all["ready"]["ready"] == true && all["metrics"]["tidewater_tables"] == 1.0, "{said}");
    let (fine, said) = tidewater(&["status"], &[("TIDEWATER_URL", &url), ("TIDEWATER_TOKEN", "wrong")]);
    assert!(!fine && said.contains("asks for a token"), "{said}");
    let data = server.data();
    let place = data.to_str().expect("plain").to_owned();
    let doctor = |args: &[&str]| {
        let all: Vec<&str> = ["doctor", place.as_str()].into_iter().chain(args.iter().copied()).collect();
        tidewater(&all, &[])
    };
    let (fine, said) = doctor(&[]);
    assert!(fine && said.contains(&format!("process {}", server.pid())), "{said}");
    server.kill();
    let (fine, said) = doctor(&["--deep"]);
    assert!(fine && said.contains("1 live files are read against their checksums"), "{said}");
    // others may read the key of the tokens
    let key = data.join("token-key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("set");
    let (fine, said) = doctor(&[]);
    assert!(!fine && said.contains("BAD  permissions") && said.contains("token-key has 644"), "{said}");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("set");
    let (fine, said) = tidewater(&["doctor", dir.path().to_str().expect("plain")], &[]);
    assert!(!fine && said.contains("holds no catalog"), "{said}");
}
