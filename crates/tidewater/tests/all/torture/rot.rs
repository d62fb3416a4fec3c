//! Data files and catalogs whose bytes change on the disk: the right answer, or an error that names the file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{Random, amount, bar, figure, seed};
use crate::crash::CALM;
use crate::harness::{Server, columnar, eventually, files, folder, python, tidewater};

/// Each hour is a file of its own; every tenth one of several blocks.
const HOURS: i64 = 60;
const START_US: i64 = 1_767_225_600_000_000;
const HOUR_US: i64 = 3_600_000_000;

fn rows_of(hour: i64) -> i64 {
    if hour % 10 == 0 { 20_000 } else { 300 }
}

fn fill(server: &Server) {
    for hour in 0..HOURS {
        let rows = rows_of(hour);
        let times: Vec<i64> = (0..rows).map(|i| START_US + hour * HOUR_US + i * (HOUR_US / rows)).collect();
        let values: Vec<i64> = (0..rows).map(|i| Random((hour << 32 | i) as u64).next() as i64 >> 8).collect();
        let hosts: Vec<i64> = (0..rows).map(|i| i % 7).collect();
        let body = columnar("rot", &[("time", &times), ("v", &values), ("host", &hosts)]);
        assert_eq!(server.send("POST", "/api/v1/write/msgpack", &[], &body).status, 204);
        server.flush();
    }
}

/// What a query of one hour says, or the error.
fn ask(server: &Server, hour: i64) -> Result<Value, String> {
    let (from, to) = (START_US + hour * HOUR_US, START_US + (hour + 1) * HOUR_US);
    let sql = format!(
        "SELECT count(*), sum(v), min(v), max(v), sum(host * v), max(time) FROM rot WHERE time >= make_timestamp({from}) \
         AND time < make_timestamp({to}) AND v IS NOT NULL"
    );
    let reply = server.query_with(&sql, &[("cache-control", "no-cache")]);
    let body = reply.json();
    if reply.status == 200 {
        Ok(body["data"].clone())
    } else {
        Err(body["error"].as_str().unwrap_or_default().to_owned())
    }
}

const KINDS: [&str; 5] = ["a bit", "a sector of zeros", "cut short", "another file's bytes", "gone"];

/// Damages a file; false when its bytes stayed as they were.
fn damage(path: &Path, kind: usize, other: &[u8], random: &mut Random) -> bool {
    let before = std::fs::read(path).expect("a data file");
    let at = random.below(before.len() as u64) as usize;
    let mut after = before.clone();
    match kind {
        0 => after[at] ^= 1 << random.below(8),
        1 => {
            let sector = at / 512 * 512;
            let end = (sector + 512).min(after.len());
            after[sector..end].fill(0);
        }
        2 => after.truncate(at),
        3 => after = other.to_vec(),
        _ => {
            std::fs::remove_file(path).expect("the folder is ours");
            return true;
        }
    }
    std::fs::write(path, &after).expect("the folder is ours");
    after != before
}

#[test]
fn a_file_that_rots_on_disk_is_named_and_never_answers_wrong() {
    let wanted = amount(200);
    let mut random = Random(seed());
    let dir = folder();
    let mut server = Server::start(dir.path(), &CALM);
    fill(&server);
    let right: Vec<Value> = (0..HOURS).map(|hour| ask(&server, hour).expect("nothing is damaged yet")).collect();
    server.kill();
    let mut by_hour: BTreeMap<i64, PathBuf> = BTreeMap::new();
    for path in files(&dir.path().join("data/data")) {
        let place = path.strip_prefix(dir.path()).expect("below it").to_str().expect("plain").to_owned();
        let mut parts = place.rsplit('/').skip(1).filter_map(|part| part.parse::<i64>().ok());
        let (hour, day) = (parts.next().expect("an hour"), parts.next().expect("a day"));
        assert!(by_hour.insert((day - 1) * 24 + hour, path).is_none(), "an hour is one file");
    }
    assert_eq!(by_hour.len() as i64, HOURS);
    let whole: BTreeMap<i64, Vec<u8>> =
        by_hour.iter().map(|(hour, p)| (*hour, std::fs::read(p).expect("a file"))).collect();
    let bar = bar("damaged files", wanted);
    let (mut done, mut named, mut right_anyway) = (0, [0u64; KINDS.len()], 0u64);
    while done < wanted {
        // what was remembered of footers ends with the process
        let mut changed = Vec::new();
        for hour in 0..HOURS {
            if done + changed.len() as u64 >= wanted || random.below(4) == 0 {
                continue;
            }
            let kind = random.below(KINDS.len() as u64) as usize;
            let other = &whole[&((hour + 1 + random.below(HOURS as u64 - 1) as i64) % HOURS)];
            if damage(&by_hour[&hour], kind, other, &mut random) {
                changed.push((hour, kind));
            }
        }
        let mut server = Server::start(dir.path(), &CALM);
        for hour in 0..HOURS {
            let kind = changed.iter().find(|(damaged, _)| *damaged == hour).map(|(_, kind)| *kind);
            let what = format!("hour {hour}, {:?}, of seed {}", kind.map(|k| KINDS[k]), seed());
            match ask(&server, hour) {
                Ok(answer) => {
                    assert_eq!(answer, right[hour as usize], "{what}");
                    right_anyway += u64::from(kind.is_some());
                }
                Err(error) => {
                    let leaf = by_hour[&hour].file_name().expect("a name").to_str().expect("plain");
                    assert!(error.contains(leaf), "{what}: {error}");
                    named[kind.unwrap_or_else(|| panic!("{what}: {error}"))] += 1;
                }
            }
        }
        assert_eq!(server.get("/health").status, 200);
        server.kill();
        done += changed.len() as u64;
        bar.inc(changed.len() as u64);
        by_hour.iter().for_each(|(hour, path)| std::fs::write(path, &whole[hour]).expect("the folder is ours"));
    }
    bar.finish_and_clear();
    let kinds: Vec<String> = KINDS.iter().zip(named).map(|(kind, n)| format!("{kind} {n}")).collect();
    figure(
        "rot",
        &format!(
            "{done} damaged data files: {} errors that name the file ({}), {right_anyway} right answers, 0 wrong rows, 0 process ends",
            named.iter().sum::<u64>(),
            kinds.join(", ")
        ),
    );
    assert!(named.iter().all(|n| *n > 0), "each kind was met: {kinds:?}");
}

/// What the tables of [`furnish`] hold, by statements whose answers do not depend on where rows lie.
const ANSWERS: [&str; 6] = [
    "SELECT count(*), sum(v), min(time), max(time), min(host), max(host) FROM \"default\".cpu",
    "SELECT host, count(*), sum(v) FROM \"default\".cpu GROUP BY host ORDER BY host",
    "SELECT count(*), sum(v), sum(w) FROM \"default\".\"odd name/%\"",
    "SELECT count(*), sum(v) FROM other.mem",
    "SELECT count(*), sum(v), max(s) FROM other.late",
    "SELECT count(*), sum(v) FROM \"default\".points",
];

/// Tables in files, merged and deleted from, some of them later than the copy of the catalog, and rows in the log alone.
fn furnish(dir: &Path) {
    let quiet = ["ingest.max_quiet_age_ms=86400000", "ingest.max_buffer_age_ms=86400000", "compaction.min_files=2"];
    let mut server = Server::start(dir, &[&CALM[..], &quiet, &["catalog.copy_interval=1"]].concat());
    let other = [("x-arc-database", "other")];
    let write = |server: &Server, headers: &[(&str, &str)], lines: String| {
        let reply = server.send("POST", "/api/v1/write/line-protocol", headers, lines.as_bytes());
        assert_eq!(reply.status, 204, "{}", String::from_utf8_lossy(&reply.body));
    };
    let cpu = |server: &Server, hour: i64| {
        let at = |i: i64| (START_US + hour * HOUR_US + i * 1_000_000) * 1_000;
        write(server, &[], (0..50).map(|i| format!("cpu,host=h{} v={i}i {}\n", i % 5, at(i))).collect());
        write(server, &other, (0..20).map(|i| format!("mem,host=h{i} v={i}.5 {}\n", at(i))).collect());
        write(server, &[], (0..9).map(|i| format!("odd\\ name/% v={i}i,w={i}.25 {}\n", at(i))).collect());
        // the same points each time
        let points = (0..9).map(|i| format!("points,host=h{i} v={}i {}\n", i + hour, at(i) - hour * HOUR_US * 1_000));
        write(server, &[], points.collect());
        server.flush();
    };
    (0..4).for_each(|hour| cpu(&server, hour));
    let merge = |server: &Server| {
        assert_eq!(server.send("POST", "/api/v1/compaction/trigger?wait=true", &[], b"").status, 200);
    };
    merge(&server);
    let delete = br#"{"database":"default","measurement":"cpu","where":"host = 'h3'","confirm":true}"#;
    assert_eq!(server.send("POST", "/api/v1/delete", &[], delete).status, 200);
    let data = server.data();
    let snapshot = |name: &str| {
        let sql = "SELECT max(snapshot_id) FROM ducklake_snapshot";
        let path = data.join(name);
        if path.exists() { python("sqlite.py", &[path.to_str().expect("plain"), sql]) } else { String::new() }
    };
    eventually("the copy is as the catalog", || snapshot("catalog.copy").trim() == snapshot("catalog.sqlite").trim());
    server.kill();
    let mut server = Server::start(dir, &[&CALM[..], &quiet, &["catalog.copy_interval=86400"]].concat());
    (4..7).for_each(|hour| cpu(&server, hour));
    merge(&server);
    write(&server, &other, "late,host=a v=1i,s=\"x\"\nlate,host=b v=2i,s=\"y\"\n".into());
    server.flush();
    (7..9).for_each(|hour| cpu(&server, hour));
    write(&server, &[], "cpu,host=h9 v=1000i\ncpu,host=h8 v=1001i\n".into());
    write(&server, &other, "late,host=c v=4i,s=\"z\"\n".into());
    server.kill();
}

fn answers(server: &Server) -> Vec<Value> {
    ANSWERS.iter().map(|sql| server.rows(sql)).collect()
}

const PLACES: [&str; 2] = ["catalog.sqlite", "catalog.sqlite-wal"];

#[test]
fn a_catalog_that_rots_is_named_and_can_be_made_anew() {
    let wanted = amount(40);
    // starts take their time: of the full form some are repaired
    let repaired_each = if wanted > 400 { 8 } else { 2 };
    let mut random = Random(seed() ^ 0xca7a);
    let dir = folder();
    furnish(dir.path());
    let kept = dir.path().join("data");
    let at = folder();
    let copy = at.path().join("data");
    let again = || {
        let _ = std::fs::remove_dir_all(&copy);
        let done = Command::new("cp").args(["-a", "--sparse=always"]).arg(&kept).arg(&copy).status();
        assert!(done.is_ok_and(|s| s.success()));
    };
    again();
    let mut server = Server::start(at.path(), &CALM);
    let right = answers(&server);
    server.kill();
    let others = ["catalog.copy", "server.sqlite"].map(|name| std::fs::read(kept.join(name)).expect("a file"));
    let bar = bar("damaged catalogs", wanted);
    let (mut right_anyway, mut named, mut by_copy, mut from_nothing) = (0u64, [0u64; KINDS.len()], 0u64, 0u64);
    for case in 0..wanted {
        again();
        let kind = random.below(KINDS.len() as u64) as usize;
        let place = PLACES[random.below(PLACES.len() as u64) as usize];
        let other = &others[random.below(others.len() as u64) as usize];
        let what = format!("case {case} of seed {}: {place}, {}", seed(), KINDS[kind]);
        damage(&copy.join(place), kind, other, &mut random);
        match Server::try_start(at.path(), &CALM, &[]) {
            Ok(mut server) => {
                assert_eq!(answers(&server), right, "{what}");
                server.kill();
                right_anyway += 1;
            }
            Err(log) => {
                assert!(log.contains("catalog.sqlite") && !log.contains("panicked"), "{what}: {log}");
                named[kind] += 1;
                if random.below(repaired_each) != 0 {
                    bar.inc(1);
                    continue;
                }
                let is_from_nothing = random.below(2) == 0;
                if is_from_nothing {
                    damage(&copy.join("catalog.copy"), 2, &[], &mut random);
                }
                let (fine, said) = tidewater(&["repair", "catalog", copy.to_str().expect("plain")], &[]);
                assert!(fine && said.contains("damage:"), "{what}: {said}");
                let mut server = Server::start(at.path(), &CALM);
                assert_eq!(answers(&server), right, "{what}\n{said}");
                server.lines("cpu,host=new v=1i");
                server.flush();
                server.kill();
                python("catalog_check.py", &[copy.to_str().expect("plain")]);
                *(if is_from_nothing { &mut from_nothing } else { &mut by_copy }) += 1;
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let kinds: Vec<String> = KINDS.iter().zip(named).map(|(kind, n)| format!("{kind} {n}")).collect();
    figure(
        "rot-catalog",
        &format!(
            "{wanted} damaged catalogs: {} refused with the file's name ({}), {right_anyway} right answers; made anew from \
             the copy {by_copy}, from files and log alone {from_nothing}, with every row each time",
            named.iter().sum::<u64>(),
            kinds.join(", ")
        ),
    );
    assert!(named.iter().sum::<u64>() > 0 && by_copy + from_nothing > 0, "{kinds:?}");
}
