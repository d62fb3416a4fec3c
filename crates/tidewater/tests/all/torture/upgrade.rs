//! Folders of every earlier format, as their servers left them when they were killed, go on in this one.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::figure;
use crate::crash::CALM;
use crate::harness::{Server, folder, python};

/// `tests/fixtures`: a tarball a format, all made by one script: 240 rows of which the log alone has 50, points written
/// three times over, a delete, a policy, a continuous query that ran where there were some, a token.
fn fixtures() -> Vec<PathBuf> {
    // asked at run time: a build cache may serve more than one checkout
    let package = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo names the folder: run `cargo xtask test`");
    let folder = Path::new(&package).join("tests/fixtures");
    let all = std::fs::read_dir(&folder).expect("the fixtures").flatten().map(|e| e.path());
    let mut all: Vec<PathBuf> = all.filter(|p| p.extension().is_some_and(|e| e == "gz")).collect();
    all.sort();
    all
}

/// Unpacks a fixture as the data folder of a server.
fn unpack(fixture: &Path, dir: &Path) {
    let done = Command::new("tar").arg("xzf").arg(fixture).arg("-C").arg(dir).status().expect("tar");
    assert!(done.success());
    std::fs::rename(dir.join("folder"), dir.join("data")).expect("the folder is ours");
}

/// The first format that had continuous queries, and the first whose tables keep one row a point.
const WITH_QUERIES: u64 = 2;
const WITH_POINTS: u64 = 3;

fn check(server: &Server, format: u64, what: &str) {
    let cpu =
        "SELECT count(*), sum(v), min(v), max(time) > '2023-11-16T00:00:00Z', count(DISTINCT host), min(s) FROM cpu";
    assert_eq!(server.rows(cpu), json!([[240, 31_080, 10, true, 3, "row 10"]]), "{what}");
    // tables of earlier formats hold every version of a point, and go on so
    let versions = if format < WITH_POINTS { json!([["h3", 13], ["h3", 23], ["h3", 33]]) } else { json!([["h3", 33]]) };
    assert_eq!(server.rows("SELECT host, v FROM point WHERE host = 'h3' ORDER BY v"), versions, "{what}");
    assert_eq!(server.get("/api/v1/retention").json()[0]["name"], "old", "{what}");
    if format >= WITH_QUERIES {
        let sums = "SELECT count(*), sum(n), sum(total) FROM sums";
        assert_eq!(server.rows(sums), json!([[33, 190, 19_855]]), "{what}");
        assert_eq!(server.get("/api/v1/continuous_queries").json()[0]["name"], "sums", "{what}");
    }
}

#[test]
fn a_folder_of_each_earlier_format_goes_on_and_a_newer_one_is_refused() {
    let fixtures = fixtures();
    for (format, fixture) in (1..).zip(&fixtures) {
        let what = fixture.file_name().expect("a name").to_string_lossy().into_owned();
        assert_eq!(what, format!("format{format}.tar.gz"), "each earlier format has a folder");
        let dir = folder();
        unpack(fixture, dir.path());
        let mut server = Server::start(dir.path(), &CALM);
        check(&server, format, &what);
        server.kill();
        let mut server = Server::start(dir.path(), &CALM);
        check(&server, format, &format!("{what}, after kill -9"));
        // it takes rows, writes them to files and merges old files with new ones
        server.lines("cpu,host=h9 v=1i 1700600000000000000");
        server.flush();
        assert_eq!(server.send("POST", "/api/v1/compaction/trigger?wait=true", &[], b"").status, 200);
        assert_eq!(server.rows("SELECT count(*), sum(v) FROM cpu"), json!([[241, 31_081]]), "{what}");
        assert!(server.stop().is_some_and(|s| s.success()));
        python("catalog_check.py", &[server.data().to_str().expect("a plain path")]);
    }
    let dir = folder();
    unpack(&fixtures[0], dir.path());
    let newer = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); \
                 c.execute('DROP TRIGGER IF EXISTS tw_digest_tw_meta_UPDATE'); c.execute(\"UPDATE tw_meta SET value = '999' WHERE key = 'format_version'\"); c.commit()";
    let done = Command::new("python3").args(["-c", newer]).arg(dir.path().join("data/catalog.sqlite")).status();
    assert!(done.is_ok_and(|s| s.success()));
    let refused = Server::try_start(dir.path(), &CALM, &[]).err().expect("a newer format is refused");
    let understood = format!("has format version 999; this server understands up to {}", fixtures.len() + 1);
    assert!(refused.contains(&understood), "{refused}");
    figure("upgrade", &format!("{} folders of earlier formats go on, a newer one is refused", fixtures.len()));
}
