//! `tidewater sql`: the prompt on a terminal, statements from a pipe, a stopped folder.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use serde_json::{Value, json};

use super::harness::{Server, TOKEN, files, folder, python, tidewater};

const START_NS: i64 = 1_767_225_600_000_000_000;

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

fn fill(server: &Server) {
    let lines = (0..100i64).map(|i| format!("cpu,host=h{} usage={} {}", i % 2, i % 37, START_NS + i * 60_000_000_000));
    server.lines(&lines.collect::<Vec<_>>().join("\n"));
    let other = [("x-arc-database", "other")];
    assert_eq!(server.send("POST", "/api/v1/write/line-protocol", &other, b"mem v=1").status, 204);
}

#[test]
fn a_user_types_completes_watches_draws_and_cancels() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    fill(&server);
    let home = folder();
    let told = python("prompt.py", &[env!("CARGO_BIN_EXE_tidewater"), &server.url, TOKEN, text(home.path())]);
    let told: Value = serde_json::from_str(&told).expect("json");
    assert_eq!(told, json!({"tried": 40}));
}

/// Runs `tidewater sql` with statements on its standard input.
fn piped(statements: &str, args: &[&str]) -> (bool, String, String) {
    use std::io::Write as _;
    let mut child = Command::new(env!("CARGO_BIN_EXE_tidewater"))
        .arg("sql")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    child.stdin.take().expect("a pipe").write_all(statements.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("it ends");
    let of = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), of(&output.stdout), of(&output.stderr))
}

#[test]
fn statements_from_a_pipe_are_run_to_the_first_that_fails() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    fill(&server);
    let to = ["--url", &server.url, "--token", TOKEN, "--format", "csv"];
    let (is_done, out, _) = piped("-- two\nSELECT ';' AS a;\nSELECT count(*) AS n\nFROM cpu", &to);
    assert_eq!((is_done, out.as_str()), (true, "a\n;\nn\n100\n"));
    let (is_done, out, err) = piped("SELECT 1 AS a; SELECT nonsense; SELECT 2 AS b;", &to);
    assert_eq!((is_done, out.as_str()), (false, "a\n1\n"));
    assert!(err.contains("nonsense"), "{err}");
}

/// Every file below a folder with its size and the time of its last change.
fn state(folder: &Path) -> Vec<(PathBuf, u64, SystemTime)> {
    let of = |path: PathBuf| {
        let metadata = path.symlink_metadata().expect("it is there");
        (path, metadata.len(), metadata.modified().expect("a time"))
    };
    let mut found: Vec<_> = files(folder).into_iter().map(of).collect();
    found.sort();
    found
}

#[test]
fn a_stopped_folder_is_read_with_its_log_and_left_as_it_was() {
    let dir = folder();
    let mut server =
        Server::start(dir.path(), &["ingest.max_quiet_age_ms=86400000", "ingest.max_buffer_age_ms=3600000"]);
    fill(&server);
    server.flush();
    server.lines(&format!("cpu,host=h9 usage=99 {START_NS}"));
    let data = server.data();
    let ask = |statement: &str, more: &[&str]| {
        tidewater(&[&["sql", statement, "--folder", text(&data), "--format", "csv"], more].concat(), &[])
    };
    // while a server holds it, that one is asked
    let (is_done, words) = ask("SELECT count(*) AS n FROM cpu", &["--url", &server.url]);
    assert!(is_done && words == "n\n101\n", "{words}");
    server.kill();
    // rows that only the log holds are there, and nothing of the folder changes but who holds it
    let lock = data.join("LOCK");
    let others = || state(&data).into_iter().filter(|(path, ..)| *path != lock).collect::<Vec<_>>();
    let before = others();
    let (is_done, words) = ask("SELECT count(*) AS n, max(usage) AS m FROM cpu", &[]);
    assert!(is_done && words == "n,m\n101,99.0\n", "{words}");
    let (is_done, words) = ask("SELECT host FROM cpu WHERE usage = 99", &[]);
    assert!(is_done && words == "host\nh9\n", "{words}");
    assert_eq!(others(), before);
    let (is_done, words) = tidewater(&["sql", "SELECT 1", "--folder", text(dir.path())], &[]);
    assert!(!is_done && words.contains("it holds no catalog"), "{words}");
    // and a server goes on with it
    let server = Server::start(dir.path(), &[]);
    assert_eq!(server.rows("SELECT count(*) FROM cpu"), json!([[101]]));
}
