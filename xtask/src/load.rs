//! Many clients at once, and what the server promises them: nothing lost, nothing doubled, no fault but "not now".

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::bench::{Server, columnar, memory_mib, rate};
use crate::http::{Client, at};
use crate::peers::Peer;

/// Rows of one write.
pub const ROWS: u64 = 50;
/// What a client waits when it is told to come again; it is told a second.
const AGAIN: Duration = Duration::from_millis(300);
/// A client that hears nothing for so long takes its connection for lost.
const PATIENCE: Duration = Duration::from_secs(120);

/// A memory control group of half a gibibyte, of either version; removed when dropped.
struct Small(PathBuf);

const SMALL_BYTES: u64 = 512 << 20;

impl Small {
    fn new() -> Result<Self> {
        let name = format!("tidewater-load-{}", std::process::id());
        let v1 = PathBuf::from("/sys/fs/cgroup/memory");
        let (folder, file) = match v1.is_dir() {
            true => (v1.join(name), "memory.limit_in_bytes"),
            false => (PathBuf::from("/sys/fs/cgroup").join(name), "memory.max"),
        };
        std::fs::create_dir(&folder)
            .with_context(|| format!("cannot make the control group {} (needs root)", folder.display()))?;
        let group = Self(folder);
        std::fs::write(group.0.join(file), SMALL_BYTES.to_string())?;
        Ok(group)
    }

    /// The most memory that it ever held, page cache included.
    fn most_bytes(&self) -> Result<u64> {
        let files = ["memory.max_usage_in_bytes", "memory.peak"].map(|name| self.0.join(name));
        let file = files.iter().find(|f| f.exists()).context("the system tells no peak of a control group")?;
        Ok(std::fs::read_to_string(file)?.trim().parse()?)
    }

    /// What starts a program in it, on one CPU.
    fn prefix(&self) -> Vec<String> {
        let script = format!("echo $$ > {}/cgroup.procs && exec taskset -c 0 \"$0\" \"$@\"", self.0.display());
        vec!["sh".into(), "-c".into(), script]
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// What many clients have seen, together.
#[derive(Default)]
pub struct Seen {
    /// Writes of each client that were acknowledged.
    pub sent: Vec<u64>,
    elapsed_s: f64,
    most_mib: u64,
    statuses: Mutex<BTreeMap<String, u64>>,
    /// Connections that ended without an answer.
    lost: AtomicU64,
    write_us: Mutex<Vec<f64>>,
    query_us: Mutex<Vec<f64>>,
    health_us: Vec<f64>,
}

impl Seen {
    fn count(&self, what: &str, status: u16) {
        *self.statuses.lock().expect("no client panics").entry(format!("{what} {status}")).or_default() += 1;
    }

    fn answers(&self) -> BTreeMap<String, u64> {
        self.statuses.lock().expect("no client panics").clone()
    }

    /// All of it in a line; `counted` says what became of the rows.
    pub fn figure(&mut self, counted: &str) -> String {
        let writes: u64 = self.sent.iter().sum();
        let answers = self.answers().iter().map(|(what, n)| format!("{what}: {n}")).collect::<Vec<_>>().join(", ");
        let mut figure = format!(
            "{} connections, {} of them without an acknowledged write, {:.0} s: {writes} writes of {ROWS} rows acknowledged \
             ({:.0} rows/s), {counted}; answers {answers}; {} connections lost; RSS at most {} MiB",
            self.sent.len(),
            self.sent.iter().filter(|writes| **writes == 0).count(),
            self.elapsed_s,
            (writes * ROWS) as f64 / self.elapsed_s,
            self.lost.get_mut(),
            self.most_mib
        );
        let (writes, queries) = (self.write_us.get_mut(), self.query_us.get_mut());
        for (what, times) in [("write", writes), ("query", queries)] {
            add_times(&mut figure, what, times.expect("no client panics"));
        }
        add_times(&mut figure, "health", &mut self.health_us);
        figure
    }
}

fn add_times(figure: &mut String, what: &str, times: &mut [f64]) {
    *figure += &format!("; {what} p50 {:.1} ms, p99 {:.1} ms", at(times, 0.5) / 1e3, at(times, 0.99) / 1e3);
}

fn patient(address: &str) -> Client {
    let mut client = Client::new(address);
    client.patience = PATIENCE;
    client
}

/// Seven writes to three queries, until the time is over; the number of writes that were acknowledged.
fn client(peer: Peer, address: &str, id: usize, stop: &AtomicBool, seen: &Seen) -> u64 {
    let (mut client, mut seq, queries) = (patient(address), 0u64, peer.queries());
    for turn in id.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let is_write = turn % 10 < 7;
        let (what, times, answer) = if is_write {
            let line = |row: u64| {
                let n = seq * ROWS + row;
                format!("load,client=c{id} seq={seq}i,v={} {}\n", n % 97, 1_700_000_000_000_000_000 + n * 1_000)
            };
            let body: String = (0..ROWS).map(line).collect();
            ("write", &seen.write_us, client.ask("POST", peer.write_path(), "", body.as_bytes()))
        } else {
            ("query", &seen.query_us, peer.query(&mut client, queries[turn / 10 % queries.len()]))
        };
        let Ok(answer) = answer else {
            seen.lost.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(AGAIN);
            continue;
        };
        seen.count(what, answer.status);
        if answer.status < 300 {
            times.lock().expect("no client panics").push(answer.us);
            seq += u64::from(is_write);
        } else {
            std::thread::sleep(AGAIN); // told to come again
        }
    }
    seq
}

/// So many connections at once, each seven writes of 50 rows to three queries, for some minutes, beside a probe.
pub fn many(peer: Peer, address: &str, process: u32, minutes: f64, connections: usize) -> Result<Seen> {
    let (stop, mut seen) = (AtomicBool::new(false), Seen::default());
    let (mut sent, mut health_us, mut most_mib, mut elapsed_s) = (Vec::new(), Vec::new(), 0, 0.0);
    let time = Duration::from_secs_f64(minutes * 60.0);
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} s")?;
    let bar = ProgressBar::new(time.as_secs()).with_style(style).with_message(format!("load, {peer:?}"));
    let began = Instant::now();
    std::thread::scope(|scope| -> Result<()> {
        let (stop, seen) = (&stop, &seen);
        let clients = (0..connections).map(|id| {
            let small = std::thread::Builder::new().stack_size(256 << 10);
            small.spawn_scoped(scope, move || client(peer, address, id, stop, seen)).context("a thread")
        });
        let clients: Vec<_> = clients.collect::<Result<_>>()?;
        let mut health = patient(address);
        let mut probe = || -> Result<()> {
            while began.elapsed() < time {
                match health.ask("GET", peer.health_path(), "", b"") {
                    Ok(answer) => {
                        seen.count("health", answer.status);
                        health_us.push(answer.us);
                    }
                    Err(_) => drop(seen.lost.fetch_add(1, Ordering::Relaxed)),
                }
                most_mib = most_mib.max(memory_mib(process, "VmRSS:")?);
                bar.set_position(began.elapsed().as_secs());
                std::thread::sleep(Duration::from_millis(50)); // the pace of the probe
            }
            Ok(())
        };
        let probed = probe();
        elapsed_s = began.elapsed().as_secs_f64(); // who waits for an answer now may wait on for long
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            sent.push(client.join().map_err(|_| anyhow::anyhow!("a client panicked"))?);
        }
        probed
    })?;
    bar.finish_and_clear();
    (seen.sent, seen.health_us, seen.most_mib, seen.elapsed_s) = (sent, health_us, most_mib, elapsed_s);
    Ok(seen)
}

/// `cargo xtask torture door`: the corpora of the door's tests, one server at a time.
pub fn door(small: bool) -> Result<()> {
    let group = if small { Some(Small::new()?) } else { None };
    let mut command = crate::cargo_test();
    command.args(["--test", "all", "--", "--test-threads=1", "door::"]);
    command.env("TW_TEST_PYTHON", crate::python_environment()?);
    if let Some(Small(folder)) = &group {
        command.env("TW_TEST_CGROUP", folder);
    }
    crate::run(&mut command)?;
    if let Some(group) = &group {
        println!("most memory of the group: {} MiB of {}", group.most_bytes()? >> 20, SMALL_BYTES >> 20);
    }
    Ok(())
}

/// `cargo xtask torture load`: so many connections, seven writes to three queries, for some minutes; what was found.
pub fn run(minutes: f64, connections: usize, small: bool) -> Result<String> {
    crate::run(crate::cargo().args(["build", "--release", "-p", "tidewater"]))?;
    let group = if small { Some(Small::new()?) } else { None };
    let prefix = group.as_ref().map(Small::prefix).unwrap_or_default();
    let budget: u64 = if small { SMALL_BYTES / 2 } else { 1 << 30 };
    // the small one finds its budget by its control group
    let settings: &[&str] = if small { &[] } else { &["memory.budget=1GiB"] };
    let server = Server::start_under(&prefix, "power", settings)?;
    let said: Value = serde_json::from_str(&server.ask("GET", "/api/v1/metrics", b"")?)?;
    ensure!(
        said["tidewater_memory_budget_bytes"] == budget as f64,
        "the budget is {}",
        said["tidewater_memory_budget_bytes"]
    );
    let mut seen = many(Peer::Tidewater, server.address(), server.pid(), minutes, connections)?;
    let lost = *seen.lost.get_mut();
    ensure!(lost == 0, "{lost} connections were lost");
    judge(&server, &seen.sent)?;
    let answers = seen.answers();
    let is_fault = |what: &String| match what.strip_prefix("health ") {
        Some(status) => status != "200",
        None => what.contains(" 5") && !what.ends_with(" 503"),
    };
    ensure!(!answers.keys().any(is_fault), "a fault that is not 503: {answers:?}");
    ensure!(seen.most_mib << 20 <= budget / 10 * 11, "{} MiB are more than the budget and a tenth", seen.most_mib);
    let place = if small { ", in 512 MiB on one CPU" } else { "" };
    let figure = seen.figure(&format!("every row once{place}, budget {} MiB", budget >> 20));
    println!("{figure}");
    Ok(figure)
}

/// Every acknowledged write is there once and whole: the number of each client's rows and two sums over the numbers of
/// its writes are those of 0, 1, 2 … (a distinct count would take more memory than a small server has).
fn judge(server: &Server, sent: &[u64]) -> Result<()> {
    let sql = "SELECT client, count(*), sum(seq), sum(seq * seq) FROM load GROUP BY client";
    let answer =
        Client::new(server.address()).ask("POST", "/api/v1/query", "", json!({"sql": sql}).to_string().as_bytes())?;
    let answer: Value = serde_json::from_slice(&answer.body)?;
    let rows = answer["data"].as_array().with_context(|| format!("no rows: {answer}"))?;
    let mut stored: BTreeMap<usize, [u64; 3]> = BTreeMap::new();
    for row in rows {
        let id = row[0].as_str().and_then(|c| c.strip_prefix('c')?.parse().ok()).context("a client")?;
        // sums of integers may come as text
        let number = |i: usize| row[i].as_u64().or_else(|| row[i].as_str()?.parse().ok()).context("a number");
        stored.insert(id, [number(1)?, number(2)?, number(3)?]);
    }
    for (id, n) in sent.iter().enumerate() {
        let wanted = [*n, n * n.saturating_sub(1) / 2, n.saturating_sub(1) * n * (2 * n).saturating_sub(1) / 6]
            .map(|n| n * ROWS);
        let found = stored.get(&id).copied().unwrap_or_default();
        ensure!(found == wanted, "client {id}: {n} writes were acknowledged: {wanted:?}, stored: {found:?}");
    }
    Ok(())
}

/// The database of the rows that heavy queries read.
const FIXED: &str = "x-arc-database: fixed\r\n";

/// `cargo xtask bench heavy`: 200 heavy GROUP BYs, 20 at a time, on a gibibyte for queries, beside writes.
pub fn heavy() -> Result<()> {
    const QUERIES: usize = 200;
    const AT_ONCE: usize = 20;
    // half a million groups: more than a slot's part of the memory holds
    const SQL: &str = "SELECT k, count(*), avg(u), max(s) FROM (SELECT row_number() OVER () % 500000 AS k, \
                       usage_user AS u, usage_system AS s FROM bench) t GROUP BY k ORDER BY 2 DESC, 1 LIMIT 10";
    // two fifths of the budget are the queries'
    let server = Server::start_with("power", &["memory.budget=2560MiB", "query.timeout=600"])?;
    // the queries' table does not grow by the writes beside them
    let (body, mut loading) = (columnar(10_000), Client::new(server.address()));
    for _ in 0..60 {
        let stored = loading.ask("POST", "/api/v1/write/msgpack", FIXED, &body)?;
        ensure!(stored.status == 204, "a write got {}", stored.status);
    }
    server.ask("POST", "/api/v1/write/line-protocol/flush", b"")?;
    // paced as agents write: what is lost of it is what queries take
    let offered = offered_rate(&server)?;
    let alone = paced(&server, offered, Duration::from_secs(10), &AtomicBool::new(false))?;
    let (done, next, statuses) = (AtomicBool::new(false), AtomicU64::new(0), Mutex::new(BTreeMap::<u16, u64>::new()));
    let mut most_mib = 0;
    let began = Instant::now();
    let beside = std::thread::scope(|scope| -> Result<f64> {
        let writing = scope.spawn(|| paced(&server, offered, Duration::from_secs(600), &done));
        let asking: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    let mut client = Client::new(server.address());
                    while next.fetch_add(1, Ordering::Relaxed) < QUERIES as u64 {
                        let headers = format!("{FIXED}Cache-Control: no-cache\r\n");
                        let sql = json!({"sql": SQL}).to_string();
                        let answer = client.ask("POST", "/api/v1/query", &headers, sql.as_bytes())?;
                        *statuses.lock().expect("no client panics").entry(answer.status).or_default() += 1;
                    }
                    Ok(())
                })
            })
            .collect();
        while asking.iter().any(|a| !a.is_finished()) {
            most_mib = most_mib.max(server.memory_mib("VmRSS:")?);
            std::thread::sleep(Duration::from_millis(50)); // the pace of the samples
        }
        done.store(true, Ordering::Relaxed);
        for asked in asking {
            asked.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
        }
        writing.join().map_err(|_| anyhow::anyhow!("the writer panicked"))?
    })?;
    println!(
        "| {QUERIES} heavy queries over 600 000 rows, {AT_ONCE} at a time, {:.0} s | |\n|---|---|",
        began.elapsed().as_secs_f64()
    );
    println!("| writes of 1 000 rows offered, a second | {offered:.0} |");
    println!("| acknowledged alone, beside | {alone:.0}, {beside:.0} |\n| ratio | {:.2} |", beside / alone);
    println!("| answers of queries by status | {:?} |", statuses.into_inner().expect("no client panics"));
    println!("| RSS at most | {most_mib} MiB of a budget of 2560 MiB |");
    ensure!(beside / alone >= 0.7, "writes fell below seven tenths");
    Ok(())
}

/// Half of what four connections write when they are alone, in requests a second.
fn offered_rate(server: &Server) -> Result<f64> {
    Ok(rate(server, "/api/v1/write/msgpack", &columnar(1_000), 4, Duration::from_secs(5))? / 2.0)
}

/// Writes so many requests a second over four connections; how many came through a second.
fn paced(server: &Server, a_second: f64, time: Duration, stop: &AtomicBool) -> Result<f64> {
    const CONNECTIONS: usize = 4;
    let (body, sent) = (columnar(1_000), AtomicU64::new(0));
    let began = Instant::now();
    std::thread::scope(|scope| -> Result<()> {
        let writers: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    let mut client = Client::new(server.address());
                    for n in 1.. {
                        if began.elapsed() >= time || stop.load(Ordering::Relaxed) {
                            break;
                        }
                        let due = Duration::from_secs_f64(f64::from(n) * CONNECTIONS as f64 / a_second);
                        std::thread::sleep(due.saturating_sub(began.elapsed())); // the pace of the writes
                        let answer = client.ask("POST", "/api/v1/write/msgpack", "", &body)?;
                        match answer.status {
                            204 => drop(sent.fetch_add(1, Ordering::Relaxed)),
                            503 => std::thread::sleep(AGAIN),
                            other => anyhow::bail!("a write got {other}"),
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        for writer in writers {
            writer.join().map_err(|_| anyhow::anyhow!("a writer panicked"))??;
        }
        Ok(())
    })?;
    Ok(sent.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64())
}

/// The fourteen shapes of TSBS' devops queries, over the rows of `bench`.
const MIX: [&str; 14] = [
    "SELECT date_trunc('minute', time) m, max(usage_user) FROM bench WHERE host = 'host077' GROUP BY 1 ORDER BY 1",
    "SELECT date_trunc('second', time) m, max(usage_user) FROM bench WHERE host = 'host077' GROUP BY 1 ORDER BY 1",
    "SELECT date_trunc('minute', time) m, max(usage_user), max(usage_idle), max(usage_system) FROM bench WHERE host IN ('host003', 'host077', 'host015', 'host029') GROUP BY 1 ORDER BY 1",
    "SELECT date_trunc('hour', time) m, max(usage_user), max(usage_idle) FROM bench WHERE host IN ('host003', 'host077', 'host040', 'host060') GROUP BY 1 ORDER BY 1",
    "SELECT date_trunc('hour', time) m, host, avg(usage_user) FROM bench GROUP BY 1, 2 ORDER BY 1, 2 LIMIT 100",
    "SELECT date_trunc('hour', time) m, host, avg(usage_user), avg(usage_idle) FROM bench GROUP BY 1, 2 ORDER BY 1, 2 LIMIT 100",
    "SELECT date_trunc('hour', time) m, host, avg(usage_user), avg(usage_idle), avg(usage_system) FROM bench GROUP BY 1, 2 ORDER BY 1, 2 LIMIT 100",
    "SELECT * FROM bench WHERE usage_user > 106.9 AND host = 'host077' LIMIT 100",
    "SELECT count(*) FROM bench WHERE usage_user > 100",
    "SELECT date_trunc('minute', time) m, max(usage_user) FROM bench GROUP BY 1 ORDER BY 1 DESC LIMIT 5",
    "SELECT count(*) FROM bench",
    "SELECT region, avg(usage_user), min(usage_system), max(usage_idle) FROM bench GROUP BY 1",
    "SELECT count(DISTINCT host) FROM bench",
    "SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY host ORDER BY time DESC) rn FROM bench) t WHERE rn = 1 LIMIT 100",
];

/// `cargo xtask bench mix`: the fourteen queries by one client and by ten, each for so long, nothing kept.
pub fn mix(seconds: u64) -> Result<()> {
    let server = Server::start_with("power", &[])?;
    let body = columnar(10_000);
    for _ in 0..50 {
        server.ask("POST", "/api/v1/write/msgpack", &body)?;
    }
    server.ask("POST", "/api/v1/write/line-protocol/flush", b"")?;
    println!("| clients, {seconds} s, 500 000 rows | queries/s | p50 ms | p99 ms | errors |\n|---|---|---|---|---|");
    for clients in [1, 10] {
        let (errors, times) = (AtomicU64::new(0), Mutex::new(Vec::new()));
        let began = Instant::now();
        std::thread::scope(|scope| {
            for id in 0..clients {
                let (server, errors, times) = (&server, &errors, &times);
                scope.spawn(move || {
                    let mut client = Client::new(server.address());
                    for turn in id.. {
                        if began.elapsed() >= Duration::from_secs(seconds) {
                            break;
                        }
                        let sql = json!({"sql": MIX[turn % MIX.len()]}).to_string();
                        match client.ask("POST", "/api/v1/query", "Cache-Control: no-cache\r\n", sql.as_bytes()) {
                            Ok(answer) if answer.status == 200 && answer.body.ends_with(b"}") => {
                                times.lock().expect("no client panics").push(answer.us);
                            }
                            _ => drop(errors.fetch_add(1, Ordering::Relaxed)),
                        }
                    }
                });
            }
        });
        let (mut times, elapsed) = (times.into_inner().expect("no client panics"), began.elapsed().as_secs_f64());
        let (count, failed) = (times.len(), errors.into_inner());
        println!(
            "| {clients} | {:.0} | {:.1} | {:.1} | {failed} |",
            count as f64 / elapsed,
            at(&mut times, 0.5) / 1e3,
            at(&mut times, 0.99) / 1e3
        );
        ensure!(failed == 0, "{failed} queries failed");
    }
    Ok(())
}
