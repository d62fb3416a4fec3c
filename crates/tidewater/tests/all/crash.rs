//! The oracle: what was acknowledged is stored, once, whole; what was not may be stored, once, whole.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::harness::{Server, columnar, folder};

/// (client, sequence) of a request.
type Key = (i64, i64);

/// What the clients know. Kept outside the tried folder.
#[derive(Debug, Default, Clone)]
struct Known {
    acknowledged: BTreeSet<Key>,
    unknown: BTreeSet<Key>,
}

/// Rows found for each request, by table: (found, rows that the request had).
type Stored = BTreeMap<(String, Key), (i64, i64)>;

const ROWS: i64 = 7;

/// Tables that a client's requests touch.
fn tables(client: i64) -> &'static [&'static str] {
    match client {
        0 => &["lines"],
        1 => &["columns"],
        2 => &["left", "right"],
        _ => &["points"],
    }
}

/// A ⊆ S ⊆ A ∪ U, every request whole, nothing twice.
fn judge(known: &Known, stored: &Stored) -> Result<(), String> {
    for key in &known.acknowledged {
        for table in tables(key.0) {
            if !stored.contains_key(&((*table).to_owned(), *key)) {
                return Err(format!("request {key:?} was acknowledged and is lost from {table}"));
            }
        }
    }
    for ((table, key), (found, expected)) in stored {
        if found != expected {
            return Err(format!("request {key:?} has {found} of {expected} rows in {table}"));
        }
        if !known.acknowledged.contains(key) && !known.unknown.contains(key) {
            return Err(format!("request {key:?} was never sent and is in {table}"));
        }
        for other in tables(key.0) {
            if !stored.contains_key(&((*other).to_owned(), *key)) {
                return Err(format!("request {key:?} is in {table} and not in {other}"));
            }
        }
    }
    Ok(())
}

fn stored(server: &Server) -> Stored {
    let mut out = Stored::new();
    let existing = server.rows("SHOW TABLES");
    for row in existing.as_array().into_iter().flatten() {
        let table = row[1].as_str().unwrap_or_default().to_owned();
        let rows = server.rows(&format!("SELECT c, s, count(*), max(n) FROM \"{table}\" GROUP BY c, s"));
        for row in rows.as_array().into_iter().flatten() {
            let n = |i: usize| row[i].as_i64().unwrap_or_else(|| panic!("{row}"));
            out.insert((table.clone(), (n(0), n(1))), (n(2), n(3)));
        }
    }
    out
}

/// One request of a client: rows of one table, or of two.
fn send(server: &Server, client: i64, sequence: i64) -> Result<u16, ureq::Error> {
    let line = |table: &str, i: i64| format!("{table},k=v{i} c={client}i,s={sequence}i,i={i}i,n={ROWS}i\n");
    let reply = match client {
        1 => {
            let all: Vec<i64> = (0..ROWS).collect();
            let (c, s, n) = ([client; ROWS as usize], [sequence; ROWS as usize], [ROWS; ROWS as usize]);
            let body = columnar("columns", &[("c", &c), ("s", &s), ("i", &all), ("n", &n)]);
            server.try_send("POST", "/api/v1/write/msgpack", &[], &body)?
        }
        _ => {
            let body: String = tables(client).iter().flat_map(|t| (0..ROWS).map(move |i| line(t, i))).collect();
            server.try_send("POST", "/api/v1/write/line-protocol", &[], body.as_bytes())?
        }
    };
    Ok(reply.status)
}

/// Four writers and a reader until `until`, or until the server is gone.
fn load(server: &Server, known: &mut Known, next: &mut [i64; 4], until: Instant) {
    let gone = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = next
            .iter_mut()
            .enumerate()
            .map(|(client, next)| {
                let gone = &gone;
                scope.spawn(move || {
                    let mut known = Known::default();
                    while Instant::now() < until && !gone.load(Ordering::Relaxed) {
                        let key = (client as i64, *next);
                        *next += 1;
                        match send(server, key.0, key.1) {
                            Ok(204) => known.acknowledged.insert(key),
                            Ok(_) => known.unknown.insert(key),
                            Err(_) => {
                                gone.store(true, Ordering::Relaxed);
                                known.unknown.insert(key)
                            }
                        };
                    }
                    known
                })
            })
            .collect();
        let gone = &gone;
        scope.spawn(move || {
            while Instant::now() < until && !gone.load(Ordering::Relaxed) {
                let _ = server.try_send("POST", "/api/v1/query", &[], br#"{"sql":"SELECT count(*) FROM lines"}"#);
            }
        });
        for writer in writers {
            let found = writer.join().expect("a writer ends");
            known.acknowledged.extend(found.acknowledged);
            known.unknown.extend(found.unknown);
        }
    });
}

/// Places where the process ends itself, one for each phase of a row's way.
const PHASES: [(&str, &str); 8] = [
    ("log write", "log.write.before:40"),
    ("log write to sync", "log.write.after:40"),
    ("sync to visible", "log.sync.after:40"),
    ("seal", "flush.sealed:3"),
    ("Parquet to commit", "flush.file:5"),
    ("COMMIT", "catalog.commit.before:4"),
    ("COMMIT to swap", "catalog.commit.after:4"),
    ("replay", "replay.record:1"),
];

const FAST: [&str; 3] = ["ingest.max_buffer_age_ms=50", "ingest.max_quiet_age_ms=50", "query.timeout=30"];

#[test]
fn t20_t22_kill_9_at_any_moment_loses_nothing_and_doubles_nothing() {
    let cycles: usize = std::env::var("TW_KILL_CYCLES").ok().and_then(|n| n.parse().ok()).unwrap_or(25);
    let seed: u64 = std::env::var("TW_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let dir = folder();
    let mut known = Known::default();
    let mut next = [0i64; 4];
    let mut kills: BTreeMap<&str, usize> = BTreeMap::new();
    let mut random = seed;
    for cycle in 0..cycles {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let phase = (cycle % 2 == 0).then(|| PHASES[(cycle / 2) % PHASES.len()]);
        let mut env: Vec<(&str, &str)> = phase.iter().map(|(_, point)| ("TIDEWATER_FAILPOINT", *point)).collect();
        // kill -9 keeps the page cache; behind this door it takes along whatever was not synced
        let loses_power = cycle / 2 / PHASES.len() % 2 == 1 || cycle % 4 == 3;
        if loses_power {
            env.push(("TIDEWATER_FAULT_DOOR", "power"));
            *kills.entry("of these with power lost").or_default() += 1;
        }
        match Server::try_start(dir.path(), &FAST, &env) {
            Ok(mut server) => {
                let until =
                    Instant::now() + Duration::from_millis(if phase.is_some() { 4_000 } else { 50 + random % 400 });
                load(&server, &mut known, &mut next, until);
                let own = phase.filter(|_| server.wait_end(Duration::from_millis(100)).is_some());
                *kills.entry(own.map_or("random moment", |(name, _)| name)).or_default() += 1;
                server.kill();
            }
            // killed while it replayed; killed there once more before the next start
            Err(_) if phase.is_some_and(|(name, _)| name == "replay") => {
                assert!(Server::try_start(dir.path(), &FAST, &env).is_err(), "the second replay is killed as well");
                *kills.entry("replay").or_default() += 2;
            }
            Err(log) => panic!("cycle {cycle} of seed {seed}: no start\n{log}"),
        }
        // checked without short flushes first, so that rows are still where the kill left them
        let mut server = Server::start(dir.path(), &[]);
        if let Err(fault) = judge(&known, &stored(&server)) {
            panic!("cycle {cycle} of seed {seed}: {fault}");
        }
        server.kill();
    }
    println!(
        "seed {seed}, {} acknowledged, {} unknown, kills by phase: {kills:?}",
        known.acknowledged.len(),
        known.unknown.len()
    );
    assert!(known.acknowledged.len() > cycles * 10, "the writers got through: {}", known.acknowledged.len());
    if cycles >= 2 * PHASES.len() {
        for (phase, _) in PHASES {
            assert!(kills.contains_key(phase), "no kill in phase {phase:?}: {kills:?}");
        }
    }
}

#[test]
fn t21_a_clean_stop_under_load_keeps_every_acknowledged_row() {
    let dir = folder();
    let mut known = Known::default();
    let mut server = Server::start(dir.path(), &FAST);
    std::thread::scope(|scope| {
        let pid = server.pid();
        scope.spawn(move || {
            std::thread::sleep(Duration::from_millis(500)); // the moment of the signal, not a condition
            let sent = std::process::Command::new("kill").args(["-TERM", &pid.to_string()]).status();
            assert!(sent.is_ok_and(|s| s.success()));
        });
        load(&server, &mut known, &mut [0; 4], Instant::now() + Duration::from_secs(10));
    });
    let status = server.wait_end(Duration::from_secs(40)).expect("SIGTERM ends the server");
    assert!(status.success(), "{status}");
    let server = Server::start(dir.path(), &[]);
    judge(&known, &stored(&server)).unwrap();
    assert!(known.acknowledged.len() > 50, "{}", known.acknowledged.len());
}

#[test]
fn the_oracle_sees_a_planted_loss_and_a_planted_duplicate() {
    let known = Known { acknowledged: [(0, 1), (2, 1)].into(), unknown: [(1, 1)].into() };
    let row = |table: &str, key: Key, found: i64| ((table.to_owned(), key), (found, ROWS));
    let good: Stored = [row("lines", (0, 1), ROWS), row("left", (2, 1), ROWS), row("right", (2, 1), ROWS)].into();
    judge(&known, &good).unwrap();
    let mut lost = good.clone();
    lost.remove(&("lines".to_owned(), (0, 1)));
    assert!(judge(&known, &lost).unwrap_err().contains("is lost"));
    let mut twice = good.clone();
    twice.extend([row("lines", (0, 1), ROWS + 1)]);
    assert!(judge(&known, &twice).unwrap_err().contains("8 of 7"));
    let mut torn = good.clone();
    torn.remove(&("right".to_owned(), (2, 1)));
    assert!(judge(&known, &torn).is_err());
    let mut ghost = good;
    ghost.extend([row("lines", (0, 9), ROWS)]);
    assert!(judge(&known, &ghost).unwrap_err().contains("never sent"));
}

#[test]
fn the_power_door_takes_what_was_not_synced() {
    for (door, stored) in [("", 1), ("power", 0)] {
        let dir = folder();
        // process durability answers before the sync; the process ends when the sync would begin
        let env = [("TIDEWATER_FAILPOINT", "log.sync.before:1"), ("TIDEWATER_FAULT_DOOR", door)];
        let mut server = Server::try_start(dir.path(), &["ingest.durability=process"], &env).expect("it starts");
        server.lines("t v=1i 1");
        assert!(server.wait_end(Duration::from_secs(10)).is_some());
        let server = Server::start(dir.path(), &[]);
        assert_eq!(server.rows("SELECT count(*) FROM t"), serde_json::json!([[stored]]), "door {door:?}");
    }
}
