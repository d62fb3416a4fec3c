//! Bytes to batches and answers to bytes. No I/O; every decoder takes hostile input.
//!
//! The modules stand in the order in which data meets them.

/// gzip, zstd and deflate bodies through one capped reader.
pub mod inflate;
/// Columns while they are decoded.
mod column;
/// Rows of several tables while they are decoded.
mod rows;
/// MessagePack bodies: columnar, row, batch and array shapes.
pub mod msgpack;
/// InfluxDB line protocol.
pub mod line_protocol;
/// Record batches to the JSON envelope.
pub mod json;
/// Record batches to types that every Arrow reader understands.
pub mod plain;

mod error;

pub use error::{DecodeError, Fault, ItemError};
