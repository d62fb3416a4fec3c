//! The server's own numbers over the last minutes, for whoever has no Prometheus.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Json;
use axum::extract::State as Extract;
use model::Code;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::extract::{Params, Segments};
use crate::metrics::{open_descriptors, process_cpu_seconds, resident_bytes};
use crate::state::{Shared, State};
use crate::time::rfc3339;

/// Minutes that a client gets unless it asks for others, and the most that it may ask for.
const MINUTES: i64 = 30;
const MOST_MINUTES: i64 = 1_440;

const KINDS: [&str; 3] = ["system", "application", "api"];

/// The last samples, oldest first; `metrics.timeseries_retention_minutes` bounds them.
#[derive(Debug, Default)]
pub struct Samples(Mutex<VecDeque<Sample>>);

#[derive(Debug)]
struct Sample {
    at_us: i64,
    /// In the order of [`KINDS`].
    values: [Value; 3],
}

impl Samples {
    /// Adds the numbers of now (UTC microseconds); the oldest leave.
    pub fn take(&self, state: &State, at_us: i64) {
        let values = [system(state), application(state), api(state)];
        let mut samples = self.0.lock();
        while samples.len() >= state.config().samples.max(1) {
            samples.pop_front();
        }
        samples.push_back(Sample { at_us, values });
    }
}

fn system(state: &State) -> Value {
    let free = store::durable::free_bytes(&state.store.shared().config.root).ok();
    json!({
        "memory_bytes": resident_bytes(),
        "cpu_seconds_total": process_cpu_seconds(),
        "open_fds": open_descriptors(),
        "disk_free_bytes": free,
    })
}

fn application(state: &State) -> Value {
    let (view, shared) = (state.store.view(), state.store.shared());
    let compaction = shared.compaction.lock();
    json!({
        "records_total": read(&state.store.counters().rows),
        "hot_bytes": shared.hot_bytes(),
        "log_bytes": read(&shared.log_bytes),
        "tables": view.tables.len(),
        "live_files": view.tables.values().map(|t| t.files.len()).sum::<usize>(),
        "merges_total": compaction.completed,
        "quarantined_files": compaction.quarantined.len(),
        "queries_running": state.engine.pool().running(),
        "queries_waiting": state.engine.pool().waiting(),
    })
}

fn api(state: &State) -> Value {
    let http = &state.counters;
    json!({
        "requests_total": read(&http.requests),
        "errors_total": read(&http.failed),
        "write_requests_total": read(&http.write_requests),
        "write_errors_total": read(&http.write_errors),
        "query_requests_total": read(&http.query_requests),
        "query_errors_total": read(&http.query_errors),
        "connections": read(&http.connections),
    })
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// How far back a client wants to see.
#[derive(Debug, Deserialize)]
pub struct Span {
    duration_minutes: Option<i64>,
}

/// `GET /api/v1/metrics/timeseries/{type}`: a point a sample, oldest first.
pub async fn timeseries(
    Extract(state): Extract<Shared>,
    Segments(kind): Segments<String>,
    Params(span): Params<Span>,
) -> Result<Json<Value>, ApiError> {
    let Some(at) = KINDS.iter().position(|k| *k == kind) else {
        let message = format!("type {kind:?} is none of {}", KINDS.join(", "));
        return Err(ApiError::new(Code::InvalidParameter, message).with("valid_types", json!(KINDS)));
    };
    let minutes = span.duration_minutes.unwrap_or(MINUTES);
    if !(1..=MOST_MINUTES).contains(&minutes) {
        let message = format!("duration_minutes is {minutes}; it must be 1 to {MOST_MINUTES}");
        return Err(ApiError::new(Code::InvalidParameter, message));
    }
    let now_us = state.clock.now_us();
    let since_us = now_us - minutes * 60_000_000;
    let samples = state.samples.0.lock();
    let points: Vec<Value> = samples
        .iter()
        .filter(|s| s.at_us >= since_us)
        .map(|s| {
            let mut point = s.values[at].clone();
            point["timestamp"] = rfc3339(s.at_us).into();
            point
        })
        .collect();
    Ok(Json(json!({
        "timestamp": rfc3339(now_us),
        "type": kind,
        "duration_minutes": minutes,
        "points_count": points.len(),
        "data": points,
    })))
}
