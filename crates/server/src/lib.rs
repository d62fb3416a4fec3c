//! The HTTP API. The only crate that knows HTTP.
//!
//! The modules stand in the order in which a request meets them.

/// What the server is told at start.
pub mod config;
/// The accept loop, connections, graceful stop.
pub mod listen;
/// Which path is answered by which function.
mod routes;
/// Who may ask.
pub mod auth;
/// Writes of every dialect: one decoder, one way to the log.
mod write;
/// What InfluxDB's clients ask besides writes.
mod influx;
/// SQL in, JSON or Arrow out.
mod query;
/// Databases and measurements.
mod databases;
/// Health, readiness, ping.
mod health;
/// Prometheus text.
mod metrics;
/// What every handler shares.
mod state;
/// Error codes to HTTP.
mod error;

pub use config::ServerConfig;
pub use listen::serve;
pub use state::State;
