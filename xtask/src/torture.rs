//! `cargo xtask torture`: promises tried for longer than the tests do, and `docs/guarantees.md`, which says what came of
//! it. What each run found is kept in `docs/guarantees.json`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::{
    cargo, cargo_test, clients, fuzz, load, mutants, peers, planted, python_environment, root, target, tests_profile,
};

/// A promise and how it is tried.
struct Row {
    name: &'static str,
    promise: &'static str,
    tried: &'static str,
    goal: &'static str,
    /// How many of `unit` the full form has.
    full: u64,
    unit: &'static str,
    by: &'static [By],
}

enum By {
    /// Tests of the whole server, by their names.
    Server(&'static [&'static str]),
    /// Tests of one crate.
    Crate(&'static str, &'static str),
    /// The corpora of the door's tests.
    Door,
    Load,
    /// The target of libFuzzer that the row is named after, behind `FUZZED`.
    Fuzz,
    /// `interleave/`.
    Interleave,
    Mutants,
}

/// A row for a target of libFuzzer.
const fn fuzzed(name: &'static str, promise: &'static str, (full, goal): (u64, &'static str)) -> Row {
    let tried = "[libFuzzer](fuzz.md) with the address sanitizer and assertions.";
    Row { name, promise, tried, goal, full, unit: "executions", by: &[By::Fuzz] }
}

const FUZZED: &str = "fuzz-";
const MILLIONS: (u64, &str) = (5_000_000, "5 000 000 executions, 0 findings");
/// Of the doors of SQL.
const MILLION: (u64, &str) = (1_000_000, "1 000 000 executions, 0 findings");

const ROWS: [Row; 31] = [
    Row {
        name: "kill",
        promise: "A write that was acknowledged survives kill -9 at any moment, whole and once; what was deleted or has expired stays away; continuous queries hold what they sum up.",
        tried: "kill -9 at random moments and at eight phases of a row's way, half of them with everything lost that was not synced; flush every 50 ms, compaction and continuous queries every 200 ms, retention every second; seven writers (lines, columns, two tables at once, imports), deletes and changes of type; a DuckDB reading the catalog throughout.",
        goal: "1 000 cycles; 0 lost, 0 doubled, 0 torn; starts p99 ≤ 2 s",
        full: 1_000,
        unit: "cycles",
        by: &[By::Server(&["crash::t20_t22"])],
    },
    Row {
        name: "start",
        promise: "A start that has much log to read is soon over.",
        tried: "kill -9 with 256 MiB of log that no file has yet, then the time from the start of the process until it answers, and every row counted; over and over.",
        goal: "1 000 starts; p99 ≤ 2 s",
        full: 1_000,
        unit: "starts",
        by: &[By::Server(&["crash::a_start_with_much_log"])],
    },
    Row {
        name: "power",
        promise: "The same when the machine loses power.",
        tried: "ext4 in a loop file, mounted with commit=300 and noauto_da_alloc, the load of `kill` on it; the file system is cut from its device at a random moment without a flush of its journal (FS_IOC_SHUTDOWN; what is answered from that moment on does not count), mounted again, `doctor --deep`, opened.",
        goal: "300 cuts; 0 files of the catalog absent or short",
        full: 300,
        unit: "cuts",
        by: &[By::Server(&["torture::power"])],
    },
    Row {
        name: "failpoints",
        promise: "No step of a flush, merge, delete, import, change of type, continuous query or retention run leaves half of its work.",
        tried: "The process ends itself at every named point of the source, the first to fourth time it gets there, under the load of `kill`.",
        goal: "every point × 20 seeds",
        full: 20,
        unit: "seeds",
        by: &[By::Server(&["torture::points"])],
    },
    Row {
        name: "syscalls",
        promise: "After an I/O error on log or catalog nothing more is acknowledged and the process ends with 74; errors on data files and a full disk stop neither it nor the writes that fit.",
        tried: "strace makes the N-th fdatasync, fsync, write, pwrite64, rename, openat and unlink of a script fail, first with EIO, then with ENOSPC, for every N that touches the folder; then a start and the oracle.",
        goal: "every N",
        full: 10_000,
        unit: "failing calls",
        by: &[By::Server(&["torture::syscalls"])],
    },
    Row {
        name: "rot",
        promise: "A data file whose bytes change on disk makes a query fail with its name, never an answer wrong.",
        tried: "Random bits, sectors of zeros, cuts, bytes of another file and missing files in Parquet, asked of a server that starts on them.",
        goal: "20 000 data files; 0 wrong rows, 0 process ends",
        full: 20_000,
        unit: "damaged data files",
        by: &[By::Server(&["torture::rot::a_file"])],
    },
    Row {
        name: "rot-log",
        promise: "The same of the log: damage below the durable mark is named, and no record from it on is taken for whole.",
        tried: "Random bits, sectors of zeros, cuts and exchanged segments of logs, opened.",
        goal: "200 000 logs",
        full: 200_000,
        unit: "damaged logs",
        by: &[By::Crate("tidewater-store", "log::tests::random_damage")],
    },
    Row {
        name: "rot-catalog",
        promise: "A catalog whose bytes change on disk, that went back behind a commit, or that is gone is refused with its name, and `tidewater repair catalog` makes it anew: from its rolling copy, or from data files and log alone.",
        tried: "Random bits, sectors of zeros, cuts, other files in its place, and its absence, in catalog.sqlite and its journal as a kill left them; some of the refused are repaired, half of these without a copy, and asked for every row; the catalog is then checked from outside.",
        goal: "2 000 catalogs; 0 wrong rows, 0 process ends",
        full: 2_000,
        unit: "damaged catalogs",
        by: &[By::Server(&["torture::rot::a_catalog"])],
    },
    Row {
        name: "disk",
        promise: "A full disk refuses writes with 507, answers every query, and takes writes again when there is room, which a delete by time alone makes.",
        tried: "A file system of 512 MiB filled until 507 and freed by a delete, over and over; every fifth time killed while it is full.",
        goal: "100 rounds; writes again within 5 s",
        full: 100,
        unit: "rounds",
        by: &[By::Server(&["torture::disk"])],
    },
    Row {
        name: "load",
        promise: "A thousand clients at once get answers or 503, never another fault; memory stays within the budget.",
        tried: "1 000 connections, seven writes to three queries; every row counted afterwards.",
        goal: "5 minutes; no 5xx but 503, 0 connections lost, RSS ≤ budget + 10 %, `/health` p99 ≤ 100 ms",
        full: 5,
        unit: "minutes",
        by: &[By::Load],
    },
    Row {
        name: "leak",
        promise: "A call gives back all it took, whether it works or fails, and after ten thousand failures the next good one works.",
        tried: "Refused calls of every subsystem that the list of fixes names; calls that meet an error or a panic half way; clients that leave half way; good calls of nine kinds: memory, descriptors, threads, temporary files, locks and jobs before and after. Each method of policies, queries and locks on SQLite files that are locked, read-only, gone or without their table: open transactions and statements.",
        goal: "10 000 of each kind after as many to warm up; memory ≤ +2 % (a kind that leaves more has two more turns: what leaks does so each time), descriptors ± 0, at most two threads more (those that wait for work come and go), temporary files 0, no lock or job left",
        full: 10_000,
        unit: "calls of each kind",
        by: &[By::Server(&["origins::calls_"]), By::Crate("tidewater-store", "fails_without_a_trace")],
    },
    Row {
        name: "spike",
        promise: "What waits, fails or idles uses no processor.",
        tried: "Every slot held by a query that never ends and 500 more waiting; a health probe that always fails; every background task failing; 1 000 idle connections; a server with nothing to do; side by side.",
        goal: "10 minutes; ≤ 2 % of a core above the idle server, `/health` p99 ≤ 20 ms, tries as the backoff says",
        full: 10,
        unit: "minutes",
        by: &[By::Server(&["torture::spike"])],
    },
    Row {
        name: "clock",
        promise: "A clock that is set loses no row, expires none early, and stops no job.",
        tried: "libfaketime under the server: an hour and a day on and back, ten years back, standing still, under the load of `kill`, with kill -9 between them.",
        goal: "100 jumps",
        full: 100,
        unit: "jumps",
        by: &[By::Server(&["torture::clock"])],
    },
    Row {
        name: "model",
        promise: "Whatever sequence of writes, flushes, merges, deletes, retention, continuous queries, changes of type, drops, renames and crashes: each table holds what it ought to after each step.",
        tried: "Random sequences on a store of their own against a reference in memory.",
        goal: "20 000 sequences",
        full: 20_000,
        unit: "sequences",
        by: &[By::Crate("tidewater-store", "model_tests::")],
    },
    fuzzed(
        "fuzz-msgpack",
        "No MessagePack body makes the server panic, read what is not its own or take memory without bound; a batch is whole or refused.",
        MILLIONS,
    ),
    fuzzed(
        "fuzz-line_protocol",
        "The same of line protocol: each line is a row, refused with its number, or no point.",
        MILLIONS,
    ),
    fuzzed("fuzz-tle", "The same of two-line element sets: each entry is a row or named.", MILLIONS),
    fuzzed("fuzz-inflate", "The same of compressed bodies: never more than was allowed comes out.", MILLIONS),
    fuzzed("fuzz-csv", "The same of CSV files that are imported.", MILLIONS),
    fuzzed("fuzz-parquet", "The same of Parquet files that are imported.", MILLIONS),
    fuzzed(
        "fuzz-record",
        "The same of the log: what is read from a record is written again to the same rows.",
        MILLIONS,
    ),
    fuzzed(
        "fuzz-params",
        "The same of names, durations, units, numbers and patterns in parameters and headers.",
        MILLIONS,
    ),
    fuzzed(
        "fuzz-schedule",
        "The same of intervals and cron expressions: when one is due is after now, and found in bounded time.",
        MILLIONS,
    ),
    fuzzed("fuzz-sql", "The same of statements: any text is parsed, guarded and rewritten, or refused.", MILLION),
    fuzzed("fuzz-condition", "The same of the conditions of deletes.", MILLION),
    Row {
        name: "interleave",
        promise: "Whatever the order in which threads take their steps: a View has each row once, an acknowledged write is durable and visible, a lock that was lost commits nothing, and a slot is never lost.",
        tried: "The product's own sources with the locks of the model checker shuttle: group commit, swap of the View, table of locks, admission of queries; every order of the small scenarios, orders by chance with few changes of thread (PCT) of the larger.",
        goal: "exhaustive within the bounds that the figures state",
        full: 20_000,
        unit: "orders by chance of each larger scenario",
        by: &[By::Interleave],
    },
    Row {
        name: "mutants",
        promise: "The tests of log, flush, catalog and locks notice when the code does something else.",
        tried: "cargo-mutants changes one expression at a time; the store's own tests, a list that was frozen before the first score, run on each. A sample that takes less than two hours, spread over all of them; the seed chooses it.",
        goal: "200 mutants; 90 % of the viable ones caught; survivors listed with the reason",
        full: 200,
        unit: "mutants",
        by: &[By::Mutants],
    },
    Row {
        name: "network",
        promise: "A write with an idempotency key is stored once, however often it or its answer gets lost.",
        tried: "A proxy that sends slowly, cuts requests and answers and delivers requests twice; every client repeats until it is acknowledged.",
        goal: "10 000 requests; 0 lost, 0 doubled",
        full: 10_000,
        unit: "requests",
        by: &[By::Server(&["torture::network"])],
    },
    Row {
        name: "differential",
        promise: "A statement gives DuckDB's answer or a clear refusal.",
        tried: "Statements of 23 shapes made by chance over NULL, NaN, infinities, days of clock changes and the ends of integers, asked of both.",
        goal: "20 000 statements, 0 wrong",
        full: 20_010,
        unit: "statements",
        by: &[By::Server(&["differential::statements_made_by_chance"])],
    },
    Row {
        name: "upgrade",
        promise: "A folder of an earlier version is brought up to date by its first start; one of a newer version is refused and left alone.",
        tried: "Folders kept from earlier formats, as kill -9 left them, opened, written to, merged, stopped and checked from outside.",
        goal: "every earlier format",
        full: 1,
        unit: "pass",
        by: &[By::Server(&["torture::upgrade"])],
    },
    Row {
        name: "door",
        promise: "Slow, half-open, oversize and malformed requests end with a clear answer and hold nothing.",
        tried: "The corpora of the door's tests, one server at a time.",
        goal: "all",
        full: 1,
        unit: "pass",
        by: &[By::Door],
    },
];

#[derive(Debug, Args)]
pub struct Options {
    /// A row of docs/guarantees.md; `all`, which goes on where an earlier run of the same commit ended; `short`, a little of
    /// each row, as the tests have it, with what that takes; `peers`, the comparison; `planted`, faults on purpose; `page`,
    /// which only writes the document
    row: String,
    /// How many: cycles, seeds, minutes … as the row counts [default: the row's full form]
    #[arg(long, visible_aliases = ["cycles", "seeds", "minutes"])]
    amount: Option<u64>,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// door and load: in a control group of 512 MiB, on one CPU (needs root)
    #[arg(long)]
    small: bool,
    /// load: connections
    #[arg(long, default_value_t = 1_000)]
    connections: usize,
}

/// What the last run of a row found.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    figures: Vec<String>,
    amount: u64,
    seed: u64,
    date: String,
    commit: String,
    command: String,
}

/// What a test writes to `TW_FIGURES`.
#[derive(Deserialize)]
struct Figure {
    figure: String,
}

pub fn run(options: &Options) -> Result<()> {
    if options.row == "all" {
        let commit = commit()?;
        for row in &ROWS {
            let known = records()?;
            let is_done = known.get(row.name).is_some_and(|r| r.commit == commit && r.amount >= row.full);
            if is_done {
                println!("{}: done at {commit}", row.name);
            } else {
                one(row, &Options { row: row.name.into(), amount: None, ..*options })?;
            }
        }
        return Ok(());
    }
    if options.row == SHORT {
        return short();
    }
    if options.row == PEERS {
        return beside(options);
    }
    if options.row == PLANTED {
        let commit = commit()?;
        let figures = planted::run(options.seed)?;
        let command = format!("cargo xtask torture {PLANTED} --seed {}", options.seed);
        let (amount, seed) = (planted::COUNT, options.seed);
        return keep(PLANTED, Record { figures, amount, seed, date: date()?, commit, command });
    }
    if options.row == "page" {
        return Ok(fs::write(root().join("docs/guarantees.md"), page(&records()?)?)?);
    }
    let names = || ROWS.iter().map(|row| row.name).collect::<Vec<_>>().join(", ");
    let row = ROWS.iter().find(|row| row.name == options.row);
    one(
        row.with_context(|| {
            format!("there is no row {:?}: all, page, {SHORT}, {PEERS}, {PLANTED}, {}", options.row, names())
        })?,
        options,
    )
}

/// Runs a row and writes down what came of it.
fn one(row: &Row, options: &Options) -> Result<()> {
    let amount = options.amount.unwrap_or(row.full);
    let commit = commit()?; // work may go on meanwhile
    let mut figures = Vec::new();
    for by in row.by {
        figures.extend(try_by(row, by, amount, options)?);
    }
    ensure!(!figures.is_empty(), "{} has found no figure", row.name);
    let mut command = format!("cargo xtask torture {} --amount {amount} --seed {}", row.name, options.seed);
    if let [By::Load] = row.by {
        command += &format!(" --connections {}", options.connections);
    }
    if options.small {
        command += " --small";
    }
    keep(row.name, Record { figures, amount, seed: options.seed, date: date()?, commit, command })
}

/// What one way of trying finds.
fn try_by(row: &Row, by: &By, amount: u64, options: &Options) -> Result<Vec<String>> {
    Ok(match *by {
        By::Server(tests) => {
            tests.iter().map(|test| server_test(test, amount, options.seed)).collect::<Result<Vec<_>>>()?.concat()
        }
        By::Crate(package, test) => {
            let mut command = cargo();
            // the binary's package beside it: alone, the crate would ask for other features of what is built already
            command.args(["test", "--release", "-p", "tidewater", "-p", package, "--lib", "--", "--nocapture", test]);
            crate::run(command.env("TW_AMOUNT", amount.to_string()).env("TW_SEED", options.seed.to_string()))?;
            vec![format!("{amount} {} by `{test}` of {package}: held", row.unit)]
        }
        By::Door => {
            load::door(options.small)?;
            vec![format!("{amount} {}: held", row.unit)]
        }
        By::Load => vec![load::run(amount as f64, options.connections, options.small)?],
        By::Interleave => interleave(amount)?,
        By::Mutants => mutants::run(amount, options.seed)?,
        By::Fuzz => {
            let target = fuzzed_target(row).context("the row is named after no target")?;
            vec![fuzz::in_parts(target, amount, options.seed)?]
        }
    })
}

fn fuzzed_target(row: &Row) -> Option<&'static str> {
    row.name.strip_prefix(FUZZED)
}

/// The targets of libFuzzer: each has a row.
pub fn fuzzed_targets() -> Vec<&'static str> {
    ROWS.iter().filter_map(fuzzed_target).collect()
}

fn keep(name: &str, record: Record) -> Result<()> {
    let mut known = records()?;
    known.insert(name.to_owned(), record);
    fs::write(root().join("docs/guarantees.json"), serde_json::to_string_pretty(&known)? + "\n")?;
    Ok(fs::write(root().join("docs/guarantees.md"), page(&known)?)?)
}

/// The short forms of all rows, by themselves.
const SHORT: &str = "short";
/// Orders by chance of each scenario of `interleave/` that has too many, in the tests.
const INTERLEAVE_SHORT: u64 = 2_000;
/// Minutes and connections of the load, in the tests.
const LOAD_SHORT: (f64, usize) = (0.25, 200);

/// Runs the short form of every row, and says how long they take when all is built. None is written down.
fn short() -> Result<()> {
    let names = ROWS.iter().flat_map(|row| row.by).flat_map(|by| match by {
        By::Server(tests) => *tests,
        By::Crate(_, test) => std::slice::from_ref(test),
        By::Door => &["door::"],
        By::Fuzz => &["fuzz::"],
        By::Load | By::Interleave | By::Mutants => &[],
    });
    const WHICH: [&str; 3] = ["--lib", "--test", "all"];
    crate::run(cargo_test().args(WHICH).arg("--no-run"))?;
    let mut tests = clients(cargo_test())?;
    timed("every row", || {
        timed("those that are tests", || crate::run(tests.args(WHICH).arg("--").args(names)))?;
        short_beside_tests()
    })
}

/// The short forms of the rows that are no tests.
pub fn short_beside_tests() -> Result<()> {
    timed("interleave", || interleave(INTERLEAVE_SHORT).map(drop))?;
    timed("load", || load::run(LOAD_SHORT.0, LOAD_SHORT.1, false).map(drop))?;
    timed("mutants", mutants::short)
}

fn timed(what: &str, run: impl FnOnce() -> Result<()>) -> Result<()> {
    let began = Instant::now();
    run()?;
    println!("the short form of {what} took {:.0} s", began.elapsed().as_secs_f64());
    Ok(())
}

/// The comparison with another server: its record stands beside those of the rows.
const PEERS: &str = "peers";
/// The faults on purpose: theirs, too.
const PLANTED: &str = "planted";
/// Kills of the comparison, and minutes of its load.
const PEERS_FULL: (u64, f64) = (200, 5.0);

fn beside(options: &Options) -> Result<()> {
    let kills = options.amount.unwrap_or(PEERS_FULL.0);
    let minutes = PEERS_FULL.1 * (kills as f64 / PEERS_FULL.0 as f64).min(1.0);
    let commit = commit()?;
    let found = peers::run(kills, options.seed, minutes, options.connections)?;
    let figures = found.into_iter().flat_map(|f| [f.version, f.kill].into_iter().chain(f.loads)).collect();
    let command = format!(
        "cargo xtask torture {PEERS} --amount {kills} --seed {} --connections {}",
        options.seed, options.connections
    );
    keep(PEERS, Record { figures, amount: kills, seed: options.seed, date: date()?, commit, command })
}

/// Runs the scenarios of `interleave/`; what they say of their bounds.
pub fn interleave(amount: u64) -> Result<Vec<String>> {
    let mut command = cargo();
    command.args(["test", "--release", "--manifest-path", "interleave/Cargo.toml", "--", "--nocapture"]);
    command.env("TW_AMOUNT", amount.to_string()).env("CARGO_TARGET_DIR", target());
    tests_profile(&mut command);
    let output = command.current_dir(root()).stderr(std::process::Stdio::inherit()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{text}");
    let figures: Vec<String> = text.lines().filter(|l| l.contains(" orders")).map(str::to_owned).collect();
    ensure!(!figures.is_empty(), "no scenario has run: {text}");
    figures.iter().for_each(|figure| println!("{figure}"));
    Ok(figures)
}

/// Runs tests of the whole server against the binary that users get; what they found.
fn server_test(test: &str, amount: u64, seed: u64) -> Result<Vec<String>> {
    let place = target().join("torture");
    fs::create_dir_all(&place)?;
    // another row may be running
    let figures = place.join(format!("figures-{}.jsonl", std::process::id()));
    let _ = fs::remove_file(&figures);
    let binary = release_binary(&place)?;
    let mut command = cargo_test();
    command.args(["--test", "all", "--", "--nocapture", "--test-threads=1", test]);
    command.env("TW_TEST_BINARY", binary).env("TW_FIGURES", &figures).env("TW_TEST_PYTHON", python_environment()?);
    crate::run(command.env("TW_AMOUNT", amount.to_string()).env("TW_SEED", seed.to_string()))?;
    let lines = fs::read_to_string(&figures).unwrap_or_default();
    let _ = fs::remove_file(&figures);
    lines.lines().map(|line| Ok(serde_json::from_str::<Figure>(line)?.figure)).collect()
}

/// The product without the tests' assertions, at a place of its own: the tests' build would take its name.
fn release_binary(place: &Path) -> Result<PathBuf> {
    crate::run(cargo().args(["build", "--release", "-p", "tidewater"]))?;
    let (aside, copy) = (place.join("tidewater.new"), place.join("tidewater"));
    let built = target().join("release/tidewater");
    // another row may be running the one that is there
    fs::copy(&built, &aside).with_context(|| format!("cannot copy {}", built.display()))?;
    fs::rename(&aside, &copy)?;
    Ok(copy)
}

fn said(command: &mut Command) -> Result<String> {
    let output = command.current_dir(root()).output()?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn date() -> Result<String> {
    said(Command::new("date").args(["-u", "+%F"]))
}

/// The commit that is tried; what is not committed is said.
pub fn commit() -> Result<String> {
    let commit = said(Command::new("git").args(["rev-parse", "--short=7", "HEAD"]))?;
    Ok(if are_committed(&["crates", "Cargo.lock"])? { commit } else { format!("{commit} with changes") })
}

/// A name for the sources at these places, under which a long row keeps what it has done; none where they are not
/// committed.
pub fn sources(places: &[&str]) -> Result<Option<String>> {
    if !are_committed(places)? {
        return Ok(None);
    }
    let name = |place| said(Command::new("git").args(["rev-parse", "--short=7", &format!("HEAD:{place}")]));
    Ok(Some(places.iter().map(name).collect::<Result<Vec<_>>>()?.join("-")))
}

fn are_committed(places: &[&str]) -> Result<bool> {
    Ok(said(Command::new("git").args(["status", "--porcelain", "--"]).args(places))?.is_empty())
}

fn records() -> Result<BTreeMap<String, Record>> {
    match fs::read_to_string(root().join("docs/guarantees.json")) {
        Ok(text) => serde_json::from_str(&text).context("docs/guarantees.json"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error).context("docs/guarantees.json"),
    }
}

/// `docs/guarantees.md`.
fn page(known: &BTreeMap<String, Record>) -> Result<String> {
    let mut out = fs::read_to_string(root().join("xtask/guarantees/head.md"))?;
    out += "\n| name | promise | how it is tried | figure to reach | last run |\n|---|---|---|---|---|\n";
    for row in &ROWS {
        let last = match known.get(row.name) {
            None => "not in its full form yet; the short form is a test".to_owned(),
            Some(r) => {
                let figures = match row.by {
                    [By::Mutants] => &r.figures[..1.min(r.figures.len())],
                    _ => &r.figures[..],
                };
                let length = if r.amount < row.full {
                    format!(" (shorter than the full form, {} {})", row.full, row.unit)
                } else {
                    String::new()
                };
                format!(
                    "{}{length}<br>{}, commit {}, seed {}: `{}`",
                    figures.join("<br>"),
                    r.date,
                    r.commit,
                    r.seed,
                    r.command
                )
            }
        };
        writeln!(
            out,
            "| <a id=\"{0}\"></a>{0} | {1} | {2} | {3} | {4} |",
            row.name, row.promise, row.tried, row.goal, last
        )?;
    }
    if let Some(planted) = known.get(PLANTED) {
        out += "\n## The proof, proved\n\n";
        out += "Faults that were planted one at a time in a copy of the sources (`xtask/planted.patch`), and the run that failed by each; without the fault the same run passes. ";
        writeln!(out, "{}, commit {}, seed {}: `{}`\n", planted.date, planted.commit, planted.seed, planted.command)?;
        out += "| planted as | fault | caught by |\n|---|---|---|\n";
        planted.figures.iter().try_for_each(|line| writeln!(out, "| {line} |"))?;
    }
    if let Some(survivors) = known.get("mutants").and_then(|r| r.figures.get(1..)).filter(|s| !s.is_empty()) {
        out += "\n## Mutants that survived\n\n| change | why no test of the list catches it |\n|---|---|\n";
        for survivor in survivors {
            // a bar would end the cell, also between backticks
            let reason = mutants::reason(survivor).unwrap_or("not looked at yet");
            writeln!(out, "| `{}` | {reason} |", survivor.replace('|', "\\|"))?;
        }
    }
    if let Some(beside) = known.get(PEERS) {
        out += "\n## Beside another server\n\n";
        out += "The same writers, kills and clients for both, by the same code, each at its defaults on one machine, one after the other. ";
        writeln!(out, "{}, commit {}, seed {}: `{}`\n", beside.date, beside.commit, beside.seed, beside.command)?;
        out += "| | kill -9 under four writers and a reader | load: seven writes of 50 rows to three queries | ";
        writeln!(out, "the same by {} connections; by default QuestDB serves 256 at once |", peers::FEW)?;
        out += "|---|---|---|---|\n";
        for [version, kill, many, few] in beside.figures.as_chunks().0 {
            writeln!(out, "| {version} | {kill} | {many} | {few} |")?;
        }
    }
    out += &fs::read_to_string(root().join("xtask/guarantees/tail.md"))?;
    Ok(out)
}

/// The page is what its records give.
pub fn check() -> Result<()> {
    planted::check()?;
    let written = fs::read_to_string(root().join("docs/guarantees.md")).context("docs/guarantees.md")?;
    let known = records()?;
    if let Some(unknown) = known
        .keys()
        .find(|name| ![PEERS, PLANTED].contains(&name.as_str()) && ROWS.iter().all(|row| row.name != **name))
    {
        bail!("docs/guarantees.json has a row {unknown:?} that is not tried");
    }
    ensure!(written == page(&known)?, "docs/guarantees.md is old: `cargo xtask torture page` writes it");
    Ok(())
}
