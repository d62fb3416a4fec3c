use std::collections::HashMap;
use std::time::Instant;

use axum::extract::State as Extract;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::time::Precision;
use model::{Code, DatabaseName, ItemName, Permission, Stage, TableMode, limits};
use serde_json::{Value, json};
use store::idempotency::Remembered;
use store::{Durability, Outcome, RefusedRow, Resolution, WriteRequest};
use wire::{ItemError, inflate, line_protocol, msgpack, tle};

use crate::auth::Caller;
use crate::body::Payload;
use crate::error::ApiError;
use crate::extract::Params;
use crate::state::{Shared, State, blocking, count};

mod idempotency;
/// What came in by each way.
pub mod stats;

/// Bodies above this are decoded away from the threads that serve other connections.
const BLOCKING_BYTES: usize = 256 << 10;

type Named = Params<HashMap<String, String>>;

/// `POST /api/v1/write/msgpack`
pub async fn msgpack(
    Extract(state): Extract<Shared>,
    caller: Caller,
    headers: HeaderMap,
    body: Payload,
) -> Result<Response, ApiError> {
    let database = database(&headers, None)?;
    let outcome = write(&state, &caller, &headers, body, database, Dialect::Msgpack).await;
    answer(&state, outcome)
}

/// `POST /api/v1/write/line-protocol`
pub async fn line_protocol(
    Extract(state): Extract<Shared>,
    caller: Caller,
    Params(params): Named,
    headers: HeaderMap,
    body: Payload,
) -> Result<Response, ApiError> {
    lines(&state, &caller, &headers, body, None, precision(&params, Precision::Nanosecond)?, TableMode::Append).await
}

/// `POST /write`: InfluxDB 1.
pub async fn influx_v1(
    Extract(state): Extract<Shared>,
    caller: Caller,
    Params(params): Named,
    headers: HeaderMap,
    body: Payload,
) -> Result<Response, ApiError> {
    lines(
        &state,
        &caller,
        &headers,
        body,
        params.get("db"),
        precision(&params, Precision::Nanosecond)?,
        TableMode::Last,
    )
    .await
}

/// `POST /api/v2/write`: InfluxDB 2, whose clients read `code` and `message`.
pub async fn influx_v2(
    Extract(state): Extract<Shared>,
    caller: Caller,
    Params(params): Named,
    headers: HeaderMap,
    body: Payload,
) -> Result<Response, ApiError> {
    let precision = precision(&params, Precision::Nanosecond).map_err(v2_error)?;
    lines(&state, &caller, &headers, body, params.get("bucket"), precision, TableMode::Last).await.map_err(v2_error)
}

/// `POST /api/v3/write_lp`: InfluxDB 3.
pub async fn influx_v3(
    Extract(state): Extract<Shared>,
    caller: Caller,
    Params(params): Named,
    headers: HeaderMap,
    body: Payload,
) -> Result<Response, ApiError> {
    lines(&state, &caller, &headers, body, params.get("db"), precision(&params, Precision::Auto)?, TableMode::Last)
        .await
}

/// `POST /api/v1/write/tle`: orbits of satellites.
pub async fn tle(
    Extract(state): Extract<Shared>,
    caller: Caller,
    headers: HeaderMap,
    body: Payload,
) -> Result<Response, ApiError> {
    let (database, table) = (database(&headers, None)?, orbits(&headers)?);
    answer(&state, write(&state, &caller, &headers, body, database, Dialect::Tle { table: table.as_str() }).await)
}

/// Where orbits go: the header, else Arc's `satellite_tle`.
pub fn orbits(headers: &HeaderMap) -> Result<ItemName, ApiError> {
    let named = headers.get("x-arc-measurement").map(|v| v.to_str().unwrap_or("\u{7f}")).filter(|m| !m.is_empty());
    Ok(ItemName::new("measurement", named.unwrap_or("satellite_tle"))?)
}

/// Line protocol by any route: what differs is where the database stands, the unit of time, the mode.
async fn lines(
    state: &State,
    caller: &Caller,
    headers: &HeaderMap,
    body: Payload,
    param: Option<&String>,
    precision: Precision,
    mode: TableMode,
) -> Result<Response, ApiError> {
    let database = database(headers, param)?;
    answer(state, write(state, caller, headers, body, database, Dialect::LineProtocol { precision, mode }).await)
}

/// InfluxDB 2's words for what went wrong; our own code stays beside them.
fn v2_error(error: ApiError) -> ApiError {
    let word = match error.status() {
        StatusCode::UNAUTHORIZED => "unauthorized",
        StatusCode::FORBIDDEN => "forbidden",
        StatusCode::NOT_FOUND => "not found",
        StatusCode::PAYLOAD_TOO_LARGE => "request too large",
        status if status.is_server_error() => "unavailable",
        _ => "invalid",
    };
    let (message, own) = (error.message.clone(), error.code.as_str());
    error.with("message", json!(message)).with("code", json!(word)).with("tidewater_code", json!(own))
}

/// `POST /api/v1/write/line-protocol/flush`: every hot row into files, now.
pub async fn flush(Extract(state): Extract<Shared>) -> Result<Response, ApiError> {
    let store = std::sync::Arc::clone(&state.store);
    blocking(move || Ok(store.flush()?)).await?;
    let snapshot = state.store.view().snapshot;
    Ok(axum::Json(json!({"status": "ok", "message": "all rows are in files", "snapshot": snapshot})).into_response())
}

#[derive(Debug, Clone, Copy)]
enum Dialect<'a> {
    Msgpack,
    LineProtocol { precision: Precision, mode: TableMode },
    Tle { table: &'a str },
}

/// What a client sent, decoded.
struct Decoded {
    batches: Vec<model::Batch>,
    errors: Vec<ItemError>,
    bad: usize,
}

/// The accepted part of a request and what was not.
struct Written {
    durability: Durability,
    errors: Vec<ItemError>,
    bad: usize,
    rows: usize,
}

/// The database: the header, else the route's parameter, else `default`.
fn database(headers: &HeaderMap, param: Option<&String>) -> Result<DatabaseName, ApiError> {
    let header = headers.get("x-arc-database").map(|v| v.to_str().unwrap_or("\u{7f}"));
    let name = header.filter(|h| !h.is_empty()).or(param.map(String::as_str)).unwrap_or("default");
    Ok(DatabaseName::new(name)?)
}

fn precision(params: &HashMap<String, String>, default: Precision) -> Result<Precision, ApiError> {
    match params.get("precision").filter(|p| !p.is_empty()) {
        None => Ok(default),
        Some(text) => Precision::parse(text).ok_or_else(|| {
            let message = format!("precision {text:?} is unknown; use n, ns, u, us, µ, ms, s, m or h");
            ApiError::new(Code::InvalidParameter, message)
        }),
    }
}

fn durability(headers: &HeaderMap) -> Result<Option<Durability>, ApiError> {
    let Some(value) = headers.get("x-tidewater-durability") else { return Ok(None) };
    let known = value.to_str().ok().and_then(Durability::parse);
    known
        .map(Some)
        .ok_or_else(|| ApiError::new(Code::InvalidParameter, "x-tidewater-durability is neither power nor process"))
}

async fn write(
    state: &State,
    caller: &Caller,
    headers: &HeaderMap,
    body: Payload,
    database: DatabaseName,
    dialect: Dialect<'_>,
) -> Result<Written, ApiError> {
    count(&state.counters.write_requests, 1);
    let durability = durability(headers)?;
    let whole = body.read(state, state.config().max_payload_bytes).await?;
    let body = &whole.bytes;
    count(&state.counters.write_bytes, body.len() as u64);
    let key = idempotency::key(caller, headers, &database, dialect, body)?;
    // a twin in flight waits for the first and then finds what it did
    let _turn = match &key {
        Some(key) => Some(state.in_flight.take(key.key).await),
        None => None,
    };
    if let Some(key) = &key {
        match state.store.keys().find(&key.key, &key.body) {
            Some(Remembered::Same(answer)) => return idempotency::recall(state, &answer),
            Some(Remembered::Other) => {
                let message = "this Idempotency-Key came before with another body";
                return Err(ApiError::new(Code::IdempotencyMismatch, message));
            }
            None => {}
        }
    }
    let encoding = headers.get(header::CONTENT_ENCODING).and_then(|v| v.to_str().ok());
    let decode = || {
        let began = Instant::now();
        let decoded = decode(state, body, encoding, dialect);
        state.store.shared().stages.of(Stage::Decode).since(began);
        decoded
    };
    let decoded = if body.len() > BLOCKING_BYTES {
        // decoded rows are counted only when they are handed over: not many do this at once
        let _turn = state.decoders.acquire().await;
        tokio::task::block_in_place(decode)?
    } else {
        decode()?
    };
    let (mode, partial) = match dialect {
        Dialect::Msgpack => (TableMode::Append, false),
        Dialect::LineProtocol { mode, .. } => (mode, true),
        Dialect::Tle { .. } => (TableMode::Append, true),
    };
    let Decoded { batches, errors, bad } = decoded;
    for batch in &batches {
        caller.check(Permission::Write, database.as_str(), &batch.table)?;
    }
    let known = Written { durability: durability_of(state, durability), errors, bad, rows: 0 };
    if batches.is_empty() {
        return Ok(known);
    }
    let request = WriteRequest { database, mode, batches, partial, durability, key };
    store_rows(state, request, known).await
}

/// The durability asked for, or the configured one.
fn durability_of(state: &State, asked: Option<Durability>) -> Durability {
    asked.unwrap_or(state.store.shared().config.durability)
}

impl Written {
    /// With the rows that did not fit their tables beside the lines that were not understood.
    fn joined(&self, refused: &[RefusedRow], rows: usize) -> Written {
        let refused_lines = refused.iter().map(|r| ItemError { number: r.number, reason: r.reason.clone() });
        let mut errors: Vec<ItemError> = self.errors.iter().cloned().chain(refused_lines).collect();
        errors.sort_by_key(|e| e.number);
        errors.truncate(limits::REPORTED_LINES);
        Written { durability: self.durability, errors, bad: self.bad + refused.len(), rows }
    }
}

fn decode(state: &State, body: &[u8], encoding: Option<&str>, dialect: Dialect<'_>) -> Result<Decoded, ApiError> {
    let plain = inflate::inflate(body, encoding, state.config().max_payload_bytes)?;
    let now_us = state.clock.now_us();
    match dialect {
        Dialect::Msgpack => {
            let batches = msgpack::decode(&plain, now_us)?;
            count(&state.counters.msgpack_rows, batches.iter().map(|b| b.rows() as u64).sum());
            Ok(Decoded { batches, errors: Vec::new(), bad: 0 })
        }
        Dialect::LineProtocol { precision, .. } => {
            let decoded = line_protocol::decode(&plain, precision, now_us)?;
            count(&state.counters.lines, decoded.lines as u64);
            count(&state.counters.line_bytes, body.len() as u64);
            count(&state.counters.bad_lines, decoded.bad as u64);
            if decoded.lines == 0 {
                return Err(ApiError::new(Code::InvalidBody, "the body holds no line with a point"));
            }
            Ok(Decoded { batches: decoded.batches, errors: decoded.errors, bad: decoded.bad })
        }
        Dialect::Tle { table } => {
            let decoded = tle::decode(&plain, table)?;
            count(&state.counters.orbits, (decoded.entries - decoded.bad) as u64);
            if decoded.entries == 0 {
                return Err(ApiError::new(Code::InvalidBody, "the body holds no two-line element set"));
            }
            Ok(Decoded { batches: decoded.batches, errors: decoded.errors, bad: decoded.bad })
        }
    }
}

/// Resolve, define what is missing, submit, wait; as `Store::write`, without blocking a thread.
async fn store_rows(state: &State, mut request: WriteRequest, known: Written) -> Result<Written, ApiError> {
    let mut refused = Vec::new();
    let deadline = Instant::now() + state.config().write_wait;
    let mut attempts = 0;
    while attempts < limits::RESOLVE_ATTEMPTS {
        let resolved = match state.store.resolve(&mut request, &mut refused)? {
            Resolution::Ready(resolved) => resolved,
            Resolution::Needs(wants) => {
                state.store.check_ready()?;
                let (store, database) = (std::sync::Arc::clone(&state.store), request.database.clone());
                blocking(move || Ok(store.define(&database, wants)?)).await?;
                attempts += 1;
                continue;
            }
            Resolution::Widens { table, column } => {
                let store = std::sync::Arc::clone(&state.store);
                blocking(move || Ok(store.widen(table, &column)?)).await?;
                attempts += 1;
                continue;
            }
        };
        let rows = resolved.rows;
        let mut written = known.joined(&refused, rows);
        if resolved.is_empty() {
            return Ok(written);
        }
        // the answer lies in the record: a retry after a crash gets the same
        if let Some(key) = &mut request.key {
            key.answer = idempotency::compact(&written);
        }
        let (send, outcome) = tokio::sync::oneshot::channel();
        let submitted = state.store.submit(resolved, request.durability, request.key.as_ref(), move |outcome| {
            let _ = send.send(outcome);
        });
        match submitted {
            Ok(()) => {}
            // memory frees as tables are flushed: a short wait spares the client a retry
            Err(store::Error::HotFull { .. }) if Instant::now() < deadline => {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        }
        match outcome.await {
            Ok(Outcome::Accepted { durability, .. }) => {
                if let Some(key) = request.key.take() {
                    state.store.keys().remember(key, state.clock.now_us());
                }
                written.durability = durability;
                return Ok(written);
            }
            Ok(Outcome::Stale) => attempts += 1,
            Ok(Outcome::Failed(error)) => return Err(error.into()),
            Err(_) => return Err(ApiError::new(Code::WriteServiceUnavailable, "the log thread has ended")),
        }
    }
    Err(ApiError::new(Code::SchemaChurn, "a table changes faster than this write can follow; try again"))
}

fn answer(state: &State, outcome: Result<Written, ApiError>) -> Result<Response, ApiError> {
    let written = outcome.inspect_err(|_| count(&state.counters.write_errors, 1))?;
    if written.bad == 0 {
        let durability = [("x-tidewater-durability", written.durability.as_str())];
        return Ok((StatusCode::NO_CONTENT, durability).into_response());
    }
    count(&state.counters.write_errors, 1);
    let first = written.errors.first().map(|e| format!("line {}: {}", e.number, e.reason)).unwrap_or_default();
    let message = format!("partial write: {} lines refused, {} rows stored; {first}", written.bad, written.rows);
    let lines: Vec<Value> = written.errors.iter().map(|e| json!({"line": e.number, "error": e.reason})).collect();
    Err(ApiError::new(Code::InvalidLines, message)
        .with("lines", Value::Array(lines))
        .with("lines_refused", json!(written.bad))
        .with("rows_stored", json!(written.rows)))
}
