//! `cargo xtask fuzz`: libFuzzer on every decoder and door, with seeds that are committed and a corpus that is not.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::{cargo, root, target};

pub const DECODERS: [&str; 9] =
    ["msgpack", "line_protocol", "tle", "csv", "parquet", "inflate", "record", "params", "schedule"];
/// Those of SQL.
pub const OF_SQL: [&str; 2] = ["sql", "condition"];
/// What cargo-fuzz hands to rustc: coverage by blocks and comparisons, and the address sanitizer.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Zsanitizer=address --cfg fuzzing -Ccodegen-units=16";

#[derive(Debug, Args)]
pub struct Options {
    /// Targets [default: all]
    pub targets: Vec<String>,
    /// Executions of each
    #[arg(long, default_value_t = 2_000_000)]
    pub runs: u64,
    /// Seconds of each at most
    #[arg(long, default_value_t = 3_600)]
    pub seconds: u64,
    #[arg(long, default_value_t = 1)]
    pub seed: u32,
}

/// Builds and runs targets, prints a row of a table for each, and fails when one found something; the executions of
/// each.
pub fn run(options: &Options) -> Result<Vec<String>> {
    let toolchains = Command::new("rustup").args(["toolchain", "list"]).output().context("rustup is needed")?;
    let has_nightly = String::from_utf8_lossy(&toolchains.stdout).lines().any(|line| line.starts_with("nightly"));
    ensure!(has_nightly, "libFuzzer needs a nightly toolchain: rustup toolchain install nightly");
    let known = [&DECODERS[..], &OF_SQL].concat();
    let wanted: Vec<&str> = match options.targets.as_slice() {
        [] => known.clone(),
        named => named.iter().map(String::as_str).collect(),
    };
    if let Some(unknown) = wanted.iter().find(|name| !known.contains(name)) {
        bail!("there is no target {unknown:?}: {}", known.join(", "));
    }
    let place = target().join("fuzz");
    println!("| target | executions | seconds | a second | covered edges | findings |\n|---|---|---|---|---|---|");
    let (mut found, mut ran) = (Vec::new(), Vec::new());
    for name in wanted {
        let binary = build(name, &place)?;
        let corpus = place.join("corpus").join(name);
        let artifacts = place.join("artifacts").join(name);
        fs::create_dir_all(&corpus)?;
        fs::create_dir_all(&artifacts)?;
        let seeds = root().join("fuzz/seeds").join(name);
        ensure!(seeds.is_dir(), "{} is missing", seeds.display());
        let output = Command::new(binary)
            .arg(&corpus)
            .arg(&seeds)
            .arg(format!("-runs={}", options.runs))
            .arg(format!("-max_total_time={}", options.seconds))
            .arg(format!("-seed={}", options.seed))
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            // each stack that allocates is kept for ever, and a parser that descends has a great many
            .env("ASAN_OPTIONS", "malloc_context_size=1")
            .args(["-max_len=4096", "-timeout=20", "-rss_limit_mb=2560", "-print_final_stats=1", "-close_fd_mask=1"])
            .stdout(Stdio::null())
            .output()?;
        let text = String::from_utf8_lossy(&output.stderr);
        let last = |key: &str| {
            let number = |line: &str| line.split(key).nth(1)?.split_whitespace().next().map(str::to_owned);
            text.lines().rev().find_map(number).unwrap_or_default()
        };
        let (executions, rate, edges) =
            (last("stat::number_of_executed_units:"), last("stat::average_exec_per_sec:"), last(" cov: "));
        let seconds =
            text.lines().find_map(|line| line.strip_prefix("Done ")?.split(" runs in ").nth(1)?.split(' ').next());
        let verdict = if output.status.success() { "0" } else { "1" };
        println!("| {name} | {executions} | {} | {rate} | {edges} | {verdict} |", seconds.unwrap_or("?"));
        ran.push(format!("{name} {executions}"));
        if !output.status.success() {
            let shown: Vec<&str> = text.lines().rev().take(40).collect();
            eprintln!("{}", shown.into_iter().rev().collect::<Vec<_>>().join("\n"));
            found.push(format!("{name} (see {})", artifacts.display()));
        }
    }
    ensure!(found.is_empty(), "found: {}", found.join(", "));
    Ok(ran)
}

fn build(name: &str, place: &std::path::Path) -> Result<PathBuf> {
    let host = Command::new("rustc").args(["+nightly", "-vV"]).output().context("rustc +nightly")?;
    let host = String::from_utf8_lossy(&host.stdout);
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    let mut command = cargo();
    command.args([
        "+nightly",
        "build",
        "--release",
        "--manifest-path",
        "fuzz/Cargo.toml",
        "--target",
        host,
        "--bin",
        name,
    ]);
    // the cargo that runs this program names its own toolchain
    for variable in ["RUSTUP_TOOLCHAIN", "RUSTC", "RUSTDOC", "CARGO"] {
        command.env_remove(variable);
    }
    command.env("RUSTFLAGS", FLAGS).env("CARGO_TARGET_DIR", place.join("build")).current_dir(root());
    ensure!(command.status()?.success(), "{name} cannot be built");
    Ok(place.join("build").join(host).join("release").join(name))
}
