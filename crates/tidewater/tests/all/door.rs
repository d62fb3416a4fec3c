//! Limits at the door: time, number, size, TLS, and what changes while the server runs.
#![expect(clippy::disallowed_methods, reason = "tests write settings and certificates")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{DEADLINE, Server, TOKEN, eventually, folder, python, tidewater};

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address()).expect("a connection");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    stream
}

/// Everything until the server closes; what it takes of ours is no matter.
fn rest(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// Sends a byte each 50 ms until the server hangs up; what it said.
fn trickle(mut stream: TcpStream, byte: u8) -> String {
    let began = Instant::now();
    while began.elapsed() < DEADLINE {
        if stream.write_all(&[byte]).is_err() {
            break;
        }
        let mut one = [0];
        stream.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
        match stream.peek(&mut one) {
            Ok(0) => break,
            Ok(_) => return rest(stream),
            Err(_) => {}
        }
    }
    assert!(began.elapsed() < DEADLINE, "the server waits for ever");
    String::new()
}

const HURRY: [&str; 4] =
    ["server.first_byte_timeout=1", "server.read_timeout=1", "server.idle_timeout=1", "server.write_timeout=1"];

#[test]
fn whoever_does_not_get_on_loses_the_connection() {
    let dir = folder();
    let server = Server::start(dir.path(), &HURRY);
    let lines: String = (0..20_000).map(|i| format!("big,host=h{i} v={i} {i}\n")).collect();
    server.lines(&lines);
    // says nothing
    assert_eq!(rest(connect(&server)), "");
    // half a head, and a head that never ends
    let mut half = connect(&server);
    half.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n").expect("written");
    assert_eq!(rest(half), "");
    let mut slow = connect(&server);
    slow.write_all(b"GET /health HTTP/1.1\r\nX: ").expect("written");
    assert_eq!(trickle(slow, b'a'), "");
    // asks once and then nothing more
    let mut idle = connect(&server);
    idle.write_all(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n").expect("written");
    assert!(rest(idle).starts_with("HTTP/1.1 204"));
    // a body that trickles
    let mut body = connect(&server);
    let head = format!("POST /api/v1/write/line-protocol HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n");
    body.write_all(format!("{head}Content-Length: 1000000\r\n\r\n").as_bytes()).expect("written");
    let said = trickle(body, b'a');
    assert!(said.starts_with("HTTP/1.1 408") && said.contains("\"code\":\"request_timeout\""), "{said}");
    // an answer that nobody takes
    let mut deaf = connect(&server);
    let sql = json!({"sql": "SELECT a.* FROM big a, big b"}).to_string();
    let head = format!("POST /api/v1/query HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n");
    deaf.write_all(format!("{head}Content-Length: {}\r\n\r\n{sql}", sql.len()).as_bytes()).expect("written");
    eventually("the query that nobody reads is ended", || {
        let active = server.get("/api/v1/queries/active").json()["count"].as_u64();
        active == Some(0) && server.metric("tidewater_http_too_slow_total") >= 5.0
    });
    drop(deaf);
    // a body that is long, but comes, may take longer than the timeout
    let mut steady = connect(&server);
    let line = "steady v=1\n".repeat(200);
    let parts = 15;
    let head = format!("POST /api/v1/write/line-protocol HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n");
    steady.write_all(format!("{head}Content-Length: {}\r\n\r\n", line.len() * parts).as_bytes()).expect("written");
    for _ in 0..parts {
        // the pace is what is tried here
        std::thread::sleep(Duration::from_millis(100));
        steady.write_all(line.as_bytes()).expect("written");
    }
    assert!(rest(steady).starts_with("HTTP/1.1 204"));
    // only the test's own connection is left
    eventually("every other connection is closed", || server.metric("tidewater_http_connections") <= 1.0);
}

#[test]
fn a_full_house_answers_health_and_tells_the_others_when_to_come_again() {
    let dir = folder();
    let server = Server::start(dir.path(), &["server.max_connections=4"]);
    let ask = |path: &str| {
        let mut stream = connect(&server);
        let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
        let _ = stream.write_all(head.as_bytes());
        rest(stream)
    };
    let mut held: Vec<TcpStream> = (0..4).map(|_| connect(&server)).collect();
    eventually("the house is full", || ask("/api/v1/databases").starts_with("HTTP/1.1 503"));
    for _ in 0..200 {
        let health = ask("/health");
        assert!(health.starts_with("HTTP/1.1 200") && health.contains("connection: close"), "{health}");
        let other = ask("/api/v1/databases").to_ascii_lowercase();
        assert!(
            other.starts_with("http/1.1 503") && other.contains("retry-after: 1") && other.contains("overloaded"),
            "{other}"
        );
    }
    held.truncate(1);
    eventually("a seat is free again", || {
        server.try_send("GET", "/api/v1/databases", &[], b"").is_ok_and(|r| r.status == 200)
    });
    assert!(server.metric("tidewater_http_turned_away_total") >= 400.0);
    drop(held);
    drop(server);

    let dir = folder();
    let server = Server::start(dir.path(), &["server.max_connections_per_address=2"]);
    let held: Vec<TcpStream> = (0..2).map(|_| connect(&server)).collect();
    eventually("the address has its share", || {
        server
            .try_send("GET", "/api/v1/databases", &[], b"")
            .is_ok_and(|r| r.status == 429 && r.header("retry-after") == "1" && r.json()["code"] == "rate_limited")
    });
    assert_eq!(server.get("/health").status, 200);
    drop(held);
    eventually("the address may come again", || {
        server.try_send("GET", "/api/v1/databases", &[], b"").is_ok_and(|r| r.status == 200)
    });
}

#[test]
fn heads_and_bodies_that_are_too_long_are_refused_by_name() {
    let dir = folder();
    let server = Server::start(dir.path(), &["server.max_payload_size=1MB", "server.max_header_size=8KiB"]);
    let long = "x".repeat(9 << 10);
    let reply = server.send("GET", "/api/v1/databases", &[("x-long", &long)], b"");
    assert_eq!((reply.status, reply.json()["code"].as_str()), (431, Some("head_too_large")));
    let reply = server.send("GET", &format!("/api/v1/databases?q={long}"), &[], b"");
    assert_eq!((reply.status, reply.json()["code"].as_str()), (431, Some("head_too_large")));
    // a head that is longer than any buffer
    let mut stream = connect(&server);
    let _ = stream.write_all(format!("GET /health HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(1 << 20)).as_bytes());
    let said = rest(stream);
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 431"), "{said}");
    let mut many = connect(&server);
    let fields: String = (0..200).map(|i| format!("x-{i}: 1\r\n")).collect();
    many.write_all(format!("GET /health HTTP/1.1\r\n{fields}\r\n").as_bytes()).expect("written");
    assert!(rest(many).starts_with("HTTP/1.1 431"));
    let lines = "m v=1\n".repeat(200_000);
    let reply = server.send("POST", "/api/v1/write/line-protocol", &[], lines.as_bytes());
    let error = reply.json();
    assert_eq!((reply.status, error["code"].as_str()), (413, Some("payload_too_large")));
    assert!(error["error"].as_str().is_some_and(|e| e.contains("1000000")), "{error}");
    // a statement is no payload: four megabytes are enough for anybody
    let sql = json!({"sql": format!("SELECT '{}'", "z".repeat(5 << 20))}).to_string();
    let reply = server.send("POST", "/api/v1/query", &[], sql.as_bytes());
    assert_eq!((reply.status, reply.json()["code"].as_str()), (413, Some("payload_too_large")));
    // a chunked one, too, whose length nobody says
    let mut stream = connect(&server);
    let head = format!("POST /api/v1/query HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n");
    stream.write_all(format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes()).expect("written");
    for _ in 0..80 {
        let chunk = format!("{:x}\r\n{}\r\n", 64 << 10, "z".repeat(64 << 10));
        if stream.write_all(chunk.as_bytes()).is_err() {
            break;
        }
    }
    let said = rest(stream);
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 413"), "{said}");
    assert_eq!(server.get("/health").status, 200);
}

#[test]
fn bodies_on_their_way_share_a_bounded_memory() {
    let dir = folder();
    let server = Server::start(dir.path(), &["server.max_body_bytes_in_flight=64KiB", "ingest.write_wait_ms=100"]);
    let line = "m v=1\n".repeat(5_000);
    let head = format!("POST /api/v1/write/line-protocol HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n");
    let mut held: Vec<TcpStream> = (0..2)
        .map(|_| {
            let mut stream = connect(&server);
            stream.write_all(format!("{head}Content-Length: {}\r\n\r\n", line.len()).as_bytes()).expect("written");
            stream
        })
        .collect();
    eventually("both bodies have their room", || server.metric("tidewater_http_body_bytes") >= 2.0 * 29_000.0);
    let reply = server.send("POST", "/api/v1/write/line-protocol", &[], line.as_bytes());
    assert_eq!((reply.status, reply.json()["code"].as_str()), (503, Some("overloaded")), "{reply:?}");
    assert_eq!(reply.header("retry-after"), "1");
    for mut stream in held.drain(..) {
        stream.write_all(line.as_bytes()).expect("written");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"HTTP/1.1 204");
    }
    // one that is longer than all of the room comes when it is alone
    let long = "m v=1\n".repeat(100_000);
    eventually("the room is free again", || server.metric("tidewater_http_body_bytes") == 0.0);
    assert_eq!(server.send("POST", "/api/v1/write/line-protocol", &[], long.as_bytes()).status, 204);
    assert_eq!(server.rows("SELECT count(*) FROM m"), json!([[110_000]]));
    assert_eq!(server.metric("tidewater_http_body_bytes"), 0.0);
}

/// Requests that are none, or try to be two.
fn malformed() -> Vec<Vec<u8>> {
    let mut corpus: Vec<Vec<u8>> = [
        "\r\n\r\n",
        "GET\r\n\r\n",
        "GET /\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET / HTTP/1.1 HTTP/1.1\r\n\r\n",
        " GET / HTTP/1.1\r\n\r\n",
        "G\u{0}T / HTTP/1.1\r\n\r\n",
        "GET /\u{0} HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost x\r\n\r\n",
        "GET / HTTP/1.1\r\n: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n",
        "GET / HTTP/1.1\r\nA\u{0}B: x\r\n\r\n",
        "GET / HTTP/1.1\nHost: x\n\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}",
        "POST /api/v1/query HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "POST /api/v1/query HTTP/1.1\r\nContent-Length: 1e3\r\n\r\n",
        "POST /api/v1/query HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        "POST /api/v1/query HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "POST /api/v1/query HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n",
        "POST /api/v1/query HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        "POST /api/v1/query HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n\r\n",
        "POST /api/v1/query HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloworld\r\n0\r\n\r\n",
        "POST /api/v1/query HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
        "POST /api/v1/query HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "POST /api/v1/query HTTP/1.1\r\nTransfer-Encoding:\u{b}chunked\r\n\r\n0\r\n\r\n",
        "POST /api/v1/query HTTP/1.1\r\nExpect: 200-maybe\r\nContent-Length: 3\r\n\r\nabc",
        "GET http://other.example/metrics HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET //../..//%2e%2e/%00/etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /%zz%ff%fe HTTP/1.1\r\nHost: x\r\n\r\n",
        "CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x\r\n\r\n",
        "TRACE / HTTP/1.1\r\nHost: x\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        "BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    // bytes that mean nothing, the same in each run
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for length in (1..400).step_by(7) {
        let noise = (0..length).map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as u8
        });
        corpus.push(noise.collect());
    }
    // a good request with one byte of it another
    let good = format!(
        "POST /api/v1/query HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 18\r\n\r\n{{\"sql\":\"SELECT 1\"}}"
    );
    for at in 0..good.len() {
        let mut bytes = good.clone().into_bytes();
        bytes[at] ^= 0x55;
        corpus.push(bytes);
    }
    corpus
}

#[test]
fn malformed_requests_get_a_refusal_or_nothing_and_break_nothing() {
    let dir = folder();
    let server = Server::start(dir.path(), &[HURRY[0], HURRY[1], HURRY[2], "auth.max_failures_per_minute=0"]);
    for bytes in malformed() {
        let mut stream = connect(&server);
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let answer = rest(stream);
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        for status in answer.split("HTTP/1.").skip(1).filter_map(|a| a.get(2..5)) {
            assert!(matches!(status.as_bytes()[0], b'2' | b'4'), "{shown:?}: {answer}");
        }
        // nobody gets another's answer: at most one request stands in each of these
        assert!(answer.matches("HTTP/1.1 ").count() <= 2, "{shown:?}: {answer}");
    }
    assert_eq!(server.rows("SELECT 1"), json!([[1]]));
    eventually("no connection is left", || server.metric("tidewater_http_connections") <= 1.0);
}

#[test]
fn a_public_address_needs_tokens_and_tls_or_somebody_who_says_insecure() {
    let dir = folder();
    let log = Server::try_start(dir.path(), &["server.host=0.0.0.0"], &[]).err().expect("it must not start");
    assert!(log.contains("server.tls_enabled") && log.contains("--insecure"), "{log}");
    let log =
        Server::try_start(dir.path(), &["server.host=::", "auth.enabled=false"], &[]).err().expect("must not start");
    assert!(log.contains("auth.enabled is false") && log.contains("--insecure"), "{log}");
    assert!(!dir.path().join("data").exists(), "a refused start makes nothing");
    let server = Server::start(dir.path(), &["server.host=0.0.0.0", "--insecure"]);
    assert_eq!(server.get("/health").status, 200);
    drop(server);
    let server = Server::start(dir.path(), &["auth.enabled=false"]);
    assert_eq!(server.send("GET", "/api/v1/databases", &[("authorization", "")], b"").status, 200);
}

fn agent(ca: &std::path::Path) -> ureq::Agent {
    use ureq::tls::{Certificate, RootCerts, TlsConfig};
    let certificate = Certificate::from_pem(&std::fs::read(ca).expect("a certificate")).expect("PEM");
    let tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&[certificate])).build();
    ureq::Agent::config_builder().http_status_as_error(false).tls_config(tls).build().into()
}

#[test]
fn tls_serves_follows_its_files_and_survives_bad_ones() {
    let dir = folder();
    python("certificates.py", &[dir.path().join("one").to_str().expect("plain")]);
    python("certificates.py", &[dir.path().join("two").to_str().expect("plain")]);
    let [one, two] = ["one", "two"].map(|name| dir.path().join(name));
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let install = |from: &std::path::Path| {
        std::fs::copy(from.join("server.pem"), &cert).expect("copied");
        std::fs::copy(from.join("server.key"), &key).expect("copied");
    };
    install(&one);
    let settings = [
        "server.tls_enabled=true".to_owned(),
        format!("server.tls_cert_file={}", cert.display()),
        format!("server.tls_key_file={}", key.display()),
    ];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let missing = Server::try_start(dir.path(), &[settings[0], settings[1], "server.tls_key_file=/nowhere.key"], &[]);
    assert!(missing.err().expect("must not start").contains("/nowhere.key"));
    let server = Server::start(dir.path(), &settings).with_agent(agent(&one.join("ca.pem")));
    assert!(server.url.starts_with("https://"));
    let reply = server.get("/health");
    assert_eq!((reply.status, reply.header("strict-transport-security")), (200, "max-age=31536000"));
    server.lines("t v=1");
    assert_eq!(server.rows("SELECT count(*) FROM t"), json!([[1]]));
    // who speaks no TLS gets nothing
    let mut plain = connect(&server);
    plain.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").expect("written");
    assert!(!rest(plain).contains("HTTP/1.1 200"));
    let ca = one.join("ca.pem");
    let env = [("TIDEWATER_URL", server.url.as_str()), ("TIDEWATER_TOKEN", TOKEN)];
    let (fine, said) = tidewater(&["status", "--ca", ca.to_str().expect("plain")], &env);
    assert!(fine && said.contains("ready"), "{said}");
    let (fine, said) = tidewater(&["status"], &env);
    assert!(!fine && said.contains("cannot reach"), "an unknown authority is not trusted: {said}");
    // a key that is not the certificate's: the old ones go on, and somebody is told
    std::fs::copy(two.join("server.key"), &key).expect("copied");
    let task = |server: &Server| {
        let jobs = server.get("/api/v1/jobs").json();
        jobs["tasks"]
            .as_array()
            .and_then(|t| t.iter().find(|t| t["name"] == "certificates").cloned())
            .expect("the task")
    };
    eventually("the bad pair is seen", || task(&server)["consecutive_errors"].as_u64() > Some(0));
    assert!(task(&server)["last_error"].as_str().is_some_and(|e| e.contains("do not fit")));
    // the other pair: new connections get it, without a restart
    install(&two);
    let renewed = agent(&two.join("ca.pem"));
    eventually("the new certificate is served", || {
        renewed.get(format!("{}/health", server.url)).call().is_ok_and(|r| r.status() == 200)
    });
    let server = server.with_agent(renewed);
    assert_eq!(server.rows("SELECT count(*) FROM t"), json!([[1]]));
}

#[test]
fn what_is_live_changes_while_the_server_runs_and_bad_settings_change_nothing() {
    let dir = folder();
    let file = dir.path().join("tidewater.toml");
    let write = |text: &str| std::fs::write(&file, text).expect("written");
    write("[log]\nlevel = \"info\"\n");
    let config = format!("--config={}", file.display());
    let mut server = Server::start(dir.path(), &[&config]);
    let reload = |server: &Server| server.send("POST", "/api/v1/config/reload", &[], b"");
    let long = "m v=1\n".repeat(1_000);
    let status = |server: &Server| server.send("POST", "/api/v1/write/line-protocol", &[], long.as_bytes()).status;
    assert_eq!(status(&server), 204);
    write("[log]\nlevel = \"debug\"\n[server]\nmax_payload_size = \"2KB\"\n[query]\nqueue = 7\n");
    let done = reload(&server).json();
    assert_eq!(done["applied"], json!(["server.max_payload_size", "log.level"]), "{done}");
    assert_eq!(done["after_restart"], json!(["query.queue"]), "{done}");
    assert_eq!(status(&server), 413);
    for (bad, named) in [
        ("[server]\nmax_payload_size = \"none\"\n", "server.max_payload_size"),
        ("[server]\nx = 1\n", "server.x"),
        ("[", "TOML"),
    ] {
        write(bad);
        let reply = reload(&server);
        let error = reply.json();
        assert_eq!((reply.status, error["code"].as_str()), (400, Some("invalid_parameter")), "{error}");
        assert!(error["error"].as_str().is_some_and(|e| e.contains(named)), "{error}");
        assert_eq!(status(&server), 413, "nothing has changed");
    }
    // SIGHUP does the same
    write("[query]\ntimeout = 1\n");
    let sent = Command::new("kill").args(["-HUP", &server.pid().to_string()]).status();
    assert!(sent.is_ok_and(|s| s.success()));
    eventually("the settings are read again", || status(&server) == 204);
    let endless = "SELECT sum(a.generate_series * b.generate_series) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b";
    assert_eq!(server.refusal(endless).0, 504);
    let messages = server.get("/api/v1/logs?level=info&limit=1000").json().to_string();
    assert!(messages.contains("settings were read again"), "{messages}");
    assert!(server.stop().is_some_and(|s| s.success()));
}
