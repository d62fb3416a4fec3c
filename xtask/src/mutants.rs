//! Mutation testing: changes of single expressions of the code that keeps rows right, each of which a test has to catch
//! (cargo-mutants, <https://mutants.rs>).

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{cargo, root, target};

/// The log, the flush, the catalog and its locks.
const FILES: [&str; 6] = [
    "crates/store/src/log.rs",
    "crates/store/src/log/*.rs",
    "crates/store/src/flush.rs",
    "crates/store/src/catalog.rs",
    "crates/store/src/catalog/*.rs",
    "crates/store/src/hold.rs",
];

/// The tests that judge, by their modules; frozen before the first score.
const TESTS: [&str; 9] = [
    "log::",
    "record::",
    "flush::",
    "catalog::",
    "compact::",
    "side::",
    "idempotency::",
    "retention::",
    "model_tests::",
];
/// What costs write over a week is asked elsewhere; each takes as long as all others together.
const SLOW: [&str; 2] = ["a_thousand_quiet_tables_flushed", "the_live_files_of_many_tables"];
/// Sequences of the model, damages of the log: enough to be quick. The same ones for each mutant.
const TEST_AMOUNT: u64 = 20;
const TEST_SEED: u64 = 1;
const TIMEOUT_S: &str = "150";
/// The store is compiled for each mutant, so almost in haste; its dependencies once, so with optimisation.
const PROFILE: [&str; 3] = [
    r#"--config=profile.dev.package."*".opt-level=2"#,
    "--config=profile.dev.opt-level=1",
    "--config=profile.dev.debug=false",
];

/// Tries about so many of the mutants, a part that the seed chooses; a line that sums up, then one for each that no test
/// caught.
pub fn run(amount: u64, seed: u64) -> Result<Vec<String>> {
    let all = mutants(&["--list"])?.lines().count() as u64;
    ensure!(all > 0, "cargo-mutants lists none");
    let parts = all.div_ceil(amount.max(1)).max(1);
    let out = target().join("torture");
    fs::create_dir_all(&out)?;
    let shard = format!("{}/{parts}", seed % parts);
    let place = out.to_string_lossy().into_owned();
    let mut options = vec![
        "--shard",
        &shard,
        "--sharding",
        "round-robin",
        "--output",
        &place,
        "--timeout",
        TIMEOUT_S,
        "--colors",
        "never",
    ];
    options.extend(["--test-package", "tidewater-store", "--", "--lib", "--"]);
    options.extend(TESTS);
    SLOW.iter().for_each(|test| options.extend(["--skip", *test]));
    mutants(&options)?;
    let found: Value = serde_json::from_str(&fs::read_to_string(out.join("mutants.out/outcomes.json"))?)?;
    let number = |key: &str| found[key].as_u64().with_context(|| format!("no {key} in outcomes.json"));
    let (caught, missed, timeout, unviable) =
        (number("caught")?, number("missed")?, number("timeout")?, number("unviable")?);
    let viable = caught + missed + timeout;
    ensure!(viable > 0, "no mutant was viable");
    let sum = format!(
        "{} of {all} mutants tried, {unviable} of them do not compile: {} of {viable} caught ({:.0} %), {timeout} of these by \
         their time",
        viable + unviable,
        caught + timeout,
        (caught + timeout) as f64 / viable as f64 * 100.0
    );
    println!("{sum}");
    let survivors = fs::read_to_string(out.join("mutants.out/missed.txt"))?;
    Ok([sum].into_iter().chain(survivors.lines().map(str::to_owned)).collect())
}

/// What cargo-mutants prints; it is installed where it is missing.
fn mutants(options: &[&str]) -> Result<String> {
    let has = cargo().args(["mutants", "--version"]).output().is_ok_and(|o| o.status.success());
    if !has {
        crate::run(cargo().args(["install", "cargo-mutants", "--locked"]))?;
    }
    let mut command = cargo();
    command.args(["mutants", "--package", "tidewater-store"]).args(FILES.iter().flat_map(|file| ["--file", file]));
    command.args(PROFILE.iter().map(|config| format!("--cargo-arg={config}"))).args(options).current_dir(root());
    command.env("TW_AMOUNT", TEST_AMOUNT.to_string()).env("TW_SEED", TEST_SEED.to_string());
    // tests wait for no disk: a mutant that syncs too little is caught by what they ask, not by a loss of power
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        command.env("TMPDIR", memory);
    }
    // mutants are built in a copy of the sources, one after the other
    command.env("CARGO_TARGET_DIR", target().join("mutants")).stderr(std::process::Stdio::inherit());
    let output = command.output()?;
    // 2: some were missed, 3: some timed out
    ensure!(matches!(output.status.code(), Some(0 | 2 | 3)), "cargo mutants: {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Why a survivor is no gap, for those that were looked at: `xtask/guarantees/survivors.txt`, `mutant | reason` a line.
pub fn reason(survivor: &str) -> Result<String> {
    let known = fs::read_to_string(root().join("xtask/guarantees/survivors.txt"))?;
    let told = known.lines().filter_map(|line| line.split_once(" | ")).find(|(mutant, _)| survivor.ends_with(mutant));
    Ok(told.map_or_else(|| "not looked at yet".to_owned(), |(_, reason)| reason.to_owned()))
}
