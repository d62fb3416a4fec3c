//! What compaction, deletes and retention cost, and what they do to queries and writes meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::bench::{HOURS_A_FLUSH, Server, columnar, cpu_seconds, ingest_for};

const HOUR_NS: u64 = 3_600_000_000_000;
/// 2022-01-08T00:00Z.
const FIRST_HOUR: u64 = 456_000;
const LINES: &str = "/api/v1/write/line-protocol";
const FLUSH: &str = "/api/v1/write/line-protocol/flush";
const BY_HAND: [&str; 2] = ["compaction.enabled=false", "retention.enabled=false"];

/// `cargo xtask bench life`
pub fn run() -> Result<()> {
    merges()?;
    flat_queries()?;
    deletes()?;
    writes_meanwhile()
}

/// Rows a second that one merge rewrites, by the CPU that the server used for it.
fn merges() -> Result<()> {
    const FILES: u64 = 40;
    const REQUESTS: u64 = 5;
    let server = Server::start_with("power", &BY_HAND)?;
    let body = columnar(10_000);
    for _ in 0..FILES {
        for _ in 0..REQUESTS {
            server.ask("POST", "/api/v1/write/msgpack", &body)?;
        }
        server.ask("POST", FLUSH, b"")?;
    }
    let before_mib = server.memory_mib("VmRSS:")?;
    let cpu = cpu_seconds(server.pid())?;
    let began = Instant::now();
    server.ask("POST", "/api/v1/compaction/trigger?wait=true", b"")?;
    let elapsed = began.elapsed().as_secs_f64();
    let cpu = cpu_seconds(server.pid())? - cpu;
    let stats = json_of(&server.ask("GET", "/api/v1/compaction/stats", b"")?)?;
    let rows = stats["total_rows_compacted"].as_f64().context("no rows")?;
    ensure!(rows >= (FILES * REQUESTS * 10_000) as f64, "not everything was merged: {stats}");
    println!(
        "| merge | files | rows | rows/s | rows/s a core | RSS before MiB | peak RSS MiB |\n|---|---|---|---|---|---|---|"
    );
    println!(
        "| columnar, 6 columns | {FILES} | {rows} | {:.0} | {:.0} | {before_mib} | {} |\n",
        rows / elapsed,
        rows / cpu.max(0.01),
        server.peak_rss_mib()?
    );
    Ok(())
}

/// The time of a query over the last hour while a day of small flushes goes by.
fn flat_queries() -> Result<()> {
    const FLUSHES_AN_HOUR: u64 = 20;
    let server = Server::start_with("power", &["compaction.interval_ms=500"])?;
    println!("| hour | live files | median ms of 9 |\n|---|---|---|");
    let mut medians = Vec::new();
    for hour in 0..24 {
        let start = (FIRST_HOUR + hour) * HOUR_NS;
        for flush in 0..FLUSHES_AN_HOUR {
            let at = |row: u64| start + (flush * 100 + row) * HOUR_NS / (FLUSHES_AN_HOUR * 100);
            let line = |row: u64| format!("life,host=h{} v={row}i {}\n", row % 10, at(row));
            server.ask("POST", LINES, (0..100).map(line).collect::<String>().as_bytes())?;
            server.ask("POST", FLUSH, b"")?;
        }
        let sql = format!("SELECT host, avg(v) FROM life WHERE time >= '2022-01-08T{hour:02}:00:00Z' GROUP BY host");
        let body = json!({"sql": sql}).to_string();
        let mut times = Vec::new();
        for _ in 0..9 {
            let began = Instant::now();
            let answer = json_of(&server.ask("POST", "/api/v1/query", body.as_bytes())?)?;
            times.push(began.elapsed().as_secs_f64() * 1e3);
            ensure!(answer["row_count"] == json!(10), "{answer}");
        }
        times.sort_by(f64::total_cmp);
        medians.push(times[times.len() / 2]);
        if hour % 6 == 5 {
            println!("| {} | {} | {:.2} |", hour + 1, live_files(&server)?, times[times.len() / 2]);
        }
    }
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    println!("\nlast six hours to first six: {:.2}\n", mean(&medians[18..]) / mean(&medians[..6]));
    Ok(())
}

/// Files that a statement about time decides without reading one.
fn deletes() -> Result<()> {
    let server = Server::start_with("power", &BY_HAND)?;
    let mut made = 0;
    let mut make = |wanted: u64| -> Result<()> {
        while made < wanted {
            let line = |h: u64| format!("life,host=h{h} v={h}i {}\n", (FIRST_HOUR + made + h) * HOUR_NS);
            server.ask("POST", LINES, (0..HOURS_A_FLUSH).map(line).collect::<String>().as_bytes())?;
            server.ask("POST", FLUSH, b"")?;
            made += HOURS_A_FLUSH;
        }
        Ok(())
    };
    println!("| job | live files | files that went | ms |\n|---|---|---|---|");
    make(1_000)?;
    let before = live_files(&server)?;
    let body = json!({"database": "default", "measurement": "life", "confirm": true,
        "where": "time < '2022-01-29T00:00:00Z'"});
    let began = Instant::now();
    let deleted = server.ask("POST", "/api/v1/delete", body.to_string().as_bytes())?;
    let ms = began.elapsed().as_secs_f64() * 1e3;
    ensure!(json_of(&deleted)?["deleted_count"] == json!(21 * 24), "{deleted}");
    println!("| delete by time | {before} | {} | {ms:.0} |", before - live_files(&server)?);
    make(10_500)?;
    let before = live_files(&server)?;
    let policy = json!({"name": "all", "database": "default", "retention_days": 1, "buffer_days": 0});
    let policy = json_of(&server.ask("POST", "/api/v1/retention", policy.to_string().as_bytes())?)?;
    let began = Instant::now();
    let done = server.ask("POST", &format!("/api/v1/retention/{}/execute", policy["id"]), br#"{"confirm": true}"#)?;
    let ms = began.elapsed().as_secs_f64() * 1e3;
    let left = live_files(&server)?;
    ensure!(left == 0, "{left} files are left: {done}");
    println!("| retention | {before} | {before} | {ms:.0} |\n");
    Ok(())
}

/// Writes with merges beside them, against writes without; by turns, the median of three.
fn writes_meanwhile() -> Result<()> {
    let beside = ["compaction.interval_ms=100", "compaction.min_files=2", "ingest.max_buffer_age_ms=500"];
    let alone = ["compaction.enabled=false", "ingest.max_buffer_age_ms=500"];
    let (mut ratios, mut merged) = (Vec::new(), 0);
    for _ in 0..3 {
        let mut rows = Vec::new();
        for settings in [&beside[..], &alone[..]] {
            let server = Server::start_with("power", settings)?;
            rows.push(ingest_for(&server, 4, Duration::from_secs(8))?);
            let stats = json_of(&server.ask("GET", "/api/v1/compaction/stats", b"")?)?;
            merged += stats["total_rows_compacted"].as_u64().unwrap_or_default();
        }
        ratios.push(rows[0] / rows[1]);
    }
    ensure!(merged > 0, "nothing was merged meanwhile");
    ratios.sort_by(f64::total_cmp);
    println!("writes while merging to writes alone: {:.2} (rows merged meanwhile: {merged})", ratios[1]);
    Ok(())
}

fn live_files(server: &Server) -> Result<u64> {
    let list = json_of(&server.ask("GET", "/api/v1/databases/default/measurements", b"")?)?;
    list["measurements"][0]["file_count"].as_u64().context("no count")
}

fn json_of(text: &str) -> Result<Value> {
    serde_json::from_str(text).with_context(|| format!("not JSON: {text}"))
}
