use serde_json::{Value, json};

use super::harness::{Server, eventually, folder, python};

/// The same questions to hot rows, to files, and to a restarted server.
fn hot_flushed_restarted(lines: &str, ask: impl Fn(&Server)) {
    let dir = folder();
    let mut server = Server::start(dir.path(), &[]);
    server.lines(lines);
    ask(&server);
    server.flush();
    ask(&server);
    server.kill();
    ask(&Server::start(dir.path(), &[]));
}

#[test]
fn duckdbs_meaning_of_sql_holds() {
    hot_flushed_restarted("t,Host=a x=7i,y=2i,f=1.5 1000\nt,Host=b x=-7i,f=2.5 2000\nt,Host=c y=0i 3000", |server| {
        let one = |sql: &str| server.rows(sql)[0][0].clone();
        assert_eq!(server.rows("SELECT host, x / y, x // y, x % 2 FROM T WHERE HOST = 'a'"), json!([["a", 3.5, 3, 1]]));
        assert_eq!(server.query("SELECT HOST FROM t LIMIT 1")["columns"], json!(["Host"]));
        assert_eq!(
            server.query("SELECT x AS \"Mine\", count(*) FROM t GROUP BY x")["columns"],
            json!(["Mine", "count_star()"])
        );
        assert_eq!(
            server
                .query("SELECT count(*), count(*) FILTER (WHERE x > 1), sum(x) FILTER (WHERE x > 1 AND f = 2) FROM t")
                ["columns"],
            json!([
                "count_star()",
                "count_star() FILTER (WHERE (x > 1))",
                "sum(x) FILTER (WHERE ((x > 1) AND (f = 2)))"
            ])
        );
        for order in ["x", "x DESC"] {
            let rows = server.rows(&format!("SELECT x FROM t ORDER BY {order}"));
            assert_eq!(rows[2], json!([null]), "NULLS LAST, {order}");
        }
        assert_eq!(one("SELECT sum(x + 9223372036854775800) FROM t WHERE x = 7"), json!(9_223_372_036_854_775_807_i64));
        assert_eq!(server.rows("FROM t SELECT x WHERE y = 2"), json!([[7]]));
        let first = server.query("FROM t ORDER BY time LIMIT 1");
        assert_eq!(first["columns"], json!(["time", "Host", "x", "y", "f"]), "{first}");
        assert_eq!(first["data"], server.rows("SELECT * FROM t ORDER BY time LIMIT 1"));
        assert_eq!(server.rows("SELECT \"Host\", f FROM \"T\" WHERE f > 2"), json!([["b", 2.5]]));
    });
}

#[test]
fn t38_sums_of_integers_are_exact() {
    let max = i64::MAX;
    hot_flushed_restarted(&format!("t v={max}i 1\nt v={max}i 2\nt v={max}i 3"), |server| {
        let reply = server.query_with("SELECT sum(v) FROM t", &[]);
        let text = String::from_utf8(reply.body).unwrap();
        assert!(text.contains("[[27670116110564327421]]"), "{text}");
    });
}

#[test]
fn t33_time_functions_go_by_integers_also_before_1970() {
    hot_flushed_restarted("t v=1 -1\nt v=2 1700000000123456789", |server| {
        let row = |sql: &str| server.rows(&format!("SELECT {sql} FROM t ORDER BY time"));
        assert_eq!(row("date_trunc('hour', time)"), json!([["1969-12-31T23:00:00Z"], ["2023-11-14T22:00:00Z"]]));
        assert_eq!(row("date_trunc('week', time)"), json!([["1969-12-29T00:00:00Z"], ["2023-11-13T00:00:00Z"]]));
        assert_eq!(row("date_trunc('quarter', time)"), json!([["1969-10-01T00:00:00Z"], ["2023-10-01T00:00:00Z"]]));
        assert_eq!(
            row("time_bucket(INTERVAL '15 minutes', time)"),
            json!([["1969-12-31T23:45:00Z"], ["2023-11-14T22:00:00Z"]])
        );
        assert_eq!(
            row("time_bucket(INTERVAL '3 months', time)"),
            json!([["1969-10-01T00:00:00Z"], ["2023-10-01T00:00:00Z"]])
        );
        assert_eq!(row("EXTRACT(year FROM time), date_part('minute', time)"), json!([[1969, 59], [2023, 13]]));
        assert_eq!(
            row("epoch_ms(time), epoch_ns(time) // 1000000000"),
            json!([[-1, 0], [1_700_000_000_123_i64, 1_700_000_000]])
        );
        assert_eq!(row("to_timestamp((epoch_ns(time) // 1000000000 // 60) * 60)")[1], json!(["2023-11-14T22:13:00Z"]));
        assert_eq!(row("time_ns"), json!([[999], [789]]));
    });
}

#[test]
fn t32_pruning_never_changes_an_answer() {
    let hours = [-43_800_i64, 0, 395_000, 395_001, 471_000, 600_000];
    let lines: String = hours
        .iter()
        .flat_map(|h| {
            [0, 1, 1_800, 3_599]
                .map(|s| format!("t,host=h{} v={}i {}\n", h.rem_euclid(3), h, (h * 3_600 + s) * 1_000_000_000))
        })
        .collect();
    hot_flushed_restarted(&lines, |server| {
        let edge = "'2015-01-24T09:00:00Z'"; // hour 395 001 begins
        for predicate in [
            format!("time >= {edge}"),
            format!("time > {edge}"),
            format!("time < {edge}"),
            format!("NOT time >= {edge}"),
            format!("time > {edge} OR host = 'h0'"),
            format!("time BETWEEN {edge} AND '1965-01-01'"),
            format!("time BETWEEN '1965-01-01' AND {edge}"),
            "time < '1970-01-01'".into(),
            "time > '2030-01-01'".into(),
            "host = 'h1' AND time < '2000-01-01'".into(),
            "host <> 'h0'".into(),
            "host IN ('h2', 'none')".into(),
            "host IS NULL".into(),
        ] {
            let pruned = server.rows(&format!("SELECT count(*), sum(v) FROM t WHERE {predicate}"));
            // a predicate that no statistics can judge
            let hidden =
                predicate.replace("time", "to_timestamp(epoch_us(time) / 1e6)").replace("host", "concat(host, '')");
            let hidden = hidden.replace("concat(host, '') IS NULL", "coalesce(host, 'x') = 'x'");
            let full = server.rows(&format!("SELECT count(*), sum(v) FROM t WHERE {hidden}"));
            assert_eq!(pruned, full, "{predicate}");
        }
    });
}

#[test]
fn t31_words_of_sql_in_odd_places_mean_what_they_say() {
    let long = "n".repeat(200);
    let lines = [
        "t,host=a uptime=1i,event_time=2i,load=3i,set=4i,copy=5i,from=6i 1700000000000000000",
        "t,host=x\\ FROM\\ y\\ WHERE\\ time\\ >\\ 1; uptime=10i 1700000000000000000",
        "my-table,where=b v=1i 1700000000000000000",
        &format!("{long} v=2i 1700000000000000000"),
        "q v=3i 1700000000000000000",
    ];
    hot_flushed_restarted(&lines.join("\n"), |server| {
        let one = |sql: &str, wanted: Value| assert_eq!(server.rows(sql), json!([[wanted]]), "{sql}");
        one("SELECT uptime\nFROM t\nWHERE\n  host\n=\n'a'", json!(1));
        one(
            "SELECT uptime /* FROM x WHERE host = 'b' */ FROM t -- WHERE time > now()\nWHERE host = 'a' -- ;",
            json!(1),
        );
        one(
            "SELECT 'FROM x WHERE time > 1; SELECT 2' FROM t WHERE host = 'a'",
            json!("FROM x WHERE time > 1; SELECT 2"),
        );
        one("SELECT uptime FROM t WHERE host = 'x FROM y WHERE time > 1;'", json!(10));
        one("SELECT uptime FROM t WHERE host LIKE '%WHERE time >%;'", json!(10));
        let row = "SELECT uptime, event_time, load, set, copy, \"from\" FROM t WHERE uptime < 2 AND event_time > 1 AND load = 3";
        assert_eq!(server.rows(row), json!([[1, 2, 3, 4, 5, 6]]));
        one("SELECT v FROM \"my-table\" WHERE \"where\" = 'b'", json!(1));
        one("SELECT v FROM default.\"my-table\"", json!(1));
        one(&format!("SELECT v FROM {long}"), json!(2));
        one("SELECT x.v FROM q x", json!(3));
        one("SELECT v value FROM q AS x WHERE x.v = 3", json!(3));
        one("SELECT EXTRACT(YEAR FROM time) FROM q WHERE EXTRACT(YEAR FROM time) = 2023", json!(2023));
        one(
            "SELECT count(*) FROM q WHERE EXTRACT(MONTH FROM time) = EXTRACT(MONTH FROM TIMESTAMP '2020-11-01')",
            json!(1),
        );
    });
}

#[test]
fn t34_outer_rows_of_every_join_are_there() {
    hot_flushed_restarted("l,k=a x=1i 1000\nl,k=b x=2i 2000\nr,k=b y=20i 1000\nr,k=c y=30i 3000", |server| {
        for (join, wanted) in [
            ("l LEFT JOIN r ON l.k = r.k", json!([[1, null], [2, 20]])),
            ("l RIGHT JOIN r ON l.k = r.k", json!([[2, 20], [null, 30]])),
            ("l FULL JOIN r ON l.k = r.k", json!([[1, null], [2, 20], [null, 30]])),
            ("(SELECT k, x FROM l) NATURAL LEFT JOIN (SELECT k, y FROM r)", json!([[1, null], [2, 20]])),
            ("l FULL JOIN r USING (k)", json!([[1, null], [2, 20], [null, 30]])),
            ("l ASOF LEFT JOIN r ON l.k = r.k AND l.time >= r.time", json!([[1, null], [2, 20]])),
            ("l ASOF JOIN r ON l.k = r.k AND l.time >= r.time", json!([[2, 20]])),
        ] {
            assert_eq!(server.rows(&format!("SELECT x, y FROM {join} ORDER BY x, y")), wanted, "{join}");
        }
    });
}

#[test]
fn t41_all_of_time_and_long_lists_are_answered_in_bounded_memory() {
    let dir = folder();
    let server = Server::start(dir.path(), &["memory.budget=256MiB"]);
    let lines: Vec<String> =
        (0..20_000).map(|i| format!("t,host=h{} v={i}i {}", i % 100, 1_700_000_000_000_000_000_i64 + i)).collect();
    server.lines(&lines.join("\n"));
    let all = |server: &Server| {
        for condition in [
            "time BETWEEN '0001-01-01' AND '9999-12-31'",
            "time >= '0001-01-01T00:00:00Z' AND time < '9999-12-31T23:59:59.999999Z'",
            "time > TIMESTAMP '0001-01-01' AND time < TIMESTAMPTZ '9999-12-31 23:59:59+00'",
            "time > DATE '0001-01-01' AND time < DATE '9999-12-31'",
            "time NOT IN ('0001-01-01', '9999-12-31')",
            "'0001-01-01' < time",
            "time IS DISTINCT FROM '9999-12-31'",
        ] {
            let rows = server.rows(&format!("SELECT count(*) FROM t WHERE {condition}"));
            assert_eq!(rows, json!([[20_000]]), "{condition}");
        }
        let days = server.rows("SELECT date_diff('day', TIMESTAMP '0001-01-01', TIMESTAMP '9999-12-31')");
        assert_eq!(days, json!([[3_652_058]]));
    };
    all(&server);
    server.flush();
    all(&server);
    // what would be as many rows as there are seconds is refused
    let every = "SELECT time_bucket_gapfill(INTERVAL '1 second', time) AS b, count(*) FROM t WHERE time BETWEEN '0001-01-01' AND '9999-12-31' GROUP BY b";
    let (status, code, error) = server.refusal(every);
    assert!(status == 400 && code == "invalid_query" && error.contains("1000000"), "{code}: {error}");
    let (status, _, error) = server.refusal("SELECT * FROM t WHERE time > 'yesterday'");
    assert!(status == 400 && error.contains("yesterday"), "{error}");
    for n in [1_000, 100_000] {
        let numbers: Vec<String> = (0..n).map(|i| (i * 2).to_string()).collect();
        let count = server.rows(&format!("SELECT count(*) FROM t WHERE v IN ({})", numbers.join(",")));
        assert_eq!(count, json!([[n.min(10_000)]]));
        let hosts: Vec<String> = (0..n).map(|i| format!("'h{}'", i + 50)).collect();
        let count = server.rows(&format!("SELECT count(*) FROM t WHERE host IN ({})", hosts.join(",")));
        assert_eq!(count, json!([[10_000]]));
    }
    let peak = server.memory_kib("VmHWM:");
    assert!(peak < 512 << 10, "{peak} KiB resident with a budget of 256 MiB");
    let endless = format!("SELECT count(*) FROM t WHERE v IN ({})", "1,".repeat(3 << 20));
    assert_eq!(server.query_with(&endless, &[]).status, 413);
}

#[test]
fn count_and_bounds_of_time_read_no_row() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    server.lines("t v=1 1\nt v=2 7200000000000");
    server.flush();
    let metadata = |expected: Value| {
        for sql in ["SELECT count(*), min(time), max(time) FROM t", "SELECT count(*) FROM t", "SELECT min(time) FROM t"]
        {
            let plan = server.rows(&format!("EXPLAIN {sql}"))[0][1].to_string();
            assert!(plan.contains("PlaceholderRowExec") && !plan.contains("DataSourceExec"), "{sql}: {plan}");
        }
        assert_eq!(server.rows("SELECT count(*), min(time), max(time) FROM t"), expected);
    };
    metadata(json!([[2, "1970-01-01T00:00:00Z", "1970-01-01T02:00:00Z"]]));
    server.lines("t v=3 -1000000000\nt v=4 3000000000"); // hot rows beside files
    metadata(json!([[4, "1969-12-31T23:59:59Z", "1970-01-01T02:00:00Z"]]));
    server.flush();
    let plan = server.rows("EXPLAIN SELECT v FROM t WHERE time > '1970-01-01T01:00:00Z'")[0][1].to_string();
    assert_eq!(plan.matches(".parquet").count(), 1, "one of many files is opened: {plan}");
}

#[test]
fn t39_what_the_planner_would_misread_is_refused() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    server.lines("t,load=a v=1");
    for sql in [
        "SELECT 1; SELECT 2",
        "CREATE TABLE x (a INT)",
        "INSERT INTO t VALUES (1)",
        "DELETE FROM t",
        "DROP TABLE t",
        "COPY t TO '/tmp/x'",
        "ATTACH 'x'",
        "SET x = 1",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_parquet('x.parquet')",
        "SELECT * FROM glob('*')",
        "SELECT * FROM t TABLESAMPLE 10 PERCENT",
        "SELECT * FROM t POSITIONAL JOIN t",
        "SELECT * FROM t ASOF JOIN t u ON v >= u.time",
        "SELECT * FROM t GLOBAL JOIN t u ON t.time = u.time",
        "SELECT * INTO x FROM t",
        "SELECT * FROM t FOR UPDATE",
        "SELECT v FROM t WHERE v = ?",
        "SELECT v FROM t WHERE v = $1",
        "SELECT * FROM t FETCH FIRST 1 ROWS ONLY",
        "WITH x AS (DELETE FROM t) SELECT * FROM x",
        "SHOW ALL",
        "",
        ";",
    ] {
        let (status, code, error) = server.refusal(sql);
        assert_eq!(status, 400, "{sql}: {code} {error}");
    }
    // what the parser would try in ever more ways
    for part in [".a", ".a[1]", ".b.c.d.e.f.g.h[a", ".a(b", "(a", " interval", " CASE WHEN a"] {
        for n in [20, 40, 2_000] {
            let (status, code, error) = server.refusal(&format!("SELECT a{}.", part.repeat(n)));
            assert_eq!((status, code.as_str()), (400, "syntax_error"), "{part} {n} times: {error}");
        }
    }
    let padded = format!("SELECT a{}.{}", ".a[1]".repeat(24), ",1".repeat(500_000));
    let (status, code, error) = server.refusal(&padded);
    assert_eq!((status, code.as_str()), (400, "syntax_error"), "a long statement gets no more than its share: {error}");
    for sql in [
        "SELECT load FROM t",
        "SELECT 'DROP TABLE; --' FROM t",
        "SELECT * FROM t -- DELETE",
        "select v from t where v = 1;",
        "SELECT * FROM generate_series(1, 3)",
    ] {
        server.query(sql);
    }
    let (status, code, error) = server.refusal("SELECT * FROM x.y");
    assert_eq!((status, code.as_str()), (404, "table_not_found"), "{error}");
    assert_eq!(server.refusal("SELECT nope FROM t").0, 400);
}

#[test]
fn t35_an_unknown_table_is_404_in_every_format_with_the_nearest_name() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    server.lines("temperature v=1");
    let body = br#"{"sql": "SELECT * FROM temperatur"}"#;
    for path in ["/api/v1/query", "/api/v1/query/arrow"] {
        let reply = server.send("POST", path, &[], body);
        assert_eq!(reply.status, 404);
        assert!(reply.json()["error"].as_str().unwrap().contains("did you mean \"temperature\""));
    }
}

#[test]
fn committed_answers_see_files_alone() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    server.lines("t v=1");
    server.flush();
    server.lines("t v=2");
    let ask = |mode: &str| server.query_with("SELECT count(*) FROM t", &[("x-tidewater-read", mode)]);
    assert_eq!(ask("committed").json()["data"], json!([[1]]));
    let newest = ask("newest");
    assert_eq!((newest.json()["data"].clone(), newest.header("x-tidewater-hot-rows")), (json!([[2]]), "1"));
}

#[test]
fn show_answers_with_or_without_a_semicolon_in_both_formats() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    server.lines("cpu v=1");
    for sql in ["SHOW DATABASES", "show databases;", "SHOW TABLES", "SHOW MEASUREMENTS FROM default;"] {
        assert_eq!(server.rows(sql)[0][0], json!("default"), "{sql}");
        let body = json!({"sql": sql}).to_string();
        let reply = server.send("POST", "/api/v1/query/arrow", &[], body.as_bytes());
        assert_eq!((reply.status, reply.header("content-type")), (200, "application/vnd.apache.arrow.stream"));
        let mut stream = arrow::ipc::reader::StreamReader::try_new(&reply.body[..], None).unwrap();
        assert_eq!(stream.next().unwrap().unwrap().num_rows(), 1, "{sql}");
    }
}

#[test]
fn an_empty_arrow_answer_keeps_its_schema_and_has_one_batch() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    server.lines("t,h=a v=1");
    for headers in [&[][..], &[("x-arc-arrow-compression", "zstd")], &[("x-arc-arrow-compression", "lz4")]] {
        let reply =
            server.send("POST", "/api/v1/query/arrow", headers, br#"{"sql": "SELECT time, h, v FROM t WHERE v > 5"}"#);
        let mut stream = arrow::ipc::reader::StreamReader::try_new(&reply.body[..], None).unwrap();
        let types: Vec<String> = stream.schema().fields().iter().map(|f| f.data_type().to_string()).collect();
        assert_eq!(types, ["Timestamp(µs, \"UTC\")", "Utf8", "Float64"]);
        assert_eq!(stream.next().unwrap().unwrap().num_rows(), 0);
    }
    let bad =
        server.send("POST", "/api/v1/query/arrow", &[("x-arc-arrow-compression", "brotli")], br#"{"sql": "SELECT 1"}"#);
    assert_eq!(bad.status, 400);
}

#[test]
fn a_query_past_its_deadline_is_504_and_its_work_stops() {
    let dir = folder();
    let server = Server::start(dir.path(), &["query.timeout=1"]);
    let sql = "SELECT sum(a.generate_series * b.generate_series) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b";
    assert_eq!(server.refusal(sql).0, 504);
    super::harness::eventually("the slot is free again", || {
        String::from_utf8(server.get("/metrics").body).unwrap().contains("tidewater_query_running 0")
    });
}

#[test]
fn v3_sql_answers_objects() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    server.lines("t,h=a v=1 0");
    let reply = server.get("/api/v3/query_sql?db=default&q=SELECT%20h,v%20FROM%20t");
    assert_eq!(reply.json(), json!([{"h": "a", "v": 1.0}]));
    let reply =
        server.send("POST", "/api/v3/query_sql", &[], br#"{"db":"default","q":"SELECT h FROM t","format":"jsonl"}"#);
    assert_eq!(reply.body, b"{\"h\":\"a\"}\n");
}

#[test]
fn the_shapes_of_tsbs_equal_duckdb_hot_flushed_compacted_and_restarted() {
    for seed in ["1", "2"] {
        let dir = folder();
        let mut server = Server::start(dir.path(), &["memory.budget=2GiB"]);
        let token = super::harness::TOKEN;
        let compare = |server: &Server, step: &str| {
            let out = python("bench_queries.py", &[&server.url, token, step, dir.path().to_str().unwrap(), seed]);
            let found: Value =
                serde_json::from_str(out.lines().last().unwrap_or_default()).unwrap_or_else(|e| panic!("{e}: {out}"));
            assert_eq!(found["equal"], 18, "{step}, seed {seed}: {out}");
        };
        compare(&server, "load");
        server.flush();
        compare(&server, "flushed");
        // the server's own run may be under way: 409
        let merge = || server.send("POST", "/api/v1/compaction/trigger?wait=true", &[], b"").status;
        eventually("the files are merged", || merge() == 200);
        compare(&server, "compacted");
        server.kill();
        compare(&Server::start(dir.path(), &["memory.budget=2GiB"]), "restarted");
    }
}

#[test]
fn the_forty_three_queries_of_clickbench_give_duckdbs_answers_on_an_imported_file() {
    let dir = folder();
    let server = Server::start(dir.path(), &["memory.budget=1GiB"]);
    let out = python("clickbench.py", &[&server.url, super::harness::TOKEN, dir.path().to_str().unwrap()]);
    let found: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}"));
    assert_eq!((&found["queries"], &found["equal"]), (&json!(43), &json!(43)), "{}", found["wrong"]);
}

/// Ways to ask for the newest row of each host. Each answers `host, x` of every host's newest row;
/// `{from}` is the table with its filter.
const LASTPOINT: [&str; 16] = [
    "SELECT host, x FROM (SELECT *, row_number() OVER (PARTITION BY host ORDER BY time DESC) rn {from}) s WHERE rn = 1",
    "SELECT host, x FROM (SELECT *, row_number() OVER (PARTITION BY host ORDER BY time DESC) rn {from}) s WHERE rn <= 1",
    "SELECT host, x FROM (SELECT *, row_number() OVER (PARTITION BY host ORDER BY time DESC, x) rn {from}) WHERE rn < 2",
    "WITH r AS (SELECT host, x, rank() OVER (PARTITION BY host ORDER BY time DESC) k {from}) SELECT host, x FROM r WHERE k = 1",
    "SELECT host, x FROM (SELECT host h, host, x, dense_rank() OVER (PARTITION BY host ORDER BY time DESC) k {from}) s WHERE k = 1",
    "SELECT host, x {from} QUALIFY row_number() OVER (PARTITION BY host ORDER BY time DESC) = 1",
    "SELECT host, x FROM (SELECT host, x, row_number() OVER w rn {from} WINDOW w AS (PARTITION BY host ORDER BY time DESC)) s WHERE rn = 1",
    "SELECT host, x FROM (SELECT DISTINCT ON (host) host, x, time {from} ORDER BY host, time DESC) s",
    "SELECT DISTINCT ON (host) host, x {from} ORDER BY host, time DESC",
    "SELECT host, last_value(x ORDER BY time) {from} GROUP BY host",
    "SELECT host, first_value(x ORDER BY time DESC) {from} GROUP BY host",
    "SELECT host, last(x ORDER BY time) {from} GROUP BY host",
    "SELECT host, first(x ORDER BY time DESC) {from} GROUP BY host",
    "SELECT host, last(x ORDER BY time) FROM (SELECT host, x, time, y {from}) s GROUP BY 1",
    "SELECT t.host, t.x FROM t JOIN (SELECT host h, max(time) m {from} GROUP BY host) n ON t.host = n.h AND t.time = n.m",
    "SELECT host, x FROM t WHERE (host, time) IN (SELECT (host, max(time)) {from} GROUP BY host)",
];

#[test]
fn lastpoint_has_one_answer_in_every_spelling() {
    let dir = folder();
    let hour = 3_600_000_000_000_i64;
    let at = |host: &str, fields: &str, time: i64| format!("t{host} {fields} {time}\n");
    // `old` lives in the oldest file only, `b` lost its x, the row without a host is a series too
    let oldest = [at(",host=old", "x=1i,y=1i", 10), at(",host=a", "x=2i", 20), at("", "x=3i", 30)].concat();
    let middle =
        [at(",host=a", "x=4i", hour), at(",host=b", "x=5i,y=5i", hour + 5), at(",host=a", "y=6i", 40)].concat();
    let newest =
        [at(",host=b", "y=7i", 2 * hour), at(",host=a", "x=8i", 2 * hour + 9_000), at("", "x=9i", 2 * hour)].concat();
    let late = [at(",host=a", "x=10i", hour + 1_000), at(",host=c", "x=11i", 0)].concat();
    let check = |server: &Server| {
        for (filter, expected) in [
            ("", json!([["a", 8], ["b", null], ["c", 11], ["old", 1], [null, 9]])),
            ("WHERE x IS NOT NULL", json!([["a", 8], ["b", 5], ["c", 11], ["old", 1], [null, 9]])),
            ("WHERE time < '1970-01-01T02:00:00Z'", json!([["a", 10], ["b", 5], ["c", 11], ["old", 1], [null, 3]])),
            ("WHERE y > 4 AND host <> 'a'", json!([["b", null]])),
            ("WHERE time > '1971-01-01'", json!([])),
        ] {
            for spelling in LASTPOINT {
                let sql = spelling.replace("{from}", &format!("FROM t {filter}"));
                let mut rows: Vec<Value> = server.rows(&sql).as_array().unwrap().clone();
                rows.sort_by_key(|r| (r[0].is_null(), r[0].to_string()));
                let mut wanted: Vec<Value> = expected.as_array().unwrap().clone();
                if sql.contains("JOIN") {
                    wanted.retain(|r| !r[0].is_null()); // null is not equal to null
                }
                assert_eq!(Value::from(rows), Value::from(wanted), "{sql}");
                let plan = server.rows(&format!("EXPLAIN {sql}"))[0][1].to_string();
                assert!(plan.contains("LatestExec"), "{sql}: {plan}");
            }
        }
        // other questions that the same reading answers
        for (sql, expected) in [
            (
                "SELECT host, arg_max(x, time) FROM t GROUP BY host",
                json!([["a", 8], ["b", 5], ["c", 11], ["old", 1], [null, 9]]),
            ),
            (
                "SELECT host, max_by(y, time) FROM t GROUP BY host",
                json!([["a", 6], ["b", 7], ["c", null], ["old", 1], [null, null]]),
            ),
            (
                "SELECT host, arg_max(x, time), last(y ORDER BY time) FROM t GROUP BY host",
                json!([["a", 8, null], ["b", 5, 7], ["c", 11, null], ["old", 1, 1], [null, 9, null]]),
            ),
            (
                "SELECT host, max(time) FILTER (WHERE y > 0) FROM t GROUP BY host HAVING host = 'a'",
                json!([["a", "1970-01-01T00:00:00Z"]]),
            ),
            ("SELECT host, x FROM t ORDER BY time DESC LIMIT 1", json!([["a", 8]])),
            ("SELECT host, y FROM t WHERE host = 'b' ORDER BY time DESC LIMIT 1", json!([["b", 7]])),
            ("SELECT host, x FROM t WHERE x < 5 ORDER BY time DESC, x LIMIT 1", json!([["a", 4]])),
            ("SELECT 'all', arg_max(x, time) FROM t", json!([["all", 8]])),
        ] {
            let mut rows: Vec<Value> = server.rows(sql).as_array().unwrap().clone();
            rows.sort_by_key(|r| (r[0].is_null(), r[0].to_string()));
            assert_eq!(Value::from(rows), expected, "{sql}");
            let plan = server.rows(&format!("EXPLAIN {sql}"))[0][1].to_string();
            assert!(plan.contains("LatestExec"), "{sql}: {plan}");
        }
        // what looks alike and is not
        for sql in [
            "SELECT host, count(*), last(x ORDER BY time) FROM t GROUP BY host",
            "SELECT host, x FROM (SELECT *, row_number() OVER (PARTITION BY host ORDER BY time) rn FROM t) s WHERE rn = 1",
            "SELECT host, x FROM (SELECT *, row_number() OVER (PARTITION BY host ORDER BY time DESC) rn FROM t) s WHERE rn = 2",
            "SELECT host, x FROM (SELECT *, row_number() OVER (PARTITION BY host ORDER BY x DESC) rn FROM t) s WHERE rn = 1",
            "SELECT host, n FROM (SELECT *, count(*) OVER (PARTITION BY host) n, row_number() OVER (PARTITION BY host ORDER BY time DESC) rn FROM t) s WHERE rn = 1",
            "SELECT host, last(x ORDER BY y) FROM t GROUP BY host",
            "SELECT host FROM (SELECT host, time FROM t LIMIT 3) s ORDER BY time DESC LIMIT 1",
        ] {
            server.rows(sql);
            let plan = server.rows(&format!("EXPLAIN {sql}"))[0][1].to_string();
            assert!(!plan.contains("LatestExec"), "{sql}: {plan}");
        }
    };
    let mut server = Server::start(dir.path(), &[]);
    for lines in [&oldest, &middle, &newest] {
        server.lines(lines);
        server.flush();
    }
    server.lines(&late);
    check(&server);
    server.flush();
    check(&server);
    server.kill();
    check(&Server::start(dir.path(), &[]));
}

#[test]
fn lastpoint_keeps_every_tie() {
    let body = super::harness::columnar(
        "t",
        &[("time", &[1_700_000_000_000_000; 4]), ("s", &[1, 1, 2, 2]), ("x", &[1, 2, 3, 4])],
    );
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    for _ in 0..2 {
        assert_eq!(server.send("POST", "/api/v1/write/msgpack", &[], &body).status, 204);
        server.flush();
    }
    let ranked = |rank: &str| {
        format!(
            "SELECT s, count(*), sum(x) FROM (SELECT *, {rank}() OVER (PARTITION BY s ORDER BY time DESC) k FROM t) q WHERE k = 1 GROUP BY s ORDER BY s"
        )
    };
    assert_eq!(server.rows(&ranked("rank")), json!([[1, 4, 6], [2, 4, 14]]));
    assert_eq!(server.rows(&ranked("dense_rank")), json!([[1, 4, 6], [2, 4, 14]]));
    let one = server.rows(&ranked("row_number"));
    assert_eq!((&one[0][1], &one[1][1]), (&json!(1), &json!(1)));
}

#[test]
fn t37_a_failure_after_rows_were_sent_aborts_the_body() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    // the last of many batches cannot be converted
    let sql = "SELECT CAST(CASE WHEN generate_series = 1999999 THEN 'x' ELSE '1' END AS BIGINT) v FROM generate_series(1, 2000000)";
    let body = json!({"sql": sql}).to_string();
    for (path, begins) in
        [("/api/v1/query", &b"{\"success\":true"[..]), ("/api/v1/query/arrow", &b"\xff\xff\xff\xff"[..])]
    {
        let answer = raw(&server, path, &body);
        let text = String::from_utf8_lossy(&answer[..answer.len().min(2_000)]).into_owned();
        assert!(text.starts_with("HTTP/1.1 200"), "rows were on their way: {text}");
        assert!(answer.windows(begins.len()).any(|w| w == begins), "{path}: {text}");
        assert!(!answer.ends_with(b"0\r\n\r\n"), "{path}: the body ends as if it were whole");
        let client = server.try_send("POST", path, &[], body.as_bytes());
        assert!(client.is_err(), "{path}: a client takes the answer for whole");
    }
    assert_eq!(server.rows("SELECT 1"), json!([[1]]), "the server goes on");
}

/// Everything that comes back on one connection until the server closes it.
fn raw(server: &Server, path: &str, body: &str) -> Vec<u8> {
    use std::io::{Read, Write};
    let mut stream =
        std::net::TcpStream::connect(server.url.trim_start_matches("http://")).expect("the server listens");
    let token = super::harness::TOKEN;
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .expect("the request is sent");
    let mut answer = Vec::new();
    // a reset is one way to abort
    let _ = stream.read_to_end(&mut answer);
    answer
}

#[test]
fn queries_together_keep_to_their_memory_spill_and_leave_no_file() {
    let dir = folder();
    let server = Server::start(dir.path(), &["memory.budget=256MiB", "query.temp_bytes=64MiB"]);
    // a sort of about 160 MB and a hash table of a million groups do not fit into the share of queries
    let sort = "SELECT generate_series, repeat('x', 60) FROM generate_series(1, 2000000) ORDER BY generate_series % 1000003 LIMIT 5 OFFSET 1999990";
    let groups = "SELECT count(*) FROM (SELECT generate_series % 3000000 k, count(*) n FROM generate_series(1, 3000000) GROUP BY 1) t";
    std::thread::scope(|scope| {
        for sql in [sort, groups, sort, groups] {
            let server = &server;
            scope.spawn(move || {
                let reply = server.query_with(sql, &[]);
                let body = reply.json();
                let fair = reply.status == 200 || body["code"] == "memory_limit";
                assert!(fair, "{sql}: {} {body}", reply.status);
            });
        }
    });
    let peak_mib = server.memory_kib("VmHWM:") >> 10;
    assert!(peak_mib < 768, "{peak_mib} MiB resident with a budget of 256 MiB");
    let left = || -> usize {
        let mut folders = vec![server.data().join("tmp")];
        let mut files = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.path().is_dir() { folders.push(entry.path()) } else { files += 1 }
            }
        }
        files
    };
    super::harness::eventually("temporary files go", || left() == 0);
    server.lines("t v=1i 1");
    assert_eq!(server.rows("SELECT count(*) FROM t"), json!([[1]]), "small queries and writes go on");
}

#[test]
fn t30_answers_are_utc_whatever_the_servers_zone() {
    let dir = folder();
    let zone = [("TZ", "America/New_York")];
    let server = Server::try_start(dir.path(), &[], &zone).expect("it starts");
    server.lines("t v=1i 1710054000000000000"); // 2024-03-10T07:00:00Z, the hour New York springs forward
    assert_eq!(
        server.rows("SELECT time, date_trunc('day', time) FROM t"),
        json!([["2024-03-10T07:00:00Z", "2024-03-10T00:00:00Z"]])
    );
    for literal in
        ["2024-03-10T07:00:00Z", "2024-03-10 07:00:00", "2024-03-10T03:00:00-04:00", "2024-03-10T12:30:00+05:30"]
    {
        assert_eq!(server.rows(&format!("SELECT count(*) FROM t WHERE time = '{literal}'")), json!([[1]]), "{literal}");
    }
}

#[test]
fn the_values_of_a_tag_come_from_dictionaries_and_are_those_that_rows_have() {
    let dir = folder();
    let server = Server::start(dir.path(), &["compaction.enabled=false", "ingest.max_quiet_age_ms=86400000"]);
    const HOUR_NS: i64 = 3_600_000_000_000;
    const FROM_NS: i64 = 1_767_225_600_000_000_000;
    // each hour has hosts of its own, and all come in one flush; some rows have no region
    let line = |hour: i64, i: i64| {
        let region = if i % 3 == 0 { String::new() } else { format!(",region=r{}", i % 3) };
        format!("cpu,host=h{hour}-{}{region} v={i},note=\"n{}\" {}", i % 4, i % 5, FROM_NS + hour * HOUR_NS + i)
    };
    server.lines(&(0..3).flat_map(|h| (0..40).map(move |i| line(h, i))).collect::<Vec<_>>().join("\n"));
    server.flush();
    let plan = |sql: &str| server.rows(&format!("EXPLAIN {sql}")).to_string();
    let hosts = |of: &[i64]| -> Vec<Value> {
        of.iter().flat_map(|h| (0..4).map(move |i| json!([format!("h{h}-{i}")]))).collect()
    };
    let distinct = "SELECT DISTINCT host FROM cpu ORDER BY host";
    for sql in [
        distinct,
        "SELECT host FROM cpu GROUP BY host ORDER BY host",
        "SELECT DISTINCT h FROM (SELECT host AS h, v FROM cpu) x ORDER BY h",
    ] {
        assert!(!plan(sql).contains("parquet"), "{sql}: {}", plan(sql));
        assert_eq!(server.rows(sql), Value::Array(hosts(&[0, 1, 2])), "{sql}");
    }
    for (sql, wanted) in [
        ("SELECT count(DISTINCT host) FROM cpu", json!([[12]])),
        ("SELECT count(DISTINCT region), count(DISTINCT note) FROM cpu", json!([[2, 5]])),
        ("SELECT DISTINCT region FROM cpu ORDER BY region", json!([["r1"], ["r2"], [null]])),
        ("SELECT count(DISTINCT note) FROM cpu", json!([[5]])),
        ("SELECT DISTINCT host FROM cpu WHERE v = 0 AND time < '2026-01-01T01:00:00Z'", json!([["h0-0"]])),
        ("SELECT count(*) FROM (SELECT DISTINCT host FROM cpu LIMIT 5)", json!([[5]])),
        ("SELECT count(*) FROM (SELECT host FROM cpu GROUP BY host HAVING host LIKE 'h1%')", json!([[4]])),
    ] {
        assert_eq!(server.rows(sql), wanted, "{sql}");
    }
    // rows in memory, a column that came later, rows that are gone
    server.lines(&format!("cpu,host=hot,zone=z v=1 {FROM_NS}"));
    assert_eq!(server.rows("SELECT count(DISTINCT host) FROM cpu"), json!([[13]]));
    assert_eq!(server.rows("SELECT DISTINCT zone FROM cpu ORDER BY zone"), json!([["z"], [null]]));
    server.flush();
    assert_eq!(server.rows("SELECT DISTINCT zone FROM cpu ORDER BY zone"), json!([["z"], [null]]));
    let body = json!({"database": "default", "measurement": "cpu", "where": "host = 'h1-2' OR host = 'hot'"});
    assert_eq!(server.send("POST", "/api/v1/delete", &[], body.to_string().as_bytes()).status, 200);
    let mut left = hosts(&[0, 1, 2]);
    left.remove(6);
    assert_eq!(server.rows(distinct), Value::Array(left.clone()));
    let merged = server.send("POST", "/api/v1/compaction/trigger?wait=true", &[], b"");
    assert_eq!(merged.status, 200, "{}", String::from_utf8_lossy(&merged.body));
    assert_eq!(server.rows(distinct), Value::Array(left));
    // more values than a dictionary holds: the rows are read
    let many = |from: i64| -> String {
        let line = |i: i64| format!("wide,id=a-rather-long-name-of-a-thing-{i:08} v={i} {}", FROM_NS + i);
        (from..from + 30_000).map(line).collect::<Vec<_>>().join("\n")
    };
    (0..2).for_each(|i| server.lines(&many(i * 30_000)));
    server.flush();
    let all = "SELECT DISTINCT id FROM wide";
    assert!(plan(all).contains("parquet"), "{}", plan(all));
    assert_eq!(server.rows("SELECT count(DISTINCT id), count(DISTINCT left(id, 33)) FROM wide"), json!([[60_000, 1]]));
}
