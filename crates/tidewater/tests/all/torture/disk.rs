//! A small disk that is filled and freed, over and over.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{amount, bar, figure};
use crate::faults::{SmallDisk, fill_disk};
use crate::harness::{Server, eventually, folder};

/// Writes are taken again at the latest so long after there is room.
const RESUMES_WITHIN: Duration = Duration::from_secs(5);
const DISK_MIB: u32 = 512;
/// Every so many rounds the server is killed on the full disk.
const KILL_EVERY: u64 = 5;

#[test]
fn a_disk_that_fills_and_is_freed_again_and_again_takes_writes_each_time() {
    let rounds = amount(2);
    let dir = folder();
    let Some(disk) = SmallDisk::mount(&dir.path().join("disk"), DISK_MIB) else {
        println!("skipped: no small file system can be mounted without root");
        return;
    };
    let place = format!("storage.local_path={}", disk.0.join("data").display());
    // merges are eager for the room that flush and delete need
    let settings = [
        "storage.min_free_bytes=0",
        "ingest.max_buffer_age_ms=200",
        "ingest.max_quiet_age_ms=200",
        "compaction.interval_ms=100",
        "compaction.min_files=2",
        &place,
    ];
    let mut server = Server::start(dir.path(), &settings);
    let bar = bar("full disks", rounds);
    let (mut first, mut next, mut stored, mut slowest) = (0, 0, 0, Duration::ZERO);
    let whole = |server: &Server, first: i64, next: i64| {
        let sql = "SELECT count(*), count(DISTINCT i), min(i), max(i) FROM t";
        assert_eq!(server.rows(sql), json!([[next - first, next - first, first, next - 1]]));
    };
    for round in 0..rounds {
        let begin = next;
        next = fill_disk(&server, begin);
        stored += next - begin;
        whole(&server, first, next);
        if round % KILL_EVERY == KILL_EVERY - 1 {
            server.kill();
            server = Server::start(dir.path(), &settings);
            whole(&server, first, next);
        }
        // the oldest two thirds, by time alone
        first += (next - first) * 2 / 3;
        let body = json!({"database": "default", "measurement": "t", "confirm": true,
            "where": format!("time < to_timestamp({})", first * 3_600)});
        let reply = server.send("POST", "/api/v1/delete", &[], body.to_string().as_bytes());
        assert_eq!(reply.status, 200, "round {round}: {reply:?}");
        let began = Instant::now();
        let line = format!("t i={next}i {}", next * 3_600_000_000_000);
        eventually("writes are taken again", || {
            server.send("POST", "/api/v1/write/line-protocol", &[], line.as_bytes()).status == 204
        });
        slowest = slowest.max(began.elapsed());
        (next, stored) = (next + 1, stored + 1);
        whole(&server, first, next);
        bar.inc(1);
    }
    bar.finish_and_clear();
    figure(
        "disk",
        &format!(
            "{rounds} rounds, {stored} rows of 320 kB stored: 507 each time, every read answered, a delete by time alone freed \
             the disk, writes again after {:.2} s at most; 0 lost, 0 doubled",
            slowest.as_secs_f64()
        ),
    );
    assert!(slowest < RESUMES_WITHIN, "{slowest:?}");
    drop(server);
}
