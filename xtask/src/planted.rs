//! The proof is proved: faults that are planted one at a time, each of which a named run has to catch.
//!
//! `xtask/planted.patch` has all of them, each behind a name that an environment variable says; it is applied to a copy of
//! the committed sources, never to the checkout.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

use crate::{cargo_test, python_environment, root, target};

/// What is wrong, and what sees it.
struct Fault {
    /// What `TW_PLANTED` says.
    name: &'static str,
    what: &'static str,
    /// The package whose tests see it.
    package: &'static str,
    test: &'static str,
    /// Times that the test does what it does, where it can be told.
    amount: Option<u64>,
}

const FAULTS: [Fault; 12] = [
    fault(
        "acknowledge-before-sync",
        "a write is acknowledged before its record is synced",
        SERVER,
        "crash::t20_t22",
        Some(24),
    ),
    fault(
        "release-before-commit",
        "the log is released while a flush has not committed",
        STORE,
        "catalog::tests::a_flush_that_cannot_commit_keeps_its_log",
        None,
    ),
    fault("no-folder-sync", "the folder is not synced after a file got its name", SERVER, "faults::b8", None),
    fault("second-table-forgotten", "replay forgets a request's second table", SERVER, "crash::t20_t22", Some(24)),
    fault(
        "insert-out-of-order",
        "records become visible out of order, so that a seal comes between",
        STORE,
        "catalog::tests::lsn_100_inserted_before_99_sealed_at_100",
        None,
    ),
    fault(
        "lsn-restarts",
        "numbers begin anew below the watermark when the log is gone",
        STORE,
        "catalog::tests::in_process_mode_a_flushed_row_is_younger_than_the_log_that_survives",
        None,
    ),
    fault(
        "panic-after-commit",
        "a panic between COMMIT and the swap of the View is survived",
        STORE,
        "model_tests::",
        Some(200),
    ),
    fault(
        "filter-below-dedup",
        "a field's filter goes below the choice of the newest version",
        SERVER,
        "points::t51",
        None,
    ),
    fault(
        "stale-token-accepted",
        "a commit under a lock that was lost is accepted",
        STORE,
        "catalog::locks::tests::m1_ranges_that_overlap_exclude_each_other_and_tokens_rise",
        None,
    ),
    fault("nulls-deleted", "a delete takes the rows for which its condition is NULL", SERVER, "deletes::t52_d1", None),
    fault(
        "cache-key-without-hot",
        "the key of a cached answer lacks the version of the hot rows",
        SERVER,
        "cache::t43",
        None,
    ),
    fault(
        "late-after-retention",
        "a late row computes a window anew whose source rows retention has taken",
        SERVER,
        "continuous::",
        None,
    ),
];

const SERVER: &str = "tidewater";
const STORE: &str = "tidewater-store";

const fn fault(
    name: &'static str,
    what: &'static str,
    package: &'static str,
    test: &'static str,
    amount: Option<u64>,
) -> Fault {
    Fault { name, what, package, test, amount }
}

const VERSION: &str = "version = \"0.1.0\"";

fn patch() -> PathBuf {
    root().join("xtask/planted.patch")
}

/// The patch still fits the sources.
pub fn check() -> Result<()> {
    let said = Command::new("git").args(["apply", "--check"]).arg(patch()).current_dir(root()).output()?;
    ensure!(said.status.success(), "xtask/planted.patch does not apply: {}", String::from_utf8_lossy(&said.stderr));
    Ok(())
}

/// `cargo xtask torture planted`: a line of the page for each fault.
pub fn run(seed: u64) -> Result<Vec<String>> {
    // outside the target folder, and of another version: cargo must never take a build of one for one of the other
    let copy = std::env::temp_dir().join(format!("tidewater-planted-{}", std::process::id()));
    let _ = fs::remove_dir_all(&copy);
    fs::create_dir_all(&copy)?;
    let archive = format!("git archive HEAD | tar -x -C '{}'", copy.display());
    crate::run(Command::new("sh").args(["-c", &archive]))?;
    let applied = Command::new("git").arg("apply").arg(patch()).current_dir(&copy).status()?;
    ensure!(applied.success(), "the patch does not apply to the committed sources");
    let manifest = copy.join("Cargo.toml");
    let text = fs::read_to_string(&manifest)?;
    ensure!(text.contains(VERSION), "the workspace's version is not {VERSION}");
    fs::write(&manifest, text.replacen(VERSION, "version = \"0.1.0-planted\"", 1))?;
    let mut build = tests(&copy);
    build.arg("--no-run");
    ensure!(build.status()?.success(), "the sources with the faults do not build");
    // a build of the checkout would take its name
    let binary = copy.join("tidewater");
    fs::copy(target().join("release/tidewater"), &binary)?;
    let (mut lines, mut missed) = (Vec::new(), Vec::new());
    for fault in &FAULTS {
        let sound = passes(fault, &copy, &binary, "", seed)?;
        ensure!(sound, "{}: {} fails without it", fault.name, fault.test);
        let with = passes(fault, &copy, &binary, fault.name, seed)?;
        println!("{}: {}", fault.name, if with { "NOT CAUGHT" } else { "caught" });
        if with {
            missed.push(fault.name);
        }
        let amount = fault.amount.map_or(String::new(), |amount| format!(", {amount} times"));
        lines.push(format!("{} | {} | `{}` of {}{amount}", fault.name, fault.what, fault.test, fault.package));
    }
    fs::remove_dir_all(&copy)?;
    ensure!(missed.is_empty(), "not caught: {}", missed.join(", "));
    Ok(lines)
}

fn tests(copy: &Path) -> Command {
    let mut command = cargo_test();
    command.current_dir(copy).env("CARGO_TARGET_DIR", target());
    command
}

/// Whether a fault's test passes, with a fault or with none.
fn passes(fault: &Fault, copy: &Path, binary: &Path, planted: &str, seed: u64) -> Result<bool> {
    let mut command = tests(copy);
    match fault.package {
        SERVER => command.args(["--test", "all"]),
        _ => command.arg("--lib"),
    };
    command.args(["--", "--test-threads=1", fault.test]);
    command.env("TW_PLANTED", planted).env("TW_SEED", seed.to_string()).env("TW_TEST_BINARY", binary);
    if let Some(amount) = fault.amount {
        command.env("TW_AMOUNT", amount.to_string());
    }
    let output = command.env("TW_TEST_PYTHON", python_environment()?).stdin(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let ran = text.lines().filter(|line| line.starts_with("test ") && !line.starts_with("test result")).count();
    let ended = text.contains("running 1 test") || ran > 0;
    ensure!(ended, "no test {:?} has run: {text}\n{}", fault.test, String::from_utf8_lossy(&output.stderr));
    Ok(output.status.success())
}

/// How many there are.
pub const COUNT: u64 = FAULTS.len() as u64;
