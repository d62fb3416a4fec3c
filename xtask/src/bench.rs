//! Benchmarks that print figures. Absolute values drift from machine to machine: compare within a run.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Subcommand;

use crate::http::LOOK_EVERY;
use crate::{python_environment, root, run as run_command, target};

pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";

#[derive(Debug, Subcommand)]
pub enum What {
    /// Rows a second that are acknowledged, by shape, durability and connections
    Ingest {
        #[arg(long, default_value_t = 8)]
        seconds: u64,
        /// Only shapes of this name
        #[arg(long)]
        shape: Option<String>,
    },
    /// Four million rows of a CSV and of a Parquet file; all of them must be there, and those looked at be equal
    Import,
    /// Megabytes of answer a second that each encoder makes on one core
    Encode,
    /// Milliseconds from the start of the process until it is ready, by live files
    Start {
        #[arg(long, default_value_t = 10_000)]
        files: u64,
    },
    /// Merges, deletes, retention, and queries and writes meanwhile
    Life,
    /// What tokens cost
    Auth,
    /// What queries cost that wait
    Pool,
    /// The same query found and computed
    Cache,
    /// Two hundred heavy GROUP BYs beside writes
    Heavy,
    /// A backup of many GiB while writes go on, its check and its way back
    Backup {
        #[arg(long, default_value_t = 10)]
        gib: u64,
    },
    /// The fourteen queries by one client and by ten
    Mix {
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// The fourteen queries beside DuckDB in process; writes and /health under a heavy query
    Query {
        /// Measured runs of each query on each side, after one that warms up
        #[arg(long, default_value_t = 5)]
        runs: u32,
    },
}

/// One body that is sent again and again, as the peers' benchmarks do.
struct Shape {
    name: &'static str,
    path: &'static str,
    rows: u64,
    body: Vec<u8>,
}

/// `cargo xtask bench`
pub fn run(what: &What) -> Result<()> {
    run_command(crate::cargo().args(["build", "--release", "-p", "tidewater"]))?;
    match what {
        What::Ingest { seconds, shape } => ingest(*seconds, shape.as_deref()),
        What::Query { runs } => query(*runs),
        What::Import => import(),
        // with the server, so that dependencies have the features that it was built with
        What::Encode => {
            let packages = ["-p", "tidewater", "-p", "tidewater-wire"];
            run_command(crate::cargo().arg("bench").args(packages).args(["--bench", "encode"]))
        }
        What::Start { files } => start(*files),
        What::Life => crate::life::run(),
        What::Auth => crate::admission::auth(),
        What::Pool => crate::admission::pool(),
        What::Cache => crate::admission::cache(),
        What::Heavy => crate::load::heavy(),
        What::Backup { gib } => crate::backup::run(*gib),
        What::Mix { seconds } => crate::load::mix(*seconds),
    }
}

/// Live files that one flush makes: rows of this many hours.
pub(crate) const HOURS_A_FLUSH: u64 = 12;

fn start(files: u64) -> Result<()> {
    let mut server = Server::start("power")?;
    println!("| live files | ready ms (median of 5) | RSS MiB |\n|---|---|---|");
    let mut made = 0;
    for wanted in [0, files / 10, files] {
        while made < wanted {
            let hour = |h: u64| format!("bench,host=h{h} v={h}i {}\n", (460_000 + made + h) * 3_600_000_000_000);
            let body: String = (0..HOURS_A_FLUSH).map(hour).collect();
            server.ask("POST", "/api/v1/write/line-protocol", body.as_bytes())?;
            server.ask("POST", "/api/v1/write/line-protocol/flush", b"")?;
            made += HOURS_A_FLUSH;
        }
        let mut times = Vec::new();
        for _ in 0..5 {
            server = server.restart()?;
            times.push(server.ready_after.as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        println!("| {made} | {:.0} | {} |", times[2], server.memory_mib("VmRSS:")?);
    }
    Ok(())
}

fn query(runs: u32) -> Result<()> {
    let python = python_environment()?;
    let server = Server::start("power")?;
    let work = server.folder.0.join("reference");
    std::fs::create_dir_all(&work)?;
    let url = format!("http://{}", server.address);
    run_command(
        Command::new(python)
            .arg(root().join("xtask/python/bench_query.py"))
            .args([&url, TOKEN])
            .arg(work)
            .arg(runs.to_string()),
    )?;
    println!("peak RSS of the server: {} MiB", server.peak_rss_mib()?);
    Ok(())
}

fn import() -> Result<()> {
    let python = python_environment()?;
    let server = Server::start_with("power", &["import.max_size=4GiB"])?;
    let url = format!("http://{}", server.address);
    let script = root().join("crates/tidewater/tests/python/imports.py");
    run_command(Command::new(python).arg("-B").arg(script).args([&url, TOKEN]).arg(&server.folder.0))?;
    println!("peak RSS of the server: {} MiB", server.peak_rss_mib()?);
    Ok(())
}

fn ingest(seconds: u64, only: Option<&str>) -> Result<()> {
    println!(
        "| shape | durability | connections | rows/s acknowledged | with drain | p50 ms | p99 ms | peak RSS MiB | server CPU s | client CPU s | count |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for (connections, durability) in [(12, "power"), (64, "power"), (12, "process")] {
        for shape in shapes().into_iter().filter(|s| only.is_none_or(|name| s.name == name)) {
            measure(&shape, connections, durability, seconds)?;
        }
    }
    Ok(())
}

fn measure(shape: &Shape, connections: usize, durability: &str, seconds: u64) -> Result<()> {
    let server = Server::start(durability)?;
    let (stop, requests) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut latencies: Vec<u32> = Vec::new();
    let client_before = cpu_seconds(std::process::id())?;
    let began = Instant::now();
    std::thread::scope(|scope| -> Result<()> {
        let workers: Vec<_> =
            (0..connections).map(|_| scope.spawn(|| client(&server.address, shape, &stop, &requests))).collect();
        std::thread::sleep(Duration::from_secs(seconds)); // the length of the measurement
        stop.store(true, Ordering::Relaxed);
        for worker in workers {
            latencies.extend(worker.join().map_err(|_| anyhow::anyhow!("a client panicked"))??);
        }
        Ok(())
    })?;
    let elapsed = began.elapsed().as_secs_f64();
    let client_cpu = cpu_seconds(std::process::id())? - client_before;
    let rows = requests.load(Ordering::Relaxed) * shape.rows;
    let flushed = server.ask("POST", "/api/v1/write/line-protocol/flush", b"")?;
    ensure!(flushed.contains("\"ok\""), "drain failed: {flushed}");
    let drained = began.elapsed().as_secs_f64();
    let counted = server.ask("POST", "/api/v1/query", br#"{"sql":"SELECT count(*) FROM bench"}"#)?;
    ensure!(counted.contains(&format!("[[{rows}]]")), "acknowledged {rows}, stored {counted}");
    latencies.sort_unstable();
    let at = |share: f64| f64::from(latencies[((latencies.len() - 1) as f64 * share) as usize]) / 1e3;
    println!(
        "| {} | {durability} | {connections} | {:.0} | {:.0} | {:.2} | {:.2} | {} | {:.1} | {client_cpu:.1} | equal |",
        shape.name,
        rows as f64 / elapsed,
        rows as f64 / drained,
        at(0.5),
        at(0.99),
        server.peak_rss_mib()?,
        cpu_seconds(server.child.id())?,
    );
    Ok(())
}

/// Rows a second that so many connections write in columns of 1 000 rows.
pub(crate) fn ingest_for(server: &Server, connections: usize, time: Duration) -> Result<f64> {
    Ok(1_000.0 * rate(server, "/api/v1/write/msgpack", &columnar(1_000), connections, time)?)
}

/// Requests a second that so many connections write, each the same body.
pub(crate) fn rate(
    server: &Server,
    path: &'static str,
    body: &[u8],
    connections: usize,
    time: Duration,
) -> Result<f64> {
    let shape = Shape { name: "", path, rows: 0, body: body.to_vec() };
    let (stop, requests) = (AtomicBool::new(false), AtomicU64::new(0));
    let began = Instant::now();
    std::thread::scope(|scope| -> Result<()> {
        let workers: Vec<_> =
            (0..connections).map(|_| scope.spawn(|| client(&server.address, &shape, &stop, &requests))).collect();
        std::thread::sleep(time); // the length of the measurement
        stop.store(true, Ordering::Relaxed);
        for worker in workers {
            worker.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
        }
        Ok(())
    })?;
    Ok(requests.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64())
}

/// A closed loop on one connection; the latencies in microseconds.
fn client(address: &str, shape: &Shape, stop: &AtomicBool, requests: &AtomicU64) -> Result<Vec<u32>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut request = format!(
        "POST {} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {}\r\n\r\n",
        shape.path,
        shape.body.len()
    )
    .into_bytes();
    request.extend_from_slice(&shape.body);
    let mut latencies = Vec::new();
    let mut answer = [0; 4096];
    while !stop.load(Ordering::Relaxed) {
        let sent = Instant::now();
        stream.write_all(&request)?;
        let mut have = 0;
        while !answer[..have].windows(4).any(|w| w == b"\r\n\r\n") {
            let n = stream.read(&mut answer[have..])?;
            ensure!(n > 0, "the server closed the connection");
            have += n;
        }
        ensure!(answer.starts_with(b"HTTP/1.1 204"), "refused: {}", String::from_utf8_lossy(&answer[..have]));
        requests.fetch_add(1, Ordering::Relaxed);
        latencies.push(sent.elapsed().as_micros() as u32);
    }
    Ok(latencies)
}

pub(crate) struct Server {
    child: Child,
    address: String,
    ready_after: Duration,
    folder: Folder,
}

struct Folder(std::path::PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        if self.0.as_os_str().is_empty() {
            return; // handed on to the next server
        }
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Server {
    fn start(durability: &str) -> Result<Self> {
        Self::start_with(durability, &[])
    }

    pub(crate) fn start_with(durability: &str, settings: &[&str]) -> Result<Self> {
        Self::start_under(&[], durability, settings)
    }

    /// As [`Server::start_with`], by the words of `prefix` before the program's own.
    pub(crate) fn start_under(prefix: &[String], durability: &str, settings: &[&str]) -> Result<Self> {
        let folder = Folder(target().join("bench-data"));
        let _ = std::fs::remove_dir_all(&folder.0);
        std::fs::create_dir_all(&folder.0)?;
        Self::start_in(folder, prefix, durability, settings)
    }

    /// Ends the process as a signal does and starts another on the same folder.
    fn restart(mut self) -> Result<Self> {
        run_command(Command::new("kill").args(["-TERM", &self.child.id().to_string()]))?;
        self.child.wait()?;
        let folder = Folder(std::mem::take(&mut self.folder.0));
        Self::start_in(folder, &[], "power", &[])
    }

    fn start_in(folder: Folder, prefix: &[String], durability: &str, settings: &[&str]) -> Result<Self> {
        let log = folder.0.join("log");
        let began = Instant::now();
        // another one may be measured with the same bench: what came before
        let program = std::env::var_os("TW_BENCH_BINARY").unwrap_or_else(|| target().join("release/tidewater").into());
        let mut words = prefix.iter().map(std::ffi::OsString::from).chain([program]);
        let child = Command::new(words.next().context("a program")?)
            .args(words)
            .args(["serve", "--set", "server.port=0", "--set"])
            .arg(format!("storage.local_path={}", folder.0.join("data").display()))
            .args(["--set", &format!("ingest.durability={durability}")])
            .args(settings.iter().flat_map(|s| ["--set", s]))
            .env("TIDEWATER_AUTH_BOOTSTRAP_TOKEN", TOKEN)
            .stderr(std::fs::File::create(&log)?)
            .stdout(Stdio::null())
            .current_dir(root())
            .spawn()
            .context("cannot start the server")?;
        loop {
            let text = std::fs::read_to_string(&log)?;
            if let Some(address) =
                text.split("ready url=\"http://").nth(1).and_then(|t| t.split_once('"')).map(|(a, _)| a)
            {
                return Ok(Self { child, address: address.to_owned(), ready_after: began.elapsed(), folder });
            }
            ensure!(began.elapsed() < Duration::from_secs(20), "the server did not start:\n{text}");
            std::thread::sleep(LOOK_EVERY);
        }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn ask(&self, method: &str, path: &str, body: &[u8]) -> Result<String> {
        let mut response = ureq::http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .header("authorization", format!("Bearer {TOKEN}"))
            .body(body)
            .map_err(anyhow::Error::from)
            .and_then(|r| Ok(ureq::run(r)?))?;
        Ok(response.body_mut().read_to_string()?)
    }

    pub(crate) fn peak_rss_mib(&self) -> Result<u64> {
        self.memory_mib("VmHWM:")
    }

    pub(crate) fn memory_mib(&self, what: &str) -> Result<u64> {
        memory_mib(self.child.id(), what)
    }
}

/// A line of a process' status: `VmRSS:`, `VmHWM:`.
pub(crate) fn memory_mib(pid: u32, what: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|l| l.starts_with(what)).with_context(|| format!("no {what}"))?;
    Ok(line.split_whitespace().nth(1).context("no value")?.parse::<u64>()? >> 10)
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// User and system CPU seconds of a process so far.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    Ok((ticks(11) + ticks(12)) / 100.0)
}

fn shapes() -> Vec<Shape> {
    let columnar = |name, rows: u64| Shape { name, path: "/api/v1/write/msgpack", rows, body: columnar(rows) };
    let lines = |name, rows: u64| Shape { name, path: "/api/v1/write/line-protocol", rows, body: lines(rows) };
    vec![
        columnar("columnar, 1 000 rows", 1_000),
        columnar("columnar, 10 000 rows", 10_000),
        lines("line protocol, 1 000", 1_000),
        lines("line protocol, 1", 1),
        Shape {
            name: "line protocol, 1 000 sparse columns",
            path: "/api/v1/write/line-protocol",
            rows: 1_000,
            body: sparse(),
        },
    ]
}

/// A fixed sequence of numbers: the same bodies in every run.
fn numbers() -> impl FnMut() -> u64 {
    let mut state = 7u64;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    }
}

/// The begin of a column of so many values: its short name, and an array that follows.
pub(crate) fn column(out: &mut Vec<u8>, name: &str, rows: u64) {
    out.push(0xa0 | name.len() as u8);
    out.extend(name.as_bytes());
    out.push(0xdd);
    out.extend((rows as u32).to_be_bytes());
}

pub(crate) fn columnar(rows: u64) -> Vec<u8> {
    let mut next = numbers();
    let mut out = vec![0x82, 0xa1, b'm', 0xa5];
    out.extend(b"bench");
    out.push(0xa7);
    out.extend(b"columns");
    out.push(0x86);
    column(&mut out, "time", rows);
    for i in 0..rows {
        out.push(0xcf);
        out.extend((1_767_225_600_000_000 + i * 1_000).to_be_bytes());
    }
    for (name, values) in [("host", 1_000), ("region", 3)] {
        column(&mut out, name, rows);
        for _ in 0..rows {
            let text = format!("{name}{:03}", next() % values);
            out.push(0xa0 | text.len() as u8);
            out.extend(text.as_bytes());
        }
    }
    for name in ["usage_idle", "usage_user", "usage_system"] {
        column(&mut out, name, rows);
        for _ in 0..rows {
            out.push(0xcb);
            out.extend((next() as f64 / 2e7).to_be_bytes());
        }
    }
    out
}

pub(crate) fn lines(rows: u64) -> Vec<u8> {
    let mut next = numbers();
    let mut out = String::new();
    for i in 0..rows {
        let mut value = || next() as f64 / 2e7;
        let (a, b, c) = (value(), value(), value());
        out += &format!(
            "bench,host=server{:03},region=r{} usage_idle={a:.6},usage_user={b:.6},usage_system={c:.6} {}\n",
            i * 7_919 % 1_000,
            i % 3,
            1_767_225_600_000_000_000 + i * 1_000_000
        );
    }
    out.into_bytes()
}

/// Every row has one of a thousand fields.
fn sparse() -> Vec<u8> {
    let line = |i: u64| format!("bench,host=h{} field_{i}={i} {}\n", i % 10, 1_767_225_600_000_000_000 + i);
    (0..1_000).map(line).collect::<String>().into_bytes()
}
