//! The same kills and the same load for Tidewater and for QuestDB, each at its defaults, by the same code.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::bench::TOKEN;
use crate::http::{Client, LOOK_EVERY, at};
use crate::{load, target};

/// The QuestDB that is compared with: `org.questdb:questdb` of Maven Central.
const QUESTDB: &str = "9.3.4";
const START_PATIENCE: Duration = Duration::from_secs(60);
/// After so many kills a new folder: what is compared grows with each.
const KILLS_A_FOLDER: u64 = 25;
/// Rows of a request to each of its tables.
const ROWS: u64 = 7;
/// Connections that QuestDB serves at once by default (`http.net.connection.limit` is 256), the probe's beside them.
pub const FEW: usize = 200;
/// Tables of each writer's requests.
const WRITERS: [&[&str]; 4] = [&["lines"], &["lines"], &["left", "right"], &["left", "right"]];
const TABLES: [&str; 3] = ["lines", "left", "right"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    Tidewater,
    QuestDb,
}

/// What a run of one of them found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    pub version: String,
    pub kill: String,
    /// As many connections as were asked for, and as few as each serves at once.
    pub loads: [String; 2],
}

impl Peer {
    fn version(self) -> Result<String> {
        Ok(match self {
            Peer::Tidewater => format!("Tidewater {}", crate::torture::commit()?),
            Peer::QuestDb => format!("QuestDB {QUESTDB}"),
        })
    }

    pub fn write_path(self) -> &'static str {
        match self {
            Peer::Tidewater => "/api/v1/write/line-protocol?precision=ns",
            Peer::QuestDb => "/write?precision=n",
        }
    }

    pub fn health_path(self) -> &'static str {
        match self {
            Peer::Tidewater => "/health",
            Peer::QuestDb => "/ping",
        }
    }

    /// Rows of a statement.
    fn rows(self, client: &mut Client, sql: &str) -> Result<Vec<Value>> {
        let answer = self.query(client, sql)?;
        ensure!(answer.status == 200, "{sql}: {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
        let mut body: Value = serde_json::from_slice(&answer.body)?;
        let key = if self == Peer::Tidewater { "data" } else { "dataset" };
        Ok(body[key].as_array_mut().map(std::mem::take).unwrap_or_default())
    }

    pub fn query(self, client: &mut Client, sql: &str) -> Result<crate::http::Answer> {
        match self {
            Peer::Tidewater => client.ask("POST", "/api/v1/query", "", json!({"sql": sql}).to_string().as_bytes()),
            Peer::QuestDb => {
                let sql: String = sql.bytes().map(|b| format!("%{b:02X}")).collect();
                client.ask("GET", &format!("/exec?query={sql}"), "", b"")
            }
        }
    }

    /// The load's queries: the same questions, each in its own dialect.
    pub fn queries(self) -> [&'static str; 4] {
        let buckets = match self {
            Peer::Tidewater => {
                "SELECT time_bucket(INTERVAL '1 second', time) t, sum(v) FROM load GROUP BY 1 ORDER BY 1 DESC LIMIT 20"
            }
            Peer::QuestDb => "SELECT timestamp, sum(v) FROM load SAMPLE BY 1s ORDER BY 1 DESC LIMIT 20",
        };
        let newest = match self {
            Peer::Tidewater => "SELECT * FROM load ORDER BY time DESC LIMIT 5",
            Peer::QuestDb => "SELECT * FROM load ORDER BY timestamp DESC LIMIT 5",
        };
        [
            "SELECT count(*), max(seq) FROM load",
            "SELECT client, count(*), avg(v) FROM load GROUP BY client ORDER BY 2 DESC LIMIT 10",
            buckets,
            newest,
        ]
    }
}

/// A process of one of them on a folder.
struct Running {
    peer: Peer,
    child: Child,
    address: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    fn start(peer: Peer, folder: &Path) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("output"))?;
        let mut command = match peer {
            Peer::Tidewater => {
                let mut command = Command::new(target().join("release/tidewater"));
                command.args(["serve", "--set", &format!("server.port={port}"), "--set"]);
                command.arg(format!("storage.local_path={}", folder.join("data").display()));
                command.env("TIDEWATER_AUTH_BOOTSTRAP_TOKEN", TOKEN);
                command
            }
            Peer::QuestDb => {
                let data = folder.join("data");
                std::fs::create_dir_all(&data)?;
                let mut command = Command::new("java");
                command.arg("-p").arg(questdb()?).args(["-m", "io.questdb/io.questdb.ServerMain", "-d"]).arg(data);
                // its other doors, which nobody comes by, and its reports home
                for (name, value) in [
                    ("QDB_HTTP_BIND_TO", address.as_str()),
                    ("QDB_HTTP_MIN_ENABLED", "false"),
                    ("QDB_LINE_TCP_ENABLED", "false"),
                    ("QDB_PG_ENABLED", "false"),
                    ("QDB_TELEMETRY_ENABLED", "false"),
                ] {
                    command.env(name, value);
                }
                command
            }
        };
        let output = log.try_clone()?;
        let child = command.stdin(Stdio::null()).stdout(output).stderr(log).current_dir(folder).spawn()?;
        let mut running = Self { peer, child, address };
        let path = if peer == Peer::Tidewater { "/ready" } else { "/ping" };
        let began = Instant::now();
        while !Client::new(&running.address).ask("GET", path, "", b"").is_ok_and(|a| a.status < 300) {
            ensure!(began.elapsed() < START_PATIENCE, "{peer:?} did not start: {}", folder.join("output").display());
            if let Some(status) = running.child.try_wait()? {
                bail!("{peer:?} ended: {status}: {}", folder.join("output").display());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(running)
    }

    /// Waits until what was acknowledged is to be seen: QuestDB applies its log to its tables behind the answer.
    fn settle(&self) -> Result<()> {
        let (mut client, began) = (Client::new(&self.address), Instant::now());
        if self.peer == Peer::Tidewater {
            return Ok(());
        }
        loop {
            let tables = self.peer.rows(&mut client, "wal_tables()")?;
            if let Some(suspended) = tables.iter().find(|t| t[1] == true) {
                bail!("QuestDB has suspended a table: {suspended}");
            }
            if tables.iter().all(|t| t[2] == t[4]) {
                return Ok(());
            }
            ensure!(began.elapsed() < START_PATIENCE, "QuestDB does not apply its log: {tables:?}");
        }
    }
}

/// The jar, which Maven has fetched, or fetches now.
fn questdb() -> Result<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("HOME").context("HOME")?).join(".m2/repository/org/questdb/questdb");
    let jar = folder.join(QUESTDB).join(format!("questdb-{QUESTDB}.jar"));
    if !jar.exists() {
        let artifact = format!("-Dartifact=org.questdb:questdb:{QUESTDB}");
        let mut maven = Command::new("mvn");
        crate::run(maven.args(["-q", "dependency:get", &artifact])).context("QuestDB comes by Maven")?;
    }
    Ok(jar)
}

/// (writer, sequence) of a request.
type Key = (u64, u64);

/// What the writers know; kept outside the tried folder.
#[derive(Debug, Default)]
struct Known {
    acknowledged: BTreeSet<Key>,
    unknown: BTreeSet<Key>,
    refused: BTreeSet<Key>,
}

/// Faults that a check found.
#[derive(Debug, Default)]
struct Faults {
    lost: u64,
    doubled: u64,
    torn: u64,
    refused_stored: u64,
}

/// Each writer writes until the server is gone.
fn write(peer: Peer, address: &str, writer: u64, from: u64) -> (u64, Known) {
    let (mut client, mut known) = (Client::new(address), Known::default());
    for sequence in from.. {
        let key = (writer, sequence);
        let line = |table: &&str, i: u64| {
            let time = 1_700_000_000_000_000_000 + (sequence * 100 + i) * 1_000_000 + writer * 1_000;
            format!("{table},k=v{writer} c={writer}i,s={sequence}i,i={i}i,n={ROWS}i {time}\n")
        };
        let body: String = WRITERS[writer as usize].iter().flat_map(|t| (0..ROWS).map(move |i| line(t, i))).collect();
        match client.ask("POST", peer.write_path(), "", body.as_bytes()) {
            Ok(answer) if answer.status < 300 => drop(known.acknowledged.insert(key)),
            Ok(answer) if answer.status < 500 => drop(known.refused.insert(key)),
            Ok(_) => drop(known.unknown.insert(key)),
            Err(_) => {
                known.unknown.insert(key);
                return (sequence + 1, known);
            }
        }
    }
    unreachable!("there is no last number")
}

fn check(running: &Running, known: &Known, faults: &mut Faults) -> Result<()> {
    let mut client = Client::new(&running.address);
    let mut stored: BTreeMap<(&str, Key), (u64, u64)> = BTreeMap::new();
    for table in TABLES {
        let sql = format!("SELECT c, s, count(*), count(DISTINCT i) FROM \"{table}\" GROUP BY c, s");
        for row in running.peer.rows(&mut client, &sql)? {
            let n = |at: usize| row[at].as_u64().with_context(|| row.to_string());
            stored.insert((table, (n(0)?, n(1)?)), (n(2)?, n(3)?));
        }
    }
    for key in known.acknowledged.iter().chain(&known.unknown) {
        let found: Vec<_> = WRITERS[key.0 as usize].iter().map(|t| stored.get(&(*t, *key)).copied()).collect();
        let is_lost = found.iter().any(Option::is_none);
        faults.lost += u64::from(is_lost && known.acknowledged.contains(key));
        faults.doubled += u64::from(found.iter().flatten().any(|(rows, different)| rows > different));
        let parts = found.iter().any(|f| f.is_some_and(|(_, different)| different < ROWS));
        faults.torn += u64::from(parts || (is_lost && found.iter().any(Option::is_some)));
    }
    faults.refused_stored += stored.keys().filter(|(_, key)| known.refused.contains(key)).count() as u64;
    Ok(())
}

/// kill -9 at random moments under four writers and a reader.
fn kill(peer: Peer, cycles: u64, seed: u64, folder: &Path) -> Result<String> {
    let (mut faults, mut acknowledged, mut unknown) = (Faults::default(), 0, 0);
    let (mut starts_ms, mut random) = (Vec::new(), seed);
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {elapsed} {eta} left")?;
    let bar = ProgressBar::new(cycles).with_style(style).with_message(format!("kill, {peer:?}"));
    let mut done = 0;
    while done < cycles {
        fresh(folder)?;
        let (mut known, mut next) = (Known::default(), [0u64; WRITERS.len()]);
        for _ in 0..KILLS_A_FOLDER.min(cycles - done) {
            let began = Instant::now();
            let mut running = Running::start(peer, folder)?;
            starts_ms.push(began.elapsed().as_secs_f64() * 1e3);
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let moment = Duration::from_millis(300 + (random >> 33) % 700);
            let address = running.address.clone();
            let gone = AtomicBool::new(false);
            std::thread::scope(|scope| {
                let writers: Vec<_> = (0..WRITERS.len() as u64)
                    .map(|writer| {
                        let (address, from) = (&address, next[writer as usize]);
                        scope.spawn(move || write(peer, address, writer, from))
                    })
                    .collect();
                scope.spawn(|| {
                    let mut client = Client::new(&address);
                    while !gone.load(Ordering::Relaxed) {
                        let _ = peer.query(&mut client, "SELECT count(*), sum(i) FROM lines");
                    }
                });
                std::thread::sleep(moment); // the moment of the kill, not a condition
                let killed = running.child.kill().and_then(|()| running.child.wait());
                gone.store(true, Ordering::Relaxed);
                for (writer, thread) in writers.into_iter().enumerate() {
                    let (after, of) = thread.join().expect("a writer ends");
                    next[writer] = after;
                    known.acknowledged.extend(of.acknowledged);
                    known.unknown.extend(of.unknown);
                    known.refused.extend(of.refused);
                }
                killed
            })?;
            bar.inc(1);
            done += 1;
        }
        let running = Running::start(peer, folder)?;
        running.settle()?;
        check(&running, &known, &mut faults)?;
        acknowledged += known.acknowledged.len();
        unknown += known.unknown.len();
    }
    bar.finish_and_clear();
    Ok(format!(
        "{cycles} kills, {acknowledged} requests acknowledged, {unknown} without an answer: {} lost, {} doubled, {} torn, \
         {} refused and stored; start until ready p50 {:.0} ms, p99 {:.0} ms",
        faults.lost,
        faults.doubled,
        faults.torn,
        faults.refused_stored,
        at(&mut starts_ms, 0.5),
        at(&mut starts_ms, 0.99)
    ))
}

/// The load of `cargo xtask torture load`.
fn load(peer: Peer, minutes: f64, connections: usize, folder: &Path) -> Result<String> {
    fresh(folder)?;
    let running = Running::start(peer, folder)?;
    let mut seen = load::many(peer, &running.address, running.child.id(), minutes, connections)?;
    running.settle()?;
    let stored = peer.rows(&mut Client::new(&running.address), "SELECT count(*) FROM load")?;
    let stored = stored.first().and_then(|row| row[0].as_u64()).context("a count")?;
    let acknowledged = seen.sent.iter().sum::<u64>() * load::ROWS;
    Ok(seen.figure(&format!("{acknowledged} rows, {stored} stored")))
}

fn fresh(folder: &Path) -> Result<()> {
    let _ = std::fs::remove_dir_all(folder);
    Ok(std::fs::create_dir_all(folder)?)
}

/// `cargo xtask torture peers`: so many kills, and the load for some minutes, one after the other.
pub fn run(cycles: u64, seed: u64, minutes: f64, connections: usize) -> Result<Vec<Figures>> {
    crate::run(crate::cargo().args(["build", "--release", "-p", "tidewater"]))?;
    let folder = target().join("torture/peers");
    let peers = [Peer::Tidewater, Peer::QuestDb].map(|peer| {
        let kill = kill(peer, cycles, seed, &folder)?;
        println!("{peer:?}: {kill}");
        let mut loads = [String::new(), String::new()];
        for (figure, connections) in loads.iter_mut().zip([connections, FEW.min(connections)]) {
            *figure = load(peer, minutes, connections, &folder)?;
            println!("{peer:?}: {figure}");
        }
        Ok(Figures { version: peer.version()?, kill, loads })
    });
    let _ = std::fs::remove_dir_all(&folder);
    peers.into_iter().collect()
}
