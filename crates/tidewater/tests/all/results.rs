//! The same answer in every format, and every way to ask for it.

use serde_json::{Value, json};

use super::harness::{Server, TOKEN, folder, python};

const LINES: &str = "cpu,host=a,region=eu v=1i,f=0.5,s=\"x\" 1700000000000000000\n\
                     cpu,host=b,region=eu v=2i,f=1.5,s=\"y\" 1700000060000000000\n\
                     cpu,host=b v=3i 1700000120000000000";

fn ask(server: &Server, path: &str, body: &Value) -> super::harness::Reply {
    server.send("POST", path, &[("content-type", "application/json")], body.to_string().as_bytes())
}

/// The rows of a statement with parameters, or the code and text of its refusal.
fn bound(server: &Server, sql: &str, params: Value) -> Result<Value, (String, String)> {
    let said = ask(server, "/api/v1/query", &json!({"sql": sql, "params": params})).json();
    match said["success"] == true {
        true => Ok(said["data"].clone()),
        false => {
            Err((said["code"].as_str().unwrap_or_default().into(), said["error"].as_str().unwrap_or_default().into()))
        }
    }
}

#[test]
fn readers_of_the_field_read_every_format() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    python("results.py", &[&server.url, TOKEN]);
}

#[test]
fn a_form_is_named_by_route_field_or_accept() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    server.lines(LINES);
    let sql = "SELECT host, v, f FROM cpu ORDER BY v";
    let csv = "host,v,f\na,1,0.5\nb,2,1.5\nb,3,\n";
    let text = |reply: super::harness::Reply| String::from_utf8(reply.body).expect("text");
    assert_eq!(text(ask(&server, "/api/v1/query/stream", &json!({"sql": sql}))), csv);
    assert_eq!(text(ask(&server, "/api/v1/query", &json!({"sql": sql, "format": "csv"}))), csv);
    let accept = [("accept", "text/csv")];
    let reply = server.send("POST", "/api/v1/query", &accept, json!({"sql": sql}).to_string().as_bytes());
    assert_eq!(reply.header("content-type"), "text/csv; charset=utf-8; header=present");
    assert_eq!(text(reply), csv);
    let lines = text(ask(&server, "/api/v1/query", &json!({"sql": sql, "format": "ndjson"})));
    assert_eq!(lines.lines().next(), Some(r#"{"host":"a","v":1,"f":0.5}"#));
    assert_eq!(lines.lines().count(), 3);
    // fields that are not known are no matter, and a limit holds where the statement has none
    let superset = json!({"sql": "SELECT v FROM cpu ORDER BY v DESC;", "limit": 2, "format": "json", "x": 1});
    assert_eq!(ask(&server, "/api/v1/query", &superset).json()["data"], json!([[3], [2]]));
    assert_eq!(ask(&server, "/api/v1/query", &json!({"sql": "SHOW TABLES", "limit": 0})).json()["row_count"], 0);
    let error = ask(&server, "/api/v1/query", &json!({"sql": sql, "format": "xml"}));
    assert_eq!((error.status, error.json()["code"].as_str()), (400, Some("invalid_parameter")));
    // an error is JSON whatever was asked for
    let error = ask(&server, "/api/v1/query/msgpack", &json!({"sql": "SELECT nothing FROM cpu"}));
    assert_eq!((error.status, error.json()["code"].as_str()), (400, Some("invalid_query")));
}

#[test]
fn parameters_are_values_whatever_they_say() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    server.lines(LINES);
    let rows = |sql: &str, params: Value| bound(&server, sql, params).unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    assert_eq!(rows("SELECT v FROM cpu WHERE host = ? AND v > ?", json!(["b", 2])), json!([[3]]));
    assert_eq!(rows("SELECT v FROM cpu WHERE v > $2 AND host = $1", json!(["b", 2])), json!([[3]]));
    assert_eq!(rows("SELECT v FROM cpu WHERE host = $h AND v = $n", json!({"h": "b", "n": 2})), json!([[2]]));
    let time = "SELECT count(*) FROM cpu WHERE time >= ? AND time < ?";
    assert_eq!(rows(time, json!(["2023-11-14T22:14:20Z", "2023-11-14 22:15:20"])), json!([[1]]));
    assert_eq!(rows("SELECT v FROM cpu ORDER BY v LIMIT ? OFFSET ?", json!([1, 1])), json!([[2]]));
    let values = json!([1, -1, i64::MIN, u64::MAX, 1.5, -2.5e300, true, null, "x'y\"; DROP TABLE cpu --"]);
    assert_eq!(rows("SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?", values.clone()), json!([values]));
    assert_eq!(rows("SELECT 5 - ?, -?", json!([-2, -3])), json!([[7, 3]]));
    assert_eq!(rows("SELECT count(*) FROM cpu WHERE host = ?", json!(["' OR 1=1 --"])), json!([[0]]));
    assert_eq!(rows("SELECT array_length(?)", json!([[1, 2, 3]])), json!([[3]]));
    assert_eq!(rows("DESCRIBE SELECT ? AS a", json!([1]))[0][0], "a");
    // the same statement with another value is another answer, also from the cache
    for (host, count) in [("a", 1), ("b", 2), ("a", 1)] {
        assert_eq!(rows("SELECT count(*) FROM cpu WHERE host = ?", json!([host])), json!([[count]]));
    }
    for (sql, params, words) in [
        ("SELECT ?", json!([]), "? has no value"),
        ("SELECT ?", json!([1, 2]), "params has 2 values, and the statement has places for 1"),
        ("SELECT $a", json!({"b": 1}), "params names no \"a\""),
        ("SELECT $a", json!([1]), "make it an object"),
        ("SELECT ?", json!([{"a": 1}]), "is an object"),
        ("SELECT ?", json!("x"), "neither a list"),
        ("SELECT ?", Value::Null, "without a value"),
    ] {
        let (_, text) = bound(&server, sql, params).expect_err(sql);
        assert!(text.contains(words), "{sql}: {text}");
    }
    // a place of a name takes no value
    let (code, _) = bound(&server, "SELECT * FROM ?", json!(["cpu"])).expect_err("refused");
    assert_eq!(code, "syntax_error");
}

#[test]
fn rows_of_a_measurement_are_asked_by_parameters() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    server.lines(LINES);
    server.lines("a\\ b/c v=1i 1");
    let rows = |path: &str| server.get(path).json()["data"].clone();
    let newest = server.get("/api/v1/query/cpu").json();
    assert_eq!((newest["row_count"].as_u64(), newest["success"].as_bool()), (Some(3), Some(true)));
    assert_eq!(rows("/api/v1/query/cpu?columns=v&limit=2"), json!([[3], [2]]));
    assert_eq!(rows("/api/v1/query/CPU?columns=v,host&order_by=v&offset=1&limit=1"), json!([[2, "b"]]));
    assert_eq!(rows("/api/v1/query/cpu?columns=v&where=host='b'%20OR%20v=1&order_by=v"), json!([[1], [2], [3]]));
    // a condition and a range hold together, whatever the condition says
    let range = "start_time=2023-11-14T22:14:20Z&end_time=2023-11-14T22:15:20Z";
    assert_eq!(rows(&format!("/api/v1/query/cpu?columns=v&{range}&where=v=1%20OR%20v=2")), json!([[2]]));
    assert_eq!(rows("/api/v1/query/a%20b%2Fc?columns=v"), json!([[1]]));
    let csv = server.get("/api/v1/query/cpu/csv?columns=v&order_by=v");
    assert_eq!(String::from_utf8_lossy(&csv.body), "v\n1\n2\n3\n");
    for (query, status) in [
        ("cpu?where=1=1;DROP%20TABLE%20cpu", 400),
        ("cpu?where=1=1)%20UNION%20SELECT%20(1", 400),
        ("cpu?columns=v%20FROM%20cpu,%20secret", 400),
        ("cpu?order_by=v%20LIMIT%201", 400),
        ("cpu?where=v%20IN%20(SELECT%20x%20FROM%20read_csv('/etc/passwd'))", 400),
        ("cpu?limit=1000001", 400),
        ("cpu?limit=-1", 400),
        ("nothing", 404),
    ] {
        let reply = server.get(&format!("/api/v1/query/{query}"));
        assert_eq!(reply.status, status, "{query}: {}", String::from_utf8_lossy(&reply.body));
        assert!(reply.json()["code"].is_string());
    }
    assert_eq!(server.rows("SELECT count(*) FROM cpu"), json!([[3]]));
}

#[test]
fn estimates_come_from_statistics() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    let lines: String =
        (0..12_000).map(|i| format!("t,host=h{} v={i}i {}\n", i % 10, i64::from(i) * 1_000_000)).collect();
    server.lines(&lines);
    let estimate = |sql: &str| ask(&server, "/api/v1/query/estimate", &json!({"sql": sql})).json();
    for _ in 0..2 {
        let all = estimate("SELECT * FROM t");
        assert_eq!((all["success"].as_bool(), all["estimated_rows"].as_u64()), (Some(true), Some(12_000)), "{all}");
        assert_eq!(all["warning_level"], "low");
        assert_eq!(estimate("SELECT * FROM t LIMIT 7")["estimated_rows"], 7);
        assert_eq!(estimate("SELECT count(*) FROM t")["estimated_rows"], 1);
        assert_eq!(estimate("SELECT count(*) FROM t")["warning_level"], "none");
        let groups = estimate("SELECT host, count(*) FROM t GROUP BY host")["estimated_rows"].clone();
        assert!((1..=12_000).contains(&groups.as_u64().unwrap()), "{groups}");
        server.flush();
    }
    let reply = ask(&server, "/api/v1/query/estimate", &json!({"sql": "SELECT * FROM nothing"}));
    assert_eq!((reply.status, reply.json()["warning_level"].as_str()), (404, Some("error")));
    assert_eq!(ask(&server, "/api/v1/query/estimate", &json!({"sql": "SHOW TABLES"})).status, 400);
}

#[test]
fn what_there_is_is_told_to_whom_may_see_it() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    server.lines(LINES);
    let write = |database: &str, lines: &str| {
        let headers = [("x-arc-database", database)];
        assert_eq!(server.send("POST", "/api/v1/write/line-protocol", &headers, lines.as_bytes()).status, 204);
    };
    write("prod", "mem,host=a used=1i 1");
    write("prod", "secret,host=a key=1i 1");
    let made = json!({"name": "mem", "permissions": ["read"], "scopes": ["prod.mem"]});
    let made = ask(&server, "/api/v1/auth/tokens", &made).json();
    let bearer = format!("Bearer {}", made["token"].as_str().expect("a token"));
    let scoped = |sql: &str| server.query_with(sql, &[("authorization", &bearer), ("x-arc-database", "prod")]);
    let tables = "SELECT table_schema, table_name FROM information_schema.tables ORDER BY ALL";
    assert_eq!(server.rows(tables), json!([["default", "cpu"], ["prod", "mem"], ["prod", "secret"]]));
    assert_eq!(scoped(tables).json()["data"], json!([["prod", "mem"]]));
    let columns = "SELECT column_name, data_type, ordinal_position FROM information_schema.columns \
                   WHERE table_name = 'mem' ORDER BY ordinal_position";
    // line protocol has nanoseconds beside the microseconds of `time`
    let listed = json!([
        ["time", "TIMESTAMP WITH TIME ZONE", 1],
        ["time_ns", "SMALLINT", 2],
        ["host", "VARCHAR", 3],
        ["used", "BIGINT", 4]
    ]);
    assert_eq!(server.rows(columns), listed);
    assert_eq!(scoped(columns).json()["data"], listed);
    let hidden = "SELECT count(*) FROM information_schema.columns WHERE table_name IN ('cpu', 'secret')";
    assert_eq!(scoped(hidden).json()["data"], json!([[0]]));
    let schemata = "SELECT schema_name FROM information_schema.schemata ORDER BY 1";
    assert_eq!(server.rows(schemata), json!([["default"], ["prod"]]));
    assert_eq!(scoped(schemata).json()["data"], json!([["prod"]]));
    assert_eq!(
        server.rows("SELECT t.table_name FROM INFORMATION_SCHEMA.Tables t JOIN cpu ON t.table_name = 'cpu' LIMIT 1"),
        json!([["cpu"]])
    );
    assert_eq!(server.refusal("SELECT * FROM information_schema.views").0, 400);
    // tags and fields
    assert_eq!(server.rows("SHOW TAG KEYS FROM cpu"), json!([["cpu", "host"], ["cpu", "region"]]));
    assert_eq!(
        server.rows("SHOW FIELD KEYS FROM \"default\".cpu"),
        json!([["cpu", "v", "BIGINT"], ["cpu", "f", "DOUBLE"], ["cpu", "s", "VARCHAR"]])
    );
    assert_eq!(scoped("SHOW FIELD KEYS").json()["data"], json!([["mem", "used", "BIGINT"]]));
    assert_eq!(scoped("SHOW TAG KEYS FROM secret").status, 403);
    assert_eq!(server.rows("SHOW COLUMNS FROM cpu"), server.rows("DESCRIBE cpu"));
    assert_eq!(scoped("SHOW COLUMNS FROM secret").status, 403);
    // every format knows them
    let csv = ask(&server, "/api/v1/query/stream", &json!({"sql": "SHOW DATABASES"}));
    assert_eq!(String::from_utf8_lossy(&csv.body), "database\ndefault\nprod\n");
}

#[test]
fn summarize_tells_figures_of_each_column() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    server.lines(LINES);
    let said = server.query("SUMMARIZE cpu");
    assert_eq!(
        said["columns"],
        json!([
            "column_name",
            "column_type",
            "min",
            "max",
            "approx_unique",
            "avg",
            "std",
            "q25",
            "q50",
            "q75",
            "count",
            "null_percentage"
        ])
    );
    let row = |name: &str| {
        said["data"]
            .as_array()
            .unwrap()
            .iter()
            .find(|r| r[0] == name)
            .unwrap_or_else(|| panic!("{name} of {said}"))
            .clone()
    };
    let v = row("v");
    assert_eq!(
        (&v[1], &v[2], &v[3], &v[4], &v[5], &v[6], &v[10], &v[11]),
        (&json!("BIGINT"), &json!("1"), &json!("3"), &json!(3), &json!("2.0"), &json!("1.0"), &json!(3), &json!(0.0))
    );
    let f = row("f");
    assert_eq!((&f[2], &f[3], &f[5], &f[11]), (&json!("0.5"), &json!("1.5"), &json!("1.0"), &json!(33.33)));
    let host = row("host");
    assert_eq!((&host[2], &host[3], &host[4], &host[5]), (&json!("a"), &json!("b"), &json!(2), &Value::Null));
    let some = server.rows("SUMMARIZE SELECT v * 2 AS twice FROM cpu WHERE v > 1");
    assert_eq!(
        (&some[0][0], &some[0][2], &some[0][3], &some[0][10]),
        (&json!("twice"), &json!("4"), &json!("6"), &json!(2))
    );
    assert_eq!(server.rows("SUMMARIZE SELECT v FROM cpu WHERE v > 5")[0][10], 0);
    // a limit of the request is one of these rows, not of those that they tell of
    let few = ask(&server, "/api/v1/query", &json!({"sql": "SUMMARIZE cpu", "limit": 1})).json();
    assert_eq!((&few["row_count"], &few["data"][0][10]), (&json!(1), &json!(3)), "{few}");
    assert_eq!(server.refusal("SUMMARIZE nothing").0, 404);
}

#[test]
fn a_profile_and_a_trailer_tell_where_the_time_went() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    server.lines(LINES);
    let sql = "SELECT host, sum(v) FROM cpu WHERE v > 0 GROUP BY host";
    let plain = server.query(sql);
    assert!(plain.get("profile").is_none());
    let said = server.query_with(sql, &[("x-arc-profile", "true"), ("cache-control", "no-cache")]).json();
    let profile = &said["profile"];
    assert_eq!(profile["rows_scanned"], 3, "{said}");
    for key in ["total_ms", "planner_ms", "execution_ms", "latency_ms"] {
        assert!(profile[key].as_f64().is_some_and(|ms| ms > 0.0), "{key} of {profile}");
    }
    // only who reads trailers gets one
    let raw = |te: &str| {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(server.address()).expect("a connection");
        let body = json!({"sql": sql}).to_string();
        let head = format!(
            "POST /api/v1/query/arrow HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n{te}Connection: close\r\n"
        );
        write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).expect("written");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("read");
        String::from_utf8_lossy(&answer).to_ascii_lowercase()
    };
    let with = raw("TE: trailers\r\n");
    assert!(with.contains("trailer: arc-execution-time-ms"), "{with}");
    let value = with.rsplit("arc-execution-time-ms: ").next().unwrap().trim();
    assert!(value.parse::<f64>().is_ok_and(|ms| ms > 0.0), "{value}");
    assert!(!raw("").contains("arc-execution-time-ms"));
}

#[test]
fn long_answers_by_columns_wait_on_disk_and_leave_nothing() {
    let dir = folder();
    let settings = ["query.temp_bytes=64MiB", "cache.percent=0"];
    let server = Server::start(dir.path(), &settings);
    let query = |rows: u64| {
        let sql = format!(
            "SELECT generate_series, generate_series::VARCHAR AS s, generate_series * 0.5 AS f FROM generate_series(1, {rows})"
        );
        ask(&server, "/api/v1/query/msgpack", &json!({"sql": sql}))
    };
    let before = server.metric("process_resident_memory_bytes");
    let body = query(1_000_000).body;
    assert!(body.len() > 20_000_000, "{} bytes", body.len());
    // the end of each column stands before the next begins, and all of them before the count
    let end = |needle: &[u8]| body.windows(needle.len()).rposition(|w| w == needle).expect("it is there");
    let (last_text, last_float, count) =
        (end(b"\xa71000000"), end(&[&[0xcb][..], &500_000f64.to_be_bytes()].concat()), end(b"\xa9row_count"));
    assert!(last_text < last_float && last_float < count);
    assert_eq!(&body[count + 10..count + 15], &[0xce, 0, 0x0f, 0x42, 0x40], "a million rows");
    let grown = server.metric("process_resident_memory_bytes") - before;
    assert!(grown < 150e6, "{grown} bytes more");
    // beyond the bound the answer breaks off: it is never a shorter one
    let sql =
        "SELECT generate_series, generate_series::VARCHAR || repeat('x', 90) AS s FROM generate_series(1, 1000000)";
    let cut = server.try_send("POST", "/api/v1/query/msgpack", &[], json!({"sql": sql}).to_string().as_bytes());
    assert!(cut.is_err() || cut.is_ok_and(|reply| reply.status >= 500));
    // as long up to the count: behind it stands the time it took, which is as long as its digits
    let again = query(1_000_000).body;
    assert_eq!(again.get(count..count + 15), body.get(count..count + 15), "the next has room again");
}
