//! What tokens, the query pool and the cache of answers cost and spare.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::bench::{Server, TOKEN, cpu_seconds, lines, rate};
use crate::http::{Client, LOOK_EVERY, at};

const ROUNDS: usize = 5;

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
    let mut caller = Client::new(server.address());
    println!("| microseconds | whole request p50 | p99 | verification alone, mean |\n|---|---|---|---|");
    // two turns of each, so that the first does not pay for a cold server
    for (name, all) in [("token in the cache", false), ("token looked up", true)].repeat(2) {
        let (mut times, (count, seconds)) = (Vec::new(), verified(&server)?);
        for token in tokens.iter().cycle().take(TOKENS * ROUNDS) {
            caller.token = if all { token } else { TOKEN }.to_owned();
            times.push(caller.timed("GET", "/api/v1/delete/config", "", "")?);
        }
        let (counted, spent) = verified(&server)?;
        let alone = (spent - seconds) * 1e6 / (counted - count);
        println!("| {name} | {:.0} | {:.0} | {alone:.2} |", at(&mut times, 0.5), at(&mut times, 0.99));
    }
    Ok(())
}

/// How many tokens the server has verified, and the seconds that took it.
fn verified(server: &Server) -> Result<(f64, f64)> {
    let page = server.ask("GET", "/metrics", b"")?;
    let value = |name: &str| -> Result<f64> {
        let line = format!("tidewater_stage_seconds_{name}{{stage=\"verify\"}} ");
        let value = page.lines().find_map(|l| l.strip_prefix(&line)).with_context(|| format!("no {name}"))?;
        Ok(value.parse()?)
    };
    Ok((value("count")?, value("sum")?))
}

const ENDLESS: &str = "SELECT sum(a.generate_series * b.generate_series) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b";

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
            std::thread::sleep(LOOK_EVERY);
        }
        let mut caller = Client::new(server.address());
        let (before, began, mut times) = (cpu_seconds(server.pid())?, Instant::now(), Vec::new());
        while began.elapsed() < Duration::from_secs(SECONDS) {
            times.push(caller.timed("GET", "/health", "", "")?);
            std::thread::sleep(Duration::from_millis(100)); // the pace of the probe
        }
        let cpu = cpu_seconds(server.pid())? - before;
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
    let mut caller = Client::new(server.address());
    println!("| 500 000 rows, microseconds | found p50 | p99 | computed p50 | p99 |\n|---|---|---|---|---|");
    for (name, sql) in [
        ("count and averages of 3 groups", "SELECT region, count(*), avg(usage_user) FROM bench GROUP BY region"),
        ("averages of 1 000 groups", "SELECT host, avg(usage_user), max(usage_idle) FROM bench GROUP BY host"),
        ("10 000 rows", "SELECT * FROM bench ORDER BY time LIMIT 10000"),
    ] {
        let body = json!({"sql": sql}).to_string();
        let (mut found, mut computed) = (Vec::new(), Vec::new());
        caller.timed("POST", "/api/v1/query", "", &body)?;
        for _ in 0..200 {
            found.push(caller.timed("POST", "/api/v1/query", "", &body)?);
            computed.push(caller.timed("POST", "/api/v1/query", "Cache-Control: no-cache\r\n", &body)?);
        }
        let [a, b] = [0.5, 0.99].map(|share| at(&mut found, share));
        let [c, d] = [0.5, 0.99].map(|share| at(&mut computed, share));
        println!("| {name} | {a:.0} | {b:.0} | {c:.0} | {d:.0} |");
    }
    Ok(())
}
