//! What tokens, the query pool and the cache of answers cost and spare.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::bench::{Server, TOKEN, cpu_seconds, lines, rate};

const ROUNDS: usize = 5;

/// One connection that asks again and again.
struct Caller {
    stream: TcpStream,
    token: String,
}

impl Caller {
    fn new(server: &Server, token: &str) -> Result<Self> {
        let stream = TcpStream::connect(server.address())?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, token: token.to_owned() })
    }

    /// Microseconds until the whole answer, which must be 200, is there.
    fn ask(&mut self, method: &str, path: &str, headers: &str, body: &str) -> Result<f64> {
        let (token, length) = (&self.token, body.len());
        let began = Instant::now();
        write!(
            self.stream,
            "{method} {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        )?;
        let mut answer = Vec::new();
        let mut part = [0; 16 << 10];
        loop {
            let n = self.stream.read(&mut part)?;
            ensure!(n > 0, "the server closed the connection");
            answer.extend_from_slice(&part[..n]);
            let Some(head) = answer.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
            let text = String::from_utf8_lossy(&answer[..head]).to_ascii_lowercase();
            let length =
                text.split("content-length: ").nth(1).and_then(|t| t.split("\r\n").next()?.parse::<usize>().ok());
            let is_whole = match length {
                Some(length) => answer.len() >= head + 4 + length,
                None => answer.ends_with(b"0\r\n\r\n"),
            };
            if is_whole {
                ensure!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
                return Ok(began.elapsed().as_secs_f64() * 1e6);
            }
        }
    }
}

fn at(times: &mut [f64], share: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    times[((times.len() - 1) as f64 * share) as usize]
}

/// `cargo xtask bench auth`: small writes with and without tokens, in turns; one token against more than the cache holds.
pub fn auth() -> Result<()> {
    const CONNECTIONS: usize = 4;
    let body = lines(1);
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for (setting, rates) in [("auth.enabled=true", &mut with), ("auth.enabled=false", &mut without)] {
            let server = Server::start_with("process", &[setting])?;
            rates.push(rate(&server, "/api/v1/write/line-protocol", &body, CONNECTIONS, Duration::from_secs(3))?);
        }
    }
    let (with, without) = (at(&mut with, 0.5), at(&mut without, 0.5));
    println!("| writes of one line, {CONNECTIONS} connections, median of {ROUNDS} | requests/s |\n|---|---|");
    println!("| with tokens | {with:.0} |\n| without | {without:.0} |\n| ratio | {:.3} |\n", with / without);

    const TOKENS: usize = 500;
    let server = Server::start_with("power", &["auth.max_cache_size=100"])?;
    let mut tokens = Vec::new();
    for n in 0..TOKENS {
        let made =
            server.ask("POST", "/api/v1/auth/tokens", json!({"name": format!("t{n}")}).to_string().as_bytes())?;
        let made: Value = serde_json::from_str(&made)?;
        tokens.push(made["token"].as_str().context("a token")?.to_owned());
    }
    let mut caller = Caller::new(&server, TOKEN)?;
    let (mut cached, mut looked_up) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for token in &tokens {
            caller.token = TOKEN.to_owned();
            cached.push(caller.ask("GET", "/api/v1/delete/config", "", "")?);
            caller.token.clone_from(token);
            looked_up.push(caller.ask("GET", "/api/v1/delete/config", "", "")?);
        }
    }
    println!("| a request, microseconds | p50 | p99 |\n|---|---|---|");
    for (name, times) in [("token in the cache", &mut cached), ("token looked up", &mut looked_up)] {
        println!("| {name} | {:.0} | {:.0} |", at(times, 0.5), at(times, 0.99));
    }
    Ok(())
}

const ENDLESS: &str = "SELECT sum(a.value * b.value) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b";

/// `cargo xtask bench pool`: what queries cost that wait for a slot.
pub fn pool() -> Result<()> {
    const WAITING: usize = 500;
    const SECONDS: u64 = 60;
    println!("| {SECONDS} s, one slot busy | CPU s | /health p50 µs | p99 µs |\n|---|---|---|---|");
    for waiting in [0, WAITING, 0, WAITING] {
        let settings =
            ["database.max_connections=1", "database.thread_count=1", "query.queue=1000", "query.timeout=600"];
        let server = Server::start_with("power", &settings)?;
        let body = json!({"sql": ENDLESS}).to_string();
        let mut connections = Vec::new();
        for _ in 0..=waiting {
            let mut stream = TcpStream::connect(server.address())?;
            let length = body.len();
            let head = format!("POST /api/v1/query HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {TOKEN}\r\n");
            write!(stream, "{head}Content-Length: {length}\r\n\r\n{body}")?;
            connections.push(stream);
        }
        let depth = || -> Result<u64> {
            let stats: Value = serde_json::from_str(&server.ask("GET", "/api/v1/metrics/query-pool", b"")?)?;
            stats["pool"]["queue_depth"].as_u64().context("a depth")
        };
        while depth()? < waiting as u64 {
            std::thread::yield_now();
        }
        let mut caller = Caller::new(&server, TOKEN)?;
        let (before, began, mut times) = (cpu_seconds(&server.pid())?, Instant::now(), Vec::new());
        while began.elapsed() < Duration::from_secs(SECONDS) {
            times.push(caller.ask("GET", "/health", "", "")?);
            std::thread::sleep(Duration::from_millis(100)); // the pace of the probe
        }
        let cpu = cpu_seconds(&server.pid())? - before;
        println!("| {waiting} waiting | {cpu:.2} | {:.0} | {:.0} |", at(&mut times, 0.5), at(&mut times, 0.99));
    }
    Ok(())
}

/// `cargo xtask bench cache`: the same query found and computed, in turns.
pub fn cache() -> Result<()> {
    let server = Server::start_with("power", &[])?;
    let body = crate::bench::columnar(10_000);
    for _ in 0..50 {
        server.ask("POST", "/api/v1/write/msgpack", &body)?;
    }
    server.ask("POST", "/api/v1/write/line-protocol/flush", b"")?;
    let mut caller = Caller::new(&server, TOKEN)?;
    println!("| 500 000 rows, microseconds | found p50 | p99 | computed p50 | p99 |\n|---|---|---|---|---|");
    for (name, sql) in [
        ("count and averages of 3 groups", "SELECT region, count(*), avg(usage_user) FROM bench GROUP BY region"),
        ("averages of 1 000 groups", "SELECT host, avg(usage_user), max(usage_idle) FROM bench GROUP BY host"),
        ("10 000 rows", "SELECT * FROM bench ORDER BY time LIMIT 10000"),
    ] {
        let body = json!({"sql": sql}).to_string();
        let (mut found, mut computed) = (Vec::new(), Vec::new());
        caller.ask("POST", "/api/v1/query", "", &body)?;
        for _ in 0..200 {
            found.push(caller.ask("POST", "/api/v1/query", "", &body)?);
            computed.push(caller.ask("POST", "/api/v1/query", "Cache-Control: no-cache\r\n", &body)?);
        }
        let [a, b] = [0.5, 0.99].map(|share| at(&mut found, share));
        let [c, d] = [0.5, 0.99].map(|share| at(&mut computed, share));
        println!("| {name} | {a:.0} | {b:.0} | {c:.0} | {d:.0} |");
    }
    Ok(())
}
