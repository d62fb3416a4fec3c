//! SQL over a [`store::View`], by Apache DataFusion. Knows nothing of HTTP and nothing of SQLite.
//!
//! The modules stand in the order in which a query meets them.

/// Text to one statement: dialect, folding, rewrites of forms the planner lacks.
pub mod syntax;
/// The allow-list over the syntax tree.
pub mod guard;
/// Names that results show: stored case, aliases, DuckDB's names of expressions.
mod names;
/// The engine: runtime, memory, one session a query.
pub mod engine;
/// A table of a View as the engine scans it.
mod provider;
/// File columns bound by field id.
mod adapter;
/// Functions whose meaning is DuckDB's.
mod functions;

mod error;

pub use engine::{Engine, EngineConfig, QueryStream, ReadMode};
pub use error::Error;
