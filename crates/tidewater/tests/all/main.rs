//! Promises, asked of the real binary over HTTP. One test binary: each links the engine again.

mod access;
mod api;
mod backup;
mod cache;
mod clients;
mod compaction;
mod continuous;
mod crash;
mod deletes;
mod deploy;
mod door;
mod eyes;
mod failpoints;
mod faults;
mod harness;
mod jobs;
mod operation;
mod origins;
mod points;
mod pool;
mod queries;
mod retention;
mod spots;
mod supervision;
mod tables;
mod together;
