use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use comfy_table::Table;
use model::{Clock as _, SystemClock};
use serde_json::Value;
use store::doctor::{Finding, Verdict, examine};

use crate::client::{Server, text};

#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    server: Server,
    /// Print what the server says, as it says it
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct Doctor {
    /// The server's folder (storage.local_path), running or stopped
    #[arg(default_value = "./data/tidewater")]
    folder: PathBuf,
    /// Read every file against its checksum, which takes a while
    #[arg(long)]
    deep: bool,
}

/// Bytes as people read them.
pub fn bytes(value: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (value.max(0.0), 0);
    while value >= 1024.0 && unit + 1 < units.len() {
        (value, unit) = (value / 1024.0, unit + 1);
    }
    if unit == 0 { format!("{value:.0} B") } else { format!("{value:.1} {}", units[unit]) }
}

/// `tidewater status`: what a running server does, in a page; fails when it is not ready.
pub fn run(options: &Options) -> Result<()> {
    let server = &options.server;
    let health = server.ask("GET", "/health", &[], None)?;
    let ready = server.answer("GET", "/ready", &[], None)?.body;
    let metrics = server.ask("GET", "/api/v1/metrics", &[], None)?;
    let jobs = server.ask("GET", "/api/v1/jobs", &[], None)?;
    if options.json {
        let all = serde_json::json!({"health": health, "ready": ready, "metrics": metrics, "jobs": jobs});
        println!("{}", serde_json::to_string_pretty(&all)?);
    } else {
        println!("{}", page(server, &health, &ready, &metrics, &jobs));
    }
    if ready["ready"] == true { Ok(()) } else { bail!("not ready: {}", text(&ready["reason"])) }
}

fn page(server: &Server, health: &Value, ready: &Value, metrics: &Value, jobs: &Value) -> Table {
    let number = |name: &str| metrics[name].as_f64().unwrap_or(f64::NAN);
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::UTF8_FULL_CONDENSED);
    let mut line = |what: &str, value: String| {
        table.add_row([what.to_owned(), value]);
    };
    line("server", format!("{}  version {}  up {}", server.url, text(&health["version"]), text(&health["uptime"])));
    line(
        "ready",
        match ready["ready"] == true {
            true => "yes".into(),
            false => format!("no: {}", text(&ready["reason"])),
        },
    );
    line(
        "rows",
        format!(
            "{} accepted since the start; {} not yet in files, the oldest for {:.0} s",
            number("arc_ingest_records_total"),
            number("arc_buffer_records_buffered"),
            number("tidewater_unflushed_age_seconds")
        ),
    );
    line(
        "tables",
        format!(
            "{} in {} databases, {} files, {}",
            number("tidewater_tables"),
            number("tidewater_databases"),
            number("tidewater_files"),
            bytes(number("tidewater_file_bytes"))
        ),
    );
    line(
        "memory",
        format!(
            "{} of a budget of {}; hot rows {} of {}",
            bytes(number("process_resident_memory_bytes")),
            bytes(number("tidewater_memory_budget_bytes")),
            bytes(number("tidewater_hot_bytes")),
            bytes(number("tidewater_hot_budget_bytes"))
        ),
    );
    line(
        "disk",
        format!(
            "{} free, writes stop below {}; log {}",
            bytes(number("tidewater_disk_free_bytes")),
            bytes(number("tidewater_disk_min_free_bytes")),
            bytes(number("tidewater_log_bytes"))
        ),
    );
    line(
        "queries",
        format!(
            "{} run, {} wait, {} slots; {} asked, {} failed",
            number("tidewater_query_running"),
            number("tidewater_query_waiting"),
            number("tidewater_query_slots"),
            number("arc_query_requests_total"),
            number("arc_query_errors_total")
        ),
    );
    let empty = Vec::new();
    let tasks = jobs["tasks"].as_array().unwrap_or(&empty);
    for task in tasks.iter().filter(|t| t["consecutive_errors"].as_u64().unwrap_or(0) > 0) {
        let times = &task["consecutive_errors"];
        line("failing", format!("{}, {times} times in a row: {}", text(&task["name"]), text(&task["last_error"])));
    }
    for job in jobs["jobs"].as_array().unwrap_or(&empty).iter().filter(|j| j["state"] == "running") {
        let progress = &job["progress"];
        line("job", format!("{} {}: {} of {}", text(&job["kind"]), job["id"], progress["done"], progress["total"]));
    }
    table
}

/// `tidewater doctor`: what is wrong with a folder, and what to do; fails when something is.
pub fn doctor(options: &Doctor) -> Result<()> {
    let findings = examine(&options.folder, options.deep, SystemClock.now_us());
    for Finding { verdict, what, text, advice } in &findings {
        let mark = match verdict {
            Verdict::Fine => "ok  ",
            Verdict::Odd => "warn",
            Verdict::Bad => "BAD ",
        };
        println!("{mark} {what}: {text}");
        if let Some(advice) = advice {
            println!("     → {advice}");
        }
    }
    let bad = findings.iter().filter(|f| f.verdict == Verdict::Bad).count();
    if bad == 0 { Ok(()) } else { bail!("{bad} things need a hand") }
}
