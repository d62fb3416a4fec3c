use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use axum::body::{Body, Bytes};
use axum::extract::State as Extract;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use chrono::{SecondsFormat, TimeZone, Utc};
use model::{Code, Stage};
use query::pool::Priority;
use query::running::Owner;
use query::{QueryStream, ReadMode};
use serde::Deserialize;
use wire::{json, plain};

use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::Params;
use crate::state::{Shared, State, count};

/// Bytes that a chunk of an answer gathers before it leaves.
const CHUNK_BYTES: usize = 64 << 10;

#[derive(Debug, Deserialize)]
struct Ask {
    #[serde(alias = "q")]
    sql: Option<String>,
    #[serde(alias = "database")]
    db: Option<String>,
    format: Option<String>,
}

/// `POST /api/v1/query`: the JSON envelope.
pub async fn json(
    Extract(state): Extract<Shared>,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let started = Instant::now();
    let stream = ask(&state, &caller, &headers, &body).await.map_err(envelope)?;
    let extra = provenance(&state, &stream);
    let warning = state.store.trouble();
    let body = Body::from_stream(json_stream(state, stream, started, warning));
    Ok((extra, [(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// Arc's query envelope carries its keys in errors too.
fn envelope(error: ApiError) -> ApiError {
    use serde_json::Value;
    error.with("columns", Value::Null).with("data", Value::Null).with("row_count", Value::from(0))
}

/// Which rows the answer saw, and the id by which the query is listed and cancelled.
fn provenance(state: &State, stream: &QueryStream) -> [(&'static str, String); 6] {
    count(&state.counters.query_requests, 1);
    [
        ("x-tidewater-snapshot", stream.snapshot.to_string()),
        ("x-tidewater-hot-rows", stream.hot_rows.to_string()),
        ("x-tidewater-query-id", stream.id().to_owned()),
        ("x-arc-query-id", stream.id().to_owned()),
        ("x-tidewater-cache", stream.met.as_str().to_owned()),
        ("x-arc-cache", stream.met.as_str().to_owned()),
    ]
}

async fn ask(state: &State, caller: &Caller, headers: &HeaderMap, body: &[u8]) -> Result<QueryStream, ApiError> {
    let ask: Ask = serde_json::from_slice(body).map_err(|e| {
        ApiError::new(Code::InvalidBody, format!("the body is not JSON of the form {{\"sql\": \"…\"}}: {e}"))
    })?;
    let named = headers.get("x-arc-database").and_then(|v| v.to_str().ok()).filter(|h| !h.is_empty());
    let database = named.map(str::to_owned).or(ask.db).unwrap_or_else(|| "default".into());
    let sql = ask.sql.unwrap_or_default();
    if sql.trim().is_empty() {
        return Err(ApiError::new(Code::InvalidQuery, "the field \"sql\" is missing or empty"));
    }
    model::DatabaseName::new(&database)?;
    run(state, caller, headers, sql, database).await
}

async fn run(
    state: &State,
    caller: &Caller,
    headers: &HeaderMap,
    sql: String,
    database: String,
) -> Result<QueryStream, ApiError> {
    let limits = state.governance.admit(caller.id, state.clock.now_us())?;
    let request = query::Request {
        sql,
        database,
        mode: read_mode(headers)?,
        access: Arc::clone(&caller.access),
        owner: Owner { id: caller.id, name: Arc::clone(&caller.name), address: Some(caller.address.to_string()) },
        priority: priority(headers)?,
        limits,
        use_cache: headers.get(header::CACHE_CONTROL).is_none_or(|v| v.as_bytes() != b"no-cache"),
    };
    state.engine.query(request).await.map_err(|error| {
        count(&state.counters.query_requests, 1);
        count(&state.counters.query_errors, 1);
        error.into()
    })
}

fn priority(headers: &HeaderMap) -> Result<Priority, ApiError> {
    let Some(value) = headers.get("x-tidewater-priority") else { return Ok(Priority::Interactive) };
    let known = value.to_str().ok().and_then(Priority::parse);
    let message = "x-tidewater-priority is neither interactive nor background";
    known.ok_or_else(|| ApiError::new(Code::InvalidParameter, message))
}

fn read_mode(headers: &HeaderMap) -> Result<ReadMode, ApiError> {
    match headers.get("x-tidewater-read").map(|v| v.to_str().unwrap_or_default()) {
        None | Some("newest") => Ok(ReadMode::Newest),
        Some("committed") => Ok(ReadMode::Committed),
        Some(_) => Err(ApiError::new(Code::InvalidParameter, "x-tidewater-read is neither newest nor committed")),
    }
}

/// An error after rows were sent: the body ends without its end, which no client takes for success.
fn aborted(state: &State, error: impl std::fmt::Display) -> std::io::Error {
    count(&state.counters.query_errors, 1);
    tracing::warn!(%error, "a query failed after rows were sent; its answer was cut");
    std::io::Error::other(error.to_string())
}

/// Rows to bytes, timed.
fn encoded<T, E: std::fmt::Display>(state: &State, encode: impl FnOnce() -> Result<T, E>) -> Result<T, std::io::Error> {
    let began = Instant::now();
    let done = encode();
    state.store.shared().stages.of(Stage::Encode).since(began);
    done.map_err(|e| aborted(state, e))
}

/// The next rows of an answer, counted.
async fn batch(state: &State, stream: &mut QueryStream) -> Result<Option<RecordBatch>, std::io::Error> {
    let Some(batch) = stream.next().await else { return Ok(None) };
    let batch = batch.map_err(|e| aborted(state, e))?;
    let rows = batch.num_rows() as u64;
    count(&state.counters.query_rows, rows);
    state.governance.add_rows(stream.token(), rows, state.clock.now_us());
    Ok(Some(batch))
}

fn json_stream(
    state: Shared,
    stream: QueryStream,
    started: Instant,
    warning: Option<String>,
) -> impl futures::Stream<Item = Result<Bytes, std::io::Error>> {
    let mut head = b"{\"success\":true,".to_vec();
    if let Some(warning) = warning {
        head.extend_from_slice(b"\"warning\":");
        json::string(&mut head, &warning);
        head.push(b',');
    }
    json::header(&mut head, &plain::schema(&stream.schema, false));
    head.extend_from_slice(b",\"data\":[");
    let start = (state, stream, head, 0usize, true, false);
    futures::stream::try_unfold(start, move |(state, mut stream, mut out, mut rows, mut first, done)| async move {
        if done {
            return Ok(None);
        }
        while let Some(batch) = batch(&state, &mut stream).await? {
            rows += batch.num_rows();
            encoded(&state, || json::rows(&mut out, &batch, &mut first))?;
            if out.len() >= CHUNK_BYTES {
                let chunk = Bytes::from(std::mem::take(&mut out));
                return Ok(Some((chunk, (state, stream, out, rows, first, false))));
            }
        }
        let now = Utc.timestamp_micros(state.clock.now_us()).single().unwrap_or_default();
        let tail = format!(
            "],\"row_count\":{rows},\"execution_time_ms\":{:.3},\"timestamp\":\"{}\"}}",
            started.elapsed().as_secs_f64() * 1e3,
            now.to_rfc3339_opts(SecondsFormat::Micros, true)
        );
        out.extend_from_slice(tail.as_bytes());
        Ok(Some((Bytes::from(out), (state, stream, Vec::new(), rows, first, true))))
    })
}

/// `POST /api/v1/query/arrow`: an Arrow IPC stream.
pub async fn arrow(
    Extract(state): Extract<Shared>,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let dictionaries =
        headers.get("x-arc-arrow-dictionary").is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"true"));
    let compression = match headers.get("x-arc-arrow-compression").map(|v| v.to_str().unwrap_or_default()) {
        None | Some("") => None,
        Some("zstd") => Some(CompressionType::ZSTD),
        Some("lz4") => Some(CompressionType::LZ4_FRAME),
        Some(other) => {
            let message = format!("x-arc-arrow-compression {other:?} is neither zstd nor lz4");
            return Err(ApiError::new(Code::InvalidParameter, message));
        }
    };
    let stream = ask(&state, &caller, &headers, &body).await?;
    let schema = plain::schema(&stream.schema, dictionaries);
    let options = IpcWriteOptions::default()
        .try_with_compression(compression)
        .map_err(|e| ApiError::new(Code::Internal, e.to_string()))?;
    let writer = StreamWriter::try_new_with_options(Vec::new(), &schema, options)
        .map_err(|e| ApiError::new(Code::Internal, e.to_string()))?;
    let extra = provenance(&state, &stream);
    let body = Body::from_stream(arrow_stream(state, stream, schema, writer));
    Ok((extra, [(header::CONTENT_TYPE, "application/vnd.apache.arrow.stream")], body).into_response())
}

fn arrow_stream(
    state: Shared,
    stream: QueryStream,
    schema: SchemaRef,
    writer: StreamWriter<Vec<u8>>,
) -> impl futures::Stream<Item = Result<Bytes, std::io::Error>> {
    let start = (state, stream, Some(writer), 0usize);
    futures::stream::try_unfold(start, move |(state, mut stream, writer, mut rows)| {
        let schema = SchemaRef::clone(&schema);
        async move {
            let Some(mut writer) = writer else { return Ok(None) };
            while let Some(batch) = batch(&state, &mut stream).await? {
                rows += batch.num_rows();
                encoded(&state, || writer.write(&plain::batch(&batch, &schema)?))?;
                if writer.get_ref().len() >= CHUNK_BYTES {
                    let chunk = Bytes::from(std::mem::take(writer.get_mut()));
                    return Ok(Some((chunk, (state, stream, Some(writer), rows))));
                }
            }
            if rows == 0 {
                // readers that build a frame from the first batch want at least one
                let empty = RecordBatch::new_empty(SchemaRef::clone(&schema));
                writer.write(&empty).map_err(|e| aborted(&state, e))?;
            }
            writer.finish().map_err(|e| aborted(&state, e))?;
            let chunk = Bytes::from(std::mem::take(writer.get_mut()));
            Ok(Some((chunk, (state, stream, None, rows))))
        }
    })
}

/// `POST /api/v3/query_sql`: InfluxDB 3's SQL over HTTP.
pub async fn v3_post(
    Extract(state): Extract<Shared>,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let ask: Ask = serde_json::from_slice(&body).map_err(|e| {
        ApiError::new(Code::InvalidBody, format!("the body is not JSON of the form {{\"db\": …, \"q\": …}}: {e}"))
    })?;
    v3(state, caller, headers, ask).await
}

/// `GET /api/v3/query_sql?db=&q=&format=`
pub async fn v3_get(
    Extract(state): Extract<Shared>,
    caller: Caller,
    Params(mut params): Params<HashMap<String, String>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let ask = Ask { sql: params.remove("q"), db: params.remove("db"), format: params.remove("format") };
    v3(state, caller, headers, ask).await
}

async fn v3(state: Shared, caller: Caller, headers: HeaderMap, ask: Ask) -> Result<Response, ApiError> {
    let lines = match ask.format.as_deref() {
        None | Some("json") => false,
        Some("jsonl") => true,
        Some(other) => {
            let message = format!("format {other:?} is not supported here; use json or jsonl");
            return Err(ApiError::new(Code::InvalidParameter, message));
        }
    };
    let sql = ask.sql.filter(|q| !q.trim().is_empty());
    let sql = sql.ok_or_else(|| ApiError::new(Code::InvalidParameter, "the parameter \"q\" is missing"))?;
    let database = ask.db.unwrap_or_else(|| "default".into());
    let stream = run(&state, &caller, &headers, sql, database).await?;
    let extra = provenance(&state, &stream);
    let kind = if lines { "application/jsonl" } else { "application/json" };
    let body = Body::from_stream(object_stream(state, stream, lines));
    Ok((extra, [(header::CONTENT_TYPE, kind)], body).into_response())
}

fn object_stream(
    state: Shared,
    stream: QueryStream,
    lines: bool,
) -> impl futures::Stream<Item = Result<Bytes, std::io::Error>> {
    let head = if lines { Vec::new() } else { b"[".to_vec() };
    let start = (state, stream, head, true, false);
    futures::stream::try_unfold(start, move |(state, mut stream, mut out, mut first, done)| async move {
        if done {
            return Ok(None);
        }
        while let Some(batch) = batch(&state, &mut stream).await? {
            let separator = if lines { b'\n' } else { b',' };
            encoded(&state, || json::objects(&mut out, &batch, separator, &mut first))?;
            if out.len() >= CHUNK_BYTES {
                let chunk = Bytes::from(std::mem::take(&mut out));
                return Ok(Some((chunk, (state, stream, out, first, false))));
            }
        }
        out.push(if lines { b'\n' } else { b']' });
        Ok(Some((Bytes::from(out), (state, stream, Vec::new(), first, true))))
    })
}
