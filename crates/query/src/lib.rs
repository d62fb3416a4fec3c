//! SQL over a [`store::View`], by Apache DataFusion. Knows nothing of HTTP and nothing of SQLite.
//!
//! The modules stand in the order in which a query meets them.

/// File columns bound by field id.
mod adapter;
/// Answers that are kept.
pub mod cache;
/// Casts that mean what they mean in DuckDB.
mod casts;
/// Data files whose bytes are compared with their checksums as they are read.
mod checked;
/// Plans as protobuf.
pub mod codec;
/// Runs of continuous queries.
pub mod continuous;
/// The values of a tag from dictionaries.
mod distinct;
/// The engine: runtime, memory, one session a query.
pub mod engine;
/// Failures of the engine, as ours.
mod failure;
/// Conditions over one table: which rows a delete means.
mod filter;
/// Functions whose meaning is DuckDB's.
mod functions;
/// Buckets without rows, as rows.
mod gapfill;
/// The allow-list over the syntax tree.
pub mod guard;
/// Hot rows with exact statistics.
mod hot;
/// The last row of each series without reading every row.
mod lastpoint;
/// Memory of queries: a part for each, and a common one.
mod memory;
/// Names that results show: stored case, aliases, DuckDB's names of expressions.
mod names;
/// A statement to a plan: names looked up within the caller's scopes.
mod plan;
/// A table of a View as the engine scans it.
mod points;
/// Slots, and the queue before them.
pub mod pool;
mod provider;
/// Queries on their way and those that ended.
pub mod running;
/// Bytes of answers that wait on disk.
pub mod scratch;
/// Text to one statement: dialect, folding, rewrites of forms the planner lacks.
pub mod syntax;
/// Times whose meaning is DuckDB's.
mod times;

mod error;

pub use engine::{Bounds, Engine, EngineConfig, Limits, QueryStream, ReadMode, Request};
pub use error::Error;
pub use filter::SqlFilter;
pub use syntax::{Ask, Params, Selection};
