//! The process ends itself at every named point of the source that a running server reaches.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{Random, amount, bar, figure, seed};
use crate::crash::{CALM, FAST};
use crate::failpoints;
use crate::harness::{Server, folder};
use crate::oracle::Known;

/// Points that other programs than a server reach: `tidewater adopt`, `restore`, a second process at one catalog. Their own
/// tests end those there.
const ELSEWHERE: [&str; 3] = ["adopt.", "restore.", "lock."];
/// A point is reached at most so often before it ends the process.
const MOST_HITS: u64 = 4;
/// How long a server may take to get to a point.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn an_end_at_every_named_point_loses_nothing() {
    let (rounds, first) = (amount(1), seed());
    let points: Vec<String> =
        failpoints::names().into_iter().filter(|p| !ELSEWHERE.iter().any(|of| p.starts_with(of))).collect();
    let bar = bar("ends at points", rounds * points.len() as u64);
    let (mut ends, mut acknowledged) = (BTreeMap::<&str, u64>::new(), 0);
    for point in &points {
        // each point has a folder of its own: what it left is there for the next seed
        let dir = folder();
        let mut known = Known::new();
        let mut server = Server::start(dir.path(), &FAST);
        known.prepare(&server);
        server.kill();
        for round in first..first + rounds {
            let mut random = Random(round);
            // a continuous query runs every ten seconds
            let most = if point.starts_with("cq.") { 1 } else { MOST_HITS };
            let armed = format!("{point}:{}", 1 + random.below(most));
            let mut env = vec![("TIDEWATER_FAILPOINT", armed.as_str())];
            if random.below(2) == 0 {
                env.push(("TIDEWATER_FAULT_DOOR", "power"));
            }
            let what = format!("{armed} of seed {round}");
            match Server::try_start(dir.path(), &FAST, &env) {
                Ok(mut server) => {
                    known.load(&server, Instant::now() + PATIENCE);
                    let ended = server.wait_end(Duration::from_millis(200)).is_some();
                    *ends.entry(point).or_default() += u64::from(ended);
                    server.kill();
                }
                Err(_) => *ends.entry(point).or_default() += 1,
            }
            let mut server = Server::start(dir.path(), &CALM);
            known.check(&server).unwrap_or_else(|fault| panic!("{what}: {fault}"));
            server.kill();
            bar.inc(1);
        }
        acknowledged += known.acknowledged.len();
    }
    bar.finish_and_clear();
    let reached: u64 = ends.values().sum();
    figure(
        "failpoints",
        &format!(
            "{} points, {rounds} seeds each: the process ended there {reached} times; {acknowledged} requests \
             acknowledged, 0 lost, 0 doubled, 0 torn",
            points.len()
        ),
    );
    let never: Vec<_> = points.iter().filter(|p| ends.get(p.as_str()).is_none_or(|n| *n == 0)).collect();
    assert!(never.is_empty(), "the load never gets to {never:?}");
}
