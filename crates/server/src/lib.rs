//! The HTTP API. The only crate that knows HTTP.
//!
//! The modules stand in the order in which a request meets them.

/// Answers of queries, in every format.
mod answer;
/// Who changed what, and who was turned away.
pub mod audit;
/// Who may ask.
pub mod auth;
/// Backups of the whole folder.
pub mod backup;
/// Bodies, and the memory that they share.
pub mod body;
/// The cache of answers.
mod cache;
/// What compaction does and has done.
mod compaction;
/// What the server is told at start.
pub mod config;
/// Continuous queries, and the schedulers.
mod continuous;
/// Databases and measurements.
mod databases;
/// Deletes of rows, Arc's way and InfluxDB's.
mod delete;
/// Error codes to HTTP.
pub mod error;
/// Parameters of requests.
mod extract;
/// Limits of single tokens.
pub mod governance;
/// Health, readiness, ping.
mod health;
/// Files in.
mod import;
/// What InfluxDB's clients ask besides writes.
mod influx;
/// Background tasks, and work that requests started.
mod jobs;
/// The accept loop, connections, graceful stop.
pub mod listen;
/// The server's last messages.
pub mod logs;
/// Prometheus text.
mod metrics;
/// What OpenAPI's readers are told of the routes.
pub mod openapi;
/// Queries on their way, and the pool they run in.
mod queries;
/// SQL in, rows out.
mod query;
/// Settings that change while the server runs.
pub mod reload;
/// Retention policies.
mod retention;
/// Which path is answered by which function, and what it asks of its caller.
pub mod routes;
/// The server's own numbers over the last minutes.
pub mod samples;
/// What every handler shares.
mod state;
/// Instants as clients read and write them.
mod time;
/// Making, changing and stopping tokens.
mod tokens;
/// Writes of every dialect: one decoder, one way to the log.
mod write;

pub use config::ServerConfig;
pub use listen::{Work, serve};
pub use state::State;
