//! Mutation testing: changes of single expressions of the code that keeps rows right, each of which a test has to catch
//! (cargo-mutants, <https://mutants.rs>).

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{cargo, root, target, torture};

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
/// Several times what the tests take.
const TIMEOUT_S: &str = "90";
/// The store is compiled for each mutant, so in haste; its dependencies once, so with optimisation.
const PROFILE: [&str; 2] = [r#"--config=profile.dev.package."*".opt-level=2"#, "--config=profile.dev.debug=false"];

/// Mutants that are tried in one go: what is done is kept, and a run that was cut short goes on behind it.
const SHARE: u64 = 25;
/// What a mutant's fate hangs on.
const SOURCES: [&str; 4] = ["crates/store", "crates/model", "Cargo.lock", "xtask/src/mutants.rs"];

/// What became of mutants.
#[derive(Default)]
struct Found {
    caught: u64,
    timeout: u64,
    missed: u64,
    unviable: u64,
    survivors: Vec<String>,
}

/// Tries about so many of the mutants, a part that the seed chooses; a line that sums up, then one for each that no test
/// caught.
pub fn run(amount: u64, seed: u64) -> Result<Vec<String>> {
    let all = mutants(&["--list"])?.lines().count() as u64;
    ensure!(all > 0, "cargo-mutants lists none");
    let (shares, wanted) = (all.div_ceil(SHARE), amount.div_ceil(SHARE).max(1));
    let mut found = Found::default();
    let sources = torture::sources(&SOURCES)?;
    let kept = sources.as_deref().unwrap_or("not-committed");
    for share in (0..wanted.min(shares)).map(|i| (seed + i) % shares) {
        let place = target().join(format!("torture/mutants/{kept}-{share}-of-{shares}"));
        let done = place.join("done.json");
        if sources.is_none() || !done.exists() {
            // the tests pass without a change: asked once
            try_share(share, shares, &place, found.tried() == 0)?;
            fs::rename(place.join("mutants.out/outcomes.json"), &done)?;
        }
        found.add(&place)?;
        println!("{} of {all} mutants tried, {} not caught", found.tried(), found.missed);
    }
    let viable = found.tried() - found.unviable;
    ensure!(viable > 0, "no mutant was viable");
    let caught = found.caught + found.timeout;
    let sum = format!(
        "{} of {all} mutants tried, {} of them do not compile: {caught} of {viable} caught ({:.0} %), {} of these by \
         their time",
        found.tried(),
        found.unviable,
        caught as f64 / viable as f64 * 100.0,
        found.timeout
    );
    println!("{sum}");
    Ok([sum].into_iter().chain(found.survivors).collect())
}

fn try_share(share: u64, shares: u64, place: &Path, unchanged_first: bool) -> Result<()> {
    if place.exists() {
        fs::remove_dir_all(place)?;
    }
    fs::create_dir_all(place)?;
    let (shard, place) = (format!("{share}/{shares}"), place.to_string_lossy());
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
    if !unchanged_first {
        options.extend(["--baseline", "skip"]);
    }
    options.extend(["--test-package", "tidewater-store", "--", "--lib", "--"]);
    options.extend(TESTS);
    SLOW.iter().for_each(|test| options.extend(["--skip", *test]));
    mutants(&options).map(drop)
}

impl Found {
    /// Adds what a share has found.
    fn add(&mut self, place: &Path) -> Result<()> {
        let said: Value = serde_json::from_str(&fs::read_to_string(place.join("done.json"))?)?;
        let number = |key: &str| said[key].as_u64().with_context(|| format!("no {key} in done.json"));
        self.caught += number("caught")?;
        self.timeout += number("timeout")?;
        self.missed += number("missed")?;
        self.unviable += number("unviable")?;
        let survivors = fs::read_to_string(place.join("mutants.out/missed.txt"))?;
        self.survivors.extend(survivors.lines().map(str::to_owned));
        Ok(())
    }

    fn tried(&self) -> u64 {
        self.caught + self.timeout + self.missed + self.unviable
    }
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
