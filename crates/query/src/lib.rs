//! SQL over a [`store::View`], by Apache DataFusion. Knows nothing of HTTP and nothing of SQLite.
//!
//! The modules stand in the order in which a query meets them.

/// File columns bound by field id.
mod adapter;
/// Plans as protobuf.
pub mod codec;
/// Runs of continuous queries.
pub mod continuous;
/// The engine: runtime, memory, one session a query.
pub mod engine;
/// Conditions over one table: which rows a delete means.
mod filter;
/// Functions whose meaning is DuckDB's.
mod functions;
/// The allow-list over the syntax tree.
pub mod guard;
/// Hot rows with exact statistics.
mod hot;
/// The last row of each series without reading every row.
mod lastpoint;
/// Names that results show: stored case, aliases, DuckDB's names of expressions.
mod names;
/// A table of a View as the engine scans it.
mod points;
mod provider;
/// Text to one statement: dialect, folding, rewrites of forms the planner lacks.
pub mod syntax;

mod error;

pub use engine::{Engine, EngineConfig, QueryStream, ReadMode, Request};
pub use error::Error;
pub use filter::SqlFilter;
