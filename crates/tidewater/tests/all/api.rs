use std::io::Write;

use serde_json::json;

use super::harness::{Server, columnar, folder};

#[test]
fn t29_a_row_is_seen_by_the_very_next_query() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    for i in 1..=50 {
        server.lines(&format!("cpu,host=a v={i} {i}"));
        assert_eq!(server.rows("SELECT count(*) FROM cpu"), json!([[i]]));
    }
}

#[test]
fn an_answer_names_the_durability_that_held() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    let write = |headers: &[(&str, &str)]| server.send("POST", "/api/v1/write/line-protocol", headers, b"m v=1");
    assert_eq!(write(&[]).header("x-tidewater-durability"), "power");
    assert_eq!(write(&[("x-tidewater-durability", "process")]).header("x-tidewater-durability"), "process");
    assert_eq!(write(&[("x-tidewater-durability", "none")]).status, 400);
    assert!(!write(&[]).header("x-request-id").is_empty());
}

#[test]
fn every_write_route_names_its_database_and_its_mode() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    for (path, database) in [
        ("/write?db=v1&precision=s", "v1"),
        ("/api/v2/write?bucket=v2&org=o&precision=s", "v2"),
        ("/api/v3/write_lp?db=v3&precision=second", "v3"),
    ] {
        assert_eq!(server.send("POST", path, &[], b"m,t=a v=1 1700000000").status, 204, "{path}");
        assert_eq!(
            server.rows(&format!("SELECT time, t, v FROM {database}.m")),
            json!([["2023-11-14T22:13:20Z", "a", 1.0]])
        );
    }
    let named = server.send("POST", "/write?db=ignored", &[("x-arc-database", "header")], b"m v=1");
    assert_eq!(named.status, 204);
    assert_eq!(server.rows("SHOW DATABASES"), json!([["header"], ["v1"], ["v2"], ["v3"]]));
    assert_eq!(server.send("POST", "/write?db=a/b", &[], b"m v=1").status, 400);
    assert_eq!(server.send("POST", "/write?db=v1&precision=d", &[], b"m v=1").status, 400);
}

#[test]
fn t09_good_lines_are_stored_and_every_bad_one_is_named() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    server.lines("m v=1i 1");
    server.flush();
    let reply =
        server.send("POST", "/api/v1/write/line-protocol", &[], b"m v=2i 2\nm v= 3\nm v=t 4\nm v=5 5\nm v=\"x\" 6");
    assert_eq!(reply.status, 400);
    let body = reply.json();
    assert_eq!(body["code"], "invalid_lines");
    let lines: Vec<_> = body["lines"].as_array().unwrap().iter().map(|l| l["line"].as_u64().unwrap()).collect();
    assert_eq!(lines, [2, 3, 5], "{body}");
    assert_eq!(server.rows("SELECT v FROM m ORDER BY v"), json!([[1], [2], [5]]));
    let v2 = server.send("POST", "/api/v2/write?bucket=default", &[], b"m v=\"x\" 6").json();
    assert!(v2["code"] == "invalid" && v2["message"].as_str().unwrap().contains("int64"), "{v2}");
}

#[test]
fn t10_a_msgpack_request_is_all_or_nothing() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    let mut body = vec![0x92];
    body.extend(columnar("good", &[("v", &[1, 2])]));
    body.extend(columnar("bad", &[("v", &[1]), ("w", &[1, 2])]));
    let reply = server.send("POST", "/api/v1/write/msgpack", &[], &body);
    assert_eq!(reply.status, 400, "{}", String::from_utf8_lossy(&reply.body));
    assert!(reply.json()["error"].as_str().unwrap().starts_with("item 2:"));
    assert_eq!(server.refusal("SELECT * FROM good").0, 404);
}

#[test]
fn t12_a_column_changes_type_only_where_nothing_is_lost() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    server.lines("young v=20i 1");
    server.lines("young v=20.5 2");
    assert_eq!(server.rows("SELECT v FROM young ORDER BY v"), json!([[20.0], [20.5]]));
    server.lines("old v=20i 1");
    server.flush();
    server.lines("old v=21 2");
    let reply = server.send("POST", "/api/v1/write/line-protocol", &[], b"old v=t 3");
    assert_eq!((reply.status, reply.json()["lines"][0]["line"].as_u64()), (400, Some(1)));
    assert_eq!(server.rows("SELECT v FROM old ORDER BY v"), json!([[20], [21]]));
    // the widened column, its cast and its rows survive a crash
    let mut server = server;
    server.kill();
    let server = Server::start(dir.path(), &[]);
    assert_eq!(server.rows("SELECT v FROM young ORDER BY v"), json!([[20.0], [20.5]]));
    server.flush();
    assert_eq!(server.rows("SELECT v FROM young ORDER BY v"), json!([[20.0], [20.5]]));
}

#[test]
fn t11_an_all_null_column_stays_and_takes_the_type_of_its_first_value() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    let nulls = [
        &[0x82, 0xa1, b'm', 0xa1, b't', 0xa7][..],
        b"columns",
        &[0x82, 0xa1, b'a', 0x91, 0x01, 0xa1, b'b', 0x91, 0xc0],
    ]
    .concat();
    assert_eq!(server.send("POST", "/api/v1/write/msgpack", &[], &nulls).status, 204);
    assert_eq!(server.query("SELECT b FROM t")["columns"], json!(["b"]));
    server.lines("t b=5i 1");
    assert_eq!(server.rows("SELECT b FROM t ORDER BY b"), json!([[5], [null]]));
}

#[test]
fn t14_concurrent_clients_write_each_to_its_own_database() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    std::thread::scope(|scope| {
        for client in 0..4 {
            let server = &server;
            scope.spawn(move || {
                for i in 0..2_000 {
                    let database = format!("db{client}");
                    let reply = server.send(
                        "POST",
                        "/api/v1/write/line-protocol",
                        &[("x-arc-database", &database)],
                        format!("m c={client}i,i={i}i").as_bytes(),
                    );
                    assert_eq!(reply.status, 204);
                }
            });
        }
    });
    for client in 0..4 {
        assert_eq!(
            server.rows(&format!("SELECT min(c), max(c), count(*), count(DISTINCT i) FROM db{client}.m")),
            json!([[client, client, 2_000, 2_000]])
        );
    }
}

#[test]
fn compressed_and_chunked_bodies_without_a_content_type_are_read() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    let mut address = server.url.trim_start_matches("http://").to_owned();
    address.retain(|c| !c.is_whitespace());
    let mut stream = std::net::TcpStream::connect(&address).unwrap();
    let head = format!(
        "POST /api/v2/write?bucket=default HTTP/1.1\r\nHost: x\r\nAuthorization: Token {}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
        super::harness::TOKEN
    );
    stream.write_all(head.as_bytes()).unwrap();
    for part in ["m,h=a v=", "1 1\nm,h=b v=2 2"] {
        stream.write_all(format!("{:x}\r\n{part}\r\n", part.len()).as_bytes()).unwrap();
    }
    stream.write_all(b"0\r\n\r\n").unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    assert_eq!(server.rows("SELECT count(*) FROM m"), json!([[2]]));
}

#[test]
fn t02_bodies_are_as_long_as_the_setting_says_and_no_longer() {
    let dir = folder();
    let server = Server::start(dir.path(), &["server.max_payload_size=100MB", "memory.budget=1GiB"]);
    const LINE: usize = 1_000_000;
    let line = |at: usize| {
        let head = format!("m i={at}i,s=\"");
        format!("{head}{}\"\n", "x".repeat(LINE - head.len() - 2))
    };
    // what is left over is a comment
    let body = |bytes: usize| (0..bytes / LINE).map(line).collect::<String>() + &"#".repeat(bytes % LINE);
    let send = |bytes: usize| server.send("POST", "/api/v1/write/line-protocol", &[], body(bytes).as_bytes());
    for bytes in [5_000_000, 99_000_000, 100_000_000] {
        let reply = send(bytes);
        assert_eq!(reply.status, 204, "{bytes}: {}", String::from_utf8_lossy(&reply.body));
    }
    let rows = server.rows("SELECT count(*) FROM m");
    assert_eq!(rows, json!([[5 + 99 + 100]]));
    let reply = send(100_000_001);
    assert_eq!((reply.status, reply.json()["code"].as_str()), (413, Some("payload_too_large")));
    assert_eq!(server.rows("SELECT count(*) FROM m"), rows, "nothing of it is stored");
}

#[test]
fn t03_a_bomb_and_a_cut_stream_are_refused_in_bounded_memory() {
    let dir = folder();
    let server = Server::start(dir.path(), &["server.max_payload_size=16MiB"]);
    let packed = |plain: &[u8]| {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packed.write_all(plain).unwrap();
        packed.finish().unwrap()
    };
    let send = |named: &str, body: &[u8]| {
        let reply = server.send("POST", "/api/v1/write/line-protocol", &[("content-encoding", named)], body);
        let code = if reply.body.is_empty() { json!(null) } else { reply.json()["code"].clone() };
        (reply.status, code)
    };
    // a member of a mebibyte, a thousand times: a gibibyte comes out of one
    let bomb = packed(&vec![b'\n'; 1 << 20]).repeat(1024);
    assert!(bomb.len() < 2 << 20, "{} bytes", bomb.len());
    for _ in 0..10 {
        assert_eq!(send("gzip", &bomb), (413, json!("payload_too_large")));
    }
    let peak = server.memory_kib("VmHWM:");
    assert!(peak < 400 << 10, "{peak} KiB resident after gibibytes were sent");
    let whole = packed(b"m,h=a v=1 1");
    assert_eq!(send("gzip", &whole[..whole.len() - 9]).0, 400);
    assert_eq!(server.refusal("SELECT * FROM m").0, 404, "nothing of it is stored");
    assert_eq!(send("gzip", &[whole.clone(), packed(b"\nm,h=b v=1 2")].concat()).0, 204, "members are one body");
    assert_eq!(send("zstd", &packed(b"m,h=c v=1 3")).0, 204, "the bytes say what they are");
    assert_eq!(server.rows("SELECT h FROM m ORDER BY time"), json!([["a"], ["b"], ["c"]]));
}

#[test]
fn t04_what_is_no_utf8_is_refused_by_name_and_the_table_answers() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    let body = b"m,h=a s=\"good\" 1000\nm,h=b s=\"\xff\xfe\" 2000\nm,h=\xc3 s=\"x\" 3000\nm,h=\xc3\xa4 s=\"\xe2\x82\xac\" 4000";
    let reply = server.send("POST", "/api/v1/write/line-protocol", &[], body);
    assert_eq!((reply.status, &reply.json()["lines_refused"]), (400, &json!(2)));
    let lines = reply.json()["lines"].clone();
    assert!(
        (lines[0]["line"] == 2 && lines[1]["line"] == 3) && lines.to_string().matches("UTF-8").count() == 2,
        "{lines}"
    );
    // columns of MessagePack whose measurement, name or value is cut in the middle of a letter
    let text = |bytes: &[u8]| [&[0xa0 | bytes.len() as u8], bytes].concat();
    let packed = |table: &[u8], name: &[u8], value: &[u8]| {
        let time = [text(b"time"), vec![0x91, 0x05]].concat();
        let column = [text(name), vec![0x91], text(value)].concat();
        [vec![0x82], text(b"m"), text(table), text(b"columns"), vec![0x82], time, column].concat()
    };
    for (table, name, value) in [(&b"m\xc3"[..], &b"s"[..], &b"x"[..]), (b"m", b"s\xc3", b"x"), (b"m", b"s", b"x\xc3")]
    {
        let reply = server.send("POST", "/api/v1/write/msgpack", &[], &packed(table, name, value));
        assert_eq!((reply.status, reply.json()["code"].as_str()), (400, Some("invalid_body")));
    }
    assert_eq!(server.send("POST", "/api/v1/write/msgpack", &[], &packed(b"m", b"s", b"x")).status, 204);
    for _ in 0..2 {
        assert_eq!(server.rows("SELECT h, s FROM m ORDER BY time"), json!([["a", "good"], ["ä", "€"], [null, "x"]]));
        assert_eq!(server.rows("SHOW TABLES").as_array().map(Vec::len), Some(1));
        server.flush();
    }
}

#[test]
fn what_influxdb_clients_ask_first_is_answered() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    let ping = server.send("GET", "/ping", &[("authorization", "")], b"");
    assert!(ping.status == 204 && !ping.header("x-influxdb-version").is_empty());
    let ask = |q: &str| server.get(&format!("/query?q={}", q.replace(' ', "%20").replace('"', "%22")));
    assert_eq!(ask("CREATE DATABASE \"telegraf\"").json(), json!({"results": [{"statement_id": 0}]}));
    assert_eq!(ask("SHOW DATABASES").json()["results"][0]["series"][0]["values"], json!([["telegraf"]]));
    server.send("POST", "/write?db=telegraf", &[], b"cpu v=1");
    assert_eq!(ask("SHOW MEASUREMENTS ON telegraf").json()["results"][0]["series"][0]["values"], json!([["cpu"]]));
    let refused = ask("SELECT * FROM cpu");
    assert!(refused.status == 400 && refused.json()["error"].as_str().unwrap().contains("docs/migrate-influxdb.md"));
    assert_eq!(server.send("POST", "/api/v2/query", &[], b"from(bucket:\"x\")").status, 501);
    assert_eq!(server.get("/api/v2/buckets").json()["buckets"][0]["name"], "telegraf");
}

#[test]
fn databases_are_listed_and_created_once() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    let create =
        |name: &str| server.send("POST", "/api/v1/databases", &[], json!({"name": name}).to_string().as_bytes()).status;
    assert_eq!((create("lab"), create("LAB"), create("system"), create("a b")), (201, 409, 400, 400));
    server.send("POST", "/api/v1/write/line-protocol", &[("x-arc-database", "Lab")], b"cpu v=1");
    assert_eq!(server.get("/api/v1/databases/lab").json()["measurement_count"], 1);
    assert_eq!(server.get("/api/v1/databases").json()["count"], 1);
    assert_eq!(server.get("/api/v1/databases/lab/measurements").json()["measurements"][0]["name"], "cpu");
    assert_eq!(server.get("/api/v1/measurements?database=lab").json()["measurements"][0]["measurement"], "cpu");
    assert_eq!(server.get("/api/v1/databases/none").status, 404);
}

#[test]
fn t01_names_are_data_and_never_paths() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    server.lines("../../evil,a/b=c d\\ 'e\"f=1 1");
    server.flush();
    assert_eq!(server.rows("SELECT \"a/b\" FROM \"../../evil\""), json!([["c"]]));
    assert!(!dir.path().join("evil").exists() && !dir.path().parent().unwrap().join("evil").exists());
}

#[test]
fn a_keyed_request_is_stored_once_also_after_a_crash_and_a_flush() {
    let dir = folder();
    let mut server = Server::start(dir.path(), &[]);
    server.lines("m v=0i 0");
    server.flush();
    let body = b"m v=1i 1\nm v=bad 2";
    let keyed = |server: &Server, key: &str, body: &[u8]| {
        let reply = server.send("POST", "/api/v1/write/line-protocol", &[("idempotency-key", key)], body);
        (reply.status, if reply.body.is_empty() { json!(null) } else { reply.json()["lines"].clone() })
    };
    let first = keyed(&server, "k1", body);
    assert_eq!(first.0, 400);
    assert_eq!(keyed(&server, "k1", body), first, "the same request gets the same answer");
    assert_eq!(keyed(&server, "k1", b"m v=2i 2").0, 422, "another body");
    assert_eq!(keyed(&server, "k2", b"m v=2i 2").0, 204);
    server.kill();
    let mut server = Server::start(dir.path(), &[]);
    assert_eq!(keyed(&server, "k1", body), first, "known from the log");
    server.flush();
    server.stop();
    let server = Server::start(dir.path(), &[]);
    assert_eq!(keyed(&server, "k1", body), first);
    assert_eq!(keyed(&server, "k2", b"m v=2i 2").0, 204);
    assert_eq!(server.rows("SELECT count(*), sum(v) FROM m"), json!([[3, 3]]));
    // two at once: the second waits for the first
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(keyed(&server, "k3", b"m v=10i 10").0, 204));
        }
    });
    assert_eq!(server.rows("SELECT sum(v) FROM m"), json!([[13]]));
}

#[test]
fn t05_every_unit_of_time_reaches_its_own_instant_and_hour() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    let instants = [
        (1_700_000_000, "2023-11-14T22:13:20Z"),
        (1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
        (1_700_000_000_123_456, "2023-11-14T22:13:20.123456Z"),
        (1_700_000_000_123_456_789, "2023-11-14T22:13:20.123456Z"),
        (-1, "1969-12-31T23:59:59Z"),
        (-2_208_988_800, "1900-01-01T00:00:00Z"),
        (-2_208_988_800_000, "1900-01-01T00:00:00Z"),
    ];
    let times: Vec<i64> = instants.iter().map(|(t, _)| *t).collect();
    let numbers: Vec<i64> = (0..times.len() as i64).collect();
    let body = super::harness::columnar("t", &[("time", &times), ("n", &numbers)]);
    assert_eq!(server.send("POST", "/api/v1/write/msgpack", &[], &body).status, 204);
    let expected: Vec<_> = instants.iter().map(|(_, text)| json!([text])).collect();
    assert_eq!(server.rows("SELECT time FROM t ORDER BY n"), json!(expected));
    server.flush();
    assert_eq!(server.rows("SELECT time FROM t ORDER BY n"), json!(expected));
    let in_hour = "SELECT count(*) FROM t WHERE time >= '1969-12-31T23:00:00Z' AND time < '1970-01-01T00:00:00Z'";
    assert_eq!(server.rows(in_hour), json!([[1]]));
}

#[test]
fn t06_lines_with_other_fields_leave_nulls_and_never_zeros() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    server.lines("t a=1i 1000\nt b=2.5 2000\nt c=\"x\",d=true 3000");
    let rows = json!([[1, null, null, null], [null, 2.5, null, null], [null, null, "x", true]]);
    assert_eq!(server.rows("SELECT a, b, c, d FROM t ORDER BY time"), rows);
    server.flush();
    assert_eq!(server.rows("SELECT a, b, c, d FROM t ORDER BY time"), rows);
}

#[test]
fn t07_every_spelling_of_a_precision_scales_and_a_bad_one_is_400() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    let expected = json!([["2023-11-14T22:00:00Z"]]);
    let second = 1_699_999_200_i64;
    for (i, (route, precision, time)) in [
        ("/write?db=p", "n", second * 1_000_000_000),
        ("/write?db=p", "ns", second * 1_000_000_000),
        ("/write?db=p", "u", second * 1_000_000),
        ("/write?db=p", "us", second * 1_000_000),
        ("/write?db=p", "%C2%B5", second * 1_000_000),
        ("/write?db=p", "ms", second * 1_000),
        ("/write?db=p", "s", second),
        ("/write?db=p", "m", second / 60),
        ("/write?db=p", "h", second / 3_600),
        ("/api/v2/write?org=o&bucket=p", "us", second * 1_000_000),
        ("/api/v2/write?org=o&bucket=p", "s", second),
        ("/api/v3/write_lp?db=p", "millisecond", second * 1_000),
    ]
    .iter()
    .enumerate()
    {
        let body = format!("t{i} v=1 {time}");
        let reply = server.send("POST", &format!("{route}&precision={precision}"), &[], body.as_bytes());
        assert_eq!(reply.status, 204, "{route} {precision}: {}", String::from_utf8_lossy(&reply.body));
        assert_eq!(server.rows(&format!("SELECT time FROM p.t{i}")), expected, "{route} {precision}");
    }
    let bad = server.send("POST", "/write?db=p&precision=fortnight", &[], b"t v=1 1");
    assert_eq!(bad.status, 400);
}

#[test]
fn t08_names_and_strings_with_escapes_come_back_as_they_were() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    let long = "y".repeat(64 << 10);
    let body = format!(
        "# a comment\r\nmy\\ table,the\\ tag=a\\,b\\=c\\ d s=\"say \\\"hi\\\" \\\\ there\",l=\"{long}\" 1000\r\n\r\n"
    );
    server.lines(&body);
    let row = server.rows("SELECT \"the tag\", s, length(l) FROM \"my table\"");
    assert_eq!(row, json!([["a,b=c d", "say \"hi\" \\ there", 65_536]]));
    let open = server.send("POST", "/api/v1/write/line-protocol", &[], b"ok v=1 1\nbad s=\"never closed\n");
    assert_eq!((open.status, open.json()["rows_stored"].as_i64()), (400, Some(1)));
}

#[test]
fn t13_a_row_map_without_h_keeps_its_host_tag() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    // {"m":"t","t":1700000000000,"tags":{"host":"web1"},"fields":{"v":1}}
    let mut body = vec![0x84, 0xa1, b'm', 0xa1, b't', 0xa1, b't', 0xcf];
    body.extend(1_700_000_000_000_u64.to_be_bytes());
    body.extend(b"\xa4tags\x81\xa4host\xa4web1\xa6fields\x81\xa1v\x01");
    assert_eq!(server.send("POST", "/api/v1/write/msgpack", &[], &body).status, 204);
    assert_eq!(server.rows("SELECT host, v FROM t"), json!([["web1", 1]]));
}

#[test]
fn t17_a_client_that_leaves_in_mid_upload_stores_nothing() {
    use std::io::Write;
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    server.lines("t v=0i 1");
    let mut stream = std::net::TcpStream::connect(server.url.trim_start_matches("http://")).unwrap();
    let half = "t v=1i 2\nt v=2i 3\n";
    write!(
        stream,
        "POST /api/v1/write/line-protocol HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: 1000\r\n\r\n{half}",
        super::harness::TOKEN
    )
    .unwrap();
    drop(stream);
    super::harness::eventually("the connection is gone", || {
        String::from_utf8(server.get("/metrics").body).unwrap().contains("tidewater_http_connections 1\n")
    });
    assert_eq!(server.rows("SELECT count(*) FROM t"), json!([[1]]));
}

#[test]
fn t12_writers_with_other_schemas_on_one_table_at_once_leave_it_readable() {
    let dir = folder();
    let server = Server::start(dir.path(), &["ingest.max_quiet_age_ms=50", "ingest.max_buffer_age_ms=50"]);
    let stored: i64 = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|w| {
                let server = &server;
                scope.spawn(move || {
                    let value = |i: i64| match w {
                        0 => format!("{i}i"),
                        1 => format!("{i}.5"),
                        2 => format!("\"{i}\""),
                        _ => "true".into(),
                    };
                    let write = |i: i64| {
                        let line = format!("t,w=w{w} v={},own{w}_{}=1i {}", value(i), i % 50, w * 1_000_000 + i);
                        server.send("POST", "/api/v1/write/line-protocol", &[], line.as_bytes())
                    };
                    let mut stored = 0;
                    for i in 0..200 {
                        let reply = write(i);
                        let text = String::from_utf8_lossy(&reply.body).into_owned();
                        assert!(matches!(reply.status, 204 | 400), "{text}");
                        assert!(reply.status == 204 || text.contains("retype the column"), "{text}");
                        stored += i64::from(reply.status == 204);
                    }
                    stored
                })
            })
            .collect();
        writers.into_iter().map(|w| w.join().unwrap()).sum()
    });
    assert!(stored >= 200, "one type wins: {stored}");
    server.flush();
    assert_eq!(server.rows("SELECT count(*), count(v) FROM t"), json!([[stored, stored]]));
}
