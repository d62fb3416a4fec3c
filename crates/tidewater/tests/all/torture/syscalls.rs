//! Every call into the system of a short script fails once, with EIO and with ENOSPC.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::{amount, bar, figure, seed};
use crate::crash::{CALM, FAST};
use crate::harness::{DEADLINE, Server, TOKEN, binary, eventually, folder, has_strace};
use crate::oracle::Known;

const CALLS: [&str; 7] = ["fdatasync", "fsync", "write", "pwrite64", "rename", "openat", "unlink"];
const ERRORS: [&str; 2] = ["EIO", "ENOSPC"];
/// Times that each client of the script writes; deletes and changes of type are among them.
const STEPS: usize = 17;
/// Servers that are tried side by side: each waits for the disk and for its strace most of the time.
const AT_ONCE: usize = 3;
/// EX_IOERR of sysexits.h: the server ended because log or catalog cannot be trusted.
const EXIT_IO: i32 = 74;

/// What a call was made on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum On {
    Log,
    Catalog,
    /// Data files, temporary files, the folders that hold them.
    Files,
    /// Tokens, policies, history.
    Server,
    /// What is not the server's: its output, sockets, libraries.
    Other,
}

/// A call that was made to fail, as strace wrote it down.
#[derive(Debug)]
struct Injected {
    on: On,
    /// As strace wrote it.
    line: String,
}

impl Injected {
    /// A thread that is woken, not the disk: such a call does not fail so.
    fn is_wake(&self) -> bool {
        self.line.contains("anon_inode:")
    }
}

/// Starts the server with its N-th call (of each of its threads) failing, or with none and all calls written down.
fn start(dir: &Path, injection: Option<(&str, &str, u64)>, trace: &Path) -> Result<Server, String> {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-y", "--seccomp-bpf", "-o"]).arg(trace);
    match injection {
        Some((call, error, n)) => {
            command.args(["-e", &format!("trace={call}"), "-e", &format!("inject={call}:error={error}:when={n}")])
        }
        None => command.args(["-e", &format!("trace={}", CALLS.join(","))]),
    };
    command.arg(binary()).args(["serve", "--set", "memory.budget=512MiB"]);
    command.args(["--set", "server.port=0", "--set", "storage.min_free_bytes=16MiB"]);
    command.args(FAST.iter().flat_map(|setting| ["--set", setting]));
    command.arg("--set").arg(format!("storage.local_path={}", dir.join("data").display()));
    command.env("TIDEWATER_AUTH_BOOTSTRAP_TOKEN", TOKEN).current_dir(dir);
    Server::spawn(dir, &mut command).inspect_err(|_| end_of_untold(dir))
}

/// Ends what goes on without its strace: a server whose word that it is ready was the call that failed.
fn end_of_untold(dir: &Path) {
    let dir = dir.to_str().expect("plain");
    let runs_there = |pid: &String| {
        let said = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&said).contains(dir)
    };
    eventually("nothing runs on the folder", || {
        let processes = std::fs::read_dir("/proc").expect("processes").flatten();
        let left: Vec<_> = processes.filter_map(|e| e.file_name().into_string().ok()).filter(runs_there).collect();
        left.is_empty() || {
            let _ = Command::new("kill").arg("-KILL").args(left).status();
            false
        }
    });
}

/// Writes, deletes, imports, changes types, waits for jobs; until the server is gone.
fn script(server: &Server, known: &mut Known) {
    for _ in 0..STEPS {
        for client in 0..8 {
            if !known.step(server, client) {
                return;
            }
        }
    }
    for path in ["/api/v1/write/line-protocol/flush", "/api/v1/compaction/trigger?wait=true"] {
        if server.try_send("POST", path, &[], b"").is_err() {
            return;
        }
    }
}

/// What was made to fail.
fn injected(trace: &Path, data: &Path) -> Vec<Injected> {
    let text = std::fs::read(trace).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let data = data.to_str().expect("plain");
    let on = |line: &str| {
        let Some((_, below)) = line.split_once(data) else { return On::Other };
        let part = below.trim_start_matches('/');
        match part {
            _ if part.starts_with("log") => On::Log,
            _ if part.starts_with("catalog") => On::Catalog,
            _ if part.starts_with("server.sqlite") => On::Server,
            _ => On::Files,
        }
    };
    // a call during which another thread made one is written down in two parts, the path in the first
    let mut begun: BTreeMap<&str, &str> = BTreeMap::new();
    let mut failed = Vec::new();
    for line in text.lines() {
        let thread = line.split(' ').next().unwrap_or_default();
        if line.ends_with("<unfinished ...>") {
            begun.insert(thread, line);
        }
        if line.contains("(INJECTED)") {
            let whole = if line.contains(" resumed>") { begun.get(thread).unwrap_or(&line) } else { line };
            failed.push(Injected { on: on(whole), line: whole.to_owned() });
        }
    }
    failed
}

/// The calls of an undisturbed run that touch the server's folder, each by its number in its thread.
fn calls(trace: &Path, data: &Path) -> BTreeSet<(&'static str, u64)> {
    let text = std::fs::read(trace).expect("a trace");
    let data = data.to_str().expect("plain");
    let (mut counts, mut ours) = (BTreeMap::<(&str, String), u64>::new(), BTreeSet::new());
    for line in String::from_utf8_lossy(&text).lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let is_it = |name: &&str| call.trim_start().strip_prefix(name).is_some_and(|rest| rest.starts_with('('));
        let Some(name) = CALLS.into_iter().find(|name| is_it(name)) else { continue };
        let count = counts.entry((name, thread.to_owned())).or_default();
        *count += 1;
        if call.contains(data) {
            ours.insert((name, *count));
        }
    }
    ours
}

/// What is promised of the process after these calls failed: it ends with 74 when log or catalog cannot be trusted any
/// more, which after a sync that failed is so whatever the error, and goes on otherwise.
fn judge(call: &str, error: &str, injected: &[Injected], end: Option<ExitStatus>) -> Result<(), String> {
    let is_trusted =
        !injected.iter().any(|i| matches!(i.on, On::Log | On::Catalog)) || error != "EIO" && !call.ends_with("sync");
    match end {
        Some(status) if status.code() == Some(EXIT_IO) && !is_trusted => Ok(()),
        Some(status) => Err(format!("the server ended: {status}")),
        None => Ok(()),
    }
}

/// The process that a strace started.
fn traced(server: &Server) -> Option<u32> {
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", server.pid())).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

/// A signal for the traced process; strace ends with it, and as it does.
fn signal(server: &Server, name: &str) {
    if let Some(pid) = traced(server) {
        let _ = Command::new("kill").args([name, &pid.to_string()]).status();
    }
}

/// The N-th call and the error it fails with.
type Case = (&'static str, &'static str, u64);

/// One run of the script with a call that fails, and a start after it; what became of the server, by what the call was
/// made on.
fn fails((call, error, n): Case) -> Result<Vec<String>, String> {
    let what = format!("{call} {n} with {error}");
    let dir = folder();
    let trace = dir.path().join("trace");
    let mut known = Known::new();
    let mut outcome = start(dir.path(), Some((call, error, n)), &trace);
    let end = outcome.as_mut().ok().and_then(|server| {
        if known.try_prepare(server) {
            script(server, &mut known);
        }
        let end = server.wait_end(Duration::from_millis(20));
        signal(server, "-KILL");
        server.wait_end(DEADLINE);
        end
    });
    let injected = injected(&trace, &dir.path().join("data"));
    let is_of_disk = !injected.iter().any(Injected::is_wake);
    if is_of_disk {
        judge(call, error, &injected, end).map_err(|fault| format!("{what}: {fault}\n{injected:#?}"))?;
    }
    let on: BTreeSet<On> = injected.iter().map(|i| i.on).collect();
    let outcome = match (&outcome, end) {
        (Err(log), _) if is_of_disk && log.contains("panicked") => return Err(format!("{what}: {log}")),
        (Err(_), _) => "no start",
        (Ok(_), Some(_)) => "exit 74",
        (Ok(_), None) => "goes on",
    };
    let mut server = Server::start(dir.path(), &CALM);
    known.check(&server).map_err(|fault| format!("{what}: {fault}\n{injected:#?}"))?;
    server.kill();
    Ok(on.into_iter().map(|on| format!("{error} on {on:?}: {outcome}")).collect())
}

/// The journal that stays is undone by SQLite, and with it the switch to a write-ahead log.
#[test]
fn a_first_start_that_gets_no_write_ahead_log_is_refused_and_the_next_one_works() {
    if !has_strace() {
        println!("skipped: strace is not installed");
        return;
    }
    assert_eq!(fails(("unlink", "ENOSPC", 1)), Ok(vec!["ENOSPC on Catalog: no start".to_owned()]));
}

#[test]
fn every_call_into_the_system_fails_once() {
    if !has_strace() {
        println!("skipped: strace is not installed");
        return;
    }
    // the calls of one undisturbed run
    let dir = folder();
    let trace = dir.path().join("trace");
    let mut known = Known::new();
    let mut server = start(dir.path(), None, &trace).expect("it starts");
    known.prepare(&server);
    script(&server, &mut known);
    signal(&server, "-TERM");
    assert!(server.wait_end(DEADLINE).is_some_and(|s| s.success()), "it stops");
    let calls = calls(&trace, &dir.path().join("data"));
    let cases: Vec<Case> = calls.iter().flat_map(|(call, n)| ERRORS.map(|error| (*call, error, *n))).collect();
    // less than all: some of them, by the seed
    let step = (cases.len() as u64 / amount(12)).max(1);
    let chosen: Vec<_> = cases.iter().skip((seed() % step) as usize).step_by(step as usize).collect();
    let bar = bar("failing calls", chosen.len() as u64);
    let (next, outcomes) = (AtomicUsize::new(0), Mutex::new(BTreeMap::<String, u64>::new()));
    let fault = std::thread::scope(|scope| {
        let work = || {
            while let Some(case) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                for outcome in fails(**case).inspect_err(|_| next.store(chosen.len(), Ordering::Relaxed))? {
                    *outcomes.lock().expect("no worker panics").entry(outcome).or_default() += 1;
                }
                bar.inc(1);
            }
            Ok::<(), String>(())
        };
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers.into_iter().find_map(|w| w.join().expect("no worker panics").err())
    });
    assert_eq!(fault, None);
    let outcomes = outcomes.into_inner().expect("no worker panics");
    bar.finish_and_clear();
    figure(
        "syscalls",
        &format!(
            "{} of {} failing calls tried: {}; 0 lost, 0 doubled, 0 torn",
            chosen.len(),
            cases.len(),
            outcomes.iter().map(|(what, n)| format!("{what} {n}")).collect::<Vec<_>>().join(", ")
        ),
    );
    assert!(!outcomes.is_empty(), "no call was made to fail");
}
