//! Bytes to batches and answers to bytes. No I/O; every decoder takes hostile input.
//!
//! The modules stand in the order in which data meets them.

/// Columns while they are decoded.
mod column;
/// Answers to bytes: JSON, CSV, MessagePack, Arrow, Parquet.
pub mod encode;
/// Files to batches: CSV, line protocol, Parquet.
pub mod import;
/// gzip, zstd and deflate bodies through one capped reader.
pub mod inflate;
/// InfluxDB line protocol.
pub mod line_protocol;
/// MessagePack bodies: columnar, row, batch and array shapes.
pub mod msgpack;
/// Rows of several tables while they are decoded.
mod rows;
/// Two-line element sets of satellites.
pub mod tle;

mod error;

pub use error::{DecodeError, Fault, ItemError};
