//! Durations counted in buckets, without a lock: they are noted where every write and query passes.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Upper ends of the buckets in microseconds, mostly 1, 2.5 and 5 of each power of ten; beyond the last is one more.
pub const BOUNDS_US: [u64; 22] = [
    1,
    5,
    10,
    25,
    50,
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    10_000_000,
    60_000_000,
    300_000_000,
];

/// How often something took how long.
#[derive(Debug, Default)]
pub struct Histogram {
    counts: [AtomicU64; BOUNDS_US.len() + 1],
    sum_ns: AtomicU64,
}

/// A histogram at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Of each bucket alone; the last is beyond every bound.
    pub counts: [u64; BOUNDS_US.len() + 1],
    pub sum_ns: u64,
}

impl Histogram {
    pub fn note(&self, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|bound| *bound * 1_000 < ns);
        self.counts[bucket].fetch_add(1, Relaxed);
        self.sum_ns.fetch_add(ns, Relaxed);
    }

    /// Notes the time since `began`.
    pub fn since(&self, began: Instant) {
        self.note(began.elapsed());
    }

    pub fn seen(&self) -> Seen {
        let counts = std::array::from_fn(|i| self.counts[i].load(Relaxed));
        Seen { counts, sum_ns: self.sum_ns.load(Relaxed) }
    }
}

impl Seen {
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Microseconds; zero when nothing was noted.
    pub fn average_us(&self) -> f64 {
        self.sum_ns as f64 / 1e3 / self.count().max(1) as f64
    }

    /// The upper end of the bucket in which a share (0 to 1) of all durations ends, in microseconds.
    pub fn quantile_us(&self, share: f64) -> u64 {
        let rank = (self.count() as f64 * share).ceil() as u64;
        let mut passed = 0;
        for (count, bound) in self.counts.iter().zip(BOUNDS_US) {
            passed += count;
            if passed >= rank {
                return bound;
            }
        }
        u64::MAX
    }
}

/// The steps of writes and queries whose times are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Whose token a request carries.
    Verify,
    /// Bytes to rows, decompression included.
    Decode,
    /// A request in the queue of the log.
    LogWait,
    /// fdatasync of a group.
    Sync,
    /// A group's rows into memory.
    Insert,
    /// A table's rows to files.
    Flush,
    /// A transaction of the catalog.
    Commit,
    /// A query in the queue of the pool.
    QueueWait,
    Plan,
    /// Reading and computing, without the time that the client takes for the rows.
    Scan,
    /// Rows to bytes.
    Encode,
}

impl Stage {
    pub const ALL: [Stage; 11] = [
        Stage::Verify,
        Stage::Decode,
        Stage::LogWait,
        Stage::Sync,
        Stage::Insert,
        Stage::Flush,
        Stage::Commit,
        Stage::QueueWait,
        Stage::Plan,
        Stage::Scan,
        Stage::Encode,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Stage::Verify => "verify",
            Stage::Decode => "decode",
            Stage::LogWait => "log_wait",
            Stage::Sync => "sync",
            Stage::Insert => "insert",
            Stage::Flush => "flush",
            Stage::Commit => "commit",
            Stage::QueueWait => "queue_wait",
            Stage::Plan => "plan",
            Stage::Scan => "scan",
            Stage::Encode => "encode",
        }
    }
}

/// A histogram for each stage.
#[derive(Debug, Default)]
pub struct Stages([Histogram; Stage::ALL.len()]);

impl Stages {
    pub fn of(&self, stage: Stage) -> &Histogram {
        &self.0[stage as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_falls_into_the_bucket_whose_end_it_does_not_pass() {
        let histogram = Histogram::default();
        for ns in [0, 1_000, 1_001, 300_000_000_000, 300_000_000_001] {
            histogram.note(Duration::from_nanos(ns));
        }
        let seen = histogram.seen();
        assert_eq!((seen.counts[0], seen.counts[1], seen.counts[21], seen.counts[22]), (2, 1, 1, 1));
        assert_eq!((seen.count(), seen.sum_ns), (5, 600_000_002_002));
        assert_eq!((seen.quantile_us(0.4), seen.quantile_us(0.5), seen.quantile_us(1.0)), (1, 5, u64::MAX));
    }

    #[test]
    fn bounds_rise_and_every_stage_has_its_own_place() {
        assert!(BOUNDS_US.is_sorted_by(|a, b| a < b));
        let stages = Stages::default();
        for stage in Stage::ALL {
            stages.of(stage).note(Duration::ZERO);
            assert_eq!(stages.of(stage).seen().count(), 1, "{}", stage.as_str());
        }
    }
}
