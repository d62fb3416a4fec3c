//! Tokens, permissions, scopes, the token cache, the audit log.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Reply, Server, TOKEN, eventually, folder};

/// Tests fail on purpose more often than an address may.
const NO_LIMIT: &str = "auth.max_failures_per_minute=0";

fn with(server: &Server, token: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    let bearer = format!("Bearer {token}");
    let own = ("authorization", if token.is_empty() { "" } else { bearer.as_str() });
    let headers: Vec<(&str, &str)> = std::iter::once(own).chain(headers.iter().copied()).collect();
    server.send(method, path, &headers, body.as_bytes())
}

fn make(server: &Server, body: Value) -> (i64, String) {
    let reply = server.send("POST", "/api/v1/auth/tokens", &[], body.to_string().as_bytes());
    assert_eq!(reply.status, 201, "{}", String::from_utf8_lossy(&reply.body));
    let made = reply.json();
    (made["id"].as_i64().unwrap(), made["token"].as_str().unwrap().to_owned())
}

fn tidewater(server: &Server, token: &str, args: &[&str]) -> (bool, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tidewater"))
        .args(args)
        .env("TIDEWATER_URL", &server.url)
        .env("TIDEWATER_TOKEN", token)
        .output()
        .expect("the binary starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

/// Method, path and need of every route, as `tidewater routes` prints them.
fn table(server: &Server) -> Vec<(String, String, String)> {
    let (_, text, _) = tidewater(server, "", &["routes"]);
    let cells = |line: &str| line.split('|').map(|c| c.trim().trim_matches('`').to_owned()).collect::<Vec<_>>();
    let rows = text.lines().filter(|l| l.contains("| `/")).map(cells);
    rows.map(|c| (c[1].clone(), c[2].clone(), c[3].clone())).collect()
}

#[test]
fn t60_every_route_asks_for_what_the_table_says() {
    let folder = folder();
    let server = Server::start(folder.path(), &[NO_LIMIT]);
    server.lines("m,host=a v=1 1700000000000000000");
    let permission = |name: &str| make(&server, json!({"name": format!("may {name}"), "permissions": [name]})).1;
    let [read, write, delete, admin] = ["read", "write", "delete", "admin"].map(permission);
    let scoped =
        |name: &str, scope: &str| make(&server, json!({"name": name, "permissions": ["admin"], "scopes": [scope]})).1;
    let (here, elsewhere) = (scoped("here", "default"), scoped("elsewhere", "other"));
    let (_, expired) = make(&server, json!({"name": "expired", "expires_at": "2020-01-01T00:00:00Z"}));
    let (revoked_id, revoked) = make(&server, json!({"name": "revoked", "permissions": ["admin"]}));
    let stopped = server.send("POST", &format!("/api/v1/auth/tokens/{revoked_id}/revoke"), &[], b"");
    assert_eq!(stopped.status, 200);
    let outsiders = ["", "wrong but long enough to be a token", &expired, &revoked];
    let holders = [
        ("read", &read),
        ("write", &write),
        ("delete", &delete),
        ("admin", &admin),
        ("here", &here),
        ("elsewhere", &elsewhere),
    ];
    let all = table(&server);
    assert!(all.len() > 80, "{} routes", all.len());
    for (method, path, needs) in &all {
        let real = path
            .replace("{id}", "999999")
            .replace("{name}", "default")
            .replace("{measurement}", "m")
            .replace("{type}", "system");
        for token in outsiders {
            let reply = with(&server, token, method, &real, &[], "{}");
            let wanted = if needs == "public" { reply.status != 403 } else { reply.status == 401 };
            let verify = path.ends_with("/verify") && reply.status == 401;
            assert!(wanted || verify, "{method} {real} by {token:?}: {}", reply.status);
        }
        for (name, token) in holders {
            let may = match needs.as_str() {
                "public" | "token" => true,
                "server" => name == "admin",
                // the scoped ones are admins of what they reach
                need => name == need || matches!(name, "admin" | "here" | "elsewhere"),
            };
            let reply = with(&server, token, method, &real, &[], "{}");
            // a scope that does not reach the named table is refused by the handler
            if may && name == "elsewhere" {
                let names_it = path.contains("{name}");
                assert!(!names_it || reply.status == 403, "{method} {real} by {name}: {}", reply.status);
            } else if may && name == "here" {
                assert_ne!(reply.status, 401, "{method} {real} by {name}");
            } else {
                let refused = reply.status == 403;
                assert_eq!(refused, !may, "{method} {real} ({needs}) by {name}: {}", reply.status);
            }
            // the test's table must stay for the next route
            server.lines("m,host=a v=1 1700000000000000000");
        }
    }
    // a path in another spelling is the same path, with the same guard
    for path in ["//api/v1/auth/tokens", "/health/../api/v1/auth/tokens", "/API/v1/%2e/auth/TOKENS"] {
        assert_eq!(with(&server, "", "GET", path, &[], "").status, 401, "{path}");
        assert_eq!(with(&server, &read, "GET", path, &[], "").status, 403, "{path}");
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    assert_eq!(with(&server, "", "GET", "/no/such/path", &[], "").status, 401);
    assert_eq!(with(&server, &read, "GET", "/no/such/path", &[], "").status, 404);
    // writers write and cannot look; readers look and cannot write
    let line = "m v=2 1700000000000000001";
    assert_eq!(with(&server, &write, "POST", "/api/v1/write/line-protocol", &[], line).status, 204);
    let sql = r#"{"sql": "SELECT count(*) FROM m"}"#;
    assert_eq!(with(&server, &write, "POST", "/api/v1/query", &[], sql).status, 403);
    assert_eq!(with(&server, &read, "POST", "/api/v1/write/line-protocol", &[], line).status, 403);
    assert_eq!(with(&server, &read, "POST", "/api/v1/query", &[], sql).status, 200);
}

#[test]
fn t40_no_request_tells_one_tenant_of_another() {
    let folder = folder();
    let server = Server::start(folder.path(), &[NO_LIMIT]);
    let fill = |database: &str, table: &str, rows: usize, word: &str| {
        let lines: String =
            (0..rows).map(|i| format!("{table},host=h{i} v={i},word=\"{word}\" {}\n", 1_700_000_000 + i)).collect();
        let path = "/api/v1/write/line-protocol?precision=s";
        let reply = server.send("POST", path, &[("x-arc-database", database)], lines.as_bytes());
        assert_eq!(reply.status, 204);
    };
    // the same names on both sides; what only the other side has must never be seen
    fill("alpha", "cpu", 11, "mine");
    fill("alpha", "cpu_total", 12, "mine");
    fill("alpha", "walrus_ledger", 6_911, "sesame");
    fill("beta", "cpu", 7_919, "sesame");
    fill("beta", "zebra_vault", 6_911, "sesame");
    server.flush();
    let (_, whole) =
        make(&server, json!({"name": "a", "permissions": ["read", "write", "delete"], "scopes": ["alpha.cpu*"]}));
    let (_, admin) = make(&server, json!({"name": "b", "permissions": ["admin"], "scopes": ["alpha.cpu", "gamma"]}));
    let policy = json!({"name": "zebra_vault_policy", "database": "beta", "measurement": "zebra_vault", "retention_days": 365_000});
    let reply = server.send("POST", "/api/v1/retention", &[], policy.to_string().as_bytes());
    assert_eq!(reply.status, 201, "{}", String::from_utf8_lossy(&reply.body));
    let delete = json!({"database": "beta", "measurement": "zebra_vault", "where": "v < 0", "confirm": true});
    assert_eq!(server.send("POST", "/api/v1/delete", &[], delete.to_string().as_bytes()).status, 200);
    let marks = ["zebra_vault", "walrus_ledger", "sesame", "[7919", ":7919", "[6911", ":6911"];
    let tables = [
        "beta.cpu",
        "BETA.cpu",
        "\"beta\".\"cpu\"",
        "beta.\"CPU\"",
        "beta.zebra_vaul",
        "beta.nothing",
        "alpha.walrus_ledge",
        "alpha.walrus",
        "cpu",
        "alpha.cpu",
        "tidewater.beta.cpu",
        "nothing",
        "range",
        "beta.range",
    ];
    let shapes = [
        "SELECT count(*) FROM {t}",
        "SELECT * FROM {t} LIMIT 3",
        "SELECT word FROM {t}",
        "WITH c AS (SELECT * FROM {t}) SELECT count(*) FROM c",
        "WITH cpu AS (SELECT * FROM {t}) SELECT count(*) FROM cpu",
        "SELECT (SELECT count(*) FROM {t})",
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM {t})",
        "SELECT v FROM alpha.cpu UNION ALL SELECT v FROM {t}",
        "SELECT a.v FROM alpha.cpu a JOIN {t} b ON a.host = b.host",
        "SELECT v FROM alpha.cpu WHERE host IN (SELECT host FROM {t})",
        "SELECT * FROM (SELECT max(v) FROM {t}) x",
        "EXPLAIN SELECT * FROM {t}",
        "DESCRIBE {t}",
        "DESCRIBE SELECT * FROM {t}",
        "SHOW TABLES FROM beta",
        "SHOW TABLES",
        "SHOW DATABASES",
        "FROM {t}",
        "SELECT no_such_column FROM {t}",
        "SELECT * FROM {t} TABLESAMPLE 10",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM {t} -- alpha.cpu",
    ];
    let plain = [
        ("GET", "/api/v1/measurements", ""),
        ("GET", "/api/v1/measurements?database=beta", ""),
        ("GET", "/api/v1/databases", ""),
        ("GET", "/api/v1/databases/beta", ""),
        ("GET", "/api/v1/databases/alpha/measurements", ""),
        ("GET", "/api/v1/databases/beta/measurements", ""),
        ("GET", "/query?q=SHOW%20MEASUREMENTS%20ON%20beta", ""),
        ("GET", "/query?q=SHOW%20MEASUREMENTS&db=alpha", ""),
        ("GET", "/query?q=SHOW%20DATABASES", ""),
        ("GET", "/api/v2/buckets", ""),
        ("GET", "/api/v3/query_sql?db=beta&q=SELECT%20count(*)%20FROM%20cpu", ""),
        ("GET", "/api/v1/jobs", ""),
        ("GET", "/api/v1/jobs/1", ""),
        ("GET", "/api/v1/delete/history", ""),
        ("GET", "/api/v1/retention", ""),
        ("GET", "/api/v1/retention/1", ""),
        ("GET", "/api/v1/schedulers", ""),
        ("GET", "/api/v1/compaction/candidates", ""),
        ("GET", "/api/v1/compaction/history", ""),
        ("GET", "/api/v1/compaction/locks", ""),
        ("POST", "/api/v1/delete", r#"{"database": "beta", "measurement": "cpu", "where": "v > 0", "dry_run": true}"#),
        (
            "POST",
            "/api/v1/delete",
            r#"{"database": "beta", "measurement": "zebra_vaul", "where": "v > 0", "dry_run": true}"#,
        ),
        ("POST", "/api/v2/delete?bucket=beta", r#"{"start": "2020-01-01T00:00:00Z", "stop": "2030-01-01T00:00:00Z"}"#),
        ("POST", "/api/v1/retention", r#"{"name": "x", "database": "beta", "retention_days": 365000}"#),
        ("POST", "/api/v1/retention/1/execute", r#"{"dry_run": true}"#),
        (
            "POST",
            "/api/v1/continuous_queries",
            r#"{"name": "q", "database": "gamma", "source_measurement": "s", "destination_measurement": "d", "interval": "1m", "query": "SELECT max(time) AS time, count(*) AS n FROM beta.cpu WHERE time >= {start_time} AND time < {end_time}"}"#,
        ),
        ("POST", "/api/v1/write/line-protocol", "cpu v=1"),
    ];
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    let mut seen = BTreeSet::new();
    for number in 0..10_000 {
        let token = if random(2) == 0 { &whole } else { &admin };
        let database = ["alpha", "beta", "BETA", "default", ""][random(5)];
        let (method, path, body) = match random(6) {
            0 => {
                let (method, path, body) = plain[random(plain.len())];
                (method, path, body.to_owned())
            }
            n => {
                let sql = shapes[random(shapes.len())].replace("{t}", tables[random(tables.len())]);
                let path = if n == 1 { "/api/v1/query/arrow" } else { "/api/v1/query" };
                ("POST", path, json!({"sql": sql}).to_string())
            }
        };
        // writes stay out of the other's tables
        let database = if path.contains("write") { "beta" } else { database };
        let reply = with(&server, token, method, path, &[("x-arc-database", database)], &body);
        let text = String::from_utf8_lossy(&reply.body);
        let headers = reply.headers.iter().filter(|(n, _)| n.starts_with("x-tidewater")).map(|(_, v)| v.as_str());
        for told in headers.chain([text.as_ref()]) {
            let leak = marks.iter().find(|m| told.contains(*m));
            assert!(leak.is_none(), "request {number}: {method} {path} {database:?} {body}\n{leak:?} in {told}");
        }
        if path.contains("write") {
            assert_eq!(reply.status, 403);
        }
        seen.insert(reply.status);
    }
    assert!(seen.contains(&200) && seen.contains(&403) && !seen.iter().any(|s| *s >= 500), "{seen:?}");
    // what is theirs they see
    let sql = r#"{"sql": "SELECT count(*) FROM alpha.cpu a JOIN alpha.cpu_total b ON a.host = b.host"}"#;
    assert_eq!(with(&server, &whole, "POST", "/api/v1/query", &[], sql).json()["data"], json!([[11]]));
    let shown =
        with(&server, &whole, "POST", "/api/v1/query", &[("x-arc-database", "alpha")], r#"{"sql": "SHOW TABLES"}"#);
    assert_eq!(shown.json()["row_count"], 2);
    let hint =
        with(&server, &whole, "POST", "/api/v1/query", &[("x-arc-database", "alpha")], r#"{"sql": "FROM cpu_tota"}"#);
    assert!(hint.json()["error"].as_str().unwrap().contains("cpu_total"));
}

#[test]
fn t58_a_stopped_token_is_refused_from_the_answer_on() {
    let folder = folder();
    let server = Server::start(folder.path(), &[NO_LIMIT]);
    let ways: [(&str, &str, &str); 5] = [
        ("revoke", "POST", "/revoke"),
        ("rotate", "POST", "/rotate"),
        ("delete", "DELETE", ""),
        ("expire", "PATCH", ""),
        ("disable", "PATCH", ""),
    ];
    for (way, method, path) in ways {
        let (id, token) = make(&server, json!({"name": way}));
        let (_, other) = make(&server, json!({"name": format!("{way} other")}));
        let (asked, accepted_late) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (stopped, done) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !done.load(Ordering::SeqCst) {
                        let was_stopped = stopped.load(Ordering::SeqCst);
                        let reply = with(&server, &token, "GET", "/api/v1/databases", &[], "");
                        asked.fetch_add(1, Ordering::SeqCst);
                        if was_stopped && reply.status == 200 {
                            accepted_late.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                });
            }
            eventually("requests flow", || asked.load(Ordering::SeqCst) > 200);
            let body = match way {
                "expire" => r#"{"expires_at": "2020-01-01T00:00:00Z"}"#,
                "disable" => r#"{"enabled": false}"#,
                _ => "",
            };
            let reply = server.send(method, &format!("/api/v1/auth/tokens/{id}{path}"), &[], body.as_bytes());
            assert_eq!(reply.status, 200, "{way}");
            stopped.store(true, Ordering::SeqCst);
            let before = asked.load(Ordering::SeqCst);
            eventually("requests flow on", || asked.load(Ordering::SeqCst) > before + 200);
            done.store(true, Ordering::SeqCst);
        });
        assert_eq!(accepted_late.load(Ordering::SeqCst), 0, "{way}");
        assert_eq!(with(&server, &other, "GET", "/api/v1/databases", &[], "").status, 200, "{way}");
    }
}

#[test]
fn t58_a_token_ends_when_it_expires_not_when_the_cache_does() {
    let folder = folder();
    let server = Server::start(folder.path(), &[NO_LIMIT, "auth.cache_ttl=3600"]);
    let (_, token) = make(&server, json!({"name": "short", "expires_in": "1500ms"}));
    let ask = || with(&server, &token, "GET", "/api/v1/auth/verify", &[], "");
    assert_eq!(ask().json()["token_info"]["name"], "short");
    eventually("the token expires", || ask().status == 401);
}

#[test]
fn a6_tokens_are_made_changed_rotated_and_stopped() {
    let folder = folder();
    let server = Server::start(folder.path(), &[NO_LIMIT]);
    let (id, token) = make(&server, json!({"name": "grafana", "description": "dashboards", "permissions": "read"}));
    assert!(token.starts_with(&format!("tw_{id}_")), "{token}");
    let path = format!("/api/v1/auth/tokens/{id}");
    let patch = |body: Value| server.send("PATCH", &path, &[], body.to_string().as_bytes());
    let verify = |token: &str| with(&server, token, "GET", "/api/v1/auth/verify", &[], "").json();
    assert_eq!(verify(&token)["permissions"], json!(["read"]));
    assert_eq!(verify(&token)["token_info"]["description"], "dashboards");
    // a name belongs to one token
    let twin = server.send("POST", "/api/v1/auth/tokens", &[], br#"{"name": "grafana"}"#);
    assert_eq!((twin.status, twin.json()["code"].as_str()), (409, Some("name_taken")));
    // an end can be set and cleared
    assert_eq!(patch(json!({"expires_in": "1d"})).status, 200);
    assert!(verify(&token)["token_info"]["expires_at"].is_string());
    for clear in [json!({"expires_in": null}), json!({"expires_in": ""})] {
        patch(json!({"expires_in": "24h"}));
        assert_eq!(patch(clear).status, 200);
        assert!(verify(&token)["token_info"]["expires_at"].is_null());
    }
    // absent fields stay
    assert_eq!(patch(json!({"permissions": ["read", "write"]})).status, 200);
    let info = verify(&token)["token_info"].clone();
    assert_eq!((&info["name"], &info["permissions"]), (&json!("grafana"), &json!(["read", "write"])));
    for bad in [
        json!({"permissions": ["root"]}),
        json!({"scopes": [".x"]}),
        json!({"expires_in": "soon"}),
        json!({"name": ""}),
        json!({"enabled": "yes"}),
        json!({"expires_in": "-1h"}),
    ] {
        let reply = patch(bad.clone());
        assert_eq!(reply.status, 400, "{bad}: {}", String::from_utf8_lossy(&reply.body));
    }
    // with an overlap both secrets are good, without one the old one stops
    let rotate = |body: &str| server.send("POST", &format!("{path}/rotate"), &[], body.as_bytes()).json();
    let second = rotate(r#"{"overlap": "1h"}"#)["new_token"].as_str().unwrap().to_owned();
    assert!(verify(&token)["valid"] == true && verify(&second)["valid"] == true);
    let third = rotate("")["new_token"].as_str().unwrap().to_owned();
    assert_eq!([&token, &second, &third].map(|t| verify(t)["valid"].as_bool().unwrap()), [false, false, true]);
    // a typo is told from a wrong secret
    let mut typo = third.clone();
    typo.replace_range(10..11, if &typo[10..11] == "0" { "1" } else { "0" });
    assert!(verify(&typo)["error"].as_str().unwrap().contains("mistyped"));
    assert_eq!(verify("an operator's own but wrong token text")["error"], "Invalid or expired token");
    // nobody but who made it ever sees it; the file keeps its hash alone
    let stored = std::fs::read(server.data().join("server.sqlite")).unwrap();
    let wal = std::fs::read(server.data().join("server.sqlite-wal")).unwrap_or_default();
    for text in [&third, &TOKEN.to_owned()] {
        assert!(!stored.windows(text.len()).chain(wal.windows(text.len())).any(|w| w == text.as_bytes()));
    }
    let list = server.get("/api/v1/auth/tokens").json();
    assert_eq!(list["count"], 2);
    assert!(!list.to_string().contains(&third));
    assert!(list["tokens"][1]["last_used_at"].is_string());
    let shown = server.get(&format!("{path}/permissions")).json();
    assert_eq!(shown["permissions"][0]["permissions"], json!(["read", "write"]));
    assert_eq!(server.send("DELETE", &path, &[], b"").status, 200);
    for (method, path) in
        [("GET", path.clone()), ("DELETE", path.clone()), ("PATCH", path.clone()), ("POST", format!("{path}/rotate"))]
    {
        let reply = server.send(method, &path, &[], b"{}");
        assert_eq!((reply.status, reply.json()["error"].as_str()), (404, Some("Token not found")), "{method} {path}");
    }
}

#[test]
fn a_token_outlives_a_kill_and_the_cache_is_shown() {
    let folder = folder();
    let mut server = Server::start(folder.path(), &[NO_LIMIT, "auth.max_cache_size=5"]);
    let tokens: Vec<String> = (0..8).map(|n| make(&server, json!({"name": format!("t{n}")})).1).collect();
    server.kill();
    let server = Server::start(folder.path(), &[NO_LIMIT, "auth.max_cache_size=5"]);
    for token in &tokens {
        assert_eq!(with(&server, token, "GET", "/api/v1/databases", &[], "").status, 200);
    }
    let stats = || server.get("/api/v1/auth/cache/stats").json()["stats"].clone();
    let seen = stats();
    assert_eq!(
        (&seen["cache_size"], &seen["max_cache_size"], &seen["cache_ttl_seconds"]),
        (&json!(5), &json!(5), &json!(30.0))
    );
    // eight of the tokens and the administrator's through five places
    assert_eq!(seen["cache_evictions"], 4);
    assert_eq!(seen["utilization_percent"], 100.0);
    let cleared = server.send("POST", "/api/v1/auth/cache/invalidate", &[], b"").json();
    assert_eq!(cleared["cleared"], 5);
    assert_eq!(stats()["cache_size"], 1);
    assert!(server.metric("arc_auth_cache_misses_total") >= 9.0);
}

#[test]
fn t59_ten_thousand_wrong_tokens_leave_the_server_responsive() {
    let folder = folder();
    let server = Server::start(folder.path(), &["auth.max_failures_per_minute=50"]);
    server.lines("m v=1 1");
    let before = server.metric("process_resident_memory_bytes");
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let flood = |thread: usize| {
            let server = &server;
            move || {
                let ask = |n: usize| {
                    let text = format!("a wrong token of a flood {thread} {n}");
                    with(server, &text, "GET", "/api/v1/databases", &[], "").status
                };
                (0..2_500).map(ask).collect::<Vec<u16>>()
            }
        };
        let floods: Vec<_> = (0..4).map(|n| scope.spawn(flood(n))).collect();
        // whoever has a token is served all the while
        while floods.iter().any(|f| !f.is_finished()) {
            assert_eq!(server.rows("SELECT count(*) FROM m"), json!([[1]]));
        }
        floods.into_iter().flat_map(|f| f.join().unwrap()).collect()
    });
    let refused = statuses.iter().filter(|s| **s == 401).count();
    let waiting = statuses.iter().filter(|s| **s == 429).count();
    assert_eq!(refused + waiting, 10_000);
    assert!((50..400).contains(&refused), "{refused} times 401, {waiting} times 429");
    assert!(server.metric("tidewater_auth_failures_total") >= 10_000.0);
    let grown = server.metric("process_resident_memory_bytes") - before;
    assert!(grown < 64e6, "{grown} bytes");
    // the failures that were answered 401 stand in the audit log, no more
    let stats = server.get("/api/v1/audit/stats").json();
    assert_eq!(stats["data"]["by_event_type"]["auth_failed"], refused);
    let reply = with(&server, "another wrong one of the same address", "GET", "/api/v1/databases", &[], "");
    assert_eq!((reply.status, reply.header("retry-after")), (429, "5"));
}

#[test]
fn the_audit_log_says_who_did_what_and_who_was_turned_away() {
    let folder = folder();
    let mut server = Server::start(folder.path(), &[NO_LIMIT]);
    server.lines("m v=1 1");
    let (_, reader) = make(&server, json!({"name": "reader", "permissions": ["read"]}));
    let delete = r#"{"database": "default", "measurement": "m", "where": "v = 7"}"#;
    assert_eq!(with(&server, &reader, "POST", "/api/v1/delete", &[], delete).status, 403);
    assert_eq!(server.send("POST", "/api/v1/delete", &[("user-agent", "probe/1")], delete.as_bytes()).status, 200);
    assert_eq!(with(&server, "", "GET", "/api/v1/query", &[], "").status, 401);
    assert_eq!(with(&server, "", "GET", "/api/v1/databases?p=not-a-token-but-a-secret", &[], "").status, 401);
    let of = |server: &Server, filter: &str| server.get(&format!("/api/v1/audit/logs?{filter}")).json()["data"].clone();
    let deleted = of(&server, "event_type=delete");
    let event = &deleted[0];
    assert_eq!(
        (&event["actor"], &event["status_code"], &event["path"]),
        (&json!("admin"), &json!(200), &json!("/api/v1/delete"))
    );
    assert_eq!((&event["database"], &event["measurement"]), (&json!("default"), &json!("m")));
    assert_eq!((&event["ip_address"], &event["user_agent"]), (&json!("127.0.0.1"), &json!("probe/1")));
    let denied = of(&server, "actor=reader");
    assert_eq!((&denied[0]["event_type"], &denied[0]["status_code"]), (&json!("access_denied"), &json!(403)));
    assert_eq!(of(&server, "event_type=auth_failed").as_array().unwrap().len(), 2);
    assert_eq!(of(&server, "event_type=admin")[0]["path"], "/api/v1/auth/tokens");
    assert_eq!(of(&server, "since=2100-01-01T00:00:00Z"), json!([]));
    assert_eq!(of(&server, "limit=1").as_array().unwrap().len(), 1);
    // a7: a token in a URL stands in no log
    let (_, with_p) = make(&server, json!({"name": "v1 client"}));
    assert_eq!(with(&server, "", "GET", &format!("/api/v1/databases?p={with_p}"), &[], "").status, 200);
    assert_eq!(with(&server, "", "DELETE", &format!("/api/v1/databases/x?p={with_p}"), &[], "").status, 403);
    let all = of(&server, "limit=1000").to_string();
    let log = std::fs::read_to_string(folder.path().join("server.log")).unwrap();
    for secret in [with_p.as_str(), "not-a-token-but-a-secret", &reader] {
        assert!(!all.contains(secret) && !log.contains(secret));
    }
    let count = of(&server, "limit=1000").as_array().unwrap().len();
    server.kill();
    let server = Server::start(folder.path(), &[NO_LIMIT]);
    assert_eq!(of(&server, "limit=1000").as_array().unwrap().len(), count);
}

#[test]
fn the_command_line_makes_lists_rotates_and_stops_tokens() {
    let folder = folder();
    let server = Server::start(folder.path(), &[NO_LIMIT]);
    let run = |args: &[&str]| tidewater(&server, TOKEN, args);
    let (made, token, error) =
        run(&["token", "create", "ci", "--permissions", "write", "--scope", "ci.*", "--expires-in", "30d"]);
    assert!(made, "{error}");
    let write = |token: &str, database: &str| {
        with(&server, token, "POST", "/api/v1/write/line-protocol", &[("x-arc-database", database)], "m v=1").status
    };
    assert_eq!((write(&token, "ci"), write(&token, "prod")), (204, 403));
    let (_, list, _) = run(&["token", "list"]);
    assert!(list.contains("ci.*") && list.contains("admin") && list.contains("everything"), "{list}");
    let (_, second, _) = run(&["token", "rotate", "ci"]);
    assert_eq!((write(&token, "ci"), write(&second, "ci")), (401, 204));
    assert!(run(&["token", "revoke", "ci"]).0);
    assert_eq!(write(&second, "ci"), 401);
    let (done, _, error) = run(&["token", "revoke", "nobody"]);
    assert!(!done && error.contains("nobody"), "{error}");
    // at the console, when every token is lost, while the server runs
    let data = server.data();
    let (done, recovered, _) = tidewater(&server, "", &["token", "recover", "--folder", data.to_str().unwrap()]);
    assert!(done);
    assert_eq!(with(&server, &recovered, "GET", "/api/v1/auth/tokens", &[], "").status, 200);
    assert_eq!(server.get("/api/v1/auth/tokens").status, 200);
}

#[test]
fn a_forced_bootstrap_adds_a_token_and_keeps_the_others() {
    let folder = folder();
    let mut server = Server::start(folder.path(), &[]);
    let (_, other) = make(&server, json!({"name": "other"}));
    server.kill();
    let chosen = "chosen by the operator, long enough";
    let env = [("TIDEWATER_AUTH_BOOTSTRAP_TOKEN", chosen), ("TIDEWATER_AUTH_FORCE_BOOTSTRAP", "true")];
    let server = Server::try_start(folder.path(), &[], &env).unwrap();
    let list = with(&server, chosen, "GET", "/api/v1/auth/tokens", &[], "").json();
    let names: Vec<&str> = list["tokens"].as_array().unwrap().iter().filter_map(|t| t["name"].as_str()).collect();
    assert_eq!(names, ["admin", "other", "recovery"]);
    for token in [TOKEN, &other] {
        assert_eq!(with(&server, token, "GET", "/api/v1/databases", &[], "").status, 200);
    }
    drop(server);
    let short = [("TIDEWATER_AUTH_BOOTSTRAP_TOKEN", "short")];
    assert!(Server::try_start(folder.path(), &[], &short).err().unwrap().contains("32 characters"));
}

#[test]
fn t61_two_first_starts_make_one_token() {
    let folder = folder();
    let outcomes: Vec<Result<Server, String>> = std::thread::scope(|scope| {
        let start = || Server::try_start(folder.path(), &[], &[]);
        let both = [scope.spawn(start), scope.spawn(start)];
        both.into_iter().map(|t| t.join().unwrap()).collect()
    });
    // both may have seen the same ready line: one process answers, the other has ended
    let mut alive: Vec<Server> = outcomes.into_iter().flatten().collect();
    eventually("the second gives up", || {
        alive.retain_mut(|s| s.wait_end(Duration::from_millis(20)).is_none());
        alive.len() < 2
    });
    assert_eq!(alive.len(), 1);
    let log = std::fs::read_to_string(folder.path().join("server.log")).unwrap();
    assert!(log.contains("is in use by"), "{log}");
    assert_eq!(alive[0].get("/api/v1/auth/tokens").json()["count"], 1);
}

#[test]
fn browsers_may_ask_and_take_no_answer_for_a_page() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    let from = [("origin", "https://dash.example"), ("authorization", "")];
    for path in ["/health", "/api/v1/databases", "/no/such/path"] {
        let reply = server.send("GET", path, &from, b"");
        assert_eq!(reply.header("x-frame-options"), "DENY", "{path}");
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(reply.header("content-security-policy"), "default-src 'none'", "{path}");
        assert_eq!(reply.header("access-control-allow-origin"), "*", "{path}");
        assert!(!reply.header("x-request-id").is_empty(), "{path}");
    }
    // a browser asks before it sends a token, and before a PATCH
    let preflight = [
        ("origin", "https://dash.example"),
        ("authorization", ""),
        ("access-control-request-method", "PATCH"),
        ("access-control-request-headers", "authorization,x-arc-database"),
    ];
    let reply = server.send("OPTIONS", "/api/v1/auth/tokens/1", &preflight, b"");
    assert_eq!(reply.status, 200);
    assert!(reply.header("access-control-allow-methods").contains("PATCH"), "{reply:?}");
    assert!(reply.header("access-control-allow-headers").contains("x-arc-database"), "{reply:?}");
    drop(server);
    let dir = folder();
    let server = Server::start(dir.path(), &["server.cors_origins=https://dash.example, https://b.example"]);
    let allowed = |origin: &str| {
        server.send("GET", "/health", &[("origin", origin)], b"").header("access-control-allow-origin").to_owned()
    };
    assert_eq!(allowed("https://b.example"), "https://b.example");
    assert_eq!(allowed("https://evil.example"), "");
}
