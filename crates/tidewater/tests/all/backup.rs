//! Copies of a whole folder, and folders made of them.
#![expect(clippy::disallowed_methods, reason = "tests damage files on purpose")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::harness::{Server, TOKEN, eventually, files, folder, python, tidewater};

const BUSY: [&str; 6] = [
    "ingest.max_buffer_age_ms=100",
    "ingest.max_quiet_age_ms=100",
    "compaction.interval_ms=100",
    "compaction.min_files=2",
    "catalog.snapshot_age_ms=1000",
    "catalog.file_grace_ms=0",
];

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

fn kept_in(dir: &Path) -> String {
    format!("backup.local_path={}", dir.join("backups").display())
}

/// Takes a backup over HTTP and waits for its end.
fn take(server: &Server, body: Value) -> Value {
    let reply = server.send("POST", "/api/v1/backup", &[], body.to_string().as_bytes());
    let begun = reply.json();
    assert_eq!((reply.status, begun["status"].as_str()), (202, Some("running")), "{begun}");
    let mut status = Value::Null;
    eventually("the backup ends", || {
        status = server.get("/api/v1/backup/status").json();
        status["backup_id"] == begun["backup_id"] && status["status"] != "running"
    });
    status
}

#[test]
fn t62_a_backup_under_load_restores_to_one_instant_and_the_next_costs_what_is_new() {
    let dir = folder();
    let at = kept_in(dir.path());
    let mut settings = BUSY.to_vec();
    settings.push(&at);
    let server = Server::start(dir.path(), &settings);
    let token = server.send("POST", "/api/v1/auth/tokens", &[], json!({"name": "kept"}).to_string().as_bytes()).json();
    let kept = token["token"].as_str().expect("a token").to_owned();
    let policy = json!({"name": "long", "database": "default", "retention_days": 36_000});
    assert_eq!(server.send("POST", "/api/v1/retention", &[], policy.to_string().as_bytes()).status, 201);
    let (stop, sent, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let (backup, before, after) = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let first = sent.fetch_add(10, Ordering::SeqCst);
                let line = |n: u64| {
                    format!(
                        "two,n={} v={n}i {}\ntwin v={n}i {}\n",
                        n % 7,
                        1_700_000_000_000_000_000 + n,
                        1_700_000_000_000_000_000 + n
                    )
                };
                server.lines(&(first..first + 10).map(line).collect::<String>());
                acknowledged.store(first + 10, Ordering::SeqCst);
            }
        });
        eventually("files are merged", || server.metric("arc_compaction_jobs_success_total") > 2.0);
        let before = acknowledged.load(Ordering::SeqCst);
        let done = take(&server, json!({}));
        let after = sent.load(Ordering::SeqCst);
        stop.store(true, Ordering::Relaxed);
        (done, before, after)
    });
    assert_eq!(backup["status"], "completed", "{backup}");
    let id = backup["backup_id"].as_str().expect("an id").to_owned();
    let place = dir.path().join("backups").join(&id);
    let (whole, said) = tidewater(&["backup", "verify", text(&place)], &[]);
    assert!(whole && said.contains("the backup is whole"), "{said}");

    // a folder of it: what was acknowledged before is there, once; a request is there whole or not at all
    let restored = dir.path().join("restored");
    let (made, said) = tidewater(&["restore", text(&place), text(&restored)], &[]);
    assert!(made, "{said}");
    let elsewhere = folder();
    let moved = elsewhere.path().join("data");
    std::fs::rename(&restored, &moved).or_else(|_| copy_all(&restored, &moved)).expect("moved");
    let mut second = Server::start(elsewhere.path(), &[]);
    let rows = second.rows("SELECT count(*), count(DISTINCT v), max(v) FROM two");
    let (count, distinct, most) = (rows[0][0].as_u64(), rows[0][1].as_u64(), rows[0][2].as_u64());
    let count = count.expect("a count");
    assert_eq!((Some(count), Some(count - 1)), (distinct, most), "each once, without a gap");
    assert!((before..=after).contains(&count) && count.is_multiple_of(10), "{before} <= {count} <= {after}");
    assert_eq!(second.rows("SELECT count(*) FROM twin"), json!([[count]]), "both tables of a request, or neither");
    // tokens and policies came along; new rows get numbers above the old ones
    assert_eq!(
        second.send("GET", "/api/v1/databases", &[("authorization", &format!("Bearer {kept}"))], b"").status,
        200
    );
    assert_eq!(second.get("/api/v1/retention").json()[0]["name"], "long");
    second.lines("two,n=1 v=1000000000i 1800000000000000000\nlater v=1i");
    second.flush();
    second.kill();
    let mut second = Server::start(elsewhere.path(), &[]);
    assert_eq!(second.rows("SELECT count(*) FROM two"), json!([[count + 1]]));
    python("catalog_check.py", &[text(&second.data())]);
    assert!(second.stop().is_some_and(|s| s.success()));
    let catalog = |folder: &Path, sql: &str| python("sqlite.py", &[text(&folder.join("catalog.sqlite")), sql]);
    let (old, new) = (server.data(), elsewhere.path().join("data"));
    let log = "SELECT value FROM tw_meta WHERE key = 'log_id'";
    assert_ne!(catalog(&old, log), catalog(&new, log), "a restored folder has a log of its own");
    let ids = "SELECT max(snapshot_id), max(next_catalog_id), max(next_file_id) FROM ducklake_snapshot";
    let numbers =
        |text: String| -> Vec<u64> { text.split_whitespace().map(|n| n.parse().expect("a number")).collect() };
    for (new, old) in numbers(catalog(&new, ids)).iter().zip(numbers(catalog(&old, ids))) {
        assert!(*new > old + 1_000_000, "ids go on far ahead: {old} and {new}");
    }

    // the next one against it takes what is new
    server.lines("fresh v=1i");
    let next = take(&server, json!({"against": id}));
    assert_eq!(next["status"], "completed", "{next}");
    let (total, reused) = (next["total_files"].as_u64(), next["reused_files"].as_u64());
    assert!(reused < total, "{next}");
    let listed = server.get("/api/v1/backup").json();
    assert_eq!(
        (&listed["count"], &listed["backups"][0]["backup_type"]),
        (&json!(2), &json!("incremental")),
        "{listed}"
    );
    let shown = server.get(&format!("/api/v1/backup/{id}")).json();
    assert!(shown["databases"][0]["measurements"].as_array().is_some_and(|m| m.len() == 2), "{shown}");
    // the older one may go, the newer stands alone
    assert_eq!(server.send("DELETE", &format!("/api/v1/backup/{id}"), &[], b"").status, 200);
    assert_eq!(server.get(&format!("/api/v1/backup/{id}")).status, 404);
    let newer = dir.path().join("backups").join(next["backup_id"].as_str().expect("an id"));
    assert!(tidewater(&["backup", "verify", text(&newer)], &[]).0);
    // of another folder it is refused
    let third = folder();
    let other = Server::start(third.path(), &[&kept_in(third.path())]);
    other.lines("t v=1");
    let refused = take(&other, json!({"against": newer}));
    assert!(refused["error"].as_str().is_some_and(|e| e.contains("another folder")), "{refused}");
}

fn copy_all(from: &Path, to: &Path) -> std::io::Result<()> {
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).expect("below"));
        std::fs::create_dir_all(target.parent().expect("a parent"))?;
        std::fs::copy(&file, target)?;
    }
    Ok(())
}

#[test]
fn t62_one_backup_at_a_time_and_one_that_fails_leaves_nothing() {
    for (point, failing) in
        [("backup.file:1=error", true), ("backup.catalog:1=panic", true), ("backup.file:1=hang", false)]
    {
        let dir = folder();
        let at = kept_in(dir.path());
        let env = [("TIDEWATER_FAILPOINT", point)];
        let server = Server::try_start(dir.path(), &[&at], &env).expect("it starts");
        server.lines("t v=1");
        let done = take(&server, json!({"copy": true}));
        assert_eq!(done["status"] == "failed", failing, "{point}: {done}");
        if failing {
            let left: Vec<PathBuf> = std::fs::read_dir(dir.path().join("backups"))
                .into_iter()
                .flatten()
                .flatten()
                .map(|e| e.path())
                .collect();
            assert!(left.is_empty(), "{point}: {left:?}");
            assert_eq!(server.get("/api/v1/backup").json()["count"], 0);
            let job = &server.get("/api/v1/jobs?kind=backup").json()["jobs"][0];
            assert_eq!(job["state"], "failed", "{job}");
        }
        // the next good call works, and what was kept for the copy goes as ever
        assert_eq!(take(&server, json!({}))["status"], "completed");
    }
    // while one is on its way there is no other
    let dir = folder();
    let at = kept_in(dir.path());
    let server = Server::start(dir.path(), &[&at]);
    for n in 0..300 {
        server.lines(&format!("t{n} v=1"));
    }
    let begun = server.send("POST", "/api/v1/backup", &[], b"{\"copy\": true}");
    assert_eq!(begun.status, 202);
    let twin = server.send("POST", "/api/v1/backup", &[], b"");
    let error = twin.json();
    assert_eq!(
        (twin.status, error["code"].as_str(), error["operation"].as_str()),
        (409, Some("already_running"), Some("backup")),
        "{error}"
    );
    eventually("it ends", || server.get("/api/v1/backup/status").json()["status"] == "completed");
    // what names no place of its own is refused
    for (body, named) in [
        (json!({"path": "relative"}), "absolute"),
        (json!({"path": "/tmp/../etc"}), "absolute"),
        (json!({"against": "backup-none"}), "backup-none"),
    ] {
        let reply = server.send("POST", "/api/v1/backup", &[], body.to_string().as_bytes());
        assert!(
            matches!(reply.status, 400 | 404) && reply.json()["error"].as_str().is_some_and(|e| e.contains(named)),
            "{body}: {reply:?}"
        );
    }
    for id in ["..", "backup-..", "%2e%2e", "backup-1%2f..%2f.."] {
        assert_eq!(server.send("DELETE", &format!("/api/v1/backup/{id}"), &[], b"").status, 404, "{id}");
    }
}

#[test]
fn t62_a_restore_that_is_cut_short_is_no_folder_and_begins_again() {
    let dir = folder();
    let at = kept_in(dir.path());
    let mut server = Server::start(dir.path(), &[&at]);
    for n in 0..10 {
        server.lines(&format!("t{n} v={n}i\nsame v={n}i"));
    }
    let id = take(&server, json!({}))["backup_id"].as_str().expect("an id").to_owned();
    let place = dir.path().join("backups").join(&id);
    // over HTTP: into a folder beside the backups, never over the running one
    let unconfirmed =
        server.send("POST", "/api/v1/backup/restore", &[], json!({"backup_id": id}).to_string().as_bytes());
    assert_eq!(unconfirmed.status, 400);
    let beside = dir.path().join("beside");
    let body = json!({"backup_id": id, "confirm": true, "path": beside});
    let reply = server.send("POST", "/api/v1/backup/restore", &[], body.to_string().as_bytes());
    assert_eq!(reply.status, 202, "{reply:?}");
    eventually("the restore ends", || server.get("/api/v1/backup/status").json()["status"] == "completed");
    let over = json!({"backup_id": id, "confirm": true, "path": server.data()});
    assert_eq!(server.send("POST", "/api/v1/backup/restore", &[], over.to_string().as_bytes()).status, 202);
    eventually("the restore is refused", || server.get("/api/v1/backup/status").json()["status"] == "failed");
    assert_eq!(server.rows("SELECT sum(v) FROM same"), json!([[45]]));
    server.kill();

    let second = folder();
    let data = second.path().join("data");
    let (made, _) = tidewater(&["restore", text(&place), text(&data)], &[("TIDEWATER_FAILPOINT", "restore.file:5")]);
    assert!(!made);
    let log = Server::try_start(second.path(), &[], &[]).err().expect("half a folder is none");
    assert!(log.contains("half restored") && log.contains("tidewater restore"), "{log}");
    let (fine, said) = tidewater(&["doctor", text(&data)], &[]);
    assert!(!fine, "{said}");
    let (made, said) =
        tidewater(&["restore", text(&place), text(&data)], &[("TIDEWATER_FAILPOINT", "restore.end:1=error")]);
    assert!(!made, "{said}");
    let (made, said) = tidewater(&["restore", text(&place), text(&data)], &[]);
    assert!(made, "{said}");
    let (fine, said) = tidewater(&["doctor", text(&data), "--deep"], &[]);
    assert!(fine, "{said}");
    let server = Server::start(second.path(), &[]);
    assert_eq!(server.rows("SELECT sum(v), count(*) FROM same"), json!([[45, 10]]));
    let (made, said) = tidewater(&["restore", text(&place), text(&data)], &[]);
    assert!(!made && said.contains("not empty"), "{said}");
}

#[test]
fn a_damaged_backup_is_named_and_makes_no_folder() {
    let dir = folder();
    let at = kept_in(dir.path());
    let server = Server::start(dir.path(), &[&at]);
    server.lines("t v=1\nu v=2");
    let id = take(&server, json!({"copy": true}))["backup_id"].as_str().expect("an id").to_owned();
    let place = dir.path().join("backups").join(&id);
    for file in files(&place) {
        let bytes = std::fs::read(&file).expect("read");
        let mut damaged = bytes.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        for worse in [damaged, bytes[..middle].to_vec()] {
            std::fs::write(&file, &worse).expect("written");
            let (whole, said) = tidewater(&["backup", "verify", text(&place)], &[]);
            assert!(!whole && said.contains("damaged"), "{}: {said}", file.display());
            let target = dir.path().join("never");
            let (made, said) = tidewater(&["restore", text(&place), text(&target)], &[]);
            assert!(!made && said.contains("damaged"), "{}: {said}", file.display());
            let _ = std::fs::remove_dir_all(&target);
        }
        std::fs::write(&file, &bytes).expect("written");
    }
    assert!(tidewater(&["backup", "verify", text(&place)], &[]).0);
    let missing = files(&place).into_iter().find(|f| f.extension().is_some_and(|e| e == "parquet")).expect("a file");
    std::fs::remove_file(&missing).expect("removed");
    assert!(!tidewater(&["backup", "verify", text(&place)], &[]).0);
}

#[test]
fn the_command_line_backs_up_a_running_and_a_stopped_server() {
    let dir = folder();
    let mut server = Server::start(dir.path(), &[]);
    server.lines("t v=1i");
    let env = [("TIDEWATER_URL", server.url.as_str()), ("TIDEWATER_TOKEN", TOKEN)];
    let [one, two, three] = ["one", "two", "three"].map(|n| dir.path().join(n));
    let (fine, said) = tidewater(&["backup", text(&one)], &env);
    assert!(fine && said.contains("1 files"), "{said}");
    let (fine, said) = tidewater(&["backup", text(&one)], &env);
    assert!(!fine && said.contains("exists already"), "{said}");
    let (fine, said) = tidewater(&["backup", text(&two), "--against", text(&one)], &env);
    assert!(fine && said.contains("1 of them from the earlier backup"), "{said}");
    server.lines("t v=2i");
    let data = server.data();
    server.kill();
    // what only the log holds is in the backup, too
    let (fine, said) = tidewater(
        &["backup", text(&three), "--no-metadata", "--folder", text(&data)],
        &[("TIDEWATER_URL", "http://127.0.0.1:1")],
    );
    assert!(fine && said.contains("2 rows"), "{said}");
    assert!(!three.join("server.sqlite").exists() && !three.join("token-key").exists());
    let elsewhere = folder();
    let (made, said) = tidewater(&["restore", text(&three), text(&elsewhere.path().join("data"))], &[]);
    assert!(made && said.contains("no tokens"), "{said}");
    let server = Server::start(elsewhere.path(), &[]);
    assert_eq!(server.rows("SELECT sum(v) FROM t"), json!([[3]]));
}

#[test]
fn a_damaged_catalog_is_found_and_its_rolling_copy_takes_its_place() {
    let dir = folder();
    let mut server = Server::start(dir.path(), &["catalog.copy_interval=1", "ingest.max_quiet_age_ms=86400000"]);
    server.lines("t v=1i\nt v=2i");
    server.flush();
    let copy = server.data().join("catalog.copy");
    let rows = |path: &Path| python("sqlite.py", &[text(path), "SELECT count(*) FROM ducklake_data_file"]);
    eventually("the copy knows the file", || copy.exists() && rows(&copy).trim() == "1");
    server.lines("t v=4i");
    server.kill();
    let data = dir.path().join("data");
    let (fine, said) = tidewater(&["doctor", text(&data), "--deep"], &[]);
    assert!(fine && said.contains("ok   catalog") && said.contains("ok   log"), "{said}");
    // the middle of the file is gone
    let catalog = data.join("catalog.sqlite");
    let mut bytes = std::fs::read(&catalog).expect("read");
    let middle = bytes.len() / 2;
    bytes[100..middle].fill(0x5a);
    std::fs::write(&catalog, &bytes).expect("written");
    let _ = std::fs::remove_file(data.join("catalog.sqlite-wal"));
    // written after the copy: nobody may take it for a leftover
    let stray = data.join("data/stray.parquet");
    std::fs::write(&stray, b"PAR1").expect("written");
    let (fine, said) = tidewater(&["doctor", text(&data)], &[]);
    assert!(!fine && said.contains("BAD  catalog") && said.contains("tidewater repair catalog"), "{said}");
    assert!(Server::try_start(dir.path(), &[], &[]).is_err());
    let (fine, said) = tidewater(&["repair", "catalog", text(&data)], &[]);
    assert!(fine && said.contains("damage:") && said.contains("aside:") && said.contains("stray.parquet"), "{said}");
    assert!(!stray.exists());
    let server = Server::start(dir.path(), &[]);
    assert_eq!(
        server.rows("SELECT sum(v), count(*) FROM t"),
        json!([[7, 3]]),
        "files by the copy, the rest from the log"
    );
    drop(server);
    let (fine, said) = tidewater(&["repair", "catalog", text(&data)], &[]);
    assert!(fine && said.contains("the catalog is whole"), "{said}");
    // without a copy that is whole data files and log tell what they hold
    std::fs::write(data.join("catalog.copy"), b"no database").expect("written");
    std::fs::write(&catalog, &bytes).expect("written");
    let (fine, said) = tidewater(&["repair", "catalog", text(&data)], &[]);
    assert!(
        fine && said.contains("no copy of it is whole") && said.contains("unknown: databases and tables"),
        "{said}"
    );
    let server = Server::start(dir.path(), &[]);
    assert_eq!(server.rows("SELECT sum(v), count(*) FROM t"), json!([[7, 3]]));
}
