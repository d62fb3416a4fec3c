//! Data files whose bytes change on the disk: a query gives the right answer, or an error that names the file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Random, amount, bar, figure, seed};
use crate::crash::CALM;
use crate::harness::{Server, columnar, files, folder};

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
