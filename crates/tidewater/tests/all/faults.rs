//! The weak spots of the server that this one was born from, each shown to be absent.

#![expect(clippy::disallowed_methods, reason = "tests get in the way of files on purpose")]

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde_json::json;

use super::harness::{Server, columnar, eventually, files, folder, has_strace, let_go, strace};

/// Puts a file where the table's folder should be: every flush of the database fails until it goes.
fn block_flush(server: &Server) -> PathBuf {
    let databases = server.data().join("data");
    let name = "default-";
    let found = std::fs::read_dir(&databases).into_iter().flatten().flatten().map(|e| e.path());
    let folder = found.into_iter().find(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(name)));
    let folder = folder.unwrap_or_else(|| {
        // nothing was flushed yet: the catalog knows the name that the folder will have
        let rows = server.rows("SHOW TABLES");
        let path = rows[0][3 - 1].as_str().unwrap_or_default().to_owned();
        databases.join(path.split('/').next().unwrap_or_default())
    });
    let aside = folder.with_extension("aside");
    if folder.exists() {
        std::fs::rename(&folder, &aside).expect("the folder moves aside");
    }
    std::fs::write(&folder, b"").expect("a file takes its place");
    folder
}

fn unblock_flush(folder: &PathBuf) {
    std::fs::remove_file(folder).expect("the file goes");
    let aside = folder.with_extension("aside");
    if aside.exists() {
        std::fs::rename(aside, folder).expect("the folder comes back");
    }
}

#[test]
fn b1_what_was_answered_204_survives_kill_9() {
    let dir = folder();
    let mut server = Server::start(dir.path(), &[]);
    for i in 0..5 {
        server.lines(&format!("t v={i}i {i}"));
        server.kill(); // at once: nothing but the answer came first
        server = Server::start(dir.path(), &[]);
        assert_eq!(server.rows("SELECT count(*), max(v) FROM t"), json!([[i + 1, i]]));
    }
}

#[test]
fn b2_a_failed_flush_drops_nothing_and_is_tried_again() {
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    server.lines("t v=1i 1");
    let blocked = block_flush(&server);
    server.lines("t v=2i 2\nt v=3i 3");
    let reply = server.send("POST", "/api/v1/write/line-protocol/flush", &[], b"");
    assert_eq!(reply.status, 503, "{}", String::from_utf8_lossy(&reply.body));
    assert!(server.metric("arc_buffer_flush_failures_total") >= 1.0);
    assert_eq!(server.rows("SELECT count(*), sum(v) FROM t"), json!([[3, 6]]));
    unblock_flush(&blocked);
    // no write comes that would remind it
    eventually("the flush comes back by itself", || server.metric("arc_buffer_records_written_total") >= 2.0);
    assert_eq!(server.rows("SELECT count(*), sum(v) FROM t"), json!([[3, 6]]));
}

#[test]
fn b3_process_durability_is_written_before_its_answer() {
    let dir = folder();
    let mut server = Server::start(dir.path(), &["ingest.durability=process"]);
    let reply = server.send("POST", "/api/v1/write/line-protocol", &[], b"t v=1i 1");
    assert_eq!((reply.status, reply.header("x-tidewater-durability")), (204, "process"));
    server.kill();
    let server = Server::start(dir.path(), &[]);
    assert_eq!(server.rows("SELECT count(*) FROM t"), json!([[1]]));
}

#[test]
fn b4_replay_after_a_flush_doubles_nothing() {
    let dir = folder();
    let mut server = Server::start(dir.path(), &[]);
    server.lines("t v=1i 1\nt v=2i 2");
    server.flush();
    server.lines("t v=3i 3");
    for _ in 0..3 {
        server.kill();
        server = Server::start(dir.path(), &[]);
        assert_eq!(server.rows("SELECT count(*), sum(v) FROM t"), json!([[3, 6]]));
    }
}

#[test]
fn b5_t22_a_kill_during_replay_twice_loses_nothing() {
    let dir = folder();
    let mut server = Server::start(dir.path(), &[]);
    (0..20).for_each(|i| server.lines(&format!("t v={i}i {i}")));
    server.kill();
    for record in ["replay.record:5", "replay.record:15"] {
        let started = Server::try_start(dir.path(), &[], &[("TIDEWATER_FAILPOINT", record)]);
        assert!(started.is_err(), "the process ends in the middle of its replay");
    }
    let server = Server::start(dir.path(), &[]);
    assert_eq!(server.rows("SELECT count(*), count(DISTINCT v) FROM t"), json!([[20, 20]]));
}

#[test]
fn b6_a_clean_stop_with_storage_that_fails_keeps_every_row() {
    let dir = folder();
    let mut server = Server::start(dir.path(), &[]);
    server.lines("t v=1i 1");
    let blocked = block_flush(&server);
    server.lines("t v=2i 2");
    assert!(server.stop().is_some_and(|s| s.success()), "SIGTERM ends it whatever the storage says");
    unblock_flush(&blocked);
    let server = Server::start(dir.path(), &[]);
    assert_eq!(server.rows("SELECT count(*), sum(v) FROM t"), json!([[2, 3]]));
}

#[test]
fn b7_t23_an_outage_of_the_storage_over_restarts_loses_nothing() {
    let dir = folder();
    let mut server = Server::start(dir.path(), &["ingest.max_quiet_age_ms=100"]);
    server.lines("t v=1i 1");
    let blocked = block_flush(&server);
    for i in 2..=4 {
        server.lines(&format!("t v={i}i {i}"));
        eventually("a flush fails", || server.metric("arc_buffer_flush_failures_total") >= 1.0);
        server.kill();
        server = Server::start(dir.path(), &["ingest.max_quiet_age_ms=100"]);
    }
    unblock_flush(&blocked);
    assert_eq!(server.rows("SELECT count(*), sum(v) FROM t"), json!([[4, 10]]));
    server.flush();
    server.kill();
    let server = Server::start(dir.path(), &[]);
    assert_eq!(server.rows("SELECT count(*), sum(v) FROM t"), json!([[4, 10]]));
}

#[test]
fn b8_a_file_and_its_name_are_synced_before_the_catalog_names_it() {
    if !has_strace() {
        println!("skipped: strace is not installed, so system calls cannot be watched");
        return;
    }
    let dir = folder();
    let server = Server::start(dir.path(), &[]);
    server.lines("t v=0i 1");
    server.flush(); // the folders exist: what follows is one file
    let trace = dir.path().join("trace");
    let calls = "trace=fdatasync,fsync,rename,renameat,renameat2,pwrite64";
    let mut strace = strace(&server, &["-y", "-e", calls, "-s", "16", "-o", trace.to_str().expect("plain")]);
    eventually("strace attaches", || {
        server.lines("t v=1i 1");
        std::fs::read_to_string(&trace).is_ok_and(|t| t.contains("fdatasync"))
    });
    server.flush();
    let read = || std::fs::read_to_string(&trace).unwrap_or_default();
    let named = |text: &str| {
        let renamed = text.find("rename")?;
        text[renamed..].find("catalog.sqlite-wal").map(|at| (renamed, renamed + at))
    };
    eventually("the commit is traced", || named(&read()).is_some());
    let _ = strace.kill();
    let _ = strace.wait();
    let text = read();
    let (renamed, committed) = named(&text).expect("found before");
    let synced_before = |what: &str, part: &str| {
        part.lines().any(|l| (l.contains("fdatasync") || l.contains("fsync")) && l.contains(what))
    };
    assert!(synced_before(".parquet.tmp", &text[..renamed]), "the bytes are synced before the name: {text}");
    let folder_synced = text[renamed..committed].lines().skip(1).any(|l| l.contains("fsync(") && l.contains("/data/"));
    assert!(folder_synced, "the folder is synced before the catalog's commit: {text}");
}

#[test]
fn b9_replay_equals_live_ingest() {
    let dir = folder();
    let mut server = Server::start(dir.path(), &[]);
    server.lines("t,h=a,r=x f=1.5,i=2i,u=3u,s=\"text\",b=true 1000000001\nt,h=b f=-0.5 1999\nt,h=ä,r=\\ y i=-9i 5\n");
    server.lines("t,h=a g=7i 3000\nt f=2 -1000\n");
    server.lines("t i=20.0,g=8.5 4000\n");
    let body = columnar("m", &[("time", &[1, 2_000_000_000, 3_000_000_000_000]), ("x", &[1, 2, 3])]);
    assert_eq!(server.send("POST", "/api/v1/write/msgpack", &[], &body).status, 204);
    let all = |server: &Server| {
        ["t ORDER BY time, time_ns, h", "m ORDER BY time"].map(|t| {
            let answer = server.query(&format!("SELECT * FROM {t}"));
            (answer["columns"].clone(), answer["types"].clone(), answer["data"].clone())
        })
    };
    let live = all(&server);
    server.kill();
    server = Server::start(dir.path(), &[]);
    assert_eq!(all(&server), live, "replayed");
    server.flush();
    assert_eq!(all(&server), live, "flushed after a replay");
    let files = server.rows("SHOW TABLES");
    assert_eq!((&files[0][3], &files[1][3]), (&json!(3), &json!(2)), "a replay of many records makes no more files");
}

#[test]
fn b10_t18_overload_is_503_with_retry_after_in_bounded_memory_and_nothing_is_lost() {
    let dir = folder();
    let server = Server::start(dir.path(), &["memory.budget=128MiB", "ingest.write_wait_ms=50"]);
    server.lines("t,k=first c=0i,i=0i 1");
    let blocked = block_flush(&server);
    let text = "x".repeat(256 << 10);
    let mut acknowledged = 1;
    let refused = (0..1_000).find_map(|i| {
        let line = format!("t,k=k{i} c=1i,i={i}i,s=\"{text}{i}\" {i}");
        let reply = server.send("POST", "/api/v1/write/line-protocol", &[], line.as_bytes());
        acknowledged += i64::from(reply.status == 204);
        (reply.status != 204).then_some(reply)
    });
    let refused = refused.expect("the budget ends before a thousand requests of 256 KiB");
    assert_eq!(refused.status, 503, "{}", String::from_utf8_lossy(&refused.body));
    assert!(refused.header("retry-after").parse::<u32>().is_ok_and(|s| s >= 1));
    assert_eq!(server.rows("SELECT count(*) FROM t"), json!([[acknowledged]]), "reads go on");
    let resident = server.metric("process_resident_memory_bytes");
    assert!(resident < f64::from(512 << 20), "{resident} bytes resident with a budget of 128 MiB");
    unblock_flush(&blocked);
    eventually("room brings writes back", || {
        let reply = server.send("POST", "/api/v1/write/line-protocol", &[], b"t,k=last c=2i 1");
        assert!(matches!(reply.status, 204 | 503));
        reply.status == 204
    });
    assert_eq!(server.rows("SELECT count(*) FROM t"), json!([[acknowledged + 1]]));
}

#[test]
fn t16_storage_that_takes_half_a_minute_a_file_holds_writers_back_and_nothing_is_stuck() {
    if !has_strace() {
        println!("skipped: strace is not installed, so storage cannot be made slow");
        return;
    }
    let dir = folder();
    let server = Server::start(dir.path(), &["memory.budget=128MiB", "ingest.write_wait_ms=50"]);
    server.lines("t,k=first i=0i 1");
    server.flush();
    let of_files = |p: &PathBuf| p.extension().is_some_and(|e| e == "parquet");
    let file = files(&server.data()).into_iter().find(of_files).expect("a data file");
    // the log is as fast as ever: only the folder of the files waits for its sync
    let folder = file.parent().and_then(|f| f.to_str()).expect("it lies in a folder");
    let slow = ["-e", "trace=fsync", "-e", "inject=fsync:delay_enter=30s", "-o", "/dev/null", "-P", folder];
    let strace = strace(&server, &slow);
    let text = "x".repeat(256 << 10);
    let acknowledged = AtomicI64::new(1);
    let refused: Vec<_> = std::thread::scope(|threads| {
        let writer = |k: i64| {
            let (server, text, acknowledged) = (&server, &text, &acknowledged);
            move || {
                (0..1_000).find_map(|i| {
                    let line = format!("t,k=k{k} i={i}i,s=\"{text}{i}\" {}", i + 2);
                    let reply = server.send("POST", "/api/v1/write/line-protocol", &[], line.as_bytes());
                    acknowledged.fetch_add(i64::from(reply.status == 204), Ordering::Relaxed);
                    (reply.status != 204).then_some(reply)
                })
            }
        };
        let writers: Vec<_> = (0..4).map(|k| threads.spawn(writer(k))).collect();
        writers.into_iter().filter_map(|w| w.join().expect("a writer ends")).collect()
    });
    assert!(!refused.is_empty(), "the budget ends before four thousand requests of 256 KiB");
    for reply in refused {
        assert_eq!(reply.status, 503, "{}", String::from_utf8_lossy(&reply.body));
        assert!(reply.header("retry-after").parse::<u32>().is_ok_and(|s| s >= 1));
    }
    let acknowledged = acknowledged.into_inner();
    assert_eq!(server.rows("SELECT count(*) FROM t"), json!([[acknowledged]]), "reads go on");
    assert_eq!(server.get("/health").status, 200);
    let_go(strace);
    eventually("room brings writes back", || {
        server.send("POST", "/api/v1/write/line-protocol", &[], b"t,k=last i=0i 1").status == 204
    });
    server.flush();
    assert_eq!(server.rows("SELECT count(*) FROM t"), json!([[acknowledged + 1]]));
}

#[test]
fn t24_a_segment_that_cannot_be_allocated_is_507_and_room_brings_writes_back() {
    if !has_strace() {
        println!("skipped: strace is not installed, so no error can be injected");
        return;
    }
    let dir = folder();
    let server = Server::start(dir.path(), &["memory.budget=2GiB"]);
    server.lines("t i=0i 1");
    let full = ["-e", "trace=fallocate", "-e", "inject=fallocate:error=ENOSPC", "-o", "/dev/null"];
    let strace = strace(&server, &full);
    let text = "x".repeat(4 << 20);
    let mut acknowledged = 1;
    let mut write = |i: i64| {
        let line = format!("t i={i}i,s=\"{text}\" {i}");
        let reply = server.send("POST", "/api/v1/write/line-protocol", &[], line.as_bytes());
        acknowledged += i64::from(reply.status == 204);
        reply
    };
    // segments of 64 MiB: one is in use and one may be at hand
    let refused = (1..200).map(&mut write).find(|r| r.status != 204).expect("no segment can be made");
    assert_eq!((refused.status, refused.json()["code"].as_str()), (507, Some("disk_full")));
    assert_eq!(server.rows("SELECT count(*) FROM t").as_array().map(Vec::len), Some(1), "reads go on");
    let_go(strace);
    eventually("room brings writes back without a restart", || write(1_000).status == 204);
    assert_eq!(server.rows("SELECT count(*) FROM t"), json!([[acknowledged]]));
}

#[test]
fn t15_a_quiet_table_beside_a_busy_one_reaches_files_within_its_age() {
    let dir = folder();
    let server = Server::start(dir.path(), &["ingest.max_quiet_age_ms=500"]);
    server.lines("quiet v=1i 1");
    let began = std::time::Instant::now();
    let times: Vec<i64> = (0..10_000).map(|i| 1_700_000_000_000_000 + i).collect();
    let body = columnar("busy", &[("time", &times), ("v", &times)]);
    let committed = |server: &Server| {
        let reply = server.query_with("SELECT count(*) FROM quiet", &[("x-tidewater-read", "committed")]);
        reply.json()["data"] == json!([[1]])
    };
    eventually("the quiet table's row is in a file", || {
        assert_eq!(server.send("POST", "/api/v1/write/msgpack", &[], &body).status, 204);
        committed(&server)
    });
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn commit_reports_an_error_yet_the_wal_has_it() {
    let dir = folder();
    // the process ends between COMMIT and the swap of the View
    let armed = [("TIDEWATER_FAILPOINT", "catalog.commit.after:2")];
    let mut server = Server::try_start(dir.path(), &[], &armed).expect("it starts");
    server.lines("t v=1i 1\nt v=2i 2");
    assert!(server.try_send("POST", "/api/v1/write/line-protocol/flush", &[], b"").is_err(), "no answer comes");
    assert!(server.wait_end(Duration::from_secs(10)).is_some());
    let mut server = Server::start(dir.path(), &[]);
    let committed = server.query_with("SELECT count(*) FROM t", &[("x-tidewater-read", "committed")]);
    assert_eq!(committed.json()["data"], json!([[2]]), "the commit stands");
    assert_eq!(server.rows("SELECT count(*), sum(v) FROM t"), json!([[2, 3]]), "and its rows are there once");
    if !has_strace() {
        println!("half skipped: strace is not installed, so no error can be injected into COMMIT");
        return;
    }
    // the sync inside COMMIT reports EIO: nobody knows what the disk has
    let wal = server.data().join("catalog.sqlite-wal");
    let wal = wal.to_str().expect("plain");
    let broken =
        ["-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO", "-o", "/dev/null", "-P", wal];
    let mut strace = strace(&server, &broken);
    let mut written = 2;
    let began = std::time::Instant::now();
    // until strace has attached, flushes succeed
    loop {
        assert!(began.elapsed() < super::harness::DEADLINE, "the error was never injected");
        let line = format!("t v={written}i {}", written + 10);
        match server.try_send("POST", "/api/v1/write/line-protocol", &[], line.as_bytes()) {
            Ok(reply) if reply.status == 204 => written += 1,
            _ => break,
        }
        if server.try_send("POST", "/api/v1/write/line-protocol/flush", &[], b"").is_err() {
            break;
        }
    }
    let status = server.wait_end(Duration::from_secs(10)).expect("the server ends");
    let _ = strace.wait();
    assert_eq!(status.code(), Some(74), "{status}");
    let server = Server::start(dir.path(), &[]);
    assert_eq!(server.rows("SELECT count(*) FROM t"), json!([[written]]), "once, whatever COMMIT said");
}

/// A file system of its own that goes when dropped.
pub struct SmallDisk(pub PathBuf);

impl SmallDisk {
    pub fn mount(at: &std::path::Path, megabytes: u32) -> Option<Self> {
        std::fs::create_dir_all(at).expect("the folder is ours");
        let size = format!("size={megabytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).output();
        mounted.is_ok_and(|o| o.status.success()).then(|| Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Writes lines of what does not compress, an hour apart and numbered from `first` on, until the disk is full; the
/// number after the last that was stored.
pub fn fill_disk(server: &Server, first: i64) -> i64 {
    let mut random = first as u64 + 7;
    let mut next = first;
    for _ in 0..2_000 {
        let mut text = String::new();
        for _ in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text += &format!("{random:016x}");
        }
        let line = format!("t i={next}i,s=\"{text}\" {}", next * 3_600_000_000_000);
        let reply = server.send("POST", "/api/v1/write/line-protocol", &[], line.as_bytes());
        match reply.status {
            204 => next += 1,
            503 => {} // hot rows wait for a flush
            _ => {
                let code = reply.json()["code"].as_str().unwrap_or_default().to_owned();
                assert_eq!((reply.status, &*code), (507, "disk_full"), "{:?}", reply.json());
                return next;
            }
        }
    }
    panic!("the disk never fills");
}

#[test]
fn t24_a_small_disk_that_fills_refuses_writes_reads_on_and_takes_them_again_with_room() {
    let dir = folder();
    let Some(disk) = SmallDisk::mount(&dir.path().join("disk"), 600) else {
        println!("skipped: no small file system can be mounted without root");
        return;
    };
    // whoever fills it is somebody else
    let filler = disk.0.join("filler");
    std::fs::write(&filler, vec![7u8; 200 << 20]).expect("there is room");
    let place = format!("storage.local_path={}", disk.0.join("data").display());
    let settings = ["storage.min_free_bytes=0", "ingest.max_buffer_age_ms=200", "ingest.max_quiet_age_ms=200", &place];
    let mut server = Server::start(dir.path(), &settings); // its own log lies elsewhere
    let acknowledged = fill_disk(&server, 0);
    assert!(acknowledged > 100, "{acknowledged}");
    assert_eq!(server.rows("SELECT count(*), count(DISTINCT i) FROM t"), json!([[acknowledged, acknowledged]]));
    assert_eq!(server.get("/ready").status, 503);
    server.kill();
    let server = Server::start(dir.path(), &settings);
    assert_eq!(server.rows("SELECT count(*) FROM t"), json!([[acknowledged]]), "a start on a full disk loses nothing");
    std::fs::remove_file(&filler).expect("the filler goes");
    eventually("room brings writes back without a restart", || {
        server.send("POST", "/api/v1/write/line-protocol", &[], b"t i=-1i 1").status == 204
    });
    assert_eq!(server.rows("SELECT count(*) FROM t"), json!([[acknowledged + 1]]));
    drop(server);
}

#[test]
fn t24_a_delete_by_time_alone_brings_writes_back_from_a_full_disk() {
    let dir = folder();
    let Some(disk) = SmallDisk::mount(&dir.path().join("disk"), 500) else {
        println!("skipped: no small file system can be mounted without root");
        return;
    };
    let place = format!("storage.local_path={}", disk.0.join("data").display());
    let settings = ["storage.min_free_bytes=0", "ingest.max_buffer_age_ms=200", "ingest.max_quiet_age_ms=200", &place];
    let server = Server::start(dir.path(), &settings);
    let acknowledged = fill_disk(&server, 0);
    assert!(acknowledged > 100, "{acknowledged}");
    // the oldest two thirds
    let cut = acknowledged * 2 / 3 * 3_600;
    let body = json!({"database": "default", "measurement": "t", "confirm": true,
        "where": format!("time < to_timestamp({cut})")});
    let reply = server.send("POST", "/api/v1/delete", &[], body.to_string().as_bytes());
    assert_eq!((reply.status, &reply.json()["deleted_count"]), (200, &json!(acknowledged * 2 / 3)), "{reply:?}");
    eventually("writes are taken again", || {
        server.send("POST", "/api/v1/write/line-protocol", &[], b"t i=-1i 9000000000000000000").status == 204
    });
    let left = acknowledged - acknowledged * 2 / 3 + 1;
    assert_eq!(server.rows("SELECT count(*), min(i) FROM t"), json!([[left, -1]]));
    drop(server);
}
