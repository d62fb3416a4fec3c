//! The query pool, as the product has it.

#[path = "../../../crates/query/src/pool.rs"]
pub mod pool;

/// What the pool refuses with.
#[derive(Debug)]
pub enum Error {
    QueueFull,
    Internal(String),
}
