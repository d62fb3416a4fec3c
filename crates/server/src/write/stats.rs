//! What came in by each way, as Arc tells it.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::Json;
use axum::extract::State as Extract;
use model::{limits, time};
use serde_json::{Value, json};

use crate::state::{Shared, State};

fn of(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

const MSGPACK: &str = "/api/v1/write/msgpack";

fn is_lines(path: &str) -> bool {
    ["/write", "/api/v2/write", "/api/v3/write_lp", "/api/v1/write/line-protocol"].contains(&path)
}

/// `GET /api/v1/write/line-protocol/stats`
pub async fn lines(Extract(state): Extract<Shared>) -> Json<Value> {
    let (requests, errors) = state.counters.routes.totals(is_lines);
    Json(json!({"status": "ok", "stats": {
        "total_requests": requests,
        "total_records": of(&state.counters.lines),
        "total_bytes": of(&state.counters.line_bytes),
        "total_errors": errors,
        "bad_lines": of(&state.counters.bad_lines),
    }}))
}

/// `GET /api/v1/write/line-protocol/health`
pub async fn line_health() -> Json<Value> {
    Json(json!({"status": "healthy", "service": "line_protocol_writer"}))
}

/// `GET /api/v1/write/tle/stats`
pub async fn orbits(Extract(state): Extract<Shared>) -> Json<Value> {
    let (requests, errors) = state.counters.routes.totals(|path| path == "/api/v1/write/tle");
    let records = of(&state.counters.orbits);
    Json(
        json!({"status": "ok", "stats": {"total_requests": requests, "total_records": records, "total_errors": errors}}),
    )
}

/// `GET /api/v1/write/msgpack/stats`
pub async fn msgpack(Extract(state): Extract<Shared>) -> Json<Value> {
    let (requests, errors) = state.counters.routes.totals(|path| path == MSGPACK);
    Json(json!({
        "decoder": {
            "total_decoded": of(&state.counters.msgpack_rows),
            "total_errors": errors,
            "error_rate": errors as f64 / requests.max(1) as f64,
        },
        "buffer": buffer(&state),
    }))
}

fn buffer(state: &State) -> Value {
    let shared = state.store.shared();
    let view = state.store.view();
    let hot: Vec<u64> = view.tables.values().map(|t| t.hot.rows() as u64).collect();
    json!({
        "total_records_buffered": hot.iter().sum::<u64>(),
        "total_records_written": of(&shared.counters.flushed_rows),
        "total_flushes": of(&shared.counters.flushes),
        "total_errors": of(&shared.counters.flush_failures),
        "active_buffers": hot.iter().filter(|rows| **rows > 0).count(),
    })
}

/// `GET /api/v1/write/msgpack/spec`
pub async fn msgpack_spec() -> Json<Value> {
    Json(json!({
        "endpoint": MSGPACK,
        "method": "POST",
        "content_type": "application/msgpack",
        "encodings": ["identity", "gzip", "zstd", "deflate"],
        "database": "the header x-arc-database, else \"default\"",
        "shapes": {
            "columns": {"m": "measurement", "columns": {"time": "[integer]", "name": "[value]"}},
            "row": {"m": "measurement", "t": "integer", "h": "host, optional", "fields": {"name": "value"}, "tags": {"name": "text"}},
            "rows": "a list of rows, or {\"batch\": [row]}",
        },
        "time": "an integer since 1970 in seconds, milliseconds, microseconds or nanoseconds, by its magnitude; without it now",
        "values": ["null", "boolean", "integer", "float", "text"],
        "limits": {
            "cells": limits::REQUEST_CELLS,
            "columns": limits::TABLE_COLUMNS,
            "measurements": limits::REQUEST_TABLES,
            "text_bytes": limits::STRING_VALUE_BYTES,
            "time_us": [time::MIN_US, time::MAX_US],
        },
        "answer": "204; a request is stored whole or refused whole",
    }))
}
