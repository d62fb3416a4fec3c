//! Statements that try to reach what no query may reach, and harmless ones that look like them.

use super::harness::{Server, folder};

const PLACES: [&str; 10] = [
    "/etc/passwd",
    "../catalog.sqlite",
    "data/x.parquet",
    "s3://bucket/x.parquet",
    "http://127.0.0.1:1/x.csv",
    "file:///etc/shadow",
    "~/x.csv",
    "server.sqlite",
    "/proc/self/environ",
    "data/default-1/*.parquet",
];

/// Each with a place in it.
const READS: [&str; 30] = [
    "SELECT * FROM '{}'",
    "SELECT * FROM read_csv('{}')",
    "SELECT * FROM read_csv_auto('{}')",
    "SELECT * FROM read_parquet('{}')",
    "SELECT * FROM parquet_scan('{}')",
    "SELECT * FROM parquet_metadata('{}')",
    "SELECT * FROM read_json('{}')",
    "SELECT * FROM read_text('{}')",
    "SELECT * FROM read_blob('{}')",
    "SELECT * FROM sniff_csv('{}')",
    "SELECT * FROM glob('{}')",
    "SELECT * FROM sqlite_scan('{}', 't')",
    "SELECT read_text('{}')",
    "SELECT load_file('{}')",
    "COPY t TO '{}'",
    "COPY (SELECT * FROM t) TO '{}' (FORMAT parquet)",
    "COPY t FROM '{}'",
    "EXPORT DATABASE '{}'",
    "IMPORT DATABASE '{}'",
    "ATTACH '{}' AS x",
    "INSTALL '{}'",
    "LOAD '{}'",
    "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '{}'",
    "SELECT v FROM t UNION SELECT * FROM '{}'",
    "WITH a AS (SELECT * FROM read_csv('{}')) SELECT * FROM a",
    "SELECT (SELECT count(*) FROM read_csv('{}'))",
    "SELECT * FROM t WHERE v IN (SELECT 1 FROM '{}')",
    "SELECT * FROM t JOIN read_csv('{}') ON true",
    "EXPLAIN SELECT * FROM '{}'",
    "SUMMARIZE SELECT * FROM read_csv('{}')",
];

const CHANGES: [&str; 48] = [
    "SET memory_limit = '1GB'",
    "SET GLOBAL x = 1",
    "RESET ALL",
    "PRAGMA database_list",
    "PRAGMA enable_external_access",
    "SELECT current_setting('memory_limit')",
    "SELECT getenv('HOME')",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM pragma_table_info('t')",
    "CALL pragma_version()",
    "CHECKPOINT",
    "VACUUM",
    "ANALYZE t",
    "CREATE TABLE x (a INT)",
    "CREATE TABLE x AS SELECT * FROM t",
    "CREATE OR REPLACE VIEW x AS SELECT 1",
    "CREATE SCHEMA x",
    "CREATE FUNCTION f(x) AS x + 1",
    "CREATE MACRO f(x) AS x + 1",
    "CREATE SECRET s (TYPE s3)",
    "CREATE INDEX i ON t (v)",
    "DROP TABLE t",
    "DROP DATABASE default",
    "ALTER TABLE t ADD COLUMN x INT",
    "ALTER TABLE t RENAME TO u",
    "INSERT INTO t VALUES (1)",
    "INSERT INTO t SELECT * FROM t",
    "UPDATE t SET v = 2",
    "DELETE FROM t",
    "TRUNCATE t",
    "MERGE INTO t USING t u ON true WHEN MATCHED THEN DELETE",
    "GRANT ALL ON t TO x",
    "REVOKE ALL ON t FROM x",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "DEALLOCATE p",
    "USE other",
    "DETACH default",
    "KILL 1",
    "SELECT 1; DROP TABLE t",
    "SELECT 1;\n--\n;DELETE FROM t",
    "WITH x AS (INSERT INTO t VALUES (1)) SELECT * FROM x",
    "SELECT * INTO x FROM t",
    "EXPLAIN DELETE FROM t",
    "EXPLAIN ANALYZE COPY t TO 'x'",
];

/// What a token for `default` alone may not see.
const FOREIGN: [&str; 24] = [
    "SELECT * FROM other.t",
    "SELECT * FROM \"other\".\"t\"",
    "SELECT * FROM OTHER.T",
    "SELECT count(*) FROM other.t",
    "SELECT v FROM t UNION ALL SELECT v FROM other.t",
    "SELECT * FROM t JOIN other.t o ON true",
    "SELECT (SELECT max(v) FROM other.t)",
    "SELECT * FROM t WHERE v IN (SELECT v FROM other.t)",
    "SELECT * FROM t WHERE EXISTS (SELECT 1 FROM other.t)",
    "WITH t AS (SELECT * FROM other.t) SELECT * FROM t",
    "SELECT * FROM (SELECT * FROM other.t) x",
    "FROM other.t",
    "SUMMARIZE other.t",
    "DESCRIBE other.t",
    "DESCRIBE SELECT * FROM other.t",
    "EXPLAIN SELECT * FROM other.t",
    "SHOW TABLES FROM other",
    "SHOW COLUMNS FROM other.t",
    "SHOW TAG KEYS FROM other.t",
    "SELECT * FROM t ASOF JOIN other.t o ON t.time >= o.time",
    "SELECT * FROM t, LATERAL (SELECT * FROM other.t) x",
    "SELECT * FROM other.missing",
    "SELECT time_bucket_gapfill(INTERVAL '1 hour', time) AS b, locf(max(v)) FROM other.t GROUP BY b",
    "SELECT v FROM other.t QUALIFY row_number() OVER (ORDER BY time DESC) = 1",
];

#[test]
fn what_no_query_may_reach_is_refused_in_every_spelling() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    server.lines("t v=1i 1767225600000000000");
    let other = [("x-arc-database", "other")];
    assert_eq!(server.send("POST", "/api/v1/write/line-protocol", &other, b"t v=42i").status, 204);
    let mut tried = 0;
    let reads = READS.iter().flat_map(|read| PLACES.iter().map(move |place| read.replace("{}", place)));
    for sql in reads.chain(CHANGES.iter().map(|s| (*s).to_owned())) {
        let (status, code, error) = server.refusal(&sql);
        assert!(status == 400 || status == 403, "{sql}: {status} {code} {error}");
        assert!(!error.is_empty() && !error.contains("No such file"), "{sql}: {error}");
        tried += 1;
    }
    assert!(tried >= 300, "{tried} statements");
    let made = server.send(
        "POST",
        "/api/v1/auth/tokens",
        &[],
        br#"{"name": "one", "permissions": ["read"], "scopes": ["default"]}"#,
    );
    let token = format!("Bearer {}", made.json()["token"].as_str().expect("a token"));
    for sql in FOREIGN {
        let reply = server.query_with(sql, &[("authorization", &token)]);
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        assert_eq!(reply.status, 403, "{sql}: {text}");
        assert!(!text.contains("42"), "{sql}: {text}");
    }
    assert_eq!(server.rows("SELECT v FROM t"), serde_json::json!([[1]]), "nothing was changed");
    assert_eq!(server.metric("tidewater_query_slots_replaced_total"), 0.0, "nothing broke");
}

#[test]
fn what_only_looks_like_it_is_answered() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    server.lines(
        "t drop=1i,copy=2i,set=3i,load=4i,attach=5i,path=\"/etc/passwd\",delete=6i,insert=7i,update=8i 1767225600000000000",
    );
    let words =
        ["DROP TABLE t", "; DELETE FROM t; --", "COPY t TO 'x'", "read_csv('/etc/passwd')", "/* ' */", "ATTACH"];
    let names = ["drop", "copy", "set", "load", "attach", "path", "delete", "insert", "update"];
    let mut harmless: Vec<String> = Vec::new();
    for word in words {
        let text = word.replace('\'', "''");
        harmless.push(format!("SELECT '{text}' AS s"));
        harmless.push(format!("SELECT count(*) FROM t WHERE path <> '{text}'"));
        harmless.push(format!("SELECT path || '{text}' AS s FROM t"));
        harmless.push(format!("SELECT 1 AS \"{}\"", word.replace('"', "")));
        harmless.push(format!("SELECT v FROM (SELECT '{text}' AS v) x WHERE v LIKE '%{text}%'"));
    }
    for comment in ["-- DROP TABLE t", "/* DELETE FROM t; */", "-- ; COPY t TO 'x'", "/* SET x = 1 */", "--"] {
        harmless.push(format!("SELECT 1 {comment}"));
        harmless.push(format!("{comment}\nSELECT count(*) FROM t"));
    }
    for name in names {
        harmless.push(format!("SELECT \"{name}\" FROM t"));
        harmless.push(format!("SELECT max(\"{name}\") AS \"{name}\" FROM t"));
        harmless.push(format!("SELECT t.\"{name}\" FROM t ORDER BY t.\"{name}\""));
        harmless.push(format!("WITH x AS (SELECT \"{name}\" AS v FROM t) SELECT v FROM x"));
        harmless.push(format!("SELECT count(*) FROM t WHERE \"{name}\" IS NOT NULL"));
        harmless.push(format!("SELECT 'SELECT \"{name}\" FROM other' AS s;"));
        harmless.push(format!("SELECT length('{name}') AS \"{name} into\""));
    }
    assert!(harmless.len() >= 100, "{} statements", harmless.len());
    for sql in &harmless {
        let reply = server.query_with(sql, &[]);
        assert_eq!(reply.status, 200, "{sql}: {}", String::from_utf8_lossy(&reply.body));
    }
}
