//! Mutation testing: changes of single expressions of the code that keeps rows right, each of which a test has to catch
//! (cargo-mutants, <https://mutants.rs>).

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{cargo, root, target, tests_profile, torture};

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
const TIMEOUT_S: &str = "120";
/// The tests' own profile, so that no dependency is compiled again, but the store in haste and in small pieces: it is
/// compiled for each mutant. What differs also keeps the artifacts of mutants apart from those of the sources.
const PROFILE: [&str; 4] = [
    "profile.release.package.tidewater-store.opt-level=0",
    "profile.release.package.tidewater-store.codegen-units=256",
    "profile.release.package.tidewater-store.debug=false",
    "profile.release.package.tidewater-model.debug=false",
];
/// The first test that fails ends the others; the harness of a stable toolchain wants to be told twice.
const RUNNER: &str = "target.'cfg(all())'.runner=['env','RUSTC_BOOTSTRAP=-1']";
const FAIL_FAST: [&str; 2] = ["-Zunstable-options", "--fail-fast"];

/// Mutants that are tried in one go: what is done is kept, and a run that was cut short goes on behind it.
const SHARE: u64 = 50;
/// Mutants that the project's tests try, each of which has to be caught, with their files. By name, so that no change
/// elsewhere chooses others.
const SHORT: [(&str, &str); 3] = [
    ("crates/store/src/log/format.rs", r"replace GroupHeader::decode -> Option<Self> with None"),
    ("crates/store/src/flush.rs", r"replace Flusher::needed -> Lsn with"),
    ("crates/store/src/catalog/locks.rs", r"replace fence -> Result<\(\)> with Ok"),
];
/// What a mutant's fate hangs on.
const SOURCES: [&str; 4] = ["crates/store", "crates/model", "Cargo.lock", "xtask/src/mutants.rs"];

/// The tests that judge these: those of what they change, `catalog::tests::` by the first name.
const SHORT_TESTS: [&str; 3] = ["log::tests::", "flush::tests::", "catalog::locks::"];
/// The tests' files lie in memory where it has so much room; a file that finds none would pass for a mutant caught.
const MEMORY: &str = "/dev/shm";
const MEMORY_MIB: u64 = 1024;

/// The full form asks for Rust 1.92, whose harness can end early.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Short,
    Full,
}

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
    let files = FILES.map(|file| ["--file", file]).concat();
    let all = said(mutants()?.args(&files).arg("--list"))?.lines().count() as u64;
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
            let shard = format!("{share}/{shares}");
            let options = [&files[..], &["--shard", &shard, "--sharding", "round-robin"]].concat();
            try_some(&options, &place, found.tried() == 0, Form::Full)?;
            fs::rename(place.join("mutants.out/outcomes.json"), &done)?;
        }
        found = found.with(&place, "done.json")?;
        println!("{} of {all} mutants tried, {} not caught", found.tried(), found.missed);
    }
    let viable = found.tried() - found.unviable;
    ensure!(viable > 0, "no mutant was viable");
    let caught = found.caught + found.timeout;
    let sum = format!(
        "{} of {all} mutants tried, {} of them do not compile: {caught} of {viable} caught ({:.1} %), {} of these by \
         their time",
        found.tried(),
        found.unviable,
        caught as f64 / viable as f64 * 100.0,
        found.timeout
    );
    println!("{sum}");
    Ok([sum].into_iter().chain(found.survivors).collect())
}

/// The short form.
pub fn short() -> Result<()> {
    let place = target().join("torture/mutants/short");
    // the files, too: cargo-mutants asks no name of the mutants that leave out a field
    // without a change the tests have passed just now
    try_some(&SHORT.map(|(file, name)| ["--file", file, "--re", name]).concat(), &place, false, Form::Short)?;
    let found = Found::default().with(&place, "mutants.out/outcomes.json")?;
    println!("{} mutants tried, {} not caught", found.tried(), found.missed);
    ensure!(found.missed == 0, "no test has caught {}", found.survivors.join("; "));
    ensure!(
        found.tried() - found.unviable == SHORT.len() as u64,
        "the mutants have other names now, or do not compile"
    );
    Ok(())
}

/// Tries the mutants that the options choose; cargo-mutants says of them in `mutants.out` at the place.
fn try_some(which: &[&str], place: &Path, unchanged_first: bool, form: Form) -> Result<()> {
    if place.exists() {
        fs::remove_dir_all(place)?;
    }
    fs::create_dir_all(place)?;
    let place = place.to_string_lossy();
    let mut options = [which, &["--output", &place, "--timeout", TIMEOUT_S, "--colors", "never"]].concat();
    if !unchanged_first {
        options.extend(["--baseline", "skip"]);
    }
    let configs: Vec<String> = PROFILE.iter().chain(&[RUNNER]).map(|c| format!("--cargo-arg=--config={c}")).collect();
    options.extend(configs.iter().map(String::as_str));
    // the library's tests alone, and the binary's package beside it: dependencies have the features they have there
    options.extend(["--cargo-arg=--release", "--cargo-arg=--lib", "--cargo-arg=--package=tidewater"]);
    options.extend(["--test-package", "tidewater-store", "--", "--"]);
    match form {
        Form::Full => options.extend(FAIL_FAST.iter().chain(&TESTS)),
        Form::Short => options.extend(SHORT_TESTS),
    }
    SLOW.iter().for_each(|test| options.extend(["--skip", *test]));
    let mut command = mutants()?;
    command.args(options).env("TW_AMOUNT", TEST_AMOUNT.to_string()).env("TW_SEED", TEST_SEED.to_string());
    // tests wait for no disk: a mutant that syncs too little is caught by what they ask, not by a loss of power. What a
    // test leaves that was ended goes with the folder
    let memory = Path::new(MEMORY);
    let place = if free_mib(memory).is_some_and(|mib| mib >= MEMORY_MIB) { memory } else { &target() };
    let files = tempfile::Builder::new().prefix("tidewater-mutants-").tempdir_in(place)?;
    command.env("TMPDIR", files.path());
    tests_profile(&mut command);
    // mutants are built in a copy of the sources, one after the other, each from what is left of the last; another cargo in
    // this folder meanwhile makes them wait, and a wait counts as their time
    command.env("CARGO_INCREMENTAL", "1").env("CARGO_TARGET_DIR", target());
    said(&mut command).map(drop)
}

/// MiB that files can still take in a folder; None where the system does not say.
fn free_mib(folder: &Path) -> Option<u64> {
    let df = Command::new("df").args(["--output=avail", "--block-size=1M"]).arg(folder).stderr(Stdio::null()).output();
    String::from_utf8(df.ok()?.stdout).ok()?.lines().nth(1)?.trim().parse().ok()
}

impl Found {
    /// And what was found at a place.
    fn with(mut self, place: &Path, outcomes: &str) -> Result<Self> {
        let said: Value = serde_json::from_str(&fs::read_to_string(place.join(outcomes))?)?;
        let number = |key: &str| said[key].as_u64().with_context(|| format!("no {key} in {outcomes}"));
        self.caught += number("caught")?;
        self.timeout += number("timeout")?;
        self.missed += number("missed")?;
        self.unviable += number("unviable")?;
        let survivors = fs::read_to_string(place.join("mutants.out/missed.txt"))?;
        self.survivors.extend(survivors.lines().map(str::to_owned));
        Ok(self)
    }

    fn tried(&self) -> u64 {
        self.caught + self.timeout + self.missed + self.unviable
    }
}

/// cargo-mutants on the store; it is installed where it is missing.
fn mutants() -> Result<Command> {
    let has = cargo().args(["mutants", "--version"]).output().is_ok_and(|o| o.status.success());
    if !has {
        // names of mutants are its own: a version that is known to have those of `SHORT`
        crate::run(cargo().args(["install", "cargo-mutants", "--version", "27.1.0", "--locked"]))?;
    }
    let mut command = cargo();
    command.args(["mutants", "--package", "tidewater-store"]).current_dir(root());
    Ok(command)
}

/// What it prints.
fn said(command: &mut Command) -> Result<String> {
    let output = command.stderr(Stdio::inherit()).output()?;
    // 2: some were missed, 3: some timed out
    ensure!(matches!(output.status.code(), Some(0 | 2 | 3)), "cargo mutants: {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Why a survivor is no gap, or is one no longer, for those that were looked at: `mutant | reason` a line.
pub fn reason(survivor: &str) -> Option<&'static str> {
    let mut known = include_str!("../guarantees/survivors.txt").lines().filter_map(|line| line.split_once(" | "));
    known.find(|(mutant, _)| survivor.ends_with(mutant)).map(|(_, reason)| reason)
}
