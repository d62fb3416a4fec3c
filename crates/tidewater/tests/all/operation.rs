#![expect(clippy::disallowed_methods, reason = "tests damage files on purpose")]

use std::process::Command;
use std::time::Duration;

use serde_json::json;

use super::harness::{Server, TOKEN, folder, has_strace, strace};

#[test]
fn every_form_of_the_token_is_accepted_and_none_is_401() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    let basic = "Basic dXNlcjowMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZg==";
    for headers in [
        [("authorization", "Token 0123456789abcdef0123456789abcdef")],
        [("authorization", TOKEN)],
        [("authorization", basic)],
    ] {
        assert_eq!(server.send("GET", "/api/v1/databases", &headers, b"").status, 200, "{headers:?}");
    }
    let with_key = [("authorization", ""), ("x-api-key", TOKEN)];
    assert_eq!(server.send("GET", "/api/v1/databases", &with_key, b"").status, 200);
    let by_query = format!("/api/v1/databases?u=x&p={TOKEN}");
    assert_eq!(server.send("GET", &by_query, &[("authorization", "")], b"").status, 200);
    for headers in [[("authorization", "")], [("authorization", "Bearer wrong")]] {
        let reply = server.send("GET", "/api/v1/databases", &headers, b"");
        assert_eq!((reply.status, reply.json()["success"].clone()), (401, json!(false)));
    }
    for public in ["/health", "/ready", "/metrics"] {
        assert_eq!(server.send("GET", public, &[("authorization", "")], b"").status, 200, "{public}");
    }
}

#[test]
fn the_first_start_makes_one_token_and_keeps_it_private() {
    use std::os::unix::fs::PermissionsExt;
    let dir = folder();
    let start = || Server::try_start(dir.path(), &[], &[]).unwrap_or_else(|e| panic!("{e}"));
    let server = start();
    let file = server.data().join("admin-token");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(server.data().join("catalog.sqlite")).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn health_ready_and_unknown_routes_say_what_clients_check() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    let health = server.get("/health").json();
    assert!(
        health["status"] == "ok"
            && health["time"].is_string()
            && health["uptime"].is_string()
            && health["uptime_sec"].is_number()
    );
    assert_eq!(server.get("/ready").json()["ready"], json!(true));
    let unknown = server.get("/api/v1/nothing");
    assert_eq!((unknown.status, unknown.json()["error"].clone()), (404, json!("Cannot GET /api/v1/nothing")));
    let metrics = String::from_utf8(server.get("/metrics").body).unwrap();
    for name in
        ["process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds", "arc_ingest_records_total"]
    {
        assert!(metrics.lines().any(|l| l.starts_with(name)), "{name}");
    }
}

#[test]
fn a_second_server_on_the_folder_refuses_and_says_who_holds_it() {
    let dir = folder();
    let first = Server::start(dir.path(), &[]);
    let log = Server::try_start(dir.path(), &[], &[]).err().expect("the second must not start");
    assert!(log.contains(&format!("process {}", first.pid())), "{log}");
}

#[test]
fn an_unknown_setting_stops_the_start_and_is_named() {
    let dir = folder();
    let log = Server::try_start(dir.path(), &["server.prot=1"], &[]).err().expect("must not start");
    assert!(log.contains("server.prot"), "{log}");
    let log = Server::try_start(dir.path(), &[], &[("TIDEWATER_INGEST_NOPE", "1")]).err().expect("must not start");
    assert!(log.contains("TIDEWATER_INGEST_NOPE"), "{log}");
}

#[test]
fn t24_a_full_disk_refuses_writes_with_507_and_reads_go_on() {
    let dir = folder();
    let mut server = Server::start(dir.path(), &[]);
    server.lines("t v=1");
    server.kill();
    // more is asked to be free than any disk has
    let server = Server::start(dir.path(), &["storage.min_free_bytes=1000000GiB"]);
    let reply = server.send("POST", "/api/v1/write/line-protocol", &[], b"t v=2");
    assert_eq!((reply.status, reply.json()["code"].as_str()), (507, Some("disk_full")));
    assert_eq!(server.get("/ready").status, 503);
    assert_eq!(server.rows("SELECT count(*) FROM t"), json!([[1]]));
}

#[test]
fn t25_damage_in_the_log_stops_writes_and_reads_go_on_until_it_is_repaired() {
    let dir = folder();
    let mut server = Server::start(dir.path(), &[]);
    server.lines("t v=1");
    server.flush();
    for i in 0..20 {
        server.lines(&format!("t v={i}"));
    }
    server.kill();
    let segment = std::fs::read_dir(dir.path().join("data/log"))
        .unwrap()
        .flatten()
        .map(|e| e.path())
        .find(|p| p.extension().is_some_and(|e| e == "seg"))
        .unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    // a group in the middle: each stands at a multiple of 512, later headers mark it durable
    bytes[512 * 5 + 60] ^= 1;
    std::fs::write(&segment, &bytes).unwrap();
    let mut server = Server::start(dir.path(), &[]);
    let ready = server.get("/ready");
    let reason = ready.json()["reason"].as_str().unwrap_or_default().to_owned();
    assert!(ready.status == 503 && reason.contains("offset 2560") && reason.contains("repair log"), "{reason}");
    let write = server.send("POST", "/api/v1/write/line-protocol", &[], b"t v=1");
    assert_eq!((write.status, write.json()["code"].as_str()), (503, Some("write_service_unavailable")));
    let answer = server.query("SELECT count(*) FROM t");
    assert!(answer["warning"].as_str().is_some_and(|w| w.contains("damaged")), "{answer}");
    server.kill();
    let repair = Command::new(env!("CARGO_BIN_EXE_tidewater"))
        .args(["repair", "log"])
        .arg(dir.path().join("data"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&repair.stdout).into_owned();
    assert!(repair.status.success() && said.contains("are lost") && said.contains("aside:"), "{said}");
    let server = Server::start(dir.path(), &[]);
    server.lines("t v=100");
    assert_eq!(server.rows("SELECT max(v) FROM t"), json!([[100.0]]));
}

#[test]
fn t28_fdatasync_comes_before_the_answer() {
    let Ok(version) = Command::new("strace").arg("-V").output() else {
        println!("skipped: strace is not installed, so system calls cannot be watched");
        return;
    };
    assert!(version.status.success());
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    server.lines("t v=0"); // the table exists: what follows is the log alone
    let trace = dir.path().join("trace");
    let told = trace.to_str().expect("plain");
    let calls = ["-e", "trace=fdatasync,write,writev,sendto", "-e", "signal=none", "-s", "24", "-o", told];
    let mut strace = strace(&server, &calls);
    super::harness::eventually("strace attaches", || {
        server.lines("t v=0");
        std::fs::read_to_string(&trace).is_ok_and(|t| t.contains("fdatasync"))
    });
    let before = std::fs::read_to_string(&trace).unwrap().matches("204 No Content").count();
    for i in 0..20 {
        server.lines(&format!("t v={i}"));
    }
    super::harness::eventually("the trace holds the answers", || {
        std::fs::read_to_string(&trace).unwrap_or_default().matches("204 No Content").count() >= before + 20
    });
    let _ = strace.kill();
    let _ = strace.wait();
    // sequential requests: between two answers there is a finished fdatasync
    let mut synced = true;
    let mut answers = 0;
    for line in std::fs::read_to_string(&trace).unwrap().lines() {
        if line.contains("fdatasync") && line.contains("= 0") {
            synced = true;
        } else if line.contains("204 No Content") {
            assert!(synced, "an answer without an fdatasync before it: {line}");
            synced = false;
            answers += 1;
        }
    }
    assert!(answers >= 20, "{answers}");
}

#[test]
fn sigterm_leaves_a_catalog_without_its_wal_file() {
    let dir = folder();
    let mut server = Server::start(dir.path(), &[]);
    server.lines("t v=1");
    assert!(server.stop().is_some_and(|s| s.success()));
    assert!(!dir.path().join("data/catalog.sqlite-wal").exists());
    let server = Server::start(dir.path(), &[]);
    assert_eq!(
        server.query_with("SELECT count(*) FROM t", &[("x-tidewater-read", "committed")]).json()["data"],
        json!([[1]])
    );
}

#[test]
fn the_command_line_asks_a_server_and_says_which_tokens_it_tried() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    server.lines("t,h=a v=1.5 0");
    let sql = |args: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_tidewater")).args(["sql", "--url", &server.url]).args(args).output().unwrap()
    };
    let folder = server.data();
    let out = sql(&["--folder", folder.to_str().unwrap(), "--format", "csv", "SELECT h, v FROM t"]);
    assert_eq!(String::from_utf8_lossy(&out.stdout), "h,v\na,1.5\n", "{}", String::from_utf8_lossy(&out.stderr));
    let out = sql(&["--folder", "/nowhere", "SELECT 1"]);
    assert!(!out.status.success() && String::from_utf8_lossy(&out.stderr).contains("no TIDEWATER_TOKEN"));
}

#[test]
fn a_client_that_leaves_stops_its_query() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    let sql = json!({"sql": "SELECT sum(a.generate_series * b.generate_series) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b"}).to_string();
    let running = |n: u32| {
        super::harness::eventually("the number of running queries", || {
            String::from_utf8(server.get("/metrics").body).unwrap().contains(&format!("tidewater_query_running {n}"))
        })
    };
    let address = server.url.trim_start_matches("http://").to_owned();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let request = format!(
        "POST /api/v1/query HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {}\r\n\r\n{sql}",
        sql.len()
    );
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    running(1);
    drop(stream);
    let began = std::time::Instant::now();
    running(0);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn an_io_error_on_the_log_is_never_followed_by_another_204() {
    if !has_strace() {
        println!("skipped: strace is not installed, so no error can be injected");
        return;
    }
    let dir = folder();
    let mut server = Server::start(dir.path(), &[]);
    server.lines("t v=0i"); // the table exists: what follows is the log alone
    let broken = ["-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO", "-o", "/dev/null"];
    let mut strace = strace(&server, &broken);
    let began = std::time::Instant::now();
    let mut acknowledged = 1;
    // until strace has attached, writes succeed; the first failing sync ends the process
    while let Ok(reply) = server.try_send("POST", "/api/v1/write/line-protocol", &[], b"t v=1i") {
        assert_eq!(reply.status, 204, "{}", String::from_utf8_lossy(&reply.body));
        acknowledged += 1;
        assert!(began.elapsed() < super::harness::DEADLINE, "the error was never injected");
    }
    let status = server.wait_end(Duration::from_secs(10)).expect("the server ends");
    let _ = strace.wait();
    assert_eq!(status.code(), Some(74), "{status}");
    let server = Server::start(dir.path(), &[]);
    let stored = server.rows("SELECT count(*) FROM t")[0][0].as_i64().unwrap();
    assert!((acknowledged..=acknowledged + 1).contains(&stored), "{acknowledged} acknowledged, {stored} stored");
}

#[test]
fn t26_segments_made_in_one_second_never_overwrite_each_other() {
    let dir = folder();
    let mut server = Server::start(dir.path(), &["memory.budget=2GiB"]);
    // forty requests of 4 MiB fill several segments of 64 MiB at once
    let text = "x".repeat(4 << 20);
    std::thread::scope(|scope| {
        for client in 0..4 {
            let (server, text) = (&server, &text);
            scope.spawn(move || {
                (0..10).for_each(|i| server.lines(&format!("big c={client}i,i={i}i,s=\"{text}{client}{i}\"")))
            });
        }
    });
    server.kill();
    let server = Server::start(dir.path(), &["memory.budget=2GiB"]);
    assert_eq!(
        server.rows("SELECT count(*), count(DISTINCT s), min(length(s)) FROM big"),
        json!([[40, 40, (4 << 20) + 2]])
    );
}
