//! Files in: CSV, Parquet, line protocol.

use std::io::Write as _;

use serde_json::{Value, json};

use super::harness::{Reply, Server, TOKEN, eventually, files, folder, python, tidewater};

const START: i64 = 1_767_225_600; // 2026-01-01T00:00Z

/// A form whose part `file` holds the bytes, as browsers and arcctl send it.
fn form(bytes: &[u8]) -> (String, Vec<u8>) {
    let boundary = "----a-boundary-that-no-file-holds";
    let mut body = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nby hand\r\n\
         --{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\n\
         Content-Type: text/csv\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(bytes);
    body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    (format!("multipart/form-data; boundary={boundary}"), body)
}

fn import(server: &Server, path: &str, bytes: &[u8]) -> Reply {
    let (kind, body) = form(bytes);
    server.send("POST", path, &[("content-type", &kind), ("x-arc-database", "default")], &body)
}

/// Files that lie below `tmp/`; the engine has a folder there.
fn spooled(server: &Server) -> usize {
    let entries = std::fs::read_dir(server.data().join("tmp")).expect("tmp");
    entries.flatten().filter(|e| e.path().is_file()).count()
}

fn imported(server: &Server, path: &str, bytes: &[u8]) -> Value {
    let reply = import(server, path, bytes);
    assert_eq!(reply.status, 200, "{path}: {}", String::from_utf8_lossy(&reply.body));
    reply.json()["result"].clone()
}

fn refused(server: &Server, path: &str, bytes: &[u8]) -> Value {
    let reply = import(server, path, bytes);
    assert_eq!(reply.status, 400, "{path}: {}", String::from_utf8_lossy(&reply.body));
    reply.json()
}

#[test]
fn a_csv_file_is_there_whole_when_the_answer_is_and_survives_a_kill() {
    let dir = folder();
    let mut server = Server::start(dir.path(), &[]);
    let text = "time,host,usage,n,ok,note\n\
                2026-01-01T00:00:00Z,a,0.5,1,true,\"x, y\"\n2026-01-01 00:00:01,b,,2,false,\n1767225602,,1.5,3,,z\n";
    let result = imported(&server, "/api/v1/import/csv?measurement=cpu&tags=host", text.as_bytes());
    assert_eq!((&result["database"], &result["measurement"]), (&json!("default"), &json!("cpu")));
    assert_eq!((&result["rows_imported"], &result["partitions_created"]), (&json!(3), &json!(1)));
    assert_eq!(result["columns"], json!(["time", "host", "usage", "n", "ok", "note"]));
    assert_eq!(result["time_range_min"], "2026-01-01T00:00:00.000Z");
    assert_eq!(result["time_range_max"], "2026-01-01T00:00:02.000Z");
    server.kill();
    let server = Server::start(dir.path(), &[]);
    let rows = server.rows("SELECT host, usage, n, ok, note FROM cpu ORDER BY time");
    assert_eq!(rows, json!([["a", 0.5, 1, true, "x, y"], ["b", null, 2, false, ""], [null, 1.5, 3, null, "z"]]));
    assert_eq!(server.rows("SHOW TAG KEYS FROM cpu"), json!([["cpu", "host"]]));
    let job = &server.get(&format!("/api/v1/jobs/{}", result["job_id"])).json();
    assert_eq!((&job["kind"], &job["state"]), (&json!("import"), &json!("completed")), "{job}");
    // a second file beside written rows, whole numbers into a column of fractions
    server.lines(&format!("cpu,host=c usage=9 {}000000000", START + 5));
    imported(&server, "/api/v1/import/csv?measurement=cpu&tags=host", b"time,host,usage\n1767225603,d,7\n");
    assert_eq!(
        server.rows("SELECT host, usage FROM cpu WHERE usage > 5 ORDER BY host"),
        json!([["c", 9.0], ["d", 7.0]])
    );
    assert_eq!(server.rows("SELECT count(*) FROM cpu"), json!([[5]]));
    let stats = server.get("/api/v1/import/stats").json();
    assert_eq!((&stats["stats"]["total_requests"], &stats["stats"]["total_records"]), (&json!(1), &json!(1)));
}

#[test]
fn t19_a_bad_row_names_line_column_and_value_and_nothing_is_imported() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    server.lines(&format!("typed,host=a n=1i,s=\"x\" {START}000000000"));
    let csv = "/api/v1/import/csv?measurement=cpu";
    for (path, text, says) in [
        (csv, "time,v\n1767225600,1\nsoon,2\n", "line 3, column \"time\": \"soon\" is no time"),
        (csv, "time,v\n1767225600,1,2\n", "line 2: 3 cells, and the header names 2"),
        (csv, "when,v\n1,2\n", "there is no column \"time\" of times"),
        (csv, "time,v,V\n1,2,3\n", "stands twice"),
        (csv, "", "empty"),
        (csv, "time,v\n", "holds no row"),
        ("/api/v1/import/csv?measurement=cpu&delimiter=ab", "time,v\n1,2\n", "delimiter"),
        ("/api/v1/import/csv?measurement=cpu&time_format=minutes", "time,v\n1,2\n", "time_format"),
        ("/api/v1/import/csv", "time,v\n1,2\n", "\"measurement\" is missing"),
        ("/api/v1/import/csv?measurement=typed", "time,n\n1767225600,1\n1767225601,many\n", "line 2"),
        ("/api/v1/import/lp", "cpu v=1 1\ncpu v= 2\n", "line 2"),
        ("/api/v1/import/lp", "cpu v=1 1\ntyped,host=a n=true 2\n", "line 2"),
        ("/api/v1/import/parquet?measurement=cpu", "time,v\n1,2\n", "no Parquet"),
        ("/api/v1/import/lp?precision=weeks", "cpu v=1 1\n", "precision"),
    ] {
        let body = refused(&server, path, text.as_bytes());
        let error = body["error"].as_str().expect("an error");
        assert!(error.contains(says), "{path} {text:?}: {error}");
        assert!(body["code"].is_string(), "{body}");
    }
    let cell = refused(&server, csv, b"time,v\n1767225600,1\nsoon,2\n");
    assert_eq!((&cell["line"], &cell["column"], &cell["value"]), (&json!(3), &json!("time"), &json!("soon")));
    let rows = server.rows("SELECT count(*) FROM typed");
    assert_eq!(rows, json!([[1]]));
    let (status, ..) = server.refusal("SELECT * FROM cpu");
    assert!([200, 404].contains(&status), "a table may have been made, but has no row");
    if status == 200 {
        assert_eq!(server.rows("SELECT count(*) FROM cpu"), json!([[0]]));
    }
    assert_eq!(spooled(&server), 0);
    // a body without a form is the file itself; other forms are refused with words
    let plain = server.send(
        "POST",
        "/api/v1/import/csv?measurement=plain&db=default",
        &[("content-type", "text/csv")],
        b"time,v\n1767225600,1\n",
    );
    assert_eq!(plain.status, 200, "{plain:?}");
    let kind = [("content-type", "multipart/form-data; boundary=x")];
    let cut = server.send(
        "POST",
        "/api/v1/import/csv?measurement=m&db=d",
        &kind,
        b"--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\ntime,v\n",
    );
    assert_eq!(cut.status, 400);
    let none = server.send("POST", "/api/v1/import/csv?measurement=m&db=d", &kind, b"--x--\r\n");
    assert!(none.json()["error"].as_str().expect("words").contains("no part named \"file\""));
}

#[test]
fn line_protocol_comes_compressed_for_many_tables_and_columns_widen_under_it() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    let mut lines = String::new();
    // whole numbers for two pieces of a file, then a fraction
    for i in 0..300_000 {
        let value = if i == 299_999 { "0.5".to_owned() } else { format!("{i}i") };
        lines += &format!("cpu,host=h{} v={value},padding=\"{:>20}\" {}\n", i % 10, i, START + i);
    }
    lines += &format!("mem,host=a free=1u {START}\n# a note\n\nmem free=2u {}", START + 1);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(lines.as_bytes()).expect("in memory");
    let packed = packed.finish().expect("in memory");
    let result = imported(&server, "/api/v1/import/lp?precision=s", &packed);
    assert_eq!(result["rows_imported"], 300_002);
    assert_eq!((&result["measurements"], &result["precision"]), (&json!(["cpu", "mem"]), &json!("s")));
    let sums = server.rows("SELECT count(*), sum(v), count(DISTINCT host), typeof_v FROM (SELECT v, host, 'x' AS typeof_v FROM cpu) GROUP BY 4");
    assert_eq!(sums, json!([[300_000, (0..299_999u64).sum::<u64>() as f64 + 0.5, 10, "x"]]));
    assert_eq!(server.rows("SELECT host, free FROM mem ORDER BY time"), json!([["a", 1], [null, 2]]));
    let some = imported(&server, "/api/v1/import/lp?precision=s&measurement=MEM", lines.as_bytes());
    assert_eq!((&some["rows_imported"], &some["measurements"]), (&json!(2), &json!(["mem"])));
}

#[test]
fn the_same_file_is_imported_once_where_that_is_asked_for() {
    let dir = folder();
    let mut server = Server::start(dir.path(), &[]);
    let path = "/api/v1/import/csv?measurement=cpu&idempotent=true";
    let text = b"time,v\n1767225600,1\n1767225601,2\n";
    assert_eq!(imported(&server, path, text)["rows_imported"], 2);
    server.kill();
    let server = Server::start(dir.path(), &[]);
    let again = imported(&server, path, text);
    assert_eq!(
        (&again["rows_imported"], &again["rows_known"], &again["duplicate"]),
        (&json!(0), &json!(2), &json!(true))
    );
    assert_eq!(imported(&server, "/api/v1/import/csv?measurement=cpu", text)["rows_imported"], 2, "nobody asked");
    assert_eq!(
        imported(&server, &format!("{path}&time_format=epoch_s"), text.as_slice().strip_suffix(b"\n").unwrap())["rows_imported"],
        2
    );
    assert_eq!(server.rows("SELECT count(*) FROM cpu"), json!([[6]]));
}

#[test]
fn rows_of_points_are_later_than_what_was_there_and_earlier_than_what_comes() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    let point = |v: i32| format!("cpu,host=a v={v},w={v} {START}000000000");
    let write = |text: String| {
        assert_eq!(server.send("POST", "/write?db=default", &[], text.as_bytes()).status, 204);
    };
    write(point(1));
    // one import, two versions of one point, and none of a field
    let text = format!("cpu,host=a v=2,w=2 {START}\ncpu,host=a v=3 {START}\n");
    imported(&server, "/api/v1/import/lp?precision=s", text.as_bytes());
    assert_eq!(server.rows("SELECT host, v, w FROM cpu"), json!([["a", 3.0, 2.0]]));
    write(point(4));
    assert_eq!(server.rows("SELECT host, v, w FROM cpu"), json!([["a", 4.0, 4.0]]));
    server.flush();
    assert_eq!(server.rows("SELECT host, v, w FROM cpu"), json!([["a", 4.0, 4.0]]));
    imported(&server, "/api/v1/import/lp?precision=s", text.as_bytes());
    assert_eq!(server.rows("SELECT host, v, w FROM cpu"), json!([["a", 3.0, 2.0]]));
    let merged = server.send("POST", "/api/v1/compaction/trigger?wait=true", &[], b"");
    assert_eq!(merged.status, 200, "{merged:?}");
    assert_eq!(server.rows("SELECT host, v, w FROM cpu"), json!([["a", 3.0, 2.0]]));
    let asked = imported(
        &server,
        "/api/v1/import/lp?precision=s&mode=last",
        format!("new v=1 {START}\nnew v=2 {START}").as_bytes(),
    );
    assert_eq!(asked["rows_imported"], 1);
    assert_eq!(server.rows("SELECT v FROM new"), json!([[2.0]]));
}

#[test]
fn a_kill_anywhere_leaves_the_whole_file_or_nothing() {
    let rows: String = (0..50_000).map(|i| format!("{},{i}\n", START + i)).collect();
    let text = format!("time,v\n{rows}");
    for (point, whole) in [("import.file:1", false), ("import.commit.before:1", false), ("import.commit.after:1", true)]
    {
        let dir = folder();
        let mut server = Server::try_start(dir.path(), &[], &[("TIDEWATER_FAILPOINT", point)]).expect("it starts");
        server.lines(&format!("cpu v=-1i {START}000000000"));
        let (kind, body) = form(text.as_bytes());
        let headers = [("content-type", kind.as_str()), ("x-arc-database", "default")];
        let answered = server.try_send("POST", "/api/v1/import/csv?measurement=cpu", &headers, &body);
        assert!(answered.is_err(), "{point}: the server ended");
        server.kill();
        let server = Server::start(dir.path(), &[]);
        let count = if whole { 50_001 } else { 1 };
        assert_eq!(server.rows("SELECT count(*) FROM cpu"), json!([[count]]), "{point}");
        if !whole {
            eventually("the files that nobody knows are gone", || files(&server.data().join("data")).is_empty());
        }
        let jobs = server.get("/api/v1/jobs?kind=import").json();
        let state = &jobs["jobs"][0]["state"];
        assert!(state == "completed" || state == "failed", "{jobs}");
    }
}

#[test]
fn tokens_bound_what_is_imported() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    let made = server.send(
        "POST",
        "/api/v1/auth/tokens",
        &[],
        br#"{"name": "writer", "permissions": ["write"], "scopes": ["default.cpu*"]}"#,
    );
    let token = format!("Bearer {}", made.json()["token"].as_str().expect("a token"));
    let send = |path: &str, text: &str| {
        let headers =
            [("authorization", token.as_str()), ("content-type", "text/plain"), ("x-arc-database", "default")];
        server.send("POST", path, &headers, text.as_bytes()).status
    };
    assert_eq!(send("/api/v1/import/csv?measurement=cpu_a", "time,v\n1767225600,1\n"), 200);
    assert_eq!(send("/api/v1/import/csv?measurement=mem", "time,v\n1767225600,1\n"), 403);
    assert_eq!(send("/api/v1/import/lp", "cpu_b v=1 1\ncpu_c v=1 1"), 200);
    assert_eq!(send("/api/v1/import/lp", "cpu_d v=1 1\nmem v=1 1"), 403);
    let tables = server.rows("SHOW TABLES");
    let names: Vec<&str> = tables.as_array().expect("rows").iter().filter_map(|r| r[1].as_str()).collect();
    assert_eq!(names, ["cpu_a", "cpu_b", "cpu_c"]);
}

#[test]
fn a_file_many_times_the_memory_is_imported_in_bounded_memory() {
    let dir = folder();
    let server = Server::start(dir.path(), &["memory.budget=128MiB", "import.max_size=4GiB"]);
    let said = python("imports.py", &[&server.url, TOKEN, dir.path().to_str().expect("a path")]);
    let report: Value = serde_json::from_str(&said).expect("JSON");
    println!("{report}");
    assert_eq!(report["csv_rows"], report["csv_count"]);
    assert_eq!(report["parquet_rows"], report["parquet_count"]);
    assert!(report["equal"].as_bool().expect("a verdict"), "{report}");
    assert!(report["csv_bytes"].as_u64().expect("bytes") > 128 << 20, "{report}");
    let peak = server.memory_kib("VmHWM:");
    // what a process has without any rows lies beside the budget
    assert!(peak < (128 + 64) << 10, "{peak} KiB at most");
}

#[test]
fn a_file_beyond_the_bound_is_refused_and_leaves_nothing() {
    let dir = folder();
    let server = Server::start(dir.path(), &["import.max_size=4KiB"]);
    let rows: String = (0..1_000).map(|i| format!("{},{i}\n", START + i)).collect();
    let path = "/api/v1/import/csv?measurement=cpu";
    let long = import(&server, path, format!("time,v\n{rows}").as_bytes());
    assert_eq!((long.status, &long.json()["code"]), (413, &json!("payload_too_large")));
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(format!("time,v\n{}", "1767225600,1\n".repeat(100_000)).as_bytes()).expect("in memory");
    let bomb = refused(&server, path, &packed.finish().expect("in memory"));
    assert!(bomb["error"].as_str().expect("words").contains("decompresses to more than"), "{bomb}");
    assert_eq!(spooled(&server), 0);
}

#[test]
fn the_command_line_imports_files_and_folders_and_what_it_exports_comes_back_equal() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    let files = dir.path().join("files");
    std::fs::create_dir_all(files.join("more")).expect("a folder");
    let write = |name: &str, text: &str| {
        let file = std::fs::OpenOptions::new().create_new(true).write(true).open(files.join(name));
        let mut file = file.expect("a file");
        file.write_all(text.as_bytes()).expect("a file");
    };
    write("cpu.csv", "time,host,usage\n1767225600,a,0.5\n1767225601,b,1.5\n");
    write("more/mem.tsv", "time\tfree\n1767225600\t12\n");
    write(
        "points.lp",
        "net,host=a\\ b,if=eth\\,0 bytes=18446744073709551615u,up=t,n=-7i,note=\"x \\\"y\\\" \\\\ z\",v=0.1 1767225600000000123\nnet,if=lo up=f,v=1e300 1767225600000000000\n",
    );
    write("broken.csv", "time,v\nnever,1\n");
    write("notes.txt", "no data");
    let env = [("TIDEWATER_URL", server.url.as_str()), ("TIDEWATER_TOKEN", TOKEN)];
    let path = |name: &str| files.join(name).to_str().expect("a path").to_owned();
    let (fine, said) = tidewater(&["import", &path(""), "--tags", ""], &env);
    assert!(!fine, "one of them is broken: {said}");
    assert!(
        said.contains("1 of 4 files were not imported") && said.contains("broken.csv: line 2, column \"time\""),
        "{said}"
    );
    assert!(said.contains("5 rows of 4 files"), "{said}");
    let (fine, said) = tidewater(&["import", &path("c*.csv"), &path("points.lp")], &env);
    assert!(fine && said.contains("0 rows of 2 files"), "both are known by their content: {said}");
    assert_eq!(server.rows("SELECT count(*) FROM cpu"), json!([[2]]));
    assert_eq!(server.rows("SELECT free FROM mem"), json!([[12]]));
    for (args, says) in [
        (vec!["import", "nowhere.csv"], "cannot read nowhere.csv"),
        (vec!["import", "notes"], "cannot read notes"),
        (vec!["import", "q*.csv"], "no file is meant"),
        (vec!["export", "a.lp", "--query", "SELECT 1"], "no tags"),
        (vec!["export", "a.csv", "--measurement", "lost"], "\"lost\" does not exist"),
    ] {
        let (fine, said) = tidewater(&args, &env);
        assert!(!fine && said.contains(says), "{args:?}: {said}");
    }
    assert!(!std::path::Path::new("a.csv").exists(), "what failed has no file");
    // a row without some of its values, and one that line protocol cannot write whole
    server.lines("net,if=lo v=2 1767225602000000000");
    let out = dir.path().join("out");
    let target = |name: &str| out.join(name).to_str().expect("a path").to_owned();
    for format in ["parquet", "csv", "lp"] {
        let (fine, said) = tidewater(&["export", &target(format), "--format", format], &env);
        assert!(fine && said.contains("3 measurements"), "{said}");
        let (fine, said) = tidewater(&["import", &target(format), "--database", format], &env);
        assert!(fine, "{said}");
        for (table, columns) in
            [("cpu", "time, host, usage"), ("mem", "time, free"), ("net", "time, host, \"if\", bytes, up, n, note, v")]
        {
            let rows = |of: &str| server.rows(&format!("SELECT {columns} FROM {of}.{table} ORDER BY ALL"));
            let (wanted, found) = (rows("default"), rows(format));
            match (format, table) {
                // a CSV has one empty cell for NULL and the empty text
                ("csv", "net") => assert_eq!(found.as_array().map(Vec::len), wanted.as_array().map(Vec::len)),
                _ => assert_eq!(found, wanted, "{format} {table}"),
            }
        }
    }
    assert_eq!(
        server.rows("SELECT time_ns FROM lp.net WHERE n = -7"),
        json!([[123]]),
        "line protocol keeps nanoseconds"
    );
    let tags = |of: &str| {
        let mut tags: Vec<String> = server
            .rows(&format!("SHOW TAG KEYS FROM {of}"))
            .as_array()
            .expect("rows")
            .iter()
            .map(Value::to_string)
            .collect();
        tags.sort();
        tags
    };
    assert_eq!(tags("lp.net"), tags("net"));
    let (fine, said) =
        tidewater(&["export", &target("one.csv"), "--query", "SELECT host, usage FROM cpu ORDER BY host"], &env);
    assert!(fine, "{said}");
    assert_eq!(std::fs::read_to_string(out.join("one.csv")).expect("a file"), "host,usage\na,0.5\nb,1.5\n");
}

/// The space station as CelesTrak's documentation has it, and a second object whose second line is broken on demand.
fn orbits(is_broken: bool) -> String {
    let second = if is_broken {
        "2 25544  51.6416 247.4627 0006703 130.5360 325.0288 15.72125391563538"
    } else {
        "2 25544  51.6416 247.4627 0006703 130.5360 325.0288 15.72125391563537"
    };
    let first = "1 25544U 98067A   08264.51782528 -.00002182  00000-0 -11606-4 0  2927";
    let good = "2 25544  51.6416 247.4627 0006703 130.5360 325.0288 15.72125391563537";
    format!("ISS (ZARYA)\n{first}\n{good}\n{first}\n{second}\n")
}

#[test]
fn orbits_are_written_and_imported_and_a_broken_entry_is_named() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    let write = |body: &[u8], headers: &[(&str, &str)]| server.send("POST", "/api/v1/write/tle", headers, body);
    assert_eq!(write(orbits(false).as_bytes(), &[]).status, 204);
    let seen = server.rows(
        "SELECT object_name, norad_id, orbit_type, round(period_min, 2) AS p, time FROM satellite_tle ORDER BY object_name",
    );
    let at = "2008-09-20T12:25:40.104192Z";
    assert_eq!(seen, json!([["ISS (ZARYA)", "25544", "LEO", 91.6, at], ["NORAD 25544", "25544", "LEO", 91.6, at]]));
    // packed, elsewhere; of two entries one is stored and one named
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(orbits(true).as_bytes()).expect("packed");
    let there = [("x-arc-database", "space"), ("x-arc-measurement", "orbits")];
    let partial = write(&packed.finish().expect("packed"), &there);
    let told = partial.json();
    assert_eq!(
        (partial.status, &told["code"], &told["rows_stored"]),
        (400, &json!("invalid_lines"), &json!(1)),
        "{told}"
    );
    assert_eq!(told["lines"][0], json!({"line": 4, "error": "the checksum of line 2 is 8 and should be 7"}));
    assert_eq!(server.rows("SELECT count(*) FROM space.orbits"), json!([[1]]));
    assert_eq!((write(b"nothing of that\n", &[]).status, write(b"", &[]).status), (400, 400));
    let stats = server.get("/api/v1/write/tle/stats").json();
    assert_eq!((&stats["stats"]["total_records"], &stats["stats"]["total_errors"]), (&json!(3), &json!(3)), "{stats}");

    let result = imported(&server, "/api/v1/import/tle?measurement=kept", orbits(true).as_bytes());
    assert_eq!(
        (&result["measurement"], &result["rows_imported"], &result["satellite_count"]),
        (&json!("kept"), &json!(1), &json!(1))
    );
    assert_eq!(result["parse_warnings"], json!(["line 4: the checksum of line 2 is 8 and should be 7"]));
    let none = import(&server, "/api/v1/import/tle", b"not an orbit\n");
    assert_eq!(none.status, 400, "{}", String::from_utf8_lossy(&none.body));
    assert_eq!(server.rows("SELECT count(*), count(DISTINCT norad_id) FROM kept"), json!([[1, 1]]));
    let file = dir.path().join("stations.tle");
    store::durable::write_file(&file, orbits(false).as_bytes(), 0o644).expect("written");
    let (is_done, words) = tidewater(
        &["import", file.to_str().expect("a plain path"), "--url", &server.url, "--token", TOKEN, "--database", "cli"],
        &[],
    );
    assert!(is_done && words.starts_with("2 rows of 1 files"), "{words}");
    assert_eq!(server.rows("SELECT count(*) FROM cli.satellite_tle"), json!([[2]]));
}
