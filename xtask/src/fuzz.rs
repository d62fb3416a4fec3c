//! `cargo xtask fuzz`: libFuzzer on every decoder and door, with seeds that are committed and a corpus that is not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::{cargo, root, target, torture};

/// Executions of a part, and the seconds it may take.
const PART: u64 = 250_000;
const PART_SECONDS: u64 = 1_800;
/// What a finding hangs on.
const SOURCES: [&str; 6] = ["crates/model", "crates/wire", "crates/store", "crates/query", "fuzz", "Cargo.lock"];
/// What cargo-fuzz hands to rustc: coverage by blocks and comparisons, and the address sanitizer.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Zsanitizer=address --cfg fuzzing -Ccodegen-units=16";
/// Each stack that allocates is kept for ever, and a parser that descends has a great many: the last frame is enough, the
/// artifact tells the rest. 8 MiB that were freed last, some thousand inputs' worth, wait for a use that comes too late.
const ASAN_OPTIONS: &str = "malloc_context_size=1:quarantine_size_mb=8:thread_local_quarantine_size_kb=64";

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

const HEAD: &str = "| target | executions | seconds | a second | covered edges | findings |\n|---|---|---|---|---|---|";

/// Builds and runs targets, prints a row of a table for each, and fails when one found something.
pub fn run(options: &Options) -> Result<()> {
    let known = torture::fuzzed_targets();
    let wanted: Vec<&str> = match options.targets.as_slice() {
        [] => known.clone(),
        named => named.iter().map(String::as_str).collect(),
    };
    if let Some(unknown) = wanted.iter().find(|name| !known.contains(name)) {
        bail!("there is no target {unknown:?}: {}", known.join(", "));
    }
    println!("{HEAD}");
    let mut found = Vec::new();
    for name in wanted {
        let ran = try_target(name, &build(name)?, options.runs, options.seconds, options.seed)?;
        found.extend(ran.finding.map(|finding| format!("{name} (see {finding})")));
    }
    ensure!(found.is_empty(), "found: {}", found.join(", "));
    Ok(())
}

/// Runs a target so many times, in parts that are kept for the next try of the same sources; what came of it.
pub fn in_parts(name: &str, runs: u64, seed: u64) -> Result<String> {
    let sources = torture::sources(&SOURCES)?;
    let place = target().join("torture/fuzz").join(sources.as_deref().unwrap_or("not-committed"));
    if sources.is_none() && place.exists() {
        fs::remove_dir_all(&place)?;
    }
    fs::create_dir_all(&place)?;
    println!("{HEAD}");
    let done = |part: u64| place.join(format!("{name}-{seed}-{part}"));
    let parts = 0..runs.div_ceil(PART);
    let missing: Vec<u64> = parts.clone().filter(|part| !done(*part).exists()).collect();
    let binary = if missing.is_empty() { PathBuf::new() } else { build(name)? };
    for part in missing {
        // each part by chance of its own
        let ran = try_target(name, &binary, PART, PART_SECONDS, (seed * 1_000 + part) as u32)?;
        if let Some(finding) = ran.finding {
            bail!("{name} found something: see {finding}");
        }
        ensure!(ran.executions >= PART, "{name}: {} executions in {PART_SECONDS} s, not {PART}", ran.executions);
        fs::write(done(part), ran.executions.to_string())?;
    }
    let executions = parts.map(|part| Ok(fs::read_to_string(done(part))?.parse::<u64>()?)).sum::<Result<u64>>()?;
    Ok(format!("{executions} executions in parts of {PART}, 0 findings"))
}

struct Ran {
    executions: u64,
    finding: Option<String>,
}

/// Runs a target, and prints a row.
fn try_target(name: &str, binary: &Path, runs: u64, seconds: u64, seed: u32) -> Result<Ran> {
    let (corpus, artifacts) = (place().join("corpus").join(name), place().join("artifacts").join(name));
    fs::create_dir_all(&corpus)?;
    fs::create_dir_all(&artifacts)?;
    let seeds = root().join("fuzz/seeds").join(name);
    ensure!(seeds.is_dir(), "{} is missing", seeds.display());
    let output = Command::new(binary)
        .arg(&corpus)
        .arg(&seeds)
        .arg(format!("-runs={runs}"))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-seed={seed}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .env("ASAN_OPTIONS", ASAN_OPTIONS)
        .args([
            "-max_len=4096",
            // without it most time goes to inputs like the one that reaches the parser's bound
            "-entropic_scale_per_exec_time=1",
            "-timeout=20",
            "-rss_limit_mb=2560",
            "-print_funcs=0",
            "-print_final_stats=1",
            "-close_fd_mask=1",
        ])
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
    let findings = u8::from(!output.status.success());
    println!("| {name} | {executions} | {} | {rate} | {edges} | {findings} |", seconds.unwrap_or("?"));
    if !output.status.success() {
        let shown: Vec<&str> = text.lines().rev().take(40).collect();
        eprintln!("{}", shown.into_iter().rev().collect::<Vec<_>>().join("\n"));
    }
    let finding = (!output.status.success()).then(|| artifacts.display().to_string());
    Ok(Ran { executions: executions.parse().unwrap_or(0), finding })
}

fn place() -> PathBuf {
    target().join("fuzz")
}

fn build(name: &str) -> Result<PathBuf> {
    let toolchains = Command::new("rustup").args(["toolchain", "list"]).output().context("rustup is needed")?;
    let has_nightly = String::from_utf8_lossy(&toolchains.stdout).lines().any(|line| line.starts_with("nightly"));
    ensure!(has_nightly, "libFuzzer needs a nightly toolchain: rustup toolchain install nightly");
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
    command.env("RUSTFLAGS", FLAGS).env("CARGO_TARGET_DIR", place().join("build")).current_dir(root());
    ensure!(command.status()?.success(), "{name} cannot be built");
    Ok(place().join("build").join(host).join("release").join(name))
}
