//! What a backup of a large folder costs while the server takes writes.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::bench::{Server, column, lines, memory_mib, rate};
use crate::target;

const ROWS: u64 = 10_000;
const FIELDS: u64 = 20;

/// Rows that nothing compresses: `FIELDS` random floats each, a time that goes on from body to body.
fn noise(state: &mut u64, first_row: u64) -> Vec<u8> {
    let mut out = b"\x82\xa1m\xa5noise\xa7columns\xde".to_vec();
    out.extend((FIELDS as u16 + 1).to_be_bytes());
    column(&mut out, "time", ROWS);
    for row in first_row..first_row + ROWS {
        out.push(0xcf);
        out.extend((1_767_225_600_000_000 + row * 1_000).to_be_bytes());
    }
    for field in 0..FIELDS {
        column(&mut out, &format!("f{field}"), ROWS);
        for _ in 0..ROWS {
            // xorshift64; an exponent of 1023 makes each pattern a number
            *state ^= *state << 13;
            *state ^= *state >> 7;
            *state ^= *state << 17;
            out.push(0xcb);
            out.extend((*state >> 12 | 1023 << 52).to_be_bytes());
        }
    }
    out
}

fn live_bytes(server: &Server) -> Result<u64> {
    let page: Value = serde_json::from_str(&server.ask("GET", "/api/v1/metrics", b"")?)?;
    page["tidewater_file_bytes"].as_f64().map(|b| b as u64).context("no bytes of files")
}

/// `cargo xtask bench backup`: so many GiB, copied, checked and restored; writes go on meanwhile.
pub fn run(gib: u64) -> Result<()> {
    let server = Server::start_with("process", &["memory.budget=1GiB"])?;
    fill(&server, gib << 30)?;
    let folder = target().join("bench-backup");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder)?;
    let [first, second, restored] = ["first", "second", "restored"].map(|n| folder.join(n).display().to_string());
    println!("| step | GiB | seconds | MiB/s | RSS before MiB | most MiB |\n|---|---|---|---|---|---|");
    let body = lines(100);
    let path = "/api/v1/write/line-protocol";
    let alone = rate(&server, path, &body, 1, Duration::from_secs(5))?;
    let stop = AtomicBool::new(false);
    let meanwhile = std::thread::scope(|scope| -> Result<f64> {
        let writer = scope.spawn(|| -> Result<f64> {
            let (mut sent, began) = (0u32, Instant::now());
            while !stop.load(Relaxed) {
                sent += 1;
                server.ask("POST", path, &body)?;
            }
            Ok(f64::from(sent) / began.elapsed().as_secs_f64())
        });
        let taken = take(&server, "backup, copied", &json!({"path": first, "copy": true})).and_then(|()| {
            take(&server, "against it, copied", &json!({"path": second, "against": first, "copy": true}))
        });
        stop.store(true, Relaxed);
        let wrote = writer.join().expect("the writer does not panic")?;
        taken.map(|()| wrote)
    })?;
    drop(server);
    by_hand("verify", &["backup", "verify", &first], &first)?;
    by_hand("restore", &["restore", &first, &restored], &restored)?;
    println!("\nwrites of 100 lines a second, one connection: {alone:.0} alone, {meanwhile:.0} beside the backups");
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

/// Writes until the files hold so many bytes.
fn fill(server: &Server, bytes: u64) -> Result<()> {
    let style = ProgressStyle::with_template("{wide_bar} {bytes} {bytes_per_sec} {eta}")?;
    let bar = ProgressBar::new(bytes).with_style(style);
    let (mut state, mut rows, mut live) = (88_172_645_463_325_252, 0, 0);
    while live < bytes {
        // what is missing, and a little for what compression takes after all
        let goal = rows * FIELDS * 8 + (bytes - live) + bytes / 50;
        while rows * FIELDS * 8 < goal {
            match server.ask("POST", "/api/v1/write/msgpack", &noise(&mut state, rows)) {
                Ok(_) => rows += ROWS,
                // memory is full: flushes go on
                Err(_) => std::thread::sleep(Duration::from_millis(200)),
            }
            bar.set_position(rows * FIELDS * 8);
        }
        server.ask("POST", "/api/v1/write/line-protocol/flush", b"")?;
        live = live_bytes(server)?;
    }
    bar.finish_and_clear();
    Ok(())
}

fn row(step: &str, bytes: u64, took: Duration, before_mib: u64, most_mib: u64) {
    let (gib, seconds) = (bytes as f64 / (1u64 << 30) as f64, took.as_secs_f64());
    println!("| {step} | {gib:.2} | {seconds:.1} | {:.0} | {before_mib} | {most_mib} |", gib * 1024.0 / seconds);
}

/// One backup over HTTP, its status asked until it ends.
fn take(server: &Server, step: &str, ask: &Value) -> Result<()> {
    let (before_mib, began) = (server.memory_mib("VmRSS:")?, Instant::now());
    server.ask("POST", "/api/v1/backup", ask.to_string().as_bytes())?;
    let mut most_mib = before_mib;
    let status = loop {
        let status: Value = serde_json::from_str(&server.ask("GET", "/api/v1/backup/status", b"")?)?;
        most_mib = most_mib.max(server.memory_mib("VmRSS:")?);
        if status["status"] != "running" {
            break status;
        }
        std::thread::sleep(Duration::from_millis(50)); // the pace of the probe
    };
    ensure!(status["status"] == "completed", "{status}");
    row(step, status["processed_bytes"].as_u64().context("no bytes")?, began.elapsed(), before_mib, most_mib);
    Ok(())
}

/// A command of the program itself, its memory watched.
fn by_hand(step: &str, words: &[&str], folder: &str) -> Result<()> {
    let began = Instant::now();
    let mut child = Command::new(target().join("release/tidewater")).args(words).stdout(Stdio::null()).spawn()?;
    let mut most_mib = 0;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        // none in the moment of its end
        most_mib = most_mib.max(memory_mib(child.id(), "VmHWM:").unwrap_or(0));
        std::thread::sleep(Duration::from_millis(50)); // the pace of the probe
    };
    ensure!(status.success(), "{step} failed: {status}");
    let took = began.elapsed();
    row(step, bytes_below(folder.as_ref())?, took, 0, most_mib);
    Ok(())
}

fn bytes_below(folder: &std::path::Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        bytes += if meta.is_dir() { bytes_below(&entry.path())? } else { meta.len() };
    }
    Ok(bytes)
}
