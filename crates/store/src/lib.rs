//! Where rows are kept: log, hot rows, Parquet files, catalog. The promises live here.
//! Knows nothing of HTTP and nothing of the query engine.
//!
//! The modules stand in the order in which data meets them.

/// Parquet files of other programs, used as they lie.
pub mod adopt;
/// Ends, names and column types of tables.
pub mod alter;
/// Copies of a whole folder, and folders made of them.
pub mod backup;
/// The DuckLake catalog.
pub mod catalog;
/// Small files to large ones.
pub mod compact;
/// How a store is opened.
pub mod config;
/// Definitions, marks and output of continuous queries.
pub mod continuous;
/// Sorted rows to Parquet.
pub mod file;
/// Hot rows to files: which tables, when, in which order of steps.
pub mod flush;
/// Locks of jobs that replace files.
mod hold;
/// Acknowledged rows that no file holds yet.
pub mod hot;
/// Requests that must not be stored twice.
pub mod idempotency;
/// Rows that become files without passing through the log.
pub mod import;
/// A request's way to the log.
pub mod ingest;
/// Work that requests started.
pub mod jobs;
/// The log: segments, recovery, repair.
pub mod log;
/// Sorted files to one sorted file.
mod merge;
/// The door to `server.sqlite`.
pub mod meta;
/// One row a point of `last` tables.
pub mod points;
/// The body of a log record.
pub mod record;
/// Rows that policies give up by their age.
pub mod retention;
/// Deletes of rows.
pub mod rewrite;
/// When policies run.
pub mod schedule;
/// Files read again against their checksums.
pub mod scrub;
/// The order and division of a sealed generation's rows.
pub mod seal;
/// Numbers, writes and syncs records, then makes them visible.
pub mod sequencer;
/// What old segments of the log still hold for small tables.
mod side;
/// Everything together.
mod store;
/// The immutable snapshot that a query holds.
pub mod view;

/// Disk space kept in reserve.
mod ballast;
/// Checksums of the blocks of data files.
pub mod blocks;
/// What is wrong with a folder.
pub mod doctor;
/// The vocabulary of durability: the door to files.
pub mod durable;
/// Named places where a test may end the process.
pub mod failpoint;
/// Ends of the process that keep promises.
pub mod fatal;
/// Where things lie under the folder, and who may use it.
pub mod layout;
/// The door to randomness.
pub mod random;
/// What the threads share.
mod shared;
/// Background tasks, each retried by itself.
pub mod supervisor;

mod error;
/// Scenarios for `interleave/`, where the locks are a model checker's.
#[cfg(interleave)]
pub mod interleave;
#[cfg(test)]
mod model_tests;

/// What a run of the tests was asked for: `TW_AMOUNT`, how many, and `TW_SEED`.
#[cfg(test)]
fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|number| number.parse().ok())
}

/// Says how far a long run of the tests is, twenty times.
#[cfg(test)]
fn say_progress(done: u64, of: u64) {
    if of >= 1_000 && done.is_multiple_of(of / 20) {
        println!("{done} of {of}");
    }
}

pub use config::{Durability, StoreConfig};
pub use error::{Error, Result};
pub use ingest::{Accepted, RefusedRow, Resolution, Resolved, WriteRequest};
pub use sequencer::Outcome;
pub use shared::{Counters, Shared};
pub use store::{Store, repair_catalog, repair_log};
pub use view::View;
