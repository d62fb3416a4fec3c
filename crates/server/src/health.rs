use axum::Json;
use axum::extract::State as Extract;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{SecondsFormat, TimeZone, Utc};
use model::Code;
use serde_json::json;
use store::supervisor::Status;

use crate::error::ApiError;
use crate::queries;
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

/// `GET /ready`: 200 only when log, catalog and data folder can be written and every background task
/// that has run has done its work at least once.
pub async fn ready(Extract(state): Extract<Shared>) -> Response {
    let (time, uptime) = now(&state);
    let checked = state.store.check_ready().map_err(ApiError::from);
    let idle = || state.supervisor.statuses().into_iter().find(Status::never_worked);
    let checked = checked.and_then(|()| match idle() {
        None => Ok(()),
        Some(Status { name, last_error, .. }) => {
            let message = format!("{name} has not started: {}", last_error.unwrap_or_default());
            Err(ApiError::new(Code::ServiceUnavailable, message).with("service", name.into()))
        }
    });
    match checked {
        Ok(()) => {
            let pool = queries::probe(&state);
            let body = json!({
                "status": "ready", "ready": true, "time": time, "uptime_sec": uptime, "query_pool": pool,
            });
            Json(body).into_response()
        }
        Err(error) => {
            let mut body = json!({
                "status": "not_ready", "ready": false, "time": time, "uptime_sec": uptime,
                "reason": error.message, "code": error.code.as_str(),
            });
            error.extra.into_iter().for_each(|(name, value)| body[name] = value);
            (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
        }
    }
}

/// `GET /ping`
pub async fn ping() -> Response {
    (StatusCode::NO_CONTENT, [("x-influxdb-version", INFLUXDB_VERSION)]).into_response()
}
