//! Tidewater's vocabulary: what a name, an id, a time, a column and a batch are. No I/O.
//!
//! The modules stand in the order in which data meets them.

/// What a token may do, and to which tables.
pub mod access;
/// The rows of one table as a decoder leaves them.
pub mod batch;
/// The door to the clock.
pub mod clock;
/// Stable error codes, shared by every crate's error enum.
pub mod code;
/// Column types and roles.
pub mod column;
/// Durations in buckets.
pub mod histogram;
/// Ids of stored things and log sequence numbers.
pub mod id;
/// String columns while they are decoded: interned until values hardly repeat.
pub mod intern;
/// Every bound of the system, with its unit in the name and its reason beside it.
pub mod limits;
/// A bounded cache whose least recently used entry leaves first.
pub mod lru;
/// Names of databases, tables and columns, and how they fold.
pub mod name;
/// Patterns of names in which `*` is any text.
pub mod pattern;
/// A table's columns, and how a batch is fitted to them.
pub mod schema;
/// Instants in microseconds, units by magnitude, precisions.
pub mod time;

pub use access::{Access, Permission};
pub use batch::{Batch, BatchColumn};
pub use clock::{Clock, ManualClock, SystemClock};
pub use code::Code;
pub use column::{ColumnType, Role};
pub use histogram::{Stage, Stages};
pub use id::{ColumnId, DatabaseId, Lsn, TableId};
pub use name::{DatabaseName, ItemName, fold};
pub use schema::{Column, Fit, FitError, TableMode, TableSchema};
