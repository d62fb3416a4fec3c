//! A server that can do nothing, or has nothing to do, uses no processor for it.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{amount, figure, is_full};
use crate::harness::{Server, TOKEN, folder};

/// Above the same server without the condition, as a share of a core.
const MOST_CPU: f64 = 0.02;
const MOST_HEALTH_MS: f64 = 20.0;
const WAITING: usize = 500;
const IDLE: usize = 1_000;
/// How often /health is asked of each server.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// Pauses after failures, in seconds: doubled up to the last, each cut by up to a tenth at random.
const PAUSES: [f64; 7] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0];
/// More than any test waits for.
const ALWAYS: &str = "1000000";

/// Seconds of CPU that a process has used.
fn cpu_seconds(server: &Server) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{}/stat", server.pid())).expect("a process");
    let fields: Vec<&str> = text.rsplit(')').next().expect("a name").split_whitespace().collect();
    // fields 14 and 15 of proc_pid_stat(5), in ticks of which Linux has a hundred a second
    let ticks = |at: usize| fields[at - 3].parse::<f64>().expect("a number");
    (ticks(14) + ticks(15)) / 100.0
}

fn tasks(server: &Server) -> Vec<(String, u64)> {
    let jobs = server.get("/api/v1/jobs").json();
    let tasks = jobs["tasks"].as_array().expect("tasks");
    tasks
        .iter()
        .map(|t| (t["name"].as_str().expect("a name").into(), t["failures"].as_u64().expect("a count")))
        .collect()
}

/// More failures of a task that has failed so often, in so many seconds; at least and at most.
fn scheduled(before: u64, seconds: f64) -> (u64, u64) {
    /// A task is looked at so often, and its work takes its time.
    const SLACK: f64 = 0.5;
    let pause = |failures: u64| PAUSES[(failures.max(1) as usize - 1).min(PAUSES.len() - 1)];
    let (mut least, mut at) = (0, pause(before) + SLACK);
    while before > 0 && at <= seconds {
        least += 1;
        at += pause(before + least) + SLACK;
    }
    // the first may come at once
    let (mut most, mut at) = (1, 0.9 * pause(before + 1));
    while at <= seconds {
        most += 1;
        at += 0.9 * pause(before + most);
    }
    (least, most)
}

/// A server in a condition, and what keeps it there.
struct Tried {
    name: &'static str,
    server: Server,
    held: Vec<TcpStream>,
    cpu: f64,
    health_ms: Vec<f64>,
    _dir: tempfile::TempDir,
}

fn tried(name: &'static str, settings: &[&str], failpoint: &str) -> Tried {
    let dir = folder();
    let server = Server::try_start(dir.path(), settings, &[("TIDEWATER_FAILPOINT", failpoint)]).expect("it starts");
    Tried { name, server, held: Vec::new(), cpu: 0.0, health_ms: Vec::new(), _dir: dir }
}

fn connections(server: &Server, count: usize, request: &str) -> Vec<TcpStream> {
    let open = |_| {
        let mut stream = TcpStream::connect(server.address()).expect("a connection");
        stream.write_all(request.as_bytes()).expect("it is read");
        stream
    };
    (0..count).map(open).collect()
}

#[test]
fn what_waits_fails_or_idles_uses_no_processor() {
    let seconds = if is_full() { amount(10) as f64 * 60.0 } else { 4.0 };
    let plain = ["query.timeout=3600", "query.queue=1000"];
    let names: Vec<String> = {
        let all = tried("names", &plain, "");
        tasks(&all.server).into_iter().map(|(name, _)| name).collect()
    };
    let failing: Vec<String> = names.iter().map(|name| format!("task.start.{name}:{ALWAYS}=error")).collect();
    let mut all = vec![
        tried("nothing to do", &plain, ""),
        tried("every slot busy and 500 queries waiting", &plain, &format!("pool.query:{ALWAYS}=hang")),
        tried("the probe fails", &plain, &format!("pool.probe:{ALWAYS}=error")),
        tried("every background task fails", &plain, &failing.join(",")),
        tried("1 000 idle connections", &plain, ""),
    ];
    let body = r#"{"sql":"SELECT 1"}"#;
    let query = format!(
        "POST /api/v1/query HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    all[1].held = connections(&all[1].server, WAITING, &query);
    all[4].held = connections(&all[4].server, IDLE, "GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
    crate::harness::eventually("all of them are there", || {
        all[1].server.get("/api/v1/queries/active").json()["count"].as_u64().is_some_and(|n| n as usize >= WAITING)
    });
    let failed_before = tasks(&all[3].server);
    let began = Instant::now();
    all.iter_mut().for_each(|one| one.cpu = -cpu_seconds(&one.server));
    while began.elapsed().as_secs_f64() < seconds {
        for one in &mut all {
            let asked = Instant::now();
            assert_eq!(one.server.get("/health").status, 200, "{}", one.name);
            one.health_ms.push(asked.elapsed().as_secs_f64() * 1e3);
        }
        std::thread::sleep(ASK_EVERY); // the pace of the probe
    }
    let elapsed = began.elapsed().as_secs_f64();
    let mut said = Vec::new();
    for one in &mut all {
        one.cpu = (one.cpu + cpu_seconds(&one.server)) / elapsed;
        one.health_ms.sort_by(f64::total_cmp);
    }
    let idle = all[0].cpu;
    for one in &all {
        let p99 = one.health_ms[one.health_ms.len() * 99 / 100];
        said.push(format!("{}: {:.1} % of a core, /health p99 {p99:.1} ms", one.name, one.cpu * 100.0));
        assert!(one.cpu - idle <= MOST_CPU, "{}: {:.3} of a core, {idle:.3} without it", one.name, one.cpu);
        // beside other tests the time tells of those
        assert!(p99 <= MOST_HEALTH_MS || !is_full(), "{}: {p99} ms", one.name);
    }
    let mut attempts = 0;
    for ((name, before), (_, after)) in failed_before.into_iter().zip(tasks(&all[3].server)) {
        let (least, most) = scheduled(before, elapsed);
        let least = if is_full() { least } else { 0 };
        let more = after - before;
        assert!(
            (least..=most).contains(&more),
            "{name} failed {more} times more in {elapsed:.0} s, not {least} to {most}"
        );
        attempts += after;
    }
    assert!(attempts > 10, "the tasks were tried: {attempts}");
    figure(
        "spike",
        &format!(
            "{elapsed:.0} s: {}; {attempts} tries of the failing tasks, each when its schedule says",
            said.join("; ")
        ),
    );
}
