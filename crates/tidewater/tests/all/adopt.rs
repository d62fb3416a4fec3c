//! Folders that another program wrote, taken over as they lie.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::harness::{Server, TOKEN, files, folder, python, tidewater};

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

fn adopt(dir: &Path, what: &[&str], env: &[(&str, &str)]) -> (bool, String) {
    let data = dir.join("data");
    tidewater(&[&["adopt"], what, &["--folder", text(&data)]].concat(), env)
}

/// Compares what a server and an attached DuckDB find with the files as they lay.
fn check(server: &Server, arc: &Path) {
    let found: Value =
        serde_json::from_str(&python("adopt.py", &["check", &server.url, TOKEN, text(&server.data()), text(arc)]))
            .expect("json");
    assert_eq!(found, json!({"tried": 13}));
    python("catalog_check.py", &[text(&server.data())]);
}

/// Parquet files below a folder.
fn parquet(folder: &Path) -> Vec<PathBuf> {
    files(folder).into_iter().filter(|path| path.extension().is_some_and(|e| e == "parquet")).collect()
}

#[test]
fn arcs_folder_is_adopted_and_lives_on_as_if_its_rows_had_been_written_here() {
    let dir = folder();
    let arc = dir.path().join("arc");
    python("adopt.py", &["make", text(&arc)]);
    let (is_done, words) = adopt(dir.path(), &[text(&arc), "--dry-run"], &[]);
    assert!(!is_done && words.contains("nothing was changed") && !dir.path().join("data").exists(), "{words}");
    for (what, said) in [
        ("fractions", "prod.mixed: 3 written anew: column \"v\" is int64 here and float64 in others"),
        ("a date", "iot.odd: 1 written anew: column \"day\" is Date32"),
        ("an empty tag", "iot.tagged: 1 written anew: tag \"room\" may hold empty texts"),
        ("a cut file", "cpu_20260102_160000_000000000.parquet: parquet: Parquet error: Invalid Parquet file"),
    ] {
        assert!(words.contains(said), "{what}: {words}");
    }

    let (_, words) = adopt(dir.path(), &[text(&arc)], &[]);
    assert!(words.contains("prod.cpu: 12200 of 12200 rows came, as many as the files hold; 0 files"), "{words}");
    assert!(words.contains("column \"v\" is int64, but row 1 brings string one"), "{words}");
    let links = parquet(&arc.join("prod/cpu")).iter().filter(|p| p.metadata().is_ok_and(|m| m.nlink() == 2)).count();
    assert_eq!(links, 73, "no byte is copied");
    let (_, words) = adopt(dir.path(), &[text(&arc)], &[]);
    assert!(words.contains("prod.cpu: 0 of 0 rows came, as many as the files hold; 73 files"), "{words}");
    assert!(words.contains("prod.mixed: 0 of 0 rows came, as many as the files hold; 4 files"), "{words}");

    let quiet = ["compaction.enabled=false"];
    let mut server = Server::start(dir.path(), &quiet);
    check(&server, &arc);
    assert_eq!(server.rows("SHOW TAG KEYS FROM prod.cpu"), json!([["cpu", "host"]]));
    let jobs = server.get("/api/v1/jobs").json().to_string();
    assert!(jobs.contains("\"adopt\"") && jobs.contains("\"completed\""), "{jobs}");
    // a restart, and a merge of what was adopted with itself
    assert!(server.stop().is_some_and(|s| s.success()));
    let server = Server::start(dir.path(), &quiet);
    let merged = server.send("POST", "/api/v1/compaction/trigger?wait=true", &[], b"");
    assert_eq!(merged.status, 200, "{}", String::from_utf8_lossy(&merged.body));
    check(&server, &arc);
    let files = "SELECT count(*) FROM information_schema.tables WHERE table_name = 'cpu'";
    assert_eq!(server.rows(files), json!([[1]]));
    // rows beside it, a delete by value and time, and a column that changes its type
    let line = "cpu,host=h3 usage=99.5,n=1i,extra=7i 1767225600000000000";
    let written = server.send("POST", "/api/v1/write/line-protocol", &[("x-arc-database", "prod")], line.as_bytes());
    assert_eq!(written.status, 204, "{}", String::from_utf8_lossy(&written.body));
    assert_eq!(server.rows("SELECT count(*), sum(extra) FROM prod.cpu"), json!([[12_201, 7]]));
    let delete = |database: &str, measurement: &str, condition: &str| {
        let body = json!({"database": database, "measurement": measurement, "where": condition, "confirm": true});
        server.send("POST", "/api/v1/delete", &[], body.to_string().as_bytes()).json()["deleted_count"].clone()
    };
    let few = server.rows("SELECT count(*) FROM prod.cpu WHERE host = 'h3' AND usage > 90");
    assert_eq!(delete("prod", "cpu", "host = 'h3' AND usage > 90"), few[0][0]);
    assert_eq!(server.rows("SELECT count(*) FROM prod.cpu WHERE host = 'h3' AND usage > 90"), json!([[0]]));
    assert_eq!(delete("iot", "small", "i8 < -20 OR f32 > 16"), json!(6));
    assert_eq!(
        server.rows("SELECT count(*), min(i8), max(u64), round(max(f32), 3) FROM iot.small"),
        json!([[44, -20, 18_446_744_073_709_551_610u64, 16.0]])
    );
    // the folder that was adopted may go
    std::fs::remove_dir_all(&arc).expect("removed");
    assert_eq!(server.rows("SELECT count(*) FROM iot.tagged"), json!([[2]]));
}

#[test]
fn a_column_of_adopted_files_changes_its_type() {
    let dir = folder();
    let arc = dir.path().join("arc");
    python("adopt.py", &["many", text(&arc), "25"]);
    let (is_done, words) = adopt(dir.path(), &[text(&arc)], &[]);
    assert!(is_done, "{words}");
    let server = Server::start(dir.path(), &["compaction.enabled=false"]);
    // in whichever order the files are added up
    let all = "SELECT count(*), count(n), round(sum(usage), 6) FROM bulk.m";
    let before = server.rows(all);
    // a fraction for a column of whole numbers
    let line = "m,host=h3 n=0.5 1767225600000000000";
    let written = server.send("POST", "/api/v1/write/line-protocol", &[("x-arc-database", "bulk")], line.as_bytes());
    assert_eq!(written.status, 204, "{}", String::from_utf8_lossy(&written.body));
    let after = server.rows("SELECT count(*) - 1, count(n) - 1, round(sum(usage), 6) FROM bulk.m");
    assert_eq!(after, before);
    assert_eq!(server.rows("SELECT typeof(n) FROM bulk.m LIMIT 1"), json!([["DOUBLE"]]));
    assert_eq!(server.rows("SELECT count(*) FROM bulk.m WHERE n = 0.5"), json!([[1]]));
}

#[test]
fn files_that_stay_in_their_place_are_read_there_and_never_removed() {
    let dir = folder();
    let arc = dir.path().join("arc");
    python("adopt.py", &["many", text(&arc), "12"]);
    let (is_done, words) = adopt(dir.path(), &[text(&arc), "--in-place"], &[]);
    assert!(is_done && words.contains("12 files in"), "{words}");
    let settings = ["catalog.snapshot_age_ms=1000", "catalog.file_grace_ms=0"];
    let mut server = Server::start(dir.path(), &settings);
    assert_eq!(server.rows("SELECT count(*) FROM bulk.m"), json!([[1_200]]));
    let kept = dir.path().join("copy");
    assert!(server.stop().is_some_and(|s| s.success()));
    let data = dir.path().join("data");
    // a backup holds the rows, not the way to them
    let (is_done, words) =
        tidewater(&["backup", text(&kept), "--folder", text(&data), "--url", "http://127.0.0.1:1"], &[]);
    assert!(is_done, "{words}");
    assert!(parquet(&kept).iter().all(|p| p.symlink_metadata().is_ok_and(|m| m.is_file() && m.nlink() == 1)));
    let server = Server::start(dir.path(), &settings);
    let gone = server.send("DELETE", "/api/v1/databases/bulk?confirm=true", &[], b"");
    assert_eq!(gone.status, 200, "{}", String::from_utf8_lossy(&gone.body));
    super::harness::eventually("the links are removed", || {
        server.lines("tick v=1");
        server.flush();
        parquet(&server.data()).iter().all(|p| p.symlink_metadata().is_ok_and(|m| !m.is_symlink()))
    });
    assert_eq!(parquet(&arc).len(), 12, "what was adopted in place is its owner's");
    drop(server);
    let again = dir.path().join("again");
    let (is_done, words) = tidewater(&["restore", text(&kept), text(&again.join("data"))], &[]);
    assert!(is_done, "{words}");
    std::fs::remove_dir_all(&arc).expect("removed");
    assert_eq!(Server::start(&again, &[]).rows("SELECT count(*) FROM bulk.m"), json!([[1_200]]));
}

#[test]
fn an_adoption_that_is_cut_short_goes_on_where_it_was() {
    for point in ["adopt.file:7", "adopt.commit.before", "adopt.commit.after", "import.commit.after"] {
        let dir = folder();
        let arc = dir.path().join("arc");
        python("adopt.py", &["many", text(&arc), "12"]);
        python("adopt.py", &["make", text(&arc)]);
        let (is_done, words) = adopt(dir.path(), &[text(&arc), "--copy"], &[("TIDEWATER_FAILPOINT", point)]);
        assert!(!is_done && !words.contains("rows came"), "{point}: {words}");
        let (_, words) = adopt(dir.path(), &[text(&arc), "--copy"], &[]);
        assert!(words.contains("rows came"), "{point}: {words}");
        let server = Server::start(dir.path(), &["compaction.enabled=false"]);
        assert_eq!(server.rows("SELECT count(*), sum(n) > 0 FROM bulk.m"), json!([[1_200, true]]), "{point}");
        assert_eq!(server.rows("SELECT count(*), sum(price) FROM iot.odd"), json!([[20, 190.0]]), "{point}");
        // what the cut run left is gone with the start
        let known = server.rows("SELECT count(*) FROM bulk.m")[0][0].as_u64();
        let on_disk = parquet(&server.data()).len();
        assert_eq!((known, on_disk), (Some(1_200), 12 + 82), "{point}");
    }
}

#[test]
fn a_folder_in_use_foreign_times_and_names_that_are_none_are_told() {
    let dir = folder();
    let arc = dir.path().join("arc");
    python("adopt.py", &["many", text(&arc), "3"]);
    let files = parquet(&arc);
    let running = Server::start(dir.path(), &[]);
    let (is_done, words) = adopt(dir.path(), &[text(&arc)], &[]);
    assert!(!is_done && words.contains("is in use by"), "{words}");
    drop(running);
    let (is_done, words) = adopt(dir.path(), &[text(&files[0]), "--time-column", "nowhere"], &[]);
    assert!(is_done, "a file with a time is adopted whatever the others call it: {words}");
    let (is_done, words) = adopt(dir.path(), &[text(&arc), "--measurement", "a\u{1}b"], &[]);
    assert!(!is_done && words.contains("holds a control character"), "{words}");
    let (is_done, words) = adopt(dir.path(), &[text(&arc), "--measurement", "one", "--database", "d"], &[]);
    assert!(is_done, "{words}");
    let (is_done, words) = adopt(dir.path(), &[], &[]);
    assert!(!is_done && words.contains("name a folder or files"), "{words}");
    // a table that keeps one row a point takes rows, not files
    let server = Server::start(dir.path(), &[]);
    let line = b"m,host=h0 usage=1 1767225600000000000";
    let made = server.send("POST", "/api/v1/import/lp?mode=last", &[("x-arc-database", "bulk")], line);
    assert_eq!(made.status, 200, "{}", String::from_utf8_lossy(&made.body));
    assert_eq!(server.rows("SELECT count(*) FROM bulk.one"), json!([[300]]));
    drop(server);
    let (is_done, words) = adopt(dir.path(), &[text(&arc)], &[]);
    assert!(is_done && words.contains("bulk.m: 3 written anew: the measurement keeps one row a point"), "{words}");
    let server = Server::start(dir.path(), &[]);
    assert_eq!(server.rows("SELECT count(*) FROM bulk.m"), json!([[300]]), "one of them is the point that was there");
}

#[test]
fn arcs_policies_and_queries_come_to_a_running_server() {
    let dir = folder();
    let arc = dir.path().join("arc");
    python("adopt.py", &["make", text(&arc)]);
    adopt(dir.path(), &[text(&arc)], &[]);
    let server = Server::start(dir.path(), &[]);
    let database = arc.join("arc.db");
    let bring = |more: &[&str]| {
        let words = [&["--metadata", text(&database), "--url", &server.url, "--token", TOKEN], more].concat();
        adopt(dir.path(), &words, &[])
    };
    let (is_done, words) = bring(&["--dry-run"]);
    assert!(!is_done && words.contains("retention policy \"keep a year\": would be made; without tier"), "{words}");
    assert!(words.contains("continuous query \"broken\": would be refused: the query must hold"), "{words}");
    assert_eq!(server.get("/api/v1/retention").json(), json!([]));
    let (is_done, words) = bring(&[]);
    assert!(!is_done && words.contains("continuous query \"broken\": refused: "), "{words}");
    assert!(words.contains("api_tokens: 1 rows: only hashes of them are known"), "{words}");
    assert!(!words.contains("mqtt_subscriptions"), "an empty table is nothing to tell: {words}");
    let policies = server.get("/api/v1/retention").json();
    let told = |at: usize, field: &str| policies[at][field].clone();
    assert_eq!(
        (told(0, "name"), told(0, "measurement"), told(0, "buffer_days")),
        (json!("keep a year"), json!("cpu"), json!(7))
    );
    assert_eq!(
        (told(1, "name"), told(1, "is_active"), told(1, "measurement")),
        (json!("off"), json!(false), Value::Null)
    );
    let queries = server.get("/api/v1/continuous_queries").json();
    assert_eq!((&queries[0]["name"], &queries[0]["is_active"]), (&json!("hourly"), &json!(false)));
    let (_, words) = bring(&[]);
    assert!(words.contains("retention policy \"off\": is there already"), "{words}");
}
