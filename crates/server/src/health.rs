use axum::Json;
use axum::extract::State as Extract;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{SecondsFormat, TimeZone, Utc};
use serde_json::json;

use crate::state::{Shared, State};

/// What InfluxDB's clients are told; its first number decides which API they use.
pub const INFLUXDB_VERSION: &str = concat!("2.7.0-tidewater-", env!("CARGO_PKG_VERSION"));

fn now(state: &State) -> (String, f64) {
    let now_us = state.clock.now_us();
    let time = Utc.timestamp_micros(now_us).single().unwrap_or_default();
    (time.to_rfc3339_opts(SecondsFormat::Micros, true), (now_us - state.started_us) as f64 / 1e6)
}

/// Seconds as people read them: `1h2m3s`.
fn readable(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m{s}s"),
        (h, m, s) => format!("{h}h{m}m{s}s"),
    }
}

/// `GET /health`: the process answers.
pub async fn health(Extract(state): Extract<Shared>) -> Response {
    let (time, uptime) = now(&state);
    Json(json!({
        "status": "ok",
        "time": time,
        "uptime": readable(uptime),
        "uptime_sec": uptime,
        "version": env!("CARGO_PKG_VERSION"),
        "name": "tidewater",
    }))
    .into_response()
}

/// `GET /ready`: 200 only when log, catalog and data folder can be written.
pub async fn ready(Extract(state): Extract<Shared>) -> Response {
    let (time, uptime) = now(&state);
    match state.store.check_ready() {
        Ok(()) => Json(json!({"status": "ready", "ready": true, "time": time, "uptime_sec": uptime})).into_response(),
        Err(error) => {
            let body = json!({
                "status": "not_ready", "ready": false, "time": time, "uptime_sec": uptime,
                "reason": error.to_string(), "code": error.code().as_str(),
            });
            (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
        }
    }
}

/// `GET /ping`
pub async fn ping() -> Response {
    (StatusCode::NO_CONTENT, [("x-influxdb-version", INFLUXDB_VERSION)]).into_response()
}
